# SPDX-License-Identifier: Apache-2.0
"""Small pieces of a Markdown table: numbers, intervals, cells that may be missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; a bar inside a cell would end it and is replaced."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """`0.840`; a dash for what is not defined."""
    return "-" if value is None else f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def span(interval: Sequence[float] | None) -> str:
    """`0.826 to 0.855`."""
    return f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "-"


def get(content: Mapping[str, Any] | None, *path: str) -> Any:
    """The value at a path of keys, None where the path ends early."""
    value: Any = content
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def before(previous: Mapping[str, Any] | None, *path: str, digits: int = 3) -> list[str]:
    """The cell of the column `previous`: none without an earlier JSON."""
    return [number(get(previous, *path), digits)] if previous else []


def absent_line(part: Any) -> str:
    """What to say instead of a table, "" for a part that was measured."""
    if part is None:
        return "not measured: nobody ran this part"
    return f"not measured: {part['absent']}" if isinstance(get(part, "absent"), str) else ""
