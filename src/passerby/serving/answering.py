# SPDX-License-Identifier: Apache-2.0
"""One request answered, in a worker: parse -> fetch -> decode -> infer -> draw -> encode. Reads in that order.

Whatever happens, an answer comes out: every error has its name, and a bug says no more than its logId. The gate is
held while this thread computes and given back while it waits for another server, so that few pictures are in memory
as pixels at once. Pictures of one request follow each other, for the same reason.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import json
import re
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image

from ..decode import decode_image
from ..errors import ArgumentError, EngineError, InputError, InternalError, Interrupted, PasserbyError, ServerError
from ..fetch import SERVER_POLICY, FetchPolicy, fetch
from .answers import JSON_TYPE, error_body, result_body
from .fields import invalid
from .jobs import Job, Reply
from .pedestrians import failed_body, picture_body
from .requests import Asked, picture_bytes, understand, unpack, url_of
from .settings import ServerSettings

if TYPE_CHECKING:
    from ..pipeline import Pipeline
    from ..result import Result
    from ..types import ImageBgr

JPEG_TYPE = "image/jpeg"
JPEG_SIDE = 65_500
TRACEBACK_CHARACTERS = 8_000


class Gate(Protocol):
    """What lets a few threads compute at once; `gate.JobGate` is one.

    `acquire` waits for a turn, `release` ends it, `leave` gives it back until the next `acquire`. The first and the
    last may raise a PasserbyError instead of giving one. `dropped`: nobody waits for the answer any more.
    """

    @property
    def dropped(self) -> bool: ...
    def acquire(self) -> None: ...
    def leave(self) -> None: ...
    def release(self) -> None: ...


@dataclass(slots=True)
class _Work:
    """One request under way: its turn at the gate, its clock and its counts."""

    job: Job
    pipeline: Pipeline
    settings: ServerSettings
    gate: Gate
    log_id: str
    held: bool = False
    pictures: int = 0
    pixels: int = 0
    persons: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the gate."""
        self.gate.acquire()
        self.held = True
        try:
            yield
        finally:
            if self.held:
                self.held = False
                self.gate.release()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Let others compute meanwhile."""
        self.held = False
        try:
            self.gate.leave()
            yield
        finally:
            self.gate.acquire()
            self.held = True

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage, which begins only while there is time.

        Raises:
            PasserbyError: as of `in_time`.
        """
        self.in_time()
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def in_time(self) -> float:
        """Seconds left, more than none.

        Raises:
            ServerError: `deadline_exceeded`. Interrupted: the client is gone.
        """
        if self.gate.dropped:
            raise Interrupted("interrupted", "the client went away")
        left = self.job.deadline - time.monotonic()
        if left <= 0:
            hint = "send smaller pictures or fewer at once, or try again later"
            raise ServerError("deadline_exceeded", f"no answer within {self.settings.deadline_s:g} s", hint=hint)
        return left


def answer(job: Job, pipeline: Pipeline, settings: ServerSettings, gate: Gate) -> Reply:
    """Answer one request; never raises, and gives the gate back."""
    work = _Work(job=job, pipeline=pipeline, settings=settings, gate=gate, log_id=job.log_id)
    try:
        with work.turn():
            kind, body = _answered(work)
        return _reply(work, 200, kind, body, None)
    except PasserbyError as reason:
        error = reason
    except MemoryError:
        error = _no_memory()
    except Exception:
        _report_bug(work.log_id)
        error = InternalError("internal", "a bug of this service", hint="its log has more under this logId")
    return _reply(work, error.http_status, JSON_TYPE, error_body(work.log_id, error), error.name)


def _reply(work: _Work, status: int, kind: str, body: bytes, error: str | None) -> Reply:
    return Reply(
        number=work.job.number,
        log_id=work.log_id,
        status=status,
        content_type=kind,
        body=body,
        error=error,
        pictures=work.pictures,
        pixels=work.pixels,
        persons=work.persons,
        seconds=work.seconds,
    )


def _answered(work: _Work) -> tuple[str, bytes]:
    """Content type and body of a good answer."""
    with work.stage("parse"):
        sent = unpack(work.job, work.settings)
        work.log_id = sent.log_id or work.log_id
        asked = understand(sent, work.settings)
        del sent
        _predicted(work, [], asked)  # thresholds are checked against the model before anything is fetched
    if asked.several:
        bodies = [_one_of_several(work, picture, asked) for picture in asked.pictures]
        with work.stage("encode"):
            return JSON_TYPE, result_body(work.log_id, {"results": bodies})
    result, jpeg = _analysed(work, asked.pictures[0], asked)
    with work.stage("encode"):
        if asked.output == "image" and jpeg is not None:
            return JPEG_TYPE, jpeg
        return JSON_TYPE, result_body(work.log_id, _body(result, jpeg, asked))


def _one_of_several(work: _Work, picture: bytes | str, asked: Asked) -> dict[str, Any]:
    """What is said about one picture among others; its error stands in its place."""
    try:
        result, jpeg = _analysed(work, picture, asked)
    except (ServerError, InputError, EngineError) as error:
        if error.name == "deadline_exceeded":
            raise
        return failed_body(error)
    except MemoryError:
        return failed_body(_no_memory())
    with work.stage("encode"):
        return _body(result, jpeg, asked)


def _body(result: Result, jpeg: bytes | None, asked: Asked) -> dict[str, Any]:
    body = picture_body(result, details=asked.details)
    if jpeg is not None:
        body["image"] = base64.b64encode(jpeg).decode("ascii")
    return body


def _analysed(work: _Work, picture: bytes | str, asked: Asked) -> tuple[Result, bytes | None]:
    """What one picture shows, and the drawn JPEG if it is wanted."""
    data = _data(work, picture)
    work.pictures += 1
    with work.stage("decode"):
        pixels = decode_image(data, max_pixels=work.settings.max_pixels)
    del data
    work.pixels += pixels.shape[0] * pixels.shape[1]
    with work.stage("infer"):
        result = _predicted(work, pixels, asked)
        assert result is not None
    work.persons += len(result.persons)
    wanted = work.pipeline.visualize if asked.visualize is None else asked.visualize
    if not wanted and asked.output != "image":
        return result, None
    with work.stage("draw"):
        drawn = result.drawn()
    with work.stage("encode"):
        return result, _jpeg(drawn)


def _data(work: _Work, picture: bytes | str) -> bytes:
    """The encoded picture that was sent, or that its URL leads to."""
    url = url_of(picture)
    if url is None:
        with work.stage("parse"):
            return picture_bytes(picture)
    with work.waiting(), work.stage("fetch"):
        try:
            return fetch(url, _policy(work))
        except InputError as error:
            work.in_time()  # a fetch that our own deadline cut short is no fault of the other server
            if error.name == "url_forbidden":  # its hint speaks to somebody with a command line and files
                raise type(error)(error.name, error.happened, input=error.input) from None
            raise


def _policy(work: _Work) -> FetchPolicy:
    settings = work.settings
    return dataclasses.replace(
        SERVER_POLICY,
        enabled=settings.fetch,
        allow=settings.fetch_allow,
        ca_file=settings.ca_file,
        total_s=min(SERVER_POLICY.total_s or work.in_time(), work.in_time()),
    )


def _predicted(work: _Work, pixels: ImageBgr | list[ImageBgr], asked: Asked) -> Result | None:
    """The pipeline's answer to one picture; of an empty list nothing, but the thresholds have been checked."""
    try:
        results = work.pipeline.predict(
            pixels,
            det_threshold=asked.det_threshold,
            cls_threshold=asked.cls_threshold,
            labels=asked.labels or work.settings.labels,  # type: ignore[arg-type]
        )
    except ArgumentError as reason:
        happened = re.sub(r"\b(det|cls)_threshold", r"\1Threshold", reason.happened)
        raise invalid(happened, "GET /labels lists the labels and their numbers") from None
    return next(results, None)


def _jpeg(drawn: ImageBgr) -> bytes:
    """The drawn picture as a JPEG with Pillow's default quality, as the original sends it.

    Raises:
        InputError: `image_too_large`, a JPEG holds no picture of this size.
    """
    height, width = drawn.shape[:2]
    if max(width, height) > JPEG_SIDE:
        happened = f"a JPEG holds no picture of {width} x {height} pixels"
        raise InputError("image_too_large", happened, hint="send visualize false")
    buffer = io.BytesIO()
    Image.frombuffer("RGB", (width, height), drawn, "raw", "BGR", 0, 1).save(buffer, "JPEG")
    return buffer.getvalue()


def _no_memory() -> EngineError:
    return EngineError("out_of_memory", "not enough memory for this request", hint="send a smaller picture")


def _report_bug(log_id: str) -> None:
    """The traceback as one line of JSON, so that the log stays a log of JSON lines."""
    trace = traceback.format_exc()[-TRACEBACK_CHARACTERS:]
    sys.stderr.write(json.dumps({"logId": log_id, "name": "internal", "traceback": trace}) + "\n")
    sys.stderr.flush()
