# SPDX-License-Identifier: Apache-2.0
"""The student detector copies its teacher densely: feature maps, the score of every cell, boxes where a person is.

A few thousand photos hold too few persons to learn features from; every cell of the teacher's maps is a target. Feature
maps are compared after standardising each channel over the batch, which makes the squared difference 2 (1 - Pearson's
correlation) (Cao et al., "PKD", 2022); 1x1 convolutions bring the student's channels to the teacher's and are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.networks.torch.ppyoloe import HeadOutputs, distances_to_boxes, neck_channels, scaled_channels
from passerby.training.detection.losses import generalised_iou_loss

from .teacher_maps import CHANNELS

BOX_SCORE = 0.25  # from this score on the teacher's box of a cell is copied


@dataclass(frozen=True, slots=True, kw_only=True)
class DistilWeights:
    """How much each part counts beside the detection loss."""

    backbone: float = 1.5
    neck: float = 3.0
    scores: float = 1.0
    boxes: float = 1.5


class TeacherBatch(NamedTuple):
    """What `TeacherMaps.batch` gives, maps apart."""

    maps: tuple[Tensor, ...]
    scores: Tensor
    boxes: Tensor
    known: Tensor


class DistilLoss(NamedTuple):
    """Weighted sum and its unweighted parts, scalars."""

    total: Tensor
    backbone: Tensor
    neck: Tensor
    scores: Tensor
    boxes: Tensor


class Projections(nn.Module):
    """From the student's six maps (backbone, then neck; strides 32, 16, 8) to the teacher's channels."""

    def __init__(self, *, width: float) -> None:
        super().__init__()
        own = (*scaled_channels(width)[:1:-1], *neck_channels(width))
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(own, CHANNELS, strict=True))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [layer(x) for layer, x in zip(self.layers, maps, strict=True)]


def distil_loss(
    projected: list[Tensor], outputs: HeadOutputs, distances: Tensor, teacher: TeacherBatch, weights: DistilWeights
) -> DistilLoss:
    """What the student still does otherwise than its teacher.

    Args:
        projected: of `Projections`. outputs: of the head, float32. distances: (N, A, 4) cells, of the same head.
    """
    differences = [
        F.mse_loss(_standardised(ours.float()), _standardised(theirs.float()))
        for ours, theirs in zip(projected, teacher.maps, strict=True)
    ]
    backbone, neck = torch.stack(differences[:3]).mean(), torch.stack(differences[3:]).mean()
    scores = score_difference(outputs.class_logits[..., 0], teacher.scores, teacher.known)
    boxes = _box_difference(outputs, distances, teacher)
    total = weights.backbone * backbone + weights.neck * neck + weights.scores * scores + weights.boxes * boxes
    return DistilLoss(total, backbone.detach(), neck.detach(), scores.detach(), boxes.detach())


def _standardised(maps: Tensor) -> Tensor:
    mean = maps.mean((0, 2, 3), keepdim=True)
    spread = maps.std((0, 2, 3), keepdim=True)
    return (maps - mean) / (spread + 1e-5)


def score_difference(logits: Tensor, scores: Tensor, known: Tensor) -> Tensor:
    """Quality focal loss (Li et al., 2020, beta 2) of logits (N, A) against soft scores, per unit of teacher score."""
    gap = (logits.sigmoid() - scores).pow(2)
    terms = gap * F.binary_cross_entropy_with_logits(logits, scores, reduction="none")
    return (terms * known).sum() / scores.sum().clamp(min=1)


def _box_difference(outputs: HeadOutputs, distances: Tensor, teacher: TeacherBatch) -> Tensor:
    sure = (teacher.scores > BOX_SCORE) & teacher.known
    boxes = distances_to_boxes(outputs.anchor_points, distances)[sure]
    strides = outputs.strides.expand(*sure.shape, 1)[sure]
    shares = teacher.scores[sure]
    return (generalised_iou_loss(boxes, teacher.boxes[sure] / strides) * shares).sum() / shares.sum().clamp(min=1)
