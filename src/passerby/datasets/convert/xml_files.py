# SPDX-License-Identifier: Apache-2.0
"""XML without surprises: no document type, so no entities; bounded depth and number of elements; lines for messages.

The elements below the root are handed on one by one, so that a file of many pictures is never in memory as a tree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from ...errors import shown
from ..problems import Findings, Place
from ..text_files import LIST_LEVELS, read_list

ELEMENTS = 20_000_000
ELEMENTS_OF_CHILD = 1_000_000


@dataclass(slots=True)
class Node:
    """An element. `text` is what stands in it before, between and behind its children, without spaces at the ends."""

    tag: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def all(self, tag: str) -> list[Node]:
        """Children of that name."""
        return [child for child in self.children if child.tag == tag]

    def first(self, *tags: str) -> Node | None:
        """The first descendant along a path of names, or None."""
        node: Node | None = self
        for tag in tags:
            node = next((child for child in node.children if child.tag == tag), None) if node else None
        return node

    def text_of(self, *tags: str) -> str:
        """The text of that descendant, "" where there is none."""
        node = self.first(*tags)
        return node.text if node else ""


class _Refused(Exception):
    pass


def read_xml(root: Path, name: str, findings: Findings, each: Callable[[Node], None]) -> str | None:
    """Read a file and hand on each element below its root.

    Args:
        root, name: folder and file. each: called with a whole element; it is let go afterwards.
    Returns:
        the name of the root element; None where the file is no acceptable XML, which is a finding then. Elements
        before the bad place have been handed on.
    """
    data = read_list(root, name, findings)
    if data is None:
        return None
    walk = _Walk(each)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = lambda tag, attributes: walk.start(tag, attributes, parser.CurrentLineNumber)
    parser.EndElementHandler = walk.end
    parser.CharacterDataHandler = walk.text
    parser.StartDoctypeDeclHandler = _no_doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        place = Place(file=name, line=error.lineno)
        findings.add(place, f"no XML: {shown(expat.errors.messages.get(error.code, str(error.code)))}")
        return None
    except (_Refused, ValueError, LookupError) as error:  # the latter two: an encoding that cannot be read
        text = str(error) if isinstance(error, _Refused) else "is in an encoding that cannot be read, save it as UTF-8"
        findings.add(Place(file=name, line=parser.CurrentLineNumber), text)
        return None
    return walk.root


def _no_doctype(*_: object) -> None:
    raise _Refused("has a document type, which could name other files; remove the line with DOCTYPE")


class _Walk:
    """Builds the element below the root that is open."""

    def __init__(self, each: Callable[[Node], None]) -> None:
        self.root: str | None = None
        self._each = each
        self._open: list[Node] = []
        self._count = self._count_of_child = 0

    def start(self, tag: str, attributes: dict[str, str], line: int) -> None:
        self._count += 1
        self._count_of_child += 1
        if self._count > ELEMENTS or self._count_of_child > ELEMENTS_OF_CHILD:
            raise _Refused(f"holds more than {ELEMENTS if self._count > ELEMENTS else ELEMENTS_OF_CHILD} elements")
        if len(self._open) + 1 >= LIST_LEVELS:
            raise _Refused(f"is nested beyond the depth of {LIST_LEVELS} levels")
        if self.root is None:
            self.root = tag
            return
        if not self._open:
            self._count_of_child = 1
        node = Node(tag, attributes, line)
        if self._open:
            self._open[-1].children.append(node)
        self._open.append(node)

    def text(self, data: str) -> None:
        if self._open:
            self._open[-1].text += data

    def end(self, _: str) -> None:
        if not self._open:
            return
        node = self._open.pop()
        node.text = node.text.strip()
        if not self._open:
            self._each(node)


def number(text: str) -> float | None:
    """A finite number within the bounds of any picture, else None.

    >>> number("12.5"), number("nan"), number("1e99"), number("")
    (12.5, None, None, None)
    """
    try:
        value = float(text) if len(text) <= 40 else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) <= 1e7 else None
