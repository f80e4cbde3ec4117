# SPDX-License-Identifier: Apache-2.0
"""Writes what a source says as a COCODetDataset: pictures below `images/`, boxes in `annotations/instance_*.json`.

Ids of pictures, boxes and categories start at 1; no two files share one of a picture or a box.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...files import atomic_write
from ..detection_set import IMAGES, annotation_file
from ..json_files import json_bytes
from ..transfer import PictureTransfer, take_over
from .annotation import Annotations, Picture
from .columns import groups_csv
from .names import Names
from .shares import share_out


def write_boxes(
    found: Annotations,
    target: Path,
    *,
    val_percent: float,
    seed: int,
    how: PictureTransfer,
    columns: Mapping[str, Mapping[str, str]],
    progress: Callable[[int, int], None] | None,
) -> dict[str, int]:
    """Write the data set; the lists come last.

    Args:
        columns: of a `groups.csv` in the source, by picture.
    Returns:
        how many pictures each split has.
    Raises:
        DatasetError: as `share_out`. InputError, OutputError: as `transfer.take_over`.
    """
    classes = list(found.categories)
    counts = np.zeros((len(found.pictures), len(classes) + 1), np.int64)
    for i, picture in enumerate(found.pictures):
        for box in picture.boxes:
            counts[i, classes.index(box.category)] += 1
        counts[i, -1] = not picture.boxes
    said = [picture.split for picture in found.pictures]
    files = [picture.file for picture in found.pictures]
    split = share_out(said, files, counts, val_percent=val_percent, seed=seed, input=str(found.root))
    names = Names(files)
    new = [names.free(*names.stem_and_suffix(file)) for file in files]
    for i, picture in enumerate(found.pictures):
        take_over(picture.path, target / IMAGES / new[i], how)
        if progress is not None:
            progress(i + 1, len(files))
    rows = [
        (name, {**columns.get(picture.file, {}), **picture.columns})
        for name, picture in zip(new, found.pictures, strict=True)
    ]
    table = groups_csv(rows)
    if table:
        atomic_write(target / "groups.csv", table)
    categories = [{"id": i, "name": name} for i, name in enumerate(classes, 1)]
    image_id = annotation_id = 0
    for name, places in split.items():
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for i in places:
            image_id += 1
            picture = found.pictures[i]
            width, height = picture.size_wh
            images.append({"id": image_id, "file_name": new[i], "width": width, "height": height})
            boxes = _annotations(picture, classes, image_id, annotation_id)
            annotation_id += len(boxes)
            annotations += boxes
        body = {"images": images, "annotations": annotations, "categories": categories}
        atomic_write(target / annotation_file(name), json_bytes(body))
    return {name: len(places) for name, places in split.items()}


def _annotations(picture: Picture, classes: list[str], image_id: int, last_id: int) -> list[dict[str, Any]]:
    found = []
    for number, box in enumerate(picture.boxes, last_id + 1):
        x1, y1, x2, y2 = box.xyxy
        found.append(
            {
                "id": number,
                "image_id": image_id,
                "category_id": classes.index(box.category) + 1,
                "bbox": [round(v, 4) for v in (x1, y1, x2 - x1, y2 - y1)],
                "area": round((x2 - x1) * (y2 - y1), 4),
                "iscrowd": int(box.crowd),
            }
        )
    return found
