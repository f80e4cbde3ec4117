# SPDX-License-Identifier: Apache-2.0
"""Reads a folder in the layout MLClsDataset: one line a crop, its path, a tab, and a value for each label.

Everything but the pixels is checked, and all problems come in one report; the pixels are the affair of `check`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import shown
from .label_spec import NAMES_FILE, YAML_FILE, read_label_set
from .pictures import PictureFinder
from .problems import Findings, Place, some
from .records import SPLITS, UNKNOWN, AttributeSample, AttributeSet, LabelSet
from .text_files import numbered_lines, read_columns, read_list, require, warn_about_columns

EXAMPLE = "`images/0001.jpg`, a tab, and `1,0,1`"
_VALUES = {"0": 0, "1": 1, "-1": UNKNOWN}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAttributes:
    """A folder as far as it could be read.

    Attributes:
        data: with the samples that are right; without labels where `label.txt` is wrong.
        places: per split the line of each sample.
        findings: what is wrong and what is odd.
    """

    data: AttributeSet
    places: Mapping[str, tuple[Place, ...]]
    findings: Findings


def read_attribute_set(folder: Path) -> AttributeSet:
    """Read and check a data set of labelled crops.

    The folder has `label.txt` or `labels.yaml` or both (see `label_spec`), `train.txt`, `val.txt`, and where wanted
    `test.txt` and `groups.csv`. A line of a list is a path below the folder, a tab, and for each label 1, 0 or -1.

    Raises:
        DatasetError: `dataset_missing` (a file of the layout), `dataset_invalid` with every problem.
    """
    read = inspect_attribute_set(folder)
    read.findings.raise_any(folder)
    return read.data


def inspect_attribute_set(folder: Path, *, needed: Sequence[str] = ("train", "val")) -> ReadAttributes:
    """Read a data set and keep what is wrong as findings.

    Args:
        folder: of the data set.
        needed: splits that must be there; the others are read where they are.
    Raises:
        DatasetError: `dataset_missing`.
    """
    labels_file = NAMES_FILE if not (folder / YAML_FILE).exists() else YAML_FILE
    hints = {"val": "make one with `passerby dataset split`"}
    require(folder, {labels_file: None} | {f"{split}.txt": hints.get(split) for split in needed})
    findings = Findings()
    label_set = read_label_set(folder, findings)
    columns = read_columns(folder, findings)
    lists = _Lists(folder, len(label_set.labels) if label_set else None, columns, findings)
    splits = [split for split in SPLITS if split in needed or (folder / f"{split}.txt").exists()]
    for split in splits:
        lists.read(split)
    lists.finish()
    data = AttributeSet(
        root=folder,
        label_set=label_set or LabelSet(labels=()),
        splits={split: tuple(lists.samples[split]) for split in splits},
        warnings=(),
    )
    if label_set is not None:
        _warn_about_labels(data, findings)
        _warn_about_groups(data, findings)
    data = AttributeSet(root=folder, label_set=data.label_set, splits=data.splits, warnings=tuple(findings.warnings))
    return ReadAttributes(data=data, places={split: tuple(lists.places[split]) for split in splits}, findings=findings)


class _Lists:
    """Reads the lists of all splits one after the other."""

    def __init__(
        self, root: Path, count: int | None, columns: Mapping[str, Mapping[str, str]], findings: Findings
    ) -> None:
        self._root, self._count, self._columns, self._findings = root, count, columns, findings
        self._finder = PictureFinder(root, root)
        self.samples: dict[str, list[AttributeSample]] = {}
        self.places: dict[str, list[Place]] = {}

    def read(self, split: str) -> None:
        name = f"{split}.txt"
        samples: list[AttributeSample] = []
        places: list[Place] = []
        self.samples[split], self.places[split] = samples, places
        data = read_list(self._root, name, self._findings)
        if data is None:
            return
        first: dict[str, int] = {}
        again: list[str] = []
        for line, text in numbered_lines(data, name, self._findings):
            place = Place(file=name, line=line)
            sample = self._sample(text, place)
            if sample is None:
                continue
            number = first.setdefault(sample.file, len(samples))
            if number == len(samples):
                samples.append(sample)
                places.append(place)
            elif np.array_equal(samples[number].targets, sample.targets):
                again.append(sample.file)
            else:
                earlier = f"stands in line {places[number].line} already, with other values"
                self._findings.add(place, f"{shown(sample.file)} {earlier}")
        if again:
            self._findings.warn(f"{name}: {len(again)} lines stand twice and count once: {some(again)}")

    def _sample(self, text: str, place: Place) -> AttributeSample | None:
        parts = text.split("\t")
        if len(parts) != 2:
            what = "has no tab" if len(parts) == 1 else f"has {len(parts) - 1} tabs"
            self._findings.add(place, f"{what}, a line is {EXAMPLE}")
            return None
        name, path, wrong = self._finder.find(parts[0])
        targets = self._targets(parts[1], place)
        if wrong:
            self._findings.add(place, wrong)
        if wrong or targets is None:
            return None
        columns = self._columns.get(name) or self._columns.get(parts[0]) or {}
        return AttributeSample(file=name, path=path, targets=targets, columns=columns)

    def _targets(self, text: str, place: Place) -> NDArray[np.int8] | None:
        words = [word.strip() for word in text.split(",")]
        if len(words) == 1 and any(sign in words[0] for sign in "; |"):
            self._findings.add(place, f"the values must be parted by commas, not as in {shown(text)}")
            return None
        for number, word in enumerate(words, 1):
            if word not in _VALUES:
                rule = "must be 0 or 1, or -1 for not labelled"
                wrong = f"value {number} is empty" if not word else f"value {number} {rule}, not {shown(word)}"
                self._findings.add(place, wrong)
                return None
        if self._count is not None and len(words) != self._count:
            self._findings.add(place, f"must have {self._count} values, one for each label, it has {len(words)}")
            return None
        targets = np.array([_VALUES[word] for word in words], np.int8)
        targets.flags.writeable = False
        return targets

    def finish(self) -> None:
        """What concerns all splits together."""
        self._finder.warn(self._findings)
        files = {split: {sample.file for sample in samples} for split, samples in self.samples.items()}
        warn_about_shared_files(files, self._findings)
        warn_about_columns(self._columns, set().union(*files.values()), self._findings)


def warn_about_shared_files(files: Mapping[str, set[str]], findings: Findings) -> None:
    """Say which pictures stand in two splits: whatever is measured on them was seen in training."""
    names = list(files)
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            both = sorted(files[first] & files[second])
            if both:
                findings.warn(f"{len(both)} pictures stand in {first} and in {second}: {some(both)}")


def _warn_about_labels(data: AttributeSet, findings: Findings) -> None:
    """Labels that training or measuring cannot do anything with."""
    for split in ("train", "val"):
        if split not in data.splits:
            continue
        targets = data.targets(split)
        if not len(targets):
            continue
        for value, what in ((1, "positive"), (0, "negative")):
            lacking = [
                label.en
                for label, has in zip(data.label_set.labels, (targets == value).any(axis=0), strict=True)
                if not has
            ]
            if lacking:
                findings.warn(f"{split}.txt: {len(lacking)} labels without a {what}: {some(lacking, most=10)}")


def _warn_about_groups(data: AttributeSet, findings: Findings) -> None:
    """Crops with two positives of a group of which at most one can hold."""
    for group in data.label_set.groups:
        places = [i for i, label in enumerate(data.label_set.labels) if label.group == group.id]
        if not group.exclusive or len(places) < 2:
            continue
        for split, samples in data.splits.items():
            double = (data.targets(split)[:, places] == 1).sum(axis=1) > 1
            files = [sample.file for sample, is_double in zip(samples, double, strict=True) if is_double]
            if files:
                findings.warn(
                    f"{split}.txt: {len(files)} pictures have two positives of the exclusive group "
                    f"{shown(group.id, 40)}: {some(files)}"
                )
