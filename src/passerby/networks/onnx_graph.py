# SPDX-License-Identifier: Apache-2.0
"""A small builder for ONNX graphs: one method for each operator our networks use, values known by their names.

The networks name every value after the layer that makes it (`backbone.stem.conv1`), so a test or a person with a graph
viewer can look at any layer by the name it has in Paddle. What the operators compute is checked against Paddle by
`tests/golden`; how they are arranged was chosen by measuring onnxruntime on CPUs (docs/parity.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .._version import __version__

OPSET = 17  # read by onnxruntime since 1.12; LayerNorm apart nothing newer is needed
IR_VERSION = 8  # the IR that came with opset 17
BATCH = "N"
HARD_SIGMOID_SLOPE = 0.1666667  # what Paddle stores, not exactly 1/6


class Graph:
    """An ONNX graph under construction. Every method that adds an operator returns the name of its result."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Sequence[int | str]) -> str:
        """Declare a float32 input; a text in the shape is a size known only at run time."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
        return name

    def output(self, name: str, shape: Sequence[int | str]) -> None:
        """Declare that the value `name` is a float32 output."""
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Store an array once; the same name again gives the array stored first."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def sizes(self, *values: int) -> str:
        """An int64 vector, for the operators that take shapes as inputs."""
        return self.constant("sizes." + "_".join(map(str, values)), np.array(values, np.int64))

    def node(self, kind: str, *inputs: str, name: str, **attributes: Any) -> str:
        """Add one operator of `kind` whose result is called `name`."""
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=f"{kind}/{name}", **attributes))
        return name

    def conv(
        self,
        x: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32] | None = None,
        *,
        name: str,
        stride: int = 1,
        groups: int = 1,
    ) -> str:
        """Convolution padded by (kernel - 1) // 2; weight (O, I / groups, k, k), bias (O,)."""
        kernel = int(weight.shape[2])
        inputs = [x, self.constant(name + ".weight", weight)]
        if bias is not None:
            inputs.append(self.constant(name + ".bias", bias))
        return self.node(
            "Conv",
            *inputs,
            name=name,
            kernel_shape=[kernel, kernel],
            pads=[(kernel - 1) // 2] * 4,
            strides=[stride, stride],
            group=groups,
        )

    def relu(self, x: str, *, name: str) -> str:
        return self.node("Relu", x, name=name)

    def sigmoid(self, x: str, *, name: str) -> str:
        return self.node("Sigmoid", x, name=name)

    def swish(self, x: str, *, name: str) -> str:
        """x * sigmoid(x)."""
        return self.mul(x, self.sigmoid(x, name=name + ".sigmoid"), name=name)

    def hard_sigmoid(self, x: str, *, name: str) -> str:
        """clip(x / 6 + 1 / 2, 0, 1) with Paddle's slope."""
        return self.node("HardSigmoid", x, name=name, alpha=HARD_SIGMOID_SLOPE, beta=0.5)

    def hard_swish(self, x: str, *, name: str) -> str:
        """x * clip(x + 3, 0, 6) / 6."""
        return self.node("HardSwish", x, name=name)

    def mean_over_pixels(self, x: str, *, name: str) -> str:
        """(N, C, H, W) to (N, C, 1, 1)."""
        return self.node("GlobalAveragePool", x, name=name)

    def max_pool(self, x: str, size: int, *, name: str) -> str:
        """Largest of size x size, stride 1, the picture keeps its size (`size` is odd)."""
        return self.node("MaxPool", x, name=name, kernel_shape=[size, size], pads=[size // 2] * 4, strides=[1, 1])

    def upsample_twice(self, x: str, *, name: str) -> str:
        """(N, C, H, W) to (N, C, 2H, 2W), every pixel repeated."""
        scales = self.constant("scales.twice", np.array([1, 1, 2, 2], np.float32))
        return self.node(
            "Resize",
            x,
            "",
            scales,
            name=name,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    def concat(self, *values: str, name: str, axis: int = 1) -> str:
        return self.node("Concat", *values, name=name, axis=axis)

    def add(self, a: str, b: str, *, name: str) -> str:
        return self.node("Add", a, b, name=name)

    def mul(self, a: str, b: str, *, name: str) -> str:
        return self.node("Mul", a, b, name=name)

    def reshape(self, x: str, *shape: int, name: str) -> str:
        """0 keeps a size, -1 fills up."""
        return self.node("Reshape", x, self.sizes(*shape), name=name)

    def model(self) -> onnx.ModelProto:
        """The finished model. Not run through `onnx.checker` here: that copies every weight, and the tests do it."""
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, initializer=list(self._constants.values())
        )
        model: onnx.ModelProto = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="passerby",
            producer_version=__version__,
        )
        return model
