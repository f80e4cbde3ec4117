# SPDX-License-Identifier: Apache-2.0
"""Parts of a connection: one request with its answer, the flow of bytes, a timer, and the answer that ends it.

The first two are uvicorn's, changed where our protocol needs it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from ..errors import InternalError, PasserbyError
from .answer_headers import COMMON, DATA
from .answers import JSON_TYPE, error_body

Headers = list[tuple[bytes, bytes]]

RETRY_AFTER_S = 5


class BoundedCycle(RequestResponseCycle):
    """One request and its answer. An answer before the end of the body is the last one of its connection."""

    ahead_of_body = False
    fault: PasserbyError | None = None

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] != "http.response.start" or self.response_started:
            await super().send(message)
            return
        self.ahead_of_body = self.more_body
        if self.ahead_of_body or not self.keep_alive:
            # said here: older releases of uvicorn close without a word
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        await super().send(message)
        if self.ahead_of_body:
            # closing itself is left to the protocol, which lets the body run out first
            self.keep_alive = True

    async def send_500_response(self) -> None:
        """The answer to a bug that even the application did not catch."""
        body = error_body(str(uuid.uuid4()), InternalError("internal", "a bug of the service; it has been logged"))
        headers = [(b"content-type", JSON_TYPE.encode()), (b"content-length", b"%d" % len(body))]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def receive(self) -> ASGIReceiveEvent:
        message = await super().receive()
        if self.fault is not None:
            raise self.fault
        return message

    def fail(self, error: PasserbyError) -> None:
        """The rest of the body will never come: whoever reads it gets this error and answers with it."""
        self.fault = error
        self.keep_alive = False
        self.message_event.set()

    def disconnect(self) -> None:
        """Tell the application that its client has gone; nothing it still sends is written."""
        self.disconnected = True
        self.message_event.set()


class Reading(FlowControl):
    """Flow control that leaves the decision when to read on to the protocol, which may hold bytes back."""

    def __init__(self, transport: asyncio.Transport, wanted: Callable[[], None]) -> None:
        super().__init__(transport)
        self._wanted = wanted

    def resume_reading(self) -> None:
        """More is wanted; the protocol is told."""
        self._wanted()

    def read_on(self) -> None:
        """Really read from the socket again."""
        super().resume_reading()


class Timer:
    """One call that is due at some time, or none."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    @property
    def runs(self) -> bool:
        """Whether a call is due."""
        return self._handle is not None

    def start(self, seconds: float, then: Callable[..., None], *arguments: float) -> None:
        """Call this in so many seconds, in place of what was due."""
        self.stop()
        self._handle = self._loop.call_later(seconds, self._ring, then, *arguments)

    def stop(self) -> None:
        """Call nothing."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _ring(self, then: Callable[..., None], *arguments: float) -> None:
        self._handle = None
        then(*arguments)


def last_answer(log_id: str, error: PasserbyError, default_headers: Headers) -> bytes:
    """The whole answer to what never became a request of the application; it closes the connection."""
    body = error_body(log_id, error)
    headers = [
        *default_headers,
        (b"content-type", JSON_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        *((name.lower().encode(), value.encode()) for name, value in {**DATA, **COMMON}.items()),
    ]
    if error.http_status == 503:
        headers.append((b"retry-after", b"%d" % RETRY_AFTER_S))
    return b"".join([STATUS_LINE[error.http_status], *(b"%b: %b\r\n" % pair for pair in headers), b"\r\n", body])
