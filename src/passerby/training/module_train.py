# SPDX-License-Identifier: Apache-2.0
"""The modes `train` and `export`: from a training file and a data set to a model folder that runs in a pipeline."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from .. import engines
from ..config_recipes import config_yaml
from ..config_training import TrainingConfig
from ..datasets.records import AttributeSet, DetectionSet
from ..devices import Device
from ..errors import shown
from ..files import atomic_write
from ..formats.inference_yml_writer import write_inference_yml
from ..formats.model_dir import DESCRIPTION
from ..formats.onnx_file import write_onnx
from ..models.load import LoadedModel
from ..models.verify import with_probe
from . import loop
from .export import ExportReport, pictures_to_check
from .export import export_model as export_weights
from .model_evaluation import MeasureOptions
from .module_check import LAYOUTS, read_data
from .module_use import (
    WEIGHTS_SUFFIX,
    engine_device,
    existing_weights,
    measured_on,
    tuned_in_model,
    usable_model,
)
from .recipes import Recipe, make_recipe
from .thresholds import described, store_thresholds

Say = Callable[[str], None]
INFERENCE = Path("best_model/inference")


def train(config: TrainingConfig, say: Say) -> dict[str, Any]:
    """Train, then export the best weights.

    Returns:
        Where everything lies, the best figure, and what was left out.
    Raises:
        PasserbyError: of the data, the starting weights, the run or the export.
    """
    data = read_data(config)
    first = os.environ.get("RANK", "0") == "0"
    speak = say if first else _silent
    for warning in [*data.warnings, *without_effect(config)]:
        speak(f"warning: {shown(warning, 400)}")
    recipe = make_recipe(config, data, world=int(os.environ.get("WORLD_SIZE", "1")))
    if recipe.start is not None:
        speak(recipe.start.line())
    output = config.Global.output
    if first:
        atomic_write(output / "config.yaml", config_yaml(_as_run(config, recipe)).encode("utf-8"))
    result = loop.train(recipe.task, recipe.options, output, report=speak)
    if not first:
        return {}
    exported = _export_weights(result.best_weights, output / INFERENCE, config, data, say)
    say(f"model_dir: {shown(exported.folder, 200)}")
    return {
        "model_name": config.Global.model,
        "kind": config.kind,
        "labels": list(exported.labels),
        "config": output / "config.yaml",
        "train_log": output / "train.log",
        "metrics_log": output / "metrics.csv",
        "tensorboard": output / "tensorboard",
        "metric": result.metric,
        "models": {
            "best": {
                "score": result.figures.get(result.metric),
                "epoch": result.best_epoch,
                "figures": result.figures,
                "weights": result.best_weights,
                **exported.to_json(),
            },
            "last": {"epoch": result.epochs, "steps": result.steps, "checkpoint": result.checkpoint},
        },
        "stopped_early": result.stopped_early,
        "skipped_steps": result.skipped,
        "left_out": result.left_out,
    }


def without_effect(config: TrainingConfig) -> list[str]:
    """A sentence for each key of the original's that asks for something and gets nothing here."""
    instead = {
        "dist_ips": "start it with torchrun on each machine",
        "basic_config_path": "every key of the recipe is in this file",
        "dy2st": "PyTorch needs no conversion",
    }
    return [f"Train.{key} has no effect: {why}" for key, why in instead.items() if getattr(config.Train, key)]


def export(config: TrainingConfig, say: Say) -> dict[str, Any]:
    """Make a model folder in the output folder from `Export.weight_path`.

    With a data set the file is compared with the network on its pictures too; `tuned` thresholds need one.

    Raises:
        PasserbyError: of the weights, the data set or the output.
    """
    data = None if config.Global.dataset_dir is None else read_data(config)
    weights = existing_weights(config.Export.weight_path, say)
    output = config.Global.output
    if isinstance(weights, Path) and weights.suffix == WEIGHTS_SUFFIX:
        return _export_weights(weights, output, config, data, say).to_json()
    model = usable_model(weights, config)
    written = _write_model(model, output, config.Global.model)
    if config.Export.thresholds == "tuned":
        _tune(output, model, config, data, say)
    return {"model_dir": output, "onnx": written, "inference_config": output / DESCRIPTION, "kind": config.kind}


def _export_weights(
    weights: Path, folder: Path, config: TrainingConfig, data: AttributeSet | DetectionSet | None, say: Say
) -> ExportReport:
    """Our own weights as a model folder; thresholds are tuned with the finished file."""
    choice = config.Export.thresholds
    report = export_weights(
        weights,
        folder,
        name=config.Global.model,
        thresholds="default" if choice == "default" else "set",
        check_pictures=pictures_to_check([s.path for s in data.splits.get("val", ())]) if data else (),
        card=None if data is None else _card(config, data),
    )
    say(f"exported, {report.compared} pictures compared, largest difference {report.difference:.2g}")
    if choice != "tuned":
        return report
    values = _tune(folder, usable_model(report.folder, config), config, data, say)
    return dataclasses.replace(report, thresholds=tuple(values), threshold_origin="tuned")


def _tune(
    folder: Path,
    model: LoadedModel,
    config: TrainingConfig,
    data: AttributeSet | DetectionSet | None,
    say: Say,
) -> list[float]:
    """Store the thresholds that are best on val; a label that val says nothing about keeps its own.

    Raises:
        ConfigError: `config_invalid`, there is no data set to tune on.
    """
    found = data if data is not None else read_data(config)
    say(f"tuning thresholds on {len(found.splits.get('val', ()))} pictures")
    options = MeasureOptions(device=engine_device(config, say), batch_size=config.Evaluate.batch_size)
    tuned = tuned_in_model(model, found, measured_on(model, found, options, say))
    store_thresholds(folder, tuned)
    return tuned


def _write_model(model: LoadedModel, folder: Path, name: str) -> Path:
    """Weights of any other kind as the same folder: .onnx with a probe, and `inference.yml`."""
    metadata = dataclasses.replace(model.metadata, name=name)
    engine = engines.load(model.model_bytes, device=Device("cpu"), spread="inside")
    data = write_onnx(onnx.load_model_from_string(model.model_bytes), with_probe(metadata, engine))
    file = folder / f"{name}.onnx"
    atomic_write(folder / DESCRIPTION, write_inference_yml(described(metadata)))
    atomic_write(file, data)
    return file


def _card(config: TrainingConfig, data: AttributeSet | DetectionSet) -> dict[str, Any]:
    """What the model says of its data and recipe; no path of this machine."""
    start = config.Train.pretrain_weight_path
    return {
        "data": {
            "name": data.root.resolve().name,
            "layout": LAYOUTS[config.kind],
            "pictures": {split: len(samples) for split, samples in data.splits.items()},
        },
        "first_weights": start.name if isinstance(start, Path) else start,
    }


def _as_run(config: TrainingConfig, recipe: Recipe) -> TrainingConfig:
    """The configuration with what the data decided."""
    count = recipe.task.describe()["num_classes"]
    update = {"warmup_steps": recipe.warmup, "num_classes": count, "workers": recipe.options.workers}
    return config.model_copy(update={"Train": config.Train.model_copy(update=update)})


def _silent(_line: str) -> None:
    pass
