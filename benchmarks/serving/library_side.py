# SPDX-License-Identifier: Apache-2.0
"""The library measured beside the service: a warm pipeline in a process of its own that does the same work."""

from __future__ import annotations

import base64
import io
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

from PIL import Image

from passerby import Pipeline, create_pipeline

LEAST = 6
"""Pictures of a turn, however long that takes on a busy machine."""


def analyse(pipeline: Pipeline, picture: bytes, *, drawn: bool) -> str:
    """What the service does with a picture, as a user of the library would write it: bytes in, JSON out."""
    result = next(pipeline.predict(picture))
    content = {"pedestrians": result.to_dict(every_label=False)["boxes"]}
    if drawn:
        pixels = result.drawn()
        buffer = io.BytesIO()
        size_wh = (pixels.shape[1], pixels.shape[0])
        Image.frombuffer("RGB", size_wh, pixels, "raw", "BGR", 0, 1).save(buffer, "JPEG")
        content["image"] = base64.b64encode(buffer.getvalue()).decode("ascii")
    return json.dumps(content)


def rate_of(moments: Sequence[float]) -> float:
    """Events a second, from the seconds at which they came; the first only starts the clock."""
    return (len(moments) - 1) / (max(moments) - min(moments))


@dataclass(frozen=True, slots=True)
class Library:
    """A pipeline in a process of its own, so many threads that use it, so many of the engine for each."""

    threads: int
    engine_threads: int
    pipe: Connection

    @property
    def name(self) -> str:
        return f"library, {self.threads} thread(s) with {self.engine_threads} of the engine"

    def rate(self, seconds: float, *, drawn: bool) -> float:
        """Pictures a second. The other side does nothing when it is not asked."""
        self.pipe.send((seconds, drawn))
        return rate_of(self.pipe.recv())


@contextmanager
def library(picture: bytes, pipeline: str | None, *, threads: int, engine_threads: int) -> Iterator[Library]:
    """The library in one layout, warm; its process ends with the block."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    arguments = (theirs, picture, pipeline, threads, engine_threads)
    process = spawn.Process(target=_serve, args=arguments, daemon=True)
    process.start()
    theirs.close()
    ours.recv()
    try:
        yield Library(threads, engine_threads, ours)
    finally:
        ours.send(None)
        process.join()


def _serve(pipe: Connection, picture: bytes, name: str | None, threads: int, engine_threads: int) -> None:
    os.environ["PASSERBY_THREADS"] = str(engine_threads)
    with create_pipeline(name) as pipeline:
        analyse(pipeline, picture, drawn=True)
        pipe.send("warm")
        while (asked := pipe.recv()) is not None:
            pipe.send(_turn(pipeline, picture, threads, *asked))


def _turn(pipeline: Pipeline, picture: bytes, threads: int, seconds: float, drawn: bool) -> list[float]:
    """When pictures were done."""
    done: list[float] = []
    end = time.monotonic() + seconds

    def work() -> None:
        while time.monotonic() < end or len(done) < LEAST:
            analyse(pipeline, picture, drawn=drawn)
            done.append(time.monotonic())

    together = [threading.Thread(target=work) for _ in range(threads)]
    for each in together:
        each.start()
    for each in together:
        each.join()
    return done
