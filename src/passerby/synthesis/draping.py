# SPDX-License-Identifier: Apache-2.0
"""What cloth does after the pose: skirts and coats make way for the legs and swing, hems get an edge.

Fed by `people` with posed meshes; lengths are decimetres.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from .clothing import Topology, neighbour_mean, vertex_normals
from .figure import BaseAssets, Floats, Indices, Points

LEG_BONES = (("thigh_l", "calf_l"), ("calf_l", "foot_l"), ("thigh_r", "calf_r"), ("calf_r", "foot_r"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Legs:
    """Posed legs as capsules: `starts`, `ends` (4, 3) bone ends, `radii` (4, r) dm from start to end."""

    starts: Points
    ends: Points
    radii: Points


def posed_legs(base: BaseAssets, here: Points, radii: Points) -> Legs:
    """Legs of a posed figure; here: (53, 3) posed bone heads, radii: from `wardrobe.leg_radii`."""
    starts = np.stack([here[base.bone(a)] for a, _ in LEG_BONES])
    ends = np.stack([here[base.bone(b)] for _, b in LEG_BONES])
    return Legs(starts=starts, ends=ends, radii=radii)


def hang(points: Points, joined: Topology, legs: Legs, *, gap: float, sway: tuple[float, float]) -> Points:
    """Let the part of a garment below the hips swing and clear the legs.

    Args:
        points: (n, 3) posed. gap: what lies between skin and cloth. sway: sideways and forward swing at knee height.
    """
    hip = float(legs.starts[[0, 2], 1].mean())
    knee = float(legs.ends[[0, 2], 1].mean())
    depth = np.clip((hip - points[:, 1]) / max(hip - knee, 1.0), 0, 1.8)
    moved = points + (depth**1.5)[:, None] * np.array([sway[0], 0, sway[1]], np.float32)
    loose = np.clip(2 * depth, 0, 1)[:, None].astype(np.float32)
    for _ in range(3):
        moved = _clear(moved, legs, gap)
        moved = moved + 0.5 * loose * joined.inside[:, None] * (neighbour_mean(moved, joined) - moved)
    return _clear(moved, legs, gap)


def _clear(points: Points, legs: Legs, gap: float) -> Points:
    out = np.array(points, np.float32)
    steps = np.linspace(0, 1, legs.radii.shape[1])
    for start, end, radii in zip(legs.starts, legs.ends, legs.radii, strict=True):
        axis = end - start
        along = ((out - start) @ axis / (axis @ axis)).clip(0, 1)
        away = out - (start + along[:, None] * axis)
        distance = np.sqrt((away * away).sum(axis=1)).clip(1e-3)
        lift = (np.interp(along, steps, radii) + gap - distance).clip(0)
        lift[along <= 0] = 0  # above the hip the body itself shapes the cloth
        out += away * (lift / distance)[:, None]
    return np.asarray(out, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rim:
    """The inner edge of a hem: `rows` (r,) border vertices it repeats twice, `triangles` (t, 3) to add."""

    rows: Indices
    triangles: Indices


def rim_of(joined: Topology, count: int) -> Rim:
    """Plan the edge of a garment with `count` vertices: over the border, and a hand's breadth up inside."""
    rows, places = np.unique(joined.rim, return_inverse=True)
    edges = places.reshape(-1, 2).astype(np.int32)
    rings: tuple[Indices, ...] = (rows[edges], count + edges, count + len(rows) + edges)
    strips = []
    for upper, lower in itertools.pairwise(rings):
        strips.append(np.stack([upper[:, 1], upper[:, 0], lower[:, 0]], axis=1))
        strips.append(np.stack([upper[:, 1], lower[:, 0], lower[:, 1]], axis=1))
    return Rim(rows=rows.astype(np.int32), triangles=np.concatenate(strips).astype(np.int32))


def edge_points(points: Points, triangles: Indices, joined: Topology, rim: Rim, *, thickness: float) -> Floats:
    """Points of the inner edge, (2r, 3): the border moved inwards, then up along the inside of the cloth."""
    normals = vertex_normals(points, triangles)[rim.rows]
    inward = points[rim.rows] - normals * np.float32(thickness)
    inside = neighbour_mean(points, joined)[rim.rows]
    deeper = points[rim.rows] + 1.6 * (inside - points[rim.rows]) - normals * np.float32(thickness)
    return np.concatenate([inward, deeper]).astype(np.float32)
