"""A training file carried out: from a folder of pictures to a pipeline with one line changed, for both networks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from passerby import create_model, create_pipeline
from passerby.config import DEFAULT_PIPELINE, builtin_config
from passerby.config_training import load_training_config
from passerby.datasets.example import LABELS, write_attribute_example, write_detection_example
from passerby.errors import ArgumentError, ConfigError, DatasetError, EngineError, ModelError
from passerby.formats.safe_yaml import load_yaml
from passerby.training import evaluate, export_model, run_module, train
from passerby.training.module import torchrun_command

pytest.importorskip("torch")
pytest.importorskip("safetensors")

# Drawn figures, networks a sixteenth of the real ones: seconds, not hours.
PLAIN = {"Train.workers": 0, "Global.threads": 1}
FRESH = {**PLAIN, "Train.pretrain_weight_path": None, "Train.epochs_iters": 2}
ATTRIBUTES = {**FRESH, "Train.scale": 0.25, "Train.input_size": [64, 32], "Train.batch_size": 8}
DETECTOR = {**FRESH, "Train.depth": 0.33, "Train.width": 0.0625, "Train.input_size": [96, 128], "Train.batch_size": 2}
HASTY = {"Train.learning_rate": 0.02, "Train.optimiser": "adamw", "Train.ema_decay": 0}  # scores above 0.01, soon


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "crops"
    write_attribute_example(folder, count=32)
    return folder


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "streets"
    write_detection_example(folder, count=12)
    return folder


@pytest.fixture(scope="module")
def taught_attributes(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("attributes")
    train("passerby-attributes.yaml", {**ATTRIBUTES, "Global.dataset_dir": str(crops), "Global.output": str(output)})
    return output


@pytest.fixture(scope="module")
def taught_detector(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("detector")
    train(
        "passerby-detector-416.yaml",
        {**DETECTOR, **HASTY, "Global.dataset_dir": str(streets), "Global.output": str(output)},
    )
    return output


def quiet(_line: str) -> None:
    pass


def result_of(output: Path, mode: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((output / f"{mode}_result.json").read_text("utf-8"))
    return body


def pipeline_file(folder: Path, stage: str, model_dir: Path) -> Path:
    """The built-in pipeline with one line changed: the `model_dir` of a stage."""
    lines = builtin_config(DEFAULT_PIPELINE).decode("utf-8").splitlines()
    places = [i for i, line in enumerate(lines) if line == "    model_dir: null"]
    lines[places[("Detection", "Classification").index(stage)]] = f"    model_dir: {model_dir}"
    file = folder / "my_pipeline.yaml"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_check_dataset_writes_what_it_found(crops: Path, tmp_path: Path) -> None:
    given = {"Global.dataset_dir": str(crops), "Global.output": str(tmp_path)}
    body = run_module("PP-LCNet_x1_0_pedestrian_attribute", given, say=quiet)
    assert body == result_of(tmp_path, "check_dataset")
    assert (body["done_flag"], body["check_pass"], body["dataset_type"]) == (True, True, "MLClsDataset")
    assert body["attributes"]["num_classes"] == len(LABELS)
    assert (tmp_path / body["analysis"]["histogram"]).is_file()


def test_a_failed_check_is_written_too(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_attribute_example(data, count=8)
    (data / "val.txt").write_text("images/0000.png\t1,0,7,0,0,0\n", encoding="utf-8")
    with pytest.raises(DatasetError) as caught:
        run_module("passerby-attributes", {"Global.dataset_dir": str(data), "Global.output": str(tmp_path)}, say=quiet)
    body = result_of(tmp_path, "check_dataset")
    assert (body["done_flag"], body["err_type"]) == (False, "dataset_invalid")
    assert body["err_msg"] == caught.value.message
    assert "val.txt" in caught.value.message


def test_training_says_where_everything_is(taught_attributes: Path) -> None:
    body = result_of(taught_attributes, "train")
    assert body["done_flag"]
    assert (body["metric"], body["labels"]) == (
        "mA",
        ["hat", "backpack", "high_vis", "trousers", "shorts", "skirt"],
    )
    best, last = body["models"]["best"], body["models"]["last"]
    assert best["score"] == best["figures"]["mA"]
    for path in (body["config"], body["train_log"], body["metrics_log"], best["weights"], best["onnx"]):
        assert Path(path).is_file()
    assert Path(best["model_dir"], "inference.yml").is_file()
    assert Path(last["checkpoint"]).is_file()
    assert best["largest_difference"] <= 1e-4


def test_the_configuration_of_a_run_runs_it_again(taught_attributes: Path, tmp_path: Path) -> None:
    config = load_training_config(taught_attributes / "config.yaml")
    assert (config.Train.num_classes, config.Train.warmup_steps) == (len(LABELS), 0)
    again = train(taught_attributes / "config.yaml", [f"Global.output={tmp_path}"], say=quiet)
    assert again["models"]["best"]["figures"] == result_of(taught_attributes, "train")["models"]["best"]["figures"]


def test_attributes_from_folder_to_pipeline(crops: Path, taught_attributes: Path, tmp_path: Path) -> None:
    """check, train (the fixture), evaluate, export, one line of the pipeline, predict."""
    weights = taught_attributes / "best_model" / "best_model.safetensors"
    base = {"Global.dataset_dir": str(crops), "Global.output": str(tmp_path)}
    asked = {**base, "Evaluate.weight_path": str(weights), "Evaluate.group_by": "camera"}
    measured = evaluate("passerby-attributes", asked, say=quiet)
    assert measured["metrics"]["mA"] == pytest.approx(result_of(taught_attributes, "train")["models"]["best"]["score"])
    assert Path(measured["report"]["html"]).is_file()
    figures = json.loads(Path(measured["report"]["figures"]).read_text("utf-8"))
    assert set(figures["columns"]["camera"]["values"]) == {"north", "south"}

    exporting = {**base, "Export.weight_path": str(weights), "Global.output": str(tmp_path / "mine")}
    exported = export_model("passerby-attributes", exporting, say=quiet)
    assert exported["threshold_origin"] == "set"
    assert exported["thresholds"][2] == 0.6  # of labels.yaml

    file = pipeline_file(tmp_path, "Classification", tmp_path / "mine")
    result = next(iter(create_pipeline(str(file)).predict(np.ascontiguousarray(street()))))
    assert [label.id for label in result.labels] == ["hat", "backpack", "high_vis", "trousers", "shorts", "skirt"]
    assert result.persons
    assert result.probabilities.shape == (len(result.persons), len(LABELS))


def test_a_detector_from_folder_to_pipeline(streets: Path, taught_detector: Path, tmp_path: Path) -> None:
    weights = taught_detector / "best_model" / "best_model.safetensors"
    base = {"Global.dataset_dir": str(streets), "Global.output": str(tmp_path)}
    measured = evaluate("passerby-detector-416", {**base, "Evaluate.weight_path": str(weights)}, say=quiet)
    assert measured["metrics"]["AP"] == pytest.approx(
        result_of(taught_detector, "train")["models"]["best"]["figures"]["AP"], abs=1e-3
    )
    exporting = {**base, "Export.weight_path": str(weights), "Global.output": str(tmp_path / "mine")}
    exported = export_model("passerby-detector-416", exporting, say=quiet)
    assert exported["largest_difference"] <= 1e-4

    file = pipeline_file(tmp_path, "Detection", tmp_path / "mine")
    picture = streets / "images" / "0000.png"
    alone = next(iter(create_model("mine", tmp_path / "mine", threshold=0.0).predict(str(picture))))
    pipeline = create_pipeline(str(file))
    both = next(iter(pipeline.predict(str(picture), det_threshold=0.0)))
    assert len(alone.persons) > 0
    np.testing.assert_array_equal(both.boxes_xyxy, alone.boxes_xyxy)


def street() -> np.ndarray:
    """The bundled photo, (H, W, 3) uint8 BGR."""
    from passerby.decode import decode_image
    from passerby.sources import read_file

    file = str(Path(sys.modules["passerby"].__file__ or "").parent / "assets" / "street.jpg")
    return decode_image(read_file(file), input=file)


def test_predict_uses_what_training_wrote(crops: Path, taught_attributes: Path) -> None:
    given = {"Global.mode": "predict", "Global.output": str(taught_attributes)}
    given["Predict.input"] = str(crops / "images" / "0001.png")
    body = run_module("passerby-attributes", given, say=quiet)
    assert [set(result) >= {"class_ids", "scores", "label_names"} for result in body["results"]] == [True]
    assert (taught_attributes / "0001.json").is_file()
    assert (taught_attributes / "0001_res.png").is_file()


def test_tuned_thresholds_are_those_of_the_evaluation(crops: Path, taught_attributes: Path, tmp_path: Path) -> None:
    weights = taught_attributes / "best_model" / "best_model.safetensors"
    base = {"Global.dataset_dir": str(crops), "Global.output": str(tmp_path)}
    exported = export_model(
        "passerby-attributes", {**base, "Export.weight_path": str(weights), "Export.thresholds": "tuned"}, say=quiet
    )
    measured = evaluate("passerby-attributes", {**base, "Evaluate.weight_path": exported["onnx"]}, say=quiet)
    figures = json.loads(Path(measured["report"]["figures"]).read_text("utf-8"))
    for row, stored in zip(figures["labels"], exported["thresholds"], strict=True):
        if row["positives"] and row["negatives"]:
            assert row["thresholds"]["tuned"] == pytest.approx(stored, abs=1e-6)


def test_shipped_models_are_measured_by_name(streets: Path, tmp_path: Path) -> None:
    given = {"Global.dataset_dir": str(streets), "Global.output": str(tmp_path)}
    given["Evaluate.weight_path"] = "passerby-detector-416"
    assert evaluate("passerby-detector-416", given, say=quiet)["metrics"]["AP50"] > 0.5


def test_a_model_that_lacks_labels_is_not_measured(crops: Path, tmp_path: Path) -> None:
    given = {"Global.dataset_dir": str(crops), "Global.output": str(tmp_path)}
    given["Evaluate.weight_path"] = "passerby-attributes"
    with pytest.raises(ModelError) as caught:
        evaluate("passerby-attributes", given, say=quiet)
    assert caught.value.name == "model_mismatch"
    assert "lacks 2 of the data set's: high_vis, skirt" in caught.value.message


def test_training_goes_on_from_a_checkpoint(crops: Path, taught_attributes: Path, tmp_path: Path) -> None:
    given = {**ATTRIBUTES, "Global.dataset_dir": str(crops), "Global.output": str(tmp_path)}
    said: list[str] = []
    given["Train.resume_path"] = str(taught_attributes / "checkpoints")
    body = train("passerby-attributes", given, say=said.append)
    assert body["models"]["last"]["epoch"] == 2
    assert body["models"]["best"]["figures"] == result_of(taught_attributes, "train")["models"]["best"]["figures"]
    assert not any("weights from" in line for line in said)


@pytest.mark.parametrize(
    ("key", "value", "error", "said"),
    [
        ("Global.dataset_dir", None, ConfigError, "Global.dataset_dir is not set"),
        ("Global.dataset_dir", "nowhere", DatasetError, "dataset_missing"),
        ("Train.num_classes", 26, DatasetError, "Train.num_classes is 26, the data set has 6 labels"),
        ("Train.pretrain_weight_path", "passerby-attributes", ArgumentError, "Train.scale is 0.25"),
        ("Train.pretrain_weight_path", "gone.safetensors", ModelError, "model_missing"),
        ("Global.device", "gpu:0,1", EngineError, "torchrun --nproc-per-node=2 -m passerby module -c"),
        ("Global.device", "npu:0", EngineError, "nothing is trained on npu"),
        ("Train.resume_path", "gone", ArgumentError, "there is no checkpoint: gone"),
    ],
)
def test_what_cannot_be_trained_is_named(
    crops: Path, tmp_path: Path, key: str, value: object, error: type[Exception], said: str
) -> None:
    given: dict[str, Any] = {**ATTRIBUTES, "Global.dataset_dir": str(crops), "Global.output": str(tmp_path)}
    with pytest.raises(error) as caught:
        train("passerby-attributes", {**given, key: value}, say=quiet)
    assert said in str(caught.value)
    assert result_of(tmp_path, "train")["err_msg"] == str(caught.value)


def test_an_official_start_without_network_says_what_to_do(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSERBY_OFFLINE", "1")
    monkeypatch.setenv("PASSERBY_HOME", str(tmp_path / "home"))
    given = {**PLAIN, "Global.dataset_dir": str(crops), "Global.output": str(tmp_path)}
    with pytest.raises(ModelError) as caught:
        train("PP-LCNet_x1_0_pedestrian_attribute.yaml", given, say=quiet)
    assert caught.value.name == "model_offline"
    assert "passerby models pull PP-LCNet_x1_0_pedestrian_attribute" in str(caught.value.hint)
    assert "passerby-attributes" in str(caught.value.hint)


def test_the_command_for_several_devices_can_be_typed() -> None:
    words = torchrun_command(2, "my.yaml", {"Global.dataset_dir": "my data", "Train.amp": "OFF", "Train.teacher": None})
    assert words[:7] == ["torchrun", "--nproc-per-node=2", "-m", "passerby", "module", "-c", "my.yaml"]
    texts = [word for word in words if "=" in word and not word.startswith("--")]
    config = load_training_config({"Global": {"model": "passerby-attributes"}}, texts)
    assert (config.Global.mode, config.Global.dataset_dir, config.Train.teacher) == ("train", Path("my data"), None)


def test_a_longer_warm_up_than_the_run_is_cut(crops: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The original's file asks for 5 epochs; a first try has 2."""
    given = {**ATTRIBUTES, "Global.dataset_dir": str(crops), "Global.output": str(tmp_path), "Train.warmup_steps": 5}
    train("passerby-attributes", given, say=quiet)
    assert "5 epochs of a run of 2" in caplog.text
    assert load_yaml((tmp_path / "config.yaml").read_bytes()).value["Train"]["warmup_steps"] == 1


def test_a_teacher_by_name_and_keys_without_effect(crops: Path, tmp_path: Path) -> None:
    given = {**ATTRIBUTES, "Global.dataset_dir": str(crops), "Global.output": str(tmp_path), "Train.epochs_iters": 1}
    said: list[str] = []
    given |= {"Train.teacher": "passerby-attributes", "Train.dist_ips": "10.0.0.1", "Train.log_interval": 1}
    train("passerby-attributes", given, say=said.append)
    assert any("teacher" in line and "labels" in line for line in said)  # the two parts of the loss
    assert "warning: Train.dist_ips has no effect: start it with torchrun on each machine" in said


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_shipped_attribute_model_learns_labels_of_ones_own(tmp_path: Path) -> None:
    """Two of the six labels are new to it. From 150 drawn crops, in half a minute of one processor."""
    write_attribute_example(tmp_path / "data", count=200)
    given = {**PLAIN, "Global.dataset_dir": str(tmp_path / "data"), "Global.output": str(tmp_path / "output")}
    given |= {"Train.input_size": [128, 96], "Train.batch_size": 16, "Train.epochs_iters": 7, "Train.augment": "none"}
    body = train("passerby-attributes", {**given, "Train.optimiser": "adamw", "Train.learning_rate": 0.003}, say=quiet)
    assert body["models"]["best"]["figures"]["mA"] > 0.9
    model = create_model("mine", body["models"]["best"]["model_dir"])
    lines = (tmp_path / "data" / "val.txt").read_text("utf-8").splitlines()
    wrong = 0
    for line in lines:
        name, _, values = line.partition("\t")
        found = next(iter(model.predict(str(tmp_path / "data" / name)))).persons[0].probabilities
        assert found is not None
        truth = np.array([int(v) for v in values.split(",")])
        wrong += int(((found > 0.5) != truth)[truth >= 0].sum())
    assert wrong < 0.15 * len(lines) * len(LABELS)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_shipped_detector_learns_drawn_people(tmp_path: Path) -> None:
    write_detection_example(tmp_path / "data", count=60)
    given = {**PLAIN, "Global.dataset_dir": str(tmp_path / "data"), "Global.output": str(tmp_path / "output")}
    before = evaluate("passerby-detector-416", {**given, "Evaluate.weight_path": "passerby-detector-416"}, say=quiet)[
        "metrics"
    ]["AP"]
    given |= {"Train.input_size": [160, 224], "Train.batch_size": 4, "Train.epochs_iters": 3}
    body = train("passerby-detector-416", {**given, "Train.multi_scale": False}, say=quiet)
    assert body["models"]["best"]["figures"]["AP"] > min(before, 0.7)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_processes_train_as_one(crops: Path, tmp_path: Path) -> None:
    """`torchrun` on the CPU: one result file, one model."""
    given = {**ATTRIBUTES, "Global.dataset_dir": str(crops), "Global.output": str(tmp_path), "Global.device": "cpu"}
    words = torchrun_command(2, "passerby-attributes", given)[1:]
    command = [sys.executable, "-m", "torch.distributed.run", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    body = result_of(tmp_path, "train")
    assert body["done_flag"]
    assert Path(body["models"]["best"]["onnx"]).is_file()
