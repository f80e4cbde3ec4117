"""How numpy's arrays stand in a pickle, recognised as patterns of plain data. The errors of `pickle_machine` too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, shown
from .door import AGAIN, TENSOR_DIMENSIONS, TENSOR_VALUES

NUMBERS = frozenset("b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8".split())


@dataclass(slots=True)
class Described:
    """A dtype in the making: its code, then its byte order."""

    code: str
    order: str | None = None


@dataclass(slots=True)
class Array:
    """An array in the making; `value` is None until its state was given."""

    value: NDArray[Any] | None = None


def corrupt(text: str) -> ModelError:
    """The error of a damaged file."""
    return ModelError("model_corrupt", f"the pickle is damaged: {text}", hint=AGAIN)


def unsafe(text: str, *, hint: str = "do not use this file") -> ModelError:
    """The error of a file that would act if the standard reader read it."""
    return ModelError("model_unsafe", f"the pickle {text} (nothing of it was run)", hint=hint)


def too_large(text: str) -> ModelError:
    """The error of a file beyond the limits."""
    return ModelError("model_too_large", text, hint="only weight files of PP-YOLOE and PP-LCNet are read")


def set_order(target: Described, state: tuple[Any, ...]) -> None:
    """The state of a dtype: (version, byte order, five fields that plain numbers leave empty, flags)."""
    plain = len(state) >= 8 and state[2:5] == (None, None, None) and state[5:7] == (-1, -1)
    if not plain or state[0] not in (3, 4) or state[1] not in ("<", ">", "|", "="):
        raise corrupt("a type of array that is no plain number")
    target.order = state[1]


def array_of(state: tuple[Any, ...]) -> NDArray[Any]:
    """The state of an array: (version, shape, dtype, column-major, bytes). Sizes are compared before anything."""
    if len(state) != 5 or state[0] != 1 or not isinstance(state[2], Described) or state[2].order is None:
        raise corrupt("the state of an array has an unknown form")
    _, shape, described, fortran, raw = state
    if not isinstance(raw, (bytes, memoryview)) or not isinstance(fortran, (bool, int)):
        raise corrupt("the data of an array are no bytes")
    if not isinstance(shape, tuple) or any(type(n) is not int or n < 0 for n in shape):
        raise corrupt("an array of an impossible shape")
    if len(shape) > TENSOR_DIMENSIONS:
        raise corrupt(f"an array of {len(shape)} dimensions, the limit is {TENSOR_DIMENSIONS}")
    order = described.order if described.order in "<>" else "|" if described.code[1] == "1" else "<"
    dtype = np.dtype(order + described.code)
    size = math.prod(shape)
    if size > TENSOR_VALUES or size * dtype.itemsize != len(raw):
        raise corrupt(f"an array of the shape {shown(list(shape))} in {len(raw)} bytes")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")
