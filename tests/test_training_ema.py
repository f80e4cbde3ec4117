# SPDX-License-Identifier: Apache-2.0
"""Averages of weights against those of PaddleDetection, all three types."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from passerby.training.ema import ModelEma  # noqa: E402

from .conftest import FIXTURES  # noqa: E402


@pytest.fixture(scope="module")
def stored():
    with np.load(FIXTURES / "train/ema.npz") as file:
        return {key: file[key] for key in file.files}


class Recorded(torch.nn.Module):
    """A model that has the recorded weights of one step after the other."""

    def __init__(self, stored) -> None:
        super().__init__()
        self.stored, self.step = stored, 0
        self.names = [key.split("|")[2] for key in stored if key.startswith("step0|param|")]

    def state_dict(self):
        return {name: torch.tensor(self.stored[f"step{self.step}|param|{name}"]) for name in self.names}


@pytest.mark.parametrize("kind", ["threshold", "exponential", "normal"])
def test_averages_are_the_originals(stored, kind):
    model = Recorded(stored)
    ema = ModelEma(model, decay=0.9998, kind=kind)
    for model.step in range(4):
        assert ema.current_decay() == pytest.approx(float(stored[f"{kind}|step{model.step}|decay"]))
        ema.update(model)
        for name in model.names:
            expected = stored[f"{kind}|step{model.step}|ema|{name}"]
            np.testing.assert_allclose(ema.averages[name].numpy(), expected, rtol=1e-6, atol=1e-7)
    for name, value in ema.weights(model).items():
        np.testing.assert_allclose(value.numpy(), stored[f"{kind}|applied|{name}"], rtol=2e-5, atol=1e-6)


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))


def test_constants_and_counters_stay_the_models_own():
    model = network()
    ema = ModelEma(model, decay=0.9, fixed={"0.bias"})
    assert set(ema.averages) == set(model.state_dict()) - {"0.bias", "1.num_batches_tracked"}
    ema.update(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    weights = ema.weights(model)
    assert torch.equal(weights["0.bias"], model.state_dict()["0.bias"])
    torch.testing.assert_close(weights["0.weight"], model.state_dict()["0.weight"] - 1)


def test_before_the_first_step_the_average_is_the_model():
    model = network()
    weights = ModelEma(model).weights(model)
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert weights["0.weight"].data_ptr() != model.state_dict()["0.weight"].data_ptr()


def test_state_comes_back():
    model = network()
    first, second = ModelEma(model, decay=0.9), ModelEma(model, decay=0.9)
    for _ in range(3):
        first.update(model)
    second.restore(first.state())
    first.update(model)
    second.update(model)
    assert first.current_decay() == second.current_decay()
    assert all(torch.equal(first.averages[name], value) for name, value in second.averages.items())
