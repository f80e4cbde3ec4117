"""The numbers of a TIFF page to colours: bits, differences, planes, palettes, inks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..types import ImageBgr
from .plain import three_channels
from .tiff_fax import Group4
from .tiff_unpack import GROUP4, unpack

_WHITE_IS_ZERO, _RGB, _PALETTE, _INKS = 0, 2, 3, 5
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """How the numbers of a page are stored and what they mean.

    Attributes:
        order: "<" or ">", of 16-bit numbers.
        count: numbers a pixel. bits: of a number: 1, 2, 4, 8 or 16.
        codec: see `tiff_unpack.py`. colours: TIFF's PhotometricInterpretation.
        planar: every strip or tile holds one of the `count` planes.
        reversed_bits: the lowest bit of a byte comes first.
        differences: numbers are differences to the pixel on the left.
        palette: (2 ** bits, 3) uint8 BGR, or None.
    """

    order: str
    count: int
    bits: int
    codec: int
    colours: int
    planar: bool
    reversed_bits: bool
    differences: bool
    palette: NDArray[np.uint8] | None

    @property
    def in_cut(self) -> int:
        """Numbers a pixel inside one strip or tile."""
        return 1 if self.planar else self.count

    def bytes_of(self, width: int, height: int) -> int:
        """Unpacked length of that many pixels in one plane; every row begins with a byte."""
        return (width * self.in_cut * self.bits + 7) // 8 * height


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A strip or tile: its place in the picture (px), its plane, and its place in the file (bytes)."""

    left: int
    top: int
    width: int
    height: int
    plane: int
    start: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """All strips or tiles of a page.

    Attributes:
        size_wh: of the page, px. cut_wh: of a full strip or tile, px.
        tiled: tiles stand out over the edge of the page, strips do not.
        starts, lengths: of each in the file, bytes; row by row, plane after plane.
    """

    size_wh: tuple[int, int]
    cut_wh: tuple[int, int]
    tiled: bool
    starts: NDArray[np.unsignedinteger]
    lengths: NDArray[np.unsignedinteger]

    def cuts(self) -> Iterator[Cut]:
        (width, height), (across, down) = self.size_wh, self.cut_wh
        columns, lines = -(-width // across), -(-height // down)
        for number, (start, length) in enumerate(zip(self.starts, self.lengths, strict=True)):
            top = number // columns % lines * down
            yield Cut(
                left=number % columns * across,
                top=top,
                width=across,
                height=down if self.tiled else min(down, height - top),
                plane=number // (columns * lines),
                start=int(start),
                length=int(length),
            )


def inks_to_bgr(inks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 4) cyan magenta yellow black, 0 = none, to (H, W, 3) BGR, with the rounding of OpenCV's conversion."""
    white = 255 - inks[:, :, 3:].astype(np.int32)
    return (white - (inks[:, :, 2::-1] * white >> 8)).astype(np.uint8)


def read_pixels(data: bytes, samples: Samples, grid: Grid) -> ImageBgr:
    """Unpack all strips or tiles of a page.

    Returns:
        (H, W, 3) uint8 BGR.
    Raises:
        InputError: `corrupt` or `truncated`.
    """
    width, height = grid.size_wh
    kept = {_RGB: 3, _INKS: 4}.get(samples.colours, 1)
    numbers = np.zeros((height, width, kept), np.uint8)
    fax = Group4() if samples.codec == GROUP4 else None
    for cut in grid.cuts():
        if cut.plane >= kept:
            continue
        content = _cut_numbers(data, samples, cut, fax)[: height - cut.top, : width - cut.left, :kept]
        place = numbers[cut.top : cut.top + cut.height, cut.left : cut.left + cut.width]
        if samples.planar:
            place[:, :, cut.plane] = content[:, :, 0]
        else:
            place[:] = content
    if samples.colours == _RGB:
        return np.ascontiguousarray(numbers[:, :, ::-1])
    if samples.colours == _INKS:
        return inks_to_bgr(numbers)
    if samples.palette is not None:
        return samples.palette[numbers[:, :, 0]]
    gray = numbers[:, :, 0]
    if samples.bits < 8:
        gray = gray * np.uint8(255 // ((1 << samples.bits) - 1))
    return three_channels(255 - gray if samples.colours == _WHITE_IS_ZERO else gray)


def _cut_numbers(data: bytes, samples: Samples, cut: Cut, fax: Group4 | None) -> NDArray[np.uint8]:
    """(rows, columns, numbers a pixel) uint8 of one strip or tile; of 16 bits the high byte."""
    packed = data[cut.start : cut.start + cut.length]
    if samples.reversed_bits:
        packed = packed.translate(_REVERSED)
    if fax is not None:
        return fax.unpack(packed, cut.width, cut.height)[:, :, None]
    content = unpack(samples.codec, packed, samples.bytes_of(cut.width, cut.height))
    rows = np.frombuffer(content, np.uint8).reshape(cut.height, -1)
    shape = (cut.height, cut.width, samples.in_cut)
    if samples.bits < 8:
        return _small_numbers(rows, samples.bits)[:, : cut.width * samples.in_cut].reshape(shape)
    numbers: NDArray[np.unsignedinteger] = rows if samples.bits == 8 else rows.view(samples.order + "u2")
    numbers = numbers.reshape(shape)
    if samples.differences:
        numbers = np.cumsum(numbers, axis=1, dtype=numbers.dtype.newbyteorder("="))
    return (numbers >> 8 if samples.bits == 16 else numbers).astype(np.uint8, copy=False)


def _small_numbers(rows: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Numbers of 1, 2 or 4 bits, one a byte, the high bits of a byte first."""
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    return (rows[:, :, None] >> shifts & np.uint8((1 << bits) - 1)).reshape(rows.shape[0], -1)
