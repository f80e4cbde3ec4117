# SPDX-License-Identifier: Apache-2.0
"""Make score 0.5 the best place to cut: a straight line on the logit, folded into the detector's last layer.

A short training leaves scores low and close together. The line's slope comes from a logistic regression on photos with
known boxes; its offset puts the score of the best F1 at 0.5, the threshold that users know. No ranking changes, so no
average precision does, and it costs nothing at run time. The odds at a score stand in the model card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from passerby.training.shipped.detection_eval import BoxesAndScores, match_boxes

NEWTON_STEPS = 30
RIDGE = 1e-6


def judged_boxes(
    truths: Sequence[NDArray[np.float32]], found: Sequence[BoxesAndScores], *, min_height: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores (N,) of all boxes that count, and whether each found a person (IoU 0.5); lower ones are left out."""
    scores, hits = [], []
    for truth, (boxes, box_scores) in zip(truths, found, strict=True):
        order = np.argsort(-box_scores, kind="stable")
        verdict = match_boxes(truth, (truth[:, 3] - truth[:, 1]) < min_height, boxes[order], 0.5)
        tall = (boxes[order, 3] - boxes[order, 1]) >= min_height
        counted = (verdict == 1) | ((verdict == 0) & tall)
        scores.append(box_scores[order][counted])
        hits.append(verdict[counted] == 1)
    return np.concatenate(scores).astype(np.float64), np.concatenate(hits)


def fit_line(scores: NDArray[np.float64], hits: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset of a logistic regression of `hits` on the scores' logits (Platt's scaling, Newton's method).

    Raises:
        ValueError: hits are all alike, so there is nothing to fit.
    """
    if hits.all() or not hits.any():
        raise ValueError("calibration needs boxes that are right and boxes that are wrong")
    clipped = scores.clip(1e-6, 1 - 1e-6)
    design = np.stack([np.log(clipped / (1 - clipped)), np.ones_like(clipped)], axis=1)
    line = np.array([1.0, 0.0])
    for _ in range(NEWTON_STEPS):
        probability = 1 / (1 + np.exp(-design @ line))
        gradient = design.T @ (hits - probability)
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + RIDGE * np.eye(2)
        line = line + np.linalg.solve(curvature, gradient)
    return float(line[0]), float(line[1])


def best_cut(scores: NDArray[np.float64], hits: NDArray[np.bool_], *, persons: int) -> float:
    """Score of the best F1 when boxes from there on are kept, `persons` being all that could be found."""
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(hits[order])
    f1 = 2 * found / (np.arange(1, len(found) + 1) + persons)
    return float(scores[order][int(f1.argmax())])


def line_with_cut(slope: float, cut: float) -> tuple[float, float]:
    """The line of this slope that takes the score `cut` to 0.5."""
    return slope, -slope * float(np.log(cut / (1 - cut)))


def fold_line(weights: Mapping[str, Tensor], *, slope: float, offset: float) -> dict[str, Tensor]:
    """A copy of the state dict whose class logits are slope * logit + offset."""
    folded = dict(weights)
    for name, value in weights.items():
        if name.startswith("yolo_head.pred_cls."):
            folded[name] = value * slope + (offset if name.endswith(".bias") else 0.0)
    return folded
