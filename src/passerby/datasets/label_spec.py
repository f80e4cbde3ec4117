# SPDX-License-Identifier: Apache-2.0
"""What the labels of an attribute data set mean: `label.txt`, and `labels.yaml` for what that file cannot say."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config_schema import guess, path_text
from ..errors import shown
from ..formats.metadata import Group, Label
from ..formats.safe_yaml import PlainPath, YamlLimits, YamlProblem, load_yaml
from ..models import pa100k
from ..models.convert import labels_from_texts
from .problems import Findings, Place
from .records import LabelSet
from .text_files import UNSHOWABLE, numbered_lines, read_list

NAMES_FILE = "label.txt"
YAML_FILE = "labels.yaml"
# a label is a mapping of up to six keys: room for about 15,000 of them
YAML_LIMITS = YamlLimits(nodes=200_000)
LABEL_KEYS = ("name", "id", "en", "zh", "group", "threshold")
GROUP_KEYS = ("id", "en", "exclusive")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One label of `labels.yaml`; None is derived from the name."""

    name: str
    id: str | None
    en: str | None
    zh: str | None
    group: str | None
    threshold: float | None
    place: Place


def read_label_set(root: Path, findings: Findings) -> LabelSet | None:
    """Read the labels of a data set; at least one of the two files exists.

    `label.txt` has lines of a number from 0 and a name; the names stand in the order of the numbers. `labels.yaml` has
    a list `labels` of mappings (`name`, and where wanted `id`, `en`, `zh`, `group`, `threshold`) and a list `groups`
    (`id`, and where wanted `en`, `exclusive`). With both, names and order must agree.

    Returns:
        None when anything is wrong with them.
    """
    before = findings.count
    names = _read_names(root, findings) if (root / NAMES_FILE).exists() else None
    if not (root / YAML_FILE).exists():
        return label_set_of(names) if names else None
    entries, groups = _read_yaml(root, findings)
    if findings.count > before:
        return None
    if names is not None:
        _check_agreement(names, entries, findings)
    labels, groups = _labels(entries, groups, findings)
    if findings.count > before:
        return None
    thresholds = tuple(entry.threshold for entry in entries)
    said = any(threshold is not None for threshold in thresholds)
    return LabelSet(labels=labels, groups=groups, thresholds=thresholds if said else ())


def label_set_of(names: Sequence[str]) -> LabelSet:
    """The label set of names alone, such as `Hat(帽子)`: official ones get their id and group, see `labels_from_texts`.

    >>> [label.id for label in label_set_of(["Hat(帽子)", "Hard hat"]).labels]
    ['hat', 'hard_hat']
    """
    return _without_lonely_groups(labels_from_texts(tuple(names)), ())


def _without_lonely_groups(labels: tuple[Label, ...], declared: tuple[Group, ...]) -> LabelSet:
    """Keep an official group only where two labels share it: of one label there is nothing to choose between."""
    own = {group.id for group in declared}
    sizes = Counter(label.group for label in labels)
    kept = tuple(
        label if label.group in own or sizes[label.group] > 1 else dataclasses.replace(label, group="")
        for label in labels
    )
    used = {label.group for label in kept} - own
    official = tuple(group for group in (*pa100k.GROUPS, *pa100k.COLOUR_GROUPS) if group.id in used)
    return LabelSet(labels=kept, groups=(*declared, *official))


def _read_names(root: Path, findings: Findings) -> list[str] | None:
    """The names of `label.txt` in the order of their numbers; None when anything is wrong."""
    data = read_list(root, NAMES_FILE, findings)
    if data is None:
        return None
    before = findings.count
    numbers: dict[int, tuple[int, str]] = {}
    lines: dict[str, int] = {}
    for line, text in numbered_lines(data, NAMES_FILE, findings):
        place = Place(file=NAMES_FILE, line=line)
        found = re.fullmatch(r"\s*(-?[0-9]{1,9})(?:[ \t]+(.*))?", text)
        if found is None:
            findings.add(place, f"must be a number and a name, such as `0 Hat`, not {shown(text)}")
            continue
        number, name = int(found[1]), (found[2] or "").strip()
        wrong = _wrong_name(name)
        if number < 0:
            findings.add(place, f"the number {number} is negative, numbers start at 0")
        elif wrong:
            findings.add(place, wrong)
        elif number in numbers:
            findings.add(place, f"the number {number} stands in line {numbers[number][0]} already")
        elif name in lines:
            findings.add(place, f"the name {shown(name)} stands in line {lines[name]} already")
        else:
            numbers[number], lines[name] = (line, name), line
    if findings.count == before:
        _check_numbers(numbers, findings)
    return [numbers[number][1] for number in sorted(numbers)] if findings.count == before else None


def _check_numbers(numbers: Mapping[int, tuple[int, str]], findings: Findings) -> None:
    for expected, number in enumerate(sorted(numbers)):
        if number != expected:
            place = Place(file=NAMES_FILE, line=numbers[number][0])
            rule = "numbers must start at 0" if expected == 0 else f"the number {expected} is missing"
            findings.add(place, f"{rule}, the next one here is {number}")
            return


def _wrong_name(name: str) -> str | None:
    if not name:
        return "the number has no name behind it"
    if UNSHOWABLE.search(name):
        return f"the name {shown(name)} holds control characters"
    return None


def _read_yaml(root: Path, findings: Findings) -> tuple[list[_Entry], tuple[Group, ...]]:
    data = read_list(root, YAML_FILE, findings)
    if data is None:
        return [], ()
    try:
        loaded = load_yaml(data, limits=YAML_LIMITS)
    except YamlProblem as problem:
        findings.add(Place(file=YAML_FILE, line=problem.line), problem.text)
        return [], ()
    reader = _YamlReader(loaded.lines, findings)
    body = reader.mapping(loaded.value, (), ("labels", "groups"))
    groups = tuple(
        reader.group(item, ("groups", i)) for i, item in enumerate(reader.items(body.get("groups"), ("groups",)))
    )
    items = reader.items(body.get("labels"), ("labels",))
    if not items:
        findings.add(Place(file=YAML_FILE, where="labels"), "required: a list of at least one label")
    entries = [reader.label(item, ("labels", i)) for i, item in enumerate(items)]
    reader.unique([g.id for g in groups], "groups", "id")
    reader.unique([entry.name for entry in entries], "labels", "name")
    return entries, groups


class _YamlReader:
    """Turns plain YAML data into entries; whatever is wrong becomes a finding and a harmless value."""

    def __init__(self, lines: Mapping[PlainPath, int], findings: Findings) -> None:
        self._lines, self._findings = lines, findings

    def add(self, path: PlainPath, text: str) -> None:
        self._findings.add(self.place(path), text)

    def place(self, path: PlainPath) -> Place:
        ends = range(len(path), -1, -1)
        line = next((self._lines[path[:end]] for end in ends if path[:end] in self._lines), None)
        return Place(file=YAML_FILE, line=line, where=path_text(path))

    def mapping(self, value: Any, path: PlainPath, known: Sequence[str]) -> Mapping[Any, Any]:
        if not isinstance(value, Mapping):
            self.add(path, f"must be a mapping with the keys {', '.join(known)}")
            return {}
        for key in value:
            if key not in known:
                near = guess(key, known)
                self.add((*path, key), f"unknown key, did you mean {near}?" if near else "unknown key")
        return value

    def items(self, value: Any, path: PlainPath) -> list[Any]:
        if value is None or isinstance(value, list):
            return value or []
        self.add(path, "must be a list")
        return []

    def text(self, body: Mapping[Any, Any], key: str, path: PlainPath, *, required: bool = False) -> str | None:
        value = body.get(key)
        if value is None:
            if required:
                self.add(path, f"{key} is required")
            return None
        if not isinstance(value, str) or _wrong_name(value.strip() or "-") or (required and not value.strip()):
            # a bare `on` or `18` is no text in YAML
            self.add(
                (*path, key), f"must be text without control characters, in quotes where needed, not {shown(value)}"
            )
            return None
        return value.strip()

    def label(self, item: Any, path: PlainPath) -> _Entry:
        body = self.mapping({"name": item} if isinstance(item, str) else item, path, LABEL_KEYS)
        if not body:
            body = {"name": "?"}
        id = self.text(body, "id", path)
        if id is not None and not re.fullmatch(r"\w[\w.-]{0,99}", id):
            self.add((*path, "id"), f"must be letters, digits, _ . or -, not {shown(id)}")
        threshold = body.get("threshold")
        if threshold is not None and not _is_share(threshold):
            self.add((*path, "threshold"), f"must be a number between 0 and 1, not {shown(threshold)}")
            threshold = None
        return _Entry(
            name=self.text(body, "name", path, required=True) or "?",
            id=id,
            en=self.text(body, "en", path) or None,
            zh=self.text(body, "zh", path),
            group=self.text(body, "group", path),
            threshold=None if threshold is None else float(threshold),
            place=self.place(path),
        )

    def group(self, item: Any, path: PlainPath) -> Group:
        body = self.mapping(item, path, GROUP_KEYS)
        id = self.text(body, "id", path, required=True) or "?"
        exclusive = body.get("exclusive", True)
        if not isinstance(exclusive, bool):
            self.add((*path, "exclusive"), f"must be true or false, not {shown(exclusive)}")
        return Group(id=id, en=self.text(body, "en", path) or id, exclusive=exclusive is not False)

    def unique(self, names: Sequence[str], section: str, key: str) -> None:
        first: dict[str, int] = {}
        for i, name in enumerate(names):
            if name != "?" and first.setdefault(name, i) != i:
                self.add((section, i, key), f"{shown(name)} is the {key} of {section}[{first[name]}] already")


def _is_share(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and 0 <= value <= 1


def _check_agreement(names: Sequence[str], entries: Sequence[_Entry], findings: Findings) -> None:
    if len(names) != len(entries):
        findings.add(Place(file=YAML_FILE), f"lists {len(entries)} labels, {NAMES_FILE} has {len(names)}")
        return
    for number, (name, entry) in enumerate(zip(names, entries, strict=True)):
        if name != entry.name:
            findings.add(entry.place, f"is {shown(entry.name)}, but number {number} of {NAMES_FILE} is {shown(name)}")


def _labels(
    entries: Sequence[_Entry], groups: tuple[Group, ...], findings: Findings
) -> tuple[tuple[Label, ...], tuple[Group, ...]]:
    """Labels with everything said in the file and the rest derived from their names."""
    derived = labels_from_texts(tuple(entry.name for entry in entries))
    known = {group.id for group in (*groups, *pa100k.GROUPS, *pa100k.COLOUR_GROUPS)} | {""}
    labels: list[Label] = []
    ids: dict[str, int] = {}
    for number, (entry, plain) in enumerate(zip(entries, derived, strict=True)):
        label = Label(
            id=entry.id or plain.id,
            en=plain.en if entry.en is None else entry.en,
            zh=plain.zh if entry.zh is None else entry.zh,
            group=plain.group if entry.group is None else entry.group,
        )
        if label.group not in known:
            findings.add(entry.place, f"the group {shown(label.group)} is not listed under groups")
        if ids.setdefault(label.id, number) != number:
            findings.add(entry.place, f"has the id {shown(label.id)} of labels[{ids[label.id]}], give it another id")
        labels.append(label)
    found = _without_lonely_groups(tuple(labels), groups)
    return found.labels, found.groups
