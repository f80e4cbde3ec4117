"""Looks into a network: adds values of its graph to the outputs and computes them. Shared by the tests of networks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from passerby import engines
from passerby.devices import Device


def run(model: onnx.ModelProto, x: NDArray[np.float32], *, extra: Iterable[str] = ()) -> dict[str, NDArray[np.float32]]:
    """Outputs of the model for a batch, and the values named in `extra`."""
    seen = onnx.ModelProto()
    seen.CopyFrom(model)
    outputs = {output.name for output in seen.graph.output}
    for name in extra:
        if name not in outputs:
            seen.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
            outputs.add(name)
    engine = engines.load(seen.SerializeToString(), device=Device("cpu"), spread="inside", threads=1)
    return engine.run({model.graph.input[0].name: x})


def values_of(model: onnx.ModelProto) -> set[str]:
    """Names of all values that operators make."""
    return {name for node in model.graph.node for name in node.output}
