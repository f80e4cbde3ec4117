# SPDX-License-Identifier: Apache-2.0
"""A run between two steps: what a checkpoint holds, and the way there and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import TrainingError
from .checkpoint import Checkpoint, check_fits
from .distributed import Group
from .ema import ModelEma
from .optimisers import build_optimiser
from .options import TrainOptions
from .schedule import EpochPlan
from .task import Task

MOST_LEFT_OUT = 0.01  # share of the samples
# a step of either network took a quarter to a third less on a CPU than with channels first
LAYOUT = torch.channels_last


class Run:
    """Everything that changes from step to step.

    Attributes:
        epoch, number: the place of the next step: epochs done, and steps done of this one.
        step: steps of the optimiser done in all.
        bad_in_a_row, skipped: steps left out just now, and in all.
        left_out: the pictures that could not be used, with their errors.
        best_epoch, best: after how many epochs the weights were best, and their figures.
        plan: which samples stand in which batch.
    """

    def __init__(self, task: Task, options: TrainOptions, group: Group) -> None:
        torch.manual_seed(options.seed + group.rank)
        self.task, self.options, self.group = task, options, group
        self.network = task.network.to(group.device, memory_format=LAYOUT)  # type: ignore[call-overload]
        group.share(list(self.network.state_dict().values()))
        self.optimiser = build_optimiser(self.network, options)
        self.ema = (
            ModelEma(self.network, decay=options.ema_decay, fixed=task.not_averaged) if options.ema_decay else None
        )
        self.scaler = torch.amp.GradScaler("cuda", enabled=options.amp and group.device.type == "cuda")
        self.plan = EpochPlan(
            samples=task.samples,
            batch_size=options.batch_size,
            accumulate=options.accumulate,
            seed=options.seed,
            world=group.world,
        )
        self._statistics = [buffer for buffer in self.network.buffers() if buffer.is_floating_point()]
        self._kept = [buffer.clone() for buffer in self._statistics]
        self.epoch = self.number = self.step = 0
        self.bad_in_a_row = self.skipped = 0
        self.left_out: dict[str, str] = {}
        self.best_epoch = 0
        self.best: dict[str, float] | None = None

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.options.epochs * self.plan.steps

    @property
    def warmup(self) -> int:
        """Steps of the warm-up: no more than half of the run, or the rate would never reach its peak."""
        return min(self.options.warmup_steps, self.steps // 2)

    @property
    def stuck(self) -> bool:
        """Whether the figures have not become better for as long as the options allow."""
        patience = self.options.early_stopping
        return patience is not None and self.best is not None and self.epoch - self.best_epoch >= patience

    def weights(self) -> dict[str, Tensor]:
        """Those that are measured and kept: the averages, or without them the network's own."""
        if self.ema is not None:
            return self.ema.weights(self.network)
        return {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def keep_statistics(self) -> None:
        """Remember the running statistics: a step that is left out has mixed its batch into them."""
        for kept, buffer in zip(self._kept, self._statistics, strict=True):
            kept.copy_(buffer)

    def restore_statistics(self) -> None:
        """The running statistics as they were at `keep_statistics`."""
        for kept, buffer in zip(self._kept, self._statistics, strict=True):
            buffer.copy_(kept)

    def apply_gradients(self) -> bool:
        """Let the optimiser use the gradients, and the averages the new weights.

        Returns:
            False where a gradient is not finite: nothing has changed then. The search of the gradient scaler for
            its scale, which meets infinities on its way, counts as fine.
        """
        wanted = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        if self.group.world > 1:
            for parameter in wanted:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            self.group.average([*(p.grad for p in wanted if p.grad is not None), *self._statistics])
        if all(parameter.grad is None for parameter in wanted):
            return True  # no batch of this step had a picture
        self.scaler.unscale_(self.optimiser)
        norm = torch.nn.utils.clip_grad_norm_(wanted, self.options.clip_norm or math.inf)
        finite = bool(torch.isfinite(norm))
        if finite or self.scaler.is_enabled():
            self.scaler.step(self.optimiser)
            self.scaler.update()
        if finite and self.ema is not None:
            self.ema.update(self.network)
        return finite or (self.scaler.is_enabled() and self.scaler.get_scale() >= 1)

    def checkpoint(self) -> Checkpoint:
        """Everything, as it is now. Every process must ask at the same place; the first one's is written."""
        tensors: dict[str, Mapping[str, Tensor]] = {
            "network": self.network.state_dict(),
            "optimiser": _optimiser_tensors(self.optimiser),
            "random": self._random_states(),
        }
        state: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        state["scaler"] = self.scaler.state_dict()
        if self.ema is not None:
            tensors["ema"] = self.ema.averages
            state["ema"] = {"step": self.ema.step, "last_decay": self.ema.last_decay}
        return Checkpoint(
            tensors=tensors,
            task=self.task.describe(),
            data_hash=self.task.data_hash,
            options=self._deciding(),
            state=state,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Become the run that wrote a checkpoint.

        Raises:
            TrainingError: `checkpoint_mismatch`.
        """
        check_fits(checkpoint, task=self.task.describe(), data_hash=self.task.data_hash, options=self._deciding())
        try:
            self.network.load_state_dict(dict(checkpoint.tensors["network"]))
            _restore_optimiser(self.optimiser, checkpoint.tensors.get("optimiser", {}))
            if self.ema is not None:
                self.ema.restore({**checkpoint.state["ema"], "averages": checkpoint.tensors["ema"]})
            if self.scaler.is_enabled():
                self.scaler.load_state_dict(checkpoint.state["scaler"])
            for name in _PLAIN:
                setattr(self, name, checkpoint.state[name])
        except (KeyError, RuntimeError, ValueError) as reason:
            happened = f"the checkpoint is of another network ({str(reason).splitlines()[0][:120]})"
            raise TrainingError("checkpoint_mismatch", happened, hint="resume with the network it began with") from None
        self._restore_random(checkpoint.tensors.get("random", {}))

    def _deciding(self) -> dict[str, Any]:
        """Options without which a place in the run or the optimiser's state would mean something else."""
        options = self.options
        return {
            "optimiser": options.optimiser,
            "batch_size": options.batch_size,
            "accumulate": options.accumulate,
            "seed": options.seed,
            "averaged": options.ema_decay is not None,
            "amp": options.amp,
            "processes": self.group.world,
        }

    def _random_states(self) -> dict[str, Tensor]:
        """torch's, of every process; augmentation needs none, it follows from the place of a batch."""
        states = {"cpu": self.group.collect(torch.get_rng_state())}
        if self.group.device.type == "cuda":
            states["cuda"] = self.group.collect(torch.cuda.get_rng_state(self.group.device))
        return states

    def _restore_random(self, states: Mapping[str, Tensor]) -> None:
        if "cpu" in states:
            torch.set_rng_state(states["cpu"][self.group.rank].clone())
        if "cuda" in states and self.group.device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"][self.group.rank].clone(), self.group.device)


_PLAIN = ("epoch", "number", "step", "bad_in_a_row", "skipped", "left_out", "best_epoch", "best")


def _optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's tensors by number of the parameter and name."""
    return {
        f"{index}/{name}": value
        for index, held in optimiser.state_dict()["state"].items()
        for name, value in held.items()
        if isinstance(value, Tensor)
    }


def _restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, key = name.partition("/")
        state.setdefault(int(number), {})[key] = value
    groups = optimiser.state_dict()["param_groups"]
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for index, held in state.items():
        for key, value in held.items():
            if index >= len(parameters) or (value.ndim and value.shape != parameters[index].shape):
                raise ValueError(f"the optimiser's {key} of parameter {index} has another shape")
    optimiser.load_state_dict({"state": state, "param_groups": groups})
    for parameter, held in optimiser.state.items():
        for key, value in held.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                # in the parameter's memory layout, as the optimiser itself would have made it
                held[key] = torch.empty_like(parameter).copy_(value)
