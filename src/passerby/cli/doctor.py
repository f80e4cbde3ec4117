"""`passerby doctor`: what a bug report needs, and whether this installation works."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from ..errors import shown
from . import options, output
from .exits import worst


def doctor(as_json: options.Json = False) -> None:
    """Show versions, processor, engines, cache and models, and run the shipped models on their stored probes.

    Opens no connection. Exit code 0 when everything works, 3 for a broken model, 4 for a broken engine.
    """
    from . import doctor_checks

    findings = doctor_checks.all_findings()
    code = worst([f.code for f in findings])
    if as_json:
        body = {"ok": code == 0, "findings": [asdict(f) for f in findings]}
        output.put(json.dumps(body, ensure_ascii=False, indent=2) + "\n")
        raise typer.Exit(code)
    width = max(len(f.name) for f in findings)
    for f in findings:
        output.put(f"{f.status:4}  {f.name:{width}}  {shown(f.text, 400)}\n")
    raise typer.Exit(code)
