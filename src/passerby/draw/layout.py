"""Where label panels go: beside their person, inside the picture, off each other and off the people.

Pure arithmetic on rectangles (x1, y1, x2, y2 in px); nothing here draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rectangle = tuple[float, float, float, float]
Rectangles = NDArray[np.float64]

# What a panel pays for the share of its own area that lies on something. A panel on another panel cannot be read;
# one on a head hides what people look at first; the air above the others is where their own panels want to go.
ON_PANEL, ON_OTHER, ON_OWN, ON_HEAD, ON_AIR = 12.0, 4.0, 1.0, 3.0, 0.6
ACCEPTABLE = 1.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A place for a panel: `rectangle`, and what is wrong with it (`cost`, 0 is perfect)."""

    rectangle: Rectangle
    cost: float


def covered_shares(panels: Rectangles, others: Rectangles) -> NDArray[np.float64]:
    """For each panel (P, 4) the sum of the shares of its area that each of `others` (N, 4) covers: (P,)."""
    w = np.minimum(panels[:, None, 2], others[None, :, 2]) - np.maximum(panels[:, None, 0], others[None, :, 0])
    h = np.minimum(panels[:, None, 3], others[None, :, 3]) - np.maximum(panels[:, None, 1], others[None, :, 1])
    area = (panels[:, 2] - panels[:, 0]) * (panels[:, 3] - panels[:, 1])
    covered = (w.clip(0) * h.clip(0)).sum(axis=1)  # (P, N) -> (P,)
    return np.asarray(covered / area.clip(1), np.float64)


def _heads(boxes: Rectangles) -> Rectangles:
    """The upper quarter of each box (N, 4)."""
    heads = boxes.copy()
    heads[:, 3] = boxes[:, 1] + 0.25 * (boxes[:, 3] - boxes[:, 1])
    return heads


def _air(boxes: Rectangles, height: float) -> Rectangles:
    """The strips of a height right above the boxes (N, 4)."""
    return np.stack([boxes[:, 0], boxes[:, 1] - height, boxes[:, 2], boxes[:, 1]], axis=1)


def best_spot(
    box: Rectangle,
    panel_wh: tuple[float, float],
    *,
    image_wh: tuple[int, int],
    gap: float,
    panels: Sequence[Rectangle],
    people: Rectangles,
) -> Spot | None:
    """Choose where the panel of a person goes.

    Args:
        box: the person. panel_wh: size of the panel, px. gap: px between the two.
        panels: panels that are placed already. people: (N, 4) boxes of the other persons.
    Returns:
        the cheapest spot; None when the panel is larger than the picture.
    """
    width, height = panel_wh
    if width > image_wh[0] or height > image_wh[1]:
        return None
    corners = np.array(_candidates(box, panel_wh, gap))
    x, y = corners[:, 0].clip(0, image_wh[0] - width), corners[:, 1].clip(0, image_wh[1] - height)
    spots = np.stack([x, y, x + width, y + height], axis=1)
    pushed = np.abs(x - corners[:, 0]) + np.abs(y - corners[:, 1])
    costs = corners[:, 2] + pushed / (4 * (width + height))
    own = np.array([box], np.float64)
    for weight, obstacles in (
        (ON_PANEL, np.array(panels, np.float64).reshape(-1, 4)),
        (ON_OTHER, people),
        (ON_HEAD, _heads(people)),
        (ON_AIR, _air(people, height)),
        (ON_OWN, own),
        (ON_HEAD, _heads(own)),
    ):
        costs += weight * covered_shares(spots, obstacles)
    best = int(costs.argmin())
    x1, y1, x2, y2 = (float(v) for v in spots[best])
    return Spot(rectangle=(x1, y1, x2, y2), cost=float(costs[best]))


def _candidates(box: Rectangle, panel_wh: tuple[float, float], gap: float) -> list[tuple[float, float, float]]:
    """Top left corners to try, each with how much it is disliked for itself: above first, then the sides."""
    x1, y1, x2, y2 = box
    width, height = panel_wh
    middle = (x1 + x2 - width) / 2
    above, below = y1 - gap - height, y2 + gap
    right, left = x2 + gap, x1 - gap - width
    spots = [(x1, above, 0.0), (middle, above, 0.02), (x2 - width, above, 0.04)]
    for share, dislike in ((0.0, 0.06), (0.12, 0.07), (0.3, 0.10), (0.5, 0.13), (0.75, 0.16), (1.0, 0.18)):
        y = y1 + share * max(y2 - y1 - height, 0.0)
        spots += [(right, y, dislike), (left, y, dislike + 0.01)]
    spots += [(x1, below, 0.15), (middle, below, 0.16), (x2 - width, below, 0.17)]
    inside = min(gap, max(0.0, (x2 - x1 - width) / 2))
    spots += [(x1 + inside, y2 - height - gap, 0.12), (middle, y1 + 0.55 * (y2 - y1), 0.2)]
    # Farther off, with a line to the person: for crowds.
    spots += [(middle + dx * (width + gap), above - gap, 0.5) for dx in (-1.0, 1.0)]
    spots += [(middle + dx * width, y1 - gap - 2 * height, 0.5) for dx in (-0.6, 0.0, 0.6)]
    return spots


def wrap(widths: Sequence[float], *, space: float, limit: float) -> list[list[int]]:
    """Break items into lines no wider than `limit` (an item that is wider alone gets its own line).

    >>> wrap([30, 30, 50], space=5, limit=70)
    [[0, 1], [2]]
    """
    lines: list[list[int]] = []
    used = 0.0
    for index, width in enumerate(widths):
        if lines and used + space + width <= limit:
            lines[-1].append(index)
            used += space + width
        else:
            lines.append([index])
            used = width
    return lines
