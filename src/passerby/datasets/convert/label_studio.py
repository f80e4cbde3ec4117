# SPDX-License-Identifier: Apache-2.0
"""Reads Label Studio's JSON export: tasks with annotations; coordinates are per cent of the picture.

Rectangles, ellipses and polygons give the box around them, turned ones too; a rectangle turns about its upper left
corner. Key points, brushes and the like are left out. Of a task the annotation marked as ground truth counts, else the
newest; cancelled ones never count, predictions only on request; tasks without an annotation are left out. Choices are
questions: with `<Choices>` of the labelling interface (its XML saved beside the export) all choices are known, and
which fields take one; without it, those that somebody chose, and a field takes one when nobody chose two. Nothing
chosen in a field of many is no to all; nothing chosen in a field of one was not answered. A field called `cannot_tell`
names labels that cannot be told. A field per region was asked of the categories where somebody answered it. Numbers,
ratings and texts are columns, and so are the other short texts of a task's data.

Format: labelstud.io, "Label Studio JSON format of annotated tasks".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import shown
from ..json_files import read_json
from ..problems import Place
from .annotation import Annotations, Box, Picture
from .label_studio_fields import Fields
from .label_studio_shapes import LABELS, REGIONS, corners
from .label_studio_urls import picture_names, picture_text
from .source_pictures import SourcePictures, walk

COLUMN_LENGTH = 200


def read(root: Path, named: Path | None, *, predictions: bool = False) -> Annotations:
    """Read one export, or every JSON file of the source that is a list of tasks.

    Args:
        root, named: the folder, and the file where one is named.
        predictions: take a model's first guess for tasks that nobody has answered.
    """
    into = Annotations(root=root)
    names = [named.relative_to(root).as_posix()] if named else [n for n in walk(root) if n.lower().endswith(".json")]
    reader = _Reader(into, predictions)
    for name in names:
        body = read_json(root, name, into.findings)
        if isinstance(body, dict) and "data" in body:
            body = [body]  # storage targets hold a file a task
        if not isinstance(body, list) or not all(isinstance(task, dict) for task in body):
            if body is not None:
                into.leave_out("JSON files that are no export of tasks", Place(file=name))
            continue
        for i, task in enumerate(body):
            reader.task(task, name, f"[{i}]")
    reader.finish()
    return into


class _Reader:
    def __init__(self, into: Annotations, predictions: bool) -> None:
        self._into, self._pictures, self._predictions = into, SourcePictures(into), predictions
        self._fields = Fields(into)
        self._name = ""

    def task(self, task: Mapping[str, Any], name: str, where: str) -> None:
        self._name = name
        place = Place(file=name, where=where)
        data = task.get("data")
        if not isinstance(data, dict):
            self._into.problem(place, "has no data: export as JSON, not as JSON-MIN")
            return
        where, annotation = _chosen(task, where, predictions=self._predictions)
        if annotation is None:
            self._into.leave_out("tasks without an annotation", place)
            return
        results = annotation.get("result")
        if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
            self._into.problem(Place(file=name, where=f"{where}.result"), "must be a list of objects")
            return
        key, text = picture_text(data)
        if text is None:
            self._into.problem(Place(file=name, where="data"), "names no picture")
            return
        picture = self._pictures.find(picture_names(text), place, bases=("", "images"))
        if picture is None:
            return
        picture.columns = {
            k: v for k, v in data.items() if k != key and isinstance(v, str) and v and len(v) <= COLUMN_LENGTH
        }
        _Task(self, picture, where).read(results)
        self._into.add(picture)

    def finish(self) -> None:
        self._pictures.warn()
        self._fields.finish()

    @property
    def into(self) -> Annotations:
        return self._into

    @property
    def fields(self) -> Fields:
        return self._fields

    @property
    def name(self) -> str:
        return self._name


def _chosen(task: Mapping[str, Any], where: str, *, predictions: bool) -> tuple[str, Mapping[str, Any] | None]:
    """The annotation that counts, and its place."""
    key = "annotations" if isinstance(task.get("annotations"), list) else "completions"
    given = task.get(key)
    valid = [
        (bool(a.get("ground_truth")), str(a.get("updated_at") or a.get("created_at") or ""), i, a)
        for i, a in enumerate(given if isinstance(given, list) else ())
        if isinstance(a, dict) and not a.get("was_cancelled")
    ]
    if not valid:
        guesses = task.get("predictions") if predictions else None
        guess = guesses[0] if isinstance(guesses, list) and guesses else None
        return (f"{where}.predictions[0]", guess) if isinstance(guess, dict) else (where, None)
    _, _, number, annotation = max(valid, key=lambda one: one[:3])
    return f"{where}.{key}[{number}]", annotation


class _Task:
    """Turns the results of one annotation into boxes and answers. Results of one region share an id."""

    def __init__(self, reader: _Reader, picture: Picture, where: str) -> None:
        self._into, self._fields, self._name = reader.into, reader.fields, reader.name
        self._picture, self._where = picture, where

    def read(self, results: list[Mapping[str, Any]]) -> None:
        regions: dict[str, list[tuple[Place, Mapping[str, Any]]]] = {}
        whole: list[tuple[Place, Mapping[str, Any]]] = []
        for i, result in enumerate(results):
            place = Place(file=self._name, where=f"{self._where}.result[{i}]")
            kind, value = result.get("type"), result.get("value")
            if kind == "relation":
                continue
            if not isinstance(kind, str) or not isinstance(value, dict):
                self._into.problem(place, "must have a type and a value")
            elif kind in REGIONS or kind in LABELS or "x" in value or "points" in value or "rle" in value:
                regions.setdefault(str(result.get("id") or i), []).append((place, result))
            else:
                whole.append((place, result))
        # answers about a region carry its coordinates, or only its id
        rest: list[tuple[Place, Mapping[str, Any]]] = []
        for place, result in whole:
            own = regions.get(str(result.get("id")))
            (rest if own is None else own).append((place, result))
        answers, cannot_tell, columns = self._fields.answers(rest, None)
        self._picture.answers, self._picture.cannot_tell = answers, cannot_tell
        self._picture.columns = {**self._picture.columns, **columns}
        for region in regions.values():
            self._region(region)

    def _region(self, region: list[tuple[Place, Mapping[str, Any]]]) -> None:
        shape = next(((place, r) for place, r in region if r["type"] in REGIONS), None)
        labels = [
            (place, label)
            for place, r in region
            if isinstance(said := r["value"].get(r["type"]), list) and r["type"] in LABELS
            for label in said
        ]
        if shape is None:
            self._into.leave_out(f"regions of the kind {shown(region[0][1]['type'], 40)}", region[0][0])
            return
        place, result = shape
        box = corners(result["type"], result["value"], self._picture.size_wh)
        if box is None:
            self._into.problem(place, "has no coordinates that are numbers")
            return
        if not self._same_shape(result, place):
            return
        if len(labels) > 1 or not all(isinstance(label, str) for _, label in labels):
            self._into.problem(place, "has more than one label")
            return
        category = self._into.category(labels[0][1] if labels else "object", place)
        inside = self._into.inside(box, self._picture, place)
        if category is None or inside is None:
            return
        about = [(p, r) for p, r in region if r["type"] not in REGIONS and r["type"] not in LABELS]
        answers, cannot_tell, columns = self._fields.answers(about, category)
        self._picture.boxes.append(
            Box(
                place=place,
                category=category,
                xyxy=inside,
                answers=answers,
                cannot_tell=cannot_tell,
                columns=columns,
            )
        )

    def _same_shape(self, result: Mapping[str, Any], place: Place) -> bool:
        """Per cent fit a picture of any size, but not one that was turned since, or that was labelled turned."""
        sides = (result.get("original_width"), result.get("original_height"))
        if result.get("image_rotation") not in (None, 0):
            self._into.problem(place, "was drawn on a turned picture: turn the file and draw it again")
            return False
        if not all(isinstance(side, int) and side > 0 for side in sides):
            return True
        said_wh = (int(sides[0] or 0), int(sides[1] or 0))
        width, height = self._picture.size_wh
        if abs(said_wh[0] * height - said_wh[1] * width) <= 0.02 * said_wh[0] * height:
            return True
        return self._into.same_size(said_wh, self._picture, place)
