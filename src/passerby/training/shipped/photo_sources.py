# SPDX-License-Identifier: Apache-2.0
"""Where the photos come from that the shipped models learn from, and taking them out of their repositories.

The list is data: `sources.json` names public git repositories, the commit, the files wanted, their licence and what
they may be used for. A commit fixes every byte, so it is the checksum of a whole source, and the blob id of a file is
its own. This module does not run git: the caller hands in the tree of a commit and a way to read a blob
(`scripts/training_photos.py` does). Nothing is trained or decoded here.
"""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import ArgumentError, DatasetError, shown
from ...files import atomic_write
from ...formats.strict_json import load_json
from .attribute_data import photo_key
from .detection_data import is_val_stem

USES = ("train", "research", "measure")  # research: measured only, and may teach the separate research variant
SPLITS = ("none", "hash", "leave_out")
LEVELS = 4
LIST_BYTES = 1 << 20

_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WINDOWS_SIGNS = re.compile(r'[<>:"|?*\\]')


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoSource:
    """One row of the list.

    Attributes:
        name: folder of its photos. repo: `owner/name` on GitHub. commit: 40 hex digits.
        paths: patterns (`fnmatch`, `*` also matches `/`) of the files wanted.
        images: how many photos the commit holds, 0 for annotations and videos.
        use: one of `USES`.
        split: `hash`, a fixed share of the photos is val by their names; `leave_out`, those same names are not
            taken at all; `none`.
        licence, what: for people.
        val: keys of photos that are val, whatever source they turn up in.
    """

    name: str
    repo: str
    commit: str
    paths: tuple[str, ...]
    images: int
    use: str
    split: str
    licence: str
    what: str
    val: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file of a source. path: in its repository. blob: its git id. split: `train`, `val`, `left out`, `measure`."""

    path: str
    blob: str
    split: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What `extract_files` did: files written, already there, and the paths that could not be read."""

    written: int
    present: int
    missing: tuple[str, ...]


def load_sources(path: Path | None = None) -> dict[str, PhotoSource]:
    """The shipped list, or another file of the same form, by name and in its order.

    Raises:
        DatasetError: `dataset_missing`; `dataset_invalid` names the row and what is wrong with it.
    """
    where = str(path) if path else "sources.json"
    try:
        data = path.read_bytes() if path else (resources.files(__package__) / "sources.json").read_bytes()
    except OSError as reason:
        raise DatasetError("dataset_missing", f"the list of sources cannot be read ({reason})", input=where) from None
    try:
        if len(data) > LIST_BYTES:
            raise ValueError(f"over {LIST_BYTES} bytes")
        rows = load_json(data, levels=LEVELS)
        if not isinstance(rows, list):
            raise ValueError("not a list")
        sources = [_source(row, number) for number, row in enumerate(rows, 1)]
        names = [source.name for source in sources]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"two rows are called {', '.join(twice)}")
    except ValueError as reason:
        raise DatasetError("dataset_invalid", str(reason), input=where) from None
    return {source.name: source for source in sources}


def _source(row: object, number: int) -> PhotoSource:
    if not isinstance(row, dict):
        raise ValueError(f"row {number} is no mapping")
    wanted = {field.name for field in fields(PhotoSource)}
    if set(row) != wanted:
        raise ValueError(f"row {number}: keys {', '.join(sorted(wanted ^ set(row)))} are missing or unknown")
    problems = [text for key, text in _PROBLEMS.items() if not _FITS[key](row[key])]
    if problems:
        raise ValueError(f"row {number} ({shown(row['name'])}): {'; '.join(problems)}")
    values: dict[str, Any] = {str(k): tuple(v) if isinstance(v, list) else v for k, v in row.items()}
    return PhotoSource(**values)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) and v for v in value)


def _matches(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


_FITS: dict[str, Callable[[object], bool]] = {
    "name": _matches(_NAME),
    "repo": _matches(_REPO),
    "commit": _matches(_COMMIT),
    "paths": lambda value: _is_texts(value) and bool(value),
    "images": lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    "use": lambda value: value in USES,
    "split": lambda value: value in SPLITS,
    "licence": lambda value: isinstance(value, str) and bool(value.strip()),
    "what": lambda value: isinstance(value, str) and bool(value.strip()),
    "val": _is_texts,
}
_PROBLEMS = {
    "name": "name must be small letters, digits and _",
    "repo": "repo must be owner/name",
    "commit": "commit must be 40 hex digits, not a branch",
    "paths": "paths must be a list of patterns",
    "images": "images must be a count",
    "use": f"use must be one of {', '.join(USES)}",
    "split": f"split must be one of {', '.join(SPLITS)}",
    "licence": "licence must be stated",
    "what": "what must say what is in it",
    "val": "val must be a list of photo keys",
}


def choose_sources(
    sources: Mapping[str, PhotoSource], names: Sequence[str] = (), *, uses: Sequence[str] = ("train",)
) -> list[PhotoSource]:
    """The sources of these names, or all of these uses when no name is given.

    Raises:
        ArgumentError: no source has that name, or its use is not among `uses`: research-only pictures are never taken
            by accident.
    """
    for name in names:
        if name not in sources:
            near = difflib.get_close_matches(name, sources, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sources)}"
            raise ArgumentError("bad_argument", f"no source is called {shown(name)}", hint=hint)
        if sources[name].use not in uses:
            raise ArgumentError(
                "bad_argument",
                f"{name} may be used for {sources[name].use} only ({shown(sources[name].licence)})",
                hint=f"ask for that use: --use {sources[name].use}",
            )
    return [s for s in sources.values() if (s.name in names if names else s.use in uses)]


def held_out_keys(sources: Mapping[str, PhotoSource]) -> frozenset[str]:
    """Keys of all photos that the list names as val, as `photo_key` writes them."""
    return frozenset(photo_key(s.name, f"{key}.jpg") for s in sources.values() for key in s.val)


def split_of(source: PhotoSource, path: str, held_out: frozenset[str]) -> str:
    """Which part a file belongs to: `train`, `val`, `left out` (val elsewhere) or `measure`.

    Args:
        path: in the repository; annotations belong to where their photo belongs.
        held_out: from `held_out_keys`.
    """
    if source.use != "train":
        return "measure"
    key = photo_key(source.name, str(PurePosixPath(path).with_suffix(".jpg")))
    by_name = "/" not in key and is_val_stem(key)
    if key.removeprefix(f"{source.name}/") in source.val or (source.split == "hash" and by_name):
        # a val photo of another source keeps out of this one even where the rule of names makes it val
        return "left out" if source.split == "hash" and key in held_out else "val"
    return "left out" if key in held_out or (source.split == "leave_out" and by_name) else "train"


def choose_files(source: PhotoSource, tree: Mapping[str, str], held_out: frozenset[str]) -> list[SourceFile]:
    """The files of a commit that the source wants, each with its split, sorted by path.

    Args:
        tree: every path of the commit and its blob id.
    Raises:
        DatasetError: `dataset_invalid`, a path would lead out of the folder, or none is wanted.
    """
    chosen = sorted(path for path in tree if any(fnmatch.fnmatchcase(path, pattern) for pattern in source.paths))
    if not chosen:
        raise DatasetError(
            "dataset_invalid", "no file of the commit fits the patterns of the source", input=source.name
        )
    for path in chosen:
        parts = path.split("/")
        if any(part in ("", ".", "..") or _WINDOWS_SIGNS.search(part) or not part.isprintable() for part in parts):
            raise DatasetError("dataset_invalid", "a path that cannot be a file below a folder", input=path)
    return [SourceFile(path=p, blob=tree[p], split=split_of(source, p, held_out)) for p in chosen]


def blob_id(data: bytes) -> str:
    """The id git gives to a file of these bytes: SHA-1 of `blob <length>\\0` and the bytes (git's object format).

    >>> blob_id(b"")
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return hashlib.sha1(b"blob %d\x00" % len(data) + data, usedforsecurity=False).hexdigest()


def is_present(file: SourceFile, folder: Path) -> bool:
    """Whether `folder` holds this file with these very bytes."""
    path = folder / file.path
    return path.is_file() and blob_id(path.read_bytes()) == file.blob


def extract_files(files: Iterable[SourceFile], read: Callable[[SourceFile], bytes | None], folder: Path) -> Extraction:
    """Write the files to `folder/<path in the repository>`; what is left out is not written, what is there stays.

    Args:
        read: the bytes of a file, None when the repository at hand lacks them.
    Raises:
        DatasetError: `dataset_invalid`, bytes that do not have the id of the file.
        OutputError: see `files.atomic_write`.
    """
    written = present = 0
    missing: list[str] = []
    for file in files:
        if file.split == "left out":
            continue
        if is_present(file, folder):
            present += 1
            continue
        data = read(file)
        if data is None:
            missing.append(file.path)
            continue
        if blob_id(data) != file.blob:
            raise DatasetError("dataset_invalid", "the bytes are not those of the commit", input=file.path)
        atomic_write(folder / file.path, data)
        written += 1
    return Extraction(written=written, present=present, missing=tuple(missing))
