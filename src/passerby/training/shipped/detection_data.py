# SPDX-License-Identifier: Apache-2.0
"""Photos and boxes for the shipped detector: which photo belongs to which split, and one packed array to train from.

Input is a folder with one sub-folder a source (names as in the sources list of the model card). Output is a `Packed`
set: all photos stretched to one square size in one memory-mapped array, with the boxes that people drew. Teacher boxes
are added by `teacher_boxes.py`; nothing here augments.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

VAL_PERCENT = 12
THUMB_SIDE = 16
DUPLICATE_DISTANCE = 4.0  # mean absolute grey difference of two thumbnails that show the same photo
SOURCES = (
    "human_oi_coco",
    "oi_streets",
    "oi_mixed",
    "oi_vehicles",
    "coco128",
    "tiny_coco",
    "ccp",
    "oi_people",
    "coco_nist",
    "coco_serverless",
)
UNHASHED = ("oi_streets", "ccp")  # their photos bear no name that another source could share
PERSON_CLASS_COCO_JSON = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """One photo: where it is, its split (`train`, `val`, `val_coco` or `unused`) and its persons.

    boxes: (N, 4) float32 x1 y1 x2 y2 as fractions of width and height; None when nobody has marked persons in it.
    """

    source: str
    path: Path
    stem: str
    split: str
    boxes: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Decoded photos. pixels: (N, S, S, 3) uint8 RGB memory map; half: the same at S / 2; rows: a dict a photo."""

    pixels: NDArray[np.uint8]
    half: NDArray[np.uint8]
    rows: tuple[dict[str, object], ...]

    def indices(self, *splits: str) -> list[int]:
        """Row numbers of the photos of these splits."""
        return [i for i, row in enumerate(self.rows) if row["split"] in splits]


def photo_stem(path: Path) -> str:
    """File name before the exporter's suffix: `000000000139_jpg.rf.1a2b.jpg` gives `000000000139`."""
    return path.name.split("_jpg.rf")[0] if "_jpg.rf" in path.name else path.stem


def is_val_stem(stem: str) -> bool:
    """The fixed split rule of `human_oi_coco`; depends on nothing but the name."""
    return int(hashlib.sha256(stem.encode()).hexdigest(), 16) % 100 < VAL_PERCENT


def read_yolo_boxes(path: Path) -> NDArray[np.float32]:
    """Person boxes (class 0) of a YOLO label file, (N, 4) x1 y1 x2 y2 fractions clipped to the photo."""
    values = [line.split() for line in path.read_text().splitlines() if line.strip()]
    centre_size = np.array([v[1:5] for v in values if v[0] == "0"], np.float32).reshape(-1, 4)
    centre, half = centre_size[:, :2], centre_size[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1).clip(0.0, 1.0)


def list_photos(root: Path) -> list[Photo]:
    """Every photo below `root` with its split; sources in the order of `SOURCES`, names sorted."""
    coco_val = {path.stem for path in (root / "coco128/images/val2017").glob("*.jpg")}
    if not coco_val:
        raise FileNotFoundError(
            f"{root}/coco128/images/val2017: the val photos are needed to keep them out of training"
        )
    photos: list[Photo] = []
    for source in SOURCES:
        boxes = _coco_json_boxes(root / source) if source == "tiny_coco" else {}
        for path in sorted((root / source).rglob("*.jpg")):
            stem = photo_stem(path)
            photos.append(
                Photo(
                    source=source,
                    path=path,
                    stem=stem,
                    split=_split(source, path, stem, coco_val),
                    boxes=boxes.get(stem) if source == "tiny_coco" else _boxes_beside(source, path),
                )
            )
    return photos


def _split(source: str, path: Path, stem: str, coco_val: set[str]) -> str:
    if source == "coco128" and path.parent.name == "val2017":
        return "val_coco"
    if stem in coco_val:
        return "unused"
    # The rule holds for a name in every source, so a val photo cannot come back through another collection.
    if source not in UNHASHED and is_val_stem(stem):
        return "val" if source == "human_oi_coco" else "unused"
    return "train"


def _boxes_beside(source: str, path: Path) -> NDArray[np.float32] | None:
    if source == "human_oi_coco":
        return read_yolo_boxes(path.parent.parent / "labels" / f"{path.stem}.txt")
    if source == "coco128":
        label = path.parents[2] / "object_detection/labels" / path.parent.name / f"{path.stem}.txt"
        return read_yolo_boxes(label) if label.exists() else np.zeros((0, 4), np.float32)
    return None


def _coco_json_boxes(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Person boxes of every photo in the COCO instance files below `folder`, by stem; crowd regions left out."""
    boxes: dict[str, NDArray[np.float32]] = {}
    for path in sorted(folder.rglob("instances_*.json")):
        content = json.loads(path.read_text())
        persons: dict[int, list[list[float]]] = {}
        for item in content["annotations"]:
            if item["category_id"] == PERSON_CLASS_COCO_JSON and not item.get("iscrowd", 0):
                persons.setdefault(item["image_id"], []).append(item["bbox"])
        for image in content["images"]:
            xywh = np.array(persons.get(image["id"], []), np.float32).reshape(-1, 4)
            size = np.array([image["width"], image["height"]] * 2, np.float32)
            xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
            boxes[Path(image["file_name"]).stem] = np.asarray(xyxy / size, np.float32)
    return boxes


def pack_photos(photos: Sequence[Photo], out: Path, *, size: int) -> None:
    """Decode photos once, stretched to `size` squares, into `out/pixels.npy` and `out/photos.json`.

    A train photo that looks like a val photo (thumbnails alike) is marked `unused`.
    """
    out.mkdir(parents=True, exist_ok=True)
    pixels = np.lib.format.open_memmap(out / "pixels.npy", "w+", np.uint8, (len(photos), size, size, 3))
    rows = []
    for index, (photo, image_rgb, size_wh) in enumerate(_decoded(photos, size)):
        pixels[index] = image_rgb
        boxes = None if photo.boxes is None else photo.boxes.round(6).tolist()
        name = f"{photo.source}/{photo.path.name}"
        rows.append({"source": photo.source, "name": name, "split": photo.split, "size_wh": size_wh, "boxes": boxes})
    pixels.flush()
    halve(out)
    for index in _lookalikes(pixels, [str(row["split"]) for row in rows]):
        rows[index]["split"] = "unused"
    (out / "photos.json").write_text(json.dumps(rows))


def halve(folder: Path) -> None:
    """Write `half.npy` beside `pixels.npy`: training at small input sizes reads a quarter of the bytes."""
    pixels: NDArray[np.uint8] = np.load(folder / "pixels.npy", mmap_mode="r")
    side = pixels.shape[1] // 2
    half = np.lib.format.open_memmap(folder / "half.npy", "w+", np.uint8, (len(pixels), side, side, 3))
    for index, image in enumerate(pixels):
        half[index] = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    half.flush()


def _decoded(photos: Sequence[Photo], size: int) -> Iterator[tuple[Photo, NDArray[np.uint8], list[int]]]:
    for photo in photos:
        image_bgr = cv2.imread(str(photo.path), cv2.IMREAD_COLOR)
        if image_bgr is None:
            raise ValueError(f"{photo.path}: not a picture that OpenCV can read")
        height, width = image_bgr.shape[:2]
        # Cubic aliases when a photo shrinks a lot; inference does the same, so training should see it.
        square = cv2.resize(image_bgr, (size, size), interpolation=cv2.INTER_CUBIC)
        yield photo, np.asarray(square[:, :, ::-1], np.uint8), [width, height]


def _lookalikes(pixels: NDArray[np.uint8], splits: Sequence[str]) -> list[int]:
    """Train rows whose thumbnail equals that of a val row (other export, other crop of the file name)."""
    side = (THUMB_SIDE, THUMB_SIDE)
    thumbs = np.stack([cv2.resize(p, side, interpolation=cv2.INTER_AREA).mean(axis=2).ravel() for p in pixels])
    val = thumbs[[i for i, split in enumerate(splits) if split.startswith("val")]]
    found = []
    for index, split in enumerate(splits):
        if split == "train" and np.abs(val - thumbs[index]).mean(axis=1).min(initial=np.inf) < DUPLICATE_DISTANCE:
            found.append(index)
    return found


def load_packed(folder: Path) -> Packed:
    """Open what `pack_photos` wrote; pixels stay on disk until they are read."""
    pixels: NDArray[np.uint8] = np.load(folder / "pixels.npy", mmap_mode="r")
    half: NDArray[np.uint8] = np.load(folder / "half.npy", mmap_mode="r")
    return Packed(pixels=pixels, half=half, rows=tuple(json.loads((folder / "photos.json").read_text())))
