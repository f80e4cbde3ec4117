# SPDX-License-Identifier: Apache-2.0
"""The check of a data set: everything that is wrong in one error, else what is in it, in numbers and in pictures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import ArgumentError, DatasetError, shown
from ..files import atomic_write, check_writable
from .attribute_set import ReadAttributes, inspect_attribute_set
from .check_figures import (
    AttributeFigures,
    DetectionFigures,
    attribute_figures,
    column_figures,
    detection_figures,
    size_figures,
    warn_about_boxes,
)
from .check_pictures import Decoded, Progress, check_pictures
from .check_report import Drawn, draw_report
from .detection_set import IMAGES, ReadDetections, annotation_file, inspect_detection_set
from .label_spec import NAMES_FILE, YAML_FILE
from .near_copies import NearCopy, warn_about_near_copies
from .pictures import warn_about_unlisted
from .problems import InvalidDatasetError
from .records import AttributeSet, DetectionSet
from .text_files import nested_folder

DatasetFormat = Literal["MLClsDataset", "COCODetDataset"]
FOLDER = "check_dataset"
RESULT_FILE = "check_dataset_result.json"
PROBLEMS_FILE = "problems.txt"
NEAR_COPIES_LISTED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What a data set without problems holds.

    Attributes:
        data: as read.
        figures: by split.
        warnings: what is odd, one sentence each.
        columns: of `groups.csv`: for each the number of its values by split, and `shared` between train and others.
        picture_sizes: smallest, middle and largest width and height, px; empty when no picture was decoded.
        near_copies: pictures of two splits that are almost the same; empty when no picture was decoded.
        drawn: the pictures made of it, None without an output folder.
    """

    data: AttributeSet | DetectionSet
    figures: Mapping[str, AttributeFigures] | Mapping[str, DetectionFigures]
    warnings: tuple[str, ...]
    columns: Mapping[str, Mapping[str, int]]
    picture_sizes: Mapping[str, Sequence[int]]
    near_copies: tuple[NearCopy, ...]
    drawn: Drawn | None = None

    @property
    def format(self) -> DatasetFormat:
        return "MLClsDataset" if isinstance(self.data, AttributeSet) else "COCODetDataset"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels or of the classes of boxes."""
        if isinstance(self.data, DetectionSet):
            return self.data.classes
        return tuple(label.en for label in self.data.label_set.labels)

    def to_json(self) -> dict[str, Any]:
        """The content of `check_dataset_result.json`: PaddleX's keys, and behind them ours."""
        attributes: dict[str, Any] = {"num_classes": len(self.classes)}
        if isinstance(self.data, AttributeSet):
            attributes["label_file"] = NAMES_FILE if (self.data.root / NAMES_FILE).exists() else YAML_FILE
        for split, found in self.figures.items():
            attributes[f"{split}_samples"] = found.samples
            attributes[f"{split}_sample_paths"] = list(self.drawn.samples.get(split, ())) if self.drawn else []
        return {
            "done_flag": True,
            "check_pass": True,
            "attributes": attributes,
            "analysis": {"histogram": self.drawn.histogram if self.drawn else None},
            "dataset_path": self.data.root.resolve().name,
            "show_type": "image",
            "dataset_type": self.format,
            "classes": list(self.classes),
            "splits": {split: found.to_json() for split, found in self.figures.items()},
            "picture_sizes": {name: list(values) for name, values in self.picture_sizes.items()},
            "columns": {name: dict(counts) for name, counts in self.columns.items()},
            "near_copies": [dataclasses.asdict(copy) for copy in self.near_copies[:NEAR_COPIES_LISTED]],
            "contact_sheets": list(self.drawn.sheets) if self.drawn else [],
            "warnings": list(self.warnings),
        }


def check_dataset(
    folder: Path | str,
    *,
    format: DatasetFormat | None = None,
    output: Path | str | None = None,
    deep: bool = True,
    threads: int | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Check a data set completely and say what is in it.

    Args:
        folder: the data set. format: None to guess it from the files.
        output: where `check_dataset_result.json` and the folder `check_dataset` with histogram, contact sheets and
            sample pictures are written; None writes nothing. With problems the folder holds all of them as a list.
        deep: decode every picture, compare its size, look for near copies in two splits.
        threads: that decode; None chooses.
        progress: called with how many of how many pictures are done.
    Raises:
        DatasetError: `dataset_missing`; `dataset_invalid` (an `InvalidDatasetError` with every problem).
        OutputError: the results cannot be written.
    """
    root, place = Path(folder), Path(output) if output is not None else None
    if place is not None:
        check_writable(place)
    try:
        return _checked(root, format, place, deep, threads, progress)
    except DatasetError as error:
        if place is not None:
            _write_failure(place, error)
            if isinstance(error, InvalidDatasetError) and error.count > 1:
                listed = place / FOLDER / PROBLEMS_FILE
                raise InvalidDatasetError(
                    error.problems, count=error.count, input=str(root), hint=f"all of them: {shown(listed, 200)}"
                ) from None
        raise


def guess_format(folder: Path) -> DatasetFormat:
    """Which layout a folder has.

    Raises:
        DatasetError: `dataset_missing`, neither.
    """
    if not folder.is_dir():
        raise DatasetError("dataset_missing", "no such folder", input=str(folder), hint="check dataset_dir")
    if (folder / annotation_file("train")).exists() or (folder / annotation_file("val")).exists():
        return "COCODetDataset"
    if any((folder / name).exists() for name in (NAMES_FILE, YAML_FILE, "train.txt", "val.txt")):
        return "MLClsDataset"
    layouts = f"MLClsDataset has {NAMES_FILE} and train.txt, COCODetDataset has {annotation_file('train')}"
    hint = (
        nested_folder(folder, "train.txt")
        or nested_folder(folder, annotation_file("train"))
        or f"{layouts}, other formats go through `passerby dataset convert`"
    )
    raise DatasetError("dataset_missing", "the folder has neither of the two layouts", input=str(folder), hint=hint)


def _checked(
    root: Path,
    format: DatasetFormat | None,
    output: Path | None,
    deep: bool,
    threads: int | None,
    progress: Progress | None,
) -> CheckReport:
    if format is not None and format not in get_args(DatasetFormat):
        known = " or ".join(get_args(DatasetFormat))
        raise ArgumentError("bad_argument", f"format must be {known}, not {shown(format)}")
    read: ReadAttributes | ReadDetections
    if (format or guess_format(root)) == "MLClsDataset":
        read = inspect_attribute_set(root)
    else:
        read = inspect_detection_set(root)
    findings = read.findings
    decoded: dict[str, Decoded] = {}
    if deep:
        decoded = check_pictures(read.data.splits, read.places, findings, threads=threads, progress=progress)
    findings.raise_any(root)
    figures: Mapping[str, AttributeFigures] | Mapping[str, DetectionFigures]
    if isinstance(read.data, AttributeSet):
        figures = attribute_figures(read.data)
    else:
        figures = detection_figures(read.data)
        warn_about_boxes(read.data, figures, findings)
    columns = column_figures(read.data.splits, findings)
    listed = {sample.path for samples in read.data.splits.values() for sample in samples}
    warn_about_unlisted(root / IMAGES, listed, findings)
    hashes = {
        split: {sample.file: decoded[sample.file].hash for sample in samples if sample.file in decoded}
        for split, samples in read.data.splits.items()
    }
    near_copies = warn_about_near_copies(hashes, findings)
    report = CheckReport(
        data=read.data,
        figures=figures,
        warnings=tuple(findings.warnings),
        columns=columns,
        picture_sizes=size_figures([found.size_wh for found in decoded.values()]),
        near_copies=near_copies,
        drawn=draw_report(read.data, figures, output, FOLDER) if output is not None else None,
    )
    if output is not None:
        _write_json(output / RESULT_FILE, report.to_json())
        if (output / FOLDER / PROBLEMS_FILE).exists():  # of an earlier check
            atomic_write(output / FOLDER / PROBLEMS_FILE, b"no problems\n")
    return report


def _write_failure(output: Path, error: DatasetError) -> None:
    problems: list[str] = []
    if isinstance(error, InvalidDatasetError):
        problems = [str(problem) for problem in error.problems]
        rest = error.count - len(problems)
        lines = [*problems, *([f"and {rest} more"] if rest else []), ""]
        atomic_write(output / FOLDER / PROBLEMS_FILE, "\n".join(lines).encode("utf-8"))
    body = {
        "done_flag": False,
        "check_pass": False,
        "err_type": error.name,
        "err_msg": error.message,
        "problems": problems,
    }
    _write_json(output / RESULT_FILE, body)


def _write_json(path: Path, body: Mapping[str, Any]) -> None:
    # a lone surrogate of a folder name becomes the escape that JSON writes for it
    atomic_write(path, (json.dumps(body, ensure_ascii=False, indent=2) + "\n").encode("utf-8", "backslashreplace"))
