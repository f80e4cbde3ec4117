# SPDX-License-Identifier: Apache-2.0
"""Readers of PETA and Market-1501 on drawn folders, and what may enter the default models: nothing of these."""

from __future__ import annotations

import argparse
import csv
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("scipy.io")

from passerby.errors import DatasetError
from passerby.training.shipped import research_data as research
from passerby.training.shipped.attribute_data import collect_persons, open_crops
from passerby.training.shipped.attribute_labels import ATTRIBUTE_COLUMNS, LABEL_COUNT, LABELS

from .research_files import RED, drawn, market_folders, peta_folder, research_folder

ROOT = Path(__file__).resolve().parents[1]


def answers(labels: Mapping[str, float], names: str) -> list[float]:
    """What is said about some labels."""
    return [labels[name] for name in names.split()]


def test_peta_is_read_in_the_order_of_its_lists(tmp_path: Path) -> None:
    pictures = research.read_peta(peta_folder(tmp_path))
    assert [p.subset for p in pictures] == ["CUHK"] * 6 + ["VIPeR"] * 18
    assert [p.person for p in pictures[:3]] == ["0", "1", "2"]
    assert [p.path.name for p in pictures[6:9]] == ["000_0_0.bmp", "000_180_2.bmp", "000_90_1.bmp"]
    assert pictures[9].tags == frozenset(RED.split())
    with pytest.raises(DatasetError, match="no sub-set"):
        research.read_peta(tmp_path / "VIPeR")


def test_words_of_peta_answer_our_labels_and_silence_is_unknown(tmp_path: Path) -> None:
    pictures = research.read_peta(peta_folder(tmp_path))
    old, red = (
        dict(zip((x.id for x in LABELS), research.row_of(research.peta_labels(p)), strict=True))
        for p in pictures[6:10:3]
    )
    assert answers(red, "female short_sleeve long_sleeve trousers backpack") == [1, 1, 0, 1, 1]
    assert answers(red, "age_18_60 age_over_60 upper_red upper_blue lower_blue") == [1, 0, 1, 0, 1]
    assert set(answers(red, "hat boots long_coat upper_beige unjudgeable")) == {-1}
    # two colours: neither is known; Capri may be trousers or shorts; something is carried, who knows what
    assert set(answers(old, "upper_black upper_white trousers shorts hand_bag short_sleeve")) == {-1}
    assert answers(old, "hat skirt_dress boots backpack age_over_60") == [1, 0, 0, 0, 1]
    assert answers(old, "front side back") == [1, 0, 0]


@pytest.mark.parametrize(
    ("subset", "name", "view"),
    [
        ("MIT", "00001_male_back", "back"),
        ("SARC3D", "001_Right", "side"),
        ("VIPeR", "000_90_2", "side"),
        ("GRID", "1_back", ""),
    ],
)
def test_views_come_from_file_names_where_these_tell(subset: str, name: str, view: str) -> None:
    picture = research.PetaPicture(path=Path(f"{name}.bmp"), subset=subset, person="1", tags=frozenset())
    labels = research.peta_labels(picture)
    assert {v for v in research.VIEWS if labels.get(v) == 1} == ({view} if view else set())
    assert (research.VIEWS[0] in labels) == bool(view)


def test_both_genders_are_neither(tmp_path: Path) -> None:
    tags = frozenset({"personalMale", "personalFemale"})
    picture = research.PetaPicture(path=Path("1.bmp"), subset="GRID", person="1", tags=tags)
    assert research.peta_labels(picture)["female"] == -1


def test_market_persons(tmp_path: Path) -> None:
    market_folders(tmp_path)
    table = research.read_market(tmp_path / research.MARKET_ATTRIBUTES)
    woman, man = table["0002"], table["0007"]
    assert answers(woman, "female skirt_dress trousers shorts shoulder_bag") == [1, 1, 0, 0, 1]
    assert answers(woman, "age_under_18 age_18_60 age_over_60") == [-1, -1, 0]
    assert answers(man, "trousers age_over_60 age_18_60 long_sleeve lower_black") == [1, 1, 0, 1, 1]
    assert answers(woman, "upper_red upper_blue") == [1, 0] and not {"upper_brown", "lower_red"} & set(woman)
    with pytest.raises(DatasetError, match="no such file"):
        research.read_market(tmp_path / "absent.mat")
    (tmp_path / "text.mat").write_text("no MATLAB file")
    with pytest.raises(DatasetError, match="no MATLAB file"):
        research.read_market(tmp_path / "text.mat")


def test_no_person_is_on_two_sides_and_none_outweighs(tmp_path: Path) -> None:
    persons, folders = research.research_persons(research_folder(tmp_path), most=2)
    assert set(folders) == {"peta-CUHK", "peta-VIPeR", "market1501"} <= set(research.RESEARCH_SOURCES)
    sides: dict[str, set[str]] = {}
    for person in persons:
        sides.setdefault(person.key, set()).add(person.split)
        assert (folders[person.photo.split("/")[0]] / person.photo.split("/")[1]).is_file()
        assert person.box_xyxy is None and len(person.targets) == LABEL_COUNT
    assert all(len(split) == 1 for split in sides.values())
    assert len(persons) == 6 * 1 + 6 * 2 + 2 * 2
    assert {p.photo for p in persons if p.key == "market1501_0002"} == {
        "market1501/0002_c1s1_000000_01.jpg",
        "market1501/0002_c1s1_000008_01.jpg",
    }


def permissive(root: Path, *, source: str = "oi_streets") -> Path:
    """Photos and a label table of one by-eye crop."""
    drawn(root / source / "a.jpg", height=200, width=100)
    columns = ["id", "set", "source", "path", "x1", "y1", "x2", "y2", "quality", *ATTRIBUTE_COLUMNS]
    columns += ["upper_colour", "lower_colour"]
    row = dict.fromkeys(columns, "0") | {"id": "1", "set": "train", "source": source, "path": "a.jpg"}
    row |= {"x1": "10", "y1": "10", "x2": "80", "y2": "190", "quality": "3", "upper_colour": "red", "lower_colour": ""}
    with (root / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerow(row)
    return root / "labels.csv"


def train_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_attributes", ROOT / "scripts" / "train_attributes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prepared(tmp_path: Path, **changes: Any) -> Any:
    """What `prepare` stored, from photos beside which the research sets lie."""
    photos = tmp_path / "photos"
    given = {"labels": [permissive(photos)], "photos": photos, "boxes": None, "sources": "permissive"}
    args = argparse.Namespace(**{**given, "work": tmp_path / "work", "research": None, **changes})
    train_script().prepare(args)
    return open_crops(args.work / "store")


def test_without_the_flag_no_research_picture_enters(tmp_path: Path) -> None:
    research_folder(tmp_path / "photos")  # even where the sets lie among the photos
    store = prepared(tmp_path)
    assert store.sources.tolist() == ["oi_streets"]
    assert not research.is_research(store.sources).any()


def test_a_research_picture_in_a_label_table_stops_the_default(tmp_path: Path) -> None:
    for source in ("peta", "peta-VIPeR", "PETA", "market1501"):
        photos = tmp_path / source
        persons, _ = collect_persons([permissive(photos, source=source)], photos)
        with pytest.raises(DatasetError, match="research-only"):
            research.refuse_research(persons)
    research.refuse_research(collect_persons([permissive(tmp_path)], tmp_path)[0])


def test_with_the_flag_they_stand_beside_the_permissive_ones(tmp_path: Path) -> None:
    store = prepared(tmp_path, sources="all", research=research_folder(tmp_path / "research"))
    assert set(store.sources) == {"oi_streets", "peta-CUHK", "peta-VIPeR", "market1501"}
    red = int(np.flatnonzero(store.ids == "peta-VIPeR/001_0_0.bmp")[0])
    female = [label.id for label in LABELS].index("female")
    assert store.targets[red, female] == 1 and store.heights[red] == 40
    assert store.inner[red].tolist() == [0, 0, 1, 1]  # the whole picture is the person
    assert abs(int(store.pixels[red, -1, 0, 0]) - 70) < 3


def test_the_script_wants_both_flags(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (["--sources", "all"], ["--research", "somewhere"]):
        monkeypatch.setattr("sys.argv", ["train_attributes.py", "prepare", "--work", "w", *words])
        with pytest.raises(SystemExit):
            train_script().main()
        assert "go together" in capsys.readouterr().err


def test_stored_research_crops_are_drawn_less_often(tmp_path: Path) -> None:
    from passerby.training.shipped.attribute_training_set import training_set

    store = prepared(tmp_path, sources="all", research=research_folder(tmp_path / "research"))
    folder = tmp_path / "work"
    (folder / "teacher.json").write_text('{"without": null}')
    np.save(folder / "teacher_logits.npy", np.zeros((len(store.keys), LABEL_COUNT), np.float32))
    np.save(folder / "teacher_bands.npy", np.zeros((len(store.keys), 1, 1), np.float16))
    data = training_set(store, folder)
    chances = {source: set(data.sampling[store.sources == source].tolist()) for source in set(store.sources)}
    assert chances["oi_streets"] == {1.0}
    assert chances["peta-VIPeR"] == chances["market1501"] == {research.RESEARCH_CROP}
