# SPDX-License-Identifier: Apache-2.0
"""Train the shipped attribute model `passerby-attributes` from photos, step by step (docs/training-attributes.md).

    train_attributes.py prepare  --photos DIR --labels labels.csv --work DIR   persons to one array
                                 [--sources all --research DIR]                research variant: docs/research-models.md
    train_attributes.py features --work DIR --teachers DIR                     frozen networks, once
    train_attributes.py teach    --work DIR                                    the ensemble's opinion
    train_attributes.py train    --work DIR --run DIR [--first FILE] [--stages ...]   train or resume
    train_attributes.py finish   --work DIR --run DIR --out DIR                calibrate, measure, write final.npz

Needs the extra `train`, and openvino, ncnn for `features`. `pack_model.py attributes` makes the .onnx of final.npz.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import logging
from pathlib import Path

import cv2
import numpy as np
import torch

from passerby.networks.torch.pplcnet import PPLCNet, load_weights
from passerby.training.shipped.attribute_data import collect_persons, open_crops, store_crops
from passerby.training.shipped.attribute_features import TeacherFiles
from passerby.training.shipped.attribute_first import first_weights
from passerby.training.shipped.attribute_labels import LABEL_COUNT
from passerby.training.shipped.attribute_loop import LoopOptions, Stage, load_checkpoint, run, start_run
from passerby.training.shipped.attribute_report import calibrated, decisions, figures
from passerby.training.shipped.attribute_teach import store_features, teach
from passerby.training.shipped.attribute_teacher import TeacherOptions
from passerby.training.shipped.attribute_training_set import teacher_of, training_set
from passerby.training.shipped.research_data import is_research, refuse_research, research_persons

STAGES = ("2400:128x96:0.4:0.5:8", "1300:192x144:0.45:0.6:5", "740:256x192:0.5:0.7:3")


def parse_stage(text: str) -> Stage:
    """`steps:HxW:share of labelled crops:weight of labels against teacher:weight of features`."""
    steps, size, labelled, hard, features = text.split(":")
    height, width = size.split("x")
    return Stage(
        steps=int(steps),
        size_hw=(int(height), int(width)),
        labelled_share=float(labelled),
        hard_share=float(hard),
        feature_weight=float(features),
    )


def prepare(args: argparse.Namespace) -> None:
    """Cut every person once; pictures of research-only sets enter with `--sources all` and never without."""
    persons, dropped = collect_persons(args.labels, args.photos, boxes_csv=args.boxes)
    refuse_research(persons)
    folders: dict[str, Path] = {}
    if args.sources == "all":
        added, folders = research_persons(args.research)
        persons += added
    store_crops(persons, args.photos, args.work / "store", elsewhere=folders)
    (args.work / "dropped_photos.txt").write_text("\n".join(dropped) + "\n", encoding="utf-8")
    logging.info("persons=%d dropped_photos=%d", len(persons), len(dropped))


def features(args: argparse.Namespace) -> None:
    """Run the frozen networks over every training crop."""
    files = TeacherFiles(
        lite0_xml=args.teachers / "lite0.xml",
        lite1_xml=args.teachers / "lite1.xml",
        reid_xml=args.teachers / "reid-0288.xml",
        crossroad_xml=args.teachers / "crossroad-0230.xml",
        picodet=args.teachers / "picodet-s-416",
    )
    store_features(open_crops(args.work / "store"), files, args.work, threads=args.threads)


def teach_student(args: argparse.Namespace) -> None:
    """Train the ensemble and write its opinion."""
    options = TeacherOptions(members=args.members, epochs=14)
    report = teach(open_crops(args.work / "store"), args.work, options=options, without=args.without)
    logging.info("out_of_fold=%.4f val=%.4f", report["auc_out_of_fold"], report["auc_val"])


def train(args: argparse.Namespace) -> None:
    """Train, or go on from the run folder's checkpoint."""
    options = LoopOptions(
        stages=tuple(parse_stage(text) for text in args.stages),
        learning_rate=args.learning_rate,
        weight_decay=args.weight_decay,
        seed=args.seed,
        threads=args.threads,
    )
    if teacher_of(args.work, without=args.without) is None:
        options = dataclasses.replace(options, guess_weight=0.0)
    torch.manual_seed(options.seed)
    network = PPLCNet(LABEL_COUNT)
    if args.first:
        load_weights(network, first_weights(args.first), except_head=True)
    if args.weights:
        with np.load(args.weights) as earlier:
            load_weights(network, dict(earlier))
    data = training_set(open_crops(args.work / "store"), args.work, without=args.without)
    state = start_run(network, data, options)
    if (args.run / "checkpoint.pt").is_file():
        load_checkpoint(state, args.run / "checkpoint.pt")
    for report in run(state, data, options, args.run):
        logging.info(json.dumps(report))
    np.savez(args.run / "average.npz", **{k: v.numpy() for k, v in state.average.items()})


def finish(args: argparse.Namespace) -> None:
    """Calibrate, choose thresholds, measure on val."""
    store = open_crops(args.work / "store")
    with np.load(args.run / "average.npz") as stored:
        trained = {name: stored[name] for name in stored.files}
    weights, calibration = calibrated(trained, store)
    parts, found = decisions(weights, store)
    limits = np.array(parts["thresholds"], np.float32)
    args.out.mkdir(parents=True, exist_ok=True)
    np.savez(args.out / "final.npz", **weights)
    report = {
        "sources": {str(source): int((store.sources == source).sum()) for source in np.unique(store.sources)},
        "research_only": bool(is_research(store.sources).any()),
        "calibration": calibration,
        "parts": parts,
        "decisions": found,
        "weights_sha256": hashlib.sha256((args.out / "final.npz").read_bytes()).hexdigest(),
        "figures": figures(weights, store, limits),
    }
    (args.out / "figures.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    logging.info("mean_auc=%s", report["figures"]["exact_box"]["mean_auc"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = {"prepare": prepare, "features": features, "teach": teach_student, "train": train, "finish": finish}
    parser.add_argument("command", choices=list(commands))
    parser.add_argument("--photos", type=Path, help="folder with a folder for each source")
    parser.add_argument("--labels", type=Path, nargs="+", help="tables of by-eye labels")
    parser.add_argument("--boxes", type=Path, help="table of persons without labels (source,path,x1,y1,x2,y2)")
    parser.add_argument("--sources", choices=("permissive", "all"), default="permissive", help="all: research only")
    parser.add_argument("--research", type=Path, help="with --sources all: folder with peta/, market1501/ and the like")
    parser.add_argument("--work", type=Path, required=True, help="folder for crops, features and opinions")
    parser.add_argument("--teachers", type=Path, help="folder with the frozen networks")
    parser.add_argument("--run", type=Path, help="folder of the run")
    parser.add_argument("--out", type=Path, help="folder for final.npz and figures.json")
    parser.add_argument("--first", type=Path, help=".onnx of a PP-LCNet x1.0 to start from; else from nothing")
    parser.add_argument("--weights", type=Path, help="average.npz of an earlier run to start from")
    parser.add_argument("--learning-rate", type=float, default=1.5e-3, help="at the peak")
    parser.add_argument("--members", type=int, default=2, help="perceptrons of the teacher for each fold")
    parser.add_argument("--weight-decay", type=float, default=0.02)
    parser.add_argument("--without", metavar="SOURCE", help="hold a source out, to measure on it")
    parser.add_argument("--stages", nargs="+", default=STAGES, help=parse_stage.__doc__)
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if (args.sources == "all") != (args.research is not None):
        parser.error("--sources all and --research go together")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    commands[args.command](args)


if __name__ == "__main__":
    main()
