# SPDX-License-Identifier: Apache-2.0
"""Takes pictures over into a new data set: as copies, or as links where there is no room for copies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from ..errors import OutputError, shown
from ..files import atomic_write
from ..sources import read_file

PictureTransfer = Literal["copy", "link"]


def must_be_new(folder: Path) -> None:
    """
    Raises:
        OutputError: `output_conflict`, the folder holds something, or a file has its name.
    """
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        hint = "name a new folder"
        raise OutputError("output_conflict", "the folder is not empty", input=str(folder), hint=hint)


def must_be_apart(source: Path, target: Path) -> None:
    """
    Raises:
        OutputError: `output_conflict`, the target lies in the source, whose pictures are looked for everywhere in it.
    """
    here, there = Path(os.path.realpath(source)), Path(os.path.realpath(target))
    if there == here or there.is_relative_to(here):
        hint = "name a folder beside it"
        raise OutputError("output_conflict", f"lies in {shown(source, 200)}", input=str(target), hint=hint)


def take_over(source: Path, target: Path, how: PictureTransfer) -> None:
    """Copy a file byte for byte, or make a link to it.

    Raises:
        InputError: the source cannot be read. OutputError: `output_conflict`, something of that name is there;
            `output_full`, `output_unwritable`.
    """
    if os.path.lexists(target):
        raise OutputError("output_conflict", "something of that name is there already", input=str(target))
    if how == "copy":
        atomic_write(target, read_file(str(source)))
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(os.path.realpath(source))
    except OSError as error:
        reason = (error.strerror or "no reason given").lower()
        hint = "copy the pictures instead"
        raise OutputError("output_unwritable", f"cannot link ({reason})", input=str(target), hint=hint) from None
