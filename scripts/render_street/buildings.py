"""Facades: walls with windows, shop fronts, doors, cornices. Local axes: u along the wall, d out of it, z up."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .shapes import Batch, Local


@dataclass(frozen=True, kw_only=True)
class House:
    """One house front; lengths in metres. `ground` is "shop", "cafe" or "door"."""

    width: float
    floors: int
    wall: str
    frame: str = "frame_white"
    ground: str = "shop"
    front: str = "frame_dark"
    awning: str | None = None
    bay: float = 2.3
    floor_height: float = 3.2
    ground_height: float = 3.9


def facade(batch: Batch, local: Local, house: House, rng: np.random.Generator) -> None:
    """Add one house front; its wall lies at d = 0 and starts at u = 0."""

    def box(material: str, u: tuple[float, float], d: tuple[float, float], z: tuple[float, float]) -> None:
        batch.box(material, (u[0], d[0], z[0]), (u[1], d[1], z[1]), local)

    top = house.ground_height + house.floors * house.floor_height
    box("room", (0, house.width), (-1.4, -1.3), (house.ground_height, top))
    count = max(1, round(house.width / house.bay))
    bay = house.width / count
    for floor in range(house.floors):
        low = house.ground_height + floor * house.floor_height
        for k in range(count):
            _window(box, house, (k * bay, (k + 1) * bay), low, french=floor == 0 and rng.random() < 0.5)
    box("trim", (-0.05, house.width + 0.05), (-0.3, 0.12), (house.ground_height - 0.14, house.ground_height + 0.12))
    box("trim", (-0.1, house.width + 0.1), (-0.3, 0.35), (top, top + 0.3))
    box(house.wall, (0, house.width), (-0.3, 0.05), (top + 0.3, top + 0.8))
    box("roof", (0, house.width), (-9, -0.3), (top + 0.2, top + 0.5))
    if house.ground == "door":
        _plain_ground(box, house, count, bay)
    else:
        _shop(box, batch, local, house)
    box("iron", (house.width - 0.12, house.width - 0.03), (0.02, 0.11), (0.1, top))  # the rain pipe


def _window(box, house: House, u: tuple[float, float], low: float, *, french: bool) -> None:  # type: ignore[no-untyped-def]
    width, height = 1.12, 2.0 if not french else 2.45
    sill = low + (0.8 if not french else 0.25)
    middle = (u[0] + u[1]) / 2
    a, b, top = middle - width / 2, middle + width / 2, sill + height
    box(house.wall, (u[0], a), (-0.3, 0), (low, low + house.floor_height))
    box(house.wall, (b, u[1]), (-0.3, 0), (low, low + house.floor_height))
    box(house.wall, (a, b), (-0.3, 0), (low, sill))
    box(house.wall, (a, b), (-0.3, 0), (top, low + house.floor_height))
    box("glass", (a, b), (-0.17, -0.165), (sill, top))
    for u0, u1 in ((a, a + 0.07), (b - 0.07, b), (middle - 0.035, middle + 0.035)):
        box(house.frame, (u0, u1), (-0.2, -0.12), (sill, top))
    for z0, z1 in ((sill, sill + 0.08), (top - 0.08, top), (top - 0.62, top - 0.57)):
        box(house.frame, (a, b), (-0.2, -0.12), (z0, z1))
    for u0, u1 in ((a - 0.14, a), (b, b + 0.14)):
        box("trim", (u0, u1), (-0.05, 0.05), (sill, top))
    box("trim", (a - 0.2, b + 0.2), (-0.05, 0.09), (top, top + 0.2))
    box("trim", (a - 0.16, b + 0.16), (-0.1, 0.13), (sill - 0.09, sill))
    if french:
        for k in range(15):
            x = a - 0.05 + k * (width + 0.1) / 14
            box("iron", (x - 0.009, x + 0.009), (0.1, 0.118), (sill, sill + 0.9))
        box("iron", (a - 0.06, b + 0.06), (0.095, 0.125), (sill + 0.88, sill + 0.93))


def _plain_ground(box, house: House, count: int, bay: float) -> None:  # type: ignore[no-untyped-def]
    """Ground floor of a dwelling: windows, and a door in the middle."""
    box("room", (0, house.width), (-1.4, -1.3), (0, house.ground_height))
    box("stone", (-0.02, house.width + 0.02), (-0.05, 0.07), (0, 0.55))
    for k in range(count):
        if k != count // 2:
            _window(box, house, (k * bay, (k + 1) * bay), 0.45, french=False)
            box(house.wall, (k * bay, (k + 1) * bay), (-0.3, 0), (3.65, house.ground_height))
            box(house.wall, (k * bay, (k + 1) * bay), (-0.3, 0), (0, 0.45))
            continue
        middle = (k + 0.5) * bay
        a, b = middle - 0.6, middle + 0.6
        box(house.wall, (k * bay, a), (-0.3, 0), (0, house.ground_height))
        box(house.wall, (b, (k + 1) * bay), (-0.3, 0), (0, house.ground_height))
        box(house.wall, (a, b), (-0.3, 0), (3.0, house.ground_height))
        box("door", (a, b), (-0.24, -0.18), (0.15, 2.4))
        for u0 in (a + 0.12, middle + 0.06):
            for z0, z1 in ((0.35, 1.05), (1.2, 2.25)):
                box("frame_dark", (u0, u0 + 0.42), (-0.185, -0.165), (z0, z1))
        box("glass", (a, b), (-0.2, -0.19), (2.45, 2.95))
        box("trim", (a - 0.16, a), (-0.3, 0.06), (0, 3.0))
        box("trim", (b, b + 0.16), (-0.3, 0.06), (0, 3.0))
        box("trim", (a - 0.2, b + 0.2), (-0.3, 0.12), (3.0, 3.22))
        box("kerb", (a - 0.1, b + 0.1), (-0.3, 0.3), (0, 0.15))


def _shop(box, batch: Batch, local: Local, house: House) -> None:  # type: ignore[no-untyped-def]
    """A shop front: stall riser, panes between posts, recessed door, fascia, awning."""
    width, front = house.width, house.front
    box("shop", (0, width), (-2.1, -2.0), (0, 3.2))
    box("room", (0, width), (-2.0, -0.2), (-0.02, 0.02))
    box(house.wall, (0, 0.35), (-0.3, 0), (0, house.ground_height))
    box(house.wall, (width - 0.35, width), (-0.3, 0), (0, house.ground_height))
    box(house.wall, (0.35, width - 0.35), (-0.3, 0), (3.55, house.ground_height))
    box(front, (0.3, width - 0.3), (-0.2, 0.1), (2.95, 3.55))
    box("trim", (0.3, width - 0.3), (-0.2, 0.18), (3.55, 3.65))
    _letters(box, width)
    door = 0.35 + (width - 0.7) * 0.62
    posts = [0.4, *np.linspace(0.4, door - 0.55, 4)[1:], door + 0.55, *np.linspace(door + 0.55, width - 0.4, 3)[1:]]
    for post in posts:
        box(front, (post - 0.06, post + 0.06), (-0.2, 0.04), (0, 2.95))
    for a, b in pairwise(posts):
        if a < door < b:
            box(front, (a + 0.06, a + 0.18), (-0.75, -0.68), (0.05, 2.3))
            box(front, (b - 0.18, b - 0.06), (-0.75, -0.68), (0.05, 2.3))
            box(front, (a, b), (-0.75, -0.68), (0.05, 0.4))
            box(front, (a, b), (-0.75, -0.68), (2.25, 2.4))
            box("glass", (a, b), (-0.72, -0.715), (0.4, 2.95))
            continue
        box(front, (a, b), (-0.2, 0.02), (0, 0.5))
        box("trim", (a, b), (-0.2, 0.06), (0.5, 0.56))
        box("glass", (a, b), (-0.1, -0.095), (0.56, 2.95))
        box(front, (a, b), (-0.13, -0.05), (2.35, 2.41))
    if house.awning:
        points = [(0.4, 0.1, 2.95), (width - 0.4, 0.1, 2.95), (width - 0.4, 1.15, 2.5), (0.4, 1.15, 2.5)]
        points += [(width - 0.4, 1.15, 2.28), (0.4, 1.15, 2.28)]
        batch.polygons(house.awning, [local(*p) for p in points], [(0, 1, 2, 3), (3, 2, 4, 5)])


def _letters(box, width: float) -> None:  # type: ignore[no-untyped-def]
    """Bars and blocks on the fascia that read as lettering from afar, in no language."""
    rng = np.random.default_rng(int(width * 1000))
    u = width * 0.3
    while u < width * 0.68:
        wide = float(rng.uniform(0.1, 0.2))
        box("trim", (u, u + 0.035), (0.1, 0.115), (3.1, 3.4))
        if rng.random() < 0.7:
            z = 3.1 if rng.random() < 0.5 else 3.365
            box("trim", (u, u + wide), (0.1, 0.115), (z, z + 0.035))
        if rng.random() < 0.5:
            box("trim", (u + wide - 0.035, u + wide), (0.1, 0.115), (3.1, 3.4))
        u += wide + (0.22 if rng.random() < 0.15 else 0.07)
