# SPDX-License-Identifier: Apache-2.0
"""Tokens that people write about crops, and the sheets they look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from passerby.errors import DatasetError
from passerby.training.shipped.attribute_data import read_boxes, read_labelled, row_targets
from passerby.training.shipped.attribute_labels import ATTRIBUTE_COLUMNS, COLOUR_WORDS, LABEL_COUNT
from passerby.training.shipped.by_eye import CELL_HEIGHT, draw_sheet, read_answer, read_answers

LABELS = Path(__file__).parents[1] / "labels"
WHOLE = "17: q3 side female adult long trousers u=red l=blue coat handbag ?glasses"


def test_a_whole_line():
    answer = read_answer(WHOLE, where="a.txt:1")
    yes = {column for column, value in answer.labels.items() if value == 1}
    assert (answer.number, answer.quality, *answer.colours) == (17, 3, "red", "blue")
    assert yes == {"Side", "Female", "Age18-60", "LongSleeve", "Trousers", "LongCoat", "HandBag"}
    assert [c for c, value in answer.labels.items() if value == -1] == ["Glasses"]
    assert set(answer.labels) == set(ATTRIBUTE_COLUMNS)


def test_what_cannot_be_told_is_unknown_and_not_absent():
    answer = read_answer("1: q2 ?view ?gender ?age ?sleeve ?lower u=? l=? ?boots", where="a.txt:1")
    unknown = {column for column, value in answer.labels.items() if value == -1}
    assert unknown >= {
        "Front",
        "Side",
        "Back",
        "Female",
        "AgeLess18",
        "AgeOver60",
        "Age18-60",
        "ShortSleeve",
        "Trousers",
    }
    assert unknown >= {"LowerStripe", "LowerPattern", "boots"}
    assert answer.labels["Backpack"] == 0
    assert answer.colours == ("", "")


def test_cells_become_the_targets_of_the_network():
    targets = row_targets(read_answer(WHOLE, where="a.txt:1").cells())
    assert len(targets) == LABEL_COUNT
    assert targets[ATTRIBUTE_COLUMNS.index("LongCoat")] == 1
    assert targets[len(ATTRIBUTE_COLUMNS) + COLOUR_WORDS.index("red")] == 1
    assert targets[-1] == 0


def test_of_a_useless_crop_only_that_is_known():
    targets = row_targets(read_answer("3: q1", where="a.txt:1").cells())
    assert targets == (*[-1.0] * (LABEL_COUNT - 1), 1.0)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("x: q3", "number"),
        ("1: front female", "q1, q2, q3"),
        ("1: q3 q2 front female adult long trousers u=red l=blue", "q1, q2, q3"),
        ("1: q3 front female adult long trousers shorts u=red l=blue", "lower has 2"),
        ("1: q3 female adult long trousers u=red l=blue", "view has 0"),
        ("1: q3 front female adult long trousers u=crimson l=blue", "u= needs"),
        ("1: q3 front female adult long trousers u=red", "l= needs"),
        ("1: q3 front female adult long trousers u=red l=blue helmet", "'helmet' is no token"),
    ],
)
def test_a_bad_line_is_named(line, what):
    with pytest.raises(DatasetError, match=what) as caught:
        read_answer(line, where="a.txt:4")
    assert caught.value.name == "dataset_invalid"
    assert "a.txt:4" in str(caught.value)


def test_the_tables_of_this_project_can_be_learnt_from():
    tables = [read_labelled(LABELS / name) for name in ("first.csv", "second.csv", "third.csv")]
    rows = [row for table in tables for row in table]
    assert len({row.id for row in rows}) == len(rows) > 7000
    assert {row.split for row in tables[0]} == {"train", "val"}
    assert {row.split for row in (*tables[1], *tables[2])} == {"train"}
    val_photos = {row.key for row in rows if row.split == "val"}
    assert not val_photos & {
        row.key for row in (*tables[1], *tables[2], *read_boxes(LABELS / "persons.csv", min_height_px=60))
    }


def test_a_file_may_hold_remarks():
    answers = list(read_answers(f"# seen twice\n\n{WHOLE}\n18: q1\n", where="a.txt"))
    assert [a.number for a in answers] == [17, 18]


def test_the_sheet_shows_every_crop_with_its_box():
    picture = np.full((32, 24, 3), 40, np.uint8)
    sheet = draw_sheet([(picture, np.array([0.25, 0.25, 0.75, 0.75]), 0.5, 80.0)] * 7)
    assert sheet.shape == (2 * (CELL_HEIGHT + 30), 6 * 260, 3)
    green = (sheet == (0, 200, 0)).all(axis=2)
    assert green[:430].any()
    assert green[430:].any()
    assert not green[430:, 260:].any()  # the second row holds one crop
