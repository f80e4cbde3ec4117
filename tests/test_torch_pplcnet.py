# SPDX-License-Identifier: Apache-2.0
"""The PyTorch PP-LCNet against per-layer outputs and a training step of real Paddle on the same weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from passerby.formats.pdparams import read_pdparams  # noqa: E402
from passerby.networks import pplcnet  # noqa: E402
from passerby.networks.torch.pplcnet import PPLCNet, load_weights, weights_of  # noqa: E402
from passerby.training.attributes.losses import multi_label_loss  # noqa: E402

FIXTURES = Path(__file__).parent / "data/fixtures"


def arrays(name):
    """A fixture file's arrays, the file closed again."""
    with np.load(FIXTURES / name) as stored:
        return {key: stored[key] for key in stored.files}


@pytest.fixture(scope="module")
def weights():
    return read_pdparams((FIXTURES / "models/tiny_cls/tiny_cls.pdparams").read_bytes())


@pytest.fixture
def tiny(weights):
    network = PPLCNet(26, scale=0.25)
    load_weights(network, weights)
    return network


def test_state_dict_has_paddles_names_in_order(tiny, weights):
    assert [(name, tuple(value.shape)) for name, value in tiny.state_dict().items()] == [
        (name, value.shape) for name, value in weights.items()
    ]


@pytest.mark.parametrize("scale", [0.25, 0.35, 1.0, 1.5])
def test_shapes_agree_with_the_onnx_side_at_any_scale(scale):
    architecture = pplcnet.Architecture(scale=scale, num_classes=50)
    shapes = {name: tuple(value.shape) for name, value in PPLCNet(50, scale=scale).state_dict().items()}
    assert shapes == {
        name: tuple(shape) for name, shape in pplcnet.parameter_shapes(architecture, deploy=False).items()
    }


def test_every_layer_matches(tiny):
    probe = arrays("probes/cls_layers.npz")
    outputs = {}
    for name, module in tiny.named_modules():
        module.register_forward_hook(lambda _m, _i, out, name=name: outputs.__setitem__(name, out))
    tiny.eval()
    with torch.no_grad():
        logits = tiny(torch.tensor(probe["input"])).numpy()
    compared = 0
    for key in probe:
        output = outputs.get(key.removeprefix("layer:"))
        if key.startswith("layer:") and output is not None:
            expected = probe[key]
            np.testing.assert_allclose(output.numpy(), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
            compared += 1
    assert compared >= 30
    np.testing.assert_allclose(logits, probe["logits"], rtol=1e-4, atol=2e-5)


def test_weights_survive_the_round_trip(tiny, weights):
    returned = weights_of(tiny)
    assert all(np.array_equal(returned[name], value) for name, value in weights.items())


def test_a_head_of_another_length_keeps_its_own_weights(weights):
    network = PPLCNet(3, scale=0.25)
    before = network.fc.weight.detach().clone()
    load_weights(network, weights, except_head=True)
    assert torch.equal(network.fc.weight, before)
    assert np.array_equal(weights_of(network)["last_conv.weight"], weights["last_conv.weight"])


def test_a_training_step_is_paddles(tiny):
    step = arrays("train/cls_step.npz")
    record = json.loads((FIXTURES / "train/cls_step.json").read_text("utf-8"))
    keep = np.unpackbits(step["mask|dropout_keep_mask"], axis=1)[:, :1280].astype(np.float32)
    lut = arrays("preproc/normalize_lut.npz")
    table = next(iter(lut.values()))  # (256, 3)
    rgb = step["image_u8_rgb"]
    x = np.stack([table[rgb[..., c], c] for c in range(3)], axis=1)  # (6, 3, 64, 48)
    for name, mask in (("p0|step0", np.ones_like(keep)), ("mask|step0", keep)):
        network = PPLCNet(26, scale=0.25)
        load_weights(network, weights_of(tiny))
        logits = _with_dropout(network.train(), torch.tensor(x), torch.tensor(mask))
        target = torch.tensor(step["target"])
        loss = multi_label_loss(logits, target[:, 0], target[:, 1])
        loss.backward()
        assert loss.item() == pytest.approx(record[name]["loss"], rel=1e-5)
        np.testing.assert_allclose(logits.detach().numpy(), step[f"{name}|logits"], rtol=1e-4, atol=1e-4)
        for parameter, value in network.named_parameters():
            expected = step.get(f"{name}|grad|{parameter}")
            if expected is not None:
                np.testing.assert_allclose(
                    value.grad.numpy(), expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max(), err_msg=parameter
                )
        if name == "p0|step0":
            state = network.state_dict()
            for statistic in ("mean", "variance"):
                order = [key for key in state if key.endswith(f"bn._{statistic}")]
                got = np.concatenate([state[key].numpy() for key in order])
                np.testing.assert_allclose(got, step[f"bn_{statistic}_after_step0"], rtol=1e-4, atol=1e-5)


def _with_dropout(network, x, mask):
    """Logits with a given mask in place of a drawn one."""
    pooled = network.features(x).mean(dim=(2, 3), keepdim=True)
    return network.fc(torch.nn.functional.hardswish(network.last_conv(pooled)).flatten(1) * mask)


def test_dropout_drops_in_training_and_scales_at_inference(tiny):
    features = torch.rand(64, tiny.feature_channels, 1, 1)
    torch.manual_seed(0)
    with torch.no_grad():
        expanded = torch.nn.functional.hardswish(tiny.last_conv(features)).flatten(1)
        drawn = tiny.train().head(features)
        fixed = tiny.eval().head(features)
    assert not torch.allclose(drawn, fixed)
    assert torch.allclose(fixed, tiny.fc(expanded * 0.8), atol=1e-5)
