"""Trees, shrubs in tubs, lamp posts, bollards, a bench, a bin, a parked car. Metres, z up."""

from __future__ import annotations

import math

import numpy as np

from .shapes import Batch, Point


def tree(batch: Batch, at: tuple[float, float], height: float, rng: np.random.Generator) -> None:
    """A street tree: bent trunk, branches, leaves in loose clusters, a grid of iron at its foot."""
    x, y = at
    fork = height * 0.36
    lean = rng.uniform(-0.15, 0.15, 2)
    trunk = [(x + lean[0] * t, y + lean[1] * t, fork * t) for t in np.linspace(0, 1, 6)]
    batch.pipe("bark", trunk, np.linspace(0.17, 0.11, 6).tolist(), 14)
    batch.pipe("bark", [(x, y, 0.0), (x, y, 0.12), (x, y, 0.3)], [0.26, 0.2, 0.16], 14)
    batch.box("iron", (x - 0.6, y - 0.6, 0.0), (x + 0.6, y + 0.6, 0.012))
    top: Point = trunk[-1]
    for _ in range(9):
        angle, rise = rng.uniform(0, 2 * math.pi), rng.uniform(0.35, 1.0)
        reach = height * rng.uniform(0.16, 0.27)
        end = (top[0] + reach * math.cos(angle), top[1] + reach * math.sin(angle), fork + rise * (height - fork) * 0.8)
        bend = (
            top[0] + 0.35 * reach * math.cos(angle),
            top[1] + 0.35 * reach * math.sin(angle),
            fork + 0.6 * (end[2] - fork),
        )
        batch.pipe("bark", [top, bend, end], [0.085, 0.05, 0.02], 8)
        for centre in (end, bend, tuple((a + b) / 2 for a, b in zip(end, bend, strict=True))):
            _leaves(
                batch, np.array(centre), height * rng.uniform(0.1, 0.16), int(330 * rng.uniform(0.7, 1.2)), 0.13, rng
            )


def _leaves(batch: Batch, centre: np.ndarray, radius: float, count: int, size: float, rng: np.random.Generator) -> None:
    """Leaves as bent diamonds in a ball, denser at its skin."""
    way = rng.normal(size=(count, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    spots = centre + way * radius * rng.uniform(0.35, 1.05, (count, 1)) ** 0.6 * [1.25, 1.25, 0.9]
    along = rng.normal(loc=(0, 0, -0.4), size=(count, 3))
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    side = np.cross(along, rng.normal(size=(count, 3)))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    length = size * rng.uniform(0.6, 1.1, (count, 1))
    corners = [spots, spots + along * length * 0.5 + side * length * 0.32, spots + along * length,
               spots + along * length * 0.5 - side * length * 0.32]  # fmt: skip
    points = np.stack(corners, axis=1).reshape(-1, 3)
    faces = [(4 * k, 4 * k + 1, 4 * k + 2, 4 * k + 3) for k in range(count)]
    batch.polygons("leaves", [tuple(p) for p in points], faces)


def tub(batch: Batch, at: tuple[float, float], rng: np.random.Generator) -> None:
    """A shrub in a square tub."""
    x, y = at
    batch.box("pot", (x - 0.27, y - 0.27, 0), (x + 0.27, y + 0.27, 0.5))
    batch.box("earth", (x - 0.24, y - 0.24, 0.44), (x + 0.24, y + 0.24, 0.51))
    for _ in range(5):
        centre = np.array([x, y, 0.85]) + rng.normal(size=3) * [0.12, 0.12, 0.16]
        _leaves(batch, centre, 0.28, 190, 0.085, rng)


def lamp_post(batch: Batch, at: tuple[float, float]) -> None:
    """A cast-iron post with a lantern."""
    x, y = at
    batch.pipe("iron", [(x, y, 0), (x, y, 0.5), (x, y, 0.55), (x, y, 3.6)], [0.11, 0.09, 0.055, 0.045], 16)
    batch.pipe("lamp", [(x, y, 3.65), (x, y, 4.1)], [0.11, 0.17], 6)
    batch.pipe("iron", [(x, y, 4.1), (x, y, 4.15), (x, y, 4.35)], [0.2, 0.19, 0.03], 6)
    batch.pipe("iron", [(x - 0.35, y, 3.3), (x + 0.35, y, 3.3)], [0.018, 0.018], 8)


def bollard(batch: Batch, at: tuple[float, float]) -> None:
    x, y = at
    batch.pipe("iron", [(x, y, 0), (x, y, 0.82), (x, y, 0.88), (x, y, 0.95)], [0.055, 0.05, 0.065, 0.03], 16)


def bench(batch: Batch, at: tuple[float, float]) -> None:
    """A slatted bench along y, its back towards -x."""
    x, y = at
    for k in range(5):
        batch.box("bark", (x + 0.09 * k, y - 0.85, 0.43), (x + 0.09 * k + 0.07, y + 0.85, 0.46))
    for k in range(3):
        batch.box(
            "bark", (x - 0.06 - 0.02 * k, y - 0.85, 0.55 + 0.12 * k), (x - 0.03 - 0.02 * k, y + 0.85, 0.63 + 0.12 * k)
        )
    for end in (y - 0.7, y + 0.7):
        batch.box("iron", (x - 0.1, end - 0.03, 0), (x - 0.05, end + 0.03, 0.88))
        batch.box("iron", (x + 0.36, end - 0.03, 0), (x + 0.41, end + 0.03, 0.43))
        batch.box("iron", (x - 0.05, end - 0.03, 0.39), (x + 0.4, end + 0.03, 0.43))


def bin_(batch: Batch, at: tuple[float, float]) -> None:
    x, y = at
    batch.pipe("frame_dark", [(x, y, 0.08), (x, y, 0.9)], [0.22, 0.25], 20)
    batch.pipe("iron", [(x, y, 0.9), (x, y, 0.94), (x, y, 1.0)], [0.27, 0.27, 0.12], 20)


# Cross-sections of a small car along its length: y from the rear bumper, half width at the sill, height of the sill,
# height of the belt line, half width and height of the roof line.
CAR = (
    (0.00, 0.66, 0.38, 0.72, 0.60, 0.74), (0.08, 0.78, 0.26, 0.92, 0.70, 0.96), (0.35, 0.83, 0.22, 0.98, 0.68, 1.16),
    (0.75, 0.85, 0.22, 0.97, 0.62, 1.43), (1.45, 0.86, 0.22, 0.95, 0.60, 1.49), (2.20, 0.86, 0.22, 0.93, 0.60, 1.46),
    (2.85, 0.86, 0.22, 0.92, 0.64, 1.12), (3.10, 0.85, 0.22, 0.90, 0.70, 0.98), (3.65, 0.82, 0.22, 0.80, 0.70, 0.86),
    (3.95, 0.74, 0.28, 0.66, 0.62, 0.70), (4.02, 0.62, 0.40, 0.58, 0.52, 0.60),
)  # fmt: skip


def car(batch: Batch, at: tuple[float, float], colour: str, ground: float) -> None:
    """A parked small car seen from behind or in front; `at` is the middle of its rear bumper."""
    x, y = at
    rings = np.array([_section(*row[1:]) for row in CAR])  # (stations, 11, 2)
    fine = np.linspace(0, len(CAR) - 1, 61)
    stations = np.array([row[0] for row in CAR])
    knots = np.arange(len(CAR))
    length = np.interp(fine, knots, stations)
    profile = np.stack([[np.interp(fine, knots, rings[:, k, c]) for c in range(2)] for k in range(rings.shape[1])])
    padded = np.pad(profile, ((0, 0), (0, 0), (2, 2)), mode="edge")
    profile = sum(padded[:, :, k : k + 61] for k in range(5)) / 5  # rounder than straight lines between sections
    points = [(x + profile[k, 0, s], y + length[s], ground + profile[k, 1, s]) for s in range(61) for k in range(11)]
    faces: dict[str, list[tuple[int, ...]]] = {colour: [], "car_glass": []}
    for s in range(60):
        for k in range(10):
            cabin = 0.55 < length[s] < 2.95 and k in (2, 7) and profile[3, 1, s] > 1.02
            screen = (0.36 < length[s] < 0.74 or 2.22 < length[s] < 2.86) and k in (3, 4, 5, 6)
            pillar = any(abs(length[s] - p) < 0.05 for p in (1.45, 2.15))
            face = (s * 11 + k, s * 11 + k + 1, (s + 1) * 11 + k + 1, (s + 1) * 11 + k)
            faces["car_glass" if (cabin and not pillar) or screen else colour].append(face)
    for material, kept in faces.items():
        batch.polygons(material, points, kept)
    batch.polygons(colour, [points[k] for k in range(11)], [tuple(range(11))])
    for side in (-1, 1):
        batch.box(
            "tail_light",
            (x + side * 0.62 - 0.1, y + 0.02, ground + 0.72),
            (x + side * 0.62 + 0.1, y + 0.12, ground + 0.9),
        )
        for wheel in (0.72, 3.25):
            hub = (x + side * 0.78, y + wheel, ground + 0.3)
            batch.pipe("tyre", [(hub[0] - 0.09, *hub[1:]), (hub[0] + 0.09, *hub[1:])], [0.3, 0.3], 28)
            batch.pipe("steel", [(hub[0] - 0.095, *hub[1:]), (hub[0] + 0.095, *hub[1:])], [0.19, 0.19], 20)
    batch.box("lamp", (x - 0.26, y - 0.012, ground + 0.52), (x + 0.26, y + 0.02, ground + 0.63))
    batch.box("tyre", (x - 0.7, y + 0.0, ground + 0.3), (x + 0.7, y + 0.1, ground + 0.44))


def _section(sill: float, low: float, belt: float, roof: float, high: float) -> list[tuple[float, float]]:
    """Half outline sill - side - belt - roof, mirrored: eleven points from right sill to left sill."""
    half = [(sill - 0.05, low), (sill, low + 0.2), (sill - 0.02, belt), (roof + 0.02, belt + (high - belt) * 0.92),
            (roof * 0.55, high)]  # fmt: skip
    return [*half, (0.0, high + 0.02), *((-a, b) for a, b in reversed(half))]
