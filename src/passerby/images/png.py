"""Walk over a PNG: header, chunk lengths, checksums. Text, profiles, transparency and animation are left out unread."""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Iterator

from . import exif
from .page import Page, check_size, corrupt, too_large, truncated

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_CRITICAL = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
# libpng writes 8 KiB a chunk, so 128 MiB are 16,384 of them
_MAX_CHUNKS = 200_000
_UNPACK_STEP = 1 << 20
# start and step of x and y in the seven passes of an interlaced picture
_ADAM7 = ((0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2))


def png_pages(data: bytes, max_pixels: int) -> list[Page]:
    """The one picture of a PNG; of an APNG the picture that readers without animation show."""
    header, palette, turned = b"", b"", 1
    pixels: list[bytes] = []
    for kind, at, length in _chunks(data):
        if not header and kind != b"IHDR":
            raise corrupt("the first chunk is not IHDR")
        if kind == b"IHDR":
            if header:
                raise corrupt("a second IHDR chunk")
            header = _checked(data, kind, at, length)
            size, colour = _size_and_colour(header, max_pixels)
        elif kind == b"PLTE" and not pixels:
            palette = _checked(data, kind, at, length)
        elif kind == b"IDAT":
            pixels.append(_checked(data, kind, at, length))
        elif kind == b"eXIf":
            turned = exif.orientation(data[at : at + length])
    if not pixels:
        raise corrupt("no pixel data")
    if colour != 3:
        palette = b""  # only a suggestion there
    elif not palette or len(palette) % 3 or len(palette) > 768:
        raise corrupt("the palette is missing or malformed")
    clean = functools.partial(_rebuilt, header, palette, pixels)
    verify = functools.partial(_check_rows, pixels, _raw_length(header))
    return [Page(kind="png", size_wh=size, orientation=turned, clean=clean, verify=verify)]


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, offset of the content, length) of every chunk up to and without IEND."""
    if len(data) < 8 and _SIGNATURE.startswith(data):
        raise truncated("the file ends inside the signature")
    if not data.startswith(_SIGNATURE):
        raise corrupt("the PNG signature is damaged", "transfer the file in binary mode")
    at = 8
    for _ in range(_MAX_CHUNKS):
        if at + 8 > len(data):
            raise truncated("the file ends before its last chunk")
        length, kind = struct.unpack_from(">I4s", data, at)
        if not kind.isalpha() or length > 0x7FFFFFFF:
            raise corrupt("a chunk with an illegal name or length")
        if at + 12 + length > len(data):
            raise truncated("the file ends inside a chunk")
        if kind == b"IEND":
            return
        if kind[:1].isupper() and kind not in _CRITICAL:
            raise corrupt("an unknown critical chunk")
        yield kind, at + 8, length
        at += 12 + length
    raise too_large(f"more than {_MAX_CHUNKS} chunks")


def _checked(data: bytes, kind: bytes, at: int, length: int) -> bytes:
    content = data[at : at + length]
    if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(data[at + length : at + length + 4], "big"):
        raise corrupt(f"the checksum of the {kind.decode('ascii')} chunk is wrong")
    return content


def _size_and_colour(header: bytes, max_pixels: int) -> tuple[tuple[int, int], int]:
    if len(header) != 13:
        raise corrupt("the header has a wrong length")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", header)
    if max(width, height) > 0x7FFFFFFF:
        raise corrupt("the header says an illegal size")
    if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise corrupt("the header has an illegal depth, colour type or method")
    return check_size(width, height, max_pixels), colour


def _raw_length(header: bytes) -> int:
    """Bytes of all rows once unpacked, each with its filter byte."""
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    bits = depth * {2: 3, 4: 2, 6: 4}.get(colour, 1)
    length = 0
    for left, across, top, down in _ADAM7 if interlace else ((0, 1, 0, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0:
            length += max(rows, 0) * (1 + (columns * bits + 7) // 8)
    return length


def _check_rows(pixels: list[bytes], expected: int) -> None:
    unpack, left = zlib.decompressobj(), expected
    try:
        for piece in pixels:
            while piece and left > 0:
                left -= len(unpack.decompress(piece, min(left, _UNPACK_STEP)))
                piece = unpack.unconsumed_tail
    except zlib.error:
        raise corrupt("the pixel data cannot be unpacked") from None
    if left > 0:
        raise corrupt("fewer rows than the header says")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


def _rebuilt(header: bytes, palette: bytes, pixels: list[bytes]) -> bytes:
    parts = [_SIGNATURE, _chunk(b"IHDR", header)]
    if palette:
        parts.append(_chunk(b"PLTE", palette))
    return b"".join([*parts, _chunk(b"IDAT", b"".join(pixels)), _chunk(b"IEND", b"")])
