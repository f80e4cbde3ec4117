# SPDX-License-Identifier: Apache-2.0
"""The two optimisers of the recipes, and which parameters they decay."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..networks.torch.ppyoloe import BatchNorm
from .options import TrainOptions


def build_optimiser(network: nn.Module, options: TrainOptions) -> torch.optim.Optimizer:
    """Momentum as Paddle computes it, or AdamW, over the parameters that want a gradient.

    Scales and shifts of batch normalisation are never decayed, biases only with `momentum` (as in the original).

    Args:
        network: parameters frozen now stay out of the optimiser.
    """
    decayed, plain = _split(network, biases_decay=options.optimiser == "momentum")
    groups = [
        {"params": decayed, "weight_decay": options.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if options.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=options.learning_rate)
    return torch.optim.SGD(groups, lr=options.learning_rate, momentum=options.momentum)


def _split(network: nn.Module, *, biases_decay: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Parameters with decay and without, each once, in the order of the modules."""
    decayed: list[Tensor] = []
    plain: list[Tensor] = []
    for module in network.modules():
        norm = isinstance(module, BatchNorm | nn.modules.batchnorm._BatchNorm)
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                bare = norm or (name == "bias" and not biases_decay)
                (plain if bare else decayed).append(parameter)
    return decayed, plain


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Use this learning rate from the next step on."""
    for group in optimiser.param_groups:
        group["lr"] = rate
