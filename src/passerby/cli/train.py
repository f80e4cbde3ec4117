# SPDX-License-Identifier: Apache-2.0
"""`passerby train|evaluate|export`: the common cases of `passerby module` without a file to edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from . import module, options

DataFolder = Annotated[
    str, typer.Argument(metavar="FOLDER", help="Data set, in the layout of `passerby dataset check`.")
]
Weights = Annotated[
    str,
    typer.Argument(
        metavar="WEIGHTS", help="Our .safetensors or .onnx, a .pdparams file, a model folder, or a model's name."
    ),
]
Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        metavar="NAME|FILE",
        help="Training file or built-in one; default by the layout: passerby-attributes or passerby-detector-416.",
    ),
]
Output = Annotated[str, typer.Option("--output", metavar="DIR", help="Where everything is written.")]
Name = Annotated[str | None, typer.Option("--split", metavar="NAME", help="train, val or test; default val.")]


def train(
    folder: DataFolder,
    config: Config = None,
    target: Output = "output",
    epochs: Annotated[int | None, typer.Option("--epochs", metavar="N", help="Passes over the data.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", metavar="N", help="Samples of a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", metavar="X", help="Its peak.")] = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--start-from",
            metavar="WEIGHTS",
            help="Name or file to start from, `none` for random numbers; default the model.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the latest checkpoint in the output folder.")
    ] = False,
    teacher: Annotated[
        str | None, typer.Option("--teacher", metavar="MODEL", help="Model file to learn from besides the labels.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Of everything random.")] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="NAME", help="auto, cpu or gpu:0; gpu:0,1 with torchrun.")
    ] = None,
    overrides: module.Overrides = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Train a network on a data set, and write a model folder that runs in a pipeline.

    Labels of people (MLClsDataset) teach the attribute network, boxes (COCODetDataset) the detector. The best weights
    become <output>/best_model/inference: that folder is what model_dir in the pipeline's YAML names. Ctrl-C writes a
    checkpoint; --resume goes on from it.
    """
    flags: dict[str, Any] = {
        "Global.mode": "train",
        "Global.dataset_dir": folder,
        "Global.output": target,
        "Global.seed": seed,
        "Global.device": device,
        "Train.epochs_iters": epochs,
        "Train.batch_size": batch_size,
        "Train.learning_rate": learning_rate,
        "Train.teacher": teacher,
        "Train.resume_path": str(Path(target) / "checkpoints") if resume else None,
    }
    given = module.overrides_of(overrides, flags)
    if start_from is not None:
        given.setdefault("Train.pretrain_weight_path", None if start_from == "none" else start_from)
    module.run(config or fitting(folder), given, as_json=as_json, quiet=quiet, verbose=verbose)


def evaluate(
    weights: Weights,
    folder: DataFolder,
    config: Config = None,
    target: Output = "output",
    split: Name = None,
    group_by: Annotated[
        list[str] | None,
        typer.Option("--group-by", metavar="COLUMN", help="Figures for each value of a column of groups.csv too."),
    ] = None,
    paddle_metrics: Annotated[
        bool, typer.Option("--paddle-metrics", help="PaddleX's own figures too, for comparison.")
    ] = False,
    device: options.Device = None,
    overrides: module.Overrides = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Measure a model on a data set and write a report with curves and the worst mistakes.

    Any model that `passerby predict` can run is measured as it runs there. The report lies in <output>/evaluate.
    """
    flags = {
        "Global.mode": "evaluate",
        "Global.dataset_dir": folder,
        "Global.output": target,
        "Global.device": device,
        "Evaluate.weight_path": weights,
        "Evaluate.split": split,
        "Evaluate.group_by": group_by or None,
        "Evaluate.paddle_metrics": True if paddle_metrics else None,
    }
    given = module.overrides_of(overrides, flags)
    module.run(config or fitting(folder), given, as_json=as_json, quiet=quiet, verbose=verbose)


def export(
    weights: Weights,
    config: Config = None,
    folder: Annotated[
        str | None, typer.Option("--dataset", metavar="FOLDER", help="Data set to check the model on, or to tune on.")
    ] = None,
    target: Output = "output",
    thresholds: Annotated[
        str | None,
        typer.Option(
            "--thresholds", metavar="NAME", help="Stored in the model: set (default), tuned (on val), default (0.5)."
        ),
    ] = None,
    overrides: module.Overrides = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Turn weights into a model folder: one .onnx that holds everything, and PaddleX's inference.yml beside it.

    The folder is what model_dir in the pipeline's YAML names. Training has written one already; this one makes it
    anew, with other thresholds or from other weights.
    """
    flags = {
        "Global.mode": "export",
        "Global.dataset_dir": folder,
        "Global.output": target,
        "Export.weight_path": weights,
        "Export.thresholds": thresholds,
    }
    given = module.overrides_of(overrides, flags)
    chosen = config or (fitting(folder) if folder is not None else _by_weights(weights))
    module.run(chosen, given, as_json=as_json, quiet=quiet, verbose=verbose)


def fitting(folder: str) -> str:
    """The built-in file of the shipped model for a data set's layout.

    Raises:
        DatasetError: `dataset_missing`, the folder has neither layout.
    """
    from ..datasets.check import guess_format
    from ..models.catalogue import SHIPPED_ATTRIBUTES, SHIPPED_DETECTOR

    return SHIPPED_ATTRIBUTES if guess_format(Path(folder)) == "MLClsDataset" else SHIPPED_DETECTOR


def _by_weights(weights: str) -> str:
    """The same for weights alone: a name of the catalogue is its own file, a file says of which kind it is.

    Raises:
        ModelError: there is no such file, or it is none.
    """
    from ..models.catalogue import ENTRIES, stand_in
    from ..training.module import kind_of_weights

    return weights if weights in ENTRIES else stand_in(kind_of_weights(Path(weights)))
