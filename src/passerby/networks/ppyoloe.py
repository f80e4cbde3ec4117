# SPDX-License-Identifier: Apache-2.0
"""PP-YOLOE (CSPResNet, CustomCSPPAN, PPYOLOEHead; not the "plus" form): an image to a box and scores for every anchor.

Paper: PP-YOLOE, An Evolved Version of YOLO (arXiv 2203.16250). Layers, names and the order of the parameters are those
of PaddleDetection's `ppyoloe_crn_*` with the large stem and SPP, without alpha. Suppression is not in the graph: see
`geometry.py`. No training here: see `networks/torch/ppyoloe.py`, which has the same names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..errors import ModelError
from ..types import Weights
from .exported import pair, steps_of
from .onnx_graph import BATCH, Graph
from .parameters import Layer, Shapes, check, folded_conv_bn, merged_branches, shape_of, shapes_of

if TYPE_CHECKING:
    from ..formats.graph import Program

NETWORK = "PP-YOLOE"
STRIDES = (32, 16, 8)  # levels in the order of every output
BACKBONE_CHANNELS = (64, 128, 256, 512, 1024)
BACKBONE_BLOCKS = (3, 6, 6, 3)
NECK_CHANNELS = (768, 384, 192)
NECK_BLOCKS = 3
SPP_SIZES = (5, 9, 13)
KNOWN_DEPTHS = (0.33, 0.67, 1.0, 1.33)
ACTIVATIONS = ("swish", "sigmoid", "hardsigmoid", "softmax")


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Size of a PP-YOLOE.

    Attributes:
        depth: factor on the number of blocks (S 0.33, L 1.0).
        width: factor on the channels (S 0.5, L 1.0).
        num_classes: kinds of things found, at least 1.
        reg_max: distances to the sides go from 0 to this many cells.
    """

    depth: float
    width: float
    num_classes: int = 1
    reg_max: int = 16

    @property
    def channels(self) -> tuple[int, ...]:
        """Of the stem and the four backbone stages."""
        return tuple(_scaled(count, self.width) for count in BACKBONE_CHANNELS)

    @property
    def neck_channels(self) -> tuple[int, ...]:
        """Of the neck's outputs, strides 32, 16, 8."""
        return tuple(_scaled(count, self.width) for count in NECK_CHANNELS)

    @property
    def blocks(self) -> tuple[int, ...]:
        """Of each backbone stage."""
        return tuple(_scaled(count, self.depth) for count in BACKBONE_BLOCKS)

    @property
    def neck_blocks(self) -> int:
        """Of each neck stage."""
        return _scaled(NECK_BLOCKS, self.depth)

    @classmethod
    def from_weights(cls, weights: Weights) -> Architecture:
        """Read depth, width, classes and bins off names and shapes, then check every tensor; both forms are taken.

        Raises:
            ModelError: `model_mismatch` (names the first tensor that is missing, unknown or of another shape),
                `model_not_finite`.
        """
        classes = shape_of(weights, "yolo_head.pred_cls.0.weight", ndim=4, network=NETWORK)[0]
        sides = shape_of(weights, "yolo_head.pred_reg.0.weight", ndim=4, network=NETWORK)[0]
        if sides % 4:
            raise ModelError("model_mismatch", f"tensor yolo_head.pred_reg.0.weight has {sides} outputs, not 4 x bins")
        ends = ["stem.conv3", *(f"stages.{stage}.conv3" for stage in range(4))]
        names = [*(f"backbone.{end}" for end in ends), *(f"neck.fpn_stages.{level}.0.conv3" for level in range(3))]
        channels = [shape_of(weights, f"{name}.conv.weight", ndim=4, network=NETWORK)[0] for name in names]
        blocks = [_count_blocks(weights, f"backbone.stages.{stage}.blocks.") for stage in range(4)]
        found = cls(
            depth=_factor(BACKBONE_BLOCKS, blocks, likely=KNOWN_DEPTHS, what="depth"),
            width=_factor((*BACKBONE_CHANNELS, *NECK_CHANNELS), channels, likely=(channels[4] / 1024,), what="width"),
            num_classes=classes,
            reg_max=sides // 4 - 1,
        )
        check(weights, parameter_shapes(found, deploy=is_deployed(weights)), network=NETWORK)
        return found


def _scaled(count: int, factor: float) -> int:
    """A count of the full size at another depth or width."""
    return max(round(count * factor), 1)


def _factor(full: Sequence[int], scaled: Sequence[int], *, likely: Sequence[float], what: str) -> float:
    """A depth or width that turns the full counts into the scaled ones; rounding leaves a range to choose from."""
    low = max((0.0 if n <= 1 else (n - 0.5) / whole) for whole, n in zip(full, scaled, strict=True))
    high = min((n + 0.5) / whole for whole, n in zip(full, scaled, strict=True))
    for factor in (*likely, (low + high) / 2, low, high):
        if all(_scaled(whole, factor) == n for whole, n in zip(full, scaled, strict=True)):
            return factor
    raise ModelError("model_mismatch", f"this is not {NETWORK}: no {what} gives the counts {list(scaled)}")


def _count_blocks(weights: Weights, prefix: str) -> int:
    return len({name[len(prefix) :].partition(".")[0] for name in weights if name.startswith(prefix)})


def is_deployed(weights: Weights) -> bool:
    """Whether the RepVGG branches are merged already."""
    return "backbone.stages.0.blocks.0.conv2.conv.weight" in weights


def layers(architecture: Architecture) -> list[Layer]:
    """All layers with parameters, in state-dict order."""
    return [*_backbone_layers(architecture), *_neck_layers(architecture), *_head_layers(architecture)]


def forward_layers(architecture: Architecture) -> list[Layer]:
    """The same layers in the order of use: the neck's routes and the head's levels alternate."""
    order = ["backbone."]
    for level in range(3):
        order += [f"neck.fpn_stages.{level}.", f"neck.fpn_routes.{level}"]
    for level in (1, 0):
        order += [f"neck.pan_routes.{level}", f"neck.pan_stages.{level}."]
    for level in range(3):
        order += [f"yolo_head.{part}.{level}" for part in ("stem_cls", "pred_cls", "stem_reg", "pred_reg")]
    order.append("yolo_head.proj_conv")
    found = layers(architecture)
    return [layer for prefix in order for layer in found if layer.name.startswith(prefix)]


def _basic_blocks(name: str, channels: int, count: int) -> Iterator[Layer]:
    for index in range(count):
        yield Layer(f"{name}.{index}.conv1", "conv_bn", channels, channels, 3)
        yield Layer(f"{name}.{index}.conv2", "rep", channels, channels, 3)


def _backbone_layers(architecture: Architecture) -> Iterator[Layer]:
    channels = architecture.channels
    half = channels[0] // 2
    yield Layer("backbone.stem.conv1", "conv_bn", half, 3, 3, stride=2)
    yield Layer("backbone.stem.conv2", "conv_bn", half, half, 3)
    yield Layer("backbone.stem.conv3", "conv_bn", channels[0], half, 3)
    for stage, count in enumerate(architecture.blocks):
        name, inputs, outputs = f"backbone.stages.{stage}", channels[stage], channels[stage + 1]
        middle = (inputs + outputs) // 2
        half = middle // 2
        yield Layer(f"{name}.conv_down", "conv_bn", middle, inputs, 3, stride=2)
        yield Layer(f"{name}.conv1", "conv_bn", half, middle)
        yield Layer(f"{name}.conv2", "conv_bn", half, middle)
        yield from _basic_blocks(f"{name}.blocks", half, count)
        yield Layer(f"{name}.attn.fc", "conv_bias", 2 * half, 2 * half)
        yield Layer(f"{name}.conv3", "conv_bn", outputs, 2 * half)


def _neck_stage(name: str, inputs: int, outputs: int, *, blocks: int, spp: bool = False) -> Iterator[Layer]:
    middle = outputs // 2
    yield Layer(f"{name}.conv1", "conv_bn", middle, inputs)
    yield Layer(f"{name}.conv2", "conv_bn", middle, inputs)
    for index, layer in enumerate(_basic_blocks(f"{name}.convs", middle, blocks)):
        yield layer
        if spp and index == 2 * ((blocks - 1) // 2) + 1:  # after both layers of the middle block
            yield Layer(f"{name}.convs.spp.conv", "conv_bn", middle, middle * (1 + len(SPP_SIZES)))
    yield Layer(f"{name}.conv3", "conv_bn", outputs, 2 * middle)


def _neck_layers(architecture: Architecture) -> Iterator[Layer]:
    outputs, features, blocks = architecture.neck_channels, architecture.channels[:1:-1], architecture.neck_blocks
    routes = (0, outputs[0] // 2, outputs[1] // 2)
    for level in range(3):
        yield from _neck_stage(
            f"neck.fpn_stages.{level}.0",
            features[level] + routes[level],
            outputs[level],
            blocks=blocks,
            spp=level == 0,
        )
    for level in range(2):
        yield Layer(f"neck.fpn_routes.{level}", "conv_bn", routes[level + 1], outputs[level])
    for level in range(2):
        inputs = outputs[level + 1] + outputs[level]
        yield from _neck_stage(f"neck.pan_stages.{level}.0", inputs, outputs[level], blocks=blocks)
    for level in range(2):
        yield Layer(f"neck.pan_routes.{level}", "conv_bn", outputs[level + 1], outputs[level + 1], 3, stride=2)


def _head_layers(architecture: Architecture) -> Iterator[Layer]:
    channels, bins = architecture.neck_channels, architecture.reg_max + 1
    for part in ("stem_cls", "stem_reg"):
        for level, count in enumerate(channels):
            yield Layer(f"yolo_head.{part}.{level}.fc", "conv_bias", count, count)
            yield Layer(f"yolo_head.{part}.{level}.conv", "conv_bn", count, count)
    for part, outputs in (("pred_cls", architecture.num_classes), ("pred_reg", 4 * bins)):
        for level, count in enumerate(channels):
            yield Layer(f"yolo_head.{part}.{level}", "conv_bias", outputs, count, 3)
    yield Layer("yolo_head.proj_conv", "conv", 1, bins)


def parameter_shapes(architecture: Architecture, *, deploy: bool) -> Shapes:
    """Paddle's parameter names and their shapes in state-dict order; `deploy` is the form with merged branches."""
    return shapes_of(layers(architecture), deploy=deploy)


def reparameterise(weights: Weights) -> Weights:
    """Merge the branches of every RepVGG block; weights that are merged already come back as they are.

    Raises:
        ModelError: see `Architecture.from_weights`.
    """
    architecture = Architecture.from_weights(weights)
    if is_deployed(weights):
        return weights
    merged: dict[str, NDArray[np.floating]] = {}
    for layer in layers(architecture):
        if layer.kind == "rep":
            merged.update(merged_branches(weights, layer.name))
        else:
            merged.update({name: weights[name] for name in layer.shapes(deploy=False)})
    return merged


def weights_from_program(program: Program, parameters: Mapping[str, NDArray[Any]]) -> Weights:
    """Weights (merged form) under Paddle's names from an exported program and its parameters by variable name.

    Anchors that the export stores as parameters are left out: `build_onnx` makes them for any input size.

    Raises:
        ModelError: `model_mismatch` when the program is not this network, `model_not_finite`.
    """
    count = len(steps_of(program, network=NETWORK))
    for depth in (*KNOWN_DEPTHS, *(blocks / 6 for blocks in range(1, 37))):
        order = forward_layers(Architecture(depth=depth, width=1.0))
        if len(order) == count:
            named = pair(program, parameters, order, network=NETWORK, activations=ACTIVATIONS)
            Architecture.from_weights(named)
            return named
    raise ModelError("model_mismatch", f"the program is not {NETWORK}: no depth has {count} layers")


def build_onnx(weights: Weights, *, input_hw: tuple[int, int]) -> onnx.ModelProto:
    """Make the detector's graph for one input size.

    Args:
        weights: all parameters under Paddle's names, training or merged form.
        input_hw: height and width of the network's input, px, multiples of 32.
    Returns:
        A model with input `image` (N, 3, H, W) float32, RGB normalised, and outputs `boxes` (N, A, 4) float32 x1 y1
        x2 y2 in network pixels, not clipped, and `scores` (N, C, A) float32 after the sigmoid. N is free. Anchors:
        levels of stride 32, 16, 8, each row by row. BatchNorm is folded into the convolutions.
    Raises:
        ModelError: see `Architecture.from_weights`.
    """
    if any(side % STRIDES[0] or side <= 0 for side in input_hw):
        raise ValueError(f"the input size must be a multiple of {STRIDES[0]}, not {input_hw}")
    architecture = Architecture.from_weights(weights)
    return _Builder(reparameterise(weights), architecture).model(input_hw)


class _Builder:
    """Writes the layers of one network into one graph; every method returns the name of its result."""

    def __init__(self, weights: Weights, architecture: Architecture) -> None:
        self.weights = weights
        self.architecture = architecture
        self.strides = {layer.name: layer.stride for layer in layers(architecture)}
        self.graph = Graph("ppyoloe")

    def model(self, input_hw: tuple[int, int]) -> onnx.ModelProto:
        graph = self.graph
        features = self.neck(self.backbone(graph.input("image", (BATCH, 3, *input_hw))))
        grids = [(input_hw[0] // stride, input_hw[1] // stride) for stride in STRIDES]
        anchors = sum(rows * columns for rows, columns in grids)
        logits = [self.class_logits(x, level, grids[level]) for level, x in enumerate(features)]
        graph.sigmoid(graph.concat(*logits, name="class_logits", axis=2), name="scores")
        sides = [self.side_offsets(x, level, grids[level]) for level, x in enumerate(features)]
        offsets = graph.node("Transpose", graph.concat(*sides, name="sides", axis=2), name="offsets", perm=[0, 2, 1])
        graph.add(offsets, graph.constant("anchors", _anchor_corners(grids)), name="boxes")
        graph.output("boxes", (BATCH, anchors, 4))
        graph.output("scores", (BATCH, self.architecture.num_classes, anchors))
        return graph.model()

    def weight(self, name: str) -> NDArray[np.float32]:
        return self.weights[name].astype(np.float32)

    def conv_bn(self, x: str, name: str) -> str:
        kernel, bias = (values.astype(np.float32) for values in folded_conv_bn(self.weights, name))
        x = self.graph.conv(x, kernel, bias, name=f"{name}.folded", stride=self.strides[name])
        return self.graph.swish(x, name=name)

    def conv_bias(self, x: str, name: str) -> str:
        return self.graph.conv(x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), name=name)

    def basic_block(self, x: str, name: str, *, shortcut: bool) -> str:
        y = self.conv_bn(x, f"{name}.conv1")
        y = self.graph.swish(self.conv_bias(y, f"{name}.conv2.conv"), name=f"{name}.conv2")
        return self.graph.add(x, y, name=name) if shortcut else y

    def backbone(self, x: str) -> list[str]:
        """Features of strides 8, 16, 32."""
        for name in ("conv1", "conv2", "conv3"):
            x = self.conv_bn(x, f"backbone.stem.{name}")
        features = []
        for stage, blocks in enumerate(self.architecture.blocks):
            x = self.backbone_stage(x, f"backbone.stages.{stage}", blocks=blocks)
            features.append(x)
        return features[1:]

    def backbone_stage(self, x: str, name: str, *, blocks: int) -> str:
        graph = self.graph
        x = self.conv_bn(x, f"{name}.conv_down")
        straight = self.conv_bn(x, f"{name}.conv1")
        y = self.conv_bn(x, f"{name}.conv2")
        for index in range(blocks):
            y = self.basic_block(y, f"{name}.blocks.{index}", shortcut=True)
        y = graph.concat(straight, y, name=f"{name}.concat")
        gate = self.conv_bias(graph.mean_over_pixels(y, name=f"{name}.attn.mean"), f"{name}.attn.fc")
        y = graph.mul(y, graph.hard_sigmoid(gate, name=f"{name}.attn.gate"), name=f"{name}.attn")
        return self.conv_bn(y, f"{name}.conv3")

    def neck(self, features: list[str]) -> list[str]:
        """Features of strides 8, 16, 32 to features of strides 32, 16, 8."""
        graph = self.graph
        top_down: list[str] = []
        x = features[2]
        for level in range(3):
            if level:
                x = self.conv_bn(x, f"neck.fpn_routes.{level - 1}")
                x = graph.upsample_twice(x, name=f"neck.fpn_routes.{level - 1}.twice")
                x = graph.concat(x, features[2 - level], name=f"neck.fpn_stages.{level}.concat")
            x = self.neck_stage(x, f"neck.fpn_stages.{level}.0", spp=level == 0)
            top_down.append(x)
        outputs = [x]
        for level in (1, 0):
            x = self.conv_bn(x, f"neck.pan_routes.{level}")
            x = graph.concat(x, top_down[level], name=f"neck.pan_stages.{level}.concat")
            x = self.neck_stage(x, f"neck.pan_stages.{level}.0")
            outputs.insert(0, x)
        return outputs

    def neck_stage(self, x: str, name: str, *, spp: bool = False) -> str:
        graph, blocks = self.graph, self.architecture.neck_blocks
        straight = self.conv_bn(x, f"{name}.conv1")
        y = self.conv_bn(x, f"{name}.conv2")
        for index in range(blocks):
            y = self.basic_block(y, f"{name}.convs.{index}", shortcut=False)
            if spp and index == (blocks - 1) // 2:
                pools = [graph.max_pool(y, size, name=f"{name}.convs.spp.pool{size}") for size in SPP_SIZES]
                y = graph.concat(y, *pools, name=f"{name}.convs.spp.concat")
                y = self.conv_bn(y, f"{name}.convs.spp.conv")
        return self.conv_bn(graph.concat(straight, y, name=f"{name}.concat"), f"{name}.conv3")

    def attention(self, x: str, mean: str, name: str) -> str:
        gate = self.graph.sigmoid(self.conv_bias(mean, f"{name}.fc"), name=f"{name}.gate")
        return self.conv_bn(self.graph.mul(x, gate, name=f"{name}.gated"), f"{name}.conv")

    def class_logits(self, x: str, level: int, grid: tuple[int, int]) -> str:
        """(N, C, cells)."""
        graph, name = self.graph, f"yolo_head.pred_cls.{level}"
        mean = graph.mean_over_pixels(x, name=f"yolo_head.mean.{level}")
        y = graph.add(self.attention(x, mean, f"yolo_head.stem_cls.{level}"), x, name=f"{name}.input")
        y = self.conv_bias(y, name)
        return graph.reshape(y, 0, self.architecture.num_classes, grid[0] * grid[1], name=f"{name}.flat")

    def side_offsets(self, x: str, level: int, grid: tuple[int, int]) -> str:
        """(N, 4, cells): from the anchor to each side of the box, px, negative for left and top."""
        graph, name, bins = self.graph, f"yolo_head.pred_reg.{level}", self.architecture.reg_max + 1
        y = self.attention(x, f"yolo_head.mean.{level}", f"yolo_head.stem_reg.{level}")
        y = graph.reshape(self.conv_bias(y, name), 0, 4, bins, grid[0] * grid[1], name=f"{name}.bins")
        # softmax and its expectation written out: bins stay where they are, no transpose of the largest tensor
        largest = graph.node("ReduceMax", y, name=f"{name}.max", axes=[2], keepdims=1)
        y = graph.node("Exp", graph.node("Sub", y, largest, name=f"{name}.safe"), name=f"{name}.exp")
        signs = np.array([-1, -1, 1, 1], np.float32) * STRIDES[level]  # powers of two: no rounding
        rows = signs[:, None, None] * self.weight("yolo_head.proj_conv.weight").reshape(1, bins)  # (4, 1, bins)
        weighted = graph.node("MatMul", graph.constant(f"{name}.project", rows), y, name=f"{name}.weighted")
        ones = graph.constant("ones", np.ones((4, 1, bins), np.float32))
        total = graph.node("MatMul", ones, y, name=f"{name}.total")
        expected = graph.node("Div", weighted, total, name=f"{name}.expected")  # (N, 4, 1, cells)
        return graph.node("Squeeze", expected, graph.sizes(2), name=f"{name}.offsets")


def _anchor_corners(grids: list[tuple[int, int]]) -> NDArray[np.float32]:
    """Centres of all cells twice, (1, A, 4) x y x y in network pixels, levels in the order of `STRIDES`."""
    found = []
    for stride, (rows, columns) in zip(STRIDES, grids, strict=True):
        y, x = np.meshgrid((np.arange(rows) + 0.5) * stride, (np.arange(columns) + 0.5) * stride, indexing="ij")
        found.append(np.stack([x, y, x, y], axis=-1).reshape(-1, 4))  # (rows * columns, 4)
    return np.concatenate(found)[None].astype(np.float32)
