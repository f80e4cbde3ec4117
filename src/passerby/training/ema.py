# SPDX-License-Identifier: Apache-2.0
"""Exponential moving average of weights and running statistics, in PaddleDetection's three types."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor, nn

FIXED = ("proj_conv.weight",)  # constants of the network; an average from zero would only blur them
SLOWNESS = 2000  # steps in which the decay of the type "exponential" rises


class ModelEma:
    """Averages start at zero. In step k the decay is, by type:

    `threshold`: min(decay, (1 + k) / (10 + k)); `normal`: decay; both are corrected at use, so that the first steps
    count like later ones. `exponential`: decay * (1 - exp(-(k + 1) / 2000)), used as it is.

    Args:
        model: its state dict names what is averaged.
        decay: share of the old average, at most.
        fixed: further names that keep the model's own values; constants of the networks always do.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        decay: float = 0.9998,
        kind: Literal["threshold", "exponential", "normal"] = "threshold",
        fixed: Collection[str] = (),
    ) -> None:
        self.decay = decay
        self.kind = kind
        self.step = 0
        self.last_decay = 0.0
        self.averages = {
            name: torch.zeros_like(value)
            for name, value in model.state_dict().items()
            if averaged(name) and name not in fixed and value.is_floating_point()
        }

    def current_decay(self) -> float:
        """Decay that the next update uses."""
        if self.kind == "threshold":
            return min(self.decay, (1 + self.step) / (10 + self.step))
        if self.kind == "exponential":
            return self.decay * (1 - math.exp(-(self.step + 1) / SLOWNESS))
        return self.decay

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Mix in the model's present weights."""
        decay = self.current_decay()
        weights = model.state_dict()
        for name, average in self.averages.items():
            average.mul_(decay).add_(weights[name], alpha=1 - decay)
        self.last_decay = decay
        self.step += 1

    @torch.no_grad()
    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """A full state dict: corrected averages, and the model's own values of what is not averaged.

        Before the first update they are the model's own values too.
        """
        if self.step == 0:
            return {name: value.clone() for name, value in model.state_dict().items()}
        correction = 1.0 if self.kind == "exponential" else 1 - self.last_decay**self.step
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


def averaged(name: str) -> bool:
    """Whether a state-dict entry takes part in the average."""
    return not name.endswith(FIXED)
