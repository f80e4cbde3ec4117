"""The one place that writes results: their names, and writing them whole or not at all.

A file is written under a short temporary name in its own folder, flushed to the disk and renamed, so that a full disk,
a kill or a power cut leaves the old file or the new one. Names come from untrusted inputs and stay inside the folder.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .errors import OutputError
from .types import ImageBgr

STEM_BYTES = 200
_TEMPORARY = re.compile(r"\.passerby-[0-9a-f]{8}\.tmp")
_STALE_S = 24 * 3600
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# turns the reading direction of what follows, so that a name shows other than it is
_DIRECTION_MARKS = set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_WINDOWS_SIGNS = set('<>:"|?*')
_WINDOWS_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_JPEG_SIDE, _WEBP_SIDE = 65_500, 16_383
_ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".jpg": ("JPEG", {"quality": 90, "subsampling": 0}),
    ".png": ("PNG", {"compress_level": 3}),
    ".webp": ("WEBP", {"quality": 90}),
    ".avif": ("AVIF", {"quality": 85}),
    ".tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".bmp": ("BMP", {}),
    ".ppm": ("PPM", {}),
}
_SAME = {
    ".jpeg": ".jpg",
    ".jpe": ".jpg",
    ".jfif": ".jpg",
    ".tiff": ".tif",
    ".dib": ".bmp",
    ".pnm": ".ppm",
}


def safe_name(text: str, *, room: int = STEM_BYTES) -> str:
    """A file name (without suffix) made from foreign text.

    Separators, control characters, lone surrogates and marks that turn the reading direction become `_`, as do leading
    dots; the rest stays as it is. On Windows its reserved signs and names are changed too.

    Args:
        text: one path component, never trusted.
        room: largest length in bytes of UTF-8; what is longer loses its end.

    >>> safe_name("../up\\n")
    '__/up_'.replace('/', '_')
    """
    kept = "".join("_" if _is_bad(sign) else sign for sign in text)
    dots = len(kept) - len(kept.lstrip("."))
    kept = "_" * dots + kept[dots:]
    if os.name == "nt":
        kept = "".join("_" if sign in _WINDOWS_SIGNS else sign for sign in kept).rstrip(" .")
        kept = f"_{kept}" if _WINDOWS_DEVICES.fullmatch(kept) else kept
    return kept.encode("utf-8")[:room].decode("utf-8", "ignore") or "_"


def _is_bad(sign: str) -> bool:
    return sign in "/\\" or sign in _DIRECTION_MARKS or unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp")


def result_path(save_path: str | os.PathLike[str], stem: str, suffix: str, tail: str) -> Path:
    """Where a result of the input called `stem` is written: `<save_path>/<stem><tail><suffix>`.

    Args:
        save_path: folder of the results.
        stem: name made by `sources.frames`; `/` parts sub-folders of `save_path`. Every part is made safe once more.
        suffix: with its dot. tail: what tells several results of one input apart, such as `_res`.
    """
    *folders, name = (safe_name(part) for part in stem.split("/"))
    return Path(save_path).joinpath(*folders, f"{name}{tail}{suffix}")


def is_picture_name(path: Path) -> bool:
    """Whether `path` names a picture file that can be written, and no folder of that name exists."""
    return writable_suffix(path.suffix) == path.suffix.lower() != "" and not path.is_dir()


def writable_suffix(suffix: str) -> str:
    """The suffix of a drawn picture whose input had `suffix`: the same where it can be written, else `.png`.

    >>> writable_suffix(".JPG"), writable_suffix(".ras"), writable_suffix("")
    ('.jpg', '.png', '.png')
    """
    lower = suffix.lower()
    return lower if _SAME.get(lower, lower) in _ENCODERS else ".png"


def encode_image(image_bgr: ImageBgr, suffix: str) -> bytes:
    """Encode a picture in the format of `suffix`.

    Args:
        image_bgr: (H, W, 3) uint8 BGR.
        suffix: any case; one that cannot be written gives PNG. JPEG has quality 90 without loss of colour detail.
    Raises:
        OutputError: `output_unwritable`, the format holds no picture of this size.
    """
    lower = writable_suffix(suffix)
    format, options = _ENCODERS[_SAME.get(lower, lower)]
    height, width = image_bgr.shape[:2]
    longest = {"JPEG": _JPEG_SIDE, "WEBP": _WEBP_SIDE}.get(format, max(width, height))
    if max(width, height) > longest:
        hint = "save it as PNG"
        raise OutputError("output_unwritable", f"{format} holds no picture of {width} x {height} pixels", hint=hint)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image_bgr[:, :, ::-1])).save(buffer, format, **options)
    return buffer.getvalue()


def atomic_write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all; folders above it are made. An existing file or link of that name is replaced.

    Raises:
        OutputError: `output_full` (disk, quota or size limit), `output_unwritable` (anything else). The temporary file
            is gone then, and what was there before is still there.
    """
    target = Path(path)
    temporary = target.parent / f".passerby-{secrets.token_hex(4)}.tmp"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_new(temporary, data)
            temporary.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(target.parent)
    except (OSError, ValueError) as error:
        raise _unwritable(error, target) from None


def _write_new(path: Path, data: bytes) -> None:
    # O_EXCL refuses any existing file and any link; the mode is that of ordinary files, less the umask
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    with os.fdopen(os.open(path, flags, 0o666), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; file systems and platforms without that are left alone."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _unwritable(error: OSError | ValueError, target: Path) -> OutputError:
    number = getattr(error, "errno", None)
    if number in _FULL:
        return OutputError("output_full", "no room left", input=str(target), hint="free some space and run it again")
    reason = os.strerror(number).lower() if number else "not a possible file name"
    return OutputError(
        "output_unwritable",
        f"cannot write ({reason})",
        input=str(target),
        hint="choose another folder with --save_path",
    )


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Make the folder and write a trial file into it, before any work is done; old temporary files of ours are removed.

    Raises:
        OutputError: `output_full` or `output_unwritable`.
    """
    place = Path(folder)
    trial = place / f".passerby-{secrets.token_hex(4)}.tmp"
    try:
        place.mkdir(parents=True, exist_ok=True)
        try:
            _write_new(trial, b"passerby")
        finally:
            with contextlib.suppress(OSError):
                trial.unlink()
    except (OSError, ValueError) as error:
        raise _unwritable(error, place) from None
    _remove_stale(place)


def _remove_stale(folder: Path) -> None:
    """Temporary files that a killed run left more than a day ago."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not _TEMPORARY.fullmatch(entry.name):
                continue
            with contextlib.suppress(OSError):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_S:
                    Path(entry.path).unlink()
