"""The record of an attribute evaluation: what is in it, thresholds tuned without cheating, gaps between cameras."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from passerby.datasets.records import LabelSet
from passerby.formats.metadata import Group, Label
from passerby.training.attributes.counts import count_decisions, mean_accuracy_of, paddle_figures
from passerby.training.attributes.evaluation import (
    cross_tuned_decisions,
    evaluate_attributes,
    set_thresholds,
    tuned_thresholds,
)

LABEL_SET = LabelSet(
    labels=(
        Label(id="young", en="Young", group="age"),
        Label(id="old", en="Old", group="age"),
        Label(id="hat", en="Hat"),
    ),
    groups=(Group(id="age", en="Age"),),
    thresholds=(None, 0.4, 0.7),
)


@pytest.fixture(scope="module")
def crops():
    """200 crops whose probabilities are worth something; the hat's are far too low; a tenth is not labelled."""
    rng = np.random.default_rng(8)
    truth = np.zeros((200, 3), np.int8)
    old = rng.random(200) < 0.4
    truth[:, 0], truth[:, 1] = ~old, old
    truth[:, 2] = rng.random(200) < 0.3
    logits = (2.0 * truth - 1) * 1.2 + rng.normal(size=truth.shape) - np.array([0, 0, 3])
    targets = truth.copy()
    targets[rng.random(truth.shape) < 0.1] = -1
    return 1 / (1 + np.exp(-logits)), targets


def test_every_kind_of_threshold_has_its_figures(crops):
    figures = evaluate_attributes(*crops, LABEL_SET).to_json()
    assert set(figures["at"]) == {"plain", "set", "tuned"}
    assert set(figures["at"]["plain"]) == {
        *("mA", "label_accuracy", "label_precision", "label_recall", "label_f1"),
        *("instance_accuracy", "instance_precision", "instance_recall", "instance_f1"),
    }
    hat = figures["labels"][2]
    assert hat["id"] == "hat"
    assert hat["thresholds"]["plain"] == 0.5
    assert hat["thresholds"]["set"] == 0.7
    assert hat["thresholds"]["tuned"] < 0.2
    assert hat["at"]["plain"]["mean_accuracy"] < 0.6 < 0.8 < hat["auc"]
    assert figures["summary"]["mA"] == figures["at"]["plain"]["mA"]
    assert figures["summary"]["mA_tuned"] > figures["summary"]["mA"] + 0.1
    assert figures["tuned_on"] == "cross"
    assert "paddle" not in figures


def test_given_thresholds_replace_the_set_and_the_tuned_ones(crops):
    figures = evaluate_attributes(*crops, LABEL_SET, thresholds=[0.5] * 3, tuned=[0.5] * 3)
    assert figures.at["set"] == figures.at["tuned"] == figures.at["plain"]
    assert figures.tuned_on == "given"


def test_figures_survive_strict_json_whatever_is_missing():
    probabilities = np.array([[0.9, 0.2, 0.1], [0.3, 0.4, 0.2]])
    targets = np.array([[1, -1, 0], [-1, -1, 0]], np.int8)
    body = evaluate_attributes(probabilities, targets, LABEL_SET, columns=[{"camera": "a"}, {}], paddle=True).to_json()
    again = json.loads(json.dumps(body, allow_nan=False))
    assert again == body
    assert body["labels"][1]["auc"] is None
    assert body["curves"]["old"] == {"recall": [], "precision": []}


def test_the_originals_figures_come_on_request(crops):
    assert evaluate_attributes(*crops, LABEL_SET, paddle=True).paddle == paddle_figures(*crops)


def test_exclusive_groups_are_judged_by_their_likeliest_label(crops):
    probabilities, targets = crops
    (age,) = evaluate_attributes(probabilities, targets, LABEL_SET).groups
    known = targets[:, :2].max(axis=1) > 0
    right = probabilities[known, :2].argmax(axis=1) == targets[known, :2].argmax(axis=1)
    assert (age["id"], age["accuracy"], age["support"]) == ("age", pytest.approx(right.mean()), known.sum())


def test_set_thresholds_are_a_half_where_none_is_set():
    assert set_thresholds(LABEL_SET).tolist() == [0.5, 0.4, 0.7]
    assert set_thresholds(LabelSet(labels=LABEL_SET.labels)).tolist() == [0.5] * 3


@pytest.mark.parametrize("goal", ["mA", "f1"])
def test_no_threshold_of_a_grid_beats_the_tuned_one(crops, goal):
    probabilities, targets = crops

    def score(limits):
        counts = count_decisions(probabilities > limits, targets)
        return counts.mean_accuracy if goal == "mA" else counts.f1

    best = score(tuned_thresholds(probabilities, targets, goal=goal))
    for limit in np.linspace(0, 1, 401):
        assert (score(np.full(3, limit)) <= best + 1e-12).all()


def test_tuned_thresholds_stay_near_a_half_when_all_are_as_good():
    probabilities = np.array([[0.1], [0.2], [0.9], [0.95]])
    (threshold,) = tuned_thresholds(probabilities, np.array([[0], [0], [1], [1]]))
    assert threshold == pytest.approx(0.55)
    assert tuned_thresholds(probabilities, np.array([[1], [1], [1], [-1]])).tolist() == [0.5]


def test_tuning_that_saw_the_crops_promises_more_than_it_keeps():
    """On pure noise the honest figure stays at a half."""
    rng = np.random.default_rng(0)
    probabilities, targets = rng.random((60, 40)), rng.integers(0, 2, (60, 40)).astype(np.int8)
    cheated = mean_accuracy_of(count_decisions(probabilities > tuned_thresholds(probabilities, targets), targets))
    honest = mean_accuracy_of(count_decisions(cross_tuned_decisions(probabilities, targets), targets))
    assert cheated > 0.56
    assert honest == pytest.approx(0.5, abs=0.03)


def test_a_bad_camera_shows_as_a_gap(crops):
    probabilities, targets = crops
    probabilities = probabilities.copy()
    cameras = [{"camera": "north" if i % 2 else "south", "site": "only"} for i in range(200)]
    cameras[5] = {"site": "only"}
    probabilities[::2] = np.random.default_rng(1).random(probabilities[::2].shape)
    columns = evaluate_attributes(probabilities, targets, LABEL_SET, columns=cameras).columns
    assert columns["camera"]["values"]["north"]["samples"] == 99
    assert columns["camera"]["gap"]["auc"]["worst"] == "south"
    assert columns["camera"]["gap"]["auc"]["difference"] > 0.3
    assert columns["site"]["gap"] == {}


def test_gaps_compare_the_same_labels():
    """A camera without a single hat must not look better for it."""
    probabilities = np.tile([[0.9, 0.1, 0.9], [0.1, 0.9, 0.9]], (40, 1))
    targets = np.tile(np.array([[1, 0, 1], [0, 1, 0]], np.int8), (40, 1))
    targets[40:, 2] = 0
    cameras = [{"camera": "a" if i < 40 else "b"} for i in range(80)]
    columns = evaluate_attributes(probabilities, targets, LABEL_SET, columns=cameras).columns
    assert columns["camera"]["labels"] == 2
    assert columns["camera"]["gap"]["mA"]["difference"] == 0


def test_shapes_that_do_not_fit_are_refused(crops):
    with pytest.raises(ValueError, match="3 labels"):
        evaluate_attributes(crops[0][:, :2], crops[1][:, :2], LABEL_SET)


def test_evaluation_needs_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None; import passerby.training.attributes.evaluation as e; print(e.FOLDS)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "5"
