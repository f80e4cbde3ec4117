# SPDX-License-Identifier: Apache-2.0
"""What a data set is once it has been read: samples of named splits, and what their labels mean.

The readers (`attribute_set`, `detection_set`) make these, everything else takes them. Pictures are paths here; they
are decoded where they are needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..formats.metadata import Group, Label

UNKNOWN = -1
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSet:
    """What the C outputs of an attribute network mean.

    Attributes:
        labels: in the order of the outputs.
        groups: exclusive or not; a label names its group by id.
        thresholds: as set by the user, None where the network's own are wanted.
    """

    labels: tuple[Label, ...]
    groups: tuple[Group, ...] = ()
    thresholds: tuple[float | None, ...] = ()

    def __post_init__(self) -> None:
        if self.thresholds and len(self.thresholds) != len(self.labels):
            raise ValueError(f"{len(self.labels)} labels but {len(self.thresholds)} thresholds")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeSample:
    """One crop of one person.

    Attributes:
        file: as its line says, relative to the data set's folder, with forward slashes; names the sample everywhere.
        path: where the picture is.
        targets: (C,) int8: 1 yes, 0 no, -1 not labelled.
        columns: what `groups.csv` says about the picture, for example {"person": "17", "camera": "north"}.
    """

    file: str
    path: Path
    targets: NDArray[np.int8]
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionSample:
    """One picture with the boxes in it.

    Attributes:
        file: relative to `images/`, with forward slashes; names the sample everywhere.
        path: where the picture is.
        size_wh: width and height, px.
        boxes_xyxy: (N, 4) float32, px, inside the picture; N may be 0.
        class_ids: (N,) int64, place in the data set's `classes`.
        crowd: (N,) bool: a region of people without one box each: neither an example nor a mistake.
        columns: as in `AttributeSample`.
    """

    file: str
    path: Path
    size_wh: tuple[int, int]
    boxes_xyxy: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeSet:
    """A folder in the layout MLClsDataset. `splits` has `train`, `val`, and `test` where the folder has it."""

    root: Path
    label_set: LabelSet
    splits: Mapping[str, tuple[AttributeSample, ...]]
    warnings: tuple[str, ...] = ()

    def targets(self, split: str) -> NDArray[np.int8]:
        """(N, C) int8 of a split."""
        rows = [sample.targets for sample in self.splits[split]]
        return np.stack(rows) if rows else np.zeros((0, len(self.label_set.labels)), np.int8)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionSet:
    """A folder in the layout COCODetDataset. `splits` as in `AttributeSet`."""

    root: Path
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[DetectionSample, ...]]
    warnings: tuple[str, ...] = ()


def data_hash(data: AttributeSet | DetectionSet) -> str:
    """16 hex digits over names and labels of all splits: a run goes on only with the data that it began with."""
    digest = hashlib.sha256()

    def add(*values: Any) -> None:
        digest.update(repr(values).encode() + b"\n")

    add(data.classes if isinstance(data, DetectionSet) else [label.id for label in data.label_set.labels])
    for split in sorted(data.splits):
        for sample in data.splits[split]:
            add(split, sample.file)
            if isinstance(sample, DetectionSample):
                add(sample.boxes_xyxy.tobytes(), sample.class_ids.tobytes(), sample.crowd.tobytes())
            else:
                add(sample.targets.tobytes())
    return digest.hexdigest()[:16]
