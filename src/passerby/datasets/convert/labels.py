# SPDX-License-Identifier: Apache-2.0
"""Makes labels of questions: what a network can learn of what a tool asked.

A tick is a label, and so is a question whose choices are yes, no and the like. Of any other question every choice is a
label; where only one choice can hold, they are an exclusive group. Answers:

* a tick: set is 1, not set is 0;
* a choice: chosen is 1, the others of its question are 0;
* a question of one choice without an answer, or with one such as "unknown" or "?": -1 for all its labels;
* "none" as a choice: 0 for all labels of its question, and no label of its own;
* a question that was not asked about this object, and what the annotator marked as impossible to tell: -1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import shown
from ...formats.metadata import Group, Label
from ...models.convert import labels_from_texts
from ..label_spec import label_set_of
from ..problems import Findings, Place
from ..records import UNKNOWN, LabelSet
from .annotation import NO, UNSAID, YES, Answers, Question

YES_WORDS = frozenset({"yes", "true", "1", "y", "是", "有"})
NO_WORDS = frozenset({"no", "false", "0", "n", "否", "无"})
UNKNOWN_WORDS = frozenset(
    {"", "?", "-1", "-", "unknown", "unsure", "uncertain", "not sure", "n/a", "na", "cannot tell", "can't tell"}
    | {"cannot_tell", "undefined", "__undefined__", "不确定", "未知"}
)
NONE_WORDS = frozenset({"none"})
NAME_CHARACTERS = 80  # an id is made of it, which has at most 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """One label: its name, the question it comes from, and the choice, None for a tick."""

    name: str
    question: Question
    choice: str | None


class LabelTable:
    """The labels of some questions, and answers as rows of values.

    Args:
        questions: in the order of the labels.
        given: label set that the data set shall have, found by name or id; None makes one of the questions.
        findings: takes names that cannot be names of labels, and labels that `given` lacks.
    """

    def __init__(self, questions: Sequence[Question], given: LabelSet | None, findings: Findings) -> None:
        self._columns = _columns(questions)
        own = _label_set(self._columns)
        _check_names([column.name for column in self._columns], own, findings)
        self.label_set = given or own
        names = [column.name for column in self._columns]
        self._places = _places(names, own, given, findings) if given else list(range(len(names)))

    def values(
        self, answers: Answers, cannot_tell: frozenset[str], place: Place, findings: Findings
    ) -> NDArray[np.int8]:
        """(C,) int8 in the order of the label set: 1, 0 or -1."""
        row = np.full(len(self.label_set.labels), UNKNOWN, np.int8)
        for column, at in zip(self._columns, self._places, strict=True):
            chosen = answers.get(column.question.name)
            told = column.name in cannot_tell or column.choice in cannot_tell
            if chosen is not None and at >= 0 and not told:
                row[at] = _value(column, chosen, place, findings)
        return row


def is_tick(question: Question) -> bool:
    """Whether yes and no are all there is to say."""
    words = {choice.strip().casefold() for choice in question.choices}
    return question.kind == "tick" or bool(words & YES_WORDS and words <= YES_WORDS | NO_WORDS | UNKNOWN_WORDS)


def _columns(questions: Sequence[Question]) -> list[_Column]:
    plain: list[tuple[Question, str | None]] = []
    for question in questions:
        if is_tick(question):
            plain.append((question, None))
            continue
        open_or_none = UNKNOWN_WORDS | NONE_WORDS
        plain += [(question, choice) for choice in question.choices if choice.strip().casefold() not in open_or_none]
    used = Counter(question.name if choice is None else choice for question, choice in plain)
    columns = []
    for question, choice in plain:
        name = question.name if choice is None else choice
        # "short" of sleeves and "short" of hair are two labels
        name = f"{question.name}: {choice}" if choice is not None and used[name] > 1 else name
        columns.append(_Column(name=name.strip(), question=question, choice=choice))
    return columns


def _check_names(names: Sequence[str], own: LabelSet, findings: Findings) -> None:
    """Each must fit a line of `label.txt`, and no two may be the same there."""
    taken: set[str] = set()
    for name, label in zip(names, own.labels, strict=True):
        place = Place(file="labels")
        text = text_of(label)
        if not name or not name.isprintable():
            findings.add(place, f"the name of a label must be text without control characters, not {shown(repr(name))}")
        elif len(name) > NAME_CHARACTERS:
            findings.add(
                place, f"the label {shown(name)} has {len(name)} characters, at most {NAME_CHARACTERS} will do"
            )
        elif text in taken:
            findings.add(place, f"two labels would be called {shown(text)}, give one of them another name")
        taken.add(text)


def _label_set(columns: Sequence[_Column]) -> LabelSet:
    """With a group for each question of which one choice holds, unless the names are known and have their group."""
    plain = label_set_of([column.name for column in columns])
    of: dict[str, list[int]] = {}
    for i, column in enumerate(columns):
        if column.choice is not None and column.question.kind == "one":
            of.setdefault(column.question.name, []).append(i)
    labels, groups = list(plain.labels), list(plain.groups)
    taken = {group.id for group in groups}
    for name, places in of.items():
        if len(places) < 2 or (len({labels[i].group for i in places}) == 1 and labels[places[0]].group):
            continue
        id = labels_from_texts((name,))[0].id
        number, free = 2, id
        while free in taken:
            free, number = f"{id}_{number}", number + 1
        taken.add(free)
        groups.append(Group(id=free, en="".join(sign if sign.isprintable() else " " for sign in name).strip() or free))
        for i in places:
            labels[i] = Label(id=labels[i].id, en=labels[i].en, zh=labels[i].zh, group=free)
    used = {label.group for label in labels}
    return LabelSet(labels=tuple(labels), groups=tuple(group for group in groups if group.id in used))


def _places(names: Sequence[str], own: LabelSet, given: LabelSet, findings: Findings) -> list[int]:
    """Where each label of the questions stands in the given set."""
    by: Mapping[str, int] = {
        key: i for i, label in enumerate(given.labels) for key in (label.id, label.en, label.zh, text_of(label)) if key
    }
    places: list[int] = []
    for name, label in zip(names, own.labels, strict=True):
        at = next((by[key] for key in (name, label.id) if key in by), -1)
        if at >= 0 and at in places:
            findings.add(Place(file="labels"), f"two labels of the source are {shown(given.labels[at].en)}")
        elif at < 0:
            findings.add(Place(file="labels"), f"the label {shown(name)} of the source is not in the given label file")
        places.append(at)
    return places


def text_of(label: Label) -> str:
    """A label as `label.txt` writes it.

    >>> text_of(Label(id="hat", en="Hat", zh="帽子"))
    'Hat(帽子)'
    """
    return f"{label.en}({label.zh})" if label.zh else label.en


def _value(column: _Column, chosen: tuple[str, ...], place: Place, findings: Findings) -> int:
    words = [word.strip().casefold() for word in chosen]
    question = column.question
    if column.choice is None:
        word = words[0] if words else UNSAID
        if word in YES_WORDS:
            return 1
        if word not in NO_WORDS | UNKNOWN_WORDS:
            findings.add(place, f"{shown(question.name)} must be {YES} or {NO}, not {shown(chosen[0])}")
        return 0 if word in NO_WORDS else UNKNOWN
    if column.choice in chosen:
        return 1
    unanswered = all(word in UNKNOWN_WORDS for word in words) if words else question.kind == "one"
    return UNKNOWN if unanswered else 0
