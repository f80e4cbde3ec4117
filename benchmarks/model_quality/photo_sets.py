# SPDX-License-Identifier: Apache-2.0
"""Photos with boxes of every person to measure detectors on, none of them used in training."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passerby.decode import decode_image
from passerby.training.shipped.detection_data import is_val_stem, photo_stem, read_yolo_boxes

from .crop_sets import AbsentError


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoSet:
    """Photos and the persons in them.

    Attributes:
        name: of the set.
        files: N pictures.
        boxes: for each photo (M, 4) float32 x1 y1 x2 y2 in pixels of the photo; M may be 0.
    """

    name: str
    files: tuple[Path, ...]
    boxes: tuple[NDArray[np.float32], ...]

    def fingerprint(self, root: Path) -> str:
        """SHA-256 of names below `root` and boxes."""
        digest = hashlib.sha256()
        for path, boxes in zip(self.files, self.boxes, strict=True):
            digest.update(f"{path.relative_to(root).as_posix()} {boxes.round(2).tolist()}\n".encode())
        return digest.hexdigest()


def human_oi_coco(photos: Path) -> PhotoSet:
    """The val photos of `human_oi_coco` by its split rule, without those that COCO's val2017 pictures show."""
    coco_val = {path.stem for path in (photos / "coco128/images/val2017").glob("*.jpg")}
    files = [
        path
        for path in sorted((photos / "human_oi_coco").rglob("*.jpg"))
        if is_val_stem(photo_stem(path)) and photo_stem(path) not in coco_val
    ]
    if not files or not coco_val:
        raise AbsentError("human_oi_coco, with coco128 beside it to leave its photos out: not among the photos")
    return _photo_set("human_oi_coco", files, lambda path: path.parents[1] / "labels" / f"{path.stem}.txt")


def coco128(photos: Path) -> PhotoSet:
    """The first 128 photos of COCO val2017."""
    files = sorted((photos / "coco128/images/val2017").glob("*.jpg"))
    if not files:
        raise AbsentError("coco128: no images/val2017 among the photos")
    labels = photos / "coco128/object_detection/labels/val2017"
    return _photo_set("coco128", files, lambda path: labels / f"{path.stem}.txt")


def _photo_set(name: str, files: Sequence[Path], label_of: Callable[[Path], Path]) -> PhotoSet:
    """Photos with YOLO label files; a photo without one shows no person."""
    boxes = []
    for path in files:
        height, width = decode_image(path.read_bytes(), input=str(path)).shape[:2]
        label = label_of(path)
        shares = read_yolo_boxes(label) if label.is_file() else np.zeros((0, 4), np.float32)
        boxes.append(np.asarray(shares * np.array([width, height, width, height]), np.float32))
    return PhotoSet(name=name, files=tuple(files), boxes=tuple(boxes))


PENN_FUDAN_BOX = re.compile(r"^Bounding box for object .*: \((\d+), (\d+)\) - \((\d+), (\d+)\)", re.MULTILINE)


def penn_fudan(folder: Path) -> PhotoSet:
    """All photos of the Penn-Fudan set: upright pedestrians on campus and street, 423 boxes.

    Args:
        folder: with `PNGImages` and `Annotation`, whose pixel numbers begin at 1 and include the last one.
    """
    files = sorted((folder / "PNGImages").glob("*.png"))
    if not files:
        raise AbsentError(f"Penn-Fudan: no {folder.name}/PNGImages (gmguarino/PennFudan, data/PennFudanPed)")
    boxes = []
    for path in files:
        text = (folder / "Annotation" / f"{path.stem}.txt").read_text("utf-8", errors="replace")
        corners = np.array(PENN_FUDAN_BOX.findall(text), np.float32).reshape(-1, 4)
        boxes.append(np.asarray(corners - np.array([1, 1, 0, 0]), np.float32))
    return PhotoSet(name="penn_fudan", files=tuple(files), boxes=tuple(boxes))


def without_people(*sets: PhotoSet) -> PhotoSet:
    """The photos of these sets in which nobody is marked."""
    chosen = [path for photos in sets for path, boxes in zip(photos.files, photos.boxes, strict=True) if not len(boxes)]
    return PhotoSet(name="people_free", files=tuple(chosen), boxes=(np.zeros((0, 4), np.float32),) * len(chosen))
