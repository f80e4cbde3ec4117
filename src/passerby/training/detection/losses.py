# SPDX-License-Identifier: Apache-2.0
"""The losses of PP-YOLOE's head: varifocal, generalised IoU, distribution focal, and their weighted sum.

`detection_loss` adds one thing to PaddleDetection's: regions to ignore, where anchors pay nothing for a class that
nobody knows to be there or not. Everything is computed on the device of the predictions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, distributed
from torch.nn import functional as F

from passerby.networks.torch.ppyoloe import REG_BINS, HeadOutputs, distances_to_boxes
from passerby.training.detection.assigner import Assignment, GroundTruth, atss, points_inside, task_aligned

CLASS_WEIGHT, IOU_WEIGHT, DFL_WEIGHT = 1.0, 2.5, 0.5
LARGEST_DISTANCE = REG_BINS - 1 - 0.01  # so that the bin to the right always exists


class DetectionLoss(NamedTuple):
    """Total and its unweighted parts, scalars; positives is the number of anchors that learn a box."""

    total: Tensor
    classification: Tensor
    iou: Tensor
    dfl: Tensor
    positives: int


def varifocal(predicted: Tensor, target: Tensor, label: Tensor, *, alpha: float = 0.75, gamma: float = 2.0) -> Tensor:
    """Elementwise varifocal loss of scores in (0, 1); label is 1 on the assigned class. The weight carries gradient."""
    weight = alpha * predicted.pow(gamma) * (1 - label) + target * label
    return weight * F.binary_cross_entropy(predicted, target, reduction="none")


def generalised_iou_loss(predicted: Tensor, target: Tensor, *, epsilon: float = 1e-10) -> Tensor:
    """1 - GIoU of matching rows of (N, 4) boxes: (N,)."""
    low, high = torch.maximum(predicted[:, :2], target[:, :2]), torch.minimum(predicted[:, 2:], target[:, 2:])
    overlap = (high - low).clamp(min=0).prod(1)
    areas = (predicted[:, 2:] - predicted[:, :2]).prod(1) + (target[:, 2:] - target[:, :2]).prod(1)
    union = areas - overlap + epsilon
    hull_low, hull_high = torch.minimum(predicted[:, :2], target[:, :2]), torch.maximum(predicted[:, 2:], target[:, 2:])
    hull = (hull_high - hull_low).prod(1) + epsilon
    return 1 - (overlap / union - (hull - union) / hull)


def distribution_focal(side_logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy with the two bins around the target distance, mean of the sides.

    Args:
        side_logits: (N, 4, bins). target: (N, 4) in cells, within [0, bins - 1).
    Returns:
        (N,)
    """
    left = target.floor().long()
    share_right = target - left
    log_probabilities = side_logits.log_softmax(-1)
    left_loss = -log_probabilities.gather(-1, left[..., None]).squeeze(-1)
    right_loss = -log_probabilities.gather(-1, left[..., None] + 1).squeeze(-1)
    return (left_loss * (1 - share_right) + right_loss * share_right).mean(-1)


def boxes_to_distances(points: Tensor, boxes: Tensor) -> Tensor:
    """Left, top, right, bottom distances (N, 4) of boxes (N, 4) from points (N, 2), clipped to the bins' range."""
    distances = torch.cat([points - boxes[:, :2], boxes[:, 2:] - points], dim=1)
    return distances.clamp(0, LARGEST_DISTANCE)


def detection_loss(
    outputs: HeadOutputs,
    distances: Tensor,
    truth: GroundTruth,
    *,
    ignored: GroundTruth | None = None,
    use_atss: bool = False,
) -> DetectionLoss:
    """Loss of a batch.

    Args:
        outputs: of `PPYOLOE.head_outputs`, float32.
        distances: (N, A, 4) expected side distances in cells, from `PPYOLOEHead.distances`.
        truth: persons to find, network-input pixels.
        ignored: regions without an opinion on one class; anchors inside pay for that class only where they learn it.
        use_atss: assign by geometry instead of by the predictions.
    """
    scores = outputs.class_logits.sigmoid()
    cell_boxes = distances_to_boxes(outputs.anchor_points, distances)
    points = outputs.anchor_points * outputs.strides
    boxes = (cell_boxes * outputs.strides).detach()
    classes = scores.shape[-1]
    if use_atss:
        assigned = atss(boxes, points, outputs.strides, outputs.cells_per_level, truth, num_classes=classes)
    else:
        assigned = task_aligned(scores.detach(), boxes, points, truth)
    one_hot = F.one_hot(assigned.labels, classes + 1)[..., :classes].to(scores.dtype)
    class_terms = varifocal(scores, assigned.scores, one_hot)
    if ignored is not None and ignored.boxes.shape[1]:
        class_terms = class_terms * ((one_hot > 0) | ~_unsure(points, ignored, classes))
    return _sum_up(class_terms.sum(), outputs, cell_boxes, assigned)


def _unsure(points: Tensor, ignored: GroundTruth, classes: int) -> Tensor:
    """Which anchors lie in a region to ignore, class by class: (N, A, C) bool."""
    inside = points_inside(points, ignored.boxes) & ignored.valid[:, :, None]  # (N, M, A)
    of_class = F.one_hot(ignored.classes, classes)  # (N, M, C)
    return inside.transpose(1, 2).float() @ of_class.float() > 0


def _sum_up(class_sum: Tensor, outputs: HeadOutputs, cell_boxes: Tensor, assigned: Assignment) -> DetectionLoss:
    classes = assigned.scores.shape[-1]
    normaliser = mean_over_processes(assigned.scores.sum()).clamp(min=1)
    positive = assigned.labels != classes
    weights = assigned.scores.sum(-1)[positive]
    targets = (assigned.boxes / outputs.strides)[positive]
    points = outputs.anchor_points.expand(positive.shape[0], -1, -1)[positive]
    iou = (generalised_iou_loss(cell_boxes[positive], targets) * weights).sum() / normaliser
    side_targets = boxes_to_distances(points, targets)
    dfl = (distribution_focal(outputs.side_logits[positive], side_targets) * weights).sum() / normaliser
    classification = class_sum / normaliser
    total = CLASS_WEIGHT * classification + IOU_WEIGHT * iou + DFL_WEIGHT * dfl
    return DetectionLoss(total, classification.detach(), iou.detach(), dfl.detach(), int(positive.sum()))


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a scalar over the processes of a distributed run; the value itself where there is but one.

    Every process must call it equally often. Without it a process whose pictures are nearly empty would weigh its few
    boxes as much as others weigh their many.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return value
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()
