# SPDX-License-Identifier: Apache-2.0
"""Writes what a source says as an MLClsDataset: pictures or crops, `label.txt`, and a line of values for each.

Boxes with answers are cut out, each becomes a sample; else whole pictures with answers are the samples; where nothing
is asked at all, each category is a label and a picture has it or not.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, shown
from ...files import atomic_write, encode_image
from ...types import ImageBgr
from ..check_pictures import read_picture
from ..label_spec import NAMES_FILE, YAML_FILE
from ..problems import Place, some
from ..records import UNKNOWN, LabelSet
from ..transfer import PictureTransfer, take_over
from .annotation import NO, YES, Annotations, Box, Picture, Question
from .columns import groups_csv
from .labels import LabelTable, text_of
from .names import Names
from .shares import share_out

WHOLE_PX = 0.5  # a box that misses the edges by less is the whole picture: it is taken over as it is
JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """What becomes a line. `box` is None for a whole picture."""

    picture: Picture
    box: Box | None
    values: NDArray[np.int8]


def write_labels(
    found: Annotations,
    target: Path,
    *,
    given: LabelSet | None,
    val_percent: float,
    seed: int,
    how: PictureTransfer,
    columns: Mapping[str, Mapping[str, str]],
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Write the data set; the lists come last.

    Args:
        given: labels that it shall have, in their order; None for those of the source.
        columns: of a `groups.csv` in the source, by picture.
    Returns:
        how many samples each split has, and the names of the labels.
    Raises:
        DatasetError: `dataset_invalid`, answers that fit no label, pictures that do not decode; as `share_out`.
        InputError: a picture is gone. OutputError: the data set cannot be written.
    """
    label_set, samples = _samples(found, given)
    found.findings.raise_any(found.root)
    values = np.array([sample.values for sample in samples], np.int8).reshape(len(samples), len(label_set.labels))
    split = share_out(
        [sample.picture.split for sample in samples],
        [sample.picture.file for sample in samples],
        (values == 1).astype(np.int64),
        val_percent=val_percent,
        seed=seed,
        input=str(found.root),
    )
    names = _write_pictures(samples, target, how, progress, found)
    if found.findings.count:
        raise found.findings.error(
            found.root, hint=f"mend them, and remove {shown(target, 200)}, which has no lists yet"
        )
    texts = tuple(text_of(label) for label in label_set.labels)
    atomic_write(target / NAMES_FILE, "".join(f"{i} {text}\n" for i, text in enumerate(texts)).encode("utf-8"))
    if label_set.groups or label_set.thresholds:
        atomic_write(target / YAML_FILE, _yaml(label_set, texts).encode("utf-8"))
    table = groups_csv([(name, _columns(sample, columns)) for name, sample in zip(names, samples, strict=True)])
    if table:
        atomic_write(target / "groups.csv", table)
    for part, places in split.items():
        lines = [f"{names[i]}\t{','.join(map(str, samples[i].values.tolist()))}\n" for i in places]
        atomic_write(target / f"{part}.txt", "".join(lines).encode("utf-8"))
    return {part: len(places) for part, places in split.items()}, texts


def _samples(found: Annotations, given: LabelSet | None) -> tuple[LabelSet, list[_Sample]]:
    """Labels, and samples about which something is known."""
    if any(box.answers or box.cannot_tell for picture in found.pictures for box in picture.boxes):
        table = LabelTable(list(found.box_questions.values()), given, found.findings)
        if found.picture_questions:
            found.findings.warn("answers about whole pictures are left out, those about boxes are taken")
        boxes = [(picture, box) for picture in found.pictures for box in picture.boxes]
        for _, box in boxes:
            if box.crowd:
                found.leave_out("boxes of a crowd, or marked as difficult,", box.place)
        pairs: list[tuple[Picture, Box | None]] = [(picture, box) for picture, box in boxes if not box.crowd]
    else:
        if not found.picture_questions:
            _ask_for_categories(found)
        table = LabelTable(list(found.picture_questions.values()), given, found.findings)
        pairs = [(picture, None) for picture in found.pictures]
    samples, silent = [], []
    for picture, cut in pairs:
        about = cut or picture
        values = table.values(about.answers, about.cannot_tell, about.place, found.findings)
        if (values == UNKNOWN).all():
            silent.append(f"{picture.file} ({about.place})" if cut else picture.file)
        else:
            samples.append(_Sample(picture=picture, box=cut, values=values))
    if silent:
        what = "boxes" if pairs[0][1] else "pictures"
        found.findings.warn(f"{len(silent)} {what} without any answer are left out: {some(silent)}")
    if not table.label_set.labels:
        found.findings.add(Place(file="labels"), "the source has nothing to make labels of")
    return table.label_set, samples


def _ask_for_categories(found: Annotations) -> None:
    """Each category becomes a tick: whether a picture has any box of it."""
    found.picture_questions = {name: Question(name=name) for name in found.categories}
    for picture in found.pictures:
        there = {box.category for box in picture.boxes}
        picture.answers = {name: (YES if name in there else NO,) for name in found.categories}


def _write_pictures(
    samples: Sequence[_Sample],
    target: Path,
    how: PictureTransfer,
    progress: Callable[[int, int], None] | None,
    found: Annotations,
) -> list[str]:
    """Their names in the lists. Each source picture is decoded once, and is let go before the next one.

    One that does not decode is a problem, and the rest is written.
    """
    names = Names({sample.picture.file for sample in samples})
    written: list[str] = []
    numbers: dict[str, int] = {}
    decoded: tuple[Path, ImageBgr] | None = None
    for done, sample in enumerate(samples, 1):
        stem, suffix = names.stem_and_suffix(sample.picture.file)
        if sample.box is None or _is_whole(sample.box, sample.picture):
            name = names.free(f"images/{stem}", suffix)
            take_over(sample.picture.path, target / name, how)
        else:
            if decoded is None or decoded[0] != sample.picture.path:
                decoded = (sample.picture.path, _decoded(sample.picture, found))
            numbers[stem] = numbers.get(stem, 0) + 1
            kind = ".jpg" if posixpath.splitext(sample.picture.file)[1].lower() in JPEG else ".png"
            name = names.free(f"images/{stem}_{numbers[stem]}", kind)
            atomic_write(target / name, encode_image(_crop(decoded[1], sample.box), kind))
        written.append(name)
        if progress is not None:
            progress(done, len(samples))
    return written


def _decoded(picture: Picture, found: Annotations) -> ImageBgr:
    """(H, W, 3) uint8 BGR; black, and a problem, where it does not decode."""
    try:
        return read_picture(picture.path)
    except InputError as error:
        found.problem(picture.place, f"{shown(picture.file)}: {error.name}, {error.happened}")
        return np.zeros((*picture.size_wh[::-1], 3), np.uint8)


def _is_whole(box: Box, picture: Picture) -> bool:
    edges = (0, 0, *picture.size_wh)
    return max(abs(a - b) for a, b in zip(box.xyxy, edges, strict=True)) <= WHOLE_PX


def _crop(picture: ImageBgr, box: Box) -> ImageBgr:
    """Cut as the pipeline cuts persons: at the whole pixels before the corners, a copy."""
    height, width = picture.shape[:2]
    x1, y1 = min(int(box.xyxy[0]), width - 1), min(int(box.xyxy[1]), height - 1)
    x2, y2 = max(int(box.xyxy[2]), x1 + 1), max(int(box.xyxy[3]), y1 + 1)
    return picture[y1:y2, x1:x2].copy()


def _columns(sample: _Sample, columns: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    known = {**columns.get(sample.picture.file, {}), **sample.picture.columns}
    if sample.box is None:
        return known
    return {"picture": sample.picture.file, **known, **sample.box.columns}


def _yaml(label_set: LabelSet, names: Sequence[str]) -> str:
    """`labels.yaml`; every value is written as JSON, which YAML reads as it is."""

    def flow(values: Mapping[str, object]) -> str:
        inner = ", ".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
        return f"  - {{{inner}}}\n"

    thresholds = label_set.thresholds or (None,) * len(names)
    out = ["labels:\n"]
    for label, name, threshold in zip(label_set.labels, names, thresholds, strict=True):
        entry = {"name": name, "id": label.id, "en": label.en, "zh": label.zh, "group": label.group}
        out.append(flow(entry | ({} if threshold is None else {"threshold": threshold})))
    if label_set.groups:
        out.append("groups:\n")
        out += [flow({"id": group.id, "en": group.en, "exclusive": group.exclusive}) for group in label_set.groups]
    return "".join(out)
