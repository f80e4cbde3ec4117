# SPDX-License-Identifier: Apache-2.0
"""`passerby module`: what PaddleX's `main.py` did with a training file; `train`, `evaluate`, `export` fill the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from ..errors import shown
from . import options, output
from .exits import say

Overrides = Annotated[
    list[str] | None,
    typer.Option("--override", "-o", metavar="KEY=VALUE", help="Section.key=value above the file; may be repeated."),
]
CONFIG_HELP = "Training file, or the name of a built-in one such as passerby-attributes.yaml."


def module(
    config: Annotated[str, typer.Option("--config", "-c", metavar="NAME|FILE", help=CONFIG_HELP)],
    overrides: Overrides = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Do what a training file says: Global.mode is check_dataset, train, evaluate, export or predict.

    Keys and files are PaddleX's. Results lie in Global.output, `<mode>_result.json` among them; values after -o are
    read as YAML and never run.
    """
    run(config, overrides_of(overrides, {}), as_json=as_json, quiet=quiet, verbose=verbose)


def overrides_of(texts: list[str] | None, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Flags of a command and `-o` texts as one mapping; -o stands above the flags, and None says nothing."""
    from ..config_overrides import override_pairs

    return {**{key: value for key, value in flags.items() if value is not None}, **override_pairs(texts or [])}


def run(config: str, overrides: Mapping[str, Any], *, as_json: bool, quiet: bool, verbose: bool) -> None:
    """Carry a training file out: lines about the progress on stderr, the result on stdout.

    Raises:
        PasserbyError: what ended it.
    """
    options.set_up_logging(quiet=quiet, verbose=verbose)
    from ..config_training import load_training_config
    from ..training.module import run_module

    body = run_module(config, overrides, say=_silent if quiet else say)
    if as_json:
        output.put(json.dumps(body, ensure_ascii=False, indent=2) + "\n")
    elif not quiet:
        place = load_training_config(config, overrides).Global
        output.put(told(body) + f"result: {shown(place.output / f'{place.mode}_result.json', 200)}\n")


def _silent(_line: str) -> None:
    pass


def told(body: Mapping[str, Any], *, keys: tuple[str, ...] | None = None) -> str:
    """The plain values of a result, a line each; lists and what is nested deeper are counted or left to the file."""
    lines: list[str] = []
    _tell(body, "", lines.append, depth=0)
    return "".join(f"{line}\n" for line in lines)


def _tell(body: Mapping[str, Any], before: str, put: Callable[[str], None], *, depth: int) -> None:
    for key, value in body.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            if depth < 2:
                _tell(value, f"{name}.", put, depth=depth + 1)
        elif isinstance(value, list):
            continue
        elif value is not None:
            text = f"{value:.5g}" if isinstance(value, float) else shown(value, 200)
            put(f"{name}: {text}")
