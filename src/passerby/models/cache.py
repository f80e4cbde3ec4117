"""Where downloaded models lie on this machine, and whether what lies there is still what came.

    <home>/models/<name>/        the files of a model: inference.json, .pdiparams, .yml or one .pdparams
    <home>/models/<name>.json    what was recorded when they came: source, hashes, and a hash over the record itself
    <home>/converted/            models turned into .onnx, named after their content

Every file is hashed before it is used. A damaged one is moved aside and downloaded again once. One process downloads,
the others wait; a folder appears complete or not at all, and only after the model in it could be loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..errors import ModelError, OutputError
from ..fetch import DOWNLOAD_POLICY, FetchPolicy
from ..files import atomic_write
from ..formats.model_dir import MODEL_FILES
from .archive import unpack
from .catalogue import CatalogueEntry, stand_in
from .download import STDERR, Reports, download, is_offline, sha256_of
from .lock import locked

logger = logging.getLogger(__name__)

WAIT_S = 600.0
STALE_S = 24 * 3600.0
CONVERTED_KEPT = 8
RECORD_BYTES = 64 * 1024
MODEL_SUFFIXES = (".pdparams", ".onnx")


class State(Enum):
    """What a model's folder is worth."""

    ABSENT = "absent"
    GOOD = "good"
    NEW = "put there by hand, never recorded"
    BAD = "not what was recorded"


@dataclass(frozen=True, slots=True)
class Record:
    """What is known about a cached model: where it came from, the hash of the file that came, and of its files."""

    source: str
    download_sha256: str
    files: dict[str, str]


def home() -> Path:
    """The cache folder: PASSERBY_HOME, else the platform's own place. It need not exist."""
    if named := os.environ.get("PASSERBY_HOME"):
        return Path(named).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "passerby" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/passerby"
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if Path(named).is_absolute() else Path.home() / ".cache") / "passerby"


def folder_of(name: str) -> Path:
    """The folder of a model of the catalogue, whether it is there or not."""
    return home() / "models" / name


def state_of(name: str) -> State:
    """Compare what lies in the cache with what was recorded; reads every byte."""
    files = model_files(folder_of(name))
    if not files:
        return State.ABSENT
    if not _record_path(name).exists():
        return State.NEW
    record = read_record(name)
    if record is None or not record.files:
        return State.BAD
    try:
        return State.GOOD if record.files == _hashes(files) else State.BAD
    except OSError:
        return State.BAD


def model_files(folder: Path) -> list[Path]:
    """The files in a folder that belong to a model."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    return [e for e in entries if e.is_file() and (e.name in MODEL_FILES or e.suffix in MODEL_SUFFIXES)]


@contextlib.contextmanager
def opened(
    entry: CatalogueEntry, *, reports: Reports = STDERR, policy: FetchPolicy = DOWNLOAD_POLICY
) -> Iterator[Path]:
    """A folder with the checked files of a model, downloaded first if need be.

    What comes from the network is kept only if the block ends without an error: load the model inside.

    Raises:
        ModelError: `model_offline`, `model_download`, `model_hash`, `archive_unsafe` and what the archive is.
        OutputError: `output_full`.
    """
    with contextlib.ExitStack() as stack:
        state, held = state_of(entry.name), False
        if state is not State.GOOD:
            held = stack.enter_context(_locked(entry, reports))
            state = state_of(entry.name) if held else state
        if state is State.GOOD:
            stack.close()
            yield folder_of(entry.name)
        elif state is State.NEW:
            yield folder_of(entry.name)
            if held:
                _write_record(entry.name, Record("", "", _hashes(model_files(folder_of(entry.name)))))
        else:
            with _downloaded(entry, state, held, reports, policy) as folder:
                yield folder


@contextlib.contextmanager
def replacing(entry: CatalogueEntry, *, reports: Reports = STDERR) -> Iterator[Path]:
    """An empty folder that becomes the model's folder if the block fills it and ends without an error.

    Raises:
        OutputError: `output_unwritable`, the cache cannot be written.
    """
    with _locked(entry, reports) as held:
        if not held:
            hint = "set PASSERBY_HOME to a folder that can be written"
            raise OutputError("output_unwritable", "the cache cannot be used", input=str(home()), hint=hint)
        with tempfile.TemporaryDirectory(prefix=".passerby-", dir=folder_of(entry.name).parent) as work:
            files = Path(work) / "files"
            files.mkdir()
            yield files
            keep(entry.name, files, Record("", "", _hashes(model_files(files))))


def keep(name: str, folder: Path, record: Record) -> None:
    """Make `folder` the model's folder in the cache, by renaming, and record it."""
    place = folder_of(name)
    if place.exists():
        _move_aside(name)
    # Without a record the files would count as put there by hand: the record comes first.
    _write_record(name, record)
    folder.rename(place)


def read_record(name: str) -> Record | None:
    """What was recorded for a model, None when nothing was or the record itself is damaged."""
    try:
        with _record_path(name).open("rb") as file:
            body = json.loads(file.read(RECORD_BYTES))
        record = Record(str(body["source"]), str(body["download_sha256"]), dict(body["files"]))
        return record if body["check"] == _check(record) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_converted(key: str) -> bytes | None:
    """A converted model by the key of its source, if it is there and whole."""
    for path in (home() / "converted").glob(f"{key}.*.onnx"):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if hashlib.sha256(data).hexdigest() == path.name.split(".")[1]:
            with contextlib.suppress(OSError):
                os.utime(path)
            return data
        with contextlib.suppress(OSError):
            path.unlink()
    return None


def keep_converted(key: str, data: bytes) -> None:
    """Keep a converted model for the next start; the oldest beyond a few are removed. Never fails."""
    folder = home() / "converted"
    try:
        atomic_write(folder / f"{key}.{hashlib.sha256(data).hexdigest()}.onnx", data)
        _remove_stale(folder)
        newest_first = sorted(folder.glob("*.onnx"), key=lambda p: p.stat().st_mtime, reverse=True)
        for path in newest_first[CONVERTED_KEPT:]:
            path.unlink()
    except (OSError, OutputError) as reason:
        logger.info("converted model not kept, reason=%s", reason)


@contextlib.contextmanager
def _locked(entry: CatalogueEntry, reports: Reports) -> Iterator[bool]:
    """The lock of a model; False when it cannot be had and the cache must be left alone."""
    with contextlib.ExitStack() as stack:
        path = folder_of(entry.name).with_name(f".{entry.name}.lock")
        waiting = f"another process is fetching {entry.name}, waiting for it"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held = stack.enter_context(locked(path, wait_s=WAIT_S, waiting=lambda: reports.tell(waiting)))
            why = "another process has held it for ten minutes"
        except OSError as reason:
            held, why = False, f"it cannot be written ({reason.strerror})"
        if not held:
            logger.warning("the cache is not used for %s: %s; set PASSERBY_HOME to another folder", entry.name, why)
        yield held


@contextlib.contextmanager
def _downloaded(
    entry: CatalogueEntry, state: State, held: bool, reports: Reports, policy: FetchPolicy
) -> Iterator[Path]:
    """A fresh copy in a temporary folder; in the cache afterwards, when the lock is held and the block went well."""
    record = read_record(entry.name)
    place = folder_of(entry.name).parent
    if held:
        _remove_stale(place)
        if state is State.BAD:
            _move_aside(entry.name)
    with tempfile.TemporaryDirectory(prefix=".passerby-", dir=place if held else None) as work:
        files = Path(work) / "files"
        files.mkdir()
        packed = (place if held else Path(work)) / f".{entry.name}"
        try:
            source, digest = _fetched(entry, packed, files, record, reports=reports, policy=policy)
        except ModelError as error:
            raise _explained(error, entry, state, record) from None
        yield files
        if held:
            try:
                keep(entry.name, files, Record(source, digest, _hashes(model_files(files))))
            except (OSError, OutputError) as reason:
                logger.warning("%s is used from memory, it could not be kept: %s", entry.name, reason)


def _fetched(
    entry: CatalogueEntry, packed: Path, files: Path, record: Record | None, *, reports: Reports, policy: FetchPolicy
) -> tuple[str, str]:
    """Download from the first source that has the model and unpack it; returns that source and the file's hash.

    A model that was recorded once comes from the same source and with the same hash, or not at all.
    """
    known = record if record is not None and record.source in entry.sources else None
    sources = (known.source,) if known else entry.sources
    for number, url in enumerate(sources):
        packed = packed.with_name(f".{entry.name}{Path(url).suffix}")
        expected = known.download_sha256 if known else entry.sha256.get(url)
        if not is_offline():
            size = f", {entry.size_mb:g} MB" if entry.size_mb else ""
            reports.tell(f"downloading {entry.name} from {url.split('/')[2]}{size}")
        try:
            digest = download(url, packed, sha256=expected, reports=reports, policy=policy)
        except ModelError as error:
            # Only a source that does not have the file makes room for the next one.
            if "fetch_status" in error.happened and number + 1 < len(sources):
                continue
            raise
        _unpacked(packed, files, entry.name, url)
        return url, digest
    raise ModelError("model_missing", "the catalogue names no source", input=entry.name)


def _unpacked(packed: Path, files: Path, name: str, url: str) -> None:
    try:
        if packed.suffix == ".pdparams":
            packed.replace(files / f"{name}.pdparams")
        else:
            unpack(packed, files, input=url)
    finally:
        packed.unlink(missing_ok=True)


def _explained(error: ModelError, entry: CatalogueEntry, state: State, record: Record | None) -> ModelError:
    """The error of a download with what the user can do about it."""
    other = f"{stand_in(entry.kind)} is part of the package and needs no download"
    if error.name == "model_hash" and record is not None:
        kept = _record_path(entry.name)
        return ModelError(error.name, error.happened, input=error.input, hint=f"to accept the new file remove {kept}")
    if state is State.BAD:
        happened = f"the cached files of {entry.name} are damaged and could not be replaced ({error.name})"
        return ModelError("model_hash", happened, input=str(folder_of(entry.name)), hint=other)
    if error.name not in ("model_offline", "model_download"):
        return error
    get = f"`passerby models pull {entry.name}` fetches it where there is a network, `models import` takes a file"
    if error.name == "model_offline":
        happened = f"{entry.name} is not on this machine and downloads are switched off"
        return ModelError(error.name, happened, hint=f"{get}; {other}")
    return ModelError(error.name, error.happened, input=error.input, hint=other)


def _record_path(name: str) -> Path:
    return folder_of(name).with_name(f"{name}.json")


def _check(record: Record) -> str:
    body = json.dumps([record.source, record.download_sha256, sorted(record.files.items())])
    return hashlib.sha256(body.encode()).hexdigest()


def _write_record(name: str, record: Record) -> None:
    body = {"source": record.source, "download_sha256": record.download_sha256, "files": record.files}
    atomic_write(_record_path(name), json.dumps({**body, "check": _check(record)}, indent=1).encode("utf-8"))


def _hashes(files: list[Path]) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in files}


def _move_aside(name: str) -> None:
    """Rename a model's folder so that it is in nobody's way; an earlier one that was moved aside goes."""
    place = folder_of(name)
    aside = place.with_name(f"{name}.bad")
    shutil.rmtree(aside, ignore_errors=True)
    place.rename(aside)
    logger.warning("damaged model moved aside, folder=%s", aside)


def _remove_stale(folder: Path) -> None:
    """Remove what killed processes left behind: temporary files of ours that are older than a day."""
    for path in folder.glob(".passerby-*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_S:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
