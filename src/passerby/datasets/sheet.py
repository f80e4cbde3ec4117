# SPDX-License-Identifier: Apache-2.0
"""A sheet of paper to put pictures, bars and words on: what histogram and contact sheets are drawn with.

Pillow alone, with the font it carries, so that a check needs no extra. Colours here are RGB.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw

from ..draw.text import can_draw_chinese, font, is_plain
from ..errors import shown
from ..types import ImageBgr

Colour = tuple[int, int, int]
PAPER: Colour = (255, 255, 255)
INK: Colour = (28, 32, 38)
FAINT: Colour = (125, 130, 138)
LINE: Colour = (226, 229, 233)
ALARM: Colour = (190, 40, 30)
SPLIT_COLOURS: dict[str, Colour] = {"train": (38, 92, 158), "val": (236, 150, 40), "test": (92, 158, 92)}


class Sheet:
    """White paper of a size in px."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int,
        colour: Colour = INK,
        room: float | None = None,
        right: bool = False,
    ) -> float:
        """Write one line whose top left corner (with `right` the top right) is x, y.

        Args:
            text: foreign or not; what cannot be drawn is escaped. room: cut to this width, px.
        Returns:
            its width, px.
        """
        safe, chinese = _drawable(text)
        letters = font(size, chinese=chinese)
        if room is not None and letters.getlength(safe) > room:
            while safe and letters.getlength(safe + "…") > room:
                safe = safe[:-1]
            safe += "…"
        width = letters.getlength(safe)
        self.draw.text((x - width if right else x, y), safe, fill=colour, font=letters)
        return width

    def box(self, x1: float, y1: float, x2: float, y2: float, colour: Colour) -> None:
        """A filled rectangle without its right and lower edge; nothing where it is empty."""
        if x2 > x1 and y2 > y1:
            self.draw.rectangle((x1, y1, x2 - 1, y2 - 1), fill=colour)

    def picture(self, x: int, y: int, width: int, height: int, pixels_bgr: ImageBgr) -> None:
        """Put a picture into the middle of a place, as large as it fits."""
        small = fitted(pixels_bgr, width, height)
        left, top = x + (width - small.shape[1]) // 2, y + (height - small.shape[0]) // 2
        self.image.paste(Image.fromarray(np.ascontiguousarray(small[:, :, ::-1])), (left, top))

    def bgr(self) -> ImageBgr:
        """(H, W, 3) uint8 BGR, a copy."""
        return np.ascontiguousarray(np.asarray(self.image)[:, :, ::-1])


def fitted(pixels_bgr: ImageBgr, width: int, height: int, *, enlarge: float = 4.0) -> ImageBgr:
    """A picture as large as a place allows, its ratio kept, at most `enlarge` times its size."""
    rows, columns = pixels_bgr.shape[:2]
    factor = min(width / columns, height / rows, enlarge)
    size = (max(1, round(columns * factor)), max(1, round(rows * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels_bgr, size, interpolation=how), np.uint8)


def _drawable(text: str) -> tuple[str, bool]:
    """The text in letters that can be drawn, and whether it needs the system's font for Chinese."""
    safe = shown(text, 200)
    if is_plain(safe):
        return safe, False
    if can_draw_chinese():
        return safe, True
    return "".join(c if is_plain(c) else "?" for c in safe), False
