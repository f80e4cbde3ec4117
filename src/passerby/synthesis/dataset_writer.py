# SPDX-License-Identifier: Apache-2.0
"""From rendered rows to data sets that training reads: an MLClsDataset of crops, a COCODetDataset of streets."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import atomic_write
from ..models.pa100k import COLOUR_GROUPS, COLOUR_LABELS, GROUPS
from ..models.pa100k import LABELS as ATTRIBUTE_LABELS
from .contact_sheet import write_sheet
from .parts import PARTS

LABELS = (*ATTRIBUTE_LABELS, *COLOUR_LABELS)
VAL_EVERY = 10  # one person (or street) in so many is for val
Rows = Sequence[Mapping[str, Any]]


def write_crop_set(folder: Path, rows: Rows, *, seed: int) -> dict[str, Any]:
    """Write label.txt, labels.yaml, train.txt, val.txt, groups.csv, crops.csv, statistics.json and sheet.png.

    A person is in one split only. Returns the statistics.
    """
    names = [f"{label.en}({label.zh})" for label in LABELS]
    _write_text(folder / "label.txt", "".join(f"{number} {name}\n" for number, name in enumerate(names)))
    _write_text(folder / "labels.yaml", _labels_yaml(names))
    splits: dict[str, list[str]] = {"train": [], "val": []}
    for row in rows:
        splits[_split(row["person"])].append(f"{row['file']}\t{','.join(map(str, row['labels']))}\n")
    for split, lines in splits.items():
        _write_text(folder / f"{split}.txt", "".join(lines))
    groups = "".join(f"{row['file']},{row['person']},{row['parameters']['light']}\n" for row in rows)
    _write_text(folder / "groups.csv", "path,person,light\n" + groups)
    _write_text(folder / "crops.csv", _table(rows, seed))
    statistics = crop_statistics(rows, seed=seed)
    _write_text(folder / "statistics.json", json.dumps(statistics, ensure_ascii=False, indent=1) + "\n")
    captions = [(folder / row["file"], _said(row["labels"])) for row in rows]
    write_sheet(folder / "sheet.png", captions)
    return statistics


def _split(number: int) -> str:
    return "val" if number % VAL_EVERY == VAL_EVERY - 1 else "train"


def _said(values: Sequence[int]) -> str:
    """Ids of what is there, and with a ? of what cannot be told, short enough for a caption."""
    there = [label.id for label, value in zip(ATTRIBUTE_LABELS, values, strict=False) if value == 1]
    colours = [label.id for label, value in zip(LABELS, values, strict=True) if value == 1 and label in COLOUR_LABELS]
    return " ".join([*there, *colours])


def _write_text(path: Path, text: str) -> None:
    atomic_write(path, text.encode("utf-8"))


def _labels_yaml(names: Sequence[str]) -> str:
    lines = ["# What label.txt cannot say: ids, languages, groups.", "labels:"]
    for label, name in zip(LABELS, names, strict=True):
        group = f", group: {label.group}" if label.group else ""
        lines.append(f'  - {{name: "{name}", id: {label.id}, en: "{label.en}", zh: "{label.zh}"{group}}}')
    lines.append("groups:")
    lines += [f'  - {{id: {g.id}, en: "{g.en}", exclusive: true}}' for g in (*GROUPS, *COLOUR_GROUPS)]
    return "\n".join(lines) + "\n"


def _table(rows: Rows, seed: int) -> str:
    """crops.csv: seed, number, person, everything drawn by lot, and the visible share of every part."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    parameters = list(rows[0]["parameters"]) if rows else []
    writer.writerow(["path", "seed", "number", *parameters, *(f"visible_{part}" for part in PARTS)])
    for row in rows:
        drawn = [row["parameters"][name] for name in parameters]
        shares = [row["shares"].get(part, "") for part in PARTS]
        writer.writerow([row["file"], seed, row["number"], *drawn, *shares])
    return text.getvalue()


def crop_statistics(rows: Rows, *, seed: int) -> dict[str, Any]:
    """Counts of yes, no and unknown for every label, and of the circumstances."""
    labels = {}
    for column, label in enumerate(LABELS):
        found = Counter(row["labels"][column] for row in rows)
        labels[label.id] = {"yes": found[1], "no": found[0], "unknown": found[-1]}
    circumstances = {
        name: dict(sorted(Counter(str(row["parameters"][name]) for row in rows).items()))
        for name in ("light", "cut", "occluder", "company")
    }
    heights = sorted(row["parameters"]["native_px"] for row in rows)
    return {
        "kind": "crops",
        "seed": seed,
        "pictures": len(rows),
        "persons": len({row["person"] for row in rows}),
        "labels": labels,
        "circumstances": circumstances,
        "native_px": _spread(heights),
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    """Smallest, middle and largest of sorted values."""
    return {"least": values[0], "median": values[len(values) // 2], "most": values[-1]} if values else {}


def write_street_set(folder: Path, rows: Rows, *, seed: int) -> dict[str, Any]:
    """Write annotations/instance_{train,val}.json, statistics.json and sheet.png; returns the statistics.

    Each annotation has the visible box and mask, and beside them `full_bbox` and `visibility`.
    """
    documents: dict[str, dict[str, Any]] = {split: {"images": [], "annotations": []} for split in ("train", "val")}
    for row in rows:
        document = documents[_split(row["number"])]
        size = {"width": row["width"], "height": row["height"]}
        document["images"].append({"id": row["number"] + 1, "file_name": row["file"], **size})
        for person in row["persons"]:
            identity = {"id": len(document["annotations"]) + 1, "image_id": row["number"] + 1, "category_id": 1}
            document["annotations"].append({**identity, "iscrowd": 0, **person})
    for split, document in documents.items():
        document["categories"] = [{"id": 1, "name": "pedestrian"}]
        _write_text(folder / f"annotations/instance_{split}.json", json.dumps(document, separators=(",", ":")))
    heights = sorted(person["bbox"][3] for row in rows for person in row["persons"])
    statistics = {
        "kind": "streets",
        "seed": seed,
        "pictures": len(rows),
        "persons": len(heights),
        "persons_a_picture": dict(sorted(Counter(str(len(row["persons"])) for row in rows).items())),
        "light": dict(Counter(row["parameters"]["light"] for row in rows)),
        "height_px": _spread(heights),
    }
    _write_text(folder / "statistics.json", json.dumps(statistics, indent=1) + "\n")
    write_sheet(folder / "sheet.png", [(folder / "images" / r["file"], f"{len(r['persons'])} persons") for r in rows])
    return statistics
