# SPDX-License-Identifier: Apache-2.0
"""Ranges of uncertainty, margins, heights and judgement, measured on made-up persons with known answers."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.decisions import NO, YES, decide, rules_of
from passerby.errors import ArgumentError
from passerby.formats.metadata import Group, HeightError, InputRecipe, Label, ModelMetadata
from passerby.formats.metadata_json import from_json, to_json
from passerby.training.attributes.calibration import fit_unweighted, unweighted_logits
from passerby.training.attributes.decisions import (
    decision_bands,
    decision_figures,
    group_margin,
    groups_with_margins,
    wilson_lower,
    with_decisions,
)
from passerby.training.attributes.judgement import (
    error_by_height,
    judgement_of,
    judgement_threshold,
    min_judgeable_height,
)
from passerby.training.attributes.measured import measure_decisions, parts_of, with_parts
from passerby.training.attributes.metrics import expected_calibration_error


def drawn(count: int, labels: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities (N, C), half of them near 0 or 1, and what they came true as."""
    rng = np.random.default_rng(seed)
    p = rng.beta(0.4, 0.6, (count, labels))
    return p, (rng.random((count, labels)) < p).astype(np.int8)


def column(pairs: list[tuple[float, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """One label: (probability, how many have it, how many have it not)."""
    p = [v for v, yes, no in pairs for _ in range(yes + no)]
    t = [k for _, yes, no in pairs for k in [1] * yes + [0] * no]
    return np.array(p)[:, None], np.array(t, np.int8)[:, None]


METADATA = ModelMetadata(
    kind="attributes",
    name="mine",
    network="n",
    input=InputRecipe(height=8, width=8, interpolation="linear"),
    labels=tuple(Label(id=f"l{i}", en=f"L{i}", group="g" if i > 2 else "") for i in range(6)),
    thresholds=(0.5,) * 6,
    groups=(Group(id="g", en="g"), Group(id="free", en="free", exclusive=False)),
)


def test_the_closed_form_finds_the_share_that_the_weighted_loss_hides() -> None:
    """For each share q the weighted loss is minimised by brute force; the closed form leads back to q."""
    ratios = np.array([0.02, 0.3, 0.5, 0.9])
    q = np.array([[0.01] * 4, [0.2] * 4, [0.5] * 4, [0.97] * 4])
    w_p, w_n = np.exp(1 - ratios), np.exp(ratios)
    grid = np.linspace(1e-4, 1 - 1e-4, 200_001)
    best = np.empty_like(q)
    for i, j in np.ndindex(*q.shape):
        loss = -w_p[j] * q[i, j] * np.log(grid) - w_n[j] * (1 - q[i, j]) * np.log(1 - grid)
        best[i, j] = grid[loss.argmin()]
    assert np.allclose(best, w_p * q / (w_p * q + w_n * (1 - q)), atol=2e-5)
    back = 1 / (1 + np.exp(-unweighted_logits(np.log(best / (1 - best)), ratios)))
    assert np.allclose(back, q, atol=1e-3)


def test_probabilities_of_a_weighted_network_become_calibrated() -> None:
    p, t = drawn(4000, 2)
    ratios = np.array([0.05, 0.4])
    logits = np.log(np.clip(p, 1e-6, None) / np.clip(1 - p, 1e-6, None)) + (1 - 2 * ratios)
    scales, biases = fit_unweighted(logits, t, ratios)
    after = 1 / (1 + np.exp(-(logits * scales + biases)))
    assert expected_calibration_error(1 / (1 + np.exp(-logits)), t) > 0.05
    assert expected_calibration_error(after, t) < 0.02
    assert np.allclose(scales, 1, atol=0.1)
    assert np.allclose(biases, -(1 - 2 * ratios), atol=0.2)
    # with nobody to fit on, the closed form alone is left
    scales, biases = fit_unweighted(logits[:1], -np.ones((1, 2), np.int8), ratios)
    assert np.allclose(biases, -(1 - 2 * ratios), atol=1e-6)
    assert np.allclose(scales, 1)


@pytest.mark.parametrize("ratios", [[0.1], [0.1, math.nan], [0.1, 1.2]])
def test_wrong_ratios_are_refused(ratios: list[float]) -> None:
    with pytest.raises(ArgumentError):
        unweighted_logits(np.zeros((3, 2)), np.array(ratios))


def test_the_lower_bound_of_a_share() -> None:
    assert wilson_lower(np.array([0, 9, 90, 0]), np.array([0, 10, 100, 10])).round(3).tolist() == [0, 0.718, 0.855, 0]
    all_right = wilson_lower(np.arange(1, 30), np.arange(1, 30))
    assert (np.diff(all_right) > 0).all()
    assert int(np.flatnonzero(all_right >= 0.9)[0]) + 1 == 15  # 1.2816 squared is 1.642; n / (n + 1.642) >= 0.9


def test_a_label_that_is_always_right_has_no_band() -> None:
    bands = decision_bands(*column([(0.1, 0, 40), (0.9, 40, 0)]))
    assert (bands.thresholds[0], bands.low[0], bands.high[0]) == pytest.approx((0.5, 0.5, 0.5))
    assert (bands.yes[0], bands.yes_right[0], bands.no[0], bands.no_right[0]) == (40, 40, 40, 40)


def test_a_band_reaches_to_where_the_rate_is_kept() -> None:
    bands = decision_bands(*column([(0.05, 0, 100), (0.4, 20, 40), (0.6, 40, 20), (0.95, 100, 0)]))
    assert bands.thresholds[0] == pytest.approx(0.5)
    # 140 of 160 above the threshold are right, 100 of 100 from 0.95 on
    assert (bands.low[0], bands.high[0]) == pytest.approx((0.225, 0.775))
    easy = decision_bands(*column([(0.05, 0, 100), (0.4, 20, 40), (0.6, 40, 20), (0.95, 100, 0)]), rate=0.8)
    assert (easy.low[0], easy.high[0]) == pytest.approx((0.5, 0.5))


def test_thin_labels_have_wider_bands_than_thick_ones_of_the_same_shares() -> None:
    shares = [(0.05, 0, 10), (0.3, 1, 9), (0.7, 9, 1), (0.95, 10, 0)]
    widths = []
    for times in (1, 2, 20):
        bands = decision_bands(*column([(p, a * times, b * times) for p, a, b in shares]))
        widths.append(float(bands.high[0] - bands.low[0]))
    assert widths[0] == 1.0  # 10 of 10 are no proof of 0.9
    assert widths[0] > widths[1] > widths[2]


@pytest.mark.parametrize("pairs", [[(0.2, 0, 50)], [(0.2, 50, 0)], [(0.1, 0, 50), (0.9, 9, 0)], []])
def test_without_support_nothing_is_sure(pairs: list[tuple[float, int, int]]) -> None:
    p, t = column(pairs) if pairs else (np.array([[0.3]]), np.array([[-1]]))
    bands = decision_bands(p, t)
    assert (bands.thresholds[0], bands.low[0], bands.high[0]) == (0.5, 0.0, 1.0)
    assert bands.yes[0] == bands.no[0] == 0


def test_unknown_entries_count_nowhere() -> None:
    p, t = drawn(600, 3)
    masked = np.where(np.random.default_rng(1).random(t.shape) < 0.3, -1, t)
    bands = decision_bands(p, masked)
    for label in range(3):
        known = masked[:, label] >= 0
        alone = decision_bands(p[known][:, [label]], masked[known][:, [label]])
        assert (alone.low[0], alone.high[0], alone.thresholds[0]) == (
            bands.low[label],
            bands.high[label],
            bands.thresholds[label],
        )


def test_decisions_keep_the_rate_on_other_persons() -> None:
    p, t = drawn(3000, 6)
    bands = decision_bands(p, t)
    labels = tuple(dataclasses.replace(label, group="") for label in METADATA.labels)
    model = with_decisions(dataclasses.replace(METADATA, labels=labels, groups=()), bands)
    others, truth = drawn(20_000, 6, seed=7)
    figures = decision_figures(decide(others.astype(np.float32), rules_of(model)), truth, labels)
    for label in labels:
        (yes_right, yes), (no_right, no) = figures[label.id]["yes"], figures[label.id]["no"]
        assert yes_right / yes >= 0.88 and no_right / no >= 0.88
        assert min(yes, no) > 1000
    assert 0.4 < figures["all"]["decided"] < 0.95


def test_balanced_bands_do_not_depend_on_how_common_a_label_is() -> None:
    few = decision_bands(*column([(0.1, 5, 900), (0.9, 45, 100)]))
    assert few.low[0] == pytest.approx(0.5)  # a no is right 99 times of 100, because hardly anybody has it
    assert few.high[0] == 1.0
    fair = decision_bands(*column([(0.1, 5, 900), (0.9, 45, 100)]), balanced=True)
    assert fair.low[0] == 0.0  # but of those who have it one in ten is among them
    assert fair.high[0] == 1.0
    assert decision_bands(*column([(0.1, 1, 900), (0.9, 99, 20)]), balanced=True).high[0] == pytest.approx(0.5)


@given(st.integers(0, 2**32), st.sampled_from([0.7, 0.9]), st.booleans())
@settings(max_examples=60)
def test_laws_of_bands(seed: int, rate: float, balanced: bool) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 80))
    p = rng.random((count, 1)).round(int(rng.integers(0, 4)))  # with equal ones, 0 and 1 among them
    t = np.where(rng.random((count, 1)) < 0.1, -1, rng.random((count, 1)) < p).astype(np.int8)
    bands = decision_bands(p, t, rate=rate, least=2, balanced=balanced)
    low, threshold, high = float(bands.low[0]), float(bands.thresholds[0]), float(bands.high[0])
    assert 0 <= low <= threshold <= high <= 1
    known = t[:, 0] >= 0
    if high < 1:
        assert bands.yes[0] == (p[known, 0] > high).sum() or bands.yes[0] == (p[known, 0] >= high).sum()
        assert balanced or bands.yes_right[0] / bands.yes[0] >= rate
    if low > 0:
        assert balanced or bands.no_right[0] / bands.no[0] >= rate


@pytest.mark.parametrize(
    ("p", "t"),
    [
        ([[math.nan]], [[1]]),
        ([[1.1]], [[1]]),
        ([[0.5]], [[2]]),
        ([[0.5]], [[math.nan]]),
        ([[0.5]], [[1, 0]]),
        ([0.5], [1]),
        (np.zeros((0, 2)), np.zeros((0, 2))),
    ],
)
def test_what_is_no_measurement_is_refused(p: object, t: object) -> None:
    for measure in (decision_bands, group_margin):
        with pytest.raises(ArgumentError):
            measure(np.array(p), np.array(t))
    with pytest.raises(ArgumentError):
        decision_bands(np.array([[0.5]]), np.array([[1]]), rate=1.0)


def test_the_margin_of_a_group() -> None:
    far = [([0.8, 0.1, 0.1], 0)] * 60
    near = [([0.3, 0.35, 0.2], 0)] * 20 + [([0.3, 0.35, 0.2], 1)] * 20
    unknown = [([0.9, 0.05, 0.0], None)] * 40
    p = np.array([row for row, _ in far + near + unknown])
    t = np.array(
        [[1 if k == own else 0 if own is not None else -1 for k in range(3)] for _, own in far + near + unknown]
    )
    assert group_margin(p, t) == pytest.approx(0.8 / 0.9)
    assert group_margin(p, t, rate=0.7) == pytest.approx(0.35 / 0.65)
    assert group_margin(p[60:100], t[60:100]) == 1.0
    assert group_margin(p[100:], t[100:]) == 1.0  # nobody is known
    assert group_margin(p[:, :1], t[:, :1]) is None


def test_a_description_takes_what_was_measured() -> None:
    p, t = drawn(500, 6)
    rows = (
        HeightError(from_px=10, to_px=40, error=0.4, persons=31),
        HeightError(from_px=40, to_px=None, error=0.2, persons=500),
    )
    groups = groups_with_margins(METADATA, p, t)
    assert groups[0].margin is not None and groups[1].margin is None
    judgement = judgement_of(rows, worst=0.3, label="l5", threshold=0.43219)
    bands = decision_bands(p, t)
    model = with_decisions(METADATA, bands, groups=groups, judgement=judgement)
    assert model.own_thresholds
    assert model.judgement == judgement and judgement.min_height_px == 40 and judgement.threshold == 0.4322
    assert model.labels[5].uncertain is None
    for label, low, high in zip(model.labels[:5], bands.low, bands.high, strict=False):
        assert label.uncertain is not None
        assert low - 1e-4 < label.uncertain[0] <= low and high <= label.uncertain[1] < high + 1e-4
    assert from_json(to_json(model)) == model
    assert json.loads(json.dumps(bands.to_json(METADATA.labels)))["labels"]["l0"]["positives"] == t[:, 0].sum()
    with pytest.raises(ArgumentError):
        with_decisions(METADATA, decision_bands(p[:, :5], t[:, :5]))


def test_decisions_are_counted_by_label() -> None:
    decisions = np.array([[YES, NO], [NO, NO], [-1, YES], [YES, -1]], np.int8)
    targets = np.array([[1, 0], [1, -1], [1, 0], [-1, 1]])
    figures = decision_figures(decisions, targets, METADATA.labels[:2])
    assert figures["l0"] == {"known": 3, "decided": 0.6667, "yes": [1, 1], "no": [0, 1]}
    assert figures["l1"] == {"known": 3, "decided": 0.6667, "yes": [0, 1], "no": [1, 1]}
    assert figures["all"]["yes"] == [1, 2]
    assert decision_figures(decisions, -np.ones((4, 2)), METADATA.labels[:2])["all"]["decided"] is None


def people(*groups: tuple[float, int, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(height, how many, share of wrong answers): two labels, half of the persons have each."""
    p, t, h = [], [], []
    for height, count, wrong in groups:
        for i in range(count):
            truth = i % 2
            right = (i // 2) >= wrong * count / 2
            p.append([0.9 if truth == right else 0.1] * 2)
            t.append([truth] * 2)
            h.append(height)
    return np.array(p), np.array(t), np.array(h, float)


def test_error_by_height_and_the_height_from_which_on_it_is_small() -> None:
    rows = error_by_height(*people((20, 100, 0.5), (40, 100, 0.4), (80, 100, 0.2), (300, 100, 0.1)), thresholds=0.5)
    ranges = [(r.from_px, r.to_px, r.persons) for r in rows]
    assert ranges == [(20, 24, 100), (24, 48, 100), (48, 96, 100), (96, None, 100)]
    assert [r.error for r in rows] == pytest.approx([0.5, 0.4, 0.2, 0.1])
    assert min_judgeable_height(rows, worst=0.3) == 48
    assert min_judgeable_height(rows, worst=0.45) == 24
    assert min_judgeable_height(rows, worst=0.5) == 0
    with pytest.raises(ArgumentError):
        min_judgeable_height(rows, worst=0.05)
    with pytest.raises(ArgumentError):
        min_judgeable_height((), worst=0.5)


def test_thin_ranges_of_height_are_joined() -> None:
    rows = error_by_height(*people((20, 10, 0.5), (28, 30, 0.5), (300, 60, 0.0), (500, 8, 0.0)), thresholds=0.5)
    assert [(r.from_px, r.to_px, r.persons) for r in rows] == [(20, 32, 40), (32, None, 68)]
    assert error_by_height(*people((20, 10, 0.5)), thresholds=0.5) == ()


def test_labels_weigh_alike_in_the_error_by_height() -> None:
    """A label with a hundred entries and one with ten thousand: half right on one side each."""
    p, t, h = people((100, 200, 0.0))
    p[:, 1], t[:, 1] = 0.9, np.where(np.arange(200) < 20, t[:, 1], -1)  # ten of each kind, all said yes
    (row,) = error_by_height(p, t, h, thresholds=np.array([0.5, 0.5]), edges_px=(0.0,))
    assert row.error == pytest.approx(0.25)  # nothing missed; of what is not so, one label right, one wrong


@pytest.mark.parametrize("heights", [[1.0], [1.0, math.nan], [[1.0, 2.0]]])
def test_wrong_heights_are_refused(heights: object) -> None:
    with pytest.raises(ArgumentError):
        error_by_height(np.full((2, 1), 0.5), np.ones((2, 1)), np.array(heights), thresholds=0.5)
    with pytest.raises(ArgumentError):
        error_by_height(np.full((1, 1), 0.5), np.ones((1, 1)), np.ones(1), thresholds=0.5, edges_px=(5, 4))


def test_the_threshold_of_who_cannot_be_judged() -> None:
    scores = np.array([0.9] * 20 + [0.8] * 10 + [0.7] * 10 + [0.1] * 100 + [0.95] * 5)
    quality = np.array([1] * 20 + [1] * 5 + [2] * 5 + [3] * 10 + [2] * 100 + [0] * 5)
    found = judgement_threshold(scores, quality)
    assert (found.threshold, found.found, found.wrong) == (pytest.approx(0.75), 25, 5)
    assert (found.useless, found.usable) == (25, 115)
    assert found.auc > 0.95
    strict = judgement_threshold(scores, quality, rate=0.95)
    assert (strict.threshold, strict.found, strict.wrong) == (pytest.approx(0.85), 20, 0)


def test_nobody_is_flagged_where_that_cannot_be_measured() -> None:
    few = judgement_threshold(np.array([0.9, 0.1]), np.array([1, 2]))
    assert (few.threshold, few.found, few.wrong) == (1.0, 0, 0)
    assert math.isnan(judgement_threshold(np.full(40, 0.5), np.full(40, 3)).auc)
    backwards = judgement_threshold(np.array([0.1] * 20 + [0.9] * 200), np.array([1] * 20 + [3] * 200))
    assert backwards.threshold == 1.0
    with pytest.raises(ArgumentError):
        judgement_threshold(np.array([math.nan]), np.array([1]))


def test_everything_in_one_call_and_through_a_file() -> None:
    p, t = drawn(800, 6)
    t = np.where((t[:, [5]] == 1) & (np.arange(6) < 5), -1, t)  # of who cannot be judged nothing else is known
    heights = error_by_height(p[:, :5], t[:, :5], np.linspace(20, 400, 800), thresholds=0.5)
    model, figures = measure_decisions(METADATA, p, t, heights=heights, worst=0.45, judge="l5")
    assert model.judgement is not None and model.judgement.label == "l5"
    assert 0 < model.judgement.threshold < 1
    assert model.judgement.error_rates == heights
    assert set(figures["labels"]) == {"l0", "l1", "l2", "l3", "l4"}
    assert figures["unclear"]["found"] > figures["unclear"]["wrong"] > 0
    written = json.loads(json.dumps({"figures": figures, "parts": parts_of(model)}, allow_nan=False))
    assert with_parts(METADATA, written["parts"]) == model
    with pytest.raises(ArgumentError):
        with_parts(dataclasses.replace(METADATA, labels=METADATA.labels[::-1]), written["parts"])
    with pytest.raises(ArgumentError):
        with_parts(METADATA, {**written["parts"], "card": {}})
    with pytest.raises(ArgumentError):
        measure_decisions(METADATA, p, t, heights=heights, worst=0.45, judge="nobody")


def test_a_model_without_a_judging_output_goes_by_height_alone() -> None:
    p, t = drawn(300, 6)
    heights = (HeightError(from_px=10, to_px=None, error=0.2, persons=300),)
    model, figures = measure_decisions(METADATA, p, t, heights=heights, worst=0.3)
    assert model.judgement is not None
    assert (model.judgement.label, model.judgement.min_height_px) == (None, 0)
    assert "unclear" not in figures
    assert len(rules_of(model).thresholds) == 6
