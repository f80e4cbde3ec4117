# SPDX-License-Identifier: Apache-2.0
"""Models that other installed distributions bring: found through entry points, described by a JSON file.

Such a distribution has an entry point in the group `passerby.models` whose value is the name of its package, and in
that package's folder `catalogue.json` and `models/<name>.onnx`. The package is located and never imported: a model is
data, and nothing of it runs. The catalogue gives these models names; a name of the catalogue itself cannot be taken.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from ..formats.metadata import Kind
from ..formats.strict_json import load_json

log = logging.getLogger(__name__)

GROUP = "passerby.models"
CATALOGUE = "catalogue.json"
CATALOGUE_BYTES = 256 * 1024
LEVELS = 4
TEXTS = ("name", "kind", "network", "licence", "sha256", "description")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
SHA256 = re.compile(r"[0-9a-f]{64}")
TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,200}")  # fit to be printed on one line


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledModel:
    """One model as its distribution's `catalogue.json` lists it.

    Attributes:
        name, kind, network, licence, input_hw, description: as in a `CatalogueEntry`.
        sha256: of the file, 64 hexadecimal digits.
        path: the file; it may be missing, which shows when it is read.
        distribution: what to install again.
    """

    name: str
    kind: Kind
    network: str
    licence: str
    input_hw: tuple[int, int]
    sha256: str
    description: str
    path: Path
    distribution: str


def is_installed(distribution: str) -> bool:
    """Whether a distribution that brings models is there, with models in it or without."""
    return any(name == distribution for name, _ in _announced())


@functools.cache
def installed_models() -> tuple[InstalledModel, ...]:
    """Every model of every such distribution; looked for once a process.

    What is wrong with one distribution is logged and leaves the others alone: its models are then not there.
    """
    return tuple(model for distribution, package in _announced() for model in _models(distribution, package))


def _announced() -> list[tuple[str, str]]:
    """(distribution, package) of each entry point, in the order of the names."""
    # a twentieth of a second to import, and most starts name a model of the catalogue
    from importlib import metadata

    points = metadata.entry_points(group=GROUP)
    return sorted({(point.dist.name if point.dist else point.name, point.value) for point in points})


def _models(distribution: str, package: str) -> tuple[InstalledModel, ...]:
    try:
        return tuple(_read(distribution, package))
    except (OSError, ValueError) as reason:
        log.warning("models of an installed distribution left out, distribution=%s: %s", distribution, reason)
        return ()


def _read(distribution: str, package: str) -> Iterator[InstalledModel]:
    folder = _folder(package)
    with (folder / CATALOGUE).open("rb") as file:
        data = file.read(CATALOGUE_BYTES + 1)
    if len(data) > CATALOGUE_BYTES:
        raise ValueError(f"{CATALOGUE} is larger than {CATALOGUE_BYTES} bytes")
    body = load_json(data, levels=LEVELS)
    listed = body.get("models") if isinstance(body, dict) else None
    if not isinstance(listed, list):
        raise ValueError(f"{CATALOGUE} has no list called models")
    for item in listed:
        yield _model(item, folder, distribution)


def _folder(package: str) -> Path:
    """The folder of a package, without running any of its code."""
    # of a dotted name the packages above would be imported to find it
    spec = find_spec(package) if package.isidentifier() else None
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise ValueError("its entry point names no package")
    return Path(places[0])


def _model(item: Any, folder: Path, distribution: str) -> InstalledModel:
    if not isinstance(item, Mapping) or set(item) != {*TEXTS, "input_hw"}:
        raise ValueError(f"a model has exactly the keys {', '.join((*TEXTS, 'input_hw'))}")
    texts = {key: item[key] for key in TEXTS}
    size = item["input_hw"]
    if not all(isinstance(text, str) and TEXT.fullmatch(text) for text in texts.values()):
        raise ValueError(f"{', '.join(TEXTS)} are texts of one line")
    if not NAME.fullmatch(texts["name"]) or not SHA256.fullmatch(texts["sha256"]):
        raise ValueError("a name is letters, digits and ._-, a SHA-256 64 hexadecimal digits")
    if texts["kind"] not in ("detector", "attributes"):
        raise ValueError("a kind is detector or attributes")
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise ValueError("input_hw is a height and a width")
    return InstalledModel(
        name=texts["name"],
        kind=cast(Kind, texts["kind"]),
        network=texts["network"],
        licence=texts["licence"],
        input_hw=(size[0], size[1]),
        sha256=texts["sha256"],
        description=texts["description"],
        path=folder / "models" / f"{texts['name']}.onnx",
        distribution=distribution,
    )
