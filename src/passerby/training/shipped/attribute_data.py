# SPDX-License-Identifier: Apache-2.0
"""Person boxes from the permissive photos, their labels, and their pixels in one memory-mapped file.

Feeds `attribute_teacher` and `attribute_loop`. What may be trained on is decided here and only here: a photo that
is `val` anywhere (by-eye labels, the hash rule of `human_oi_coco`, COCO val2017) gives no training box, under
whatever name it appears, and neither does a near copy of it.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...datasets.near_copies import NEAR_COPY_BITS, bits_apart, photo_hash
from ...errors import DatasetError
from .attribute_labels import ATTRIBUTE_COLUMNS, COLOUR_WORDS, LABEL_COUNT

STORED_HW = (320, 240)
CONTEXT = 0.125  # of the box's side, kept on each side so that crops can be jittered outwards
UNKNOWN = -1.0
RENDERED = "rendered"  # folder of `passerby synthesise` beside the photos
TWIN_IOU = 0.6  # an unlabelled box this close to a labelled one is the same person


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonBox:
    """One person in one photo.

    Attributes:
        id: row id of labels.csv, or `<source>/<photo key>#<line>` for a box without labels.
        photo: path of the photo below the photo folder.
        key: name of the photo that is the same in every export of it.
        box_xyxy: pixels of the photo; None means the whole photo.
        split: `train`, `val`.
        quality: 3 clear, 2 usable, 1 useless, 0 never looked at.
        targets: (LABEL_COUNT,) 1 yes, 0 no, -1 unknown.
    """

    id: str
    photo: str
    key: str
    box_xyxy: tuple[float, float, float, float] | None
    split: str
    quality: int
    targets: tuple[float, ...]


def photo_key(source: str, path: str) -> str:
    """The photo's own name: its Open Images or COCO id where it has one, so that copies share a key."""
    stem = Path(path).name.split("_jpg.rf")[0]
    stem = stem.removesuffix(".jpg")
    is_id = (len(stem) == 16 and all(c in "0123456789abcdef" for c in stem)) or (len(stem) == 12 and stem.isdigit())
    return stem if is_id else f"{source}/{stem}"


def in_hash_val(stem: str) -> bool:
    """Whether `human_oi_coco` counts this photo as val."""
    return int(hashlib.sha256(stem.encode()).hexdigest(), 16) % 100 < 12


def row_targets(row: dict[str, str]) -> tuple[float, ...]:
    """(LABEL_COUNT,) targets of a row of labels.csv; an empty or `multi` colour leaves its 12 entries unknown.

    Of a useless crop (quality 1) nothing is known but that it cannot be judged.
    """
    if row["quality"] == "1":
        return (*(UNKNOWN,) * (LABEL_COUNT - 1), 1.0)
    targets = [float(row[c]) for c in ATTRIBUTE_COLUMNS]
    for column in ("upper_colour", "lower_colour"):
        word = row[column]
        known = word in COLOUR_WORDS
        targets += [float(word == c) if known else UNKNOWN for c in COLOUR_WORDS]
    return (*targets, 0.0)


def read_labelled(labels_csv: Path) -> list[PersonBox]:
    """Every row of labels.csv, useless crops (quality 1) included."""
    boxes = []
    with labels_csv.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            x1 = row["x1"]
            box = (float(x1), float(row["y1"]), float(row["x2"]), float(row["y2"])) if x1 else None
            boxes.append(
                PersonBox(
                    id=row["id"],
                    photo=f"{row['source']}/{row['path']}",
                    key=photo_key(row["source"], row["path"]),
                    box_xyxy=box,
                    split=row["set"],
                    quality=int(row["quality"]),
                    targets=row_targets(row),
                )
            )
    return boxes


def read_yolo_persons(photo_root: Path, source: str, *, min_height_px: float) -> Iterator[PersonBox]:
    """Boxes of class 0 beside the photos of a source in YOLO's layout, without labels.

    Args:
        source: `human_oi_coco` (photos 416 x 416) or `coco128`.
        min_height_px: smaller persons are left out.
    """
    folder = photo_root / source
    for image_path in sorted(folder.rglob("*.jpg")):
        label_path = _yolo_labels(image_path)
        if not label_path.is_file():
            continue
        height, width = _decoded(image_path).shape[:2]
        relative = str(image_path.relative_to(photo_root))
        for line_number, line in enumerate(label_path.read_text().splitlines()):
            numbers = [float(v) for v in line.split()]
            if len(numbers) < 5 or (numbers[0] != 0 and source == "coco128"):
                continue
            box = _yolo_box(numbers, width=width, height=height)
            if box[3] - box[1] >= min_height_px and box[2] - box[0] >= min_height_px / 5:
                key = photo_key(source, relative)
                yield PersonBox(
                    id=f"{source}/{key}#{line_number}",
                    photo=relative,
                    key=key,
                    box_xyxy=box,
                    split="val" if "val2017" in relative or in_hash_val(key) else "train",
                    quality=0,
                    targets=(UNKNOWN,) * LABEL_COUNT,
                )


def _yolo_labels(image_path: Path) -> Path:
    if "images" in image_path.parts and "coco128" in image_path.parts:
        root = image_path.parents[2]
        return root / "object_detection" / "labels" / image_path.parent.name / f"{image_path.stem}.txt"
    return image_path.parents[1] / "labels" / f"{image_path.stem}.txt"


def _yolo_box(numbers: list[float], *, width: int, height: int) -> tuple[float, float, float, float]:
    if len(numbers) == 5:
        _, cx, cy, w, h = numbers
        x1, y1, x2, y2 = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
    else:  # a polygon: the box around it
        xs, ys = numbers[1::2], numbers[2::2]
        x1, y1, x2, y2 = min(xs), min(ys), max(xs), max(ys)
    return x1 * width, y1 * height, x2 * width, y2 * height


def _decoded(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR of a photo of the data set."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DatasetError("dataset_invalid", "a photo cannot be decoded", input=str(path))
    return np.asarray(image, np.uint8)


def without_val_photos(boxes: Iterable[PersonBox], photo_root: Path) -> tuple[list[PersonBox], list[str]]:
    """Drop training boxes whose photo, or a near copy of it, is val for any box.

    Returns:
        the boxes kept, and the keys of the photos dropped.
    """
    boxes = list(boxes)
    photos = sorted({b.photo for b in boxes if not b.photo.startswith(f"{RENDERED}/")})
    hashes = {p: photo_hash(_decoded(photo_root / p)) for p in photos}
    val_keys = {b.key for b in boxes if b.split == "val"}
    val_hashes = np.array(sorted({hashes[b.photo] for b in boxes if b.split == "val"}), np.uint64)
    dropped = set()
    for box in boxes:
        if box.split != "train" or box.key in dropped or box.photo not in hashes:
            continue
        distances = bits_apart(val_hashes, np.uint64(hashes[box.photo]))
        if box.key in val_keys or (distances.size and int(distances.min()) <= NEAR_COPY_BITS):
            dropped.add(box.key)
    kept = [b for b in boxes if b.split == "val" or b.key not in dropped]
    return kept, sorted(dropped)


def read_boxes(boxes_csv: Path, *, min_height_px: float) -> Iterator[PersonBox]:
    """Persons of a table `source,path,x1,y1,x2,y2`, without labels: what a teacher found where nobody drew boxes."""
    with boxes_csv.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file)):
            box = (float(row["x1"]), float(row["y1"]), float(row["x2"]), float(row["y2"]))
            key = photo_key(row["source"], row["path"])
            if box[3] - box[1] >= min_height_px:
                yield PersonBox(
                    id=f"{row['source']}/{key}~{number}",
                    photo=f"{row['source']}/{row['path']}",
                    key=key,
                    box_xyxy=box,
                    split="val" if "val2017" in row["path"] or in_hash_val(key) else "train",
                    quality=0,
                    targets=(UNKNOWN,) * LABEL_COUNT,
                )


def read_rendered(photo_root: Path) -> Iterator[PersonBox]:
    """Rendered crops with their labels, where there are any: training crops one and all."""
    for table in ("train.txt", "val.txt"):
        path = photo_root / RENDERED / table
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        for line in lines:
            crop, _, labels = line.partition("\t")
            yield PersonBox(
                id=f"{RENDERED}/{crop}",
                photo=f"{RENDERED}/{crop}",
                key=f"{RENDERED}/{crop}",
                box_xyxy=None,
                split="train",
                quality=3,
                targets=(*(float(v) for v in labels.split(",")), UNKNOWN),
            )


def collect_persons(
    labels: Sequence[Path], photo_root: Path, *, boxes_csv: Path | None = None, min_height_px: float = 60.0
) -> tuple[list[PersonBox], list[str]]:
    """Everything the attribute network may see: by-eye crops of both splits and unlabelled training persons.

    Unlabelled boxes come from `human_oi_coco`, `coco128` and `boxes_csv`; those that overlap a labelled one are left
    out, and so are all boxes of photos that are val anywhere.

    Args:
        labels: tables like labels.csv; a person in two of them counts twice, so they should not overlap.
    Returns:
        boxes in a fixed order, and the keys of training photos dropped as copies of val photos.
    """
    labelled = [box for table in labels for box in read_labelled(table)]
    labelled += read_rendered(photo_root)
    others = [
        b for s in ("human_oi_coco", "coco128") for b in read_yolo_persons(photo_root, s, min_height_px=min_height_px)
    ]
    if boxes_csv is not None:
        others += read_boxes(boxes_csv, min_height_px=min_height_px)
    kept, dropped = without_val_photos([*labelled, *others], photo_root)
    of_photo: dict[str, list[PersonBox]] = {}
    for box in labelled:
        of_photo.setdefault(box.photo, []).append(box)
    persons = [b for b in kept if b.quality > 0]
    for box in kept:
        twins = of_photo.get(box.photo, [])
        if box.quality == 0 and box.split == "train" and all(_overlap(box, t) <= TWIN_IOU for t in twins):
            persons.append(box)
    return persons, dropped


def _overlap(first: PersonBox, second: PersonBox) -> float:
    """Intersection over union of two boxes; 0 where one is the whole photo."""
    if first.box_xyxy is None or second.box_xyxy is None:
        return 0.0
    a, b = first.box_xyxy, second.box_xyxy
    shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / (areas - shared) if shared else 0.0


def cut_with_context(
    image_bgr: NDArray[np.uint8], box_xyxy: tuple[float, float, float, float] | None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The person with CONTEXT on each side, resized to STORED_HW, and where the box lies in it.

    Returns:
        (*STORED_HW, 3) uint8 BGR and (4,) float32 x1 y1 x2 y2 as fractions of the stored picture. Context that
        would leave the photo is left out, so a box at the edge lies off centre.
    """
    height, width = image_bgr.shape[:2]
    x1, y1, x2, y2 = box_xyxy or (0.0, 0.0, float(width), float(height))
    x1, y1, x2, y2 = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
    dx, dy = (x2 - x1) * CONTEXT, (y2 - y1) * CONTEXT
    left, top = int(max(x1 - dx, 0)), int(max(y1 - dy, 0))
    right, bottom = int(np.ceil(min(x2 + dx, width))), int(np.ceil(min(y2 + dy, height)))
    cut = image_bgr[top:bottom, left:right]
    shrinking = cut.shape[0] > STORED_HW[0]
    stored = cv2.resize(
        cut, (STORED_HW[1], STORED_HW[0]), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    )
    w, h = right - left, bottom - top
    inner = np.array([(x1 - left) / w, (y1 - top) / h, (x2 - left) / w, (y2 - top) / h], np.float32)
    return stored.astype(np.uint8), inner


def store_crops(
    boxes: list[PersonBox], photo_root: Path, out: Path, *, elsewhere: Mapping[str, Path] | None = None
) -> None:
    """Write `crops.u8` (N, 320, 240, 3), `inner.npy`, `heights.npy`, `targets.npy` and `boxes.jsonl` to `out`.

    Args:
        elsewhere: folders of sources whose photos do not lie below `photo_root`.
    """
    out.mkdir(parents=True, exist_ok=True)
    pixels = np.memmap(out / "crops.u8", np.uint8, "w+", shape=(len(boxes), *STORED_HW, 3))
    inner = np.zeros((len(boxes), 4), np.float32)
    heights = np.zeros(len(boxes), np.float32)
    order = sorted(range(len(boxes)), key=lambda i: boxes[i].photo)  # each photo is decoded once
    photo, image = "", np.zeros((1, 1, 3), np.uint8)
    for i in order:
        if boxes[i].photo != photo:
            photo = boxes[i].photo
            source, _, below = photo.partition("/")
            folder = (elsewhere or {}).get(source)
            image = _decoded(photo_root / photo if folder is None else folder / below)
        pixels[i], inner[i] = cut_with_context(image, boxes[i].box_xyxy)
        box = boxes[i].box_xyxy
        heights[i] = box[3] - box[1] if box else image.shape[0]
    pixels.flush()
    np.save(out / "inner.npy", inner)
    np.save(out / "heights.npy", heights)
    np.save(out / "targets.npy", np.array([b.targets for b in boxes], np.float32))
    with (out / "boxes.jsonl").open("w", encoding="utf-8") as file:
        for b in boxes:
            record = {"id": b.id, "photo": b.photo, "key": b.key, "split": b.split, "quality": b.quality}
            file.write(json.dumps(record) + "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class CropStore:
    """Stored crops as written by `store_crops`; N is the number of persons.

    Attributes:
        pixels: (N, 320, 240, 3) uint8 BGR, memory-mapped.
        inner: (N, 4) float32, the person's box as fractions of the stored picture.
        heights: (N,) float32, height of the box in the photo, px.
        targets: (N, LABEL_COUNT) float32: 1, 0, or -1 unknown.
        quality: (N,) int64; is_val: (N,) bool; keys, sources: (N,) strings.
    """

    pixels: NDArray[np.uint8]
    inner: NDArray[np.float32]
    heights: NDArray[np.float32]
    targets: NDArray[np.float32]
    quality: NDArray[np.int64]
    is_val: NDArray[np.bool_]
    keys: NDArray[np.str_]
    sources: NDArray[np.str_]
    ids: NDArray[np.str_]

    @property
    def calibration(self) -> NDArray[np.bool_]:
        """(N,) crops whose photo is kept from training, to calibrate on: a tenth of the training photos."""
        drawn = [int(hashlib.sha256(f"calibration/{k}".encode()).hexdigest(), 16) % 100 < 10 for k in self.keys]
        return np.array(drawn) & ~self.is_val & ~self.rendered

    @property
    def rendered(self) -> NDArray[np.bool_]:
        """(N,) crops that no camera took: they teach, but no teacher is asked about them and nothing is measured."""
        return self.sources == RENDERED

    @property
    def judged(self) -> NDArray[np.bool_]:
        """(N,) crops that a person has looked at, useless ones included."""
        return self.quality >= 1

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(N,) crops that a person has judged and found usable."""
        return self.quality >= 2


def open_crops(folder: Path) -> CropStore:
    """Open what `store_crops` wrote; pixels stay on disk until they are read."""
    lines = (folder / "boxes.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    shape = (len(records), *STORED_HW, 3)
    return CropStore(
        pixels=np.memmap(folder / "crops.u8", np.uint8, "r", shape=shape),
        inner=np.load(folder / "inner.npy"),
        heights=np.load(folder / "heights.npy"),
        targets=np.load(folder / "targets.npy"),
        quality=np.array([r["quality"] for r in records], np.int64),
        is_val=np.array([r["split"] == "val" for r in records]),
        keys=np.array([r["key"] for r in records]),
        sources=np.array([r["photo"].split("/")[0] for r in records]),
        ids=np.array([r["id"] for r in records]),
    )
