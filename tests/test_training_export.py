# SPDX-License-Identifier: Apache-2.0
"""From a weights file to a folder, and from the folder through every door: labels, thresholds and names are its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from passerby import create_model, create_pipeline, engines  # noqa: E402
from passerby.cli.run import main  # noqa: E402
from passerby.devices import Device  # noqa: E402
from passerby.errors import ArgumentError, ModelError, OutputError  # noqa: E402
from passerby.files import encode_image  # noqa: E402
from passerby.formats.onnx_file import read_onnx  # noqa: E402
from passerby.models.load import load_model  # noqa: E402
from passerby.models.verify import verify_model  # noqa: E402
from passerby.preprocess import to_network_input  # noqa: E402
from passerby.training.export import (  # noqa: E402
    TOLERANCE,
    ExportReport,
    compare,
    export_model,
    pictures_to_check,
)
from passerby.training.thresholds import choose_thresholds, store_thresholds  # noqa: E402

from . import tiny  # noqa: E402
from .trained_weights import (  # noqa: E402
    SITE_GROUPS,
    SITE_LABELS,
    SITE_PROBABILITIES,
    write_attribute_weights,
    write_detector_weights,
)

SHIPPED_NAME, OFFICIAL_NAME = "passerby-attributes", "PP-LCNet_x1_0_pedestrian_attribute"
OWN = [0.55, None, 0.7]
SAID = ["Hard hat(安全帽)"]  # 0.6 above 0.55; 0.4 not above 0.5; 0.65 not above 0.7


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def attributes(tmp_path: Path) -> ExportReport:
    weights = tmp_path / "best_model/best_model.safetensors"
    write_attribute_weights(weights, thresholds=OWN)
    crops = [tiny.picture(seed, height=80, width=40) for seed in range(3)]
    return export_model(weights, tmp_path / "best_model/inference", name=OFFICIAL_NAME, check_pictures=crops)


@pytest.fixture
def detector(tmp_path: Path) -> ExportReport:
    weights = tmp_path / "detector.safetensors"
    write_detector_weights(weights)
    return export_model(weights, tmp_path / "detector", check_pictures=[tiny.picture(5)])


def configured(model_dir: Path, *, name: str, threshold: Any = 0.7) -> dict[str, Any]:
    config = tiny.config()
    config["SubModules"]["Classification"] |= {"model_name": name, "model_dir": str(model_dir), "threshold": threshold}
    return config


# --- the file -----------------------------------------------------------------------------------------------------


def test_the_file_carries_everything(attributes: ExportReport) -> None:
    assert sorted(p.name for p in attributes.folder.iterdir()) == [f"{OFFICIAL_NAME}.onnx", "inference.yml"]
    inside = read_onnx(attributes.model_file.read_bytes()).metadata
    assert [(x.id, x.en, x.zh, x.group) for x in inside.labels] == [tuple(x.values()) for x in SITE_LABELS]
    assert [(g.id, g.en, g.exclusive) for g in inside.groups] == [tuple(g.values()) for g in SITE_GROUPS]
    assert inside.thresholds == (0.55, 0.5, 0.7)
    assert inside.own_thresholds
    assert (inside.input.height, inside.input.width) == (64, 48)
    assert inside.card["figures"] == {"mA": 0.875, "f1": None}
    assert inside.card["data"] == {"hash": "0123456789abcdef"}
    assert inside.card["recipe"]["batch_size"] == 8
    assert inside.probe is not None
    verify_model(load_model("any", attributes.folder))
    assert attributes.compared == 4
    assert attributes.difference <= 1e-4
    json.dumps(attributes.to_json(), allow_nan=False)


def test_the_callers_card_stands_above_that_of_the_run(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    write_attribute_weights(weights)
    card = {"licence": "CC0-1.0", "data": {"crops": 240}, "curve": list(range(100)), "figures": {"mA": float("nan")}}
    inside = read_onnx(export_model(weights, tmp_path / "out", card=card).model_file.read_bytes()).metadata
    assert inside.card["licence"] == "CC0-1.0"
    assert inside.card["data"] == {"hash": "0123456789abcdef", "crops": 240}
    assert inside.card["figures"] == {"mA": None, "f1": None}
    assert "curve" not in inside.card


def test_answers_are_those_of_the_torch_network(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    network = write_detector_weights(weights)
    report = export_model(weights, tmp_path / "out")
    model = create_model("mine", report.folder, device="cpu", threshold=0.0)
    picture = tiny.picture(3)
    recipe = read_onnx(report.model_file.read_bytes()).metadata.input
    with torch.no_grad():
        scores = network(torch.from_numpy(to_network_input(picture, recipe)))[1]
    assert float(scores.std()) > 0.01
    assert 0.1 < float(scores.max()) < 0.999
    found = next(model.predict(picture))
    assert found.persons[0].score == pytest.approx(float(scores.max()), abs=1e-4)


def test_a_model_that_answers_otherwise_is_refused(attributes: ExportReport, tmp_path: Path) -> None:
    other = write_attribute_weights(tmp_path / "other.safetensors")
    data = attributes.model_file.read_bytes()
    engine, metadata = engines.load(data, device=Device("cpu"), spread="inside"), read_onnx(data).metadata
    assert compare(other, engine, metadata, [])[1] <= TOLERANCE
    with torch.no_grad():
        other.fc.bias[1] += 0.001
    with pytest.raises(ModelError) as caught:
        compare(other, engine, metadata, [])
    assert caught.value.name == "model_mismatch"


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": SITE_LABELS[:2]},
        {"num_classes": 4},
        {"kind": "tracker"},
        {"input_hw": [64]},
        {"input_hw": [64, 1 << 20]},
        {"thresholds": [2.0, None, None]},
        {"labels": [{"en": "no id"}] * 3},
        {"network": {}},
        {"network": {"scale": 0.5}},
    ],
)
def test_a_description_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    weights = tmp_path / "w.safetensors"
    write_attribute_weights(weights, **changes)
    with pytest.raises(ModelError) as caught:
        export_model(weights, tmp_path / "out")
    assert caught.value.name in ("model_corrupt", "model_mismatch")
    assert not (tmp_path / "out").exists()


def test_a_second_model_in_the_folder_is_refused_and_the_same_one_replaced(attributes: ExportReport) -> None:
    weights = attributes.folder.parent / "best_model.safetensors"
    with pytest.raises(OutputError) as caught:
        export_model(weights, attributes.folder, name="another")
    assert caught.value.name == "output_conflict"
    again = export_model(weights, attributes.folder, name=OFFICIAL_NAME, thresholds="default")
    assert read_onnx(again.model_file.read_bytes()).metadata.thresholds == (0.5, 0.5, 0.5)


def test_pictures_to_check_are_spread_and_bad_ones_passed_over(tmp_path: Path) -> None:
    paths = []
    for number in range(10):
        path = tmp_path / f"{number}.png"
        path.write_bytes(b"no picture" if number == 4 else encode_image(np.full((8, 4, 3), number, np.uint8), ".png"))
        paths.append(path)
    assert [int(p[0, 0, 0]) for p in pictures_to_check(paths, count=5)] == [0, 2, 6, 8]
    assert pictures_to_check([], count=5) == []


# --- thresholds ---------------------------------------------------------------------------------------------------


def test_thresholds_are_chosen_in_order() -> None:
    given = [0.3, None, 0.6]
    assert choose_thresholds("set", given=given, tuned=None, kind="attributes").values == (0.3, 0.5, 0.6)
    tuned = choose_thresholds("tuned", given=given, tuned=[None, 0.2, float("nan")], kind="attributes")
    assert tuned.values == (0.3, 0.2, 0.6)
    assert tuned.origin == "tuned"
    assert choose_thresholds("set", given=[None], tuned=None, kind="attributes").origin == "default"
    assert choose_thresholds("set", given=[0.4, 0.6], tuned=None, kind="detector").values == (0.4, 0.4)
    for wrong in ({"choice": "best"}, {"tuned": None}, {"tuned": [0.1]}, {"tuned": [0.1, 0.2, 1.5]}):
        with pytest.raises(ArgumentError):
            choose_thresholds(**{"choice": "tuned", "tuned": given, **wrong}, given=given, kind="attributes")  # type: ignore[arg-type]


def test_tuned_thresholds_are_stored_without_touching_the_weights(attributes: ExportReport) -> None:
    before = next(create_model("mine", attributes.folder, device="cpu").predict(tiny.picture(2))).probabilities
    store_thresholds(attributes.folder, [0.9, 0.1, 0.2])
    model = create_model("mine", attributes.folder, device="cpu")
    after = next(model.predict(tiny.picture(2)))
    np.testing.assert_array_equal(after.probabilities, before)
    assert [x.id for x in after.persons[0].labels] == ["bare.arms", "背心"]
    loaded = load_model("mine", attributes.folder)  # the two files agree again
    assert loaded.metadata.thresholds == (0.9, 0.1, 0.2)
    verify_model(loaded)


# --- every door ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [SHIPPED_NAME, OFFICIAL_NAME, "helmets"])
@pytest.mark.parametrize("as_file", [False, True])
def test_a_pipeline_needs_another_model_dir_and_nothing_else(
    attributes: ExportReport, name: str, as_file: bool
) -> None:
    where = attributes.model_file if as_file else attributes.folder
    with create_pipeline(config=configured(where, name=name), device="cpu") as pipeline:
        result = next(pipeline.predict(tiny.picture(1)))
        assert result.persons
        for person in result.persons:
            assert [x.text for x in person.labels] == SAID
            np.testing.assert_allclose(person.probabilities, SITE_PROBABILITIES, atol=0.01)
            assert person.colours == {}
        plain = next(pipeline.predict(tiny.picture(1), cls_threshold=0.62, labels="zh"))
        assert [x.text for x in plain.persons[0].labels] == ["光膀子"]
        mapped = next(pipeline.predict(tiny.picture(1), cls_threshold={"default": 1.0, "背心": 0.1, "Hat": 0.1}))
        assert [x.id for x in mapped.persons[0].labels] == ["hat", "背心"]
        assert result.drawn().shape == (240, 320, 3)


def test_a_threshold_that_was_written_down_wins(attributes: ExportReport) -> None:
    for threshold, said in (
        ({"default": 0.7}, []),
        (0.3, ["bare.arms", "hat", "背心"]),
        ({"背心": 0.3}, ["hat", "背心"]),
    ):
        config = configured(attributes.folder, name=OFFICIAL_NAME, threshold=threshold)
        with create_pipeline(config=config, device="cpu") as pipeline:
            person = next(pipeline.predict(tiny.picture(1))).persons[0]
        assert [x.id for x in person.labels] == said


def test_without_thresholds_of_its_own_the_stock_one_holds(tmp_path: Path) -> None:
    write_attribute_weights(tmp_path / "w.safetensors")
    report = export_model(tmp_path / "w.safetensors", tmp_path / "out")
    assert report.threshold_origin == "default"
    with create_pipeline(config=configured(report.folder, name=SHIPPED_NAME), device="cpu") as pipeline:
        assert next(pipeline.predict(tiny.picture(1))).persons[0].labels == ()


def test_colours_may_stand_before_other_labels(tmp_path: Path) -> None:
    labels = [{**label, "group": group} for label, group in zip(SITE_LABELS, ("upper_colour", "", ""), strict=True)]
    write_attribute_weights(tmp_path / "w.safetensors", labels=labels, thresholds=[0.1, 0.3, None], groups=[])
    report = export_model(tmp_path / "w.safetensors", tmp_path / "out")
    with create_pipeline(config=configured(report.folder, name=SHIPPED_NAME), device="cpu") as pipeline:
        person = next(pipeline.predict(tiny.picture(1))).persons[0]
    assert [x.id for x in person.labels] == ["bare.arms", "背心"]
    assert person.colours["upper"].id == "hat"


def test_the_model_alone_says_its_labels(attributes: ExportReport) -> None:
    result = next(create_model(OFFICIAL_NAME, attributes.folder, device="cpu").predict(tiny.picture(4)))
    assert result.to_dict()["label_names"] == SAID
    assert result.to_dict()["class_ids"] == [0]


def test_the_command_line_says_its_labels(
    attributes: ExportReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, config = tmp_path / "street.png", tmp_path / "pipeline.yaml"
    picture.write_bytes(encode_image(tiny.picture(1), ".png"))
    config.write_text(json.dumps(configured(attributes.folder, name=OFFICIAL_NAME)), "utf-8")
    assert main(["predict", str(picture), "--pipeline", str(config)]) == 0
    said = capsys.readouterr().out
    assert "Hard hat 0.60" in said
    assert "Bare arms" not in said
    assert (
        main(["predict", str(picture), "--pipeline", str(config), "--csv", "--cls-threshold", "default=1,hat=0"]) == 0
    )
    assert "hat,背心,bare.arms" in capsys.readouterr().out.splitlines()[0]
    for where in (attributes.folder, attributes.model_file):
        assert main(["labels", str(where)]) == 0
        rows = capsys.readouterr().out.splitlines()
        assert rows[0].split() == ["0", "hat", "0.55", "Hard", "hat(安全帽)"]
        assert rows[2].split()[-1] == "torso"


def test_a_detector_of_several_classes_and_another_size(detector: ExportReport, tmp_path: Path) -> None:
    inside = read_onnx(detector.model_file.read_bytes()).metadata
    assert (inside.input.height, inside.input.width) == (96, 160)
    assert inside.nms.iou_threshold == 0.4
    model = create_model("PP-YOLOE-S_human", detector.folder, device="cpu", threshold=0.0)
    boxes = next(model.predict(tiny.picture(7))).to_dict()["boxes"]
    assert {box["label"] for box in boxes} == {"Walker(行人)", "Rider(骑车人)"}
    assert {box["cls_id"] for box in boxes} == {0, 1}
    assert 0 < len(boxes) <= 20
    config = tiny.config(model_dir=str(detector.folder), threshold=0.1)
    with create_pipeline(config=config, device="cpu") as pipeline:
        assert next(pipeline.predict(tiny.picture(7))).persons


def test_a_detectors_tuned_threshold_holds_in_place_of_the_stock_one(detector: ExportReport) -> None:
    scores = next(create_model("mine", detector.folder, device="cpu", threshold=0.0).predict(tiny.picture(7))).scores
    least = float(np.sort(scores)[-3])
    store_thresholds(detector.folder, [least, least])
    for threshold, count in ((0.5, 2), (0.0, len(scores))):
        config = tiny.config(model_dir=str(detector.folder), threshold=threshold)
        with create_pipeline(config=config, device="cpu") as pipeline:
            assert len(next(pipeline.predict(tiny.picture(7))).persons) == count
    assert len(next(create_model("mine", detector.folder, device="cpu").predict(tiny.picture(7))).persons) == 2


# --- the folder's second file -------------------------------------------------------------------------------------


def test_changed_thresholds_beside_the_model_do_not_count_and_this_is_said(
    attributes: ExportReport, caplog: pytest.LogCaptureFixture
) -> None:
    yml = attributes.description_file
    load_model("mine", attributes.folder)
    assert not caplog.records
    yml.write_text(yml.read_text("utf-8").replace("- 0.55", "- 0.01"), "utf-8")
    assert load_model("mine", attributes.folder).metadata.thresholds[0] == 0.55
    assert "thresholds inside the model" in caplog.text


def test_another_models_description_is_refused(attributes: ExportReport, detector: ExportReport) -> None:
    attributes.description_file.write_bytes(detector.description_file.read_bytes())
    with pytest.raises(ModelError) as caught:
        load_model("mine", attributes.folder)
    assert caught.value.name == "model_mismatch"


def test_the_folders_above_name_the_right_one(attributes: ExportReport) -> None:
    best = attributes.folder.parent
    for folder, named in ((best, "into inference in"), (best.parent, "into best_model/inference in")):
        with pytest.raises(ModelError) as caught:
            load_model("mine", folder)
        assert caught.value.name == "model_missing"
        assert named in caught.value.message
