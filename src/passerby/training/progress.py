# SPDX-License-Identifier: Apache-2.0
"""How fast a run is and how long it takes still. Durations are on the monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Mapping

from .run_log import RunLog, duration
from .run_state import Run


class Meter:
    """Counts steps, logs their means every `log_interval` of them, and says when a checkpoint is due."""

    def __init__(self, run: Run, log: RunLog) -> None:
        self._run, self._log = run, log
        self._begun = self._saved = time.monotonic()
        self._first = run.step
        self._sums: dict[str, list[float]] = {}
        self._steps = 0
        self._seconds = 0.0
        self._since = time.monotonic()

    @property
    def save_due(self) -> bool:
        """Whether the last checkpoint is old enough for another; the first process decides."""
        return self._run.group.first and time.monotonic() - self._saved >= 60 * self._run.options.save_minutes

    def saved(self) -> None:
        """A checkpoint was written just now; what came since the last step was no training."""
        self._saved = self._since = time.monotonic()

    def count(self, losses: Mapping[str, float]) -> None:
        """A step has been taken."""
        now = time.monotonic()
        self._seconds += now - self._since
        self._since = now
        self._steps += 1
        for name, value in losses.items():
            self._sums.setdefault(name, []).append(value)
        if self._run.step % self._run.options.log_interval == 0 or self._run.number == self._run.plan.steps:
            self._tell(now)

    def _tell(self, now: float) -> None:
        run = self._run
        means = {name: sum(values) / len(values) for name, values in self._sums.items()}
        images = run.plan.samples / run.plan.steps * self._steps / max(self._seconds, 1e-9)
        left = (now - self._begun) / max(1, run.step - self._first) * (run.steps - run.step)
        rate = run.optimiser.param_groups[0]["lr"]
        self._log.row(
            "train",
            epoch=run.epoch + 1,
            step=run.step,
            values={**means, "learning_rate": rate, "images_per_second": images},
        )
        parts = " ".join(f"{name} {value:.4f}" for name, value in means.items())
        self._log.say(
            f"epoch {run.epoch + 1}/{run.options.epochs} step {run.number}/{run.plan.steps} {parts or 'no loss'}"
            f" rate {rate:.3g} {images:.1f} images/s eta {duration(left)}"
        )
        self._sums, self._steps, self._seconds = {}, 0, 0.0
