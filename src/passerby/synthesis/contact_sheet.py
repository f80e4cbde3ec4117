# SPDX-License-Identifier: Apache-2.0
"""A page of rendered pictures with their labels under them, for a look with one's own eyes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..datasets.sheet import FAINT, Sheet
from ..decode import decode_image
from ..errors import InputError
from ..files import atomic_write, encode_image

COLUMNS, ROWS = 10, 5
CELL_WH = (150, 200)
LINE_PX, LINES = 12, 5


def write_sheet(path: Path, pictures: Sequence[tuple[Path, str]]) -> None:
    """Write a PNG of at most 50 pictures, taken evenly from all.

    Args:
        pictures: file and caption. A file that cannot be read leaves its place empty.
    """
    count = min(len(pictures), COLUMNS * ROWS)
    chosen = [pictures[k * len(pictures) // count] for k in range(count)]
    rows = -(-count // COLUMNS) if count else 1
    cell_h = CELL_WH[1] + LINE_PX * LINES + 6
    sheet = Sheet(COLUMNS * (CELL_WH[0] + 6), rows * cell_h)
    for number, (file, caption) in enumerate(chosen):
        x, y = number % COLUMNS * (CELL_WH[0] + 6) + 3, number // COLUMNS * cell_h + 3
        try:
            sheet.picture(x, y, *CELL_WH, decode_image(file.read_bytes(), input=str(file)))
        except (InputError, OSError):
            continue
        for line, text in enumerate(_wrapped(caption)):
            sheet.text(x, y + CELL_WH[1] + LINE_PX * line, text, size=10, colour=FAINT, room=CELL_WH[0])
    atomic_write(path, encode_image(sheet.bgr(), ".png"))


def _wrapped(caption: str, *, room: int = 27) -> list[str]:
    """Words in at most `LINES` lines."""
    lines = [""]
    for word in caption.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > room:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines[:LINES]
