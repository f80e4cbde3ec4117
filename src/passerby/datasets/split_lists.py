# SPDX-License-Identifier: Apache-2.0
"""The lists of a data set as `split` needs them: all samples in one row, and back into files of any split."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError, shown
from .attribute_set import ReadAttributes, inspect_attribute_set
from .detection_set import ReadDetections, annotation_file, inspect_detection_set
from .json_files import json_bytes, read_json
from .problems import Findings, Place
from .records import AttributeSample, DetectionSample


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The samples to be shared out, sorted by name, each once.

    Attributes:
        folder: of the data set. kind: its layout.
        samples: N of them, all of one kind.
        counts: (N, K) how often each has each class. classes: names of the K.
        documents: of a COCODetDataset, the files of before by split.
        kept: samples of a list for test that stays as it is.
        held_out: names of those that stand in one of the other lists too: they are test's and not among the samples.
    """

    folder: Path
    kind: Literal["MLClsDataset", "COCODetDataset"]
    samples: tuple[AttributeSample | DetectionSample, ...]
    counts: NDArray[np.int64]
    classes: tuple[str, ...]
    documents: Mapping[str, Mapping[str, Any]]
    kept: tuple[AttributeSample | DetectionSample, ...]
    held_out: tuple[str, ...]


def read_lists(folder: Path, splits: Sequence[str]) -> Listed:
    """Read and check the lists of these splits as far as they exist; `train` must.

    Raises:
        DatasetError: `dataset_missing`, `dataset_invalid` with every problem.
    """
    if (folder / annotation_file("train")).exists():
        boxes = inspect_detection_set(folder, needed=("train",))
        samples, held_out = _pooled(boxes, splits)
        return _detections(folder, boxes, samples, held_out, splits)
    read = inspect_attribute_set(folder, needed=("train",))
    samples, held_out = _pooled(read, splits)
    labels = read.data.label_set.labels
    rows = [sample.targets == 1 for sample in samples if isinstance(sample, AttributeSample)]
    return Listed(
        folder=folder,
        kind="MLClsDataset",
        samples=samples,
        counts=np.array(rows, np.int64).reshape(len(samples), len(labels)),
        classes=tuple(label.id for label in labels),
        documents={},
        kept=() if "test" in splits else tuple(read.data.splits.get("test", ())),
        held_out=held_out,
    )


def _pooled(
    read: ReadAttributes | ReadDetections, splits: Sequence[str]
) -> tuple[tuple[AttributeSample | DetectionSample, ...], tuple[str, ...]]:
    """Samples of the splits by name, and names of those that are held out for another split.

    One that stands twice with other labels is a problem.
    """
    found: dict[str, tuple[AttributeSample | DetectionSample, Place]] = {}
    for split in splits:
        samples: tuple[AttributeSample | DetectionSample, ...] = read.data.splits.get(split, ())
        for sample, place in zip(samples, read.places.get(split, ()), strict=True):
            earlier, earlier_place = found.setdefault(sample.file, (sample, place))
            if not _same(earlier, sample):
                read.findings.add(place, f"{shown(sample.file)} stands in {earlier_place} already, with other labels")
    read.findings.raise_any(read.data.root)
    others = {sample.file for split, own in read.data.splits.items() if split not in splits for sample in own}
    free = sorted(found.keys() - others)
    if not free:
        raise DatasetError("dataset_invalid", "there is nothing to split", input=str(read.data.root))
    return tuple(found[file][0] for file in free), tuple(sorted(found.keys() & others))


def _same(a: AttributeSample | DetectionSample, b: AttributeSample | DetectionSample) -> bool:
    if isinstance(a, AttributeSample) and isinstance(b, AttributeSample):
        return np.array_equal(a.targets, b.targets)
    if isinstance(a, DetectionSample) and isinstance(b, DetectionSample):
        pairs = ((a.boxes_xyxy, b.boxes_xyxy), (a.class_ids, b.class_ids), (a.crowd, b.crowd))
        return all(np.array_equal(one, two) for one, two in pairs)
    return False


def _detections(
    folder: Path,
    read: ReadDetections,
    samples: tuple[AttributeSample | DetectionSample, ...],
    held_out: tuple[str, ...],
    splits: Sequence[str],
) -> Listed:
    classes = read.data.classes
    counts = np.zeros((len(samples), len(classes) + 1), np.int64)
    for i, sample in enumerate(samples):
        if isinstance(sample, DetectionSample):
            np.add.at(counts[i], sample.class_ids, 1)
            counts[i, -1] = not len(sample.class_ids)
    findings = Findings()
    there = [split for split in splits if (folder / annotation_file(split)).exists()]
    documents = {split: read_json(folder, annotation_file(split), findings) for split in there}
    findings.raise_any(folder)
    return Listed(
        folder=folder,
        kind="COCODetDataset",
        samples=samples,
        counts=counts,
        classes=(*classes, "without boxes"),
        documents=documents,
        kept=() if "test" in splits else tuple(read.data.splits.get("test", ())),
        held_out=held_out,
    )


def attribute_files(listed: Listed, new: Mapping[str, Sequence[int]]) -> dict[str, bytes]:
    """The lists by file name.

    Args:
        listed: all samples. new: by split, the places of its samples.
    """
    return {f"{split}.txt": lines_of([listed.samples[i] for i in places]) for split, places in new.items()}


def lines_of(samples: Sequence[AttributeSample | DetectionSample]) -> bytes:
    """Lines of a path, a tab and the values."""
    lines = [
        f"{sample.file}\t{','.join(map(str, sample.targets.tolist()))}\n"
        for sample in samples
        if isinstance(sample, AttributeSample)
    ]
    return "".join(lines).encode("utf-8")


def detection_files(listed: Listed, new: Mapping[str, Sequence[int]]) -> dict[str, bytes]:
    """The annotation files by name. Ids are given anew, one row through all splits, so that no two files share one.

    Everything else that the files of before say about a picture or a box is kept. Categories are those of train.
    """
    base = listed.documents["train"]
    by_name = {category["name"].strip(): category["id"] for category in base["categories"]}
    entries = _entries(listed.documents, by_name)
    files: dict[str, bytes] = {}
    image_id = annotation_id = 0
    for split, places in new.items():
        images, annotations = [], []
        for i in places:
            image_id += 1
            image, boxes = entries[listed.samples[i].file]
            images.append({**image, "id": image_id})
            for box in boxes:
                annotation_id += 1
                annotations.append({**box, "id": annotation_id, "image_id": image_id})
        files[annotation_file(split)] = json_bytes({**base, "images": images, "annotations": annotations})
    return files


def _entries(
    documents: Mapping[str, Mapping[str, Any]], ids_by_name: Mapping[str, Any]
) -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    """By picture what the files say of it, and its annotations with the ids of the categories of train."""
    entries: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
    for document in documents.values():
        names = {category["id"]: category["name"].strip() for category in document["categories"]}
        boxes: dict[Any, list[dict[str, Any]]] = {}
        for annotation in document["annotations"]:
            category_id = ids_by_name[names[annotation["category_id"]]]
            boxes.setdefault(annotation["image_id"], []).append({**annotation, "category_id": category_id})
        for image in document["images"]:
            # a picture that stands in two files says the same in both, as `read_lists` has seen
            entries.setdefault(posixpath.normpath(image["file_name"]), (image, boxes.get(image["id"], [])))
    return entries
