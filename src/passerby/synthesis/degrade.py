# SPDX-License-Identifier: Apache-2.0
"""From linear light to the picture a cheap camera delivers: lens, motion, noise, white balance, tone, JPEG."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..types import ImageBgr
from .figure import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """How one picture is taken.

    Attributes:
        blur_px: sigma of the lens. motion_px, motion_degrees: way of the camera while the shutter is open.
        balance: gains of red, green, blue. exposure: gain of all. contrast: 1 leaves it.
        noise: standard deviation in mid-grey, share of full scale. grain_px: size of the noise's grains.
        quality: of the JPEG, 1..100. sharpen: share of an unsharp mask. grey: no colour at all (night vision).
    """

    blur_px: float
    motion_px: float
    motion_degrees: float
    balance: tuple[float, float, float]
    exposure: float
    contrast: float
    noise: float
    grain_px: float
    quality: int
    sharpen: float
    grey: bool

    @property
    def smear_px(self) -> float:
        """How far a point is spread, px: what is finer than this cannot be read."""
        return 2 * self.blur_px + 0.7 * self.motion_px


def sample_sensor(rng: np.random.Generator, *, native_px: float, dark: bool) -> Sensor:
    """A sensor for a person of this height; dark scenes bring noise and blur."""
    worse = 1.6 if dark else 1.0
    blur = float(rng.gamma(2.0, 0.26) * worse)
    motion = float(rng.gamma(2.0, 0.010 * native_px)) * worse if rng.random() < 0.22 * worse else 0.0
    warm = float(rng.normal(0, 0.09))
    green = float(rng.normal(0, 0.025))
    return Sensor(
        blur_px=min(blur, 0.006 * native_px + 0.3),
        motion_px=min(motion, 0.035 * native_px),
        motion_degrees=float(rng.normal(0, 25)) if rng.random() < 0.8 else 90.0,
        balance=(1 + warm, 1 + green, 1 - warm),
        exposure=float(np.exp(rng.normal(0, 0.2))),
        contrast=float(np.exp(rng.normal(0, 0.13))),
        noise=float(rng.gamma(1.6, 0.006) * (1.7 if dark else 1)),
        grain_px=float(rng.uniform(0.3, 0.9)),
        quality=int(rng.integers(35, 97)),
        sharpen=float(rng.uniform(0.2, 1.0)) if rng.random() < 0.35 else 0.0,
        grey=bool(rng.random() < (0.10 if dark else 0.012)),
    )


def to_srgb(linear: Floats) -> Floats:
    """Linear light in [0, 1] to sRGB in [0, 1] (IEC 61966-2-1)."""
    value = np.clip(linear, 0, 1)
    return np.where(value <= 0.0031308, 12.92 * value, 1.055 * np.power(value, 1 / 2.4) - 0.055)


def to_linear(srgb: Floats) -> Floats:
    """The inverse of `to_srgb`."""
    value = np.clip(srgb, 0, 1)
    return np.where(value <= 0.04045, value / 12.92, np.power((value + 0.055) / 1.055, 2.4))


def develop(light: Floats, sensor: Sensor, rng: np.random.Generator) -> ImageBgr:
    """Turn linear light into what the camera delivers.

    Args:
        light: (H, W, 3) float32 linear RGB, 1 is white; more is blown out softly.
        rng: makes the noise.
    Returns:
        (H, W, 3) uint8 BGR, after JPEG.
    """
    seen = np.asarray(light, np.float32) * (np.array(sensor.balance, np.float32) * np.float32(sensor.exposure))
    if sensor.motion_px > 0.6:
        seen = cv2.filter2D(seen, -1, _motion(sensor), borderType=cv2.BORDER_REPLICATE).reshape(seen.shape)
    if sensor.blur_px > 0.2:
        seen = cv2.GaussianBlur(seen, (0, 0), sensor.blur_px, borderType=cv2.BORDER_REPLICATE).reshape(seen.shape)
    seen = np.where(seen > 0.8, 0.8 + 0.2 * np.tanh((seen - 0.8) / 0.35), seen)  # a shoulder, as film has one
    picture = to_srgb(seen).astype(np.float32)
    picture = (picture - 0.45) * sensor.contrast + 0.45
    if sensor.grey:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    picture += _noise(picture, sensor, rng)
    if sensor.sharpen:
        soft = cv2.GaussianBlur(picture, (0, 0), 1.0).reshape(picture.shape)
        picture = picture + sensor.sharpen * (picture - soft)
    return jpeg((picture.clip(0, 1) * 255 + 0.5).astype(np.uint8)[..., ::-1], sensor.quality)


def _motion(sensor: Sensor) -> Floats:
    reach = math.ceil(sensor.motion_px / 2)
    side = 2 * reach + 1
    kernel = np.zeros((side, side), np.float32)
    angle = math.radians(sensor.motion_degrees)
    for t in np.linspace(-sensor.motion_px / 2, sensor.motion_px / 2, 4 * side):
        kernel[round(reach + t * math.sin(angle)), round(reach + t * math.cos(angle))] += 1
    return np.asarray(kernel / kernel.sum(), np.float32)


def _noise(picture: Floats, sensor: Sensor, rng: np.random.Generator) -> Floats:
    """Grain: stronger in the middle tones, partly without colour."""
    height, width = picture.shape[:2]
    white = rng.standard_normal((height, width, 4), dtype=np.float32)
    field: Any = cv2.GaussianBlur(white, (0, 0), sensor.grain_px).reshape(height, width, 4)
    field /= max(float(field.std()), 1e-6)
    grain = 0.75 * field[..., 3:] + 0.6 * field[..., :3] * (0.0 if sensor.grey else 1.0)
    strength = sensor.noise * (0.5 + np.sqrt(picture.mean(axis=2, keepdims=True).clip(0, 1)))
    return np.asarray(grain * strength, np.float32)


def jpeg(image_bgr: ImageBgr, quality: int) -> ImageBgr:
    """The picture after a JPEG of this quality, colour at half resolution as cameras write it."""
    done: Any = cv2.imencode(".jpg", np.ascontiguousarray(image_bgr), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(done[1], cv2.IMREAD_COLOR), np.uint8)
