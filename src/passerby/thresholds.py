"""From what a user may write as a threshold to one number a label."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TypeAlias

import numpy as np

from .errors import ArgumentError, shown
from .types import Scores

ClassThreshold: TypeAlias = "float | Sequence[float] | Mapping[str | int, float]"


def one_threshold(value: object, *, what: str) -> float:
    """A number between 0 and 1; Python, numpy and whole numbers alike.

    Raises:
        ArgumentError: `bad_argument`.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise ArgumentError("bad_argument", f"{what} is {shown(repr(value))}", hint="give a number between 0 and 1")
    number = float(value)
    if not math.isfinite(number) or not 0.0 <= number <= 1.0:
        raise ArgumentError("bad_argument", f"{what} is {shown(value)}", hint="give a number between 0 and 1")
    return number


def class_thresholds(
    value: ClassThreshold, *, label_ids: Sequence[str], defaults: Sequence[float], what: str = "cls_threshold"
) -> Scores:
    """One threshold a label.

    Args:
        value: one number for all; a sequence with one number a label; a mapping with "default" and label numbers
            (as whole numbers or digits) or label ids. A mapping without "default" leaves the others at `defaults`.
        label_ids: stable ids in the model's order.
        defaults: (C,) what holds where `value` says nothing.
    Returns:
        (C,) float32. Each is applied to its own class; the original applied them to rows of the batch.
    Raises:
        ArgumentError: `bad_argument`, naming the entry.
    """
    count = len(label_ids)
    if isinstance(value, Mapping):
        return _from_mapping(value, label_ids, defaults, what)
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes):
        if len(value) != count:
            raise ArgumentError("bad_argument", f"{what} has {len(value)} numbers, the model has {count} labels")
        return np.array([one_threshold(v, what=f"{what}[{i}]") for i, v in enumerate(value)], np.float32)
    return np.full(count, one_threshold(value, what=what), np.float32)


def _from_mapping(
    value: Mapping[str | int, float], label_ids: Sequence[str], defaults: Sequence[float], what: str
) -> Scores:
    out = np.array(defaults, np.float32)
    if "default" in value:
        out[:] = one_threshold(value["default"], what=f"{what}['default']")
    for key, number in value.items():
        if key != "default":
            out[_label_number(key, label_ids, what)] = one_threshold(number, what=f"{what}[{shown(repr(key))}]")
    return out


def _label_number(key: object, label_ids: Sequence[str], what: str) -> int:
    if isinstance(key, numbers.Integral) and not isinstance(key, bool):
        number = int(key)
    elif isinstance(key, str) and key.isascii() and key.isdigit():
        number = int(key)
    elif isinstance(key, str) and _plain(key) in (plain := [_plain(id) for id in label_ids]):
        return label_ids.index(key) if key in label_ids else plain.index(_plain(key))
    else:
        close = get_close_matches(_plain(str(key)), label_ids, 1)
        guess = f"did you mean {close[0]}?" if close else f"use default, 0..{len(label_ids) - 1} or a label id"
        raise ArgumentError("bad_argument", f"{what} names no label: {shown(repr(key))}", hint=guess)
    if not 0 <= number < len(label_ids):
        raise ArgumentError("bad_argument", f"{what} names label {number}, the model has 0..{len(label_ids) - 1}")
    return number


def _plain(id: str) -> str:
    """An id as people may write it: case and dashes do not matter."""
    return id.lower().replace("-", "_")
