# SPDX-License-Identifier: Apache-2.0
"""Which thresholds a model carries, and how other ones are put into a finished model file.

How thresholds are tuned is in `attributes.evaluation`; here is only what becomes of them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import onnx

from ..compat.paddlex import label_string
from ..errors import ArgumentError, ModelError
from ..files import atomic_write
from ..formats.inference_yml import InferenceYml
from ..formats.inference_yml_writer import write_inference_yml
from ..formats.metadata import Kind, ModelMetadata
from ..formats.model_dir import DESCRIPTION, read_file
from ..formats.onnx_file import read_onnx, write_onnx
from ..thresholds import one_threshold

ThresholdChoice: TypeAlias = Literal["set", "tuned", "default"]

CHOICES: tuple[ThresholdChoice, ...] = ("set", "tuned", "default")
DEFAULT = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Chosen:
    """Thresholds (C,) of a model, and what made them: `default` when nobody chose any."""

    values: tuple[float, ...]
    origin: ThresholdChoice


def choose_thresholds(
    choice: ThresholdChoice, *, given: Sequence[float | None], tuned: Sequence[float | None] | None, kind: Kind
) -> Chosen:
    """Decide what a model carries.

    Args:
        choice: `set` takes what the user set, `tuned` what was tuned on val, `default` 0.5; where the choice has
            nothing to say about a label (None or NaN), the next in this order: tuned, set, 0.5.
        given: (C,) as set by the user.
        tuned: (C,), needed for `tuned`.
        kind: a detector has one threshold for all its classes, the lowest of those chosen.
    Raises:
        ArgumentError: `bad_argument`, no tuned thresholds, another number of them, or values outside 0..1.
    """
    if choice not in CHOICES:
        raise ArgumentError("bad_argument", f"thresholds is {choice!r}", hint=f"use one of {', '.join(CHOICES)}")
    if choice == "tuned" and tuned is None:
        hint = "evaluate on val first, or export with the thresholds that are set"
        raise ArgumentError("bad_argument", "there are no tuned thresholds", hint=hint)
    nothing: list[float | None] = [None] * len(given)
    sources = {"set": [given], "tuned": [tuned or nothing, given], "default": []}[choice]
    if any(len(source) != len(given) for source in sources):
        raise ArgumentError("bad_argument", f"{len(tuned or ())} tuned thresholds for {len(given)} labels")
    values, said = [], False
    for label in range(len(given)):
        found = next((v for s in sources if (v := s[label]) is not None and not math.isnan(v)), None)
        said |= found is not None
        values.append(DEFAULT if found is None else one_threshold(found, what=f"threshold {label}"))
    if kind == "detector":
        values = [min(values)] * len(values)
    return Chosen(tuple(values), choice if said else "default")


def with_thresholds(metadata: ModelMetadata, chosen: Chosen) -> ModelMetadata:
    """The metadata with these thresholds, marked so that pipelines use them (`ModelMetadata.own_thresholds`)."""
    calibration = {**metadata.calibration, "thresholds": chosen.origin}
    return dataclasses.replace(metadata, thresholds=chosen.values, calibration=calibration)


def store_thresholds(model_dir: Path, values: Sequence[float]) -> Path:
    """Put tuned thresholds into an exported model: its .onnx, and the `inference.yml` beside it.

    Args:
        model_dir: the folder that `export_model` wrote, or the .onnx in it.
        values: (C,) in 0..1, as `attributes.evaluation.tuned_thresholds` gives them.
    Returns:
        the .onnx, replaced whole; its weights are the same to the byte.
    Raises:
        ModelError: `model_missing`, there is no single .onnx; what its reader says.
        ArgumentError: `bad_argument`. OutputError: it cannot be written; the old files are still there.
    """
    file = _model_file(model_dir)
    stored = read_onnx(read_file(file), input=str(file))
    before = stored.metadata
    chosen = choose_thresholds("tuned", given=[None] * len(before.labels), tuned=list(values), kind=before.kind)
    metadata = with_thresholds(before, chosen)
    data = write_onnx(onnx.ModelProto.FromString(stored.model_bytes), metadata)
    yml = file.with_name(DESCRIPTION)
    if yml.is_file():
        atomic_write(yml, write_inference_yml(described(metadata)))
    atomic_write(file, data)
    return file


def _model_file(path: Path) -> Path:
    files = sorted(path.glob("*.onnx")) if path.is_dir() else [path]
    if len(files) != 1:
        raise ModelError("model_missing", f"the folder holds {len(files)} .onnx files, not one", input=str(path))
    return files[0]


def described(metadata: ModelMetadata) -> InferenceYml:
    """What `inference.yml` says of a model; labels as PaddleX prints them."""
    return InferenceYml(
        model_name=metadata.name,
        kind=metadata.kind,
        input=metadata.input,
        labels=tuple(label_string(label) for label in metadata.labels),
        thresholds=metadata.thresholds,
        draw_threshold=metadata.thresholds[0] if metadata.kind == "detector" else DEFAULT,
    )
