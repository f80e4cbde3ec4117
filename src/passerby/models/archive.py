"""Unpacks the `.tar` in which an official model is downloaded.

`tarfile` serves as a parser of headers only. Every member is judged before the first byte is written, the bytes of a
model's own files are copied by hand into a new folder beside the target, and the folder is renamed when all is right.
Whatever is refused leaves nothing. Links, devices, odd names and oversized contents have no way to matter, so no
extraction filter is trusted.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import shutil
import tarfile
import tempfile
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import ModelError, OutputError, shown
from ..formats.door import AGAIN, NAMES_LISTED, check_content, located
from ..formats.model_dir import MODEL_FILES, missing_pieces

PACKED_BYTES = 1 << 30
UNPACKED_BYTES = 2 << 30
RATIO = 100
ENTRIES = 1000
NAME_CHARACTERS = 255
HEADER_BYTES = 64 << 10
COPY_BYTES = 1 << 20
FILE_MODE, FOLDER_MODE = 0o644, 0o755

_OTHER_PACKINGS = {
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "rar",
}


@dataclass(frozen=True, slots=True)
class _Member:
    name: str  # relative, with forward slashes, without a leading ./
    offset: int
    size: int
    is_folder: bool


def unpack(data_or_path: bytes | Path, target: Path, *, input: str | None = None) -> list[Path]:
    """Unpack the files of one model into a new folder.

    Args:
        data_or_path: a tar, plain or gzipped, as bytes or as a file.
        target: the folder to make; it must not exist yet, or be empty.
        input: what the archive is called in messages.
    Returns:
        The files written, sorted, all directly inside `target`, each 0644.
    Raises:
        ModelError: `archive_unsafe` (a link, a device, a name that leads elsewhere, beyond the limits),
            `model_corrupt`, `model_unsupported` (zip, xz ...), `model_missing` (no whole model in it).
        OutputError: the folder cannot be written.
    """
    if input is None and not isinstance(data_or_path, bytes):
        input = str(data_or_path)
    with located(input), _opened(data_or_path) as archive:
        chosen = _model_files(_judged(archive))
        return _written(archive, chosen, target)


def _corrupt(text: str) -> ModelError:
    return ModelError("model_corrupt", f"the archive is damaged: {text}", hint=AGAIN)


def _unsafe(text: str) -> ModelError:
    return ModelError("archive_unsafe", f"the archive has {text}", hint="nothing was unpacked, get it from its source")


# --- reading ------------------------------------------------------------------------------------------------------


class _Archive(io.RawIOBase):
    """The unpacked bytes, read forward; no read in a header is large, and none goes beyond the limits."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile, *, packed_bytes: int, is_packed: bool) -> None:
        super().__init__()
        self._stream = stream
        self.size = None if is_packed else packed_bytes  # of a packed stream only its end tells
        self.limit = min(UNPACKED_BYTES, RATIO * packed_bytes) if is_packed else PACKED_BYTES
        self.in_headers = True

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= (HEADER_BYTES if self.in_headers else COPY_BYTES):
            raise _unsafe(f"a header of {size} bytes")
        data = self._stream.read(size)
        self._within(self.tell())
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if offset < 0 or whence != os.SEEK_SET:
            raise _corrupt("a member of negative size")
        self._within(offset)
        return self._stream.seek(offset)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def _within(self, offset: int) -> None:
        if offset > self.limit + HEADER_BYTES:  # headers and padding come on top of the contents
            raise _unsafe(f"over {self.limit} bytes of content, the limit for its size")


@contextmanager
def _opened(data_or_path: bytes | Path) -> Iterator[_Archive]:
    """The archive behind bytes or a file, unpacked if its content says gzip; parser's errors become ours."""
    try:
        with io.BytesIO(data_or_path) if isinstance(data_or_path, bytes) else data_or_path.open("rb") as raw:
            size = raw.seek(0, os.SEEK_END)
            raw.seek(0)
            head = raw.read(512)
            raw.seek(0)
            if size > PACKED_BYTES:
                raise _unsafe(f"{size} bytes, the limit is {PACKED_BYTES}")
            check_content(head, limit=len(head), due="a .tar of a model")
            for magic, name in _OTHER_PACKINGS.items():
                if head.startswith(magic):
                    raise ModelError("model_unsupported", f"packed with {name}", hint="give a .tar or .tar.gz")
            if head[:2] == b"\x1f\x8b":
                with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
                    yield _Archive(stream, packed_bytes=size, is_packed=True)
            else:
                yield _Archive(raw, packed_bytes=size, is_packed=False)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError, IndexError) as reason:
        raise _corrupt(shown(reason) or "it ends too early") from None
    except RecursionError:
        raise _unsafe("headers inside headers without end") from None
    except FileNotFoundError as reason:
        if isinstance(data_or_path, Path) and reason.filename == os.fspath(data_or_path):
            raise ModelError("model_missing", "no such file", hint="check the path") from None
        raise


def _judged(archive: _Archive) -> list[_Member]:
    """Every member, all of them checked; nothing has been written when this returns."""
    members: list[_Member] = []
    names: set[str] = set()
    total = 0
    with tarfile.open(fileobj=archive, mode="r:", errorlevel=2) as tar:
        while (info := tar.next()) is not None:
            if len(members) >= ENTRIES:
                raise _unsafe(f"over {ENTRIES} entries")
            member = _member(info)
            end = member.offset + member.size
            total += member.size
            if archive.size is not None and end > archive.size:
                raise _corrupt(f"{shown(member.name)} has {member.size} bytes, the archive ends before")
            if total > archive.limit:
                raise _unsafe(f"over {archive.limit} bytes of content, the limit for its size")
            same = unicodedata.normalize("NFC", member.name).casefold()
            if same in names:
                raise _unsafe(f"two entries that are one on some systems: {shown(member.name)}")
            names.add(same)
            members.append(member)
        end = tar.offset
    _check_end(archive, end)
    return members


def _check_end(archive: _Archive, offset: int) -> None:
    """After the last member stand zeros; tarfile takes any damaged header for the end."""
    archive.seek(offset)
    block = archive.read(512)
    if len(block) != 512 or any(block):
        raise _corrupt("it ends inside a member or without its end mark")
    archive.in_headers = False
    while archive.read(COPY_BYTES):  # to the end, so that a checksum there is looked at
        pass


def _member(info: tarfile.TarInfo) -> _Member:
    name = _checked_name(info.name)
    if info.isdir():
        return _Member(name, info.offset_data, 0, is_folder=True)
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.sparse is not None or info.linkname:
        raise _unsafe(f"{shown(name)}, which is no regular file or folder")
    if info.size < 0:
        raise _corrupt(f"{shown(name)} has a negative size")
    return _Member(name, info.offset_data, info.size, is_folder=False)


def _checked_name(name: str) -> str:
    """A relative name with nothing in it that any system takes for a way elsewhere."""
    if len(name) > NAME_CHARACTERS:
        raise _unsafe(f"a name of {len(name)} characters")
    if not name.isprintable():
        raise _unsafe(f"a name with control characters: {shown(name)}")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or "\\" in name or ".." in parts or any(re.match(r"[A-Za-z]:", part) for part in parts):
        raise _unsafe(f"a name that leads elsewhere: {shown(name)}")
    return "/".join(parts) or "."


def _model_files(members: list[_Member]) -> list[_Member]:
    """The files of the one model in the archive; others, and what macOS adds, are left alone."""
    files = [member for member in members if not member.is_folder]
    chosen = [member for member in files if member.name.rpartition("/")[2] in MODEL_FILES]
    folders = {member.name.rpartition("/")[0] for member in chosen}
    if len(folders) > 1:
        raise _corrupt(f"{len(folders)} model folders in it, one is read")
    missing = missing_pieces({member.name.rpartition("/")[2] for member in chosen})
    if missing:
        found = ", ".join(shown(member.name, 40) for member in files[:NAMES_LISTED]) or "nothing"
        raise ModelError(
            "model_missing",
            f"the archive has no {', no '.join(missing)} (found: {found})",
            hint="give the archive of one model",
        )
    return chosen


# --- writing ------------------------------------------------------------------------------------------------------


def _written(archive: _Archive, members: list[_Member], target: Path) -> list[Path]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".passerby-", dir=target.parent))
        try:
            for member in members:
                _copy(archive, member, folder / member.name.rpartition("/")[2])
            folder.chmod(FOLDER_MODE)
            _sync_folder(folder)
            if target.is_dir() and not target.is_symlink():
                target.rmdir()  # empty, or this fails
            folder.rename(target)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        _sync_folder(target.parent)
    except OSError as reason:
        if isinstance(reason, gzip.BadGzipFile):
            raise
        full = reason.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise OutputError(
            "output_full" if full else "output_unwritable",
            f"the model cannot be unpacked ({shown(reason.strerror or type(reason).__name__)})",
            input=str(target),
            hint="make room" if full else "check that the folder is writable and empty",
        ) from None
    return sorted(target / member.name.rpartition("/")[2] for member in members)


def _copy(archive: _Archive, member: _Member, path: Path) -> None:
    archive.in_headers = False
    archive.seek(member.offset)
    left = member.size
    with path.open("xb") as file:
        while left:
            part = archive.read(min(left, COPY_BYTES))
            if not part:
                raise _corrupt(f"{shown(member.name)} ends too early")
            file.write(part)
            left -= len(part)
        file.flush()
        os.fchmod(file.fileno(), FILE_MODE) if hasattr(os, "fchmod") else path.chmod(FILE_MODE)
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder last; systems that cannot open a folder do without."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
