"""A model file from the network onto the disk: resumed when cut, limited, and named only when its hash is right.

Uses the one fetch function; knows nothing of archives, catalogues or where models lie.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import FetchError, ModelError, OutputError
from ..fetch import DOWNLOAD_POLICY, Download, FetchPolicy, Temporary, open_download

TRIES = 3
WAITS_S = (0.5, 1.0)
LONGEST_WAIT_S = 30.0
OFFLINE = "PASSERBY_OFFLINE"


@dataclass(frozen=True, slots=True)
class Reports:
    """Where a download says what it does.

    Attributes:
        tell: takes one line for a person.
        progress: takes the bytes that are there and the bytes there will be, or None.
    """

    tell: Callable[[str], None]
    progress: Callable[[int, int | None], None]


def _tell(line: str) -> None:
    print(f"passerby: {line}", file=sys.stderr, flush=True)


def _show_progress(done: int, total: int | None) -> None:
    if not sys.stderr.isatty():
        return
    part = f"{done / total:4.0%} of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB"
    end = "\n" if done == total else ""
    print(f"\r  {part} ", end=end, file=sys.stderr, flush=True)


STDERR = Reports(_tell, _show_progress)
QUIET = Reports(lambda line: None, lambda done, total: None)


def is_offline() -> bool:
    """Whether the environment forbids downloads: PASSERBY_OFFLINE is set to anything but nothing, 0 or false."""
    return os.environ.get(OFFLINE, "").strip().lower() not in ("", "0", "false", "no")


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    reports: Reports = STDERR,
    policy: FetchPolicy = DOWNLOAD_POLICY,
) -> str:
    """Fetch `url` into the file `target`, which is there completely or not at all.

    A connection that breaks is taken up again where it broke, three tries in all. What an earlier, interrupted call
    left behind is used when the server can vouch that the file is still the same.

    Args:
        target: in a folder that exists; nobody else may download to it at the same time (`cache` holds a lock).
        sha256: expected hash in hexadecimal, or None.
    Returns:
        SHA-256 of the file, hexadecimal.
    Raises:
        ModelError: `model_offline`; `model_download` (it could not be had); `model_hash` (it is another file).
        OutputError: `output_full`, `output_unwritable`.
    """
    if is_offline():
        raise ModelError("model_offline", f"{OFFLINE} is set, nothing is downloaded", input=url)
    part = _Part.found(target.with_name(f".{target.name}.part"), url)
    try:
        for again in (True, False):
            _fill(part, reports, policy)
            found = sha256_of(part.path)
            if sha256 is None or found == sha256:
                part.become(target)
                return found
            joined = part.answers > 1
            part.discard()
            if not (joined and again):
                break
        raise _another_file(url, found, sha256)
    except OSError as reason:
        part.discard()
        raise _unwritten(reason, target) from None
    finally:
        part.leave()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


@dataclass
class _Part:
    """The file while it grows. Beside it lies a note with the URL and the server's mark of this version, without
    which a later call cannot go on."""

    path: Path
    url: str
    size: int = 0
    total: int | None = None
    validator: str | None = None
    answers: int = field(default=0)

    @property
    def _note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    @classmethod
    def found(cls, path: Path, url: str) -> _Part:
        part = cls(path, url)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(part._note.read_text("utf-8"))
            if note["url"] == url and isinstance(note["validator"], str):
                part.size, part.validator, part.answers = path.stat().st_size, note["validator"], 1
        if not part.size:
            part.discard()
        return part

    def accept(self, answer: Download) -> None:
        """Take in what the server said about the file; forget what is there when it sends another one."""
        changed = self.total is not None and answer.total is not None and answer.total != self.total
        if answer.start and changed:
            self.discard()
            raise Temporary(FetchError("fetch_incomplete", "the file changed between two parts", input=self.url))
        if answer.start == 0:
            self.size, self.answers = 0, 0
        self.total, self.validator, self.answers = answer.total, answer.validator, self.answers + 1
        if self.validator:
            self._note.write_text(json.dumps({"url": self.url, "validator": self.validator}), "utf-8")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self.size, self.total, self.validator, self.answers = 0, None, None, 0

    def leave(self) -> None:
        """At the end: keep an unfinished part only if a later call can go on with it."""
        if not (self.size and self.validator):
            with contextlib.suppress(OSError):
                self.discard()

    def become(self, target: Path) -> None:
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self.path.replace(target)
        self.size = 0


def _fill(part: _Part, reports: Reports, policy: FetchPolicy) -> None:
    """Complete the part, asking for what is missing, `TRIES` times at most."""
    for attempt in range(TRIES):
        try:
            with open_download(part.url, policy, start=part.size, validator=part.validator) as answer:
                part.accept(answer)
                _append(part, answer, reports)
                return
        except Temporary as failure:
            wait = WAITS_S[min(attempt, len(WAITS_S) - 1)] if failure.wait_s is None else failure.wait_s
            if attempt + 1 == TRIES or wait > LONGEST_WAIT_S:
                raise _failed(failure.error) from None
        except FetchError as error:
            raise _failed(error) from None
        time.sleep(wait)


def _append(part: _Part, answer: Download, reports: Reports) -> None:
    with part.path.open("rb+" if part.size else "wb") as file:
        file.seek(part.size)
        for piece in answer.chunks:
            file.write(piece)
            part.size += len(piece)
            reports.progress(part.size, part.total)


def _failed(error: FetchError) -> ModelError:
    return ModelError("model_download", f"the download failed ({error.name}: {error.happened})", input=error.input)


def _another_file(url: str, found: str, sha256: str | None) -> ModelError:
    return ModelError(
        "model_hash",
        f"the file that came is not the one expected (SHA-256 {found}, expected {sha256})",
        input=urlsplit(url).netloc.rpartition("@")[2],
        hint="nothing of it was kept",
    )


def _unwritten(reason: OSError, target: Path) -> OutputError:
    if reason.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutputError(
            "output_full", "the disk is full", input=str(target), hint="free some space or set PASSERBY_HOME"
        )
    return OutputError("output_unwritable", "the file cannot be written", input=str(target), hint="set PASSERBY_HOME")
