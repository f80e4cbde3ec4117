# SPDX-License-Identifier: Apache-2.0
"""Workers that die, hang or are left behind: every job is answered, and nothing stays."""

from __future__ import annotations

import concurrent.futures
import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from passerby.errors import Interrupted, ServerError
from passerby.serving.pool import DEATHS
from passerby.serving.settings import ServerSettings

from . import tiny
from .serving_pool import PATIENCE_S, Pool, alive, job, png, running
from .serving_server import tiny_pipeline, until

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs the signals of POSIX")


def slow_png() -> bytes:
    return png(height=3000, width=3000)


def kill_at_work(pool: Pool) -> list[concurrent.futures.Future]:
    """Kill a worker that is busy; its jobs."""
    taken = [pool.ask(job(slow_png())) for _ in range(2)]
    pool.until(lambda p: p.running == 2)
    os.kill(pool.pool.pids[0], signal.SIGKILL)
    return taken


def test_a_killed_worker_is_replaced_and_its_jobs_are_answered(tmp_path: Path) -> None:
    with running(tmp_path, threads=1) as pool:
        before = pool.pool.pids
        taken = kill_at_work(pool)
        waiting = pool.ask(job(png()))
        for reply in taken:
            with pytest.raises(Interrupted, match="ended; try again"):
                reply.result(PATIENCE_S)
        assert waiting.result(PATIENCE_S).status == 200
        assert pool.pool.restarts == 1
        assert not set(before) & set(pool.pool.pids)


def test_a_killed_worker_costs_the_others_nothing(tmp_path: Path) -> None:
    with running(tmp_path, threads=1, workers=2) as pool:
        first, second = pool.pool.pids
        taken = [pool.ask(job(png(seed))) for seed in range(8)]
        pool.until(lambda p: p.running)
        os.kill(first, signal.SIGKILL)
        ends = [reply.exception(PATIENCE_S) for reply in taken]
        assert 1 <= sum(isinstance(end, Interrupted) for end in ends) <= 2
        assert all(end is None or isinstance(end, Interrupted) for end in ends)
        assert second in pool.pool.pids


def test_workers_that_keep_dying_end_the_service(tmp_path: Path) -> None:
    with running(tmp_path, threads=1) as pool:
        failed = pool.do(pool.pool.failed())
        for deaths in range(1, DEATHS):
            os.kill(pool.pool.pids[0], signal.SIGKILL)
            pool.until(lambda p, n=deaths: p.restarts == n and p.pids)
            assert not failed.done()
        waiting = pool.ask(job(png()))
        os.kill(pool.pool.pids[0], signal.SIGKILL)
        assert failed.result(PATIENCE_S).exit_code == 4
        with pytest.raises(Interrupted):
            waiting.result(PATIENCE_S)
        assert not pool.pool.ready


def test_a_hung_worker_is_replaced(tmp_path: Path) -> None:
    with running(tmp_path, threads=1, hung_s=0.2) as pool:
        (hung,) = pool.pool.pids
        os.kill(hung, signal.SIGSTOP)
        with pytest.raises(ServerError, match="deadline_exceeded"):
            pool.answer(job(png(), seconds=0.2))
        pool.until(lambda p: p.restarts == 1)
        assert not alive(hung)
        assert pool.answer(job(png())).status == 200


def test_a_replacement_with_other_models_is_refused(tmp_path: Path) -> None:
    """Answers must not change in the middle of a service because a file did."""
    with running(tmp_path, threads=1) as pool:
        failed = pool.do(pool.pool.failed())
        (tmp_path / "tiny.yaml").write_text(json.dumps(tiny.config(threshold=0.9)), "utf-8")
        os.kill(pool.pool.pids[0], signal.SIGKILL)
        assert failed.result(PATIENCE_S).exit_code == 4
        assert not pool.pool.ready


def test_signals_to_the_whole_group_leave_workers_alone(tmp_path: Path) -> None:
    with running(tmp_path, threads=1) as pool:
        taken = pool.ask(job(slow_png()))
        pool.until(lambda p: p.running == 1)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pool.pool.pids[0], number)
        assert taken.result(PATIENCE_S).status == 200
        assert pool.pool.restarts == 0


@pytest.mark.parametrize("begun", [False, True])
def test_a_start_that_is_called_off_leaves_nothing(tmp_path: Path, begun: bool) -> None:
    pool = Pool(ServerSettings(pipeline=str(tiny_pipeline(tmp_path)), workers=3))
    starting = pool.do(pool.pool.start())
    if begun:
        pool.until(lambda p: len(p.pids) == 3)
    pids = pool.pool.pids
    starting.cancel()
    pool.close()
    assert pool.pool.pids == ()
    assert not [pid for pid in pids if alive(pid)]


FRONT = """
    import asyncio, sys, time
    from passerby.serving.jobs import Job
    from passerby.serving.pool import WorkerPool
    from passerby.serving.settings import ServerSettings

    async def main():
        pool = WorkerPool(ServerSettings(pipeline=sys.argv[1], workers=2, threads=1))
        await pool.start()
        end = time.monotonic() + 60
        jobs = [Job(number=n, log_id="x", content_type="image/png", body=b"?", deadline=end) for n in range(8)]
        tasks = [asyncio.create_task(pool.answer(job)) for job in jobs]
        print(*pool.pids, flush=True)
        {end}

    if __name__ == "__main__":
        asyncio.run(main())
"""


@pytest.mark.parametrize(
    "end", ["await asyncio.sleep(600)", "raise RuntimeError('a bug')", "sys.exit(3)"], ids=["killed", "bug", "exit"]
)
def test_no_worker_outlives_the_front(tmp_path: Path, end: str) -> None:
    """However it ends: killed, or without a word to its pool."""
    script = tmp_path / "front.py"
    script.write_text(textwrap.dedent(FRONT).replace("{end}", end), "utf-8")
    pipeline = tmp_path / "tiny.yaml"
    pipeline.write_text(json.dumps(tiny.config()), "utf-8")
    with (tmp_path / "errors").open("wb") as errors:
        front = subprocess.Popen([sys.executable, str(script), str(pipeline)], stdout=subprocess.PIPE, stderr=errors)
    try:
        assert front.stdout is not None
        pids = [int(word) for word in front.stdout.readline().split()]
        assert len(pids) == 2
        if "sleep" in end:
            front.kill()
        front.wait(PATIENCE_S)
        until(lambda: not [pid for pid in pids if alive(pid)], within=PATIENCE_S)
    finally:
        front.kill()
        front.wait()
        front.stdout.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory where Linux tells it")
def test_memory_stays_flat(tmp_path: Path) -> None:
    """Pictures of twelve sizes over and over: the second hundred needs no more memory than the first."""
    bodies = [png(seed, height=200 + 50 * seed, width=300 + 70 * seed) for seed in range(12)]
    with running(tmp_path, threads=2) as pool:

        def after(count: int) -> list[int]:
            for start in range(0, count, 6):
                asked = [pool.ask(job(bodies[(start + k) % 12], query="visualize=true")) for k in range(6)]
                assert {reply.result(PATIENCE_S).status for reply in asked} == {200}
            gc.collect()
            return [resident(pid) for pid in (os.getpid(), pool.pool.pids[0])]

        before, later = after(96), after(96)
        assert later[0] - before[0] < 8 << 20
        assert later[1] - before[1] < 24 << 20


def resident(pid: int) -> int:
    """Bytes of memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
