"""Bytes to pixels: parity with OpenCV, orientations, every coding of the plain formats, and damaged files."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile

from passerby.decode import decode_image, decode_pages, image_pages, upright
from passerby.errors import InputError
from passerby.types import ImageBgr

from .conftest import CORPUS, shared

Array = NDArray[Any]
RNG = np.random.default_rng(5)
NOISE = RNG.integers(0, 256, (37, 53, 3), np.uint8)  # sides that no block size divides
SMOOTH = cv2.resize(NOISE, (160, 120), interpolation=cv2.INTER_CUBIC)


def saved(pixels: Array | Image.Image, format: str, **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def by_opencv(data: bytes) -> Array:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


def error_of(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        decode_image(data)
    return caught.value.name


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_has_the_pixels_of_opencv(subsampling: int, progressive: bool) -> None:
    data = saved(SMOOTH, "JPEG", quality=80, subsampling=subsampling, progressive=progressive)
    assert np.array_equal(decode_image(data), by_opencv(data))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_without_three_colours_has_the_pixels_of_opencv(mode: str) -> None:
    data = saved(Image.fromarray(SMOOTH).convert(mode), "JPEG", quality=90)
    assert np.array_equal(decode_image(data), by_opencv(data))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "P"])
def test_png_has_the_pixels_of_opencv(mode: str) -> None:
    data = saved(Image.fromarray(NOISE).convert(mode), "PNG")
    assert np.array_equal(decode_image(data), by_opencv(data))


def test_photos_of_the_reference_have_the_pixels_of_opencv() -> None:
    photos = sorted(shared("golden/images").glob("*.jpg"))
    assert photos
    for photo in photos:
        data = photo.read_bytes()
        assert np.array_equal(decode_image(data), by_opencv(data)), photo.name


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm"])
def test_sixteen_bits_keep_the_high_byte(suffix: str) -> None:
    pixels = RNG.integers(0, 1 << 16, (9, 11, 3), np.uint16)
    data = cv2.imencode(suffix, pixels)[1].tobytes()
    assert np.array_equal(decode_image(data), (pixels >> 8).astype(np.uint8))


def test_what_comes_out_is_bgr_contiguous_and_the_callers_own() -> None:
    for data in (saved(NOISE, "PNG"), saved(NOISE, "BMP"), saved(NOISE, "PPM"), saved(NOISE, "TIFF")):
        pixels = decode_image(data)
        assert np.array_equal(pixels, NOISE[:, :, ::-1])
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_bytes(kind: type) -> None:
    assert decode_image(kind(saved(NOISE, "PNG"))).shape == NOISE.shape


# Orientation


def stored_for(orientation: int, picture: Array) -> Array:
    """The pixels to store so that a reader who applies `orientation` sees `picture`."""
    turned = picture.transpose(1, 0, 2) if orientation >= 5 else picture
    flips = {2: (1,), 3: (0, 1), 4: (0,), 6: (0,), 7: (0, 1), 8: (1,)}.get(orientation, ())
    return np.ascontiguousarray(np.flip(turned, flips))


def exif(orientation: int) -> bytes:
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once_whatever_the_format(orientation: int) -> None:
    stored = stored_for(orientation, NOISE)
    block = exif(orientation)
    exact = [
        saved(stored, "PNG", exif=block),
        saved(stored, "WEBP", lossless=True, exif=block),
        saved(stored, "TIFF", tiffinfo={274: orientation}),
    ]
    for data in exact:
        assert np.array_equal(decode_image(data), NOISE[:, :, ::-1])
    flat = np.zeros((32, 48, 3), np.uint8)
    flat[:16, :24] = 255
    stored = stored_for(orientation, flat)
    for data in (
        saved(stored, "JPEG", quality=95, exif=block),
        saved(stored, "AVIF", quality=90, exif=block),  # written as turn and mirror boxes
    ):
        assert np.abs(decode_image(data).astype(int) - flat).max() < 40


def test_orientation_of_pixels_in_memory() -> None:
    for orientation in range(1, 9):
        assert np.array_equal(upright(stored_for(orientation, NOISE), orientation), NOISE)


# Animated pictures, pages


def test_first_frame_of_an_animated_webp_smaller_than_its_canvas() -> None:
    first = np.zeros((40, 60, 4), np.uint8)
    first[10:20, 30:50] = (10, 20, 30, 255)
    frames = [Image.fromarray(first), Image.fromarray(np.full((40, 60, 4), 200, np.uint8))]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    pixels = decode_image(data)
    assert pixels.shape == (40, 60, 3)
    assert pixels[15, 40].tolist() == [30, 20, 10]


def test_pages_of_a_tiff() -> None:
    pages = [Image.fromarray(NOISE[: 10 + i]) for i in range(3)]
    data = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert [page.shape for page in decode_pages(data)] == [(10, 53, 3), (11, 53, 3), (12, 53, 3)]
    assert np.array_equal(decode_image(data), NOISE[:10, :, ::-1])
    assert len(list(decode_pages(saved(NOISE, "PNG")))) == 1


# TIFF codings


@pytest.mark.parametrize("coding", [None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "CMYK", "I;16"])
@pytest.mark.parametrize("big", [False, True])
def test_tiff_codings_have_the_pixels_of_pillow(coding: str | None, mode: str, big: bool) -> None:
    image = (
        Image.fromarray(NOISE).convert(mode) if mode != "I;16" else Image.fromarray(NOISE[..., 0].astype("u2") * 256)
    )
    options: dict[str, Any] = {"compression": coding} if coding else {}
    data = saved(image, "TIFF", big_tiff=big, **options)
    if mode == "I;16":
        expected = np.repeat(NOISE[..., :1], 3, axis=2)
    elif mode == "CMYK":
        inks = np.asarray(image).astype(int)
        expected = (255 - inks[..., 3:]) - (inks[..., 2::-1] * (255 - inks[..., 3:]) >> 8)
    else:
        expected = np.asarray(image)[..., 2::-1] if mode == "RGBA" else np.asarray(image.convert("RGB"))[..., ::-1]
    assert np.array_equal(decode_image(data), expected)


@pytest.mark.parametrize("code", [1, 5, 8, 32773])
@pytest.mark.parametrize("differences", [1, 2])
def test_tiff_of_opencv(code: int, differences: int) -> None:
    flags = [cv2.IMWRITE_TIFF_COMPRESSION, code, cv2.IMWRITE_TIFF_PREDICTOR, differences]
    for pixels in (SMOOTH, SMOOTH.astype(np.uint16) * 257):
        data = cv2.imencode(".tif", pixels, flags)[1].tobytes()
        assert np.array_equal(decode_image(data), SMOOTH)


def test_tiff_in_jpeg_strips() -> None:
    data = saved(SMOOTH, "TIFF", compression="jpeg")
    assert np.array_equal(decode_image(data), np.asarray(Image.open(io.BytesIO(data)))[..., ::-1])


@pytest.mark.parametrize("width", [1, 7, 65, 1000, 2561, 6000])
@pytest.mark.parametrize("density", [0, 0.001, 0.05, 0.5])
def test_tiff_fax_runs_of_every_length(width: int, density: float) -> None:
    changes = np.random.default_rng(width).random((20, width)) < density
    pixels = np.logical_xor.accumulate(changes, axis=1)
    data = saved(Image.fromarray(pixels), "TIFF", compression="group4")
    assert np.array_equal(decode_image(data)[..., 0], pixels * np.uint8(255))


def test_tiff_lzw_of_long_repeats() -> None:
    pixels = np.zeros((300, 500, 3), np.uint8)
    pixels[100:, 50:] = 200
    assert np.array_equal(decode_image(saved(pixels, "TIFF", compression="tiff_lzw")), pixels)


# BMP, PNM, Sun raster


def test_bmp_of_every_depth_has_the_pixels_of_opencv() -> None:
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        data = saved(Image.fromarray(NOISE).convert(mode), "BMP")
        assert np.array_equal(decode_image(data), by_opencv(data)), mode


def bmp(width: int, height: int, bits: int, body: bytes, *, coding: int = 0, between: bytes = b"") -> bytes:
    offset = 54 + len(between)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, coding, len(body), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + header + between + body


def test_bmp_of_sixteen_bits_has_the_pixels_of_opencv() -> None:
    values = RNG.integers(0, 1 << 16, (6, 8), np.uint16)
    plain = bmp(8, 6, 16, (values & 0x7FFF).astype("<u2").tobytes())
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    fields = bmp(8, 6, 16, values.astype("<u2").tobytes(), coding=3, between=masks)
    for data in (plain, fields):
        assert np.array_equal(decode_image(data), by_opencv(data))


def test_bmp_run_length_codes() -> None:
    palette = b"".join(bytes((i, 2 * i, 3 * i, 0)) for i in range(16)).ljust(1024, b"\0")
    # a run, a literal of odd length, a jump, the end of a row, the end of the picture
    codes = bytes([3, 5, 0, 3, 1, 2, 3, 0, 0, 0, 0, 2, 2, 0, 2, 7, 0, 1])
    grid = decode_image(bmp(6, 2, 8, codes, coding=1, between=palette))[..., 0]
    assert grid.tolist() == [[0, 0, 7, 7, 0, 0], [5, 5, 5, 1, 2, 3]]
    codes = bytes([5, 0x12, 0, 1])
    grid = decode_image(bmp(5, 1, 4, codes, coding=2, between=palette[:64]))[..., 0]
    assert grid.tolist() == [[1, 2, 1, 2, 1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"P1\n# c\n3 2\n10 1\n0#x\n10", [[0, 255, 0], [255, 0, 255]]),
        (b"P2 3 1 15\n0 15 # c 9\n7\n", [[0, 255, 119]]),
        (b"P2 2 1 65535\n65535 300", [[255, 1]]),
        (b"P5 2 1 15\n\x00\x0f", [[0, 255]]),
        (b"P4 3 1\n\xa0", [[0, 255, 0]]),
        (b"P5 1 1 1023\n\x03\xff", [[255]]),
    ],
)
def test_pnm(text: bytes, expected: list[list[int]]) -> None:
    assert decode_image(text)[..., 0].tolist() == expected


def test_pnm_text_longer_than_one_piece() -> None:
    pixels = RNG.integers(0, 256, (400, 500, 3), np.uint8)
    text = b"P3\n500 400\n255\n" + b" ".join(b"%d" % v for v in pixels.ravel().tolist())
    assert np.array_equal(decode_image(text), pixels[..., ::-1])


@pytest.mark.parametrize("text", [b"P2 2 1 255\n1 x", b"P2 2 1 255\n1 256", b"P2 2 1 255\n1 1000000", b"P1 1 1\n2"])
def test_pnm_with_wrong_numbers(text: bytes) -> None:
    assert error_of(text) == "image_corrupt"


def test_sun_raster_has_the_pixels_of_opencv() -> None:
    wide = NOISE[:, :52]
    plain = cv2.imencode(".ras", wide)[1].tobytes()
    assert np.array_equal(decode_image(plain), wide)
    body, count = b"", 0
    for byte in wide.tobytes():
        body += b"\x80\x00" if byte == 0x80 else bytes((byte,))
        count += 1
    header = struct.pack(">8I", 0x59A66A95, 52, 37, 24, count, 2, 0, 0)
    assert np.array_equal(decode_image(header + body), wide)
    header = struct.pack(">8I", 0x59A66A95, 4, 1, 24, 12, 2, 0, 0)
    assert decode_image(header + b"\x80\x0b\x07").tolist() == [[[7, 7, 7]] * 4]


# Damaged files


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "PPM"])
def test_a_file_cut_anywhere_is_refused_by_name(format: str) -> None:
    data = saved(Image.fromarray(NOISE).convert("P") if format == "GIF" else NOISE, format)
    for length in range(1, len(data), max(1, len(data) // 60)):
        name = error_of(data[:length])
        assert name in ("image_truncated", "image_unknown", "image_corrupt", "image_refused"), (length, name)
        if length > 64 and format != "TIFF":
            assert name == "image_truncated", (length, name)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, rows: bytes, *, interlace: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, interlace)
    parts = [png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_black_rows_are_no_missing_rows() -> None:
    assert not decode_image(png(4, 9, bytes(45))).any()
    assert not decode_image(png(1, 1, bytes(2), interlace=1)).any()
    assert error_of(png(4, 9, bytes(40))) == "image_corrupt"


def test_missing_passes_of_an_interlaced_png_are_noticed() -> None:
    whole = saved(NOISE, "PNG")
    assert decode_image(whole).shape == NOISE.shape
    for height in (8, 9):
        # the first two passes of 9 columns: 2 + 1 columns by 1 or 2 rows, all white
        rows = b"".join(
            b"\0" + b"\xff" * n for n in [2] * (height // 8 + height % 8) + [1] * (height // 8 + height % 8)
        )
        assert error_of(png(9, height, rows, interlace=1)) == "image_corrupt"


def test_a_programs_wish_for_truncated_pictures_does_not_reach_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """`LOAD_TRUNCATED_IMAGES` is set by many training programs; it must not make rows up here."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    noisy = png(50, 40, np.pad(RNG.integers(1, 256, (40, 50), np.uint8), ((0, 0), (1, 0))).tobytes())
    assert decode_image(noisy).shape == (40, 50, 3)
    short = png(50, 40, np.pad(RNG.integers(1, 256, (20, 50), np.uint8), ((0, 0), (1, 0))).tobytes())
    assert error_of(short) == "image_corrupt"
    cut = saved(NOISE, "JPEG")
    assert error_of(cut[: len(cut) // 2]) == "image_truncated"


def test_a_gif_frame_beyond_the_largest_canvas() -> None:
    data = bytearray(saved(Image.fromarray(NOISE).convert("P"), "GIF"))
    frame = data.index(b",", 13 + 3 * (2 << (data[10] & 7)))
    data[frame + 1 : frame + 3] = b"\xff\xff"  # its left side
    assert error_of(bytes(data)) == "image_corrupt"


def test_limits_come_before_memory() -> None:
    data = saved(NOISE, "PNG")
    with pytest.raises(InputError, match="image_too_large"):
        decode_image(data, max_pixels=NOISE.shape[0] * NOISE.shape[1] - 1)
    assert decode_image(data, max_pixels=NOISE.shape[0] * NOISE.shape[1]).shape == NOISE.shape
    assert error_of(png((1 << 20) + 1, 1, b"\0")) == "image_too_large"
    pages = image_pages(png(13_000, 13_000, b"\0"))  # not decoded yet
    assert pages[0].size_wh == (13_000, 13_000)


def test_the_error_names_the_input() -> None:
    with pytest.raises(InputError) as caught:
        decode_image(b"hello", input="a.jpg")
    assert caught.value.input == "a.jpg"
    assert str(caught.value).startswith("image_unknown: not a picture that is known: a.jpg; ")


SEEDS = [path.read_bytes() for path in sorted((CORPUS / "image").iterdir()) if path.stat().st_size < 3000]


@settings(max_examples=300, deadline=None)
@given(seed=st.sampled_from(SEEDS), changes=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=8))
def test_any_bytes_give_a_picture_or_a_named_error(seed: bytes, changes: list[tuple[int, int]]) -> None:
    data = bytearray(seed)
    for at, value in changes:
        if data:
            data[at % len(data)] = value
    try:
        pixels: ImageBgr = decode_image(data, max_pixels=1_000_000)
    except InputError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert 0 < pixels.shape[0] * pixels.shape[1] <= 1_000_000


def test_libraries_print_nothing_about_damaged_files(tmp_path: Path) -> None:
    """libjpeg, libpng and libtiff like to write to the process's standard error, below Python's."""
    script = tmp_path / "damage.py"
    script.write_text(
        "import random, sys\n"
        "from pathlib import Path\n"
        "from passerby.decode import decode_image\n"
        "from passerby.errors import InputError\n"
        "random.seed(3)\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    data = bytearray(path.read_bytes()[:4000])\n"
        "    for _ in range(6):\n"
        "        for _ in range(4):\n"
        "            data[random.randrange(len(data))] = random.randrange(256) if data else 0\n"
        "        try:\n"
        "            decode_image(bytes(data), max_pixels=1_000_000)\n"
        "        except InputError:\n"
        "            pass\n".replace("for _ in range(4):", "for _ in range(4 if data else 0):")
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    command = [sys.executable, "-W", "error", str(script), str(CORPUS / "image")]
    ended = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=100)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
