"""`passerby models`: the catalogue, and what lies in the cache."""

from __future__ import annotations

import json

import typer

from . import options, output

app = typer.Typer(
    cls=options.group_with_examples("passerby models list", "passerby models pull PP-YOLOE-L_human"),
    help="List, download, verify, find, import or convert models.",
    no_args_is_help=True,
)


@app.command("list", cls=options.with_examples("passerby models list --json"))
def list_models(as_json: options.Json = False) -> None:
    """Show every model with a name: licence, size, where it comes from, whether it is here."""
    from ..models import catalogue

    output.put(json.dumps(list(catalogue.ENTRIES)) + "\n")
