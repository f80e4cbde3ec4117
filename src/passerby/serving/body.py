# SPDX-License-Identifier: Apache-2.0
"""Reads the bodies of requests within their limits, and notices clients that leave. Nothing here looks into a body."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from typing import TypeVar

from starlette.datastructures import Headers
from starlette.types import Receive

from ..errors import ServerError
from .exchange import ClientLeft, Exchange

Value = TypeVar("Value")

MIB = 1 << 20
TYPES_HINT = "send application/json, multipart/form-data or image/*"
_TYPE = re.compile(r"\s*([a-z0-9!#$&^_.+-]+)/([a-z0-9!#$&^_.+-]+)\s*(?:;|$)", re.IGNORECASE)
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]*)\"?", re.IGNORECASE)


def check_type(headers: Headers) -> None:
    """Refuse bodies that we do not read: forms of old browsers, plain text, anything compressed.

    The types that a page of another site may send without asking first are text/plain, urlencoded and multipart forms
    and no type at all; of these only multipart is read, and the Origin guards it.

    Raises:
        ServerError: `unsupported_media_type`.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise _unsupported("the body is compressed (Content-Encoding)", "send it as it is")
    given = headers.getlist("content-type")
    found = _TYPE.match(given[0]) if len(given) == 1 else None
    if found is None:
        raise _unsupported("the Content-Type is missing or cannot be read", TYPES_HINT)
    kind, sub = found[1].lower(), found[2].lower()
    if kind == "application" and (sub == "json" or sub.endswith("+json")):
        charset = _CHARSET.search(given[0])
        if charset is not None and charset[1].lower() not in ("utf-8", "utf8"):
            raise _unsupported("JSON in another charset than UTF-8", "send charset=utf-8, or none")
    elif kind != "image" and (kind, sub) != ("multipart", "form-data"):
        raise _unsupported(f"Content-Type {kind[:40]}/{sub[:60]} is not read", TYPES_HINT)


def _unsupported(happened: str, hint: str) -> ServerError:
    return ServerError("unsupported_media_type", happened, hint=hint)


class Bodies:
    """Reads bodies and bounds what all of them take together.

    Args:
        each: bytes of one body.
        together: bytes of all bodies in memory.
        seconds: for one body to arrive.
    Attributes:
        held: bytes in memory now.
    """

    def __init__(self, *, each: int, together: int, seconds: float) -> None:
        self.held = 0
        self._each = each
        self._together = together
        self._seconds = seconds

    def check_length(self, headers: Headers) -> None:
        """Refuse a body by the length that is announced, before any of it is read.

        Raises:
            ServerError: `request_too_large`, or `bad_request` where the length is no number.
        """
        announced = headers.get("content-length")
        if announced is None:
            return
        if not (announced.isascii() and announced.isdigit()):
            raise ServerError("bad_request", "the Content-Length is no number")
        digits = announced.lstrip("0") or "0"
        if len(digits) > 20 or int(digits) > self._each:
            raise self._too_large()

    async def read(self, receive: Receive, exchange: Exchange) -> bytes:
        """The whole body; its bytes count as held until `release`, which must follow whatever happens.

        Raises:
            ServerError: `request_too_large`, `request_timeout`, or `overloaded` where all bodies together are too many.
            ClientLeft: the connection was closed before the body was complete.
        """
        try:
            pieces = await asyncio.wait_for(self._pieces(receive, exchange), self._seconds)
        except asyncio.TimeoutError:
            late = f"the body was not complete after {self._seconds:g} s"
            raise ServerError("request_timeout", late, hint="send it faster, or a smaller one") from None
        # the one copy; a body in one piece is passed on as it is
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def release(self, exchange: Exchange) -> None:
        """The body of this request is in memory no longer."""
        self.held -= exchange.received

    async def _pieces(self, receive: Receive, exchange: Exchange) -> list[bytes]:
        pieces: list[bytes] = []
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            piece = message.get("body", b"")
            more = message.get("more_body", False)
            exchange.received += len(piece)
            self.held += len(piece)
            if exchange.received > self._each:
                raise self._too_large()
            if self.held > self._together:
                raise ServerError("overloaded", "too many bodies are being read", hint="try again later")
            if piece:
                pieces.append(piece)
        return pieces

    def _too_large(self) -> ServerError:
        limit = f"{self._each / MIB:g} MiB" if self._each >= MIB else f"{self._each} bytes"
        return ServerError(
            "request_too_large", f"the body is larger than {limit}", hint="send smaller pictures, or fewer at once"
        )


async def unless_client_leaves(work: Coroutine[object, object, Value], receive: Receive) -> Value:
    """The result of `work`, which is cancelled when the client closes the connection. The body must have been read.

    Raises:
        ClientLeft: it closed the connection.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeft
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        # both have ended before the request has: nothing of it goes on unseen
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
