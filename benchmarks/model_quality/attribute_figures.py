# SPDX-License-Identifier: Apache-2.0
"""Figures of attribute probabilities: by label, in the mean, with intervals, and gaps between groups of people.

Every figure is a weighted one, so the bootstrap is the same sum with other weights: whole photos (or persons) are
drawn with replacement, and a crop weighs as often as its photo was drawn. Labels are counted in a mean when they have
at least ten positives and ten negatives among all crops; the draws keep that choice of labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_SUPPORT = 10
BINS = 10
RESAMPLES = 300
BLOCK = 16  # draws at a time: the weights of 20,000 crops then stay in the processor's cache

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Answers beside truth.

    Attributes:
        label_ids: C labels.
        probabilities: (N, C). targets: (N, C) 1, 0, -1 unknown. thresholds: (C,) stored in the model.
        clusters: (N,) what the bootstrap draws.
    """

    label_ids: tuple[str, ...]
    probabilities: NDArray[np.float32]
    targets: NDArray[np.int8]
    thresholds: Floats
    clusters: NDArray[np.str_]

    def rows(self, chosen: Bools) -> Scored:
        """Only these crops."""
        return Scored(
            label_ids=self.label_ids,
            probabilities=self.probabilities[chosen],
            targets=self.targets[chosen],
            thresholds=self.thresholds,
            clusters=self.clusters[chosen],
        )

    def labels(self, chosen: Sequence[str]) -> Scored:
        """Only these labels, in this order."""
        columns = [self.label_ids.index(label) for label in chosen]
        return Scored(
            label_ids=tuple(chosen),
            probabilities=self.probabilities[:, columns],
            targets=self.targets[:, columns],
            thresholds=self.thresholds[columns],
            clusters=self.clusters,
        )

    @property
    def support(self) -> NDArray[np.int64]:
        """(C, 2) positives and negatives."""
        return np.stack([(self.targets == 1).sum(axis=0), (self.targets == 0).sum(axis=0)], axis=1)

    @property
    def supported(self) -> Bools:
        """(C,) labels with enough of both."""
        return np.asarray((self.support >= MIN_SUPPORT).all(axis=1))


def draws(clusters: NDArray[np.str_], *, count: int = RESAMPLES, seed: int = 0) -> Floats:
    """(1 + R, N) weights of crops: the first row takes each once, the others are draws of whole clusters."""
    if not len(clusters):
        return np.zeros((1 + count, 0))
    names, index = np.unique(clusters, return_inverse=True)
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=count)
    return np.concatenate([np.ones((1, len(clusters))), counts[:, index].astype(np.float64)])


def weighted_auc(scores: NDArray[Any], holds: Bools, weights: Floats) -> Floats:
    """(R,) area under the ROC curve for each row of (R, N) weights, ties counted half; NaN without one kind."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # of each run of equal scores
    if not len(starts):
        return np.full(len(weights), np.nan)
    blocks = (weights[i : i + BLOCK][:, order] for i in range(0, len(weights), BLOCK))
    return np.concatenate([_auc_of_sorted(w, holds[order], starts) for w in blocks])


def _auc_of_sorted(weights: Floats, holds: Bools, starts: NDArray[np.int64]) -> Floats:
    """The same for a block of rows, crops in the order of their scores."""
    positive = np.add.reduceat(weights * holds, starts, axis=1)  # (R, K) by different score
    negative = np.add.reduceat(weights * ~holds, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((positive * (below + negative / 2)).sum(axis=1) / pairs)


def weighted_ap(scores: NDArray[Any], holds: Bools, weights: Floats) -> Floats:
    """(R,) average precision, steps of equal scores taken at once; NaN without positives."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True)) if len(scores) else np.zeros(0, np.int64)
    if not len(ends):
        return np.full(len(weights), np.nan)
    w = weights[:, order]
    found = np.cumsum(w * holds[order], axis=1)[:, ends]
    chosen = np.cumsum(w, axis=1)[:, ends]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(chosen > 0, found / chosen, 0.0)
        recall = found / found[:, -1:]
    return np.asarray((np.diff(recall, axis=1, prepend=0.0) * precision).sum(axis=1))


def weighted_recall(decisions: Bools, holds: Bools, weights: Floats) -> Floats:
    """(R,) share of the crops that `holds` for which the decision is true; NaN without any."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(weights @ (decisions & holds) / (weights @ holds.astype(np.float64)))


def weighted_ma(decisions: Bools, holds: Bools, weights: Floats) -> Floats:
    """(R,) half the recall of positives plus half that of negatives."""
    return (weighted_recall(decisions, holds, weights) + weighted_recall(~decisions, ~holds, weights)) / 2


def weighted_ece(probabilities: NDArray[Any], targets: NDArray[np.int8], weights: Floats) -> Floats:
    """(R,) expected calibration error over ten bins of equal width, all known entries of (N, C) together."""
    known = targets >= 0
    bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    gaps = np.where(known, probabilities.astype(np.float64) - (targets == 1), 0.0)
    by_bin = np.stack([(gaps * (bins == b)).sum(axis=1) for b in range(BINS)], axis=1)  # (N, bins)
    entries = weights @ known.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.abs(weights @ by_bin).sum(axis=1) / entries)


def label_curves(scored: Scored, weights: Floats) -> dict[str, dict[str, Floats]]:
    """For each label (R,) `auc`, `ma_half`, `ma_stored`, `recall`, `false_alarms`, and (1,) `ap`, `ece`.

    `ma_half` decides at 0.5; `ma_stored`, `recall` and `false_alarms` at the thresholds in the model.
    """
    curves = {}
    for column, label in enumerate(scored.label_ids):
        known = scored.targets[:, column] >= 0
        p, w = scored.probabilities[known, column], weights[:, known]
        holds = scored.targets[known, column] == 1
        stored = p > scored.thresholds[column]
        curves[label] = {
            "auc": weighted_auc(p, holds, w),
            "ap": weighted_ap(p, holds, w[:1]),
            "ma_half": weighted_ma(p > 0.5, holds, w),
            "ma_stored": weighted_ma(stored, holds, w),
            "ece": weighted_ece(p[:, None], scored.targets[known, column][:, None], w[:1]),
            "recall": weighted_recall(stored, holds, w),
            "false_alarms": weighted_recall(stored, ~holds, w),
        }
    return curves


def figures(scored: Scored, *, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Everything about one set of crops.

    Returns:
        `summary`, means over the supported labels with intervals, and calibration error over all known entries;
        `labels`, a row for each label.
    """
    weights = draws(scored.clusters, count=resamples)
    curves = label_curves(scored, weights)
    rows = []
    for column, label in enumerate(scored.label_ids):
        positives, negatives = (int(n) for n in scored.support[column])
        row: dict[str, Any] = {
            "label": label,
            "positives": positives,
            "negatives": negatives,
            "supported": bool(scored.supported[column]),
            "threshold": rounded(scored.thresholds[column]),
        }
        row |= {name: rounded(values[0]) for name, values in curves[label].items()}
        rows.append(row | {"auc_interval": interval(curves[label]["auc"])})
    return {"summary": _summary(scored, curves, weights), "labels": rows}


def _summary(scored: Scored, curves: dict[str, dict[str, Floats]], weights: Floats) -> dict[str, Any]:
    counted = [label for label, good in zip(scored.label_ids, scored.supported, strict=True) if good]
    out: dict[str, Any] = {
        "crops": len(scored.clusters),
        "clusters": len(np.unique(scored.clusters)),
        "labels": len(counted),
        "counted": counted,
    }
    for name in ("auc", "ma_half", "ma_stored"):
        out |= _with_interval(f"mean_{name}", _mean([curves[label][name] for label in counted]))
    for name in ("ap", "ece"):
        out[f"mean_label_{name}"] = rounded(_mean([curves[label][name] for label in counted])[0])
    return out | _with_interval("ece", weighted_ece(scored.probabilities, scored.targets, weights))


def _mean(curves: Sequence[Floats]) -> Floats:
    """Mean over labels of (R,) values; a draw without one kind of a label leaves this label out."""
    if not curves:
        return np.full(1, np.nan)
    table = np.stack(curves)
    known = np.isfinite(table)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, table, 0.0).sum(axis=0) / known.sum(axis=0))


def _with_interval(name: str, values: Floats) -> dict[str, Any]:
    return {name: rounded(values[0]), f"{name}_interval": interval(values)}


def interval(values: Floats) -> list[float] | None:
    """The middle 95 % of the draws (all but the first value), None where there are none."""
    drawn = values[1:][np.isfinite(values[1:])]
    return [rounded(v) or 0.0 for v in np.percentile(drawn, [2.5, 97.5])] if len(drawn) else None


def rounded(value: float) -> float | None:
    """Four digits; None for what is not defined, as JSON has no NaN."""
    return round(float(value), 4) if np.isfinite(value) else None


def colour_accuracy(scored: Scored, group: Sequence[str], *, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Share of crops whose likeliest word of an exclusive group is the labelled one, and by word."""
    part = scored.labels(group)
    known = part.targets.max(axis=1, initial=-1) == 1
    part = part.rows(known)
    truth, said = part.targets.argmax(axis=1), part.probabilities.argmax(axis=1)
    right = truth == said
    weights = draws(part.clusters, count=resamples)
    with np.errstate(invalid="ignore"):
        shares = weights @ right / weights.sum(axis=1)
    words = {
        label: {"crops": int((truth == i).sum()), "right": rounded(right[truth == i].mean())}
        for i, label in enumerate(group)
        if (truth == i).any()
    }
    return {"crops": int(known.sum()), **_with_interval("accuracy", shares), "words": words}


def gaps(scored: Scored, first: Bools, second: Bools, *, resamples: int = RESAMPLES) -> dict[str, Any]:
    """The same label in two groups of crops: first minus second, with intervals.

    Returns:
        `labels`, a row for each label with support in both; `mean_auc`, `mean_recall`, the means of the differences.
    """
    parts = [scored.rows(first), scored.rows(second)]
    shared = [label for i, label in enumerate(scored.label_ids) if parts[0].supported[i] and parts[1].supported[i]]
    weights = draws(scored.clusters, count=resamples)  # one photo may show both groups: one draw for both
    curves = [
        label_curves(part.labels(shared), weights[:, rows]) for part, rows in zip(parts, (first, second), strict=True)
    ]
    rows = []
    for label in shared:
        column = scored.label_ids.index(label)
        row: dict[str, Any] = {
            "label": label, "first_support": parts[0].support[column].tolist(),
            "second_support": parts[1].support[column].tolist(),
        }  # fmt: skip
        for name in ("auc", "recall", "false_alarms"):
            both = [curve[label][name] for curve in curves]
            row |= {f"first_{name}": rounded(both[0][0]), f"second_{name}": rounded(both[1][0])}
            row |= _with_interval(f"{name}_gap", both[0] - both[1])
        rows.append(row)
    out: dict[str, Any] = {"crops": [int(first.sum()), int(second.sum())], "labels": rows}
    for name in ("auc", "recall", "false_alarms"):
        out |= _with_interval(
            f"mean_{name}_gap", _mean([curves[0][label][name] - curves[1][label][name] for label in shared])
        )
    return out
