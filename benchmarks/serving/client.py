# SPDX-License-Identifier: Apache-2.0
"""A small HTTP/1.1 client that sends exactly the bytes it is given and says why an answer did not come.

Ordinary clients repair what they send and hide what they meet; a measurement must not. One request a connection,
unless `Connection` is kept.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

RECOGNITION = "/pedestrian-attribute-recognition"
Address = tuple[str, int]


class NoAnswer(Exception):
    """Why a request has no answer: `refused` (no connection was made), `cut` (the other side closed or reset before a
    whole answer was there) or `late` (nothing came in time)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `headers` have lower-case names; `seconds` from the first byte sent to the last one read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def error(self) -> str:
        """Machine name of the error, empty for a result."""
        if self.status < 400:
            return ""
        try:
            return str(json.loads(self.body)["errorMsg"]).partition(":")[0]
        except (ValueError, KeyError, TypeError):
            return "?"


def request(
    method: str = "GET",
    path: str = "/live",
    *,
    body: bytes = b"",
    headers: Sequence[tuple[str, str]] = (),
    host: str = "127.0.0.1",
    keep: bool = False,
) -> bytes:
    """The bytes of a request; nothing is checked or escaped. An empty `host` leaves the header out."""
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"Host: {host}"] if host else []
    lines += [f"{name}: {value}" for name, value in headers]
    lines += [f"Content-Length: {len(body)}"] if body or method in ("POST", "PUT", "PATCH") else []
    lines += [] if keep else ["Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def recognition(content: Mapping[str, Any] | bytes, *headers: tuple[str, str], keep: bool = False) -> bytes:
    """The bytes of a request for attributes, its body JSON or as it stands."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return request("POST", RECOGNITION, body=body, headers=[("Content-Type", "application/json"), *headers], keep=keep)


def as_base64(picture: bytes) -> str:
    return base64.b64encode(picture).decode("ascii")


@dataclass(slots=True)
class Connection:
    """An open connection; requests on it go one after the other."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, content: bytes) -> None:
        """Hand over bytes as far as the other side takes them; it may answer before it has read all."""
        self.writer.write(content)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def answer(self, *, head: bool = False) -> tuple[int, dict[str, str], bytes]:
        """The next answer.

        Raises:
            NoAnswer: `cut`.
        """
        try:
            return await _read_answer(self.reader, head=head)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError, IndexError):
            raise NoAnswer("cut") from None

    async def ask(self, content: bytes) -> Answer:
        """Send a request and read its answer, both at once.

        Raises:
            NoAnswer: `cut`.
        """
        started = time.monotonic()
        sending = asyncio.ensure_future(self.send(content))
        try:
            status, headers, body = await self.answer(head=content.startswith(b"HEAD "))
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
        return Answer(status, headers, body, time.monotonic() - started)

    def close(self) -> None:
        self.writer.close()


@asynccontextmanager
async def connection(address: Address) -> AsyncIterator[Connection]:
    """A fresh connection, closed at the end of the block.

    Raises:
        NoAnswer: `refused`.
    """
    try:
        opened = Connection(*await asyncio.open_connection(*address))
    except OSError:
        raise NoAnswer("refused") from None
    try:
        yield opened
    finally:
        opened.close()
        with contextlib.suppress(ConnectionError):
            await opened.writer.wait_closed()


async def exchange(address: Address, content: bytes, *, within: float = 120.0) -> Answer:
    """One request on a connection of its own.

    Raises:
        NoAnswer: see there.
    """
    try:
        return await asyncio.wait_for(_exchange(address, content), within)
    except (asyncio.TimeoutError, TimeoutError):
        raise NoAnswer("late") from None


async def _exchange(address: Address, content: bytes) -> Answer:
    async with connection(address) as opened:
        return await opened.ask(content)


async def _read_answer(reader: asyncio.StreamReader, *, head: bool) -> tuple[int, dict[str, str], bytes]:
    start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(start.split(" ")[1])
    headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
    if head or status in (204, 304):
        return status, headers, b""
    if "chunked" in headers.get("transfer-encoding", ""):
        return status, headers, await _read_chunks(reader)
    if "content-length" in headers:
        return status, headers, await reader.readexactly(int(headers["content-length"]))
    return status, headers, await reader.read()


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    pieces = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        pieces.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return b"".join(pieces)
