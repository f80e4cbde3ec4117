# SPDX-License-Identifier: Apache-2.0
"""Reads the lists of a data set: whole files within the limits, lines with their numbers, `groups.csv`."""

from __future__ import annotations

import csv
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import DatasetError, shown
from .problems import Findings, Place, some

LIST_BYTES = 256 << 20
LIST_LEVELS = 32
TOO_LARGE = f"is larger than {LIST_BYTES >> 20} MiB"
GROUPS_FILE = "groups.csv"
# control characters, and halves of characters that no file can hold
UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def read_list(root: Path, name: str, findings: Findings) -> bytes | None:
    """The bytes of a file of a data set; None where it cannot be read, which is a finding then.

    The caller has seen that the file exists. Folders, pipes and devices are refused before they are opened.
    """
    path = root / name
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            findings.add(Place(file=name), "is no regular file")
            return None
        if info.st_size > LIST_BYTES:
            findings.add(Place(file=name), TOO_LARGE)
            return None
        with path.open("rb") as file:
            # reading takes memory for as much as is asked for, so no more is asked for than there is
            data = file.read(info.st_size + 1)
    except OSError as error:
        findings.add(Place(file=name), f"cannot be read ({(error.strerror or 'input/output error').lower()})")
        return None
    if len(data) > info.st_size:
        findings.add(Place(file=name), "grows while it is read")
        return None
    return data


def numbered_lines(data: bytes, name: str, findings: Findings) -> Iterator[tuple[int, str]]:
    """Lines and their numbers from 1, without their ends; blank ones at the end are nothing.

    A byte order mark is allowed. Findings: no UTF-8, an empty file, a NUL byte, a blank line between others.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        text = f"byte {column} of the line is not UTF-8 text, save the file as UTF-8"
        findings.add(Place(file=name, line=number), text)
        return
    text = text.rstrip(" \t\r\n")
    if not text:
        findings.add(Place(file=name), "is empty")
        return
    # str.splitlines would also split at signs that may stand in a name
    for number, line in enumerate(text.split("\n"), 1):
        if "\0" in line:
            findings.add(Place(file=name, line=number), "holds a NUL byte")
        elif not line.strip():
            findings.add(Place(file=name, line=number), "is empty")
        else:
            yield number, line.removesuffix("\r")


def read_columns(root: Path, findings: Findings) -> Mapping[str, Mapping[str, str]]:
    """What `groups.csv` says about each picture: columns by the picture's path. Empty without that file.

    Findings: a heading without `path`, a column twice, a row of another length, a path twice.
    """
    if not (root / GROUPS_FILE).exists():
        return {}
    data = read_list(root, GROUPS_FILE, findings)
    if data is None:
        return {}
    rows: dict[str, Mapping[str, str]] = {}
    heading: list[str] = []
    for number, line in numbered_lines(data, GROUPS_FILE, findings):
        place = Place(file=GROUPS_FILE, line=number)
        try:
            cells = [cell.strip() for cell in next(csv.reader([line]))]
        except csv.Error as error:
            findings.add(place, f"is no CSV ({shown(error)})")
            continue
        if not heading:
            heading = cells
            if cells[0] != "path" or len(cells) < 2 or len(set(cells)) != len(cells) or "" in cells:
                findings.add(place, "the heading must be path and one or more columns of different names")
                return {}
        elif len(cells) != len(heading):
            findings.add(place, f"has {len(cells)} cells, the heading has {len(heading)}")
        elif cells[0] in rows:
            findings.add(place, f"{shown(cells[0])} has a line already")
        else:
            rows[cells[0]] = dict(zip(heading[1:], cells[1:], strict=True))
    return rows


def warn_about_columns(columns: Mapping[str, Mapping[str, str]], files: set[str], findings: Findings) -> None:
    """Say which pictures have no line in `groups.csv`, and which lines have no picture."""
    if not columns:
        return
    without = sorted(files - columns.keys())
    if without:
        findings.warn(f"{len(without)} pictures have no line in {GROUPS_FILE}: {some(without)}")
    unknown = sorted(columns.keys() - files)
    if unknown:
        findings.warn(f"{len(unknown)} lines of {GROUPS_FILE} name pictures that no split lists: {some(unknown)}")


def require(root: Path, names: Mapping[str, str | None]) -> None:
    """Raise unless these files are there.

    Args:
        names: relative paths, and for each what to do without it.
    Raises:
        DatasetError: `dataset_missing`; all missing ones are named.
    """
    if not root.is_dir():
        raise DatasetError("dataset_missing", "no such folder", input=str(root), hint="check dataset_dir")
    missing = [name for name in names if not (root / name).exists()]
    if missing:
        nested = nested_folder(root, missing[0])
        hints = [names[name] for name in missing if names[name]]
        hint = nested or (hints[0] if hints else None)
        raise DatasetError("dataset_missing", f"{', '.join(missing)} missing", input=str(root), hint=hint)


def nested_folder(root: Path, name: str) -> str | None:
    """A hint at the folder below `root` that has a file of this name: archives often unpack into one of their own."""
    try:
        nested = next((child for child in sorted(root.iterdir()) if (child / name).is_file()), None)
    except OSError:
        return None
    return f"did you mean {shown(nested, 200)}?" if nested else None
