# SPDX-License-Identifier: Apache-2.0
"""Pictures a second through the service, beside those of the library, in one run and in turns.

    python -m benchmarks.serving.throughput [--rounds 3] [--seconds 3] [--picture FILE]

The library does what the service is asked for: decode, find, describe, draw, JPEG, base64, JSON. It runs in two
layouts of its threads, and the better one counts. The service gets the same picture from 1, 4 and 16 clients that keep
their connections and ask again at once, as JSON with base64 and as bytes. While 16 clients wait, another process asks
for `/live` twenty times a second. What front and load take of a core is told too.

A round is one turn of each, so a machine that is busy for a while is busy for all; rates are medians over the rounds.
The share of the service is the median of the shares in each round.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from passerby.engines.threads import available_threads

from .client import RECOGNITION, Address, as_base64, connection, recognition, request
from .library_side import LEAST, Library, library, rate_of
from .load import probing
from .payloads import STREET
from .record import Run, milliseconds, options, parser
from .server_process import Served, served

REST_S = 0.5
"""Between turns: for what clients left behind when they went away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way of asking the service."""

    name: str
    content: bytes
    clients: int
    drawn: bool = True
    probed: bool = False


def cases(picture: bytes) -> list[Case]:
    """From the heaviest load to the lightest."""
    drawn = recognition({"image": as_base64(picture)}, keep=True)
    plain = recognition({"image": as_base64(picture), "visualize": False}, keep=True)
    kind = [("Content-Type", "image/jpeg")]
    raw = request("POST", f"{RECOGNITION}?visualize=true", body=picture, headers=kind, keep=True)
    return [
        Case(name="JSON, 16 clients", content=drawn, clients=16, probed=True),
        Case(name="bytes, 16 clients", content=raw, clients=16, probed=True),
        Case(name="JSON, nothing drawn, 16 clients", content=plain, clients=16, drawn=False, probed=True),
        Case(name="JSON, 4 clients", content=drawn, clients=4),
        Case(name="JSON, 1 client", content=drawn, clients=1),
    ]


@dataclass(slots=True)
class Found:
    """Everything measured. Rates by name, one a round; seconds of requests by name; shares of one core."""

    rates: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    live: list[float] = field(default_factory=list)
    live_failed: int = 0
    load_shares: list[float] = field(default_factory=list)
    front_shares: list[float] = field(default_factory=list)


async def ask(address: Address, case: Case, seconds: float, found: Found) -> None:
    """One turn of clients; those still waiting at its end go away.

    Raises:
        RuntimeError: an answer was no result.
    """
    done: list[float] = []
    start = time.monotonic() + min(1.0, seconds / 4)  # until the queue is as full as it will be

    async def client() -> None:
        async with connection(address) as opened:
            while True:
                answer = await opened.ask(case.content)
                if answer.status != 200:
                    raise RuntimeError(f"the service answered {answer.status} {answer.error}")
                if time.monotonic() >= start:
                    done.append(time.monotonic())
                    found.seconds[case.name].append(answer.seconds)

    clients = [asyncio.ensure_future(client()) for _ in range(case.clients)]
    left, finished = start + seconds - time.monotonic(), set()
    while (left > 0 or len(done) < LEAST) and not finished:
        finished, _ = await asyncio.wait(clients, timeout=max(left, 0.1), return_when="FIRST_EXCEPTION")
        left = start + seconds - time.monotonic()
    for task in finished:
        task.result()
    for task in clients:
        task.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    found.rates[case.name].append(rate_of(done))


def service_turn(served: Served, case: Case, seconds: float, found: Found) -> None:
    """One turn of the service, and what it cost the front and us."""
    front = psutil.Process(served.front)
    with ExitStack() as stack:
        probed = stack.enter_context(probing(served.address)) if case.probed else None
        began, ours, theirs = time.monotonic(), time.process_time(), _cpu(front)
        asyncio.run(ask(served.address, case, seconds, found))
        passed = time.monotonic() - began
        if case.probed:
            found.load_shares.append((time.process_time() - ours) / passed)
            found.front_shares.append((_cpu(front) - theirs) / passed)
    if probed is not None:
        found.live += probed.seconds
        found.live_failed += probed.failed
    time.sleep(REST_S)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def measure(libraries: Sequence[Library], service: Served, asked: Sequence[Case], seconds: float, rounds: int) -> Found:
    """All turns of all rounds."""
    found = Found()
    for case in asked:  # connections, caches, and every thread of the workers
        asyncio.run(ask(service.address, case, 1.0, Found()))
    time.sleep(REST_S)
    for number in range(rounds):
        for each in libraries:
            for drawn in (True, False):
                found.rates[library_name(each, drawn)].append(each.rate(seconds, drawn=drawn))
        for case in asked:
            service_turn(service, case, seconds, found)
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return found


def library_name(each: Library, drawn: bool) -> str:
    return each.name if drawn else f"{each.name}, nothing drawn"


def report(run: Run, libraries: Sequence[Library], asked: Sequence[Case], found: Found) -> None:
    """Figures in the order that a reader wants them."""
    best = {}
    for drawn in (True, False):
        names = [library_name(each, drawn) for each in libraries]
        for name in names:
            run.add(f"{name}, pictures/s", statistics.median(found.rates[name]))
        best[drawn] = max(names, key=lambda name: statistics.median(found.rates[name]))
    for case in asked:
        rates = found.rates[case.name]
        run.add(f"service, {case.name}, pictures/s", statistics.median(rates))
        if case.clients == 16:
            shares = [ours / theirs for ours, theirs in zip(rates, found.rates[best[case.drawn]], strict=True)]
            run.add(f"service, {case.name}, % of the library", 100 * statistics.median(shares), ">= 90")
        for share in (0.5, 0.95, 0.99):
            run.add(f"service, {case.name}, p{share * 100:.0f} ms", milliseconds(found.seconds[case.name], share))
    run.add("p50 of /live while 16 clients wait, ms", milliseconds(found.live, 0.5))
    run.add("p99 of /live while 16 clients wait, ms", milliseconds(found.live, 0.99), "< 50", f"of {len(found.live)}")
    run.add("/live without a good answer", found.live_failed, "= 0")
    run.add("front process, % of one core", 100 * statistics.median(found.front_shares))
    run.add(
        "load, % of one core", 100 * statistics.median(found.load_shares), note="it takes that from what it measures"
    )
    run.details["rates"] = dict(found.rates)


def main() -> int:
    made = parser(__doc__, "throughput")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--seconds", type=float, default=3.0, help="of one turn; default %(default)s")
    made.add_argument("--picture", type=Path, default=STREET, help="JPEG to send; default the bundled one")
    arguments = made.parse_args()
    run = Run(
        command="throughput",
        title="Pictures a second through the service and through the library",
        folder=arguments.out,
        options=options(arguments),
    )
    picture, cores = arguments.picture.read_bytes(), available_threads()
    asked = cases(picture)
    with ExitStack() as stack:
        libraries = [
            stack.enter_context(library(picture, arguments.pipeline, threads=threads, engine_threads=cores // threads))
            for threads in ([cores, 1] if cores > 1 else [1])
        ]
        service = stack.enter_context(served(["--quiet"], pipeline=arguments.pipeline, workers=arguments.workers))
        with suppress(KeyboardInterrupt):
            report(run, libraries, asked, measure(libraries, service, asked, arguments.seconds, arguments.rounds))
            run.finish()
            return 0 if run.all_reached else 1
    return 130


if __name__ == "__main__":
    sys.exit(main())
