# SPDX-License-Identifier: Apache-2.0
"""Reads YOLO: a text file a picture, a line a box, shares of the picture's sides in place of px.

A line is a class and a box (centre x, centre y, width, height), or a class and a polygon of three points or more, which
gives the box around it; where `data.yaml` has `kpt_shape`, key points behind the box are left alone. Names come from
`data.yaml` (or any one YAML file with `names`), or from `classes.txt` or `obj.names`. Splits come from `train`, `val`
and `test` in that YAML file, each a folder, a list of them, or a text file of paths; without one, from folders of that
name. A listed picture without a label file has no objects.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import shown
from ...formats.safe_yaml import YamlLimits, YamlProblem, load_yaml
from ..problems import Place
from ..records import SPLITS
from ..text_files import numbered_lines, read_list
from .annotation import Annotations, Box, Picture
from .shapes import Corners, around
from .source_pictures import SourcePictures, is_picture, walk
from .splits import split_in_name
from .xml_files import number

NAMES_FILES = ("classes.txt", "obj.names")
# a list of ten thousand class names
LIMITS = YamlLimits(nodes=50_000)


def read(root: Path, named: Path | None) -> Annotations:
    """Read a source; the one file that may be named is its YAML file."""
    into = Annotations(root=root)
    reader = _Reader(into)
    config, place = reader.config(named)
    classes = reader.classes(config, place)
    if classes is None:
        return into
    for name, split in reader.listed(config, place):
        reader.picture(name, split, classes)
    reader.finish()
    return into


class _Reader:
    def __init__(self, into: Annotations) -> None:
        self._into, self._pictures = into, SourcePictures(into)
        self._files = list(walk(into.root))
        self._known = set(self._files)
        self._key_points = False
        self._read: set[str] = set()

    def finish(self) -> None:
        """Say what was not read."""
        for name in self._files:
            is_labels = name.endswith(".txt") and "labels" in name.split("/")[:-1]
            if is_labels and name not in self._read and posixpath.basename(name) not in NAMES_FILES:
                self._into.leave_out("label files without a listed picture", Place(file=name))
        self._pictures.warn()

    def config(self, named: Path | None) -> tuple[dict[str, Any], Place]:
        """The YAML file that has `names`, and its place; without one an empty mapping."""
        found: list[tuple[dict[str, Any], Place]] = []
        names = [name for name in self._files if name.lower().endswith((".yaml", ".yml")) and name.count("/") < 2]
        for name in [named.relative_to(self._into.root).as_posix()] if named else names:
            data = read_list(self._into.root, name, self._into.findings)
            try:
                body = load_yaml(data, limits=LIMITS).value if data is not None else None
            except YamlProblem as problem:
                self._into.problem(Place(file=name, line=problem.line), problem.text)
                continue
            if isinstance(body, dict) and "names" in body:
                found.append((body, Place(file=name)))
            elif named:
                self._into.problem(Place(file=name), "must be a mapping with the key names")
        if len(found) > 1:
            places = ", ".join(str(place) for _, place in found)
            self._into.problem(found[1][1], f"several files have names ({places}): name the one that counts")
        body, place = found[0] if found else ({}, Place(file="data.yaml"))
        self._key_points = "kpt_shape" in body
        return body, place

    def classes(self, config: dict[str, Any], place: Place) -> list[str] | None:
        """Names by class number; None and a problem where there are none."""
        said = config.get("names")
        if isinstance(said, dict):
            # numbers may be quoted; they must count from 0
            by_number = {str(key): value for key, value in said.items()}
            said = [by_number.get(str(i)) for i in range(len(by_number))]
        if said is not None:
            if not isinstance(said, list) or not said or not all(isinstance(name, str | int) for name in said):
                self._into.problem(place, "names must be a list of names, or names by number from 0")
                return None
            return self._categories([(str(name), place) for name in said])
        file = next((name for name in self._files if posixpath.basename(name) in NAMES_FILES), None)
        data = read_list(self._into.root, file, self._into.findings) if file else None
        if file is None or data is None:
            self._into.problem(place, f"there is no such file with names, and no {' or '.join(NAMES_FILES)}")
            return None
        lines = numbered_lines(data, file, self._into.findings)
        return self._categories([(text, Place(file=file, line=line)) for line, text in lines])

    def _categories(self, names: list[tuple[str, Place]]) -> list[str] | None:
        found = [self._into.category(name, place) for name, place in names]
        for name, (_, place) in zip(found, names, strict=True):
            if found.count(name) > 1 and name is not None:
                self._into.problem(place, f"the name {shown(name)} stands twice")
                return None
        return [name for name in found if name is not None] if None not in found else None

    def listed(self, config: dict[str, Any], place: Place) -> Iterator[tuple[str, str | None]]:
        """Pictures and their splits."""
        said = {split: config.get(split) for split in SPLITS}
        said["val"] = said["val"] or config.get("valid")
        if not any(said.values()):
            labelled = [name for name in self._files if is_picture(name) and self._label_file(name)]
            for name in self._files:
                if is_picture(name) and not self._label_file(name):
                    self._into.leave_out("pictures without a label file", Place(file=name))
            yield from ((name, split_in_name(posixpath.dirname(name))) for name in labelled)
            return
        seen: dict[str, str] = {}
        for split, entries in said.items():
            for entry in entries if isinstance(entries, list) else [entries]:
                for name in self._entry(entry, config.get("path"), place) if entry else ():
                    if seen.setdefault(name, split) == split:
                        yield name, split
                    else:
                        self._into.problem(place, f"{shown(name)} is in {seen[name]} and in {split}")

    def _entry(self, entry: Any, base: Any, place: Place) -> list[str]:
        """Pictures of one entry: a folder or a text file."""
        text = entry.replace("\\", "/") if isinstance(entry, str) else ""
        prefix = base.replace("\\", "/") if isinstance(base, str) else ""
        here = posixpath.dirname(place.file)
        tails = [text, text.removeprefix("../"), text.removeprefix("./../")]
        candidates = [posixpath.normpath(posixpath.join(here, inner, tail)) for tail in tails for inner in (prefix, "")]
        for name in candidates:
            if name in self._known and name.endswith(".txt"):
                return self._in_text_file(name)
            inside = [n for n in self._files if (name == "." or n.startswith(f"{name}/")) and is_picture(n)]
            if inside:
                return inside
        self._into.problem(place, f"{shown(repr(entry))} is no folder with pictures and no list below the source")
        return []

    def _in_text_file(self, name: str) -> list[str]:
        data = read_list(self._into.root, name, self._into.findings)
        found = []
        for line, text in numbered_lines(data, name, self._into.findings) if data is not None else ():
            folder = posixpath.dirname(name)
            picture = self._pictures.find([text.strip()], Place(file=name, line=line), bases=("", folder))
            found += [picture.file] if picture else []
        return found

    def _label_file(self, name: str) -> str | None:
        """Where the boxes of a picture stand: `labels` in place of the last `images`, or beside it."""
        stem = posixpath.splitext(name)[0]
        parts = stem.split("/")
        places = [i for i, part in enumerate(parts[:-1]) if part == "images"]
        swapped = ["/".join([*parts[:i], "labels", *parts[i + 1 :]]) for i in reversed(places)]
        names = [f"{path}.txt" for path in (*swapped, stem)]
        return next((n for n in names if n in self._known and posixpath.basename(n) not in NAMES_FILES), None)

    def picture(self, name: str, split: str | None, classes: list[str]) -> None:
        file = self._label_file(name)
        picture = self._pictures.find([name], Place(file=file or name), split=split)
        if picture is None:
            return
        self._read.add(file or "")
        data = read_list(self._into.root, file, self._into.findings) if file else b""
        # blank lines between others are common; what is no text is no number either
        for line, text in enumerate((data or b"").decode("utf-8-sig", "replace").split("\n"), 1):
            if text.strip():
                self._box(text.split(), Place(file=file or name, line=line), picture, classes)
        self._into.add(picture)

    def _box(self, words: list[str], place: Place, picture: Picture, classes: list[str]) -> None:
        values = [number(word) for word in words]
        numbers = [v for v in values if v is not None]
        if len(numbers) != len(values) or not numbers:
            self._into.problem(place, f"must be numbers, not {shown(' '.join(words))}")
            return
        if not numbers[0].is_integer() or not 0 <= numbers[0] < len(classes):
            self._into.problem(place, f"the class must be from 0 to {len(classes) - 1}, not {shown(words[0])}")
            return
        shares = self._shares(numbers[1:], place)
        if shares is None:
            return
        if max(map(abs, shares)) > 2:
            self._into.problem(place, f"must be shares of the picture between 0 and 1, not {shown(' '.join(words))}")
            return
        width, height = picture.size_wh
        corners = (shares[0] * width, shares[1] * height, shares[2] * width, shares[3] * height)
        inside = self._into.inside(corners, picture, place)
        if inside is not None:
            picture.boxes.append(Box(place=place, category=classes[int(numbers[0])], xyxy=inside))

    def _shares(self, values: list[float], place: Place) -> Corners | None:
        count = len(values)
        if count == 4 or (self._key_points and count > 4):
            x, y, width, height = values[:4]
            return x - width / 2, y - height / 2, x + width / 2, y + height / 2
        if count >= 6 and count % 2 == 0:
            return around(list(zip(values[::2], values[1::2], strict=True)))
        hint = ", is the last one a confidence? These would be guesses, not labels" if count == 5 else ""
        self._into.problem(place, f"must be a class and 4 numbers, or 6 and more for a polygon, not {count}{hint}")
        return None
