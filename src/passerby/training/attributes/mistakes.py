# SPDX-License-Identifier: Apache-2.0
"""The surest mistakes of an attribute model, found and put on a sheet: the crop, what was said, what was labelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...datasets.check_pictures import read_picture
from ...datasets.records import AttributeSample, LabelSet
from ...datasets.sheet import ALARM, FAINT, LINE, Sheet
from ...errors import PasserbyError
from ...formats.metadata import Label
from ...types import ImageBgr

MOST, PER_LABEL, LINES = 24, 4, 2
COLUMNS, GAP, MARGIN = 6, 12, 16
CELL_WIDTH, CROP_HEIGHT, LINE_HEIGHT, NAME_HEIGHT = 206, 200, 38, 20


@dataclass(frozen=True, slots=True)
class Mistake:
    """A label of a crop that the model got wrong."""

    row: int
    label: int
    probability: float
    said: bool


def surest_mistakes(
    probabilities: NDArray[Any], targets: NDArray[Any], thresholds: NDArray[Any], *, most: int = MOST
) -> list[list[Mistake]]:
    """Mistakes crop by crop, the surest first; a label leads at most `PER_LABEL` crops while others have mistakes too.

    Args:
        probabilities, targets: (N, C); targets -1 make no mistakes. thresholds: (C,).
    Returns:
        up to `most` crops, each with its mistakes, the surest first.
    """
    said = probabilities > thresholds
    wrong = (said & (targets == 0)) | (~said & (targets == 1))
    sureness = np.where(wrong, np.abs(probabilities - targets), -1.0)
    leading = sureness.argmax(axis=1) if sureness.size else np.zeros(0, np.int64)
    rows = np.flatnonzero(wrong.any(axis=1))
    rows = rows[np.argsort(-sureness[rows, leading[rows]], kind="stable")]
    taken: Counter[int] = Counter()
    first: list[int] = []
    for row in rows.tolist():
        taken[int(leading[row])] += 1
        if taken[int(leading[row])] <= PER_LABEL:
            first.append(row)
    kept = set(first)
    chosen = [*first, *(row for row in rows.tolist() if row not in kept)][:most]
    return [
        [
            Mistake(row, label, float(probabilities[row, label]), bool(said[row, label]))
            for label in np.argsort(-sureness[row], kind="stable").tolist()
            if wrong[row, label]
        ]
        for row in chosen
    ]


def mistakes_sheet(
    mistakes: Sequence[Sequence[Mistake]], samples: Sequence[AttributeSample], label_set: LabelSet
) -> ImageBgr:
    """A contact sheet of `surest_mistakes`.

    Returns:
        (H, W, 3) uint8 BGR; a crop that has gone since has its error in its place.
    """
    columns = min(COLUMNS, max(len(mistakes), 4))
    cell_height = CROP_HEIGHT + NAME_HEIGHT + LINES * LINE_HEIGHT + GAP
    lines = -(-len(mistakes) // columns)
    sheet = Sheet(2 * MARGIN + columns * (CELL_WIDTH + GAP) - GAP, 2 * MARGIN + lines * cell_height - GAP)
    for place, found in enumerate(mistakes):
        x = MARGIN + place % columns * (CELL_WIDTH + GAP)
        y = MARGIN + place // columns * cell_height
        sample = samples[found[0].row]
        sheet.box(x, y, x + CELL_WIDTH, y + CROP_HEIGHT, LINE)
        try:
            sheet.picture(x, y, CELL_WIDTH, CROP_HEIGHT, read_picture(sample.path))
        except PasserbyError as error:
            sheet.text(x + 8, y + 8, error.name, size=13, colour=ALARM, room=CELL_WIDTH - 16)
        y += CROP_HEIGHT + 3
        _tail(sheet, x, y, sample.file)
        y += NAME_HEIGHT
        for mistake in found[:LINES]:
            _said(sheet, x, y, mistake, label_set.labels[mistake.label])
            y += LINE_HEIGHT
    return sheet.bgr()


def _said(sheet: Sheet, x: int, y: int, mistake: Mistake, label: Label) -> None:
    """The label, and below it what was said and what is true."""
    sheet.text(x, y, label.en, size=15, room=CELL_WIDTH)
    verdict = "said yes" if mistake.said else "said no"
    truth = "labelled no" if mistake.said else "labelled yes"
    width = sheet.text(x, y + 18, f"{verdict}, {mistake.probability:.2f}", size=13, colour=ALARM)
    sheet.text(x + width + 10, y + 18, truth, size=13)


def _tail(sheet: Sheet, x: int, y: int, file: str) -> None:
    """A file's name in grey; of a long one the end, which tells files apart."""
    sheet.text(x, y, file if len(file) <= 32 else "…" + file[-31:], size=12, colour=FAINT, room=CELL_WIDTH)
