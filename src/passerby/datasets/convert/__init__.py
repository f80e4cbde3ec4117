# SPDX-License-Identifier: Apache-2.0
"""Makes a data set from the files of a labelling tool: a reader a format, one form between, a writer a layout.

The source is only read; the data set goes into a new folder, its lists last.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ...errors import ArgumentError, DatasetError, shown
from ..check import DatasetFormat
from ..label_spec import NAMES_FILE, YAML_FILE, read_label_set
from ..problems import Findings, Place
from ..records import LabelSet
from ..text_files import read_columns, read_list
from ..transfer import PictureTransfer, must_be_apart, must_be_new
from . import coco, cvat, label_studio, labelme, voc, yolo
from .annotation import Annotations, Picture, Reader
from .report import ConvertReport
from .source_pictures import SourcePictures, is_picture, walk
from .target_boxes import write_boxes
from .target_labels import write_labels

READERS: dict[str, Reader] = {
    "LabelMe": labelme.read,
    "VOC": voc.read,
    "COCO": coco.read,
    "CVAT": cvat.read,
    "LabelStudio": label_studio.read,
    "YOLO": yolo.read,
}
# names of the original: pictures without an annotation file come along as pictures without objects
WITH_UNLABELED = {"LabelMeWithUnlabeled": "LabelMe", "VOCWithUnlabeled": "VOC"}
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertOptions:
    """How to convert.

    Attributes:
        seed, val_percent: for sources that say nothing of splits.
        pictures: "copy" or "link" whole pictures; crops are always written.
        predictions: of Label Studio, take a model's guesses where no person has answered.
    """

    seed: int = 0
    val_percent: float = 20
    pictures: PictureTransfer = "copy"
    predictions: bool = False


def convert_dataset(
    source: Path,
    target: Path,
    *,
    source_format: str,
    target_format: DatasetFormat | None = None,
    options: ConvertOptions | None = None,
    progress: Progress | None = None,
) -> ConvertReport:
    """Convert a file or a folder of a labelling tool.

    A `labels.yaml` or `label.txt` in the source's folder decides which labels an MLClsDataset has and in which order;
    its `groups.csv` comes along.

    Args:
        source: folder, or one annotation file; pictures are looked for in its folder and below.
        target: new or empty folder.
        source_format: a name of `READERS`, `LabelMeWithUnlabeled` or `VOCWithUnlabeled`, in any case.
        target_format: None for an MLClsDataset where anything is asked about boxes or pictures, else a COCODetDataset.
        progress: called with how many of how many pictures are written.
    Raises:
        ArgumentError: `bad_argument`. DatasetError: `dataset_missing`, `dataset_invalid` with every problem.
        OutputError: `output_conflict`, the target holds something or lies in the source; as `files.atomic_write`.
    """
    options = options or ConvertOptions()
    source, target = Path(source), Path(target)
    name = _known(source_format)
    if target_format is not None and target_format not in get_args(DatasetFormat):
        layouts = " or ".join(get_args(DatasetFormat))
        raise ArgumentError("bad_argument", f"target_format must be {layouts}, not {shown(target_format)}")
    if not 0 < options.val_percent < 100:
        raise ArgumentError("bad_argument", f"val_percent must be above 0 and below 100, not {options.val_percent:g}")
    must_be_new(target)
    found = _read(source, target, name, predictions=options.predictions)
    layout = target_format or ("MLClsDataset" if found.box_questions or found.picture_questions else "COCODetDataset")
    columns = _columns(found)
    given = _given(found.root, found.findings) if layout == "MLClsDataset" else None
    if not found.pictures and not found.findings.count:
        hint = f"is it {WITH_UNLABELED.get(name, name)}? " + "; ".join(found.warnings())[:200]
        raise DatasetError("dataset_invalid", "no annotated picture was found", input=str(source), hint=hint)
    found.findings.raise_any(source)
    shared: dict[str, Any] = {"val_percent": options.val_percent, "seed": options.seed, "how": options.pictures}
    shared |= {"columns": columns, "progress": progress}
    if layout == "MLClsDataset":
        samples, classes = write_labels(found, target, given=given, **shared)
    else:
        if not found.categories:
            raise DatasetError("dataset_invalid", "the source has no boxes", input=str(source))
        samples, classes = write_boxes(found, target, **shared), tuple(found.categories)
    return ConvertReport(
        source=source,
        source_format=name,
        folder=target,
        format=layout,
        pictures=len(found.pictures),
        boxes=sum(len(picture.boxes) for picture in found.pictures),
        samples=samples,
        classes=classes,
        warnings=found.warnings(),
    )


def _known(text: str) -> str:
    names = {name.casefold(): name for name in (*READERS, *WITH_UNLABELED)}
    plain = text.casefold().replace("-", "").replace("_", "").replace(" ", "")
    if plain not in names:
        known = ", ".join(names.values())
        raise ArgumentError("bad_argument", f"the source's format must be one of {known}, not {shown(text)}")
    return names[plain]


def _read(source: Path, target: Path, name: str, *, predictions: bool) -> Annotations:
    if not source.exists():
        raise DatasetError("dataset_missing", "no such file or folder", input=str(source), hint="check the path")
    reader = READERS[WITH_UNLABELED.get(name, name)]
    if name == "LabelStudio":
        reader = functools.partial(label_studio.read, predictions=predictions)
    if not source.is_dir():
        return reader(source.parent, source)
    must_be_apart(source, target)
    found = reader(source, None)
    annotated = {picture.file for picture in found.pictures}
    rest = [file for file in walk(source) if is_picture(file) and file not in annotated]
    if name in WITH_UNLABELED:
        _add_unlabelled(found, rest)
    elif rest and not found.findings.count:
        found.findings.warn(f"{len(rest)} pictures have no annotation and are left out")
    return found


def _add_unlabelled(found: Annotations, files: list[str]) -> None:
    """Pictures that nobody annotated, as pictures without objects."""
    pictures = SourcePictures(found)
    for file in files:
        picture: Picture | None = pictures.find([file], Place(file=file))
        if picture is not None:
            found.add(picture)


def _columns(found: Annotations) -> dict[str, dict[str, str]]:
    """What a `groups.csv` in the source says, by picture."""
    columns = read_columns(found.root, found.findings)
    by_name = {posixpath.normpath(path): dict(own) for path, own in columns.items()}
    for picture in found.pictures:  # a data set of boxes names its pictures from `images/` on
        short = picture.file.removeprefix("images/")
        if picture.file not in by_name and short in by_name:
            by_name[picture.file] = by_name[short]
    return by_name


def _given(root: Path, findings: Findings) -> LabelSet | None:
    """Labels that stand in the source's folder. A `label.txt` without numbers is a list for LabelMe's own window."""
    if not (root / YAML_FILE).is_file():
        data = read_list(root, NAMES_FILE, findings) if (root / NAMES_FILE).is_file() else None
        if data is None or not re.match(rb"(\xef\xbb\xbf)?\s*\d+[ \t]", data):
            return None
    return read_label_set(root, findings)
