# SPDX-License-Identifier: Apache-2.0
"""PP-LCNet with an attribute head: an image of one person to one probability for each label.

Paper: PP-LCNet, A Lightweight CPU Convolutional Neural Network (arXiv 2109.15099). Layers, names and the order of the
parameters are those of PaddleClas' `PPLCNet_x*` with `class_expand` 1280 and dropout 0.2 in the mode that scales at
inference. No training here: see `networks/torch/pplcnet.py`, which has the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..errors import ModelError, shown
from ..types import Weights
from .exported import pair
from .onnx_graph import BATCH, Graph
from .parameters import Layer, Shapes, check, folded_conv_bn, shape_of, shapes_of

if TYPE_CHECKING:
    from ..formats.graph import Program

NETWORK = "PP-LCNet"
EXPAND = 1280
DROPOUT_SCALE = 0.8  # Paddle's dropout 0.2 in `downscale_in_infer` mode multiplies by this instead of doing nothing
SE_REDUCTION = 4
ACTIVATIONS = ("hardswish", "relu", "hardsigmoid", "sigmoid")

# stage: (kernel, channels in, channels out, stride, squeeze-and-excitation) of its blocks at scale 1
BLOCKS: dict[str, tuple[tuple[int, int, int, int, bool], ...]] = {
    "blocks2": ((3, 16, 32, 1, False),),
    "blocks3": ((3, 32, 64, 2, False), (3, 64, 64, 1, False)),
    "blocks4": ((3, 64, 128, 2, False), (3, 128, 128, 1, False)),
    "blocks5": ((3, 128, 256, 2, False), *((5, 256, 256, 1, False),) * 5),
    "blocks6": ((5, 256, 512, 2, True), (5, 512, 512, 1, True)),
}
# the layer whose outputs tell how many channels a count of scale 1 became
ENDS = {16: "conv1", **{blocks[-1][2]: f"{stage}.{len(blocks) - 1}.pw_conv" for stage, blocks in BLOCKS.items()}}
KNOWN_SCALES = (0.25, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Size of a PP-LCNet.

    Attributes:
        scale: factor on every channel count but the last 1280.
        num_classes: labels, at least 1.
    """

    scale: float = 1.0
    num_classes: int = 26

    @classmethod
    def from_weights(cls, weights: Weights) -> Architecture:
        """Read scale and labels off the shapes, then check every tensor.

        Raises:
            ModelError: `model_mismatch` (names the first tensor that is missing, unknown or of another shape),
                `model_not_finite`.
        """
        num_classes = shape_of(weights, "fc.weight", ndim=2, network=NETWORK)[1]
        ends = {
            count: shape_of(weights, f"{end}.conv.weight", ndim=4, network=NETWORK)[0] for count, end in ENDS.items()
        }
        # rounding to multiples of 8 hides the exact scale: the first that gives all the counts, to three decimals
        near = range(max(1, (ends[512] - 8) * 1000 // 512), (ends[512] + 8) * 1000 // 512)
        for scale in (*KNOWN_SCALES, *(thousandths / 1000 for thousandths in near)):
            if all(channels(count, scale=scale) == found for count, found in ends.items()):
                architecture = cls(scale=scale, num_classes=num_classes)
                check(weights, parameter_shapes(architecture, deploy=True), network=NETWORK)
                return architecture
        raise ModelError("model_mismatch", f"no scale of {NETWORK} gives the channels {list(ends.values())}")


def channels(count: int, *, scale: float) -> int:
    """A channel count of scale 1 at another scale: the nearest multiple of 8, at least 8, never below nine tenths."""
    wanted = count * scale
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def layers(architecture: Architecture) -> list[Layer]:
    """All layers with parameters; the forward order and the state-dict order are the same here."""
    scaled = {n: channels(n, scale=architecture.scale) for n in (16, 32, 64, 128, 256, 512)}
    found = [Layer("conv1", "conv_bn", scaled[16], 3, 3, stride=2)]
    for stage, blocks in BLOCKS.items():
        for index, (kernel, inputs, outputs, stride, squeeze) in enumerate(blocks):
            name, wide = f"{stage}.{index}", scaled[inputs]
            found.append(Layer(f"{name}.dw_conv", "conv_bn", wide, 1, kernel, stride))
            if squeeze:
                found.append(Layer(f"{name}.se.conv1", "conv_bias", wide // SE_REDUCTION, wide))
                found.append(Layer(f"{name}.se.conv2", "conv_bias", wide, wide // SE_REDUCTION))
            found.append(Layer(f"{name}.pw_conv", "conv_bn", scaled[outputs], wide))
    found.append(Layer("last_conv", "conv", EXPAND, scaled[512]))
    found.append(Layer("fc", "linear", architecture.num_classes, EXPAND))
    return found


def parameter_shapes(architecture: Architecture, *, deploy: bool) -> Shapes:
    """Paddle's parameter names and their shapes in state-dict order; both forms are the same for this network."""
    return shapes_of(layers(architecture), deploy=deploy)


def reparameterise(weights: Weights) -> Weights:
    """The weights as they are: this network has no branches to merge. Here so that both networks have one face."""
    return weights


def weights_from_program(program: Program, parameters: Mapping[str, NDArray[Any]]) -> Weights:
    """Weights under Paddle's names from an exported program and its parameters by variable name.

    Raises:
        ModelError: `model_mismatch` when the program is not this network, `model_not_finite`.
    """
    named = pair(program, parameters, layers(Architecture()), network=NETWORK, activations=ACTIVATIONS)
    # the factor 0.8 comes from this operator alone: without it, or in its other mode, the answers would be others
    dropouts = [(op.attributes.get("mode"), op.attributes.get("p")) for op in program.operators if op.kind == "dropout"]
    match dropouts:
        case [("downgrade_in_infer", float(share))] if abs(1 - share - DROPOUT_SCALE) < 1e-6:
            pass
        case _:
            raise ModelError("model_mismatch", f"the program is not {NETWORK}: its dropout is {shown(dropouts)}")
    Architecture.from_weights(named)
    return named


def build_onnx(weights: Weights, *, input_hw: tuple[int, int]) -> onnx.ModelProto:
    """Make the classifier's graph.

    Args:
        weights: all parameters under Paddle's names.
        input_hw: height and width of the network's input, px.
    Returns:
        A model with input `x` (N, 3, H, W) float32, RGB normalised, and output `probabilities` (N, C) float32 after
        the sigmoid. N is free. BatchNorm is folded into the convolutions.
    Raises:
        ModelError: see `Architecture.from_weights`.
    """
    architecture = Architecture.from_weights(weights)
    graph = Graph("pplcnet")
    x = graph.input("x", (BATCH, 3, *input_hw))
    gate = x  # of the squeeze-and-excitation under way
    for layer in layers(architecture):
        if layer.kind == "conv_bn":
            x = _conv_bn(graph, weights, x, layer)
        elif layer.name.endswith("se.conv1"):
            gate = graph.mean_over_pixels(x, name=layer.name + ".mean")
            gate = graph.relu(_conv_bias(graph, weights, gate, layer), name=layer.name + ".relu")
        elif layer.name.endswith("se.conv2"):
            gate = graph.hard_sigmoid(_conv_bias(graph, weights, gate, layer), name=layer.name + ".hardsigmoid")
            x = graph.mul(x, gate, name=layer.name.removesuffix(".conv2"))
    x = graph.mean_over_pixels(x, name="avg_pool")
    x = graph.conv(x, weights["last_conv.weight"].astype(np.float32), name="last_conv")
    x = graph.hard_swish(x, name="hardswish")
    x = graph.reshape(x, 0, EXPAND, name="flatten")
    # the dropout's factor goes into the matrix: rounded once, one operator fewer
    matrix = (weights["fc.weight"].astype(np.float64) * DROPOUT_SCALE).astype(np.float32)
    x = graph.node(
        "Gemm",
        x,
        graph.constant("fc.weight", matrix),
        graph.constant("fc.bias", weights["fc.bias"].astype(np.float32)),
        name="fc",
    )
    graph.output(graph.sigmoid(x, name="probabilities"), (BATCH, architecture.num_classes))
    return graph.model()


def _conv_bn(graph: Graph, weights: Weights, x: str, layer: Layer) -> str:
    kernel, bias = (values.astype(np.float32) for values in folded_conv_bn(weights, layer.name))
    groups = layer.outputs if layer.name.endswith("dw_conv") else 1
    x = graph.conv(x, kernel, bias, name=f"{layer.name}.folded", stride=layer.stride, groups=groups)
    return graph.hard_swish(x, name=layer.name)


def _conv_bias(graph: Graph, weights: Weights, x: str, layer: Layer) -> str:
    kernel, bias = (weights[f"{layer.name}.{leaf}"].astype(np.float32) for leaf in ("weight", "bias"))
    return graph.conv(x, kernel, bias, name=layer.name)
