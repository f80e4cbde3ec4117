# SPDX-License-Identifier: Apache-2.0
"""Make a detector's scores mean something: after calibration about half of the boxes near score 0.5 are right.

A short training leaves scores low. A straight line on the logit, fitted on photos with known boxes and then folded into
the last layer, changes no ranking and so no average precision, and costs nothing at run time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from passerby.training.detection_eval import BoxesAndScores, match_boxes

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


def fold_line(weights: Mapping[str, Tensor], *, slope: float, offset: float) -> dict[str, Tensor]:
    """A copy of the state dict whose class logits are slope * logit + offset."""
    folded = dict(weights)
    for name, value in weights.items():
        if name.startswith("yolo_head.pred_cls."):
            folded[name] = value * slope + (offset if name.endswith(".bias") else 0.0)
    return folded
