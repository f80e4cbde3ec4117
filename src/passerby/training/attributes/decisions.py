# SPDX-License-Identifier: Apache-2.0
"""What a model needs to answer yes, no or uncertain, measured on labelled persons that were kept from training.

Numbers in, numbers out; `with_decisions` puts them into a model's description. What they mean when a picture is read
is in `passerby.decisions`; who cannot be judged at all is in `judgement`. Probabilities must be calibrated
(`calibration`), and no picture of the persons measured here may have taught the weights.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...decisions import NO, YES, Decisions
from ...errors import ArgumentError
from ...formats.metadata import Group, Judgement, Label, ModelMetadata
from .metrics import MIN_SUPPORT

RATE = 0.9
CONFIDENCE = 0.9

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """Where each of C labels is uncertain.

    Attributes:
        thresholds: (C,) of the least balanced error.
        low, high: (C,) strictly between them lies what is uncertain; 0 and 1 where no no, no yes is good enough.
        positives, negatives: (C,) int, the support.
        yes, yes_right, no, no_right: (C,) int, how many are decided, and how many of them rightly.
        rate, confidence: what was asked for.
    """

    thresholds: Floats
    low: Floats
    high: Floats
    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]
    yes: NDArray[np.int64]
    yes_right: NDArray[np.int64]
    no: NDArray[np.int64]
    no_right: NDArray[np.int64]
    rate: float
    confidence: float

    def to_json(self, labels: Sequence[Label]) -> dict[str, Any]:
        """For a model card: what was asked for, and every number by label id."""
        rows = {}
        for i, label in enumerate(labels):
            rows[label.id] = {
                "threshold": round(float(self.thresholds[i]), 4),
                "uncertain": [round(float(self.low[i]), 4), round(float(self.high[i]), 4)],
                "positives": int(self.positives[i]),
                "negatives": int(self.negatives[i]),
                "yes": [int(self.yes_right[i]), int(self.yes[i])],
                "no": [int(self.no_right[i]), int(self.no[i])],
            }
        return {"rate": self.rate, "confidence": self.confidence, "labels": rows}


def wilson_lower(right: NDArray[Any], total: NDArray[Any], *, confidence: float = CONFIDENCE) -> Floats:
    """The share of which one may be so confident that the true one is not below it; 0 where nothing was counted.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927; one-sided.
    >>> round(float(wilson_lower(np.array(9), np.array(10))), 3)
    0.718
    """
    z2 = NormalDist().inv_cdf(confidence) ** 2
    n = np.maximum(np.asarray(total, np.float64), 1)
    share = np.asarray(right, np.float64) / n
    lower = (share + z2 / (2 * n) - np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n)))) / (1 + z2 / n)
    return np.asarray(np.where(np.asarray(total) > 0, np.clip(lower, 0, 1), 0.0), np.float64)


def checked(probabilities: NDArray[Any], targets: NDArray[Any]) -> tuple[Floats, NDArray[np.int8]]:
    """Both as (N, C), N at least 1.

    Raises:
        ArgumentError: `bad_argument`, other shapes, probabilities that are NaN or outside 0..1, other targets.
    """
    p, t = np.asarray(probabilities, np.float64), np.asarray(targets)
    if p.ndim != 2 or p.shape != t.shape or not len(p):
        raise ArgumentError("bad_argument", f"probabilities {p.shape} and targets {t.shape} are not both (N, C)")
    if not ((p >= 0) & (p <= 1)).all():
        raise ArgumentError("bad_argument", "a probability is not within 0..1", hint="NaN is none either")
    if not np.isin(t, (1, 0, -1)).all():
        raise ArgumentError("bad_argument", "a target is none of 1, 0 and -1")
    return p, t.astype(np.int8)


def decision_bands(
    probabilities: NDArray[Any],
    targets: NDArray[Any],
    *,
    rate: float = RATE,
    confidence: float = CONFIDENCE,
    least: int = MIN_SUPPORT,
    balanced: bool = False,
) -> Bands:
    """Choose each label's threshold and the range around it in which it is uncertain.

    The threshold has the least balanced error. From there the range grows until of those above it at least `rate` have
    the label, and of those below it at least `rate` have it not, both as a Wilson lower bound: where few were counted
    the range is wide. A side where no range is good enough has no sure answer (0 or 1), and a label with fewer than
    `least` positives or negatives has none at all, with 0.5 as its threshold.

    Args:
        probabilities: (N, C) calibrated. targets: (N, C) 1, 0 or -1 for unknown.
        balanced: count as if as many persons had the label as not: the rate then holds wherever the label is rare or
            common, and what everybody has is no sure yes; bounds are taken on both shares.
    Raises:
        ArgumentError: `bad_argument`, see `checked`; a rate or confidence outside 0.5..1.
    """
    p, t = checked(probabilities, targets)
    if not (0.5 <= rate < 1 and 0.5 <= confidence < 1):
        raise ArgumentError("bad_argument", f"a rate of {rate} with confidence {confidence} is not within 0.5..1")
    rows = [
        _band(p[known, label], t[known, label] == 1, rate, confidence, least, balanced)
        for label, known in enumerate((t >= 0).T)
    ]
    numbers = np.array(rows, np.float64).reshape(-1, 9).T
    thresholds, low, high = numbers[:3]
    counts = numbers[3:].astype(np.int64)
    return Bands(
        thresholds=thresholds,
        low=low,
        high=high,
        positives=counts[0],
        negatives=counts[1],
        yes=counts[2],
        yes_right=counts[3],
        no=counts[4],
        no_right=counts[5],
        rate=rate,
        confidence=confidence,
    )


def _band(
    p: Floats, holds: NDArray[np.bool_], rate: float, confidence: float, least: int, balanced: bool
) -> tuple[float, ...]:
    """One label: threshold, low, high, positives, negatives, yes, right of them, no, right of them."""
    positives, negatives = int(holds.sum()), int((~holds).sum())
    if min(positives, negatives) < max(least, 1):
        return 0.5, 0.0, 1.0, positives, negatives, 0, 0, 0, 0
    values, where = np.unique(p, return_inverse=True)
    with_ = np.bincount(where, weights=holds, minlength=len(values))
    without = np.bincount(where, weights=~holds, minlength=len(values))
    # cut k lies below value k: k = 0 has everybody above it, the last nobody
    cuts = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2, [1.0]])
    missed, kept_out = np.concatenate([[0], np.cumsum(with_)]), np.concatenate([[0], np.cumsum(without)])
    found, wrong = positives - missed, negatives - kept_out
    errors = missed / positives + wrong / negatives
    best = np.flatnonzero(errors <= errors.min() + 1e-12)
    at = int(best[len(best) // 2])
    if balanced:
        sure_yes = _balanced(found, positives, wrong, negatives, confidence) >= rate
        sure_no = _balanced(kept_out, negatives, missed, positives, confidence) >= rate
    else:
        sure_yes = wilson_lower(found, found + wrong, confidence=confidence) >= rate
        sure_no = wilson_lower(kept_out, kept_out + missed, confidence=confidence) >= rate
    above = at + np.flatnonzero(sure_yes[at:])
    below = np.flatnonzero(sure_no[: at + 1])
    last = len(values)
    up, down = (int(above[0]) if len(above) else last), (int(below[-1]) if len(below) else 0)
    high, low = (cuts[up] if len(above) else 1.0), (cuts[down] if len(below) else 0.0)
    return (
        *(float(cuts[at]), float(low), float(high), positives, negatives),
        *(float(found[up] + wrong[up]), float(found[up]), float(kept_out[down] + missed[down]), float(kept_out[down])),
    )


def _balanced(right: Floats, of: int, wrong: Floats, others: int, confidence: float) -> Floats:
    """The share of right ones if both kinds were as many: a lower bound on one, an upper on the other."""
    got = wilson_lower(right, np.full(len(right), of), confidence=confidence)
    lost = 1 - wilson_lower(others - wrong, np.full(len(wrong), others), confidence=confidence)
    return np.asarray(got / np.maximum(got + lost, 1e-12), np.float64)


def group_margin(
    probabilities: NDArray[Any], targets: NDArray[Any], *, rate: float = RATE, confidence: float = CONFIDENCE
) -> float | None:
    """How far ahead the likeliest of an exclusive group must be to be right at a rate.

    Args:
        probabilities, targets: (N, K) of the group's members; persons of whom none is known to hold count nowhere.
    Returns:
        the smallest share, 0.5 to 1, of the likeliest in the sum of the two likeliest from which on it is the right
        one at `rate` (Wilson lower bound); 1, so never, when none is good enough; None for a group of one member.
    Raises:
        ArgumentError: `bad_argument`, see `checked`.
    """
    p, t = checked(probabilities, targets)
    if p.shape[1] < 2:
        return None
    known = (t == 1).any(axis=1)
    p, t = p[known], t[known]
    if not len(p):
        return 1.0
    two = np.sort(p, axis=1)[:, -2:]
    share = two[:, 1] / np.maximum(two.sum(axis=1), 1e-12)
    right = t[np.arange(len(p)), p.argmax(axis=1)] == 1
    values, where = np.unique(share, return_inverse=True)
    kept = np.cumsum(np.bincount(where)[::-1])[::-1]
    good = np.cumsum(np.bincount(where, weights=right)[::-1])[::-1]
    enough = np.flatnonzero(wilson_lower(good, kept, confidence=confidence) >= rate)
    return float(np.clip(values[enough[0]], 0.5, 1.0)) if len(enough) else 1.0


def groups_with_margins(
    metadata: ModelMetadata, probabilities: NDArray[Any], targets: NDArray[Any], **options: float
) -> tuple[Group, ...]:
    """The groups of a model with measured margins; (N, C) over `metadata.labels`, options as in `group_margin`."""
    groups = []
    for group in metadata.groups:
        members = [i for i, label in enumerate(metadata.labels) if label.group == group.id]
        measured = group.exclusive and len(members) > 1
        margin = group_margin(probabilities[:, members], targets[:, members], **options) if measured else None
        groups.append(dataclasses.replace(group, margin=margin))
    return tuple(groups)


def with_decisions(
    metadata: ModelMetadata,
    bands: Bands,
    *,
    groups: Sequence[Group] | None = None,
    judgement: Judgement | None = None,
    digits: int = 4,
) -> ModelMetadata:
    """A model's description with thresholds, uncertainty and judgement, marked so that pipelines decide by them.

    Args:
        bands: of `metadata.labels`; what is said of the output that judges counts nothing.
        groups: with margins (`groups_with_margins`). judgement: see `judgement.judgement_of`.
        digits: ranges are rounded outwards to so many.
    Raises:
        ArgumentError: `bad_argument`, another number of labels.
    """
    if len(bands.thresholds) != len(metadata.labels):
        raise ArgumentError("bad_argument", f"{len(bands.thresholds)} bands for {len(metadata.labels)} labels")
    unit = 10**digits
    judges = None if judgement is None else judgement.label
    labels = [
        dataclasses.replace(
            label,
            uncertain=None
            if label.id == judges
            else (math.floor(float(low) * unit) / unit, math.ceil(float(high) * unit) / unit),
        )
        for label, low, high in zip(metadata.labels, bands.low, bands.high, strict=True)
    ]
    return dataclasses.replace(
        metadata,
        labels=tuple(labels),
        thresholds=tuple(round(float(v), digits) for v in bands.thresholds),
        groups=metadata.groups if groups is None else tuple(groups),
        judgement=judgement,
        calibration={**metadata.calibration, "thresholds": "tuned"},
    )


def decision_figures(decisions: Decisions, targets: NDArray[Any], labels: Sequence[Label]) -> dict[str, Any]:
    """How right decisions are on persons that had no part in choosing them.

    Args:
        decisions: (N, C) as `passerby.decisions.decide` gives them. targets: (N, C) 1, 0 or -1.
    Returns:
        `all` and by label id: `known` entries, the share `decided`, and `yes`, `no`: right ones and all of them.
    """
    t = np.asarray(targets)
    known = t >= 0
    yes, no = (decisions == YES) & known, (decisions == NO) & known

    def figures(columns: Any) -> dict[str, Any]:
        count, said = int(known[:, columns].sum()), int((yes | no)[:, columns].sum())
        return {
            "known": count,
            "decided": round(said / count, 4) if count else None,
            "yes": [int((yes & (t == 1))[:, columns].sum()), int(yes[:, columns].sum())],
            "no": [int((no & (t == 0))[:, columns].sum()), int(no[:, columns].sum())],
        }

    return {"all": figures(slice(None)), **{label.id: figures([i]) for i, label in enumerate(labels)}}
