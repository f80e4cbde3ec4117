# SPDX-License-Identifier: Apache-2.0
"""Train the shipped detector `passerby-detector-416` from photos, step by step (docs/training-detector.md has it all).

    train_detector.py pack    --photos DIR --work DIR              photos to one array
    train_detector.py teach   --work DIR --teacher DIR             teacher boxes for every photo
    train_detector.py train   --work DIR --run DIR [--stages ...]  train or resume; --weights to start from
    train_detector.py finish  --work DIR --run DIR                 calibrate scores: RUN/final.npz
    train_detector.py measure --work DIR --weights FILE            figures on both val splits

DIR of the teacher holds picodet-s-416.param and picodet-s-416.bin. Needs the extra `train`, and ncnn for `teach`.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from passerby.networks.torch.ppyoloe import PPYOLOE
from passerby.training.shipped.detection_augment import AugmentOptions
from passerby.training.shipped.detection_batches import Stage, marked_boxes
from passerby.training.shipped.detection_calibrate import best_cut, fit_line, fold_line, judged_boxes, line_with_cut
from passerby.training.shipped.detection_data import list_photos, load_packed, pack_photos
from passerby.training.shipped.detection_distil import DistilWeights
from passerby.training.shipped.detection_eval import evaluate
from passerby.training.shipped.detection_train import TrainOptions, load_weights, save_weights, train_detector, val_set
from passerby.training.shipped.teacher_boxes import PicoDetTeacher, load_teacher_boxes, merge_truth, save_teacher_boxes

CALIBRATION_PHOTOS, CALIBRATION_HEIGHT = 600, 60.0
GENTLE = AugmentOptions(scale=(0.75, 1.3), log_aspect=(-0.35, 0.2), colour=0.2, blur=0.05)
STAGES = (
    "1800:128,160:0.3",
    "2000:128,160,192:0.3",
    "2500:192,224:0.35",
    "1400:256,288,320:0.25",
    "700:384,416:0.1",
)


def parse_stage(text: str) -> Stage:
    """`iterations:size,size:share of mosaics`, as in 3500:160,192,224:0.5; `:gentle` at the end shakes less."""
    iterations, sizes, mosaic, *rest = text.split(":")
    augment = GENTLE if rest == ["gentle"] else AugmentOptions()
    return Stage(
        iterations=int(iterations),
        sizes=tuple(int(size) for size in sizes.split(",")),
        augment=replace(augment, mosaic=float(mosaic)),
    )


def parse_distil(text: str) -> DistilWeights:
    """`backbone:neck:scores:boxes`, weights of what is copied from the teacher (given by --teacher)."""
    backbone, neck, scores, boxes = (float(part) for part in text.split(":"))
    return DistilWeights(backbone=backbone, neck=neck, scores=scores, boxes=boxes)


def pack(args: argparse.Namespace) -> None:
    """Decode every photo once."""
    pack_photos(list_photos(args.photos), args.work / "packed", size=416)


def teach(args: argparse.Namespace) -> None:
    """Run the teacher over every packed photo."""
    teacher = PicoDetTeacher(args.teacher / "picodet-s-416.param", args.teacher / "picodet-s-416.bin")
    found = [teacher.boxes(pixels) for pixels in load_packed(args.work / "packed").pixels]
    save_teacher_boxes(args.work / "teacher_boxes.npz", found)


def train(args: argparse.Namespace) -> None:
    """Train from scratch, or go on from the run folder's checkpoint."""
    options = TrainOptions(
        stages=tuple(parse_stage(text) for text in args.stages),
        seed=args.seed,
        learning_rate=args.learning_rate,
        batch_size=args.batch_size,
        warmup=args.warmup,
        atss_iterations=args.atss_iterations,
        threads=args.threads,
        evaluate_every=args.evaluate_every,
        distil=parse_distil(args.distil) if args.distil else None,
    )
    train_detector(
        args.work / "packed",
        args.work / "teacher_boxes.npz",
        args.run,
        options=options,
        initial=args.weights,
        dense_teacher=None if args.teacher is None else args.teacher / "picodet-s-416",
    )


def finish(args: argparse.Namespace) -> None:
    """Fit the scores on train photos (val stays untouched) and write the final weights."""
    torch.set_num_threads(args.threads)
    weights = load_weights(args.run / "weights.npz")
    model = build_model(weights)
    pixels, truths = train_sample(args.work, CALIBRATION_PHOTOS)
    _, found = evaluate(model, pixels, truths)
    scores, hits = judged_boxes(truths, found, min_height=CALIBRATION_HEIGHT)
    slope, _ = fit_line(scores, hits)
    persons = sum(int(((t[:, 3] - t[:, 1]) >= CALIBRATION_HEIGHT).sum()) for t in truths)
    cut = best_cut(scores, hits, persons=persons)
    slope, offset = line_with_cut(slope, cut)
    save_weights(args.run / "final.npz", fold_line(weights, slope=slope, offset=offset))
    print(json.dumps({"photos": len(truths), "boxes": len(hits), "cut": cut, "slope": slope, "offset": offset}))


def build_model(weights: dict[str, torch.Tensor]) -> PPYOLOE:
    """The shipped network with these weights, ready to measure."""
    model = PPYOLOE(depth=0.33, width=0.25).to(memory_format=torch.channels_last).eval()
    model.load_state_dict(weights)
    return model


def train_sample(work: Path, count: int) -> tuple[NDArray[np.uint8], list[NDArray[np.float32]]]:
    """Evenly spread train photos of human_oi_coco with all persons known for them, boxes in pixels."""
    packed, teacher = load_packed(work / "packed"), load_teacher_boxes(work / "teacher_boxes.npz")
    rows = [row for row in packed.indices("train") if packed.rows[row]["source"] == "human_oi_coco"]
    rows = rows[:: max(1, len(rows) // count)][:count]
    side = packed.pixels.shape[1]
    return packed.pixels[rows], [merge_truth(marked_boxes(packed, row), *teacher[row])[0] * side for row in rows]


def measure(args: argparse.Namespace) -> None:
    """Print the figures of a weights file on both val splits as JSON."""
    torch.set_num_threads(args.threads)
    model = build_model(load_weights(args.weights))
    report = {}
    for split in ("val", "val_coco"):
        results, _ = evaluate(model, *val_set(args.work / "packed", split))
        report[split] = {name: asdict(result) for name, result in results.items()}
    print(json.dumps(report, indent=1))


STEPS = {"pack": pack, "teach": teach, "train": train, "finish": finish, "measure": measure}


def main() -> None:
    """Read the command line and run one step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=list(STEPS))
    for name in ("photos", "work", "teacher", "run", "weights"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--stages", nargs="+", default=STAGES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=300)
    parser.add_argument("--atss-iterations", type=int, default=1000)
    parser.add_argument("--distil", help=parse_distil.__doc__)
    parser.add_argument("--evaluate-every", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    STEPS[args.step](args)


if __name__ == "__main__":
    main()
