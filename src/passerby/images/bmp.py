"""BMP pictures, read with numpy alone: 1, 4, 8, 16, 24 and 32 bits, upright or top-down, run-length coded or not.

Values as OpenCV reads them: 5 bits are shifted to 8, a fourth byte is dropped.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..types import ImageBgr
from .page import Page, check_size, corrupt, refused, too_large, truncated

_PLAIN, _RLE8, _RLE4, _FIELDS, _ALPHA_FIELDS = 0, 1, 2, 3, 6
_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
# run-length codes are undone one by one in Python: about two seconds for this many
_MAX_CODES = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    width: int
    height: int
    top_down: bool
    bits: int
    compression: int
    pixels_at: int
    masks: tuple[int, int, int]  # blue, green, red of a pixel
    palette: NDArray[np.uint8]  # (256, 3) BGR

    @property
    def stride(self) -> int:
        return (self.width * self.bits + 31) // 32 * 4


def bmp_pages(data: bytes, max_pixels: int) -> list[Page]:
    """The picture of a BMP or DIB file."""
    header = _read_header(data, max_pixels)
    if header.pixels_at > len(data):
        raise corrupt("the pixels begin outside the file")
    if header.compression not in (_RLE8, _RLE4) and len(data) - header.pixels_at < header.stride * header.height:
        raise truncated("the file ends inside the pixels")
    read = functools.partial(_pixels, data, header)
    return [Page(kind="bmp", size_wh=(header.width, header.height), pixels=read)]


def _read_header(data: bytes, max_pixels: int) -> _Header:
    if len(data) < 18:
        raise truncated("the file ends inside the header")
    pixels_at, size = struct.unpack_from("<II", data, 10)
    if size not in _HEADERS:
        raise corrupt("a header of unknown length")
    if 14 + size > len(data):
        raise truncated("the file ends inside the header")
    compression = colours = 0
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", data, 18)
    if size >= 40:
        compression, colours = struct.unpack_from("<I12xI", data, 30)
    check_size(width, abs(height), max_pixels)
    _check_coding(bits, compression, height)
    masks_at = 54
    masks = _masks(data, bits, compression, masks_at)
    table_at = 14 + size + (12 if size == 40 and compression == _FIELDS else 0)
    table = _palette(data, table_at, 3 if size == 12 else 4, bits, colours, pixels_at)
    return _Header(
        width=width,
        height=abs(height),
        top_down=height < 0,
        bits=bits,
        compression=compression,
        pixels_at=pixels_at,
        masks=masks,
        palette=table,
    )


def _check_coding(bits: int, compression: int, height: int) -> None:
    if bits not in (1, 4, 8, 16, 24, 32):
        raise corrupt(f"{bits} bits a pixel")
    if compression in (4, 5):
        raise refused("a JPEG or PNG inside a BMP, which is not read", "save it as JPEG or PNG")
    fits = {_PLAIN: True, _RLE8: bits == 8, _RLE4: bits == 4}.get(compression, bits in (16, 32))
    if not fits or compression > _ALPHA_FIELDS or (compression in (_RLE8, _RLE4) and height < 0):
        raise corrupt("a compression that does not fit the pixels")


def _masks(data: bytes, bits: int, compression: int, at: int) -> tuple[int, int, int]:
    if compression not in (_FIELDS, _ALPHA_FIELDS):
        return (0x1F, 0x3E0, 0x7C00) if bits == 16 else (0xFF, 0xFF00, 0xFF0000)
    if at + 12 > len(data):
        raise truncated("the file ends inside the header")
    red, green, blue = struct.unpack_from("<III", data, at)
    for mask in (red, green, blue):
        low = mask & -mask
        if not mask or mask >> bits or (mask // low) & (mask // low + 1):
            raise corrupt("illegal colour masks")
    return blue, green, red


def _palette(data: bytes, at: int, item: int, bits: int, colours: int, end: int) -> NDArray[np.uint8]:
    table = np.zeros((256, 3), np.uint8)
    if bits > 8:
        return table
    count = min(colours or 1 << bits, 1 << bits)
    if end > at:  # the palette ends where the pixels begin, whatever the header counts
        count = min(count, (end - at) // item)
    if at + count * item > len(data):
        raise truncated("the file ends inside the palette")
    if count:
        table[:count] = np.frombuffer(data, np.uint8, count * item, at).reshape(count, item)[:, :3]
    return table


def _pixels(data: bytes, header: _Header) -> ImageBgr:
    if header.compression in (_RLE8, _RLE4):
        pixels = header.palette[_run_indices(data, header)]
    else:
        count = header.stride * header.height
        rows = np.frombuffer(data, np.uint8, count, header.pixels_at).reshape(header.height, header.stride)
        pixels = _row_pixels(rows, header)
    return np.ascontiguousarray(pixels if header.top_down else pixels[::-1])


def _row_pixels(rows: NDArray[np.uint8], header: _Header) -> NDArray[np.uint8]:
    width, bits = header.width, header.bits
    if bits == 1:
        return header.palette[np.unpackbits(rows, axis=1, count=width)]
    if bits == 4:
        return header.palette[_nibbles(rows)[:, :width]]
    if bits == 8:
        return header.palette[rows[:, :width]]
    if bits == 24:
        return rows[:, : 3 * width].reshape(header.height, width, 3)
    if bits == 32 and header.masks == (0xFF, 0xFF00, 0xFF0000):
        return rows.reshape(header.height, width, 4)[:, :, :3]
    values = rows.view("<u2" if bits == 16 else "<u4")[:, :width]
    pixels = np.empty((header.height, width, 3), np.uint8)
    for channel, mask in enumerate(header.masks):
        low = mask & -mask
        spread = 8 - (mask // low).bit_length()
        part = (values & values.dtype.type(mask)) // values.dtype.type(low)
        pixels[:, :, channel] = part << spread if spread >= 0 else part >> -spread
    return pixels


def _run_indices(data: bytes, header: _Header) -> NDArray[np.uint8]:
    """Undo the run-length codes: (H, W) palette numbers, bottom row first.

    What lies outside the picture is dropped, what no code mentions is colour 0.
    """
    width, height, nibbles = header.width, header.height, header.bits == 4
    out = bytearray(width * height)
    x, y, at = 0, 0, header.pixels_at
    for _ in range(_MAX_CODES):
        if y >= height:
            break
        count, value = _two(data, at)
        at += 2
        if count:
            pair = bytes((value >> 4, value & 15)) if nibbles else bytes((value,))
            run = (pair * count)[:count]
        elif value > 2:
            length = (value + 1) // 2 if nibbles else value
            run = data[at : at + length]
            if len(run) < length:
                raise truncated("the file ends inside the pixels")
            run = _nibbles(np.frombuffer(run, np.uint8)).tobytes()[:value] if nibbles else run
            at += length + length % 2
        elif value == 2:
            right, up = _two(data, at)
            x, y, at = x + right, y + up, at + 2
            continue
        elif value == 1:
            break
        else:
            x, y = 0, y + 1
            continue
        if x < width:
            kept = run[: width - x]
            out[y * width + x : y * width + x + len(kept)] = kept
        x += len(run)
    else:
        raise too_large(f"more than {_MAX_CODES} run-length codes")
    return np.frombuffer(out, np.uint8).reshape(height, width)


def _two(data: bytes, at: int) -> tuple[int, int]:
    if at + 2 > len(data):
        raise truncated("the file ends inside the pixels")
    return data[at], data[at + 1]


def _nibbles(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The two halves of each byte along the last axis, the high one first."""
    halves = np.stack([values >> 4, values & 15], axis=-1)
    return halves.reshape(*values.shape[:-1], -1)
