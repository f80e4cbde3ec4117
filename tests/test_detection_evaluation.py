# SPDX-License-Identifier: Apache-2.0
"""Figures of a detector against those that pycocotools gave, and against figures made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pycocotools")

from passerby.datasets.records import DetectionSample
from passerby.detector import Detections
from passerby.training.detection import evaluation as detection_evaluation
from passerby.training.detection.evaluation import evaluate_detections, log_average_miss_rate

FIXTURES = Path(__file__).parent / "data/fixtures/train"


def sample(*rows, file="a.png", size_wh=(640, 480)):
    """A picture with rows x1 y1 x2 y2 class crowd."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return DetectionSample(
        file=file,
        path=Path(file),
        size_wh=size_wh,
        boxes_xyxy=table[:, :4],
        class_ids=table[:, 4].astype(np.int64),
        crowd=table[:, 5] > 0,
    )


def found(*rows):
    """What was found: rows x1 y1 x2 y2 class score."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(boxes_xyxy=table[:, :4], class_ids=table[:, 4].astype(np.int64), scores=table[:, 5])


def recorded():
    """The fixture's pictures and boxes as our records."""
    truth, boxes = (json.loads((FIXTURES / f"coco_{name}.json").read_text()) for name in ("gt", "dt"))
    samples, detections = [], []
    for image in truth["images"]:
        people = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        samples.append(sample(*((*corners(a["bbox"]), 0, a["iscrowd"]) for a in people), file=image["file_name"]))
        hits = [d for d in boxes if d["image_id"] == image["id"]]
        detections.append(found(*((*corners(d["bbox"]), 0, d["score"]) for d in hits)))
    return samples, detections


def corners(xywh):
    left, top, width, height = xywh
    return left, top, left + width, top + height


def test_figures_are_those_of_the_reference(capfd):
    figures = evaluate_detections(*recorded(), classes=["pedestrian"])
    expected = json.loads((FIXTURES / "coco_stats.json").read_text())
    for name, value in expected.items():
        if value == -1:
            assert figures.summary[name] is None, name
        else:
            assert figures.summary[name] == pytest.approx(value, rel=1e-5), name
    assert set(figures.metrics()) == {"AP", "AP50", "AP75", "AR100", "miss_rate"}
    out, err = capfd.readouterr()
    assert out == err == ""


def test_the_curves_say_what_the_figures_say():
    figures = evaluate_detections(*recorded(), classes=["pedestrian"])
    (person,) = figures.classes
    half, three_quarters = person.curves
    assert half.precision.mean() == pytest.approx(figures.summary["AP50"])
    assert three_quarters.precision.mean() == pytest.approx(figures.summary["AP75"])
    assert person.miss_rate == figures.summary["miss_rate"]
    assert person.ap == pytest.approx(figures.summary["AP"])
    assert figures.boxes == person.boxes
    # the miss curve and the curve of recall come from one matching: as much is found at the end of both
    assert 1 - person.missed[-1] == pytest.approx(half.recall[half.precision > 0].max(), abs=0.01)
    assert (np.diff(person.false_per_picture) >= 0).all()
    assert (np.diff(person.missed) <= 0).all()
    assert (np.diff(person.miss_scores) <= 0).all()


def test_two_found_one_missed_one_false():
    truth = [sample((0, 0, 10, 20, 0, 0), (50, 0, 60, 20, 0, 0)), sample((5, 5, 25, 45, 0, 0))]
    boxes = [found((0, 0, 10, 20, 0, 0.9)), found((5, 5, 25, 45, 0, 0.6), (100, 100, 120, 140, 0, 0.8))]
    figures = evaluate_detections(truth, boxes)
    (person,) = figures.classes
    assert (figures.pictures, figures.boxes, figures.crowds) == (2, 3, 0)
    # precision 1 up to recall 1/3, then 2/3 up to recall 2/3
    assert person.ap50 == pytest.approx((34 + 33 * 2 / 3) / 101)
    assert person.ar100 == pytest.approx(2 / 3)
    assert (person.best_f1, person.best_f1_score) == (pytest.approx(2 / 3), pytest.approx(0.6))
    # below half a false box a picture only the first is found; from there on two are
    rates = [2 / 3 if reference < 0.5 else 1 / 3 for reference in detection_evaluation.MISS_RATE_FPPI]
    assert person.miss_rate == pytest.approx(float(np.exp(np.log(rates).mean())))


def test_a_crowd_is_neither_example_nor_mistake():
    crowd = sample((0, 0, 10, 20, 0, 0), (100, 100, 300, 200, 0, 1))
    inside = [(110 + 20 * n, 110, 125 + 20 * n, 160, 0, 0.95) for n in range(5)]
    figures = evaluate_detections([crowd], [found(*inside, (0, 0, 10, 20, 0, 0.9))])
    assert (figures.boxes, figures.crowds) == (1, 1)
    assert figures.metrics() == pytest.approx(
        {"AP": 1.0, "AP50": 1.0, "AP75": 1.0, "AR100": 1.0, "miss_rate": 0.0}, abs=1e-9
    )


def test_classes_are_measured_apart():
    truth = [sample((0, 0, 10, 20, 0, 0), (50, 0, 60, 20, 1, 0))]
    figures = evaluate_detections(
        truth, [found((0, 0, 10, 20, 0, 0.9), (50, 0, 60, 20, 0, 0.8))], classes=["person", "rider", "cyclist"]
    )
    person, rider, cyclist = figures.classes
    assert (person.ap, rider.ap, cyclist.ap) == (pytest.approx(1), 0.0, None)
    assert (person.miss_rate, rider.miss_rate, cyclist.miss_rate) == (pytest.approx(0, abs=1e-9), 1.0, None)
    assert figures.summary["AP"] == pytest.approx(0.5)


def test_nothing_found_and_nothing_there():
    nothing = evaluate_detections([sample((0, 0, 10, 20, 0, 0))], [found()])
    assert nothing.metrics() == {"AP": 0.0, "AP50": 0.0, "AP75": 0.0, "AR100": 0.0, "miss_rate": 1.0}
    empty = evaluate_detections([sample()], [found((0, 0, 10, 20, 0, 0.5))])
    assert empty.summary["AP"] is None
    assert all(np.isnan(value) for value in empty.metrics().values())


def test_json_holds_every_figure():
    for figures in (evaluate_detections(*recorded()), evaluate_detections([sample()], [found()])):
        written = json.dumps(figures.to_json(), allow_nan=False)
        assert json.loads(written)["pictures"] == figures.pictures
    first = evaluate_detections(*recorded(), classes=["p"]).to_json()["classes"][0]
    assert len(first["curves"][0]["precision"]) == len(first["curves"][0]["scores"]) == 101
    assert first["miss_curve"]["missed"][-1] < 1


def test_miss_rate_is_one_where_false_boxes_come_first():
    assert log_average_miss_rate(np.array([2.0, 2.0]), np.array([1.0, 0.0])) == pytest.approx(1.0)
    assert log_average_miss_rate(np.array([]), np.array([])) == pytest.approx(1.0)
