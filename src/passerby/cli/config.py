"""`passerby config show|check|write`: the pipeline's YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import OutputError, PasserbyError, shown
from . import options, output
from .exits import say

DEFAULT_NAME = "pedestrian_attribute_recognition"
Source = Annotated[str, typer.Argument(metavar="NAME|FILE", help="Built-in pipeline or YAML file.")]

app = typer.Typer(
    cls=options.group_with_examples("passerby config write --save-path ./my_path"),
    help="Show, check or write the configuration of a pipeline.",
    no_args_is_help=True,
)


@app.command(cls=options.with_examples("passerby config show", "passerby config show my.yaml --json"))
def show(source: Source = DEFAULT_NAME, as_json: options.Json = False) -> None:
    """Show a configuration with all defaults filled in."""
    from ..config import load_pipeline_config

    config = load_pipeline_config(source)
    body = {k: v for k, v in _plain(config).items() if k != "raw"}
    output.put(json.dumps(body, ensure_ascii=False, indent=2) + "\n" if as_json else _text(body))


@app.command(cls=options.with_examples("passerby config check my.yaml"))
def check(source: Source, as_json: options.Json = False, quiet: options.Quiet = False) -> None:
    """Check a configuration file; every problem is named in one report. Loads no model."""
    from ..config import load_pipeline_config

    try:
        load_pipeline_config(source)
    except PasserbyError as error:
        if as_json:
            body = {"input": source, "error": {"name": error.name, "message": error.message}}
            output.put(json.dumps(body, ensure_ascii=False) + "\n")
        raise
    if as_json:
        output.put(json.dumps({"input": source, "error": None}, ensure_ascii=False) + "\n")
    elif not quiet:
        output.put(f"{shown(source, 200)}: no problems\n")


@app.command(
    cls=options.with_examples(
        "passerby config write --save-path ./my_path",
        "passerby --get_pipeline_config pedestrian_attribute_recognition --save_path ./my_path",
    )
)
def write(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Built-in pipeline.")] = DEFAULT_NAME,
    save_path: options.SavePath = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an edited file.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the built-in configuration, every key explained, into a folder or to stdout."""
    write_config(name, save_path, overwrite=overwrite, quiet=quiet)


def write_config(name: str, save_path: str | None, *, overwrite: bool = False, quiet: bool = False) -> None:
    """Write a built-in configuration; without a folder, to stdout.

    Raises:
        ArgumentError: `unknown_pipeline`.
        OutputError: `output_conflict`, the target exists and is another text: it may be the user's work.
    """
    from ..config import builtin_config

    data = builtin_config(name)
    if save_path is None:
        output.put(data.decode("utf-8"))
        return
    target = Path(save_path)
    if target.suffix.lower() not in (".yaml", ".yml"):
        target /= f"{name}.yaml"
    if not overwrite and target.is_file() and target.read_bytes() != data:
        raise OutputError(
            "output_conflict", "the file exists and was edited", input=str(target), hint="--overwrite replaces it"
        )
    from .. import files

    files.atomic_write(target, data)
    if not quiet:
        say(f"written to {shown(target, 200)}")


def _plain(value: Any) -> Any:
    """Records, paths and tuples as what JSON has."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def _text(body: Mapping[str, Any], indent: str = "") -> str:
    """Nested keys and values, readable as YAML: values that are no mapping are written as JSON, which YAML contains."""
    out = ""
    for key, value in body.items():
        if isinstance(value, dict) and value:
            out += f"{indent}{key}:\n{_text(value, indent + '  ')}"
        else:
            out += f"{indent}{key}: {json.dumps(value, ensure_ascii=False)}\n"
    return out
