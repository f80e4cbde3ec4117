# SPDX-License-Identifier: Apache-2.0
"""Shapes that accessories are built of: rounded boxes, tubes, ribbons, and rays to lay straps on a body.

Lengths are decimetres. What a bag or a hat is stands in `accessories`, `headgear` and `held`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .figure import Floats, Indices, Points

UP = np.array([0, 1, 0], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Solid:
    """A closed surface: `points` (n, 3) dm, `triangles` (F, 3); `material` names its look, e.g. "bag"."""

    points: Points
    triangles: Indices
    material: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """What straps lie on: the dressed torso. `points` (n, 3), `triangles` (F, 3)."""

    points: Points
    triangles: Indices


def rounded_box(size: tuple[float, float, float], *, exponent: float, material: str, taper: float = 0.0) -> Solid:
    """A superellipsoid box centred on the origin.

    Args:
        size: full extents x, y, z, dm. exponent: 0 sharp corners, 1 an ellipsoid.
        taper: share by which the top is narrower than the bottom.
    """
    u, v = np.meshgrid(np.linspace(-np.pi, np.pi, 25)[:-1], np.linspace(-np.pi / 2, np.pi / 2, 13))

    def power(values: Points) -> Points:
        return np.asarray(np.sign(values) * np.abs(values) ** exponent, np.float32)

    x = power(np.cos(v)) * power(np.cos(u))
    z = power(np.cos(v)) * power(np.sin(u))
    y = power(np.sin(v))
    narrowing = 1 - taper * (y + 1) / 2
    points = np.stack([x * narrowing, y, z * narrowing], axis=-1).reshape(-1, 3) * np.array(size) / 2
    return Solid(points=points.astype(np.float32), triangles=grid(13, 24, around=True), material=material)


def grid(rows: int, columns: int, *, around: bool) -> Indices:
    """Triangles of a (rows, columns) vertex grid, closed along the columns when `around`."""
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(columns if around else columns - 1), indexing="ij")
    right = (c + 1) % columns
    a, b, d, e = r * columns + c, r * columns + right, (r + 1) * columns + c, (r + 1) * columns + right
    quads = [np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, d, b), (b, d, e))]
    return np.concatenate(quads).astype(np.int32)


def tube(path: Floats, *, radius: float, material: str, sides: int = 6) -> Solid:
    """A round tube along a path (n, 3)."""
    along = _directions(path)
    side = np.cross(along, np.where(np.abs(along[:, 1:2]) > 0.9, [[0, 0, 1.0]], UP))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    for k in range(1, len(side)):  # the frame must not flip from one ring to the next
        side[k] = side[k - 1] - along[k] * (side[k - 1] @ along[k])
        side[k] /= np.linalg.norm(side[k])
    other = np.cross(along, side)
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.cos(angles)[:, None] * side[:, None] + np.sin(angles)[:, None] * other[:, None]
    points = (path[:, None] + radius * ring).reshape(-1, 3)  # (n, sides, 3) -> (n * sides, 3)
    return Solid(points=points.astype(np.float32), triangles=grid(len(path), sides, around=True), material=material)


def ribbon(path: Floats, normals: Floats, *, width: float, thickness: float, material: str) -> Solid:
    """A flat strap along a path (n, 3), lying with its face along `normals` (n, 3)."""
    along = _directions(path)
    side = np.cross(along, normals)
    side /= np.linalg.norm(side, axis=1, keepdims=True).clip(1e-6)
    across = [(-0.5, 0), (0.5, 0), (0.5, 1), (-0.5, 1)]
    rings = [path + side * (width * s) + normals * (thickness * t) for s, t in across]
    points = np.stack(rings, axis=1).reshape(-1, 3)
    return Solid(points=points.astype(np.float32), triangles=grid(len(path), 4, around=True), material=material)


def _directions(path: Floats) -> Points:
    along = np.gradient(path, axis=0)
    return np.asarray(along / np.linalg.norm(along, axis=1, keepdims=True).clip(1e-6), np.float32)


def cast(surface: Surface, origin: Floats, directions: Floats) -> tuple[Points, Points]:
    """Shoot rays from inside a surface and return the outermost hits.

    Args:
        origin: (3,). directions: (n, 3) unit vectors.
    Returns:
        distances (n,) dm, 0 where nothing is hit, and outward normals (n, 3).
    Source: Moeller and Trumbore, Fast minimum storage ray/triangle intersection, 1997.
    """
    a, b, c = (surface.points[surface.triangles[:, k]] for k in range(3))
    e1, e2, t = b - a, c - a, origin - a
    normals = np.cross(e1, e2)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)
    q = np.cross(t, e1)
    far = (e2 * q).sum(axis=1)
    # p = d x e2, so det = e1 . p = d . (e2 x e1) and t . p = d . (e2 x t): all rays at once, (n, F).
    det = directions @ np.cross(e2, e1).T
    det = np.where(np.abs(det) < 1e-9, 1e-9, det)
    u, v = directions @ np.cross(e2, t).T / det, directions @ q.T / det
    s = np.where((u >= 0) & (v >= 0) & (u + v <= 1), far / det, 0)
    best = s.argmax(axis=1)
    distances = s[np.arange(len(directions)), best].clip(0)
    facing = np.sign((normals[best] * directions).sum(axis=1, keepdims=True))
    return distances.astype(np.float32), np.asarray(normals[best] * facing, np.float32)


def crossed_by(surface: Surface, origin: Floats, normal: Floats, *, slack: float = 0.02) -> Surface:
    """The triangles that a plane through `origin` cuts: the only ones a ray in that plane can hit."""
    side = (surface.points - origin) @ normal
    corners = side[surface.triangles]
    cut = (corners.min(axis=1) < slack) & (corners.max(axis=1) > -slack)
    return Surface(points=surface.points, triangles=surface.triangles[cut])


def strap_around(
    surface: Surface, origin: Floats, first: Floats, second: Floats, angles: Floats, *, lift: float
) -> tuple[Points, Points]:
    """Lay a strap on a surface in the plane of two unit vectors.

    Returns:
        path (n, 3) and normals (n, 3); the path runs through the given angles (radians) from `first` to
        `second`, `lift` dm above the surface, smoothed so that it bridges hollows.
    """
    directions = np.cos(angles)[:, None] * first + np.sin(angles)[:, None] * second
    reached, _ = cast(crossed_by(surface, origin, np.cross(first, second)), origin, directions)
    known = reached > 0
    distances = np.interp(np.arange(len(angles)), np.flatnonzero(known), reached[known])
    for _ in range(3):
        padded = np.pad(distances, 1, mode="edge")
        distances = np.maximum(distances, (padded[:-2] + padded[1:-1] + padded[2:]) / 3)
    path = origin + directions * (distances + lift)[:, None]
    return path.astype(np.float32), directions.astype(np.float32)


def moved(solid: Solid, offset: Floats, rotation: Floats | None = None) -> Solid:
    """Rotate (3, 3) a solid about the origin, then shift it by (3,)."""
    points = solid.points if rotation is None else solid.points @ rotation.T
    return Solid(points=(points + offset).astype(np.float32), triangles=solid.triangles, material=solid.material)
