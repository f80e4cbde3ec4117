"""The PyTorch networks and the ONNX graphs from their weights compute the same: training exports what it trained."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from passerby.networks import pplcnet, ppyoloe  # noqa: E402
from passerby.networks.torch.pplcnet import PPLCNet  # noqa: E402
from passerby.networks.torch.ppyoloe import PPYOLOE  # noqa: E402

from .layers import run  # noqa: E402


def shaken(model):
    """The module with every parameter and statistic away from its initial value, ready for inference."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if "proj_conv" not in name:
                value.add_(0.1 * torch.rand(value.shape, generator=generator))
    return model.eval()


def weights_of(model):
    return {name: value.numpy() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(("depth", "width", "classes"), [(0.33, 0.125, 1), (0.67, 0.1875, 3)])
def test_detector(depth, width, classes):
    model = shaken(PPYOLOE(depth=depth, width=width, num_classes=classes))
    weights = weights_of(model)
    found = ppyoloe.Architecture.from_weights(weights)
    assert list(weights) == list(ppyoloe.parameter_shapes(found, deploy=False))
    x = np.random.default_rng(1).normal(size=(2, 3, 96, 64)).astype(np.float32)
    with torch.no_grad():
        boxes, scores = (output.numpy() for output in model(torch.from_numpy(x)))
    ours = run(ppyoloe.build_onnx(weights, input_hw=(96, 64)), x)
    np.testing.assert_allclose(ours["scores"], scores, atol=1e-5)
    np.testing.assert_allclose(ours["boxes"], boxes, atol=2e-3)


@pytest.mark.parametrize(("scale", "classes"), [(0.25, 26), (1.0, 44)])
def test_classifier(scale, classes):
    model = shaken(PPLCNet(classes, scale=scale))
    weights = weights_of(model)
    assert list(weights) == list(pplcnet.parameter_shapes(pplcnet.Architecture.from_weights(weights), deploy=False))
    x = np.random.default_rng(2).normal(size=(2, 3, 64, 48)).astype(np.float32)
    with torch.no_grad():
        probabilities = model(torch.from_numpy(x)).sigmoid().numpy()
    ours = run(pplcnet.build_onnx(weights, input_hw=(64, 48)), x)
    np.testing.assert_allclose(ours["probabilities"], probabilities, atol=1e-5)
