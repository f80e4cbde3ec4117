# SPDX-License-Identifier: Apache-2.0
"""PETA as a folder in the layout MLClsDataset, with the 35 attributes that papers report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from passerby.datasets.transfer import PictureTransfer, must_be_new, take_over
from passerby.files import atomic_write
from passerby.training.shipped.research_data import PetaPicture

from .splits import NAMES, Split

ATTRIBUTES = """
accessoryHat accessoryMuffler accessoryNothing accessorySunglasses hairLong
upperBodyCasual upperBodyFormal upperBodyJacket upperBodyLogo upperBodyPlaid
upperBodyShortSleeve upperBodyThinStripes upperBodyTshirt upperBodyOther upperBodyVNeck
lowerBodyCasual lowerBodyFormal lowerBodyJeans lowerBodyShorts lowerBodyShortSkirt lowerBodyTrousers
footwearLeatherShoes footwearSandals footwearShoes footwearSneakers
carryingBackpack carryingOther carryingMessengerBag carryingNothing carryingPlasticBags
personalLess30 personalLess45 personalLess60 personalLarger60 personalMale
""".split()
"""The 35 of 105 that PETA.mat selects and papers report; the rarest, a V-neck, holds for 1.2 % of the pictures.

As papers do, an attribute that is not among a person's tags counts as absent: nothing is unknown here.
"""
ABOUT = "split.json"


def write_dataset(
    pictures: Sequence[PetaPicture],
    split: Split,
    out: Path,
    *,
    about: Mapping[str, Any],
    transfer: PictureTransfer = "copy",
    as_published: bool = False,
) -> dict[str, int]:
    """Write pictures, label.txt, the lists, groups.csv and `split.json`.

    Args:
        out: a new folder.
        about: what the split is, kept for the evaluation.
        transfer: copy the pictures or link them.
        as_published: learn from train and val together and list the test pictures as val too, as the code behind the
            published figures does: its best epoch is chosen on test. Otherwise val chooses, and test is seen once.
    Returns:
        the number of pictures in each list.
    Raises:
        OutputError: `output_conflict`, there is something in `out`; as `files.atomic_write`.
    """
    must_be_new(out)
    for picture in pictures:
        take_over(picture.path, out / file_of(picture), transfer)
    lists = {name: [line_of(pictures[i]) for i in split[name]] for name in NAMES}
    if as_published:
        lists = {"train": lists["train"] + lists["val"], "val": lists["test"], "test": lists["test"]}
    for name, lines in lists.items():
        atomic_write(out / f"{name}.txt", ("\n".join(lines) + "\n").encode())
    names = "".join(f"{number} {name}\n" for number, name in enumerate(ATTRIBUTES))
    atomic_write(out / "label.txt", names.encode())
    groups = [f"{file_of(p)},{p.subset},{p.subset}_{p.person}" for p in pictures]
    atomic_write(out / "groups.csv", ("\n".join(["path,subset,person", *groups]) + "\n").encode())
    counts = {name: len(lines) for name, lines in lists.items()}
    body = {**about, "as_published": as_published, "pictures": counts}
    atomic_write(out / ABOUT, (json.dumps(body, indent=1) + "\n").encode())
    return counts


def file_of(picture: PetaPicture) -> str:
    """Where a picture lies in the new folder."""
    return f"images/{picture.subset}/{picture.path.name}"


def line_of(picture: PetaPicture) -> str:
    """The line of a picture: path, tab, 35 values."""
    return f"{file_of(picture)}\t{','.join(str(int(name in picture.tags)) for name in ATTRIBUTES)}"
