# SPDX-License-Identifier: Apache-2.0
"""Figures of attribute decisions, by label and by person: what the field calls label-based and instance-based.

Pure functions of numpy arrays. Targets are (N, C): 1 yes, 0 no, -1 not labelled; such entries count nowhere. Ranking
figures, which need scores and no decisions, are in `metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOGIT_AT_HALF = 0.5
# The original compares logits with 0.5; as a probability that is this.
PADDLE_THRESHOLD = float(1 / (1 + np.exp(-LOGIT_AT_HALF)))

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """True and false positives and negatives of each label, four arrays (C,) int64."""

    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    tn: NDArray[np.int64]
    fn: NDArray[np.int64]

    @property
    def both_kinds(self) -> NDArray[np.bool_]:
        """(C,) whether a label has positives and negatives."""
        return (self.tp + self.fn > 0) & (self.tn + self.fp > 0)

    @property
    def mean_accuracy(self) -> Floats:
        """(C,) half the recall of positives plus half that of negatives; the one there is where a kind is missing."""
        halves = np.stack([ratio(self.tp, self.tp + self.fn), ratio(self.tn, self.tn + self.fp)])
        there = np.isfinite(halves)
        return ratio(np.where(there, halves, 0).sum(axis=0), there.sum(axis=0))

    @property
    def precision(self) -> Floats:
        """(C,) NaN where the label was never chosen."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> Floats:
        """(C,) NaN without positives."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> Floats:
        """(C,) NaN where there is nothing to find and nothing was found."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def accuracy(self) -> Floats:
        """(C,) intersection over union of found and present, the field's label accuracy; NaN as `f1`."""
        return ratio(self.tp, self.tp + self.fp + self.fn)


def ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> Floats:
    """Element by element, NaN where the denominator is 0."""
    out = np.full(np.shape(denominator), np.nan)
    np.divide(numerator, denominator, out=out, where=np.asarray(denominator) > 0)
    return out


def mean_of(values: Floats, where: NDArray[np.bool_]) -> float:
    """Mean of the chosen finite values; NaN when there is none."""
    chosen = values[where & np.isfinite(values)]
    return float(chosen.mean()) if len(chosen) else float("nan")


def count_decisions(decisions: NDArray[np.bool_], targets: NDArray[Any]) -> Counts:
    """Count (N, C) decisions against (N, C) targets."""
    yes, no = targets == 1, targets == 0
    pairs = {"tp": yes & decisions, "fp": no & decisions, "tn": no & ~decisions, "fn": yes & ~decisions}
    return Counts(**{name: hits.sum(axis=0).astype(np.int64) for name, hits in pairs.items()})


def mean_accuracy_of(counts: Counts) -> float:
    """mA: mean over the labels that have positives and negatives; over what can be told when no label has both."""
    both = counts.both_kinds
    return mean_of(counts.mean_accuracy, both if both.any() else np.ones_like(both))


def label_means(counts: Counts) -> dict[str, float]:
    """Label-based figures: each label's own, then the mean over labels with positives and negatives.

    A label that was never chosen has precision 0 here, as the field counts it.
    """
    both = counts.both_kinds
    precision = np.where(np.isnan(counts.precision), 0.0, counts.precision)
    return {
        "mA": mean_accuracy_of(counts),
        "label_accuracy": mean_of(counts.accuracy, both),
        "label_precision": mean_of(precision, both),
        "label_recall": mean_of(counts.recall, both),
        "label_f1": mean_of(counts.f1, both),
    }


def instance_means(decisions: NDArray[np.bool_], targets: NDArray[Any]) -> dict[str, float]:
    """Instance-based figures: accuracy, precision, recall of each person's set of labels, their means, and their F1.

    A person without decisions, or without labels that hold, counts 0 in what cannot be divided; F1 is made from the
    two means.

    Source: Li et al., A Richly Annotated Dataset for Pedestrian Attribute Recognition, 2016; the original's ATTRMetric.
    """
    yes = targets == 1
    chosen = decisions & (targets != -1)
    both = (yes & chosen).sum(axis=1)
    figures = {}
    for name, whole in (("accuracy", yes | chosen), ("precision", chosen), ("recall", yes)):
        shares = ratio(both, whole.sum(axis=1))
        figures[f"instance_{name}"] = float(np.nan_to_num(shares).mean()) if len(shares) else float("nan")
    precision, recall = figures["instance_precision"], figures["instance_recall"]
    total = precision + recall
    figures["instance_f1"] = 2 * precision * recall / total if total > 0 else 0.0 * total
    return figures


def paddle_figures(
    scores: NDArray[Any], targets: NDArray[Any], *, threshold: float = PADDLE_THRESHOLD
) -> Mapping[str, float]:
    """What the original prints, with its quirks, for comparison.

    Args:
        scores: (N, C) probabilities; the original compares logits with 0.5, hence the default threshold of 0.622.
        targets: (N, C).
    Returns:
        its eight figures under its names. A label without positives has recall 0 there, and `label_f1` combines each
        label's precision with the mean recall of all.
    Source: PaddleClas ATTRMetric, spec/paddlex-par.md section 5.4; fixtures train/metrics.
    """
    decisions = scores > threshold
    counts = count_decisions(decisions, targets)
    positive, negative, precision = (
        np.nan_to_num(v) for v in (counts.recall, ratio(counts.tn, counts.tn + counts.fp), counts.precision)
    )
    recall = positive.mean()
    instance = instance_means(decisions, targets)
    return {
        "ma": float(((positive + negative) / 2).mean()),
        "label_f1": float(np.nan_to_num(ratio(2 * precision * recall, precision + recall)).mean()),
        "label_pos_recall": float(recall),
        "label_neg_recall": float(negative.mean()),
        "instance_f1": instance["instance_f1"],
        "instance_acc": instance["instance_accuracy"],
        "instance_prec": instance["instance_precision"],
        "instance_recall": instance["instance_recall"],
    }
