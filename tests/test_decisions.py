# SPDX-License-Identifier: Apache-2.0
"""Yes, no, uncertain: what a model's description says of them, and what follows from it for probabilities."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.decisions import NO, REASONS_OF, UNCERTAIN, YES, Rules, decide, doubts, likely, rules_of
from passerby.errors import ModelError
from passerby.formats.metadata import Group, HeightError, InputRecipe, Judgement, Label, ModelMetadata
from passerby.formats.metadata_json import from_json, to_json

LABELS = (
    Label(id="hat", en="Hat", uncertain=(0.3, 0.8)),
    Label(id="boots", en="Boots"),
    Label(id="thin", en="Thin", uncertain=(0.0, 1.0)),
    Label(id="young", en="Young", group="age", uncertain=(0.1, 0.6)),
    Label(id="grown", en="Grown", group="age", uncertain=(0.4, 0.7)),
    Label(id="old", en="Old", group="age", uncertain=(0.1, 0.6)),
    Label(id="unjudgeable", en="Cannot be judged"),
)
JUDGEMENT = Judgement(
    label="unjudgeable",
    threshold=0.6,
    min_height_px=40.0,
    error_rates=(
        HeightError(from_px=0, to_px=40, error=0.4, persons=31),
        HeightError(from_px=40, to_px=None, error=0.2, persons=500),
    ),
)
METADATA = ModelMetadata(
    kind="attributes",
    name="mine",
    network="n",
    input=InputRecipe(height=8, width=8, interpolation="linear"),
    labels=LABELS,
    thresholds=(0.5, 0.25, 0.5, 0.3, 0.5, 0.3, 0.5),
    groups=(Group(id="age", en="age", margin=0.6), Group(id="empty", en="nobody in it")),
    judgement=JUDGEMENT,
)
PLAIN = dataclasses.replace(
    METADATA,
    labels=tuple(dataclasses.replace(label, uncertain=None) for label in LABELS),
    groups=(Group(id="age", en="age"),),
    judgement=None,
)


def said(*row: float) -> list[int]:
    return decide(np.array([row], np.float32), rules_of(METADATA))[0].tolist()


def test_a_description_survives_the_way_through_a_file() -> None:
    assert from_json(to_json(METADATA)) == METADATA


def test_a_description_without_measurements_is_written_as_before() -> None:
    body = json.loads(to_json(PLAIN))
    assert "judgement" not in body
    assert set(body["labels"][0]) == {"id", "en", "zh", "group"}
    assert set(body["groups"][0]) == {"id", "en", "exclusive"}
    assert from_json(json.dumps(body)) == PLAIN
    assert PLAIN.attribute_places == (0, 1, 2, 3, 4, 5, 6)
    assert METADATA.attribute_places == (0, 1, 2, 3, 4, 5)


def with_value(path: tuple[Any, ...], value: Any) -> str:
    body: Any = json.loads(to_json(METADATA))
    inner = body
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return json.dumps(body).replace("Infinity", "1e999")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("labels", 0, "uncertain"), [0.8, 0.3]),
        (("labels", 0, "uncertain"), [-0.1, 0.3]),
        (("labels", 0, "uncertain"), [0.1, 1.5]),
        (("labels", 0, "uncertain"), [0.1]),
        (("labels", 0, "uncertain"), "ab"),
        (("labels", 0, "uncertain"), [True, True]),
        (("labels", 0, "uncertain"), 0.5),
        (("groups", 0, "margin"), 0.4),
        (("groups", 0, "margin"), "1"),
        (("judgement",), {}),
        (("judgement",), None),
        (("judgement", "label"), "nobody"),
        (("judgement", "threshold"), 1.1),
        (("judgement", "threshold"), "0.5"),
        (("judgement", "min_height_px"), -1),
        (("judgement", "min_height_px"), float("inf")),
        (("judgement", "error_rates"), 3),
        (("judgement", "error_rates", 0, "error"), 1.2),
        (("judgement", "error_rates", 0, "persons"), -1),
        (("judgement", "error_rates", 0, "persons"), 1.5),
        (("judgement", "error_rates", 0, "to_px"), 0),
        (("judgement", "error_rates", 0), {"from_px": 0}),
    ],
)
def test_bad_values_are_an_error_of_the_model(path: tuple[Any, ...], value: Any) -> None:
    with pytest.raises(ModelError) as caught:
        from_json(with_value(path, value), input="m.onnx")
    assert caught.value.name == "model_corrupt"
    assert caught.value.input == "m.onnx"


def test_a_band_parts_yes_from_no() -> None:
    calm = (0.0, 0.0, 0.0, 0.0)
    cases = {0.29: NO, 0.3: NO, 0.31: UNCERTAIN, 0.5: UNCERTAIN, 0.79: UNCERTAIN, 0.8: YES, 0.99: YES}
    for value, expected in cases.items():
        got = decide(np.array([[value, *calm, 0.0]], np.float32), rules_of(METADATA))[0, 0]
        assert got == expected, value


def test_without_a_band_the_threshold_decides_strictly() -> None:
    for value, expected in {0.0: NO, 0.25: NO, 0.26: YES, 1.0: YES}.items():
        assert said(0, value, 0, 0, 0, 0)[1] == expected


def test_a_full_band_is_never_sure() -> None:
    assert [said(0, 0, value, 0, 0, 0)[2] for value in (0.0, 0.5, 1.0)] == [UNCERTAIN] * 3


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        ((0.02, 0.9, 0.05), [NO, YES, NO]),
        ((0.2, 0.9, 0.05), [NO, YES, NO]),  # what was open for itself is denied by the one that is sure
        ((0.65, 0.9, 0.05), [UNCERTAIN, UNCERTAIN, NO]),  # 0.9 of 1.55 is less than the margin
        ((0.7, 0.65, 0.7), [UNCERTAIN, UNCERTAIN, UNCERTAIN]),  # equal ones
        ((0.3, 0.45, 0.05), [UNCERTAIN, UNCERTAIN, NO]),  # nobody is sure
        ((0.09, 0.39, 0.08), [NO, UNCERTAIN, NO]),  # all denied, but one of them holds by their own word
        ((0.05, 0.1, 0.05), [NO, NO, NO]),  # probably none of them
        ((0.65, 0.69, 0.05), [UNCERTAIN, UNCERTAIN, NO]),  # a yes that is not the likeliest is none
    ],
)
def test_members_of_a_group_agree(age: tuple[float, ...], expected: list[int]) -> None:
    assert said(0, 0, 0, *age)[3:] == expected


def test_without_a_margin_the_likeliest_is_said_and_equal_ones_are_not() -> None:
    rules = rules_of(PLAIN)
    rows = np.array([[0, 0, 0, 0.4, 0.9, 0.35, 0], [0, 0, 0, 0.7, 0.7, 0, 0]], np.float32)
    assert decide(rows, rules)[:, 3:6].tolist() == [[NO, YES, NO], [UNCERTAIN, UNCERTAIN, NO]]


def test_without_measurement_a_threshold_that_is_not_reached_is_a_no() -> None:
    """However high somebody set it: what the others of the group say is no evidence then."""
    rules = rules_of(dataclasses.replace(PLAIN, thresholds=(0.5, 0.25, 0.5, 0.9, 0.9, 0.9, 0.5)))
    assert decide(np.array([[0, 0, 0, 0.1, 0.85, 0.1, 0]], np.float32), rules)[0, 3:6].tolist() == [NO, NO, NO]


@given(st.integers(0, 2**32))
def test_laws_of_all_decisions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.random((int(rng.integers(1, 20)), 6)).round(int(rng.integers(0, 4))).astype(np.float32)
    rules = rules_of(METADATA)
    got = decide(p, rules)
    assert np.isin(got, (YES, NO, UNCERTAIN)).all()
    age = got[:, 3:]
    assert ((age == YES).sum(axis=1) <= 1).all()
    sure = (age == YES).any(axis=1)
    assert (age[sure] != UNCERTAIN).all()
    assert not (got[:, 2] != UNCERTAIN).any()
    alone = np.concatenate([decide(p[i : i + 1], rules) for i in range(len(p))])
    assert (alone == got).all()
    maybe = likely(p, rules)
    assert (maybe[:, 3:].sum(axis=1) <= 1).all()
    assert (maybe[:, :3] == (p[:, :3] > 0.5)).all()
    assert (p[:, 3:][maybe[:, 3:]] == p[:, 3:].max(axis=1)[maybe[:, 3:].any(axis=1)]).all()


@given(st.floats(0, 1, width=32), st.floats(0, 1, width=32), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_more_probability_never_turns_towards_no(a: float, b: float, x: float, y: float, threshold: float) -> None:
    """Also where somebody moved a threshold out of the band that was measured around it."""
    low, high = sorted((x, y))
    label = Label(id="a", en="A", uncertain=(low, high))
    rules = rules_of(dataclasses.replace(PLAIN, labels=(label,), thresholds=(threshold,), groups=()))
    order = {NO: 0, UNCERTAIN: 1, YES: 2}
    first, second = (order[int(decide(np.array([[v]], np.float32), rules)[0, 0])] for v in sorted((a, b)))
    assert first <= second


def test_nobody_and_no_label_are_fine() -> None:
    assert decide(np.zeros((0, 6), np.float32), rules_of(METADATA)).shape == (0, 6)
    zero = np.zeros(0, np.float32)
    nothing = Rules(thresholds=zero, yes_from=zero, no_to=zero, measured=zero > 0, groups=())
    assert decide(np.zeros((2, 0), np.float32), nothing).shape == (2, 0)


def test_reasons_why_somebody_cannot_be_judged() -> None:
    bits = doubts(
        JUDGEMENT,
        heights_px=np.array([39.9, 40.0, 200.0, 20.0, 0.4]),
        pixels=np.array([True, True, True, True, False]),
        unclear=np.array([0.1, 0.6, 0.61, 0.9, 0.0], np.float32),
    )
    assert [REASONS_OF[b] for b in bits] == [("too_small",), (), ("unclear",), ("too_small", "unclear"), ("no_pixels",)]
    without = doubts(JUDGEMENT, heights_px=np.array([50.0]), pixels=np.array([True]), unclear=None)
    assert without.tolist() == [0]
