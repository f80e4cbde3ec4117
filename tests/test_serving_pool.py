# SPDX-License-Identifier: Apache-2.0
"""The worker processes of the service: answers, the queue before them, and who may hold what."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import passerby
from passerby.errors import ConfigError, Interrupted, ModelError, ServerError
from passerby.serving.answering import answer as answered_here
from passerby.serving.gate import JobGate, Room, Turns
from passerby.serving.layout import FETCHES
from passerby.serving.pool import WorkerPool
from passerby.serving.settings import ServerSettings

from . import tiny
from .serving_pool import PATIENCE_S, Pool, SlowServer, job, png, running, url_job

STOPS = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs a signal that stops a process")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running(tmp_path_factory.mktemp("pool"), threads=1, queue=4) as pool:
        yield pool


@pytest.fixture
def stopped(pool: Pool) -> Iterator[Pool]:
    """The pool with its one worker stopped: what it is given stays where it is until `go`."""
    os.kill(pool.pool.pids[0], signal.SIGSTOP)
    yield pool
    go(pool)
    pool.until(lambda p: p.waiting == p.running == 0)


def go(pool: Pool) -> None:
    os.kill(pool.pool.pids[0], signal.SIGCONT)


def alone() -> JobGate:
    """A gate that nobody else goes through."""
    return JobGate(computing=Turns(1), fetching=Turns(1), room=Room(1), deadline=time.monotonic() + 60, tell=print)


def street() -> bytes:
    return (Path(passerby.__file__).parent / "assets/street.jpg").read_bytes()


@pytest.mark.parametrize("shipped", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["tiny", "shipped"])
def test_answers_are_those_of_one_thread_in_one_process(tmp_path: Path, shipped: bool) -> None:
    """P5: the same bits, whichever worker and thread a picture comes to; here also with other threads of the engine."""
    asked = [job(png(seed), query="visualize=true&details=true") for seed in range(8)]
    asked += [job(street(), content_type="image/jpeg", query="details=true") for _ in range(4)]
    with passerby.create_pipeline(config=None if shipped else tiny.config(), device="cpu") as pipeline:
        settings = ServerSettings()
        expected = [answered_here(one, pipeline, settings, alone()).body for one in asked]
    assert len(set(expected)) == 9
    with running(tmp_path, workers=2, threads=2, **({"pipeline": None} if shipped else {})) as pool:
        replies = [pool.ask(one) for one in asked]
        assert [reply.result(PATIENCE_S).body for reply in replies] == expected


def test_a_worker_tells_what_its_models_can_say(pool: Pool) -> None:
    facts = pool.pool.facts
    with tiny.pipeline() as pipeline:
        assert [row["id"] for row in facts["labels"]] == [label.id for label in pipeline.labels]
    assert facts["labels"][0] == {
        "id": "hat",
        "en": "Hat",
        "zh": "帽子",
        "paddle": "Hat(帽子)",
        "group": "",
        "threshold": 0.5,
        "uncertain": None,
    }
    assert facts["det_threshold"] == 0.35
    assert facts["device"] == "cpu"


def test_a_bad_picture_is_an_answer_and_no_death(pool: Pool) -> None:
    reply = pool.answer(job(b"no picture"))
    assert (reply.status, reply.error) == (422, "image_unknown")
    assert pool.answer(job(png())).status == 200
    assert pool.pool.restarts == 0


@pytest.mark.parametrize(
    ("settings", "kind", "name"),
    [
        ({"pipeline": "nowhere.yaml"}, ConfigError, "config_missing"),
        ({"pipeline": "broken.yaml"}, ModelError, "model_corrupt"),
    ],
)
def test_what_keeps_a_worker_from_starting_is_raised(
    tmp_path: Path, settings: dict[str, str], kind: type[Exception], name: str
) -> None:
    broken = tmp_path / "weights.onnx"
    broken.write_bytes(b"no model at all")
    (tmp_path / "broken.yaml").write_text(json.dumps(tiny.config(model_dir=str(broken))))
    pool = Pool(ServerSettings(pipeline=str(tmp_path / settings["pipeline"]), workers=1))
    try:
        with pytest.raises(kind, match=name):
            pool.do(pool.pool.start()).result(PATIENCE_S)
        assert pool.pool.pids == ()
    finally:
        pool.close()


@STOPS
def test_a_full_queue_refuses_at_once_and_loses_nothing(stopped: Pool) -> None:
    taken = [stopped.ask(job(png(seed))) for seed in range(6)]  # 2 go to the worker, 4 wait
    stopped.until(lambda p: (p.running, p.waiting) == (2, 4))
    with pytest.raises(ServerError, match="overloaded"):
        stopped.answer(job(png()))
    go(stopped)
    assert [reply.result(PATIENCE_S).status for reply in taken] == [200] * 6


@STOPS
def test_the_deadline_is_kept_whatever_the_worker_does(stopped: Pool) -> None:
    late = [stopped.ask(job(png(), seconds=0.5)) for _ in range(4)]
    for reply in late:
        with pytest.raises(ServerError, match="deadline_exceeded"):
            reply.result(PATIENCE_S)
    assert stopped.pool.waiting == 0


@STOPS
def test_what_is_late_or_nobody_waits_for_is_not_begun(stopped: Pool) -> None:
    """Both are at the worker already, behind a picture that computes."""
    with SlowServer(png()) as server:
        server.let_go.set()
        first = stopped.ask(job(png(height=2000, width=2000)))
        stopped.until(lambda p: p.running == 1)
        dropped = stopped.ask(url_job(server.url))
        stopped.until(lambda p: p.running == 2)
        dropped.cancel()
        late = stopped.ask(url_job(server.url, seconds=0.1))
        with pytest.raises(ServerError, match="deadline_exceeded"):
            late.result(PATIENCE_S)
        go(stopped)
        assert first.result(PATIENCE_S).status == 200
        stopped.until(lambda p: p.running == 0)
        assert server.asked == 0


@STOPS
def test_a_cancelled_job_leaves_the_queue(stopped: Pool) -> None:
    taken = [stopped.ask(job(png())) for _ in range(6)]
    stopped.until(lambda p: p.waiting == 4)
    taken[4].cancel()
    stopped.until(lambda p: p.waiting == 3)
    replaced = stopped.ask(job(png()))
    go(stopped)
    assert replaced.result(PATIENCE_S).status == 200


@STOPS
def test_large_bodies_keep_nothing_waiting(tmp_path: Path) -> None:
    """A pipe holds 64 KiB or so: the rest of 32 MiB is written while the worker reads, and it does not."""
    with running(tmp_path, workers=2, threads=1, queue=8) as pool:
        dead, _ = pool.pool.pids
        os.kill(dead, signal.SIGSTOP)
        try:
            large = bytes(32 << 20)
            sent = [pool.ask(job(large)) for _ in range(4)]
            assert pool.answer(job(png())).status == 200
        finally:
            os.kill(dead, signal.SIGCONT)
        assert {reply.result(PATIENCE_S).error for reply in sent} == {"image_unknown"}


def test_slow_urls_hold_neither_compute_nor_slots(tmp_path: Path) -> None:
    with SlowServer(png()) as server:
        allowed = (f"127.0.0.1:{server.port}",)
        with running(tmp_path, threads=1, queue=4, fetch_allow=allowed) as pool:
            away = []
            for total in range(4, FETCHES + 4 + 1, 4):
                away += [pool.ask(url_job(server.url)) for _ in range(4)]
                pool.until(lambda p, n=total: p.waiting == 0 and p.running == n)
            assert pool.answer(job(png())).status == 200
            refused = pool.answer(url_job(server.url))
            assert (refused.status, refused.error) == (503, "overloaded")
            assert server.asked <= FETCHES
            server.let_go.set()
            assert {reply.result(PATIENCE_S).status for reply in away} == {200}


def test_the_front_loads_nothing_that_computes() -> None:
    code = "import sys, passerby.serving.pool; print(*[m for m in ('cv2', 'onnxruntime', 'PIL') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.split() == []


def test_no_job_is_taken_before_the_first_worker_is_warm(tmp_path: Path) -> None:
    pool = Pool(ServerSettings(workers=1))
    try:
        assert not pool.pool.ready
        with pytest.raises(ServerError, match="not_ready"):
            pool.answer(job(png()))
    finally:
        pool.close()


def test_keys_stay_in_the_front() -> None:
    settings = ServerSettings(api_keys=("correct-horse-battery",))
    assert "correct-horse" not in repr(WorkerPool(settings).recipe)


@pytest.mark.parametrize("seconds", [0.2, PATIENCE_S])
@STOPS
def test_a_drain_finishes_what_is_here_or_says_how_much_it_cut(tmp_path: Path, seconds: float) -> None:
    with running(tmp_path, threads=1, queue=4) as pool:
        (pid,) = pool.pool.pids
        os.kill(pid, signal.SIGSTOP)
        try:
            taken = [pool.ask(job(png(seed))) for seed in range(5)]
            pool.until(lambda p: (p.running, p.waiting) == (2, 3))
            drained = pool.do(pool.pool.drain(seconds))
            pool.until(lambda p: not p.ready)
            with pytest.raises(Interrupted):
                pool.answer(job(png()))
            if seconds > 1:
                os.kill(pid, signal.SIGCONT)
                assert drained.result(PATIENCE_S) == 0
                assert [reply.result(PATIENCE_S).status for reply in taken] == [200] * 5
            else:
                assert drained.result(PATIENCE_S) == 5
                for reply in taken:
                    with pytest.raises(Interrupted, match="ending"):
                        reply.result(PATIENCE_S)
        finally:
            os.kill(pid, signal.SIGCONT)
