# SPDX-License-Identifier: Apache-2.0
"""Layers and their parameters under Paddle's names: listing, checking, folding. Shared by the networks of this room.

A network is described as a list of layers; from it follow the names and shapes of its parameters, the check of weights
that somebody brings, and the pairing with an exported program, whose parameters have other names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, shown
from ..types import Weights

BN_EPSILON = 1e-5
BN_PARTS = ("weight", "bias", "_mean", "_variance")  # gamma, beta and the running statistics, in state-dict order

Shapes = dict[str, tuple[int, ...]]
Kind = Literal["conv_bn", "conv_bias", "conv", "rep", "linear"]


class Layer(NamedTuple):
    """One layer with parameters.

    `conv_bn`: `NAME.conv.weight` and `NAME.bn.*`; `conv_bias`: `NAME.weight`, `NAME.bias`; `conv`: `NAME.weight`;
    `rep`: two ConvBN, `NAME.conv1` and `NAME.conv2`, or merged `NAME.conv.weight`, `NAME.conv.bias`;
    `linear`: `NAME.weight` (in, out) and `NAME.bias`. `inputs` are those of one group.
    """

    name: str
    kind: Kind
    outputs: int
    inputs: int
    kernel: int = 1
    stride: int = 1

    def shapes(self, *, deploy: bool) -> Shapes:
        """Names and shapes of the parameters in state-dict order."""
        square = (self.outputs, self.inputs, self.kernel, self.kernel)
        if self.kind == "conv_bn":
            return _conv_bn(self.name, square)
        if self.kind == "linear":
            return {f"{self.name}.weight": (self.inputs, self.outputs), f"{self.name}.bias": (self.outputs,)}
        if self.kind == "rep" and not deploy:
            return {
                **_conv_bn(f"{self.name}.conv1", square),
                **_conv_bn(f"{self.name}.conv2", (self.outputs, self.inputs, 1, 1)),
            }
        stem = f"{self.name}.conv" if self.kind == "rep" else self.name
        bias = {} if self.kind == "conv" else {f"{stem}.bias": (self.outputs,)}
        return {f"{stem}.weight": square, **bias}


def _conv_bn(name: str, shape: tuple[int, ...]) -> Shapes:
    return {f"{name}.conv.weight": shape, **{f"{name}.bn.{part}": shape[:1] for part in BN_PARTS}}


def shapes_of(layers: Iterable[Layer], *, deploy: bool) -> Shapes:
    """Names and shapes of all parameters, in the order of the layers."""
    shapes: Shapes = {}
    for layer in layers:
        shapes.update(layer.shapes(deploy=deploy))
    return shapes


def shape_of(weights: Weights, name: str, *, ndim: int, network: str) -> tuple[int, ...]:
    """Shape of one tensor that tells the architecture.

    Raises:
        ModelError: `model_mismatch` when the tensor is missing or has another number of dimensions.
    """
    if name not in weights:
        raise ModelError("model_mismatch", f"this is not {network}: it has no tensor {name}")
    shape = tuple(int(n) for n in weights[name].shape)
    if len(shape) != ndim or not all(shape):
        raise ModelError("model_mismatch", f"this is not {network}: tensor {name} has shape {list(shape)}")
    return shape


def check(weights: Weights, expected: Mapping[str, tuple[int, ...]], *, network: str) -> None:
    """Compare weights with a network tensor by tensor.

    Raises:
        ModelError: `model_mismatch` names the first tensor that is missing, unknown, of another shape or not of
            floating point; `model_not_finite` the first that holds a NaN or an infinity.
    """
    for name, shape in expected.items():
        if name not in weights:
            raise ModelError("model_mismatch", f"{network} needs tensor {name}, which the weights lack")
        if weights[name].shape != shape:
            has, wants = list(weights[name].shape), list(shape)
            raise ModelError("model_mismatch", f"tensor {name} has shape {has}, {network} has {wants}")
        if weights[name].dtype.kind != "f":
            raise ModelError("model_mismatch", f"tensor {name} holds {weights[name].dtype}, not floating point")
    for name in weights:
        if name not in expected:
            raise ModelError("model_mismatch", f"{network} has no tensor {shown(name)}")
    for name in expected:
        if not np.isfinite(weights[name]).all():
            raise ModelError("model_not_finite", f"tensor {name} holds NaN or infinity")


def folded_conv_bn(weights: Weights, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Kernel (O, I, k, k) and bias (O,) of the convolution that equals `NAME.conv` followed by `NAME.bn`, float64.

    Raises:
        ModelError: `model_not_finite` when a variance is below zero.
    """
    kernel = weights[f"{name}.conv.weight"].astype(np.float64)
    gamma, beta, mean, variance = (weights[f"{name}.bn.{part}"].astype(np.float64) for part in BN_PARTS)
    if (variance < 0).any():
        raise ModelError("model_not_finite", f"tensor {name}.bn._variance holds a value below zero")
    scale = gamma / np.sqrt(variance + BN_EPSILON)
    return kernel * scale[:, None, None, None], beta - mean * scale


def merged_branches(weights: Weights, name: str) -> dict[str, NDArray[np.float32]]:
    """The one 3x3 convolution that equals the two branches of a RepVGG block, as `NAME.conv.weight` and `.bias`.

    Float64 inside, rounded once. Source: RepVGG (arXiv 2101.03697), section 3.3, without the identity branch.
    """
    kernel, bias = folded_conv_bn(weights, f"{name}.conv1")
    point, point_bias = folded_conv_bn(weights, f"{name}.conv2")
    kernel[:, :, 1:2, 1:2] += point
    return {
        f"{name}.conv.weight": kernel.astype(np.float32),
        f"{name}.conv.bias": (bias + point_bias).astype(np.float32),
    }
