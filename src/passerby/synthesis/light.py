# SPDX-License-Identifier: Apache-2.0
"""Light on figures and on the ground under them: sun or lamp with shadows, sky with occlusion, light from the ground.

Everything is linear light; a white surface that faces the whole light has about 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np

from . import raster
from .camera import Camera
from .figure import Floats, Indices, Points
from .raster import LightMap, compiled

# strength and exponent of the gloss, wrap of soft light round the form, sheen at grazing angles
MATERIALS: dict[str, tuple[float, float, float, float]] = {
    "cloth": (0.02, 6, 0.12, 0.10),
    "denim": (0.03, 8, 0.08, 0.05),
    "leather": (0.22, 26, 0.0, 0.04),
    "skin": (0.08, 14, 0.28, 0.05),
    "hair": (0.10, 20, 0.15, 0.06),
    "eye": (0.5, 60, 0.0, 0.0),
    "metal": (0.7, 40, 0.0, 0.1),
    "plastic": (0.35, 50, 0.0, 0.05),
    "card": (0.02, 6, 0.05, 0.0),
    "wood": (0.08, 16, 0.0, 0.0),
}
SUN_MAP_PX, SKY_MAP_PX = 256, 56


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """The light of one picture; colours are (3,) float32 linear RGB.

    `towards`: (3,) unit vector to the sun or lamp. `sun`, `sky`, `ground`: how strong each is. `name` tells the kind.
    """

    name: str
    towards: Points
    sun: Points
    sky: Points
    ground: Points


def _colour(kelvin_shift: float, strength: float) -> Points:
    """Strength times a white that is warm (shift > 0) or cold (< 0)."""
    return np.array([1 + 0.45 * kelvin_shift, 1.0, 1 - 0.55 * kelvin_shift], np.float32) * np.float32(strength)


def sample_light(rng: np.random.Generator, *, night: float = 0.12) -> Light:
    """Sunny, hazy, overcast, dusk or (share `night`) lamps at night. A grey card facing up gets about 1 by day."""
    kind = (
        "night"
        if rng.random() < night
        else str(rng.choice(["sunny", "hazy", "overcast", "dusk"], p=[0.3, 0.25, 0.35, 0.1]))
    )
    low, high, direct, diffuse, warm, blue = {
        "sunny": (18, 68, 0.72, 0.34, 0.10, 0.16),
        "hazy": (20, 65, 0.42, 0.60, 0.06, 0.06),
        "overcast": (40, 80, 0.10, 0.92, 0.0, 0.02),
        "dusk": (6, 18, 0.35, 0.55, 0.30, 0.20),
        "night": (35, 75, 0.75, 0.20, 0.35, -0.05),
    }[kind]
    height, around = np.radians(rng.uniform(low, high)), rng.uniform(0, 2 * np.pi)
    towards = np.array([np.cos(height) * np.sin(around), np.sin(height), np.cos(height) * np.cos(around)], np.float32)
    lit = float(direct * rng.uniform(0.8, 1.2))
    around_light = float(diffuse * rng.uniform(0.85, 1.15))
    warmth = float(warm * rng.uniform(0.5, 1.3))
    sky = _colour(-blue * rng.uniform(0.4, 1.2), around_light)
    bounce = (lit * float(np.sin(height)) + around_light) * rng.uniform(0.14, 0.34)
    # per unit of cosine, so that a low sun still lights what faces it
    return Light(
        name=kind,
        towards=towards,
        sun=_colour(warmth, lit / max(float(np.sin(height)), 0.45)),
        sky=sky,
        ground=_colour(warmth * 0.6, float(bounce)),
    )


def _sky_ways() -> list[tuple[Points, float]]:
    """Nine unit vectors into the sky with weights; a level surface under an open sky gets 1 in all."""
    rings = [(90.0, 0.0, 1.0)]
    rings += [(48.0, 90.0 * k + 20, 1.0) for k in range(4)] + [(14.0, 90.0 * k + 65, 0.8) for k in range(4)]
    ways = []
    for height, around, weight in rings:
        a, b = np.radians(height), np.radians(around)
        ways.append((np.array([np.cos(a) * np.sin(b), np.sin(a), np.cos(a) * np.cos(b)], np.float32), weight))
    total = sum(weight * float(way[1]) for way, weight in ways)
    return [(way, weight / total) for way, weight in ways]


SKY_WAYS = _sky_ways()
Skies = list[tuple[LightMap, float]]


def light_maps(points: Points, triangles: Indices, light: Light) -> tuple[LightMap, Skies]:
    """The sun's map of a figure, sharp, and coarse ones of some directions of the sky with their weights."""
    box = raster.bounds(points)
    sun = raster.light_map(points, light.towards, box, size=SUN_MAP_PX, triangles=triangles)
    skies = [(raster.light_map(points, way, box, size=SKY_MAP_PX), weight) for way, weight in SKY_WAYS]
    return sun, skies


def sky_share(points: Points, normals: Points, rows: Indices, skies: Skies) -> Floats:
    """What of the sky's light arrives at the vertices `rows`, (N,) float32; 1 for a level surface under an open sky."""
    share = np.zeros(len(points), np.float32)
    for sky, weight in skies:
        raster.add_sky_light(points, normals, rows, sky, 1.6 / sky.scale, weight, share)
    return share


class Surfaces(NamedTuple):
    """Of K pixels: `surface` row of `materials` (M, 4), `albedo` (K, 3) linear RGB, `relief` (K,) dm."""

    materials: Any
    surface: Any
    albedo: Any
    relief: Any


class Eye(NamedTuple):
    """The camera in compiled code: `position` (3,), `axes` (3, 3) right, up, forward, `focal_px`."""

    position: Any
    axes: Any
    focal_px: float


class _Lamp(NamedTuple):
    towards: Any
    sun: Any
    sky: Any
    ground: Any


@compiled
def look_up(textures: Any, surface: Any, uv: Any) -> Any:
    """Linear RGB (K, 3) float32 of the pictures at texture coordinates (K, 2), four texels mixed; grey without one."""
    out = np.full((len(surface), 3), np.float32(0.5))
    for i in range(len(surface)):
        offset, height, width = textures.places[surface[i]]
        if offset < 0:
            continue
        u, v = uv[i, 0] - np.floor(uv[i, 0]), 1.0 - (uv[i, 1] - np.floor(uv[i, 1]))
        x, y = u * width - 0.5, v * height - 0.5
        left, top = int(np.floor(x)), int(np.floor(y))
        fx, fy = x - left, y - top
        for channel in range(3):
            total = 0.0
            for dy in range(2):
                for dx in range(2):
                    row, column = min(max(top + dy, 0), height - 1), min(max(left + dx, 0), width - 1)
                    texel = textures.texels[offset + (row * width + column) * 4 + channel] / 255.0
                    total += (fx if dx else 1 - fx) * (fy if dy else 1 - fy) * texel * texel  # sRGB is nearly a square
            out[i, channel] = total
    return out


@compiled
def _bumped(i: int, samples: Any, rows: Any, grid: Any, eye: Any, out: Any) -> None:
    """Tilt the normal `out` (3,) by the relief's slope to the neighbours on the same surface."""
    y, x = samples.row[i], samples.column[i]
    depth = 0.0
    for k in range(3):
        depth += eye.axes[2, k] * (samples.point[i, k] - eye.position[k])
    step = depth / eye.focal_px * 10.0  # dm a pixel
    slopes = (_slope(i, y, x, 0, 1, rows, grid, step), _slope(i, y, x, 1, 0, rows, grid, step))
    for k in range(3):
        out[k] -= slopes[0] * eye.axes[0, k] - slopes[1] * eye.axes[1, k]
    length = np.sqrt(out[0] ** 2 + out[1] ** 2 + out[2] ** 2) + 1e-9
    for k in range(3):
        out[k] /= length


@compiled
def _slope(i: int, y: int, x: int, dy: int, dx: int, rows: Any, grid: Any, step: float) -> float:
    """Change of the relief a dm towards larger columns (or rows), at most 0.9."""
    height, width = grid.shape
    after = grid[y + dy, x + dx] if y + dy < height and x + dx < width else -1
    before = grid[y - dy, x - dx] if y >= dy and x >= dx else -1
    here = rows.surface[i]
    a = rows.relief[after] if after >= 0 and rows.surface[after] == here else rows.relief[i]
    b = rows.relief[before] if before >= 0 and rows.surface[before] == here else rows.relief[i]
    return float(min(max((a - b) / (2 * step), -0.9), 0.9))


@compiled
def _shade(samples: Any, rows: Any, grid: Any, points: Any, triangles: Any, lamp: Any, sun: Any, eye: Any) -> Any:
    out = np.zeros((len(samples.face), 3), np.float32)
    n, v = np.zeros(3, np.float64), np.zeros(3, np.float64)
    for i in range(len(samples.face)):
        a, b, c = triangles[samples.face[i]]
        length = 1e-9
        for k in range(3):
            v[k] = eye.position[k] - samples.point[i, k]
            n[k] = samples.normal[i, k]
            length += v[k] ** 2
        length = np.sqrt(length)
        side = 0.0
        for k in range(3):
            v[k] /= length
            k1, k2 = (k + 1) % 3, (k + 2) % 3
            u1, u2 = points[b, k1] - points[a, k1], points[b, k2] - points[a, k2]
            w1, w2 = points[c, k1] - points[a, k1], points[c, k2] - points[a, k2]
            side += (u1 * w2 - u2 * w1) * v[k]
        inside = side < 0
        if inside:
            n *= -1
        _bumped(i, samples, rows, grid, eye, n)
        strength, exponent, wrap, sheen = rows.materials[rows.surface[i]]
        facing = n[0] * lamp.towards[0] + n[1] * lamp.towards[1] + n[2] * lamp.towards[2]
        seen = 0.0
        if facing > -wrap:
            p = samples.point[i]
            m = samples.normal[i]
            seen = raster.lit_share(sun, p[0] + 0.015 * m[0], p[1] + 0.015 * m[1], p[2] + 0.015 * m[2], 0.012)
        direct = max(0.0, (facing + wrap) / (1 + wrap)) * seen
        outward = n[0] * v[0] + n[1] * v[1] + n[2] * v[2]
        # the relief changes how much sky a pixel sees: by the tilt of its normal against the vertex normal's
        tilt = 1 + 0.7 * (n[1] - (-samples.normal[i, 1] if inside else samples.normal[i, 1]))
        sky = (0.25 if inside else samples.sky[i] + 0.04) * tilt
        bounce = (0.5 - 0.5 * n[1]) * min(1.0, 0.3 + sky)
        rim = sheen * max(0.0, 1 - abs(outward)) ** 3 * sky
        half = 0.0
        if strength > 0 and seen > 0:
            half = max(
                0.0, n[0] * (v[0] + lamp.towards[0]) + n[1] * (v[1] + lamp.towards[1]) + n[2] * (v[2] + lamp.towards[2])
            )
            span = 2 + 2 * (v[0] * lamp.towards[0] + v[1] * lamp.towards[1] + v[2] * lamp.towards[2])
            half = strength * (half / np.sqrt(max(span, 1e-6))) ** exponent * seen * max(0.0, min(1.0, facing * 4))
        for k in range(3):
            diffuse = lamp.sun[k] * direct + lamp.sky[k] * sky + lamp.ground[k] * bounce
            out[i, k] = rows.albedo[i, k] * diffuse + lamp.sun[k] * half + lamp.sky[k] * (rim + 0.15 * strength * sky)
    return out


def shade(
    samples: Any, rows: Surfaces, grid: Any, points: Points, triangles: Indices, light: Light, sun: LightMap, eye: Eye
) -> Floats:
    """Light the visible pixels.

    Args:
        samples: raster.Samples of K pixels. grid: (H, W) int32, number of the sample at each pixel, -1 for none.
        points: (N, 3), triangles: (F, 3), for the side of a surface that is seen.
    Returns:
        (K, 3) float32 linear light.
    Source: diffuse light with a wrap, Blinn's gloss (Models of light reflection, 1977), a rim of sheen.
    """
    lamp = _Lamp(towards=light.towards, sun=light.sun, sky=light.sky, ground=light.ground)
    return np.asarray(_shade(samples, rows, grid, points, triangles, lamp, sun, eye), np.float32)


@compiled
def _shade_ground(x: Any, z: Any, ground: Any, sun: Any, out: Any) -> None:
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            if ground[row, column]:
                out[row, column] = raster.lit_share(sun, x[row, column], 0.004, z[row, column], 0.02)


def ground_shade(camera: Camera, size_hw: tuple[int, int], light: Light, sun: LightMap, skies: Skies) -> Floats:
    """What is left of the light on level ground around a figure: cast shadow and contact shadow, (H, W) float32."""
    height, width = size_hw
    columns, lines = np.meshgrid(np.arange(width, dtype=np.float32) + 0.5, np.arange(height, dtype=np.float32) + 0.5)
    x, z, ground = camera.ground_points(columns, lines)
    level, ambient = float(light.towards[1]) * float(light.sun.mean()), float(light.sky.mean())
    x, z = x.astype(np.float32), z.astype(np.float32)
    open_sky, direct = np.zeros(size_hw, np.float32), np.ones(size_hw, np.float32)
    for sky, weight in skies:
        lit = np.ones(size_hw, np.float32)
        _shade_ground(x, z, ground, sky, lit)
        open_sky += np.float32(weight * float(sky.axes[2, 1])) * lit
    _shade_ground(x, z, ground, sun, direct)
    # nine directions are not the whole sky: without the blur each would draw a shadow of its own
    spread = 0.05 * camera.focal_px / max(float(np.linalg.norm(camera.position)), 1.0)
    open_sky = np.asarray(cv2.GaussianBlur(open_sky, (0, 0), max(0.8, spread)), np.float32)
    direct = np.asarray(cv2.GaussianBlur(direct, (0, 0), max(0.5, 0.2 * spread)), np.float32)
    return (ambient * open_sky + level * direct) / np.float32(max(level + ambient, 1e-6))
