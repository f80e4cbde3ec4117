# SPDX-License-Identifier: Apache-2.0
"""The service in a process of its own, for measuring: started, watched from outside, ended.

Its folder is fresh and empty, so that whatever it leaves there is seen; stderr goes to a file.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

READY = re.compile(r"passerby: serving on (https?)://(.+):(\d+)$")
START_S = 180.0
STOP_S = 60.0


@dataclass(frozen=True, slots=True)
class Served:
    """A service that runs.

    Attributes:
        host, port: where it listens.
        process: what was started: the front process, or the command around it.
        front: pid of the front process.
        log: file of its stderr.
    """

    host: str
    port: int
    process: subprocess.Popen[bytes]
    front: int
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    def workers(self) -> list[int]:
        """Pids of the worker processes that run now."""
        return [p.pid for p in _children(self.front) if "spawn_main" in _command(p)]

    def rss_mb(self) -> tuple[float, float]:
        """Resident memory of the front and of all workers together, MB (10^6 bytes)."""
        return _rss(self.front) / 1e6, sum(_rss(pid) for pid in self.workers()) / 1e6

    def open_files(self) -> tuple[int, int]:
        """Open file descriptors of the front and of all workers together."""
        return _files(self.front), sum(_files(pid) for pid in self.workers())

    def threads(self) -> int:
        """Threads of front and workers."""
        return sum(_threads(pid) for pid in (self.front, *self.workers()))

    def stop(self) -> tuple[int, float]:
        """SIGTERM to the front; exit code and seconds until it was gone. SIGKILL after a minute."""
        started = time.monotonic()
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.front, signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            for pid in (*self.workers(), self.front):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
        return self.process.returncode, time.monotonic() - started


@contextmanager
def served(
    flags: Sequence[str] = (),
    *,
    pipeline: str | None = None,
    workers: int | None = None,
    env: Mapping[str, str] | None = None,
    around: Sequence[str] = (),
    folder: Path | None = None,
) -> Iterator[Served]:
    """A service that is warm; ended at the end of the block.

    Args:
        flags: of `passerby serve`, beside port, pipeline and workers.
        env: its whole environment; default ours.
        around: a command to run it under, such as a tracer.
        folder: its working folder; default a fresh temporary one, removed afterwards.
    Raises:
        RuntimeError: it ended or was not ready in time; holds what it said.
    """
    raise_file_limit()
    end_the_service_too()
    with tempfile.TemporaryDirectory(prefix="serving-") as name:
        place = folder or Path(name) / "work"
        place.mkdir(parents=True, exist_ok=True)
        log = Path(name) / "stderr"
        command = [*around, sys.executable, "-m", "passerby", "serve", "--port", "0"]
        command += ["--pipeline", str(Path(pipeline).resolve())] if pipeline else []
        command += ["--workers", str(workers)] if workers else []
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [*command, *flags],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=None if env is None else dict(env),
                cwd=place,
            )
        try:
            yield _ready(process, log)
        finally:
            if process.poll() is None:
                Served("", 0, process, _front(process.pid), log).stop()


def end_the_service_too() -> None:
    """SIGTERM to a measurement ends it in order, so that no service outlives it."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, leave)


def raise_file_limit() -> None:
    """As many open files as the system allows; a thousand connections need them on both sides."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _ready(process: subprocess.Popen[bytes], log: Path) -> Served:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        said = log.read_text("utf-8", "replace")
        for line in said.splitlines():
            if found := READY.match(line):
                return Served(found[2], int(found[3]), process, _front(process.pid), log)
        if process.poll() is not None:
            raise RuntimeError(f"the service ended with {process.returncode}:\n{said}")
        time.sleep(0.05)
    raise RuntimeError(f"the service is not ready after {START_S:.0f} s:\n{said}")


def _front(pid: int) -> int:
    """The process that serves: the one that was started, or its child when a tracer stands around it."""
    below = [p.pid for p in _children(pid) if " serve " in _command(p)]
    return below[0] if below else pid


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _rss(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _files(pid: int) -> int:
    try:
        return int(psutil.Process(pid).num_fds())
    except psutil.Error:
        return 0


def _threads(pid: int) -> int:
    try:
        return int(psutil.Process(pid).num_threads())
    except psutil.Error:
        return 0
