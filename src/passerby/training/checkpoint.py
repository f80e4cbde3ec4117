# SPDX-License-Identifier: Apache-2.0
"""Everything needed to go on with a run, in one file; the one before it is kept.

    checkpoints/latest.safetensors, previous.safetensors

A new one is complete before the latest becomes the previous, so that at every moment one of them is whole. Weights,
optimiser, averages and random states are tensors; places, scaler and options are JSON (see `weights_file`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import ArgumentError, ModelError, TrainingError, shown
from .weights_file import read_tensors, write_tensors

VERSION = 1
LATEST, PREVIOUS, NEXT = "latest.safetensors", "previous.safetensors", "next.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A run between two steps.

    Attributes:
        tensors: by group (`network`, `ema`, `optimiser`, `random`) and name.
        task: `Task.describe()`.
        data_hash: of the data it learns from.
        options: those that decide what the next step does.
        state: epoch, step and everything else that is no tensor (JSON).
    """

    tensors: Mapping[str, Mapping[str, Tensor]]
    task: Mapping[str, Any]
    data_hash: str
    options: Mapping[str, Any]
    state: Mapping[str, Any] = field(default_factory=dict)


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write the latest checkpoint of a run; the one so far becomes the previous.

    Raises:
        OutputError: `output_full`, `output_unwritable`; latest and previous are then as they were.
    """
    flat = {f"{group}/{name}": value for group, held in checkpoint.tensors.items() for name, value in held.items()}
    description = {
        "checkpoint": VERSION,
        "task": checkpoint.task,
        "data_hash": checkpoint.data_hash,
        "options": checkpoint.options,
        "state": checkpoint.state,
    }
    write_tensors(folder / NEXT, flat, description)
    _rotate(folder)
    return folder / LATEST


def _rotate(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        (folder / LATEST).replace(folder / PREVIOUS)
    (folder / NEXT).replace(folder / LATEST)


def find_checkpoint(path: Path) -> Path:
    """The file that a user means by a checkpoint: it, or the latest below a run's folder.

    Raises:
        ArgumentError: `bad_argument`, there is none.
    """
    folders = [path, path / "checkpoints"] if path.is_dir() else [path.parent]
    for folder in folders:
        if (folder / NEXT).is_file() and not (folder / LATEST).exists():
            _rotate(folder)  # a kill came between the two renames
    candidates = [folder / LATEST for folder in folders] if path.is_dir() else [path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ArgumentError("bad_argument", "there is no checkpoint", input=str(path), hint="check resume_path")


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, whole and unchanged.

    Args:
        path: as `find_checkpoint` takes it.
    Raises:
        ArgumentError: `bad_argument`, there is none.
        TrainingError: `checkpoint_corrupt`; the previous one is offered where it is whole.
    """
    found = find_checkpoint(path)
    try:
        return _read(found)
    except ModelError as error:
        happened, hint = f"this is no whole checkpoint: {error.happened}", _offer(found)
        raise TrainingError("checkpoint_corrupt", happened, input=str(found), hint=hint) from None


def _read(path: Path) -> Checkpoint:
    flat, body = read_tensors(path)
    try:
        if body["checkpoint"] != VERSION:
            raise ModelError("model_unsupported", f"version {shown(body['checkpoint'])}", input=str(path))
        tensors: dict[str, dict[str, Tensor]] = {}
        for name, value in flat.items():
            group, _, rest = name.partition("/")
            tensors.setdefault(group, {})[rest] = value
        return Checkpoint(
            tensors=tensors,
            task=dict(body["task"]),
            data_hash=str(body["data_hash"]),
            options=dict(body["options"]),
            state=dict(body["state"]),
        )
    except (KeyError, TypeError, ValueError):
        raise ModelError("model_corrupt", "it describes no run", input=str(path)) from None


def _offer(damaged: Path) -> str:
    """What to do about a damaged checkpoint."""
    other = damaged.with_name(PREVIOUS)
    if other != damaged and other.is_file():
        with contextlib.suppress(ModelError):
            _read(other)
            return f"the one before is whole: resume from {other}"
    return "start again from the best weights"


def check_fits(checkpoint: Checkpoint, *, task: Mapping[str, Any], data_hash: str, options: Mapping[str, Any]) -> None:
    """Compare a checkpoint with the run that wants to go on from it.

    Raises:
        TrainingError: `checkpoint_mismatch`: another network, other data, or an option that changes what a place in
            the run or the state of its optimiser means.
    """
    for what in ("kind", "network", "num_classes"):
        before, now = checkpoint.task.get(what), _json_like(task.get(what))
        if before != now:
            raise _mismatch(f"it is of a network whose {what} is {shown(before)}, here it is {shown(now)}")
    if checkpoint.data_hash != data_hash:
        raise _mismatch("the run learnt from other data than this data set")
    for name, now in options.items():
        before = checkpoint.options.get(name)
        if before != now:
            raise _mismatch(f"the run began with {name} {shown(before)}, here it is {shown(now)}")


def _json_like(value: Any) -> Any:
    """A value as it comes back from JSON."""
    if isinstance(value, Mapping):
        return {str(key): _json_like(entry) for key, entry in value.items()}
    return [_json_like(entry) for entry in value] if isinstance(value, list | tuple) else value


def _mismatch(happened: str) -> TrainingError:
    hint = "resume with what it began with, or begin anew with its weights as pretrain_weight_path"
    return TrainingError("checkpoint_mismatch", f"the checkpoint does not fit: {happened}", hint=hint)
