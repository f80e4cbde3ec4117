# SPDX-License-Identifier: Apache-2.0
"""Both real tasks in the loop: cut off in mid-epoch and resumed, they end with the bits of a run that was not."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("pycocotools")

from passerby.datasets.attribute_set import read_attribute_set  # noqa: E402
from passerby.datasets.detection_set import read_detection_set  # noqa: E402
from passerby.datasets.example import write_attribute_example, write_detection_example  # noqa: E402
from passerby.errors import DatasetError  # noqa: E402
from passerby.training.attributes.task import AttributeTask, AttributeTaskOptions  # noqa: E402
from passerby.training.checkpoint import read_checkpoint  # noqa: E402
from passerby.training.detection.task import DetectionTask, DetectionTaskOptions  # noqa: E402
from passerby.training.loop import train  # noqa: E402
from passerby.training.starting_weights import load_starting_weights  # noqa: E402

from .training_child import options  # noqa: E402


@pytest.fixture(scope="module", params=["attributes", "detector"])
def new_task(request, tmp_path_factory):
    """Makes the same task anew."""
    folder = tmp_path_factory.mktemp("drawn") / "data"
    if request.param == "attributes":
        write_attribute_example(folder, count=32)
        data, kind = read_attribute_set(folder), AttributeTask
        recipe = AttributeTaskOptions(scale=0.25, input_hw=(64, 32))
    else:
        write_detection_example(folder, count=16)
        data, kind = read_detection_set(folder), DetectionTask
        recipe = DetectionTaskOptions(depth=0.33, width=0.0625, input_hw=(96, 128), static_assigner_epochs=1)

    def make():
        torch.manual_seed(5)
        return kind(data, recipe)

    return make


def test_cut_off_and_resumed_it_ends_with_the_same_bits(new_task, tmp_path):
    recipe = {"epochs": 3, "batch_size": 4, "learning_rate": 0.01, "warmup_steps": 2, "save_minutes": 0}
    whole = train(new_task(), options(**recipe), tmp_path / "whole", report=lambda line: None)
    task = new_task()
    read = task.batch

    def broken(place, rows):
        if place == (1, 2):
            raise DatasetError("dataset_missing", "the disk went away")
        return read(place, rows)

    task.batch = broken
    with pytest.raises(DatasetError, match="the disk went away"):
        train(task, options(**recipe), tmp_path / "half", report=lambda line: None)
    assert read_checkpoint(tmp_path / "half").state["number"] == 2
    half = train(new_task(), options(resume=tmp_path / "half", **recipe), tmp_path / "half", report=lambda line: None)
    assert half.figures == pytest.approx(whole.figures, nan_ok=True, abs=0)
    one, two = (read_checkpoint(result.checkpoint).tensors for result in (whole, half))
    for group in ("network", "ema", "optimiser", "random"):
        assert one[group].keys() == two[group].keys()
        for name, value in one[group].items():
            assert torch.equal(value, two[group][name]), (group, name)


def test_what_training_kept_is_what_the_next_run_starts_from(new_task, tmp_path):
    recipe = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01}
    result = train(new_task(), options(**recipe), tmp_path, report=lambda line: None)
    task = new_task()
    labels = [label["id"] for label in task.describe()["labels"]]
    report = load_starting_weights(task.network, result.best_weights, labels=labels)
    assert report.left_out == report.new_labels == report.unused == ()
    assert task.evaluate(task.network.state_dict()) == pytest.approx(result.figures, nan_ok=True, abs=1e-6)
