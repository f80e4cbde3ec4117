# SPDX-License-Identifier: Apache-2.0
"""Reads `CVAT for images 1.1`: one `annotations.xml` with the images, their shapes, tags and attributes.

Boxes, polygons, polylines, masks and ellipses give the box around them, turned ones too; points, cuboids and skeletons
are left out, and so are shapes with outside="1". What the form asked stands in `meta`: a checkbox is a tick, a select
or radio a question of one choice, a number or text a column of `groups.csv`. An attribute that a shape lacks was added
to the form later: not asked. A picture's tags are ticks; in a picture without any annotation they were not asked.
`occluded` becomes a column, `subset` the split.

Format: docs.cvat.ai, "XML annotation format", version 1.1.
"""

from __future__ import annotations

import posixpath
from pathlib import Path

from ...errors import shown
from ..problems import Place
from .annotation import NO, YES, Annotations, Box, Picture, Question
from .shapes import Corners, around, around_ellipse, around_turned
from .source_pictures import SourcePictures, walk
from .splits import split_word
from .xml_files import Node, number, read_xml

SHAPES = ("box", "polygon", "polyline", "mask", "ellipse")
OTHERS = ("points", "cuboid", "skeleton")
UNDEFINED = "__undefined__"


def read(root: Path, named: Path | None) -> Annotations:
    """Read a file, or every XML file of the source that holds such annotations."""
    into = Annotations(root=root)
    names = [named.relative_to(root).as_posix()] if named else [n for n in walk(root) if n.lower().endswith(".xml")]
    reader = _Reader(into)
    for name in names:
        reader.file(name)
    reader.finish()
    return into


class _Reader:
    def __init__(self, into: Annotations) -> None:
        self._into, self._pictures = into, SourcePictures(into)
        self._name = ""
        # what the form asks about a label, and its other attributes
        self._asked: dict[str, dict[str, Question]] = {}
        self._columns: dict[str, set[str]] = {}
        self._tags: dict[str, Question] = {}
        self._tracks = 0

    def file(self, name: str) -> None:
        self._name = name
        before = self._into.findings.count
        root = read_xml(self._into.root, name, self._into.findings, self._child)
        if root is not None and root != "annotations" and self._into.findings.count == before:
            self._into.leave_out("XML files that are none of CVAT's", Place(file=name))
        if self._tracks:
            text = f"holds {self._tracks} tracks of a video, export it as `CVAT for images 1.1`"
            self._into.problem(Place(file=name), text)
            self._tracks = 0

    def finish(self) -> None:
        """Tags are asked of every picture that was annotated."""
        self._pictures.warn()
        drawn = {box.category for picture in self._into.pictures for box in picture.boxes}
        for name in self._tags:  # a label of any kind that was only used as a tag is no category
            if name not in drawn:
                self._into.categories.pop(name, None)
        self._into.picture_questions = dict(self._tags)
        for picture in self._into.pictures:
            if picture.answers or picture.boxes:
                picture.answers = {name: (NO,) for name, q in self._tags.items() if q.kind == "tick"} | dict(
                    picture.answers
                )

    def _child(self, node: Node) -> None:
        if node.tag == "image":
            self._image(node)
        elif node.tag == "meta":
            for label in _labels(node):
                self._label(label)
        elif node.tag == "track":
            self._tracks += 1

    def _label(self, node: Node) -> None:
        name = node.text_of("name")
        kind = node.text_of("type")
        asked, columns = self._asked.setdefault(name, {}), self._columns.setdefault(name, set())
        for item in (node.first("attributes") or node).all("attribute"):
            question = _question(item)
            if question is None:
                columns.add(item.text_of("name"))
                continue
            asked[question.name] = question
            self._merge(self._tags if kind == "tag" else self._into.box_questions, question, item)
        if kind == "tag":
            self._tags.setdefault(name, Question(name=name))
        elif name and kind not in OTHERS:
            self._into.category(name, Place(file=self._name, line=node.line))

    def _merge(self, known: dict[str, Question], question: Question, node: Node) -> None:
        """Two labels may ask the same; of a choice they may offer different values."""
        earlier = known.setdefault(question.name, question)
        if earlier.kind != question.kind:
            place = Place(file=self._name, line=node.line)
            self._into.problem(place, f"{shown(question.name)} is a tick for one label and a choice for another")
            return
        choices = tuple(dict.fromkeys((*earlier.choices, *question.choices)))
        known[question.name] = Question(name=question.name, kind=question.kind, choices=choices)

    def _image(self, node: Node) -> None:
        place = Place(file=self._name, line=node.line)
        folder = posixpath.dirname(self._name)
        subset = node.attributes.get("subset", "")
        bases = [posixpath.join(folder, *parts) for parts in ((), ("images",), ("images", subset))]
        split = split_word(subset)
        picture = self._pictures.find([node.attributes.get("name", "")], place, bases=bases, split=split)
        if picture is None or not self._into.same_size(_size(node), picture, place):
            return
        for child in node.children:
            if child.tag in SHAPES:
                self._shape(child, picture)
            elif child.tag == "tag":
                self._tag(child, picture)
            elif child.tag in OTHERS:
                self._into.leave_out(f"shapes of the kind {child.tag}", self._at(child))
        self._into.add(picture)

    def _at(self, node: Node) -> Place:
        return Place(file=self._name, line=node.line)

    def _shape(self, node: Node, picture: Picture) -> None:
        place = self._at(node)
        if node.attributes.get("outside") == "1":
            self._into.leave_out("shapes that are outside of their picture", place)
            return
        label = node.attributes.get("label", "")
        corners = _corners(node)
        if corners is None:
            self._into.problem(place, f"the {node.tag} has no coordinates that are numbers")
            return
        category = self._into.category(label, place)
        inside = self._into.inside(corners, picture, place)
        if category is None or inside is None:
            return
        answers, columns = self._attributes(node, label)
        columns["occluded"] = "1" if node.attributes.get("occluded") == "1" else "0"
        box = Box(place=place, category=category, xyxy=inside, answers=answers, columns=columns)
        picture.boxes.append(box)

    def _tag(self, node: Node, picture: Picture) -> None:
        name = node.attributes.get("label", "")
        self._tags.setdefault(name, Question(name=name))
        answers, columns = self._attributes(node, name)
        # a label of any kind may be used as a tag; what it asks is then a question about the picture
        for question in self._asked.get(name, {}).values():
            self._tags.setdefault(question.name, question)
        picture.answers = {**picture.answers, name: (YES,), **answers}
        picture.columns = {**picture.columns, **columns}

    def _attributes(self, node: Node, label: str) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
        """Answers and columns of a shape or tag."""
        answers: dict[str, tuple[str, ...]] = {}
        columns: dict[str, str] = {}
        asked, others = self._asked.get(label), self._columns.get(label, set())
        for item in node.all("attribute"):
            name = item.attributes.get("name", "")
            question = asked.get(name) if asked is not None else None
            if question is not None:
                answers[name] = self._answer(question, item)
            elif name in others:
                columns[name] = item.text
            else:
                self._into.problem(self._at(item), f"meta does not say what the attribute {shown(name)} is")
        return answers, columns

    def _answer(self, question: Question, node: Node) -> tuple[str, ...]:
        if question.kind == "one" and node.text not in (*question.choices, UNDEFINED, ""):
            self._into.problem(self._at(node), f"{shown(node.text)} is no value of {shown(question.name)} in meta")
        return (node.text,) if node.text else ()


def _labels(meta: Node) -> list[Node]:
    """Labels of a task, a project or a job."""
    found = []
    for part in ("task", "project", "job"):
        labels = meta.first(part, "labels")
        found += labels.all("label") if labels else []
    return found


def _question(node: Node) -> Question | None:
    """What an attribute of the form asks; None for text and numbers."""
    kind, name = node.text_of("input_type").lower(), node.text_of("name")
    if kind == "checkbox":
        return Question(name=name)
    if kind in ("select", "radio"):
        values = tuple(dict.fromkeys(value.strip() for value in node.text_of("values").split("\n")))
        return Question(name=name, kind="one", choices=values)
    return None


def _size(node: Node) -> tuple[int, int] | None:
    sides = [node.attributes.get(side, "") for side in ("width", "height")]
    return (int(sides[0]), int(sides[1])) if all(s.isascii() and s.isdigit() and len(s) < 9 for s in sides) else None


def _corners(node: Node) -> Corners | None:
    """The box around a shape, px; None where a coordinate is missing or no number."""

    def get(*names: str) -> list[float] | None:
        values = [number(node.attributes.get(name, "")) for name in names]
        return [v for v in values if v is not None] if None not in values else None

    degrees = number(node.attributes.get("rotation", "0"))
    if degrees is None:
        return None
    if node.tag == "box":
        box = get("xtl", "ytl", "xbr", "ybr")
        return around_turned((box[0], box[1], box[2], box[3]), degrees) if box else None
    if node.tag == "ellipse":
        values = get("cx", "cy", "rx", "ry")
        return around_ellipse((values[0], values[1]), (values[2], values[3]), degrees) if values else None
    if node.tag == "mask":
        sides = get("left", "top", "width", "height")
        return (sides[0], sides[1], sides[0] + sides[2], sides[1] + sides[3]) if sides else None
    points = []
    for text in node.attributes.get("points", "").split(";"):
        x, _, y = text.partition(",")
        point = (number(x), number(y))
        if point[0] is None or point[1] is None:
            return None
        points.append((point[0], point[1]))
    return around(points)
