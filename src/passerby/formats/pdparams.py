"""Reads `.pdparams`, the weights that Paddle's training saves: a pickled dict of arrays.

`pickle_machine` turns the bytes into plain data without importing or calling anything; here the arrays are found in
it, checked and copied. Optimiser files (`.pdopt`) are pickles too, but hold nothing that is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, shown
from .door import WEIGHT_BYTES, check_content, check_finite, check_name, located
from .pickle_arrays import Array, corrupt
from .pickle_machine import interpret

NAME_TABLE = "StructuredToParameterName@@"
SLICED = "UnpackBigParamInfor@@"
STATE_SECTIONS = ("model", "state_dict", "params", "net")


def read_pdparams(data: bytes, *, input: str | None = None) -> dict[str, NDArray[Any]]:
    """Read the arrays of a `.pdparams` file.

    A file may hold them directly, or as (name, array) pairs, or in one section of a checkpoint whose other entries
    are numbers and words.

    Args:
        data: the whole file.
        input: what it is called in messages.
    Returns:
        Arrays by structured name (`backbone.stem.conv1.conv.weight`) in the file's order, C-contiguous, in the
        machine's byte order, copies of their own. float16 becomes float32; bfloat16 is stored by Paddle as uint16
        and stays so.
    Raises:
        ModelError: `model_unsafe` (a name, call or reference that would act), `model_corrupt`, `model_too_large`,
            `model_unsupported` (a zip, sliced tensors, several sections), `model_not_finite`.
    """
    with located(input):
        check_content(data, limit=WEIGHT_BYTES, due="a .pdparams file")
        value = interpret(data)
        if not isinstance(value, dict):
            raise corrupt("it holds no dict of arrays")
        return _arrays(_state(value), most_bytes=len(data))


def _state(value: dict[Any, Any]) -> dict[Any, Any]:
    """The dict that holds the arrays: the whole, or the one section of a checkpoint that has any."""
    if SLICED in value:
        raise ModelError(
            "model_unsupported",
            "tensors are sliced for an old pickle protocol",
            hint="save the file again with protocol 4",
        )
    if any(_array_of(entry) is not None for entry in value.values()):
        return value
    sections = {
        key: entry
        for key, entry in value.items()
        if isinstance(entry, dict) and any(_array_of(part) is not None for part in entry.values())
    }
    if len(sections) > 1:
        sections = {key: entry for key, entry in sections.items() if key in STATE_SECTIONS} or sections
    if len(sections) > 1:
        listed = ", ".join(shown(key, 40) for key in list(sections)[:10])
        raise ModelError(
            "model_unsupported", f"a checkpoint with several sections of arrays: {listed}", hint="save one of them"
        )
    if not sections:
        wrong = [key for key in value if key != NAME_TABLE][:1]
        at = f" ({shown(wrong[0])} is none)" if wrong else ""
        raise corrupt(f"it holds no arrays{at}")
    return next(iter(sections.values()))


def _array_of(entry: Any) -> Array | None:
    """The array of an entry: itself, or the second of a (name, array) pair."""
    if isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str):
        entry = entry[1]
    return entry if isinstance(entry, Array) else None


def _arrays(state: Mapping[Any, Any], *, most_bytes: int) -> dict[str, NDArray[Any]]:
    """The arrays, copied; together they may hold no more bytes than the file, or it would use some many times."""
    arrays: dict[str, NDArray[Any]] = {}
    total = 0
    for key, entry in state.items():
        if key == NAME_TABLE:
            continue
        if not isinstance(key, str):
            raise corrupt(f"the key {shown(key, 40)} is no text")
        found = _array_of(entry)
        name = check_name(key)
        if found is None or found.value is None:
            raise corrupt(f"the value of {shown(name)} is no array")
        total += found.value.nbytes
        if total > most_bytes:
            raise corrupt("many arrays are made of the same bytes")
        array = np.array(found.value, dtype=_native(found.value.dtype), order="C", copy=True)
        check_finite(name, array)
        arrays[name] = array
    return arrays


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float32) if dtype.kind == "f" and dtype.itemsize == 2 else dtype.newbyteorder("=")
