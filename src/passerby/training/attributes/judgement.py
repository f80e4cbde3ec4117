# SPDX-License-Identifier: Apache-2.0
"""Who cannot be judged, from measured error: by height in the picture, and by the model's own output for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ArgumentError
from ...formats.metadata import HeightError, Judgement
from .decisions import checked
from .metrics import MIN_SUPPORT, auc

HEIGHT_EDGES_PX = (0.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 192.0, 256.0, 384.0)
LEAST_PERSONS = 30
USELESS = 1
USABLE = (2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgementFigures:
    """How well an output tells who cannot be judged.

    Attributes:
        threshold: strictly above it a person is flagged; 1, so nobody, where that cannot be measured.
        useless, usable: how many persons of either kind there were.
        found: useless ones that are flagged. wrong: usable ones that are flagged.
        auc: area under the ROC curve; NaN when one kind is missing.
    """

    threshold: float
    useless: int
    usable: int
    found: int
    wrong: int
    auc: float


def error_by_height(
    probabilities: NDArray[Any],
    targets: NDArray[Any],
    heights_px: NDArray[Any],
    *,
    thresholds: NDArray[Any] | float,
    edges_px: Sequence[float] = HEIGHT_EDGES_PX,
    least: int = LEAST_PERSONS,
) -> tuple[HeightError, ...]:
    """Balanced error of plain yes and no by native height.

    Labels weigh alike: an entry counts one over the number of entries of its kind that its label has in all. Ranges of
    fewer than `least` persons, or without both kinds, are joined with the next taller one, the last with those before.

    Args:
        probabilities: (N, C). targets: (N, C) 1, 0 or -1. heights_px: (N,) of the boxes in their pictures.
        thresholds: (C,) or one; strictly above is a yes.
        edges_px: lower ends of the ranges, rising.
    Returns:
        ranges from small to tall; the first begins where somebody was measured, the last has no end.
    Raises:
        ArgumentError: `bad_argument`, see `decisions.checked`; heights that are not (N,) and finite; edges that do not
            rise.
    """
    p, t = checked(probabilities, targets)
    heights, edges = np.asarray(heights_px, np.float64), np.asarray(edges_px, np.float64)
    if heights.shape != (len(p),) or not np.isfinite(heights).all():
        raise ArgumentError("bad_argument", f"heights {heights.shape} are not ({len(p)},) finite numbers")
    if not len(edges) or not (np.diff(edges) > 0).all() or not edges[0] >= 0 or not np.isfinite(edges).all():
        raise ArgumentError("bad_argument", f"edges {edges.tolist()} do not rise")
    wrong = (p > np.broadcast_to(np.asarray(thresholds, np.float64), p.shape[1])) != (t == 1)
    sums = np.stack([*_shares(t == 1, wrong), *_shares(t == 0, wrong), (t >= 0).any(axis=1)])  # (5, N)
    place = np.searchsorted(edges, heights, side="right") - 1
    counted = np.stack([sums[:, place == k].sum(axis=1) for k in range(len(edges))])  # (edges, 5)
    rows: list[tuple[float, NDArray[np.float64]]] = []
    waiting: tuple[float, NDArray[np.float64]] | None = None
    for edge, own in zip(edges.tolist(), counted, strict=True):
        start, total = (edge, own) if waiting is None else (waiting[0], waiting[1] + own)
        waiting = (start, total)
        if _enough(total, least):
            rows.append(waiting)
            waiting = None
    if waiting is not None and rows:
        rows[-1] = (rows[-1][0], rows[-1][1] + waiting[1])
    if rows:  # nothing was measured of anybody smaller than the smallest
        seen = float(np.floor(heights[(t >= 0).any(axis=1) & (heights >= edges[0])].min()))
        rows[0] = (max(rows[0][0], seen), rows[0][1])
    ends = [*(start for start, _ in rows[1:]), None][: len(rows)]
    return tuple(
        HeightError(
            from_px=start,
            to_px=end,
            error=round(float(total[1] / total[0] + total[3] / total[2]) / 2, 4),
            persons=int(total[4]),
        )
        for (start, total), end in zip(rows, ends, strict=True)
    )


def _shares(kind: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) weight of a person's entries of one kind, and of the wrong ones among them."""
    weights = 1 / np.maximum(kind.sum(axis=0), 1)
    return kind @ weights, (kind & wrong) @ weights


def _enough(total: NDArray[np.float64], least: int) -> bool:
    return bool(total[4] >= least and total[0] > 0 and total[2] > 0)


def min_judgeable_height(rows: Sequence[HeightError], *, worst: float) -> float:
    """The height, px, below which the balanced error is measured above `worst`.

    Of heights that nobody measured nothing is said; what small persons do to a model can be measured on tall ones, by
    shrinking their crops and giving the heights these then have.

    Args:
        rows: from `error_by_height`. worst: the bound, for example 0.3; guessing has 0.5.
    Returns:
        the upper end of the tallest range that breaks the bound; 0 when none does.
    Raises:
        ArgumentError: `bad_argument`, nothing was measured, or the tallest range breaks the bound.
    """
    if not rows or rows[-1].error > worst:
        raise ArgumentError("bad_argument", f"no height has a balanced error of at most {worst}")
    return max((row.to_px or 0.0 for row in rows if row.error > worst), default=0.0)


def judgement_threshold(
    probabilities: NDArray[Any], quality: NDArray[Any], *, rate: float = 0.5, least: int = MIN_SUPPORT
) -> JudgementFigures:
    """Choose from where on a person counts as one who cannot be judged.

    The threshold of the least balanced error between useless and usable persons, raised until at least `rate` of those
    above it are useless: somebody who could be judged must not be put off for the sake of few who cannot.

    Args:
        probabilities: (N,) what the output says. quality: (N,) 1 useless, 2 or 3 usable; others count nowhere.
    Raises:
        ArgumentError: `bad_argument`, other shapes, probabilities that are NaN or outside 0..1.
    """
    scores, told = np.asarray(probabilities), np.asarray(quality)
    if scores.ndim != 1 or scores.shape != told.shape or not ((scores >= 0) & (scores <= 1)).all():
        raise ArgumentError("bad_argument", f"probabilities {scores.shape} and quality {told.shape} are not both (N,)")
    known = np.isin(told, (USELESS, *USABLE))
    p, bad = scores[known].astype(np.float64), told[known] == USELESS
    useless, usable = int(bad.sum()), int((~bad).sum())
    area = auc(p, bad.astype(np.float64))
    never = JudgementFigures(threshold=1.0, useless=useless, usable=usable, found=0, wrong=0, auc=area)
    if min(useless, usable) < max(least, 1):
        return never
    values, where = np.unique(p, return_inverse=True)
    cuts = np.concatenate([(values[1:] + values[:-1]) / 2, [1.0]])  # cut k has the values above k over it
    found = useless - np.cumsum(np.bincount(where, weights=bad))
    wrong = usable - np.cumsum(np.bincount(where, weights=~bad))
    error = (useless - found) / useless + wrong / usable
    start = int(error.argmin())
    good = start + np.flatnonzero(found[start:] >= np.maximum(rate * (found + wrong)[start:], 1))
    if not len(good):
        return never
    at = int(good[0])
    return JudgementFigures(
        threshold=float(cuts[at]),
        useless=useless,
        usable=usable,
        found=int(found[at]),
        wrong=int(wrong[at]),
        auc=area,
    )


def judgement_of(
    rows: Sequence[HeightError], *, worst: float, label: str | None = None, threshold: float = 1.0
) -> Judgement:
    """What a model's description says of judging, for `decisions.with_decisions`.

    Args:
        rows: from `error_by_height`. worst: the balanced error beyond which a height cannot be judged.
        label: id of the output that judges, with its threshold (`judgement_threshold`), or None.
    Raises:
        ArgumentError: see `min_judgeable_height`.
    """
    return Judgement(
        label=label,
        threshold=round(threshold, 4),
        min_height_px=min_judgeable_height(rows, worst=worst),
        error_rates=tuple(rows),
    )
