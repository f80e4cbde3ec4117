"""PP-YOLOE: layer by layer against Paddle on a tiny network, its parameter list, and the weights it refuses."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from passerby.errors import ModelError
from passerby.formats.pdparams import read_pdparams
from passerby.networks import ppyoloe
from passerby.networks.parameters import shapes_of

from .conftest import FIXTURES
from .layers import run, values_of

TINY = FIXTURES / "models/tiny_det/tiny_det.pdparams"
HW = (64, 96)
Weights = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def weights() -> Weights:
    return read_pdparams(TINY.read_bytes())


@pytest.fixture(scope="module")
def probe() -> Weights:
    with np.load(FIXTURES / "probes/det_layers.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def model(weights: Weights) -> onnx.ModelProto:
    return ppyoloe.build_onnx(weights, input_hw=HW)


def close(actual: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """The tolerance that the fixtures name for another engine."""
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_size_is_read_off_the_weights(weights: Weights) -> None:
    found = ppyoloe.Architecture.from_weights(weights)
    assert (found.depth, found.width, found.num_classes, found.reg_max) == (0.33, 0.0625, 1, 16)
    assert found.channels == (4, 8, 16, 32, 64)
    assert found.blocks == (1, 2, 2, 1)


def test_parameters_are_listed_in_paddles_order(weights: Weights) -> None:
    listed = ppyoloe.parameter_shapes(ppyoloe.Architecture.from_weights(weights), deploy=False)
    assert list(listed.items()) == [(name, array.shape) for name, array in weights.items()]


@pytest.mark.parametrize(("depth", "width", "training", "deploy"), [(0.33, 0.5, 423, 335), (1.0, 1.0, 753, 489)])
def test_full_sizes_have_as_many_tensors_and_values_as_paddles(
    depth: float, width: float, training: int, deploy: int
) -> None:
    size = ppyoloe.Architecture(depth=depth, width=width)
    values = {(0.5, False): 7_627_488, (0.5, True): 7_464_648, (1.0, False): 53_191_648, (1.0, True): 51_284_944}
    for merged, count in ((False, training), (True, deploy)):
        listed = ppyoloe.parameter_shapes(size, deploy=merged)
        assert len(listed) == count
        assert sum(int(np.prod(shape)) for shape in listed.values()) == values[width, merged]


def test_the_order_of_use_holds_every_layer_once() -> None:
    size = ppyoloe.Architecture(depth=1.0, width=0.25)
    assert sorted(ppyoloe.forward_layers(size)) == sorted(ppyoloe.layers(size))


def test_every_layer_computes_what_paddles_computes(model: onnx.ModelProto, probe: Weights) -> None:
    layers = {name.removeprefix("layer:"): array for name, array in probe.items() if name.startswith("layer:")}
    known = values_of(model)
    compared = [name for name in layers if name in known]
    # the rest are other names for the same values, or the two branches that are merged into one
    assert len(compared) >= 83
    found = run(model, probe["input"], extra=compared)
    for name in compared:
        close(found[name], layers[name])


def test_outputs_are_paddles_boxes_and_scores(model: onnx.ModelProto, probe: Weights) -> None:
    found = run(model, probe["input"])
    assert found["boxes"].shape == (2, 126, 4) and found["scores"].shape == (2, 1, 126)
    np.testing.assert_allclose(found["scores"], probe["cls_score"], atol=1e-5)
    np.testing.assert_allclose(found["boxes"], probe["boxes"], atol=1e-3)


def test_merged_branches_equal_paddles(weights: Weights, probe: Weights) -> None:
    merged = ppyoloe.reparameterise(weights)
    block = "backbone.stages.1.blocks.0.conv2"
    np.testing.assert_allclose(merged[f"{block}.conv.weight"], probe[f"reparam_weight:{block}"], atol=1e-6)
    np.testing.assert_allclose(merged[f"{block}.conv.bias"], probe[f"reparam_bias:{block}"], atol=1e-6)
    size = ppyoloe.Architecture.from_weights(weights)
    assert {name: array.shape for name, array in merged.items()} == ppyoloe.parameter_shapes(size, deploy=True)
    assert ppyoloe.reparameterise(merged) is merged


def test_merged_weights_give_the_same_graph(weights: Weights, model: onnx.ModelProto) -> None:
    again = ppyoloe.build_onnx(ppyoloe.reparameterise(weights), input_hw=HW)
    assert again.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


def test_graph_is_valid_and_old_enough_for_onnxruntime_1_19(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version <= 10 and model.opset_import[0].version <= 21
    assert [x.name for x in model.graph.input] == ["image"]
    assert [x.name for x in model.graph.output] == ["boxes", "scores"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"


def test_a_batch_gives_what_its_pictures_give(model: onnx.ModelProto, probe: Weights) -> None:
    both = run(model, probe["input"])
    for picture in range(2):
        one = run(model, probe["input"][picture : picture + 1])
        for name in ("boxes", "scores"):
            np.testing.assert_array_equal(both[name][picture], one[name][0])


def test_scores_stay_finite_for_extreme_weights(weights: Weights) -> None:
    """The softmax of the bins must not overflow: raw values of a thousand are fine in Paddle too."""
    extreme = {name: array.copy() for name, array in weights.items()}
    for level in range(3):
        extreme[f"yolo_head.pred_reg.{level}.weight"] *= 1e3
        extreme[f"yolo_head.pred_cls.{level}.weight"] *= 1e3
    found = run(ppyoloe.build_onnx(extreme, input_hw=HW), np.ones((1, 3, *HW), np.float32))
    assert np.isfinite(found["boxes"]).all() and np.isfinite(found["scores"]).all()


def test_several_classes_and_other_sizes(probe: Weights) -> None:
    size = ppyoloe.Architecture(depth=0.67, width=0.125, num_classes=3, reg_max=7)
    rng = np.random.default_rng(0)
    weights = {
        name: np.abs(rng.normal(0, 0.3, shape)).astype(np.float32)
        for name, shape in ppyoloe.parameter_shapes(size, deploy=False).items()
    }
    assert ppyoloe.Architecture.from_weights(weights) == size
    found = run(ppyoloe.build_onnx(weights, input_hw=(32, 160)), np.zeros((2, 3, 32, 160), np.float32))
    anchors = 5 + 20 + 80
    assert found["boxes"].shape == (2, anchors, 4) and found["scores"].shape == (2, 3, anchors)


@given(st.floats(0.17, 1.34), st.floats(0.05, 0.3))
@settings(max_examples=40, deadline=None)
def test_any_depth_and_width_is_found_again(depth: float, width: float) -> None:
    size = ppyoloe.Architecture(depth=depth, width=width)
    listed = ppyoloe.parameter_shapes(size, deploy=True)
    weights = {name: np.zeros(shape, np.float32) for name, shape in listed.items()}
    found = ppyoloe.Architecture.from_weights(weights)
    assert ppyoloe.parameter_shapes(found, deploy=True) == listed


@pytest.mark.parametrize("side", [0, 16, 100, -32])
def test_sizes_that_are_no_multiple_of_32_are_refused(weights: Weights, side: int) -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        ppyoloe.build_onnx(weights, input_hw=(64, side))


NAME = "neck.pan_routes.1.conv.weight"


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ("missing", "model_mismatch", NAME),
        ("shape", "model_mismatch", NAME),
        ("integer", "model_mismatch", NAME),
        ("unknown", "model_mismatch", "backbone.alpha"),
        ("nan", "model_not_finite", NAME),
        ("infinite", "model_not_finite", NAME),
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
    elif change == "integer":
        wrong[NAME] = wrong[NAME].astype(np.int32)  # type: ignore[assignment]
    elif change == "unknown":
        wrong["backbone.alpha"] = np.ones(1, np.float32)
    else:
        wrong[NAME].flat[3] = np.nan if change == "nan" else np.inf
    with pytest.raises(ModelError) as caught:
        ppyoloe.build_onnx(wrong, input_hw=HW)
    assert caught.value.name == name
    assert words in caught.value.message


@pytest.mark.parametrize(
    "key",
    [
        "backbone.stages.3.conv3.conv.weight",
        "backbone.stem.conv3.conv.weight",
        "yolo_head.pred_cls.0.weight",
        "yolo_head.pred_reg.0.weight",
    ],
)
def test_weights_without_the_tensors_that_tell_the_size_are_refused(weights: Weights, key: str) -> None:
    for wrong in ({k: v for k, v in weights.items() if k != key}, {**weights, key: weights[key].reshape(-1)}):
        with pytest.raises(ModelError) as caught:
            ppyoloe.Architecture.from_weights(wrong)
        assert caught.value.name == "model_mismatch" and key in caught.value.message


def test_channels_that_no_width_gives_are_refused(weights: Weights) -> None:
    wider = np.zeros((200, *weights["backbone.stages.3.conv3.conv.weight"].shape[1:]), np.float32)
    with pytest.raises(ModelError) as caught:
        ppyoloe.Architecture.from_weights({**weights, "backbone.stages.3.conv3.conv.weight": wider})
    assert caught.value.name == "model_mismatch"


def test_a_variance_below_zero_is_refused(weights: Weights) -> None:
    wrong = {**weights, "backbone.stem.conv1.bn._variance": -weights["backbone.stem.conv1.bn._variance"]}
    with pytest.raises(ModelError) as caught:
        ppyoloe.build_onnx(wrong, input_hw=HW)
    assert caught.value.name == "model_not_finite"


def test_half_precision_weights_are_taken(weights: Weights) -> None:
    half = {name: array.astype(np.float16) for name, array in weights.items()}
    found = ppyoloe.build_onnx(half, input_hw=HW)
    assert {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64} == {t.data_type for t in found.graph.initializer}


def test_shapes_follow_the_layers() -> None:
    layers = ppyoloe.layers(ppyoloe.Architecture(depth=0.33, width=0.25))
    assert len({layer.name for layer in layers}) == len(layers)
    assert shapes_of(layers, deploy=True).keys() != shapes_of(layers, deploy=False).keys()
