"""Splitting: groups whole, classes shared, nothing lost, near copies told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.datasets import example
from passerby.datasets.allotment import allot, sizes
from passerby.datasets.attribute_set import read_attribute_set
from passerby.datasets.detection_set import read_detection_set
from passerby.datasets.near_copies import near_copies_across, near_pairs, photo_hash
from passerby.datasets.split import SplitOptions, split_dataset
from passerby.errors import ArgumentError, DatasetError, OutputError
from passerby.files import atomic_write, encode_image


def listed(folder: Path, split: str) -> list[str]:
    return [line.split("\t")[0] for line in (folder / f"{split}.txt").read_text().splitlines()]


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """60 drawn crops; two of three belong to one of 10 persons, the rest to nobody."""
    folder = tmp_path / "crops"
    example.write_attribute_example(folder, count=60)
    names = sorted(listed(folder, "train") + listed(folder, "val"))
    rows = [f"{name},{f'p{i % 10}' if i % 3 else ''}" for i, name in enumerate(names)]
    (folder / "groups.csv").write_text("\n".join(["path,person", *rows]) + "\n")
    return folder


# the numbers alone


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_groups_stay_whole_and_every_sample_goes_somewhere(data: st.DataObject) -> None:
    count = data.draw(st.integers(3, 60))
    groups = data.draw(st.lists(st.integers(0, 15), min_size=count, max_size=count))
    counts = np.array(data.draw(st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=2), min_size=count)))[:count]
    shares = data.draw(st.sampled_from([[0.8, 0.2], [0.7, 0.2, 0.1]]))
    if len(set(groups)) < len(shares):
        with pytest.raises(ValueError, match="groups cannot be shared out"):
            allot(counts, groups, shares, seed=0)
        return
    split_of = allot(counts, groups, shares, seed=0)
    assert len(split_of) == count
    assert set(split_of.tolist()) == set(range(len(shares)))  # none is left empty
    for group in set(groups):
        assert len({s for s, g in zip(split_of.tolist(), groups, strict=True) if g == group}) == 1
    assert (split_of == allot(counts, groups, shares, seed=0)).all()


def test_without_groups_sizes_are_exact_and_rare_classes_are_shared() -> None:
    rng = np.random.default_rng(0)
    counts = (rng.random((1000, 5)) < [0.5, 0.2, 0.05, 0.02, 0.01]).astype(np.int64)
    split_of = allot(counts, range(1000), [0.7, 0.2, 0.1], seed=3)
    assert np.bincount(split_of).tolist() == [700, 200, 100]
    for k in range(5):
        here = [counts[split_of == s, k].sum() for s in range(3)]
        for have, share in zip(here, (0.7, 0.2, 0.1), strict=True):
            assert abs(have - share * counts[:, k].sum()) <= 1.0
    assert (split_of != allot(counts, range(1000), [0.7, 0.2, 0.1], seed=4)).any()


def test_large_groups_come_as_close_as_they_can() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(60), rng.integers(1, 30, 60))
    counts = (rng.random((len(groups), 4)) < 0.3).astype(np.int64)
    split_of = allot(counts, groups, [0.8, 0.2], seed=0)
    assert abs((split_of == 1).mean() - 0.2) < 0.01
    for k in range(4):
        assert abs(counts[split_of == 1, k].sum() / counts[:, k].sum() - 0.2) < 0.03


@given(st.integers(2, 2000), st.sampled_from([(0.8, 0.2), (0.99, 0.01), (0.5, 0.5)]))
def test_sizes_are_whole_and_none_is_empty(count: int, shares: tuple[float, float]) -> None:
    found = sizes(count, shares)
    assert sum(found) == count
    assert min(found) >= 1


# crops in place


def test_a_split_in_place_keeps_everything_and_the_lists_of_before(crops: Path) -> None:
    before = {name: (crops / name).read_bytes() for name in ("train.txt", "val.txt")}
    lines = sorted(line for data in before.values() for line in data.decode().splitlines())
    report = split_dataset(crops, train_percent=70, val_percent=20, test_percent=10, seed=5)
    after = [(crops / f"{split}.txt").read_text().splitlines() for split in ("train", "val", "test")]
    assert [len(part) for part in after] == [42, 12, 6]
    assert sorted(line for part in after for line in part) == lines
    assert {name: (crops / f"{name}.bak").read_bytes() for name in before} == before
    assert set(report.kept) == {"train.txt.bak", "val.txt.bak"}
    data = read_attribute_set(crops)
    for split, figures in report.splits.items():
        positives = (data.targets(split) == 1).sum(axis=0).tolist()
        assert list(figures.classes.values()) == positives
        assert figures.samples == len(data.splits[split])
    shares = [
        abs(share - figures.wanted_percent)
        for figures in report.splits.values()
        for share in (figures.percent, *figures.classes_percent.values())
        if share is not None
    ]
    assert report.furthest == pytest.approx(max(shares))
    assert report.furthest < 10
    assert json.loads(json.dumps(report.to_json()))["splits"]["val"]["samples"] == 12


def test_the_same_seed_gives_the_same_split_wherever_the_pictures_stood(crops: Path) -> None:
    split_dataset(crops, train_percent=80, val_percent=20, seed=1)
    first = listed(crops, "val")
    split_dataset(crops, train_percent=50, val_percent=50, seed=2)
    assert listed(crops, "val") != first
    report = split_dataset(crops, train_percent=80, val_percent=20, seed=1)
    assert listed(crops, "val") == first
    assert set(report.kept) == {"train.txt.bak3", "val.txt.bak3"}
    again = split_dataset(crops, train_percent=80, val_percent=20, seed=1)
    assert (again.written, again.kept) == ((), ())
    assert not (crops / "train.txt.bak4").exists()


def test_persons_are_never_torn(crops: Path) -> None:
    report = split_dataset(crops, train_percent=70, val_percent=30, group_by="person")
    data = read_attribute_set(crops)
    persons = {split: {s.columns["person"] for s in samples} - {""} for split, samples in data.splits.items()}
    assert persons["train"] and persons["val"]
    assert not persons["train"] & persons["val"]
    assert sum(figures.groups for figures in report.splits.values()) == 10 + 20
    assert any("20 pictures have no person" in w for w in report.warnings)


def test_val_need_not_exist_before(crops: Path) -> None:
    everything = (crops / "train.txt").read_text() + (crops / "val.txt").read_text()
    (crops / "val.txt").unlink()
    (crops / "train.txt").write_text(everything)
    split_dataset(crops, train_percent=75, val_percent=25)
    assert len(listed(crops, "val")) == 15


def test_test_stays_as_it_is_unless_asked_for(crops: Path) -> None:
    lines = (crops / "val.txt").read_text().splitlines()
    (crops / "test.txt").write_text("\n".join(lines[:5]) + "\n")
    (crops / "val.txt").write_text("\n".join(lines[5:]) + "\n")
    held_out = listed(crops, "test")
    report = split_dataset(crops, train_percent=80, val_percent=20)
    assert listed(crops, "test") == held_out
    assert not set(held_out) & set(listed(crops, "train") + listed(crops, "val"))
    assert "test stays as it is" in report.warnings
    with (crops / "train.txt").open("a") as file:
        file.write((crops / "test.txt").read_text().splitlines()[0] + "\n")
    report = split_dataset(crops, train_percent=80, val_percent=20, seed=1)
    assert not set(held_out) & set(listed(crops, "train") + listed(crops, "val"))
    assert any("1 pictures are test's" in w for w in report.warnings)
    split_dataset(crops, train_percent=60, val_percent=20, test_percent=20)
    assert len(listed(crops, "test")) == 12


def test_a_split_into_a_new_folder_leaves_the_source_alone(crops: Path, tmp_path: Path) -> None:
    before = {p: p.read_bytes() for p in crops.rglob("*.*") if p.is_file()}
    for how in ("copy", "link"):
        new = tmp_path / how
        options = SplitOptions(output=new, pictures=how, seed=2)  # type: ignore[arg-type]
        split_dataset(crops, train_percent=80, val_percent=20, options=options)
        assert {p: p.read_bytes() for p in crops.rglob("*.*") if p.is_file()} == before
        data = read_attribute_set(new)
        assert sum(len(samples) for samples in data.splits.values()) == 60
        assert all(s.path.is_symlink() == (how == "link") for samples in data.splits.values() for s in samples)
        assert data.label_set == read_attribute_set(crops).label_set
    with pytest.raises(OutputError, match="output_conflict"):
        split_dataset(crops, train_percent=80, val_percent=20, options=SplitOptions(output=tmp_path / "copy"))


def test_a_new_folder_takes_the_test_list_along(crops: Path, tmp_path: Path) -> None:
    lines = (crops / "val.txt").read_text().splitlines()
    (crops / "test.txt").write_text("\n".join(lines[:5]) + "\n")
    (crops / "val.txt").write_text("\n".join(lines[5:]) + "\n")
    options = SplitOptions(output=tmp_path / "new")
    split_dataset(crops, train_percent=80, val_percent=20, options=options)
    assert [len(samples) for samples in read_attribute_set(tmp_path / "new").splits.values()] == [44, 11, 5]
    assert listed(tmp_path / "new", "test") == listed(crops, "test")
    boxes = tmp_path / "boxes"
    example.write_detection_example(boxes, count=12)
    shutil.move(boxes / "annotations/instance_val.json", boxes / "annotations/instance_test.json")
    split_dataset(boxes, train_percent=60, val_percent=40, options=SplitOptions(output=tmp_path / "new_boxes"))
    after = read_detection_set(tmp_path / "new_boxes").splits
    assert [len(samples) for samples in after.values()] == [5, 4, 3]


@pytest.mark.parametrize(
    ("percent", "message"),
    [((80, 10, 0), "must be 100"), ((100, 0, 0), "train_percent"), ((-1, 101, 0), "train"), ((80, 0, 20), "val")],
)
def test_percentages_that_cannot_be(crops: Path, percent: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        split_dataset(crops, train_percent=percent[0], val_percent=percent[1], test_percent=percent[2])


def test_an_unknown_column_is_named_with_those_there_are(crops: Path) -> None:
    with pytest.raises(ArgumentError, match="no column camera, its columns are person"):
        split_dataset(crops, train_percent=80, val_percent=20, group_by="camera")


def test_one_group_cannot_be_split(crops: Path) -> None:
    names = listed(crops, "train") + listed(crops, "val")
    (crops / "groups.csv").write_text("path,video\n" + "".join(f"{name},v\n" for name in names))
    with pytest.raises(DatasetError, match="1 groups cannot be shared out to 2 splits"):
        split_dataset(crops, train_percent=80, val_percent=20, group_by="video")
    assert not list(crops.glob("*.bak"))


def test_a_picture_with_two_answers_stops_the_split_and_both_places_are_named(crops: Path) -> None:
    line = (crops / "train.txt").read_text().splitlines()[0]
    path, values = line.split("\t")
    other = ",".join("1" if v != "1" else "0" for v in values.split(","))
    with (crops / "val.txt").open("a") as file:
        file.write(f"{path}\t{other}\n")
    with pytest.raises(DatasetError, match=r"val.txt line 16: .* stands in train.txt line 1 already"):
        split_dataset(crops, train_percent=80, val_percent=20)


# boxes


def test_boxes_keep_what_the_files_say_and_ids_are_never_shared(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    example.write_detection_example(folder, count=24)
    for split, offset in (("train", 0), ("val", 0)):  # ids from 0 in both files, as many tools write them
        path = folder / f"annotations/instance_{split}.json"
        body = json.loads(path.read_text())
        new = {image["id"]: i + offset for i, image in enumerate(body["images"])}
        for image in body["images"]:
            image["id"] = new[image["id"]]
            image["licence"] = 7
        for number, annotation in enumerate(body["annotations"]):
            annotation |= {"id": number, "image_id": new[annotation["image_id"]], "segmentation": [[1, 2, 3, 4, 5, 6]]}
        if split == "val":
            body["categories"][0]["id"] = 5
            for annotation in body["annotations"]:
                annotation["category_id"] = 5
        path.write_text(json.dumps(body))
    before = read_detection_set(folder)
    boxes = {s.file: s.boxes_xyxy.tolist() for samples in before.splits.values() for s in samples}
    report = split_dataset(folder, train_percent=75, val_percent=25, seed=0)
    after = read_detection_set(folder)
    assert {s.file: s.boxes_xyxy.tolist() for samples in after.splits.values() for s in samples} == boxes
    assert [len(after.splits[split]) for split in ("train", "val")] == [18, 6]
    assert report.splits["val"].classes["pedestrian"] == sum(len(s.boxes_xyxy) for s in after.splits["val"])
    files = [json.loads((folder / f"annotations/instance_{s}.json").read_text()) for s in ("train", "val")]
    for section in ("images", "annotations"):
        ids = Counter(item["id"] for body in files for item in body[section])
        assert max(ids.values()) == 1
        assert min(ids) == 1
    assert all(a["segmentation"] and a["category_id"] == 1 for body in files for a in body["annotations"])
    assert all(image["licence"] == 7 for body in files for image in body["images"])
    assert (folder / "annotations/instance_val.json.bak").exists()


# near copies


def drawn(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (120, 160), interpolation=cv2.INTER_CUBIC)


def test_a_stretched_and_recoded_copy_is_near_and_others_are_not() -> None:
    base = drawn(0)
    stretched = cv2.resize(base, (200, 210), interpolation=cv2.INTER_AREA)
    hashes = [
        photo_hash(p)
        for p in (base, stretched, np.clip(base * 1.05, 0, 255).astype(np.uint8), *map(drawn, range(1, 9)))
    ]
    near = {frozenset(pair[:2]) for pair in near_pairs(hashes)}
    assert {0, 1} in near or {0, 1} <= set().union(*near)
    assert all(max(pair) <= 2 for pair in near)


def test_flat_pictures_are_copies_of_nothing() -> None:
    flat = [photo_hash(np.full((50, 40, 3), value, np.uint8)) for value in (0, 90, 200)]
    assert not list(near_pairs(flat))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 63), max_size=4)), max_size=12))
def test_pairs_are_those_of_a_plain_search(drawn_hashes: list[tuple[int, list[int]]]) -> None:
    values: list[int] = []
    for value, flips in drawn_hashes:
        twin = value
        for bit in flips:
            twin ^= 1 << bit
        values += [value, twin]
    values = list(dict.fromkeys(v for v in values if 4 <= v.bit_count() <= 60))
    plain = {
        (i, j, (values[i] ^ values[j]).bit_count())
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if (values[i] ^ values[j]).bit_count() <= 3
    }
    found = list(near_pairs(values))
    assert set(found) == plain
    assert len(found) == len(plain)


def test_only_copies_across_splits_are_named() -> None:
    a, b, c = (photo_hash(drawn(seed)) for seed in range(3))
    copies = near_copies_across({"train": {"1": a, "2": a ^ 1, "3": b, "bad": None}, "val": {"4": a ^ 3, "5": c}})
    assert [(copy.first, copy.second, copy.bits) for copy in copies] == [("2", "4", 1)]


def test_a_split_warns_of_near_copies_and_keeps_them_together_on_request(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    lines = []
    for number in range(12):
        for copy in range(2):
            picture = np.clip(drawn(number) * (1 - 0.02 * copy), 0, 255).astype(np.uint8)
            name = f"images/{number:02d}_{copy}.png"
            atomic_write(folder / name, encode_image(picture, ".png"))
            lines.append(f"{name}\t{number % 2}\n")
    (folder / "label.txt").write_text("0 odd\n")
    (folder / "train.txt").write_text("".join(lines))
    report = split_dataset(folder, train_percent=50, val_percent=50)
    torn = {name[:9] for name in listed(folder, "train")} & {name[:9] for name in listed(folder, "val")}
    assert torn
    assert {copy.second[:9] for copy in report.near_copies} == torn
    assert any(f"{len(torn)} near copies across train and val" in w for w in report.warnings)
    options = SplitOptions(near_copies="together")
    report = split_dataset(folder, train_percent=50, val_percent=50, options=options)
    assert not report.near_copies
    assert not {name[:9] for name in listed(folder, "train")} & {name[:9] for name in listed(folder, "val")}


# cut off

SPLITTING = """
import sys
from pathlib import Path
from passerby.datasets.split import SplitOptions, split_dataset
print("ready", flush=True)
for seed in range(10_000):
    options = SplitOptions(seed=seed, near_copies="ignore")
    split_dataset(Path(sys.argv[1]), train_percent=50, val_percent=30, test_percent=20, options=options)
"""


@pytest.mark.slow
def test_killed_at_any_moment_no_picture_drops_out(crops: Path) -> None:
    lines = set((crops / "train.txt").read_text().splitlines()) | set((crops / "val.txt").read_text().splitlines())
    rng = np.random.default_rng(0)
    for _ in range(12):
        run = subprocess.Popen([sys.executable, "-c", SPLITTING, str(crops)], stdout=subprocess.PIPE, text=True)
        assert run.stdout is not None
        with run.stdout:
            assert run.stdout.readline() == "ready\n"
            time.sleep(float(rng.uniform(0.02, 0.3)))
            run.kill()
            run.wait()
        there = [crops / f"{split}.txt" for split in ("train", "val", "test")]
        assert set().union(*(path.read_text().splitlines() for path in there if path.exists())) == lines
        for path in crops.glob("*.bak*"):
            path.unlink()
    split_dataset(crops, train_percent=80, val_percent=20)
    assert sum(len(listed(crops, split)) for split in ("train", "val", "test")) == 60
