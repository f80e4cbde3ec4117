"""The training YAML with the original's keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from passerby.config_overrides import built_in
from passerby.config_recipes import config_yaml, resolved
from passerby.config_training import ONLY, load_training_config
from passerby.errors import ArgumentError, ConfigError
from passerby.formats.safe_yaml import load_yaml
from passerby.models.catalogue import ENTRIES

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


OFFICIAL = ("PP-LCNet_x1_0_pedestrian_attribute", "PP-YOLOE-L_human", "PP-YOLOE-S_human")
S_HUMAN = {"Global": {"model": "PP-YOLOE-S_human"}}


@pytest.mark.parametrize("name", list(ENTRIES))
def test_a_built_in_file_says_what_its_network_trains_with_anyway(name: str) -> None:
    from_file = resolved(load_training_config(f"{name}.yaml"))
    assert from_file == resolved(load_training_config({"Global": {"model": name}}))
    assert from_file == resolved(load_training_config(name))


@pytest.mark.parametrize("name", list(ENTRIES))
def test_a_built_in_file_explains_every_key_it_has(name: str) -> None:
    """A key stands below a comment, or right below keys that share one."""
    text = built_in(name).read_text("utf-8")
    loaded = load_training_config(name)
    for section in ("CheckDataset", "Train", "Evaluate", "Export", "Predict"):
        for key in type(getattr(loaded, section)).model_fields:
            other = ONLY["detector" if loaded.kind == "attributes" else "attributes"]
            silent = (
                "dy2st",
                "dist_ips",
                "uniform_output_enabled",
                "basic_config_path",
                "log_interval",
                "kernel_option",
            )
            only_attributes = ("group_by", "paddle_metrics")
            if key in (*other, *silent) or (loaded.kind == "detector" and key in only_attributes):
                continue
            assert f"\n  {key}:" in text, key


def test_the_originals_path_of_a_file_means_the_built_in_one() -> None:
    path = "paddlex/configs/modules/human_detection/PP-YOLOE-S_human.yaml"
    assert load_training_config(path) == load_training_config("PP-YOLOE-S_human")


def test_a_file_on_disk_wins_over_the_built_in_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "PP-YOLOE-S_human.yaml").write_text("Global:\n  model: PP-YOLOE-L_human\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_training_config("PP-YOLOE-S_human.yaml").Global.model == "PP-YOLOE-L_human"


def test_the_originals_recipes_are_the_defaults() -> None:
    """Section 5.2 of the behaviour reference."""
    attributes = resolved(load_training_config(OFFICIAL[0])).Train
    assert (attributes.epochs_iters, attributes.batch_size, attributes.learning_rate) == (20, 64, 0.0008)
    for name in OFFICIAL[1:]:
        detector = resolved(load_training_config(name)).Train
        assert (detector.epochs_iters, detector.batch_size, detector.learning_rate) == (50, 2, 0.001)
        assert (detector.ema_decay, detector.log_interval, detector.pretrain_weight_path) == (0.9998, 10, name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Train.learning_rate=8e-4", 0.0008),
        ("Train.epochs_iters=3", 3),
        ("Train.amp=OFF", "OFF"),
        ("Train.amp=O1", "O1"),
        ("Train.input_size=[320, 256]", (320, 256)),
        ("Train.input_size=320", (320, 320)),
        ("Train.resume_path=None", None),
        ("Train.resume_path=", None),
        ("Train.pretrain_weight_path=null", None),
        ("Train.pretrain_weight_path=a=b.pdparams", Path("a=b.pdparams")),
        ("Global.device=gpu:0,1", "gpu:0,1"),
        ("CheckDataset.split.enable=True", True),
    ],
)
def test_overrides_are_read_as_yaml(text: str, expected: object) -> None:
    value: object = load_training_config(S_HUMAN, [text])
    for part in text.partition("=")[0].split("."):
        value = getattr(value, part)
    assert value == expected


@pytest.mark.parametrize(("text", "expected"), [("camera", ("camera",)), ("[camera, person]", ("camera", "person"))])
def test_one_column_or_several(text: str, expected: tuple[str, ...]) -> None:
    assert load_training_config("passerby-attributes", [f"Evaluate.group_by={text}"]).Evaluate.group_by == expected


def test_overrides_come_as_a_mapping_too_and_the_last_one_wins() -> None:
    assert load_training_config(S_HUMAN, {"Train.epochs_iters": 7}).Train.epochs_iters == 7
    assert load_training_config(S_HUMAN, ["Train.epochs_iters=7", "Train.epochs_iters=8"]).Train.epochs_iters == 8


def test_an_override_is_never_run(tmp_path: Path) -> None:
    """The original handed these texts to Python's eval."""
    mark = tmp_path / "PWNED"
    for value in (f"open({str(mark)!r}, 'w')", f'!!python/object/apply:os.system ["touch {mark}"]'):
        with pytest.raises((ConfigError, ArgumentError)):
            load_training_config(S_HUMAN, [f"Train.epochs_iters={value}"])
    assert not mark.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Train.epochs_iter=3", "did you mean Train.epochs_iters?"),
        ("Train.epochs=3", "did you mean Train.epochs_iters?"),
        ("Trian.epochs_iters=3", "did you mean Train?"),
        ("CheckDataset.splt.enable=true", "did you mean CheckDataset.split?"),
        ("Train=3", "is a whole section"),
        ("Train.epochs_iters", "sets nothing"),
        ("Train.epochs_iters.more=3", "has no keys below it"),
        ("Predict.input=*.jpg", "goes into quotes"),
    ],
)
def test_an_override_that_cannot_be_right_is_named(text: str, said: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        load_training_config(S_HUMAN, [text])
    assert caught.value.name == "bad_argument"
    assert said in caught.value.message


def test_a_bad_value_of_an_override_is_not_blamed_on_a_line_of_the_file() -> None:
    with pytest.raises(ConfigError) as caught:
        load_training_config(CORPUS / "config" / "train_good.yaml", ["Train.batch_size=many"])
    assert "Train.batch_size: must be a whole number, not 'many' (given with -o)" in caught.value.message
    assert "line" not in caught.value.message


@pytest.mark.parametrize(
    ("model", "key", "value", "said"),
    [
        ("PP-YOLOE-S_human", "scale", 0.5, "is a detector, which has no such key"),
        ("passerby-attributes", "depth", 0.5, "is an attribute network, which has no such key"),
        ("PP-YOLOE-S_human", "input_size", [330, 320], "multiples of 32"),
        ("PP-YOLOE-S_human", "input_size", [320], "[height, width] or one number"),
        ("PP-YOLOE-S_human", "ema_decay", 1, "below 1"),
        ("passerby-attributes", "loss", "weighted-bce", "did you mean weighted_bce?"),
        ("passerby-attributes", "pretrain_weight_path", "https://example.org/x.pdparams", "URL of no official model"),
    ],
)
def test_keys_and_values_that_do_not_fit_the_network(model: str, key: str, value: object, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_training_config({"Global": {"model": model}, "Train": {key: value}})
    assert f"Train.{key}" in caught.value.message
    assert said in caught.value.message


def test_the_originals_urls_of_weights_are_names() -> None:
    url = "https://paddle-model-ecology.bj.bcebos.com/paddlex/official_pretrained_model/PP-YOLOE-S_human_pretrained.pdparams"
    assert load_training_config(S_HUMAN, {"Train.pretrain_weight_path": url}).Train.pretrain_weight_path == (
        "PP-YOLOE-S_human"
    )


@pytest.mark.parametrize("name", list(ENTRIES))
def test_a_resolved_file_reads_back_to_the_same(name: str) -> None:
    config = resolved(load_training_config(name, ["Train.pretrain_weight_path=null", "Global.dataset_dir='my: data'"]))
    assert resolved(load_training_config(load_yaml(config_yaml(config).encode("utf-8")).value)) == config


@pytest.mark.parametrize("override", ["Evaluate.group_by=camera", "Evaluate.paddle_metrics=true"])
def test_figures_that_only_attributes_have(override: str) -> None:
    with pytest.raises(ConfigError, match="is for attribute networks"):
        load_training_config(S_HUMAN, [override])
    load_training_config("passerby-attributes", [override])
