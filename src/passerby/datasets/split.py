# SPDX-License-Identifier: Apache-2.0
"""Splits a data set into train, val and test: seeded, by group, with every class shared as the samples are.

Nothing is lost: in place, the lists of before are kept as `*.bak`, and whenever the work is cut off each picture still
stands in some list; into a new folder, the data set of before is only read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, DatasetError, shown
from ..files import atomic_write
from .allotment import allot
from .detection_set import annotation_file
from .label_spec import NAMES_FILE, YAML_FILE
from .near_copies import families, hash_files, near_pairs, warn_about_near_copies
from .problems import Findings, some
from .records import SPLITS, AttributeSample, DetectionSample
from .split_lists import Listed, attribute_files, detection_files, read_lists
from .split_report import SplitReport, figures_of
from .text_files import GROUPS_FILE
from .transfer import PictureTransfer, must_be_apart, must_be_new, take_over

__all__ = ["SplitOptions", "SplitReport", "split_dataset"]

NearCopies = Literal["warn", "together", "ignore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitOptions:
    """How to split.

    Attributes:
        seed: another one gives another split; the same one with the same pictures the same, however they lay before.
        group_by: column of `groups.csv` whose values stay in one split.
        near_copies: "warn" of those across splits, keep them "together", or do not look for them ("ignore").
        output: new folder for the whole data set; None splits it where it is.
        pictures: "copy" or "link" them into `output`.
    """

    seed: int = 0
    group_by: str | None = None
    near_copies: NearCopies = "warn"
    output: Path | None = None
    pictures: PictureTransfer = "copy"


def split_dataset(
    folder: Path,
    *,
    train_percent: float,
    val_percent: float,
    test_percent: float = 0,
    seed: int = 0,
    group_by: str | None = None,
    options: SplitOptions | None = None,
) -> SplitReport:
    """Share the samples of a data set out to train, val and test anew.

    The samples of train and val are shared out, and those of test where `test_percent` is not 0; else test stays as it
    is, and what stands in it leaves the other lists. `val` need not exist before. The layout is known by its files.

    Args:
        folder: of the data set.
        train_percent, val_percent, test_percent: in sum 100; the first two above 0.
        seed, group_by: as in `SplitOptions`, for calls that need nothing else.
        options: all of them; then `seed` and `group_by` are those in here.
    Raises:
        ArgumentError: `bad_argument`, percentages or a column that cannot be.
        DatasetError: `dataset_missing`, `dataset_invalid` with every problem, or fewer groups than splits.
        OutputError: as `files.atomic_write`; `output_conflict`, `options.output` holds something.
    """
    options = options or SplitOptions(seed=seed, group_by=group_by)
    folder = Path(folder)
    wanted = _wanted(train_percent, val_percent, test_percent)
    if options.output is not None:
        must_be_new(options.output)
        must_be_apart(folder, options.output)
    listed = read_lists(folder, tuple(wanted))
    findings = Findings()
    hashes = [None] * len(listed.samples) if options.near_copies == "ignore" else hash_files(_paths(listed))
    groups = _groups(listed, options, hashes, findings)
    try:
        shares = [percent / 100 for percent in wanted.values()]
        split_of = allot(listed.counts, groups, shares, seed=options.seed)
    except ValueError as error:
        hint = "label more pictures or more groups, or ask for fewer splits"
        raise DatasetError("dataset_invalid", str(error), input=str(folder), hint=hint) from None
    figures, furthest, furthest_of = figures_of(listed.counts, groups, split_of, names=listed.classes, wanted=wanted)
    names = tuple(wanted)
    copies = warn_about_near_copies(
        {name: _of(name, names, split_of, listed.samples, hashes) for name in names}, findings
    )
    if listed.kept:
        findings.warn("test stays as it is")
    if listed.held_out:
        findings.warn(f"{len(listed.held_out)} pictures are test's and leave the other lists: {some(listed.held_out)}")
    for split in names[1:]:
        lacking = [n for n, count in figures[split].classes.items() if not count]
        if lacking:
            findings.warn(f"{split}: nothing of {len(lacking)} classes: {some(lacking, most=10)}")
    new = {name: [i for i in range(len(split_of)) if names[split_of[i]] == name] for name in names}
    written, kept = _write(folder, listed, new, options)
    return SplitReport(
        folder=options.output or folder,
        seed=options.seed,
        group_by=options.group_by,
        splits=figures,
        furthest=furthest,
        furthest_of=furthest_of,
        near_copies=copies,
        written=written,
        kept=kept,
        warnings=tuple(findings.warnings),
    )


def _wanted(train: float, val: float, test: float) -> dict[str, float]:
    """Percent by split, without those of 0."""
    wanted = dict(zip(SPLITS, (train, val, test), strict=True))
    for split, percent in wanted.items():
        lowest = "above 0" if split != "test" else "at least 0"
        if not (0 < percent < 100 or (split == "test" and percent == 0)):
            raise ArgumentError("bad_argument", f"{split}_percent must be {lowest} and below 100, not {percent:g}")
    if abs(sum(wanted.values()) - 100) > 1e-6:
        raise ArgumentError("bad_argument", f"the percentages must be 100 in sum, they are {sum(wanted.values()):g}")
    return {split: float(percent) for split, percent in wanted.items() if percent}


def _paths(listed: Listed) -> list[Path]:
    return [sample.path for sample in listed.samples]


def _groups(listed: Listed, options: SplitOptions, hashes: Sequence[int | None], findings: Findings) -> list[int]:
    """Which samples must stay together: one number a sample."""
    pairs: list[tuple[int, int, int]] = []
    if options.group_by is not None:
        pairs += _same_value(listed, options.group_by, findings)
    if options.near_copies == "together":
        pairs += near_pairs(hashes)
    return families(len(listed.samples), pairs)


def _same_value(listed: Listed, column: str, findings: Findings) -> list[tuple[int, int, int]]:
    known = sorted({name for sample in listed.samples for name in sample.columns})
    if column not in known:
        there = f"its columns are {some(known, most=10)}" if known else "there is no such file, or it names no picture"
        happened = f"{GROUPS_FILE} has no column {shown(column, 40)}, {there}"
        raise ArgumentError("bad_argument", happened, input=str(listed.folder))
    first: dict[str, int] = {}
    pairs: list[tuple[int, int, int]] = []
    without: list[str] = []
    for i, sample in enumerate(listed.samples):
        value = sample.columns.get(column, "")
        if value:
            pairs.append((first.setdefault(value, i), i, 0))
        else:
            without.append(sample.file)
    if without:
        findings.warn(f"{len(without)} pictures have no {shown(column, 40)}, each counts as its own: {some(without)}")
    return pairs


def _of(
    name: str,
    names: Sequence[str],
    split_of: NDArray[np.int64],
    samples: Sequence[AttributeSample | DetectionSample],
    hashes: Sequence[int | None],
) -> Mapping[str, int | None]:
    place = names.index(name)
    return {samples[i].file: hashes[i] for i in np.flatnonzero(split_of == place).tolist()}


def _write(
    folder: Path, listed: Listed, new: Mapping[str, Sequence[int]], options: SplitOptions
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write the lists; returns their names and those that the lists of before have now."""
    make = attribute_files if listed.kind == "MLClsDataset" else detection_files
    files = make(listed, new)
    if options.output is not None:
        return _write_new(folder, options.output, listed, files, options.pictures), ()
    before = {name: (folder / name).read_bytes() for name in files if (folder / name).exists()}
    if before == files:
        return (), ()
    kept = []
    for name, data in before.items():
        backup = _free_name(folder, name)
        atomic_write(folder / backup, data)
        kept.append(backup)
    # first everything is in train, last train is cut down: whenever this ends, no sample has dropped out
    train = next(iter(files))
    everything = make(listed, {"train": range(len(listed.samples))})[train]
    for name, data in ((train, everything), *list(files.items())[1:], (train, files[train])):
        atomic_write(folder / name, data)
    return tuple(files), tuple(kept)


def _free_name(folder: Path, name: str) -> str:
    """`train.txt.bak`, or with a number behind it where that is taken: no list of before is written over."""
    number, free = 2, f"{name}.bak"
    while os.path.lexists(folder / free):
        number, free = number + 1, f"{name}.bak{number}"
    return free


def _write_new(
    folder: Path, output: Path, listed: Listed, files: Mapping[str, bytes], pictures: PictureTransfer
) -> tuple[str, ...]:
    """The whole data set in a new folder. The lists come last: without them it is none yet."""
    boxes = listed.kind == "COCODetDataset"
    base = "images/" if boxes else ""
    for sample in (*listed.samples, *listed.kept):
        take_over(sample.path, output / f"{base}{sample.file}", pictures)
    beside: tuple[str, ...] = () if boxes else (NAMES_FILE, YAML_FILE)
    if listed.kept:
        beside += (annotation_file("test") if boxes else "test.txt",)
    texts = [name for name in (*beside, GROUPS_FILE) if (folder / name).exists()]
    for name in texts:
        take_over(folder / name, output / name, "copy")
    for name, data in files.items():
        atomic_write(output / name, data)
    return (*texts, *files)
