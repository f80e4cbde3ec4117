# SPDX-License-Identifier: Apache-2.0
"""The pictures that a list names: that each is there, inside the folder and a file. None is opened here."""

from __future__ import annotations

import errno
import os
import posixpath
import re
import stat
from collections.abc import Set
from pathlib import Path

from ..errors import shown
from .problems import Findings, some
from .text_files import UNSHOWABLE

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
EXAMPLES = 3
INSIDE = "the path must lie inside the data set"


class PictureFinder:
    """Finds listed pictures below `base` and remembers which of them are links that leave `root`.

    Args:
        root: the data set's folder. base: what the listed paths are relative to: `root` itself or `root/images`.
    """

    def __init__(self, root: Path, base: Path) -> None:
        self._root, self._base = Path(os.path.realpath(root)), base
        self._outside: dict[Path, bool] = {}
        self._names: dict[Path, dict[str, str]] = {}
        self._leaving: list[str] = []

    def find(self, text: str) -> tuple[str, Path, str | None]:
        """Where a listed picture is.

        Args:
            text: as it stands in the list.
        Returns:
            its name with needless parts removed, its path, and what is wrong with it, else None.
        """
        name = posixpath.normpath(text) if text else ""
        path = self._base / name
        wrong = _wrong_name(text, name)
        if wrong is None:
            wrong = self._wrong_file(name, path)
        elif "\\" in text:
            fixed = self._guess(text.replace("\\", "/"))
            wrong += f", as in {shown(fixed)}" if fixed else ""
        return name, path, wrong

    def warn(self, findings: Findings) -> None:
        """Say how many of the pictures found are links that leave the folder."""
        if self._leaving:
            count = len(self._leaving)
            findings.warn(
                f"{count} listed pictures are links that leave the folder, the data set cannot be passed on: "
                f"{some(self._leaving)}"
            )

    def _wrong_file(self, name: str, path: Path) -> str | None:
        try:
            info = path.lstat()
            is_link = stat.S_ISLNK(info.st_mode)
            if is_link:
                info = path.stat()
        except OSError as error:
            if error.errno not in _ABSENT:
                return f"{shown(name)} cannot be read ({(error.strerror or 'input/output error').lower()})"
            near = self._guess(name)
            return f"{shown(name)} does not exist" + (f", did you mean {shown(near)}?" if near else "")
        if stat.S_ISDIR(info.st_mode):
            return f"{shown(name)} is a folder, not a picture"
        if not stat.S_ISREG(info.st_mode):
            return f"{shown(name)} is no regular file"
        if info.st_size == 0:
            return f"input_empty: {shown(name)} has no bytes"
        if self._leaves(path, is_link):
            self._leaving.append(name)
        return None

    def _leaves(self, path: Path, is_link: bool) -> bool:
        if is_link:
            return not Path(os.path.realpath(path)).is_relative_to(self._root)
        folder = path.parent
        if folder not in self._outside:
            self._outside[folder] = not Path(os.path.realpath(folder)).is_relative_to(self._root)
        return self._outside[folder]

    def _guess(self, name: str) -> str | None:
        """The real name that was probably meant: other case, another suffix, or without `images/` before it."""
        for wanted in (name, f"images/{name}"):
            here, found = self._base, []
            for part in wanted.split("/"):
                known = self._listing(here)
                real = known.get(part.casefold()) or known.get(posixpath.splitext(part)[0].casefold() + ".*")
                if real is None:
                    break
                found.append(real)
                here = here / real
            else:
                if here.is_file():
                    return "/".join(found)
        return None

    def _listing(self, folder: Path) -> dict[str, str]:
        """Names in a folder by their lower case, and by their stem followed by `.*`; read once."""
        if folder not in self._names:
            try:
                names = sorted(os.listdir(folder), reverse=True)  # noqa: PTH208 - names alone, of huge folders
            except OSError:
                names = []
            stems = {posixpath.splitext(name)[0].casefold() + ".*": name for name in names}
            self._names[folder] = stems | {name.casefold(): name for name in names}
        return self._names[folder]


def warn_about_unlisted(images: Path, listed: Set[Path], findings: Findings) -> None:
    """Say how many files below `images` no list names; links to folders are not followed, hidden files not counted."""
    count = 0
    first: list[str] = []
    for folder, folders, names in os.walk(images):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and path not in listed:
                count += 1
                first += [path.relative_to(images.parent).as_posix()] if len(first) < EXAMPLES else []
    if count:
        more = f" and {count - EXAMPLES} more" if count > EXAMPLES else ""
        findings.warn(f"{count} files below {images.name} stand in no list: {some(first)}{more}")


def _wrong_name(text: str, name: str) -> str | None:
    if not text.strip():
        return "the path is empty"
    if UNSHOWABLE.search(text):
        return f"the path {shown(text)} holds control characters"
    if "\\" in text:
        return f"{shown(text)} has backslashes, write forward slashes"
    if text.startswith("/") or re.match("[A-Za-z]:", text) or name.split("/", 1)[0] == "..":
        return f"{shown(text)}: {INSIDE}"
    return None
