# SPDX-License-Identifier: Apache-2.0
"""Contact sheets of suggested crops: the crop, its number, and what the model guesses or leaves open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..types import ImageBgr
from .sheet import FAINT, INK, Colour, Sheet

SHEET_CROPS = 24
COLUMNS = 4
TILE_WH = (310, 216)
PICTURE_WH = (112, 200)
GAP = 8
LINE_PX, TEXT_PX = 16, 13
MOST_LINES = 11
OPEN: Colour = (190, 80, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One crop on a sheet.

    Attributes:
        title: its number.
        sure: labels that the model sees, with their probability, best first.
        open: labels that it is unsure of, the most unsure first.
        pixels_bgr: (h, w, 3) uint8.
    """

    title: str
    sure: tuple[str, ...]
    open: tuple[str, ...]
    pixels_bgr: ImageBgr


def contact_sheet(tiles: Sequence[Tile]) -> ImageBgr:
    """Up to `SHEET_CROPS` tiles in rows of four: what the model sees in black, what it leaves open with a `?`.

    Returns:
        (H, 1240, 3) uint8 BGR.
    """
    rows = -(-len(tiles) // COLUMNS)
    sheet = Sheet(COLUMNS * TILE_WH[0], rows * TILE_WH[1] + GAP)
    for number, tile in enumerate(tiles):
        left, top = number % COLUMNS * TILE_WH[0] + GAP, number // COLUMNS * TILE_WH[1] + GAP
        sheet.picture(left, top, *PICTURE_WH, tile.pixels_bgr)
        _write(sheet, tile, left=left + PICTURE_WH[0] + GAP, top=top)
    return sheet.bgr()


def _write(sheet: Sheet, tile: Tile, *, left: int, top: int) -> None:
    room = TILE_WH[0] - PICTURE_WH[0] - 3 * GAP
    for_open = min(len(tile.open), max(MOST_LINES // 2, MOST_LINES - len(tile.sure)))
    lines = [(tile.title, FAINT)]
    lines += [(text, INK) for text in _shortened(tile.sure, MOST_LINES - for_open)]
    lines += [(f"? {text}", OPEN) for text in _shortened(tile.open, for_open)]
    for number, (text, colour) in enumerate(lines):
        sheet.text(left, top + number * LINE_PX, text, size=TEXT_PX, colour=colour, room=room)


def _shortened(texts: Sequence[str], most: int) -> list[str]:
    """At most so many lines; the last one counts what is not shown."""
    if len(texts) <= most:
        return list(texts)
    return [*texts[: most - 1], f"and {len(texts) - most + 1} more"] if most else []
