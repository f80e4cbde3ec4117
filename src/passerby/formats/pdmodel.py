"""Reads `inference.pdmodel`, the graph format of Paddle 2, into the vocabulary of `graph`.

The file is a protobuf message; `wire` reads its fields and the numbers below say what they are. Slots of an operator
have names here and places there, and some operators and attributes are called differently: `_RULES` is that dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import ModelError, shown
from .door import check_content, located
from .graph import (
    OPERATORS,
    PROGRAM_BYTES,
    Attribute,
    Operator,
    Program,
    TensorSpec,
    corrupt,
    finished,
    operator,
    refuse_unknown,
    unsupported,
)
from .pdiparams import BFLOAT16, TYPES
from .wire import Field, WireError, fields

_DTYPES = {**TYPES, BFLOAT16: "bfloat16"}
_DENSE_TENSOR, _NOT_DATA = 7, (9, 10, 17)  # feed, fetch and raw variables hold nothing


class _Rule(NamedTuple):
    kind: str
    inputs: str
    outputs: str = "Out"
    renamed: Mapping[str, str] = {}


_RULES: dict[str, _Rule] = {
    "conv2d": _Rule("conv2d", "Input Filter", "Output"),
    "depthwise_conv2d": _Rule("depthwise_conv2d", "Input Filter", "Output"),
    "batch_norm": _Rule("batch_norm", "X Mean Variance Scale Bias", "Y", {"data_layout": "data_format"}),
    "elementwise_add": _Rule("add", "X Y"),
    "elementwise_mul": _Rule("multiply", "X Y"),
    "elementwise_div": _Rule("divide", "X Y"),
    "matmul_v2": _Rule("matmul", "X Y", renamed={"trans_x": "transpose_x", "trans_y": "transpose_y"}),
    "relu": _Rule("relu", "X"),
    "swish": _Rule("swish", "X"),
    "sigmoid": _Rule("sigmoid", "X"),
    "hard_swish": _Rule("hardswish", "X"),
    "hard_sigmoid": _Rule("hardsigmoid", "X"),
    "softmax": _Rule("softmax", "X"),
    "transpose2": _Rule("transpose", "X", renamed={"axis": "perm"}),
    "flatten_contiguous_range": _Rule("flatten", "X"),
    "cast": _Rule("cast", "X", renamed={"out_dtype": "dtype"}),
    "dropout": _Rule("dropout", "X", renamed={"dropout_prob": "p", "dropout_implementation": "mode"}),
    "pool2d": _Rule("pool2d", "X", renamed={"ksize": "kernel_size"}),
    "reshape2": _Rule("reshape", "X"),
    "squeeze2": _Rule("squeeze", "X"),
    "reduce_mean": _Rule("mean", "X", renamed={"dim": "axes", "keep_dim": "keepdim"}),
    "scale": _Rule("scale", "X"),
    "concat": _Rule("concat", "X"),
    "split": _Rule("split", "X"),
    "nearest_interp_v2": _Rule("nearest_interp", "X", renamed={"data_layout": "data_format"}),
    "fill_constant": _Rule("full", ""),
    "range": _Rule("arange", "Start End Step"),
    "meshgrid": _Rule("meshgrid", "X"),
    "stack": _Rule("stack", "X", "Y"),
    "multiclass_nms3": _Rule("multiclass_nms3", "BBoxes Scores", "Out Index NmsRoisNum"),
}
_BOUNDARY = ("feed", "fetch")


@dataclass(frozen=True, slots=True)
class _Step:
    kind: str
    inputs: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, tuple[str, ...]]
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True)
class _Variable:
    spec: TensorSpec
    persistable: bool


def read_pdmodel(data: bytes, *, input: str | None = None) -> Program:
    """Read an `inference.pdmodel`.

    Args:
        data: the whole file.
        input: what it is called in messages.
    Raises:
        ModelError: `model_too_large`, `model_corrupt` (no such message, a value made twice or never),
            `model_unsupported` (control flow, an operator or slot that is not on the list).
    """
    with located(input):
        check_content(data, limit=PROGRAM_BYTES, due="an inference.pdmodel")
        try:
            variables, steps = _block(_only_block(memoryview(data)))
        except WireError as reason:
            raise corrupt(str(reason)) from None
        if not steps:
            raise corrupt("no operators")
        refuse_unknown((step.kind for step in steps), (*_RULES, *_BOUNDARY))
        return _program(variables, steps)


# --- the message --------------------------------------------------------------------------------------------------


def _only_block(data: memoryview) -> memoryview:
    blocks = [field.message() for field in fields(data) if field.number == 1]
    if not blocks:
        raise WireError("no block of operators")
    if len(blocks) > 1:
        raise unsupported(f"a program of {len(blocks)} blocks: control flow is not read")
    return blocks[0]


def _block(data: memoryview) -> tuple[dict[str, _Variable], list[_Step]]:
    variables: dict[str, _Variable] = {}
    steps: list[_Step] = []
    for field in fields(data):
        if field.number == 3:
            variable = _variable(field.message())
            if variable is not None and variables.setdefault(variable.spec.name, variable) is not variable:
                raise WireError(f"the variable {shown(variable.spec.name)} is declared twice")
        elif field.number == 4:
            steps.append(_step(field.message()))
        if len(variables) + len(steps) > 4 * OPERATORS:
            raise ModelError("model_too_large", f"the program has over {OPERATORS} operators")
    return variables, steps


def _variable(data: memoryview) -> _Variable | None:
    """A declared tensor; None for variables that hold no data."""
    name, persistable, kind = "", False, -1
    described: memoryview | None = None
    for field in fields(data):
        if field.number == 1:
            name = field.text()
        elif field.number == 3:
            persistable = field.boolean()
        elif field.number == 2:
            for part in fields(field.message()):
                if part.number == 1:
                    kind = part.integer()
                elif part.number == 3:
                    described = part.message()
    if kind in _NOT_DATA:
        return None
    if kind != _DENSE_TENSOR or described is None:
        raise unsupported(f"the variable {shown(name)} is of the kind {kind}, only tensors are read")
    code, dims = 0, []
    for outer in fields(described):
        for part in fields(outer.message()) if outer.number == 1 else ():
            if part.number == 1:
                code = part.integer()
            elif part.number == 2:
                dims.extend(part.integers())
    return _Variable(TensorSpec(name, tuple(dims), _DTYPES.get(code, f"type {code}")), persistable)


def _step(data: memoryview) -> _Step:
    kind = ""
    slots: tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]] = ({}, {})
    attributes: dict[str, Attribute] = {}
    for field in fields(data):
        if field.number in (1, 2):
            slot, names = "", []
            for part in fields(field.message()):
                if part.number == 1:
                    slot = part.text()
                elif part.number == 2:
                    names.append(part.text())
            slots[field.number - 1][slot] = tuple(names)
        elif field.number == 3:
            kind = field.text()
        elif field.number == 4:
            name, value = _attribute(field.message())
            if value is not None and not name.startswith("op_"):
                attributes[name] = value
    return _Step(kind, *slots, attributes)


def _attribute(data: memoryview) -> tuple[str, Attribute | None]:
    """Name and value; which field holds the value follows from the declared type."""
    name, kind = "", -1
    values: dict[int, list[Field]] = {}
    for field in fields(data):
        if field.number == 1:
            name = field.text()
        elif field.number == 2:
            kind = field.integer()
        else:
            values.setdefault(field.number, []).append(field)
    if kind in (8, 10):
        raise unsupported(f"the attribute {shown(name)} is a block: control flow is not read")
    return name, _attribute_value(kind, values)


def _attribute_value(kind: int, values: Mapping[int, Sequence[Field]]) -> Attribute | None:
    def of(number: int) -> Sequence[Field]:
        return values.get(number, ())

    if kind == 0:
        return of(3)[-1].integer() if of(3) else 0
    if kind == 1:
        return of(4)[-1].real() if of(4) else 0.0
    if kind == 2:
        return of(5)[-1].text() if of(5) else ""
    if kind == 3:
        return tuple(n for field in of(6) for n in field.integers())
    if kind == 4:
        return tuple(n for field in of(7) for n in field.reals(4))
    if kind == 5:
        return tuple(field.text() for field in of(8))
    if kind == 6:
        return of(10)[-1].boolean() if of(10) else False
    if kind == 7:
        return tuple(bool(n) for field in of(11) for n in field.integers())
    if kind == 9:
        return of(13)[-1].integer() if of(13) else 0
    if kind == 11:
        return tuple(n for field in of(15) for n in field.integers())
    if kind == 12:
        return tuple(n for field in of(16) for n in field.reals(8))
    if kind == 15:
        return of(19)[-1].real() if of(19) else 0.0
    return None  # variables and scalars, which no listed operator needs


# --- from the message to a Program --------------------------------------------------------------------------------


def _program(variables: Mapping[str, _Variable], steps: Sequence[_Step]) -> Program:
    def spec(name: str) -> TensorSpec:
        if name not in variables:
            raise corrupt(f"the variable {shown(name)} is not declared")
        return variables[name].spec

    fed: list[tuple[int, TensorSpec]] = []
    fetched: list[tuple[int, TensorSpec]] = []
    operators: list[Operator] = []
    for step in steps:
        if step.kind in _BOUNDARY:
            names = step.outputs.get("Out", ()) if step.kind == "feed" else step.inputs.get("X", ())
            column = step.attributes.get("col", 0)
            if len(names) != 1 or not isinstance(column, int):
                raise corrupt(f"a {step.kind} without a variable or a column")
            (fed if step.kind == "feed" else fetched).append((column, spec(names[0])))
        else:
            operators.append(_operator(step))
    return finished(
        inputs=[one for _, one in sorted(fed, key=lambda pair: pair[0])],
        outputs=[one for _, one in sorted(fetched, key=lambda pair: pair[0])],
        parameters=[v.spec for v in variables.values() if v.persistable],
        operators=operators,
    )


def _operator(step: _Step) -> Operator:
    rule = _RULES[step.kind]
    extra = [slot for slot, names in step.inputs.items() if names and slot not in rule.inputs.split()]
    if extra:
        raise unsupported(f"{step.kind} with the computed operand {shown(extra[0])}")
    inputs: list[str] = []
    for slot in rule.inputs.split():
        names = step.inputs.get(slot, ())
        if not names or (len(names) > 1 and rule.kind not in ("concat", "stack", "meshgrid")):
            raise corrupt(f"{step.kind} has {len(names)} values in {slot}")
        inputs.extend(names)
    outputs = [name for slot in rule.outputs.split() for name in step.outputs.get(slot, ())]
    attributes = {rule.renamed.get(name, name): value for name, value in step.attributes.items()}
    dtype = attributes.get("dtype")
    if isinstance(dtype, int) and not isinstance(dtype, bool):
        attributes["dtype"] = _DTYPES.get(dtype, f"type {dtype}")
    return operator(rule.kind, inputs, outputs, attributes)
