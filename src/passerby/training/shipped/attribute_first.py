# SPDX-License-Identifier: Apache-2.0
"""First weights of the attribute network from a PP-LCNet x1.0 that somebody exported to ONNX for another task.

paddle2onnx keeps Paddle's weights as initialisers, numbered in forward order, but renames them; the biases of the
squeeze-and-excitation become reshaped constants.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from ...errors import ModelError
from ...networks import pplcnet


def first_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """All parameters of a paddle2onnx export of PP-LCNet x1.0, its head too, under Paddle's state-dict names.

    Raises:
        ModelError: `model_mismatch` when the tensors are not those of the network.
    """
    graph = onnx.load(str(path)).graph
    arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    numbered = {int(name.rsplit("_", 1)[1]): a for name, a in arrays.items() if "deepcopy" in name}
    in_order = [numbered[number] for number in sorted(numbered)]
    gates = [a.reshape(-1) for name, a in arrays.items() if name.startswith("p2o.pd_op.reshape.")]
    classes = in_order[-1].shape[0] if in_order else 0
    shapes = pplcnet.parameter_shapes(pplcnet.Architecture(num_classes=max(classes, 1)), deploy=False)
    is_gate = {name: ".se." in name and name.endswith(".bias") for name in shapes}
    plain, gated = iter(in_order), iter(gates)
    weights = {name: next(gated if is_gate[name] else plain, np.zeros(0)) for name in shapes}
    wrong = [name for name, shape in shapes.items() if weights[name].shape != tuple(shape)]
    if wrong or next(plain, None) is not None:
        raise ModelError("model_mismatch", f"no PP-LCNet x1.0: {(wrong or ['tensors left over'])[0]}", input=str(path))
    return {name: np.asarray(a, np.float32) for name, a in weights.items()}
