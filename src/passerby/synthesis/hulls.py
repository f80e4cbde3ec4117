# SPDX-License-Identifier: Apache-2.0
"""Smooth shells round head and neck: hats, hoods, headscarves, collars, scarves, hair that falls.

The head's own surface has ears and a nose, cloth over it has not. A hull is a surface of revolution with a profile,
described on the neutral body, bound to the nearest vertices of the head so that it fits every shape and moves with
it. Lengths are decimetres; the angle round the vertical is 0 in front.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from . import clothing
from .clothing import Canonical, Field, Piece
from .figure import BODY_VERTICES, BaseAssets, Indices, Points
from .solids import grid

CENTRE_Y, CENTRE_Z = 7.35, 0.48  # of the neutral skull
HALF = (0.83, 1.08, 0.97)  # half axes x, y, z of the neutral skull
COLUMNS = 40
# The trunk below the head: height, half width, front and back z of the neutral body.
TRUNK = np.array([
    (7.35, 0.83, 1.45, -0.49), (6.9, 0.74, 1.5, -0.42), (6.5, 0.66, 1.25, -0.36), (6.25, 0.66, 0.95, -0.32),
    (6.0, 0.86, 0.86, -0.4), (5.75, 1.15, 0.8, -0.5), (5.25, 1.3, 0.95, -0.72), (4.6, 1.35, 1.2, -0.78),
    (3.4, 1.35, 1.35, -0.6), (1.5, 1.3, 1.4, -0.62),
])  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A vertex of a hull before it is cut: `x`, `y`, `z` dm, `angle` from the front (radians, 0 to pi)."""

    x: Field
    y: Field
    z: Field
    angle: Field


@dataclass(frozen=True, slots=True, kw_only=True)
class Hull:
    """A hull: `gap` dm off the skin by height, `keep` > 0 where there is cloth or hair, rows from `top` to `low`.

    `tilt` lowers the rows in front (dm) so that a collar follows the neck; `narrow` pulls the front in under a chin.
    """

    keep: Callable[[Spot], Field]
    gap: Callable[[Field], Field]
    low: float
    top: float = 8.5
    rows: int = 20
    tilt: float = 0.0
    front: float = 1.0


def _profile(hull: Hull) -> Spot:
    """Vertices of the uncut hull, row by row from the top."""
    heights = np.linspace(hull.top, hull.low, hull.rows)
    if hull.top > CENTRE_Y + HALF[1]:  # rows close up towards the crown
        dome = CENTRE_Y + (HALF[1] + hull.gap(np.array([8.4]))[0]) * np.cos(np.linspace(0.02, np.pi / 2, 9))
        below = np.linspace(CENTRE_Y, hull.low, hull.rows - 8)[1:] if hull.low < CENTRE_Y else np.zeros(0)
        heights = np.concatenate([dome, below])
    rows, columns = np.meshgrid(heights, np.linspace(-np.pi, np.pi, COLUMNS, endpoint=False), indexing="ij")
    y, angle = rows.ravel(), columns.ravel()
    gap = hull.gap(y)
    wide, ahead, behind = (np.interp(-y, -TRUNK[:, 0], TRUNK[:, k]) for k in (1, 2, 3))
    over = np.clip((y - CENTRE_Y) / (HALF[1] + gap), 0, 1)
    shrink = np.sqrt(1 - over**2)
    half_x = np.where(y > CENTRE_Y, (HALF[0] + gap) * shrink, wide + gap)
    ahead = np.where(
        y > CENTRE_Y, CENTRE_Z + (HALF[2] + gap) * shrink, CENTRE_Z + (ahead - CENTRE_Z) * hull.front + gap
    )
    behind = np.where(y > CENTRE_Y, CENTRE_Z - (HALF[2] + gap) * shrink, behind - gap)
    middle = np.where(y > CENTRE_Y, CENTRE_Z, np.interp(-y, (-7.35, -6.4, -5.0), (0.48, 0.3, 0.15)))
    forward = np.cos(angle)
    z = middle + np.where(forward > 0, ahead - middle, middle - behind) * forward
    return Spot(x=half_x * np.sin(angle), y=y - hull.tilt * np.clip(forward, -0.3, 1), z=z, angle=np.abs(angle))


def hull_piece(name: str, hull: Hull, assets: BaseAssets, coordinates: Canonical) -> Piece:
    """Cut a hull and bind it to the head, neck and shoulders of the base mesh."""
    spot = _profile(hull)
    points = np.stack([spot.x, spot.y, spot.z], axis=1).astype(np.float32)
    rows, shares, triangles = clothing.clip(grid(len(points) // COLUMNS, COLUMNS, around=True), hull.keep(spot))
    points = (points[rows] * shares[..., None]).sum(axis=1)
    bound, mixed = _bind(points, coordinates)
    anchor = np.stack([coordinates.x, coordinates.y, coordinates.z], axis=1)
    offsets = points - (anchor[bound] * mixed[..., None]).sum(axis=1)
    return Piece(
        name=name,
        rows=bound,
        shares=mixed,
        offsets=offsets.astype(np.float32),
        scale=_head_scale(coordinates),
        triangles=triangles,
        texture_points=(points[:, :2] / 10).astype(np.float32),
        texture_triangles=triangles,
        hidden=np.zeros(BODY_VERTICES, bool),
        pattern=points,
    )


def inside(hull: Hull, piece: Piece) -> Field:
    """The field of a hull at the vertices of its piece, (n,): how far from the border, dm."""
    x, y, z = np.asarray(piece.pattern, np.float64).T
    return hull.keep(Spot(x=x, y=y, z=z, angle=np.abs(np.arctan2(x, z - CENTRE_Z))))


def _bind(points: Points, coordinates: Canonical) -> tuple[Indices, Points]:
    """Four near vertices of head, neck and trunk for each point, nearer ones with a greater share."""
    body = np.stack([coordinates.x, coordinates.y, coordinates.z], axis=1)[:BODY_VERTICES]
    face = (coordinates.z[:BODY_VERTICES] > 1.0) & (coordinates.y[:BODY_VERTICES] > 6.2)
    usable = np.flatnonzero((body[:, 1] > 0.5) & (np.abs(body[:, 0]) < 1.5) & ~face)[::3]
    gaps = ((points[:, None] - body[usable][None]) ** 2).sum(axis=-1)  # (n, usable)
    nearest = np.argsort(gaps, axis=1)[:, :4]
    near = np.take_along_axis(gaps, nearest, axis=1)
    shares = 1 / (near + 0.05)
    return usable[nearest].astype(np.int32), (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


def _head_scale(coordinates: Canonical) -> Points:
    """Rows (vertex a, vertex b, divisor) that measure the head: offsets grow with it."""
    head = np.flatnonzero((coordinates.y[:BODY_VERTICES] > 7.5) & (np.abs(coordinates.x[:BODY_VERTICES]) < 1.2))
    rows = []
    for axis in (coordinates.x, coordinates.y, coordinates.z):
        low, high = head[axis[head].argmin()], head[axis[head].argmax()]
        rows.append((low, high, float(axis[high] - axis[low])))
    return np.array(rows, np.float32)


def _plane(drop: float, slope: float) -> Callable[[Spot], Field]:
    """Above a plane `drop` dm under the crown that rises towards the forehead."""
    return lambda s: s.y - (8.42 - drop) - slope * (s.z - 0.4)


def _flat(value: float) -> Callable[[Field], Field]:
    return lambda y: np.full_like(y, value)


def _hat(drop: float, slope: float, gap: float, sag: float = 0.0) -> Hull:
    return Hull(keep=_plane(drop, slope), gap=lambda y: gap + sag * np.clip((y - 7.7) / 0.8, 0, 1), low=6.7)


def _hair(low: float, face: float, gap: float) -> Hull:
    """Hair that falls to a height: free of the face, parted over the shoulders."""

    def keep(s: Spot) -> Field:
        brow = s.y - 7.74 + 0.25 * np.clip(1 - s.z, 0, 1)
        side = face - s.z - 0.12 * np.clip(6.5 - s.y, 0, 4)
        return np.asarray(np.minimum(np.maximum(brow, side), s.y - low - 0.4 * np.abs(s.x)))

    return Hull(keep=keep, gap=lambda y: gap + 0.05 * np.clip(7.4 - y, 0, 1.5), low=low - 0.1, rows=24)


def _cowl(gap: float, low: float, face: tuple[float, float]) -> Hull:
    """Cloth round the head with an oval opening for the face (half width, half height)."""

    def keep(s: Spot) -> Field:
        oval = np.hypot(s.x / face[0], (s.y - 7.1) / face[1]) - 1
        return np.asarray(np.minimum(np.where(s.z > 0.5, oval * 0.6, 1.0), s.y - low))

    return Hull(keep=keep, gap=lambda y: gap + 0.3 * np.clip(6.2 - y, 0, 1), low=low - 0.1, rows=26, front=0.96)


def _ring(low: float, high: float, gap: float, *, tilt: float = 0.35, bulge: float = 0.0, open_: float = 0.0) -> Hull:
    """A band round the neck; `bulge` rounds it, `open_` (radians) leaves the front free."""
    middle, half = (low + high) / 2, (high - low) / 2

    def gap_at(y: Field) -> Field:
        return np.asarray(gap + bulge * np.sqrt(np.clip(1 - ((y - middle) / half) ** 2, 0, 1)))

    return Hull(
        keep=lambda s: s.angle - open_ if open_ else np.ones_like(s.y),
        gap=gap_at, low=low, top=high, rows=7, tilt=tilt, front=0.85,
    )  # fmt: skip


HULLS: Mapping[str, Hull] = {
    "beanie": _hat(1.25, 0.28, 0.1),
    "pompon_beanie": _hat(1.25, 0.28, 0.12, 0.06),
    "slouch_beanie": _hat(1.3, 0.3, 0.12, 0.22),
    "cap": _hat(1.0, 0.1, 0.1),
    "bucket_hat": _hat(1.05, 0.14, 0.16),
    "sun_hat": _hat(0.95, 0.14, 0.16),
    "helmet": _hat(0.95, 0.14, 0.1),
    "site_helmet": _hat(0.95, 0.12, 0.1),
    "headscarf": _cowl(0.1, 5.2, (0.6, 0.82)),
    "hood_up": _cowl(0.28, 5.7, (0.72, 0.95)),
    "hull_chin": _hair(6.35, 0.95, 0.1),
    "hull_shoulder": _hair(5.3, 0.9, 0.12),
    "hull_long": _hair(3.6, 0.8, 0.12),
    "roll_neck": _ring(6.0, 6.6, 0.1),
    "stand_collar": _ring(5.9, 6.6, 0.2, open_=0.12),
    "down_collar": _ring(5.85, 6.7, 0.26, bulge=0.12, open_=0.1),
    "scarf": _ring(5.8, 6.6, 0.16, bulge=0.28),
    "hood_down": _ring(5.7, 6.4, 0.16, bulge=0.42, open_=0.9),
}
