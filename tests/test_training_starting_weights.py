# SPDX-License-Identifier: Apache-2.0
"""Starting weights from every kind of file: the network answers as the file's own model does."""

from __future__ import annotations

import copy
import functools
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from passerby import engines, preprocess  # noqa: E402
from passerby.devices import Device  # noqa: E402
from passerby.errors import ModelError  # noqa: E402
from passerby.formats.metadata import InputRecipe, Label, ModelMetadata  # noqa: E402
from passerby.formats.onnx_file import write_onnx  # noqa: E402
from passerby.formats.pdparams import read_pdparams  # noqa: E402
from passerby.models import pa100k  # noqa: E402
from passerby.models.load import load_model  # noqa: E402
from passerby.networks import pplcnet, ppyoloe  # noqa: E402
from passerby.networks.torch.pplcnet import PPLCNet, weights_of  # noqa: E402
from passerby.networks.torch.ppyoloe import PPYOLOE, BatchNorm  # noqa: E402
from passerby.training.starting_weights import load_starting_weights, start_from  # noqa: E402
from passerby.training.weights_file import write_tensors  # noqa: E402

from .conftest import FIXTURES  # noqa: E402
from .training_child import DrawnTask  # noqa: E402

TINY_CLS, TINY_DET = FIXTURES / "models/tiny_cls", FIXTURES / "models/tiny_det"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def pictures(count: int, height: int, width: int, *, seed: int = 0) -> torch.Tensor:
    """Blocks of colour, normalised: (count, 3, height, width)."""
    rng = np.random.default_rng(seed)
    recipe = InputRecipe(height=height, width=width, interpolation="linear")
    small = rng.integers(0, 256, (count, 8, 6, 3), np.uint8)
    return torch.from_numpy(np.concatenate([preprocess.to_network_input(picture, recipe) for picture in small]))


def answers(name: str, model_dir: Path | None, x: torch.Tensor) -> dict[str, np.ndarray]:
    """What the model itself says, through the engine of the inference half."""
    model = load_model(name, model_dir)
    engine = engines.load(model.model_bytes, device=Device("cpu"), spread="inside", threads=1)
    return engine.run({next(iter(engine.inputs)).name: x.numpy()})


def size_of(module, path: Path):
    """The architecture of the tiny fixtures, read off their weights."""
    return module.Architecture.from_weights(read_pdparams(path.read_bytes()))


@pytest.mark.parametrize("form", ["tiny_cls.pdparams", "pir", "legacy"])
def test_attribute_network_answers_as_its_file(form):
    size = size_of(pplcnet, TINY_CLS / "tiny_cls.pdparams")
    network = PPLCNet(size.num_classes, scale=size.scale).eval()
    report = load_starting_weights(network, TINY_CLS / form)
    assert report.left_out == report.new_labels == ()
    x = pictures(3, 256, 192)
    with torch.no_grad():
        said = network(x).sigmoid().numpy()
    (expected,) = answers("own", TINY_CLS / form, x).values()
    np.testing.assert_allclose(said, expected, atol=1e-5)


@pytest.mark.parametrize("form", ["tiny_det.pdparams", "pir", "legacy"])
def test_detector_answers_as_its_file(form):
    size = size_of(ppyoloe, TINY_DET / "tiny_det.pdparams")
    network = PPYOLOE(depth=size.depth, width=size.width, num_classes=size.num_classes).eval()
    recipe = load_model("own", TINY_DET / form).metadata.input
    report = load_starting_weights(network, TINY_DET / form, pictures=[pictures(2, 128, 128, seed=1)])
    assert report.left_out == report.new_labels == ()
    assert report.measured == (0 if form.endswith(".pdparams") else 2)  # an export has the branches merged
    x = pictures(2, recipe.height, recipe.width)
    with torch.no_grad():
        boxes, scores = (value.numpy() for value in network(x))
    expected = answers("own", TINY_DET / form, x)
    np.testing.assert_allclose(boxes, expected["boxes"], rtol=1e-4, atol=2e-3)
    np.testing.assert_allclose(scores, expected["scores"], atol=2e-6)


def test_shipped_attributes_come_back_from_the_folded_graph():
    network = PPLCNet(51).eval()
    ids = [label.id for label in load_model("passerby-attributes").metadata.labels]
    report = load_starting_weights(
        network, "passerby-attributes", labels=ids, pictures=[pictures(8, 256, 192, seed=n) for n in range(2)]
    )
    assert report.left_out == report.new_labels == report.unused == ()
    assert report.labels == tuple(ids)
    assert report.measured == 16
    x = pictures(4, 256, 192, seed=9)
    with torch.no_grad():
        said = network(x).sigmoid().numpy()
    np.testing.assert_allclose(said, answers("passerby-attributes", None, x)["probabilities"], atol=2e-5)


def test_shipped_detector_comes_back_from_the_folded_and_merged_graph():
    network = PPYOLOE(depth=0.33, width=0.25).eval()
    report = load_starting_weights(network, "passerby-detector-416", pictures=[pictures(2, 416, 416)])
    assert report.left_out == report.new_labels == ()
    assert all(name.endswith(".project.weight") for name in report.unused)
    x = pictures(1, 416, 416, seed=9)
    with torch.no_grad():
        boxes, scores = (value.numpy() for value in network(x))
    expected = answers("passerby-detector-416", None, x)
    np.testing.assert_allclose(scores, expected["scores"], atol=2e-5)
    np.testing.assert_allclose(boxes, expected["boxes"], rtol=1e-4, atol=0.02)


def exported(path: Path, network: PPLCNet, ids: list[str]) -> Path:
    """A network as a .onnx of ours."""
    metadata = ModelMetadata(
        kind="attributes",
        name="mine",
        network="PP-LCNet",
        input=InputRecipe(height=64, width=48, interpolation="linear"),
        labels=tuple(Label(id=id, en=id) for id in ids),
        thresholds=(0.5,) * len(ids),
    )
    path.write_bytes(write_onnx(pplcnet.build_onnx(weights_of(network), input_hw=(64, 48)), metadata))
    return path


@functools.cache
def _lively(num_classes: int) -> PPLCNet:
    network = PPLCNet(num_classes, scale=0.25).train()
    batches = [pictures(8, 64, 48, seed=seed) for seed in range(100, 110)]
    with torch.no_grad():
        for number in range(80):
            if number == 20:
                for module in network.modules():
                    if isinstance(module, BatchNorm):
                        module.weight.uniform_(0.5, 1.5)
                        module.bias.uniform_(-0.5, 0.5)
            network.features(batches[number % 10])
        network.fc.weight.normal_(0, 0.05)
    return network.eval()


def lively(num_classes: int) -> PPLCNet:
    """A network whose norms have statistics and scales of their own."""
    return copy.deepcopy(_lively(num_classes))


def test_measured_statistics_let_training_begin_where_the_model_stands():
    x = pictures(16, 128, 96, seed=50)
    measured, unmeasured = PPLCNet(51), PPLCNet(51)
    measured_on = [pictures(16, 128, 96, seed=seed) for seed in range(4)]
    load_starting_weights(measured, "passerby-attributes", pictures=measured_on)
    load_starting_weights(unmeasured, "passerby-attributes")
    with torch.no_grad():
        answers = measured.eval().features(x)
        torch.testing.assert_close(unmeasured.eval().features(x), answers, rtol=1e-3, atol=1e-4)
        near = (measured.train().features(x) - answers).norm() / answers.norm()
        far = (unmeasured.train().features(x) - answers).norm() / answers.norm()
    assert near < 0.4  # the statistics of these 16 pictures differ from those of the 64
    assert far > 1


def test_scales_come_back_from_a_folded_graph(tmp_path):
    """Where pictures are like those of the training, the first norms get back what folding took."""
    original = lively(3)
    network = PPLCNet(3, scale=0.25)
    seen = [pictures(16, 64, 48, seed=seed) for seed in range(20, 26)]
    load_starting_weights(network, exported(tmp_path / "mine.onnx", original, ["a", "b", "c"]), pictures=seen)
    for name in ("conv1.bn.weight", "blocks2.0.dw_conv.bn.weight", "blocks3.0.pw_conv.bn.weight"):
        torch.testing.assert_close(network.state_dict()[name], original.state_dict()[name], rtol=0.1, atol=0.02)


def test_kernels_have_the_length_of_fresh_ones(tmp_path):
    network = PPLCNet(3, scale=0.25)
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    load_starting_weights(network, exported(tmp_path / "mine.onnx", lively(3), ["a", "b", "c"]))
    for name, value in network.state_dict().items():
        if name.endswith(".conv.weight"):
            length = value.square().sum((1, 2, 3)).sqrt()
            torch.testing.assert_close(length, fresh[name].square().sum((1, 2, 3)).mean().sqrt().expand_as(length))


def test_labels_that_both_have_come_along_and_the_rest_is_named(tmp_path):
    original = lively(3)
    path = exported(tmp_path / "mine.onnx", original, ["hat", "bag", "dog"])
    network = PPLCNet(4, scale=0.25)
    own = network.fc.weight.detach().clone()
    report = load_starting_weights(network, path, labels=["scarf", "dog", "hat", "cap"])
    assert report.labels == ("dog", "hat")
    assert report.new_labels == ("scarf", "cap")
    assert report.left_out == ()
    assert "2 labels start from nothing (scarf, cap)" in report.line()
    torch.testing.assert_close(network.fc.weight[:, 1], original.fc.weight[:, 2])
    torch.testing.assert_close(network.fc.weight[:, 2], original.fc.weight[:, 0])
    torch.testing.assert_close(network.fc.weight[:, [0, 3]], own[:, [0, 3]])


def test_as_many_other_labels_are_not_taken_for_the_same(tmp_path):
    path = exported(tmp_path / "mine.onnx", lively(3), ["hat", "bag", "dog"])
    network = PPLCNet(3, scale=0.25)
    own = network.fc.weight.detach().clone()
    report = load_starting_weights(network, path, labels=["red", "green", "blue"])
    assert report.left_out == ("fc.weight", "fc.bias")
    assert report.new_labels == ("red", "green", "blue")
    assert torch.equal(network.fc.weight, own)


def test_a_detector_of_other_classes_keeps_all_but_its_last_layer():
    size = size_of(ppyoloe, TINY_DET / "tiny_det.pdparams")
    network = PPYOLOE(depth=size.depth, width=size.width, num_classes=size.num_classes + 2)
    report = load_starting_weights(network, TINY_DET / "tiny_det.pdparams")
    assert report.left_out == tuple(
        f"yolo_head.pred_cls.{level}.{part}" for level in range(3) for part in ("weight", "bias")
    )
    assert len(report.new_labels) == size.num_classes + 2


def test_weights_that_name_no_labels_are_the_official_ones():
    """A .pdparams has no names; with 26 outputs it is taken for the official attribute network."""
    size = size_of(pplcnet, TINY_CLS / "tiny_cls.pdparams")
    assert size.num_classes == len(pa100k.LABELS)
    network = PPLCNet(2, scale=size.scale)
    report = load_starting_weights(network, TINY_CLS / "tiny_cls.pdparams", labels=["backpack", "umbrella"])
    assert report.labels == ("backpack",)
    assert report.new_labels == ("umbrella",)
    place = [label.id for label in pa100k.LABELS].index("backpack")
    stored = read_pdparams((TINY_CLS / "tiny_cls.pdparams").read_bytes())["fc.weight"]
    np.testing.assert_array_equal(network.fc.weight[:, 0].detach().numpy(), stored[:, place])


def test_weights_that_training_kept_come_back_whole(tmp_path):
    original = lively(3)
    described = {"kind": "attributes", "labels": [{"id": id} for id in ("a", "b", "c")]}
    write_tensors(tmp_path / "best_model.safetensors", original.state_dict(), described)
    network = PPLCNet(3, scale=0.25)
    report = load_starting_weights(network, tmp_path / "best_model.safetensors", labels=["a", "b", "c"])
    assert report.left_out == report.new_labels == report.unused == ()
    assert all(torch.equal(value, original.state_dict()[name]) for name, value in network.state_dict().items())


def test_another_size_or_network_is_refused_by_name(tmp_path):
    path = exported(tmp_path / "mine.onnx", lively(3), ["a", "b", "c"])
    with pytest.raises(ModelError, match=r"model_mismatch: weights of another size: \S+ has shape"):
        load_starting_weights(PPLCNet(3, scale=0.5), path)
    with pytest.raises(ModelError, match="model_mismatch: these weights have"):
        load_starting_weights(PPYOLOE(depth=0.33, width=0.25), path)
    with pytest.raises(ModelError, match="model_unknown"):
        load_starting_weights(PPLCNet(3, scale=0.25), "passerby-atributes")
    with pytest.raises(ModelError, match="model_missing"):
        load_starting_weights(PPLCNet(3, scale=0.25), tmp_path / "absent.pdparams")


def test_a_refused_file_leaves_the_network_as_it_was(tmp_path):
    network = PPLCNet(3, scale=0.5)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ModelError):
        load_starting_weights(network, exported(tmp_path / "mine.onnx", lively(3), ["a", "b", "c"]))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_task_is_measured_on_its_own_pictures(tmp_path):
    task = DrawnTask(samples=40)
    report = start_from(task, exported(tmp_path / "mine.onnx", lively(3), ["a", "b", "c"]))
    assert report.measured == 40
    assert report.left_out == ()
