# SPDX-License-Identifier: Apache-2.0
"""Gives a network its batch normalisation back, whose weights come from a model in which it is folded.

Folding keeps kernel * s and bias; how the two were made of kernel, scale and running statistics is lost. Any choice
gives the same answers, but not the same training: it begins near the answers only with the statistics of real
pictures, and the rate at which a kernel turns depends on its length. So the kernels get the length that fresh ones
have, channel by channel (where both were at hand, true lengths were within a factor of 5 of it, folded ones within
500), and the statistics are measured on pictures. The scale is then what it was but for rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..networks.torch.ppyoloe import BN_EPSILON, BatchNorm


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """One convolution with its norm in it: kernel (O, I, k, k) and bias (O,)."""

    kernel: Tensor
    bias: Tensor


def unfold(network: nn.Module, folded: Mapping[str, Folded], quiet: Iterable[str], pictures: Iterable[Tensor]) -> int:
    """Write folded convolutions into `NAME.conv` and `NAME.bn` of a network, so that its answers are theirs.

    Args:
        network: everything else in it is final already; its kernels are fresh ones still.
        folded: by NAME.
        quiet: NAMEs of branches that are to say nothing at first: their scale becomes 0, their kernel stays.
        pictures: batches (N, 3, H, W) of the network's input; without any, the first steps of training see another
            network than the one that answered.
    Returns:
        number of pictures measured.
    """
    shrunk: dict[str, Tensor] = {}
    norms: dict[str, BatchNorm] = {}
    with torch.no_grad():
        for name, layer in folded.items():
            kernel, norms[name] = _parts(network, name)
            fresh = kernel.square().sum((1, 2, 3)).mean().sqrt()
            length = layer.kernel.square().sum((1, 2, 3)).sqrt()
            shrunk[name] = torch.where(length > 0, fresh / length.clamp_min(1e-30), torch.ones_like(length))
            kernel.copy_(layer.kernel * shrunk[name][:, None, None, None])
            _set(norms[name], torch.zeros_like(length), torch.ones_like(length), shrunk[name], layer.bias)
        for name in quiet:
            _, norms[name] = _parts(network, name)
            norms[name].weight.zero_()
            norms[name].bias.zero_()
        measured, count = _measured(network, norms, pictures)
        for name, (mean, variance) in measured.items():
            if name in folded:
                _set(norms[name], mean, variance, shrunk[name], folded[name].bias)
            else:
                norms[name]._mean.copy_(mean)
                norms[name]._variance.copy_(variance)
    return count


def _parts(network: nn.Module, name: str) -> tuple[Tensor, BatchNorm]:
    convolution, norm = network.get_submodule(f"{name}.conv"), network.get_submodule(f"{name}.bn")
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, BatchNorm)
    return convolution.weight, norm


def _set(norm: BatchNorm, mean: Tensor, variance: Tensor, shrunk: Tensor, bias: Tensor) -> None:
    """The norm that, after a kernel shrunk by `shrunk`, gives what the folded kernel and `bias` give."""
    norm._mean.copy_(mean)
    norm._variance.copy_(variance)
    norm.weight.copy_((norm._variance.double() + BN_EPSILON).sqrt() / shrunk)
    norm.bias.copy_(bias + norm._mean.double() / shrunk)


def _measured(
    network: nn.Module, norms: Mapping[str, BatchNorm], pictures: Iterable[Tensor]
) -> tuple[dict[str, tuple[Tensor, Tensor]], int]:
    """Mean and biased variance (C,) float64 of what goes into each norm, and the number of pictures."""
    sums: dict[str, list[Tensor]] = {}

    def watch(name: str) -> object:
        def add(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].double()
            parts = [torch.tensor(x.numel() / x.shape[1]), x.sum((0, 2, 3)), x.square().sum((0, 2, 3))]
            sums[name] = [a + b for a, b in zip(sums[name], parts, strict=True)] if name in sums else parts

        return add

    count, training = 0, network.training
    network.eval()
    with ExitStack() as hooks:
        for name, norm in norms.items():
            hooks.enter_context(norm.register_forward_pre_hook(watch(name)))  # type: ignore[arg-type]
        for batch in pictures:
            network(batch.to(next(network.parameters()).device))
            count += len(batch)
    network.train(training)
    found = {
        name: (total / n, (squares / n - (total / n).square()).clamp_min(0))
        for name, (n, total, squares) in sums.items()
    }
    return found, count
