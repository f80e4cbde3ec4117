"""PP-LCNet: layer by layer against Paddle on a tiny network, its parameter list, and the weights it refuses."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from passerby.errors import ModelError
from passerby.formats.pdparams import read_pdparams
from passerby.networks import pplcnet

from .conftest import FIXTURES
from .layers import run, values_of

TINY = FIXTURES / "models/tiny_cls/tiny_cls.pdparams"
HW = (64, 48)
Weights = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def weights() -> Weights:
    return read_pdparams(TINY.read_bytes())


@pytest.fixture(scope="module")
def probe() -> Weights:
    with np.load(FIXTURES / "probes/cls_layers.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def model(weights: Weights) -> onnx.ModelProto:
    return pplcnet.build_onnx(weights, input_hw=HW)


def test_size_is_read_off_the_weights(weights: Weights) -> None:
    assert pplcnet.Architecture.from_weights(weights) == pplcnet.Architecture(scale=0.25, num_classes=26)


def test_parameters_are_listed_in_paddles_order(weights: Weights) -> None:
    listed = pplcnet.parameter_shapes(pplcnet.Architecture.from_weights(weights), deploy=False)
    assert list(listed.items()) == [(name, array.shape) for name, array in weights.items()]


def test_full_size_has_as_many_tensors_and_values_as_paddles() -> None:
    listed = pplcnet.parameter_shapes(pplcnet.Architecture(), deploy=True)
    assert len(listed) == 146
    assert sum(int(np.prod(shape)) for shape in listed.values()) == 1_715_770


@pytest.mark.parametrize(
    ("count", "scale", "expected"),
    [(16, 1.0, 16), (512, 1.0, 512), (16, 0.25, 8), (64, 0.35, 24), (32, 0.35, 16), (128, 0.75, 96), (16, 2.5, 40)],
)
def test_channels_are_rounded_to_multiples_of_8_but_not_far_down(count: int, scale: float, expected: int) -> None:
    assert pplcnet.channels(count, scale=scale) == expected


def test_every_layer_computes_what_paddles_computes(model: onnx.ModelProto, probe: Weights) -> None:
    layers = {name.removeprefix("layer:"): array for name, array in probe.items() if name.startswith("layer:")}
    known = values_of(model)
    compared = [name for name in layers if name in known and name not in ("flatten",)]
    assert set(layers) - set(compared) == {"act", "dropout", "flatten"}
    found = run(model, probe["input"], extra=compared)
    for name in compared:
        expected = layers[name]
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_probabilities_are_paddles_with_the_factor_of_the_dropout(model: onnx.ModelProto, probe: Weights) -> None:
    found = run(model, probe["input"])["probabilities"]
    assert found.shape == (2, 26) and found.dtype == np.float32
    np.testing.assert_allclose(found, probe["probs"], atol=1e-5)


def test_graph_is_valid_and_old_enough_for_onnxruntime_1_19(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version <= 10 and model.opset_import[0].version <= 21
    assert [x.name for x in model.graph.input] == ["x"]
    assert [x.name for x in model.graph.output] == ["probabilities"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"


def test_a_batch_gives_what_its_pictures_give(model: onnx.ModelProto, probe: Weights) -> None:
    both = run(model, probe["input"])["probabilities"]
    for picture in range(2):
        one = run(model, probe["input"][picture : picture + 1])["probabilities"]
        np.testing.assert_array_equal(both[picture], one[0])


def test_other_label_counts_run() -> None:
    size = pplcnet.Architecture(scale=0.5, num_classes=44)
    weights = {
        name: np.full(shape, 0.1, np.float32) for name, shape in pplcnet.parameter_shapes(size, deploy=True).items()
    }
    assert pplcnet.reparameterise(weights) is weights
    found = run(pplcnet.build_onnx(weights, input_hw=(64, 32)), np.zeros((1, 3, 64, 32), np.float32))
    assert found["probabilities"].shape == (1, 44)


@given(st.integers(100, 2600).map(lambda thousandths: thousandths / 1000))
@settings(max_examples=40, deadline=None)
def test_any_scale_of_three_decimals_is_found_again(scale: float) -> None:
    listed = pplcnet.parameter_shapes(pplcnet.Architecture(scale=scale, num_classes=5), deploy=True)
    weights = {name: np.zeros(shape, np.float32) for name, shape in listed.items()}
    found = pplcnet.Architecture.from_weights(weights)
    assert pplcnet.parameter_shapes(found, deploy=True) == listed


NAME = "blocks6.0.se.conv1.bias"


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ("missing", "model_mismatch", NAME),
        ("shape", "model_mismatch", NAME),
        ("unknown", "model_mismatch", "blocks7"),
        ("nan", "model_not_finite", NAME),
        ("classes", "model_mismatch", "fc.bias"),
        ("last", "model_mismatch", "channels"),
        ("first", "model_mismatch", "conv1.conv.weight"),
    ],
)
def test_wrong_weights_are_refused_and_the_tensor_is_named(
    weights: Weights, change: str, name: str, words: str
) -> None:
    wrong = {key: array.copy() for key, array in weights.items()}
    if change == "missing":
        del wrong[NAME]
    elif change == "shape":
        wrong[NAME] = wrong[NAME][1:]
    elif change == "unknown":
        wrong["blocks7.0.dw_conv.conv.weight"] = np.ones(1, np.float32)
    elif change == "nan":
        wrong[NAME][0] = np.nan
    elif change == "classes":
        wrong["fc.bias"] = wrong["fc.bias"][:23]
    elif change == "last":
        wrong["blocks6.1.pw_conv.conv.weight"] = np.zeros((129, 128, 1, 1), np.float32)
    else:
        del wrong["conv1.conv.weight"]
    with pytest.raises(ModelError) as caught:
        pplcnet.build_onnx(wrong, input_hw=HW)
    assert caught.value.name == name
    assert words in caught.value.message
