# SPDX-License-Identifier: Apache-2.0
"""Which anchor learns which person: the two label assigners of PP-YOLOE.

Both take anchors and ground truth of a batch and return `Assignment`. ATSS looks at geometry only (steady
while the network knows nothing); the task-aligned assigner looks at the predictions. Both take one class or many and
reproduce PaddleDetection's behaviour, ties included; checked in tests/test_detection_losses.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

EPSILON = 1e-9
ATSS_TOPK = 9
ANCHOR_CELLS = 5.0  # side of an ATSS anchor in strides


class Assignment(NamedTuple):
    """labels (N, A) int64, C where background; boxes (N, A, 4) of the assigned person; scores (N, A, C) targets."""

    labels: Tensor
    boxes: Tensor
    scores: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundTruth:
    """Persons of a batch, padded: boxes (N, M, 4) pixels x1 y1 x2 y2, classes (N, M) int64, valid (N, M) bool."""

    boxes: Tensor
    classes: Tensor
    valid: Tensor


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of every box of a (N, M, 4) with every box of b (N, A, 4): (N, M, A)."""
    low = torch.maximum(a[:, :, None, :2], b[:, None, :, :2])
    high = torch.minimum(a[:, :, None, 2:], b[:, None, :, 2:])
    overlap = (high - low).clamp(min=0).prod(-1)
    area_a = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1)
    area_b = (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1)
    return overlap / (area_a[:, :, None] + area_b[:, None, :] - overlap + EPSILON)


def points_inside(points: Tensor, boxes: Tensor) -> Tensor:
    """Whether points (A, 2) lie strictly inside boxes (N, M, 4): (N, M, A) bool."""
    before = points[None, None] - boxes[:, :, None, :2]
    after = boxes[:, :, None, 2:] - points[None, None]
    return torch.cat([before, after], dim=-1).amin(-1) > EPSILON


def task_aligned(
    scores: Tensor,
    boxes: Tensor,
    points: Tensor,
    truth: GroundTruth,
    *,
    topk: int = 13,
    alpha: float = 1.0,
    beta: float = 6.0,
) -> Assignment:
    """Assign by score^alpha * IoU^beta of the predictions.

    Args:
        scores: (N, A, C) predicted scores after the sigmoid, detached.
        boxes: (N, A, 4) predicted boxes, pixels, detached.
        points: (A, 2) anchor points, pixels.
        truth: the persons.
    """
    count, anchors, classes = scores.shape
    if truth.boxes.shape[1] == 0:
        return _background(count, anchors, classes, scores)
    ious = box_iou(truth.boxes, boxes)
    of_class = scores.permute(0, 2, 1).gather(1, truth.classes[:, :, None].expand(-1, -1, anchors))
    metric = of_class.pow(alpha) * ious.pow(beta)
    allowed = points_inside(points, truth.boxes) & truth.valid[:, :, None]
    candidate = metric * allowed
    top = candidate.topk(min(topk, anchors), dim=-1).indices
    positive = torch.zeros_like(allowed).scatter_(-1, top, True) & allowed
    positive = _settle_conflicts(positive, ious)
    labels, assigned_boxes = _collect(positive, truth, classes)
    metric = metric * positive
    best_metric = metric.amax(-1, keepdim=True)
    best_iou = (ious * positive).amax(-1, keepdim=True)
    anchor_score = (metric / (best_metric + EPSILON) * best_iou).amax(1)
    one_hot = torch.nn.functional.one_hot(labels, classes + 1)[..., :classes]
    return Assignment(labels, assigned_boxes, one_hot * anchor_score[..., None])


def atss(
    boxes: Tensor,
    points: Tensor,
    strides: Tensor,
    cells_per_level: tuple[int, ...],
    truth: GroundTruth,
    *,
    num_classes: int,
) -> Assignment:
    """Assign by geometry: nearest anchors of each level whose IoU is above mean + deviation of the candidates.

    Args:
        boxes: (N, A, 4) predicted boxes, pixels, detached; only the target scores (their IoU) depend on them.
        points: (A, 2) anchor points, pixels. strides: (A, 1) pixels.
        cells_per_level: number of anchors of each level, at least 9 each.
        truth: the persons.
    """
    count, anchors = boxes.shape[:2]
    if truth.boxes.shape[1] == 0:
        return _background(count, anchors, num_classes, boxes)
    half = strides * ANCHOR_CELLS / 2
    anchor_boxes = torch.cat([points - half, points + half], dim=1)[None].expand(count, -1, -1)
    ious = box_iou(truth.boxes, anchor_boxes)
    candidate = _nearest_per_level(points, cells_per_level, truth)
    candidate_ious = (ious * candidate).flatten(2)
    chosen = candidate.sum(-1, keepdim=True).clamp(min=1)
    mean = candidate_ious.sum(-1, keepdim=True) / chosen
    variance = ((candidate_ious - mean).square() * candidate).sum(-1, keepdim=True) / (chosen - 1).clamp(min=1)
    positive = (candidate_ious > mean + variance.sqrt()) & candidate & points_inside(points, truth.boxes)
    positive = _settle_conflicts(positive & truth.valid[:, :, None], ious)
    labels, assigned_boxes = _collect(positive, truth, num_classes)
    one_hot = torch.nn.functional.one_hot(labels, num_classes + 1)[..., :num_classes]
    predicted_iou = (box_iou(truth.boxes, boxes) * positive).amax(1)
    return Assignment(labels, assigned_boxes, one_hot * predicted_iou[..., None])


def _nearest_per_level(points: Tensor, cells_per_level: tuple[int, ...], truth: GroundTruth) -> Tensor:
    centres = (truth.boxes[..., :2] + truth.boxes[..., 2:]) / 2
    distances = (centres[:, :, None] - points[None, None]).square().sum(-1).sqrt()
    chosen = []
    for level in distances.split(cells_per_level, dim=-1):
        nearest = level.topk(min(ATSS_TOPK, level.shape[-1]), dim=-1, largest=False).indices
        chosen.append(torch.zeros_like(level, dtype=torch.bool).scatter_(-1, nearest, True))
    return torch.cat(chosen, dim=-1) & truth.valid[:, :, None]


def _settle_conflicts(positive: Tensor, ious: Tensor) -> Tensor:
    """An anchor wanted by several persons goes to the one of highest IoU, even to one that did not want it."""
    contested = positive.sum(1, keepdim=True) > 1
    winner = torch.zeros_like(positive).scatter_(1, ious.argmax(1, keepdim=True), True)
    return torch.where(contested, winner, positive)


def _collect(positive: Tensor, truth: GroundTruth, background: int) -> tuple[Tensor, Tensor]:
    owner = positive.to(torch.uint8).argmax(1)  # (N, A)
    labels = truth.classes.gather(1, owner)
    labels = torch.where(positive.any(1), labels, background)
    boxes = truth.boxes.gather(1, owner[..., None].expand(-1, -1, 4))
    return labels, boxes


def _background(count: int, anchors: int, classes: int, like: Tensor) -> Assignment:
    labels = torch.full((count, anchors), classes, dtype=torch.int64, device=like.device)
    return Assignment(labels, like.new_zeros(count, anchors, 4), like.new_zeros(count, anchors, classes))
