# SPDX-License-Identifier: Apache-2.0
"""The training loop. `train` reads from top to bottom; what a step does stands below it.

The loop owns the optimiser, the averages, the files and the clock; a `Task` owns network, samples and loss. Written
into the run's folder: `train.log`, `metrics.csv`, `tensorboard/`, `checkpoints/` (the latest and the one before) and
`best_model/best_model.safetensors`, the averaged weights of the best evaluation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from .._version import __version__
from ..errors import DatasetError, EngineError, Interrupted, TrainingError, shown
from ..files import atomic_write, check_writable
from .batches import Part, prepared_batches
from .checkpoint import LATEST, find_checkpoint, read_checkpoint, save_checkpoint
from .distributed import joined
from .interruption import StopRequest
from .optimisers import set_rate
from .options import TrainOptions
from .progress import Meter
from .run_log import RunLog, to_stderr
from .run_state import MOST_LEFT_OUT, Run
from .schedule import learning_rate
from .task import Batch, Task
from .weights_file import write_tensors

BEST = Path("best_model/best_model.safetensors")
BAD_IN_A_ROW = 3
FILES_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What a run came to.

    Attributes:
        output: its folder.
        best_weights: the file with the best weights, which evaluation, export and further runs start from.
        checkpoint: the file from which the run goes on.
        metric: name of the figure by which the best were chosen.
        best_epoch: after how many epochs they were best.
        figures: what the evaluation said of them.
        epochs, steps: done in all.
        stopped_early: the figures had not become better for as long as the options allow.
        skipped: steps left out because of a loss that was not finite.
        left_out: the pictures that could not be used, with their errors.
    """

    output: Path
    best_weights: Path
    checkpoint: Path
    metric: str
    best_epoch: int
    figures: dict[str, float]
    epochs: int
    steps: int
    stopped_early: bool
    skipped: int
    left_out: dict[str, str]


def train(task: Task, options: TrainOptions, output: Path, *, report: Callable[[str], None] = to_stderr) -> TrainResult:
    """Train a task's network, or go on with a run where its checkpoint stands.

    Args:
        task: its network is trained in place; what wants no gradient now is left alone.
        options: the recipe.
        output: folder of the run; made.
        report: takes each line of the log, for people.
    Raises:
        TrainingError: `loss_not_finite`, `checkpoint_corrupt`, `checkpoint_mismatch`.
        DatasetError: `dataset_invalid`, more than 1 % of the pictures cannot be used.
        OutputError: `output_full`, `output_unwritable`; the last checkpoint stays.
        EngineError: `device_unavailable`, `out_of_memory`.
        Interrupted: SIGINT or SIGTERM came; the checkpoint is written.
    """
    check_writable(output)
    with joined(options.device) as group, StopRequest() as stop, _threads(options.threads):
        run = Run(task, options, group)
        if options.resume is not None:
            run.restore(read_checkpoint(options.resume))
            if group.first:
                bring_best(find_checkpoint(options.resume), output)
        with closing(RunLog(output, report=report, step=run.step, active=group.first)) as log:
            log.say(_beginning(run))
            _follow(run, output, log, stop)
            result = _result(run, output)
            log.say(_ending(result))
            return result


def _follow(run: Run, output: Path, log: RunLog, stop: StopRequest) -> None:
    """The loop: steps, then figures, then a checkpoint, epoch after epoch."""
    task, options, group = run.task, run.options, run.group
    part = Part(plan=run.plan, rank=group.rank, epoch=run.epoch, step=run.number, epochs=options.epochs)
    batches = prepared_batches(task, part, workers=options.workers, device=group.device)
    meter = Meter(run, log)

    def save() -> None:
        checkpoint = run.checkpoint()
        if group.first:
            save_checkpoint(output / "checkpoints", checkpoint)
        meter.saved()

    while run.epoch < options.epochs and not any(group.any(run.stuck)):
        run.network.train()
        while run.number < run.plan.steps:
            losses = take_step(run, batches, log)
            meter.count(losses)
            stopping, due = group.any(stop.requested, meter.save_due)
            if stopping or due:
                save()
            if stopping:
                raise _interrupted(output)
        figures = None
        if (run.epoch + 1) % options.eval_interval == 0 or run.epoch + 1 == options.epochs:
            figures = stop.cut_off(lambda: measure(run)) if group.first else None
            if any(group.any(stop.requested)):
                save()  # at the end of the epoch: the measuring is done again
                raise _interrupted(output)
        run.epoch, run.number = run.epoch + 1, 0
        if figures is not None:
            keep_best(run, figures, output, log)
        save()


def take_step(run: Run, batches: Iterator[Batch], log: RunLog) -> dict[str, float]:
    """One step of the optimiser over the next batches.

    A step whose loss or gradient is not finite changes nothing: it is left out and counted.

    Returns:
        the loss and its parts, means over the batches; empty where the step was left out or had no picture.
    Raises:
        TrainingError: `loss_not_finite`, the third such step in a row.
        DatasetError: `dataset_invalid`, too many pictures cannot be used.
    """
    rate = learning_rate(run.step, peak=run.options.learning_rate, warmup=run.warmup, total=run.steps)
    set_rate(run.optimiser, rate)
    run.optimiser.zero_grad(set_to_none=True)
    run.keep_statistics()
    numbers = run.plan.batches_of(run.number)
    found: list[dict[str, float]] = []
    files: list[str] = []
    for number, batch in zip(numbers, batches):  # noqa: B905 - the batches of later steps stay where they are
        note_left_out(run, batch, log)
        if len(batch.inputs):
            files += batch.files or [f"sample {row}" for row in run.plan.rows(run.epoch, number, rank=run.group.rank)]
            found.append(_learn(run, batch, share=len(numbers)))
    sound = all(math.isfinite(losses["total"]) for losses in found)
    if any(run.group.any(not sound)) or not run.apply_gradients():
        leave_out(run, rate, files, log)
        found = []
    else:
        run.bad_in_a_row = 0
    run.number, run.step = run.number + 1, run.step + 1
    return {name: sum(losses[name] for losses in found) / len(found) for name in (found[0] if found else ())}


def _learn(run: Run, batch: Batch, *, share: int) -> dict[str, float]:
    """Add a batch's gradients, divided by `share`, unless its loss is not finite.

    Returns:
        the loss and its parts.
    Raises:
        EngineError: `out_of_memory`.
    """
    device = run.group.device.type
    try:
        with torch.autocast(device, torch.float16 if device == "cuda" else torch.bfloat16, enabled=run.options.amp):
            losses = run.task.loss(batch, progress=run.step / run.steps)
        numbers = torch.stack(
            [value.detach().float() for value in losses.values()]
        ).tolist()  # waits for the device once
        values: dict[str, float] = dict(zip(losses, numbers, strict=True))
        if math.isfinite(values["total"]):
            run.scaler.scale(losses["total"].float() / share).backward()
        return values
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
        happened = f"a batch of {len(batch.inputs)} does not fit into the memory of {run.group.device}"
        raise EngineError("out_of_memory", happened, hint="lower batch_size; accumulate makes up for it") from None


def leave_out(run: Run, rate: float, files: list[str], log: RunLog) -> None:
    """Count a step whose loss was not finite; the third in a row ends the run."""
    run.restore_statistics()
    run.bad_in_a_row += 1
    run.skipped += 1
    named = shown(", ".join(files[:FILES_NAMED]) + (", ..." if len(files) > FILES_NAMED else ""), 200)
    where = f"step {run.step + 1}, learning rate {rate:.3g}, batch {named}"
    log.say(f"the loss is not finite, the step is left out: {where}")
    if run.bad_in_a_row >= BAD_IN_A_ROW:
        happened = f"the loss was not finite {BAD_IN_A_ROW} times in a row, last at {where}"
        hint = "lower learning_rate and resume from the last checkpoint"
        raise TrainingError("loss_not_finite", happened, hint=hint)


def note_left_out(run: Run, batch: Batch, log: RunLog) -> None:
    """Name each picture that cannot be used once."""
    for file, why in batch.left_out.items():
        if file not in run.left_out:
            run.left_out[file] = why
            log.say(f"left out: {shown(file, 200)}: {shown(why, 200)}")
    if len(run.left_out) > MOST_LEFT_OUT * run.task.samples:
        some = ", ".join(f"{shown(file)} ({shown(why)})" for file, why in itertools.islice(run.left_out.items(), 5))
        happened = f"{len(run.left_out)} of {run.task.samples} training pictures cannot be used, for example {some}"
        raise DatasetError("dataset_invalid", happened, hint="run `passerby dataset check` and mend or remove them")


def measure(run: Run) -> dict[str, float]:
    """Figures of the weights as they are; the random state is left as it was."""
    device = run.group.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.no_grad():
        return {name: float(value) for name, value in run.task.evaluate(run.weights()).items()}


def keep_best(run: Run, figures: dict[str, float], output: Path, log: RunLog) -> None:
    """Log figures, and keep the weights when they are the best so far; of equals the later."""
    metric = run.task.metric
    better = run.best is None or _rank(figures[metric]) >= _rank(run.best[metric])
    log.row("val", epoch=run.epoch, step=run.step, values=figures)
    named = " ".join(f"{name} {value:.4f}" for name, value in figures.items())
    log.say(f"epoch {run.epoch}/{run.options.epochs} val {named}{' (best so far)' if better else ''}")
    if better:
        run.best, run.best_epoch = figures, run.epoch
        training = {
            "epoch": run.epoch,
            "step": run.step,
            "metric": metric,
            "figures": figures,
            "data_hash": run.task.data_hash,
            "options": {name: str(v) if isinstance(v, Path) else v for name, v in asdict(run.options).items()},
            "passerby": __version__,
            "torch": str(torch.__version__),
        }
        write_tensors(output / BEST, run.weights(), {**run.task.describe(), "training": training})


def _rank(figure: float | None) -> float:
    """A figure for comparing; what is no number (null in a checkpoint) stands below all."""
    return -math.inf if figure is None or math.isnan(figure) else figure


def bring_best(checkpoint: Path, output: Path) -> None:
    """Copy the best weights so far into the folder of a run that goes on in another one."""
    before = checkpoint.parent.parent / BEST
    if before.is_file() and not (output / BEST).exists():
        atomic_write(output / BEST, before.read_bytes())


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """torch's threads on the CPU, as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _interrupted(output: Path) -> Interrupted:
    hint = "resume from it with resume_path"
    return Interrupted("interrupted", "stopped on request, the checkpoint is written", input=str(output), hint=hint)


def _beginning(run: Run) -> str:
    options, plan = run.options, run.plan
    weights = sum(parameter.numel() for parameter in run.network.parameters())
    verb = f"resumed at epoch {run.epoch + 1} step {run.number + 1}" if run.step else "begun"
    return (
        f"{verb}: {plan.samples} samples, {options.epochs} epochs of {plan.steps} steps, batch {options.batch_size}"
        f" x {options.accumulate} x {run.group.world}, {options.optimiser} rate {options.learning_rate:g}"
        f" after {run.warmup} steps, {weights / 1e6:.2f} M weights, {run.group.device}, seed {options.seed}"
    )


def _result(run: Run, output: Path) -> TrainResult:
    return TrainResult(
        output=output,
        best_weights=output / BEST,
        checkpoint=output / "checkpoints" / LATEST,
        metric=run.task.metric,
        best_epoch=run.best_epoch,
        figures=dict(run.best or {}),
        epochs=run.epoch,
        steps=run.step,
        stopped_early=run.epoch < run.options.epochs,
        skipped=run.skipped,
        left_out=dict(run.left_out),
    )


def _ending(result: TrainResult) -> str:
    early = ", stopped early" if result.stopped_early else ""
    figure = result.figures.get(result.metric)
    best = f"best {result.metric} {figure:.4f} after epoch {result.best_epoch}" if figure is not None else "no figure"
    return f"done after {result.epochs} epochs{early}: {best}, weights in {result.best_weights}"
