"""Reads `inference.json`, the graph format (PIR) of Paddle 3.

The file is a list of operators in which everything is a value with a number: packed lists (`combine`), constants
(`full`) and parameters too. The reader folds lists and constants into their users, so that a `Program` from here
looks like one from the older format. The records live in `graph` and are offered here as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError, shown
from .door import check_content, located
from .graph import (
    OPERATORS,
    PROGRAM_BYTES,
    PROGRAM_LEVELS,
    Attribute,
    Operator,
    Program,
    TensorSpec,
    check_order,
    corrupt,
    finished,
    operator,
    refuse_unknown,
    unsupported,
)
from .strict_json import load_json

__all__ = ["Operator", "Program", "TensorSpec", "read_program_json"]

VERSIONS = range(1, 4)

_ELEMENTS = {
    f"0.t_{short}": name
    for short, name in {
        "bool": "bool",
        "i8": "int8",
        "ui8": "uint8",
        "i16": "int16",
        "i32": "int32",
        "i64": "int64",
        "f16": "float16",
        "bf16": "bfloat16",
        "f32": "float32",
        "f64": "float64",
    }.items()
}

# What each operand is: v a value, * a packed list, - must be absent, =name a constant that becomes an attribute.
_RULES: dict[str, tuple[str, str]] = {
    "1.conv2d": ("conv2d", "v v"),
    "1.depthwise_conv2d": ("depthwise_conv2d", "v v"),
    "1.batch_norm": ("batch_norm", "v v v v v"),
    "1.add": ("add", "v v"),
    "1.multiply": ("multiply", "v v"),
    "1.divide": ("divide", "v v"),
    "1.matmul": ("matmul", "v v"),
    "1.relu": ("relu", "v"),
    "1.swish": ("swish", "v"),
    "1.sigmoid": ("sigmoid", "v"),
    "1.hardswish": ("hardswish", "v"),
    "1.hardsigmoid": ("hardsigmoid", "v"),
    "1.softmax": ("softmax", "v"),
    "1.transpose": ("transpose", "v"),
    "1.flatten": ("flatten", "v"),
    "1.cast": ("cast", "v"),
    "1.dropout": ("dropout", "v - =p"),
    "1.pool2d": ("pool2d", "v =kernel_size"),
    "1.reshape": ("reshape", "v =shape"),
    "1.squeeze": ("squeeze", "v =axes"),
    "1.mean": ("mean", "v =axes"),
    "1.scale": ("scale", "v =scale"),
    "1.concat": ("concat", "* =axis"),
    "1.split_with_num": ("split", "v =axis"),
    "1.nearest_interp": ("nearest_interp", "v - - -"),
    "1.full": ("full", ""),
    "1.full_int_array": ("full_int_array", ""),
    "1.arange": ("arange", "v v v"),
    "1.meshgrid": ("meshgrid", "*"),
    "1.stack": ("stack", "*"),
    "1.multiclass_nms3": ("multiclass_nms3", "v v -"),
}
_BOUNDARY = ("p", "1.data", "1.fetch", "0.combine", "0.split")
_WORDS = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}
_SINGLE = ("axis", "scale", "p")  # constants that are one number, the others are lists


@dataclass(frozen=True, slots=True)
class _Result:
    name: str
    shape: tuple[int, ...]
    dtype: str  # "" for a packed list


@dataclass(frozen=True, slots=True)
class _Step:
    """One entry of the file's list, its operands already names ("" = absent)."""

    kind: str
    inputs: tuple[str, ...]
    results: tuple[_Result, ...]
    attributes: Mapping[str, Attribute]


def read_program_json(data: bytes, *, input: str | None = None) -> Program:
    """Read an `inference.json`.

    Args:
        data: the whole file.
        input: what it is called in messages.
    Raises:
        ModelError: `model_too_large`, `model_corrupt` (no strict JSON, a value made twice or never, a shape that
            cannot be), `model_unsupported` (another format or version, an operator that is not on the list).
    """
    with located(input):
        check_content(data, limit=PROGRAM_BYTES, due="an inference.json")
        try:
            document = load_json(data, levels=PROGRAM_LEVELS)
        except ValueError as reason:
            raise corrupt(shown(reason)) from None
        steps = _steps(_listed(document))
        refuse_unknown((step.kind for step in steps), (*_RULES, *_BOUNDARY))
        check_order(((step.inputs, [r.name for r in step.results]) for step in steps), ())
        return _folded(steps)


# --- the file's own structure -------------------------------------------------------------------------------------


def _listed(document: Any) -> list[Any]:
    """The list of operators of the only block of the only region."""
    base = _part(_a(dict, document), "base_code", dict)
    magic, version = base.get("magic"), base.get("version")
    if magic != "pir":
        raise unsupported(f"a program of the kind {shown(magic)}, only 'pir' is read")
    if not isinstance(version, int) or version not in VERSIONS:
        raise unsupported(f"format version {shown(version)}, versions {VERSIONS[0]} to {VERSIONS[-1]} are read")
    place = _part(document, "program", dict)
    for level in ("regions", "blocks"):
        entries = _part(place, level, list)
        if len(entries) != 1:
            raise unsupported(f"a program of {len(entries)} {level}, one is read")
        place = _a(dict, entries[0])
    listed: list[Any] = _part(place, "ops", list)
    if len(listed) > 2 * OPERATORS:
        raise ModelError("model_too_large", f"the program has {len(listed)} entries, the limit is {2 * OPERATORS}")
    return listed


def _a(kind: type, value: Any) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        what = _WORDS[type(value)] if isinstance(value, (dict, list)) else shown(value, 40)
        raise corrupt(f"{what} stands where {_WORDS[kind]} belongs")
    return value


def _part(mapping: Mapping[str, Any], key: str, kind: type) -> Any:
    if key not in mapping:
        raise corrupt(f"{key!r} is missing")
    return _a(kind, mapping[key])


def _steps(listed: Sequence[Any]) -> list[_Step]:
    names: dict[int, str] = {}
    return [_step(_a(dict, entry), names) for entry in listed]


def _step(entry: dict[str, Any], names: dict[int, str]) -> _Step:
    kind = _part(entry, "#", str)
    if entry.get("regions"):
        raise unsupported(f"control flow ({shown(kind, 40)}) is not read")
    if kind.startswith("1.") and kind.endswith("_"):
        kind = kind[:-1]  # computed in place: the same operator with the same results
    attributes: dict[str, Attribute] = {}
    label: str | None = None
    given = _part(entry, "A", list)
    if kind == "p":
        label = _a(str, given[3]) if len(given) == 4 else None
        if label is None:
            raise corrupt("a parameter without a name")
    else:
        attributes = _attributes(given)
        label = _a(str, attributes.get("name", None)) if kind == "1.data" else None
    inputs = tuple(_used(_a(dict, one), names) for one in entry.get("I", []))
    made = entry.get("O")
    results = tuple(_result(_a(dict, one), names, label) for one in (made if isinstance(made, list) else [made]))
    return _Step(kind, inputs, results, attributes)


def _used(operand: dict[str, Any], names: Mapping[int, str]) -> str:
    number = _part(operand, "%", int)
    if number == 0:
        return ""
    if number not in names:
        raise corrupt(f"the value %{number} is used, but nothing before makes it")
    return names[number]


def _result(made: dict[str, Any], names: dict[int, str], label: str | None) -> _Result:
    number = _part(made, "%", int)
    if number < 1:
        raise corrupt(f"a value has the number {number}")
    if number in names:
        raise corrupt(f"the value %{number} is made twice")
    names[number] = label if label is not None else f"%{number}"
    kind = _part(made, "TT", dict)
    if kind.get("#") == "0.t_vec":
        return _Result(names[number], (), "")
    description = _part(kind, "D", list)
    if kind.get("#") != "0.t_dtensor" or len(description) < 2:
        raise corrupt(f"a value of the type {shown(kind.get('#'), 40)}")
    element = _part(_a(dict, description[0]), "#", str)
    shape = tuple(_a(int, n) for n in _a(list, description[1]))
    return _Result(names[number], shape, _ELEMENTS.get(element, element))


def _attributes(listed: Sequence[Any]) -> dict[str, Attribute]:
    """Attributes as plain values. Kinds that no listed operator needs (places, layouts) are left out."""
    attributes: dict[str, Attribute] = {}
    for entry in listed:
        name = _part(_a(dict, entry), "N", str)
        value = _attribute(_part(entry, "AT", dict))
        if value is not None and name != "struct_name":
            attributes[name] = value
    return attributes


def _attribute(typed: dict[str, Any]) -> Attribute | None:
    kind, value = typed.get("#"), typed.get("D")
    if kind == "0.a_array":
        items = tuple(_attribute(_a(dict, item)) for item in _a(list, value))
        if any(item is None or isinstance(item, tuple) for item in items):
            raise corrupt("a list attribute holds something else than numbers and words")
        return items  # type: ignore[return-value]
    if kind == "1.a_intarray":
        return tuple(_a(int, n) for n in _a(list, value))
    if kind in ("0.a_i32", "0.a_i64"):
        return int(_a(int, value))
    if kind in ("0.a_f32", "0.a_f64"):
        return float(value) if isinstance(value, float) else float(_a(int, value))
    if kind == "0.a_bool":
        return bool(value) if isinstance(value, bool) else bool(_a(int, value))
    if kind in ("0.a_str", "1.a_dtype"):
        return str(_a(str, value))
    return None


# --- from the list to a Program -----------------------------------------------------------------------------------


def _folded(steps: Sequence[_Step]) -> Program:
    made = {result.name: result for step in steps for result in step.results}
    packed = {step.results[0].name: step.inputs for step in steps if step.kind == "0.combine" and step.results}
    unpacked = _unpacked(steps)
    constants = {step.results[0].name: step for step in steps if step.kind.startswith("1.full") and step.results}
    operators = [_operator(s, packed, unpacked, constants) for s in steps if s.kind in _RULES]
    needed = {name for op in operators for name in op.inputs}
    fetched = [(step.attributes.get("col"), step.inputs) for step in steps if step.kind == "1.fetch"]
    if any(len(inputs) != 1 or not inputs[0] or not isinstance(col, int) for col, inputs in fetched):
        raise corrupt("an output without a value or a column")
    outputs = [made[inputs[0]] for _, inputs in sorted(fetched, key=lambda entry: int(entry[0]))]  # type: ignore[arg-type]
    return finished(
        inputs=[_spec(r) for s in steps if s.kind == "1.data" for r in s.results],
        outputs=[_spec(r) for r in outputs],
        parameters=[_spec(r) for s in steps if s.kind == "p" for r in s.results],
        operators=[op for op in operators if not op.kind.startswith("full") or op.outputs[0] in needed],
    )


def _spec(result: _Result) -> TensorSpec:
    return TensorSpec(result.name, result.shape, result.dtype)


def _unpacked(steps: Sequence[_Step]) -> dict[str, tuple[str, ...]]:
    """For each list that an operator makes, the names under which its members are taken out."""
    unpacked: dict[str, tuple[str, ...]] = {}
    for step in steps:
        if step.kind == "0.split":
            if len(step.inputs) != 1 or step.inputs[0] in unpacked:
                raise corrupt("a list of values is unpacked twice or not at all")
            unpacked[step.inputs[0]] = tuple(result.name for result in step.results)
    return unpacked


def _operator(
    step: _Step,
    packed: Mapping[str, tuple[str, ...]],
    unpacked: Mapping[str, tuple[str, ...]],
    constants: Mapping[str, _Step],
) -> Operator:
    kind, rule = _RULES[step.kind]
    roles = rule.split()
    attributes = dict(step.attributes)
    inputs: list[str] = []
    if len(step.inputs) > len(roles) or not step.results:
        raise unsupported(f"{kind} with {len(step.inputs)} operands and {len(step.results)} results")
    for role, name in zip(roles, (*step.inputs, *[""] * (len(roles) - len(step.inputs))), strict=True):
        if role == "v" and name:
            inputs.append(name)
        elif role == "*" and name in packed and all(packed[name]):
            inputs.extend(packed[name])
        elif role[0] == "=" and name in constants:
            attributes[role[1:]] = _constant(constants[name], single=role[1:] in _SINGLE)
        elif role[0] == "=" and not name and role[1:] in attributes:
            continue  # written as an attribute already
        elif role != "-" or name:
            raise unsupported(f"{kind} with an operand that is computed or absent")
    outputs = [result.name for result in step.results[: 3 if kind == "multiclass_nms3" else 1]]
    if not step.results[0].dtype:
        if outputs[0] not in unpacked:
            raise corrupt(f"{kind} makes a list of values that nothing takes apart")
        outputs = list(unpacked[outputs[0]])
    return operator(kind, inputs, outputs, attributes)


def _constant(step: _Step, *, single: bool) -> Attribute:
    """The value of a constant operand: one number, or a list of whole numbers."""
    value = step.attributes.get("value")
    values = value if isinstance(value, tuple) else (value,)
    numbers = [float(v) for v in values if isinstance(v, (int, float)) and math.isfinite(v)]
    whole = str(step.attributes.get("dtype", "")).startswith("int") or not single
    if len(numbers) != len(values) or (single and len(numbers) != 1) or (whole and any(n % 1 for n in numbers)):
        raise corrupt(f"the constant {shown(value)} does not fit its use")
    if single:
        return int(numbers[0]) if whole else numbers[0]
    return tuple(int(n) for n in numbers)
