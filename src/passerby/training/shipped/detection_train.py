# SPDX-License-Identifier: Apache-2.0
"""The training loop of the shipped detector: from scratch, on a CPU, resumable at any checkpoint.

Reads packed photos and teacher boxes, writes into one run folder: `options.json`, `curve.jsonl` (losses, figures),
`checkpoint.pt` (everything needed to go on) and `weights.npz` (averaged weights under Paddle's names).
"""

from __future__ import annotations

import json
import logging
import math
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from passerby.networks.torch.ppyoloe import PPYOLOE, HeadOutputs
from passerby.training.detection.losses import DetectionLoss, detection_loss
from passerby.training.ema import ModelEma
from passerby.training.shipped.detection_batches import DetectionBatches, Stage, ground_truth, marked_boxes
from passerby.training.shipped.detection_data import load_packed
from passerby.training.shipped.detection_distil import DistilLoss, DistilWeights, Projections, TeacherBatch, distil_loss
from passerby.training.shipped.detection_eval import evaluate, to_input

log = logging.getLogger(__name__)
WARM_START = 0.05  # share of the learning rate at the first iteration
QUICK_PHOTOS, QUICK_MIN_SCORE = 240, 0.05  # figures along the way: enough to see the curve, cheap enough to repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """Recipe of a run. Iterations count optimiser steps; the learning rate warms up linearly, then follows a cosine."""

    stages: tuple[Stage, ...]
    depth: float = 0.33
    width: float = 0.25
    batch_size: int = 16
    learning_rate: float = 2e-3
    final_share: float = 0.02
    weight_decay: float = 0.02
    warmup: int = 300
    atss_iterations: int = 1000
    ema_decay: float = 0.999
    clip_norm: float = 10.0
    distil: DistilWeights | None = None
    bfloat16: bool = True
    seed: int = 1
    threads: int = 1
    log_every: int = 50
    save_every: int = 200
    evaluate_every: int = 2000

    @property
    def iterations(self) -> int:
        """Length of the run."""
        return sum(stage.iterations for stage in self.stages)


class StepLosses(NamedTuple):
    """Losses of one step; `copied` is None without a dense teacher."""

    detection: DetectionLoss
    copied: DistilLoss | None


class _StopRequest:
    """Turns SIGTERM into a flag, so that a run stops after a step, with its checkpoint written."""

    def __init__(self) -> None:
        self.requested = False
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, _signal: int, _frame: object) -> None:
        self.requested = True


class _From:
    """Sampler that goes on where a run stopped."""

    def __init__(self, start: int, end: int) -> None:
        self.start, self.end = start, end

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.end))

    def __len__(self) -> int:
        return self.end - self.start


def learning_rate(options: TrainOptions, iteration: int) -> float:
    """Learning rate of an iteration."""
    if iteration < options.warmup:
        return options.learning_rate * (WARM_START + (1 - WARM_START) * iteration / options.warmup)
    done = (iteration - options.warmup) / max(1, options.iterations - options.warmup)
    share = options.final_share + (1 - options.final_share) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return options.learning_rate * share


def new_model(options: TrainOptions) -> PPYOLOE:
    """A network with fresh weights, in the memory layout that is fastest on a CPU."""
    model = PPYOLOE(depth=options.depth, width=options.width)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """What learns: the network, projections for the time of learning, and what their updates need."""

    model: PPYOLOE
    projections: Projections | None
    optimizer: torch.optim.AdamW
    ema: ModelEma


def build_optimizer(model: PPYOLOE, options: TrainOptions, projections: Projections | None = None) -> torch.optim.AdamW:
    """AdamW; no decay on biases and batch normalisation."""
    parameters = [*model.parameters(), *(projections.parameters() if projections else ())]
    decayed = [p for p in parameters if p.requires_grad and p.ndim > 1]
    plain = [p for p in parameters if p.requires_grad and p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": options.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=options.learning_rate)


def train_detector(
    packed_dir: Path,
    teacher_file: Path,
    run_dir: Path,
    *,
    options: TrainOptions,
    initial: Path | None = None,
    dense_teacher: Path | None = None,
) -> None:
    """Train or resume until the schedule ends; a new run starts from the weights file `initial`, or from nothing.

    With `options.distil` the maps of `dense_teacher` (see `TeacherMaps`) are learnt beside the boxes.
    """
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    run_dir.mkdir(parents=True, exist_ok=True)
    model = new_model(options)
    if initial is not None:
        model.load_state_dict(load_weights(initial))
    projections = None if options.distil is None else Projections(width=options.width)
    optimizer = build_optimizer(model, options, projections)
    ema = ModelEma(model, decay=options.ema_decay)
    learner = Learner(model=model, projections=projections, optimizer=optimizer, ema=ema)
    start = _resume(run_dir / "checkpoint.pt", learner)
    record = {**asdict(options), "from_iteration": start, "initial": str(initial), "torch": str(torch.__version__)}
    _append(run_dir / "options.jsonl", record)
    batches = DetectionBatches(
        packed_dir,
        teacher_file,
        stages=options.stages,
        batch_size=options.batch_size,
        seed=options.seed,
        dense_teacher=None if options.distil is None else dense_teacher,
    )
    loader = DataLoader(
        batches, batch_size=None, sampler=_From(start, options.iterations), num_workers=1, prefetch_factor=4
    )
    model.train()
    stop = _StopRequest()
    clock = time.monotonic()
    for iteration, batch in enumerate(loader, start):
        loss = _step(learner, batch, options, iteration)
        ema.update(model)
        done = iteration + 1
        if done % options.log_every == 0:
            _log_step(run_dir, done, loss, options, time.monotonic() - clock)
            clock = time.monotonic()
        if stop.requested or done % options.save_every == 0 or done == options.iterations:
            _save(run_dir, learner, done)
        if stop.requested:
            log.info("stopped iteration=%d", done)
            return
        if done % options.evaluate_every == 0 or done == options.iterations:
            _evaluate(packed_dir, run_dir, ema.weights(model), options, done)
            clock = time.monotonic()


def _step(learner: Learner, batch: tuple[Tensor, ...], options: TrainOptions, iteration: int) -> StepLosses:
    images, persons, persons_valid, ignored, ignored_valid, *dense = batch
    model, optimizer = learner.model, learner.optimizer
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(options, iteration)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.bfloat16):
        features = model.backbone(to_input(images))
        neck = model.neck(features)
        raw = model.yolo_head(neck)
        projected = learner.projections([*features[::-1], *neck]) if learner.projections else []
    outputs = HeadOutputs(raw.class_logits.float(), raw.side_logits.float(), *raw[2:])
    distances = model.yolo_head.distances(outputs.side_logits)
    loss = detection_loss(
        outputs,
        distances,
        ground_truth(persons, persons_valid),
        ignored=ground_truth(ignored, ignored_valid),
        use_atss=iteration < options.atss_iterations,
    )
    total, copied = loss.total, None
    if options.distil is not None:
        teacher = TeacherBatch(tuple(dense[:-3]), *dense[-3:])
        copied = distil_loss(projected, outputs, distances, teacher, options.distil)
        total = total + copied.total
    if not torch.isfinite(total):
        raise FloatingPointError(
            f"loss is not finite at iteration {iteration}: start again from the checkpoint, lower rate"
        )
    optimizer.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], options.clip_norm)
    optimizer.step()
    return StepLosses(loss, copied)


def _resume(path: Path, learner: Learner) -> int:
    if not path.exists():
        return 0
    stored = torch.load(path, weights_only=True)
    learner.model.load_state_dict(stored["model"])
    if learner.projections is not None:
        learner.projections.load_state_dict(stored["projections"])
    learner.optimizer.load_state_dict(stored["optimizer"])
    learner.ema.restore(stored["ema"])
    log.info("resume iteration=%d", stored["iteration"])
    return int(stored["iteration"])


def _save(run_dir: Path, learner: Learner, iteration: int) -> None:
    stored = {
        "model": learner.model.state_dict(),
        "projections": learner.projections.state_dict() if learner.projections else {},
        "optimizer": learner.optimizer.state_dict(),
        "ema": learner.ema.state(),
        "iteration": iteration,
    }
    temporary = run_dir / "checkpoint.tmp"
    torch.save(stored, temporary)
    temporary.replace(run_dir / "checkpoint.pt")
    save_weights(run_dir / "weights.npz", learner.ema.weights(learner.model))


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write a state dict as .npz under its (Paddle's) names, atomically."""
    temporary = path.with_suffix(".tmp.npz")
    arrays: dict[str, Any] = {name: value.contiguous().numpy() for name, value in weights.items()}
    np.savez(temporary, **arrays)
    temporary.replace(path)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read what `save_weights` wrote."""
    with np.load(path) as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored.files}


def val_set(
    packed_dir: Path, split: str, *, most: int | None = None
) -> tuple[NDArray[np.uint8], list[NDArray[np.float32]]]:
    """Photos of a split (the first `most`), (N, S, S, 3), and their marked boxes in pixels of the packed photo."""
    packed = load_packed(packed_dir)
    rows = packed.indices(split)[:most]
    side = packed.pixels.shape[1]
    truths = [marked_boxes(packed, row) for row in rows]
    return packed.pixels[rows], [np.zeros((0, 4), np.float32) if t is None else t * side for t in truths]


def _evaluate(packed_dir: Path, run_dir: Path, weights: dict[str, Tensor], options: TrainOptions, done: int) -> None:
    model = new_model(options).eval()
    model.load_state_dict(weights)
    pixels, truths = val_set(packed_dir, "val", most=QUICK_PHOTOS)
    results, _ = evaluate(model, pixels, truths, min_score=QUICK_MIN_SCORE)
    figures = {name: {key: round(value, 4) for key, value in asdict(r).items()} for name, r in results.items()}
    _append(run_dir / "curve.jsonl", {"iteration": done, "val": figures})
    log.info("val iteration=%d %s", done, {name: f["ap"] for name, f in figures.items()})


def _log_step(run_dir: Path, done: int, losses: StepLosses, options: TrainOptions, seconds: float) -> None:
    loss, copied = losses
    parts = {
        "total": loss.total,
        "classification": loss.classification,
        "iou": loss.iou,
        "dfl": loss.dfl,
    }
    if copied is not None:
        parts |= {f"copied_{name}": value for name, value in copied._asdict().items()}
    record: dict[str, object] = {name: round(float(value.detach()), 4) for name, value in parts.items()}
    record |= {
        "iteration": done,
        "positives": loss.positives,
        "learning_rate": round(learning_rate(options, done), 7),
        "images_per_second": round(options.log_every * options.batch_size / seconds, 1),
    }
    _append(run_dir / "curve.jsonl", record)
    log.info("step %s", record)


def _append(path: Path, record: dict[str, object]) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(record) + "\n")
