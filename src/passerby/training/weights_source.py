# SPDX-License-Identifier: Apache-2.0
"""Weights to start from, wherever they are: our files, Paddle's, and the models that have a name.

Everything is read by the checked readers of `formats`; here it gets its names. A .onnx file of ours has batch
normalisation folded into the convolutions; `unfold` undoes that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from ..errors import ModelError
from ..formats.model_dir import MODEL_FILES, read_file, read_model_dir
from ..formats.onnx_file import read_onnx
from ..formats.pdparams import read_pdparams
from ..models import cache, catalogue, pa100k
from ..models.convert import NETWORKS, labels_from_texts
from ..models.download import STDERR, Reports
from ..models.load import load_model
from ..networks.pplcnet import DROPOUT_SCALE
from .weights_file import read_tensors

FOLDED = ".folded.weight"
FORMS = "a .safetensors that training wrote, a .pdparams, a folder in Paddle's layout, or a .onnx of ours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Weights as they were found.

    Attributes:
        name: of the file or model, for messages.
        weights: under Paddle's names; `NAME.folded.weight` and `.bias` stand for `NAME.conv` with its norm, and
            `NAME.conv.weight` and `.bias` for a RepVGG block whose branches are merged.
        labels: ids of the classes in the order of the outputs, None where they are not known.
    """

    name: str
    weights: Mapping[str, Tensor]
    labels: tuple[str, ...] | None


def read_source(source: str | Path, *, reports: Reports = STDERR) -> Source:
    """Read weights.

    Args:
        source: a path, or a name of the catalogue (downloaded if it is an official one).
        reports: where a download says what it does.
    Raises:
        ModelError: what the readers say; `model_missing`, `model_unknown`, `model_unsupported`, `model_not_finite`.
    """
    path = Path(source)
    if isinstance(source, str) and source in catalogue.ENTRIES and not path.exists():
        found = _named(catalogue.ENTRIES[source], reports)
    elif not path.exists():
        if path.name == str(source) and not path.suffix:
            catalogue.find(str(source))  # says which names there are
        raise ModelError("model_missing", "there is no such file or folder", input=str(source), hint="check the path")
    else:
        found = _from_path(path)
    for name, value in found.weights.items():
        if not value.is_floating_point():
            raise ModelError("model_unsupported", f"tensor {name} holds {value.dtype}", input=str(source))
        if not torch.isfinite(value).all():
            raise ModelError("model_not_finite", f"tensor {name} holds NaN or infinity", input=str(source))
    return found


def _named(entry: catalogue.CatalogueEntry, reports: Reports) -> Source:
    if entry.shipped:
        return _from_onnx(load_model(entry.name).model_bytes, entry.name)
    with cache.opened(entry, reports=reports) as folder:  # Paddle's own files: there nothing is folded
        found = _from_path(folder)
    return Source(name=entry.name, weights=found.weights, labels=found.labels)


def _from_path(path: Path) -> Source:
    if path.is_dir():
        return _from_folder(path)
    if path.suffix == ".safetensors":
        tensors, description = read_tensors(path)
        if "checkpoint" in description:
            happened, hint = "this is a checkpoint", "resume from it, or give best_model.safetensors"
            raise ModelError("model_unsupported", happened, input=str(path), hint=hint)
        labels = [label["id"] for label in description.get("labels", ()) if isinstance(label, Mapping)]
        return Source(name=str(path), weights=tensors, labels=tuple(labels) or None)
    if path.suffix == ".pdparams":
        weights = _tensors(read_pdparams(read_file(path), input=str(path)))
        return Source(name=str(path), weights=weights, labels=_official_labels(weights))
    if path.suffix == ".onnx":
        return _from_onnx(read_file(path), str(path))
    raise ModelError("model_unsupported", f"weights are {FORMS}", input=str(path))


def _from_folder(path: Path) -> Source:
    if not any((path / name).exists() for name in MODEL_FILES if name != "inference.yml"):
        files = sorted(file for file in path.iterdir() if file.suffix in (".safetensors", ".onnx", ".pdparams"))
        if len(files) != 1:
            happened = f"a folder with {len(files)} files of weights"
            raise ModelError("model_missing", happened, input=str(path), hint=f"give {FORMS}")
        return _from_path(files[0])
    found = read_model_dir(path)
    weights = NETWORKS[found.inference.kind].weights_from_program(found.program, found.parameters)
    labels = tuple(label.id for label in labels_from_texts(found.inference.labels))
    return Source(name=str(path), weights=_tensors(weights), labels=labels)


def _from_onnx(data: bytes, name: str) -> Source:
    file = read_onnx(data, input=name)
    graph = onnx.load_from_string(file.model_bytes).graph
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = {
        key: value for key, value in held.items() if key.endswith((".weight", ".bias")) and value.dtype.kind == "f"
    }
    if not any(key.endswith(FOLDED) for key in weights):
        happened = "an ONNX file whose weights have no names of layers"
        raise ModelError("model_unsupported", happened, input=name, hint="give a model that this package exported")
    if "fc.weight" in weights:  # the graph has the dropout's factor in the matrix
        weights["fc.weight"] = (weights["fc.weight"].astype(np.float64) / DROPOUT_SCALE).astype(np.float32)
    return Source(name=name, weights=_tensors(weights), labels=tuple(label.id for label in file.metadata.labels))


def _tensors(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def _official_labels(weights: Mapping[str, Tensor]) -> tuple[str, ...] | None:
    """Labels of a file without any: as many as the official attribute network has are taken for its own."""
    bias: Sequence[float] | Tensor = weights.get("fc.bias", ())
    return tuple(label.id for label in pa100k.LABELS) if len(bias) == len(pa100k.LABELS) else None
