"""Results on stdout: text for people, JSON, JSON lines, CSV. One result at a time, each flushed."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ..decisions import UNCERTAIN, YES
from ..errors import PATH_SHOWN, ArgumentError, shown
from .exits import PipeClosed

if TYPE_CHECKING:
    from ..formats.metadata import Label
    from ..result import Person, Result

Format = Callable[["tuple[Label, ...]"], "Writer"]


class Writer(Protocol):
    """Writes one result after another."""

    def write(self, result: Result) -> None:
        """Write one result, an error in its place."""

    def close(self) -> None:
        """Write what must stand at the end; called also after an interruption, so that the document is whole."""


def chosen(*, as_json: bool, as_lines: bool, as_csv: bool) -> Format | None:
    """The format that flags ask for, or None.

    Raises:
        ArgumentError: `bad_argument`, more than one is asked for.
    """
    asked: list[Format] = [f for f, on in ((JsonDocument, as_json), (JsonLines, as_lines), (Csv, as_csv)) if on]
    if len(asked) > 1:
        raise ArgumentError("bad_argument", "several output formats at once", hint="use one of --json, --jsonl, --csv")
    return asked[0] if asked else None


def put(text: str) -> None:
    """Text on stdout, at once: a reader in a pipe sees each result when it is there.

    Raises:
        PipeClosed: nobody reads any more.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise PipeClosed from None


class PaddleLines:
    """One line a picture, `{'res': {...}}`, as PaddleX's command line prints it."""

    def __init__(self, labels: tuple[Label, ...]) -> None:
        pass

    def write(self, result: Result) -> None:
        body = result.to_dict(every_label=False)
        put(f"{ {'res': body} }\n" if result.error is None else f"{body}\n")

    def close(self) -> None:
        pass


class Text:
    """A picture's name, and below it one line a pedestrian."""

    def __init__(self, labels: tuple[Label, ...]) -> None:
        pass

    def write(self, result: Result) -> None:
        name = shown(result.input_path or "picture", PATH_SHOWN)
        page = "" if result.page_index is None else f", page {result.page_index}"
        if result.error is not None:
            put(f"{name}{page}: not analysed, {result.error.name}\n")
            return
        count = len(result.persons)
        size = "" if result.size_wh is None else f" in {result.size_wh[0]} x {result.size_wh[1]} pixels"
        head = f"{name}{page}: {count} pedestrian{'' if count == 1 else 's'}{size}\n"
        put(head + "".join(_person_line(i, p) for i, p in enumerate(result.persons, 1)))

    def close(self) -> None:
        pass


def _person_line(number: int, person: Person) -> str:
    from ..result import NOTES

    x1, y1, x2, y2 = (round(float(v)) for v in person.box_xyxy)
    nothing = "no attribute above its threshold" if person.decisions is None else "no attribute is sure"
    parts = ", ".join(f"{x.text} {x.score:.2f}" for x in person.labels) or nothing
    sure = [x for x in person.colours.values() if x.decision != "uncertain"]
    colours = "".join(f"; {x.text} {x.score:.2f}" for x in sure)
    open_ = [*person.uncertain, *(x for x in person.colours.values() if x.decision == "uncertain")]
    perhaps = "; perhaps " + ", ".join(f"{x.text} {x.score:.2f}" for x in open_) if open_ else ""
    note = f" ({NOTES[person.note]})" if person.note else ""
    return f"  {number:2}  {person.score:.2f}  {x1},{y1} to {x2},{y2}{note}: {parts}{colours}{perhaps}\n"


class JsonLines:
    """One JSON object a line."""

    def __init__(self, labels: tuple[Label, ...]) -> None:
        pass

    def write(self, result: Result) -> None:
        put(json.dumps(result.to_dict(), ensure_ascii=False, allow_nan=False) + "\n")

    def close(self) -> None:
        pass


class JsonDocument:
    """One JSON list of all results, written as they come."""

    def __init__(self, labels: tuple[Label, ...]) -> None:
        self._begun = False

    def write(self, result: Result) -> None:
        put(("," if self._begun else "[") + "\n" + json.dumps(result.to_dict(), ensure_ascii=False, allow_nan=False))
        self._begun = True

    def close(self) -> None:
        put("\n]\n" if self._begun else "[]\n")


class Csv:
    """One line a pedestrian, one column a label with its probability; a picture without any has a line too.

    The last columns say what the model decided: `yes` and `uncertain` hold ids, colours too; all others are a no.
    """

    columns = ("input", "page", "person", "x1", "y1", "x2", "y2", "score", "labels", "note", "error")
    decided = ("judgeable", "reasons", "yes", "uncertain")

    def __init__(self, labels: tuple[Label, ...]) -> None:
        self._ids = [label.id for label in labels]
        put(_csv_line([*self.columns, *self._ids, *self.decided]))

    def write(self, result: Result) -> None:
        head = [result.input_path or "", "" if result.page_index is None else result.page_index]
        empty = [""] * len(self._ids)
        if result.error is not None or not result.persons:
            error = result.error.name if result.error else ""
            put(_csv_line([*head, *[""] * 8, error, *empty, *[""] * len(self.decided)]))
            return
        for number, person in enumerate(result.persons, 1):
            probabilities = empty if person.probabilities is None else [f"{v:.5f}" for v in person.probabilities]
            box = [f"{v:.2f}" for v in person.box_xyxy]
            labels = ";".join(x.id for x in person.labels)
            told = [f"{person.score:.5f}", labels, person.note or "", ""]
            put(_csv_line([*head, number, *box, *told, *probabilities, *self._decided(person)]))

    def _decided(self, person: Person) -> list[str]:
        judgeable = "" if person.judgeable is None else str(person.judgeable).lower()
        said = [] if person.decisions is None else person.decisions.tolist()
        ids = [";".join(id for id, d in zip(self._ids, said, strict=False) if d == state) for state in (YES, UNCERTAIN)]
        return [judgeable, ";".join(person.reasons), *ids]

    def close(self) -> None:
        pass


def _csv_line(values: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
