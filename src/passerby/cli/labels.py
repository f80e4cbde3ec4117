"""`passerby labels`: what each number of an attribute model means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options, output

DEFAULT_MODEL = "passerby-attributes"


def labels(
    model: Annotated[
        str, typer.Argument(metavar="NAME|PATH", help="A model of the catalogue, or its file.")
    ] = DEFAULT_MODEL,
    as_json: options.Json = False,
) -> None:
    """Show number, id, names, group and stored threshold of every label a model knows, and where it is uncertain."""
    from ..compat import paddlex
    from ..models.load import load_model

    path = Path(model)
    loaded = load_model(path.stem, path) if path.exists() else load_model(model)
    metadata = loaded.metadata
    rows: list[dict[str, Any]] = [
        {
            "index": index,
            "id": label.id,
            "en": label.en,
            "zh": label.zh,
            "paddle": paddlex.label_string(label),
            "group": label.group,
            "threshold": round(metadata.thresholds[place], 5),
            **({} if label.uncertain is None else {"uncertain": [round(v, 5) for v in label.uncertain]}),
        }
        for index, place in enumerate(metadata.attribute_places)
        for label in (metadata.labels[place],)
    ]
    if as_json:
        output.put(json.dumps(rows, ensure_ascii=False, indent=2) + "\n")
        return
    for row in rows:
        line = f"{row['index']:3}  {row['id']:24}  {row['threshold']:.2f}"
        if "uncertain" in row:
            line += "  {:.2f}..{:.2f}".format(*row["uncertain"])
        output.put(f"{line}  {row['paddle']}  {row['group']}".rstrip() + "\n")
