# SPDX-License-Identifier: Apache-2.0
"""One rendered street: several people in one camera's picture, with a box and a mask for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..types import ImageBgr
from .camera import Camera, aimed
from .crops import Stage, exposed
from .degrade import develop, sample_sensor
from .figure import Floats
from .light import Light, sample_light
from .people import PersonSpec
from .raster import bounds
from .scene import Figure, Layer, draw_layer, placed


@dataclass(frozen=True, slots=True, kw_only=True)
class StreetOptions:
    """How streets are made: size of the picture, how many people at most, how far away (m), share of dark scenes."""

    size_hw: tuple[int, int] = (720, 1280)
    most_people: int = 14
    nearest_m: float = 3.5
    farthest_m: float = 45.0
    night: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Street:
    """A rendered street. `persons`: for each visible one `bbox` and `full_bbox` (x, y, width, height px; the full one
    also where it is hidden or cut), `area` px, `segmentation` (COCO run lengths), `visibility` in [0, 1]."""

    image_bgr: ImageBgr
    persons: tuple[Mapping[str, Any], ...]
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A drawn person at (left, top) of the picture."""

    layer: Layer
    left: int
    top: int
    distance: float


def draw_street(
    rng: np.random.Generator,
    people: Sequence[tuple[PersonSpec, Figure]],
    stage: Stage,
    options: StreetOptions,
    *,
    photo: int,
) -> Street:
    """Draw some of `people`, some of them more than once, on one background. photo: its number."""
    height, width = options.size_hw
    camera = _camera(rng, options)
    light_now = sample_light(rng, night=options.night)
    scene, photo_name = stage.backgrounds.whole(rng, options.size_hw, photo=photo, horizon=camera.horizon())
    scene, exposure = exposed(rng, scene, light_now)
    count = int(rng.integers(1, options.most_people + 1))
    drawn = []
    order = rng.permutation(len(people))
    for number in range(count):
        figure = people[order[number % len(people)]][1]
        found = _person(rng, figure, camera, light_now, stage, options)
        if found is not None:
            drawn.append(found)
    drawn.sort(key=lambda one: -one.distance)
    for one in drawn:
        _darken(scene, one, float(rng.uniform(0.5, 0.95)))
    owner = np.full((height, width), -1, np.int32)
    for number, one in enumerate(drawn):
        _lay(scene, owner, one, exposure, number)
    sensor = sample_sensor(rng, native_px=180.0, dark=light_now.name == "night")
    persons = [_truth(one, owner == number, (height, width)) for number, one in enumerate(drawn)]
    return Street(
        image_bgr=develop(scene, sensor, rng),
        persons=tuple(person for person in persons if person is not None),
        parameters={
            "light": light_now.name,
            "background": photo_name,
            "camera_height_m": round(float(camera.position[1]), 2),
            "focal_px": round(camera.focal_px, 1),
        },
    )


def _camera(rng: np.random.Generator, options: StreetOptions) -> Camera:
    height, width = options.size_hw
    rise = float(rng.uniform(1.3, 2.0) if rng.random() < 0.5 else rng.uniform(2.0, 6.0))
    aim = float(rng.uniform(7, 16)) * (1 + 0.15 * rise)
    focal = width * float(np.exp(rng.uniform(np.log(0.6), np.log(1.5))))
    camera = aimed((0.0, rise, 0.0), (0.0, 0.6, -aim), focal_px=focal, roll=float(rng.normal(0, 0.8)))
    return camera.window(-width / 2, -height / 2)


def _person(
    rng: np.random.Generator, figure: Figure, camera: Camera, light: Light, stage: Stage, options: StreetOptions
) -> _Placed | None:
    """Somewhere in the camera's view; None where less than a few pixels of the person would be in the picture."""
    height, width = options.size_hw
    away = float(np.exp(rng.uniform(np.log(options.nearest_m), np.log(options.farthest_m))))
    half = away * width / (2 * camera.focal_px)
    stands = placed(figure, heading=float(rng.uniform(-180, 180)), x=float(rng.uniform(-1.05, 1.05)) * half, z=-away)
    screen = camera.project(stands.points)
    low, high = bounds(screen)
    if low[2] < 0.5:
        return None
    x1, y1 = np.floor(low[:2]).astype(int)
    x2, y2 = np.ceil(high[:2]).astype(int)
    tall = int(y2 - y1)
    if tall < 14 or x2 < 4 or y2 < 4 or x1 > width - 4 or y1 > height - 4 or tall > 2.2 * height:
        return None
    margin = round(0.45 * tall)  # room for the shadow
    left, top = int(x1) - margin, int(y1) - 2
    size = (int(y2) + margin // 3 - top, int(x2) + margin - left)
    fine = int(np.clip(np.ceil(240 / tall), 2, 5))
    layer = draw_layer(stands, camera.window(left, top), size, light, stage.store, fine=fine)
    return _Placed(layer=layer, left=left, top=top, distance=away)


def _overlap(one: _Placed, size_hw: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns of the picture that a layer covers, and the same of the layer."""
    height, width = one.layer.alpha.shape
    top, left = max(0, one.top), max(0, one.left)
    low, right = min(size_hw[0], one.top + height), min(size_hw[1], one.left + width)
    low, right = max(low, top), max(right, left)
    here = (slice(top, low), slice(left, right))
    return here, (slice(top - one.top, low - one.top), slice(left - one.left, right - one.left))


def _darken(scene: Floats, one: _Placed, strength: float) -> None:
    here, there = _overlap(one, (scene.shape[0], scene.shape[1]))
    scene[here] *= (1 - (1 - one.layer.shade[there]) * np.float32(strength))[..., None]


def _lay(scene: Floats, owner: NDArray[np.int32], one: _Placed, exposure: Floats, number: int) -> None:
    here, there = _overlap(one, (scene.shape[0], scene.shape[1]))
    alpha = one.layer.alpha[there][..., None]
    scene[here] = scene[here] * (1 - alpha) + one.layer.rgb[there] * exposure
    owner[here][alpha[..., 0] >= 0.5] = number


def _truth(one: _Placed, mask: NDArray[np.bool_], size_hw: tuple[int, int]) -> dict[str, Any] | None:
    """What the annotation says; None where under a tenth of the person, or under 12 px, is visible."""
    area = int(mask.sum())
    there = one.layer.alpha >= 0.5
    whole = int(there.sum())
    if area < 12 or area < 0.1 * whole:
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    full_rows, full_columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    return {
        "bbox": _box(rows, columns, 0, 0),
        "full_bbox": _box(full_rows, full_columns, one.top, one.left),
        "area": area,
        "visibility": round(area / whole, 3),
        "segmentation": run_lengths(mask),
    }


def _box(rows: NDArray[np.intp], columns: NDArray[np.intp], top: int, left: int) -> list[int]:
    x, y = int(columns[0]), int(rows[0])
    return [x + left, y + top, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y]


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """COCO's uncompressed run lengths of a mask (H, W): down the columns, first the count of what is outside.

    >>> run_lengths(np.array([[False, True], [True, True]]))
    {'size': [2, 2], 'counts': [1, 3]}
    """
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    ends = np.concatenate([[0], changes, [len(flat)]])
    counts = np.diff(ends).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if len(flat) and flat[0] else counts}
