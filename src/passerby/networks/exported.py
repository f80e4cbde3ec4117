# SPDX-License-Identifier: Apache-2.0
"""From an exported Paddle program to weights under Paddle's parameter names.

An export keeps the graph and renames its variables (`conv2d_0.w_0_deepcopy_12`), so parameters are recognised by what
uses them: the program's convolutions and matrices, in order of use, are paired with the layers of the network. What
would compute something else with the same shapes (a stride, an epsilon, another activation) is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..errors import ModelError, shown
from .parameters import BN_EPSILON, BN_PARTS, Layer

if TYPE_CHECKING:
    from ..formats.graph import Operator, Program

EPSILON_SLACK = 1e-8  # an epsilon stored as float32 is not exactly 1e-5


@dataclass(slots=True)
class _Step:
    """One convolution or matrix of the program, with what follows it directly: names of parameters by their role."""

    kind: str  # "conv" or "linear"
    stride: int
    parameters: dict[str, str] = field(default_factory=dict)  # weight, bias, bn.weight, bn._mean ... -> variable

    @property
    def is_bare(self) -> bool:
        return len(self.parameters) == 1


def pair(
    program: Program,
    parameters: Mapping[str, NDArray[Any]],
    layers: Sequence[Layer],
    *,
    network: str,
    activations: Collection[str],
) -> dict[str, NDArray[Any]]:
    """Give a program's parameters the names of the network's layers.

    Args:
        program: the exported graph.
        parameters: its parameters by variable name.
        layers: the network's layers in order of use, RepVGG blocks merged.
        network: its name, for messages.
        activations: kinds of activation the network has.
    Returns:
        Parameters under Paddle's structured names; shapes are not compared here.
    Raises:
        ModelError: `model_mismatch` when the program is not this network.
    """
    steps = steps_of(program, network=network)
    _check_activations(program, activations, network=network)
    named: dict[str, NDArray[Any]] = {}
    # layers without bias or norm apart: exporters differ in where the projection of the bins stands
    for bare in (False, True):
        wanted = [layer for layer in layers if (layer.kind == "conv") == bare]
        found = [step for step in steps if step.is_bare == bare]
        if len(wanted) != len(found):
            raise _mismatch(network, f"{len(found)} layers {_kind(bare)}, it has {len(wanted)}")
        for layer, step in zip(wanted, found, strict=True):
            named.update({name: parameters[v] for name, v in _named(layer, step, network=network).items()})
    _check_leftovers(program, steps, network=network)
    return named


def _kind(bare: bool) -> str:
    return "without bias or norm" if bare else "with bias or norm"


def _mismatch(network: str, what: str) -> ModelError:
    return ModelError("model_mismatch", f"the program is not {network}: {what}")


def steps_of(program: Program, *, network: str) -> list[_Step]:
    """The weighted layers of a program in order of first use; a kernel used again counts once."""
    variables = {spec.name for spec in program.parameters}
    reshaped: dict[str, str] = {}  # value -> the parameter it is a reshape of
    steps: dict[str, _Step] = {}  # by the variable of the weight
    maker: dict[str, _Step] = {}  # value -> the layer that made it
    for operator in program.operators:
        inputs = [reshaped.get(name, name) for name in operator.inputs]
        used = [name for name in inputs if name in variables]
        if operator.kind == "reshape" and used:
            reshaped[operator.outputs[0]] = used[0]
        elif operator.kind in ("conv2d", "depthwise_conv2d", "matmul") and inputs[1] in variables:
            step = _new_step(operator, inputs[1], network=network)
            maker[operator.outputs[0]] = steps.setdefault(inputs[1], step)
        elif operator.kind == "batch_norm" and inputs[0] in maker:
            _attach_norm(maker[inputs[0]], operator, inputs, network=network)
        elif operator.kind == "add" and used and any(name in maker for name in inputs):
            maker[next(name for name in inputs if name in maker)].parameters["bias"] = used[0]
    return list(steps.values())


def _new_step(operator: Operator, weight: str, *, network: str) -> _Step:
    if operator.kind == "matmul":
        return _Step("linear", 1, {"weight": weight})
    strides, dilations = operator.attributes.get("strides"), operator.attributes.get("dilations", (1, 1))
    if not isinstance(strides, tuple) or len(set(strides)) != 1 or dilations != (1, 1):
        raise _mismatch(network, f"a convolution with strides {shown(strides)} and dilations {shown(dilations)}")
    return _Step("conv", int(strides[0]), {"weight": weight})


def _attach_norm(step: _Step, operator: Operator, inputs: Sequence[str], *, network: str) -> None:
    epsilon = operator.attributes.get("epsilon")
    if not isinstance(epsilon, float) or abs(epsilon - BN_EPSILON) > EPSILON_SLACK:
        raise _mismatch(network, f"a BatchNorm with epsilon {shown(epsilon)}")
    mean, variance, gamma, beta = inputs[1:5]
    step.parameters.update(zip((f"bn.{part}" for part in BN_PARTS), (gamma, beta, mean, variance), strict=True))


def _named(layer: Layer, step: _Step, *, network: str) -> dict[str, str]:
    """Structured name -> variable for one layer."""
    kind, norm = step.kind, "bn.weight" in step.parameters
    fits = (kind == "linear") == (layer.kind == "linear") and norm == (layer.kind == "conv_bn")
    if not fits or step.stride != layer.stride or (norm and "bias" in step.parameters):
        raise _mismatch(network, f"another layer stands in the place of {layer.name}")
    stem = f"{layer.name}.conv" if layer.kind == "rep" else layer.name
    if not norm:
        return {f"{stem}.{role}": variable for role, variable in step.parameters.items()}
    return {
        f"{layer.name}.{'conv.weight' if role == 'weight' else role}": variable
        for role, variable in step.parameters.items()
    }


def _check_activations(program: Program, activations: Collection[str], *, network: str) -> None:
    for kind in ("relu", "swish", "hardswish", "hardsigmoid", "sigmoid", "softmax"):
        count = sum(operator.kind == kind for operator in program.operators)
        if (count > 0) != (kind in activations):
            raise _mismatch(network, f"it has {count} operators {kind}")


def _check_leftovers(program: Program, steps: Sequence[_Step], *, network: str) -> None:
    """Every parameter must have found its layer; anchors, which some exports store as parameters, we make ourselves."""
    claimed = {variable for step in steps for variable in step.parameters.values()}
    for spec in program.parameters:
        is_anchor = len(spec.shape) == 2 and spec.shape[1] in (1, 2)
        if spec.name not in claimed and not is_anchor:
            raise _mismatch(network, f"the parameter {shown(spec.name)} has no place in it")
