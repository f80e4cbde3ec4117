"""Undoes the codes of TIFF strips and tiles without libtiff, which prints what it thinks of damaged files."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from .page import corrupt, too_large

RAW, GROUP4, LZW, JPEG, DEFLATE, PACK_BITS, OLD_DEFLATE = 1, 4, 5, 7, 8, 32773, 32946
_CLEAR, _END, _FIRST = 256, 257, 258
_LONGEST_SEGMENT = 4096
# PackBits is undone run by run in Python: about three seconds for this many
_MAX_RUNS = 8_000_000


def unpack(codec: int, packed: bytes, expected: int) -> bytes:
    """The first `expected` bytes of a strip or tile.

    Raises:
        InputError: `corrupt`, the data is damaged or holds less.
    """
    if codec == RAW:
        content = packed[:expected]
    elif codec in (DEFLATE, OLD_DEFLATE):
        content = _inflated(packed, expected)
    elif codec == LZW:
        content = _lzw(packed, expected)
    else:
        content = _pack_bits(packed, expected)
    if len(content) < expected:
        raise corrupt("fewer pixels than the size asks for")
    return content


def _inflated(packed: bytes, expected: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, expected)
    except zlib.error:
        raise corrupt("the pixel data cannot be unpacked") from None


def _pack_bits(packed: bytes, expected: int) -> bytes:
    parts: list[bytes] = []
    done, at = 0, 0
    while done < expected and at < len(packed):
        head = packed[at]
        if head < 128:
            part = packed[at + 1 : at + 2 + head]
            at += 2 + head
        else:
            part = packed[at + 1 : at + 2] * (257 - head) if head > 128 else b""
            at += 2 if head > 128 else 1
        parts.append(part)
        done += len(part)
        if len(parts) > _MAX_RUNS:
            raise too_large(f"more than {_MAX_RUNS} runs in a strip")
    return b"".join(parts)[:expected]


def _lzw(packed: bytes, expected: int) -> bytes:
    parts: list[bytes] = []
    padded = np.frombuffer(packed + b"\0\0", np.uint8)
    done, at = 0, 0
    # encoders clear their table after some 3,800 codes, 5 KB; one that does so all the time only costs time
    for _ in range(8 + len(packed) // 2048):
        codes, at, last = _lzw_segment(padded, at)
        parts.append(_lzw_strings(codes))
        done += len(parts[-1])
        if done >= expected or last:
            break
    return b"".join(parts)[:expected]


def _lzw_widths() -> NDArray[np.int64]:
    """Bits of the n-th code after a clear code; TIFF widens them one code early."""
    following = _FIRST + np.maximum(np.arange(_LONGEST_SEGMENT) - 1, 0)
    return np.array(9 + (following >= 511) + (following >= 1023) + (following >= 2047), np.int64)


_WIDTHS = _lzw_widths()
_STARTS = np.concatenate([[0], np.cumsum(_WIDTHS)[:-1]])


def _lzw_segment(padded: NDArray[np.uint8], at: int) -> tuple[NDArray[np.int64], int, bool]:
    """The codes from bit `at` to the next clear code, the bit behind that, and whether the data ends there."""
    space = 8 * (padded.size - 2) - at
    count = int(np.searchsorted(_STARTS + _WIDTHS, space, side="right"))
    starts, widths = _STARTS[:count] + at, _WIDTHS[:count]
    first = starts >> 3
    three = padded[first].astype(np.int64) << 16 | padded[first + 1].astype(np.int64) << 8 | padded[first + 2]
    codes = three >> (24 - widths - (starts & 7)) & ((1 << widths) - 1)
    stops = np.flatnonzero((codes == _CLEAR) | (codes == _END))
    if not stops.size:
        return codes, at + space, count < _LONGEST_SEGMENT
    stop = int(stops[0])
    return codes[:stop], at + int(_STARTS[stop] + _WIDTHS[stop]), bool(codes[stop] == _END)


def _lzw_strings(codes: NDArray[np.int64]) -> bytes:
    """What the codes of one segment stand for.

    The entry that code number n adds to the table is the output from where that code's string begins, one byte longer
    than it. So every code but the plain bytes is a copy of earlier output, and one gather per doubling of the length of
    such chains resolves them all; Python code by code would take five times as long.
    """
    number = np.arange(codes.size, dtype=np.int32)
    copies = codes >= _FIRST
    origin = np.where(copies, codes - _FIRST, number).astype(np.int32)
    if codes.size and (origin[copies] >= number[copies]).any():
        raise corrupt("an illegal code in the pixel data")
    lengths, parent = copies.astype(np.int32), origin
    while (following := parent[parent]).tobytes() != parent.tobytes():
        lengths, parent = lengths + lengths[parent], following
    lengths = lengths + lengths[parent] + 1
    begins = np.cumsum(lengths, dtype=np.int32) - lengths
    place = np.arange(int(lengths.sum()), dtype=np.int32) - np.repeat(begins - begins[origin], lengths)
    while (following := place[place]).tobytes() != place.tobytes():
        place = following
    return bytes(np.repeat(codes.astype(np.uint8), lengths)[place])
