# SPDX-License-Identifier: Apache-2.0
"""Reads a folder in the layout COCODetDataset: pictures below `images/`, boxes in `annotations/instance_*.json`.

Everything but the pixels is checked, and all problems come in one report; the pixels are the affair of `check`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..decode import image_pages
from ..errors import InputError, shown
from ..sources import read_file
from .attribute_set import warn_about_shared_files
from .coco_json import CocoFile, Id, Picture, read_coco
from .pictures import PictureFinder
from .problems import Findings, Place, some
from .records import SPLITS, DetectionSample, DetectionSet
from .text_files import read_columns, require, warn_about_columns

IMAGES = "images"
# from so many boxes over the edge on, and such a share of all, we ask whether they are corners
CORNERS_COUNT, CORNERS_SHARE = 3, 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDetections:
    """A folder as far as it could be read; fields as in `attribute_set.ReadAttributes`."""

    data: DetectionSet
    places: Mapping[str, tuple[Place, ...]]
    findings: Findings


@dataclass(slots=True)
class _Edges:
    """Boxes of one file that reach over the edge of their picture."""

    boxes: int = 0
    clipped: list[str] = field(default_factory=list)
    like_corners: int = 0

    def warn(self, name: str, findings: Findings) -> None:
        count = len(self.clipped)
        if not count:
            return
        text = f"{name}: {count} of {self.boxes} boxes reach over the edge of their picture and are clipped: "
        findings.warn(text + some(self.clipped))
        if self.like_corners >= max(CORNERS_COUNT, self.boxes * CORNERS_SHARE):
            findings.warn(
                f"{name}: {self.like_corners} of {self.boxes} boxes would fit as x1 y1 x2 y2 and not as they must be, "
                "x y width height: are they corners?"
            )


def annotation_file(split: str) -> str:
    """Where the boxes of a split stand, relative to the data set's folder."""
    return f"annotations/instance_{split}.json"


def read_detection_set(folder: Path) -> DetectionSet:
    """Read and check a data set of pictures with boxes; boxes over the edge are clipped.

    The classes are the categories of `instance_train.json` in their order there; the other splits may use some of
    them under ids of their own.

    Raises:
        DatasetError: `dataset_missing` (a file of the layout), `dataset_invalid` with every problem.
    """
    read = inspect_detection_set(folder)
    read.findings.raise_any(folder)
    return read.data


def inspect_detection_set(folder: Path, *, needed: Sequence[str] = ("train", "val")) -> ReadDetections:
    """Read a data set and keep what is wrong as findings.

    Args:
        folder: of the data set.
        needed: splits that must be there, `train` among them; the others are read where they are.
    Raises:
        DatasetError: `dataset_missing`.
    """
    hints = {"val": "make one with `passerby dataset split`"}
    wanted = {annotation_file(split): hints.get(split) for split in needed}
    require(folder, wanted | {IMAGES: "the pictures lie in a folder called images"})
    findings = Findings()
    finder = PictureFinder(folder, folder / IMAGES)
    columns = read_columns(folder, findings)
    names = {split: annotation_file(split) for split in SPLITS}
    files = {
        split: read_coco(folder, name, finder, findings)
        for split, name in names.items()
        if split in needed or (folder / name).exists()
    }
    train = files["train"]
    classes = tuple(train.categories.values()) if train else ()
    splits, places = {}, {}
    for split, file in files.items():
        if file is not None and train is not None:
            _check_categories(file, classes, findings)
        pairs = _samples(file, classes, columns, findings) if file is not None else []
        splits[split] = tuple(sample for sample, _ in pairs)
        places[split] = tuple(place for _, place in pairs)
        if pairs and not any(len(sample.boxes_xyxy) for sample, _ in pairs):
            findings.warn(f"{names[split]}: no picture has a box")
    finder.warn(findings)
    listed = {split: {sample.file for sample in samples} for split, samples in splits.items()}
    warn_about_shared_files(listed, findings)
    warn_about_columns(columns, set().union(*listed.values()), findings)
    data = DetectionSet(root=folder, classes=classes, splits=splits, warnings=tuple(findings.warnings))
    return ReadDetections(data=data, places=places, findings=findings)


def _check_categories(file: CocoFile, classes: Sequence[str], findings: Findings) -> None:
    for number, name in enumerate(file.categories.values()):
        if name not in classes:
            place = Place(file=file.name, where=f"categories[{number}].name")
            findings.add(place, f"{shown(name)} is no category of {annotation_file('train')}")


def _samples(
    file: CocoFile, classes: Sequence[str], columns: Mapping[str, Mapping[str, str]], findings: Findings
) -> list[tuple[DetectionSample, Place]]:
    """The pictures of a file whose sizes are known, with their places in the file."""
    edges = _Edges()
    numbers = {id: classes.index(name) for id, name in file.categories.items() if name in classes}
    found = []
    for picture in file.pictures:
        size_wh = picture.size_wh or _size_of(picture, findings)
        if size_wh is not None:
            sample = _sample(picture, size_wh, numbers, edges, findings, columns.get(picture.file, {}))
            found.append((sample, picture.place))
    edges.warn(file.name, findings)
    return found


def _size_of(picture: Picture, findings: Findings) -> tuple[int, int] | None:
    """Width and height from the headers of the picture, upright."""
    try:
        page = image_pages(read_file(str(picture.path)))[0]
    except InputError as error:
        findings.add(picture.place, f"{shown(picture.file)}: {error.name}, {error.happened}")
        return None
    width, height = page.size_wh
    return (height, width) if page.orientation in (5, 6, 7, 8) else (width, height)


def _sample(
    picture: Picture,
    size_wh: tuple[int, int],
    numbers: Mapping[Id, int],
    edges: _Edges,
    findings: Findings,
    columns: Mapping[str, str],
) -> DetectionSample:
    width, height = size_wh
    boxes, class_ids, crowd = [], [], []
    for place, (x1, y1, x2, y2), category, is_crowd in picture.boxes:
        edges.boxes += 1
        clipped = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
        if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
            findings.add(place, f"lies outside {shown(picture.file)}, which has {width} x {height} pixels")
            continue
        # a tenth of a pixel is rounding, not a box over the edge
        if max(abs(a - b) for a, b in zip(clipped, (x1, y1, x2, y2), strict=True)) > 0.1:
            edges.clipped.append(f"{picture.file} {place.where}")
            edges.like_corners += _fits_as_corners(x1, y1, x2 - x1, y2 - y1, size_wh)
        if category in numbers:
            boxes.append(clipped)
            class_ids.append(numbers[category])
            crowd.append(is_crowd)
    arrays = (
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(class_ids, np.int64),
        np.array(crowd, np.bool_),
    )
    for array in arrays:
        array.flags.writeable = False
    return DetectionSample(
        file=picture.file,
        path=picture.path,
        size_wh=size_wh,
        boxes_xyxy=arrays[0],
        class_ids=arrays[1],
        crowd=arrays[2],
        columns=columns,
    )


def _fits_as_corners(a: float, b: float, c: float, d: float, size_wh: tuple[int, int]) -> bool:
    return 0 <= a < c <= size_wh[0] and 0 <= b < d <= size_wh[1]
