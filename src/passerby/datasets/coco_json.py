# SPDX-License-Identifier: Apache-2.0
"""One file `instance_<split>.json` in COCO's form: what is in it, each value checked where it stands.

Only the fields that training uses are read; masks, areas, licences and the like are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import shown
from ..formats.strict_json import load_json
from .pictures import PictureFinder
from .problems import Findings, Place
from .text_files import LIST_LEVELS, UNSHOWABLE, read_list

Id: TypeAlias = int | str


@dataclass(slots=True)
class Picture:
    """A listed picture; `size_wh` is None where the file does not say it. Boxes are x1 y1 x2 y2, not clipped yet."""

    place: Place
    file: str
    path: Path
    size_wh: tuple[int, int] | None
    boxes: list[tuple[Place, tuple[float, float, float, float], Id, bool]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoFile:
    """What one file says.

    Attributes:
        name: relative to the data set's folder.
        categories: names by id, in the order of the file.
        pictures: those that are right, in the order of the file.
    """

    name: str
    categories: Mapping[Id, str]
    pictures: tuple[Picture, ...]


def read_coco(root: Path, name: str, finder: PictureFinder, findings: Findings) -> CocoFile | None:
    """Read one file; None when it is no such file at all."""
    data = read_list(root, name, findings)
    if data is None:
        return None
    try:
        # the size of the file is the limit here: counts that are plenty for a network are few for a large data set
        body = load_json(data, levels=LIST_LEVELS, most={})
    except ValueError as error:
        findings.add(Place(file=name), shown(error, 160))
        return None
    if not isinstance(body, dict):
        findings.add(Place(file=name), "must hold an object with images, annotations and categories")
        return None
    return _Reader(name, finder, findings).read(body)


class _Reader:
    """Checks one document; whatever is wrong becomes a finding and is left out."""

    def __init__(self, name: str, finder: PictureFinder, findings: Findings) -> None:
        self._name, self._finder, self._findings = name, finder, findings
        self._pictures: dict[Id, Picture] = {}
        self._listed: set[Id] = set()
        self._categories: dict[Id, str] = {}
        self._category_ids: set[Id] = set()

    def read(self, body: Mapping[str, Any]) -> CocoFile:
        images = self._section(body, "images")
        if images == []:
            self._add("images", "is empty")
        for i, item in enumerate(self._section(body, "categories") or ()):
            self._category(item, f"categories[{i}]")
        files: dict[str, int] = {}
        for i, item in enumerate(images or ()):
            self._picture(item, i, files)
        ids: dict[Id, int] = {}
        for i, item in enumerate(self._section(body, "annotations") or ()):
            self._annotation(item, i, ids)
        return CocoFile(name=self._name, categories=self._categories, pictures=tuple(self._pictures.values()))

    def _add(self, where: str, text: str) -> None:
        self._findings.add(Place(file=self._name, where=where), text)

    def _section(self, body: Mapping[str, Any], key: str) -> list[Any] | None:
        value = body.get(key)
        if value is None:
            self._add(key, "required, but missing")
        elif not isinstance(value, list):
            self._add(key, "must be a list")
        else:
            return value
        return None

    def _object(self, item: Any, where: str) -> Mapping[str, Any] | None:
        if isinstance(item, dict):
            return item
        self._add(where, "must be an object")
        return None

    def _id(self, body: Mapping[str, Any], key: str, where: str) -> Id | None:
        value = body.get(key)
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        said = "required, but missing" if value is None else f"must be a whole number, not {shown(repr(value))}"
        self._add(f"{where}.{key}", said)
        return None

    def _category(self, item: Any, where: str) -> None:
        body = self._object(item, where)
        id = self._id(body, "id", where) if body is not None else None
        if body is None or id is None:
            return
        name = body.get("name")
        if id in self._category_ids:
            self._add(f"{where}.id", f"{shown(id)} is the id of another category already")
        elif not isinstance(name, str) or not name.strip() or UNSHOWABLE.search(name):
            self._add(f"{where}.name", f"must be text without control characters, not {shown(repr(name))}")
        elif name.strip() in self._categories.values():
            self._add(f"{where}.name", f"{shown(name)} is the name of another category already")
        else:
            self._categories[id] = name.strip()
        self._category_ids.add(id)

    def _picture(self, item: Any, number: int, files: dict[str, int]) -> None:
        where = f"images[{number}]"
        body = self._object(item, where)
        id = self._id(body, "id", where) if body is not None else None
        if body is None or id is None:
            return
        if id in self._listed:
            self._add(f"{where}.id", f"{shown(id)} is the id of another picture already")
            return
        self._listed.add(id)
        text = body.get("file_name")
        if not isinstance(text, str):
            self._add(f"{where}.file_name", "required, but missing" if text is None else "must be text")
            return
        file, path, wrong = self._finder.find(text)
        size, size_wrong = _size(body)
        if wrong is None and files.setdefault(file, number) != number:
            wrong = f"{shown(file)} is listed as images[{files[file]}] already"
        if wrong:
            self._add(f"{where}.file_name", wrong)
        if size_wrong:
            self._add(where, size_wrong)
        if not wrong and not size_wrong:
            self._pictures[id] = Picture(Place(file=self._name, where=where), file, path, size)

    def _annotation(self, item: Any, number: int, ids: dict[Id, int]) -> None:
        where = f"annotations[{number}]"
        body = self._object(item, where)
        if body is None:
            return
        if body.get("id") is not None:  # nothing here needs it, but two alike are a sign of files badly joined
            id = self._id(body, "id", where)
            if id is not None and ids.setdefault(id, number) != number:
                self._add(f"{where}.id", f"{shown(id)} is the id of annotations[{ids[id]}] already")
                return
        picture_id, category_id = self._id(body, "image_id", where), self._id(body, "category_id", where)
        box = self._box(body.get("bbox"), f"{where}.bbox")
        crowd = body.get("iscrowd", 0)
        if crowd not in (0, 1):
            self._add(f"{where}.iscrowd", f"must be 0 or 1, not {shown(repr(crowd))}")
        if picture_id is not None and picture_id not in self._listed:
            self._add(f"{where}.image_id", f"no picture has the id {shown(repr(picture_id))}")
        if category_id is not None and category_id not in self._category_ids:
            self._add(f"{where}.category_id", f"no category has the id {shown(repr(category_id))}")
        picture = self._pictures.get(picture_id) if picture_id is not None else None
        if picture is not None and category_id in self._categories and box is not None and crowd in (0, 1):
            picture.boxes.append((Place(file=self._name, where=f"{where}.bbox"), box, category_id, crowd == 1))

    def _box(self, value: Any, where: str) -> tuple[float, float, float, float] | None:
        if value is None:
            self._add(where, "required, but missing")
        elif not isinstance(value, list) or len(value) != 4:
            self._add(where, "must be 4 numbers: x, y, width, height")
        elif not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
            self._add(where, f"must be 4 numbers, each written as a number and not as {shown(repr(value))}")
        elif any(abs(v) > 1e7 for v in value):
            self._add(where, "holds a number beyond any picture")
        elif value[2] <= 0 or value[3] <= 0:
            side = "width" if value[2] <= 0 else "height"
            self._add(where, f"the {side} must be greater than 0, it is {value[2] if side == 'width' else value[3]}")
        else:
            x, y, width, height = (float(v) for v in value)
            return x, y, x + width, y + height
        return None


def _size(body: Mapping[str, Any]) -> tuple[tuple[int, int] | None, str | None]:
    """Width and height where both are given, and what is wrong with them."""
    width, height = body.get("width"), body.get("height")
    if width is None and height is None:
        return None, None
    for name, side in (("width", width), ("height", height)):
        if not isinstance(side, int) or isinstance(side, bool) or not 0 < side <= 1 << 20:
            return None, f"{name} must be a whole number of pixels, not {shown(repr(side))}"
    return (width, height), None  # type: ignore[return-value]  # both are whole numbers, as the loop has seen
