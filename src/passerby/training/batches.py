# SPDX-License-Identifier: Apache-2.0
"""The batches of a run one after another, prepared in worker processes while the network learns.

A batch follows from its place and its rows alone, so the number of workers changes nothing but the time, and a run
that is resumed meets the batches that it would have met.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ..errors import PasserbyError
from .schedule import EpochPlan
from .task import Batch, Place, Task

AHEAD = 3  # batches each worker prepares in advance


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The batches of one process: of these epochs, from a step of the first one on."""

    plan: EpochPlan
    rank: int
    epoch: int
    step: int
    epochs: int

    def __iter__(self) -> Iterator[tuple[Place, tuple[int, ...]]]:
        for epoch in range(self.epoch, self.epochs):
            first = self.step * self.plan.accumulate if epoch == self.epoch else 0
            for number in range(first, self.plan.batches):
                yield Place(epoch, number), self.plan.rows(epoch, number, rank=self.rank)

    def __len__(self) -> int:
        first = min(self.step * self.plan.accumulate, self.plan.batches)
        return max(0, (self.epochs - self.epoch) * self.plan.batches - first)


class _Prepared(Dataset[Any]):
    """`task.batch` by place and rows."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __getitem__(self, at: tuple[Place, Sequence[int]]) -> tuple[Any, ...] | PasserbyError:
        try:
            batch = self._task.batch(*at)
        except PasserbyError as error:
            return error  # as a value: a worker's exception loses its name on the way
        return batch.inputs, dict(batch.targets), dict(batch.left_out), tuple(batch.files)


def _leave_signals(_worker: int) -> None:
    """Signals go to whole groups of processes (Ctrl-C, `timeout`, systemd); what they mean is the first one's to say.

    It ends the workers by a message, or where that fails by a second SIGTERM.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.signal(signal.SIGTERM, signal.SIG_DFL))


def prepared_batches(task: Task, part: Part, *, workers: int, device: torch.device) -> Iterator[Batch]:
    """Batches in the order of `part`, on the device, channels last.

    Args:
        workers: processes; 0 prepares each batch when it is asked for.
    Raises:
        PasserbyError: what `task.batch` raised.
    """
    loader: DataLoader[Any] = DataLoader(
        _Prepared(task),
        batch_size=None,
        sampler=part,
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
        pin_memory=device.type == "cuda",
        worker_init_fn=_leave_signals if workers else None,
        generator=torch.Generator(),  # else starting it would draw from the random state that a checkpoint keeps
    )
    for prepared in loader:
        if isinstance(prepared, PasserbyError):
            raise prepared
        inputs, targets, left_out, files = prepared
        inputs = inputs.to(device, non_blocking=True, memory_format=torch.channels_last)
        targets = {name: tensor.to(device, non_blocking=True) for name, tensor in targets.items()}
        yield Batch(inputs, targets, left_out, files)
