# SPDX-License-Identifier: Apache-2.0
"""A client that says over TCP whatever it is told to, and reads answers with care."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any

from .serving_server import Server

PIECE = 65536
BLOCKED_S = 2.0  # without taking a byte: the server does not want more
ANSWER_S = 60.0


@dataclass
class Answer:
    """One answer, names of its headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def name(self) -> str:
        """Machine name of the error that it is."""
        return str(json.loads(self.body)["errorMsg"]).partition(":")[0]


@dataclass
class Talk:
    """One connection and what came back on it."""

    server: Server
    socket: socket.socket
    received: bytearray = field(default_factory=bytearray)
    closed: bool = False
    aborted: bool = False  # by us
    started: float = field(default_factory=time.monotonic)
    last_s: float = 0.0  # until the last byte or the end

    def push(self, data: bytes) -> None:
        """Send, and stop where the server takes no more or has closed."""
        view = memoryview(data)
        while view and not self.closed:
            if not select.select([], [self.socket], [], BLOCKED_S)[1]:
                return
            try:
                view = view[self.socket.send(view[:PIECE]) :]
            except BlockingIOError:
                continue
            except OSError:
                return

    def drip(self, text: bytes, every: float) -> None:
        """A byte at a time, until the server closes."""
        for number in range(len(text)):
            self.push(text[number : number + 1])
            self.read(every)
            if self.closed:
                return

    def read(self, seconds: float, *, most: int = PIECE) -> bytes:
        """What comes within so many seconds, until nothing does or the connection is closed."""
        end = time.monotonic() + seconds
        before = len(self.received)
        while not self.closed and (left := end - time.monotonic()) > 0:
            if not select.select([self.socket], [], [], left)[0]:
                break
            try:
                piece = self.socket.recv(most)
            except OSError:
                piece = b""
            self.closed = not piece
            self.received += piece
            self.last_s = time.monotonic() - self.started
            if most < PIECE:
                break
        return bytes(self.received[before:])

    def answers(self) -> list[Answer]:
        """The complete answers so far, `100 Continue` among them."""
        found, rest = [], bytes(self.received)
        while b"\r\n\r\n" in rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            match = re.fullmatch(r"HTTP/1\.1 (\d{3}) .*", first)
            assert match, first
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            length = 0 if match[1] == "100" else int(headers["content-length"])
            if len(rest) < length:
                break
            found.append(Answer(int(match[1]), headers, rest[:length]))
            rest = rest[length:]
        return found

    def await_answers(self, count: int, seconds: float = ANSWER_S) -> None:
        """Read until there are so many final answers, or the connection is closed."""
        end = time.monotonic() + seconds
        while not self.closed and sum(a.status != 100 for a in self.answers()) < count:
            assert time.monotonic() < end, f"no answer and not closed after {seconds} s"
            self.read(0.2)


def play(server: Server, steps: list[dict[str, Any]]) -> Talk:
    """Send what the steps say."""
    connection = server.connect()
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    talk = Talk(server, connection)
    for step in steps:
        match step:
            case {"send": text}:
                talk.push(text.encode("latin-1"))
            case {"send_hex": text}:
                talk.push(bytes.fromhex(text))
            case {"repeat": text, "count": count}:
                talk.push(text.encode("latin-1") * count)
            case {"drip": text, "every": every}:
                talk.drip(text.encode("latin-1"), every)
            case {"wait": seconds}:
                talk.read(seconds)
            case {"read": size}:
                talk.read(BLOCKED_S, most=size)
            case {"half_close": True}:
                with contextlib.suppress(OSError):  # the server was faster
                    connection.shutdown(socket.SHUT_WR)
            case {"reset": True}:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
                talk.closed = talk.aborted = True
            case _:
                raise AssertionError(f"the test does not know the step {step}")
    return talk
