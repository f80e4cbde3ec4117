# SPDX-License-Identifier: Apache-2.0
"""Which annotation files belong to which split, for tools that write one file a picture."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path

from ...errors import shown
from ..problems import Place
from ..records import SPLITS
from ..text_files import numbered_lines, read_list
from .annotation import Annotations
from .source_pictures import walk

# each line names an annotation file, or a picture and behind a space its annotation file
LISTS = ("{}_anno_list.txt", "{}_list.txt")
# each line is the name of an annotation file without folder and suffix, in VOC's own layout
STEMS = "ImageSets/Main/{}.txt"


def annotation_files(into: Annotations, named: Path | None, suffix: str) -> Iterator[tuple[str, str | None]]:
    """Names of annotation files below the source and their splits.

    Args:
        into: takes problems: a listed file that is not there, one that two lists name.
        named: the one file to read, or None for those of the lists, or without lists for all.
        suffix: of annotation files, with its dot.
    """
    if named is not None:
        yield named.relative_to(into.root).as_posix(), None
        return
    files = [name for name in walk(into.root) if name.lower().endswith(suffix)]
    lists = [
        (pattern.format(split), split)
        for pattern in (*LISTS, STEMS)
        for split in SPLITS
        if (into.root / pattern.format(split)).is_file()
    ]
    if not lists:
        yield from ((name, None) for name in files)
        return
    by_stem = {posixpath.splitext(posixpath.basename(name))[0]: name for name in files}
    known = set(files)
    seen: dict[str, Place] = {}
    for list_name, split in lists:
        data = read_list(into.root, list_name, into.findings)
        for line, text in numbered_lines(data, list_name, into.findings) if data is not None else ():
            place = Place(file=list_name, line=line)
            stems = by_stem if list_name.startswith("ImageSets/") else None
            name = _named(text.strip(), suffix, known, stems)
            if name is None:
                into.problem(place, f"{shown(text)}: there is no such annotation file")
            elif name in seen:
                into.problem(place, f"{shown(name)} stands in {seen[name]} already")
            else:
                seen[name] = place
                yield name, split
    for name in files:
        if name not in seen:
            into.leave_out("annotation files that no list names", Place(file=name))


def _named(text: str, suffix: str, known: set[str], by_stem: dict[str, str] | None) -> str | None:
    """The annotation file that a line means."""
    plain = text.replace("\\", "/")
    if by_stem is not None:
        return by_stem.get(plain) or by_stem.get(plain.split()[0])
    # names may hold spaces: the whole line first, then what stands behind one
    starts = [0, *(i + 1 for i, sign in enumerate(plain) if sign in " \t")]
    for start in starts:
        name = posixpath.normpath(plain[start:].strip())
        if name in known and name.lower().endswith(suffix):
            return name
    return None
