# SPDX-License-Identifier: Apache-2.0
"""multipart/form-data taken apart: the parts of a body in memory, bounded in number and size of head."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ..errors import ServerError, shown
from .fields import invalid

# It warns about what clients send; clients do not write our log.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

# What stands before the first boundary, and the head of a part: older parsers walk it byte by byte without a bound.
_BEFORE = 16
_HEAD_LINES, _HEAD_BYTES = 16, 8 << 10
# Fed in pieces, so that the bounds act before a parser has walked through megabytes.
_PIECE = 256 << 10

_FORM = "send a form as multipart/form-data, as `curl -F image=@picture.jpg` does"


@dataclass(slots=True, kw_only=True)
class Part:
    """One part of a form.

    Attributes:
        name: of the field. file: whether it came with a file name or as a picture, and so is bytes and not text.
    """

    name: str = ""
    file: bool = False
    data: bytes = field(default=b"", repr=False)


def read_parts(content_type: str, body: bytes, *, most: int) -> list[Part]:
    """The parts of a form, in order.

    Args:
        most: parts allowed.
    Raises:
        ServerError: `request_invalid`.
    """
    reader = _Reader(most)
    try:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise invalid("the form has no boundary", _FORM)
        if not body[: len(boundary) + _BEFORE].lstrip(b"\r\n").startswith(b"--" + boundary):
            raise invalid("the form does not begin with its boundary", _FORM)
        parser = MultipartParser(boundary, reader.callbacks())  # type: ignore[arg-type]
        for start in range(0, len(body), _PIECE):
            parser.write(body[start : start + _PIECE])
        parser.finalize()
    except (FormParserError, UnicodeError):
        raise invalid("the form cannot be taken apart", _FORM) from None
    if not reader.ended:
        raise invalid("the form ends too early", _FORM)
    return reader.parts


def _long_head() -> ServerError:
    return invalid("a part of the form has too long a head", _FORM)


class _Reader:
    """Collects what the parser finds, within bounds."""

    def __init__(self, most: int) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._most = most
        self._pieces: list[bytes] = []
        self._header: list[bytes] = [b"", b""]
        self._headers: dict[str, str] = {}
        self._lines = 0

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._add(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._add(1, data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._named,
            "on_part_data": lambda data, start, end: self._pieces.append(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        if len(self.parts) >= self._most:
            raise invalid(f"the form has more than {self._most} parts")
        self.parts.append(Part())
        self._headers, self._lines = {}, 0

    def _add(self, side: int, piece: bytes) -> None:
        self._header[side] += piece
        if len(self._header[side]) > _HEAD_BYTES:
            raise _long_head()

    def _header_end(self) -> None:
        name, value = (text.decode("latin-1") for text in self._header)
        self._headers[name.lower()] = value
        self._header = [b"", b""]
        self._lines += 1
        if self._lines > _HEAD_LINES:
            raise _long_head()

    def _named(self) -> None:
        part = self.parts[-1]
        kind, options = parse_options_header(self._headers.get("content-disposition", ""))
        if kind != b"form-data" or b"name" not in options:
            raise invalid("a part of the form has no name", _FORM)
        coding = self._headers.get("content-transfer-encoding", "binary").strip().lower()
        if coding not in ("binary", "7bit", "8bit"):
            raise invalid(f"a part of the form is sent as {shown(coding, 40)}", "send its bytes as they are")
        part.name = options[b"name"].decode("utf-8", "replace")
        part.file = b"filename" in options or self._headers.get("content-type", "").lower().startswith("image/")

    def _end(self) -> None:
        self.parts[-1].data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces = []

    def _finish(self) -> None:
        self.ended = True
