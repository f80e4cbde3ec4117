"""Clothes for a figure: fitted pieces from files, and garments cut out of the mesh's own clothing helpers.

Both kinds end as a `Piece`: every vertex is a mix of three base vertices plus an offset, so a piece fits any
body shape and inherits its skinning. Fed by `figure`; things that are carried are in `accessories`.
Lengths are decimetres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .figure import (
    BODY_VERTICES,
    NEUTRAL_SHAPE,
    BaseAssets,
    Floats,
    Indices,
    Points,
    Z,
    bone_transforms,
    joints,
    shape_body,
    skin,
    turn,
)

Field: TypeAlias = NDArray[np.floating[Any]]
WAIST = 1.05  # canonical height (dm) where a two-piece suit is divided


@dataclass(frozen=True, slots=True, kw_only=True)
class Canonical:
    """Coordinates of vertices on the neutral body, the space garments are described in.

    `x`, `y`, `z`: (N,) rest position, dm. `arm`: (N,) 0 shoulder, 1 elbow, 2 wrist, negative off the arm.
    `pattern`: (N, 3) position with hanging arms, the coordinate of fabric patterns. `crown`: top of the head.
    """

    x: Field
    y: Field
    z: Field
    arm: Field
    pattern: Floats
    crown: float

    def mixed(self, rows: Indices, shares: Points) -> Canonical:
        """Return the coordinates of vertices that are mixes of base vertices; rows, shares: (N, 3)."""
        fields = {n: (getattr(self, n)[rows] * shares).sum(axis=1) for n in ("x", "y", "z", "arm")}
        pattern = (self.pattern[rows] * shares[..., None]).sum(axis=1)
        return Canonical(pattern=pattern, crown=self.crown, **fields)


def canonical(assets: BaseAssets) -> Canonical:
    """Compute the canonical coordinates of all base vertices."""
    body = shape_body(assets, NEUTRAL_SHAPE)
    heads, _ = joints(assets, body)
    rotations = np.tile(np.eye(3, dtype=np.float32), (len(heads), 1, 1))
    for side, sign in (("l", 1), ("r", -1)):
        rotations[assets.bone(f"upperarm_{side}")] = turn(Z, -sign * 40)
    pattern = skin(body, assets.weights, bone_transforms(assets, heads, rotations))
    return Canonical(
        x=body[:, 0],
        y=body[:, 1],
        z=body[:, 2],
        arm=_arm_coordinate(assets, body, heads),
        pattern=pattern,
        crown=float(body[:BODY_VERTICES, 1].max()),
    )


def _arm_coordinate(assets: BaseAssets, body: Points, heads: Points) -> Field:
    shares = np.zeros(len(body), np.float32)
    for row, name in enumerate(assets.bone_names):
        if name.startswith(("upperarm", "lowerarm", "hand", "index", "middle", "ring", "pinky", "thumb")):
            shares += assets.weights[:, row]
    along = np.full(len(body), -1.0, np.float32)
    for side, sign in (("l", 1), ("r", -1)):
        shoulder, elbow, wrist = (heads[assets.bone(f"{n}_{side}")] for n in ("upperarm", "lowerarm", "hand"))
        upper, lower = elbow - shoulder, wrist - elbow
        first = (body - shoulder) @ upper / (upper @ upper)
        second = (body - elbow) @ lower / (lower @ lower)
        here = body[:, 0] * sign > 0
        along[here] = np.where(first < 1, first, 1 + second.clip(0))[here]
    # Vertices of the flank lie "along" the arm too; only those that move with the arm count.
    return np.asarray(np.minimum(along, 4 * shares - 0.6), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Something worn, described on base vertices so that it fits every body.

    `rows`, `shares`: (n, 3) base vertices and their weights. `offsets`: (n, 3) dm. `scale`: (3, 3) rows x, y, z
    of (vertex a, vertex b, divisor) or None. `triangles`, `texture_triangles`: (F, 3). `texture_points`: (t, 2).
    `hidden`: (13380,) bool, body vertices this piece covers. `pattern`: (n, 3). `swell`: (n,) dm along the
    normal after smoothing, None for pieces that are used as modelled.
    """

    name: str
    rows: Indices
    shares: Points
    offsets: Points
    scale: Points | None
    triangles: Indices
    texture_points: Floats
    texture_triangles: Indices
    hidden: NDArray[np.bool_]
    pattern: Floats
    texture: Path | None = None
    swell: Field | None = None
    smoothing: int = 4


def load_piece(path: Path, coordinates: Canonical) -> Piece:
    """Read a fitted piece (GROUP/NAME.npz) with the texture beside it, when there is one."""
    with np.load(path) as data:
        hidden = np.zeros(BODY_VERTICES, bool)
        hidden[data["delete_verts"][data["delete_verts"] < BODY_VERTICES]] = True
        rows, shares = data["ref"].astype(np.int32), data["wt"].astype(np.float32)
        texture = path.with_suffix(".webp")
        return Piece(
            name=path.stem,
            rows=rows,
            shares=shares,
            offsets=data["off"].astype(np.float32),
            scale=data["scale"].astype(np.float32),
            triangles=data["tri"].astype(np.int32),
            texture_points=data["vt"].astype(np.float32),
            texture_triangles=data["triuv"].astype(np.int32),
            hidden=hidden,
            pattern=coordinates.mixed(rows, shares).pattern,
            texture=texture if texture.exists() else None,
        )


def half_of_suit(piece: Piece, path: Path, coordinates: Canonical, *, upper: bool) -> Piece:
    """Keep the shirt (upper) or the trousers (lower) of a suit whose components are separate garments."""
    with np.load(path) as data:
        component = data["component"]
    top = np.array([piece.pattern[component == c, 1].max() for c in range(component.max() + 1)])
    wanted = (top > 3)[component] == upper
    covered = coordinates.y[:BODY_VERTICES]
    hidden = piece.hidden & ((covered > WAIST) if upper else (covered < WAIST + 0.3))
    return replace(keep_vertices(piece, wanted), hidden=hidden)


def keep_vertices(piece: Piece, wanted: NDArray[np.bool_]) -> Piece:
    """Drop triangles with a vertex that is not wanted; vertex numbering stays."""
    kept = wanted[piece.triangles].all(axis=1)
    return replace(piece, triangles=piece.triangles[kept], texture_triangles=piece.texture_triangles[kept])


def fit(piece: Piece, body: Points) -> Points:
    """Put a piece on a shaped body in rest pose: (n, 3) float32, dm."""
    points = (body[piece.rows] * piece.shares[..., None]).sum(axis=1)
    if piece.scale is not None:
        factors = np.ones(3, np.float32)
        for axis, (a, b, divisor) in enumerate(piece.scale):
            if a >= 0:
                factors[axis] = abs(body[int(a), axis] - body[int(b), axis]) / divisor
        points = points + piece.offsets * factors
    if piece.swell is not None:
        points = inflate(points, piece.triangles, piece.swell, rounds=piece.smoothing)
    return np.asarray(points, np.float32)


def fit_weights(piece: Piece, weights: Points) -> Points:
    """Skinning weights (n, 53) of a piece: those of its base vertices, mixed."""
    mixed = (weights[piece.rows] * piece.shares[..., None]).sum(axis=1).clip(0)
    return np.asarray(mixed / mixed.sum(axis=1, keepdims=True).clip(1e-6), np.float32)


def inflate(points: Floats, triangles: Indices, swell: Field, *, rounds: int) -> Points:
    """Smooth a garment (its border stays) and move it outwards along the normals.

    Args:
        points: (n, 3) dm. triangles: (F, 3). swell: (n,) dm. rounds: Laplacian steps of 0.5.
    """
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    edges, uses = np.unique(edges, axis=0, return_counts=True)
    fixed = np.zeros(len(points), bool)
    fixed[edges[uses == 1].ravel()] = True
    smooth = points.copy()
    for _ in range(rounds):
        mean = _neighbour_mean(smooth, edges)
        smooth[~fixed] += 0.5 * (mean - smooth)[~fixed]
    normals: Floats = vertex_normals(smooth, triangles)
    for _ in range(3):
        normals = 0.5 * (normals + _neighbour_mean(normals, edges))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-6)
    return np.asarray(smooth + normals * swell[:, None], np.float32)


def _neighbour_mean(values: Floats, edges: Indices) -> Floats:
    total, count = np.zeros_like(values), np.zeros(len(values), np.float32)
    for a, b in ((0, 1), (1, 0)):
        np.add.at(total, edges[:, a], values[edges[:, b]])
        np.add.at(count, edges[:, a], 1)
    return np.where(count[:, None] > 0, total / count.clip(1)[:, None], values)


def vertex_normals(points: Floats, triangles: Indices) -> Points:
    """Area-weighted unit normals (n, 3); zero for vertices without a triangle."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    faces = np.cross(b - a, c - a)
    normals = np.zeros_like(points)
    for k in range(3):
        np.add.at(normals, triangles[:, k], faces)
    return np.asarray(normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9), np.float32)


Measure = Callable[[Canonical], Field]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A garment as the part of a helper surface where `keep` is positive, moved outwards by `swell` (dm)."""

    region: str
    keep: Measure
    swell: Measure
    smoothing: int = 4
    hides: Measure | None = None


def cut_piece(name: str, cut: Cut, assets: BaseAssets, coordinates: Canonical) -> Piece:
    """Cut a garment out of the mesh; border triangles are clipped so that hems are straight."""
    field = cut.keep(coordinates)
    rows, shares, triangles = _clip(assets.triangles[cut.region], field)
    here = coordinates.mixed(rows, shares)
    hides = (cut.hides or cut.keep)(coordinates)[:BODY_VERTICES]
    return Piece(
        name=name,
        rows=rows,
        shares=shares,
        offsets=np.zeros((len(rows), 3), np.float32),
        scale=None,
        triangles=triangles,
        texture_points=here.pattern[:, :2] / 10,
        texture_triangles=triangles,
        hidden=hides > 0.35,
        pattern=here.pattern,
        swell=cut.swell(here),
        smoothing=cut.smoothing,
    )


def _clip(triangles: Indices, field: Field) -> tuple[Indices, Points, Indices]:
    """Cut triangles along field = 0: vertex rows (n, 3) and shares (n, 3) on base vertices, new triangles."""
    numbers: dict[tuple[int, int], int] = {}

    def vertex(a: int, b: int) -> int:
        return numbers.setdefault((min(a, b), max(a, b)), len(numbers))

    kept: list[tuple[int, int, int]] = []
    positive = field > 0
    for triangle in triangles[positive[triangles].any(axis=1)].tolist():
        outline: list[int] = []
        for a, b in zip(triangle, triangle[1:] + triangle[:1], strict=True):
            if positive[a]:
                outline.append(vertex(a, a))
            if positive[a] != positive[b]:
                outline.append(vertex(a, b))
        kept += [(outline[0], outline[k], outline[k + 1]) for k in range(1, len(outline) - 1)]
    ends = np.array(list(numbers), np.int32).reshape(-1, 2)
    first, second = field[ends[:, 0]], field[ends[:, 1]]
    share = np.where(ends[:, 0] == ends[:, 1], 0, first / np.where(first == second, 1, first - second))
    shares = np.stack([1 - share, share, np.zeros_like(share)], axis=1).astype(np.float32)
    return ends[:, [0, 1, 1]], shares, np.array(kept, np.int32).reshape(-1, 3)


def push_out(points: Points, surface: Points, triangles: Indices, *, gap: float) -> Points:
    """Move points that lie inside a garment to `gap` dm above it (long hair over a coat).

    Args:
        points: (n, 3). surface: (m, 3) garment vertices, triangles: (F, 3).
    """
    used = np.unique(triangles)
    normals = vertex_normals(surface, triangles)[used]
    distance = ((points[:, None] - surface[used][None]) ** 2).sum(axis=-1)  # (n, m)
    nearest = distance.argmin(axis=1)
    height = ((points - surface[used][nearest]) * normals[nearest]).sum(axis=1)
    near = distance.min(axis=1) < 0.9**2
    lift = np.where(near, np.clip(gap - height, 0, None), 0)
    return np.asarray(points + normals[nearest] * lift[:, None], np.float32)
