# SPDX-License-Identifier: Apache-2.0
"""The learning rate of a step, and which samples it learns from. Pure functions of the step, the epoch and the seed."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def learning_rate(step: int, *, peak: float, warmup: int, total: int) -> float:
    """Linear from 0 over the warm-up, then a cosine that reaches 0 with the last step.

    Args:
        step: number of the optimiser's step, from 0; beyond `total` the rate stays 0.
        peak: the highest rate.
        warmup: steps of the rise; 0 starts at the peak.
        total: steps of the whole run.
    Returns:
        the rate of this step.
    Source: spec/paddlex-par.md sections 5.4 and 5.5, with the horizon that the run really has.
    >>> [round(learning_rate(step, peak=1.0, warmup=2, total=6), 3) for step in range(7)]
    [0.0, 0.5, 1.0, 0.854, 0.5, 0.146, 0.0]
    """
    if step < warmup:
        return peak * step / warmup
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return 0.5 * peak * (1 + math.cos(math.pi * done))


@functools.lru_cache(maxsize=4)
def _order(samples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPlan:
    """Which samples stand in which batch of an epoch, for each process of a run.

    Every sample comes once an epoch. The batches of an epoch differ by one sample at most, so that none at its end is
    tiny; `batch_size` is the largest. The order follows from the seed and the epoch and nothing else.

    Attributes:
        samples: of the training split, at least 1.
        batch_size: samples of one batch in one process, at most.
        accumulate: batches of one step of the optimiser.
        seed: of the order.
        world: processes that share a batch.
    """

    samples: int
    batch_size: int
    accumulate: int = 1
    seed: int = 0
    world: int = 1

    @property
    def batches(self) -> int:
        """Of an epoch, in each process."""
        return math.ceil(self.samples / (self.batch_size * self.world))

    @property
    def steps(self) -> int:
        """Of the optimiser in an epoch; the last one may have fewer batches."""
        return math.ceil(self.batches / self.accumulate)

    def batches_of(self, step: int) -> range:
        """Numbers of the batches that make a step of an epoch."""
        return range(step * self.accumulate, min(self.batches, (step + 1) * self.accumulate))

    def rows(self, epoch: int, number: int, *, rank: int = 0) -> tuple[int, ...]:
        """Samples of one batch in one process; a process without any of its own repeats the first."""
        shared = np.array_split(_order(self.samples, self.seed, epoch), self.batches)[number]
        own = np.array_split(shared, self.world)[rank]
        return tuple(int(row) for row in (own if len(own) else shared[:1]))
