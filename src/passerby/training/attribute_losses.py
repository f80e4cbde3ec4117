# SPDX-License-Identifier: Apache-2.0
"""Losses of the attribute network: pure functions of tensors.

Feeds `attribute_loop`. The weighted loss is the original's (PaddleClas MultiLabelLoss with `weight_ratio` and
`size_sum`); the shipped model is distilled with the plain masked one, whose probabilities need less mending.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def ratio_weights(targets: Tensor, ratios: Tensor) -> Tensor:
    """Weights that raise what is rare: exp(1 - r) where a label holds, exp(r) where it does not.

    Args:
        targets: (N, C), 1 where the label holds; above 0.5 counts as holding.
        ratios: (C,) or (N, C), the share of training crops that have the label.
    Returns:
        (N, C) float.
    Source: spec/paddlex-par.md section 5.4, after Li et al., ACPR 2015 (DeepMAR).
    """
    holds = (targets > 0.5).to(targets.dtype)
    return torch.exp(holds * (1 - ratios) + (1 - holds) * ratios)


def multi_label_loss(logits: Tensor, targets: Tensor, ratios: Tensor | None = None, *, size_sum: bool = True) -> Tensor:
    """Binary cross entropy of the original recipe.

    Args:
        logits: (N, C) before the sigmoid.
        targets: (N, C) 1 or 0; with `ratios`, -1 means unknown and counts nothing. The original ignores -1 only
            in the weighted form, and so does this function: without `ratios`, pass no unknown entries.
        ratios: (C,) or (N, C) share of positives per label; None weighs all alike.
        size_sum: sum over labels and mean over the batch (the original's setting), else the mean of all entries.
    Returns:
        scalar.
    """
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if ratios is not None:
        losses = losses * ratio_weights(targets, ratios) * (targets > -1).to(losses.dtype)
    return losses.sum(dim=1).mean() if size_sum else losses.mean()


def masked_soft_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Binary cross entropy against probabilities, weighted entry by entry.

    Args:
        logits: (N, C).
        targets: (N, C) in [0, 1].
        weights: (N, C) not negative; 0 leaves an entry out.
    Returns:
        scalar: sum over labels, mean over the batch.
    """
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses * weights).sum(dim=1).mean()


def feature_loss(projected: Tensor, teacher: Tensor) -> Tensor:
    """1 - cosine between projected and teacher features, mean over everything but the last axis.

    Args:
        projected, teacher: (N, B, D) features of B horizontal bands.
    Returns:
        scalar in [0, 2].
    """
    return (1 - functional.cosine_similarity(projected, teacher, dim=-1)).mean()
