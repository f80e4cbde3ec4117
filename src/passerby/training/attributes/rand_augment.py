# SPDX-License-Identifier: Apache-2.0
"""The fifteen picture operations of the original's RandAugment policy `rand-m9-mstd0.5-inc1`, and their drawing by lot.

Each takes (H, W, 3) uint8 BGR and gives the same back; the point operations are tables of 256 values, the others one
call of OpenCV, which is what keeps a crop at a millisecond. Pillow's results are matched: tests/test_attribute_augment.
Called by `augment`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...types import ImageBgr

MAGNITUDE_MEAN, MAGNITUDE_STD, LARGEST = 9.0, 0.5, 10.0
DRAWN, CHANCE = 2, 0.5
FILL_BGR = (104, 116, 124)  # the mean colour of ImageNet
SOLARIZE_ADD_BELOW = 128
_VALUES = np.arange(256, dtype=np.int32)
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13

Operation = Callable[[ImageBgr, float, np.random.Generator], ImageBgr]


def rand_augment(pixels: ImageBgr, rng: np.random.Generator) -> ImageBgr:
    """Two operations drawn with replacement, each done with a chance of a half, at a strength near 9 of 10.

    Args:
        pixels: (H, W, 3) uint8 BGR; left as it is.
        rng: everything random comes from it.
    Source: spec/paddlex-par.md section 5.4, after Cubuk et al., RandAugment, CVPRW 2020.
    """
    for number in rng.integers(0, len(OPERATIONS), DRAWN):
        if rng.random() < CHANCE:
            magnitude = float(np.clip(rng.normal(MAGNITUDE_MEAN, MAGNITUDE_STD), 0, LARGEST))
            pixels = OPERATIONS[int(number)](pixels, magnitude, rng)
    return pixels


def auto_contrast(pixels: ImageBgr, _magnitude: float, _rng: np.random.Generator) -> ImageBgr:
    """Stretch each channel to 0..255."""
    tables: list[NDArray[Any]] = []
    for channel in range(3):
        low, high = (int(v) for v in cv2.minMaxLoc(pixels[:, :, channel])[:2])
        if high <= low:
            tables.append(_VALUES)
            continue
        scale = 255.0 / (high - low)
        tables.append((_VALUES * scale - low * scale).astype(np.int32))
    return _through_tables(pixels, tables)


def equalize(pixels: ImageBgr, _magnitude: float, _rng: np.random.Generator) -> ImageBgr:
    """Make the histogram of each channel even."""
    tables: list[NDArray[Any]] = []
    for channel in range(3):
        counts = cv2.calcHist([pixels], [channel], None, [256], [0, 256]).ravel().astype(np.int64)
        used = counts[counts > 0]
        step = int(used.sum() - used[-1]) // 255
        if len(used) <= 1 or step == 0:
            tables.append(_VALUES)
            continue
        before = np.concatenate([[0], np.cumsum(counts)[:-1]])
        tables.append((step // 2 + before) // step)
    return _through_tables(pixels, tables)


def invert(pixels: ImageBgr, _magnitude: float, _rng: np.random.Generator) -> ImageBgr:
    """The negative."""
    return np.asarray(cv2.bitwise_not(pixels), np.uint8)


def rotate(pixels: ImageBgr, magnitude: float, rng: np.random.Generator) -> ImageBgr:
    """Up to 30 degrees about the centre."""
    angle = np.deg2rad(_signed(30.0 * magnitude / LARGEST, rng))
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    height, width = pixels.shape[:2]
    x, y = width / 2, height / 2
    return _affine(pixels, ((cos, -sin, x - cos * x + sin * y), (sin, cos, y - sin * x - cos * y)))


def posterize(pixels: ImageBgr, magnitude: float, _rng: np.random.Generator) -> ImageBgr:
    """Keep the highest 4 to 0 bits."""
    bits = 4 - int(4 * magnitude / LARGEST)
    return _through_table(pixels, _VALUES & ~(2 ** (8 - bits) - 1))


def solarize(pixels: ImageBgr, magnitude: float, _rng: np.random.Generator) -> ImageBgr:
    """Invert what is bright."""
    limit = 256 - int(256 * magnitude / LARGEST)
    return _through_table(pixels, np.where(limit > _VALUES, _VALUES, 255 - _VALUES))


def solarize_add(pixels: ImageBgr, magnitude: float, _rng: np.random.Generator) -> ImageBgr:
    """Brighten what is dark."""
    added = np.minimum(_VALUES + int(110 * magnitude / LARGEST), 255)
    return _through_table(pixels, np.where(_VALUES < SOLARIZE_ADD_BELOW, added, _VALUES))


def color(pixels: ImageBgr, magnitude: float, rng: np.random.Generator) -> ImageBgr:
    """More or less saturation."""
    grey = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return _blend(grey, pixels, _factor(magnitude, rng))


def contrast(pixels: ImageBgr, magnitude: float, rng: np.random.Generator) -> ImageBgr:
    """Away from the mean grey, or towards it."""
    mean = int(cv2.mean(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))[0] + 0.5)
    factor = _factor(magnitude, rng)
    return _through_table(pixels, (mean + factor * (_VALUES - mean)).clip(0, 255).astype(np.uint8))


def brightness(pixels: ImageBgr, magnitude: float, rng: np.random.Generator) -> ImageBgr:
    """Brighter or darker."""
    return _through_table(pixels, (_factor(magnitude, rng) * _VALUES).clip(0, 255).astype(np.uint8))


def sharpness(pixels: ImageBgr, magnitude: float, rng: np.random.Generator) -> ImageBgr:
    """Sharper or smoother; the outermost pixels stay, as Pillow's filter leaves them."""
    smooth = pixels.copy()
    if min(pixels.shape[:2]) > 2:
        smooth[1:-1, 1:-1] = cv2.filter2D(pixels, -1, _SMOOTH)[1:-1, 1:-1]
    return _blend(smooth, pixels, _factor(magnitude, rng))


def shear_x(pixels: ImageBgr, magnitude: float, rng: np.random.Generator) -> ImageBgr:
    """Rows shifted by up to 0.3 of their distance from the top."""
    return _affine(pixels, ((1.0, _signed(0.3 * magnitude / LARGEST, rng), 0.0), (0.0, 1.0, 0.0)))


def shear_y(pixels: ImageBgr, magnitude: float, rng: np.random.Generator) -> ImageBgr:
    """Columns shifted by up to 0.3 of their distance from the left."""
    return _affine(pixels, ((1.0, 0.0, 0.0), (_signed(0.3 * magnitude / LARGEST, rng), 1.0, 0.0)))


def translate_x(pixels: ImageBgr, magnitude: float, rng: np.random.Generator) -> ImageBgr:
    """Sideways by up to 0.45 of the width."""
    return _affine(pixels, ((1.0, 0.0, _signed(0.45 * magnitude / LARGEST, rng) * pixels.shape[1]), (0.0, 1.0, 0.0)))


def translate_y(pixels: ImageBgr, magnitude: float, rng: np.random.Generator) -> ImageBgr:
    """Up or down by up to 0.45 of the height."""
    return _affine(pixels, ((1.0, 0.0, 0.0), (0.0, 1.0, _signed(0.45 * magnitude / LARGEST, rng) * pixels.shape[0])))


OPERATIONS: tuple[Operation, ...] = (
    *(auto_contrast, equalize, invert, rotate, posterize, solarize, solarize_add),
    *(color, contrast, brightness, sharpness, shear_x, shear_y, translate_x, translate_y),
)


def _signed(size: float, rng: np.random.Generator) -> float:
    return size if rng.random() < 0.5 else -size


def _factor(magnitude: float, rng: np.random.Generator) -> float:
    return 1.0 + _signed(0.9 * magnitude / LARGEST, rng)


def _through_table(pixels: ImageBgr, table: NDArray[Any]) -> ImageBgr:
    return np.asarray(cv2.LUT(pixels, table.astype(np.uint8)), np.uint8)


def _through_tables(pixels: ImageBgr, tables: list[NDArray[Any]]) -> ImageBgr:
    stacked = np.stack([table.clip(0, 255).astype(np.uint8) for table in tables], axis=-1)  # (256, 3)
    return np.asarray(cv2.LUT(pixels, stacked[None]), np.uint8)


def _blend(plain: NDArray[Any], pixels: ImageBgr, factor: float) -> ImageBgr:
    """`plain` at factor 0, `pixels` at 1, beyond it the other way."""
    return np.asarray(cv2.addWeighted(pixels, factor, plain, 1.0 - factor, 0.0), np.uint8)


def _affine(pixels: ImageBgr, matrix: tuple[tuple[float, float, float], tuple[float, float, float]]) -> ImageBgr:
    """The picture that shows at (x, y), measured to pixel centres at a half, what stood at `matrix` of it."""
    (a, b, c), (d, e, f) = matrix
    # OpenCV counts from the centre of the first pixel instead of its corner
    centred = np.array([[a, b, c + 0.5 * (a + b) - 0.5], [d, e, f + 0.5 * (d + e) - 0.5]], np.float64)
    height, width = pixels.shape[:2]
    out = cv2.warpAffine(
        pixels,
        centred,
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=FILL_BGR,
    )
    return np.asarray(out, np.uint8)
