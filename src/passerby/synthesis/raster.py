# SPDX-License-Identifier: Apache-2.0
"""The inner loops of the renderer, compiled by numba: a z-buffer, shadow maps, and light that arrives at vertices.

Nothing here knows a person: triangles, vertices and arrays to write into. `scene` packs figures for it, `light` shades
what it found. Needs the extra `synthesis`. Coordinates are metres, y up; pictures have their origin at the top left,
pixel centres at a half.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..errors import EngineError
from .figure import Floats, Indices, Points

try:
    from numba import njit
except ImportError:
    _hint = "pip install 'passerby[synthesis]'"
    raise EngineError("engine_missing", "rendering needs numba, which is not installed", hint=_hint) from None

NEAREST_M = 0.2
BY_PICTURE, BY_STRANDS = 1, 2
STRAND_ROWS = (-8.0, 12.0)
compiled = njit(cache=True, nogil=True, error_model="numpy")


class Textures(NamedTuple):
    """All pictures of a scene in one row of bytes; a named tuple, because compiled code takes those.

    `texels`: (B,) uint8, RGBA of all pictures, sRGB. `places`: (M, 3) int64, for each surface the offset of its picture
    (-1: none), its height and width.
    """

    texels: Any
    places: Any


class Holes(NamedTuple):
    """Where surfaces let light through.

    `kinds`: (M,) int8 for each surface: 0 nowhere, `BY_PICTURE`, `BY_STRANDS`. `pictures`: Textures whose alpha cuts.
    `thresholds`: (R, C) float32 in [0, 1], over the angle round the head and `STRAND_ROWS` of height (dm): a strand
    is there where the surface's cover is larger.
    """

    kinds: Any
    pictures: Any
    thresholds: Any


class Shape(NamedTuple):
    """A scene's triangles: `triangles` (F, 3) int32, `surface` (F,) int32, `corner_uv` (F, 3, 2) float32; of vertices
    `pattern` (N, 3) float32 dm and `cover` (N,) float32."""

    triangles: Any
    surface: Any
    corner_uv: Any
    pattern: Any
    cover: Any


class Buffers(NamedTuple):
    """What a z-buffer pass found, all (H, W).

    `nearness`: float32, 1 / depth in 1/m, 0 for nothing. `face`: int32 row of the triangle, -1 for nothing.
    `second`, `third`: float32 shares of the triangle's second and third corner.
    """

    nearness: Any
    face: Any
    second: Any
    third: Any


def new_buffers(height: int, width: int) -> Buffers:
    """Empty buffers of (height, width)."""
    shape = (height, width)
    return Buffers(
        nearness=np.zeros(shape, np.float32),
        face=np.full(shape, -1, np.int32),
        second=np.zeros(shape, np.float32),
        third=np.zeros(shape, np.float32),
    )


@compiled
def dither(x: int, y: int, salt: int) -> float:
    """A number in [0, 1) that looks random, from a place: no generator, so the order of drawing does not matter."""
    n = (x * 73856093) ^ (y * 19349663) ^ (salt * 83492791)
    n = ((n >> 13) ^ n) * 1274126177
    return ((n >> 8) & 0xFFFF) / 65536.0


@compiled
def texel_alpha(textures: Any, surface: int, u: float, v: float) -> float:
    """Alpha in [0, 1] of the nearest texel; v runs upwards, outside [0, 1) the picture repeats."""
    offset, height, width = textures.places[surface]
    if offset < 0:
        return 1.0
    column = int((u - np.floor(u)) * width) % width
    row = int((1.0 - (v - np.floor(v))) * height) % height
    return float(textures.texels[offset + (row * width + column) * 4 + 3]) / 255.0


@compiled
def is_hole(shape: Any, holes: Any, f: int, shares: tuple[float, float, float], x: int, y: int) -> bool:
    """Whether triangle f lets light through at pixel (x, y); shares of its three corners there."""
    surface = shape.surface[f]
    if holes.kinds[surface] == BY_PICTURE:
        u = v = 0.0
        for k in range(3):
            u += shares[k] * shape.corner_uv[f, k, 0]
            v += shares[k] * shape.corner_uv[f, k, 1]
        return bool(texel_alpha(holes.pictures, surface, u, v) < 0.12 + 0.76 * dither(x, y, surface))
    px = py = pz = cover = 0.0
    for k in range(3):
        vertex = shape.triangles[f, k]
        px += shares[k] * shape.pattern[vertex, 0]
        py += shares[k] * shape.pattern[vertex, 1]
        pz += shares[k] * shape.pattern[vertex, 2]
        cover += shares[k] * shape.cover[vertex]
    rows, columns = holes.thresholds.shape
    column = int((np.arctan2(px, pz + 0.2) / (2 * np.pi) + 0.5) * (columns - 1))
    row = int((py - STRAND_ROWS[0]) / (STRAND_ROWS[1] - STRAND_ROWS[0]) * (rows - 1))
    return bool(holes.thresholds[min(max(row, 0), rows - 1), column] >= cover)


@compiled
def draw(screen: Any, shape: Any, holes: Any, out: Any) -> None:
    """Draw triangles into buffers, nearest wins; both sides are drawn.

    Args:
        screen: (N, 3) float32, x and y in px, depth in m.
        out: Buffers, changed in place; triangles with a corner nearer than `NEAREST_M` are left out.
    """
    height, width = out.nearness.shape
    for f in range(len(shape.triangles)):
        a, b, c = shape.triangles[f]
        if min(screen[a, 2], screen[b, 2], screen[c, 2]) < NEAREST_M:
            continue
        xa, ya, xb, yb, xc, yc = screen[a, 0], screen[a, 1], screen[b, 0], screen[b, 1], screen[c, 0], screen[c, 1]
        area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        if abs(area) < 1e-7:
            continue
        left, right = max(0, int(np.ceil(min(xa, xb, xc) - 0.5))), min(width - 1, int(np.floor(max(xa, xb, xc) - 0.5)))
        top, low = max(0, int(np.ceil(min(ya, yb, yc) - 0.5))), min(height - 1, int(np.floor(max(ya, yb, yc) - 0.5)))
        ia, ib, ic = 1.0 / screen[a, 2], 1.0 / screen[b, 2], 1.0 / screen[c, 2]
        holed = holes.kinds[shape.surface[f]] > 0
        for y in range(top, low + 1):
            for x in range(left, right + 1):
                px, py = x + 0.5, y + 0.5
                wb = ((px - xa) * (yc - ya) - (xc - xa) * (py - ya)) / area
                wc = ((xb - xa) * (py - ya) - (px - xa) * (yb - ya)) / area
                wa = 1.0 - wb - wc
                if wa < 0 or wb < 0 or wc < 0:
                    continue
                nearness = wa * ia + wb * ib + wc * ic
                if nearness <= out.nearness[y, x]:
                    continue
                if holed and is_hole(shape, holes, f, (wa, wb, wc), x, y):
                    continue
                out.nearness[y, x] = nearness
                out.face[y, x] = f
                out.second[y, x] = wb
                out.third[y, x] = wc


class Samples(NamedTuple):
    """What is known of K visible pixels: `row`, `column` int32; `face` int32; `uv` (K, 2); `pattern` (K, 3) dm;
    `point` (K, 3) m; `normal` (K, 3) unit, as modelled; `sky` (K,) share of the sky's light, float32."""

    row: Any
    column: Any
    face: Any
    uv: Any
    pattern: Any
    point: Any
    normal: Any
    sky: Any


@compiled
def gather(buffers: Any, shape: Any, points: Any, normals: Any, sky: Any) -> Any:
    """Interpolate what vertices know at every visible pixel, row by row. points, normals: (N, 3); sky: (N,)."""
    count = 0
    height, width = buffers.face.shape
    for y in range(height):
        for x in range(width):
            count += buffers.face[y, x] >= 0
    row, column, face = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.int32)
    uv, pattern = np.zeros((count, 2), np.float32), np.zeros((count, 3), np.float32)
    point, normal = np.zeros((count, 3), np.float32), np.zeros((count, 3), np.float32)
    light = np.zeros(count, np.float32)
    i = 0
    for y in range(height):
        for x in range(width):
            f = buffers.face[y, x]
            if f < 0:
                continue
            row[i], column[i], face[i] = y, x, f
            second, third = buffers.second[y, x], buffers.third[y, x]
            for k in range(3):
                vertex = shape.triangles[f, k]
                share = np.float32(1 - second - third if k == 0 else second if k == 1 else third)
                light[i] += share * sky[vertex]
                for axis in range(2):
                    uv[i, axis] += share * shape.corner_uv[f, k, axis]
                for axis in range(3):
                    pattern[i, axis] += share * shape.pattern[vertex, axis]
                    point[i, axis] += share * points[vertex, axis]
                    normal[i, axis] += share * normals[vertex, axis]
            i += 1
    return Samples(row, column, face, uv, pattern, point, normal, light)


class LightMap(NamedTuple):
    """Depth of a figure as seen from a far light: (S, S) float32 metres along the light's way, large for nothing.

    `axes`: (3, 3) float32 rows right, up, towards the light. `centre`: (3,). `scale`: px a metre.
    """

    depth: Any
    axes: Any
    centre: Any
    scale: float


@compiled
def light_place(light: Any, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Column, row (px) and distance from the light (m, relative) of a point."""
    dx, dy, dz = x - light.centre[0], y - light.centre[1], z - light.centre[2]
    axes = light.axes
    half = light.depth.shape[0] / 2
    column = (axes[0, 0] * dx + axes[0, 1] * dy + axes[0, 2] * dz) * light.scale + half
    row = half - (axes[1, 0] * dx + axes[1, 1] * dy + axes[1, 2] * dz) * light.scale
    return column, row, -(axes[2, 0] * dx + axes[2, 1] * dy + axes[2, 2] * dz)


@compiled
def draw_light_map(points: Any, triangles: Any, light: Any) -> None:
    """Fill a light map with the triangles of a figure. points: (N, 3) m. triangles: (F, 3)."""
    size = light.depth.shape[0]
    for f in range(len(triangles)):
        a, b, c = triangles[f]
        xa, ya, za = light_place(light, points[a, 0], points[a, 1], points[a, 2])
        xb, yb, zb = light_place(light, points[b, 0], points[b, 1], points[b, 2])
        xc, yc, zc = light_place(light, points[c, 0], points[c, 1], points[c, 2])
        area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        if abs(area) < 1e-7:
            continue
        left, right = max(0, int(np.ceil(min(xa, xb, xc) - 0.5))), min(size - 1, int(np.floor(max(xa, xb, xc) - 0.5)))
        top, low = max(0, int(np.ceil(min(ya, yb, yc) - 0.5))), min(size - 1, int(np.floor(max(ya, yb, yc) - 0.5)))
        for y in range(top, low + 1):
            for x in range(left, right + 1):
                wb = ((x + 0.5 - xa) * (yc - ya) - (xc - xa) * (y + 0.5 - ya)) / area
                wc = ((xb - xa) * (y + 0.5 - ya) - (x + 0.5 - xa) * (yb - ya)) / area
                if wb < 0 or wc < 0 or wb + wc > 1:
                    continue
                z = za + wb * (zb - za) + wc * (zc - za)
                if z < light.depth[y, x]:
                    light.depth[y, x] = z


@compiled
def splat_light_map(points: Any, light: Any) -> None:
    """Fill a coarse light map with points alone, each 2 x 2 px: enough for soft light, ten times quicker."""
    size = light.depth.shape[0]
    for i in range(len(points)):
        column, row, z = light_place(light, points[i, 0], points[i, 1], points[i, 2])
        x, y = int(column - 0.5), int(row - 0.5)
        for v in range(y, y + 2):
            for u in range(x, x + 2):
                if 0 <= u < size and 0 <= v < size and z < light.depth[v, u]:
                    light.depth[v, u] = z


@compiled
def lit_share(light: Any, x: float, y: float, z: float, bias: float) -> float:
    """Share of light in [0, 1] that reaches a point: four neighbours of the map, blended."""
    size = light.depth.shape[0]
    column, row, depth = light_place(light, x, y, z)
    column -= 0.5
    row -= 0.5
    u, v = int(np.floor(column)), int(np.floor(row))
    if u < 0 or v < 0 or u + 1 >= size or v + 1 >= size:
        return 1.0
    fu, fv = column - u, row - v
    nearest = depth - bias
    total = (1 - fu) * (1 - fv) if light.depth[v, u] >= nearest else 0.0
    total += fu * (1 - fv) if light.depth[v, u + 1] >= nearest else 0.0
    total += (1 - fu) * fv if light.depth[v + 1, u] >= nearest else 0.0
    total += fu * fv if light.depth[v + 1, u + 1] >= nearest else 0.0
    return total


@compiled
def visible_vertices(buffers: Any, shape: Any) -> Any:
    """Rows (K,) int32 of the vertices whose triangles have a pixel."""
    marked = np.zeros(len(shape.pattern), np.bool_)
    height, width = buffers.face.shape
    for y in range(height):
        for x in range(width):
            f = buffers.face[y, x]
            if f >= 0:
                for k in range(3):
                    marked[shape.triangles[f, k]] = True
    return np.flatnonzero(marked).astype(np.int32)


@compiled
def add_sky_light(points: Any, normals: Any, rows: Any, light: Any, bias: float, weight: float, out: Any) -> None:
    """Add to `out` (N,) what one direction of the sky gives to the vertices `rows`: weight x cosine x visibility."""
    towards = light.axes[2]
    for i in rows:
        cosine = normals[i, 0] * towards[0] + normals[i, 1] * towards[1] + normals[i, 2] * towards[2]
        if cosine > 0:
            x, y, z = points[i, 0], points[i, 1], points[i, 2]
            lift = 0.012
            seen = lit_share(light, x + lift * normals[i, 0], y + lift * normals[i, 1], z + lift * normals[i, 2], bias)
            out[i] += weight * cosine * seen


@compiled
def vertex_normals(points: Any, triangles: Any) -> Any:
    """Area-weighted unit normals (N, 3) float32; zero for vertices without a triangle."""
    normals = np.zeros_like(points)
    for f in range(len(triangles)):
        a, b, c = triangles[f]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in (a, b, c):
            normals[corner, 0] += nx
            normals[corner, 1] += ny
            normals[corner, 2] += nz
    for i in range(len(normals)):
        length = np.sqrt(normals[i, 0] ** 2 + normals[i, 1] ** 2 + normals[i, 2] ** 2)
        if length > 1e-12:
            for k in range(3):
                normals[i, k] /= length
    return normals


@compiled
def bounds(points: Any) -> Any:
    """Lowest and highest x, y, z of points (N, 3), as (2, 3); one pass, where numpy needs two slow ones."""
    found = np.empty((2, 3), np.float32)
    for k in range(3):
        found[0, k], found[1, k] = np.inf, -np.inf
    for i in range(len(points)):
        for k in range(3):
            found[0, k] = min(found[0, k], points[i, k])
            found[1, k] = max(found[1, k], points[i, k])
    return found


def light_map(points: Points, towards: Floats, box: Points, *, size: int, triangles: Indices | None = None) -> LightMap:
    """The depth of a figure as a far light sees it.

    Args:
        points: (N, 3) float32 m. towards: (3,) unit vector to the light. box: (2, 3), see `bounds`.
        triangles: (F, 3) for a sharp map; None splats the points alone.
    """
    side = np.array([0, 1, 0], np.float32) if abs(towards[1]) < 0.95 else np.array([1, 0, 0], np.float32)
    right = np.cross(side, towards)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(towards, right), towards]).astype(np.float32)
    low, high = box
    reach = float(np.linalg.norm(high - low)) / 2 + 0.1
    light = LightMap(
        depth=np.full((size, size), 1e9, np.float32),
        axes=axes,
        centre=((low + high) / 2).astype(np.float32),
        scale=size / (2 * reach),
    )
    if triangles is None:
        splat_light_map(points, light)
    else:
        draw_light_map(points, triangles, light)
    return light
