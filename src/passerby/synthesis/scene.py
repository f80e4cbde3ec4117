# SPDX-License-Identifier: Apache-2.0
"""A person's meshes made ready for drawing, and the picture of one person alone: a layer to lay over anything.

`people` gives the meshes, `camera` the place, `light` the light; `crops` and `streets` lay the layers over each other.
Layers are linear light, as everything before the sensor (`degrade`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from . import fabric, light, raster
from .camera import Camera
from .figure import BODY_VERTICES, Floats, Points
from .light import Light
from .parts import PART_IDS
from .people import Mesh
from .raster import Holes, Samples, Shape
from .textures import TextureStore

# Bands of the body by canonical height, dm, from the top; arms are apart. Numbers of band pictures, 0 is nothing.
BANDS = ("head", "chest", "hips", "thighs", "shins", "feet", "upper_arms", "forearms")
BAND_IDS = {name: number for number, name in enumerate(BANDS, start=1)}
_BAND_HEIGHTS = (6.25, 3.0, -0.2, -4.0, -7.4)
NOT_BODY = frozenset({"backpack", "shoulder_bag", "hand_bag", "held", "stick", "umbrella"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One person, packed: world `points` (N, 3) m and `normals` (N, 3), `shape`, and a look and a part for each mesh.

    `body`: (13380, 3) m, the body's vertices among them. `yaw`: degrees the trunk is turned from +z towards +x.
    """

    points: Points
    normals: Points
    shape: Shape
    meshes: tuple[Mesh, ...]
    body: Points
    yaw: float

    @property
    def height_m(self) -> float:
        low, high = raster.bounds(self.points)
        return float(high[1] - low[1])


def pack(meshes: Sequence[Mesh]) -> Figure:
    """Join the meshes of one person (dm) to a figure at the origin, facing +z."""
    starts = np.cumsum([0] + [len(mesh.points) for mesh in meshes])
    triangles = np.concatenate([m.triangles + s for m, s in zip(meshes, starts, strict=False)]).astype(np.int32)
    surface = np.repeat(np.arange(len(meshes), dtype=np.int32), [len(m.triangles) for m in meshes])
    points = np.concatenate([m.points for m in meshes]).astype(np.float32) / np.float32(10)
    cover = [np.ones(len(m.points), np.float32) if m.cover is None else m.cover for m in meshes]
    shape = Shape(
        triangles=triangles,
        surface=surface,
        corner_uv=np.concatenate([m.corner_uv for m in meshes]).astype(np.float32),
        pattern=np.concatenate([m.pattern for m in meshes]).astype(np.float32),
        cover=np.concatenate(cover).astype(np.float32),
    )
    place = next(i for i, m in enumerate(meshes) if m.name == "body")
    body = points[starts[place] : starts[place] + BODY_VERTICES]
    return Figure(
        points=points,
        normals=raster.vertex_normals(points, triangles),
        shape=shape,
        meshes=tuple(meshes),
        body=body,
        yaw=_trunk_yaw(body, meshes[place].pattern),
    )


def _trunk_yaw(body: Points, pattern: Floats) -> float:
    """Where chest and hips face, degrees from +z towards +x: across the shoulders and across the hips, averaged."""
    x, y = pattern[:BODY_VERTICES, 0], pattern[:BODY_VERTICES, 1]
    across = np.zeros(3)
    for low, high, least in ((4.6, 5.6, 0.9), (0.2, 1.2, 0.7)):
        belt = (y > low) & (y < high) & (np.abs(x) > least) & (np.abs(x) < 1.7)
        step = body[belt & (x > 0)].mean(axis=0) - body[belt & (x < 0)].mean(axis=0)
        across += step / max(float(np.linalg.norm(step)), 1e-6)
    return float(np.degrees(np.arctan2(-across[2], across[0])))


def placed(figure: Figure, *, heading: float, x: float = 0.0, z: float = 0.0) -> Figure:
    """The figure turned by `heading` degrees (0 faces +z, 90 faces +x) and moved to (x, z) m on the ground."""
    angle = np.radians(heading)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]], np.float32)
    shift = np.array([x, 0, z], np.float32)
    return replace(
        figure,
        points=figure.points @ turn.T + shift,
        normals=np.ascontiguousarray(figure.normals @ turn.T),
        body=figure.body @ turn.T + shift,
        yaw=figure.yaw + heading,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A drawn person. H, W is the window's size; the fine pictures have `fine` times as many rows and columns.

    Attributes:
        rgb: (H, W, 3) float32 linear light, multiplied by alpha. alpha: (H, W) float32.
        shade: (H, W) float32, what is left of the light on the ground.
        parts: (H*fine, W*fine) uint8, `parts.PART_IDS`. bands: the same, `BAND_IDS`. marks: the same, bool.
        albedo: (H*fine, W*fine, 3) float32 linear RGB, where there is a part.
    """

    rgb: Floats
    alpha: Floats
    shade: Floats
    parts: NDArray[np.uint8]
    bands: NDArray[np.uint8]
    marks: NDArray[np.bool_]
    albedo: Floats
    fine: int


def draw_layer(
    figure: Figure, camera: Camera, size_hw: tuple[int, int], light_now: Light, store: TextureStore, *, fine: int = 2
) -> Layer:
    """Draw one person.

    Args:
        camera: its picture's origin is the window's. size_hw: of the window, px.
        fine: samples a pixel, in each direction.
    """
    height, width = size_hw
    sharp = camera.window(0, 0, scale=fine)
    screen = sharp.project(figure.points)
    textures, holes = _tables(figure, store, small=_tall(screen) < 260)
    buffers = raster.new_buffers(height * fine, width * fine)
    raster.draw(screen, figure.shape, holes, buffers)
    sun, skies = light.light_maps(figure.points, figure.shape.triangles, light_now)
    sky = light.sky_share(figure.points, figure.normals, raster.visible_vertices(buffers, figure.shape), skies)
    samples = raster.gather(buffers, figure.shape, figure.points, figure.normals, sky)
    surface = figure.shape.surface[samples.face]
    albedo, relief, marks = _paint(figure, samples, surface, textures)
    grid = np.full((height * fine, width * fine), -1, np.int32)
    grid[samples.row, samples.column] = np.arange(len(surface), dtype=np.int32)
    rows = light.Surfaces(materials=_materials(figure), surface=surface, albedo=albedo, relief=relief)
    view = light.Eye(position=sharp.position, axes=sharp.axes, focal_px=sharp.focal_px)
    rgb = light.shade(samples, rows, grid, figure.points, figure.shape.triangles, light_now, sun, view)
    return _layer(figure, samples, surface, rgb, albedo, marks, camera, light_now, sun, skies, (height, width, fine))


def _tall(screen: Points) -> float:
    """Height in px of what covers screen points."""
    low, high = raster.bounds(screen)
    return float(high[1] - low[1])


def _layer(
    figure: Figure,
    samples: Samples,
    surface: NDArray[np.int32],
    rgb: Floats,
    albedo: Floats,
    marks: NDArray[np.bool_],
    camera: Camera,
    light_now: Light,
    sun: Any,
    skies: Any,
    size: tuple[int, int, int],
) -> Layer:
    height, width, fine = size
    big = (height * fine, width * fine)
    part_of = np.array([PART_IDS[m.part] for m in figure.meshes], np.uint8)
    body_mesh = np.array([m.part not in NOT_BODY for m in figure.meshes])
    parts, bands, seen = np.zeros(big, np.uint8), np.zeros(big, np.uint8), np.zeros(big, np.bool_)
    colour, base = np.zeros((*big, 4), np.float32), np.zeros((*big, 3), np.float32)
    at = (samples.row, samples.column)
    parts[at] = part_of[surface]
    bands[at] = np.where(body_mesh[surface], band_of(samples.pattern), 0)
    seen[at], base[at] = marks, albedo
    colour[at] = np.concatenate([rgb, np.ones((len(rgb), 1), np.float32)], axis=1)
    small: Any = cv2.resize(colour, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, 4)
    return Layer(
        rgb=small[..., :3],
        alpha=small[..., 3],
        shade=light.ground_shade(camera, (height, width), light_now, sun, skies),
        parts=parts,
        bands=bands,
        marks=seen,
        albedo=base,
        fine=fine,
    )


def band_of(pattern: Floats) -> NDArray[np.uint8]:
    """Band numbers (K,) of pattern coordinates (K, 3) dm."""
    x, y = np.abs(pattern[:, 0]), pattern[:, 1]
    band = 1 + np.searchsorted(-np.array(_BAND_HEIGHTS), -y)
    arm = (y < 5.6) & (y > -2.5) & (x > 1.75 + 0.12 * np.clip(2.8 - y, 0, 3))
    band[arm & (y > 2.7)] = BAND_IDS["upper_arms"]
    band[arm & (y <= 2.7)] = BAND_IDS["forearms"]
    return band.astype(np.uint8)


@cache
def _strand_thresholds() -> Floats:
    """The threshold picture of `raster.Holes`, taken from `fabric.strands`."""
    low, high = raster.STRAND_ROWS
    angles, heights = np.meshgrid(np.linspace(-np.pi, np.pi, 1024), np.linspace(low, high, 400))
    points = np.stack([np.sin(angles), heights, np.cos(angles) - 0.2], axis=-1).reshape(-1, 3)
    return np.ascontiguousarray(fabric.strands(points).reshape(400, 1024), np.float32)


def _tables(figure: Figure, store: TextureStore, *, small: bool) -> tuple[raster.Textures, Holes]:
    size = 1 if small else 0
    colours, alphas, kinds = [], [], []
    for look in (mesh.look for mesh in figure.meshes):
        colour = None if look.texture is None else store.place(look.texture, size=size)
        alpha = store.place(look.alpha, size=size) if isinstance(look.alpha, Path) else colour
        holed = alpha is not None and alpha[3] and (look.alpha is not None or look.material == "hair")
        kinds.append(raster.BY_STRANDS if look.alpha == "strands" else raster.BY_PICTURE if holed else 0)
        colours.append(colour)
        alphas.append(alpha)
    pictures = store.tables(alphas)
    holes = Holes(kinds=np.array(kinds, np.int8), pictures=pictures, thresholds=_strand_thresholds())
    return store.tables(colours), holes


def _materials(figure: Figure) -> Floats:
    return np.array([light.MATERIALS[mesh.look.material] for mesh in figure.meshes], np.float32)


def _paint(
    figure: Figure, samples: Samples, surface: NDArray[np.int32], textures: raster.Textures
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Albedo (K, 3) linear, relief (K,) dm and marks (K,) of all visible pixels, mesh by mesh."""
    count = len(surface)
    albedo, relief, marks = np.zeros((count, 3), np.float32), np.zeros(count, np.float32), np.zeros(count, np.bool_)
    pictures = light.look_up(textures, surface, samples.uv)
    order = np.argsort(surface.astype(np.int16), kind="stable")  # 16 bits are sorted by counting
    ends = np.searchsorted(surface[order], np.arange(len(figure.meshes) + 1))
    for number, mesh in enumerate(figure.meshes):
        rows = order[ends[number] : ends[number + 1]]
        if not len(rows):
            continue
        look, pattern = mesh.look, samples.pattern[rows]
        if look.texture is None or look.tinted:
            colour, marks[rows] = fabric.paint(look, pattern)
            if look.texture is not None:
                grey = pictures[rows] @ np.array([0.2126, 0.7152, 0.0722], np.float32)
                colour = colour * (grey / max(float(grey.mean()), 1e-3)).clip(0.3, 2.2)[:, None]
        else:
            colour = pictures[rows]
            if look.pattern != "plain":
                marks[rows] = fabric.paint(look, pattern)[1]
        # pictures of skin are lit brightly: their albedo is a fifth lower
        albedo[rows] = colour * np.array(look.tint, np.float32) * np.float32(0.8 if look.material == "skin" else 1.0)
        if look.material in ("cloth", "denim"):
            relief[rows] = fabric.height(look, pattern)
    return albedo.clip(0.0, 1.0), relief, marks
