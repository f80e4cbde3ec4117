"""Which format a file is, from its first bytes alone: name, suffix and Content-Type are never asked.

Open formats have a walker (see `decode.py`); known but closed ones are refused with a hint what to do instead.
"""

from __future__ import annotations

import re

from ..errors import InputError
from .page import refused

_HEAD = 4096
_OPEN = {
    b"\xff\xd8\xff": "jpeg",
    b"\x89PNG": "png",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"BM": "bmp",
    b"\x59\xa6\x6a\x95": "sun",
}
_EXPORT = "save it as JPEG or PNG"
_CLOSED = {
    b"\xff\x0a": ("JPEG XL", _EXPORT),
    b"\0\0\0\x0cJXL ": ("JPEG XL", _EXPORT),
    b"\0\0\0\x0cjP  ": ("JPEG 2000", _EXPORT),
    b"\xff\x4f\xff\x51": ("JPEG 2000", _EXPORT),
    b"%PDF-": ("a PDF document", "export the page as PNG"),
    b"%!PS": ("PostScript", "export it as PNG"),
    b"\xc5\xd0\xd3\xc6": ("PostScript", "export it as PNG"),
    b"8BPS": ("a Photoshop document", _EXPORT),
    b"\x76\x2f\x31\x01": ("OpenEXR", "tone-map it to an 8-bit PNG"),
    b"#?RADIANCE": ("Radiance HDR", "tone-map it to an 8-bit PNG"),
    b"#?RGBE": ("Radiance HDR", "tone-map it to an 8-bit PNG"),
    b"PF": ("a floating-point map (PFM)", "convert it to an 8-bit PNG"),
    b"P7": ("PAM", _EXPORT),
    b"\0\0\1\0": ("an icon (ICO)", "save it as PNG"),
    b"\0\0\2\0": ("a cursor (CUR)", "save it as PNG"),
    b"PK\3\4": ("a zip archive", "unpack it first"),
    b"PK\5\6": ("a zip archive", "unpack it first"),
    b"\x1f\x8b": ("a gzip file", "unpack it first"),
    b"BZh": ("a bzip2 file", "unpack it first"),
    b"\xfd7zXZ\0": ("an xz file", "unpack it first"),
    b"\x28\xb5\x2f\xfd": ("a zstd file", "unpack it first"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it first"),
    b"Rar!": ("a rar archive", "unpack it first"),
    b"\x1a\x45\xdf\xa3": ("a video (Matroska or WebM)", "export its frames as pictures"),
    b"\0\0\1\xba": ("a video (MPEG)", "export its frames as pictures"),
    b"OggS": ("an Ogg file", "export its frames as pictures"),
    b"FLV\1": ("a video (Flash)", "export its frames as pictures"),
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": ("a video (Windows Media)", "export its frames as pictures"),
}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis"}
_STILL_BRANDS = {b"mif1", b"msf1", b"miaf"}
_QUICKTIME = {b"moov", b"mdat", b"wide"}
_HTML = re.compile(rb"(?i)<(!doctype\s+html|html|head|body|title|script)\b")
_SVG = re.compile(rb"(?i)<svg\b")


def image_kind(data: bytes) -> str:
    """The open format these bytes begin like.

    Returns:
        `jpeg`, `png`, `gif`, `webp`, `avif`, `tiff`, `bmp`, `pnm` or `sun`.
    Raises:
        InputError: `input_empty`, `refused` (known, closed) or `unknown`.
    """
    if not data:
        raise InputError("input_empty", "no bytes at all")
    if data[4:8] == b"ftyp":
        return _of_brands(data)
    if data[:4] == b"RIFF":
        return _of_riff(data)
    if re.match(rb"P[1-6][\s#]", data):
        return "pnm"
    for start, kind in _OPEN.items():
        if data.startswith(start):
            return kind
    for start, (what, hint) in _CLOSED.items():
        # zeros would pass for an icon without a look at the number of pictures in it
        if data.startswith(start) and not (start[:2] == b"\0\0" and data[4:6] == b"\0\0"):
            raise refused(f"this is {what}, which is not read", hint)
    if data[4:8] in _QUICKTIME:
        raise refused("this is a video (QuickTime), not a picture", "export its frames as pictures")
    raise _text_or_unknown(data[:_HEAD])


def _of_brands(data: bytes) -> str:
    size = min(max(int.from_bytes(data[:4], "big"), 16), _HEAD)
    brands = [data[8:12], *(data[i : i + 4] for i in range(16, size, 4))]
    major, all_brands = brands[0], set(brands)
    if major in _AVIF_BRANDS or (major in _STILL_BRANDS and all_brands & _AVIF_BRANDS):
        return "avif"
    if all_brands & _HEIC_BRANDS:
        raise refused("this is a HEIC picture, which is not read", "convert it to JPEG (`heif-convert a.heic a.jpg`)")
    raise refused("this is a video, not a picture", "export its frames as pictures")


def _of_riff(data: bytes) -> str:
    if data[8:12] == b"WEBP":
        return "webp"
    if data[8:12] == b"AVI ":
        raise refused("this is a video (AVI), not a picture", "export its frames as pictures")
    raise InputError("image_unknown", "not a picture that is known", hint=_EXPORT)


def _text_or_unknown(head: bytes) -> InputError:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        if _SVG.search(text):
            return refused("this is an SVG drawing, which is not read", "export it as PNG")
        if _HTML.match(text):
            return refused("this is an HTML page, not a picture", "download the picture itself, not the page around it")
    hint = _EXPORT
    if text.startswith(b"version https://git-lfs"):
        hint = "this is a Git LFS pointer: run `git lfs pull`"
    return InputError("image_unknown", "not a picture that is known", hint=hint)
