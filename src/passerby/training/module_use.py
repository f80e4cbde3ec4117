# SPDX-License-Identifier: Apache-2.0
"""The modes `evaluate` and `predict`: a model as inference runs it. torch is needed for our own weights files alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import engines
from ..config_training import TrainingConfig
from ..datasets._extras import need
from ..datasets.records import AttributeSet, DetectionSet
from ..devices import Device, parse_device
from ..errors import ConfigError, ModelError, shown
from ..models.load import LoadedModel, load_model, load_path
from ..modules import create_model
from .model_evaluation import (
    MeasuredAttributes,
    MeasuredDetections,
    MeasureOptions,
    match_classes,
    match_labels,
    measure_attributes,
    measure_detections,
)
from .module_check import read_data
from .report import AttributeEvidence, DetectionEvidence, write_report

Say = Callable[[str], None]
WEIGHTS_SUFFIX = ".safetensors"
REPORT_FOLDER = "evaluate"


def evaluate(config: TrainingConfig, say: Say) -> dict[str, Any]:
    """Measure `Evaluate.weight_path` on a split and write a report.

    Raises:
        PasserbyError: of the data set, the model, the engine or the output.
    """
    data = read_data(config)
    weights = existing_weights(config.Evaluate.weight_path, say)
    model = usable_model(weights, config)
    options = MeasureOptions(
        split=config.Evaluate.split,
        device=engine_device(config, say),
        batch_size=config.Evaluate.batch_size,
        columns=config.Evaluate.group_by,
        paddle=config.Evaluate.paddle_metrics,
    )
    say(f"measuring {shown(model.source, 200)} on the split {options.split} of {shown(data.root, 200)}")
    measured = measured_on(model, data, options, say)
    body = measured.figures.to_json()
    report = write_report(
        config.Global.output / REPORT_FOLDER,
        body,
        _evidence(measured, data, model),
        title=f"Evaluation of {Path(model.source).name}",
        facts={"model": model.source, "data set": data.root.resolve().name, "split": options.split},
    )
    return {
        "metrics": body["summary"],
        **({"paddle_metrics": body["paddle"]} if "paddle" in body else {}),
        "weights": weights,
        "split": options.split,
        "pictures": len(measured.samples),
        "left_out": measured.left_out,
        "report": report.to_json(),
    }


def _evidence(
    measured: MeasuredAttributes | MeasuredDetections, data: AttributeSet | DetectionSet, model: LoadedModel
) -> AttributeEvidence | DetectionEvidence:
    if isinstance(data, AttributeSet):
        assert isinstance(measured, MeasuredAttributes)
        return AttributeEvidence(
            samples=measured.samples,
            label_set=data.label_set,
            probabilities=measured.probabilities,
            thresholds=measured.thresholds,
        )
    assert isinstance(measured, MeasuredDetections)
    return DetectionEvidence(
        samples=measured.samples,
        detections=measured.detections,
        classes=data.classes,
        threshold=min(model.metadata.thresholds),
    )


def measured_on(
    model: LoadedModel, data: AttributeSet | DetectionSet, options: MeasureOptions, say: Say
) -> MeasuredAttributes | MeasuredDetections:
    """Run a model on a split of a data set of its kind. Errors as of `measure_attributes`."""
    if isinstance(data, AttributeSet):
        return measure_attributes(model, data, options, say=say)
    return measure_detections(model, data, options, say=say)


def tuned_in_model(
    model: LoadedModel, data: AttributeSet | DetectionSet, measured: MeasuredAttributes | MeasuredDetections
) -> list[float]:
    """The model's thresholds, the best ones in place of those that the measurement can judge."""
    values = list(model.metadata.thresholds)
    if isinstance(data, AttributeSet):
        assert isinstance(measured, MeasuredAttributes)
        places = match_labels(data.label_set.labels, model.metadata.labels, input=model.source)
        for place, row in zip(places, measured.figures.labels, strict=True):
            if row["positives"] and row["negatives"]:
                values[place] = float(row["thresholds"]["tuned"])
        return values
    assert isinstance(measured, MeasuredDetections)
    for place, number in enumerate(match_classes(data.classes, model.metadata.labels, input=model.source)):
        best = measured.figures.classes[number].best_f1_score if number >= 0 else None
        if best is not None:  # a box is kept strictly above the threshold, and the one with this score belongs to it
            values[place] = float(np.nextafter(np.float32(best), np.float32(0)))
    return values


def existing_weights(source: Path | str | None, say: Say) -> Path | str:
    """What is to be measured or exported. Where the original's name of our own weights is given, ours are meant."""
    assert source is not None
    if isinstance(source, Path) and source.suffix == ".pdparams" and not source.exists():
        ours = source.with_suffix(WEIGHTS_SUFFIX)
        if ours.exists():
            say(f"{shown(source, 200)} is not there, {shown(ours.name)} beside it is used")
            return ours
    return source


def usable_model(source: Path | str, config: TrainingConfig) -> LoadedModel:
    """Any weights as inference loads them; our own are exported into memory.

    Raises:
        EngineError: `engine_missing`, our own weights need torch. ModelError.
    """
    if isinstance(source, str):
        return load_model(source, kind=config.kind)
    if source.suffix != WEIGHTS_SUFFIX:
        model = load_path(source, name=config.Global.model)
    else:
        need("torch")
        from .export import export_model

        with tempfile.TemporaryDirectory(prefix="passerby-") as work:
            export_model(source, Path(work), name=config.Global.model)
            model = load_path(Path(work), name=config.Global.model)
    if model.metadata.kind != config.kind:
        happened = f"{shown(config.Global.model)} and this model are of different kinds"
        raise ModelError("model_mismatch", happened, input=str(source))
    return LoadedModel(model_bytes=model.model_bytes, metadata=model.metadata, source=str(source))


def engine_device(config: TrainingConfig, say: Say) -> Device:
    """The device of the engine; of several the first.

    Raises:
        ArgumentError: `bad_device_name`.
    """
    first, *others = config.Global.device.split(",")
    if others:
        say(f"one device measures: {first}")
    return parse_device(first) or engines.default_device()


def predict(config: TrainingConfig, say: Say) -> dict[str, Any]:
    """Run `Predict.model_dir` on `Predict.input`; results lie in the output folder, as the pipeline writes them.

    Raises:
        PasserbyError: of the model, a single input, or the output.
    """
    if config.Predict.input is None:
        hint = "set it in the file or with -o Predict.input=PICTURE"
        raise ConfigError("config_invalid", "Predict.input is not set", hint=hint)
    model = create_model(config.Global.model, config.Predict.model_dir, device=str(engine_device(config, say)))
    results = []
    for result in model.predict(config.Predict.input):
        results.append(result.to_dict())
        if result.error is not None:
            say(result.error.message)
            continue
        result.save_to_json(config.Global.output)
        result.save_to_img(config.Global.output)
    return {"input": config.Predict.input, "model_dir": config.Predict.model_dir, "results": results}
