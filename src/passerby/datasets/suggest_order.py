# SPDX-License-Identifier: Apache-2.0
"""In which order crops are labelled so that few labels teach much: sums over arrays, no picture and no model.

A crop is worth labelling where the model hesitates, where it changes its mind when the crop is mirrored or cut a
little differently, and where it may show what few crops show. Labels of which enough was chosen count less and less,
so that the choice covers all of them; crops that look like a chosen one, or come from its photo, wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..types import Probabilities
from .near_copies import NEAR_COPY_BITS, bits_apart

LEAST_PROBABILITY = 1e-4
UNSURE = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderOptions:
    """How much each reason counts.

    Attributes:
        hesitation: a probability at its threshold, against one that is certain (0).
        disagreement: the spread of the probability over the views of a crop.
        coverage: yes-crops (and no-crops) of a label that count as already there when nothing is; small numbers
            chase rare labels, large ones treat all labels alike.
        per_photo: crops of one photo before all other photos had their turn.
        likeness: distance of looks below which a crop counts less, as a share of the usual distance.
    """

    hesitation: float = 1.0
    disagreement: float = 2.0
    coverage: float = 3.0
    per_photo: int = 1
    likeness: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What is known of N crops.

    Attributes:
        probabilities: (N, C) float32, mean over the views.
        spread: (N, C) float32, standard deviation over the views.
        looks: (N, D) float32, what the crop looks like; Euclidean distance tells how alike two are.
        hashes: (N,) uint64 difference hashes.
        photos: (N,) int64, crops of one photo share a number.
    """

    probabilities: Probabilities
    spread: NDArray[np.float32]
    looks: NDArray[np.float32]
    hashes: NDArray[np.uint64]
    photos: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.probabilities)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What has been labelled before: (C,) yes and no counts, and (K,) uint64 hashes of those crops."""

    yes: NDArray[np.float64]
    no: NDArray[np.float64]
    hashes: NDArray[np.uint64]

    @classmethod
    def nothing(cls, labels: int) -> Known:
        return cls(yes=np.zeros(labels), no=np.zeros(labels), hashes=np.zeros(0, np.uint64))


def around_half(probabilities: Probabilities, thresholds: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities moved on the logit scale so that each label's threshold becomes a half.

    Args:
        probabilities: (N, C). thresholds: (C,).
    Returns:
        (N, C), above a half where a label holds.
    """
    p = np.clip(probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY).astype(np.float64)
    t = np.clip(thresholds, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY).astype(np.float64)
    return np.asarray(1 / (1 + (1 - p) / p * t / (1 - t)), np.float32)


def hesitation(probabilities: Probabilities, thresholds: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, C) in 0..1: 1 where a probability lies at its threshold, 0 where it is certain.

    Source: variance of a Bernoulli variable of that probability, `around_half`.
    """
    moved = around_half(probabilities, thresholds)
    return 4 * moved * (1 - moved)


def guesses(
    views: Probabilities, thresholds: NDArray[np.float32], exclusive: Sequence[Sequence[int]], *, unsure: float = UNSURE
) -> NDArray[np.int8]:
    """What the model would answer for one crop: 1, 0, or -1 for what it had better leave to a human.

    A label is left open when its probability is near its threshold, or when the views of the crop fall on both sides
    of it with some conviction. Of an exclusive group at most one holds; those that could be it are open together.

    Args:
        views: (V, C) probabilities of the views.
        thresholds: (C,).
        exclusive: places of the labels of each exclusive group.
        unsure: distance from a half, after `around_half`, within which a label is open.
    Returns:
        (C,) int8.
    """
    each = around_half(views, thresholds)  # (V, C)
    moved = around_half(views.mean(axis=0)[None], thresholds)[0]
    torn = (each.max(axis=0) > 0.5 + unsure) & (each.min(axis=0) < 0.5 - unsure)
    out = np.where(moved > 0.5, 1, 0).astype(np.int8)
    out[(np.abs(moved - 0.5) < unsure) | torn] = -1
    for group in exclusive:
        places = np.array(group, np.intp)
        holding = places[out[places] == 1]
        if len(holding) == 1:
            out[places] = 0
            out[holding] = 1
        elif len(holding) > 1:
            out[holding] = -1
    return out


def interest(candidates: Candidates, thresholds: NDArray[np.float32], options: OrderOptions) -> NDArray[np.float32]:
    """(N, C): how much the label of a crop would tell the model, whatever else has been chosen."""
    unsure = options.hesitation * hesitation(candidates.probabilities, thresholds)
    return np.asarray(0.1 + unsure + 2 * options.disagreement * candidates.spread, np.float32)


def teach_order(
    candidates: Candidates,
    *,
    count: int,
    thresholds: NDArray[np.float32],
    known: Known | None = None,
    options: OrderOptions | None = None,
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Choose crops one after the other, the most telling first.

    Args:
        candidates: N crops. count: how many are wanted; fewer come when near copies leave fewer.
        thresholds: (C,) of the model.
        known: what is labelled already.
    Returns:
        rows (M,) in the order of labelling, and what each was worth when it was chosen, (M,) float32.
    Source: greedy choice by expected gain with diminishing returns for each label (a submodular cover), scaled by
        the distance to what is chosen.
    """
    options = options or OrderOptions()
    known = known or Known.nothing(candidates.probabilities.shape[1])
    told = interest(candidates, thresholds, options)
    yes, no = options.coverage + known.yes, options.coverage + known.no
    probable = np.clip(candidates.probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    nearest = np.full(len(candidates), np.inf)
    usual = usual_distance(candidates.looks) * options.likeness
    open_rows = ~_copies(candidates.hashes, known.hashes)
    turns: dict[int, int] = {}
    chosen: list[int] = []
    worth: list[float] = []
    while len(chosen) < min(count, len(candidates)) and open_rows.any():
        gain = ((probable / yes + (1 - probable) / no) * told).sum(axis=1)  # (N,)
        gain = gain * np.minimum(nearest / usual, 1.0) if chosen and usual > 0 else gain
        allowed = open_rows & _has_turn(candidates.photos, turns, options.per_photo, open_rows)
        best = int(np.where(allowed, gain, -1.0).argmax())
        chosen.append(best)
        worth.append(float(gain[best]))
        yes, no = yes + probable[best], no + 1 - probable[best]
        nearest = np.minimum(nearest, np.linalg.norm(candidates.looks - candidates.looks[best], axis=1))
        turns[int(candidates.photos[best])] = turns.get(int(candidates.photos[best]), 0) + 1
        open_rows &= ~_copies(candidates.hashes, candidates.hashes[best : best + 1])
        open_rows[best] = False
    return np.array(chosen, np.intp), np.array(worth, np.float32)


def usual_distance(looks: NDArray[np.float32], *, sample: int = 400) -> float:
    """Median distance of looks between crops of a sample; 0 when all look the same."""
    some = looks[:: max(len(looks) // sample, 1)]
    distances = np.linalg.norm(some - np.roll(some, len(some) // 2 or 1, axis=0), axis=1)
    return float(np.median(distances)) if len(distances) else 0.0


def _copies(hashes: NDArray[np.uint64], of: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """(N,) whether a hash is nearly one of `of`."""
    out = np.zeros(len(hashes), bool)
    for one in of:
        out |= bits_apart(hashes, one) <= NEAR_COPY_BITS
    return out


def _has_turn(
    photos: NDArray[np.int64], turns: dict[int, int], per_photo: int, open_rows: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """(N,) whether a crop's photo has given fewer crops than its share; shares grow when all had their turn."""
    taken = np.array([turns.get(int(photo), 0) for photo in photos])
    share = per_photo
    while not (open_rows & (taken < share)).any():
        share += per_photo
    return np.asarray(taken < share)
