"""Walk over a WebP: RIFF chunks, canvas, first frame. Profiles, later frames and the alpha of a still are left out."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator

from . import exif
from .page import Page, check_size, corrupt, too_large, truncated

_ANIMATED = 0x02
_MAX_CHUNKS = 100_000


def webp_pages(data: bytes, max_pixels: int) -> list[Page]:
    """The picture of a WebP, or the first frame of an animated one on its canvas."""
    if len(data) < 12:
        raise truncated("the file ends inside the header")
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    canvas, animated, turned, picture, frame = None, False, 1, b"", b""
    for kind, at, length in _chunks(data, 12, min(end, len(data))):
        content = data[at : at + length]
        if kind == b"VP8X" and canvas is None:
            canvas, animated = _canvas(content, max_pixels)
        elif kind in (b"VP8 ", b"VP8L") and not picture:
            picture = _chunk(kind, content)
            _check_stream(kind, content, canvas, max_pixels)
        elif kind == b"ANMF" and not frame:
            frame = _chunk(kind, content)
            _check_frame(content, canvas, max_pixels)
        elif kind == b"EXIF" and turned == 1:
            turned = exif.orientation(content)
    if end > len(data):
        raise truncated("the file is shorter than it says")
    if animated and frame and canvas:
        clean, size = functools.partial(_animation, canvas, frame), canvas
    elif picture:
        clean, size = functools.partial(_still, picture), _stream_size(picture[:4], picture[8:])
    else:
        raise corrupt("no pixel data")
    return [Page(kind="webp", size_wh=size, orientation=turned, clean=clean)]


def _chunks(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, offset of the content, length) of the chunks in data[at:end]."""
    for _ in range(_MAX_CHUNKS):
        if at == end:
            return
        if at + 8 > end:
            raise truncated("the file ends inside a chunk header")
        kind, length = struct.unpack_from("<4sI", data, at)
        if at + 8 + length > end:
            raise truncated("the file ends inside a chunk")
        yield kind, at + 8, length
        at = min(at + 8 + length + length % 2, end)
    raise too_large(f"more than {_MAX_CHUNKS} chunks")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _24_bits(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 3], "little")


def _canvas(content: bytes, max_pixels: int) -> tuple[tuple[int, int], bool]:
    if len(content) < 10:
        raise corrupt("the canvas header is too short")
    size = check_size(_24_bits(content, 4) + 1, _24_bits(content, 7) + 1, max_pixels)
    return size, bool(content[0] & _ANIMATED)


def _stream_size(kind: bytes, content: bytes) -> tuple[int, int]:
    """Width and height from the first bytes of a VP8 or VP8L stream."""
    if kind == b"VP8L":
        if len(content) < 5 or content[0] != 0x2F or content[4] >> 5:
            raise corrupt("the lossless stream does not begin as it must")
        bits = int.from_bytes(content[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(content) < 10 or content[0] & 1 or content[3:6] != b"\x9d\x01\x2a":
        raise corrupt("the lossy stream does not begin as it must")
    width, height = struct.unpack_from("<HH", content, 6)
    return width & 0x3FFF, height & 0x3FFF


def _check_stream(kind: bytes, content: bytes, expected: tuple[int, int] | None, max_pixels: int) -> None:
    size = check_size(*_stream_size(kind, content), max_pixels)
    if expected is not None and size != expected:
        raise corrupt(f"the stream holds {size[0]} x {size[1]} pixels, the header says {expected[0]} x {expected[1]}")


def _check_frame(content: bytes, canvas: tuple[int, int] | None, max_pixels: int) -> None:
    if canvas is None or len(content) < 16:
        raise corrupt("a frame without a canvas or a header")
    left, top = 2 * _24_bits(content, 0), 2 * _24_bits(content, 3)
    width, height = _24_bits(content, 6) + 1, _24_bits(content, 9) + 1
    if left + width > canvas[0] or top + height > canvas[1]:
        raise corrupt("a frame outside the canvas")
    streams = 0
    for kind, at, length in _chunks(content, 16, len(content)):
        if kind in (b"VP8 ", b"VP8L"):
            _check_stream(kind, content[at : at + length], (width, height), max_pixels)
            streams += 1
    if streams != 1:
        raise corrupt("a frame without pixel data")


def _riff(chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _still(picture: bytes) -> bytes:
    return _riff(picture)


def _animation(canvas: tuple[int, int], frame: bytes) -> bytes:
    width, height = ((side - 1).to_bytes(3, "little") for side in canvas)
    header = _chunk(b"VP8X", bytes((_ANIMATED | 0x10, 0, 0, 0)) + width + height)
    return _riff(header + _chunk(b"ANIM", b"\0" * 6) + frame)
