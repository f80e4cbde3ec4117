"""A lock between processes that the operating system frees with its holder, however that one ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

POLL_S = 0.2

if sys.platform == "win32":
    import msvcrt

    def _take(file: FileIO) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def _free(file: FileIO) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _take(file: FileIO) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _free(file: FileIO) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)


@contextmanager
def locked(path: Path, *, wait_s: float, waiting: Callable[[], None]) -> Iterator[bool]:
    """Hold the lock file `path`, which stays behind empty.

    Args:
        wait_s: seconds to wait for another holder.
        waiting: called once, when there is one.
    Yields:
        False when the other holder kept it all that time, or the file system knows no locks.
    Raises:
        OSError: the lock file cannot be made.
    """
    with FileIO(path, "a") as file:
        held = _held(file, time.monotonic() + wait_s, waiting)
        try:
            yield held
        finally:
            if held:
                _free(file)


def _held(file: FileIO, end: float, waiting: Callable[[], None]) -> bool:
    said = False
    while True:
        try:
            _take(file)
            return True
        except BlockingIOError:
            pass
        except PermissionError:
            # Windows says so when another process holds it.
            if sys.platform != "win32":
                return False
        except OSError:
            return False
        if not said:
            waiting()
            said = True
        if time.monotonic() >= end:
            return False
        time.sleep(POLL_S)
