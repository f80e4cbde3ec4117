# SPDX-License-Identifier: Apache-2.0
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


def fit(piece: Piece, body: Points, joined: Topology | None = None) -> Points:
    """Put a piece on a shaped body in rest pose: (n, 3) float32, dm; `joined` saves the search for neighbours."""
    points = mix(body, piece)
    if piece.scale is not None:
        factors = np.ones(3, np.float32)
        for axis, (a, b, divisor) in enumerate(piece.scale):
            if a >= 0:
                factors[axis] = abs(body[int(a), axis] - body[int(b), axis]) / divisor
        points = points + piece.offsets * factors
    if piece.swell is not None:
        points = inflate(points, piece.triangles, piece.swell, rounds=piece.smoothing, joined=joined)
    return np.asarray(points, np.float32)


def mix(values: Floats, piece: Piece) -> Points:
    """Values of base vertices (N, c) mixed for the vertices of a piece, (n, c)."""
    mixed = piece.shares[:, :1] * values[piece.rows[:, 0]]
    for k in range(1, piece.rows.shape[1]):
        mixed = mixed + piece.shares[:, k : k + 1] * values[piece.rows[:, k]]
    return np.asarray(mixed, np.float32)


def fit_weights(piece: Piece, weights: Points) -> Points:
    """Skinning weights (n, 53) of a piece: those of its base vertices, mixed."""
    mixed = mix(weights, piece).clip(0)
    return np.asarray(mixed / mixed.sum(axis=1, keepdims=True).clip(1e-6), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Which vertices are joined, kept so that a garment that is fitted again need not search.

    `neighbours`: (n, k) int32, padded with the vertex itself. `degree`: (n, 1) float32 true neighbours, at least 1.
    `inside`: (n,) bool, vertices with neighbours that are not on the border. `rim`: (m, 2) border edges.
    """

    neighbours: Indices
    degree: Points
    inside: NDArray[np.bool_]
    rim: Indices


def topology(triangles: Indices, count: int) -> Topology:
    """Find neighbours and borders of a mesh of `count` vertices; triangles: (F, 3)."""
    directed = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges, first, uses = np.unique(np.sort(directed, axis=1), axis=0, return_index=True, return_counts=True)
    ends = np.concatenate([edges, edges[:, ::-1]])
    ends = ends[np.argsort(ends[:, 0], kind="stable")]
    degree = np.bincount(ends[:, 0], minlength=count)
    place = np.arange(len(ends)) - (np.cumsum(degree) - degree)[ends[:, 0]]
    neighbours = np.tile(np.arange(count, dtype=np.int32)[:, None], (1, max(int(degree.max()), 1)))
    neighbours[ends[:, 0], place] = ends[:, 1]
    rim = directed[first[uses == 1]].astype(np.int32)
    inside = degree > 0
    inside[rim.ravel()] = False
    return Topology(
        neighbours=neighbours,
        degree=np.maximum(degree, 1).astype(np.float32)[:, None],
        inside=inside,
        rim=rim,
    )


def inflate(points: Floats, triangles: Indices, swell: Field, *, rounds: int, joined: Topology | None = None) -> Points:
    """Smooth a garment (its border stays) and move it outwards along the normals.

    Args:
        points: (n, 3) dm. triangles: (F, 3). swell: (n,) dm. rounds: Laplacian steps of 0.5.
        joined: the topology of `triangles`, when it is known.
    """
    joined = joined or topology(triangles, len(points))
    smooth = np.array(points, np.float32)
    share = np.float32(0.5) * joined.inside[:, None]
    for _ in range(rounds):
        smooth += share * (neighbour_mean(smooth, joined) - smooth)
    normals = vertex_normals(smooth, triangles)
    # Only along the normal: vertices that slide over the cloth would bend its stripes.
    smooth = points + normals * ((smooth - points) * normals).sum(axis=1, keepdims=True)
    for _ in range(3):
        normals = np.float32(0.5) * (normals + neighbour_mean(normals, joined))
    normals /= np.sqrt((normals * normals).sum(axis=1, keepdims=True)).clip(1e-6)
    return np.asarray(smooth + normals * swell[:, None], np.float32)


def neighbour_mean(values: Floats, joined: Topology) -> Points:
    """Mean over the neighbours of each vertex, (n, c); a vertex without neighbours keeps its value."""
    width = joined.neighbours.shape[1]
    total = values[joined.neighbours[:, 0]]
    for k in range(1, width):
        total = total + values[joined.neighbours[:, k]]
    padding = width - joined.degree  # the vertex itself fills the row
    return np.asarray((total - padding * values) / joined.degree, np.float32)


def vertex_normals(points: Floats, triangles: Indices) -> Points:
    """Area-weighted unit normals (n, 3); zero for vertices without a triangle."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    u, v = b - a, c - a
    faces = np.stack(
        [
            u[:, 1] * v[:, 2] - u[:, 2] * v[:, 1],
            u[:, 2] * v[:, 0] - u[:, 0] * v[:, 2],
            u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0],
        ]
    )
    corners = triangles.T.ravel()
    sums = [np.bincount(corners, np.tile(faces[k], 3), minlength=len(points)) for k in range(3)]
    normals = np.stack(sums, axis=1)
    return np.asarray(normals / np.sqrt((normals * normals).sum(axis=1, keepdims=True)).clip(1e-9), np.float32)


Measure = Callable[[Canonical], Field]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A garment as the part of a helper surface where `keep` is positive, moved outwards by `swell` (dm)."""

    region: str
    keep: Measure
    swell: Measure
    smoothing: int = 4
    hides: Measure | None = None
    fine: bool = False


def cut_piece(name: str, cut: Cut, assets: BaseAssets, coordinates: Canonical) -> Piece:
    """Cut a garment out of the mesh; border triangles are clipped so that hems are straight."""
    field = cut.keep(coordinates)
    rows, shares, triangles = clip(assets.triangles[cut.region], field)
    if cut.fine:
        rows, shares, triangles = _halved(rows, shares, triangles)
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


def clip(triangles: Indices, field: Field) -> tuple[Indices, Points, Indices]:
    """Cut triangles along field = 0 and keep what is above.

    Returns:
        for each new vertex the old ones it mixes and their shares, both (n, 3), and the new triangles (F, 3).
    """
    positive = field > 0
    corners = positive[triangles].sum(axis=1)
    whole = triangles[corners == 3]
    kept = np.unique(whole)
    numbers = {(k, k): n for n, k in enumerate(kept.tolist())}

    def vertex(a: int, b: int) -> int:
        return numbers.setdefault((min(a, b), max(a, b)), len(numbers))

    border: list[tuple[int, int, int]] = []
    for triangle in triangles[(corners > 0) & (corners < 3)].tolist():
        outline: list[int] = []
        for a, b in zip(triangle, triangle[1:] + triangle[:1], strict=True):
            if positive[a]:
                outline.append(vertex(a, a))
            if positive[a] != positive[b]:
                outline.append(vertex(a, b))
        border += [(outline[0], outline[k], outline[k + 1]) for k in range(1, len(outline) - 1)]
    ends = np.array(list(numbers), np.int32).reshape(-1, 2)
    first, second = field[ends[:, 0]], field[ends[:, 1]]
    share = np.where(ends[:, 0] == ends[:, 1], 0, first / np.where(first == second, 1, first - second))
    shares = np.stack([1 - share, share, np.zeros_like(share)], axis=1).astype(np.float32)
    inner = np.searchsorted(kept, whole).astype(np.int32)
    return ends[:, [0, 1, 1]], shares, np.concatenate([inner, np.array(border, np.int32).reshape(-1, 3)])


def _halved(rows: Indices, shares: Points, triangles: Indices) -> tuple[Indices, Points, Indices]:
    """Divide each triangle into four; the new vertices are midpoints: rows and shares become (n, 4)."""
    sides = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    edges, place = np.unique(sides, axis=0, return_inverse=True)
    ab, bc, ca = (place.reshape(3, -1) + len(rows)).astype(np.int32)
    a, b, c = triangles.T
    quarters = [np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    middle_rows = np.concatenate([rows[edges[:, 0], :2], rows[edges[:, 1], :2]], axis=1)
    middle_shares = 0.5 * np.concatenate([shares[edges[:, 0], :2], shares[edges[:, 1], :2]], axis=1)
    old_rows, old_shares = np.pad(rows, ((0, 0), (0, 1))), np.pad(shares, ((0, 0), (0, 1)))
    return (
        np.concatenate([old_rows, middle_rows]).astype(np.int32),
        np.concatenate([old_shares, middle_shares]).astype(np.float32),
        np.concatenate(quarters).astype(np.int32),
    )


def push_out(points: Points, surface: Points, triangles: Indices, *, gap: float) -> Points:
    """Move points that lie inside a garment to `gap` dm above it (long hair over a coat).

    Args:
        points: (n, 3). surface: (m, 3) garment vertices, triangles: (F, 3).
    """
    normals = vertex_normals(surface, triangles)
    used = np.unique(triangles)
    low, high = points.min(axis=0) - 1, points.max(axis=0) + 1
    used = used[((surface[used] > low) & (surface[used] < high)).all(axis=1)]
    if len(used) == 0:
        return points
    nearest, distance = nearest_points(points, surface[used])
    normals = normals[used][nearest]
    height = ((points - surface[used][nearest]) * normals).sum(axis=1)
    lift = np.where(distance < 0.9**2, np.clip(gap - height, 0, None), 0)
    return np.asarray(points + normals * lift[:, None], np.float32)


def nearest_points(points: Points, others: Points) -> tuple[NDArray[np.intp], Points]:
    """For each of (n, 3) points the row of the nearest of (m, 3) others, (n,), and the squared distance, (n,)."""
    gaps = (others * others).sum(axis=1) - 2 * points @ others.T  # (n, m), short of |point|^2
    nearest = gaps.argmin(axis=1)
    away = points - others[nearest]
    return nearest, np.asarray((away * away).sum(axis=1), np.float32)
