"""Walk over a TIFF or BigTIFF: its directories (one a page), the layout of the pixels and where their bytes lie.

Each page is rebuilt as a small TIFF of its own with the tags the pixels need and no other.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .image_page import Page, check_size, corrupt, refused, too_large, truncated

_MAX_PAGES = 1000
_MAX_TAGS = 4096
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _COLOURS, _FILL_ORDER, _ORIENTATION = 256, 257, 258, 259, 262, 266, 274
_STRIPS, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_SAMPLE_FORMAT, _JPEG_TABLES = 339, 347
_NEEDED = {
    _WIDTH,
    _HEIGHT,
    _BITS,
    _COMPRESSION,
    _COLOURS,
    _FILL_ORDER,
    _SAMPLES,
    _ROWS,
    _PLANAR,
    _TILE_WIDTH,
    _TILE_HEIGHT,
}
_NEEDED |= {292, 293, 317, 320, 338, _SAMPLE_FORMAT, _JPEG_TABLES, 529, 530, 531, 532}
_ITEM = {1: "u1", 3: "u2", 4: "u4", 5: "u4", 7: "u1", 13: "u4", 16: "u8", 18: "u8"}
_RAW = 1
_CODECS = {_RAW, 2, 3, 4, 5, 7, 8, 32773, 32946}
_EXPORT = "save it as an 8-bit RGB TIFF, JPEG or PNG"

Values = NDArray[np.unsignedinteger]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How numbers are stored in one file."""

    order: str  # "<" or ">"
    big: bool

    @property
    def word(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def head(self) -> tuple[str, int, int, int]:
        """Format and length of the count of tags, length of a tag, bytes of a value that fit into it."""
        return (self.order + "Q", 8, 20, 8) if self.big else (self.order + "H", 2, 12, 4)


def tiff_pages(data: bytes, max_pixels: int) -> list[Page]:
    """Every page of a TIFF file, in order. A chain of pages that bites its own tail ends there."""
    if len(data) < 8 or (data[2:4].strip(b"\0") == b"+" and len(data) < 16):
        raise truncated("the file ends inside the header")
    layout = _Layout(order="<" if data[:2] == b"II" else ">", big=b"+" in data[2:4])
    at = 8 if layout.big else 4
    (where,) = struct.unpack_from(layout.word, data, at)
    pages: list[Page] = []
    seen: set[int] = set()
    while where and where not in seen:
        if len(pages) == _MAX_PAGES:
            raise too_large(f"more than {_MAX_PAGES} pages")
        seen.add(where)
        tags, where = _directory(data, layout, where)
        pages.append(_page(data, layout, tags, max_pixels))
    if not pages:
        raise corrupt("no page")
    return pages


def _directory(data: bytes, layout: _Layout, where: int) -> tuple[dict[int, Values], int]:
    """The tags of one directory that the pixels need, and where the next directory is."""
    count_format, count_length, tag_length, fits = layout.head
    if where > len(data):
        raise corrupt("a directory outside the file")
    if where + count_length > len(data):
        raise truncated("the file ends inside a directory")
    (count,) = struct.unpack_from(count_format, data, where)
    if not 0 < count <= _MAX_TAGS:
        raise corrupt(f"a directory of {count} tags")
    start, end = where + count_length, where + count_length + count * tag_length
    if end + fits > len(data):
        raise truncated("the file ends inside a directory")
    tags: dict[int, Values] = {}
    for at in range(start, end, tag_length):
        tag, kind = struct.unpack_from(layout.order + "HH", data, at)
        if tag in _NEEDED or tag in (_ORIENTATION, _STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES):
            tags.setdefault(tag, _values(data, layout, at, kind))
    return tags, struct.unpack_from(layout.word, data, end)[0]


def _values(data: bytes, layout: _Layout, at: int, kind: int) -> Values:
    fits = layout.head[3]
    (count,) = struct.unpack_from(layout.word, data, at + 4)
    if kind not in _ITEM:
        raise corrupt("a tag with values of a wrong type")
    item = np.dtype(layout.order + _ITEM[kind])
    count *= 2 if kind == 5 else 1
    where = at + 4 + fits
    if count * item.itemsize > fits:
        (where,) = struct.unpack_from(layout.word, data, where)
    if not count or where > len(data) or count * item.itemsize > len(data):
        raise corrupt("the values of a tag lie outside the file")
    if where + count * item.itemsize > len(data):
        raise truncated("the file ends inside the values of a tag")
    return np.frombuffer(data, item, count, where)


def _one(tags: dict[int, Values], tag: int, default: int) -> int:
    return int(tags[tag][0]) if tag in tags else default


def _page(data: bytes, layout: _Layout, tags: dict[int, Values], max_pixels: int) -> Page:
    if _WIDTH not in tags or _HEIGHT not in tags:
        raise corrupt("a page without a size")
    size = check_size(_one(tags, _WIDTH, 0), _one(tags, _HEIGHT, 0), max_pixels)
    _check_pixels(tags)
    places, lengths = _places(data, tags, size)
    turned = _one(tags, _ORIENTATION, 1)
    kept = {tag: values for tag, values in tags.items() if tag in _NEEDED}
    clean = functools.partial(_rebuilt, data, layout, kept, places, lengths)
    return Page(kind="tiff", size_wh=size, orientation=turned if 1 <= turned <= 8 else 1, clean=clean)


def _check_pixels(tags: dict[int, Values]) -> None:
    """Refuse what the decoder has no colours for, before it sees it."""
    samples, codec = _one(tags, _SAMPLES, 1), _one(tags, _COMPRESSION, _RAW)
    bits = tags.get(_BITS, np.ones(1, np.uint16))
    if not 1 <= samples <= 1024 or bits.size not in (1, samples):
        raise corrupt(f"{samples} channels a pixel")
    if codec not in _CODECS:
        raise corrupt(f"compression {codec}, which is not read", _EXPORT)
    if samples > 5 or int(bits.max()) > 16 or int(bits.min()) != int(bits.max()):
        raise refused(f"{samples} channels of up to {int(bits.max())} bits, which is not read", _EXPORT)
    if int(tags.get(_SAMPLE_FORMAT, bits[:1] * 0 + 1).max()) != 1:
        raise refused("signed or floating-point values, which are not read", _EXPORT)
    if _one(tags, _PLANAR, 1) not in (1, 2) or _one(tags, _FILL_ORDER, 1) not in (1, 2):
        raise corrupt("an illegal order of the pixels")


def _places(data: bytes, tags: dict[int, Values], size: tuple[int, int]) -> tuple[Values, Values]:
    """Offsets and lengths of the strips or tiles, all of them inside the file and as many as the size asks for."""
    width, height = size
    tiled = _TILES in tags
    places = tags.get(_TILES if tiled else _STRIPS)
    lengths = tags.get(_TILE_BYTES if tiled else _STRIP_BYTES)
    if places is None or lengths is None or lengths.size != places.size:
        raise corrupt("a page that does not say where its pixels are")
    rows, columns = _one(tags, _ROWS, height), width
    if tiled:
        rows, columns = _one(tags, _TILE_HEIGHT, 0), _one(tags, _TILE_WIDTH, 0)
    if not rows or not columns or (rows * columns > 4 * max(width * height, 1 << 20) and tiled):
        raise corrupt("strips or tiles of an illegal size")
    planes = _one(tags, _SAMPLES, 1) if _one(tags, _PLANAR, 1) == 2 else 1
    expected = -(-height // rows) * -(-width // columns) * planes
    if places.size < expected:
        raise corrupt("fewer strips or tiles than the size asks for")
    places, lengths = places[:expected], lengths[:expected]
    starts, ends = places.astype(np.float64), places.astype(np.float64) + lengths
    if starts.max() > len(data):
        raise corrupt("pixels outside the file")
    if ends.max() > len(data):
        raise truncated("the file ends inside the pixels")
    if _one(tags, _COMPRESSION, _RAW) == _RAW:
        bits = _one(tags, _BITS, 1) * (_one(tags, _SAMPLES, 1) // planes)
        needed = (width * bits + 7) // 8 * height * planes
        if int(lengths.sum()) < needed:
            raise truncated("fewer bytes than the size asks for")
    return places, lengths


def _rebuilt(data: bytes, layout: _Layout, tags: dict[int, Values], places: Values, lengths: Values) -> bytes:
    """A classic TIFF of one page: header, pixels, one directory, and the values that do not fit into it."""
    parts, at, moved = [], 8, []
    for place, length in zip(places.tolist(), lengths.tolist(), strict=True):
        parts.append(data[place : place + length] + b"\0" * (length % 2))
        moved.append(at)
        at += length + length % 2
    tiled = _TILE_WIDTH in tags
    all_tags = dict(tags)
    all_tags[_TILES if tiled else _STRIPS] = np.array(moved, layout.order + "u4")
    all_tags[_TILE_BYTES if tiled else _STRIP_BYTES] = lengths.astype(layout.order + "u4")
    directory_at = at
    values_at = directory_at + 2 + 12 * len(all_tags) + 4
    entries, values = [], b""
    pack: Callable[..., bytes] = functools.partial(struct.pack)
    for tag, numbers in sorted(all_tags.items()):
        kind, content = _encoded(tag, numbers, layout.order)
        count = len(content) // {1: 1, 3: 2, 4: 4, 5: 8, 7: 1}[kind]
        field = content.ljust(4, b"\0")
        if len(content) > 4:
            field = pack(layout.order + "I", values_at + len(values))
            values += content + b"\0" * (len(content) % 2)
        entries.append(pack(layout.order + "HHI", tag, kind, count) + field)
    head = (b"II*\0" if layout.order == "<" else b"MM\0*") + pack(layout.order + "I", directory_at)
    directory = pack(layout.order + "H", len(entries)) + b"".join(entries) + b"\0\0\0\0"
    return b"".join([head, *parts, directory, values])


def _encoded(tag: int, numbers: Values, order: str) -> tuple[int, bytes]:
    """Type and bytes of a tag's values."""
    if tag == _JPEG_TABLES:
        return 7, numbers.astype("u1").tobytes()
    if tag in (529, 532):
        return 5, numbers.astype(order + "u4").tobytes()
    if tag in (_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES, _WIDTH, _HEIGHT, _ROWS, _TILE_WIDTH, _TILE_HEIGHT, 292, 293):
        # "one strip for all rows" may be written as 2^64 - 1 in a BigTIFF
        return 4, np.minimum(numbers.astype(np.uint64), np.uint64(0xFFFFFFFF)).astype(order + "u4").tobytes()
    return 3, numbers.astype(order + "u2").tobytes()
