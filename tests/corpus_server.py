"""A web server on loopback that plays the routes of the corpus group `fetch` (see its docstring), byte by byte.

Real sockets, a thread a connection; `requests` holds what came in, in order. Used by every test that needs a server
which cuts, drips, lies or redirects.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import re
import socket
import ssl
import struct
import sys
import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .conftest import CORPUS

PIECE = 16 * 1024
ZEROS_BLOCK = 10_000_000


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    over_tls: bool = False


@dataclass
class Body:
    """Pieces to send, and how many bytes they are (None: they never end)."""

    pieces: Iterator[bytes]
    length: int | None


@dataclass
class CorpusServer:
    """`with CorpusServer(routes) as server:` listens on `server.port` until the block ends.

    Args:
        routes: path to a reply or a list of replies.
        tls: a server-side context; with it, every connection that starts with a TLS hello is a TLS one.
        files: folder of `{"file": ...}` bodies; what is not there is looked for in the stored corpus.
    """

    routes: Mapping[str, Any]
    tls: ssl.SSLContext | None = None
    files: Path = CORPUS
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __enter__(self) -> CorpusServer:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        accepting = threading.Thread(target=self._accept, daemon=True)
        accepting.start()
        self._threads.append(accepting)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(timeout=5)

    def url(self, path: str = "/a.jpg") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def filled(self, value: Any) -> Any:
        """`{port}` and `{closed}` replaced in a text, a list or a mapping."""
        if isinstance(value, str):
            return value.replace("{port}", str(self.port)).replace("{closed}", str(closed_port()))
        if isinstance(value, Mapping):
            return {k: self.filled(v) for k, v in value.items()}
        return [self.filled(v) for v in value] if isinstance(value, list) else value

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self.connections += 1
        connection.settimeout(60)
        with contextlib.suppress(OSError), connection:
            hello = connection.recv(1, socket.MSG_PEEK)
            if hello == b"\x16" and self.tls is not None:
                with self.tls.wrap_socket(connection, server_side=True) as secured:
                    self._answer(secured, over_tls=True)
            elif hello == b"\x16":
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            elif hello:
                self._answer(connection, over_tls=False)

    def _answer(self, connection: socket.socket, *, over_tls: bool) -> None:
        request = read_request(connection)
        if request is None:
            return
        request.over_tls = over_tls
        with self._lock:
            self.requests.append(request)
            route = self.routes.get(request.path.partition("?")[0], {"status": 404, "body": {"text": "none"}})
            count = self._counts[request.path] = self._counts.get(request.path, 0) + 1
            reply = route[min(count, len(route)) - 1] if isinstance(route, list) else route
        self._play(connection, reply, request)
        # Closing with unread input would become a reset, which is another case.
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)

    def _play(self, connection: socket.socket, reply: Mapping[str, Any], request: Request) -> None:
        if reply.get("reset"):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            return
        self._stop.wait(reply.get("delay_s", 0))
        if "raw" in reply:
            for piece in _raw(reply["raw"]):
                connection.sendall(piece)
            return
        body = make_body(reply.get("body", {"text": ""}), self.files)
        headers = {k: self.filled(v) for k, v in reply.get("headers", {}).items()}
        if reply.get("range"):
            body, headers["Content-Range"] = _part(body, request.headers["range"])
        if reply.get("chunked"):
            headers["Transfer-Encoding"] = "chunked"
        elif not reply.get("no_length") and "Content-Length" not in headers:
            headers["Content-Length"] = str(reply.get("length", body.length or 0))
        self._send_head(connection, reply, headers)
        self._send_body(connection, reply, body)

    def _send_head(self, connection: socket.socket, reply: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {reply.get('status', 200)} Word", *(f"{k}: {v}" for k, v in headers.items()), ""]
        for line in lines:
            connection.sendall(line.encode("utf-8") + b"\r\n")
            if self._stop.wait(reply.get("header_every_s", 0)):
                return

    def _send_body(self, connection: socket.socket, reply: Mapping[str, Any], body: Body) -> None:
        left = reply.get("cut_after", sys.maxsize)
        drip = reply.get("drip")
        step = drip["bytes"] if drip else PIECE
        for piece in _resized(body.pieces, step):
            sent = piece[:left]
            left -= len(sent)
            connection.sendall(b"%x\r\n%s\r\n" % (len(sent), sent) if reply.get("chunked") else sent)
            if not left or self._stop.wait(drip["every_s"] if drip else 0):
                return
        if reply.get("chunked"):
            connection.sendall(b"0\r\n\r\n")


def read_request(connection: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        got = connection.recv(4096)
        if not got:
            return None
        data += got
    first, *lines = data.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    return Request(method, path, headers)


def closed_port() -> int:
    """A port where nothing listens (for now)."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def make_body(body: Mapping[str, Any], files: Path = CORPUS) -> Body:
    if "file" in body:
        path = files / body["file"]
        data = (path if path.exists() else CORPUS / body["file"]).read_bytes()
    elif "text" in body:
        data = body["text"].encode()
    elif "bytes" in body:
        data = body["bytes"]
    elif "zeros" in body:
        count = body["zeros"]
        pieces = (bytes(min(PIECE, count - at)) for at in range(0, count, PIECE))
        return Body(pieces, count)
    elif "endless" in body:
        return Body(itertools.repeat(b"\xff" * PIECE), None)
    elif "gzip" in body:
        if body["gzip"].get("zeros", 0) > ZEROS_BLOCK:
            return _gzip_of_zeros(body["gzip"]["zeros"])
        data = gzip.compress(b"".join(make_body(body["gzip"], files).pieces), mtime=0)
    else:
        data = zlib.compress(b"".join(make_body(body["deflate"], files).pieces))
    return Body(iter([data]), len(data))


def _gzip_of_zeros(count: int) -> Body:
    """Gzip of very many zeros without compressing them all: one block, repeated. Whoever reads to the end finds a
    wrong check sum; nobody gets there."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(ZEROS_BLOCK)) + packer.flush(zlib.Z_FULL_FLUSH)
    blocks = count // ZEROS_BLOCK
    head, tail = b"\x1f\x8b\x08\0\0\0\0\0\0\xff", packer.flush() + bytes(8)
    length = len(head) + blocks * len(block) + len(tail)
    return Body(itertools.chain([head], itertools.repeat(block, blocks), [tail]), length)


def _part(body: Body, asked: str) -> tuple[Body, str]:
    found = re.fullmatch(r"bytes=(\d+)-", asked)
    assert found and body.length is not None
    start = int(found[1])
    rest = b"".join(body.pieces)[start:]
    return Body(iter([rest]), len(rest)), f"bytes {start}-{body.length - 1}/{body.length}"


def _resized(pieces: Iterator[bytes], step: int) -> Iterator[bytes]:
    for piece in pieces:
        for at in range(0, len(piece), step):
            yield piece[at : at + step]


def _raw(raw: Any) -> Iterator[bytes]:
    if isinstance(raw, str):
        yield raw.encode("latin-1")
        return
    yield raw.get("after", "").encode("latin-1")
    line = raw["repeat"].encode("latin-1")
    for _ in range(raw["count"] // 100):
        yield line * 100
