"""Walk over a TIFF or BigTIFF: its directories (one a page), the layout of the pixels and where their bytes lie.

libtiff is not used: it has a long record of memory errors and prints on standard error. Codes are undone in
`tiff_unpack.py`, numbers become colours in `tiff_pixels.py`.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .jpeg import jpeg_pages
from .page import Page, check_size, corrupt, refused, too_large, truncated
from .tiff_pixels import Grid, Samples, read_pixels
from .tiff_unpack import DEFLATE, GROUP4, JPEG, LZW, OLD_DEFLATE, PACK_BITS, RAW

_MAX_PAGES = 1000
_MAX_CUTS = 300_000
_MAX_TAGS = 4096
_TAGS = {
    256: "width",
    257: "height",
    258: "bits",
    259: "codec",
    262: "colours",
    266: "bit_order",
    273: "strips",
    274: "orientation",
    277: "samples",
    278: "rows",
    279: "strip_bytes",
    284: "planar",
    317: "predictor",
    320: "palette",
    322: "tile_width",
    323: "tile_height",
    324: "tiles",
    325: "tile_bytes",
    339: "sample_format",
    347: "jpeg_tables",
}
_ITEM = {1: "u1", 3: "u2", 4: "u4", 7: "u1", 13: "u4", 16: "u8", 18: "u8"}
_KNOWN_CODECS = {2: "fax (Group 3)", 3: "fax (Group 3)", 6: "old JPEG", 34712: "JPEG 2000", 34925: "LZMA"}
_KNOWN_CODECS |= {50000: "zstd", 50001: "WebP", 50002: "JPEG XL"}
_READ_CODECS = {RAW, GROUP4, LZW, JPEG, DEFLATE, PACK_BITS, OLD_DEFLATE}
_EXPORT = "save it as an 8-bit RGB TIFF, JPEG or PNG"
_TABLES_END = b"\xff\xd9"

Values = NDArray[np.unsignedinteger]
Tags = dict[str, Values]
ONE = np.ones(1, np.uint16)


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


def _directory(data: bytes, layout: _Layout, where: int) -> tuple[Tags, int]:
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
    tags: Tags = {}
    for at in range(start, end, tag_length):
        tag, kind = struct.unpack_from(layout.order + "HH", data, at)
        if tag in _TAGS:
            tags.setdefault(_TAGS[tag], _values(data, layout, at, kind))
    return tags, struct.unpack_from(layout.word, data, end)[0]


def _values(data: bytes, layout: _Layout, at: int, kind: int) -> Values:
    fits = layout.head[3]
    (count,) = struct.unpack_from(layout.word, data, at + 4)
    if kind not in _ITEM:
        raise corrupt("a tag with values of a wrong type")
    item = np.dtype(layout.order + _ITEM[kind])
    where = at + 4 + fits
    if count * item.itemsize > fits:
        (where,) = struct.unpack_from(layout.word, data, where)
    if not count or where > len(data) or count * item.itemsize > len(data):
        raise corrupt("the values of a tag lie outside the file")
    if where + count * item.itemsize > len(data):
        raise truncated("the file ends inside the values of a tag")
    return np.frombuffer(data, item, count, where)


def _one(tags: Tags, tag: str, default: int) -> int:
    return int(tags[tag][0]) if tag in tags else default


def _page(data: bytes, layout: _Layout, tags: Tags, max_pixels: int) -> Page:
    if not {"width", "height"} <= tags.keys():
        raise corrupt("a page without a size")
    size = check_size(_one(tags, "width", 0), _one(tags, "height", 0), max_pixels)
    samples = _samples(tags, layout)
    turned = _one(tags, "orientation", 1)
    turned = turned if 1 <= turned <= 8 else 1
    grid = _grid(data, tags, size, samples)
    if samples.codec == JPEG:
        parts = functools.partial(_jpeg_parts, data, tags, samples, grid, max_pixels)
        return Page(kind="tiff", size_wh=size, orientation=turned, parts=parts)
    read = functools.partial(read_pixels, data, samples, grid)
    return Page(kind="tiff", size_wh=size, orientation=turned, pixels=read)


def _samples(tags: Tags, layout: _Layout) -> Samples:
    """How the numbers of a page become colours; refused where there is no honest way."""
    count, codec = _one(tags, "samples", 1), _one(tags, "codec", RAW)
    bits = tags.get("bits", np.ones(1, np.uint16))
    if not 1 <= count <= 1024 or bits.size not in (1, count):
        raise corrupt(f"{count} channels a pixel")
    if codec in _KNOWN_CODECS:
        raise refused(f"a TIFF packed with {_KNOWN_CODECS[codec]}, which is not read", _EXPORT)
    if codec not in _READ_CODECS:
        raise corrupt(f"an unknown compression ({codec})", _EXPORT)
    depth, colours = int(bits[0]), _one(tags, "colours", 1)
    if not (bits == depth).all() or depth not in (1, 2, 4, 8, 16) or int(tags.get("sample_format", ONE).max()) > 1:
        raise refused("pixels that are not unsigned numbers of 1 to 16 bits", _EXPORT)
    needed = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3}.get(colours)
    if needed is None or (colours == 6 and codec != JPEG) or (colours in (2, 5, 6) and depth < 8):
        raise refused(f"colours of a kind that is not read (photometric {colours}, {depth} bits)", _EXPORT)
    if count > needed + 1:
        raise refused(f"{count} channels a pixel, where {needed} and alpha are read", _EXPORT)
    planar, bit_order, predictor = (_one(tags, tag, 1) for tag in ("planar", "bit_order", "predictor"))
    if count < needed or planar not in (1, 2) or bit_order not in (1, 2) or predictor not in (1, 2):
        raise corrupt("channels, order or predictor do not fit the colours")
    if (codec == GROUP4 and (depth, count) != (1, 1)) or (codec == JPEG and (depth != 8 or planar == 2)):
        raise corrupt("a compression that does not fit the pixels")
    if (codec == JPEG and count != needed) or (codec == JPEG and colours == 5):
        raise refused("a TIFF packed as JPEG with alpha or inks, which is not read", _EXPORT)
    if predictor == 2 and (depth < 8 or codec not in (LZW, DEFLATE, OLD_DEFLATE)):
        raise corrupt("a predictor that does not fit the pixels")
    return Samples(
        order=layout.order,
        count=count,
        bits=depth,
        codec=codec,
        colours=colours,
        planar=planar == 2,
        reversed_bits=bit_order == 2,
        differences=predictor == 2,
        palette=_palette(tags, depth) if colours == 3 else None,
    )


def _palette(tags: Tags, depth: int) -> NDArray[np.uint8]:
    """(2 ** depth, 3) BGR."""
    values = tags.get("palette", np.zeros(0, np.uint16))
    if depth > 8 or values.size != 3 << depth:
        raise corrupt("the palette is missing or of a wrong length")
    # some writers forget that the numbers have 16 bits
    high = values // 256 if int(values.max()) > 255 else values
    return high.reshape(3, -1)[::-1].T.astype(np.uint8)


def _grid(data: bytes, tags: Tags, size: tuple[int, int], samples: Samples) -> Grid:
    """The strips or tiles of a page, all of them inside the file and as many as the size asks for."""
    width, height = size
    tiled = "tiles" in tags
    across, down = width, min(_one(tags, "rows", height), height)
    if tiled:
        across, down = _one(tags, "tile_width", 0), _one(tags, "tile_height", 0)
    if not across or not down or (tiled and across * down > 4 * max(width * height, 1 << 20)):
        raise corrupt("strips or tiles of an illegal size")
    planes = samples.count if samples.planar else 1
    expected = -(-height // down) * -(-width // across) * planes
    if expected > _MAX_CUTS:
        raise too_large(f"more than {_MAX_CUTS} strips or tiles")
    starts, lengths = _places(data, tags, tiled, expected)
    if samples.codec == RAW and int(lengths.sum()) < samples.bytes_of(width, height) * planes:
        raise truncated("fewer bytes than the size asks for")
    return Grid(size_wh=size, cut_wh=(across, down), tiled=tiled, starts=starts, lengths=lengths)


def _places(data: bytes, tags: Tags, tiled: bool, expected: int) -> tuple[Values, Values]:
    starts = tags.get("tiles" if tiled else "strips")
    lengths = tags.get("tile_bytes" if tiled else "strip_bytes")
    if starts is None or lengths is None or lengths.size != starts.size:
        raise corrupt("a page that does not say where its pixels are")
    if starts.size < expected:
        raise corrupt("fewer strips or tiles than the size asks for")
    starts, lengths = starts[:expected], lengths[:expected]
    if int(starts.max()) > len(data):
        raise corrupt("pixels outside the file")
    if int(lengths.max()) > len(data) or int((starts.astype(np.int64) + lengths.astype(np.int64)).max()) > len(data):
        raise truncated("the file ends inside the pixels")
    return starts, lengths


def _jpeg_parts(
    data: bytes, tags: Tags, samples: Samples, grid: Grid, max_pixels: int
) -> Iterator[tuple[int, int, Page]]:
    """Strips or tiles as JPEGs of their own: our colour mark, the tables that all share, then their scans."""
    mark = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes((1 if samples.colours == 6 else 0,))
    shared = tags["jpeg_tables"].astype(np.uint8).tobytes() if "jpeg_tables" in tags else b""
    before = (mark if samples.count == 3 else b"") + shared[2:].removesuffix(_TABLES_END)
    for cut in grid.cuts():
        own = data[cut.start : cut.start + cut.length]
        if own[:2] != b"\xff\xd8":
            raise corrupt("a strip or tile that is no JPEG")
        page = jpeg_pages(own[:2] + before + own[2:], max_pixels)[0]
        if page.size_wh[0] != cut.width or page.size_wh[1] < cut.height:
            raise corrupt("a strip or tile of another size than the page says")
        yield cut.left, cut.top, page
