# SPDX-License-Identifier: Apache-2.0
"""Data, augmentation, averages and figures of the detector's training, on made-up pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from passerby.networks.torch.ppyoloe import PPYOLOE  # noqa: E402
from passerby.training import ema as detection_ema  # noqa: E402
from passerby.training.shipped import (  # noqa: E402
    detection_augment,
    detection_calibrate,
    detection_eval,
    teacher_boxes,
)
from passerby.training.shipped.detection_data import is_val_stem, list_photos, load_packed, pack_photos  # noqa: E402

FIXTURES = Path(__file__).parent / "data/fixtures"


def arrays(name):
    """A fixture file's arrays, the file closed again."""
    with np.load(FIXTURES / name) as stored:
        return {key: stored[key] for key in stored.files}


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def test_average_precision_by_hand():
    truths = [boxes([0, 0, 10, 10], [20, 0, 30, 10])]
    found = [(boxes([0, 0, 10, 10], [50, 50, 60, 60], [20, 0, 30, 10]), np.array([0.9, 0.8, 0.7], np.float32))]
    result = detection_eval.average_precision(truths, found)
    # precision 1 up to recall 0.5 (51 of 101 points), then 2/3
    assert result.ap == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert (result.persons, result.recall) == (2, 1.0)


def test_small_persons_and_small_boxes_do_not_count():
    truths = [boxes([0, 0, 10, 200], [50, 0, 60, 20])]
    found = [(boxes([0, 0, 10, 200], [50, 0, 60, 20], [80, 0, 90, 30]), np.array([0.5, 0.9, 0.8], np.float32))]
    assert detection_eval.average_precision(truths, found, min_height=100).ap == 1.0
    assert detection_eval.average_precision(truths, found, min_height=100).persons == 1
    tall_false = [(boxes([0, 0, 10, 200], [80, 0, 90, 150]), np.array([0.5, 0.8], np.float32))]
    assert detection_eval.average_precision(truths, tall_false, min_height=100).ap == pytest.approx(0.5)


def test_a_box_finds_one_person_only():
    truths = [boxes([0, 0, 10, 10])]
    found = [(boxes([0, 0, 10, 10], [0, 0, 10, 10.5]), np.array([0.9, 0.8], np.float32))]
    result = detection_eval.average_precision(truths, found)
    assert result.ap == 1.0
    assert result.best_f1 == 1.0


def test_teacher_fills_in_and_doubts():
    marked = boxes([0, 0, 10, 20])
    teacher = boxes([0, 0, 10, 19], [30, 0, 40, 20], [60, 0, 70, 20], [1, 0, 9, 6])
    scores = np.array([0.9, 0.8, 0.35, 0.7], np.float32)
    persons, ignored = teacher_boxes.merge_truth(marked, teacher, scores)
    np.testing.assert_array_equal(persons, boxes([0, 0, 10, 20], [30, 0, 40, 20]))
    np.testing.assert_array_equal(ignored, boxes([1, 0, 9, 6], [60, 0, 70, 20]))
    persons, _ = teacher_boxes.merge_truth(None, teacher, scores)
    assert len(persons) == 3


@pytest.mark.parametrize("mosaic", [False, True])
def test_boxes_follow_the_pixels(mosaic):
    """A white rectangle on black stays inside its box wherever augmentation puts it."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[16:48, 24:40] = 255
    photo = detection_augment.Example(
        image_rgb=image, persons=boxes([24, 16, 40, 48]), ignored=np.zeros((0, 4), np.float32)
    )
    options = detection_augment.AugmentOptions(colour=0.0, blur=0.0)
    seen = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        if mosaic:
            made = detection_augment.augment_mosaic([photo] * 4, size=96, options=options, random=random)
        else:
            made = detection_augment.augment_one(photo, size=96, options=options, random=random)
        assert made.image_rgb.shape == (96, 96, 3)
        assert made.persons.min(initial=0) >= 0
        assert made.persons.max(initial=0) <= 96
        outside = made.image_rgb[..., 0].astype(int)
        for x1, y1, x2, y2 in np.concatenate([made.persons, made.ignored]):
            inner = made.image_rgb[round(y1) + 2 : round(y2) - 2, round(x1) + 2 : round(x2) - 2]
            assert (inner > 200).all()
            outside[max(0, int(y1) - 2) : int(y2) + 3, max(0, int(x1) - 2) : int(x2) + 3] = 0
            seen += 1
        assert (outside < 200).all()
    assert seen >= 40


@pytest.mark.parametrize("kind", ["threshold"])
def test_moving_average_is_paddles(kind):
    stored = arrays("train/ema.npz")
    names = [key.split("|")[2] for key in stored if key.startswith("step0|param|")]

    class Weights(torch.nn.Module):
        def state_dict(self):
            return {name: torch.tensor(stored[f"step{step}|param|{name}"]) for name in names}

    step = 0
    model = Weights()
    ema = detection_ema.ModelEma(model, decay=0.9998)
    for step in range(4):
        assert ema.current_decay() == pytest.approx(float(stored[f"{kind}|step{step}|decay"]))
        ema.update(model)
        for name in names:
            np.testing.assert_allclose(
                ema.averages[name].numpy(), stored[f"{kind}|step{step}|ema|{name}"], rtol=1e-6, atol=1e-7
            )
    for name, value in ema.weights(model).items():
        np.testing.assert_allclose(value.numpy(), stored[f"{kind}|applied|{name}"], rtol=1e-5, atol=1e-6)


def test_val_photos_stay_out_of_training(tmp_path):
    cv2 = pytest.importorskip("cv2")
    random = np.random.default_rng(0)
    stems = [f"{i:012d}" for i in range(60)]
    coco_val = next(stem for stem in stems if not is_val_stem(stem))

    def write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), random.integers(0, 255, (20, 30, 3), np.uint8))

    write(tmp_path / f"coco128/images/val2017/{coco_val}.jpg")
    for stem in stems:
        write(tmp_path / f"human_oi_coco/train/images/{stem}_jpg.rf.0a.jpg")
        label = tmp_path / f"human_oi_coco/train/labels/{stem}_jpg.rf.0a.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text("0 0.5 0.5 0.2 0.4\n")
    pack_photos(list_photos(tmp_path), tmp_path / "packed", size=32)
    packed = load_packed(tmp_path / "packed")
    split_of = {str(row["name"]): row["split"] for row in packed.rows}
    assert split_of[f"coco128/{coco_val}.jpg"] == "val_coco"
    for stem in stems:
        expected = "unused" if stem == coco_val else "val" if is_val_stem(stem) else "train"
        assert split_of[f"human_oi_coco/{stem}_jpg.rf.0a.jpg"] == expected
    assert packed.pixels.shape == (61, 32, 32, 3)


def test_calibration_recovers_a_line_and_keeps_the_order():
    random = np.random.default_rng(0)
    logits = random.normal(-1, 1.5, 20000)
    hits = random.random(20000) < 1 / (1 + np.exp(-(1.7 * logits + 0.6)))
    slope, offset = detection_calibrate.fit_line(1 / (1 + np.exp(-logits)), hits)
    assert slope == pytest.approx(1.7, abs=0.1)
    assert offset == pytest.approx(0.6, abs=0.1)
    with pytest.raises(ValueError, match="right and boxes that are wrong"):
        detection_calibrate.fit_line(np.array([0.2, 0.3]), np.array([True, True]))


def test_the_best_cut_becomes_one_half():
    scores, hits = np.array([0.4, 0.3, 0.2, 0.1]), np.array([True, True, False, False])
    cut = detection_calibrate.best_cut(scores, hits, persons=3)
    assert cut == pytest.approx(0.3)
    slope, offset = detection_calibrate.line_with_cut(2.0, cut)
    assert slope * np.log(cut / (1 - cut)) + offset == pytest.approx(0.0)


def test_folding_moves_logits_only():
    torch.manual_seed(0)
    model = PPYOLOE(depth=0.33, width=0.0625).eval()
    torch.nn.init.normal_(model.yolo_head.pred_cls[0].weight)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        boxes, scores = model(image)
        model.load_state_dict(detection_calibrate.fold_line(model.state_dict(), slope=1.5, offset=0.4))
        boxes_after, scores_after = model(image)
    torch.testing.assert_close(boxes_after, boxes)
    torch.testing.assert_close(scores_after.logit(), scores.logit() * 1.5 + 0.4)
