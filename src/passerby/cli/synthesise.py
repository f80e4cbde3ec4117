# SPDX-License-Identifier: Apache-2.0
"""`passerby synthesise`: rendered people who do not exist, with labels, as a data set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ArgumentError, shown
from ..models.pa100k import COLOUR_LABELS
from ..models.pa100k import LABELS as ATTRIBUTE_LABELS
from . import options, output
from .exits import say


class Kind(str, Enum):
    """What is rendered."""

    crops = "crops"
    streets = "streets"


def synthesise(
    folder: Annotated[str, typer.Argument(metavar="OUT", help="Folder of the data set; a killed run goes on in it.")],
    count: Annotated[int, typer.Option("--count", metavar="N", min=1, help="Pictures.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of everything drawn by lot.")] = 0,
    kind: Annotated[
        Kind, typer.Option("--kind", help="crops of one person, or whole streets with boxes.")
    ] = Kind.crops,
    assets: Annotated[
        str | None, typer.Option("--assets", metavar="DIR", help="Bodies and clothes; default $PASSERBY_ASSETS.")
    ] = None,
    backgrounds: Annotated[
        str | None,
        typer.Option("--backgrounds", metavar="DIR", help="Photos without people, with all sub-folders; else made up."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="HxW", help="Crops: 256x192, or `native`. Streets: 720x1280."),
    ] = None,
    frequency: Annotated[
        list[str] | None,
        typer.Option("--frequency", metavar="LABEL=SHARE", help="Wished share of a label, such as backpack=0.3."),
    ] = None,
    native: Annotated[
        str, typer.Option("--native", metavar="LOW-HIGH", help="Crops: height of people before resizing, px.")
    ] = "40-300",
    night: Annotated[float, typer.Option("--night", min=0, max=1, help="Share of night scenes.")] = 0.1,
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", min=1, help="Processes.")] = 1,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Render people who do not exist: crops with 26 attributes and colours, or streets with boxes and masks.

    Labels say what can be seen in the picture. The same seed gives the same pictures; with the same options, a larger
    count goes on where the folder ends. Needs `pip install 'passerby[synthesis]'` and the asset folder.
    """
    options.set_up_logging(quiet=quiet, verbose=False)
    from ..datasets.progress import progress_lines
    from ..synthesis.crops import CropOptions
    from ..synthesis.production import Recipe, photos_below
    from ..synthesis.production import synthesise as produce
    from ..synthesis.streets import StreetOptions

    lowest, highest = _range(native)
    default = "256x192" if kind == Kind.crops else "720x1280"
    wanted = _size(size or default, native=kind == Kind.crops)
    recipe = Recipe(
        kind=kind.value,
        seed=seed,
        assets=None if assets is None else Path(assets),
        photos=photos_below(None if backgrounds is None else Path(backgrounds)),
        frequencies=_frequencies(frequency or []),
        crops=CropOptions(size_hw=wanted, night=night, lowest_px=lowest, highest_px=highest),
        streets=StreetOptions(size_hw=wanted or (720, 1280), night=night),
    )
    progress = None if quiet else progress_lines(say, "rendered")
    statistics = produce(folder, count=count, recipe=recipe, jobs=jobs, progress=progress)
    if as_json:
        output.put(json.dumps(statistics, ensure_ascii=False, indent=1) + "\n")
    elif not quiet:
        output.put(_table(statistics))


def _size(text: str, *, native: bool) -> tuple[int, int] | None:
    if native and text == "native":
        return None
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and 32 <= int(height) <= 4096 and 32 <= int(width) <= 4096):
        raise ArgumentError("bad_argument", f"--size must be HEIGHTxWIDTH of 32 to 4096 px, not {shown(text)}")
    return int(height), int(width)


def _range(text: str) -> tuple[float, float]:
    low, _, high = text.partition("-")
    if not (low.isdecimal() and high.isdecimal() and 16 <= int(low) <= int(high) <= 1200):
        raise ArgumentError("bad_argument", f"--native must be LOW-HIGH within 16 to 1200 px, not {shown(text)}")
    return float(low), float(high)


def _frequencies(given: list[str]) -> dict[str, float]:
    known = [label.id for label in (*ATTRIBUTE_LABELS, *COLOUR_LABELS)]
    found = {}
    for text in given:
        name, _, share = text.partition("=")
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if name not in known or not 0 <= value <= 1:
            hint = "see `passerby labels` for the ids"
            raise ArgumentError(
                "bad_argument", f"--frequency must be LABEL=SHARE with a share of 0 to 1, not {shown(text)}", hint=hint
            )
        found[name] = value
    return found


def _table(statistics: Mapping[str, Any]) -> str:
    """Statistics for people: a line a label, or the few numbers of streets."""
    lines = [f"{statistics['pictures']} pictures of {statistics['persons']} persons"]
    if "labels" in statistics:
        lines.append(f"{'label':<24}{'yes':>8}{'no':>8}{'unknown':>9}")
        lines += [
            f"{name:<24}{counts['yes']:>8}{counts['no']:>8}{counts['unknown']:>9}"
            for name, counts in statistics["labels"].items()
        ]
    return "\n".join(lines) + "\n"
