# SPDX-License-Identifier: Apache-2.0
"""Runs that are killed, stopped or run out of disk, as processes of their own, and what becomes of them afterwards.

On the CPU a run that was cut off and resumed ends with the very weights of one that was not.
"""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from passerby.errors import TrainingError  # noqa: E402
from passerby.training.checkpoint import read_checkpoint  # noqa: E402
from passerby.training.loop import train  # noqa: E402
from passerby.training.weights_file import read_tensors  # noqa: E402

from .training_child import DrawnTask, options  # noqa: E402

ROOT = Path(__file__).parents[1]
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def start(output: Path, recipe: dict, faults: dict | None = None) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.training_child", str(output), json.dumps(recipe), json.dumps(faults or {})]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, text=True, start_new_session=True, **pipes)


def wait_for_steps(child: subprocess.Popen, output: Path, steps: int) -> None:
    """Until the run has written so many rows of steps."""
    end = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < end:
        path = output / "metrics.csv"
        if path.exists() and path.read_text().count("train,") >= steps:
            return
        time.sleep(0.005)
    pytest.fail(f"the run ended or hung before step {steps}: {child.communicate(timeout=5)}")


def finish(child: subprocess.Popen, *, seconds: float = 60) -> dict:
    out, err = child.communicate(timeout=seconds)
    return {"code": child.returncode, "err": err, **(json.loads(out.splitlines()[-1]) if out else {})}


def final(output: Path) -> dict:
    held = read_checkpoint(output)
    assert held.state["number"] == 0
    return {f"{group}/{name}": value for group, part in held.tensors.items() for name, value in part.items()}


def rows(output: Path) -> list[dict]:
    """The table of a run without its times."""
    with (output / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "images_per_second"} for row in csv.DictReader(file)]


def assert_same_end(first: Path, second: Path) -> None:
    one, two = final(first), final(second)
    assert one.keys() == two.keys()
    worst = {name: float((one[name].double() - two[name].double()).abs().max()) for name in one}
    assert max(worst.values()) == 0, max(worst, key=worst.get)
    best_one, best_two = (read_tensors(output / "best_model/best_model.safetensors") for output in (first, second))
    assert all(torch.equal(value, best_two[0][name]) for name, value in best_one[0].items())
    assert best_one[1]["training"]["figures"] == best_two[1]["training"]["figures"]
    assert rows(first) == rows(second)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that nothing happened to."""
    output = tmp_path_factory.mktemp("whole")
    train(DrawnTask(), options(), output, report=lambda line: None)
    return output


def resume(output: Path, **recipe) -> None:
    result = train(DrawnTask(), options(resume=output, **recipe), output, report=lambda line: None)
    assert result.epochs == 4


@posix
def test_killed_twice_and_resumed_it_ends_with_the_same_bits(tmp_path, whole):
    child = start(tmp_path, {}, {"slow": 0.05})  # checkpoints at the ends of epochs alone
    wait_for_steps(child, tmp_path, 5)
    child.kill()
    finish(child)
    assert read_checkpoint(tmp_path).state["step"] == 3
    child = start(tmp_path, {"save_minutes": 0, "resume": str(tmp_path)}, {"slow": 0.05})  # after every step
    wait_for_steps(child, tmp_path, 8)
    child.kill()
    finish(child)
    assert 7 <= read_checkpoint(tmp_path).state["step"] < 12
    resume(tmp_path)
    assert_same_end(whole, tmp_path)


@posix
@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_torn(tmp_path, whole):
    """Kills of any moment, also in the middle of writing; temporary files may stay, checkpoints are whole."""
    chance = random.Random(0)
    recipe: dict = {"save_minutes": 0}
    kills = 0
    while kills < 20:
        child = start(tmp_path, recipe)
        time.sleep(chance.uniform(1.5, 3.5))
        child.kill()
        result = finish(child)
        if (tmp_path / "checkpoints").is_dir() and any((tmp_path / "checkpoints").glob("*.safetensors")):
            read_checkpoint(tmp_path)  # raises for a torn one
            recipe["resume"] = str(tmp_path)
        kills += 1
        if result["code"] == 0:
            break
    finish(start(tmp_path, recipe))
    assert_same_end(whole, tmp_path)


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_ends_the_step_and_writes_a_checkpoint(tmp_path, whole, number):
    child = start(tmp_path, {"workers": 2}, {"slow": 0.2, "command_line": True})
    wait_for_steps(child, tmp_path, 4)
    sent = time.monotonic()
    os.killpg(child.pid, number)  # Ctrl-C, `timeout` and systemd mean the workers too
    result = finish(child)
    assert time.monotonic() - sent < 10  # on a quiet machine below 2
    assert (result["code"], result["error"]) == (130, "interrupted")
    state = read_checkpoint(tmp_path).state
    assert 4 <= state["step"] <= 6  # of the step under way, not of the last epoch alone
    resume(tmp_path)
    assert_same_end(whole, tmp_path)


@posix
def test_a_signal_cuts_the_measuring_off(tmp_path, whole):
    child = start(tmp_path, {}, {"slow_evaluation": 30})
    wait_for_steps(child, tmp_path, 3)
    time.sleep(0.2)
    sent = time.monotonic()
    child.send_signal(signal.SIGTERM)
    result = finish(child)
    assert time.monotonic() - sent < 10  # on a quiet machine below 2
    assert (result["code"], result["error"]) == (130, "interrupted")
    state = read_checkpoint(tmp_path).state
    assert (state["epoch"], state["number"], state["best"]) == (0, 3, None)
    resume(tmp_path)
    assert_same_end(whole, tmp_path)


@posix
@pytest.mark.slow
def test_a_second_signal_ends_it_at_once(tmp_path):
    child = start(tmp_path, {}, {"slow": 5, "command_line": True})
    end = time.monotonic() + 30
    while not (tmp_path / "train.log").exists() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.3)  # in the middle of preparing a batch
    child.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert child.poll() is None
    sent = time.monotonic()
    child.send_signal(signal.SIGINT)
    finish(child)
    assert child.returncode != 0
    assert time.monotonic() - sent < 4


@posix
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, whole):
    with pytest.raises(TrainingError, match="loss_not_finite"):
        train(DrawnTask(faults={"nan": [[1, 0], [1, 1], [1, 2]]}), options(), tmp_path, report=lambda line: None)
    size = (tmp_path / "checkpoints/latest.safetensors").stat().st_size
    before = (tmp_path / "checkpoints/latest.safetensors").read_bytes()
    result = finish(start(tmp_path, {"resume": str(tmp_path)}, {"file_bytes": size - 1000}))
    assert (result["code"], result["error"]) == (5, "output_full")
    assert not (tmp_path / "checkpoints/next.safetensors").exists()
    assert (tmp_path / "checkpoints/latest.safetensors").read_bytes() == before
    assert not list(tmp_path.rglob(".passerby-*"))
    resume(tmp_path)
    assert_same_end(whole, tmp_path)


def test_resuming_with_another_recipe_is_refused_by_name(tmp_path, whole):
    for changed, says in (
        ({"batch_size": 4}, "batch_size 8, here it is 4"),
        ({"optimiser": "adamw"}, "optimiser momentum, here it is adamw"),
        ({"seed": 3}, "seed 0, here it is 3"),
        ({"ema_decay": None}, "averaged True, here it is False"),
    ):
        with pytest.raises(TrainingError, match="checkpoint_mismatch") as caught:
            train(DrawnTask(), options(resume=whole, **changed), tmp_path, report=lambda line: None)
        assert says in str(caught.value)
    for task, says in ((DrawnTask(labels=4), "num_classes is 3"), (DrawnTask(samples=25), "other data")):
        with pytest.raises(TrainingError, match="checkpoint_mismatch") as caught:
            train(task, options(resume=whole), tmp_path, report=lambda line: None)
        assert says in str(caught.value)


def test_more_epochs_go_on_where_the_run_ended_also_elsewhere(tmp_path, whole):
    result = train(DrawnTask(), options(epochs=5, resume=whole), tmp_path, report=lambda line: None)
    assert (result.epochs, result.steps) == (5, 15)
    assert result.best_weights.is_file()
    done = train(DrawnTask(), options(epochs=4, resume=whole), tmp_path / "again", report=lambda line: None)
    assert (done.epochs, done.steps) == (4, 12)
    kept = read_tensors(tmp_path / "again/best_model/best_model.safetensors")[1]["training"]["figures"]
    assert kept == done.figures


def together(output: Path, recipe: dict, faults: dict | None = None) -> list[dict]:
    """A run in two processes, and what each of them said at its end."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0"]
    command += ["--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0", "-m", "tests.training_child"]
    command += [str(output), json.dumps(recipe), json.dumps(faults or {})]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert (done.returncode == 0) == (not faults), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@posix
@pytest.mark.slow
def test_two_processes_learn_one_network_and_resume(tmp_path):
    said = together(tmp_path / "whole", {"batch_size": 4})
    assert [part["epochs"] for part in said] == [4, 4]
    assert said[0]["weights"] == said[1]["weights"]
    assert read_checkpoint(tmp_path / "whole").state["step"] == 12  # 24 samples in steps of 2 x 4
    broken = together(tmp_path / "half", {"batch_size": 4}, {"nan": [[2, 0], [2, 1], [2, 2]]})
    assert [part["error"] for part in broken] == ["loss_not_finite"] * 2
    said = together(tmp_path / "half", {"batch_size": 4, "resume": str(tmp_path / "half")})
    assert said[0]["weights"] == said[1]["weights"]
    assert_same_end(tmp_path / "whole", tmp_path / "half")
    with pytest.raises(TrainingError, match="checkpoint_mismatch"):
        train(DrawnTask(), options(batch_size=4, resume=tmp_path / "half"), tmp_path, report=lambda line: None)
