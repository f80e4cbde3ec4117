"""From a name or a path to one checked .onnx; and that nothing offline opens a socket."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from passerby.errors import ModelError
from passerby.formats.onnx_file import read_onnx
from passerby.models import catalogue, pa100k
from passerby.models.convert import convert, labels_from_texts
from passerby.models.load import load_model, load_path
from passerby.networks import pplcnet

from .conftest import FIXTURES
from .model_files import ATTRIBUTES, TINY_CLASSIFIER, TINY_DETECTOR, attribute_pdparams

MODELS = FIXTURES / "models"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSERBY_HOME", str(tmp_path / "home"))


def refused(name: str, path: Path, **options: str) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load_model(name, path, **options)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize("form", ["pir", "legacy"])
def test_detector_folder(form: str) -> None:
    model = load_model("PP-YOLOE-S_human", MODELS / "tiny_det" / form, kind="detector")
    metadata = model.metadata
    assert (metadata.kind, metadata.name, metadata.network) == ("detector", "PP-YOLOE-S_human", "PP-YOLOE")
    assert (metadata.input.height, metadata.input.width, metadata.input.interpolation) == (320, 320, "cubic")
    assert [label.id for label in metadata.labels] == ["pedestrian"] and metadata.thresholds == (0.5,)
    assert metadata.card["licence"] == "Apache-2.0"


@pytest.mark.parametrize("form", ["pir", "legacy"])
def test_attributes_folder(form: str) -> None:
    model = load_model(ATTRIBUTES, MODELS / "tiny_cls" / form, kind="attributes")
    assert model.metadata.labels == pa100k.LABELS and model.metadata.groups == pa100k.GROUPS
    assert (model.metadata.input.height, model.metadata.input.width) == (256, 192)
    assert model.metadata.thresholds == (0.5,) * 26


def test_all_forms_of_one_network_are_one_model() -> None:
    """Folder with either graph, and .pdparams: the same numbers, so the same file but for its recipe."""
    pir, legacy = (load_model(ATTRIBUTES, MODELS / "tiny_cls" / form) for form in ("pir", "legacy"))
    weights = load_model(ATTRIBUTES, MODELS / "tiny_cls/tiny_cls.pdparams")
    assert pir.model_bytes == legacy.model_bytes == weights.model_bytes


def test_pdparams_gets_the_official_recipe() -> None:
    model = load_model("my_detector", MODELS / "tiny_det/tiny_det.pdparams")
    assert model.metadata.kind == "detector" and model.metadata.name == "my_detector"
    assert (model.metadata.input.height, model.metadata.input.width) == (640, 640)
    assert "licence" not in model.metadata.card


def test_onnx_file_and_folder_with_one_file(tmp_path: Path) -> None:
    made = load_model(ATTRIBUTES, TINY_CLASSIFIER)
    (tmp_path / "mine.onnx").write_bytes(made.model_bytes)
    for path in (tmp_path / "mine.onnx", tmp_path):
        model = load_model("any name", path)
        assert model.model_bytes == made.model_bytes and model.metadata.name == ATTRIBUTES


def test_second_load_comes_from_the_cache(tmp_path: Path) -> None:
    first = load_model(ATTRIBUTES, TINY_CLASSIFIER)
    assert len(list((tmp_path / "home/converted").iterdir())) == 1
    again = load_model(ATTRIBUTES, TINY_CLASSIFIER)
    assert again.model_bytes == first.model_bytes and again.metadata.labels == first.metadata.labels
    copied = tmp_path / "copy"
    shutil.copytree(TINY_CLASSIFIER, copied)
    assert load_model(ATTRIBUTES, copied).source == str(copied)
    assert len(list((tmp_path / "home/converted").iterdir())) == 1


def test_changed_weights_are_another_model(tmp_path: Path) -> None:
    path = tmp_path / "m.pdparams"
    path.write_bytes(attribute_pdparams(1))
    first = load_path(path, name="mine").model_bytes
    path.write_bytes(attribute_pdparams(2))
    assert load_path(path, name="mine").model_bytes != first


def test_folder_of_another_official_model() -> None:
    error = refused("PP-YOLOE-L_human", TINY_DETECTOR)
    assert error.name == "model_mismatch" and "PP-YOLOE-S_human" in error.message


def test_model_of_the_other_kind() -> None:
    error = refused("mine", TINY_CLASSIFIER, kind="detector")
    assert error.name == "model_mismatch" and "an attribute model" in error.message
    assert refused("mine", MODELS / "tiny_det/tiny_det.pdparams", kind="attributes").name == "model_mismatch"


def test_nothing_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none", Path("nul\0byte"), Path("x" * 5000)):
        assert refused("mine", path).name == "model_missing"
    (tmp_path / "empty").mkdir()
    error = refused("mine", tmp_path / "empty")
    assert error.name == "model_missing" and "inference.pdiparams" in error.message


def test_something_else(tmp_path: Path) -> None:
    for name, data, expected in (
        ("a.zip", b"PK\3\4", "model_unsupported"),
        ("a.tar", b"x", "model_unsupported"),
        ("a.onnx", b"\x08", "model_corrupt"),
        ("a.pdparams", b"<html>", "model_corrupt"),
    ):
        (tmp_path / name).write_bytes(data)
        assert refused("mine", tmp_path / name).name == expected


def test_foreign_weights(tmp_path: Path) -> None:
    path = tmp_path / "m.pdparams"
    path.write_bytes(pickle.dumps({"layer.weight": np.zeros((2, 2), np.float32)}, protocol=4))
    error = refused("mine", path)
    assert error.name == "model_mismatch" and "layer.weight" in error.message and error.input == str(path)


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    weights = pickle.loads(attribute_pdparams())  # our own bytes, made a moment ago
    weights["fc.bias"][3] = np.nan
    path = tmp_path / "m.pdparams"
    path.write_bytes(pickle.dumps(weights, protocol=4))
    assert refused("mine", path).name == "model_not_finite"


def test_labels_of_an_own_attribute_set() -> None:
    labels = labels_from_texts(("Hat(帽子)", "Helmet", "Vest(反光背心)", "helmet"))
    assert [label.id for label in labels] == ["hat", "helmet", "vest", "helmet_2"]
    assert labels[0] == pa100k.LABELS[0] and labels[2].zh == "反光背心"


def test_own_number_of_labels() -> None:
    shapes = pplcnet.parameter_shapes(pplcnet.Architecture(scale=0.25, num_classes=5), deploy=False)
    weights = {name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()}
    metadata = read_onnx(convert(weights, name="mine")).metadata
    assert [label.id for label in metadata.labels] == [f"label_{i}" for i in range(5)]


def test_unknown_name() -> None:
    with pytest.raises(ModelError) as caught:
        load_model("PP-YOLOE-X_human")
    assert caught.value.name == "model_unknown"


def test_shipped_model_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = catalogue.CatalogueEntry(
        name="not-there", kind="detector", network="PP-YOLOE", input_hw=(32, 32), shipped=True
    )
    monkeypatch.setitem(catalogue.ENTRIES, "not-there", entry)
    with pytest.raises(ModelError) as caught:
        load_model("not-there")
    assert caught.value.name == "model_missing" and "wheel" in caught.value.message


OFFLINE = """
import sys
events = []
sys.addaudithook(lambda event, args: events.append(event) if event.startswith("socket.") else None)
import numpy as np
from passerby import create_pipeline
from {source} import config
results = list(create_pipeline({pipeline}).predict(np.zeros((80, 60, 3), np.uint8)))
assert len(results) == 1
sys.exit(f"sockets: {{events}}" if events else 0)
"""


def run_offline(code: str) -> None:
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, cwd=root, check=False
    )
    assert done.returncode == 0, done.stderr


def test_own_models_open_no_socket() -> None:
    run_offline(OFFLINE.format(source="tests.tiny", pipeline="config()"))


def test_shipped_models_open_no_socket() -> None:
    shipped = resources.files("passerby.models") / "shipped"
    for name in (catalogue.SHIPPED_DETECTOR, catalogue.SHIPPED_ATTRIBUTES):
        if not (shipped / name / f"{name}.onnx").is_file():
            pytest.skip(f"{name} is not packed into this checkout")
    run_offline(OFFLINE.format(source="tests.tiny", pipeline="'pedestrian_attribute_recognition'"))
