"""Walk over an AVIF: boxes, the primary item, its size, its turn and where its bytes lie."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator

from .page import Page, check_size, corrupt, too_large, truncated

_MAX_BOXES = _MAX_ITEMS = 10_000
# (quarter turns anticlockwise, mirror axis or None) -> Exif orientation; the turn comes first, then the mirror
_TURNS = {
    (0, None): 1,
    (1, None): 8,
    (2, None): 3,
    (3, None): 6,
    (0, 0): 4,
    (1, 0): 5,
    (2, 0): 2,
    (3, 0): 7,
    (0, 1): 2,
    (1, 1): 7,
    (2, 1): 4,
    (3, 1): 5,
}


def avif_pages(data: bytes, max_pixels: int) -> list[Page]:
    """The primary picture of an AVIF, or the first of a sequence. Alpha, depth and thumbnails are not looked at."""
    top: dict[bytes, tuple[int, int]] = {}
    for kind, at, end in _boxes(data, 0, len(data)):
        top.setdefault(kind, (at, end))
    if b"meta" not in top:
        raise corrupt("no description of the picture")
    at, end = top[b"meta"]
    meta = {kind: (start, stop) for kind, start, stop in _boxes(data, at + 4, end)}
    if not {b"pitm", b"iprp", b"iloc"} <= meta.keys():
        raise corrupt("the description of the picture is incomplete")
    _check_places(data, *meta[b"iloc"], cut=b"mdat" not in top)
    size, turned = _properties(data, _primary(data, *meta[b"pitm"]), *meta[b"iprp"])
    check_size(*size, max_pixels)
    return [Page(kind="avif", size_wh=size, orientation=turned, clean=functools.partial(bytes, data))]


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end of the content) of the boxes in data[at:end]."""
    for _ in range(_MAX_BOXES):
        if at == end:
            return
        if at + 8 > end:
            raise truncated("the file ends inside a box header")
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1:
            if start + 8 > end:
                raise truncated("the file ends inside a box header")
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        stop = at + size if size else end
        if stop < start:
            raise corrupt("a box with an illegal length")
        if stop > end:
            raise truncated("the file ends inside a box")
        yield kind, start, stop
        at = stop
    raise too_large(f"more than {_MAX_BOXES} boxes")


class _Reader:
    """Big-endian numbers out of data[at:end]."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data, self._at, self._end = data, at, end

    def number(self, size: int) -> int:
        if self._at + size > self._end:
            raise corrupt("a box that is too short")
        self._at += size
        return int.from_bytes(self._data[self._at - size : self._at], "big")


def _few(count: int) -> int:
    if count > _MAX_ITEMS:
        raise too_large(f"more than {_MAX_ITEMS} items or pieces of items")
    return count


def _primary(data: bytes, at: int, end: int) -> int:
    box = _Reader(data, at, end)
    version = box.number(4) >> 24
    return box.number(2 if version == 0 else 4)


def _check_places(data: bytes, at: int, end: int, *, cut: bool) -> None:
    """Every extent of every item must lie inside the file; `cut`: the box with the pixels is absent."""
    box = _Reader(data, at, end)
    version = box.number(4) >> 24
    sizes = box.number(2)
    offset_size, length_size = sizes >> 12, sizes >> 8 & 15
    base_size, index_size = sizes >> 4 & 15, (sizes & 15) if version in (1, 2) else 0
    extents = 0
    for _ in range(_few(box.number(2 if version < 2 else 4))):
        box.number(2 if version < 2 else 4)
        method = box.number(2) & 15 if version in (1, 2) else 0
        box.number(2)
        base = box.number(base_size)
        count = box.number(2)
        extents = _few(extents + count)
        for _ in range(count):
            box.number(index_size)
            start = base + box.number(offset_size)
            length = box.number(length_size)
            if method == 0 and start > len(data):
                raise (
                    truncated("the file ends before the pixel data") if cut else corrupt("pixel data outside the file")
                )
            if method == 0 and start + length > len(data):
                raise truncated("the file ends inside the pixel data")


def _properties(data: bytes, item: int, at: int, end: int) -> tuple[tuple[int, int], int]:
    """Size and orientation of one item."""
    inside = {kind: (start, stop) for kind, start, stop in _boxes(data, at, end)}
    if not {b"ipco", b"ipma"} <= inside.keys():
        raise corrupt("the picture has no properties")
    known = list(_boxes(data, *inside[b"ipco"]))
    size, turn, mirror = None, 0, None
    for number in _indices(data, item, *inside[b"ipma"]):
        if not 1 <= number <= len(known):
            continue
        kind, start, stop = known[number - 1]
        box = _Reader(data, start, stop)
        if kind == b"ispe":
            box.number(4)
            size = (box.number(4), box.number(4))
        elif kind == b"irot":
            turn = box.number(1) & 3
        elif kind == b"imir":
            mirror = box.number(1) & 1
    if size is None:
        raise corrupt("the picture has no size")
    return size, _TURNS[turn, mirror]


def _indices(data: bytes, item: int, at: int, end: int) -> list[int]:
    """The numbers of the properties that belong to `item`, counted from 1."""
    box = _Reader(data, at, end)
    head = box.number(4)
    version, wide = head >> 24, head & 1
    for _ in range(_few(box.number(4))):
        number = box.number(2 if version < 1 else 4)
        found = [box.number(1 + wide) & (0x7FFF if wide else 0x7F) for _ in range(box.number(1))]
        if number == item:
            return found
    return []
