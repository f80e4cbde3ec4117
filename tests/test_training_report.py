# SPDX-License-Identifier: Apache-2.0
"""Reports: nothing that a label or a file is called gets out of its place, and what is shown is what was measured."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("pycocotools")

from passerby.datasets.records import AttributeSample, DetectionSample, LabelSet
from passerby.decode import decode_image
from passerby.detector import Detections
from passerby.errors import OutputError
from passerby.files import encode_image
from passerby.formats.metadata import Group, Label
from passerby.training.attributes.evaluation import evaluate_attributes
from passerby.training.attributes.mistakes import PER_LABEL, surest_mistakes
from passerby.training.detection.evaluation import evaluate_detections
from passerby.training.detection.mistakes import match, score_bins, worst_mistakes
from passerby.training.report import AttributeEvidence, DetectionEvidence, ReportFiles, write_report
from passerby.training.report_plots import interval

from . import tiny
from .conftest import FIXTURES

HOSTILE = "<script>alert(1)</script>|`x`"
LABELS = (
    Label(id="hat", en=HOSTILE, zh="帽子"),
    Label(id="up", en="$x_1$ [up](javascript:x)", group="way"),
    Label(id="down", en="向下", group="way"),
    Label(id="never", en="Never there"),
)
NORTH = 'north"><img src=x onerror=alert(1)>'


class Reader(HTMLParser):
    """Everything of a page that could act or load, its pictures, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.sections = 0
        self.attributes: set[str] = set()
        self.sources: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sections += tag == "h2"
        self.attributes |= {name for name, _ in attrs}
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def attribute_evidence(folder: Path, *, count: int = 40, seed: int = 0) -> AttributeEvidence:
    rng = np.random.default_rng(seed)
    targets = rng.integers(-1, 2, (count, len(LABELS))).astype(np.int8)
    targets[:, 3] = 0
    samples = []
    for row in range(count):
        path = folder / f"images/{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_image(tiny.picture(row, height=60, width=30), ".png"))
        columns = {"camera": NORTH if row % 2 else "south"}
        samples.append(AttributeSample(file=f"images/{row}<b>.png", path=path, targets=targets[row], columns=columns))
    groups = (Group(id="way", en="Way <i>"),)
    return AttributeEvidence(
        samples=samples,
        label_set=LabelSet(labels=LABELS, groups=groups),
        probabilities=np.clip(targets * 0.4 + 0.3 + rng.normal(0, 0.25, targets.shape), 0, 1),
        thresholds=[0.5, 0.4, 0.6, 0.5],
    )


def attribute_figures(evidence: AttributeEvidence, **options: Any) -> dict[str, Any]:
    targets = np.stack([sample.targets for sample in evidence.samples])
    return evaluate_attributes(
        evidence.probabilities, targets, evidence.label_set, thresholds=evidence.thresholds, **options
    ).to_json()


def coco_samples() -> tuple[list[DetectionSample], list[Detections], list[str]]:
    """The boxes of the fixture with which the figures are held against pycocotools."""
    truth = json.loads((FIXTURES / "train/coco_gt.json").read_text("utf-8"))
    found = json.loads((FIXTURES / "train/coco_dt.json").read_text("utf-8"))
    kinds = [category["id"] for category in truth["categories"]]

    def corners(rows: list[dict[str, Any]]) -> np.ndarray:
        boxes = np.array([row["bbox"] for row in rows], np.float32).reshape(-1, 4)
        return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)

    samples, detections = [], []
    for image in truth["images"]:
        rows = [row for row in truth["annotations"] if row["image_id"] == image["id"]]
        ours = [row for row in found if row["image_id"] == image["id"]]
        samples.append(
            DetectionSample(
                file=image["file_name"],
                path=Path("gone") / image["file_name"],
                size_wh=(image["width"], image["height"]),
                boxes_xyxy=corners(rows),
                class_ids=np.array([kinds.index(row["category_id"]) for row in rows], np.int64),
                crowd=np.array([row["iscrowd"] == 1 for row in rows], bool),
            )
        )
        detections.append(
            Detections(
                boxes_xyxy=corners(ours),
                scores=np.array([row["score"] for row in ours], np.float32),
                class_ids=np.array([kinds.index(row["category_id"]) for row in ours], np.int64),
            )
        )
    return samples, detections, [str(category["name"]) for category in truth["categories"]]


def check_files(report: ReportFiles, figures: dict[str, Any]) -> Reader:
    """What holds for every report; gives its page."""
    assert json.loads(report.figures.read_text("utf-8")) == figures
    page = Reader(report.html.read_text("utf-8"))
    assert not page.tags & {"script", "base", "link", "iframe", "object", "form", "a", "i"}
    assert not [name for name in page.attributes if name.startswith("on")]
    assert len(page.sources) == len(report.pictures) > 0
    markdown = report.markdown.read_text("utf-8")
    for source, path in zip(page.sources, report.pictures, strict=True):
        head, _, data = source.partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data) == path.read_bytes()
        assert decode_image(path.read_bytes()).std() > 5
        assert f"]({path.name})" in markdown
    assert markdown.count("\n## ") == page.sections > 2
    return page


def test_a_report_of_attributes(tmp_path: Path) -> None:
    evidence = attribute_evidence(tmp_path / "set")
    columns = [sample.columns for sample in evidence.samples]
    figures = attribute_figures(evidence, columns=columns, paddle=True)
    report = write_report(tmp_path / "out", figures, evidence, title="Mine <b>", facts={"model": HOSTILE, "seed": 3})
    page = check_files(report, figures)
    text = "\n".join(page.texts)
    for said in (HOSTILE, NORTH, "Mine <b>", "向下", "By camera", "Way <i>", "label_pos_recall"):
        assert said in text
    assert f"{figures['summary']['mA']:.3f}" in text
    assert [path.name for path in report.pictures] == ["labels.png", "pr_curves.png", "reliability.png", "mistakes.png"]


def test_markdown_keeps_foreign_text_in_its_cell(tmp_path: Path) -> None:
    evidence = attribute_evidence(tmp_path / "set", count=8)
    report = write_report(tmp_path / "out", attribute_figures(evidence))
    markdown = report.markdown.read_text("utf-8")
    assert "<script" not in markdown.replace("\\<script", "")
    assert "](javascript" not in markdown.replace("\\](javascript", "")
    for block in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(columns) == 1


def test_a_report_of_a_detector(tmp_path: Path) -> None:
    samples, detections, classes = coco_samples()
    classes = [HOSTILE, *classes[1:]]
    figures = evaluate_detections(samples, detections, classes=classes).to_json()
    evidence = DetectionEvidence(samples=samples, detections=detections, classes=classes)
    report = write_report(tmp_path, figures, evidence, title="Boxes")
    page = check_files(report, figures)
    assert f"{figures['summary']['AP']:.3f}" in page.texts
    assert HOSTILE in page.texts
    names = ["classes.png", "pr_curves.png", "miss_rate.png", "reliability.png", "mistakes.png"]
    assert [path.name for path in report.pictures] == names


def test_an_old_report_is_written_again_from_its_figures(tmp_path: Path) -> None:
    evidence = attribute_evidence(tmp_path / "set", count=12)
    first = write_report(tmp_path / "a", attribute_figures(evidence))
    again = write_report(tmp_path / "b", json.loads(first.figures.read_text("utf-8")))
    assert again.html.read_bytes() == first.html.read_bytes()
    assert again.markdown.read_bytes() == first.markdown.read_bytes()


@pytest.mark.parametrize("count", [1, 3])
def test_so_few_crops_that_little_can_be_told(tmp_path: Path, count: int) -> None:
    evidence = attribute_evidence(tmp_path / "set", count=count)
    for sample in evidence.samples:
        sample.targets[:] = -1 if count == 1 else 0
    check_files(write_report(tmp_path / "out", figures := attribute_figures(evidence), evidence), figures)


def test_pictures_without_people_and_without_boxes(tmp_path: Path) -> None:
    empty = np.zeros((0, 4), np.float32)
    sample = DetectionSample(
        file="a.png", path=tmp_path / "a.png", size_wh=(40, 30), boxes_xyxy=empty, class_ids=np.zeros(0, np.int64),
        crowd=np.zeros(0, bool),
    )  # fmt: skip
    nothing = Detections(boxes_xyxy=empty, scores=np.zeros(0, np.float32), class_ids=np.zeros(0, np.int64))
    figures = evaluate_detections([sample], [nothing], classes=["walker"]).to_json()
    evidence = DetectionEvidence(samples=[sample], detections=[nothing], classes=["walker"])
    page = check_files(write_report(tmp_path / "out", figures, evidence), figures)
    assert any("no true box" in text for text in page.texts)


def test_figures_and_evidence_must_be_of_one_kind(tmp_path: Path) -> None:
    samples, detections, classes = coco_samples()
    evidence = DetectionEvidence(samples=samples, detections=detections, classes=classes)
    with pytest.raises(ValueError, match="attributes"):
        write_report(tmp_path / "out", attribute_figures(attribute_evidence(tmp_path / "set", count=4)), evidence)
    with pytest.raises(ValueError, match="kind"):
        write_report(tmp_path / "out", {"kind": "tracker"})


def test_a_folder_that_cannot_be_made_is_found_before_anything_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        write_report(tmp_path / "file/out", {"kind": "attributes"})


# --- mistakes -----------------------------------------------------------------------------------------------------


def test_the_surest_mistakes_lead() -> None:
    probabilities = np.array([[0.9, 0.2], [0.6, 0.1], [0.1, 0.9], [0.3, 0.3]])
    targets = np.array([[0, 1], [0, 0], [1, -1], [0, 0]])
    found = surest_mistakes(probabilities, targets, np.array([0.5, 0.5]))
    assert [[(m.row, m.label, m.said) for m in crop] for crop in found] == [
        [(0, 0, True), (0, 1, False)],
        [(2, 0, False)],
        [(1, 0, True)],
    ]
    assert surest_mistakes(probabilities, targets, np.array([0.95, 0.15]), most=1)[0][0].row == 2


def test_one_bad_label_does_not_fill_the_sheet() -> None:
    probabilities = np.full((40, 2), 0.99)
    probabilities[:, 1] = 0.6
    targets = np.zeros((40, 2), int)
    targets[:20, 0] = 1  # the first twenty are wrong about the second label only, the others surely about the first
    found = surest_mistakes(probabilities, targets, np.array([0.5, 0.5]), most=2 * PER_LABEL)
    assert sorted(crop[0].label for crop in found) == [0] * PER_LABEL + [1] * PER_LABEL


def test_matching_agrees_with_cocos() -> None:
    samples, detections, classes = coco_samples()
    figures = evaluate_detections(samples, detections, classes=classes).to_json()
    bins = score_bins(samples, detections)
    hits = sum(round(b["count"] * (b["share"] or 0)) for b in bins)
    missed = sum(round(row["miss_curve"]["missed"][-1] * row["boxes"]) for row in figures["classes"] if row["boxes"])
    false = sum(round(row["miss_curve"]["false_per_picture"][-1] * len(samples)) for row in figures["classes"])
    assert hits == figures["boxes"] - missed > 0
    assert sum(b["count"] for b in bins) - hits == false > 0


def walkers(boxes: list[list[float]], **changes: Any) -> DetectionSample:
    count = len(boxes)
    return DetectionSample(**{
        "file": "a.png", "path": Path("a.png"), "size_wh": (200, 100), "class_ids": np.zeros(count, np.int64),
        "boxes_xyxy": np.array(boxes, np.float32).reshape(-1, 4), "crowd": np.zeros(count, bool), **changes,
    })  # fmt: skip


def boxes_found(boxes: list[list[float]], scores: list[float], kinds: list[int] | None = None) -> Detections:
    return Detections(
        boxes_xyxy=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array(scores, np.float32),
        class_ids=np.array(kinds or [0] * len(scores), np.int64),
    )


def test_what_is_said_of_a_mistake() -> None:
    sample = walkers([[10, 10, 30, 90], [60, 10, 80, 50], [100, 0, 200, 100]], crowd=np.array([False, False, True]))
    found = boxes_found(
        [[10, 10, 30, 90], [11, 10, 31, 90], [60, 10, 80, 50], [120, 20, 140, 60], [40, 0, 50, 9], [60, 10, 80, 50]],
        [0.9, 0.8, 0.7, 0.6, 0.4, 0.3],
        [0, 0, 1, 0, 0, 0],
    )
    matched = match(sample, found)
    assert matched.hits.tolist() == [True, False, False, False, False, True]
    assert matched.counted.tolist() == [True, True, True, False, True, True]
    mistakes = worst_mistakes([sample], [found], threshold=0.5)
    assert [(m.missed, m.class_id, m.other, round(m.score, 2)) for m in mistakes] == [
        (False, 0, 0, 0.8),  # a second box on the first
        (True, 0, None, 0.3),  # found at a score below the threshold only, and taken for another class
    ]
    assert [m.class_id for m in worst_mistakes([sample], [found], threshold=0.5, most=1)] == [0]


@pytest.mark.parametrize(("share", "count"), [(0.0, 1), (1.0, 3), (0.5, 1000), (0.02, 50)])
def test_intervals_hold_their_share_and_narrow(share: float, count: int) -> None:
    low, high = interval(share, count)
    assert 0 <= low <= share <= high <= 1
    wider = interval(share, max(1, count // 2))
    assert high - low <= wider[1] - wider[0] > 0
