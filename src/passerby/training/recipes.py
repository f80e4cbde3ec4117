# SPDX-License-Identifier: Apache-2.0
"""From a training file and a data set to what `loop` trains and how.

The values are the original's (spec/paddlex-par.md sections 5.4 and 5.5); what `config_recipes` says of its defects
holds here too. The network starts from the weights that the file names, or from random numbers drawn from the seed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, cast

import torch

from ..config_recipes import WARMUP, own_architecture
from ..config_training import TrainingConfig
from ..datasets.records import AttributeSet, DetectionSet
from ..engines.threads import available_threads
from ..errors import ArgumentError, DatasetError, ModelError
from ..formats.metadata import NmsRecipe
from ..models import cache
from ..models.catalogue import ENTRIES, stand_in
from ..models.load import load_model
from ..networks.torch.pplcnet import PPLCNet
from ..networks.torch.ppyoloe import PPYOLOE
from .attributes.task import AttributeTask, AttributeTaskOptions
from .detection.augment import NO_AUGMENT, DetectionAugment
from .detection.task import DetectionTask, DetectionTaskOptions
from .options import TrainOptions
from .schedule import EpochPlan
from .starting_weights import StartReport, start_from
from .task import Task

log = logging.getLogger(__name__)

MILD = DetectionAugment(colour_range=0.25, hue_degrees=9.0, expand=0.25, largest_expansion=2.0, crop=0.5)
DETECTION_AUGMENT = {"paddle": DetectionAugment(), "mild": MILD, "none": NO_AUGMENT}
SCALES = (0.5, 1.2)  # of the input: 320 to 768 for 640, as in the original
SHORTEST_PART = 4  # a warm-up that nobody asked for takes at most this part of the run
GPU_WORKERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A run, ready to go.

    Attributes:
        task, options: for `loop.train`.
        start: where the weights came from and what was left out; None for random ones.
        warmup: length of the rise as the file counts it: epochs for attributes, steps for detectors.
    """

    task: Task
    options: TrainOptions
    start: StartReport | None
    warmup: int


def make_recipe(config: TrainingConfig, data: AttributeSet | DetectionSet, *, world: int = 1) -> Recipe:
    """Make network, task and options.

    Args:
        config: resolved.
        data: of the kind that the model is for.
        world: processes that share the run.
    Raises:
        DatasetError: `dataset_invalid`, the data set has another number of classes than the file says.
        ArgumentError: sizes that the starting weights do not have.
        ModelError: the starting weights or the teacher cannot be had or do not fit.
    """
    count = len(data.label_set.labels) if isinstance(data, AttributeSet) else len(data.classes)
    check_count(config, count, root=data.root)
    task = _task(config, data, _network(config, count))
    start = _start(config, task)
    options, warmup = _options(config, task.samples, world=world)
    return Recipe(task=task, options=options, start=start, warmup=warmup)


def check_count(config: TrainingConfig, count: int, *, root: Path) -> None:
    """
    Raises:
        DatasetError: `dataset_invalid`, `Train.num_classes` says another number.
    """
    wanted = config.Train.num_classes
    if wanted is not None and wanted != count:
        what = "labels" if config.kind == "attributes" else "classes"
        happened = f"Train.num_classes is {wanted}, the data set has {count} {what}"
        raise DatasetError("dataset_invalid", happened, input=str(root), hint=f"set it to {count}, or leave it out")


def _network(config: TrainingConfig, count: int) -> PPLCNet | PPYOLOE:
    """A network with weights drawn from the seed; torch's own generator is left as it was."""
    train = config.Train
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.Global.seed)
        if config.kind == "attributes":
            return PPLCNet(count, scale=train.scale or 1.0)
        return PPYOLOE(depth=train.depth or 1.0, width=train.width or 1.0, num_classes=count)


def _start(config: TrainingConfig, task: Task) -> StartReport | None:
    """Put the starting weights in; a run that goes on has its own."""
    source = config.Train.pretrain_weight_path
    if source is None or config.Train.resume_path is not None:
        return None
    if isinstance(source, Path):
        return start_from(task, source)
    _check_size(config, source)
    try:
        return start_from(task, source)
    except ModelError as error:
        if error.name not in ("model_offline", "model_download"):
            raise
        hint = f"`passerby models pull {source}` on a machine with network, or `passerby models import FILE`; "
        hint += f"or start from {stand_in(config.kind)} (Train.pretrain_weight_path), or null for random numbers"
        raise ModelError(error.name, error.happened, input=source, hint=hint) from None


def _check_size(config: TrainingConfig, name: str) -> None:
    """Weights of a named model fit a network of its own size only."""
    for key, value in own_architecture(name).items():
        if getattr(config.Train, key, None) != value:
            happened = f"Train.{key} is {getattr(config.Train, key, None)}, the weights of {name} have {value:g}"
            hint = "set Train.pretrain_weight_path to null or to weights of that size"
            raise ArgumentError("bad_argument", happened, hint=hint)


def _task(config: TrainingConfig, data: AttributeSet | DetectionSet, network: PPLCNet | PPYOLOE) -> Task:
    train, seed = config.Train, config.Global.seed
    given: dict[str, Any] = {"input_hw": train.input_size, "seed": seed}
    if isinstance(data, AttributeSet):
        assert isinstance(network, PPLCNet)
        given |= {"scale": train.scale, "loss": train.loss, "augment": train.augment}
        given |= {"freeze_backbone": train.freeze_backbone, "teacher_weight": train.teacher_weight}
        given["teacher"] = None if train.teacher is None else model_file(train.teacher)
        task = AttributeTask(data, AttributeTaskOptions(**given), network=network)
        task.metric = train.metric or task.metric
        return task
    assert isinstance(network, PPYOLOE)
    entry = ENTRIES[config.Global.model]
    given |= {"depth": train.depth, "width": train.width, "augment": DETECTION_AUGMENT[train.augment or "paddle"]}
    given |= {"multi_scale": SCALES if train.multi_scale else (1.0, 1.0), "metric": train.metric}
    given["static_assigner_epochs"] = train.static_assigner_epochs
    given["nms"] = load_model(entry.name).metadata.nms if entry.shipped else NmsRecipe()
    # its network is always a PPYOLOE, which no caller replaces; the protocol alone would let them
    return cast(Task, DetectionTask(data, DetectionTaskOptions(**given), network=network))


def model_file(source: Path | str) -> Path:
    """The file or folder of a model: a path as it is, a name of the catalogue where it lies, downloaded if need be.

    Raises:
        ModelError: `model_offline`, `model_download` and the like.
    """
    if isinstance(source, Path):
        return source
    entry = ENTRIES[source]
    if entry.shipped:
        return Path(str(resources.files("passerby.models"))) / "shipped" / entry.name / f"{entry.name}.onnx"
    load_model(entry.name)
    return cache.folder_of(entry.name)


def _options(config: TrainingConfig, samples: int, *, world: int) -> tuple[TrainOptions, int]:
    """The options of the loop, and the warm-up as the file counts it."""
    train = config.Train
    assert train.epochs_iters and train.batch_size and train.learning_rate
    plan = EpochPlan(samples=samples, batch_size=train.batch_size, accumulate=train.accumulate, world=world)
    per_unit = plan.steps if config.kind == "attributes" else 1
    length = train.epochs_iters * plan.steps // per_unit
    warmup = _warmup(train.warmup_steps, config, length)
    options = TrainOptions(
        epochs=train.epochs_iters,
        batch_size=train.batch_size,
        learning_rate=train.learning_rate,
        warmup_steps=warmup * per_unit,
        optimiser="adamw" if train.optimiser == "adamw" else "momentum",
        weight_decay=train.weight_decay or 0.0,
        ema_decay=train.ema_decay or None,
        accumulate=train.accumulate,
        clip_norm=train.clip_norm or None,
        amp=train.amp != "OFF",
        seed=config.Global.seed,
        workers=_workers(config) if train.workers is None else train.workers,
        threads=config.Global.threads,
        log_interval=train.log_interval or 1,
        eval_interval=train.eval_interval,
        save_minutes=train.save_minutes,
        early_stopping=train.early_stopping,
        resume=train.resume_path,
        device=config.Global.device,
    )
    return options, warmup


def _warmup(wanted: int | None, config: TrainingConfig, length: int) -> int:
    """Epochs or steps of the rise, out of `length` of the run. A rise without a fall after it would be a mistake."""
    if wanted is None:
        return min(WARMUP[config.kind], length // SHORTEST_PART)
    if wanted < length or wanted == 0:
        return wanted
    unit = "epochs" if config.kind == "attributes" else "steps"
    log.warning("Train.warmup_steps is %d %s of a run of %d: half of it is used", wanted, unit, length)
    return length // 2


def _workers(config: TrainingConfig) -> int:
    """A GPU waits for pictures; on the CPU one process is enough to have the next batch ready."""
    spare = available_threads() - 1
    on_gpu = config.Global.device != "cpu" and torch.cuda.is_available()
    return max(0, min(GPU_WORKERS if on_gpu else 1, spare))
