# SPDX-License-Identifier: Apache-2.0
"""What fine-tuning is worth on people from elsewhere, and what choosing the crops to label adds.

    fine_tuning.py prepare --work DIR --labels labels.csv --photos DIR --source NAME --average average.npz
    fine_tuning.py order   --work DIR                     what `suggest_labels` would have labelled first
    fine_tuning.py run     --work DIR --first first.onnx  train and measure; goes on where it was stopped
    fine_tuning.py report  --work DIR --docs docs         the tables and curves of what is there

`average.npz` comes from `scripts/train_attributes.py train --without NAME`, so NAME is a source the network has never
seen. One line of `results.jsonl` a finished run; docs/fine-tuning-figures.md is the report.
DIR lies outside the repository: the crops show real people.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from fine_tuning_data import write_held_out
from fine_tuning_report import write_report
from numpy.typing import NDArray

from passerby import engines
from passerby.datasets.attribute_set import read_attribute_set
from passerby.datasets.records import AttributeSample, AttributeSet
from passerby.datasets.suggest import SuggestOptions, suggest_labels
from passerby.devices import Device
from passerby.files import atomic_write
from passerby.formats.metadata import InputRecipe, ModelMetadata
from passerby.formats.onnx_file import write_onnx
from passerby.models.pa100k import GROUPS, LABELS
from passerby.models.verify import with_probe
from passerby.networks import pplcnet
from passerby.networks.torch.pplcnet import PPLCNet, load_weights
from passerby.training.attributes.crops import CropReader, measure
from passerby.training.attributes.metrics import label_figures, thresholds_of_best_expected_f1
from passerby.training.attributes.task import AttributeTask, AttributeTaskOptions
from passerby.training.loop import train
from passerby.training.options import TrainOptions
from passerby.training.shipped.attribute_first import first_weights
from passerby.training.weights_file import read_tensors

Weights = dict[str, NDArray[np.float32]]
INPUT_HW = (192, 144)
COUNTS = (25, 50, 100, 200, 500, 1000)
CHOSEN_COUNTS = (50, 100, 200, 300, 500)
SEEDS = (0, 1, 2)
SUB_POOL = 0.8  # share of the pool that a seed sees, so that the order of `suggest_labels` has a spread too
BATCH = 32


class Cell(NamedTuple):
    """One run. `how`: none, finetune, alone (random weights), first (first weights of pretraining);
    `order`: random, or suggest."""

    how: str
    order: str
    count: int
    seed: int


def grid(pool: int) -> Iterator[Cell]:
    """All runs with a pool of that many crops, the most telling first, so that a stopped series is of use."""
    yield Cell("none", "random", 0, 0)
    counts = [count for count in COUNTS if count <= pool]
    chosen = [count for count in CHOSEN_COUNTS if count <= 0.8 * SUB_POOL * pool]
    for seed in SEEDS:
        for count in (100, *(c for c in reversed(counts) if c != 100)):
            yield Cell("finetune", "random", count, seed)
            if count in (100, max(counts)) and seed < 2:
                yield Cell("alone", "random", count, seed)
            if count in chosen:
                yield Cell("finetune", "suggest", count, seed)
        for count in (c for c in chosen if c not in counts):
            yield Cell("finetune", "random", count, seed)
            yield Cell("finetune", "suggest", count, seed)
        for count in (c for c in counts if c >= 50 and seed < 2):
            yield Cell("first", "random", count, seed)
            if count not in (100, max(counts)):
                yield Cell("alone", "random", count, seed)


class Recipe(NamedTuple):
    """How long a cell learns, how fast, and how much it listens to the network that it began as (a teacher against
    forgetting; 0 for none). Chosen on the pool alone, before the test part was looked at; see the page."""

    crops_seen: int
    learning_rate: float
    teacher_weight: float = 0.0


def recipe_of(cell: Cell) -> Recipe:
    """Few crops are seen often, many seldom; networks that know nothing get twice as much time."""
    seen = int(np.clip(10 * cell.count, 1200, 3600))
    if cell.how in ("alone", "first"):
        return Recipe(2 * seen, 1.5e-3)
    return Recipe(seen, 3e-4 if cell.count < 200 else 1e-3)


def prepare(args: argparse.Namespace) -> None:
    """The data set, the pretrained weights of the 26 labels, and the same as a model for `suggest_labels`."""
    folder = args.work / "data"
    counts = write_held_out(folder, labels_csv=args.labels, photos=args.photos, source=args.source, pool=args.pool)
    with np.load(args.average) as stored:
        weights = {name: stored[name] for name in stored.files}
    for name in ("fc.weight", "fc.bias"):  # behind the 26 stand colours, which the data set does not name
        weights[name] = np.ascontiguousarray(weights[name][..., : len(LABELS)])
    np.savez(args.work / "pretrained.npz", **weights)
    pool = read_attribute_set(folder).splits["train"]
    logits = logits_of(network_with(weights), pool, CropReader(recipe_at((256, 192))))
    limits = thresholds_of_best_expected_f1(1 / (1 + np.exp(-logits)))  # needs no labels
    metadata = ModelMetadata(
        kind="attributes",
        name="pretrained",
        network="PP-LCNet",
        input=recipe_at((256, 192)),
        labels=LABELS,
        thresholds=tuple(round(float(v), 3) for v in limits),
        groups=GROUPS,
    )
    graph = pplcnet.build_onnx(weights, input_hw=(256, 192))
    engine = engines.load(write_onnx(graph, metadata), device=Device("cpu"), spread="inside")
    atomic_write(args.work / "pretrained.onnx", write_onnx(graph, with_probe(metadata, engine)))
    print(json.dumps(counts))


def recipe_at(input_hw: tuple[int, int]) -> InputRecipe:
    return InputRecipe(height=input_hw[0], width=input_hw[1], interpolation="linear")


def network_with(weights: Weights) -> PPLCNet:
    network = PPLCNet(len(LABELS))
    load_weights(network, weights)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def logits_of(network: PPLCNet, samples: tuple[AttributeSample, ...], reader: CropReader) -> NDArray[np.float32]:
    logits, rows = measure(network, samples, reader)
    assert len(rows) == len(samples), "every crop can be read"
    return logits


def random_order(pool: tuple[AttributeSample, ...], seed: int) -> list[int]:
    """Rows of the pool in a random order; a longer choice holds a shorter one of the same seed."""
    return [int(i) for i in np.random.default_rng((seed, 10)).permutation(len(pool))]


def order(args: argparse.Namespace) -> None:
    """Let `suggest_labels` order a part of the pool for each seed, with the pretrained model."""
    pool = read_attribute_set(args.work / "data").splits["train"]
    place = {Path(sample.file).stem: row for row, sample in enumerate(pool)}
    for seed in SEEDS:
        here = args.work / "orders" / str(seed)
        if (here / "order.json").is_file():
            continue
        shutil.rmtree(here, ignore_errors=True)
        rows = random_order(pool, seed)[: round(SUB_POOL * len(pool))]
        for row in rows:
            (here / "pool" / "images").mkdir(parents=True, exist_ok=True)
            os.link(pool[row].path, here / "pool" / pool[row].file)
        photos = "".join(f"{pool[row].file},{pool[row].columns['photo']}\n" for row in rows)
        atomic_write(here / "pool" / "groups.csv", f"path,photo\n{photos}".encode())
        count = min(max(CHOSEN_COUNTS), len(rows))
        options = SuggestOptions(count=count, crops=True, model=args.work / "pretrained.onnx")
        suggest_labels(here / "pool", output=here / "suggested", options=options)
        lines = (here / "suggested" / "suggested.txt").read_text("utf-8").splitlines()
        stems = [Path(line.split("\t")[0]).stem.split("_", 1)[1] for line in lines]
        atomic_write(here / "order.json", json.dumps([place[stem] for stem in stems]).encode())


class Bench:
    """Everything that the runs share."""

    def __init__(self, work: Path, first: Path | None) -> None:
        self.work = work
        self.data = read_attribute_set(work / "data")
        self.pool, self.test = self.data.splits["train"], self.data.splits["val"]
        with np.load(work / "pretrained.npz") as stored:
            self.pretrained = {name: stored[name] for name in stored.files}
        self.first = first_weights(first) if first else None
        self.reader = CropReader(recipe_at(INPUT_HW), cache_mb=512)

    def rows(self, cell: Cell) -> list[int]:
        if cell.order == "random":
            return random_order(self.pool, cell.seed)[: cell.count]
        chosen: list[int] = json.loads((self.work / "orders" / str(cell.seed) / "order.json").read_bytes())
        return chosen[: cell.count]

    def network(self, cell: Cell) -> PPLCNet:
        torch.manual_seed(cell.seed)
        if cell.how in ("none", "finetune"):
            return network_with(self.pretrained)
        network = PPLCNet(len(LABELS))
        if cell.how == "first":
            assert self.first is not None, "--first is needed"
            load_weights(network, self.first, except_head=True)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(
        self, cell: Cell, *, recipe: Recipe | None = None, test: tuple[AttributeSample, ...] | None = None
    ) -> dict[str, Any]:
        """Train a cell and measure it on the test part, or on other crops."""
        started = time.monotonic()
        network = self.network(cell)
        torch.manual_seed(cell.seed)
        recipe = recipe or recipe_of(cell)
        if cell.how != "none":
            network = self.trained(cell, network, recipe)
        seconds = time.monotonic() - started
        samples = self.test if test is None else test
        targets = np.stack([sample.targets for sample in samples])
        logits = logits_of(network, samples, self.reader)
        figures = zip(LABELS, label_figures(1 / (1 + np.exp(-logits)), targets), strict=True)
        kept = {label.id: f for label, f in figures if f.supported}
        return {
            **cell._asdict(),
            **recipe._asdict(),
            "auc": round(float(np.mean([f.auc for f in kept.values()])), 4),
            "mA": round(float(np.mean([f.mean_accuracy for f in kept.values()])), 4),
            "labels": len(kept),
            "auc_by_label": {k: round(f.auc, 4) for k, f in kept.items()},
            "train_s": round(seconds, 1),
        }

    def trained(self, cell: Cell, network: PPLCNet, recipe: Recipe) -> PPLCNet:
        chosen = tuple(self.pool[row] for row in self.rows(cell))
        repeats = -(-500 // len(chosen))  # an epoch ends with a checkpoint: not after every batch
        data: AttributeSet = dataclasses.replace(self.data, splits={"train": chosen * repeats, "val": self.test[:32]})
        teacher = self.work / "pretrained.onnx" if recipe.teacher_weight else None
        options = AttributeTaskOptions(
            input_hw=INPUT_HW,
            augment="mild",
            teacher=teacher,
            teacher_weight=recipe.teacher_weight,
            seed=cell.seed,
        )
        task = AttributeTask(data, options, network=network)
        epochs = max(1, round(recipe.crops_seen / task.samples))
        steps = epochs * task.samples // BATCH
        how = TrainOptions(
            epochs=epochs,
            batch_size=BATCH,
            learning_rate=recipe.learning_rate,
            warmup_steps=steps // 10,
            optimiser="adamw",
            weight_decay=0.02,
            ema_decay=0.998,
            clip_norm=20.0,
            seed=cell.seed,
            threads=1,
            eval_interval=epochs,
        )
        folder = self.work / "runs" / "_".join(str(v) for v in cell)
        shutil.rmtree(folder, ignore_errors=True)
        result = train(task, how, folder, report=lambda line: None)
        tensors, _ = read_tensors(result.best_weights)  # averaged, and of the one evaluation: nothing was chosen
        network.load_state_dict(tensors)
        shutil.rmtree(folder)
        return network


def run(args: argparse.Namespace) -> None:
    """Every cell that has no line yet."""
    results = args.work / "results.jsonl"
    done = {Cell(*(row[f] for f in Cell._fields)) for row in read_results(results)}
    bench = Bench(args.work, args.first)
    for cell in grid(len(bench.pool)):
        if cell in done:
            continue
        row = bench.run(cell)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(cell, row["auc"], row["mA"], row["train_s"], flush=True)


def read_results(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def report(args: argparse.Namespace) -> None:
    """Tables and curves."""
    write_report(read_results(args.work / "results.jsonl"), docs=args.docs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = {"prepare": prepare, "order": order, "run": run, "report": report}
    parser.add_argument("command", choices=list(commands))
    parser.add_argument("--work", type=Path, required=True, help="folder of this experiment")
    parser.add_argument("--labels", type=Path, help="labels.csv")
    parser.add_argument("--photos", type=Path, help="folder with a folder for each source")
    parser.add_argument("--source", default="human_oi_coco", help="the source that pretraining has not seen")
    parser.add_argument("--average", type=Path, help="average.npz of that pretraining")
    parser.add_argument("--pool", type=int, default=1000, help="crops to label from; the rest is for the test")
    parser.add_argument("--first", type=Path, help=".onnx that the pretraining itself began with")
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    commands[args.command](args)


if __name__ == "__main__":
    main()
