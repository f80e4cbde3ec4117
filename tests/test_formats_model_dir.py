"""Model folders and their inference.yml: what is read, what is preferred, what is missing, what is refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.errors import ModelError
from passerby.formats.inference_yml import read_inference_yml
from passerby.formats.metadata import InputRecipe
from passerby.formats.model_dir import read_file, read_model_dir

from .conftest import FIXTURES, shared

MODELS = FIXTURES / "models"
DETECTOR_YML = (MODELS / "tiny_det/pir/inference.yml").read_text("utf-8")
CLASSIFIER_YML = (MODELS / "tiny_cls/pir/inference.yml").read_text("utf-8")


def yml_refused(text: str) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read_inference_yml(text.encode(), input="inference.yml")
    assert caught.value.input == "inference.yml"
    return caught.value


def changed(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    return text


# --- inference.yml ------------------------------------------------------------------------------------------------


def test_a_detectors_file_says_cubic_and_the_size_as_height_and_width() -> None:
    told = read_inference_yml(changed(DETECTOR_YML, ("- 320", "- 416")).encode())
    assert told.kind == "detector" and told.model_name == "PP-YOLOE-S_human"
    assert told.input == InputRecipe(height=416, width=320, interpolation="cubic")
    assert told.labels == ("pedestrian",)
    assert told.thresholds == (0.5,) and told.draw_threshold == 0.5


def test_a_classifiers_file_says_linear_and_the_size_as_width_and_height() -> None:
    told = read_inference_yml(CLASSIFIER_YML.encode())
    assert told.kind == "attributes"
    assert told.input == InputRecipe(height=256, width=192, interpolation="linear")
    assert len(told.labels) == len(told.thresholds) == 26
    assert told.labels[0] == "Hat(帽子)" and told.labels[25] == "Back(背面)"


@pytest.mark.parametrize("model", ["PP-YOLOE-S_human", "PP-YOLOE-L_human", "PP-LCNet_x1_0_pedestrian_attribute"])
def test_the_files_of_full_size_exports_are_read(model: str) -> None:
    told = read_inference_yml(shared(f"golden/graphs/{model}/inference.yml").read_bytes())
    assert told.model_name == model
    assert (told.input.height, told.input.width) == ((256, 192) if "LCNet" in model else (640, 640))


@pytest.mark.parametrize(
    ("text", "thresholds"),
    [("0.7", (0.7,) * 26), ("{default: 0.6, 1: 0.2}", (0.6, 0.2) + (0.6,) * 24), ("1", (1.0,) * 26)],
)
def test_thresholds_of_every_form(text: str, thresholds: tuple[float, ...]) -> None:
    told = read_inference_yml(changed(CLASSIFIER_YML, ("threshold: 0.5", f"threshold: {text}")).encode())
    assert told.thresholds == thresholds


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("threshold: 0.5", "threshold: 1.5", "model_corrupt"),
        ("threshold: 0.5", "threshold: {26: 0.5}", "model_corrupt"),
        ("threshold: 0.5", "threshold: [0.5, 0.5]", "model_mismatch"),
        ("threshold: 0.5", "threshold: yes", "model_corrupt"),
        ("MultiLabelThreshOutput", "Topk", "model_unsupported"),
        ("ToCHWImage", "ToHWC", "model_unsupported"),
        ("- ToCHWImage: null", "- ToCHWImage: null\n  - ToCHWImage: null", "model_unsupported"),
        ("scale: 0.00392156862745098", "scale: 1", "model_unsupported"),
        ("channel_num: 3", "channel_num: 4", "model_unsupported"),
        ("size:", "resize_short: 256\n      size:", "model_unsupported"),
        ("size:", "interpolation: SPLINE\n      size:", "model_unsupported"),
        ("size:", "backend: pil\n      size:", "model_unsupported"),
        ("- 0.485", "- .inf", "model_corrupt"),
        ("- 0.229", "- 0", "model_corrupt"),
        ("- 192", "- 192.5", "model_corrupt"),
        ("- 192", "- 0", "model_corrupt"),
        ("- 192", "- 8192", "model_too_large"),
        ("PreProcess", "PreProces", "model_corrupt"),
        ("Global:", "Global: &a [*a]\nX:", "model_corrupt"),
    ],
)
def test_a_classifiers_file_that_cannot_be_followed_is_refused(old: str, new: str, name: str) -> None:
    assert yml_refused(changed(CLASSIFIER_YML, (old, new))).name == name


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("keep_ratio: false", "keep_ratio: true", "model_unsupported"),
        ("is_scale: true", "is_scale: false", "model_unsupported"),
        ("interp: 2", "interp: 9", "model_unsupported"),
        ("is_scale: true", "is_scale: true\n  norm_type: max", "model_unsupported"),
        ("- type: Permute", "- type: Permute\n- type: PadStride\n  stride: 32", "model_unsupported"),
        ("label_list:\n- pedestrian", "label_list: []", "model_mismatch"),
        ("draw_threshold: 0.5", "draw_threshold: -1", "model_corrupt"),
        ("- pedestrian", '- "a\\eb"', "model_corrupt"),
    ],
)
def test_a_detectors_file_that_cannot_be_followed_is_refused(old: str, new: str, name: str) -> None:
    assert yml_refused(changed(DETECTOR_YML, (old, new))).name == name


@pytest.mark.parametrize(
    ("number", "name"), [(0, "nearest"), (1, "linear"), (2, "cubic"), (3, "area"), (4, "lanczos"), ("LINEAR", "linear")]
)
def test_interpolations_are_opencvs(number: int | str, name: str) -> None:
    assert (
        read_inference_yml(changed(DETECTOR_YML, ("interp: 2", f"interp: {number}")).encode()).input.interpolation
        == name
    )


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_changed_file_is_read_or_refused_by_name(data: st.DataObject) -> None:
    good = bytearray(data.draw(st.sampled_from([DETECTOR_YML, CLASSIFIER_YML])).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_inference_yml(bytes(good))
    except ModelError as error:
        assert str(error).isprintable()


# --- folders ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MODELS / "tiny_cls/pir", tmp_path / "model"))


def refused(path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read_model_dir(path)
    assert caught.value.input
    return caught.value


@pytest.mark.parametrize("name", ["tiny_cls", "tiny_det"])
@pytest.mark.parametrize("form", ["pir", "legacy"])
def test_folders_of_both_formats_are_read(name: str, form: str) -> None:
    found = read_model_dir(MODELS / name / form)
    assert {spec.name for spec in found.program.parameters} == set(found.parameters)
    assert found.inference.kind == ("attributes" if name == "tiny_cls" else "detector")


def test_both_formats_give_the_same_arrays() -> None:
    pir, legacy = (read_model_dir(MODELS / "tiny_det" / form).parameters for form in ("pir", "legacy"))
    assert all(np.array_equal(pir[name], legacy[name]) for name in legacy)


def test_the_newer_graph_is_preferred(folder: Path) -> None:
    (folder / "inference.pdmodel").write_bytes(b"damaged")
    assert read_model_dir(folder).inference.kind == "attributes"
    (folder / "inference.json").unlink()
    assert refused(folder).name == "model_corrupt"


def test_other_files_in_the_folder_are_left_alone(folder: Path) -> None:
    (folder / "inference.pdiparams.info").write_bytes(b"x")
    (folder / "setup.py").write_text("raise SystemExit")
    assert read_model_dir(folder).parameters


def test_the_message_lists_what_is_missing_and_what_is_there(folder: Path) -> None:
    (folder / "inference.json").rename(folder / "other.json")
    (folder / "inference.yml").unlink()
    error = refused(folder)
    assert error.name == "model_missing"
    for word in ("no inference.json or inference.pdmodel", "no inference.yml", "other.json"):
        assert word in str(error)


def test_no_folder_and_a_file_are_missing_models(tmp_path: Path) -> None:
    assert refused(tmp_path / "nothing").name == "model_missing"
    (tmp_path / "file").write_bytes(b"")
    assert refused(tmp_path / "file").name == "model_missing"


def test_links_inside_the_folder_are_fine_and_those_that_leave_it_are_not(folder: Path, tmp_path: Path) -> None:
    for target, name in (("real", None), (str(tmp_path / "outside"), "model_unsafe"), ("nowhere", "model_missing")):
        file = folder / "inference.pdiparams"
        data = (MODELS / "tiny_cls/pir/inference.pdiparams").read_bytes()
        if target != "nowhere":
            (folder / target).write_bytes(data)
        file.unlink()
        file.symlink_to(target)
        if name is None:
            assert read_model_dir(folder).parameters
        else:
            assert refused(folder).name == name


def test_a_pipe_in_place_of_a_file_does_not_hang(folder: Path) -> None:
    (folder / "inference.pdiparams").unlink()
    os.mkfifo(folder / "inference.pdiparams")
    assert refused(folder).name == "model_missing"


def test_size_is_asked_before_reading(tmp_path: Path) -> None:
    with (tmp_path / "large.pdparams").open("wb") as file:
        file.truncate(3 << 30)  # a hole: takes no disk, would take memory
    with pytest.raises(ModelError) as caught:
        read_file(tmp_path / "large.pdparams")
    assert caught.value.name == "model_too_large"


def test_labels_that_do_not_fit_the_outputs_are_a_mismatch(folder: Path) -> None:
    text = (folder / "inference.yml").read_text("utf-8")
    (folder / "inference.yml").write_text(text[: text.rindex("    - ")], "utf-8")
    error = refused(folder)
    assert error.name == "model_mismatch" and "25 labels" in str(error)


def test_files_of_two_exports_do_not_fit(folder: Path) -> None:
    shutil.copy(MODELS / "tiny_det/pir/inference.pdiparams", folder)
    assert refused(folder).name == "model_mismatch"


def test_an_error_names_the_file(folder: Path) -> None:
    (folder / "inference.json").write_bytes(b"[")
    error: Any = refused(folder)
    assert error.input == str(folder / "inference.json")
