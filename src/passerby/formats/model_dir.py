"""Reads a folder in Paddle's layout: graph, parameters and `inference.yml` of one exported network.

Only the known names are opened, and none of them may be a link that leaves the folder. What the network is, and what
its weights are called there, is not known here: `networks` makes weights from the program.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import ModelError, shown
from .door import AGAIN, WEIGHT_BYTES, check_content
from .graph import PROGRAM_BYTES, Program
from .inference_yml import YML_BYTES, InferenceYml, check_labels, read_inference_yml
from .pdiparams import read_pdiparams
from .pdmodel import read_pdmodel
from .program import read_program_json

PIR_GRAPH, LEGACY_GRAPH = "inference.json", "inference.pdmodel"
PARAMETERS, DESCRIPTION = "inference.pdiparams", "inference.yml"
GRAPHS = (PIR_GRAPH, LEGACY_GRAPH)
MODEL_FILES = (*GRAPHS, PARAMETERS, DESCRIPTION)
FILES_LISTED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDir:
    """What a model folder holds.

    Attributes:
        program: the graph; `inference.json` is preferred where both are there.
        parameters: arrays by the program's names, shapes as the program says, all finite.
        inference: the input recipe, labels and thresholds.
    """

    program: Program
    parameters: Mapping[str, NDArray[Any]]
    inference: InferenceYml


def missing_pieces(names: set[str]) -> list[str]:
    """What a set of file names lacks to be a model, in words; empty when it is complete."""
    missing = [] if names & set(GRAPHS) else [" or ".join(GRAPHS)]
    return missing + [name for name in (PARAMETERS, DESCRIPTION) if name not in names]


def read_model_dir(path: Path) -> ModelDir:
    """Read a model folder.

    Args:
        path: the folder.
    Raises:
        ModelError: `model_missing` with what is missing, `model_unsafe` (a link out of the folder), and whatever the
            readers of the files raise; its input is the file.
    """
    if not path.is_dir():
        raise ModelError("model_missing", "no such folder", input=str(path), hint="give the folder of the model")
    there = {name for name in MODEL_FILES if (path / name).is_symlink() or (path / name).exists()}
    missing = missing_pieces(there)
    if missing:
        raise ModelError(
            "model_missing",
            f"the folder has no {', no '.join(missing)}{_found(path)}",
            input=str(path),
            hint="give a folder with the files of one exported model",
        )
    graph = PIR_GRAPH if PIR_GRAPH in there else LEGACY_GRAPH
    for name in (graph, PARAMETERS, DESCRIPTION):
        _check_inside(path / name, folder=path)
    inference = read_inference_yml(read_file(path / DESCRIPTION, limit=YML_BYTES), input=str(path / DESCRIPTION))
    read_program = read_program_json if graph == PIR_GRAPH else read_pdmodel
    program = read_program(read_file(path / graph, limit=PROGRAM_BYTES), input=str(path / graph))
    check_labels(inference, program, input=str(path))
    data = read_file(path / PARAMETERS, limit=WEIGHT_BYTES)
    parameters = read_pdiparams(data, program.parameters, input=str(path / PARAMETERS))
    return ModelDir(program=program, parameters=parameters, inference=inference)


def read_file(path: Path, *, limit: int = WEIGHT_BYTES) -> bytes:
    """The bytes of a model file whose size was asked before anything is read.

    Raises:
        ModelError: `model_missing` (not there, no regular file, no permission) or `model_too_large`.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelError("model_missing", "no regular file", input=str(path), hint="give the file itself")
        if status.st_size > limit:
            happened = f"{status.st_size} bytes, the limit for this file is {limit}"
            raise ModelError("model_too_large", happened, input=str(path), hint=AGAIN)
        with path.open("rb") as file:
            data = file.read(limit + 1)  # the file may have grown since it was asked
    except OSError as reason:
        happened = f"the file cannot be read ({shown(reason.strerror or type(reason).__name__)})"
        raise ModelError(
            "model_missing", happened, input=str(path), hint="check the path and its permissions"
        ) from None
    if len(data) > limit:
        check_content(data, limit=limit, due="this file")
    return data


def _check_inside(file: Path, *, folder: Path) -> None:
    try:
        inside = file.resolve(strict=True).is_relative_to(folder.resolve(strict=True))
    except (OSError, RuntimeError):
        raise ModelError(
            "model_missing", "a link that leads nowhere", input=str(file), hint="put the file itself into the folder"
        ) from None
    if not inside:
        raise ModelError(
            "model_unsafe", "a link that leaves the folder", input=str(file), hint="put the file itself into the folder"
        )


def _found(folder: Path) -> str:
    """What else lies in the folder, for a message."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return ""
    if not names:
        return " (it is empty)"
    more = f" and {len(names) - FILES_LISTED} more" if len(names) > FILES_LISTED else ""
    return f" (it has {', '.join(shown(name, 40) for name in names[:FILES_LISTED])}{more})"
