"""Walk over a JPEG: segments, tables, frame header, scans and the end marker. Of an MPO the first picture counts.

The rebuilt file holds tables, frame and scans, and the two segments that say how colours are stored (JFIF, Adobe).
Exif is read for the orientation; thumbnails, profiles and comments are left out unread.
"""

from __future__ import annotations

import functools
import re
import struct
from dataclasses import dataclass, field

from . import exif
from .page import Page, check_size, corrupt, refused, truncated

_TEM, _SOI, _EOI, _SOS, _DQT, _DHT, _DRI = 0x01, 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD
_APP0, _APP1, _APP14 = 0xE0, 0xE1, 0xEE
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_OTHER_FRAMES = {0xC3, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xCC, 0xDE, 0xDF}
_MAX_SCANS = 100
_MAX_SEGMENTS = 100_000
# in entropy-coded data FF 00 is a byte, FF D0 to FF D7 restart markers and FF FF filling
_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"


@dataclass(slots=True, kw_only=True)
class _Walk:
    """What one pass over the segments gathers."""

    parts: list[bytes] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)
    progressive: bool = False
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)  # component id -> (h, v)
    seen: set[int] = field(default_factory=set)  # components that have a scan
    scans: int = 0
    orientation: int | None = None
    jfif: bool = False
    adobe: int | None = None


def jpeg_pages(data: bytes, max_pixels: int) -> list[Page]:
    """The first picture of a JPEG file."""
    walk, at = _Walk(), 2
    for _ in range(_MAX_SEGMENTS):
        marker, at = _next_marker(data, at)
        if marker == _EOI:
            break
        if marker == _TEM or 0xD0 <= marker <= 0xD7:
            continue  # markers without a segment mean nothing here
        if at + 2 > len(data):
            raise truncated("the file ends at the start of a segment")
        length = int.from_bytes(data[at : at + 2], "big")
        if length < 2:
            raise corrupt("a segment with an illegal length")
        if at + length > len(data):
            raise truncated("the file ends inside a segment")
        body, at = data[at + 2 : at + length], at + length
        if marker == _SOS:
            at = _scan(walk, data, body, at)
        else:
            _segment(walk, marker, body, max_pixels)
    else:
        raise corrupt(f"more than {_MAX_SEGMENTS} segments")
    if not walk.scans:
        raise corrupt("no pixel data")
    if walk.seen != set(walk.sampling):
        raise corrupt("a colour without pixel data")
    clean = functools.partial(_rebuilt, walk)
    return [Page(kind="jpeg", size_wh=walk.size, orientation=walk.orientation or 1, clean=clean)]


def _next_marker(data: bytes, at: int) -> tuple[int, int]:
    """The next marker from `at` and the offset behind it. Stray bytes before it are skipped, as all decoders do."""
    found = _MARKER.search(data, at)
    if found is None:
        raise truncated("the file ends without its end marker")
    return found[1][0], found.end()


def _segment(walk: _Walk, marker: int, body: bytes, max_pixels: int) -> None:
    if marker in (*_SEQUENTIAL, _PROGRESSIVE):
        _frame(walk, marker, body, max_pixels)
    elif marker in _OTHER_FRAMES:
        raise refused(
            "a lossless, arithmetic or hierarchical JPEG, which is not read", "save it as ordinary JPEG or PNG"
        )
    elif marker == _DQT:
        _check_quantisation(body)
        walk.parts.append(_as_segment(marker, body))
    elif marker in (_DHT, _DRI):
        walk.parts.append(_as_segment(marker, body))
    elif marker == _APP0 and body.startswith(b"JFIF\0"):
        walk.jfif = True
    elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
        walk.adobe = body[11]
    elif marker == _APP1 and body.startswith(exif.PREFIX):
        if walk.orientation is None:
            walk.orientation = exif.orientation(body)
    elif marker < 0xC0 or marker == _SOI:
        raise corrupt("a marker that is not allowed here")


def _frame(walk: _Walk, marker: int, body: bytes, max_pixels: int) -> None:
    if walk.sampling:
        raise corrupt("a second frame header")
    if len(body) < 6:
        raise corrupt("the frame header is too short")
    precision, height, width, count = struct.unpack_from(">BHHB", body)
    if precision != 8:
        raise corrupt(f"{precision} bits a sample, where 8 are supported")
    if count not in (1, 3, 4) or len(body) != 6 + 3 * count:
        raise corrupt(f"{count} colours in the frame header")
    walk.size = check_size(width, height, max_pixels)
    walk.progressive = marker == _PROGRESSIVE
    for name, factors, table in struct.iter_unpack("BBB", body[6:]):
        horizontal, vertical = factors >> 4, factors & 15
        if not (1 <= horizontal <= 4 and 1 <= vertical <= 4) or table > 3 or name in walk.sampling:
            raise corrupt("illegal colours in the frame header")
        walk.sampling[name] = (horizontal, vertical)
    walk.parts.append(_as_segment(marker, body))


def _check_quantisation(body: bytes) -> None:
    at = 0
    while at < len(body):
        wide, number = body[at] >> 4, body[at] & 15
        if wide > 1 or number > 3:
            raise corrupt("an illegal quantisation table")
        at += 65 + 64 * wide
    if at != len(body):
        raise corrupt("a quantisation table of wrong length")


def _scan(walk: _Walk, data: bytes, header: bytes, at: int) -> int:
    """Take one scan; returns the offset of the marker after its data."""
    if not walk.sampling:
        raise corrupt("pixel data before the frame header")
    walk.scans += 1
    if walk.scans > _MAX_SCANS:
        raise corrupt(f"more than {_MAX_SCANS} scans")
    if not header or len(header) != 4 + 2 * header[0] or not 1 <= header[0] <= 4:
        raise corrupt("a scan header of wrong length")
    names = header[1 : 1 + 2 * header[0] : 2]
    if len(set(names)) != len(names) or not set(names) <= set(walk.sampling):
        raise corrupt("a scan of colours that the frame does not have")
    walk.seen.update(names)
    end = _SCAN_END.search(data, at)
    if end is None:
        raise truncated("the file ends inside the pixel data")
    if 8 * (end.start() - at) < _fewest_bits(walk, names, header[-3:]):
        raise truncated("far too little pixel data for the size in the header")
    walk.parts += [_as_segment(_SOS, header), data[at : end.start()]]
    return end.start()


def _fewest_bits(walk: _Walk, names: bytes, spectral: bytes) -> int:
    """A lower bound of a scan's length: a block costs at least one code, and one more where its details are in it.

    Decoders fill what is missing with grey and say nothing, so a size that the data cannot hold is caught here.
    """
    if walk.progressive and spectral[0] > 0:
        return 0  # runs of empty blocks share one code
    widest = max(h for h, _ in walk.sampling.values())
    highest = max(v for _, v in walk.sampling.values())
    width, height = walk.size
    across, down = -(-width // (8 * widest)), -(-height // (8 * highest))
    if len(names) == 1:
        h, v = walk.sampling[names[0]]
        blocks = -(-width * h // (8 * widest)) * -(-height * v // (8 * highest))
    else:
        blocks = across * down * sum(h * v for h, v in (walk.sampling[name] for name in names))
    return blocks if walk.progressive else 2 * blocks


def _as_segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def _rebuilt(walk: _Walk) -> bytes:
    colours = _JFIF if walk.jfif else b""
    if walk.adobe is not None:
        colours += _as_segment(_APP14, b"Adobe\0\x64\0\0\0\0" + bytes((walk.adobe,)))
    return b"".join([b"\xff\xd8", colours, *walk.parts, b"\xff\xd9"])
