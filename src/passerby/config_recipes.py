# SPDX-License-Identifier: Apache-2.0
"""What each network trains with unless the file says otherwise, and a resolved configuration as text.

Values are the original's where it has any. Left out are its defects: the horizon of a detector's cosine is the run's
own length, and `warmup_steps` never takes more than a quarter of a run unless the file says so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .config_training import ONLY, THE_MODEL, TrainingConfig, TrainSection
from .formats.metadata import Kind
from .models.catalogue import ENTRIES, SHIPPED_DETECTOR

# The original's. One linear rise and one cosine are common to both.
RECIPES: Mapping[Kind, Mapping[str, Any]] = {
    "attributes": {
        "epochs_iters": 20,
        "batch_size": 64,
        "learning_rate": 0.0008,
        "log_interval": 20,
        "ema_decay": 0.0,  # the original trains this network without an average
        "optimiser": "momentum",
        "weight_decay": 5e-4,
        "loss": "weighted_bce",
        "metric": "mA",
        "augment": "paddle",
        "clip_norm": 0.0,
        "scale": 1.0,
    },
    "detector": {
        "epochs_iters": 50,
        "batch_size": 2,
        "learning_rate": 0.001,
        "log_interval": 10,
        "ema_decay": 0.9998,
        "optimiser": "momentum",
        "weight_decay": 5e-4,
        "metric": "AP",
        "augment": "paddle",
        "clip_norm": 0.0,
    },
}
# The shipped models have no original to follow: what learns most from the few hundred pictures that users have
# (docs/fine-tuning-figures.md). `bce` keeps probabilities honest, the average keeps small sets steady.
SHIPPED_RECIPES: Mapping[Kind, Mapping[str, Any]] = {
    "attributes": {
        "batch_size": 32,
        "learning_rate": 0.001,
        "ema_decay": 0.998,
        "optimiser": "adamw",
        "weight_decay": 0.02,
        "clip_norm": 20.0,
        "loss": "bce",
        "augment": "mild",
    },
    "detector": {
        "epochs_iters": 20,
        "batch_size": 8,
        "learning_rate": 0.0005,
        "ema_decay": 0.998,
        "optimiser": "adamw",
        "weight_decay": 0.02,
        "clip_norm": 10.0,
        "augment": "mild",
    },
}
WARMUP: Mapping[Kind, int] = {"attributes": 5, "detector": 100}  # epochs, steps
# Sizes of the shipped detector's network, which its file without branches no longer says.
SHIPPED_SIZES: Mapping[str, Mapping[str, float]] = {SHIPPED_DETECTOR: {"depth": 0.33, "width": 0.25}}


def resolved(config: TrainingConfig) -> TrainingConfig:
    """The configuration with the network's own values where it has none.

    `warmup_steps` stays None where the file has none: it depends on the length of the run, which depends on the data.
    """
    given = config.Train
    name = config.Global.model
    entry = ENTRIES[name]
    recipe = {**RECIPES[entry.kind], **(SHIPPED_RECIPES[entry.kind] if entry.shipped else {})}
    defaults = {**recipe, **own_architecture(name), "input_size": entry.input_hw}
    fill: dict[str, Any] = {key: value for key, value in defaults.items() if getattr(given, key) is None}
    if given.pretrain_weight_path == THE_MODEL:
        fill["pretrain_weight_path"] = name
    output = config.Global.output
    evaluate, export, predict = config.Evaluate, config.Export, config.Predict
    if evaluate.weight_path is None:
        evaluate = evaluate.model_copy(update={"weight_path": output / "best_model" / "best_model.safetensors"})
    if export.weight_path is None:
        export = export.model_copy(update={"weight_path": output / "best_model" / "best_model.safetensors"})
    if predict.model_dir is None:
        predict = predict.model_copy(update={"model_dir": output / "best_model" / "inference"})
    train: TrainSection = given.model_copy(update=fill)
    return config.model_copy(update={"Train": train, "Evaluate": evaluate, "Export": export, "Predict": predict})


def own_architecture(name: str) -> dict[str, float]:
    """Size of a model of the catalogue without its number of classes: scale, or depth and width."""
    sizes = {**ENTRIES[name].architecture, **SHIPPED_SIZES.get(name, {})}
    sizes.pop("num_classes", None)
    return sizes if sizes else {"scale": 1.0}


def config_yaml(config: TrainingConfig) -> str:
    """A configuration as YAML that `load_training_config` reads to the same values.

    Values that are no mapping are written as JSON, which YAML contains. Keys of the other kind of network are left out.
    """
    body = {key: value for key, value in config.model_dump().items() if value is not None}
    other: Kind = "detector" if config.kind == "attributes" else "attributes"
    body["Train"] = {key: value for key, value in body["Train"].items() if key not in ONLY[other]}
    return _text(body)


def _text(body: Mapping[str, Any], indent: str = "") -> str:
    out = ""
    for key, value in body.items():
        if isinstance(value, Mapping) and value:
            out += f"{indent}{key}:\n{_text(value, indent + '  ')}"
        else:
            plain = os.fspath(value) if isinstance(value, Path) else value
            out += f"{indent}{key}: {json.dumps(plain, ensure_ascii=False)}\n"
    return out
