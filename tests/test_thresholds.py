"""What may be written as a threshold, and what it means for each class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.errors import ArgumentError
from passerby.thresholds import class_thresholds, one_threshold

IDS = ["hat", "glasses", "long_sleeve"]
DEFAULTS = [0.5, 0.6, 0.7]


def resolved(value: Any) -> list[float]:
    return [round(float(v), 6) for v in class_thresholds(value, label_ids=IDS, defaults=DEFAULTS)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.7, [0.7, 0.7, 0.7]),
        (1, [1, 1, 1]),
        (np.float32(0.25), [0.25, 0.25, 0.25]),
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]),
        (np.array([0.1, 0.2, 0.3]), [0.1, 0.2, 0.3]),
        ({"default": 0.5, 0: 0.45}, [0.45, 0.5, 0.5]),
        ({"default": 0.5, "2": 0.4}, [0.5, 0.5, 0.4]),
        ({"hat": 0.2}, [0.2, 0.6, 0.7]),
        ({"default": 0, "long-sleeve": 1}, [0, 0, 1]),
    ],
)
def test_every_documented_form(value: Any, expected: list[float]) -> None:
    assert resolved(value) == expected


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("0.7", "'0.7'"),
        (True, "True"),
        (float("nan"), "nan"),
        (1.5, "1.5"),
        (-0.1, "-0.1"),
        (None, "None"),
        ([0.1, 0.2], "2 numbers"),
        ([0.1, float("nan"), 0.3], "[1]"),
        ({"default": 0.5, 3: 0.1}, "label 3"),
        ({"default": 0.5, -1: 0.1}, "label -1"),
        ({"default": 0.5, "hatt": 0.1}, "did you mean hat?"),
        ({"default": "x"}, "default"),
    ],
)
def test_everything_else_is_named(value: Any, part: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        resolved(value)
    assert caught.value.name == "bad_argument"
    assert part in str(caught.value)


@given(st.floats(0, 1), st.floats(0, 1), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_a_higher_threshold_never_adds_a_label(low: float, high: float, probabilities: list[float]) -> None:
    low, high = sorted((low, high))
    p = np.array(probabilities, np.float32)
    kept_low = p > class_thresholds(low, label_ids=IDS, defaults=DEFAULTS)
    kept_high = p > class_thresholds(high, label_ids=IDS, defaults=DEFAULTS)
    assert not (kept_high & ~kept_low).any()


def test_one_threshold_takes_whole_numbers() -> None:
    assert one_threshold(1, what="t") == 1.0
    assert one_threshold(np.int64(0), what="t") == 0.0
