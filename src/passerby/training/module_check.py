# SPDX-License-Identifier: Apache-2.0
"""The mode `check_dataset`: convert and split where the file says so, then check. Every mode reads its data here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import datasets
from ..config_training import TrainingConfig
from ..datasets.attribute_set import read_attribute_set
from ..datasets.check import DatasetFormat, check_dataset
from ..datasets.detection_set import read_detection_set
from ..datasets.progress import progress_lines
from ..datasets.records import AttributeSet, DetectionSet
from ..errors import ConfigError, shown
from ..formats.metadata import Kind

Say = Callable[[str], None]

LAYOUTS: dict[Kind, DatasetFormat] = {"attributes": "MLClsDataset", "detector": "COCODetDataset"}


def check(config: TrainingConfig, say: Say) -> dict[str, Any]:
    """Convert, split and check `Global.dataset_dir`; the data set that was checked is in the result.

    Raises:
        ConfigError: `config_invalid`, no data set, or percentages that are missing.
        DatasetError: everything that is wrong with it. OutputError.
    """
    folder = dataset_dir(config)
    layout = LAYOUTS[config.kind]
    section = config.CheckDataset
    done: dict[str, Any] = {}
    if section.convert.enable:
        source_format = _required(section.convert.src_dataset_type, "CheckDataset.convert.src_dataset_type")
        target = section.convert.output or folder.with_name(f"{folder.name}_converted")
        report = datasets.convert_dataset(
            folder,
            target,
            source_format=source_format,
            target_format=layout,
            options=datasets.ConvertOptions(seed=config.Global.seed),
            progress=progress_lines(say, "written"),
        )
        say(f"converted {shown(folder, 200)} to {shown(target, 200)}: the dataset_dir of what follows")
        for warning in report.warnings:
            say(f"warning: {shown(warning, 400)}")
        done["convert"], folder = report.to_json(), target
    if section.split.enable:
        split = datasets.split_dataset(
            folder,
            train_percent=_required(section.split.train_percent, "CheckDataset.split.train_percent"),
            val_percent=_required(section.split.val_percent, "CheckDataset.split.val_percent"),
            test_percent=section.split.test_percent or 0,
            seed=config.Global.seed,
            group_by=section.split.group_by,
        )
        say(f"split {shown(folder, 200)} anew; lists of before: {', '.join(split.kept) or 'the same'}")
        for warning in split.warnings:
            say(f"warning: {shown(warning, 400)}")
        done["split"] = split.to_json()
    found = check_dataset(
        folder, format=layout, output=config.Global.output, deep=section.deep, progress=progress_lines(say, "checked")
    )
    for warning in found.warnings:
        say(f"warning: {shown(warning, 400)}")
    return {**found.to_json(), "dataset_dir": os.fspath(folder), **done}


def dataset_dir(config: TrainingConfig) -> Path:
    """
    Raises:
        ConfigError: `config_invalid`, the file names none.
    """
    return Path(_required(config.Global.dataset_dir, "Global.dataset_dir"))


def _required(value: Any, key: str) -> Any:
    if value is None:
        hint = f"set it in the file or with -o {key}=..."
        raise ConfigError("config_invalid", f"{key} is not set", hint=hint)
    return value


def read_data(config: TrainingConfig) -> AttributeSet | DetectionSet:
    """The data set of the layout that the model is for.

    Raises:
        ConfigError: `config_invalid`, the file names none. DatasetError: `dataset_missing`, `dataset_invalid`.
    """
    folder = dataset_dir(config)
    return read_attribute_set(folder) if config.kind == "attributes" else read_detection_set(folder)
