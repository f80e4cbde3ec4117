# SPDX-License-Identifier: Apache-2.0
"""Losses of the attribute network: pure functions of tensors.

`task` takes them by name through `attribute_loss`. The weighted loss is the original's (PaddleClas
MultiLabelLoss with `weight_ratio` and `size_sum`); the shipped model is distilled with the plain masked one, whose
probabilities need less mending. An entry of -1 is unknown and counts nothing in any of them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

LossName = Literal["weighted_bce", "bce", "focal", "asl"]
LOSSES: tuple[LossName, ...] = ("weighted_bce", "bce", "focal", "asl")

FOCAL_GAMMA = 2.0
ASL_GAMMA_POSITIVE = 0.0
ASL_GAMMA_NEGATIVE = 4.0
ASL_MARGIN = 0.05


def label_ratios(targets: NDArray[np.int8], *, as_original: bool = False) -> NDArray[np.float32]:
    """Share of crops that have each label, what `ratio_weights` weighs by.

    Args:
        targets: (N, C) 1, 0 or -1 of a whole training list.
        as_original: count -1 as the number -1, as PaddleClas does; labels that are mostly unknown then get negative
            shares and weights up to exp(2). Otherwise unknown entries are left out.
    Returns:
        (C,) float32; 0.5, which weighs both sides alike, for a label that is known nowhere.
    Source: spec/paddlex-par.md section 5.4.
    """
    if as_original:
        return targets.astype(np.float64).mean(axis=0).astype(np.float32)
    known = (targets >= 0).sum(axis=0)
    share = (targets > 0).sum(axis=0) / np.maximum(known, 1)
    return np.where(known > 0, share, 0.5).astype(np.float32)


def attribute_loss(logits: Tensor, targets: Tensor, ratios: Tensor, *, loss: LossName) -> Tensor:
    """The loss of that name.

    Args:
        logits: (N, C) float32 before the sigmoid, N at least 1.
        targets: (N, C) float32: 1, 0 or -1 for unknown.
        ratios: (C,) of `label_ratios`; only the weighted loss looks at them.
    Returns:
        scalar: sum over labels, mean over the batch.
    """
    if loss == "weighted_bce":
        return multi_label_loss(logits, targets, ratios)
    known = (targets >= 0).to(logits.dtype)
    if loss == "bce":
        return masked_soft_loss(logits, targets.clamp(min=0), known)
    terms = focal_terms(logits, targets) if loss == "focal" else asymmetric_terms(logits, targets)
    return (terms * known).sum(dim=1).mean()


def focal_terms(logits: Tensor, targets: Tensor, *, gamma: float = FOCAL_GAMMA) -> Tensor:
    """Binary cross entropy that hardly looks at what is already right: (1 - p of the truth)^gamma * -log(it).

    Args:
        logits, targets: (N, C); what stands where a target is -1 means nothing.
    Returns:
        (N, C), with gradients through both factors.
    Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equation 4 (without the balance alpha).
    """
    signed = torch.where(targets > 0.5, logits, -logits)
    log_right = functional.logsigmoid(signed)
    return -((1 - log_right.exp()).clamp(min=0) ** gamma) * log_right


def asymmetric_terms(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma_positive: float = ASL_GAMMA_POSITIVE,
    gamma_negative: float = ASL_GAMMA_NEGATIVE,
    margin: float = ASL_MARGIN,
) -> Tensor:
    """Focal loss with another exponent for negatives, and none at all for negatives below a probability of `margin`.

    For rare labels: their many easy negatives would drown the few positives.

    Args:
        logits, targets: (N, C); what stands where a target is -1 means nothing.
    Returns:
        (N, C), with gradients through all factors.
    Source: Ridnik et al., Asymmetric Loss For Multi-Label Classification, ICCV 2021, equations 4 to 6.
    """
    p = logits.sigmoid()
    positive = -((1 - p) ** gamma_positive) * functional.logsigmoid(logits)
    shifted = (p - margin).clamp(min=0)
    # 1 - shifted is at least `margin`, so the logarithm needs no guard
    negative = -(shifted**gamma_negative) * torch.log1p(-shifted)
    return torch.where(targets > 0.5, positive, negative)


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
