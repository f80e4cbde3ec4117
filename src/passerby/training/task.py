# SPDX-License-Identifier: Apache-2.0
"""What `loop` needs to know of what it trains: attributes and detection are the two tasks there are.

A task owns the network, the samples and the loss. It owns no optimiser, no file and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

Weights = Mapping[str, Tensor]
"""A state dict under Paddle's parameter names."""


class Place(NamedTuple):
    """Where in a run a batch stands. Everything random about a batch follows from it, the seed and nothing else."""

    epoch: int
    number: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from.

    Attributes:
        inputs: (N, 3, H, W) float32, RGB normalised.
        targets: tensors by name, whatever the task's loss wants.
        left_out: the error of each picture that could not be used, by the name of its file.
        files: names of the samples in it, for the message about a loss that is not finite; may be left empty.
    """

    inputs: Tensor
    targets: Mapping[str, Tensor]
    left_out: Mapping[str, str]
    files: Sequence[str] = ()


class Task(Protocol):
    """A network and how it is taught.

    Attributes:
        network: trained in place; `state_dict()` has Paddle's parameter names.
        samples: number of training samples.
        metric: the key of `evaluate`'s figures by which the best weights are chosen; higher is better.
        data_hash: of `datasets.records.data_hash`.
        seed: of everything random in batches.
        not_averaged: names of parameters that the average leaves alone, for example `yolo_head.proj_conv.weight`.
    """

    network: nn.Module
    samples: int
    metric: str
    data_hash: str
    seed: int
    not_averaged: frozenset[str]

    def batch(self, place: Place, rows: Sequence[int]) -> Batch:
        """Read, augment and stack these training samples. Called in worker processes; must not touch the network."""
        ...

    def loss(self, batch: Batch, *, progress: float) -> dict[str, Tensor]:
        """Scalars by name; `total` is what is minimised, the others are for the log.

        Args:
            progress: share of the run that is done, 0..1.
        """
        ...

    def evaluate(self, weights: Weights) -> dict[str, float]:
        """Figures of these weights on the val split, among them `metric`."""
        ...

    def describe(self) -> dict[str, Any]:
        """What a checkpoint must know to be used without the task: kind, architecture, input size, labels (JSON)."""
        ...
