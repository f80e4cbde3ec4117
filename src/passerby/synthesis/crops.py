# SPDX-License-Identifier: Apache-2.0
"""One rendered crop: a person in a place, seen by a camera, with whatever stands behind and in front of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..types import ImageBgr
from . import camera as cameras
from .backgrounds import Backgrounds
from .camera import Camera, View
from .degrade import Sensor, develop, sample_sensor, to_srgb
from .figure import Floats
from .light import Light, sample_light
from .occluders import occluder
from .people import PersonSpec, Wardrobe, build_person
from .raster import bounds
from .scene import Figure, Layer, draw_layer, pack, placed
from .textures import TextureStore
from .visible_labels import VIEWS, Evidence, count_pixels, part_shares, view_of, visible_labels

VIEW_SECTORS = {"front": (0.0, 45.0), "side": (45.0, 135.0), "back": (135.0, 180.0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CropOptions:
    """How crops are made.

    Attributes:
        size_hw: of the written picture; None keeps the native size.
        frequencies: of `front`, `side`, `back` here; `sampling.sample_person` reads the other labels.
        night, occluded, cut, company: shares of dark scenes, of things in front, of people cut by the picture's border,
            of other people in the picture.
        lowest_px, highest_px: native height of the whole person.
    """

    size_hw: tuple[int, int] | None = (256, 192)
    frequencies: Mapping[str, float] = field(default_factory=dict)
    night: float = 0.1
    occluded: float = 0.22
    cut: float = 0.2
    company: float = 0.3
    lowest_px: float = 40.0
    highest_px: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A rendered crop.

    `image_bgr`: (H, W, 3) uint8. `labels`: (C,) int8 in the order of `visible_labels.LABELS`. `parameters`: everything
    that was drawn by lot, for `crops.csv`. `shares`: visible share of each part.
    """

    image_bgr: ImageBgr
    labels: NDArray[np.int8]
    parameters: Mapping[str, Any]
    shares: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What drawing needs beside the person: textures in memory, backgrounds, options."""

    store: TextureStore
    backgrounds: Backgrounds
    options: CropOptions


def render_crop(
    spec: PersonSpec,
    *,
    assets: Wardrobe,
    seed: int = 0,
    backgrounds: Backgrounds | None = None,
    options: CropOptions | None = None,
) -> Crop:
    """Render one crop of a person; the same arguments give the same bytes.

    Args:
        spec: who; see `people.PersonSpec`. assets: the opened asset folder.
        seed: of camera, light, background and sensor.
    """
    stage = Stage(
        store=TextureStore(), backgrounds=backgrounds or Backgrounds(), options=options or CropOptions(company=0.0)
    )
    figure = pack(build_person(assets, spec))
    return draw_crop(np.random.default_rng(seed), spec, figure, stage, others=(), photo=seed)


def draw_crop(
    rng: np.random.Generator, spec: PersonSpec, figure: Figure, stage: Stage, *, others: Sequence[Figure], photo: int
) -> Crop:
    """Draw a packed figure once. others: who may stand near. photo: number of the background."""
    options = stage.options
    view = cameras.sample_view(rng, lowest_px=options.lowest_px, highest_px=options.highest_px)
    heading = _heading(rng, options.frequencies) - figure.yaw
    turned = placed(figure, heading=heading)
    camera = cameras.camera_for(view, turned.points)
    (x1, y1, _), (x2, y2, _) = bounds(camera.project(turned.points)).tolist()
    left, top, width, height, cut = _window(rng, (x1, y1, x2, y2), options.cut)
    margin_l, margin_t, whole_hw = _whole_window((x1, y1, x2, y2), (left, top, width, height))
    light_now = sample_light(rng, night=options.night)
    drawing = camera.window(margin_l, margin_t)
    fine = int(np.clip(np.ceil(330 / view.native_px), 2, 5))
    layer = draw_layer(turned, drawing, whole_hw, light_now, stage.store, fine=fine)
    scene, photo_name = stage.backgrounds.window(rng, whole_hw, photo=photo, horizon=drawing.horizon())
    scene, exposure = exposed(rng, scene, light_now)
    near, company = _company(rng, others, options.company, drawing, whole_hw, light_now, stage)
    scene = _lay(scene * _strength(layer.shade, rng)[..., None], [one for one, front in near if not front], exposure)
    scene = _lay(scene, [layer], exposure)
    in_front = [one for one, front in near if front]
    scene = _lay(scene, in_front, exposure)
    covered = np.max([one.alpha for one in in_front], axis=0) if in_front else np.zeros(whole_hw, np.float32)
    thing = ""
    if rng.random() < options.occluded:
        box = (x1 - margin_l, y1 - margin_t, x2 - margin_l, y2 - margin_t)
        thing, picture = occluder(rng, whole_hw, box)
        scene = scene * (1 - picture[..., 3:]) + picture[..., :3] * exposure * float(_level(light_now))
        covered = np.maximum(covered, picture[..., 3])
    part = (slice(top - margin_t, top - margin_t + height), slice(left - margin_l, left - margin_l + width))
    visible = np.zeros(whole_hw, np.bool_)
    visible[part] = covered[part] < 0.5
    sensor = sample_sensor(rng, native_px=view.native_px, dark=light_now.name == "night")
    image = _sized(develop(scene[part], sensor, rng), options.size_hw, rng)
    evidence = _evidence(layer, visible, turned, camera, view, sensor, scene)
    parameters = {
        "person": spec.name, "view": view_of(evidence.yaw) or "", "yaw": round(evidence.yaw, 1), **_rounded(view),
        "light": light_now.name, "background": photo_name, "exposure": round(float(exposure.mean()), 3), "cut": cut,
        "occluder": thing, "company": company, "native_hw": f"{height}x{width}", **_sensor_fields(sensor),
        "visible": round(evidence.visible_share, 3), "sharp_px": round(evidence.sharp_px, 1),
    }  # fmt: skip
    return Crop(
        image_bgr=image,
        labels=visible_labels(evidence, spec, turned),
        parameters=parameters,
        shares=part_shares(evidence),
    )


def _heading(rng: np.random.Generator, frequencies: Mapping[str, float]) -> float:
    """Where the trunk shall face, degrees from the camera."""
    shares = np.array([frequencies.get(v, d) for v, d in zip(VIEWS, (0.42, 0.30, 0.28), strict=True)], np.float64)
    low, high = VIEW_SECTORS[str(rng.choice(VIEWS, p=shares / shares.sum()))]
    return float(rng.uniform(low, high) * rng.choice([-1, 1]))


Box = tuple[float, float, float, float]


def _window(rng: np.random.Generator, box: Box, share: float) -> tuple[int, int, int, int, str]:
    """The crop's left, top, width, height in px: the person's box as a detector gives it, or cut by the border."""
    x1, y1, x2, y2 = box
    w, h = x2 - x1, y2 - y1
    loose = float(rng.choice([0.02, 0.05, 0.12], p=[0.5, 0.35, 0.15]))
    sides = rng.normal(0.5, 0.8, 4) * loose * np.array([max(w, 0.3 * h), h, max(w, 0.3 * h), h])
    x1, y1, x2, y2 = x1 - sides[0], y1 - sides[1], x2 + sides[2], y2 + sides[3]
    cut = ""
    if rng.random() < share:
        cut = str(rng.choice(["low", "left", "right", "top"], p=[0.58, 0.17, 0.17, 0.08]))
        if cut == "low":
            y2 -= h * float(rng.uniform(0.1, 0.6))
        elif cut == "top":
            y1 += h * float(rng.uniform(0.05, 0.3))
        elif cut == "left":
            x1 += w * float(rng.uniform(0.1, 0.5))
        else:
            x2 -= w * float(rng.uniform(0.1, 0.5))
    left, top = int(np.floor(x1)), int(np.floor(y1))
    return left, top, max(8, round(x2 - left)), max(8, round(y2 - top)), cut


def _whole_window(box: Box, crop: tuple[int, int, int, int]) -> tuple[int, int, tuple[int, int]]:
    """Left, top and (height, width) of the window that holds the crop and the whole person."""
    left, top, width, height = crop
    x1, y1 = min(left, int(np.floor(box[0]))), min(top, int(np.floor(box[1])))
    x2, y2 = max(left + width, int(np.ceil(box[2]))), max(top + height, int(np.ceil(box[3])))
    return x1, y1, (y2 - y1, x2 - x1)


def _level(light: Light) -> float:
    """Light on a level white surface."""
    return float(light.sun.mean() * light.towards[1] + light.sky.mean())


def exposed(rng: np.random.Generator, scene: Floats, light: Light) -> tuple[Floats, Floats]:
    """The background as bright as this light makes it, and the exposure that people need to fit it."""
    mean = scene.mean(axis=(0, 1))
    if light.name == "night":
        dark = float(rng.uniform(0.12, 0.42))
        scene = scene * dark * np.array([1.1, 1.0, 0.85], np.float32)
        return scene.astype(np.float32), np.full(3, dark * float(rng.uniform(0.7, 1.6)), np.float32)
    brightness = float(np.clip(mean.mean() / 0.27, 0.4, 1.5) ** 0.75 * np.exp(rng.normal(0, 0.22)))
    cast = (mean / max(float(mean.mean()), 1e-3)) ** 0.25  # what is around colours the light a little
    return scene, np.asarray(brightness * cast / max(_level(light), 0.2), np.float32)


def _strength(shade: Floats, rng: np.random.Generator) -> Floats:
    """Shadows on a photo are never quite as deep as the sum says."""
    return np.asarray(1 - (1 - shade) * np.float32(rng.uniform(0.45, 0.95)), np.float32)


def _lay(scene: Floats, layers: Sequence[Layer], exposure: Floats) -> Floats:
    for layer in layers:
        scene = scene * (1 - layer.alpha[..., None]) + layer.rgb * exposure
    return np.asarray(scene, np.float32)


def _company(
    rng: np.random.Generator,
    others: Sequence[Figure],
    share: float,
    camera: Camera,
    size_hw: tuple[int, int],
    light: Light,
    stage: Stage,
) -> tuple[list[tuple[Layer, bool]], int]:
    """Other people in the window, each with whether they stand in front."""
    if not others or rng.random() >= share:
        return [], 0
    found: list[tuple[Layer, bool]] = []
    for _ in range(1 if rng.random() < 0.7 else 2):
        other = others[int(rng.integers(len(others)))]
        front = bool(rng.random() < 0.22)
        away = float(rng.uniform(0.35, 0.8) if front else -rng.uniform(0.5, 5.0))
        aside = float(rng.choice([-1, 1]) * rng.uniform(0.35, 0.75)) * (1.0 if front else 1 - 0.12 * away)
        stands = placed(other, heading=float(rng.uniform(-180, 180)), x=aside, z=away)
        found.append((draw_layer(stands, camera, size_hw, light, stage.store, fine=2), front))
    found.sort(key=lambda pair: pair[1])
    return found, len(found)


def _evidence(
    layer: Layer, visible: NDArray[np.bool_], figure: Figure, camera: Camera, view: View, sensor: Sensor, scene: Floats
) -> Evidence:
    fine = np.repeat(np.repeat(visible, layer.fine, axis=0), layer.fine, axis=1)
    towards = camera.position - figure.points.mean(axis=0)
    bearing = float(np.degrees(np.arctan2(towards[0], towards[2])))
    there = (layer.alpha > 0.5) & visible
    bright = float(to_srgb(scene[there] * sensor.exposure).mean()) if there.any() else 0.0
    return Evidence(
        **count_pixels(layer, fine),
        yaw=(figure.yaw - bearing + 180) % 360 - 180,
        sharp_px=view.native_px / float(np.hypot(1.0, sensor.smear_px / 2)),
        brightness=bright,
        grey=sensor.grey,
    )


def _sized(image: ImageBgr, size_hw: tuple[int, int] | None, rng: np.random.Generator) -> ImageBgr:
    if size_hw is None:
        return image
    smaller = image.shape[0] > size_hw[0]
    how = cv2.INTER_AREA if smaller else int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
    return np.asarray(cv2.resize(image, size_hw[::-1], interpolation=how), np.uint8)


def _rounded(view: View) -> dict[str, float]:
    names = ("height_m", "distance_m", "roll", "aside", "native_px")
    return {f"camera_{name}" if name != "native_px" else name: round(getattr(view, name), 2) for name in names}


def _sensor_fields(sensor: Sensor) -> dict[str, Any]:
    return {
        "blur_px": round(sensor.blur_px, 2),
        "motion_px": round(sensor.motion_px, 2),
        "noise": round(sensor.noise, 4),
        "quality": sensor.quality,
        "grey": int(sensor.grey),
    }
