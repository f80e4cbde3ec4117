# SPDX-License-Identifier: Apache-2.0
"""Everything an evaluation of attributes says, as one record that becomes JSON; no torch, no pictures, no files.

Probabilities come from `crops.measure` or from any engine; `report` makes text and pictures of the record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...datasets.records import LabelSet
from .counts import (
    Counts,
    count_decisions,
    instance_means,
    label_means,
    mean_of,
    paddle_figures,
)
from .metrics import (
    auc,
    average_precision,
    expected_calibration_error,
    group_accuracy,
    precision_recall,
    reliability_bins,
    summary_figures,
)

Goal = Literal["f1", "mA"]

PLAIN_THRESHOLD = 0.5
CURVE_POINTS = 100
FOLDS = 5
# A value of a column with fewer crops than this is listed, but takes no part in a gap.
COLUMN_SUPPORT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeFigures:
    """An evaluation.

    Attributes:
        samples: number of crops.
        summary: `mA`, `auc`, `f1`, `mAP`, `ece`; `mA_set` and `mA_tuned` at the other thresholds.
        at: by kind of threshold (`plain` is 0.5, `set`, `tuned`): label-based means (`mA`, `label_accuracy`,
            `label_precision`, `label_recall`, `label_f1`) and instance-based ones (`instance_accuracy`, ...).
        labels: for each label `id`, `en`, `group`, `positives`, `negatives`, `auc`, `ap`, `ece`, and by kind of
            threshold `thresholds` and `at` (`mean_accuracy`, `accuracy`, `precision`, `recall`, `f1`).
        groups: for each exclusive group `id`, `en`, `accuracy` of the likeliest label, `support`.
        reliability: ten bins of `metrics.reliability_bins`.
        curves: by label id, `recall` and `precision` of at most 100 points.
        columns: by column `values` (by value `samples`, `mA`, `auc`, `f1`), the number of `labels` these are over,
            and by figure the `gap` (`difference`, `best`, `worst` value).
        tuned_on: `given`, or `cross` when the thresholds were tuned here, each fold's on the other folds.
        paddle: the original's own figures, where they were asked for.
    """

    samples: int
    summary: Mapping[str, float]
    at: Mapping[str, Mapping[str, float]]
    labels: tuple[Mapping[str, Any], ...]
    groups: tuple[Mapping[str, Any], ...]
    reliability: tuple[Mapping[str, Any], ...]
    curves: Mapping[str, Mapping[str, list[float]]]
    columns: Mapping[str, Mapping[str, Any]]
    tuned_on: str
    paddle: Mapping[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, `kind` first; a figure that cannot be told is None."""
        body: dict[str, Any] = {
            "kind": "attributes",
            "samples": self.samples,
            "summary": self.summary,
            "at": self.at,
            "labels": self.labels,
            "groups": self.groups,
            "reliability": self.reliability,
            "curves": self.curves,
            "columns": self.columns,
            "tuned_on": self.tuned_on,
        }
        if self.paddle is not None:
            body["paddle"] = self.paddle
        plain = _plain(body)
        assert isinstance(plain, dict)
        return plain


def evaluate_attributes(
    probabilities: NDArray[Any],
    targets: NDArray[Any],
    label_set: LabelSet,
    *,
    thresholds: NDArray[Any] | Sequence[float] | None = None,
    tuned: NDArray[Any] | Sequence[float] | None = None,
    columns: Sequence[Mapping[str, str]] | None = None,
    paddle: bool = False,
) -> AttributeFigures:
    """Measure probabilities against labels.

    Args:
        probabilities: (N, C) float in [0, 1].
        targets: (N, C) 1, 0, -1 not labelled; such entries count nowhere.
        label_set: what the columns mean.
        thresholds: (C,) those in force; by default the label set's, 0.5 where it has none.
        tuned: (C,) tuned on other crops. Without them they are tuned here, in five folds: a crop is judged by
            thresholds that never saw it, and the thresholds listed by label are those of all crops.
        columns: of each crop, for example {"camera": "north"}; gives the gaps.
        paddle: add the original's figures.
    Raises:
        ValueError: shapes that do not fit.
    """
    count = len(label_set.labels)
    if probabilities.shape != targets.shape or probabilities.shape[1:] != (count,):
        raise ValueError(f"{probabilities.shape} probabilities, {targets.shape} targets, {count} labels")
    limits = {
        "plain": np.full(count, PLAIN_THRESHOLD),
        "set": np.asarray(set_thresholds(label_set) if thresholds is None else thresholds, np.float64),
        "tuned": np.asarray(tuned_thresholds(probabilities, targets) if tuned is None else tuned, np.float64),
    }
    decisions = {kind: probabilities > limit for kind, limit in limits.items()}
    if tuned is None:
        decisions["tuned"] = cross_tuned_decisions(probabilities, targets)
    counts = {kind: count_decisions(chosen, targets) for kind, chosen in decisions.items()}
    at = {kind: {**label_means(counts[kind]), **instance_means(decisions[kind], targets)} for kind in limits}
    labels = tuple(_label_row(i, probabilities, targets, label_set, limits, counts) for i in range(count))
    return AttributeFigures(
        samples=len(targets),
        summary={
            **summary_figures(probabilities, targets),
            "mAP": mean_of(np.array([row["ap"] for row in labels]), counts["plain"].both_kinds),
            "ece": expected_calibration_error(probabilities, targets),
            "mA_set": at["set"]["mA"],
            "mA_tuned": at["tuned"]["mA"],
        },
        at=at,
        labels=labels,
        groups=_group_rows(probabilities, targets, label_set),
        reliability=tuple(reliability_bins(probabilities, targets)),
        curves=_curves(probabilities, targets, label_set),
        columns=_column_gaps(probabilities, targets, columns or ()),
        tuned_on="cross" if tuned is None else "given",
        paddle=paddle_figures(probabilities, targets) if paddle else None,
    )


def set_thresholds(label_set: LabelSet) -> NDArray[np.float64]:
    """(C,) thresholds of a label set, 0.5 where it has none."""
    given = label_set.thresholds or (None,) * len(label_set.labels)
    return np.array([PLAIN_THRESHOLD if t is None else t for t in given])


def tuned_thresholds(probabilities: NDArray[Any], targets: NDArray[Any], *, goal: Goal = "mA") -> NDArray[np.float64]:
    """The thresholds that are best on these crops, label by label.

    Args:
        probabilities, targets: (N, C); -1 counts nowhere.
        goal: `mA` or `f1` of each label.
    Returns:
        (C,) in the middle between two neighbouring probabilities; 0.5 for a label without positives or negatives.
        Of several equally good ones the one nearest to 0.5.
    """
    return np.array([_best_threshold(p, t, goal) for p, t in zip(probabilities.T, targets.T, strict=True)])


def cross_tuned_decisions(
    probabilities: NDArray[Any], targets: NDArray[Any], *, goal: Goal = "mA", folds: int = FOLDS
) -> NDArray[np.bool_]:
    """(N, C) decisions, each crop's by thresholds tuned on the other folds; crop i is in fold i modulo `folds`."""
    decisions = np.zeros(probabilities.shape, bool)
    fold = np.arange(len(probabilities)) % folds
    for number in range(folds):
        inside = fold == number
        decisions[inside] = probabilities[inside] > tuned_thresholds(
            probabilities[~inside], targets[~inside], goal=goal
        )
    return decisions


def _best_threshold(probabilities: NDArray[Any], targets: NDArray[Any], goal: Goal) -> float:
    known = targets >= 0
    p, holds = probabilities[known].astype(np.float64), targets[known] > 0
    if not holds.any() or holds.all():
        return PLAIN_THRESHOLD
    order = np.argsort(p, kind="stable")
    p, holds = p[order], holds[order]
    # threshold k lies below value k: the values k, k + 1, ... are chosen
    edges = np.flatnonzero(np.append(True, np.diff(p) > 0))
    candidates = np.append((p[edges] + np.append(0.0, p[edges[1:] - 1])) / 2, (p[-1] + 1.0) / 2)
    found = np.append(np.cumsum(holds[::-1])[::-1][edges], 0)
    chosen = np.append(len(p) - edges, 0)
    if p[0] == 0:  # nothing lies below 0: the lowest value can be chosen by no threshold
        candidates, found, chosen = candidates[1:], found[1:], chosen[1:]
    positives, negatives = holds.sum(), (~holds).sum()
    if goal == "f1":
        score = 2 * found / (chosen + positives)
    else:
        score = (found / positives + 1 - (chosen - found) / negatives) / 2
    best = np.flatnonzero(score >= score.max() - 1e-12)
    return float(candidates[best[np.abs(candidates[best] - PLAIN_THRESHOLD).argmin()]])


def _label_row(
    number: int,
    probabilities: NDArray[Any],
    targets: NDArray[Any],
    label_set: LabelSet,
    limits: Mapping[str, NDArray[np.float64]],
    counts: Mapping[str, Counts],
) -> dict[str, Any]:
    label = label_set.labels[number]
    known = targets[:, number] >= 0
    p, t = probabilities[known, number], targets[known, number]
    return {
        "id": label.id,
        "en": label.en,
        "group": label.group,
        "positives": int((t > 0).sum()),
        "negatives": int((t == 0).sum()),
        "auc": auc(p, t),
        "ap": average_precision(p, t),
        "ece": expected_calibration_error(p, t) if len(p) else float("nan"),
        "thresholds": {kind: float(limit[number]) for kind, limit in limits.items()},
        "at": {
            kind: {
                "mean_accuracy": c.mean_accuracy[number],
                "accuracy": c.accuracy[number],
                "precision": c.precision[number],
                "recall": c.recall[number],
                "f1": c.f1[number],
            }
            for kind, c in counts.items()
        },
    }


def _group_rows(probabilities: NDArray[Any], targets: NDArray[Any], label_set: LabelSet) -> tuple[dict[str, Any], ...]:
    rows = []
    for group in label_set.groups:
        places = np.array([i for i, label in enumerate(label_set.labels) if label.group == group.id], np.int64)
        if group.exclusive and len(places) > 1 and len(targets):
            accuracy, support = group_accuracy(probabilities[:, places], targets[:, places], slice(None))
            rows.append({"id": group.id, "en": group.en, "accuracy": accuracy, "support": support})
    return tuple(rows)


def _curves(
    probabilities: NDArray[Any], targets: NDArray[Any], label_set: LabelSet
) -> dict[str, dict[str, list[float]]]:
    curves = {}
    for label, p, t in zip(label_set.labels, probabilities.T, targets.T, strict=True):
        recall, precision = precision_recall(p[t >= 0], t[t >= 0])
        some = np.unique(np.linspace(0, max(len(recall) - 1, 0), CURVE_POINTS).round().astype(int))
        some = some[: len(recall)]
        curves[label.id] = {"recall": recall[some].tolist(), "precision": precision[some].tolist()}
    return curves


def _column_gaps(
    probabilities: NDArray[Any], targets: NDArray[Any], columns: Sequence[Mapping[str, str]]
) -> dict[str, dict[str, Any]]:
    """Figures by value of each column, over the labels that have both kinds in every value with enough crops.

    Over the same labels, because a camera that never sees the hard ones would look better for it.
    """
    out: dict[str, dict[str, Any]] = {}
    for name in sorted({key for row in columns for key in row}):
        of_crop = np.array([row.get(name, "") for row in columns])
        inside = {str(value): of_crop == value for value in sorted(set(of_crop) - {""})}
        enough = [rows for rows in inside.values() if rows.sum() >= COLUMN_SUPPORT]
        shared = np.ones(targets.shape[1], bool)
        for rows in enough or inside.values():
            shared &= (targets[rows] == 1).any(axis=0) & (targets[rows] == 0).any(axis=0)
        values = {
            value: {
                "samples": int(rows.sum()),
                **summary_figures(probabilities[rows][:, shared], targets[rows][:, shared]),
            }
            for value, rows in inside.items()
        }
        out[name] = {"labels": int(shared.sum()), "values": values, "gap": _gap(values)}
    return out


def _gap(values: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Difference between the best and the worst value of a column, for each figure, and which these are."""
    gap = {}
    for figure in ("mA", "auc", "f1"):
        scored = {
            value: row[figure]
            for value, row in values.items()
            if row["samples"] >= COLUMN_SUPPORT and math.isfinite(row[figure])
        }
        if len(scored) > 1:
            best, worst = max(scored, key=lambda v: scored[v]), min(scored, key=lambda v: scored[v])
            gap[figure] = {"difference": scored[best] - scored[worst], "best": best, "worst": worst}
    return gap


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
