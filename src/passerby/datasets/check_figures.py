# SPDX-License-Identifier: Apache-2.0
"""What is in a data set, in numbers: values of each label, boxes of each class, their sizes, groups of pictures."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import shown
from .problems import Findings, some
from .records import UNKNOWN, AttributeSample, AttributeSet, DetectionSample, DetectionSet

HEIGHT_EDGES_PX = (0, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
CROWD_EDGES = (0, 1, 2, 3, 5, 9, 17, 33)
TINY_BOX_PX = 4
# columns whose values should stay in one split: the same person or film in both makes the figures too good
KEPT_TOGETHER = ("person", "person_id", "video", "video_id", "track", "track_id", "sequence", "clip")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeFigures:
    """Values in one split: how often each of the C labels is yes, no, and not labelled."""

    samples: int
    positives: tuple[int, ...]
    negatives: tuple[int, ...]
    unlabelled: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "samples": self.samples,
            "positives": list(self.positives),
            "negatives": list(self.negatives),
            "unlabelled": list(self.unlabelled),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionFigures:
    """Boxes in one split.

    Attributes:
        samples: pictures. boxes: of each class, without crowd regions. crowd: regions of crowd.
        heights: how many boxes are at least as high as each of `HEIGHT_EDGES_PX` and lower than the next.
        per_picture: how many pictures have at least as many boxes as each of `CROWD_EDGES` and fewer than the next.
        tiny: boxes with a side under 4 px, which no detector finds.
    """

    samples: int
    boxes: tuple[int, ...]
    crowd: int
    heights: tuple[int, ...]
    per_picture: tuple[int, ...]
    tiny: int

    def to_json(self) -> dict[str, Any]:
        return {
            "samples": self.samples,
            "boxes": list(self.boxes),
            "crowd_regions": self.crowd,
            "box_heights_px": dict(zip(bin_names(HEIGHT_EDGES_PX), self.heights, strict=True)),
            "boxes_per_picture": dict(zip(bin_names(CROWD_EDGES), self.per_picture, strict=True)),
            "tiny_boxes": self.tiny,
        }


Figures = Mapping[str, AttributeFigures] | Mapping[str, DetectionFigures]


def bin_names(edges: Sequence[int]) -> list[str]:
    """How bins from each edge to the next are called.

    >>> bin_names((0, 1, 3))
    ['0', '1-2', '3+']
    """
    spans = [str(low) if high == low + 1 else f"{low}-{high - 1}" for low, high in itertools.pairwise(edges)]
    return [*spans, f"{edges[-1]}+"]


def attribute_figures(data: AttributeSet) -> dict[str, AttributeFigures]:
    """The figures of every split."""

    def counts(targets: NDArray[np.int8], value: int) -> tuple[int, ...]:
        return tuple(int(n) for n in (targets == value).sum(axis=0))

    return {
        split: AttributeFigures(
            samples=len(data.splits[split]),
            positives=counts(data.targets(split), 1),
            negatives=counts(data.targets(split), 0),
            unlabelled=counts(data.targets(split), UNKNOWN),
        )
        for split in data.splits
    }


def detection_figures(data: DetectionSet) -> dict[str, DetectionFigures]:
    """The figures of every split."""
    return {split: _of_split(samples, len(data.classes)) for split, samples in data.splits.items()}


def _of_split(samples: Sequence[DetectionSample], classes: int) -> DetectionFigures:
    boxes = np.zeros(classes, np.int64)
    heights = np.zeros(len(HEIGHT_EDGES_PX), np.int64)
    per_picture = np.zeros(len(CROWD_EDGES), np.int64)
    crowd = tiny = 0
    for sample in samples:
        real = ~sample.crowd
        sides = sample.boxes_xyxy[real, 2:] - sample.boxes_xyxy[real, :2]  # (N, 2) width, height
        boxes += np.bincount(sample.class_ids[real], minlength=classes)
        np.add.at(heights, np.searchsorted(HEIGHT_EDGES_PX, sides[:, 1], side="right") - 1, 1)
        per_picture[np.searchsorted(CROWD_EDGES, len(sides), side="right") - 1] += 1
        crowd += int(sample.crowd.sum())
        tiny += int((sides < TINY_BOX_PX).any(axis=1).sum())
    return DetectionFigures(
        samples=len(samples),
        boxes=tuple(int(n) for n in boxes),
        crowd=crowd,
        heights=tuple(int(n) for n in heights),
        per_picture=tuple(int(n) for n in per_picture),
        tiny=tiny,
    )


def warn_about_boxes(data: DetectionSet, figures: Mapping[str, DetectionFigures], findings: Findings) -> None:
    """Classes without a box, and boxes too small to be found."""
    for split, found in figures.items():
        lacking = [name for name, count in zip(data.classes, found.boxes, strict=True) if not count]
        if lacking and split in ("train", "val") and len(lacking) < len(data.classes):
            findings.warn(f"{split}: {len(lacking)} classes without a box: {some(lacking, most=10)}")
        if found.tiny:
            findings.warn(f"{split}: {found.tiny} of {sum(found.boxes)} boxes have a side under {TINY_BOX_PX} px")


def column_figures(
    splits: Mapping[str, Sequence[AttributeSample | DetectionSample]], findings: Findings
) -> dict[str, dict[str, int]]:
    """For each column of `groups.csv` how many values it has in each split, and how many stand in train and elsewhere.

    A column such as `person` or `video` whose values are shared between splits is a warning.
    """
    names = sorted({name for samples in splits.values() for sample in samples for name in sample.columns})
    found = {}
    for name in names:
        values = {
            split: {sample.columns[name] for sample in samples if sample.columns.get(name)}
            for split, samples in splits.items()
        }
        shared = values["train"] & set().union(*(v for split, v in values.items() if split != "train"))
        found[name] = {split: len(v) for split, v in values.items()} | {"shared": len(shared)}
        if shared and name.lower() in KEPT_TOGETHER:
            findings.warn(
                f"{len(shared)} values of the column {shown(name, 40)} stand in train and in another split, "
                f"split with --group-by {shown(name, 40)}: {some(sorted(shared))}"
            )
    return found


def size_figures(sizes: Sequence[tuple[int, int]]) -> dict[str, list[int]]:
    """The smallest, middle and largest width and height of the pictures, px; empty without pictures."""
    if not sizes:
        return {}
    sides = np.array(sizes)
    return {
        name: [int(column.min()), int(np.median(column)), int(column.max())]
        for name, column in zip(("width_px", "height_px"), sides.T, strict=True)
    }
