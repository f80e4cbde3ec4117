# SPDX-License-Identifier: Apache-2.0
"""Exponential moving average of weights and running statistics, PaddleDetection's type "threshold"."""

from __future__ import annotations

import torch
from torch import Tensor, nn

FIXED = ("proj_conv.weight",)  # constants of the network; an average from zero would only blur them


class ModelEma:
    """Averages start at zero and are corrected at use, so the first steps count like later ones.

    The decay of step k is min(decay, (1 + k) / (10 + k)).
    """

    def __init__(self, model: nn.Module, *, decay: float = 0.9998) -> None:
        self.decay = decay
        self.step = 0
        self.averages = {name: torch.zeros_like(value) for name, value in model.state_dict().items() if averaged(name)}

    def current_decay(self) -> float:
        """Decay that the next update uses."""
        return min(self.decay, (1 + self.step) / (10 + self.step))

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Mix in the model's present weights."""
        decay = self.current_decay()
        weights = model.state_dict()
        for name, average in self.averages.items():
            average.mul_(decay).add_(weights[name], alpha=1 - decay)
        self.last_decay = decay
        self.step += 1

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """A full state dict: corrected averages, and the model's own values of what is not averaged."""
        correction = 1 - self.last_decay**self.step
        return {
            name: self.averages[name] / correction if name in self.averages else value.clone()
            for name, value in model.state_dict().items()
        }

    def state(self) -> dict[str, object]:
        """What a checkpoint stores."""
        return {"step": self.step, "last_decay": self.last_decay, "averages": self.averages}

    def restore(self, state: dict[str, object]) -> None:
        """Take up a checkpoint's state."""
        self.step = int(str(state["step"]))
        self.last_decay = float(str(state["last_decay"]))
        averages = state["averages"]
        assert isinstance(averages, dict)
        for name, value in averages.items():
            self.averages[name].copy_(value)

    last_decay: float = 0.0


def averaged(name: str) -> bool:
    """Whether a state-dict entry takes part in the average."""
    return not name.endswith(FIXED)
