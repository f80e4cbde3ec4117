# SPDX-License-Identifier: Apache-2.0
"""The frames around persons. Colours are BGR; pictures (H, W, 3) uint8 are drawn on in place."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ..types import BoxesXyxy, ImageBgr

Colour = tuple[int, int, int]


def clipped(boxes_xyxy: Sequence[BoxesXyxy], width: int, height: int) -> NDArray[np.float64]:
    """(N, 4) boxes inside the picture; what is not finite lies at an edge."""
    boxes = np.array(boxes_xyxy, np.float64).reshape(-1, 4)
    boxes = np.nan_to_num(boxes, nan=0.0, posinf=max(width, height), neginf=0.0)
    limits = np.array([width - 1, height - 1, width - 1, height - 1], np.float64)
    return np.asarray(np.clip(boxes, 0, limits), np.float64)


def draw_corners(picture: ImageBgr, box: NDArray[np.float64], colour: Colour, unit: float) -> None:
    """A thin frame with strong corners, edged with darkness so that it shows on any ground."""
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    thin = max(1, round(1.3 * unit))
    strong = max(1, round(3.2 * unit))
    if unit >= 1 and min(x2 - x1, y2 - y1) > 8 * thin:
        cv2.rectangle(picture, (x1, y1), (x2, y2), (20, 16, 14), thin + 2 * max(1, round(0.6 * unit)), cv2.LINE_AA)
    cv2.rectangle(picture, (x1, y1), (x2, y2), colour, thin, cv2.LINE_AA)
    arm = round(min(0.22 * min(x2 - x1, y2 - y1), 26 * unit))
    if arm <= 2 * strong:
        return
    for x, dx in ((x1, arm), (x2, -arm)):
        for y, dy in ((y1, arm), (y2, -arm)):
            cv2.polylines(
                picture, [np.array([(x + dx, y), (x, y), (x, y + dy)], np.int32)], False, colour, strong, cv2.LINE_AA
            )


def draw_dashes(picture: ImageBgr, box: NDArray[np.float64], colour: Colour, unit: float) -> None:
    """The frame of somebody who cannot be judged: thin dashes."""
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    thin = max(1, round(1.3 * unit))
    dash = max(3, round(5 * unit))
    for at in range(x1, x2 + 1, 2 * dash):
        for y in (y1, y2):
            cv2.line(picture, (at, y), (min(at + dash, x2), y), colour, thin, cv2.LINE_AA)
    for at in range(y1, y2 + 1, 2 * dash):
        for x in (x1, x2):
            cv2.line(picture, (x, at), (x, min(at + dash, y2)), colour, thin, cv2.LINE_AA)
