# SPDX-License-Identifier: Apache-2.0
"""Put a model file into this distribution and list it: python packages/research-models/add_model.py MODEL.onnx

The file is checked as passerby checks every model, and named as its metadata say. Its card must say that the licence is
`LicenseRef-research-only`: weights of another licence belong elsewhere. A model of the same name is replaced.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from passerby.errors import ModelError
from passerby.files import atomic_write
from passerby.models.catalogue import ENTRIES
from passerby.models.installed import CATALOGUE, NAME
from passerby.models.load import load_path

PACKAGE = Path(__file__).resolve().parent / "src" / "passerby_research_models"
LICENCE = "LicenseRef-research-only"


def add_model(source: Path, package: Path = PACKAGE) -> dict[str, Any]:
    """Copy a model into the package and write its line into the catalogue.

    Args:
        source: one of passerby's .onnx files.
        package: folder with `catalogue.json` and `models/`.
    Returns:
        the line.
    Raises:
        ModelError: what loading says; `model_mismatch`, a name that cannot be taken or another licence.
    """
    model = load_path(source, name=source.stem)
    described = model.metadata
    if not NAME.fullmatch(described.name) or described.name in ENTRIES:
        happened = f"a research model needs a name of its own, not {described.name!r}"
        raise ModelError("model_mismatch", happened, input=str(source), hint="pack it under another file name")
    if described.card.get("licence") != LICENCE:
        happened = f"the card says licence {described.card.get('licence')!r}, here belongs {LICENCE!r}"
        raise ModelError("model_mismatch", happened, input=str(source), hint="correct card.json and pack it again")
    line = {
        "name": described.name,
        "kind": described.kind,
        "network": described.network,
        "licence": LICENCE,
        "input_hw": [described.input.height, described.input.width],
        "sha256": hashlib.sha256(model.model_bytes).hexdigest(),
        "description": str(described.card.get("summary", "for research only")),
    }
    listed = json.loads((package / CATALOGUE).read_text("utf-8"))["models"]
    models = sorted([*(m for m in listed if m["name"] != line["name"]), line], key=lambda m: str(m["name"]))
    atomic_write(package / "models" / f"{line['name']}.onnx", model.model_bytes)
    atomic_write(package / CATALOGUE, (json.dumps({"models": models}, indent=1) + "\n").encode())
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    args = parser.parse_args()
    print(json.dumps(add_model(args.model), indent=1))


if __name__ == "__main__":
    main()
