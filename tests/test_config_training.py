"""The training YAML with the original's keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from passerby.config_training import load_training_config
from passerby.errors import ConfigError

from .conftest import CORPUS


def test_the_originals_keys_are_read() -> None:
    loaded = load_training_config(CORPUS / "config" / "train_good.yaml")
    assert loaded.Global.model == "PP-LCNet_x1_0_pedestrian_attribute"
    assert loaded.Global.mode == "train"
    assert loaded.Global.dataset_dir == Path("dataset/pedestrian_attribute_examples")
    assert (loaded.Train.epochs_iters, loaded.Train.batch_size, loaded.Train.learning_rate) == (20, 64, 0.0008)
    assert loaded.Train.resume_path is None


def test_everything_the_original_knows_is_accepted() -> None:
    loaded = load_training_config(
        {
            "Global": {"model": "PP-YOLOE-S_human", "device": "gpu:0,1,2,3"},
            "CheckDataset": {
                "convert": {"enable": False, "src_dataset_type": None},
                "split": {"enable": True, "train_percent": 80, "val_percent": 20},
            },
            "Train": {"num_classes": 1, "warmup_steps": 100, "pretrain_weight_path": None, "amp": "OFF"},
            "Evaluate": {"weight_path": "output/best_model/best_model.pdparams", "log_interval": 10},
            "Export": {"weight_path": "x.pdparams"},
            "Predict": {"batch_size": 1, "model_dir": "m", "input": "a.jpg", "kernel_option": {"run_mode": "paddle"}},
        }
    )
    assert loaded.CheckDataset.split.train_percent == 80.0
    assert loaded.Train.warmup_steps == 100


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("Train", "learning_rate", "8e-4x", "must be a number"),
        ("Train", "batch_size", True, "must be a whole number"),
        ("Train", "amp", "O3", "must be one of OFF, O1, O2"),
        ("Global", "model", "PP-LCNet_x1_0_pedestrian_atribute", "did you mean PP-LCNet_x1_0_pedestrian_attribute?"),
        ("Global", "device", "cpu:0", "the CPU has no number"),
    ],
)
def test_a_bad_value_is_named(section: str, key: str, value: object, said: str) -> None:
    source = {"Global": {"model": "PP-YOLOE-S_human"}}
    source.setdefault(section, {})[key] = value  # type: ignore[assignment]
    with pytest.raises(ConfigError) as caught:
        load_training_config(source)
    assert f"{section}.{key}" in caught.value.message
    assert said in caught.value.message
