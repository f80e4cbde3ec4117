"""Reads and writes our model files: an ONNX graph with weights, and the metadata under the key `passerby`.

A file is looked through field by field before any runtime sees it: one file, no external data, the standard domain,
listed operators, no subgraphs, every tensor as large as its shape says. onnxruntime accepts a path outside the file
for weights that no operator uses, so its own checks are not enough. Field numbers are those of onnx.proto; a field
that is not listed here is refused, also where it stands twice, because a parser would merge the two.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ModelError, shown
from .door import (
    AGAIN,
    NAMES_LISTED,
    TENSOR_DIMENSIONS,
    TENSOR_VALUES,
    WEIGHT_BYTES,
    check_content,
    check_finite,
    located,
)
from .graph import INPUT_SIDE, OPERATORS
from .metadata import ModelMetadata
from .metadata_json import METADATA_BYTES, METADATA_LEVELS, from_json, to_json
from .strict_json import load_json
from .wire import Field, WireError, fields

if TYPE_CHECKING:
    import onnx

KEY = "passerby"
OPSETS = range(11, 25)
IR_VERSIONS = range(4, 14)
DOMAINS = ("", "ai.onnx")
KINDS = ("detector", "attributes")
OPERATOR_KINDS = frozenset(
    (
        "Add AveragePool BatchNormalization Cast Clip Concat Constant ConstantOfShape Conv Div Exp Expand Flatten "
        "Gather Gemm GlobalAveragePool HardSigmoid HardSwish Identity MatMul Max MaxPool Min Mul Pow Range ReduceMax "
        "ReduceMean ReduceSum Relu Reshape Resize Shape Sigmoid Slice Softmax Split Sqrt Squeeze Sub Tile Transpose "
        "Unsqueeze ConvInteger DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearConv QLinearMatMul "
        "QuantizeLinear"
    ).split()
)
# number: (numpy type of raw data, field of typed data, bytes of one value there or 0 for varints)
_TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    1: ("<f4", 4, 4),
    2: ("u1", 5, 0),
    3: ("i1", 5, 0),
    6: ("<i4", 5, 0),
    7: ("<i8", 7, 0),
    9: ("?", 5, 0),
    10: ("<f2", 5, 0),
    11: ("<f8", 10, 8),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxFile:
    """One of our model files: its bytes as an engine takes them, and the metadata inside."""

    model_bytes: bytes
    metadata: ModelMetadata


def read_onnx(data: bytes, *, input: str | None = None) -> OnnxFile:
    """Check a model file and read its metadata.

    Args:
        data: the whole file; kept as it is.
        input: what it is called in messages.
    Raises:
        ModelError: `model_corrupt`, `model_too_large`, `model_unsafe` (weights outside the file), `model_unsupported`
            (operators, domains or versions that are not listed, no metadata, an unknown kind), `model_not_finite`.
    """
    with located(input):
        check_content(data, limit=WEIGHT_BYTES, due="an .onnx file")
        try:
            texts = _check_model(memoryview(data))
        except WireError as reason:
            raise _corrupt(str(reason)) from None
        if not texts:
            raise ModelError(
                "model_unsupported",
                "an ONNX file without the metadata 'passerby'",
                hint="make it with `passerby models convert`, which adds them",
            )
        if len(texts) > 1:
            raise _corrupt("the metadata stand twice")
        return OnnxFile(model_bytes=data, metadata=_metadata(texts[0], input))


def write_onnx(model: onnx.ModelProto, metadata: ModelMetadata) -> bytes:
    """The bytes of a model file, checked by reading them; `model` is left as it is.

    Raises:
        ModelError: what `read_onnx` would refuse.
    """
    copied = type(model)()
    copied.CopyFrom(model)
    kept = [(entry.key, entry.value) for entry in copied.metadata_props if entry.key != KEY]
    del copied.metadata_props[:]
    for key, value in [*kept, (KEY, to_json(metadata))]:
        entry = copied.metadata_props.add()
        entry.key, entry.value = key, value
    data: bytes = copied.SerializeToString(deterministic=True)
    read_onnx(data)
    return data


def _corrupt(text: str) -> ModelError:
    return ModelError("model_corrupt", f"the ONNX file is damaged: {text}", hint=AGAIN)


def _unsupported(text: str) -> ModelError:
    return ModelError(
        "model_unsupported", f"the ONNX file has {text}", hint="only models made by this package are read"
    )


def _metadata(text: str, input: str | None) -> ModelMetadata:
    raw = text.encode("utf-8")
    if len(raw) > METADATA_BYTES:
        raise ModelError("model_too_large", "the model's metadata is over 1 MiB", hint=AGAIN)
    try:
        body = load_json(raw, levels=METADATA_LEVELS)
    except ValueError as reason:
        raise _corrupt(f"its metadata: {shown(reason)}") from None
    kind = body.get("kind") if isinstance(body, dict) else None
    if isinstance(kind, str) and kind not in KINDS:
        raise _unsupported(f"the kind {shown(kind, 40)}, known are {' and '.join(KINDS)}")
    metadata = from_json(text, input=input)
    words = [*(w for label in metadata.labels for w in (label.id, label.en, label.zh)), metadata.name, metadata.network]
    if not all(word.isprintable() for word in words):
        raise _corrupt("a name or label in its metadata has control characters")
    return metadata


# --- the message, from the outside in -----------------------------------------------------------------------------


def _each(data: memoryview, what: str, known: Mapping[int, Callable[[Field], None] | None]) -> None:
    """Hand every field of a message to its function; None means it may stand there and matters to nobody."""
    for field in list(fields(data)):  # damage anywhere in it comes before what a sound file could not have
        if field.number not in known:
            raise _unsupported(f"field {field.number} in {what}, which is not known")
        step = known[field.number]
        if step is not None:
            step(field)


def _check_model(data: memoryview) -> list[str]:
    """Check the whole file; returns the values under our key."""
    texts: list[str] = []
    graphs: list[memoryview] = []

    def ir_version(field: Field) -> None:
        if field.integer() not in IR_VERSIONS:
            raise _unsupported(f"IR version {field.integer()}, read are {IR_VERSIONS[0]} to {IR_VERSIONS[-1]}")

    def property_(field: Field) -> None:
        pair = {part.number: part.text() for part in fields(field.message())}
        if pair.get(1) == KEY:
            texts.append(pair.get(2, ""))

    _each(
        data,
        "the model",
        {
            1: ir_version,
            **dict.fromkeys((2, 3, 4, 5, 6)),
            7: lambda field: graphs.append(field.message()),
            8: _check_opset,
            14: property_,
        },
    )
    if len(graphs) != 1:
        raise _corrupt(f"{len(graphs)} graphs")
    _check_graph(graphs[0])
    return texts


def _check_opset(field: Field) -> None:
    for part in fields(field.message()):
        if part.number == 1 and part.text() not in DOMAINS:
            raise _unsupported(f"operators of the domain {shown(part.text(), 40)}")
        if part.number == 2 and part.integer() not in OPSETS:
            raise _unsupported(f"opset {part.integer()}, read are {OPSETS[0]} to {OPSETS[-1]}")


def _check_graph(data: memoryview) -> None:
    kinds: Counter[str] = Counter()
    _each(
        data,
        "the graph",
        {
            1: lambda field: kinds.update(_checked_node(field.message())),
            **dict.fromkeys((2, 10, 13, 16)),
            5: lambda field: _check_tensor(field.message()),
            11: lambda field: _check_input(field.message()),
            12: None,
        },
    )
    if not kinds:
        raise _corrupt("no operators")
    if kinds.total() > OPERATORS:
        raise ModelError("model_too_large", f"the ONNX file has over {OPERATORS} operators", hint=AGAIN)
    unknown = {kind: n for kind, n in kinds.items() if kind not in OPERATOR_KINDS}
    if unknown:
        named = ", ".join(f"{shown(kind, 40)} ({n} times)" for kind, n in list(unknown.items())[:NAMES_LISTED])
        raise _unsupported(f"operators that are not on the list: {named}")


def _checked_node(data: memoryview) -> list[str]:
    """The operator of a node, in a list; domain, attributes and their tensors are checked."""
    kinds: list[str] = []

    def domain(field: Field) -> None:
        if field.text() not in DOMAINS:
            raise _unsupported(f"operators of the domain {shown(field.text(), 40)}")

    _each(
        data,
        "a node",
        {
            **dict.fromkeys((1, 2, 3, 6, 9)),
            4: lambda field: kinds.append(field.text()),
            5: lambda field: _check_attribute(field.message()),
            7: domain,
        },
    )
    if len(kinds) != 1:
        raise _corrupt(f"a node with {len(kinds)} operators")
    return kinds


def _check_attribute(data: memoryview) -> None:
    tensors: list[memoryview] = []

    def subgraph(field: Field) -> None:
        raise _unsupported("control flow (a graph inside a node)")

    _each(
        data,
        "an attribute",
        {
            **dict.fromkeys((1, 2, 3, 4, 7, 8, 9, 13, 20)),
            5: lambda field: tensors.append(field.message()),
            6: subgraph,
            11: subgraph,
        },
    )
    if len(tensors) > 1:
        raise _corrupt(f"an attribute with {len(tensors)} tensors")
    for tensor in tensors:
        _check_tensor(tensor)


def _check_tensor(data: memoryview) -> None:
    """A tensor lies in the file, whole, in a known type, and its float values are finite."""
    name, code, dims = "", 0, list[int]()
    raw: list[memoryview] = []
    typed: Counter[int] = Counter()
    for field in fields(data):
        if field.number == 1:
            dims.extend(field.integers())
        elif field.number == 2:
            code = field.integer()
        elif field.number in (4, 10):
            typed[field.number] += len(field.reals(4 if field.number == 4 else 8))
        elif field.number in (5, 7):
            typed[field.number] += len(field.integers())
        elif field.number == 8:
            name = field.text()
        elif field.number == 9:
            raw.append(field.message())
        elif field.number == 13 or (field.number == 14 and field.integer() != 0):
            raise ModelError(
                "model_unsafe",
                f"the weights {shown(name)} lie outside the file",
                hint="save the model as one file, with its weights inside",
            )
        elif field.number not in (12, 14):
            raise _unsupported(f"field {field.number} in a tensor, which is not known")
    _check_size(name, code, dims, raw, typed)


def _check_size(name: str, code: int, dims: list[int], raw: list[memoryview], typed: Counter[int]) -> None:
    if code not in _TENSOR_TYPES:
        raise _unsupported(f"a tensor of the type {code}")
    form, home, _ = _TENSOR_TYPES[code]
    dtype = np.dtype(form)
    size = math.prod(dims)
    if len(dims) > TENSOR_DIMENSIONS or any(n < 0 for n in dims) or size > TENSOR_VALUES:
        raise _corrupt(f"the tensor {shown(name)} has the shape {shown(dims)}")
    others = sum(n for number, n in typed.items() if number != home)
    given = typed[home] if not raw else len(raw[0]) / dtype.itemsize
    if len(raw) > 1 or others or (raw and typed[home]) or given != size:
        raise _corrupt(f"the tensor {shown(name)} has the shape {shown(dims)}, but other data")
    if raw and dtype.kind == "f":
        check_finite(name or "of a node", np.frombuffer(raw[0], dtype))


def _check_input(data: memoryview) -> None:
    """An input's sides: ValueInfo.type(2).tensor_type(1).shape(2).dim(1).dim_value(1)."""
    sides: list[int] = []
    for kind in _inner([data], 2, 1, 2):
        for dim in fields(kind):
            if dim.number == 1:
                sides.extend([f.integer() for f in fields(dim.message()) if f.number == 1] or [0])
    if max(sides[2:], default=0) > INPUT_SIDE:
        raise ModelError("model_too_large", f"an input over {INPUT_SIDE} x {INPUT_SIDE}", hint=AGAIN)


def _inner(messages: list[memoryview], *numbers: int) -> list[memoryview]:
    for number in numbers:
        messages = [field.message() for data in messages for field in fields(data) if field.number == number]
    return messages
