# SPDX-License-Identifier: Apache-2.0
"""Reads LabelMe: one JSON file a picture, with shapes and flags.

Every shape gives the box around it: a rectangle of two corners in any order or of four, a polygon, a circle given by
its centre and a point of its edge, a mask. Points and lines are left out. Flags of a picture and of a shape are ticks:
true is yes, false is no, a flag that a file lacks was not asked. Splits come from `train_anno_list.txt`,
`val_anno_list.txt` and `test_anno_list.txt` where they are there, each with the path of an annotation file a line;
without any of them all annotation files are taken.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import shown
from ..json_files import read_json
from ..problems import Place
from .anno_lists import annotation_files
from .annotation import NO, YES, Annotations, Box, Picture, Question
from .shapes import Corners, around
from .source_pictures import SourcePictures

AREAS = ("rectangle", "polygon", "circle", "mask", "oriented_rectangle")
LINES = ("point", "points", "line", "linestrip")


def read(root: Path, named: Path | None) -> Annotations:
    """Read one file, those of the lists, or every file of the source that has shapes."""
    into = Annotations(root=root)
    reader = _Reader(into)
    for name, split in annotation_files(into, named, ".json"):
        reader.file(name, split)
    reader.finish()
    return into


class _Reader:
    def __init__(self, into: Annotations) -> None:
        self._into, self._pictures = into, SourcePictures(into)
        self._name = ""

    def file(self, name: str, split: str | None) -> None:
        self._name = name
        place = Place(file=name)
        body = read_json(self._into.root, name, self._into.findings)
        if body is None:
            return
        if not isinstance(body, dict) or "shapes" not in body:
            self._into.leave_out("JSON files that are none of LabelMe's", place)
            return
        shapes = body["shapes"]
        if not isinstance(shapes, list):
            self._into.problem(Place(file=name, where="shapes"), "must be a list")
            return
        picture = self._picture(body, place, split)
        if picture is None:
            return
        picture.answers = self._flags(body.get("flags"), "flags", self._into.picture_questions)
        for i, shape in enumerate(shapes):
            self._shape(shape, f"shapes[{i}]", picture)
        self._into.add(picture)

    def finish(self) -> None:
        self._pictures.warn()

    def _picture(self, body: Mapping[str, Any], place: Place, split: str | None) -> Picture | None:
        text = body.get("imagePath")
        if not isinstance(text, str):
            self._into.problem(Place(file=self._name, where="imagePath"), "required: the path of the picture")
            return None
        folder = posixpath.dirname(self._name)
        stem = posixpath.splitext(posixpath.basename(self._name))[0]
        suffix = posixpath.splitext(text)[1]
        bases = [folder, "", "images", posixpath.join(posixpath.dirname(folder), "images")]
        picture = self._pictures.find([text, stem + suffix], place, bases=bases, split=split)
        sides = (body.get("imageWidth"), body.get("imageHeight"))
        said = (sides[0], sides[1]) if isinstance(sides[0], int) and isinstance(sides[1], int) else None
        return picture if picture and self._into.same_size(said, picture, place) else None

    def _shape(self, shape: Any, where: str, picture: Picture) -> None:
        place = Place(file=self._name, where=where)
        if not isinstance(shape, dict):
            self._into.problem(place, "must be an object")
            return
        kind = shape.get("shape_type") or "polygon"  # the oldest files have polygons only
        if kind in LINES:
            self._into.leave_out("points and lines", place)
            return
        label = shape.get("label")
        if kind not in AREAS or not isinstance(label, str):
            wrong = f"no shape is called {shown(kind)}" if isinstance(label, str) else "label is required"
            self._into.problem(place, wrong)
            return
        corners = _corners(kind, shape.get("points"))
        if corners is None:
            self._into.problem(place, "points must be a list of pairs of numbers, two or more")
            return
        category = self._into.category(label, place)
        inside = self._into.inside(corners, picture, place)
        answers = self._flags(shape.get("flags"), f"{where}.flags", self._into.box_questions)
        if category is not None and inside is not None:
            number = shape.get("group_id")
            columns = {"group_id": str(number)} if isinstance(number, int) and not isinstance(number, bool) else {}
            picture.boxes.append(Box(place=place, category=category, xyxy=inside, answers=answers, columns=columns))

    def _flags(self, flags: Any, where: str, questions: dict[str, Question]) -> dict[str, tuple[str, ...]]:
        if flags is None:
            return {}
        if not isinstance(flags, dict) or not all(isinstance(value, bool) for value in flags.values()):
            self._into.problem(Place(file=self._name, where=where), "must be an object of true and false")
            return {}
        for name in flags:
            questions.setdefault(name, Question(name=name))
        return {name: (YES if value else NO,) for name, value in flags.items()}


def _corners(kind: str, points: Any) -> Corners | None:
    """The box around the points of a shape; None where they are no such points."""
    if not isinstance(points, list) or len(points) < 2:
        return None
    pairs = [point for point in points if isinstance(point, list) and len(point) == 2]
    values = [v for pair in pairs for v in pair]
    if len(pairs) != len(points) or not all(_is_number(v) for v in values):
        return None
    if kind == "circle":
        (x, y), (edge_x, edge_y) = pairs[:2]
        radius = math.hypot(edge_x - x, edge_y - y)
        return x - radius, y - radius, x + radius, y + radius
    return around([(float(x), float(y)) for x, y in pairs])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e7
