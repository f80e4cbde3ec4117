"""Options that several commands share, and the reading of their values. Every flag has both spellings."""

from __future__ import annotations

import json
import logging
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ..errors import ArgumentError, shown

Threshold = float | list[float] | dict[str, float]


class Labels(str, Enum):
    """Languages of the label texts."""

    paddle = "paddle"
    en = "en"
    zh = "zh"
    both = "both"


Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell on stderr what is done.")]
SavePath = Annotated[
    str | None, typer.Option("--save-path", "--save_path", metavar="DIR", help="Write results into this folder.")
]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", help="cpu, gpu, gpu:0, ...; default GPU 0 if there is one, else the CPU."),
]
UseHpip = Annotated[
    bool, typer.Option("--use-hpip", "--use_hpip", help="High-performance mode; accepted, onnxruntime computes.")
]
HpiConfig = Annotated[
    str | None, typer.Option("--hpi-config", "--hpi_config", metavar="JSON", help="Settings of that mode.")
]
DetThreshold = Annotated[
    str | None,
    typer.Option("--det-threshold", "--det_threshold", metavar="NUMBER", help="Keep boxes that score above this."),
]
ClsThreshold = Annotated[
    str | None,
    typer.Option(
        "--cls-threshold",
        "--cls_threshold",
        metavar="NUMBERS",
        help="Name attributes above this: 0.6, or default=0.7,hat=0.4, or a JSON list or mapping.",
    ),
]
CaFile = Annotated[
    str | None,
    typer.Option("--ca-file", "--ca_file", metavar="FILE", help="PEM file with a root to trust for https URLs too."),
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", "--batch_size", metavar="N", help="Pictures described together.")
]
LabelStyle = Annotated[Labels | None, typer.Option("--labels", help="Language of the label texts; default paddle.")]


def with_examples(*lines: str) -> type[TyperCommand]:
    """A command whose help starts with these command lines."""
    return type("Command", (_ExampleCommand,), {"examples": lines})


def group_with_examples(*lines: str) -> type[TyperGroup]:
    """The same for a command that has commands below it."""
    return type("Group", (_ExampleGroup,), {"examples": lines})


def _write(formatter: Any, lines: tuple[str, ...]) -> None:
    formatter.write("Example:\n" + "".join(f"  {line}\n" for line in lines) + "\n")


class _ExampleCommand(TyperCommand):
    examples: tuple[str, ...] = ()

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        _write(formatter, self.examples)
        super().format_usage(ctx, formatter)


class _ExampleGroup(TyperGroup):
    examples: tuple[str, ...] = ()

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        _write(formatter, self.examples)
        super().format_usage(ctx, formatter)


def set_up_logging(*, quiet: bool, verbose: bool) -> None:
    """Log lines of the package on stderr: warnings, with --verbose everything, with --quiet errors only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("passerby")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.WARNING)


def one_number(text: str | None, *, option: str) -> float | None:
    """The value of an option that takes one number. Bounds are checked where it is used.

    Raises:
        ArgumentError: `bad_argument`.
    """
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise ArgumentError(
            "bad_argument", f"{option} is {shown(repr(text))}", hint="give a number between 0 and 1"
        ) from None


def thresholds(text: str | None, *, option: str) -> Threshold | None:
    """One number, several with commas, `name=number` pairs with commas, or JSON.

    >>> thresholds("default=0.7,hat=0.4", option="--cls-threshold")
    {'default': 0.7, 'hat': 0.4}
    """
    if text is None:
        return None
    plain = text.strip()
    if plain.startswith(("{", "[")):
        return _json_thresholds(plain, option)
    if "=" not in plain:
        numbers = [_number(part, option) for part in plain.split(",")]
        return numbers if len(numbers) > 1 else numbers[0]
    out: dict[str, float] = {}
    for pair in plain.split(","):
        name, _, number = pair.partition("=")
        name = name.strip()
        if name in out:
            raise ArgumentError("bad_argument", f"{option} names {shown(name)} twice")
        out[name] = _number(number, option)
    return out


def _number(text: str, option: str) -> float:
    number = one_number(text.strip(), option=option)
    assert number is not None
    return number


def _json_thresholds(text: str, option: str) -> Threshold:
    value = json_value(text, option=option)
    if not isinstance(value, list | dict):
        raise ArgumentError("bad_argument", f"{option} is {shown(text)}", hint="give a list or a mapping of numbers")
    return value


def json_value(text: str, *, option: str) -> Any:
    """A value given as JSON.

    Raises:
        ArgumentError: `bad_argument`, no JSON, nested too deeply, or a key twice.
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({k for k, _ in items}) < len(items):
            raise ValueError("a key stands twice")
        return dict(items)

    try:
        return json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as reason:
        raise ArgumentError(
            "bad_argument", f"{option} is no JSON ({shown(reason)})", hint="quote it for the shell"
        ) from None


def mapping(text: str | None, *, option: str) -> dict[str, Any] | None:
    """A mapping given as JSON.

    Raises:
        ArgumentError: `bad_argument`.
    """
    if text is None:
        return None
    value = json_value(text, option=option)
    if not isinstance(value, dict):
        raise ArgumentError("bad_argument", f"{option} is {shown(text)}", hint="give a JSON mapping")
    return value


def ca_file(text: str | None) -> Path | None:
    """The file of `--ca-file`. What is in it shows at the first https URL.

    Raises:
        ArgumentError: `bad_argument`, there is no such file.
    """
    if text is None:
        return None
    path = Path(text)
    if not path.is_file():
        raise ArgumentError("bad_argument", "--ca-file names no file", input=text, hint="give a PEM file")
    return path
