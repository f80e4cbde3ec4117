# SPDX-License-Identifier: Apache-2.0
"""PETA as papers evaluate it: 35 attributes, who is in which split, the recipe, the five figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
scipy_io = pytest.importorskip("scipy.io")

from benchmarks.peta import __main__ as command  # noqa: E402
from benchmarks.peta import convert, evaluate, splits  # noqa: E402
from passerby.config_training import load_training_config  # noqa: E402
from passerby.datasets.attribute_set import read_attribute_set  # noqa: E402
from passerby.datasets.records import LabelSet  # noqa: E402
from passerby.errors import DatasetError  # noqa: E402
from passerby.formats.metadata import Label  # noqa: E402
from passerby.training import train  # noqa: E402
from passerby.training.attributes.evaluation import evaluate_attributes  # noqa: E402
from passerby.training.shipped import research_data as research  # noqa: E402

from .research_files import peta_folder  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


def test_the_35_attributes_are_words_of_the_set() -> None:
    assert len(set(convert.ATTRIBUTES)) == 35
    parts = ("accessory", "hair", "upperBody", "lowerBody", "footwear", "carrying", "personal")
    assert all(name.startswith(parts) for name in convert.ATTRIBUTES)


def test_random_split_has_the_usual_sizes_and_follows_its_seed() -> None:
    split = splits.random_split(19000, seed=35)
    assert {name: len(rows) for name, rows in split.items()} == {"train": 9500, "val": 1900, "test": 7600}
    assert sorted(np.concatenate(list(split.values()))) == list(range(19000))
    again, other = splits.random_split(19000, seed=35), splits.random_split(19000, seed=36)
    assert np.array_equal(split["test"], again["test"]) and not np.array_equal(split["test"], other["test"])


def test_zero_shot_split_parts_persons(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [
        research.PetaPicture(path=Path(f"{subset}_{person}_{i}"), subset=subset, person=str(person), tags=frozenset())
        for subset in ("GRID", "TownCentre")
        for person in range(60)
        for i in range(int(rng.integers(1, 20)))
    ]
    split = splits.zero_shot_split(pictures, seed=1)
    assert sorted(np.concatenate(list(split.values()))) == list(range(len(pictures)))
    persons = {name: {(pictures[i].subset, pictures[i].person) for i in rows} for name, rows in split.items()}
    assert not persons["train"] & persons["test"] and not persons["train"] & persons["val"]
    assert not persons["val"] & persons["test"]
    for subset in ("GRID", "TownCentre"):
        total = sum(p.subset == subset for p in pictures)
        for name, share in zip(splits.NAMES, splits.ZERO_SHOT_SHARES, strict=True):
            assert sum(pictures[i].subset == subset for i in split[name]) == pytest.approx(share * total, abs=25)


def written_mat(path: Path, pictures: list[research.PetaPicture], *, attributes: tuple[str, ...]) -> Path:
    """A file like PETA.mat: rows of the pictures, and two splits."""
    rows = [[i + 1, 1, 1, int(p.person), *(int(name in p.tags) for name in attributes)] for i, p in enumerate(pictures)]
    order = np.arange(1, len(pictures) + 1, dtype=np.uint16)
    parts = np.empty(2, object)
    for k, shift in enumerate((0, 3)):
        turned = np.roll(order, shift)
        parts[k] = {"train": turned[:10], "val": turned[10:14], "test": turned[14:]}
    content = {"data": np.array(rows, np.uint16), "attribute": np.array(attributes, object), "partion_attribute": parts}
    scipy_io.savemat(str(path), {"peta": content})
    return path


def test_published_split_counts_in_the_order_of_the_pictures(tmp_path: Path) -> None:
    pictures = research.read_peta(peta_folder(tmp_path / "peta"))
    mat = written_mat(tmp_path / "PETA.mat", pictures, attributes=("personalFemale", "accessoryHat", "upperBodyRed"))
    first, second = (splits.published_split(mat, pictures, number=n) for n in (1, 2))
    assert first["train"].tolist() == list(range(10)) and first["test"].tolist() == list(range(14, 24))
    assert second["train"].tolist() == [0, 1, 2, 3, 4, 5, 6, 21, 22, 23]
    with pytest.raises(DatasetError, match="24 rows, 23 pictures"):
        splits.published_split(mat, pictures[:-1], number=1)
    with pytest.raises(DatasetError, match="is person 0"):
        splits.published_split(mat, pictures[1:] + pictures[:1], number=1)
    swapped = [*pictures[:6], *pictures[9:12], *pictures[9:]]
    with pytest.raises(DatasetError, match="lists other pictures"):
        splits.published_split(mat, swapped, number=1)
    with pytest.raises(DatasetError, match="no such file"):
        splits.published_split(tmp_path / "absent.mat", pictures, number=1)


def test_a_word_spelt_otherwise_in_the_mat_agrees() -> None:
    picture = research.PetaPicture(path=Path("1.bmp"), subset="GRID", person="1", tags=frozenset({"footwearSneakers"}))
    assert splits.differing(np.array([[1, 1, 4, 1, 1]]), ["footwearSneaker"], [picture]) == ""
    assert "disagree about footwearSneaker" in splits.differing(
        np.array([[1, 1, 4, 1, 0]]), ["footwearSneaker"], [picture]
    )


def test_converted_folder_is_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    peta, out = peta_folder(tmp_path / "peta"), tmp_path / "data"
    assert command.main(["convert", str(peta), str(out), "--split", "zero-shot", "--seed", "3"]) == 0
    assert "train" in capsys.readouterr().out
    data = read_attribute_set(out)
    assert [label.en for label in data.label_set.labels] == convert.ATTRIBUTES
    assert {name: len(rows) for name, rows in data.splits.items()} == json.loads((out / "split.json").read_text())[
        "pictures"
    ]
    sample = next(s for rows in data.splits.values() for s in rows if s.file == "images/VIPeR/001_0_0.bmp")
    have = {name for name, value in zip(convert.ATTRIBUTES, sample.targets, strict=True) if value == 1}
    assert have == {"upperBodyShortSleeve", "lowerBodyJeans", "carryingBackpack", "personalLess30"}
    assert sample.columns == {"subset": "VIPeR", "person": "VIPeR_1"}
    assert command.main(["convert", str(peta), str(out), "--split", "random"]) == 5  # never over an older one


def test_as_published_learns_from_val_and_chooses_on_test(tmp_path: Path) -> None:
    pictures = research.read_peta(peta_folder(tmp_path / "peta"))
    split = splits.random_split(len(pictures), seed=0)
    plain = convert.write_dataset(pictures, split, tmp_path / "plain", about={"split": "random"}, transfer="link")
    both = convert.write_dataset(
        pictures, split, tmp_path / "both", about={"split": "random"}, transfer="link", as_published=True
    )
    assert both == {"train": plain["train"] + plain["val"], "val": plain["test"], "test": plain["test"]}
    assert (tmp_path / "both" / "val.txt").read_text() == (tmp_path / "plain" / "test.txt").read_text()


def test_the_recipe_is_a_training_file() -> None:
    config = load_training_config(ROOT / "benchmarks" / "peta" / "pplcnet_x1_0.yaml")
    assert config.kind == "attributes" and config.Train.input_size == (256, 192) and config.Evaluate.split == "test"


@pytest.mark.timeout(120)
def test_training_and_the_papers_figures_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The recipe of the repository, shortened to one epoch of three steps at a small size."""
    pytest.importorskip("safetensors")
    data, run = tmp_path / "data", tmp_path / "run"
    assert command.main(["convert", str(peta_folder(tmp_path / "peta")), str(data), "--split", "random"]) == 0
    shorter = {"Train.epochs_iters": 1, "Train.batch_size": 4, "Train.input_size": [64, 32], "Train.workers": 0}
    given = {"Global.dataset_dir": str(data), "Global.output": str(run), "Global.device": "cpu", "Global.threads": 1}
    train(ROOT / "benchmarks" / "peta" / "pplcnet_x1_0.yaml", {**given, **shorter}, say=lambda _: None)
    capsys.readouterr()
    report = tmp_path / "report.json"
    assert command.main(["evaluate", str(run / "best_model" / "inference"), str(data), "--json", str(report)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("|")[2].strip() == "mA" and "83.96" in lines[3]
    body = json.loads(report.read_text())
    assert body["pictures"] == len((data / "test.txt").read_text().splitlines())
    assert body["split"]["seed"] == command.SEED
    assert set(body["by_subset"]) <= {"CUHK", "VIPeR"} and all(0 <= v <= 100 for v in body["figures"].values())


def test_figures_are_those_of_the_definitions() -> None:
    """By hand: mA by label, the others by picture, F1 from their means."""
    targets = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], np.int8)
    p = np.array([[0.9, 0.6], [0.2, 0.7], [0.1, 0.8], [0.3, 0.4]])
    label_set = LabelSet(labels=(Label(id="a", en="a"), Label(id="b", en="b")))
    plain = evaluate_attributes(p, targets, label_set).at["plain"]
    found = {name: plain[key] for name, key in evaluate.COLUMNS.items()}
    recall = (1 + 1 / 2 + 1 + 0) / 4
    precision = (1 / 2 + 1 + 1 + 0) / 4
    assert found["mA"] == pytest.approx(((1 / 2 + 1) / 2 + (1 + 1 / 2) / 2) / 2)
    assert found["accuracy"] == pytest.approx((1 / 2 + 1 / 2 + 1 + 0) / 4)
    assert (found["precision"], found["recall"]) == (pytest.approx(precision), pytest.approx(recall))
    assert found["F1"] == pytest.approx(2 * precision * recall / (precision + recall))
