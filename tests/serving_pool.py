# SPDX-License-Identifier: Apache-2.0
"""A real pool of worker processes for tests, on an event loop of its own, and the jobs to give it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import cv2

from passerby.serving.jobs import Job, Reply
from passerby.serving.pool import WorkerPool
from passerby.serving.settings import ServerSettings

from . import tiny
from .serving_server import until

T = TypeVar("T")
PATIENCE_S = 90.0
_numbers = itertools.count(1)


def job(body: bytes, *, content_type: str = "image/png", query: str = "", seconds: float = PATIENCE_S) -> Job:
    """A job whose deadline is so many seconds away."""
    return Job(
        number=next(_numbers),
        log_id="test",
        content_type=content_type,
        query=query,
        body=body,
        deadline=time.monotonic() + seconds,
    )


def url_job(url: str, *, seconds: float = PATIENCE_S) -> Job:
    """A job with a picture that is elsewhere."""
    return job(json.dumps({"image": url}).encode(), content_type="application/json", seconds=seconds)


def png(seed: int = 0, *, height: int = 240, width: int = 320) -> bytes:
    """A picture on which the tiny networks find a few persons."""
    return cv2.imencode(".png", tiny.picture(seed, height=height, width=width))[1].tobytes()


class Pool:
    """A pool and the loop it lives on."""

    def __init__(self, settings: ServerSettings, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.pool = WorkerPool(settings, **options)

    def do(self, action: Awaitable[T]) -> concurrent.futures.Future[T]:
        """Start something on the loop."""
        return asyncio.run_coroutine_threadsafe(_awaited(action), self._loop)

    def ask(self, question: Job) -> concurrent.futures.Future[Reply]:
        return self.do(self.pool.answer(question))

    def answer(self, question: Job) -> Reply:
        return self.ask(question).result(PATIENCE_S)

    def until(self, condition: Callable[[WorkerPool], object]) -> None:
        """Wait until something holds of the pool."""
        until(lambda: condition(self.pool), within=PATIENCE_S)

    def close(self) -> None:
        self.do(self.pool.stop()).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _awaited(action: Awaitable[T]) -> T:
    return await action


@contextmanager
def running(folder: Path, *, hung_s: float = 30.0, **settings: Any) -> Iterator[Pool]:
    """A pool that is warm, of tiny networks and one worker if nothing else is said; no process of it is left after the
    block."""
    pipeline = folder / "tiny.yaml"
    if not pipeline.exists():
        pipeline.write_text(json.dumps(tiny.config()), "utf-8")
    pool = Pool(ServerSettings(**{"pipeline": str(pipeline), "workers": 1, **settings}), hung_s=hung_s)
    try:
        pool.do(pool.pool.start()).result(PATIENCE_S)
        yield pool
    finally:
        pids = pool.pool.pids
        pool.close()
        assert not [pid for pid in pids if alive(pid)]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not asked for yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    try:
        return not state.exists() or state.read_text("latin-1").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class SlowServer:
    """A web server that takes every request and answers none before `let_go`, then each with the picture."""

    def __init__(self, picture: bytes) -> None:
        self._answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(picture) + picture
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/a.png"
        self.asked = 0
        self.let_go = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> SlowServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while b"\r\n\r\n" not in connection.recv(65536):
                pass
            self.asked += 1
            self.let_go.wait(PATIENCE_S)
            try:
                connection.sendall(self._answer)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
