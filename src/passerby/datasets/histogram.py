# SPDX-License-Identifier: Apache-2.0
"""Bars side by side for the splits of a data set, one row a name, as many panels as asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..types import ImageBgr
from .sheet import ALARM, FAINT, INK, LINE, SPLIT_COLOURS, Sheet

WIDTH, MARGIN = 1200, 28
NAME_WIDTH, NOTE_WIDTH = 250, 230
TITLE_PX, HEADING_PX, NAME_PX, NOTE_PX = 26, 19, 16, 13
BAR_HEIGHT, ROW_GAP = 16, 12
TITLE_HEIGHT, HEADING_HEIGHT, AXIS_HEIGHT, PANEL_GAP = 50, 34, 26, 30
MOST_ROWS = 1000
SCALES = (0.05, 0.1, 0.2, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One bar: how many, which share of all (its length), and what stands behind the number."""

    count: int
    share: float
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Rows of bars under a heading.

    Attributes:
        totals: what each split holds, for the legend.
        bars: for each name its value in each split.
        zero_is_wrong: draw the number of an empty bar in red.
    """

    title: str
    totals: Mapping[str, str]
    bars: Sequence[tuple[str, Mapping[str, Value]]]
    zero_is_wrong: bool = False


def draw_histogram(title: str, panels: Sequence[Panel]) -> ImageBgr:
    """Draw panels one below the other.

    Args:
        title: foreign text, escaped here, as are the names of bars.
    Returns:
        (H, 1200, 3) uint8 BGR.
    """
    sheet = Sheet(WIDTH, TITLE_HEIGHT + sum(_height(panel) for panel in panels) + MARGIN)
    sheet.text(MARGIN, 16, title, size=TITLE_PX, room=WIDTH - 2 * MARGIN)
    top = TITLE_HEIGHT
    for panel in panels:
        _draw_panel(sheet, panel, top)
        top += _height(panel)
    return sheet.bgr()


def _row_height(panel: Panel) -> int:
    return BAR_HEIGHT * len(panel.totals) + ROW_GAP


def _height(panel: Panel) -> int:
    rows = min(len(panel.bars), MOST_ROWS)
    more = ROW_GAP * 2 if len(panel.bars) > MOST_ROWS else 0
    return HEADING_HEIGHT + AXIS_HEIGHT + rows * _row_height(panel) + more + PANEL_GAP


def _draw_panel(sheet: Sheet, panel: Panel, top: int) -> None:
    sheet.text(MARGIN, top + 6, panel.title, size=HEADING_PX)
    right: float = WIDTH - MARGIN
    for split, total in reversed(list(panel.totals.items())):
        right -= sheet.text(right, top + 9, f"{split}: {total}", size=NOTE_PX + 1, right=True) + 20
        sheet.box(right, top + 10, right + 13, top + 23, SPLIT_COLOURS[split])
        right -= 22
    longest = max((value.share for _, values in panel.bars for value in values.values()), default=1.0)
    scale = next((s for s in SCALES if s >= longest), 1.0)
    left, length = MARGIN + NAME_WIDTH, WIDTH - 2 * MARGIN - NAME_WIDTH - NOTE_WIDTH
    first = top + HEADING_HEIGHT + AXIS_HEIGHT
    rows = panel.bars[:MOST_ROWS]
    for tick in range(6):
        x = left + length * tick / 5
        sheet.box(x, first - 4, x + 1, first + len(rows) * _row_height(panel), LINE)
        sheet.text(x - 4, first - AXIS_HEIGHT + 4, f"{100 * scale * tick / 5:g} %", size=NOTE_PX, colour=FAINT)
    for number, (name, values) in enumerate(rows):
        y = first + number * _row_height(panel)
        middle = y + (_row_height(panel) - NAME_PX) / 2 - 3
        sheet.text(left - 12, middle, name, size=NAME_PX, room=NAME_WIDTH - 20, right=True)
        for place, split in enumerate(panel.totals):
            bar_top = y + ROW_GAP / 2 + place * BAR_HEIGHT
            _draw_bar(sheet, values[split], (left, bar_top, length / scale), SPLIT_COLOURS[split], panel.zero_is_wrong)
    if len(panel.bars) > MOST_ROWS:
        y = first + len(rows) * _row_height(panel)
        sheet.text(left, y, f"and {len(panel.bars) - MOST_ROWS} more", size=NAME_PX, colour=FAINT)


def _draw_bar(
    sheet: Sheet, value: Value, at: tuple[float, float, float], colour: tuple[int, int, int], zero_is_wrong: bool
) -> None:
    left, top, length = at
    end = left + max(length * value.share, 1 if value.count else 0)
    sheet.box(left, top, end, top + BAR_HEIGHT - 2, colour)
    if value.count:
        text, ink = f"{value.count} ({100 * value.share:.1f} %){value.note}", INK
    else:
        text, ink = f"none{value.note}", ALARM if zero_is_wrong else FAINT
    sheet.text(end + 6, top - 1, text, size=NOTE_PX, colour=ink)
