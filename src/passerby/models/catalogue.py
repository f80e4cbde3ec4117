"""The models that have a name: two that ship with the package, three official ones that are downloaded.

Data and its look-up only. `cache` knows where a model lies, `download` brings it, `load` makes it usable. Models of
other installed distributions (`installed`) have names of their own besides; none of them is ever a default.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ModelError, shown
from ..formats.metadata import Kind
from .installed import InstalledModel, installed_models, is_installed

_BASE = "https://paddle-model-ecology.bj.bcebos.com/paddlex"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """One model with a name.

    Attributes:
        name: what configurations and the command line call it.
        kind: `detector` or `attributes`.
        network: family of the network, `PP-YOLOE` or `PP-LCNet`.
        licence: SPDX identifier; `LicenseRef-...` for what has none.
        size_mb: size of the file to download, or of the shipped one, in 10^6 bytes; None when not known yet.
        input_hw: height and width of the network's input, px.
        architecture: size of an official network, as its `Architecture` says it: what a download must be.
        sources: URLs in the order they are tried; none for a shipped model.
        sha256: URL, or path of an installed file, to hash, for what is known; a hash that is not known is recorded at
            the first download.
        shipped: the file is part of the package.
        description: one line.
        file: where the file lies that another installed distribution brought; None for all others.
        distribution: which one that is.
    """

    name: str
    kind: Kind
    network: str
    licence: str = "Apache-2.0"
    size_mb: float | None = None
    input_hw: tuple[int, int]
    architecture: dict[str, float] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    sha256: dict[str, str] = field(default_factory=dict)
    shipped: bool = False
    description: str = ""
    file: Path | None = None
    distribution: str = ""


def _official(name: str) -> tuple[str, ...]:
    return (
        f"{_BASE}/official_inference_model/paddle3.0.0/{name}_infer.tar",
        f"{_BASE}/official_inference_model/paddle3.0rc0/{name}_infer.tar",
        f"{_BASE}/official_pretrained_model/{name}_pretrained.pdparams",
    )


SHIPPED_DETECTOR = "passerby-detector-416"
SHIPPED_ATTRIBUTES = "passerby-attributes"

ENTRIES: dict[str, CatalogueEntry] = {
    entry.name: entry
    for entry in (
        CatalogueEntry(
            name=SHIPPED_DETECTOR,
            kind="detector",
            network="PP-YOLOE",
            input_hw=(416, 416),
            shipped=True,
            description="pedestrian detector of this project, part of the package",
        ),
        CatalogueEntry(
            name=SHIPPED_ATTRIBUTES,
            kind="attributes",
            network="PP-LCNet",
            input_hw=(256, 192),
            shipped=True,
            description="26 attributes and clothing colours, part of the package",
        ),
        CatalogueEntry(
            name="PP-YOLOE-L_human",
            kind="detector",
            network="PP-YOLOE",
            size_mb=196.02,
            input_hw=(640, 640),
            architecture={"depth": 1.0, "width": 1.0, "num_classes": 1},
            sources=_official("PP-YOLOE-L_human"),
            description="PaddleX's large pedestrian detector",
        ),
        CatalogueEntry(
            name="PP-YOLOE-S_human",
            kind="detector",
            network="PP-YOLOE",
            size_mb=28.79,
            input_hw=(640, 640),
            architecture={"depth": 0.33, "width": 0.5, "num_classes": 1},
            sources=_official("PP-YOLOE-S_human"),
            description="PaddleX's small pedestrian detector",
        ),
        CatalogueEntry(
            name="PP-LCNet_x1_0_pedestrian_attribute",
            kind="attributes",
            network="PP-LCNet",
            size_mb=6.7,
            input_hw=(256, 192),
            architecture={"scale": 1.0, "num_classes": 26},
            sources=_official("PP-LCNet_x1_0_pedestrian_attribute"),
            description="PaddleX's 26 pedestrian attributes",
        ),
    )
}


# Names that a distribution of this project gives, so that asking for one without it says what is missing.
ELSEWHERE = {"passerby-attributes-research": "passerby-research-models"}


def entries() -> dict[str, CatalogueEntry]:
    """`ENTRIES` and the models of other installed distributions behind them; a name of `ENTRIES` stays what it is."""
    return {**{model.name: _entry_of(model) for model in reversed(installed_models())}, **ENTRIES}


def lookup(name: str) -> CatalogueEntry | None:
    """The entry of a name, None where there is none."""
    return ENTRIES.get(name) or entries().get(name)


def find(name: str) -> CatalogueEntry:
    """The entry of a name.

    Raises:
        ModelError: `model_unknown`, with the nearest name and the list; `model_missing`, it belongs to a distribution
            that is not installed, or has not got it.
    """
    entry = lookup(name)
    if entry is not None:
        return entry
    if name in ELSEWHERE:
        hint = "what it is and how to install or make it: docs/research-models.md"
        raise ModelError("model_missing", why_absent(name), hint=hint)
    near = _nearest(name)
    guess = f"did you mean {near}? " if near else ""
    raise ModelError(
        "model_unknown",
        f"there is no model called {shown(name)}",
        hint=f"{guess}known: {', '.join(entries())}; for your own weights give model_dir",
    )


def why_absent(name: str) -> str:
    """Why a name of `ELSEWHERE` has no model here."""
    distribution = ELSEWHERE[name]
    if is_installed(distribution):
        return f"{name} is not among the models that the installed {distribution} holds"
    return f"{name} is part of {distribution} (weights for research only), which is not installed"


def _entry_of(model: InstalledModel) -> CatalogueEntry:
    size = model.path.stat().st_size / 1e6 if model.path.is_file() else None
    return CatalogueEntry(
        name=model.name,
        kind=model.kind,
        network=model.network,
        licence=model.licence,
        size_mb=size,
        input_hw=model.input_hw,
        sha256={str(model.path): model.sha256},
        description=model.description,
        file=model.path,
        distribution=model.distribution,
    )


def stand_in(kind: Kind) -> str:
    """The shipped model that does the same job without a download."""
    return next(e.name for e in ENTRIES.values() if e.shipped and e.kind == kind)


def _nearest(name: str) -> str | None:
    plain = {known.lower().replace("_", "-"): known for known in (*entries(), *ELSEWHERE)}
    # Longer words are nobody's typo, and comparing them takes seconds.
    close = difflib.get_close_matches(name[:200].lower().replace("_", "-"), plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else None
