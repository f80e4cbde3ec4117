"""`passerby labels`: what each number of an attribute model means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from . import options, output

DEFAULT_MODEL = "passerby-attributes"


def labels(
    model: Annotated[
        str, typer.Argument(metavar="NAME|PATH", help="A model of the catalogue, or its file.")
    ] = DEFAULT_MODEL,
    as_json: options.Json = False,
) -> None:
    """Show number, id, names, group and stored threshold of every label a model knows."""
    from ..compat import paddlex
    from ..models.load import load_model

    path = Path(model)
    loaded = load_model(path.stem, path) if path.exists() else load_model(model)
    rows = [
        {
            "index": index,
            "id": label.id,
            "en": label.en,
            "zh": label.zh,
            "paddle": paddlex.label_string(label),
            "group": label.group,
            "threshold": round(threshold, 5),
        }
        for index, (label, threshold) in enumerate(zip(loaded.metadata.labels, loaded.metadata.thresholds, strict=True))
    ]
    if as_json:
        output.put(json.dumps(rows, ensure_ascii=False, indent=2) + "\n")
        return
    for row in rows:
        output.put(
            f"{row['index']:3}  {row['id']:24}  {row['threshold']:.2f}  {row['paddle']}  {row['group']}".rstrip() + "\n"
        )
