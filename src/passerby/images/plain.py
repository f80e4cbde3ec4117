"""Pictures that are little more than rows of numbers: PNM and Sun raster, read with numpy alone."""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..types import ImageBgr
from .page import Page, check_size, corrupt, too_large, truncated

_PNM_HEADER = re.compile(rb"P([1-6])" + rb"(?:\s|#[^\n\r]*[\n\r])+(-?\d{1,19})" * 2)
_PNM_MAXIMUM = re.compile(rb"(?:\s|#[^\n\r]*[\n\r])+(-?\d{1,19})")
_PNM_HEADER_BYTES = 1 << 16
_TEXT_STEP = 1 << 20
# run-length codes are undone one by one in Python: about two seconds for this many
_MAX_RUNS = 4_000_000
_SUN_RLE = 2
_SUN_RGB = 3


def three_channels(gray: NDArray[np.uint8]) -> ImageBgr:
    """(H, W) uint8 to (H, W, 3) with the same value in each channel; a copy."""
    return np.repeat(gray[:, :, None], 3, axis=2)


def pnm_pages(data: bytes, max_pixels: int) -> list[Page]:
    """The first picture of a PBM, PGM or PPM file, text or binary."""
    found = _PNM_HEADER.match(data, 0, _PNM_HEADER_BYTES)
    if found is None:
        raise (
            corrupt("the header is not understood") if len(data) > 64 else truncated("the file ends inside the header")
        )
    kind, width, height = (int(group) for group in found.groups())
    size = check_size(width, height, max_pixels)
    at, maximum = found.end(), 1
    if kind not in (1, 4):
        found = _PNM_MAXIMUM.match(data, at, at + _PNM_HEADER_BYTES)
        if found is None:
            raise truncated("the file ends inside the header")
        at, maximum = found.end(), int(found.group(1))
        if not 1 <= maximum <= 65535:
            raise corrupt(f"the header says a largest value of {maximum}")
    if not data[at : at + 1].isspace():
        raise (
            truncated("the file ends inside the header") if at >= len(data) else corrupt("the header is not understood")
        )
    shape = (height, width, 3 if kind in (3, 6) else 1)
    at += 1
    if kind > 3 and len(data) - at < _pnm_bytes(kind, shape, maximum):
        raise truncated("the file ends inside the pixels")
    if kind < 4 and len(data) - at < shape[0] * shape[1] * shape[2]:
        raise truncated("the file ends inside the pixels")
    read = functools.partial(_pnm_pixels, data, at, kind, shape, maximum)
    return [Page(kind="pnm", size_wh=size, pixels=read)]


def _pnm_bytes(kind: int, shape: tuple[int, int, int], maximum: int) -> int:
    height, width, channels = shape
    if kind == 4:
        return height * ((width + 7) // 8)
    return height * width * channels * (2 if maximum > 255 else 1)


def _pnm_pixels(data: bytes, at: int, kind: int, shape: tuple[int, int, int], maximum: int) -> ImageBgr:
    height, width, channels = shape
    count = height * width * channels
    if kind == 4:
        rows = np.frombuffer(data, np.uint8, _pnm_bytes(kind, shape, 1), at).reshape(height, -1)
        values: NDArray[np.uint8] = (1 - np.unpackbits(rows, axis=1, count=width)) * np.uint8(255)
    elif kind == 1:
        values = (1 - _text_bits(data, at, count)) * np.uint8(255)
    elif kind > 3:
        wide = ">u2" if maximum > 255 else "u1"
        values = _to_8_bits(np.frombuffer(data, wide, count, at), maximum)
    else:
        values = _text_values(data, at, count, maximum)
    values = values.reshape(shape)
    return np.ascontiguousarray(values[:, :, ::-1]) if channels == 3 else three_channels(values[:, :, 0])


def _to_8_bits(values: NDArray[np.unsignedinteger], maximum: int) -> NDArray[np.uint8]:
    if maximum == 255:
        return values.astype(np.uint8)
    if values.size and int(values.max()) > maximum:
        raise corrupt("a pixel above the largest value of the header")
    if maximum == 65535:
        return (values >> 8).astype(np.uint8)
    return (values.astype(np.uint32) * 255 // maximum).astype(np.uint8)


def _text_pieces(data: bytes, at: int) -> Iterator[bytes]:
    """The text from `at` without comments, in pieces that end between two numbers and outside a comment."""
    border = re.compile(rb"[\n\r]" if data.find(b"#", at) >= 0 else rb"\s")
    while at < len(data):
        end = at + _TEXT_STEP
        if end < len(data):
            gap = border.search(data, end)
            end = gap.end() if gap else len(data)
        piece = re.sub(rb"#[^\n\r]*", b"", data[at:end])
        if piece.translate(None, b"0123456789 \t\n\r\v\f"):
            raise corrupt("text that is not a number among the pixels")
        yield piece
        at = end


def _text_values(data: bytes, at: int, count: int, maximum: int) -> NDArray[np.uint8]:
    values, done = np.empty(count, np.uint8), 0
    for piece in _text_pieces(data, at):
        if re.search(rb"\d{6}", piece):
            raise corrupt("a pixel above the largest value of the header")
        numbers = np.array(piece.split()[: count - done], dtype="S5").astype(np.uint32)
        if numbers.size and int(numbers.max()) > maximum:
            raise corrupt("a pixel above the largest value of the header")
        values[done : done + numbers.size] = _to_8_bits(numbers, maximum)
        done += numbers.size
        if done == count:
            return values
    raise truncated("the file ends inside the pixels")


def _text_bits(data: bytes, at: int, count: int) -> NDArray[np.uint8]:
    """P1: digits may touch, so each one is a pixel."""
    values, done = np.empty(count, np.uint8), 0
    for piece in _text_pieces(data, at):
        digits = np.frombuffer(piece.translate(None, b" \t\n\r\v\f"), np.uint8)[: count - done] - 48
        if digits.size and int(digits.max()) > 1:
            raise corrupt("a pixel that is neither 0 nor 1")
        values[done : done + digits.size] = digits
        done += digits.size
        if done == count:
            return values
    raise truncated("the file ends inside the pixels")


def sun_pages(data: bytes, max_pixels: int) -> list[Page]:
    """A Sun raster file: 1, 8, 24 or 32 bits, plain, run-length coded or in RGB order."""
    if len(data) < 32:
        raise truncated("the file ends inside the header")
    width, height, bits, _, kind, map_kind, map_length = struct.unpack_from(">7I", data, 4)
    size = check_size(width, height, max_pixels)
    if bits not in (1, 8, 24, 32) or kind > _SUN_RGB or map_kind > 1 or (map_kind and bits > 8):
        raise corrupt("the header has an illegal depth or type")
    if map_kind and (map_length % 3 or not 0 < map_length <= 768):
        raise corrupt("the palette is malformed")
    stride = (width * bits + 15) // 16 * 2
    at = 32 + map_length
    if at > len(data) or (kind != _SUN_RLE and len(data) - at < stride * height):
        raise truncated("the file ends inside the pixels")
    colours = data[32:at] if map_kind else b""
    read = functools.partial(_sun_pixels, data, at, size, bits, kind, colours)
    return [Page(kind="sun", size_wh=size, pixels=read)]


def _sun_pixels(data: bytes, at: int, size: tuple[int, int], bits: int, kind: int, colours: bytes) -> ImageBgr:
    width, height = size
    stride = (width * bits + 15) // 16 * 2
    body = _sun_runs(data, at, stride * height) if kind == _SUN_RLE else data
    rows = np.frombuffer(body, np.uint8, stride * height, 0 if kind == _SUN_RLE else at).reshape(height, stride)
    if bits > 8:
        pixels = rows[:, : width * bits // 8].reshape(height, width, bits // 8)[:, :, bits // 8 - 3 :]
        return np.ascontiguousarray(pixels[:, :, ::-1] if kind == _SUN_RGB else pixels)
    values = rows[:, :width] if bits == 8 else np.unpackbits(rows, axis=1, count=width)
    if not colours:
        return three_channels(values if bits == 8 else (1 - values) * np.uint8(255))
    table = np.zeros((256, 3), np.uint8)
    planes = np.frombuffer(colours, np.uint8).reshape(3, -1)[::-1]
    table[: planes.shape[1]] = planes.T
    return table[values]


def _sun_runs(data: bytes, at: int, length: int) -> bytes:
    """Undo the run-length code: 80 00 is a byte 80, 80 n v is v, n + 1 times."""
    out: list[bytes] = []
    done = 0
    for found in re.compile(rb"([^\x80]+)|\x80\x00|\x80(.)(.)", re.DOTALL).finditer(data, at):
        literal, count, value = found.groups()
        piece = literal if literal else value * (count[0] + 1) if count else b"\x80"
        out.append(piece)
        done += len(piece)
        if done >= length:
            return b"".join(out)
        if len(out) > _MAX_RUNS:
            raise too_large(f"more than {_MAX_RUNS} runs")
    raise truncated("the file ends inside the pixels")
