# SPDX-License-Identifier: Apache-2.0
"""Finds the pictures that annotations name. Tools write paths of the machine they ran on; the folder is here.

Only files below the source folder are ever taken, and each must begin like a picture.
"""

from __future__ import annotations

import os
import posixpath
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...decode import image_pages
from ...errors import InputError, shown
from ...sources import read_file
from ..problems import Place, some
from .annotation import Annotations, Picture

PICTURE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .avif .tif .tiff .bmp .dib .gif .ppm .pgm .pbm .pnm .ras".split()
)


def walk(root: Path) -> Iterator[str]:
    """Names of all files below a folder with forward slashes, sorted in each folder; hidden ones and links to folders
    are left out.
    """
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inner = Path(folder).relative_to(root).as_posix()
        for name in sorted(files):
            if not name.startswith("."):
                yield name if inner == "." else f"{inner}/{name}"


def is_picture(name: str) -> bool:
    """By its suffix."""
    return posixpath.splitext(name)[1].lower() in PICTURE_SUFFIXES


class SourcePictures:
    """Finds pictures below the folder of a source and reads their sizes."""

    def __init__(self, into: Annotations) -> None:
        self._into, self._root = into, into.root
        self._real_root = Path(os.path.realpath(into.root))
        self._index: dict[str, list[str]] | None = None
        self._leaving: list[str] = []

    def find(
        self, texts: Sequence[str], place: Place, *, bases: Sequence[str] = ("",), split: str | None = None
    ) -> Picture | None:
        """The picture that is meant, without boxes; None and a problem where there is none or it is no picture.

        Args:
            texts: how the annotation names it, the surest first.
            place: of the annotation.
            bases: folders below the root that the texts may be relative to.
            split: as the source says.
        """
        names = [text.replace("\\", "/") for text in texts if text.strip()]
        if not names:
            self._into.problem(place, "names no picture")
            return None
        if any(unicodedata.category(sign) in ("Cc", "Cs") for name in names for sign in name):
            self._into.problem(place, f"the picture's name {shown(names[0])} holds control characters")
            return None
        found = next((name for name in self._candidates(names, bases) if (self._root / name).is_file()), None)
        if found is None:
            found = self._by_tail(names, place)
        return self._sized(found, place, split) if found else None

    def warn(self) -> None:
        """Say which pictures are links that leave the folder."""
        if self._leaving:
            text = f"{len(self._leaving)} pictures are links that leave the folder: {some(self._leaving)}"
            self._into.findings.warn(text)

    def _candidates(self, names: Sequence[str], bases: Sequence[str]) -> Iterator[str]:
        for name in names:
            for base in bases:
                joined = posixpath.normpath(posixpath.join(base, name))
                if not joined.startswith(("..", "/")) and ":" not in joined.split("/")[0]:
                    yield joined

    def _by_tail(self, names: Sequence[str], place: Place) -> str | None:
        """By the last parts of the path: the file that shares most of them, if only one does."""
        if self._index is None:
            self._index = {}
            for name in walk(self._root):
                self._index.setdefault(posixpath.basename(name).casefold(), []).append(name)
        for name in names:
            same = self._index.get(posixpath.basename(name).casefold(), [])
            if not same:
                continue
            shared = [_shared_tail(name, other) for other in same]
            best = [other for other, count in zip(same, shared, strict=True) if count == max(shared)]
            if len(best) == 1:
                return best[0]
            self._into.problem(place, f"{shown(name)} may be {some(best)}: give the pictures different names")
            return None
        hint = ", which is an address: put the picture into the folder" if "://" in names[0] else ""
        self._into.problem(place, f"{shown(names[0])} does not exist below the folder{hint}")
        return None

    def _sized(self, name: str, place: Place, split: str | None) -> Picture | None:
        path = self._root / name
        if not Path(os.path.realpath(path)).is_relative_to(self._real_root):
            self._leaving.append(name)
        try:
            page = image_pages(read_file(str(path)))[0]
        except InputError as error:
            self._into.problem(place, f"{shown(name)}: {error.name}, {error.happened}")
            return None
        width, height = page.size_wh
        size_wh = (height, width) if page.orientation in (5, 6, 7, 8) else (width, height)
        return Picture(place=place, file=name, path=path, size_wh=size_wh, split=split)


def _shared_tail(one: str, other: str) -> int:
    count = 0
    for a, b in zip(reversed(one.split("/")), reversed(other.split("/")), strict=False):
        if a.casefold() != b.casefold():
            break
        count += 1
    return count
