"""A network's graph as Paddle exported it, in one vocabulary for both of its formats.

`program` reads `inference.json` and `pdmodel` the older `inference.pdmodel`; both end in a `Program`, whose checks
are here: every value made once and before its use, sizes within limits, operators on the list. Nothing is computed.
Values are named: parameters and inputs by their own names, all others by a name unique in the program.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from ..errors import ModelError, shown
from .door import AGAIN, NAMES_LISTED, TENSOR_DIMENSIONS, TENSOR_VALUES, check_name

Attribute: TypeAlias = bool | int | float | str | tuple[bool | int | float | str, ...]

PROGRAM_BYTES = 64 << 20
PROGRAM_LEVELS = 64
OPERATORS = 100_000
INPUT_SIDE = 4096

DTYPES = frozenset(("bool", "int8", "uint8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"))
KINDS = frozenset(
    (
        "add arange batch_norm cast concat conv2d depthwise_conv2d divide dropout flatten full full_int_array "
        "hardsigmoid hardswish matmul mean meshgrid multiclass_nms3 multiply nearest_interp pool2d relu reshape scale "
        "sigmoid softmax split squeeze stack swish transpose"
    ).split()
)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, shape (-1 = known at run time only) and dtype (numpy's names and bfloat16) of a tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class Operator:
    """One step of a program.

    Inputs and outputs are names of values. Inputs stand in the order of the newer format (`batch_norm`: x, mean,
    variance, scale, bias; `conv2d`: x, kernel); constant operands such as a reshape's shape are attributes.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True)
class Program:
    """A graph: what goes in, what comes out, the parameters it needs, and its operators in topological order.

    Attributes:
        inputs: by name, for example `image`.
        outputs: in the order of their columns; the name is that of the value.
        parameters: in the byte order of their names, which is the order of a `.pdiparams` file.
        operators: without those that only feed, fetch, pack or give constants to others.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: tuple[TensorSpec, ...]
    operators: tuple[Operator, ...]


def corrupt(text: str) -> ModelError:
    """The error of a damaged program."""
    return ModelError("model_corrupt", f"the program is damaged: {text}", hint=AGAIN)


def unsupported(text: str) -> ModelError:
    """The error of a sound program that is not on our list."""
    return ModelError("model_unsupported", text, hint="only PP-YOLOE and PP-LCNet exports are read")


def operator(kind: str, inputs: Iterable[str], outputs: Iterable[str], attributes: Mapping[str, Attribute]) -> Operator:
    """An operator whose attributes cannot be changed."""
    return Operator(kind, tuple(inputs), tuple(outputs), MappingProxyType(dict(attributes)))


def refuse_unknown(kinds: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a program with operators outside the list; they are named and counted, never skipped."""
    listed = frozenset(known)
    unknown = Counter(kind for kind in kinds if kind not in listed)
    if unknown:
        named = ", ".join(
            f"{shown(kind.removeprefix('1.'), 40)} ({n} times)" for kind, n in unknown.most_common(NAMES_LISTED)
        )
        raise unsupported(f"operators that are not on the list: {named}")


def check_spec(spec: TensorSpec, *, role: str) -> TensorSpec:
    """Refuse a parameter or input of impossible or excessive size."""
    check_name(spec.name)
    if spec.dtype not in DTYPES:
        raise corrupt(f"{role} {shown(spec.name)} has the type {shown(spec.dtype, 40)}")
    least = 1 if role == "parameter" else -1
    if len(spec.shape) > TENSOR_DIMENSIONS or any(n < least or n == 0 for n in spec.shape):
        raise corrupt(f"{role} {shown(spec.name)} has the shape {shown(list(spec.shape))}")
    size = 1
    for n in spec.shape:
        size *= max(n, 1)
    if size > TENSOR_VALUES:
        raise ModelError(
            "model_too_large", f"{role} {shown(spec.name)} has {size:.3g} values, the limit is {TENSOR_VALUES}"
        )
    if role == "input" and len(spec.shape) == 4 and max(spec.shape[2:]) > INPUT_SIDE:
        raise ModelError("model_too_large", f"input {shown(spec.name)} is over {INPUT_SIDE} x {INPUT_SIDE}")
    return spec


def check_order(steps: Iterable[tuple[Sequence[str], Sequence[str]]], given: Iterable[str]) -> None:
    """Refuse a list of (inputs, outputs) in which a value is made twice, or used before it is made.

    Args:
        steps: names of values; "" stands for an operand that is left out.
        given: names that are there from the start; none may stand twice.
    """
    made: set[str] = set()
    for name in given:
        if name in made:
            raise corrupt(f"the value {shown(name)} is made twice")
        made.add(name)
    for place, (inputs, outputs) in enumerate(steps):
        for name in inputs:
            if name and name not in made:
                raise corrupt(f"operator {place} uses {shown(name)}, which nothing before it makes")
        for name in outputs:
            if name in made:
                raise corrupt(f"the value {shown(name)} is made twice")
            made.add(name)


def finished(
    *,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    parameters: Sequence[TensorSpec],
    operators: Sequence[Operator],
) -> Program:
    """The checked program; both readers end here.

    Raises:
        ModelError: `model_corrupt`, `model_unsupported` or `model_too_large`.
    """
    if len(operators) > OPERATORS:
        raise ModelError("model_too_large", f"the program has {len(operators)} operators, the limit is {OPERATORS}")
    for spec in parameters:
        check_spec(spec, role="parameter")
    for spec in inputs:
        check_spec(spec, role="input")
    if not operators:
        raise corrupt("no operators")
    if not inputs or not outputs:
        raise corrupt("no inputs or no outputs")
    check_order(((op.inputs, op.outputs) for op in operators), [spec.name for spec in (*parameters, *inputs)])
    made = {name for op in operators for name in op.outputs}
    lost = [spec.name for spec in outputs if spec.name not in made]
    if lost:
        raise corrupt(f"the output {shown(lost[0])} is made by nothing")
    refuse_unknown((op.kind for op in operators), KINDS)
    ordered = sorted(parameters, key=lambda spec: spec.name.encode())
    return Program(tuple(inputs), tuple(outputs), tuple(ordered), tuple(operators))
