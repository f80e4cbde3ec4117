# SPDX-License-Identifier: Apache-2.0
"""The recipe of a training run, as `loop` follows it. Made from a training file by `recipes`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import ArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """Everything that decides a run besides the network, its task and the data.

    Attributes:
        epochs: passes over the training split.
        batch_size: samples of one step on one device; `accumulate` such batches make one step of the optimiser.
        learning_rate: its peak; rises linearly from 0 over `warmup_steps` optimiser steps, then follows a cosine to 0
            at the end of the last epoch, whatever the number of epochs.
        optimiser: `momentum` (0.9, as the original) or `adamw`.
        weight_decay: L2; not on the scales and shifts of batch normalisation, nor on biases with `adamw`.
        ema_decay: of the averaged weights, which are those that are measured and kept; None trains without.
        clip_norm: largest norm of the gradient; None leaves it.
        amp: bfloat16 autocast on the CPU, float16 with a gradient scaler on CUDA.
        early_stopping: epochs without a better figure after which the run ends; None never.
        save_minutes: a checkpoint at least this often; one is written at the end of every epoch anyway.
        workers: processes that prepare batches; 0 prepares them in the loop.
        threads: of torch on the CPU; None leaves torch's own choice.
        resume: a checkpoint to go on from.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    warmup_steps: int = 0
    optimiser: Literal["momentum", "adamw"] = "momentum"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    ema_decay: float | None = None
    accumulate: int = 1
    clip_norm: float | None = None
    amp: bool = False
    seed: int = 0
    workers: int = 0
    threads: int | None = None
    log_interval: int = 20
    eval_interval: int = 1
    save_minutes: float = 5.0
    early_stopping: int | None = None
    resume: Path | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        counts = ("epochs", "batch_size", "accumulate", "log_interval", "eval_interval")
        wrong = [f"{name} is {getattr(self, name)}, at least 1 is needed" for name in counts if getattr(self, name) < 1]
        if not 0 < self.learning_rate < math.inf:
            wrong.append(f"learning_rate is {self.learning_rate}, it must be above 0")
        if self.ema_decay is not None and not 0 <= self.ema_decay < 1:
            wrong.append(f"ema_decay is {self.ema_decay}, it must be at least 0 and below 1")
        if min(self.warmup_steps, self.workers, self.save_minutes, self.weight_decay) < 0:
            wrong.append("warmup_steps, workers, save_minutes and weight_decay are never below 0")
        if wrong:
            raise ArgumentError("bad_argument", "; ".join(wrong))
