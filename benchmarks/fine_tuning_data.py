# SPDX-License-Identifier: Apache-2.0
"""The held-out source as a folder in the layout MLClsDataset, for `fine_tuning.py`.

One crop a labelled person, cut at the box as inference cuts it. A photo's crops are all in the pool that labels are
taken from (`train.txt`) or all in the test part (`val.txt`; nothing is chosen on it). `groups.csv` names the photo.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from passerby.attributes import crop
from passerby.compat.paddlex import LABEL_STRINGS
from passerby.decode import decode_image
from passerby.files import atomic_write, encode_image
from passerby.models.pa100k import LABELS
from passerby.training.shipped.attribute_data import NEAR_COPY_BITS, PersonBox, photo_hash, read_labelled

COUNT = len(LABELS)


def write_held_out(folder: Path, *, labels_csv: Path, photos: Path, source: str, pool: int) -> dict[str, int]:
    """Write the data set.

    Args:
        folder: outside the repository: the crops show real people.
        labels_csv, photos: as `scripts/train_attributes.py prepare` takes them.
        source: the one that pretraining was kept from.
        pool: number of crops to label from; as few photos more as needed to reach it.
    Returns:
        how many crops of each part, and how many photos were left out as copies of a photo of pretraining.
    """
    boxes = read_labelled(labels_csv)
    usable = [b for b in boxes if b.quality >= 2 and b.photo.startswith(f"{source}/")]
    copies = _copies(usable, [b for b in boxes if not b.photo.startswith(f"{source}/")], photos)
    parts: dict[str, list[PersonBox]] = {"train": [], "val": []}
    for key in sorted({b.key for b in usable} - copies, key=lambda k: hashlib.sha256(f"pool/{k}".encode()).digest()):
        part = "train" if len(parts["train"]) < pool else "val"
        parts[part] += [b for b in usable if b.key == key]
    groups = ["path,photo"]
    for part, members in parts.items():
        lines = []
        for box in members:
            name = f"images/{box.id}.png"
            _write_crop(folder / name, photos / box.photo, box)
            lines.append(f"{name}\t{','.join(str(int(t)) for t in box.targets[:COUNT])}\n")
            groups.append(f"{name},{box.key}")
        atomic_write(folder / f"{part}.txt", "".join(lines).encode())
    names = "".join(f"{i} {LABEL_STRINGS[label.id]}\n" for i, label in enumerate(LABELS))
    atomic_write(folder / "label.txt", names.encode())
    atomic_write(folder / "groups.csv", ("\n".join(groups) + "\n").encode())
    counts = {"pool": len(parts["train"]), "test": len(parts["val"]), "photos_left_out": len(copies)}
    counts |= {f"photos_{part}": len({b.key for b in members}) for part, members in parts.items()}
    atomic_write(folder / "counts.json", json.dumps(counts, indent=1).encode())
    return counts


def _copies(held_out: list[PersonBox], others: list[PersonBox], photos: Path) -> set[str]:
    """Keys of held-out photos that another source holds too, by name or nearly the same to the eye."""
    known = {b.key for b in others}
    hashes = np.array([_hash(photos / p) for p in sorted({b.photo for b in others})], np.uint64)
    copies = {b.key for b in held_out if b.key in known}
    for box in {b.key: b for b in held_out}.values():
        distances = np.bitwise_count(hashes ^ np.uint64(_hash(photos / box.photo)))
        if distances.size and int(distances.min()) <= NEAR_COPY_BITS:
            copies.add(box.key)
    return copies


def _hash(path: Path) -> int:
    return photo_hash(decode_image(path.read_bytes(), input=str(path)))


def _write_crop(target: Path, photo: Path, box: PersonBox) -> None:
    if target.is_file():
        return
    image = decode_image(photo.read_bytes(), input=str(photo))
    height, width = image.shape[:2]
    corners = np.array(box.box_xyxy or (0, 0, width, height), np.float32)
    atomic_write(target, encode_image(crop(image, corners), ".png"))
