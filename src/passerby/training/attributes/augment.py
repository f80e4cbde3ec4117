# SPDX-License-Identifier: Apache-2.0
"""What a training crop may look like: the original's recipe, a milder one of ours, or nothing at all.

`augmented` works on the uint8 crop at network size, `erase` on the normalised tensor; between them stands the
normalisation of `preprocess`, the same as at inference. Everything random comes from the generator that is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ...types import ImageBgr
from .rand_augment import FILL_BGR, rand_augment

Strength = Literal["paddle", "mild", "none"]

# The original pads 10 px on each side at 256 x 192; other sizes get the same share.
PAD_SHARE = (10 / 256, 10 / 192)
RAND_AUGMENT_CHANCE = 0.8
ERASE_TRIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseOptions:
    """How often a rectangle is overwritten, which share of the crop it takes, how far from square it may be."""

    chance: float
    share: tuple[float, float]
    aspect: float  # smallest height / width; the largest is its inverse


ERASE: dict[Strength, EraseOptions] = {
    "paddle": EraseOptions(chance=0.4, share=(0.02, 1 / 3), aspect=0.3),
    "mild": EraseOptions(chance=0.25, share=(0.02, 0.15), aspect=0.5),
    "none": EraseOptions(chance=0.0, share=(0.0, 0.0), aspect=1.0),
}


def augmented(pixels_bgr: ImageBgr, *, strength: Strength, rng: np.random.Generator) -> ImageBgr:
    """One training view of a crop.

    Args:
        pixels_bgr: (H, W, 3) uint8 BGR at network size; left as it is.
        strength: `paddle` as the original; `mild` for labels that strong changes would make wrong (colours, small
            things, crops at the edge of the frame); `none` changes nothing, not even left and right.
    Returns:
        (H, W, 3) uint8 BGR; with `none` the same memory.
    Source: spec/paddlex-par.md section 5.4, steps 3 to 6.
    """
    if strength == "none":
        return pixels_bgr
    if strength == "mild":
        return _mild(pixels_bgr, rng)
    if rng.random() < RAND_AUGMENT_CHANCE:
        pixels_bgr = rand_augment(pixels_bgr, rng)
    return _flipped(_padded_crop(pixels_bgr, rng), rng)


def erase(planes: NDArray[np.float32], *, strength: Strength, rng: np.random.Generator) -> None:
    """Overwrite a rectangle of the normalised crop with noise N(0, 1), now and then, in place.

    Args:
        planes: (3, H, W) float32.
    Source: Zhong et al., Random Erasing Data Augmentation, AAAI 2020; figures of spec section 5.4, step 8.
    """
    options = ERASE[strength]
    if options.chance == 0 or rng.random() >= options.chance:
        return
    height, width = planes.shape[1:]
    for _ in range(ERASE_TRIES):
        area = rng.uniform(*options.share) * height * width
        aspect = np.exp(rng.uniform(np.log(options.aspect), -np.log(options.aspect)))
        h, w = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < h < height and 0 < w < width:
            top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
            planes[:, top : top + h, left : left + w] = rng.standard_normal((3, h, w), np.float32)
            return


def _flipped(pixels: ImageBgr, rng: np.random.Generator) -> ImageBgr:
    return np.asarray(cv2.flip(pixels, 1), np.uint8) if rng.random() < 0.5 else pixels


def _padded_crop(pixels: ImageBgr, rng: np.random.Generator) -> ImageBgr:
    """Shifted by up to the padding, black where nothing was."""
    height, width = pixels.shape[:2]
    y, x = round(PAD_SHARE[0] * height), round(PAD_SHARE[1] * width)
    padded = cv2.copyMakeBorder(pixels, y, y, x, x, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    top, left = int(rng.integers(0, 2 * y + 1)), int(rng.integers(0, 2 * x + 1))
    return np.ascontiguousarray(padded[top : top + height, left : left + width], np.uint8)


def _mild(pixels: ImageBgr, rng: np.random.Generator) -> ImageBgr:
    """A shaken box, left and right, other light, and the blur of small or far persons."""
    pixels = _shaken(pixels, rng)
    if rng.random() < 0.6:
        pixels = _other_light(pixels, rng)
    if rng.random() < 0.35:
        pixels = _shrunk(pixels, rng)
    if rng.random() < 0.15:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.5, 1.0) * len(pixels) / 100), np.uint8)
    return pixels


def _shaken(pixels: ImageBgr, rng: np.random.Generator) -> ImageBgr:
    """As if the detector's box had been off by up to a tenth of its sides; every other time mirrored."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = rng.uniform(-0.1, 0.1, 4) * rng.random()  # most boxes are good, some are bad
    scale_x, scale_y = 1 + right - left, 1 + bottom - top
    matrix = np.array([[scale_x, 0, left * width], [0, scale_y, top * height]], np.float64)
    if rng.random() < 0.5:
        matrix[0] = -scale_x, 0, (left + scale_x) * width - 1
    out = cv2.warpAffine(
        pixels,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=FILL_BGR,
    )
    return np.asarray(out, np.uint8)


def _other_light(pixels: ImageBgr, rng: np.random.Generator) -> ImageBgr:
    """Contrast and brightness by up to a quarter, saturation, and a slight tint."""
    mean = float(np.mean(cv2.mean(pixels)[:3]))
    contrast, level = rng.uniform(0.75, 1.25), mean * rng.uniform(0.75, 1.25)
    values = np.arange(256, dtype=np.float64)[:, None]
    table = ((values - mean) * contrast + level) * rng.uniform(0.95, 1.05, 3)  # (256, 3)
    pixels = np.asarray(cv2.LUT(pixels, table.clip(0, 255).astype(np.uint8)[None]), np.uint8)
    grey = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    saturation = rng.uniform(0.7, 1.3)
    return np.asarray(cv2.addWeighted(pixels, saturation, grey, 1 - saturation, 0), np.uint8)


def _shrunk(pixels: ImageBgr, rng: np.random.Generator) -> ImageBgr:
    """Made as small as a far person and large again."""
    height, width = pixels.shape[:2]
    share = rng.uniform(48 / 256, 1.0)
    small_wh = (max(8, round(width * share)), max(8, round(height * share)))
    small = cv2.resize(pixels, small_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
