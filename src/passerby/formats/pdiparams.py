"""Reads `.pdiparams`: the tensors of an exported network, one record after another, without names.

Which record is which follows from the program: records stand in the byte order of the parameters' names. Every
length is held against the bytes that are left before anything is made of it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, shown
from .door import AGAIN, TENSOR_DIMENSIONS, TENSOR_VALUES, WEIGHT_BYTES, check_content, check_finite, located
from .graph import TensorSpec
from .wire import WireError, fields

TYPES = {
    0: "bool",
    1: "int16",
    2: "int32",
    3: "int64",
    4: "float16",
    5: "float32",
    6: "float64",
    20: "uint8",
    21: "int8",
}
BFLOAT16 = 22


def read_pdiparams(
    data: bytes, tensors: Sequence[TensorSpec | str], *, input: str | None = None
) -> dict[str, NDArray[Any]]:
    """Read the tensors of a `.pdiparams` file.

    Args:
        data: the whole file.
        tensors: the parameters of the program in any order; shapes are compared where they are given.
        input: what it is called in messages.
    Returns:
        Arrays by name, in the byte order of names; little-endian copies of their own. float16 and bfloat16 become
        float32.
    Raises:
        ModelError: `model_too_large`, `model_corrupt` (a record that ends beyond the file, bytes left over),
            `model_mismatch` (another shape than the program's), `model_not_finite`.
    """
    specs = {spec if isinstance(spec, str) else spec.name: spec for spec in tensors}
    with located(input):
        check_content(data, limit=WEIGHT_BYTES, due="a .pdiparams file")
        if len(specs) != len(tensors):
            raise _corrupt("the program has two parameters of one name")
        reader = _Reader(memoryview(data))
        arrays: dict[str, NDArray[Any]] = {}
        for name in sorted(specs, key=lambda name: name.encode("utf-8", "surrogatepass")):
            if reader.at == len(data):
                raise _corrupt(f"{len(arrays)} tensors, but the program has {len(specs)} parameters")
            array = reader.tensor()
            _check_shape(name, array, specs[name])
            check_finite(name, array)
            arrays[name] = array
        if reader.at != len(data):
            raise _corrupt(f"{len(data) - reader.at} bytes after the last of {len(specs)} tensors")
        return arrays


def _corrupt(text: str) -> ModelError:
    return ModelError("model_corrupt", f"the parameters are damaged: {text}", hint=AGAIN)


def _check_shape(name: str, array: NDArray[Any], spec: TensorSpec | str) -> None:
    if not isinstance(spec, str) and array.shape != spec.shape:
        raise ModelError(
            "model_mismatch",
            f"parameter {shown(name)} is {list(array.shape)}, the program says {list(spec.shape)}",
            hint="graph and parameters must come from one export",
        )


class _Reader:
    """A place in the file, moved forward record by record."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> memoryview:
        if not 0 <= size <= len(self.data) - self.at:
            raise _corrupt(f"a part of {size} bytes at byte {self.at} does not fit into {len(self.data)} bytes")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, form: str) -> int:
        value: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def tensor(self) -> NDArray[Any]:
        """One record: versions, levels of detail (skipped), description, raw values."""
        if version := self.number("<I"):
            raise _corrupt(f"record version {version}, only 0 is known")
        levels = self.number("<Q")
        if levels > (len(self.data) - self.at) // 8:
            raise _corrupt(f"{levels} levels of detail")
        for _ in range(levels):
            self.take(self.number("<Q"))
        if version := self.number("<I"):
            raise _corrupt(f"tensor version {version}, only 0 is known")
        code, shape = _description(self.take(self.number("<i")))
        size = math.prod(shape)
        if size > TENSOR_VALUES:
            raise _corrupt(f"a tensor of {size:.3g} values")
        if code == BFLOAT16:
            # the upper half of a float32: widen the bits
            half = np.frombuffer(self.take(2 * size), "<u2").astype(np.uint32)
            return (half << np.uint32(16)).view(np.float32).reshape(shape)
        dtype = np.dtype(TYPES[code]).newbyteorder("<")
        array = np.frombuffer(self.take(dtype.itemsize * size), dtype).reshape(shape)
        return array.astype(np.float32 if array.dtype == np.float16 else dtype.newbyteorder("="))


def _description(data: memoryview) -> tuple[int, tuple[int, ...]]:
    """Type code and dimensions of a record."""
    code, dims = 0, []
    try:
        for field in fields(data):
            if field.number == 1:
                code = field.integer()
            elif field.number == 2:
                dims.extend(field.integers())
    except WireError as reason:
        raise _corrupt(str(reason)) from None
    if code not in TYPES and code != BFLOAT16:
        raise _corrupt(f"a tensor of the type {code}, which is no number")
    if len(dims) > TENSOR_DIMENSIONS or any(n < 0 for n in dims):
        raise _corrupt(f"a tensor of the shape {shown(dims)}")
    return code, tuple(dims)
