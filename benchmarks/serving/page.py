# SPDX-License-Identifier: Apache-2.0
"""Tables of docs/serving-figures.md from `results/*.json`, each put between its marks; the text around them stays.

    python -m benchmarks.serving.page

A figure that misses its aim shows the reason from `results/reasons.json` ({command: {figure: reason}}), or that nobody
has given one. What was not measured says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from passerby.files import atomic_write

from ..model_quality.markdown import markdown
from .record import RESULTS

PAGE = Path(__file__).resolve().parents[2] / "docs/serving-figures.md"
COMMANDS = ("throughput", "soak", "overload", "slow_clients", "doors", "privacy", "schema", "paddlex_side")
SIDE_BY_SIDE = ("paddlex_side", "slow_clients")
QUIET_LOAD = 0.5
Json = Mapping[str, Any]


def filled(text: str, results: Mapping[str, Json], reasons: Mapping[str, Mapping[str, str]]) -> str:
    """The text with every table between its marks, `<!-- name -->` and `<!-- end -->`, made anew."""
    for command in COMMANDS:
        start, end = f"<!-- {command} -->", "<!-- end -->"
        head, found, rest = text.partition(start)
        if found:
            table = section(command, results.get(command), reasons.get(command, {}))
            text = f"{head}{start}\n{table}\n{end}{rest.partition(end)[2]}"
    return text


def section(command: str, content: Json | None, reasons: Mapping[str, str]) -> str:
    """The tables of one command."""
    if content is None:
        return f"Not measured yet: nobody ran `python -m benchmarks.serving.{command}`."
    figures = content["figures"]
    tables = side_by_side(figures, reasons) if command in SIDE_BY_SIDE else [table(figures, reasons)]
    mistakes = content["details"].get("mistakes")
    return "\n\n".join([about(content), *tables, *([mistakes_table(mistakes)] if mistakes else [])])


def about(content: Json) -> str:
    """When, where, how long, and whether the machine was quiet."""
    machine = content["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items() if version)
    options = ", ".join(f"{name} {value}" for name, value in content["options"].items() if not isinstance(value, list))
    where = f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gib']} GiB, {machine['system']}"
    lines = [f"{content['date']}, {content['seconds']} s, {where}, Python {machine['python']}, {libraries}."]
    lines += [f"With {options}."] if options else []
    if machine["load_at_start"] > QUIET_LOAD:
        lines.append(f"Others worked on the machine: load {machine['load_at_start']} before the start.")
    if not content["complete"]:
        lines.append("The run was cut: these are the figures of what it measured.")
    return "\n".join(lines)


def table(figures: Sequence[Json], reasons: Mapping[str, str]) -> str:
    """Figure, value, aim, whether it is reached; those with an aim first."""
    ordered = sorted(figures, key=lambda f: not f["aim"])
    rows = [[f["name"], value(f["value"]), f["aim"], verdict(f, reasons), f["note"]] for f in ordered]
    return markdown(["figure", "value", "aim", "", "note"], rows)


def value(found: float | int | None) -> str:
    return "not measured" if found is None else f"{found:g}" if isinstance(found, float) else str(found)


def verdict(figure: Json, reasons: Mapping[str, str]) -> str:
    """`reached`, or `short` with the reason."""
    if not figure["aim"] or figure["value"] is None:
        return ""
    return "reached" if figure["reached"] else f"short: {reasons.get(figure['name'], 'no reason given yet')}"


def side_by_side(figures: Sequence[Json], reasons: Mapping[str, str]) -> list[str]:
    """Figures called `side: figure` with a column a side; the others in a table of their own."""
    cells: dict[str, dict[str, str]] = {}
    aims: dict[str, str] = {}
    alone = [f for f in figures if ": " not in f["name"]]
    for figure in figures:
        side, found, name = figure["name"].partition(": ")
        if found:
            missed = f" {verdict(figure, reasons)}" if figure["reached"] is False else ""
            cells.setdefault(name, {})[side] = value(figure["value"]) + missed
            aims[name] = figure["aim"]
    sides = list(dict.fromkeys(side for row in cells.values() for side in row))
    rows = [[name, *(row.get(side, "-") for side in sides), aims[name]] for name, row in cells.items()]
    head = ["", *sides, "aim"]
    if not any(aims.values()):
        head, rows = head[:-1], [row[:-1] for row in rows]
    return [*([table(alone, reasons)] if alone else []), markdown(head, rows)]


def mistakes_table(mistakes: Mapping[str, Mapping[str, Json]]) -> str:
    """What each server answers to the same mistakes."""
    names = list(dict.fromkeys(name for answers in mistakes.values() for name in answers))
    rows = [[name, *(_answer(mistakes[side].get(name)) for side in mistakes)] for name in names]
    return markdown(["a client sends", *mistakes], rows)


def _answer(got: Json | None) -> str:
    if got is None:
        return "-"
    said = got["says"] if len(got["says"]) <= 90 else got["says"][:89] + "…"
    took = f", {got['ms']} ms, /health up to {got['health_max_ms']} ms meanwhile" if "ms" in got else ""
    return f"{got['status'] or 'no answer'} `{said}`{took}".replace("\n", " ")


def read_results(folder: Path) -> dict[str, Json]:
    """All results there are, those of another form left out with a word on stderr."""
    found: dict[str, Json] = {}
    for command in COMMANDS:
        file = folder / f"{command}.json"
        if not file.is_file():
            continue
        content = json.loads(file.read_text("utf-8"))
        if {"figures", "machine", "date"} <= content.keys():
            found[command] = content
        else:
            print(f"{file.name} is not of this form and is left out", file=sys.stderr)
    return found


def main(words: Sequence[str] | None = None) -> None:
    """The command."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.serving.page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--results", type=Path, default=RESULTS, help="folder of the results; default %(default)s")
    made.add_argument("--page", type=Path, default=PAGE, help="the page whose tables are filled")
    arguments = made.parse_args(words)
    given = arguments.results / "reasons.json"
    reasons = json.loads(given.read_text("utf-8")) if given.is_file() else {}
    text = filled(arguments.page.read_text("utf-8"), read_results(arguments.results), reasons)
    atomic_write(arguments.page, text.encode("utf-8"))


if __name__ == "__main__":
    main()
