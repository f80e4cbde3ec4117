# SPDX-License-Identifier: Apache-2.0
"""An ensemble of small perceptrons on frozen features: the teacher of the shipped attribute network.

It learns from the by-eye training crops only. Its opinion on those same crops comes from members that never saw
their photo (out of fold), so that what the student copies is what the teacher really knows; on other crops it is
the mean of all members.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherOptions:
    """Settings of one member of the ensemble."""

    hidden: int = 384
    epochs: int = 24
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    input_dropout: float = 0.3
    hidden_dropout: float = 0.5
    batch_size: int = 128
    members: int = 3
    seed: int = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Centre and principal axes of one kind of feature: (D,) and (D, K), scaled to unit variance at the front."""

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]


def fit_projection(features: NDArray[Any], size: int, *, whitening: float = 0.5) -> Projection:
    """Principal components of features, all bands of all persons together.

    Args:
        features: (N, B, D).
        size: components kept, at most D.
        whitening: 0 keeps the components' variances, 1 makes them equal.
    """
    rows = features.reshape(-1, features.shape[-1]).astype(np.float32)
    mean = rows.mean(axis=0)
    rows = rows - mean
    scale = np.sqrt((rows**2).mean(axis=0)) + 1e-3
    covariance = (rows / scale).T @ (rows / scale) / len(rows)
    values, vectors = np.linalg.eigh(covariance.astype(np.float64))
    order = np.argsort(values)[::-1][: min(size, len(values))]
    spread = np.sqrt(np.maximum(values[order], 1e-8))
    relative = (spread / spread[0]) ** whitening * spread[0] ** 1.0
    return Projection(mean=mean, axes=(vectors[:, order] / scale[:, None] / relative).astype(np.float32))


def project(features: NDArray[Any], projection: Projection) -> NDArray[np.float32]:
    """(N, B, D) -> (N, B, K)."""
    return np.asarray((features.astype(np.float32) - projection.mean) @ projection.axes, np.float32)


def fold_of(keys: NDArray[np.str_]) -> NDArray[np.int64]:
    """(N,) fold 0 to FOLDS - 1 of each crop, the same for all crops of a photo, independent of order."""
    import hashlib

    return np.array([int(hashlib.sha256(f"fold/{k}".encode()).hexdigest(), 16) % FOLDS for k in keys], np.int64)


def _member(size_in: int, size_out: int, options: TeacherOptions) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(options.input_dropout),
        nn.Linear(size_in, options.hidden),
        nn.ReLU(),
        nn.Dropout(options.hidden_dropout),
        nn.Linear(options.hidden, size_out),
    )


def train_member(
    inputs: NDArray[np.float32], targets: NDArray[np.float32], *, options: TeacherOptions, seed: int
) -> nn.Module:
    """Train one perceptron.

    Args:
        inputs: (N, D) standardised features; targets: (N, C) 1, 0, -1 unknown.
    """
    torch.manual_seed(seed)
    x, t = torch.from_numpy(inputs), torch.from_numpy(targets)
    member = _member(x.shape[1], t.shape[1], options)
    optimiser = torch.optim.AdamW(member.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    steps = options.epochs * (len(x) // options.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.learning_rate, total_steps=steps)
    for _ in range(options.epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x) - options.batch_size + 1, options.batch_size):
            rows = order[start : start + options.batch_size]
            known = (t[rows] >= 0).float()
            losses = functional.binary_cross_entropy_with_logits(
                member(x[rows]), t[rows].clamp(min=0), reduction="none"
            )
            loss = (losses * known).sum(dim=1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return member.eval()


def predict(members: list[nn.Module], inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) -> (N, C) mean logits of the members."""
    with torch.no_grad():
        x = torch.from_numpy(inputs)
        return np.asarray(torch.stack([m(x) for m in members]).mean(dim=0).numpy(), np.float32)


def train_folds(
    inputs: Mapping[str, NDArray[np.float32]],
    targets: NDArray[np.float32],
    keys: NDArray[np.str_],
    *,
    options: TeacherOptions,
) -> tuple[NDArray[np.float32], list[nn.Module]]:
    """Out-of-fold logits of the training crops, and all members.

    Args:
        inputs: (N, D) features by kind of picture: `plain`, and `flipped` where there is one; all are trained on,
            the out-of-fold opinion is their mean.
        targets: (N, C). keys: (N,) photo of each crop.
    """
    folds = fold_of(keys)
    logits = np.zeros_like(targets)
    members: list[nn.Module] = []
    for fold in range(FOLDS):
        rows, held = folds != fold, folds == fold
        x = np.concatenate([part[rows] for part in inputs.values()])
        t = np.concatenate([targets[rows]] * len(inputs))
        of_fold = [
            train_member(x, t, options=options, seed=options.seed + 100 * fold + member)
            for member in range(options.members)
        ]
        logits[held] = np.mean([predict(of_fold, part[held]) for part in inputs.values()], axis=0)
        members += of_fold
    return logits, members
