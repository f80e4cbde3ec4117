"""A name or a path becomes one checked .onnx in memory: what every stage runs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ..errors import ModelError, shown
from ..formats.metadata import Kind, ModelMetadata
from ..formats.onnx_file import read_onnx
from . import catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A checked model.

    Attributes:
        model_bytes: a whole .onnx file.
        metadata: what travels with it.
        source: where it came from, for messages: a name of the catalogue or the path the user gave.
    """

    model_bytes: bytes
    metadata: ModelMetadata
    source: str


def load_model(name: str, model_dir: Path | None = None, *, kind: Kind | None = None) -> LoadedModel:
    """Load a model by its name, or from the user's own files.

    Args:
        name: a name of the catalogue; with `model_dir`, any name.
        model_dir: a folder in Paddle's layout, a .pdparams file or one of our .onnx files.
        kind: what the model is needed for; None takes either.
    Raises:
        ModelError: any of its names.
    """
    if model_dir is not None:
        model = _from_onnx(model_dir.read_bytes(), source=str(model_dir))
    else:
        model = _shipped(catalogue.find(name))
    if kind is not None and model.metadata.kind != kind:
        what = {"detector": "a detector", "attributes": "an attribute model"}
        raise ModelError(
            "model_mismatch",
            f"{shown(name)} is {what[model.metadata.kind]}, {what[kind]} is needed",
            input=model.source,
        )
    return model


def _from_onnx(data: bytes, *, source: str) -> LoadedModel:
    file = read_onnx(data, input=source)
    return LoadedModel(model_bytes=file.model_bytes, metadata=file.metadata, source=source)


def _shipped(entry: catalogue.CatalogueEntry) -> LoadedModel:
    """A model of the package itself; no cache, no network."""
    file = resources.files("passerby.models") / "shipped" / entry.name / f"{entry.name}.onnx"
    if not file.is_file():
        raise ModelError(
            "model_missing",
            f"the shipped model {entry.name} is not in this installation",
            hint="install the package again from its wheel",
        )
    return _from_onnx(file.read_bytes(), source=entry.name)
