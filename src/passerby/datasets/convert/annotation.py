# SPDX-License-Identifier: Apache-2.0
"""What a labelling tool said, in one form for all tools: pictures, boxes, questions and answers.

The readers (`labelme`, `voc`, ...) make these records and `target` writes data sets from them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from ...errors import shown
from ..problems import Findings, Place, some
from .shapes import Corners, clipped

Answers: TypeAlias = Mapping[str, tuple[str, ...]]
"""By question what was chosen; a question that is not here was not asked. Ticks are answered "yes", "no" or ""."""
YES, NO, UNSAID = "yes", "no", ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the tool asked about each box or each picture.

    Attributes:
        name: of the attribute, flag, field or tag.
        kind: a "tick" is set or not; of "one" at most one choice holds; of "many" any number.
        choices: in the order of the tool's form; () for a tick.
    """

    name: str
    kind: Literal["tick", "one", "many"] = "tick"
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One object in a picture.

    Attributes:
        place: where it stands in the source.
        category: what it is.
        xyxy: px of the upright picture, inside it, with an area.
        crowd: a region without one box each, or an object that was marked as not to be judged.
        answers: about this object. cannot_tell: labels that the annotator could not answer.
        columns: what else is known, for `groups.csv`.
    """

    place: Place
    category: str
    xyxy: Corners
    crowd: bool = False
    answers: Answers = field(default_factory=dict)
    cannot_tell: frozenset[str] = frozenset()
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Picture:
    """One annotated picture; fields as of `Box` where they have the same name.

    Attributes:
        file: below the source folder, with forward slashes. path: where it is.
        size_wh: px, upright. split: "train", "val" or "test" where the source says so.
    """

    place: Place
    file: str
    path: Path
    size_wh: tuple[int, int]
    split: str | None = None
    boxes: list[Box] = field(default_factory=list)
    answers: Answers = field(default_factory=dict)
    cannot_tell: frozenset[str] = frozenset()
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Annotations:
    """Everything that a source says.

    Attributes:
        root: folder that the pictures are looked for in.
        pictures: in the order of the source.
        categories: of boxes, in the source's order; those that only boxes name come behind.
        box_questions, picture_questions: by name, in the source's order.
        findings: what is wrong and what is odd.
        left_out: how often something was left out, by what it was, and where the first ones stand.
    """

    root: Path
    pictures: list[Picture] = field(default_factory=list)
    categories: dict[str, None] = field(default_factory=dict)
    box_questions: dict[str, Question] = field(default_factory=dict)
    picture_questions: dict[str, Question] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    left_out: dict[str, list[Place]] = field(default_factory=dict)
    _placed: dict[Path, Place] = field(default_factory=dict)
    _edges: Counter[str] = field(default_factory=Counter)

    def problem(self, place: Place, text: str) -> None:
        """Something that must be put right before anything is written."""
        self.findings.add(place, text)

    def leave_out(self, what: str, place: Place) -> None:
        """Something that does not come along; told in one sentence for all of a kind."""
        self.left_out.setdefault(what, []).append(place)

    def add(self, picture: Picture) -> None:
        """Take a picture; one that has annotations elsewhere is a problem."""
        earlier = self._placed.setdefault(picture.path, picture.place)
        if earlier is not picture.place:
            self.problem(picture.place, f"{shown(picture.file)} has its annotations in {earlier} already")
            return
        self.pictures.append(picture)

    def category(self, name: str, place: Place) -> str | None:
        """A category's name, made known; None and a problem where it cannot be one."""
        plain = name.strip()
        if not plain or not plain.isprintable():
            self.problem(place, f"the category must be text without control characters, not {shown(repr(name))}")
            return None
        self.categories.setdefault(plain)
        return plain

    def inside(self, corners: Corners, picture: Picture, place: Place) -> Corners | None:
        """A box cut at the edges of its picture; None where nothing is left of it."""
        x1, y1, x2, y2 = corners
        if x2 <= x1 or y2 <= y1:
            self.problem(place, "has no area: remove it, or draw it anew")
            return None
        cut = clipped(corners, picture.size_wh)
        if cut[0] >= cut[2] or cut[1] >= cut[3]:
            width, height = picture.size_wh
            self.problem(place, f"lies outside {shown(picture.file)}, which has {width} x {height} pixels")
            return None
        # a tenth of a pixel is rounding, not a box over the edge
        if max(abs(a - b) for a, b in zip(cut, corners, strict=True)) > 0.1:
            self._edges["boxes"] += 1
        return cut

    def same_size(self, said_wh: tuple[int, int] | None, picture: Picture, place: Place) -> bool:
        """Whether the picture still has the size that it was annotated at; a problem where it has not."""
        if said_wh is None or said_wh == picture.size_wh:
            return True
        (width, height), (said_width, said_height) = picture.size_wh, said_wh
        turned = ", was it turned since?" if (said_height, said_width) == picture.size_wh else ""
        text = f"was annotated at {said_width} x {said_height} pixels, but {shown(picture.file)} has {width} x {height}"
        self.problem(place, text + turned)
        return False

    def warnings(self) -> tuple[str, ...]:
        """Sentences about what is odd and what was left out."""
        told = [f"{len(places)} {what} are left out: {some(places)}" for what, places in self.left_out.items()]
        if self._edges["boxes"]:
            told.append(f"{self._edges['boxes']} boxes reach over the edge of their picture and are cut there")
        return (*self.findings.warnings, *told)


Reader: TypeAlias = Callable[[Path, "Path | None"], Annotations]
"""Reads a source: its folder, and the one file that was named, if one was."""
