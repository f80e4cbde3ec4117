# SPDX-License-Identifier: Apache-2.0
"""Crops with attribute labels to measure on: the by-eye val split, and the two public research sets.

Truth is a table of passerby's label ids: 1 yes, 0 no, -1 nobody can tell. Pictures stay files; `models` decodes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passerby.training.shipped.attribute_data import PersonBox, read_labelled
from passerby.training.shipped.attribute_labels import LABELS

Box = tuple[float, float, float, float]


class AbsentError(Exception):
    """A source is not on this machine; the text says which, and where it comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CropSet:
    """N crops of persons with their labels.

    Attributes:
        name: of the set.
        files: N pictures, a photo stands here once for every person in it.
        boxes: N boxes in pixels of the picture, None for the whole picture.
        targets: label id to (N,) int8: 1, 0, -1 unknown.
        clusters: (N,) names of what the bootstrap draws: photos, or persons where one is seen in several pictures.
        groups: name of a division to (N,) names of its groups, "" for crops in none.
    """

    name: str
    files: tuple[Path, ...]
    boxes: tuple[Box | None, ...]
    targets: Mapping[str, NDArray[np.int8]]
    clusters: NDArray[np.str_]
    groups: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.files)

    def table(self, label_ids: Sequence[str]) -> NDArray[np.int8]:
        """(N, C) targets in this order of labels; a label that the set does not know is unknown everywhere."""
        unknown = np.full(len(self), -1, np.int8)
        return np.stack([self.targets.get(label, unknown) for label in label_ids], axis=1)

    def fingerprint(self, root: Path) -> str:
        """SHA-256 of names below `root`, boxes and labels: two runs with the same one saw the same crops."""
        digest = hashlib.sha256()
        for row, (path, box) in enumerate(zip(self.files, self.boxes, strict=True)):
            labels = {label: int(values[row]) for label, values in sorted(self.targets.items())}
            digest.update(f"{path.relative_to(root).as_posix()} {box} {labels}\n".encode())
        return digest.hexdigest()


def sampled(crops: CropSet, most: int | None, *, group: str, seed: int = 11) -> CropSet:
    """At most so many crops of each group, drawn by the seed and left in their order; None takes all."""
    if most is None:
        return crops
    generator = np.random.default_rng(seed)
    chosen = []
    for name in sorted(set(crops.groups[group])):
        rows = np.flatnonzero(crops.groups[group] == name)
        chosen.append(generator.choice(rows, min(most, len(rows)), replace=False))
    rows = np.sort(np.concatenate(chosen))
    return CropSet(
        name=crops.name,
        files=tuple(crops.files[r] for r in rows),
        boxes=tuple(crops.boxes[r] for r in rows),
        targets={label: values[rows] for label, values in crops.targets.items()},
        clusters=crops.clusters[rows],
        groups={name: values[rows] for name, values in crops.groups.items()},
    )


def by_eye(photos: Path, labels: Sequence[Path], *, least_quality: int = 2) -> CropSet:
    """The val split of the crops that were labelled by eye; useless ones (quality 1, no labels) only when asked for.

    Args:
        photos: folder with one folder a source.
        labels: tables as labels.csv, or folders of such tables; of rows with the same id the last counts.
    Raises:
        AbsentError: a table, or a photo that it names, is not there.
    """
    rows = {row.id: row for path in _tables(labels) for row in read_labelled(path)}
    val = [row for row in rows.values() if row.split == "val" and row.quality >= least_quality]
    missing = sorted({row.photo for row in val if not (photos / row.photo).is_file()})
    if missing or not val:
        happened = f"{len(missing)} photos of the by-eye val split, {missing[0]} first" if missing else "val rows"
        raise AbsentError(f"{happened}: not in {photos.name}/ (scripts/training_photos.py fetches the sources)")
    table = np.array([row.targets for row in val], np.int8)  # (N, C)
    targets = {label.id: table[:, column] for column, label in enumerate(LABELS)}
    groups = {
        "source": np.array([row.photo.split("/")[0] for row in val]),
        "quality": np.array([str(row.quality) for row in val]),
        "gender": _named(targets, {"female": ("female", 1), "male": ("female", 0)}),
        "age": _named(targets, {age: (age, 1) for age in ("age_under_18", "age_18_60", "age_over_60")}),
    }
    files = tuple(photos / row.photo for row in val)
    boxes = tuple(row.box_xyxy for row in val)
    return CropSet(name="by_eye", files=files, boxes=boxes, targets=targets, clusters=_photo_keys(val), groups=groups)


def _tables(paths: Sequence[Path]) -> list[Path]:
    found = [file for path in paths for file in (sorted(path.glob("*.csv")) if path.is_dir() else [path])]
    if not found or not all(file.is_file() for file in found):
        raise AbsentError(f"by-eye labels: no table at {', '.join(map(str, paths)) or 'no path'} (give --labels)")
    return found


def _photo_keys(rows: Sequence[PersonBox]) -> NDArray[np.str_]:
    return np.array([row.key for row in rows])


def _named(targets: Mapping[str, NDArray[np.int8]], names: Mapping[str, tuple[str, int]]) -> NDArray[np.str_]:
    """The group of each crop: the first name whose label has that value."""
    chosen = np.full(len(next(iter(targets.values()))), "", dtype="U16")
    for name, (label, value) in names.items():
        chosen[(targets[label] == value) & (chosen == "")] = name
    return chosen


HEIGHTS = ("<80", "80-120", "120-200", ">=200")
HEIGHT_LIMITS_PX = (80, 120, 200)


def height_names(heights_px: NDArray[np.int64]) -> NDArray[np.str_]:
    """The bin of each native person height, (N,); a limit belongs to the bin above it."""
    return np.array(HEIGHTS)[np.digitize(heights_px, HEIGHT_LIMITS_PX)]
