# SPDX-License-Identifier: Apache-2.0
"""How good attribute probabilities are: AUC, mA, colour accuracy; calibration and thresholds fitted on training data.

Entries that nobody could tell (-1) count nowhere. Every figure comes with its support. Sums of decisions (precision,
instance figures, the original's own) are in `counts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .counts import count_decisions, mean_accuracy_of, mean_of

MIN_SUPPORT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFigures:
    """One label on one set: support, area under the ROC curve, mean accuracy at a threshold."""

    positives: int
    negatives: int
    auc: float
    mean_accuracy: float

    @property
    def supported(self) -> bool:
        """Whether there are enough of both kinds for the figure to count in a mean."""
        return min(self.positives, self.negatives) >= MIN_SUPPORT


def auc(scores: NDArray[Any], targets: NDArray[Any]) -> float:
    """Area under the ROC curve, ties counted half; NaN when one kind is missing.

    Args:
        scores: (N,) higher means more likely. targets: (N,) 1 or 0.
    """
    positives = int((targets > 0.5).sum())
    negatives = len(targets) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    _, where, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[where]  # equal scores share their mean rank
    return float((ranks[targets > 0.5].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def mean_accuracy(decisions: NDArray[np.bool_], targets: NDArray[Any]) -> float:
    """Half the recall of positives plus half the recall of negatives; NaN when one kind is missing."""
    holds = targets > 0.5
    if not holds.any() or holds.all():
        return float("nan")
    return float((decisions[holds].mean() + (~decisions[~holds]).mean()) / 2)


def label_figures(
    probabilities: NDArray[Any], targets: NDArray[Any], *, thresholds: NDArray[Any] | float = 0.5
) -> list[LabelFigures]:
    """Figures of each label; (N, C) probabilities and targets (1, 0, -1 unknown), thresholds (C,) or one."""
    limits = np.broadcast_to(np.asarray(thresholds, np.float64), (probabilities.shape[1],))
    figures = []
    for label in range(probabilities.shape[1]):
        known = targets[:, label] >= 0
        p, t = probabilities[known, label], targets[known, label]
        positives = int((t > 0.5).sum())
        figures.append(
            LabelFigures(
                positives=positives,
                negatives=int(known.sum()) - positives,
                auc=auc(p, t),
                mean_accuracy=mean_accuracy(p > limits[label], t),
            )
        )
    return figures


def mean_auc(figures: list[LabelFigures]) -> float:
    """Mean AUC over the labels with enough support."""
    supported = [f.auc for f in figures if f.supported]
    return float(np.mean(supported)) if supported else float("nan")


def group_accuracy(probabilities: NDArray[Any], targets: NDArray[Any], group: slice) -> tuple[float, int]:
    """Share of crops whose likeliest word of an exclusive group is the labelled one, and how many crops had one."""
    known = targets[:, group].max(axis=1) > 0
    right = probabilities[known, group].argmax(axis=1) == targets[known, group].argmax(axis=1)
    return (float(right.mean()) if known.any() else float("nan")), int(known.sum())


def fit_platt(logits: NDArray[Any], targets: NDArray[Any], *, prior_strength: float = 5.0) -> tuple[float, float]:
    """Scale and bias that turn logits into probabilities: sigmoid(scale * logit + bias).

    Args:
        logits: (N,). targets: (N,) 1 or 0.
        prior_strength: pull towards scale 1, bias 0, worth so many crops; keeps thin labels sane.
    Returns:
        scale (positive) and bias.
    Source: Platt 1999, with a Gaussian prior in place of smoothed targets.
    """
    t = (targets > 0.5).astype(np.float64)
    design = np.stack([logits.astype(np.float64), np.ones(len(logits))], axis=1)  # (N, 2)
    start, pull = np.array([1.0, 0.0]), prior_strength * np.array([1.0, 0.1])

    def cost(x: NDArray[np.float64]) -> float:
        y = design @ x
        return float((np.logaddexp(0, y) - t * y).sum() + 0.5 * (pull * (x - start) ** 2).sum())

    x = start
    for _ in range(100):  # Newton with halved steps: the cost is convex, but far from its minimum nearly flat
        p = 1 / (1 + np.exp(-np.clip(design @ x, -60, 60)))
        gradient = design.T @ (p - t) + pull * (x - start)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag(pull)
        step = np.linalg.solve(hessian, gradient)
        while cost(x - step) > cost(x) and np.abs(step).max() > 1e-9:
            step = step / 2
        x = x - step
        if np.abs(step).max() < 1e-8:
            break
    return float(max(x[0], 0.05)), float(x[1])


def fit_calibration(logits: NDArray[Any], targets: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(C,) scales and biases, label by label, over the entries that are known; (N, C) logits and targets."""
    pairs = []
    for label in range(logits.shape[1]):
        known = targets[:, label] >= 0
        pairs.append(fit_platt(logits[known, label], targets[known, label]))
    scales, biases = np.array(pairs, np.float32).T
    return scales, biases


def expected_calibration_error(probabilities: NDArray[Any], targets: NDArray[Any], *, bins: int = 10) -> float:
    """Mean gap between probability and share of positives, over equal-width bins, all known entries together."""
    known = targets >= 0
    p, t = probabilities[known], targets[known] > 0.5
    index = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [
        abs(p[index == b].mean() - t[index == b].mean()) * (index == b).sum() for b in range(bins) if (index == b).any()
    ]
    return float(sum(gaps) / max(len(p), 1))


def summary_figures(probabilities: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
    """The few figures that steer a run: `mA`, mean `auc`, mean `f1`, the decisions at 0.5.

    Args:
        probabilities, targets: (N, C); -1 counts nowhere.
    Returns:
        means over the labels with positives and negatives, however few; NaN where no label has both (mA then takes
        the half it can tell).
    """
    counts = count_decisions(probabilities > 0.5, targets)
    areas = np.array([auc(p[t >= 0], t[t >= 0]) for p, t in zip(probabilities.T, targets.T, strict=True)])
    return {
        "mA": mean_accuracy_of(counts),
        "auc": mean_of(areas, counts.both_kinds),
        "f1": mean_of(counts.f1, counts.both_kinds),
    }


def average_precision(scores: NDArray[Any], targets: NDArray[Any]) -> float:
    """Area under the precision-recall curve, as steps; equal scores are one step. NaN without positives.

    Args:
        scores: (N,) higher means more likely. targets: (N,) 1 or 0.
    """
    recall, precision = precision_recall(scores, targets)
    return float((np.diff(recall, prepend=0.0) * precision).sum()) if len(recall) else float("nan")


def precision_recall(scores: NDArray[Any], targets: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recall (rising) and precision (K,) when everything from each of the K different scores upwards is chosen."""
    positives = int((targets > 0.5).sum())
    if positives == 0:
        return np.zeros(0), np.zeros(0)
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(targets[order] > 0.5)
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # of each run of equal scores
    return found[last] / positives, found[last] / (last + 1)


def reliability_bins(
    probabilities: NDArray[Any], targets: NDArray[Any], *, bins: int = 10
) -> list[dict[str, float | int | None]]:
    """For each equal-width bin: `low`, `high`, `count`, `mean_probability` and `share` of positives, None when empty.

    All known entries of (N, C) together; `expected_calibration_error` sums up the same bins.
    """
    known = targets >= 0
    p, t = probabilities[known], targets[known] > 0.5
    index = np.minimum((p * bins).astype(int), bins - 1)
    rows: list[dict[str, float | int | None]] = []
    for b in range(bins):
        inside = index == b
        some = bool(inside.any())
        rows.append(
            {
                "low": b / bins,
                "high": (b + 1) / bins,
                "count": int(inside.sum()),
                "mean_probability": float(p[inside].mean()) if some else None,
                "share": float(t[inside].mean()) if some else None,
            }
        )
    return rows
