# SPDX-License-Identifier: Apache-2.0
"""What a crop may look like before it is learnt from: shaky boxes, small and blurred persons, other light.

At inference the crops come from a detector, cut exactly at its box, so the box is shaken here by up to a tenth of
its sides. Colours are changed little: the model names them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .attribute_data import CropStore

MEAN_RGB = np.array([0.485, 0.456, 0.406], np.float32)
STD_RGB = np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentOptions:
    """How often and how far. Chances are per crop; shares are of the box's side or of the picture's area."""

    box_noise: float = 0.10
    flip_chance: float = 0.5
    shrink_chance: float = 0.35
    smallest_height_px: int = 48
    blur_chance: float = 0.15
    jpeg_chance: float = 0.25
    light_chance: float = 0.6
    grey_chance: float = 0.02
    erase_chance: float = 0.25
    erase_share: tuple[float, float] = (0.02, 0.15)
    tilt_chance: float = 0.3
    most_tilt_degrees: float = 12.0


def augmented_crop(
    store: CropStore, index: int, *, size_hw: tuple[int, int], options: AugmentOptions, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """(*size_hw, 3) uint8 BGR: a stored person, cut at a shaken box and degraded."""
    crop = _shaken_cut(store, index, size_hw=size_hw, noise=options.box_noise, rng=rng)
    if rng.random() < options.flip_chance:
        crop = np.ascontiguousarray(crop[:, ::-1])
    if rng.random() < options.tilt_chance:
        crop = _tilted(crop, rng.uniform(-options.most_tilt_degrees, options.most_tilt_degrees))
    if rng.random() < options.light_chance:
        crop = _other_light(crop, rng)
    if rng.random() < options.grey_chance:
        crop = np.repeat(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[:, :, None], 3, axis=2)
    crop = _degraded(crop, options, rng)
    if rng.random() < options.erase_chance:
        _erase(crop, options.erase_share, rng)
    return crop


def plain_crop(
    store: CropStore, index: int, *, size_hw: tuple[int, int], margin: tuple[float, float]
) -> NDArray[np.uint8]:
    """(*size_hw, 3) uint8 BGR: a stored person as inference sees it; margin (0, 0) cuts exactly at the box."""
    x1, y1, x2, y2 = store.inner[index]
    dx, dy = (x2 - x1) * margin[0], (y2 - y1) * margin[1]
    return _cut(store.pixels[index], (x1 - dx, y1 - dy, x2 + dx, y2 + dy), size_hw)


def network_input(crops_bgr: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, H, W, 3) uint8 BGR -> (N, 3, H, W) float32 RGB, ImageNet mean and deviation."""
    rgb = crops_bgr[..., ::-1].astype(np.float32) * np.float32(1 / 255)
    return np.ascontiguousarray(((rgb - MEAN_RGB) / STD_RGB).transpose(0, 3, 1, 2))


def _cut(picture: NDArray[np.uint8], box: tuple[float, ...], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    left, right = round(min(max(box[0], 0.0), 0.9) * width), round(min(box[2], 1.0) * width)
    top, bottom = round(min(max(box[1], 0.0), 0.9) * height), round(min(box[3], 1.0) * height)
    cut = picture[top : max(bottom, top + 8), left : max(right, left + 8)]
    shrinks = cut.shape[0] > 1.5 * size_hw[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(cut, (size_hw[1], size_hw[0]), interpolation=how), np.uint8)


def _shaken_cut(
    store: CropStore, index: int, *, size_hw: tuple[int, int], noise: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    x1, y1, x2, y2 = store.inner[index]
    w, h = x2 - x1, y2 - y1
    shift = rng.uniform(-noise, noise, 4) * rng.random()  # most boxes are good, some are bad
    return _cut(
        store.pixels[index],
        (x1 + shift[0] * w, y1 + shift[1] * h, x2 + shift[2] * w, y2 + shift[3] * h),
        size_hw,
    )


def _tilted(crop: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """Turned about its middle; the corners that come into view repeat the border."""
    height, width = crop.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(crop, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _other_light(crop: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Contrast, brightness, saturation and a slight tint, in one pass of float32."""
    x = crop.astype(np.float32)
    grey = x.mean(axis=2, keepdims=True)
    x = grey + (x - grey) * rng.uniform(0.7, 1.3)
    mean = x.mean()
    x = (x - mean) * rng.uniform(0.75, 1.25) + mean * rng.uniform(0.75, 1.25)
    x = x * rng.uniform(0.95, 1.05, 3).astype(np.float32)
    return np.clip(x, 0, 255).astype(np.uint8)


def shrunk(crop: NDArray[np.uint8], height_px: int) -> NDArray[np.uint8]:
    """The crop as it would be of a person of this height in the photo, at its old size."""
    height, width = crop.shape[:2]
    small = cv2.resize(crop, (max(8, width * height_px // height), height_px), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _degraded(crop: NDArray[np.uint8], options: AugmentOptions, rng: np.random.Generator) -> NDArray[np.uint8]:
    height = crop.shape[0]
    if rng.random() < options.shrink_chance:
        crop = shrunk(crop, int(rng.integers(min(options.smallest_height_px, height), height + 1)))
    if rng.random() < options.blur_chance:
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.5, 1.0) * height / 100), np.uint8)
    if rng.random() < options.jpeg_chance:
        _, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        crop = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return crop


def _erase(crop: NDArray[np.uint8], share: tuple[float, float], rng: np.random.Generator) -> None:
    """Overwrite a rectangle with noise, in place."""
    height, width = crop.shape[:2]
    area = rng.uniform(*share) * height * width
    aspect = np.exp(rng.uniform(np.log(0.5), np.log(2.0)))
    h, w = int(min(np.sqrt(area * aspect), height - 1)), int(min(np.sqrt(area / aspect), width - 1))
    top, left = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
    crop[top : top + h, left : left + w] = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
