"""Undoes the two-dimensional fax code of one-bit TIFF pages (ITU-T T.6, "Group 4")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .page import corrupt, too_large, truncated

# codes are undone one by one in Python: some three seconds for this many. A scanned page has about 300,000.
_MAX_CODES = 1_000_000
_RUN_BITS, _MODE_BITS = 13, 7
_PASS, _HORIZONTAL = "pass", "horizontal"

# runs of 0 to 63, then of 64, 128, ... 1728 pixels (T.4, tables 2 and 3)
_WHITE = """
00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101 101010 101011
0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 0011000 00000010 00000011 00011010
00011011 00010010 00010011 00010100 00010101 00010110 00010111 00101000 00101001 00101010 00101011 00101100 00101101
00000100 00000101 00001010 00001011 01010010 01010011 01010100 01010101 00100100 00100101 01011000 01011001 01011010
01011011 01001010 01001011 00110010 00110011 00110100
11011 10010 010111 0110111 00110110 00110111 01100100 01100101 01101000 01100111 011001100 011001101 011010010
011010011 011010100 011010101 011010110 011010111 011011000 011011001 011011010 011011011 010011000 010011001
010011010 011000 010011011
"""
_BLACK = """
0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111 000011000 0000010111
0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000 00000010111 00000011000
000011001010 000011001011 000011001100 000011001101 000001101000 000001101001 000001101010 000001101011 000011010010
000011010011 000011010100 000011010101 000011010110 000011010111 000001101100 000001101101 000011011010 000011011011
000001010100 000001010101 000001010110 000001010111 000001100100 000001100101 000001010010 000001010011 000000100100
000000110111 000000111000 000000100111 000000101000 000001011000 000001011001 000000101011 000000101100 000001011010
000001100110 000001100111
0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 0000001101100 0000001101101
0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 0000001110011 0000001110100 0000001110101
0000001110110 0000001110111 0000001010010 0000001010011 0000001010100 0000001010101 0000001011010 0000001011011
0000001100100 0000001100101
"""
# runs of 1792, 1856, ... 2560 pixels of either colour
_LONG = """
00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101 000000010110 000000010111
000000011100 000000011101 000000011110 000000011111
"""
_MODES: dict[str, str | int] = {
    "0001": _PASS,
    "001": _HORIZONTAL,
    "1": 0,
    "011": 1,
    "000011": 2,
    "0000011": 3,
    "010": -1,
    "000010": -2,
    "0000010": -3,
}

Runs = list[tuple[int, int] | None]
"""By the next 13 bits: bits of the code and length of the run."""


def _run_table(codes: str) -> Runs:
    table: Runs = [None] * (1 << _RUN_BITS)
    lengths = [*range(64), *range(64, 2561, 64)]
    for code, length in zip(codes.split() + _LONG.split(), lengths, strict=True):
        free = _RUN_BITS - len(code)
        first = int(code, 2) << free
        table[first : first + (1 << free)] = [(len(code), length)] * (1 << free)
    return table


def _mode_table() -> list[tuple[int, str | int] | None]:
    table: list[tuple[int, str | int] | None] = [None] * (1 << _MODE_BITS)
    for code, mode in _MODES.items():
        free = _MODE_BITS - len(code)
        first = int(code, 2) << free
        table[first : first + (1 << free)] = [(len(code), mode)] * (1 << free)
    return table


class Group4:
    """Undoes the strips of one page; all of them together may hold 1,000,000 codes."""

    def __init__(self) -> None:
        self._runs = (_run_table(_WHITE), _run_table(_BLACK))
        self._modes = _mode_table()
        self._left = _MAX_CODES
        self._packed, self._at = b"", 0

    def unpack(self, packed: bytes, width: int, rows: int) -> NDArray[np.uint8]:
        """Undo the code of one strip.

        Returns:
            (rows, width) uint8: 0 white, 1 black.
        Raises:
            InputError: `corrupt`, `truncated`, or `too_large` for more codes than any scan needs.
        """
        self._packed, self._at = packed + b"\0\0\0\0", 0
        out = np.zeros((rows, width), np.uint8)
        above: list[int] = []
        for row in out:
            above = self._changes(above, width)
            for start, end in zip(above[::2], [*above[1::2], width], strict=False):
                row[start:end] = 1
        return out

    def _changes(self, above: list[int], width: int) -> list[int]:
        """Where the colour changes in the next row, white at its start; `above`: the same of the row above."""
        changes: list[int] = []
        at, black, seen = 0, 0, 0
        while at < width:
            # the first change above, right of here, to the colour that this run does not have
            while seen > 0 and above[seen - 1] > at:
                seen -= 1
            while seen < len(above) and (above[seen] < at or (above[seen] == at and (at > 0 or changes))):
                seen += 1
            first = seen + ((seen + black) & 1)
            mode = self._mode()
            if mode == _PASS:
                at = above[first + 1] if first + 1 < len(above) else width
                continue
            if isinstance(mode, int):
                ends = [(above[first] if first < len(above) else width) + mode]
                black = 1 - black
            else:
                ends = [at + self._run(black)]
                ends.append(ends[0] + self._run(1 - black))
            if ends[0] < at or ends[-1] > width:
                raise corrupt("a fax run outside the row")
            changes += ends
            at = ends[-1]
        return changes

    def _peek(self, count: int) -> int:
        first = self._at >> 3
        if first + 4 > len(self._packed):
            raise truncated("the fax data ends too early")
        self._left -= 1
        if self._left < 0:
            raise too_large(f"more than {_MAX_CODES} fax codes")
        window = int.from_bytes(self._packed[first : first + 4], "big")
        return window >> (32 - count - (self._at & 7)) & ((1 << count) - 1)

    def _mode(self) -> str | int:
        found = self._modes[self._peek(_MODE_BITS)]
        if found is None:
            raise corrupt("an unknown fax code")
        self._at += found[0]
        return found[1]

    def _run(self, black: int) -> int:
        """A run's length: any number of long codes and one below 64."""
        total = 0
        while True:
            found = self._runs[black][self._peek(_RUN_BITS)]
            if found is None:
                raise corrupt("an unknown fax code")
            self._at += found[0]
            total += found[1]
            if found[1] < 64:
                return total
