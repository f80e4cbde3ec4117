# SPDX-License-Identifier: Apache-2.0
"""Training of the attribute network on a handful of drawn persons: what may be learnt from, resuming, figures."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from passerby.networks.torch.pplcnet import PPLCNet  # noqa: E402
from passerby.training.attributes import metrics as metrics  # noqa: E402
from passerby.training.shipped.attribute_augment import AugmentOptions, augmented_crop, network_input, plain_crop  # noqa: E402
from passerby.training.shipped.attribute_data import (  # noqa: E402
    collect_persons,
    in_hash_val,
    open_crops,
    photo_key,
    row_targets,
    store_crops,
)
from passerby.training.shipped.attribute_labels import (  # noqa: E402
    ATTRIBUTE_COLUMNS,
    LABEL_COUNT,
    LABELS,
    LOWER_COLOUR,
    UPPER_COLOUR,
)
from passerby.training.shipped.attribute_loop import (  # noqa: E402
    Batch,
    LoopOptions,
    Stage,
    TrainingSet,
    blended_targets,
    load_checkpoint,
    mixed,
    run,
    start_run,
)
from passerby.training.shipped.attribute_teacher import fold_of  # noqa: E402

COLUMNS = ["id", "set", "source", "path", "x1", "y1", "x2", "y2", "quality", *ATTRIBUTE_COLUMNS]


def drawn_photo(seed: int) -> np.ndarray:
    """Blobs at random places: photos that differ in every gradient."""
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8), (200, 200), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def photos(tmp_path):
    """Four photos of `human_oi_coco`, two of them val (one by hash, one a copy of it), and their labels.csv."""
    names = (f"{n:016x}" for n in range(1000))
    train_names, val_names = [], []
    for name in names:
        (val_names if in_hash_val(name) else train_names).append(name)
    stems = {"plain": train_names[0], "second": train_names[1], "copy": train_names[2], "val": val_names[0]}
    folder = tmp_path / "photos/human_oi_coco/train"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for seed, (kind, stem) in enumerate(stems.items()):
        image = drawn_photo(99 if kind in ("copy", "val") else seed)
        cv2.imwrite(str(folder / f"images/{stem}_jpg.rf.abc.jpg"), image)
        (folder / f"labels/{stem}_jpg.rf.abc.txt").write_text(
            "0 0.25 0.5 0.3 0.8\n0 0.75 0.5 0.3 0.8\n0 0.1 0.1 0.1 0.1\n"
        )
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, "upper_colour", "lower_colour"])
        path = f"train/images/{stems['plain']}_jpg.rf.abc.jpg"
        values = ["1" if c == "Hat" else "-1" if c == "boots" else "0" for c in ATTRIBUTE_COLUMNS]
        writer.writerow(["o1", "train", "human_oi_coco", path, 20, 20, 80, 180, 3, *values, "red", "multi"])
    return tmp_path, stems


def test_labels_have_the_originals_order_and_groups_of_colours():
    assert (len(ATTRIBUTE_COLUMNS), LABEL_COUNT) == (26, 51)
    assert ATTRIBUTE_COLUMNS[19:22] == ("AgeLess18", "Age18-60", "AgeOver60")
    assert {x.group for x in LABELS[UPPER_COLOUR]} == {"upper_colour"}
    assert {x.group for x in LABELS[LOWER_COLOUR]} == {"lower_colour"}
    assert LABELS[-1].id == "unjudgeable"


def test_copies_of_a_photo_share_their_key():
    name = "00e13aca7d2f904a"
    assert photo_key("oi_vehicles", f"train/images/{name}_jpg.rf.1234.jpg") == photo_key("oi_mixed", f"x/{name}.jpg")
    assert photo_key("ccp", "photos/0001.jpg") == "ccp/0001"


def test_a_val_photo_and_its_copy_teach_nothing(photos):
    root, stems = photos
    persons, dropped = collect_persons([root / "labels.csv"], root / "photos")
    assert dropped == [stems["copy"]]
    assert {p.key for p in persons} == {stems["plain"], stems["second"]}


def test_an_unlabelled_box_on_a_labelled_person_is_left_out_and_small_ones_too(photos):
    root, stems = photos
    persons, _ = collect_persons([root / "labels.csv"], root / "photos")
    of_plain = [p for p in persons if p.key == stems["plain"]]
    assert [p.quality for p in of_plain] == [3, 0]
    assert len(persons) == 4


def test_targets_keep_what_nobody_could_tell():
    row = dict.fromkeys(ATTRIBUTE_COLUMNS, "0") | {
        "boots": "-1",
        "upper_colour": "red",
        "lower_colour": "multi",
        "quality": "2",
    }
    targets = np.array(row_targets(row))
    assert targets[ATTRIBUTE_COLUMNS.index("boots")] == -1
    assert targets[UPPER_COLOUR].sum() == 1
    assert (targets[LOWER_COLOUR] == -1).all()


@pytest.fixture
def store(photos):
    root, _ = photos
    persons, _ = collect_persons([root / "labels.csv"], root / "photos")
    store_crops(persons, root / "photos", root / "store")
    return open_crops(root / "store")


def test_the_stored_box_gives_the_photos_pixels_back(store, photos):
    root, stems = photos
    photo = cv2.imread(str(root / f"photos/human_oi_coco/train/images/{stems['plain']}_jpg.rf.abc.jpg"))
    expected = cv2.resize(photo[20:180, 20:80], (96, 128))
    got = plain_crop(store, 0, size_hw=(128, 96), margin=(0, 0))
    assert np.abs(got.astype(int) - expected).mean() < 6


def test_augmentation_depends_on_the_generator_alone(store):
    first, second = (
        augmented_crop(store, 0, size_hw=(64, 48), options=AugmentOptions(), rng=np.random.default_rng(4))
        for _ in range(2)
    )
    assert first.shape == (64, 48, 3)
    assert np.array_equal(first, second)


def test_network_input_is_rgb_and_normalised():
    blue = np.zeros((1, 2, 2, 3), np.uint8)
    blue[..., 0] = 255
    assert network_input(blue)[0, :, 0, 0] == pytest.approx(
        [-0.485 / 0.229, -0.456 / 0.224, (1 - 0.406) / 0.225], rel=1e-5
    )


def training_set(store) -> TrainingSet:
    count = len(store.keys)
    rng = np.random.default_rng(0)
    return TrainingSet(
        store=store,
        labelled=np.flatnonzero(store.labelled),
        unlabelled=np.flatnonzero(~store.labelled),
        sampling=np.ones(count),
        teacher_probabilities=np.full((count, LABEL_COUNT), 0.25, np.float32),
        teacher_bands=rng.normal(size=(count, 4, 8)).astype(np.float16),
    )


OPTIONS = LoopOptions(
    stages=(
        Stage(size_hw=(64, 48), steps=3, labelled_share=0.5, hard_share=0.5, feature_weight=1.0),
        Stage(size_hw=(96, 64), steps=2, labelled_share=0.5, hard_share=1.0, feature_weight=1.0),
    ),
    batch_size=4,
    warmup_steps=2,
    checkpoint_every=2,
    report_every=2,
)


def test_targets_blend_label_and_teacher(store):
    data = training_set(store)
    rows = np.array([0, int(data.unlabelled[0])])
    targets, weights = blended_targets(data, rows, hard_share=0.5, options=OPTIONS)
    hat, boots = 0, ATTRIBUTE_COLUMNS.index("boots")
    assert targets[0, hat] == pytest.approx(0.5 * 1 + 0.5 * 0.25)
    assert (targets[0, boots], weights[0, boots]) == (0.25, OPTIONS.guess_weight)
    assert (targets[1] == 0.25).all()
    assert (weights[1] == 1).all()


def test_a_mixture_is_known_as_far_as_its_parts_are():
    batch = Batch(
        x=torch.tensor([0.0, 10.0]).reshape(2, 1, 1, 1),
        targets=torch.tensor([[1.0, 0.5], [0.0, 1.0]]),
        weights=torch.tensor([[1.0, 0.0], [1.0, 1.0]]),
        bands=torch.zeros(2, 1, 1),
        taught=torch.tensor([True, False]),
    )
    both = mixed(batch, torch.tensor([1, 0]), 0.75)
    assert both.x.flatten().tolist() == [2.5, 7.5]
    assert torch.allclose(both.targets, torch.tensor([[0.75, 1.0], [0.25, 1.0]]))  # an entry without weight has no say
    assert torch.allclose(both.weights, torch.tensor([[1.0, 0.25], [1.0, 0.75]]))
    assert both.taught.tolist() == [False, False]


def test_rendered_crops_teach_their_labels_and_nothing_else(photos):
    root, _ = photos
    folder = root / "photos/rendered"
    (folder / "images").mkdir(parents=True)
    cv2.imwrite(str(folder / "images/0.jpg"), drawn_photo(7))
    (folder / "train.txt").write_text("images/0.jpg\t" + ",".join(["1", "-1"] + ["0"] * (LABEL_COUNT - 3)) + "\n")
    persons, _ = collect_persons([root / "labels.csv"], root / "photos")
    store_crops(persons, root / "photos", root / "with_renders")
    with_renders = open_crops(root / "with_renders")
    (row,) = np.flatnonzero(with_renders.rendered)
    assert with_renders.targets[row].tolist() == [1, -1, *[0] * (LABEL_COUNT - 3), -1]
    assert not with_renders.is_val[row]
    assert not with_renders.calibration[row]
    count = len(with_renders.keys)
    data = TrainingSet(
        store=with_renders,
        labelled=np.array([row]),
        unlabelled=np.array([], np.int64),
        sampling=np.ones(count),
        teacher_probabilities=np.full((count, LABEL_COUNT), 0.5, np.float32),
        teacher_bands=np.zeros((count, 4, 8), np.float16),
    )
    targets, weights = blended_targets(data, np.array([row]), hard_share=0.5, options=OPTIONS)
    assert targets[0, 0] == 1  # not blended with what a teacher of photos would say
    assert weights[0, [0, 1, 2]].tolist() == [OPTIONS.labelled_weight, 0, OPTIONS.labelled_weight]


def test_a_resumed_run_ends_in_the_same_bits(store, tmp_path):
    data = training_set(store)

    def fresh():
        torch.manual_seed(1)
        return start_run(PPLCNet(LABEL_COUNT, scale=0.25), data, OPTIONS)

    whole = fresh()
    reports = list(run(whole, data, OPTIONS, tmp_path / "whole"))
    assert [r["step"] for r in reports] == [2, 4, 5]
    assert reports[-1]["size_hw"] == [96, 64]

    cut = fresh()
    next(run(cut, data, OPTIONS, tmp_path / "cut"))  # stops after two steps, with a checkpoint
    resumed = fresh()
    load_checkpoint(resumed, tmp_path / "cut/checkpoint.pt")
    assert resumed.step == 2
    list(run(resumed, data, OPTIONS, tmp_path / "cut"))
    assert all(torch.equal(whole.average[name], value) for name, value in resumed.average.items())


def test_auc_counts_ties_half_and_needs_both_kinds():
    assert metrics.auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([0, 0, 1, 1])) == pytest.approx(0.875)
    assert np.isnan(metrics.auc(np.array([0.1, 0.2]), np.array([1, 1])))


def test_figures_leave_unknown_entries_out():
    probabilities = np.array([[0.9], [0.2], [0.8]])
    (only,) = metrics.label_figures(probabilities, np.array([[1.0], [0.0], [-1.0]]))
    assert (only.positives, only.negatives, only.auc, only.mean_accuracy) == (1, 1, 1.0, 1.0)
    assert not only.supported


def test_platt_finds_the_scale_that_made_the_labels():
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 3, 20000)
    labels = rng.random(20000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))
    scale, bias = metrics.fit_platt(logits, labels)
    assert (scale, bias) == (pytest.approx(0.5, abs=0.03), pytest.approx(-1, abs=0.06))


def test_platt_stays_near_the_identity_with_few_labels():
    scale, bias = metrics.fit_platt(np.array([1.0, -1.0]), np.array([1, 0]))
    assert scale == pytest.approx(1, abs=0.2)
    assert bias == pytest.approx(0, abs=0.2)


def test_folds_keep_a_photo_together():
    keys = np.array(["a", "b", "a", "c"] * 3)
    folds = fold_of(keys)
    assert folds[0] == folds[2] == folds[4]
    assert set(folds) <= set(range(5))
