# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: whole or refused by name, the one before kept, never of another run."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from passerby.errors import ArgumentError, ModelError, TrainingError  # noqa: E402
from passerby.training.checkpoint import Checkpoint, check_fits, read_checkpoint, save_checkpoint  # noqa: E402
from passerby.training.weights_file import read_tensors, write_tensors  # noqa: E402

TASK = {"kind": "attributes", "network": {"scale": 0.25}, "num_classes": 3}
OPTIONS = {"optimiser": "momentum", "batch_size": 8}


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(
        tensors={
            "network": {"a.weight": torch.full((2, 3), float(step)), "a.bias": torch.arange(3.0)},
            "random": {"cpu": torch.arange(5, dtype=torch.uint8)},
            "optimiser": {"0/step": torch.tensor(float(step))},
        },
        task=TASK,
        data_hash="abc",
        options=OPTIONS,
        state={"epoch": 1, "step": step, "best": {"mA": float("nan")}},
    )


def test_what_is_saved_comes_back(tmp_path):
    path = save_checkpoint(tmp_path, checkpoint(7))
    found = read_checkpoint(path)
    assert found.state == {"epoch": 1, "step": 7, "best": {"mA": None}}
    assert (found.task, found.data_hash, found.options) == (TASK, "abc", OPTIONS)
    for group, held in checkpoint(7).tensors.items():
        for name, value in held.items():
            assert torch.equal(found.tensors[group][name], value)
            assert found.tensors[group][name].dtype == value.dtype


def test_two_are_kept_and_no_more(tmp_path):
    for step in range(4):
        save_checkpoint(tmp_path, checkpoint(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest.safetensors", "previous.safetensors"]
    assert read_checkpoint(tmp_path / "latest.safetensors").state["step"] == 3
    assert read_checkpoint(tmp_path / "previous.safetensors").state["step"] == 2


def test_a_folder_means_its_latest(tmp_path):
    save_checkpoint(tmp_path / "checkpoints", checkpoint(5))
    assert read_checkpoint(tmp_path).state["step"] == 5
    assert read_checkpoint(tmp_path / "checkpoints").state["step"] == 5
    with pytest.raises(ArgumentError, match="bad_argument: there is no checkpoint"):
        read_checkpoint(tmp_path / "elsewhere.safetensors")


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path):
    for step in range(3):
        path = save_checkpoint(tmp_path, checkpoint(step))
    shutil.move(path, tmp_path / "next.safetensors")  # as it is after the first rename and before the second
    assert read_checkpoint(path).state["step"] == 2
    assert read_checkpoint(tmp_path / "previous.safetensors").state["step"] == 1


def test_every_changed_byte_is_noticed(tmp_path):
    """200 places in the file, header and description among them: named, and the previous one offered."""
    save_checkpoint(tmp_path, checkpoint(1))
    path = save_checkpoint(tmp_path, checkpoint(2))
    whole = path.read_bytes()
    places = np.random.default_rng(0).permutation(len(whole))[:200]
    for place in sorted(places):
        changed = bytearray(whole)
        changed[place] ^= 0x20
        path.write_bytes(changed)
        with pytest.raises(TrainingError, match="checkpoint_corrupt") as caught:
            read_checkpoint(path)
        assert str(tmp_path / "previous.safetensors") in (caught.value.hint or ""), place


def test_every_cut_is_noticed(tmp_path):
    path = save_checkpoint(tmp_path, checkpoint(1))
    whole = path.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 50)):
        path.write_bytes(whole[:length])
        with pytest.raises(TrainingError, match=r"checkpoint_corrupt: .*; start again"):
            read_checkpoint(path)
    path.write_bytes(whole + b"more")
    with pytest.raises(TrainingError, match="checkpoint_corrupt"):
        read_checkpoint(path)


def test_a_damaged_previous_one_is_not_offered(tmp_path):
    save_checkpoint(tmp_path, checkpoint(1))
    path = save_checkpoint(tmp_path, checkpoint(2))
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(TrainingError) as caught:
        read_checkpoint(path)
    assert caught.value.hint == "start again from the best weights"


def test_weights_are_no_checkpoint(tmp_path):
    write_tensors(tmp_path / "best_model.safetensors", {"a": torch.ones(2)}, {"kind": "attributes"})
    with pytest.raises(TrainingError, match="checkpoint_corrupt"):
        read_checkpoint(tmp_path / "best_model.safetensors")


def test_a_safetensors_file_of_somebody_else_is_refused(tmp_path):
    from safetensors.torch import save

    (tmp_path / "other.safetensors").write_bytes(save({"a": torch.ones(2)}, {"format": "pt"}))
    with pytest.raises(ModelError, match="model_unsupported"):
        read_tensors(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("task", "data_hash", "options", "says"),
    [
        ({**TASK, "kind": "detector"}, "abc", OPTIONS, "kind is attributes, here it is detector"),
        ({**TASK, "network": {"scale": 1.0}}, "abc", OPTIONS, "network is {'scale': 0.25}"),
        ({**TASK, "num_classes": 4}, "abc", OPTIONS, "num_classes is 3, here it is 4"),
        (TASK, "other", OPTIONS, "other data"),
        (TASK, "abc", {**OPTIONS, "batch_size": 16}, "began with batch_size 8, here it is 16"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, task, data_hash, options, says):
    found = read_checkpoint(save_checkpoint(tmp_path, checkpoint(1)))
    check_fits(found, task=TASK, data_hash="abc", options=OPTIONS)
    with pytest.raises(TrainingError, match="checkpoint_mismatch") as caught:
        check_fits(found, task=task, data_hash=data_hash, options=options)
    assert says in str(caught.value)
