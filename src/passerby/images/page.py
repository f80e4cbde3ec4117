"""What the header walkers hand to the decoder: one `Page` a picture, its size already within the limits.

A walker (`jpeg.py`, `png.py`, ...) reads the bytes of one format without any image library, refuses what
is damaged, cut or too large, and describes a file of its own that holds nothing but what the pixels need. The
libraries only ever see that file: no text, profile, thumbnail, second picture or length that we have not checked.
(An AVIF goes on as it came, since its parts refer to each other by their place in the file.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..errors import InputError
from ..types import ImageBgr

MAX_PIXELS = 178_956_970
MAX_SIDE = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One picture of a file, checked and not yet decoded.

    Attributes:
        kind: the format, as in the table of `kinds.py`.
        size_wh: width and height as stored, before the orientation is applied, px.
        orientation: 1 to 8 as in Exif, 1 = upright.
        clean: makes the file that the library for `kind` decodes; None where `pixels` is given.
        verify: raises when the packed data ends before the last row. It costs a second unpacking, so it is asked only
            when that row came out black, as rows do that a decoder silently leaves out.
        pixels: makes the pixels without a library (BMP, PNM, Sun raster, most TIFFs).
        parts: finds (left, top, page) of the pictures that this one is put together from (JPEG inside TIFF).
    """

    kind: str
    size_wh: tuple[int, int]
    orientation: int = 1
    clean: Callable[[], bytes] | None = None
    verify: Callable[[], None] | None = None
    pixels: Callable[[], ImageBgr] | None = None
    parts: Callable[[], Iterator[tuple[int, int, Page]]] | None = None


def corrupt(happened: str, hint: str | None = None) -> InputError:
    return InputError("image_corrupt", happened, hint=hint or "the file is damaged: get it again or save it anew")


def truncated(happened: str) -> InputError:
    return InputError("image_truncated", happened, hint="the file is incomplete: copy or download it again")


def refused(happened: str, hint: str) -> InputError:
    return InputError("image_refused", happened, hint=hint)


def too_large(happened: str) -> InputError:
    return InputError("image_too_large", happened, hint="make the picture smaller first")


def check_size(width: int, height: int, max_pixels: int) -> tuple[int, int]:
    """The size, when it is legal and within the limits.

    Raises:
        InputError: `corrupt` for a side that is not positive, `too_large` beyond the limits.
    """
    if width <= 0 or height <= 0:
        raise corrupt(f"the header says {width} x {height} pixels")
    if width > MAX_SIDE or height > MAX_SIDE:
        raise too_large(f"{width} x {height} pixels; no side may exceed {MAX_SIDE}")
    if width * height > max_pixels:
        raise too_large(f"{width} x {height} pixels; at most {max_pixels} are read")
    return width, height
