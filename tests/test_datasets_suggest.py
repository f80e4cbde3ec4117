# SPDX-License-Identifier: Apache-2.0
"""What to label next: the order, the files, and the way back of what was labelled."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import passerby
from passerby.datasets import suggest, suggest_order
from passerby.datasets.attribute_set import read_attribute_set
from passerby.datasets.convert import convert_dataset
from passerby.datasets.example import write_attribute_example
from passerby.datasets.records import AttributeSet
from passerby.datasets.suggest import SuggestOptions, suggest_labels
from passerby.datasets.suggest_order import Candidates, Known, OrderOptions, guesses, teach_order
from passerby.decode import decode_image
from passerby.errors import DatasetError, OutputError

from .tiny import CLASSIFIER_DIR

STREET = Path(passerby.__file__).parent / "assets" / "street.jpg"
HALF = np.full(3, 0.5, np.float32)


def candidates(probabilities: Any, *, spread: Any = None, photos: Any = None, hashes: Any = None) -> Candidates:
    """Crops that differ in looks and hashes unless a test says otherwise."""
    p = np.array(probabilities, np.float32)
    count = len(p)
    rng = np.random.default_rng(5)
    return Candidates(
        probabilities=p,
        spread=np.zeros_like(p) if spread is None else np.array(spread, np.float32),
        looks=rng.normal(size=(count, 6)).astype(np.float32),
        hashes=rng.integers(0, 2**63, count, dtype=np.uint64) if hashes is None else np.array(hashes, np.uint64),
        photos=np.arange(count) if photos is None else np.array(photos),
    )


def order(given: Candidates, count: int = 1, **how: Any) -> list[int]:
    rows, worth = teach_order(given, count=count, thresholds=HALF, **how)
    assert len(rows) == len(worth)
    return [int(row) for row in rows]


def test_an_unsure_crop_comes_before_sure_ones() -> None:
    assert order(candidates([[0.99, 0.01, 0.01], [0.5, 0.45, 0.5], [0.01, 0.99, 0.01]])) == [1]


def test_a_crop_whose_views_disagree_comes_before_one_whose_views_agree() -> None:
    same = [[0.3, 0.3, 0.3]] * 3
    assert order(candidates(same, spread=[[0, 0, 0], [0.02, 0, 0], [0.2, 0.1, 0]])) == [2]


def test_what_few_crops_show_comes_before_what_many_show() -> None:
    common = [[0.9, 0.02, 0.9]] * 8
    rare = [[0.9, 0.9, 0.9]] * 2
    known = Known(yes=np.array([50.0, 1.0, 50.0]), no=np.array([50.0, 99.0, 50.0]), hashes=np.zeros(0, np.uint64))
    assert set(order(candidates(common + rare), 2, known=known)) == {8, 9}


def test_near_copies_of_chosen_and_of_labelled_crops_are_left_out() -> None:
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**63, 4, dtype=np.uint64)
    hashes[1] = hashes[0] ^ np.uint64(0b101)
    known = Known(yes=np.zeros(3), no=np.zeros(3), hashes=hashes[3:] ^ np.uint64(1))
    given = candidates([[0.5, 0.5, 0.5]] * 4, hashes=hashes)
    chosen = order(given, 4, known=known)
    assert len(chosen) == 2
    assert 2 in chosen
    assert 3 not in chosen


def test_no_photo_gives_a_second_crop_before_every_other_photo_gave_one() -> None:
    given = candidates([[0.5, 0.5, 0.5]] * 5 + [[0.95, 0.05, 0.05]] * 2, photos=[0, 0, 0, 0, 0, 1, 2])
    chosen = order(given, 7)
    assert set(given.photos[chosen[:3]]) == {0, 1, 2}
    assert sorted(chosen) == list(range(7))


def test_a_crop_that_looks_like_a_chosen_one_waits() -> None:
    given = candidates([[0.5, 0.5, 0.5]] * 6)
    looks = given.looks.copy()
    first = order(given)[0]
    twin = (first + 1) % 6
    looks[twin] = looks[first] + 1e-4
    alike = Candidates(
        probabilities=given.probabilities, spread=given.spread, looks=looks, hashes=given.hashes, photos=given.photos
    )
    chosen = order(alike, 6)
    assert {chosen[0], chosen[-1]} == {first, twin}


def test_a_longer_choice_begins_with_the_shorter_one() -> None:
    rng = np.random.default_rng(3)
    given = candidates(rng.random((40, 3)), spread=rng.random((40, 3)) * 0.1)
    assert order(given, 30)[:10] == order(given, 10)


def guess(*views: list[float], exclusive: tuple[tuple[int, ...], ...] = ()) -> list[int]:
    answer: NDArray[np.int8] = guesses(np.array(views, np.float32), HALF, exclusive)
    return answer.tolist()


def test_guesses_are_left_open_near_the_threshold_and_where_views_disagree() -> None:
    assert guess([0.9, 0.1, 0.55]) == [1, 0, -1]
    assert guess([0.99, 0.1, 0.1], [0.2, 0.1, 0.1], [0.99, 0.1, 0.1], [0.99, 0.1, 0.1]) == [-1, 0, 0]


def test_guesses_follow_the_threshold_of_each_label() -> None:
    low = np.array([0.1, 0.5, 0.9], np.float32)
    assert guesses(np.full((1, 3), 0.4, np.float32), low, ()).tolist() == [1, -1, 0]


def test_at_most_one_label_of_an_exclusive_group_is_guessed() -> None:
    assert guess([0.9, 0.52, 0.1], exclusive=((0, 1, 2),)) == [1, 0, 0]
    assert guess([0.9, 0.8, 0.1], exclusive=((0, 1, 2),)) == [-1, -1, 0]


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 drawn crops, one of them twice, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("crops")
    write_attribute_example(folder / "set", count=48)
    images = folder / "set" / "images"
    shutil.copy(images / "0007.png", images / "again.png")
    (images / "broken.jpg").write_bytes(b"no picture")
    return folder / "set"


@pytest.fixture(scope="module")
def suggested(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a tiny network, which knows nothing, suggests of them."""
    output = tmp_path_factory.mktemp("out") / "to_label"
    report = suggest_labels(
        crops / "images", output=output, options=SuggestOptions(count=30, crops=True, model=CLASSIFIER_DIR)
    )
    assert report.pictures == report.persons == 49
    assert report.suggested == 30
    assert [Path(path).name for path in report.left_out] == ["broken.jpg"]
    assert json.loads(json.dumps(report.to_json()))["files"]["images"] == str(output / "images")
    return output


def lines(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text("utf-8").splitlines()]


def test_the_suggestions_are_a_data_set_with_the_guesses_as_labels(suggested: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(suggested, folder)
    (folder / "suggested.txt").rename(folder / "train.txt")
    shutil.copy(folder / "train.txt", folder / "val.txt")
    data = read_attribute_set(folder)
    assert len(data.splits["train"]) == 30
    assert len(data.label_set.labels) == 26
    assert {label.id for label in data.label_set.labels} >= {"hat", "age_under_18", "back"}
    assert len(data.label_set.thresholds) == 26
    assert data.splits["train"][0].columns["photo"].endswith(".png")


def test_every_crop_is_written_as_it_was(suggested: Path, crops: Path) -> None:
    with (suggested / "suggestions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [name for name, _ in lines(suggested / "suggested.txt")]
    assert len({row["photo"] for row in rows}) == 30
    for row in rows[:5]:
        written = decode_image((suggested / row["path"]).read_bytes())
        assert np.array_equal(written, decode_image(Path(row["photo"]).read_bytes()))
        assert Path(row["photo"]).is_relative_to(crops)
    assert not {"0007.png", "again.png"} <= {Path(row["photo"]).name for row in rows}


def test_contact_sheets_show_all_crops(suggested: Path) -> None:
    sheets = [decode_image(path.read_bytes()) for path in sorted((suggested / "sheets").iterdir())]
    assert [sheet.shape[1] for sheet in sheets] == [1240, 1240]
    assert sheets[0].shape[0] > 2 * sheets[1].shape[0]  # 24 and 6 crops
    assert all((sheet < 250).any() for sheet in sheets)


def guessed(suggested: Path) -> dict[str, list[int]]:
    """Guesses by the number of the crop."""
    rows = lines(suggested / "suggested.txt")
    return {Path(name).stem[:4]: [int(value) for value in values.split(",")] for name, values in rows}


def answers(data: AttributeSet) -> dict[str, list[int]]:
    samples = [sample for split in data.splits.values() for sample in split]
    return {Path(sample.file).stem[:4]: sample.targets.tolist() for sample in samples}


def test_what_is_labelled_in_cvat_comes_back(suggested: Path, tmp_path: Path) -> None:
    convert_dataset(suggested / "cvat.xml", tmp_path / "set", source_format="CVAT")
    data = read_attribute_set(tmp_path / "set")
    expected = {k: v for k, v in guessed(suggested).items() if set(v) != {-1}}
    assert answers(data) == expected
    assert len(expected) > 20
    assert [label.id for label in data.label_set.labels][:2] == ["hat", "glasses"]
    assert data.label_set.thresholds


def test_what_is_labelled_in_label_studio_comes_back(suggested: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(suggested, source)
    tasks = json.loads((source / "label_studio.json").read_text("utf-8"))
    for task in tasks:  # an annotator who agrees with every guess
        task["annotations"] = [{"result": task.pop("predictions")[0]["result"], "was_cancelled": False}]
    (source / "export.json").write_text(json.dumps(tasks), encoding="utf-8")
    convert_dataset(source / "export.json", tmp_path / "set", source_format="LabelStudio")
    data = read_attribute_set(tmp_path / "set")
    groups = [[i for i, x in enumerate(data.label_set.labels) if x.group == g.id] for g in data.label_set.groups]
    assert len(groups) == 4
    expected = guessed(suggested)
    for values in expected.values():
        for places in groups:  # of a group that is open nothing is chosen
            if 1 not in (told := [values[i] for i in places]) and -1 in told:
                for i in places:
                    values[i] = -1
    assert answers(data) == expected
    assert any(value == 1 for values in expected.values() for value in values)


def test_an_annotator_can_say_none_of_a_group(suggested: Path) -> None:
    interface = (suggested / "label_studio.xml").read_text("utf-8")
    assert interface.count('<Choice value="none"/>') == 4
    assert interface.count('choice="multiple"') == 2


def test_persons_are_cut_out_of_photos(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(STREET, photos / "street.jpg")
    report = suggest_labels(photos, output=tmp_path / "out", options=SuggestOptions(count=4, model=CLASSIFIER_DIR))
    assert report.pictures == 1
    assert report.persons > report.suggested == 4
    street = decode_image(STREET.read_bytes())
    with (tmp_path / "out" / "suggestions.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            written = decode_image((tmp_path / "out" / row["path"]).read_bytes())
            # the table rounds to a tenth: an edge just below a whole pixel may read as that pixel
            edges = [{max(0, int(float(row[key]) - slack)) for slack in (0, 0.06)} for key in ("x1", "y1", "x2", "y2")]
            cuts = (street[y1:y2, x1:x2] for x1, y1, x2, y2 in itertools.product(*edges))
            assert any(np.array_equal(written, cut) for cut in cuts)


def test_what_is_labelled_already_is_not_suggested_again(crops: Path, tmp_path: Path) -> None:
    options = SuggestOptions(count=60, crops=True, model=CLASSIFIER_DIR, labelled=crops)
    labelled = {Path(name).name for split in ("train", "val") for name, _ in lines(crops / f"{split}.txt")}
    new = tmp_path / "new"
    shutil.copytree(crops / "images", new)
    write_attribute_example(tmp_path / "more", count=4, seed=9)
    for path in (tmp_path / "more" / "images").iterdir():
        shutil.copy(path, new / f"more_{path.name}")
    suggest_labels(new, output=tmp_path / "out", options=options)
    found = {Path(name).name.split("_", 1)[1] for name, _ in lines(tmp_path / "out" / "suggested.txt")}
    assert found
    assert not found & labelled
    assert all(name.startswith("more_") for name in found)


def test_a_folder_larger_than_memory_keeps_only_the_most_interesting(
    crops: Path, suggested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggest, "KEPT_AT_LEAST", 10)
    monkeypatch.setattr(suggest, "KEPT_PER_CROP", 2)
    options = SuggestOptions(count=5, crops=True, model=CLASSIFIER_DIR)
    report = suggest_labels(crops / "images", output=tmp_path / "out", options=options)
    assert (report.persons, report.suggested) == (49, 5)


def test_crops_of_one_photo_are_told_by_groups_csv(crops: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    names = [f"images/{i:04d}.png" for i in range(12)]
    for name in names:
        shutil.copy(crops / name, folder / name)
    rows = [f"{name},{'busy' if i < 9 else name}" for i, name in enumerate(names)]
    (folder / "groups.csv").write_text("\n".join(["path,photo", *rows]) + "\n", encoding="utf-8")
    suggest_labels(folder, output=tmp_path / "out", options=SuggestOptions(count=4, crops=True, model=CLASSIFIER_DIR))
    numbers = [int(Path(name).stem.split("_")[1]) for name, _ in lines(tmp_path / "out" / "suggested.txt")]
    assert sum(number < 9 for number in numbers) == 1


def test_nothing_is_written_over_what_is_there(crops: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="output_conflict"):
        suggest_labels(crops, output=tmp_path, options=SuggestOptions(crops=True, model=CLASSIFIER_DIR))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_without_persons_says_so(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="dataset_missing"):
        suggest_labels(
            tmp_path / "in", output=tmp_path / "out", options=SuggestOptions(crops=True, model=CLASSIFIER_DIR)
        )


def test_order_options_change_the_order() -> None:
    rng = np.random.default_rng(4)
    given = candidates(rng.random((30, 3)), spread=rng.random((30, 3)) * 0.2)
    plain = order(given, 10)
    assert order(given, 10, options=OrderOptions(hesitation=0.0, disagreement=20.0)) != plain
    assert suggest_order.usual_distance(given.looks) > 0
