# SPDX-License-Identifier: Apache-2.0
"""The box around what labelling tools let people draw. All in px of the picture, y down; angles turn clockwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

Corners: TypeAlias = tuple[float, float, float, float]
"""x1 y1 x2 y2, px."""
Point: TypeAlias = tuple[float, float]


def around(points: Sequence[Point]) -> Corners:
    """The box around points, of which there is at least one.

    >>> around([(5, 1), (2, 8)])
    (2, 1, 5, 8)
    """
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def around_turned(corners: Corners, degrees: float, pivot: Point | None = None) -> Corners:
    """The box around a box that is turned about a point, without one about its middle. Corners in any order.

    >>> [round(v) for v in around_turned((0, 0, 4, 2), 90)]
    [1, -1, 3, 3]
    """
    x1, y1, x2, y2 = corners
    points = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    if degrees:
        x, y = pivot or ((x1 + x2) / 2, (y1 + y2) / 2)
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        points = [(x + (a - x) * cos - (b - y) * sin, y + (a - x) * sin + (b - y) * cos) for a, b in points]
    return around(points)


def around_ellipse(centre: Point, radii: Point, degrees: float = 0) -> Corners:
    """The box around an ellipse that is turned about its centre.

    >>> around_ellipse((10, 10), (4, 2))
    (6.0, 8.0, 14.0, 12.0)
    """
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    half_width = math.hypot(radii[0] * cos, radii[1] * sin)
    half_height = math.hypot(radii[0] * sin, radii[1] * cos)
    return centre[0] - half_width, centre[1] - half_height, centre[0] + half_width, centre[1] + half_height


def clipped(corners: Corners, size_wh: tuple[int, int]) -> Corners:
    """The part of a box inside a picture; outside of it the corners change places or meet.

    >>> clipped((-2, 1, 30, 9), (20, 10))
    (0.0, 1, 20.0, 9)
    """
    x1, y1, x2, y2 = corners
    return max(x1, 0.0), max(y1, 0.0), min(x2, float(size_wh[0])), min(y2, float(size_wh[1]))
