"""Figures of attributes against those of the original's code, and against sums done by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from passerby.training.attributes import metrics as metrics
from passerby.training.attributes.counts import (
    PADDLE_THRESHOLD,
    count_decisions,
    instance_means,
    label_means,
    mean_accuracy_of,
    paddle_figures,
)

FIXTURES = Path(__file__).parent / "data/fixtures/train"
RAW = "as PaddleClas runs it: raw logits > 0.5"


@pytest.fixture(scope="module")
def stored():
    with np.load(FIXTURES / "metrics.npz") as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def expected():
    return json.loads((FIXTURES / "metrics.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("case", "scores", "labels"),
    [
        (RAW, "logits", "labels"),
        ("on probabilities > 0.5", "probs", "labels"),
        ("probabilities, with -1 labels", "probs", "labels_with_minus1"),
    ],
)
def test_the_originals_figures_quirks_included(stored, expected, case, scores, labels):
    figures = paddle_figures(stored[scores], stored[labels], threshold=0.5)
    assert set(figures) == set(expected[case])
    assert figures == pytest.approx(expected[case], rel=1e-9)


def test_logits_against_a_half_are_probabilities_against_0_62(stored, expected):
    assert pytest.approx(0.6225, abs=1e-4) == PADDLE_THRESHOLD
    assert paddle_figures(stored["probs"], stored["labels"]) == pytest.approx(expected[RAW], rel=1e-9)


def test_instance_figures_are_the_fields_own(stored, expected):
    figures = instance_means(stored["probs"] > 0.5, stored["labels_with_minus1"])
    theirs = expected["probabilities, with -1 labels"]
    ours = {"instance_acc": "accuracy", "instance_prec": "precision", "instance_recall": "recall", "instance_f1": "f1"}
    for name, end in ours.items():
        assert figures[f"instance_{end}"] == pytest.approx(theirs[name], rel=1e-9)


def test_counts_and_means_by_hand():
    decisions = np.array([[1, 0], [1, 0], [0, 0], [1, 0], [0, 1]], bool)
    targets = np.array([[1, 0], [0, 1], [0, -1], [1, 1], [1, -1]], np.int8)
    counts = count_decisions(decisions, targets)
    assert [counts.tp.tolist(), counts.fp.tolist(), counts.tn.tolist(), counts.fn.tolist()] == [
        [2, 0],
        [1, 0],
        [1, 1],
        [1, 2],
    ]
    figures = label_means(counts)
    assert figures["mA"] == pytest.approx(((2 / 3 + 1 / 2) / 2 + (0 + 1) / 2) / 2)
    assert figures["label_accuracy"] == pytest.approx((2 / 4 + 0) / 2)
    assert figures["label_precision"] == pytest.approx((2 / 3 + 0) / 2)
    assert figures["label_f1"] == pytest.approx((4 / 6 + 0) / 2)


def test_a_label_without_positives_takes_no_part_in_mA():  # noqa: N802
    decisions = np.array([[1, 0], [0, 0]], bool)
    targets = np.array([[1, 0], [0, 0]], np.int8)
    assert mean_accuracy_of(count_decisions(decisions, targets)) == 1.0


def test_mA_falls_back_to_what_can_be_told():  # noqa: N802
    decisions = np.array([[1, 0], [1, 1]], bool)
    assert mean_accuracy_of(count_decisions(decisions, np.array([[1, 0], [1, 0]]))) == pytest.approx(0.75)
    assert np.isnan(mean_accuracy_of(count_decisions(decisions, np.full((2, 2), -1))))


def test_average_precision_by_hand_and_with_ties():
    scores, targets = np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, 0, 1, 0])
    assert metrics.average_precision(scores, targets) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert metrics.average_precision(np.full(4, 0.3), targets) == pytest.approx(0.5)
    assert np.isnan(metrics.average_precision(scores, np.zeros(4)))


def test_reliability_bins_add_up_to_the_calibration_error():
    rng = np.random.default_rng(1)
    probabilities = rng.random((200, 3))
    targets = (rng.random((200, 3)) < probabilities**2).astype(np.int8)
    targets[rng.random((200, 3)) < 0.1] = -1
    rows = metrics.reliability_bins(probabilities, targets)
    total = sum(row["count"] for row in rows)
    assert total == (targets >= 0).sum()
    error = sum(row["count"] * abs(row["mean_probability"] - row["share"]) for row in rows) / total
    assert error == pytest.approx(metrics.expected_calibration_error(probabilities, targets))
    assert error > 0.1
    assert metrics.reliability_bins(np.array([[1.0]]), np.array([[1]]))[0]["share"] is None


def test_summary_leaves_unknown_entries_out():
    probabilities = np.array([[0.9], [0.2], [0.8], [0.3]])
    targets = np.array([[1], [0], [-1], [-1]], np.int8)
    assert metrics.summary_figures(probabilities, targets) == {"mA": 1.0, "auc": 1.0, "f1": 1.0}
