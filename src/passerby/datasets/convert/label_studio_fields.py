# SPDX-License-Identifier: Apache-2.0
"""Fields of a labelling interface of Label Studio: what was asked, and what nothing chosen means."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import shown
from ..problems import Findings, Place
from .annotation import Annotations, Box, Picture, Question
from .labels import is_tick
from .source_pictures import walk
from .xml_files import Node, read_xml

CANNOT_TELL = "cannot_tell"
# results that are no labels, and the key of their value
COLUMNS = {"number": "number", "rating": "rating", "textarea": "text"}


class Fields:
    """Collects the fields while results are read; `finish` makes questions of them.

    The labelling interface is the XML file below the source whose root is `View`.
    """

    def __init__(self, into: Annotations) -> None:
        self._into = into
        self._choices: dict[str, dict[str, None]] = {}
        self._kinds: dict[str, str] = {}  # "one" or "many" where the interface says so
        self._most: dict[str, int] = {}
        self._per_region: dict[str, set[str]] = {}  # categories that a field was answered for
        self._of_pictures: set[str] = set()
        self._read_interface()

    def _read_interface(self) -> None:
        for name in walk(self._into.root):
            if name.lower().endswith(".xml"):
                # other XML files are other tools'; a bad interface shows in the answers
                nodes: list[Node] = []
                if read_xml(self._into.root, name, Findings(), nodes.append) == "View":
                    for node in nodes:
                        self._field(node)

    def _field(self, node: Node) -> None:
        name = node.attributes.get("name", "")
        if node.tag in ("Choices", "Taxonomy") and name:
            self._kinds[name] = "many" if node.attributes.get("choice") == "multiple" else "one"
            choices = self._choices.setdefault(name, {})
            for choice in _descendants(node):
                if choice.tag == "Choice":
                    choices.setdefault(choice.attributes.get("alias") or choice.attributes.get("value", ""))
            if node.attributes.get("perRegion", "").lower() == "true":
                self._per_region.setdefault(name, set())
            else:
                self._of_pictures.add(name)
        for child in node.children:
            self._field(child)

    def answers(
        self, results: Sequence[tuple[Place, Mapping[str, Any]]], category: str | None
    ) -> tuple[dict[str, tuple[str, ...]], frozenset[str], dict[str, str]]:
        """What was answered about a region of a category, or with None about the picture.

        Returns:
            answers by field, labels that cannot be told, and columns.
        """
        answers: dict[str, tuple[str, ...]] = {}
        cannot_tell: set[str] = set()
        columns: dict[str, str] = {}
        for place, result in results:
            kind, field = result["type"], result.get("from_name")
            value = result["value"].get(COLUMNS.get(kind, kind))
            if not isinstance(field, str):
                self._into.problem(place, "from_name is required")
            elif kind in COLUMNS:
                text = value[0] if isinstance(value, list) and value else value
                columns[field] = " ".join(str(text if text is not None else "").split())[:200]
            elif kind != "choices":
                self._into.leave_out(f"answers of the kind {shown(kind, 40)}", place)
            elif not isinstance(value, list) or not all(isinstance(choice, str) for choice in value):
                self._into.problem(place, "choices must be a list of texts")
            elif field == CANNOT_TELL:
                cannot_tell.update(value)
            else:
                self._know(field, value, category)
                answers[field] = tuple(value)
        return answers, frozenset(cannot_tell), columns

    def _know(self, field: str, chosen: list[str], category: str | None) -> None:
        choices = self._choices.setdefault(field, {})
        for choice in chosen:
            choices.setdefault(choice)
        self._most[field] = max(self._most.get(field, 0), len(chosen))
        if category is None:
            self._of_pictures.add(field)
        else:
            self._per_region.setdefault(field, set()).add(category)

    def finish(self) -> None:
        """Make questions of the fields, and say what it means where nothing was chosen."""
        own = {name: self._question(name) for name in self._choices if name != CANNOT_TELL}
        self._into.picture_questions = {name: q for name, q in own.items() if name in self._of_pictures}
        self._into.box_questions = {name: q for name, q in own.items() if name in self._per_region}
        for picture in self._into.pictures:
            picture.answers = _filled(self._into.picture_questions, picture.answers)
            picture.boxes = self._boxes(picture)

    def _boxes(self, picture: Picture) -> list[Box]:
        boxes = []
        for box in picture.boxes:
            asked = {n: q for n, q in self._into.box_questions.items() if box.category in self._per_region[n]}
            boxes.append(dataclasses.replace(box, answers=_filled(asked, box.answers)))
        return boxes

    def _question(self, name: str) -> Question:
        # a lone choice is a box to tick: left alone it means no
        several = self._most.get(name, 0) > 1 or len(self._choices[name]) == 1
        kind = self._kinds.get(name) or ("many" if several else "one")
        return Question(name=name, kind="many" if kind == "many" else "one", choices=tuple(self._choices[name]))


def _filled(asked: Mapping[str, Question], answers: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Nothing chosen is no result at all: no to all choices of many, no answer to a choice of one."""
    nothing: dict[str, tuple[str, ...]] = {
        name: () for name, question in asked.items() if question.kind == "many" and not is_tick(question)
    }
    return {**nothing, **answers}


def _descendants(node: Node) -> list[Node]:
    return [node, *(inner for child in node.children for inner in _descendants(child))]
