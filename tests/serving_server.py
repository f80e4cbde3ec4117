# SPDX-License-Identifier: Apache-2.0
"""A real server for tests: `passerby serve` in a process of its own, on a free port of loopback, with tiny networks.

with running("--api-key", "correct-horse") as server:
    httpx.get(server.url + "/health")
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import tiny

READY = re.compile(r"passerby: serving on (https?)://(.+):(\d+)$")
START_S = 90.0  # a loaded machine imports slowly
STOP_S = 60.0


@dataclass(frozen=True)
class Server:
    """A server that is ready.

    Attributes:
        url: its address without a slash at the end. port: the port in it.
        process: the front process.
        errors: the file that holds all it wrote on stderr.
    """

    url: str
    port: int
    process: subprocess.Popen[bytes]
    errors: Path

    def lines(self) -> list[str]:
        """What it wrote on stderr so far."""
        return self.errors.read_text("utf-8", "replace").splitlines()

    def log(self) -> list[dict[str, object]]:
        """The lines of the access log among them."""
        return [json.loads(line) for line in self.lines() if line.startswith("{")]

    def connect(self, *, timeout: float = 30.0) -> socket.socket:
        """A raw connection, for tests that speak HTTP by hand."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal to the front process."""
        self.process.send_signal(number)

    def exit_code(self, *, within: float = STOP_S) -> int:
        """Wait until it has ended."""
        return self.process.wait(within)


def until(condition: Callable[[], object], *, within: float = 30.0) -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: it does not within so many seconds.
    """
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"not within {within} s"
        time.sleep(0.02)


def tiny_pipeline(folder: Path) -> Path:
    """The YAML of a pipeline with the tiny networks; JSON is YAML."""
    file = folder / "tiny.yaml"
    file.write_text(json.dumps(tiny.config()), "utf-8")
    return file


def start(
    *flags: str,
    folder: Path,
    pipeline: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    files: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a server and do not wait for it; its stderr goes to `folder/stderr`. The rest is that of `running`."""
    pytest.importorskip("uvicorn")
    pytest.importorskip("httptools")
    pytest.importorskip("starlette")
    command = [sys.executable, "-m", "passerby", "serve", "--port", "0"]
    if "--workers" not in flags:
        command += ["--workers", "1"]
    command += ["--pipeline", str(pipeline or tiny_pipeline(folder)), *flags]
    if files is not None:
        command = ["sh", "-c", f'ulimit -n {files} && exec "$@"', "sh", *command]
    with (folder / "stderr").open("wb") as errors:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, "PASSERBY_HOME": str(folder / "home"), **(env or {})},
            cwd=folder,
        )


@contextmanager
def running(
    *flags: str,
    pipeline: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    files: int | None = None,
    tracebacks: bool = False,
) -> Iterator[Server]:
    """A server that is ready, with these flags; ended by SIGTERM at the end of the block, if it still runs.

    Args:
        pipeline: name or YAML file; default the tiny networks.
        env: variables beside those of this process.
        files: limit of open files.
        tracebacks: whether a traceback on stderr is expected; else it fails the test.
    Raises:
        AssertionError: it did not start, did not end after SIGTERM, or wrote a traceback.
    """
    with tempfile.TemporaryDirectory(prefix="passerby-test-") as name:
        folder = Path(name)
        process = start(*flags, folder=folder, pipeline=pipeline, env=env, files=files)
        try:
            server = _ready(process, folder / "stderr")
            yield server
        finally:
            _end(process)
        if not tracebacks:
            assert not [line for line in server.lines() if line.startswith("Traceback")], "\n".join(server.lines())


def _ready(process: subprocess.Popen[bytes], errors: Path) -> Server:
    end = time.monotonic() + START_S
    while True:
        said = errors.read_text("utf-8", "replace")
        for line in said.splitlines():
            if found := READY.match(line):
                scheme, host, port = found.groups()
                return Server(f"{scheme}://{host}:{port}", int(port), process, errors)
        assert process.poll() is None, f"the server ended with {process.returncode}:\n{said}"
        assert time.monotonic() < end, f"the server is not ready after {START_S} s:\n{said}"
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM; SIGKILL where that does not help, which fails the test."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(f"the server still ran {STOP_S} s after SIGTERM") from None
