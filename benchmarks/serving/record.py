# SPDX-License-Identifier: Apache-2.0
"""Figures with their aims, the machine they were measured on, and the file they are kept in."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import operator
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from passerby.engines.threads import available_threads
from passerby.files import atomic_write

RESULTS = Path(__file__).resolve().parent / "results"
SCHEMA = 1
_SIGNS = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt, "=": operator.eq}
_LIBRARIES = ("uvicorn", "starlette", "httptools", "onnxruntime", "opencv-python-headless", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number.

    Attributes:
        name: what it is, with its unit.
        value: None: could not be measured; `note` says why.
        aim: such as `<= 5` or `= 0`; empty: nothing is aimed at.
        note: what a reader must know beside it, one line.
    """

    name: str
    value: float | int | None
    aim: str = ""
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the aim is reached; None without an aim or a value.

        >>> Figure(name="p99 of /live, ms", value=12.5, aim="< 50").reached
        True
        """
        if not self.aim or self.value is None:
            return None
        sign, _, bound = self.aim.partition(" ")
        return bool(_SIGNS[sign](self.value, float(bound)))


@dataclass(slots=True, kw_only=True)
class Run:
    """A run of one command: collects figures and keeps them on the disk from the first one on.

    Attributes:
        command: name of the module; `results/<command>.json` is written.
        title: what is measured, with the name in the catalogue.
        folder: where results lie.
        options: what the command line said.
    """

    command: str
    title: str
    folder: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=lambda: machine())
    figures: list[Figure] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)

    def add(self, name: str, value: float | int | None, aim: str = "", note: str = "") -> None:
        """Keep a figure, print it, and write the file; a figure of the same name is replaced."""
        figure = Figure(name=name, value=rounded(value), aim=aim, note=note)
        self.figures = [f for f in self.figures if f.name != name] + [figure]
        print(line(figure), flush=True)
        self.write(complete=False)

    def finish(self) -> None:
        """Write the file as that of a run that came to its end."""
        self.write(complete=True)

    def write(self, *, complete: bool) -> None:
        content = {
            "schema": SCHEMA,
            "command": self.command,
            "title": self.title,
            "complete": complete,
            "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()) + " UTC",
            "seconds": round(time.monotonic() - self._started),
            "options": dict(self.options),
            "machine": {**self.machine, "load_at_end": rounded(os.getloadavg()[0])},
            "figures": [{**asdict(f), "reached": f.reached} for f in self.figures],
            "details": self.details,
        }
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        self.folder.mkdir(parents=True, exist_ok=True)
        atomic_write(self.folder / f"{self.command}.json", text.encode() + b"\n")

    @property
    def all_reached(self) -> bool:
        """Whether no figure misses its aim."""
        return all(f.reached is not False for f in self.figures)


def line(figure: Figure) -> str:
    """A figure for the terminal."""
    said = {True: "reached", False: "SHORT", None: ""}[figure.reached]
    aim = f"  (aim {figure.aim}: {said})" if figure.aim and said else ""
    note = f"  {figure.note}" if figure.note else ""
    return f"{figure.name}: {'not measured' if figure.value is None else figure.value}{aim}{note}"


def rounded(value: float | int | None) -> float | int | None:
    """Four significant digits, whole numbers as they are; None for what is no number.

    >>> rounded(12.34567), rounded(1234567), rounded(float("nan"))
    (12.35, 1234567, None)
    """
    if value is None or isinstance(value, int):
        return value
    return float(f"{value:.4g}") if math.isfinite(value) else None


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that this share of the values does not exceed; None of no values.

    >>> percentile([3, 1, 2, 4], 0.5), percentile([1, 2, 3, 4], 0.99)
    (2, 4)
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def milliseconds(values: Sequence[float], share: float) -> float | None:
    """A percentile of seconds, in ms."""
    found = percentile(values, share)
    return None if found is None else found * 1000


def machine() -> dict[str, Any]:
    """What a figure depends on beside our code; `load_at_start` over about 0.3 means that others worked too."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [s.partition(":")[2].strip() for s in cpuinfo.read_text().splitlines() if s.startswith("model name")]
        model = names[0] if names else model
    return {
        "cores": available_threads(),
        "processor": model,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "load_at_start": rounded(os.getloadavg()[0]),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def parser(module_doc: str | None, command: str) -> argparse.ArgumentParser:
    """A parser with what all commands share."""
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks.serving.{command}",
        description=module_doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--out", type=Path, default=RESULTS, help="folder of the results; default %(default)s")
    made.add_argument("--pipeline", help="YAML of the models to serve; default the shipped ones")
    made.add_argument("--workers", type=int, help="worker processes of the service; default its own choice")
    return made


def options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, without paths of this machine and what was left off."""
    given = vars(arguments)
    return {k: v for k, v in given.items() if v not in (None, False) and not isinstance(v, Path) and k != "pipeline"}
