"""The one door from bytes to pixels.

The first bytes decide the format; a walker of ours checks headers, lengths and limits and rebuilds a file with nothing
but the pixels (`image_*.py`); only that file reaches a decoder. The decoder is Pillow for every packed format, because
it prints nothing, and because OpenCV's verdicts on cut JPEGs, GIF, WebP and AVIF change between its releases. On JPEG
and PNG its pixels are those of `cv2.imdecode`, bit for bit (tests/test_decode.py). TIFF and plain formats need none.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from .errors import InputError
from .images.avif import avif_pages
from .images.bmp import bmp_pages
from .images.gif import gif_pages
from .images.jpeg import jpeg_pages
from .images.kinds import image_kind
from .images.page import MAX_PIXELS, Page, corrupt, refused, truncated
from .images.plain import pnm_pages, sun_pages
from .images.png import png_pages
from .images.tiff import tiff_pages
from .images.tiff_pixels import inks_to_bgr
from .images.webp import webp_pages
from .types import ImageBgr

MAX_BYTES = 128 << 20
Encoded = bytes | bytearray | memoryview

_WALKERS: dict[str, Callable[[bytes, int], list[Page]]] = {
    "jpeg": jpeg_pages,
    "png": png_pages,
    "gif": gif_pages,
    "webp": webp_pages,
    "avif": avif_pages,
    "tiff": tiff_pages,
    "bmp": bmp_pages,
    "pnm": pnm_pages,
    "sun": sun_pages,
}
# the classes are called themselves: `Image.open` would try every plug-in and warn about large pictures
_READERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "avif": AvifImagePlugin.AvifImageFile,
}
# rows are converted in bands of about this many pixels: they stay in the processor's cache, and no second copy exists
_BAND_PX = 256 << 10
_COLOUR_CODES = {"RGB": cv2.COLOR_RGB2BGR, "RGBA": cv2.COLOR_RGBA2BGR, "RGBX": cv2.COLOR_RGBA2BGR}


def decode_image(data: Encoded, *, input: str | None = None, max_pixels: int = MAX_PIXELS) -> ImageBgr:
    """Decode the picture in `data`, of a TIFF the first page.

    Args:
        data: an encoded picture, at most 128 MiB.
        input: path or URL shown in errors.
        max_pixels: width x height beyond which the picture is refused, before any memory is taken.
    Returns:
        (H, W, 3) uint8 BGR, C-contiguous, owned by the caller, upright; alpha and profiles ignored.
    Raises:
        InputError: input_empty, input_too_large, image_unknown, image_refused, image_corrupt, image_truncated or
            image_too_large; out of memory is left to the caller as MemoryError.
    """
    return decode_page(image_pages(data, input=input, max_pixels=max_pixels)[0], input=input)


def decode_pages(data: Encoded, *, input: str | None = None, max_pixels: int = MAX_PIXELS) -> Iterator[ImageBgr]:
    """Decode every page of a TIFF in turn, of any other format its one picture. See `decode_image`."""
    for page in image_pages(data, input=input, max_pixels=max_pixels):
        yield decode_page(page, input=input)


def image_pages(data: Encoded, *, input: str | None = None, max_pixels: int = MAX_PIXELS) -> list[Page]:
    """The checked pages of a picture, not yet decoded; at least one. Errors as of `decode_image`."""
    if len(data) > MAX_BYTES:
        raise InputError("input_too_large", f"more than {MAX_BYTES >> 20} MiB", input=input)
    content = bytes(data)
    try:
        return _WALKERS[image_kind(content)](content, max_pixels)
    except InputError as error:
        raise _about(error, input) from None


def decode_page(page: Page, *, input: str | None = None) -> ImageBgr:
    """The pixels of one page, as `decode_image` returns them."""
    try:
        pixels = _pixels(page)
    except InputError as error:
        raise _about(error, input) from None
    return upright(pixels, page.orientation)


def upright(pixels: ImageBgr, orientation: int) -> ImageBgr:
    """Apply an Exif orientation: turn and mirror the stored pixels so that the picture is upright.

    Args:
        pixels: (H, W, 3) uint8.
        orientation: 1 to 8.
    Returns:
        (H, W, 3) or (W, H, 3) uint8, C-contiguous; for 1 the same array.
    """
    if orientation in (5, 6, 7, 8):
        pixels = np.asarray(cv2.transpose(pixels), np.uint8)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return pixels if flip is None else np.asarray(cv2.flip(pixels, flip), np.uint8)


def pillow_to_bgr(image: Image.Image) -> ImageBgr:
    """The pixels of a loaded Pillow picture: alpha dropped, 16 bit to its high byte.

    Returns:
        (H, W, 3) uint8 BGR, a copy.
    Raises:
        InputError: `images/refused` for a mode without an honest 8-bit meaning (F, I, LAB).
    """
    width, height = image.size
    out: ImageBgr = np.empty((height, width, 3), np.uint8)
    rows = max(1, _BAND_PX // max(width, 1))
    for top in range(0, height, rows):
        band = image if rows >= height else image.crop((0, top, width, min(top + rows, height)))
        _convert(band, out[top : top + rows])
    return out


def _convert(band: Image.Image, out: NDArray[np.uint8]) -> None:
    mode = band.mode
    if mode in ("P", "PA", "YCbCr", "HSV", "La", "RGBa"):
        band = band.convert({"La": "LA", "RGBa": "RGBA", "PA": "RGBA"}.get(mode, "RGB"))
        mode = band.mode
    pixels = np.asarray(band)
    if mode == "CMYK":
        out[:] = inks_to_bgr(pixels)
    elif mode in _COLOUR_CODES:
        cv2.cvtColor(pixels, _COLOUR_CODES[mode], dst=out)
    elif mode in ("1", "L", "LA") or mode.startswith("I;16"):
        if mode == "1":
            pixels = pixels.astype(np.uint8) * np.uint8(255)
        elif mode.startswith("I;16"):
            pixels = (pixels >> 8).astype(np.uint8)
        out[:] = (pixels[:, :, 0] if mode == "LA" else pixels)[:, :, None]
    else:
        raise refused(f"pixels of the kind {mode}, which are not read", "convert the picture to RGB first")


def _pixels(page: Page) -> ImageBgr:
    if page.pixels is not None:
        return page.pixels()
    if page.parts is None:
        return _with_library(page)
    width, height = page.size_wh
    whole: ImageBgr = np.empty((height, width, 3), np.uint8)
    for left, top, part in page.parts():
        pixels = _pixels(part)[: height - top, : width - left]
        whole[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return whole


def _with_library(page: Page) -> ImageBgr:
    assert page.clean is not None
    supported = {"avif": AvifImagePlugin.SUPPORTED, "webp": WebPImagePlugin.SUPPORTED}.get(page.kind, True)
    if not supported:
        raise refused(f"the installed Pillow cannot read {page.kind}", "install Pillow from a wheel")
    clean = page.clean()
    try:
        with _READERS[page.kind](io.BytesIO(clean)) as image:
            if image.size != page.size_wh:
                raise corrupt("header and pixel data disagree about the size")
            image.load()
            if page.verify is not None and _ends_black(image):
                page.verify()
            return pillow_to_bgr(image)
    except (MemoryError, InputError):
        raise
    except Exception as error:
        # Pillow's plug-ins raise OSError, SyntaxError, ValueError, struct.error and more; all mean unreadable pixels
        if "truncated" in str(error):
            raise truncated("the pixel data ends too early") from None
        raise corrupt("the pixel data cannot be decoded") from None


def _ends_black(image: Image.Image) -> bool:
    """Whether one of the last two rows is all zeros; two, because an interlaced picture may lack every other row."""
    last = np.asarray(image.crop((0, max(image.height - 2, 0), *image.size)))
    return not last.reshape(last.shape[0], -1).any(axis=1).all()


def _about(error: InputError, input: str | None) -> InputError:
    return type(error)(error.name, error.happened, input=error.input or input, hint=error.hint)
