"""The protobuf wire format, as much of it as Paddle's files use: numbers, fixed numbers, and lengths.

A message is read into its fields only; what a field means the caller says, so nothing nests by itself and nothing
recurses. Groups, which no file of ours has, are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

FIELDS = 250_000
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class WireError(ValueError):
    """Bytes that are no protobuf message; the text is fit to be shown."""


class Field(NamedTuple):
    """One field: its number, its wire type, and its value (a number for VARINT, else the bytes)."""

    number: int
    wire: int
    value: int | memoryview

    def integer(self) -> int:
        """A signed 64-bit number."""
        if not isinstance(self.value, int):
            raise WireError(f"field {self.number} is no number")
        return self.value - (1 << 64) if self.value >= 1 << 63 else self.value

    def boolean(self) -> bool:
        """A truth value."""
        return self.integer() != 0

    def message(self) -> memoryview:
        """The bytes of a nested message."""
        if self.wire != BYTES or isinstance(self.value, int):
            raise WireError(f"field {self.number} holds no bytes")
        return self.value

    def text(self) -> str:
        """A text in UTF-8."""
        try:
            return bytes(self.message()).decode("utf-8")
        except UnicodeDecodeError:
            raise WireError(f"field {self.number} is no text") from None

    def real(self) -> float:
        """A float of 32 or 64 bits."""
        if self.wire not in (FIXED32, FIXED64) or isinstance(self.value, int):
            raise WireError(f"field {self.number} is no float")
        value: float = struct.unpack("<f" if self.wire == FIXED32 else "<d", self.value)[0]
        return value

    def integers(self) -> list[int]:
        """The numbers of a repeated field: one, or a packed list."""
        if isinstance(self.value, int):
            return [self.integer()]
        numbers, at = [], 0
        while at < len(self.message()):
            number, at = varint(self.message(), at)
            numbers.append(number - (1 << 64) if number >= 1 << 63 else number)
        return numbers

    def reals(self, size: int) -> list[float]:
        """The floats of a repeated field of `size` bytes each: one, or a packed list."""
        if self.wire != BYTES:
            return [self.real()]
        raw = self.message()
        if len(raw) % size:
            raise WireError(f"field {self.number} ends inside a float")
        return list(struct.unpack(f"<{len(raw) // size}{'f' if size == 4 else 'd'}", raw))


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """An unsigned 64-bit number at `at`, and where the next byte stands."""
    number = 0
    for place in range(10):
        if at >= len(data):
            raise WireError("a number ends with the file")
        byte = data[at]
        at += 1
        number |= (byte & 127) << (7 * place)
        if byte < 128:
            return number & ((1 << 64) - 1), at
    raise WireError("a number of over ten bytes")


def fields(data: memoryview) -> Iterator[Field]:
    """The fields of one message, in the order of the file.

    Raises:
        WireError: a length beyond the end, a group, field number 0, too many fields.
    """
    at = count = 0
    while at < len(data):
        count += 1
        if count > FIELDS:
            raise WireError(f"a message of over {FIELDS} fields")
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise WireError(f"field number {number}")
        if wire == VARINT:
            value, at = varint(data, at)
            yield Field(number, wire, value)
            continue
        if wire == BYTES:
            size, at = varint(data, at)
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
        else:
            raise WireError(f"wire type {wire}")
        if size > len(data) - at:
            raise WireError(f"field {number} of {size} bytes ends beyond the file")
        yield Field(number, wire, data[at : at + size])
        at += size
