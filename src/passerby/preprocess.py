# SPDX-License-Identifier: Apache-2.0
"""Pixels to the network's tensor, from the recipe in the model file; the one implementation for every engine.

Bit-equal to PaddleX: resize on uint8 without keeping the ratio, then a table of 256 float32 values a channel. Decoding
is not here (`decode.py`), nor cropping (`attributes.py`).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from .types import ImageBgr, Tensor

if TYPE_CHECKING:
    from .formats.metadata import InputRecipe

INTERPOLATION = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}


@functools.lru_cache(maxsize=32)
def _tables(recipe: InputRecipe) -> tuple[NDArray[np.float32], ...]:
    """One table (256,) float32 for each network channel.

    Source: PaddleX multiplies by float32(1 / 255 / std) and adds float32(-mean / std), each rounded to float32; the
    textbook (v / 255 - mean) / std differs from it in the last bit.
    """
    values = np.arange(256, dtype=np.float32)
    tables = []
    for mean, std in zip(recipe.mean, recipe.std, strict=True):
        table = values * np.float32(1 / 255 / std) + np.float32(-mean / std)
        table.flags.writeable = False
        tables.append(table)
    return tuple(tables)


def resize(image_bgr: ImageBgr, recipe: InputRecipe) -> ImageBgr:
    """The image at the recipe's size, ratio not kept: (height, width, 3) uint8 BGR, the same memory when it fits."""
    if image_bgr.shape[:2] == (recipe.height, recipe.width):
        return image_bgr
    size_wh = (recipe.width, recipe.height)
    return np.asarray(cv2.resize(image_bgr, size_wh, interpolation=INTERPOLATION[recipe.interpolation]), np.uint8)


def to_network_input(image_bgr: ImageBgr, recipe: InputRecipe, *, out: Tensor | None = None) -> Tensor:
    """Turn one image into the network's input.

    Args:
        image_bgr: (H, W, 3) uint8 BGR, H and W above 0, any strides.
        recipe: size, interpolation, mean, std and colour order of the network.
        out: a C-contiguous (1, 3, height, width) float32 buffer to write into, for example `batch[i : i + 1]`.
    Returns:
        (1, 3, height, width) float32, planes in the recipe's colour order: `out`, or new memory.
    """
    shape = (1, 3, recipe.height, recipe.width)
    if out is None:
        out = np.empty(shape, np.float32)
    elif out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(f"the buffer must be C-contiguous float32 {shape}, not {out.dtype} {out.shape}")
    planes_bgr = cv2.split(resize(image_bgr, recipe))
    planes = planes_bgr[::-1] if recipe.colour_order == "rgb" else planes_bgr
    for plane, table, channel in zip(planes, _tables(recipe), out[0], strict=True):
        cv2.LUT(plane, table, dst=channel)
    return out
