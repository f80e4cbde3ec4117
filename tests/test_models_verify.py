"""Probes: made once, asked on any engine, and they notice a model or an engine that answers something else."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from passerby import engines
from passerby.devices import Device
from passerby.engines import Engine
from passerby.errors import ModelError
from passerby.formats.metadata_json import METADATA_BYTES, from_json, to_json
from passerby.formats.onnx_file import read_onnx, write_onnx
from passerby.models.load import LoadedModel, load_model
from passerby.models.verify import make_probe, probe_picture, verify_model, with_probe
from passerby.types import Tensor

from .model_files import ATTRIBUTES, TINY_CLASSIFIER, TINY_DETECTOR


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSERBY_HOME", str(tmp_path / "home"))


@pytest.fixture(
    params=[("PP-YOLOE-S_human", TINY_DETECTOR), (ATTRIBUTES, TINY_CLASSIFIER)], ids=["detector", "attributes"]
)
def model(request: pytest.FixtureRequest) -> LoadedModel:
    name, path = request.param
    return load_model(name, path)


def on_cpu(model_bytes: bytes) -> Engine:
    return engines.load(model_bytes, device=Device("cpu"), spread="inside")


def probed(model: LoadedModel) -> LoadedModel:
    return dataclasses.replace(model, metadata=with_probe(model.metadata, on_cpu(model.model_bytes)))


class ChangedEngine:
    """A real engine whose answers are changed on the way: stands for a runtime that computes something else."""

    def __init__(self, model_bytes: bytes, change: object) -> None:
        self._engine, self._change = on_cpu(model_bytes), change
        self.description = "changed"
        self.inputs, self.outputs = self._engine.inputs, self._engine.outputs

    def run(self, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: self._change(values) for name, values in self._engine.run(arrays).items()}  # type: ignore[operator]


def test_picture_is_the_same_everywhere() -> None:
    picture = probe_picture()
    assert picture.shape == (64, 48, 3) and picture.dtype == np.uint8
    assert hashlib.sha256(picture.tobytes()).hexdigest()[:16] == "2e3dd799ddf83eed"
    assert picture.std() > 20


def test_probe_holds(model: LoadedModel) -> None:
    verified = verify_model(probed(model))
    assert verified.difference == 0.0 and "onnxruntime" in verified.engine


def test_probe_travels_in_the_file(model: LoadedModel) -> None:
    metadata = probed(model).metadata
    text = to_json(metadata)
    assert len(text) < METADATA_BYTES // 8
    file = read_onnx(write_onnx(onnx.load_model_from_string(model.model_bytes), from_json(text)))
    stored = LoadedModel(model_bytes=file.model_bytes, metadata=file.metadata, source="file")
    assert verify_model(stored).difference == 0.0


@pytest.mark.parametrize(
    "change", [np.zeros_like, lambda x: x + np.float32(0.02), lambda x: x * np.float32(np.nan), lambda x: x[..., :0]]
)
def test_wrong_engine_is_noticed(model: LoadedModel, change: object) -> None:
    with pytest.raises(ModelError) as caught:
        verify_model(probed(model), lambda data: ChangedEngine(data, change))
    assert caught.value.name == "model_corrupt" and caught.value.exit_code == 3


def test_dead_weights_are_noticed(model: LoadedModel) -> None:
    graph = onnx.load_model_from_string(model.model_bytes)
    for tensor in graph.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim == 4:
            tensor.CopyFrom(numpy_helper.from_array(np.zeros_like(values), tensor.name))
    with pytest.raises(ModelError) as caught:
        verify_model(dataclasses.replace(probed(model), model_bytes=graph.SerializeToString()))
    assert caught.value.name == "model_corrupt"


def test_model_without_a_probe_must_at_least_live(model: LoadedModel) -> None:
    assert verify_model(model).difference is None
    with pytest.raises(ModelError):
        verify_model(model, lambda data: ChangedEngine(data, np.zeros_like))
    with pytest.raises(ModelError) as caught:
        verify_model(model, lambda data: ChangedEngine(data, lambda x: x * np.float32(np.inf)))
    assert caught.value.name == "model_not_finite"


def test_no_probe_is_made_of_a_dead_model(model: LoadedModel) -> None:
    with pytest.raises(ModelError):
        make_probe(model.metadata, ChangedEngine(model.model_bytes, np.zeros_like))
