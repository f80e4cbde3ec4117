# SPDX-License-Identifier: Apache-2.0
"""One run in several processes, as `torchrun` starts them, and the device of each. Alone, everything here is a no-op.

Gradients are averaged by the loop after its backward pass, all of them in one message, instead of by a wrapper around
the network: a task calls its network as it likes, and a step that one process leaves out is left out by all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

from ..devices import parse_device
from ..errors import EngineError, shown

LONGEST_WAIT = timedelta(hours=6)  # the first process measures weights while the others wait

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The processes of a run. `rank` 0 writes the files."""

    rank: int = 0
    world: int = 1
    device: torch.device = CPU

    @property
    def first(self) -> bool:
        """Whether this process writes, measures and speaks."""
        return self.rank == 0

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is set in any of the processes."""
        if self.world == 1:
            return list(flags)
        votes = torch.tensor(flags, dtype=torch.float32, device=self.device)
        distributed.all_reduce(votes)
        return [vote > 0 for vote in votes.tolist()]

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes."""
        if self.world > 1 and tensors:
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
            distributed.all_reduce(flat)
            flat /= self.world
            for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
                tensor.copy_(mean.view_as(tensor))

    @torch.no_grad()
    def share(self, tensors: Sequence[Tensor]) -> None:
        """Give every process the first one's values."""
        if self.world > 1:
            for tensor in tensors:
                value = tensor.contiguous()
                distributed.broadcast(value, 0)
                tensor.copy_(value)

    def collect(self, tensor: Tensor) -> Tensor:
        """(world, ...) of a tensor that has the same shape everywhere, on the CPU."""
        if self.world == 1:
            return tensor[None].cpu()
        own = tensor.to(self.device)
        parts = [torch.empty_like(own) for _ in range(self.world)]
        distributed.all_gather(parts, own)
        return torch.stack(parts).cpu()


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """The group of this process: that of `torchrun` where it was started so, else of itself alone.

    Args:
        device: as in `pick_device`; with several processes each takes the GPU of its number.
    Raises:
        EngineError: `device_unavailable`.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    place = pick_device(device, local_rank=int(os.environ.get("LOCAL_RANK", "0")) if world > 1 else None)
    if world == 1:
        yield Group(device=place)
        return
    begun = distributed.is_initialized()
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if not begun:
        distributed.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    try:
        yield Group(rank=distributed.get_rank(), world=distributed.get_world_size(), device=place)
    finally:
        if not begun:
            distributed.destroy_process_group()


def pick_device(text: str, *, local_rank: int | None = None) -> torch.device:
    """Where to train.

    Args:
        text: `cpu`, `gpu`, `gpu:1`, `auto` (the first GPU, else the CPU), or a list such as `gpu:0,1` under torchrun.
        local_rank: number of this process on this machine, None for a run of one process.
    Raises:
        ArgumentError: `bad_device_name`.
        EngineError: `device_unavailable`: not there, not for training, or a list without torchrun.
    """
    kind, _, numbers = text.partition(":")
    if "," in numbers:
        if local_rank is None:
            count = numbers.count(",") + 1
            hint = f"start it with torchrun --nproc_per_node={count}, or name one device"
            raise EngineError("device_unavailable", f"{shown(text)} needs a process for each device", hint=hint)
        listed = numbers.split(",")
        text = f"{kind}:{listed[local_rank % len(listed)]}"
    elif local_rank is not None and kind in ("gpu", "cuda", "auto") and torch.cuda.is_available():
        text = f"gpu:{local_rank}"
    found = parse_device(text)
    if found is None:
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if found.kind == "cpu":
        return torch.device("cpu")
    if found.kind != "gpu":
        raise EngineError("device_unavailable", f"nothing is trained on {found.kind} devices", hint="use cpu or gpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found.number >= count:
        happened = f"this PyTorch sees {count} GPUs, asked for was {shown(text)}"
        raise EngineError("device_unavailable", happened, hint="use cpu, or install a PyTorch built for this GPU")
    return torch.device("cuda", found.number)
