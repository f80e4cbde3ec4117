# SPDX-License-Identifier: Apache-2.0
"""The training loop on drawn pictures: what it writes, which weights it keeps, what it does when things go wrong."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from passerby.errors import ArgumentError, DatasetError, EngineError, TrainingError  # noqa: E402
from passerby.networks.torch.pplcnet import PPLCNet  # noqa: E402
from passerby.training.checkpoint import read_checkpoint  # noqa: E402
from passerby.training.distributed import pick_device  # noqa: E402
from passerby.training.loop import train  # noqa: E402
from passerby.training.optimisers import build_optimiser  # noqa: E402
from passerby.training.run_log import Table  # noqa: E402
from passerby.training.schedule import EpochPlan  # noqa: E402
from passerby.training.weights_file import read_tensors  # noqa: E402

from .training_child import DrawnTask, options  # noqa: E402


def quiet(line: str) -> None:
    """Takes the lines of a run that nobody reads."""


def run(output, *, task=None, faults=None, report=quiet, **changed):
    return train(task or DrawnTask(faults=faults or {}), options(**changed), output, report=report)


def final(output):
    """Everything that the last checkpoint of a run holds, in one dict."""
    held = read_checkpoint(output)
    return {f"{group}/{name}": value for group, part in held.tensors.items() for name, value in part.items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_it_learns(tmp_path):
    lines = []
    task = DrawnTask(samples=64)
    result = run(tmp_path, task=task, epochs=10, learning_rate=0.1, ema_decay=0.7, report=lines.append)
    assert result.figures["accuracy"] > 0.7  # guessed it would be a half
    losses = [float(line.split(" total ")[1].split()[0]) for line in lines if " total " in line]
    assert sum(losses[-8:]) < sum(losses[:8]) / 2
    assert result.metric == "accuracy"
    assert (result.epochs, result.steps, result.skipped, result.stopped_early) == (10, 80, 0, False)
    assert lines[0].startswith("begun: 64 samples, 10 epochs of 8 steps, batch 8 x 1 x 1, momentum")
    assert "eta 0:00:" in lines[1]
    assert lines[-1].startswith("done after 10 epochs: best accuracy")
    log = (tmp_path / "train.log").read_text().splitlines()
    assert [line[20:] for line in log] == lines


def test_what_a_run_leaves_behind(tmp_path):
    run(tmp_path, epochs=3)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    boards = {name for name in files if name.startswith("tensorboard/")}
    assert files - boards == {
        "train.log",
        "metrics.csv",
        "best_model/best_model.safetensors",
        "checkpoints/latest.safetensors",
        "checkpoints/previous.safetensors",
    }


def test_the_best_weights_say_what_they_are(tmp_path):
    task = DrawnTask()
    result = run(tmp_path, task=task, epochs=2)
    weights, description = read_tensors(result.best_weights)
    assert description["kind"] == "attributes"
    training = description["training"]
    assert training["figures"] == result.figures
    assert training["data_hash"] == task.data_hash
    assert training["options"]["learning_rate"] == 0.05
    network = PPLCNet(3, scale=0.25)
    network.load_state_dict(weights)
    assert task.evaluate(weights) == result.figures


def test_metrics_are_a_table(tmp_path):
    run(tmp_path, epochs=2)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["event"], row["epoch"], row["step"]) for row in rows] == [
        *(("train", "1", str(step)) for step in (1, 2, 3)),
        ("val", "1", "3"),
        *(("train", "2", str(step)) for step in (4, 5, 6)),
        ("val", "2", "6"),
    ]
    assert float(rows[0]["total"]) == pytest.approx(float(rows[0]["bce"]))
    assert float(rows[0]["images_per_second"]) > 0
    assert float(rows[4]["learning_rate"]) < float(rows[0]["learning_rate"]) == 0.05
    assert rows[0]["accuracy"] == "" != rows[3]["accuracy"]


def test_a_table_goes_on_without_rows_that_come_again(tmp_path):
    table = Table(tmp_path / "metrics.csv")
    table.begin(0)
    for step in (1, 2, 3):
        table.add({"event": "train", "epoch": 1, "step": step, "total": step / 8})
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("train,1,3")  # cut by a kill
    again = Table(tmp_path / "metrics.csv")
    again.begin(2)
    again.add({"event": "val", "epoch": 1, "step": 2, "mA": 0.5})
    assert (tmp_path / "metrics.csv").read_text() == (
        "event,epoch,step,total,mA\ntrain,1,1,0.125,\ntrain,1,2,0.25,\nval,1,2,,0.5\n"
    )


def test_a_new_run_replaces_what_an_earlier_one_said(tmp_path):
    run(tmp_path, epochs=2)
    run(tmp_path, epochs=1)
    assert (tmp_path / "train.log").read_text().count("begun:") == 1
    assert (tmp_path / "metrics.csv").read_text().count("\ntrain,") == 3


def test_options_that_cannot_be_are_refused_together():
    with pytest.raises(ArgumentError, match="bad_argument") as caught:
        options(epochs=0, batch_size=-1, learning_rate=float("nan"), ema_decay=1.0)
    for name in ("epochs is 0", "batch_size is -1", "learning_rate is nan", "ema_decay is 1.0"):
        assert name in str(caught.value)


def test_tensorboard_has_the_same_numbers(tmp_path):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    run(tmp_path, epochs=1)
    (path,) = (tmp_path / "tensorboard").iterdir()
    seen = {}
    for event in loader.EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            seen[value.tag, event.step] = value.tensor.float_val[0]
    with (tmp_path / "metrics.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert seen["train/total", 1] == pytest.approx(float(first["total"]), rel=1e-4)
    assert ("val/accuracy", 3) in seen


def test_without_tensorboard_it_says_so_once(tmp_path, monkeypatch):
    for module in [name for name in sys.modules if name.split(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    lines = []
    run(tmp_path, epochs=2, report=lines.append)
    assert sum("tensorboard is missing" in line for line in lines) == 1
    assert not (tmp_path / "tensorboard").exists()


def test_of_equal_figures_the_later_weights_are_kept(tmp_path):
    result = run(tmp_path, faults={"figures": [0.5, 0.7, 0.7, 0.6]})
    assert (result.best_epoch, result.figures) == (3, {"accuracy": 0.7})
    assert read_tensors(result.best_weights)[1]["training"]["epoch"] == 3


def test_a_figure_that_is_no_number_stands_in_nobodys_way(tmp_path):
    result = run(tmp_path, faults={"figures": [float("nan"), float("nan"), 0.1, float("nan")]})
    assert (result.best_epoch, result.figures) == (3, {"accuracy": 0.1})


def test_it_stops_when_nothing_gets_better(tmp_path):
    result = run(tmp_path, epochs=9, early_stopping=2, faults={"figures": [0.1, 0.5, 0.4, 0.4, 0.9]})
    assert (result.epochs, result.best_epoch, result.stopped_early) == (4, 2, True)
    again = run(tmp_path, epochs=9, early_stopping=2, resume=tmp_path, faults={"figures": [0.9]})
    assert (again.epochs, again.best_epoch, again.stopped_early) == (4, 2, True)


def test_the_last_epoch_is_always_measured(tmp_path):
    task = DrawnTask(faults={"figures": [0.1, 0.2]})
    result = run(tmp_path, task=task, epochs=5, eval_interval=3)
    assert (task.steps, result.best_epoch) == (2, 5)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_workers_change_nothing(tmp_path):
    for workers in (0, 2):
        run(tmp_path / str(workers), epochs=2, workers=workers)
    assert_same(final(tmp_path / "0"), final(tmp_path / "2"))


def test_accumulated_batches_make_one_step(tmp_path):
    """Two batches of 12 give the step of one of 24, where nothing in the network looks at the whole batch."""

    def trained(name, **recipe):
        task = DrawnTask(faults={"still": True})
        task.network.eval()
        task.network.train = lambda mode=True: task.network
        result = run(tmp_path / name, task=task, epochs=1, ema_decay=None, **recipe)
        assert result.steps == 1
        return task.network.state_dict()

    whole = trained("whole", batch_size=24)
    halves = trained("halves", batch_size=12, accumulate=2)
    other = trained("other", batch_size=24, learning_rate=0.06)
    for name, value in whole.items():
        torch.testing.assert_close(halves[name], value, rtol=1e-4, atol=1e-6)
    assert whole["fc.bias"].abs().min() > 1e-4  # it has moved from 0
    torch.testing.assert_close(halves["fc.bias"], whole["fc.bias"], rtol=1e-4, atol=0)
    torch.testing.assert_close(other["fc.bias"], whole["fc.bias"] * 1.2, rtol=1e-3, atol=0)


def test_a_loss_that_is_not_finite_leaves_the_step_out(tmp_path):
    lines = []
    result = run(tmp_path, faults={"nan": [[0, 1], [2, 0]]}, report=lines.append)
    assert result.skipped == 2
    told = [line for line in lines if "not finite" in line]
    assert len(told) == 2
    assert "step 2, learning rate 0.0491, batch " in told[0]
    assert ".png" in told[0]
    assert all(torch.isfinite(value).all() for value in final(tmp_path).values())


def test_a_step_left_out_changes_nothing(tmp_path):
    class Watched(DrawnTask):
        def batch(self, place, rows):
            seen[tuple(place)] = {name: value.clone() for name, value in self.network.state_dict().items()}
            return super().batch(place, rows)

    seen = {}
    run(tmp_path, task=Watched(faults={"nan": [[0, 1]]}), epochs=1)
    for name, value in seen[0, 2].items():  # also the running statistics, which had the NaN in them
        assert torch.equal(value, seen[0, 1][name]), name
    assert not torch.equal(seen[0, 1]["conv1.conv.weight"], seen[0, 0]["conv1.conv.weight"])


def test_the_third_in_a_row_ends_the_run_and_the_last_checkpoint_is_good(tmp_path):
    nan = [[2, 1], [2, 2], [3, 0]]
    with pytest.raises(TrainingError, match="loss_not_finite") as caught:
        run(tmp_path, faults={"nan": nan})
    assert "step 10" in str(caught.value)
    assert "learning rate" in str(caught.value)
    assert ".png" in str(caught.value)
    assert all(torch.isfinite(value).all() for value in final(tmp_path).values())
    result = run(tmp_path, resume=tmp_path)
    assert (result.epochs, result.skipped) == (4, 2)


def test_a_gradient_that_is_not_finite_leaves_the_step_out(tmp_path):
    class Steep(DrawnTask):
        def loss(self, batch, *, progress):
            losses = super().loss(batch, progress=progress)
            if 0 < progress < 0.1:
                losses["total"] = losses["total"] + (self.network.fc.bias.sum() * 0).sqrt()  # finite, slope infinite
            return losses

    result = run(tmp_path, task=Steep())
    assert result.skipped == 1
    assert all(torch.isfinite(value).all() for value in final(tmp_path).values())


def test_a_corrupt_picture_is_named_once_and_left_out(tmp_path):
    lines = []
    result = run(tmp_path, task=DrawnTask(samples=120, faults={"corrupt": [5]}), batch_size=40, report=lines.append)
    assert result.left_out == {"5.png": "image_truncated: drawn so"}
    assert sum("5.png" in line for line in lines) == 1
    assert result.steps == 12


def test_more_than_one_percent_corrupt_ends_the_run(tmp_path):
    with pytest.raises(DatasetError, match="dataset_invalid: 2 of 120 training pictures") as caught:
        run(tmp_path, task=DrawnTask(samples=120, faults={"corrupt": [5, 9]}), batch_size=40)
    assert "5.png" in str(caught.value)
    assert "9.png" in str(caught.value)


def test_a_batch_without_pictures_takes_no_step(tmp_path):
    corrupt = EpochPlan(samples=200, batch_size=2).rows(0, 3)
    result = run(tmp_path, task=DrawnTask(samples=200, faults={"corrupt": corrupt}), batch_size=2, epochs=1)
    assert (result.steps, result.skipped) == (100, 0)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[2]["total"] != "", rows[3]["total"]) == (True, "")


def test_an_error_in_a_worker_keeps_its_name(tmp_path):
    class Broken(DrawnTask):
        def batch(self, place, rows):
            if place.number == 1:
                raise DatasetError("dataset_invalid", "no such picture", input="7.png")
            return super().batch(place, rows)

    with pytest.raises(DatasetError, match=r"dataset_invalid: no such picture: 7\.png"):
        run(tmp_path, task=Broken())


def test_bfloat16_trains(tmp_path):
    result = run(tmp_path, amp=True, epochs=2)
    assert np.isfinite(result.figures["accuracy"])
    assert {value.dtype for name, value in final(tmp_path).items() if name.startswith("network/")} == {torch.float32}


def test_adamw_and_clipping_train_and_resume(tmp_path):
    recipe = {"optimiser": "adamw", "clip_norm": 0.5, "learning_rate": 0.003, "warmup_steps": 2}
    run(tmp_path / "whole", **recipe)
    with pytest.raises(TrainingError):
        run(tmp_path / "half", faults={"nan": [[2, 0], [2, 1], [2, 2]]}, **recipe)
    run(tmp_path / "half", resume=tmp_path / "half/checkpoints/latest.safetensors", **recipe)
    assert_same(final(tmp_path / "whole"), final(tmp_path / "half"))


def test_what_is_frozen_stays(tmp_path):
    task = DrawnTask()
    for parameter in task.network.blocks2.parameters():
        parameter.requires_grad_(False)
    before = {name: value.clone() for name, value in task.network.named_parameters()}
    run(tmp_path, task=task, epochs=1)
    for name, value in task.network.named_parameters():
        assert torch.equal(value, before[name]) == name.startswith("blocks2."), name


def test_scales_and_shifts_are_not_decayed():
    network = PPLCNet(3, scale=0.25)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    for optimiser, biases in (("momentum", True), ("adamw", False)):
        decayed, plain = build_optimiser(network, options(optimiser=optimiser)).param_groups
        assert (decayed["weight_decay"], plain["weight_decay"]) == (5e-4, 0)
        found = {names[id(parameter)] for parameter in plain["params"]}
        norms = {name for name in names.values() if ".bn." in name}
        others = {name for name in names.values() if name.endswith(".bias") and ".bn." not in name}
        assert found == (norms if biases else norms | others)
        assert len(decayed["params"]) + len(plain["params"]) == len(names)


def test_a_longer_warm_up_than_the_run_reaches_its_peak(tmp_path):
    run(tmp_path, epochs=2, warmup_steps=1000)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(file) if row["event"] == "train"]
    assert max(rates) == 0.05


def test_devices_by_their_names():
    assert pick_device("cpu") == torch.device("cpu")
    with pytest.raises(ArgumentError, match="bad_device_name"):
        pick_device("gpv:0")
    with pytest.raises(EngineError, match="torchrun --nproc_per_node=4"):
        pick_device("gpu:0,1,2,3")
    with pytest.raises(EngineError, match="device_unavailable"):
        pick_device("npu:0")
    if not torch.cuda.is_available():
        assert pick_device("auto") == torch.device("cpu")
        with pytest.raises(EngineError, match="device_unavailable: this PyTorch sees 0 GPUs"):
            pick_device("gpu:0")
