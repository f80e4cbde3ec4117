# SPDX-License-Identifier: Apache-2.0
"""Labelling crops by eye: sheets of twelve crops to look at, and the tokens written about them.

A line of an answer reads `7: q3 side female adult long trousers u=red l=blue coat ?glasses`: crop 7 of the sheet, then
tokens. Quality, view, gender, age, sleeves, lower garment and both colours are always given; anything else is absent
when it is not named; `?` before a token says that it cannot be told. A crop of quality 1 needs no further token.
labels/README.md has the rules people label by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError
from .attribute_labels import ATTRIBUTE_COLUMNS, COLOUR_WORDS

CHOICES: dict[str, dict[str, str]] = {  # group -> token -> column that it makes 1; "male" has none
    "view": {"front": "Front", "side": "Side", "back": "Back"},
    "gender": {"female": "Female", "male": ""},
    "age": {"child": "AgeLess18", "adult": "Age18-60", "old": "AgeOver60"},
    "sleeve": {"short": "ShortSleeve", "long": "LongSleeve"},
    "lower": {"trousers": "Trousers", "shorts": "Shorts", "skirt": "Skirt&Dress"},
}
PRESENT = {
    "hat": "Hat",
    "glasses": "Glasses",
    "ustripe": "UpperStride",
    "ulogo": "UpperLogo",
    "uplaid": "UpperPlaid",
    "usplice": "UpperSplice",
    "lstripe": "LowerStripe",
    "lpattern": "LowerPattern",
    "coat": "LongCoat",
    "boots": "boots",
    "handbag": "HandBag",
    "shoulderbag": "ShoulderBag",
    "backpack": "Backpack",
    "hold": "HoldObjectsInFront",
}
HIDDEN_WITH_LEGS = ("LowerStripe", "LowerPattern")  # where no lower garment is seen, its pattern is not either
QUALITIES = {"q1": 1, "q2": 2, "q3": 3}
COLUMNS = ("id", "set", "source", "path", "x1", "y1", "x2", "y2", "quality", *ATTRIBUTE_COLUMNS)
COLOUR_COLUMNS = ("upper_colour", "lower_colour")

PER_ROW, ROWS = 6, 2
CELL_WIDTH, CELL_HEIGHT, CAPTION = 260, 400, 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a line says: `labels` column -> 1, 0, -1 (cannot be told); colours are words, "" where unknown."""

    number: int
    quality: int
    labels: dict[str, int]
    upper_colour: str
    lower_colour: str

    def cells(self) -> dict[str, str]:
        """The answer as cells of labels.csv."""
        cells = {column: str(value) for column, value in self.labels.items()}
        return {"quality": str(self.quality), **cells, **dict(zip(COLOUR_COLUMNS, self.colours, strict=True))}

    @property
    def colours(self) -> tuple[str, str]:
        """Upper, lower."""
        return self.upper_colour, self.lower_colour


def read_answer(line: str, *, where: str) -> Answer:
    """One line of an answer.

    Raises:
        DatasetError (dataset_invalid): a token that is none, a group with no answer or two; `where` names the line.
    """
    number, _, text = line.partition(":")
    tokens = text.split()
    if not number.strip().isdigit():
        raise _bad(where, f"the line begins with {number.strip()!r}, not with the number of a crop")
    qualities = [QUALITIES[t] for t in tokens if t in QUALITIES]
    if len(qualities) != 1:
        raise _bad(where, "a crop needs one of q1, q2, q3")
    if qualities[0] == 1:
        return Answer(
            number=int(number), quality=1, labels=dict.fromkeys(ATTRIBUTE_COLUMNS, -1), upper_colour="", lower_colour=""
        )
    labels = dict.fromkeys(ATTRIBUTE_COLUMNS, 0)
    rest = [t for t in tokens if t not in QUALITIES]
    for group, tokens_of in CHOICES.items():
        given = [t for t in rest if t in tokens_of or t == f"?{group}"]
        if len(given) != 1:
            raise _bad(where, f"{group} has {len(given)} answers; give one of {', '.join(tokens_of)}, ?{group}")
        rest.remove(given[0])
        _choose(labels, tokens_of, given[0])
    colours = {"u": _colour(rest, "u", where), "l": _colour(rest, "l", where)}
    for token in rest:
        column = PRESENT.get(token.removeprefix("?"))
        if column is None:
            raise _bad(where, f"{token!r} is no token")
        labels[column] = -1 if token.startswith("?") else 1
    return Answer(
        number=int(number), quality=qualities[0], labels=labels, upper_colour=colours["u"], lower_colour=colours["l"]
    )


def _choose(labels: dict[str, int], tokens_of: dict[str, str], token: str) -> None:
    unknown = token.startswith("?")
    for other, column in tokens_of.items():
        if column:
            labels[column] = -1 if unknown else int(other == token)
    if token == "?lower":
        labels.update(dict.fromkeys(HIDDEN_WITH_LEGS, -1))


def _colour(rest: list[str], place: str, where: str) -> str:
    """Take the colour token of a place out of `rest`; "multi" and unknown stay what they are in labels.csv."""
    given = [t for t in rest if t.startswith(f"{place}=")]
    words = (*COLOUR_WORDS, "multi", "?")
    if len(given) != 1 or given[0][2:] not in words:
        raise _bad(where, f"{place}= needs one of {', '.join(words)}")
    rest.remove(given[0])
    return given[0][2:].replace("?", "")


def _bad(where: str, what: str) -> DatasetError:
    return DatasetError("dataset_invalid", f"{where}: {what}", input=where)


def draw_sheet(
    crops: Sequence[tuple[NDArray[np.uint8], NDArray[np.floating], float, float]],
) -> NDArray[np.uint8]:
    """A sheet of at most twelve crops, numbered from 1.

    Args:
        crops: for each the stored picture (h, w, 3) uint8 BGR, the person's box in it (4,) as fractions, the aspect
            (width by height) the picture has in the world, and the person's height in the photo, px.
    Returns:
        (rows x cells, 3) uint8 BGR.
    """
    sheet = np.full((ROWS * (CELL_HEIGHT + CAPTION + 4), PER_ROW * CELL_WIDTH, 3), 255, np.uint8)
    for index, (picture, inner, aspect, height_px) in enumerate(crops):
        row, column = divmod(index, PER_ROW)
        top, left = row * (CELL_HEIGHT + CAPTION + 4) + CAPTION, column * CELL_WIDTH + 2
        width = int(np.clip(CELL_HEIGHT * aspect, 120, CELL_WIDTH - 5))
        cell = cv2.resize(picture, (width, CELL_HEIGHT), interpolation=cv2.INTER_LINEAR)
        x1, y1, x2, y2 = (inner * [width, CELL_HEIGHT, width, CELL_HEIGHT]).astype(int)
        cv2.rectangle(cell, (x1, y1), (x2 - 1, y2 - 1), (0, 200, 0), 1)
        sheet[top : top + CELL_HEIGHT, left : left + width] = cell
        caption = f"{index + 1}  ({height_px:.0f}px)"
        cv2.putText(sheet, caption, (left + 2, top - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
    return sheet


def read_answers(text: str, *, where: str) -> Iterator[Answer]:
    """Every line of an answer file but empty ones and those that begin with `#`."""
    for line_number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield read_answer(line, where=f"{where}:{line_number}")
