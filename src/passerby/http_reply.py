"""The answer of a web server, read strictly and within limits from a byte stream that somebody else opened.

Written out here and not left to `http.client`, because that one takes the first of two lengths, cuts a header at a
lone carriage return, treats a body that ends early as complete, and has no bound on the head as a whole. What is
unclear is refused: `fetch_incomplete`. Knows nothing of sockets, URLs or redirects.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .errors import shown

HEAD_BYTES = 64 * 1024
CHUNK_LINE_BYTES = 4096
PIECE_BYTES = 64 * 1024

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: .*)?")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")


class Malformed(Exception):
    """The answer breaks the protocol; asking again would not help."""


class EndedEarly(Exception):
    """The connection closed before the answer was complete; another try may succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Status and headers of an answer. Header names are lower case, values keep every byte between the blanks."""

    status: int
    headers: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def first(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)


def read_head(stream: BinaryIO) -> Head:
    """Read the status line and the headers, 64 KiB at most; interim answers (1xx) are passed over.

    Raises:
        Malformed, EndedEarly: what the server sent is no answer, or ends in the middle of one.
    """
    left = HEAD_BYTES
    while True:
        line, left = _line(stream, left)
        found = _STATUS_LINE.fullmatch(line)
        if not found:
            raise Malformed("the answer is not HTTP")
        headers, left = _headers(stream, left)
        status = int(found[1])
        if status >= 200 or status == 101:
            return Head(status=status, headers=tuple(headers))


def read_body(stream: BinaryIO, head: Head) -> Iterator[bytes]:
    """The bytes of the body as they were sent (chunks joined, not unpacked), in pieces of up to 64 KiB.

    Raises:
        Malformed: two lengths, a length that is no number, an unknown transfer coding, a broken chunk.
        EndedEarly: fewer bytes than announced.
    """
    if head.status in (204, 205, 304):
        return iter(())
    coding = head.first("transfer-encoding")
    if coding is not None:
        if [c.lower() for c in head.all("transfer-encoding")] != ["chunked"]:
            raise Malformed(f"the answer has the unknown transfer coding {shown(coding, 40)}")
        return _chunked(stream)
    length = content_length(head)
    return _until_close(stream) if length is None else _exactly(stream, length)


def content_length(head: Head) -> int | None:
    """The announced length in bytes, None where none is announced.

    Raises:
        Malformed: it is no number, or there are two that differ.
    """
    given = set(head.all("content-length"))
    if not given:
        return None
    if len(given) > 1:
        raise Malformed("the answer announces two lengths")
    text = given.pop()
    if not _LENGTH.fullmatch(text):
        raise Malformed(f"the answer announces a length that is no number ({shown(text, 20)})")
    return int(text)


def placed(head: Head, start: int) -> tuple[int, int | None]:
    """Where the body begins in the whole file, and that file's size, None when it is not told.

    Args:
        start: the first byte that was asked for.
    Raises:
        Malformed: it is another part than the one asked for.
    """
    if head.status != 206:
        return 0, content_length(head)
    unit, _, span = (head.first("content-range") or "").partition(" ")
    place, _, total = span.partition("/")
    if unit.lower() != "bytes" or place.partition("-")[0] != str(start):
        raise Malformed("the server sent another part than the one asked for")
    return start, int(total) if _LENGTH.fullmatch(total) else None


def unpacked(pieces: Iterator[bytes], head: Head) -> Iterator[bytes]:
    """Undo the content coding: none, or gzip once. Pieces stay small however much the packed bytes grow.

    Raises:
        Malformed: another coding, or bytes that are not gzip. EndedEarly: gzip without its end.
    """
    codings = [c.strip().lower() for value in head.all("content-encoding") for c in value.split(",")]
    codings = [c for c in codings if c not in ("", "identity")]
    if not codings:
        return pieces
    if codings not in (["gzip"], ["x-gzip"]):
        raise Malformed(f"the answer is packed in a way nobody asked for ({shown(', '.join(codings), 40)})")
    return _gunzipped(pieces)


def _gunzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    for piece in pieces:
        if unpacker.eof:
            raise Malformed("bytes follow the end of the gzip data")
        waiting, full = piece, False
        # A full piece may leave output inside the unpacker although all its input is used up.
        while (waiting or full) and not unpacker.eof:
            try:
                plain = unpacker.decompress(waiting, PIECE_BYTES)
            except zlib.error:
                raise Malformed("the answer says gzip and is not") from None
            waiting, full = unpacker.unconsumed_tail, len(plain) == PIECE_BYTES
            if plain:
                yield plain
        if unpacker.unused_data:
            raise Malformed("bytes follow the end of the gzip data")
    if not unpacker.eof:
        raise EndedEarly("the gzip data is cut")


def _line(stream: BinaryIO, left: int) -> tuple[bytes, int]:
    """One line without its end, and what is left of the allowance."""
    line = stream.readline(left + 1)
    if len(line) > left:
        raise Malformed(f"the head of the answer is over {HEAD_BYTES // 1024} KiB")
    if not line.endswith(b"\n"):
        raise EndedEarly("the connection was closed before the answer began or inside its head")
    return line[:-2] if line.endswith(b"\r\n") else line[:-1], left - len(line)


def _headers(stream: BinaryIO, left: int) -> tuple[list[tuple[str, str]], int]:
    headers: list[tuple[str, str]] = []
    while True:
        line, left = _line(stream, left)
        if not line:
            return headers, left
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            raise Malformed("the answer has a header that is none")
        headers.append((name.decode("ascii").lower(), _text(value.strip(b" \t"))))


def _text(value: bytes) -> str:
    # Addresses in Location are often sent as UTF-8 although the standard says otherwise.
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _exactly(stream: BinaryIO, length: int) -> Iterator[bytes]:
    left = length
    while left:
        piece = stream.read(min(left, PIECE_BYTES))
        if not piece:
            raise EndedEarly(f"the answer ends {left} bytes early")
        left -= len(piece)
        yield piece


def _until_close(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(PIECE_BYTES):
        yield piece


def _chunked(stream: BinaryIO) -> Iterator[bytes]:
    while size := _chunk_size(stream):
        yield from _exactly(stream, size)
        if stream.read(2) != b"\r\n":
            raise EndedEarly("a chunk of the answer has no end")
    _headers(stream, HEAD_BYTES)  # the trailer, which says nothing we need


def _chunk_size(stream: BinaryIO) -> int:
    line = stream.readline(CHUNK_LINE_BYTES)
    if not line.endswith(b"\n"):
        raise EndedEarly("the answer ends before its last chunk")
    found = _CHUNK_SIZE.fullmatch(line.rstrip(b"\r\n"))
    if not found:
        raise Malformed("the answer has a broken chunk")
    return int(found[1], 16)
