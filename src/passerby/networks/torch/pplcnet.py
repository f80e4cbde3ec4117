# SPDX-License-Identifier: Apache-2.0
"""PP-LCNet (https://arxiv.org/abs/2109.15099) with gradients, for training.

The names in `state_dict()` are Paddle's parameter names and `fc.weight` is (in, out), so weights travel between
Paddle files, this module and `networks.pplcnet` without a table. Two habits of Paddle matter for equal numbers:
batch normalisation keeps the biased variance, and dropout scales at inference (x 0.8) and not in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from .ppyoloe import BatchNorm

# blocks<stage>: (kernel, channels in, channels out, stride, squeeze-and-excitation), at scale 1
_STAGES: dict[int, tuple[tuple[int, int, int, int, bool], ...]] = {
    2: ((3, 16, 32, 1, False),),
    3: ((3, 32, 64, 2, False), (3, 64, 64, 1, False)),
    4: ((3, 64, 128, 2, False), (3, 128, 128, 1, False)),
    5: ((3, 128, 256, 2, False), *((5, 256, 256, 1, False),) * 5),
    6: ((5, 256, 512, 2, True), (5, 512, 512, 1, True)),
}
_HEAD_CHANNELS = 1280
_DROPOUT = 0.2


def scaled_channels(channels: int, scale: float) -> int:
    """Channels at a scale: a multiple of 8, at least 8, at least 90 % of what was asked for."""
    wanted = channels * scale
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


class ConvBnAct(nn.Module):
    """Convolution without bias, batch normalisation, hardswish."""

    def __init__(self, channels_in: int, channels_out: int, *, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
        self.bn = BatchNorm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, ceil(H / stride), ceil(W / stride))."""
        return functional.hardswish(self.bn(self.conv(x)))


class SqueezeExcitation(nn.Module):
    """Channel weights from the global mean, a quarter of the channels in between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels // 4, 1)
        self.conv2 = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        pooled = x.mean(dim=(2, 3), keepdim=True)  # (N, C, 1, 1)
        return x * functional.hardsigmoid(self.conv2(functional.relu(self.conv1(pooled))))


class DepthwiseSeparable(nn.Module):
    """Depthwise convolution, optional squeeze-and-excitation, pointwise convolution."""

    def __init__(self, channels_in: int, channels_out: int, *, kernel: int, stride: int, use_se: bool) -> None:
        super().__init__()
        self.dw_conv = ConvBnAct(channels_in, channels_in, kernel=kernel, stride=stride, groups=channels_in)
        self.se = SqueezeExcitation(channels_in) if use_se else None
        self.pw_conv = ConvBnAct(channels_in, channels_out, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, ceil(H / stride), ceil(W / stride))."""
        x = self.dw_conv(x)
        if self.se is not None:
            x = self.se(x)
        return self.pw_conv(x)  # type: ignore[no-any-return]


class PPLCNet(nn.Module):
    """PP-LCNet with a linear head; `forward` gives logits, the sigmoid is the caller's.

    Args:
        num_classes: length of the output.
        scale: width factor of the published family (0.25, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5).
    """

    def __init__(self, num_classes: int, *, scale: float = 1.0) -> None:
        super().__init__()
        self.conv1 = ConvBnAct(3, scaled_channels(16, scale), kernel=3, stride=2)
        channels = 0
        for stage, blocks in _STAGES.items():
            modules = []
            for kernel, before, after, stride, use_se in blocks:
                channels = scaled_channels(after, scale)
                modules.append(
                    DepthwiseSeparable(
                        scaled_channels(before, scale), channels, kernel=kernel, stride=stride, use_se=use_se
                    )
                )
            self.add_module(f"blocks{stage}", nn.Sequential(*modules))
        self.last_conv = nn.Conv2d(channels, _HEAD_CHANNELS, 1, bias=False)
        self.fc = _PaddleLinear(_HEAD_CHANNELS, num_classes)
        self.feature_channels = channels
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)  # by fan in, as Paddle: a depthwise kernel has few inputs
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def features(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB -> (N, C, H / 32, W / 32), the input of the pooling."""
        x = self.conv1(x)
        for stage in _STAGES:
            x = getattr(self, f"blocks{stage}")(x)
        return x

    def head(self, features: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, num_classes) logits."""
        pooled = features.mean(dim=(2, 3), keepdim=True)  # (N, C, 1, 1)
        x = functional.hardswish(self.last_conv(pooled)).flatten(1)  # (N, 1280)
        if self.training:
            x = x * torch.bernoulli(torch.full_like(x, 1 - _DROPOUT))
        else:
            x = x * (1 - _DROPOUT)
        return self.fc(x)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB -> (N, num_classes) logits."""
        return self.head(self.features(x))


class _PaddleLinear(nn.Module):
    """Linear layer whose weight is (in, out)."""

    def __init__(self, size_in: int, size_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size_in, size_out).normal_(0.0, 0.01))
        self.bias = nn.Parameter(torch.zeros(size_out))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


def load_weights(network: PPLCNet, weights: Mapping[str, NDArray[Any]], *, except_head: bool = False) -> None:
    """Copy arrays under Paddle's names into a network.

    Args:
        weights: name -> array; every name of the network must be there with its shape.
        except_head: leave `fc` as it is, for a head of another length.
    Raises:
        RuntimeError: names or shapes that do not fit (torch's own message lists them).
    """
    state = {k: torch.from_numpy(np.array(v, np.float32)) for k, v in weights.items()}
    if except_head:
        state |= {k: v for k, v in network.state_dict().items() if k.startswith("fc.")}
    network.load_state_dict(state)


def weights_of(network: PPLCNet) -> dict[str, NDArray[np.float32]]:
    """The network's arrays under Paddle's names, float32 copies."""
    return {k: v.detach().cpu().numpy().astype(np.float32) for k, v in network.state_dict().items()}
