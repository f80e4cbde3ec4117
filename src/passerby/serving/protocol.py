# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 on one connection, with a bound on everything that a client can make longer or slower.

uvicorn's protocol on httptools does the work: it turns bytes into ASGI calls and answers into bytes. It trusts its
clients, though, so this layer decides how much of what arrives the parser gets to see, and for how long it may take:

* a head is fed in small slices, and nothing behind a request is fed while that request is being answered, so a burst of
  pipelined requests stays bytes in one buffer;
* each part of a request has its time: head, body, the wait for the next one, and the answer that nobody reads;
* what the parser refuses is answered in our form, after the requests before it, and nothing behind it is read as HTTP.

A connection that ends before its client has sent everything is not closed at once: closing with unread bytes resets
it, and the client would lose the answer. What still comes is thrown away for a while (RFC 9112, 9.6).
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..errors import PasserbyError, ServerError
from .connections import Connections
from .cycle import BoundedCycle, Reading, Timer, last_answer
from .head import Body, Head, bad_request, headers_too_large

HEAD_SLICE = 4096
CHUNK_SLICE = 8192
BODY_SLICE = 65536

LINGER_S = 2.0
"""Of silence from a client that still sends, until its connection is closed."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection of a client, from its start to its end."""

    flow: Reading
    cycle: BoundedCycle | None  # type: ignore[assignment]
    server_state: Connections

    def __init__(
        self,
        config: Config,
        server_state: Connections,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # uvicorn lets the parser go on behind `Connection: close`; here nothing behind a last request is looked at
        self.parser.set_dangerous_leniencies(lenient_data_after_close=False)
        self.settings = server_state.settings
        self.head = Head(self.settings)
        self._active: BoundedCycle | None = None  # the request that the application works on
        self._held = memoryview(b"")  # bytes that the parser has not seen
        self._feed_planned = False
        self._deaf = False  # nothing more is parsed
        self._refusal: PasserbyError | None = None  # to be answered after the requests before it
        self._fresh = True  # no byte of the next request has come
        self._in_head = False
        self._head_bytes = 0
        self._body = Body(0)
        self._last = False  # the client or we want no other request on this connection
        self._raw = False  # the body is counted here: the parser does not read it
        self._timer = Timer(self.loop)  # of the part of a request that is due
        self._writing = Timer(self.loop)  # of an answer that is not read
        self._heard = 0.0  # when the last bytes came
        self._lost = False

    # The connection
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = Reading(transport, self._feed_soon)
        room = self.server_state.make_room()
        self.server_state.wait(self)
        self._timer.start(self.settings.header_s, self._head_is_late)
        if not room:
            self._refuse(ServerError("overloaded", "too many connections", hint="try again later"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self.server_state.work(self)
        self._timer.stop()
        self._writing.stop()
        self._stop_parsing()
        self.pipeline.clear()
        if self._active is not None:
            self._active.disconnect()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """The client sends no more. A request that is complete counts as left, as with other servers."""
        if self._body.goes_on and not self._deaf:
            self._refuse(bad_request("the connection ended inside the body"))
        self._bound_writing()  # the transport closes itself now, once all is written

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        if self._deaf:
            return
        if self._fresh:
            self._fresh = False
            if self.cycle is not None:  # else the time runs since the connection was made
                self._timer.start(self.settings.header_s, self._head_is_late)
        self._held = memoryview(bytes(self._held) + data if self._held else data)
        self._feed()

    # What the parser gets to see
    def _feed_soon(self) -> None:
        """Go on with what was held back, once whoever calls has come to an end."""
        if not self._feed_planned:
            self._feed_planned = True
            self.loop.call_soon(self._feed)

    def _feed(self) -> None:
        self._feed_planned = False
        while self._held and not self._is_busy() and not self._deaf:
            piece = self._held[: self._slice()]
            self._held = self._held[len(piece) :]
            try:
                self._feed_piece(piece)
            except PasserbyError as refusal:
                self._refuse(refusal)
        if self.transport.is_closing():
            return
        if self._is_busy() and not self._deaf:
            self.flow.pause_reading()
        else:
            self.flow.read_on()

    def _is_busy(self) -> bool:
        """Whether what has been parsed must be worked off before more is: a request in line, or a full body."""
        if self.pipeline:
            return True
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and len(cycle.body) > HIGH_WATER_LIMIT

    def _slice(self) -> int:
        """Bytes that are parsed at once: never beyond a body of known length, little where much can come of it."""
        if not self._body.goes_on:
            return HEAD_SLICE
        return CHUNK_SLICE if self._body.left is None else min(BODY_SLICE, self._body.left)

    def _feed_piece(self, piece: memoryview) -> None:
        """
        Raises:
            PasserbyError: the request is refused.
        """
        if self._raw:
            self.on_body(bytes(piece))
            if not self._body.goes_on:
                self.on_message_complete()
            return
        self._head_bytes = 0 if self._body.goes_on else self._head_bytes + len(piece)
        self._body.fed(len(piece))
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(piece[upgrade.args[0] :])
        except httptools.HttpParserError as wrong:
            self._explain(wrong)
        if self._head_bytes > self.settings.max_header_bytes:
            raise headers_too_large(self.settings)
        self._body.check()

    def _explain(self, wrong: httptools.HttpParserError) -> None:
        """
        Raises:
            PasserbyError: what our callbacks refused, or what the parser did.
        """
        if self._deaf:
            return  # bytes behind a last request
        cause = wrong.__context__
        if cause is not None and not isinstance(cause, httptools.HttpParserError):
            raise cause
        raise bad_request("this is no HTTP request", "see /docs for how to ask")

    def _ignore_upgrade(self, rest: memoryview) -> None:
        """Nothing is upgraded here: the request is answered as if it had not asked, and is the last one.

        The parser takes what follows for another protocol. It may be the body: Java's client and curl ask for HTTP/2
        with any request.
        """
        if self._body.goes_on:
            self._raw = True
            self._held = memoryview(bytes(rest) + bytes(self._held))

    def _stop_parsing(self) -> None:
        self._deaf = True
        self._held = memoryview(b"")

    # Callbacks of the parser
    def on_message_begin(self) -> None:
        if self._deaf:
            raise bad_request("the request before this one was the last one")
        super().on_message_begin()
        self.head = Head(self.settings)
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        self.head.add_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            self.head.add_header(name, value)
        else:
            self.head.count(name, value)  # a trailer, which nobody reads

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        self.scope["method"] = self.parser.get_method().decode("ascii")
        version = self.parser.get_http_version()
        target = self.head.target(version)
        self._body = self.head.body()
        upgrade = self.parser.should_upgrade()
        if upgrade and self._body.left is None:
            raise bad_request("a chunked body beside an Upgrade", "leave out one of them")
        self.scope["http_version"] = version
        self.scope["headers"] = self.head.headers
        self.scope["path"] = unquote(target.path.decode("ascii"))
        self.scope["raw_path"] = target.path
        self.scope["query_string"] = target.query
        self._last = version == "1.0" or upgrade or self.server_state.draining or not self.parser.should_keep_alive()
        self.cycle = BoundedCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=b"100-continue" in [value.lower() for value in self.head.values(b"expect")],
            keep_alive=not self._last,
            on_response=self.on_response_complete,
        )
        self._timer.stop()
        if self._active is None:
            self._begin(self.cycle)
        else:
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        self._body.came(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._body.left and self.parser.should_upgrade():
            return  # the parser leaves the body of such a request to us
        self._body.end()
        self._timer.stop()
        super().on_message_complete()
        if self._last:
            self._stop_parsing()

    # Requests and answers
    def _begin(self, cycle: BoundedCycle) -> None:
        """Let the application work on a request."""
        self._active = cycle
        self.server_state.work(self)
        if self._body.goes_on and cycle is self.cycle:
            self._timer.start(self.settings.body_s, self._body_is_late)
        task = self.loop.create_task(cycle.run_asgi(self.app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        done, self._active = self._active, None
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._bound_writing()
            return
        self._feed_soon()
        if self.pipeline:
            waiting, _ = self.pipeline.pop()
            assert isinstance(waiting, BoundedCycle)
            self._begin(waiting)
            return
        self.server_state.wait(self)
        if self._refusal is not None:
            self._answer(self._refusal)
        elif done is not None and done.ahead_of_body:
            self._linger(self.settings.body_s if done.fault is None else LINGER_S)
        elif self._held or self._in_head:
            self._timer.start(self.settings.header_s, self._head_is_late)
        else:
            self._fresh = True
            self._timer.start(self.settings.idle_s, self._close)

    def _refuse(self, error: PasserbyError) -> None:
        """End the connection with this error, after the answers to the requests before the faulty one."""
        self._stop_parsing()
        self._timer.stop()
        if self._body.goes_on and self.cycle is not None and self._active is self.cycle:
            self.cycle.fail(error)  # the application answers, if it has not yet
            return
        if self._body.goes_on and self.pipeline:
            self.pipeline.popleft()
        if self._active is not None:
            self._refusal = error
        else:
            self._answer(error)

    def _answer(self, error: PasserbyError) -> None:
        """Write an answer of our own, the last one."""
        self._refusal = None
        log_id = self.server_state.refused(error, self._method(), self._target(), self._peer())
        self.transport.write(last_answer(log_id, error, self.server_state.default_headers))
        self._linger(LINGER_S)

    def _method(self) -> str:
        return str(self.scope.get("method", "")) if self.scope else ""

    def _target(self) -> str:
        return self.head.url.decode("ascii", "replace")

    def _peer(self) -> str:
        return self.client[0] if self.client else ""

    # The end
    def _linger(self, seconds: float) -> None:
        """Throw away what still comes, until the client is silent or the seconds are over; then close."""
        self._stop_parsing()
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()  # a client that reads to the end need not wait for the seconds
        self.flow.read_on()
        self._heard = self.loop.time()
        self._timer.start(min(seconds, LINGER_S), self._lingered, self._heard + seconds)

    def _lingered(self, end: float) -> None:
        now = self.loop.time()
        rest = min(end, self._heard + LINGER_S) - now
        if rest > 0:
            self._timer.start(rest, self._lingered, end)
        else:
            self._close()

    def _close(self) -> None:
        """Close once everything is written, or without that when the client does not read."""
        self._timer.stop()
        if not self.transport.is_closing():
            self.transport.close()
        self._bound_writing()

    def give_way(self) -> None:
        """Close: there are too many connections, and nothing is being worked on here."""
        self._stop_parsing()
        self._close()

    def shutdown(self) -> None:
        """The answer to a request that is being worked on is the last one."""
        for cycle in (self._active, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None and not cycle.response_started:
                cycle.keep_alive = False

    def cut(self, error: PasserbyError) -> bool:
        """End now; whether there is a request without an answer, which gets this error."""
        cycle = self._active
        unanswered = cycle is not None and not cycle.response_started
        if cycle is not None and unanswered:
            cycle.fail(error)
        else:
            self._close()
        return unanswered

    # Time
    def _head_is_late(self) -> None:
        if self._fresh:
            self._close()
        else:
            late = f"the head of the request was not complete after {self.settings.header_s:g} s"
            self._refuse(ServerError("request_timeout", late))

    def _body_is_late(self) -> None:
        self._refuse(ServerError("request_timeout", f"the body was not complete after {self.settings.body_s:g} s"))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._bound_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._writing.stop()

    def _bound_writing(self) -> None:
        """What is written from now on must be read in time."""
        if not self._lost and not self._writing.runs:
            self._writing.start(self.settings.write_s, self.transport.abort)
