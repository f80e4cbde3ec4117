"""Training images/s of both networks: the whole loop beside forward and backward alone.

    python benchmarks/training_speed.py [--rounds 3] [--seconds 40] [--threads 2] [--workers 1]

Drawn pictures of the size of real ones are written to a temporary folder first. A round measures, one after another:
the network alone (plain PyTorch, forward, backward, a batch that stays in memory) and `passerby.training.loop.train`
for about as long. `loop` is what the loop itself counts in its steps: waiting for decoded and augmented pictures, loss,
gradients, optimiser, average, log. `whole run` has everything from the first line to the last in it, also start,
checkpoints and the evaluation of eight pictures, which weigh heavily in so short a run. Shares are those of a round,
median of the rounds.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import torch
from torch import Tensor

from passerby.datasets import example
from passerby.datasets.attribute_set import read_attribute_set
from passerby.datasets.detection_set import read_detection_set
from passerby.training.attributes.task import AttributeTask, AttributeTaskOptions
from passerby.training.detection.task import DetectionTask, DetectionTaskOptions
from passerby.training.loop import train
from passerby.training.options import TrainOptions
from passerby.training.task import Place, Task

CROP_WH, PHOTO_WH = (160, 320), (1024, 768)  # px; a person in a street photo, the photo
BATCH = {"PP-LCNet x1.0, 256x192": 32, "PP-YOLOE-S, 640x640": 2}


def enlarged(folder: Path, size_wh: tuple[int, int]) -> None:
    """The drawn pictures in the size of real ones. They stay .png in name; the content decides: JPEG."""
    for path in folder.glob("images/*.png"):
        picture = cv2.resize(cv2.imread(str(path)), size_wh, interpolation=cv2.INTER_CUBIC)
        path.write_bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())


def attribute_task(folder: Path, count: int) -> AttributeTask:
    example.write_attribute_example(folder, count=count + 8)
    enlarged(folder, CROP_WH)
    _few_for_val(folder)
    return AttributeTask(read_attribute_set(folder), AttributeTaskOptions())


def _few_for_val(folder: Path) -> None:
    lines = [line for name in ("val", "train") for line in (folder / f"{name}.txt").read_text().splitlines(True)]
    (folder / "val.txt").write_text("".join(lines[:8]))
    (folder / "train.txt").write_text("".join(lines[8:]))


def detection_task(folder: Path, count: int) -> DetectionTask:
    example.write_detection_example(folder, count=count * 4 // 3 + 2)
    scale = PHOTO_WH[0] / example.STREET_HW[1]
    enlarged(folder, PHOTO_WH)
    for split in ("train", "val"):
        path = folder / f"annotations/instance_{split}.json"
        path.write_text(_scaled(path.read_text(), scale, keep=8 if split == "val" else None))
    options = DetectionTaskOptions(depth=0.33, width=0.5, input_hw=(640, 640), multi_scale=(1.0, 1.0))
    return DetectionTask(read_detection_set(folder), options)


def _scaled(text: str, scale: float, *, keep: int | None) -> str:
    document = json.loads(text)
    document["images"] = document["images"][:keep]
    kept = {image["id"] for image in document["images"]}
    for image in document["images"]:
        image["width"], image["height"] = PHOTO_WH
    document["annotations"] = [a for a in document["annotations"] if a["image_id"] in kept]
    for annotation in document["annotations"]:
        annotation["bbox"] = [value * scale for value in annotation["bbox"]]
        annotation["area"] *= scale**2
    return json.dumps(document)


def network_alone(task: Task, forward: Callable[[Tensor], Tensor], batch_size: int, seconds: float) -> float:
    """Images/s of forward and backward, nothing else."""
    task.network.train()
    inputs = task.batch(Place(0, 0), range(batch_size)).inputs
    if isinstance(task, AttributeTask):
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    done, start = 0, 0.0
    for step in range(1_000_000):
        if step == 2:  # the first steps allocate
            done, start = 0, time.perf_counter()
        forward(inputs).backward()
        done += batch_size
        if step > 4 and time.perf_counter() - start > seconds:
            break
    return done / (time.perf_counter() - start)


def whole_loop(task: Task, options: TrainOptions, folder: Path) -> tuple[float, float]:
    """Images/s of the loop's steps, the first report left out (workers start), and of the whole run."""
    start = time.perf_counter()
    train(task, options, folder, report=lambda line: None)
    whole = task.samples * options.epochs / (time.perf_counter() - start)
    with (folder / "metrics.csv").open(newline="") as file:
        speeds = [float(row["images_per_second"]) for row in csv.DictReader(file) if row["event"] == "train"]
    return statistics.median(speeds[1:]), whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40, help="of each measurement")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, {args.threads} threads, {args.workers} workers, {args.rounds} rounds")
    print("| network | alone, images/s | loop, images/s | loop / alone | whole run / alone |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for title, make, rate in (
            ("PP-LCNet x1.0, 256x192", attribute_task, 20.0),
            ("PP-YOLOE-S, 640x640", detection_task, 1.5),
        ):
            batch = BATCH[title]
            task = make(root / title, max(batch * 4, int(rate * args.seconds) // batch * batch))
            forward = _attribute_logits(task) if isinstance(task, AttributeTask) else _detection_logits(task)
            rounds = []
            for number in range(args.rounds):
                alone = network_alone(task, forward, batch, args.seconds)
                epochs = max(1, round(alone * args.seconds / task.samples))
                options = TrainOptions(
                    epochs=epochs,
                    batch_size=batch,
                    learning_rate=1e-4,
                    ema_decay=0.9998,
                    workers=args.workers,
                    log_interval=4,
                    threads=args.threads,
                    eval_interval=10_000,
                )
                rounds.append((alone, *whole_loop(task, options, root / f"{title} {number}")))
            alone, loop, _ = (statistics.median(column) for column in zip(*rounds, strict=True))
            steps, all_in = (statistics.median(row[i] / row[0] for row in rounds) for i in (1, 2))
            print(f"| {title}, batch {batch} | {alone:.1f} | {loop:.1f} | {steps:.2f} | {all_in:.2f} |", flush=True)


def _attribute_logits(task: AttributeTask) -> Callable[[Tensor], Tensor]:
    return lambda inputs: task.network(inputs).sum()


def _detection_logits(task: DetectionTask) -> Callable[[Tensor], Tensor]:
    def forward(inputs: Tensor) -> Tensor:
        outputs = task.network.head_outputs(inputs)
        return outputs.class_logits.sum() + outputs.side_logits.sum()

    return forward


if __name__ == "__main__":
    main()
