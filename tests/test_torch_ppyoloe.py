# SPDX-License-Identifier: Apache-2.0
"""The PyTorch PP-YOLOE against per-layer outputs of real Paddle on the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from passerby.networks.torch.ppyoloe import PPYOLOE, BatchNorm  # noqa: E402

FIXTURES = Path(__file__).parent / "data/fixtures"


def arrays(name):
    """A fixture file's arrays, the file closed again."""
    with np.load(FIXTURES / name) as stored:
        return {key: stored[key] for key in stored.files}


@pytest.fixture(scope="module")
def tiny():
    pdparams = pytest.importorskip("passerby.formats.pdparams")
    weights = pdparams.read_pdparams((FIXTURES / "models/tiny_det/tiny_det.pdparams").read_bytes())
    model = PPYOLOE(depth=0.33, width=0.0625).eval()
    model.load_state_dict({name: torch.tensor(np.asarray(value)) for name, value in weights.items()})
    return model, weights


def test_state_dict_has_paddles_names_in_order(tiny):
    model, weights = tiny
    assert [(name, tuple(value.shape)) for name, value in model.state_dict().items()] == [
        (name, value.shape) for name, value in weights.items()
    ]


def test_every_layer_matches(tiny):
    model, _ = tiny
    probe = arrays("probes/det_layers.npz")
    outputs = {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda _m, _i, out, name=name: outputs.__setitem__(name, out))
    with torch.no_grad():
        boxes, scores = model(torch.tensor(probe["input"]))
    compared = 0
    for key in probe:
        output = outputs.get(key.removeprefix("layer:"))
        if key.startswith("layer:") and isinstance(output, torch.Tensor):
            expected = probe[key]
            np.testing.assert_allclose(output.numpy(), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
            compared += 1
    assert compared >= 90
    np.testing.assert_allclose(boxes.numpy(), probe["boxes"], atol=1e-3 * 8)
    np.testing.assert_allclose(scores.numpy(), probe["cls_score"], atol=1e-5)


def test_running_variance_is_the_biased_one():
    torch.manual_seed(0)
    norm = BatchNorm(3).train()
    x = torch.randn(2, 3, 2, 2)
    norm(x).sum().backward()
    expected = 0.9 * 1.0 + 0.1 * x.var((0, 2, 3), unbiased=False)
    torch.testing.assert_close(norm._variance, expected)
    torch.testing.assert_close(norm._mean, 0.1 * x.mean((0, 2, 3)))
