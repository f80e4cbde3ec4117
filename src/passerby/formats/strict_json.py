"""JSON without surprises: no key twice, no NaN, no endless digits, no depth that a parser would recurse into."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

DIGITS = 20
NUMBER_CHARACTERS = 40
# A program of 100,000 operators has about so many; counted in the bytes, before anything is parsed.
MOST = {
    b'"': 16_000_000,
    b",": 4_000_000,
    b"[": 2_000_000,
    b"{": 2_000_000,
    b"]": 2_000_000,
    b"}": 2_000_000,
    b"\\": 10_000,
}

# A text without an end is matched to the end of the document: to give up and try again at each of its quotes would
# take their number times its length.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)


def load_json(data: bytes, *, levels: int, most: Mapping[bytes, int] = MOST) -> Any:
    """Parse one JSON document strictly.

    Args:
        data: UTF-8, a byte order mark is allowed.
        levels: deepest nesting allowed.
        most: how often a character may occur.
    Raises:
        ValueError: what is wrong, fit to be shown.
    >>> load_json(b'{"a": [1, 2.5]}', levels=2)
    {'a': [1, 2.5]}
    """
    for character, limit in most.items():
        if data.count(character) > limit:
            raise ValueError(f"over {limit} of the character {character.decode()}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        raise ValueError(f"byte {reason.start} is not UTF-8 text") from None
    _check_depth(text, levels)
    try:
        return json.loads(
            text, object_pairs_hook=_unique, parse_int=_integer, parse_float=_real, parse_constant=_constant
        )
    except json.JSONDecodeError as reason:
        raise ValueError(f"no JSON: {reason.msg} at line {reason.lineno} column {reason.colno}") from None


def _check_depth(text: str, levels: int) -> None:
    """Depth, counted before the parser recurses."""
    depth = 0
    for match in _TOKEN.finditer(text):
        first = text[match.start()]
        if first in "[{":
            depth += 1
            if depth > levels:
                raise ValueError(f"nested beyond the depth of {levels} levels")
        elif first in "]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} stands twice")
    return built


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _real(text: str) -> float:
    value = float(text) if len(text) <= NUMBER_CHARACTERS else math.inf
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is out of range")
    return value


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
