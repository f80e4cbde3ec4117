"""What every engine must do, run on each that is installed: names, shapes, bits, threads, telemetry."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from passerby import engines
from passerby.devices import Device
from passerby.engines import Engine
from passerby.errors import EngineError
from passerby.networks import pplcnet
from passerby.types import Tensor, Weights


def seeded_weights(architecture: pplcnet.Architecture) -> Weights:
    """Weights that know nothing, but keep activations alive to the end."""
    rng = np.random.default_rng(7)
    weights = {}
    for name, shape in pplcnet.parameter_shapes(architecture, deploy=True).items():
        if len(shape) > 1:
            values = rng.normal(0, 2 / np.sqrt(np.prod(shape[1:])), shape)
        elif name.endswith(("_variance", "bn.weight")):
            values = rng.uniform(0.5, 1.5, shape)
        else:
            values = rng.normal(0, 0.2, shape)
        weights[name] = values.astype(np.float32)
    return weights


@pytest.fixture(scope="module")
def model_bytes() -> bytes:
    weights = seeded_weights(pplcnet.Architecture(scale=0.25, num_classes=26))
    data: bytes = pplcnet.build_onnx(weights, input_hw=(64, 48)).SerializeToString()
    return data


@pytest.fixture(scope="module", params=engines.available_kinds())
def engine(request: pytest.FixtureRequest, model_bytes: bytes) -> Engine:
    return engines.load(model_bytes, device=Device(request.param), spread="across")


def batch(count: int) -> Tensor:
    return np.random.default_rng(count).normal(size=(count, 3, 64, 48)).astype(np.float32)


def test_inputs_and_outputs_are_named(engine: Engine) -> None:
    assert [(x.name, x.shape, x.dtype) for x in engine.inputs] == [("x", (None, 3, 64, 48), "float32")]
    assert [(x.name, x.shape, x.dtype) for x in engine.outputs] == [("probabilities", (None, 26), "float32")]
    assert engine.description


def test_a_batch_is_its_items_to_the_bit(engine: Engine) -> None:
    x = batch(9)
    together = engine.run({"x": x})["probabilities"]
    assert together.shape == (9, 26)
    assert len({row.tobytes() for row in together}) == 9
    for i in range(9):
        assert engine.run({"x": x[i : i + 1]})["probabilities"].tobytes() == together[i : i + 1].tobytes()


def test_an_empty_batch_gives_empty_outputs(engine: Engine) -> None:
    assert engine.run({"x": batch(0)})["probabilities"].shape == (0, 26)


def test_threads_do_not_mix_answers(engine: Engine) -> None:
    inputs = [batch(n) for n in range(1, 7)]
    expected = [engine.run({"x": x})["probabilities"].tobytes() for x in inputs]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: engine.run({"x": inputs[i % 6]})["probabilities"].tobytes(), range(96)))
    assert answers == [expected[i % 6] for i in range(96)]


def test_thread_count_changes_no_answer_of_crops(model_bytes: bytes) -> None:
    answers = {
        engines.load(model_bytes, device=Device("cpu"), spread="across", threads=n)
        .run({"x": batch(5)})["probabilities"]
        .tobytes()
        for n in (1, 2, 4)
    }
    assert len(answers) == 1


def test_a_wrong_shape_is_a_named_error(engine: Engine) -> None:
    with pytest.raises(EngineError) as caught:
        engine.run({"x": np.zeros((1, 3, 65, 48), np.float32)})
    assert caught.value.name == "engine_failed"


def test_a_damaged_model_is_a_named_error() -> None:
    with pytest.raises(EngineError) as caught:
        engines.load(b"no model", device=Device("cpu"), spread="inside")
    assert caught.value.name == "engine_failed"


def test_a_device_without_an_engine_is_an_error(model_bytes: bytes) -> None:
    for kind in ("xpu", "mlu", "dcu"):
        with pytest.raises(EngineError) as caught:
            engines.load(model_bytes, device=Device(kind), spread="inside")
        assert caught.value.name == "device_unavailable"
        assert caught.value.exit_code == 4


def test_telemetry_is_off_and_leaves_nothing_behind(tmp_path: Path, model_bytes: bytes) -> None:
    """A session in a new, empty home, without `CI`, which would hide it: no file and no connection."""
    model = tmp_path / "model.onnx"
    model.write_bytes(model_bytes)
    home = tmp_path / "home"
    home.mkdir()
    code = """
import os, sys
def hook(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        print("CONNECTS", event, args)
sys.addaudithook(hook)
from passerby import engines
from passerby.devices import Device
import numpy as np
engine = engines.load(open(sys.argv[1], "rb").read(), device=Device("cpu"), spread="inside")
engine.run({"x": np.zeros((1, 3, 64, 48), np.float32)})
print("switch", os.environ["ORT_DISABLE_TELEMETRY"])
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(model)],
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "switch 1"
    assert list(home.rglob("*")) == []
