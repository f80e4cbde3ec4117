# SPDX-License-Identifier: Apache-2.0
"""A tiny real task for the tests of the training loop, and a program that trains it so that it can be killed.

Run as `python -m tests.training_child OUTPUT OPTIONS_JSON [FAULTS_JSON]`: trains, prints one JSON line at the end.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from passerby.errors import PasserbyError
from passerby.networks.torch.pplcnet import PPLCNet
from passerby.training.loop import train
from passerby.training.options import TrainOptions
from passerby.training.task import Batch, Place

SIDE = 32
LABELS = 3


def drawn(row: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture (3, SIDE, SIDE) float32 in which a label is a bright third of one colour, and its labels (LABELS,)."""
    random = np.random.default_rng([7, row])
    labels = random.integers(0, 2, LABELS).astype(np.float32)
    picture = random.normal(0, 0.3, (3, SIDE, SIDE)).astype(np.float32)
    for label in range(LABELS):
        picture[label, label * 10 : label * 10 + 10] += 2 * labels[label]
    return picture, labels


class DrawnTask:
    """Labels of drawn pictures. `faults` plants trouble: see `FAULTS`."""

    metric = "accuracy"
    not_averaged: frozenset[str] = frozenset()

    def __init__(
        self, *, samples: int = 24, seed: int = 0, labels: int = LABELS, faults: Mapping[str, Any] = {}
    ) -> None:
        torch.manual_seed(seed)
        self.network: nn.Module = PPLCNet(labels, scale=0.25)
        self.samples, self.seed, self.labels, self.faults = samples, seed, labels, faults
        self.data_hash = f"drawn{samples}"
        self.steps = 0

    def batch(self, place: Place, rows: Sequence[int]) -> Batch:
        time.sleep(self.faults.get("slow", 0))
        corrupt = set(self.faults.get("corrupt", ()))
        random = np.random.default_rng([self.seed, *place])
        kept = [row for row in rows if row not in corrupt]
        pictures = [drawn(row) for row in kept]
        inputs = np.stack([p for p, _ in pictures]) if pictures else np.zeros((0, 3, SIDE, SIDE), np.float32)
        if not self.faults.get("still"):
            inputs = inputs + random.normal(0, 0.1, inputs.shape).astype(np.float32)
        if tuple(place) in {tuple(bad) for bad in self.faults.get("nan", ())}:
            inputs[:, 0, 0, 0] = np.nan
        targets = np.stack([t for _, t in pictures]) if pictures else np.zeros((0, LABELS), np.float32)
        return Batch(
            torch.from_numpy(inputs),
            {"labels": torch.from_numpy(targets)},
            {f"{row}.png": "image_truncated: drawn so" for row in rows if row in corrupt},
            tuple(f"{row}.png" for row in kept),
        )

    def loss(self, batch: Batch, *, progress: float) -> dict[str, Tensor]:
        assert 0 <= progress < 1
        logits = self.network(batch.inputs).float()
        bce = nn.functional.binary_cross_entropy_with_logits(logits[:, :LABELS], batch.targets["labels"])
        return {"total": bce, "bce": bce.detach()}

    def evaluate(self, weights: Mapping[str, Tensor]) -> dict[str, float]:
        if wanted := self.faults.get("figures"):
            self.steps += 1
            return {"accuracy": wanted[self.steps - 1]}
        time.sleep(self.faults.get("slow_evaluation", 0))
        measured = PPLCNet(self.labels, scale=0.25)
        measured.load_state_dict(dict(weights))
        measured.eval()
        pictures = [drawn(row) for row in range(1000, 1016)]
        logits = measured(torch.from_numpy(np.stack([p for p, _ in pictures])))[:, :LABELS]
        truth = torch.from_numpy(np.stack([t for _, t in pictures]))
        return {"accuracy": float(((logits > 0) == (truth > 0.5)).float().mean())}

    def describe(self) -> dict[str, Any]:
        return {"kind": "attributes", "network": {"scale": 0.25}, "num_classes": self.labels, "input_hw": [SIDE, SIDE]}


def options(**changed: Any) -> TrainOptions:
    """Four epochs of three steps, on one thread."""
    recipe = {"epochs": 4, "batch_size": 8, "learning_rate": 0.05, "ema_decay": 0.9, "threads": 1, "log_interval": 1}
    changed = {**recipe, **changed}
    if changed.get("resume"):
        changed["resume"] = Path(changed["resume"])
    return TrainOptions(**changed)


def main() -> int:
    output, recipe = Path(sys.argv[1]), json.loads(sys.argv[2])
    faults = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    if limit := faults.get("file_bytes"):
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if faults.get("command_line"):  # as under `passerby train`, whose frame has handlers of its own
        from passerby.cli.run import _catch_signals

        _catch_signals()
    task = DrawnTask(faults=faults)
    try:
        result = train(task, options(**recipe), output)
    except PasserbyError as error:
        print(json.dumps({"error": error.name, "message": error.message}), flush=True)
        return error.exit_code
    weights = hashlib.sha256(b"".join(value.numpy().tobytes() for value in task.network.state_dict().values()))
    print(json.dumps({"epochs": result.epochs, "skipped": result.skipped, "weights": weights.hexdigest()}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
