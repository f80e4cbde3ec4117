# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a data set: every problem with its file and line, in one error; and what is only odd."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DatasetError, shown

PROBLEMS_SHOWN = 20
PROBLEMS_KEPT = 10_000  # of a list of millions of bad lines the rest is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something stands.

    Attributes:
        file: relative to the data set's folder, with forward slashes.
        line: from 1; None for the whole file or where `where` says more.
        where: place inside a JSON or YAML file as one would write it, for example `annotations[0].bbox`.
    """

    file: str
    line: int | None = None
    where: str = ""

    def __str__(self) -> str:
        line = f" line {self.line}" if self.line is not None else ""
        return f"{shown(self.file)}{line}" + (f" {shown(self.where)}" if self.where else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong. `text` is fit to be shown: whatever came from a file is escaped in it."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class InvalidDatasetError(DatasetError):
    """`dataset_invalid` with every problem; the message shows the first 20 and counts the rest.

    Attributes:
        problems: at most 10,000 of them. count: of all.
    """

    def __init__(self, problems: Iterable[Problem], *, count: int, input: str, hint: str | None = None) -> None:
        self.problems = tuple(problems)
        self.count = count
        parts = [str(problem) for problem in self.problems[:PROBLEMS_SHOWN]]
        if count > len(parts):
            parts.append(f"and {count - len(parts)} more")
        happened = parts[0] if count == 1 else f"{count} problems: " + "; ".join(parts)
        super().__init__("dataset_invalid", happened, input=input, hint=hint)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.problems, self.count, self.input, self.hint)


def _rebuild(problems: tuple[Problem, ...], count: int, input: str, hint: str | None) -> InvalidDatasetError:
    return InvalidDatasetError(problems, count=count, input=input, hint=hint)


@dataclass(slots=True)
class Findings:
    """Collects while a folder is read.

    Attributes:
        problems: the first 10,000. count: of all problems.
        warnings: sentences, fit to be shown.
    """

    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, place: Place, text: str) -> None:
        self.count += 1
        if len(self.problems) < PROBLEMS_KEPT:
            self.problems.append(Problem(place=place, text=text))

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def error(self, root: Path, *, hint: str | None = None) -> InvalidDatasetError:
        return InvalidDatasetError(self.problems, count=self.count, input=str(root), hint=hint)

    def raise_any(self, root: Path) -> None:
        """Raise what `error` returns when there is any problem."""
        if self.count:
            raise self.error(root)


def some(names: Iterable[object], *, most: int = 3) -> str:
    """The first few of many names, fit to be shown, and how many more there are.

    >>> some(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(shown(name, 60) for name in listed[:most]) + more
