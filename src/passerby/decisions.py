# SPDX-License-Identifier: Apache-2.0
"""From calibrated probabilities to yes, no or uncertain, and whether a person can be judged at all.

Everything acts on all persons of a frame at once. What is measured (thresholds, ranges of uncertainty, margins, the
smallest height) travels in the model, see `formats.metadata`; here is only what follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .formats.metadata import Judgement, ModelMetadata
from .types import Probabilities, Scores

Decision = Literal["yes", "no", "uncertain"]
Decisions = NDArray[np.int8]
"""(C,) or (N, C) int8 of `YES`, `NO`, `UNCERTAIN`, C in the order of the model's labels."""

NO, YES, UNCERTAIN = 0, 1, -1
WORDS: Mapping[int, Decision] = {YES: "yes", NO: "no", UNCERTAIN: "uncertain"}

# Why a person cannot be judged; bit i of a number of `doubts` is the i-th reason.
REASONS = ("no_pixels", "too_small", "unclear")
REASONS_OF = tuple(tuple(name for bit, name in enumerate(REASONS) if bits >> bit & 1) for bits in range(8))
# Calibrated: above it something holds more likely than not.
EVEN = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What decides, made once a model; C attributes, without the output that judges the person.

    Attributes:
        thresholds: (C,) float32; strictly above is towards yes.
        yes_from, no_to: (C,) float32; a yes needs the first or more, a no the second or less. Infinite where the
            model is never sure.
        measured: (C,) whether the range of uncertainty was measured, and so the probability means what it says.
        groups: places of the members of each exclusive group, and its margin.
    """

    thresholds: Scores
    yes_from: Scores
    no_to: Scores
    measured: NDArray[np.bool_]
    groups: tuple[tuple[NDArray[np.intp], float], ...]


def rules_of(metadata: ModelMetadata) -> Rules:
    """The rules that a model carries; a label without measured uncertainty goes by its threshold alone."""
    places = metadata.attribute_places
    thresholds = np.array(metadata.thresholds, np.float32)[list(places)]
    labels = [metadata.labels[i] for i in places]
    bands = [label.uncertain or (threshold, threshold) for label, threshold in zip(labels, thresholds, strict=True)]
    low, high = np.array(bands, np.float32).reshape(-1, 2).T
    measured = np.array([label.uncertain is not None for label in labels], bool)
    never = np.float32(np.inf)
    return Rules(
        thresholds=thresholds,
        yes_from=np.where(measured & (high >= 1), never, high),
        no_to=np.where(measured & (low <= 0), -never, low),
        measured=measured,
        groups=tuple(
            (np.array([i for i, label in enumerate(labels) if label.group == group.id], np.intp), group.margin or 0.5)
            for group in metadata.groups
            if group.exclusive and any(label.group == group.id for label in labels)
        ),
    )


def decide(probabilities: Probabilities, rules: Rules) -> Decisions:
    """Decide every label of every person; labels of an exclusive group never contradict each other.

    Alone, a label is a yes above its threshold and from `yes_from` on, a no up to both its threshold and `no_to`, else
    uncertain. Of an exclusive group the likeliest member, if it is a yes and far enough ahead of the next, is the only
    yes and denies the others. If not, nobody is a yes, and the likeliest, where that was measured, is uncertain as long
    as the members together say that one of them holds.

    Args:
        probabilities: (N, C) calibrated.
    Returns:
        (N, C) of `YES`, `NO`, `UNCERTAIN`.
    """
    said = np.full(probabilities.shape, UNCERTAIN, np.int8)
    above = probabilities > rules.thresholds
    said[above & (probabilities >= rules.yes_from)] = YES
    said[~above & (probabilities <= rules.no_to)] = NO
    for members, margin in rules.groups:
        said[:, members] = _agreed(probabilities[:, members], said[:, members], rules.measured[members], margin)
    return said


def _agreed(probabilities: Probabilities, said: Decisions, measured: NDArray[np.bool_], margin: float) -> Decisions:
    """The decisions of one exclusive group (N, K) made to fit together."""
    rows = np.arange(len(probabilities))
    best = probabilities.argmax(axis=1)
    first = probabilities[rows, best]
    others = probabilities.copy()
    others[rows, best] = 0
    second = others.max(axis=1)
    wins = (said[rows, best] == YES) & (first > second) & (first >= margin * (first + second))
    open_ = (said[rows, best] != NO) | (measured[best] & (probabilities.sum(axis=1) > EVEN))
    out = np.where(wins[:, None], NO, np.where(said == YES, UNCERTAIN, said)).astype(np.int8)
    out[rows, best] = np.where(wins, YES, np.where(open_, UNCERTAIN, NO))
    return out


def likely(probabilities: Probabilities, rules: Rules) -> NDArray[np.bool_]:
    """(N, C) labels that hold more likely than not; of an exclusive group only the likeliest."""
    out = np.asarray(probabilities > EVEN)
    for members, _ in rules.groups:
        inside = probabilities[:, members]
        best = np.zeros(inside.shape, bool)
        best[np.arange(len(inside)), inside.argmax(axis=1)] = True
        out[:, members] &= best
    return out


def doubts(
    judgement: Judgement, *, heights_px: NDArray[Any], pixels: NDArray[np.bool_], unclear: Probabilities | None
) -> NDArray[np.uint8]:
    """Why persons cannot be judged: for each of N a number whose bits are `REASONS`, 0 for "can be judged".

    Args:
        heights_px: (N,) heights of the boxes in the picture.
        pixels: (N,) whether the box holds any.
        unclear: (N,) what the model's own output says, where it has one.
    """
    bits = (~pixels).astype(np.uint8)
    bits |= (pixels & (heights_px < judgement.min_height_px)).astype(np.uint8) << 1
    if unclear is not None:
        bits |= (pixels & (unclear > np.float32(judgement.threshold))).astype(np.uint8) << 2
    return bits
