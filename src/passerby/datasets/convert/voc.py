# SPDX-License-Identifier: Apache-2.0
"""Reads Pascal VOC: one XML file a picture.

Corners are taken as they stand, as the original of this tool did: most tools write them from 0. They may be in any
order. `difficult` objects are kept as regions that neither count as examples nor as mistakes. `attributes`, as CVAT
writes them, are questions: those whose values are true and false are ticks, other texts a choice of one. Splits come
from lists as for LabelMe, or from `ImageSets/Main/{train,val,test}.txt`.
"""

from __future__ import annotations

import posixpath
from pathlib import Path

from ...errors import shown
from ..problems import Place
from .anno_lists import annotation_files
from .annotation import Annotations, Box, Picture, Question
from .labels import NO_WORDS, YES_WORDS
from .shapes import around
from .source_pictures import SourcePictures
from .xml_files import Node, number, read_xml

SIDES = ("xmin", "ymin", "xmax", "ymax")
# attributes that tools write beside those of the form
NOT_ASKED = {"rotation", "occluded", "track_id", "keyframe"}


def read(root: Path, named: Path | None) -> Annotations:
    """Read one file, those of the lists, or every file of the source."""
    into = Annotations(root=root)
    reader = _Reader(into)
    for name, split in annotation_files(into, named, ".xml"):
        reader.file(name, split)
    reader.finish()
    return into


class _Reader:
    def __init__(self, into: Annotations) -> None:
        self._into, self._pictures = into, SourcePictures(into)
        self._name = ""

    def file(self, name: str, split: str | None) -> None:
        self._name = name
        children: list[Node] = []
        before = self._into.findings.count
        root = read_xml(self._into.root, name, self._into.findings, children.append)
        if root != "annotation":
            if self._into.findings.count == before:
                self._into.leave_out("XML files that are none of Pascal VOC's", Place(file=name))
            return
        top = Node("annotation", {}, 1, children=children)
        picture = self._picture(top, split)
        if picture is None:
            return
        for node in top.all("object"):
            self._object(node, picture)
        self._into.add(picture)

    def finish(self) -> None:
        """Values decide what kind of question an attribute was."""
        self._pictures.warn()
        for name, question in self._into.box_questions.items():
            if {choice.casefold() for choice in question.choices} <= YES_WORDS | NO_WORDS:
                self._into.box_questions[name] = Question(name=name)

    def _picture(self, top: Node, split: str | None) -> Picture | None:
        place = Place(file=self._name)
        stem = posixpath.splitext(posixpath.basename(self._name))[0]
        file = top.text_of("filename")
        suffix = posixpath.splitext(file)[1]
        # LabelImg forgets to write a new name after a file was renamed: the annotation's own name is the second try
        texts = [file, f"{stem}{suffix}"] if suffix else [f"{file or stem}{s}" for s in (".jpg", ".png", ".jpeg")]
        folder = posixpath.dirname(self._name)
        bases = [folder, top.text_of("folder").replace("\\", "/"), "JPEGImages", "images", ""]
        bases += [posixpath.join(posixpath.dirname(folder), inner) for inner in ("JPEGImages", "images")]
        picture = self._pictures.find(texts, place, bases=bases, split=split)
        sides = [number(top.text_of("size", side)) for side in ("width", "height")]
        said = (int(sides[0]), int(sides[1])) if sides[0] and sides[1] else None  # some tools write 0
        return picture if picture and self._into.same_size(said, picture, place) else None

    def _object(self, node: Node, picture: Picture) -> None:
        place = Place(file=self._name, line=node.line)
        texts = [node.text_of("bndbox", side) for side in SIDES]
        values = [number(text) for text in texts]
        if None in values:
            wrong = SIDES[values.index(None)]
            text = texts[values.index(None)]
            said = f"{wrong} must be a number, not {shown(text)}" if text else f"bndbox has no {wrong}"
            self._into.problem(place, said)
            return
        x1, y1, x2, y2 = (v for v in values if v is not None)
        category = self._into.category(node.text_of("name"), place)
        inside = self._into.inside(around([(x1, y1), (x2, y2)]), picture, place)
        if category is None or inside is None:
            return
        answers, columns = self._attributes(node)
        for name in ("truncated", "occluded"):
            if node.first(name) is not None:
                columns[name] = "1" if node.text_of(name) == "1" else "0"
        crowd = node.text_of("difficult") == "1"
        picture.boxes.append(
            Box(place=place, category=category, xyxy=inside, crowd=crowd, answers=answers, columns=columns)
        )

    def _attributes(self, node: Node) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
        answers: dict[str, tuple[str, ...]] = {}
        columns: dict[str, str] = {}
        for item in (node.first("attributes") or Node("", {}, 0)).all("attribute"):
            name, value = item.text_of("name"), item.text_of("value")
            if name in NOT_ASKED or number(value) is not None:
                columns[name] = value
                continue
            known = self._into.box_questions.get(name, Question(name=name, kind="one"))
            choices = tuple(dict.fromkeys((*known.choices, value))) if value else known.choices
            self._into.box_questions[name] = Question(name=name, kind="one", choices=choices)
            answers[name] = (value,) if value else ()
        return answers, columns
