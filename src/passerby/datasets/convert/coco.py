# SPDX-License-Identifier: Apache-2.0
"""Reads COCO: JSON files with images, annotations and categories, wherever in the folder they lie.

The split is the word in the file's name or folder (`instances_val2017.json`, `valid/_annotations.coco.json`). Ids may
be numbers or texts and begin anywhere: they join the lists of one file and are not taken over. An object's box is its
`bbox`, or without it the box around `segmentation`. `iscrowd` is kept. `attributes` of annotations, as CVAT writes
them, are questions: true and false are ticks, texts a choice of one, numbers columns. An empty text or null is no
answer, and an attribute that an annotation lacks was not asked. For labels of whole pictures each category is a label:
1 where the picture has a box of it, 0 where it has none, as the file lists all categories for all its pictures.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ...errors import shown
from ..json_files import read_json
from ..problems import Place
from .annotation import NO, YES, Annotations, Box, Picture, Question
from .shapes import Corners, around
from .source_pictures import SourcePictures, walk
from .splits import split_in_name
from .voc import NOT_ASKED

Id: TypeAlias = int | str
SECTIONS = ("images", "annotations", "categories")


def read(root: Path, named: Path | None) -> Annotations:
    """Read one file, or every JSON file of the source that has the three lists."""
    into = Annotations(root=root)
    names = [named.relative_to(root).as_posix()] if named else [n for n in walk(root) if n.lower().endswith(".json")]
    pictures = SourcePictures(into)
    for name in names:
        body = read_json(root, name, into.findings)
        if body is None:
            continue
        if not isinstance(body, dict) or not all(isinstance(body.get(key), list) for key in SECTIONS):
            if named is not None:
                into.problem(Place(file=name), "must hold an object with the lists images, annotations and categories")
            else:
                into.leave_out("JSON files without images, annotations and categories", Place(file=name))
            continue
        _File(name, into, pictures).read(body)
    pictures.warn()
    return into


class _File:
    def __init__(self, name: str, into: Annotations, pictures: SourcePictures) -> None:
        self._name, self._into, self._finder = name, into, pictures
        self._split = split_in_name(name)
        self._categories: dict[Id, str | None] = {}
        self._pictures: dict[Id, Picture | None] = {}

    def read(self, body: Mapping[str, Any]) -> None:
        for i, item in enumerate(body["categories"]):
            self._category(item, f"categories[{i}]")
        for i, item in enumerate(body["images"]):
            self._image(item, f"images[{i}]")
        for i, item in enumerate(body["annotations"]):
            self._annotation(item, f"annotations[{i}]")
        for picture in self._pictures.values():
            if picture is not None:
                self._into.add(picture)

    def _wrong(self, where: str, text: str) -> None:
        self._into.problem(Place(file=self._name, where=where), text)

    def _id(self, item: Any, key: str, where: str) -> Id | None:
        if not isinstance(item, dict):
            if key == "id":
                self._wrong(where, "must be an object")
            return None
        value = item.get(key)
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        self._wrong(f"{where}.{key}", f"must be a whole number, not {shown(repr(value))}")
        return None

    def _category(self, item: Any, where: str) -> None:
        id = self._id(item, "id", where)
        if id is None:
            return
        name = item.get("name")
        if id in self._categories:
            self._wrong(f"{where}.id", f"{shown(id)} is the id of another category already")
        elif not isinstance(name, str):
            self._wrong(f"{where}.name", "required: the name of the category")
            self._categories[id] = None
        else:
            self._categories[id] = self._into.category(name, Place(file=self._name, where=f"{where}.name"))

    def _image(self, item: Any, where: str) -> None:
        id = self._id(item, "id", where)
        if id is None:
            return
        if id in self._pictures:
            self._wrong(f"{where}.id", f"{shown(id)} is the id of another picture already")
            return
        self._pictures[id] = None
        file = item.get("file_name")
        if not isinstance(file, str):
            self._wrong(f"{where}.file_name", "required: the name of the picture")
            return
        place = Place(file=self._name, where=where)
        folder = posixpath.dirname(self._name)
        beside = posixpath.join(posixpath.dirname(folder), "images")
        bases = ["images", posixpath.join("images", self._split or ""), folder, posixpath.join(folder, "images")]
        bases += [beside, posixpath.join(beside, self._split or ""), ""]
        picture = self._finder.find([file], place, bases=bases, split=self._split)
        sides = (item.get("width"), item.get("height"))
        said = (sides[0], sides[1]) if isinstance(sides[0], int) and isinstance(sides[1], int) else None
        if picture is not None and self._into.same_size(said, picture, place):
            self._pictures[id] = picture

    def _annotation(self, item: Any, where: str) -> None:
        picture_id = self._id(item, "image_id", where)
        category_id = self._id(item, "category_id", where)
        if not isinstance(item, dict):
            self._wrong(where, "must be an object")
        if picture_id is None or category_id is None:
            return
        if picture_id not in self._pictures:
            self._wrong(f"{where}.image_id", f"no picture has the id {shown(repr(picture_id))}")
        if category_id not in self._categories:
            self._wrong(f"{where}.category_id", f"no category has the id {shown(repr(category_id))}")
        crowd = item.get("iscrowd", 0)
        if crowd not in (0, 1):
            self._wrong(f"{where}.iscrowd", f"must be 0 or 1, not {shown(repr(crowd))}")
        picture, category = self._pictures.get(picture_id), self._categories.get(category_id)
        place = Place(file=self._name, where=f"{where}.bbox")
        corners = self._corners(item, place)
        if picture is None or category is None or corners is None:
            return
        inside = self._into.inside(corners, picture, place)
        if inside is not None:
            answers, columns = self._attributes(item.get("attributes"), where)
            picture.boxes.append(
                Box(place=place, category=category, xyxy=inside, crowd=crowd == 1, answers=answers, columns=columns)
            )

    def _corners(self, item: Mapping[str, Any], place: Place) -> Corners | None:
        box = item.get("bbox")
        if box is None:
            return self._around(item.get("segmentation"), place)
        if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
            self._into.problem(place, f"must be 4 numbers: x, y, width, height, not {shown(repr(box))}")
            return None
        x, y, width, height = (float(v) for v in box)
        if width < 0 or height < 0:
            self._into.problem(place, f"width and height must not be negative, they are {width:g} and {height:g}")
            return None
        return x, y, x + width, y + height

    def _around(self, polygons: Any, place: Place) -> Corners | None:
        parts = polygons if isinstance(polygons, list) else []
        values = [v for part in parts if isinstance(part, list) for v in part]
        if len(values) < 4 or not all(map(_is_number, values)) or any(len(part) % 2 for part in parts):
            self._into.problem(place, "required: the box, or polygons to draw one around")
            return None
        return around([(float(x), float(y)) for x, y in zip(values[::2], values[1::2], strict=True)])

    def _attributes(self, body: Any, where: str) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
        answers: dict[str, tuple[str, ...]] = {}
        columns: dict[str, str] = {}
        questions = self._into.box_questions
        for name, value in body.items() if isinstance(body, dict) else ():
            known = questions.get(name)
            if value is None:
                continue
            if name in NOT_ASKED or (_is_number(value) and not isinstance(value, bool)):
                columns[name] = str(int(value) if isinstance(value, bool) else value)
            elif isinstance(value, bool | str) and (known is None or (known.kind == "tick") == isinstance(value, bool)):
                if isinstance(value, bool):
                    questions.setdefault(name, Question(name=name))
                    answers[name] = (YES if value else NO,)
                    continue
                choices = dict.fromkeys((*(known.choices if known else ()), *((value,) if value else ())))
                questions[name] = Question(name=name, kind="one", choices=tuple(choices))
                answers[name] = (value,) if value else ()
            else:
                wrong = f"{shown(name)} is here {shown(repr(value))}, elsewhere of another kind"
                self._wrong(f"{where}.attributes", wrong)
        return answers, columns


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e7
