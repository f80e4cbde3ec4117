"""Pictures that are already in memory: arrays, Pillow pictures and open files, checked and brought to BGR."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .decode import MAX_BYTES, pillow_to_bgr, upright
from .errors import InputError, shown
from .images.page import check_size
from .images.plain import three_channels
from .types import ImageBgr


def array_to_bgr(array: NDArray[Any], *, max_pixels: int, copy: bool) -> ImageBgr:
    """Take an array as a picture.

    Args:
        array: (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA, uint8, any strides; never written to.
        max_pixels: as in `decode_image`.
        copy: whether the result may not share memory with `array`.
    Returns:
        (H, W, 3) uint8 BGR, C-contiguous; `array` itself when it already is that and `copy` is false.
    Raises:
        InputError: `array_invalid`, with the conversion to use; `images/too_large`.
    """
    if isinstance(array, np.ma.MaskedArray):
        raise _invalid("a masked array, whose mask would be lost", "pass array.filled(0)")
    plain = np.asarray(array)
    _check_dtype(plain)
    _check_shape(plain.shape)
    height, width = plain.shape[:2]
    check_size(width, height, max_pixels)
    if plain.ndim == 2 or plain.shape[2] == 1:
        return three_channels(plain.reshape(height, width))
    pixels = plain[:, :, :3]
    return np.array(pixels, order="C") if copy else np.ascontiguousarray(pixels)


def _invalid(happened: str, hint: str) -> InputError:
    return InputError("array_invalid", happened, hint=hint)


def _check_dtype(array: NDArray[Any]) -> None:
    if array.dtype == np.uint8:
        return
    hint = "convert it with .astype('uint8')"
    what = f"an array of {shown(array.dtype, 40)}, where uint8 is needed"
    if array.dtype.kind == "f" and array.size:
        if np.isnan(array).any():
            what += "; it holds NaN"
        elif np.isinf(array).any():
            what += "; it holds infinity"
        elif array.min() >= 0 and array.max() <= 1:
            hint = "convert it with (a * 255).astype('uint8')"
    elif array.dtype == np.uint16:
        hint = "convert it with (a >> 8).astype('uint8')"
    elif array.dtype == np.bool_:
        hint = "convert it with a.astype('uint8') * 255"
    elif array.dtype.kind in "OSUV":
        hint = "pass numbers: (H, W, 3) uint8, BGR"
    raise _invalid(what, hint)


def _check_shape(shape: tuple[int, ...]) -> None:
    hint = "pass (H, W, 3) uint8, BGR"
    if len(shape) == 4:
        hint = "pass the pictures as a list: list(a)"
    elif len(shape) == 3 and shape[2] not in (1, 3, 4) and shape[0] in (1, 3, 4):
        hint = "put the channels last with a.transpose(1, 2, 0)"
    if len(shape) not in (2, 3) or 0 in shape or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise _invalid(f"an array of shape {shown(shape, 60)} is no picture", hint)


def pillow_image_to_bgr(image: Image.Image, *, max_pixels: int) -> ImageBgr:
    """Take a Pillow picture, as it would look if its file were read: upright, without alpha.

    Returns:
        (H, W, 3) uint8 BGR, a copy.
    Raises:
        InputError: `array_invalid` (no pixels, or a mode without 8-bit colours), `images/too_large`,
            `input_unreadable` or `images/truncated` (a file that is opened late and cannot be read).
    """
    if 0 in image.size:
        raise _invalid(f"a Pillow picture of {image.width} x {image.height} pixels", "pass one with pixels")
    check_size(*image.size, max_pixels)
    try:
        image.load()
        orientation = image.getexif().get(0x0112, 1)
    except Exception as error:
        # what a lazy picture raises depends on its plug-in: OSError, ValueError, AttributeError, SyntaxError, ...
        if isinstance(error, MemoryError):
            raise
        if "truncated" in str(error):
            raise InputError("image_truncated", "the file behind this Pillow picture is incomplete") from None
        hint = "load it before its file is closed"
        raise InputError("input_unreadable", "the file behind this Pillow picture cannot be read", hint=hint) from None
    try:
        pixels = pillow_to_bgr(image)
    except InputError as error:
        raise _invalid(error.happened, "convert it with .convert('RGB')") from None
    return upright(pixels, orientation if isinstance(orientation, int) else 1)


def read_open_file(file: Any) -> bytes:
    """The rest of an open binary file, from its position; the file stays open.

    Raises:
        InputError: `input_type` (opened as text), `input_unreadable`, `input_too_large`.
    """
    wrong = InputError("input_type", "a file opened as text", hint="open it with open(path, 'rb')")
    if isinstance(file, io.TextIOBase):
        raise wrong
    parts, length = [], 0
    try:
        while length <= MAX_BYTES and (part := file.read(MAX_BYTES + 1 - length)):
            if not isinstance(part, (bytes, bytearray, memoryview)):
                raise wrong
            parts.append(bytes(part))
            length += len(part)
    except (OSError, ValueError):
        raise InputError("input_unreadable", "the open file cannot be read", hint="is it closed?") from None
    return b"".join(parts)
