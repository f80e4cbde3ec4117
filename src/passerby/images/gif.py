"""Walk over a GIF: canvas, colour tables and data blocks of the first frame; the rest and extensions stay unread."""

from __future__ import annotations

import functools
import struct

from .page import Page, check_size, corrupt, too_large, truncated

_TRAILER, _EXTENSION, _FRAME = b";", b"!", b","
_MAX_EXTENSIONS = 1000
# a block holds up to 255 bytes and encoders fill it, so 128 MiB are half a million of them
_MAX_BLOCKS = 1_000_000


def gif_pages(data: bytes, max_pixels: int) -> list[Page]:
    """The first frame of a GIF on its canvas; transparency is dropped."""
    if len(data) < 13:
        raise truncated("the file ends inside the header")
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _table_length(flags)
    if width * height:  # 0 x 0 leaves the size to the frame
        check_size(width, height, max_pixels)
    if at > len(data):
        raise truncated("the file ends inside the colour table")
    frame = _first_frame(data, at)
    left, top, frame_width, frame_height, frame_flags = struct.unpack_from("<HHHHB", data, frame + 1)
    if not frame_width or not frame_height:
        raise corrupt("a frame without pixels")
    size = check_size(max(width, left + frame_width), max(height, top + frame_height), max_pixels)
    if max(size) > 0xFFFF:
        raise corrupt("a frame outside any canvas")
    codes = frame + 10 + _table_length(frame_flags)
    if codes >= len(data):
        raise truncated("the file ends before the pixels")
    if not 1 <= data[codes] <= 11:
        raise corrupt("an illegal code size")
    end = _after_blocks(data, codes + 1)
    clean = functools.partial(_rebuilt, data, size, frame, end)
    return [Page(kind="gif", size_wh=size, clean=clean)]


def _table_length(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _first_frame(data: bytes, at: int) -> int:
    for _ in range(_MAX_EXTENSIONS):
        block = data[at : at + 1]
        if block == _FRAME:
            if at + 10 > len(data):
                raise truncated("the file ends inside the frame header")
            return at
        if block == _TRAILER:
            raise corrupt("a canvas without a frame")
        if not block:
            raise truncated("the file ends before its first frame")
        if block != _EXTENSION:
            raise corrupt("an unknown block")
        at = _after_blocks(data, at + 2)
    raise too_large(f"more than {_MAX_EXTENSIONS} extensions")


def _after_blocks(data: bytes, at: int) -> int:
    """The offset behind a chain of data blocks, the empty one that ends it included."""
    for _ in range(_MAX_BLOCKS):
        if at >= len(data):
            raise truncated("the file ends inside a frame")
        if not data[at]:
            return at + 1
        at += 1 + data[at]
    raise too_large(f"more than {_MAX_BLOCKS} blocks")


def _rebuilt(data: bytes, size: tuple[int, int], frame: int, end: int) -> bytes:
    width, height = size
    tables = data[10 : 13 + _table_length(data[10])]
    return data[:6] + struct.pack("<HH", width, height) + tables + data[frame:end] + _TRAILER
