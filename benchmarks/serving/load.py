# SPDX-License-Identifier: Apache-2.0
"""Many requests at once: a fixed number of clients that wait for their answers, or a fixed rate that waits for nobody.

The second kind shows what a service does when it cannot keep up; the first finds how much it can do. A probe in a
process of its own measures how fast a small path answers meanwhile, so that the load's own work does not count.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .client import Address, NoAnswer, connection, exchange, request
from .payloads import Payload
from .record import milliseconds

LEFT = "left"


@dataclass(frozen=True, slots=True)
class Sent:
    """One request and what became of it.

    Attributes:
        at: seconds since the start of the load.
        name: the payload's.
        wanted: the status it should get.
        status: what it got, None without an answer.
        error: name of the error, or why there is no answer: refused, cut, late, left (we went away ourselves).
        seconds: until the answer or its absence.
        text: the body of an answer of 5xx, to look at.
    """

    at: float
    name: str
    wanted: int
    status: int | None
    error: str
    seconds: float
    text: str = ""


@dataclass(slots=True)
class Load:
    """Requests made so far, and those that could not be made because too many were open."""

    sent: list[Sent] = field(default_factory=list)
    not_made: int = 0

    def answered(self, status: int) -> list[Sent]:
        return [s for s in self.sent if s.status == status]

    def without_answer(self, *reasons: str) -> list[Sent]:
        """Requests without an answer whose client stayed; only for these reasons, if any are given."""
        lost = [s for s in self.sent if s.status is None and s.error != LEFT]
        return [s for s in lost if not reasons or s.error in reasons]

    def counts(self) -> dict[str, int]:
        """How often each outcome came: status and error name."""
        names = Counter(f"{s.status or 'none'} {s.error}".strip() for s in self.sent)
        return dict(sorted(names.items()))

    def p(self, share: float, *, status: int = 200) -> float | None:
        """A percentile of the seconds of answers with this status, ms."""
        return milliseconds([s.seconds for s in self.answered(status)], share)

    def server_faults(self) -> list[Sent]:
        """Answers of 5xx other than 503 and 504."""
        return [s for s in self.sent if s.status is not None and s.status >= 500 and s.status not in (503, 504)]


async def one(address: Address, payload: Payload, load: Load, started: float, *, within: float = 120.0) -> Sent:
    """Make one request and keep what became of it."""
    began = time.monotonic()
    status: int | None = None
    text = ""
    try:
        answer = await exchange(address, payload.content, within=within)
        status, error = answer.status, answer.error
        text = answer.body[:300].decode("utf-8", "replace") if status >= 500 else ""
    except NoAnswer as absent:
        error = absent.reason
    now = time.monotonic()
    sent = Sent(began - started, payload.name, payload.status, status, error, now - began, text)
    load.sent.append(sent)
    return sent


async def leave(address: Address, payload: Payload, load: Load, started: float, *, after: float) -> None:
    """Send a request and go away before its answer."""
    began = time.monotonic()
    error = LEFT
    try:
        async with connection(address) as opened:
            sending = asyncio.ensure_future(opened.send(payload.content))
            await asyncio.sleep(after)
            sending.cancel()
            opened.writer.transport.abort()
    except NoAnswer as absent:
        error = absent.reason
    load.sent.append(Sent(began - started, payload.name, payload.status, None, error, time.monotonic() - began))


async def closed_loop(address: Address, payloads: Sequence[Payload], *, clients: int, seconds: float) -> Load:
    """So many clients, each with its next request when the last is answered."""
    load, started = Load(), time.monotonic()

    async def client(number: int) -> None:
        while time.monotonic() - started < seconds:
            await one(address, payloads[(number + len(load.sent)) % len(payloads)], load, started)

    await asyncio.gather(*(client(n) for n in range(clients)))
    return load


async def open_loop(
    address: Address,
    choose: Callable[[int], Payload],
    *,
    rate: float,
    seconds: float,
    most_open: int = 900,
    leaving: float = 0.0,
    load: Load | None = None,
    seed: int = 0,
) -> Load:
    """So many requests a second, answered or not; returns when every one has its end.

    Args:
        choose: the payload of each number.
        rate: requests a second, at random moments.
        most_open: requests open at once; what would be more is counted in `not_made`.
        leaving: share of clients that go away before the answer.
        load: where to keep what is sent, for those who look while it runs.
    """
    load = Load() if load is None else load
    chance, started, number, due = random.Random(seed), time.monotonic(), 0, 0.0
    tasks: set[asyncio.Task[Any]] = set()
    while (due := due + chance.expovariate(rate)) < seconds:
        await asyncio.sleep(max(0.0, started + due - time.monotonic()))
        if len(tasks) >= most_open:
            load.not_made += 1
            continue
        payload, number = choose(number), number + 1
        if chance.random() < leaving:
            work: Any = leave(address, payload, load, started, after=chance.uniform(0.0, 0.5))
        else:
            work = one(address, payload, load, started)
        task = asyncio.ensure_future(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:
        await asyncio.wait(tasks)
    return load


async def capacity(address: Address, payloads: Sequence[Payload], *, clients: int = 16, seconds: float = 15.0) -> float:
    """Answers with a result a second when so many clients wait; a first second warms up and does not count.

    Raises:
        RuntimeError: nothing was answered.
    """
    await closed_loop(address, payloads, clients=clients, seconds=1.0)
    load = await closed_loop(address, payloads, clients=clients, seconds=seconds)
    good = load.answered(200)
    if not good:
        raise RuntimeError(f"no request got a result: {load.counts()}")
    return len(good) / max(s.at + s.seconds for s in load.sent)


@dataclass(slots=True)
class Probed:
    """What a probe found: seconds of each answer, and how often there was none or another than 200."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    def p(self, share: float) -> float | None:
        return milliseconds(self.seconds, share)


@contextmanager
def probing(address: Address, path: str = "/live", *, every: float = 0.05) -> Iterator[Probed]:
    """A process that asks for a path on a new connection each time, as an orchestrator does, until the block ends."""
    command = [sys.executable, "-m", "benchmarks.serving.load", address[0], str(address[1]), path, str(every)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).resolve().parents[2]
    )
    found = Probed()
    assert process.stdout is not None and process.stdin is not None
    process.stdout.readline()  # it has begun
    try:
        yield found
    finally:
        out, _ = process.communicate(b"", timeout=180)
        content = json.loads(out)
        found.seconds[:], found.failed = content["seconds"], content["failed"]


async def _probe(address: Address, path: str, every: float) -> dict[str, Any]:
    """Ask until our stdin ends."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)
    seconds: list[float] = []
    failed = 0
    print("begun", flush=True)
    while not ended.is_set():
        began = time.monotonic()
        try:
            answer = await exchange(address, request("GET", path), within=30)
            failed += answer.status != 200
            seconds.append(time.monotonic() - began)
        except NoAnswer:
            failed += 1
        with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(ended.wait(), max(0.0, began + every - time.monotonic()))
    return {"seconds": seconds, "failed": failed}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_probe((sys.argv[1], int(sys.argv[2])), sys.argv[3], float(sys.argv[4])))))
