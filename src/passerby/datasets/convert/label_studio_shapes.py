# SPDX-License-Identifier: Apache-2.0
"""The box around a region of Label Studio, whose coordinates are per cent of the picture's sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .shapes import Corners, around, around_ellipse, around_turned

# shapes with a label in the same result, and without
REGIONS = ("rectanglelabels", "ellipselabels", "polygonlabels", "rectangle", "ellipse", "polygon")
# results that say the label of a region; `labels` goes with shapes without one
LABELS = ("rectanglelabels", "ellipselabels", "polygonlabels", "labels")


def corners(kind: str, value: Mapping[str, Any], size_wh: tuple[int, int]) -> Corners | None:
    """The box around a region in px, not clipped; None where a coordinate is missing or no number.

    Args:
        kind: one of `REGIONS`. value: of the result. size_wh: of the picture, px.
    """
    width, height = size_wh[0] / 100, size_wh[1] / 100
    degrees = value.get("rotation", 0)
    if kind.startswith("polygon"):
        points = value.get("points")
        if not isinstance(points, list) or not points or not all(_is_pair(point) for point in points):
            return None
        return around([(x * width, y * height) for x, y in points])
    keys = ("x", "y", "radiusX", "radiusY") if kind.startswith("ellipse") else ("x", "y", "width", "height")
    given = [value.get(key) for key in keys]
    if not all(_is_number(v) for v in (*given, degrees)):
        return None
    x, y, a, b = (float(v) for v in given if v is not None)
    x, y, a, b = x * width, y * height, a * width, b * height
    if kind.startswith("ellipse"):
        return around_ellipse((x, y), (a, b), degrees)
    return around_turned((x, y, x + a, y + b), degrees, pivot=(x, y))


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e5
