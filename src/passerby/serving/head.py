# SPDX-License-Identifier: Apache-2.0
"""The head of one request, and how its body ends: bounds while they arrive, and what must hold for a complete head.

The parser knows the grammar; here is what it lets through and what a server must still refuse: heads without end, a
missing or second Host, codings nobody can undo, another version of HTTP, chunks that are mostly framing.
"""

from __future__ import annotations

from typing import NamedTuple

import httptools

from ..errors import ServerError
from .settings import ServerSettings

Headers = list[tuple[bytes, bytes]]

VERSIONS = ("1.0", "1.1")
LINE_END = 4  # ": " and the line break of a header
FRAMING = 65536
"""Bytes of chunk lines and trailers that a body may have beyond its own size."""


class Target(NamedTuple):
    """What a request asks for: path and query as they were sent."""

    path: bytes
    query: bytes


class Head:
    """Counts the lines and bytes of a head and refuses it once it is too large.

    Attributes:
        url: the request target so far. headers: names in lower case and values, in their order.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.url = b""
        self.headers: Headers = []
        self._settings = settings
        self._lines = 0
        self._size = 0

    def add_url(self, piece: bytes) -> None:
        """
        Raises:
            ServerError: `headers_too_large`.
        """
        self.url += piece
        if len(self.url) > self._settings.max_request_line:
            raise too_large(f"the request line is longer than {self._settings.max_request_line} bytes")

    def add_header(self, name: bytes, value: bytes) -> None:
        """
        Raises:
            ServerError: `headers_too_large`.
        """
        self.headers.append((name.lower(), value))
        self.count(name, value)

    def count(self, name: bytes, value: bytes) -> None:
        """Count one line more, of the head or behind the body.

        Raises:
            ServerError: `headers_too_large`.
        """
        self._lines += 1
        self._size += len(name) + len(value) + LINE_END
        if self._lines > self._settings.max_header_lines:
            raise too_large(f"the request has more than {self._settings.max_header_lines} headers")
        if self._size > self._settings.max_header_bytes:
            raise headers_too_large(self._settings)

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header."""
        return [value for known, value in self.headers if known == name]

    def target(self, version: str) -> Target:
        """The path and query of a complete head.

        A full URL in the request line names the host that counts (RFC 9112, 3.2.2); it takes the place of `Host`, so
        that whoever judges hosts judges the right one.

        Raises:
            ServerError: `bad_request`.
        """
        if version not in VERSIONS:
            raise bad_request(f"HTTP/{version} is not spoken here", "use HTTP/1.1")
        self._check_coding(version)
        try:
            parsed = httptools.parse_url(self.url)
        except httptools.HttpParserInvalidURLError:
            raise bad_request("the path of the request cannot be read") from None
        if not parsed.path or not parsed.path.isascii():
            raise bad_request("the path of the request cannot be read")
        hosts = self.values(b"host")
        if len(hosts) > 1 or (not hosts and version == "1.1"):
            raise bad_request("the request has no Host header, or several", "send one")
        if parsed.host is not None:
            self._replace_host(parsed.host, parsed.port)
        return Target(parsed.path, parsed.query or b"")

    def body(self) -> Body:
        """The body that belongs to this head, of which nothing has come yet."""
        if self.values(b"transfer-encoding"):
            return Body(None)
        lengths = self.values(b"content-length")
        return Body(int(lengths[0]) if lengths else 0)

    def _check_coding(self, version: str) -> None:
        codings = self.values(b"transfer-encoding")
        if codings and (version != "1.1" or len(codings) > 1 or codings[0].strip().lower() != b"chunked"):
            raise bad_request("the Transfer-Encoding is none but chunked", "send a Content-Length")

    def _replace_host(self, host: bytes, port: int | None) -> None:
        name = b"[" + host + b"]" if b":" in host else host
        whole = name if port is None else b"%b:%d" % (name, port)
        self.headers[:] = [(b"host", whole), *(pair for pair in self.headers if pair[0] != b"host")]


class Body:
    """Counts the bytes of a body.

    Attributes:
        left: bytes that are still to come, None where chunks say it.
    """

    def __init__(self, left: int | None) -> None:
        self.left = left
        self._framing = 0

    @property
    def goes_on(self) -> bool:
        """Whether more may come."""
        return self.left != 0

    def fed(self, size: int) -> None:
        """So many bytes go to the parser, lines of chunks among them."""
        if self.left is None:
            self._framing += size

    def came(self, size: int) -> None:
        """So many of them were the body's own."""
        if self.left is None:
            # these, and as many again for the lines around them
            self._framing = max(0, self._framing - 2 * size)
        else:
            self.left -= size

    def check(self) -> None:
        """
        Raises:
            ServerError: `request_too_large`, hardly anything of it but framing.
        """
        if self._framing > FRAMING:
            happened = "the chunks of the body are smaller than their own length lines"
            raise ServerError("request_too_large", happened, hint="send larger chunks, or a Content-Length")

    def end(self) -> None:
        """All of it has come."""
        self.left = 0


def bad_request(happened: str, hint: str | None = None) -> ServerError:
    """What is no HTTP, or is HTTP that can be read in two ways."""
    return ServerError("bad_request", happened, hint=hint)


def headers_too_large(settings: ServerSettings) -> ServerError:
    """The whole head has no end in sight."""
    return too_large(f"the head of the request is larger than {settings.max_header_bytes} bytes")


def too_large(happened: str) -> ServerError:
    """A head beyond one of its bounds."""
    return ServerError("headers_too_large", happened, hint="send fewer or shorter headers, and pictures in the body")
