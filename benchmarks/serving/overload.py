# SPDX-License-Identifier: Apache-2.0
"""R14: five times the capacity, clients that leave, a killed worker, SIGTERM under load: is any request left alone?

    python -m benchmarks.serving.overload --seconds 20

A request counts as left alone when its client stayed, a connection was made, and no whole answer came. Connections
refused after SIGTERM are counted apart: nobody took that request. `/live` is asked meanwhile by a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from typing import Any

from . import payloads
from .client import Address, NoAnswer, exchange, request
from .load import Load, capacity, one, open_loop, probing
from .payloads import Payload
from .record import Run, options, parser, percentile
from .server_process import Served, served

LEAVING = 0.1
DRAIN_S = 30
BURST, BURST_S = 400, 0.2


def choose(number: int) -> Payload:
    """Good requests in turn."""
    return payloads.in_turn(payloads.good(), number)


def share(part: int, whole: int) -> float:
    """A share in percent, 0 of nothing."""
    return 100 * part / whole if whole else 0.0


async def too_much(run: Run, service: Served, most: float, seconds: float) -> None:
    """Five times the capacity, one client in ten leaves."""
    files = service.open_files()[0]
    rate = 5 * most
    with probing(service.address) as live:
        load = await open_loop(service.address, choose, rate=rate, seconds=seconds, leaving=LEAVING)
    with probing(service.address) as quiet:
        await asyncio.sleep(min(3.0, seconds))
    stayed = [s for s in load.sent if s.error != "left"]
    run.add("5 x capacity: requests made a second", len(load.sent) / seconds, "", f"meant: {rate:.1f}")
    run.add("5 x capacity: requests without an answer", len(load.without_answer()), "= 0", f"of {len(stayed)}")
    run.add("5 x capacity: clients that left", len(load.sent) - len(stayed))
    run.add("5 x capacity: answered 503, %", share(len(load.answered(503)), len(stayed)))
    in_time = [s for s in load.answered(200) if s.at + s.seconds <= seconds]
    run.add("5 x capacity: results a second", len(in_time) / seconds, "", f"capacity: {most:.1f}")
    run.add("5 x capacity: answers of 5xx other than 503 and 504", len(load.server_faults()), "= 0")
    refusals = percentile([s.seconds * 1000 for s in load.answered(503)], 0.99)
    run.add("5 x capacity: p99 of a 503, ms", refusals)
    run.add("5 x capacity: p99 of a result, ms", load.p(0.99))
    run.add("5 x capacity: p99 of /live, ms", live.p(0.99), "< 50", f"{len(live.seconds)} asked, {live.failed} failed")
    run.add("5 x capacity: largest of /live, ms", live.p(1.0))
    run.add("at rest: p99 of /live, ms", quiet.p(0.99))
    run.details["5 x capacity"] = {"outcomes": load.counts(), "not_made": load.not_made}
    recovered = await seconds_until_answered(service.address)
    run.add("after it: seconds until a request gets a result", recovered)
    run.add("after it: open files of the front over before", await settled(service, files), "<= 2")


async def seconds_until_answered(address: Address, *, within: float = 60.0) -> float | None:
    """How long until an ordinary request gets its result."""
    started = time.monotonic()
    while time.monotonic() - started < within:
        try:
            if (await exchange(address, choose(2).content)).status == 200:
                return time.monotonic() - started
        except NoAnswer:
            pass
        await asyncio.sleep(0.05)
    return None


async def settled(service: Served, before: int, *, within: float = 40.0) -> int:
    """Open files of the front over those before, when they have come down or time is over."""
    end = time.monotonic() + within
    while (over := service.open_files()[0] - before) > 0 and time.monotonic() < end:
        await asyncio.sleep(0.1)
    return over


async def killed_worker(run: Run, service: Served, most: float, seconds: float) -> None:
    """SIGKILL to a worker in the middle of a load a little over the capacity."""
    before = set(service.workers())
    loading = asyncio.ensure_future(open_loop(service.address, choose, rate=1.2 * most, seconds=seconds, seed=1))
    await asyncio.sleep(seconds / 3)
    killed = time.monotonic()
    os.kill(min(before), signal.SIGKILL)
    back = await replaced(service, before, killed)
    load = await loading
    run.add("killed worker: requests without an answer", len(load.without_answer()), "= 0", f"of {len(load.sent)}")
    run.add("killed worker: answered 503, %", share(len(load.answered(503)), len(load.sent)))
    run.add("killed worker: answers of 5xx other than 503 and 504", len(load.server_faults()), "= 0")
    run.add("killed worker: seconds until a new one has answered", back)
    run.details["killed worker"] = {"outcomes": load.counts(), "not_made": load.not_made}


async def replaced(service: Served, before: set[int], killed: float, *, within: float = 60.0) -> float | None:
    """Seconds from the kill until there is a new worker, /ready says so and a request has its result."""
    while time.monotonic() - killed < within:
        if len(service.workers()) == len(before) and set(service.workers()) - before:
            try:
                if (await exchange(service.address, request("GET", "/ready"))).status == 200 and (
                    await exchange(service.address, choose(2).content)
                ).status == 200:
                    return time.monotonic() - killed
            except NoAnswer:
                pass
        await asyncio.sleep(0.05)
    return None


async def ended(run: Run, service: Served, most: float, seconds: float) -> None:
    """SIGTERM in the middle of twice the capacity; clients go on trying."""
    load = Load()
    loading = asyncio.ensure_future(
        open_loop(service.address, choose, rate=2 * most, seconds=seconds, load=load, seed=2)
    )
    await asyncio.sleep(seconds / 2)
    small, at = Load(), time.monotonic()
    bursting = asyncio.ensure_future(burst(service.address, small))
    await asyncio.sleep(BURST_S / 2)
    at = seconds / 2 + time.monotonic() - at
    code, drained = await asyncio.get_running_loop().run_in_executor(None, service.stop)
    await asyncio.gather(loading, bursting)
    early = [s for s in load.sent if s.at < at]
    late = [s for s in load.sent if s.at >= at]
    run.add("SIGTERM: requests without an answer, sent before", len(lost(early)), "= 0", f"of {len(early)}")
    run.add("SIGTERM: requests without an answer, connected after", len(lost(late)), "= 0", f"of {len(late)} tried")
    run.add("SIGTERM: connections refused after", len(late) - len([s for s in late if s.error != "refused"]))
    cut = len(lost(small.sent))
    run.add("SIGTERM: small requests cut while the port closed", cut, "= 0", f"of {len(small.sent)} in {BURST_S} s")
    run.add("SIGTERM: answered 503, %", share(len(load.answered(503)), len(load.sent)))
    run.add("SIGTERM: answers of 5xx other than 503 and 504", len(load.server_faults()), "= 0")
    run.add("SIGTERM: seconds to drain", drained, f"<= {DRAIN_S + 2}")
    run.add("SIGTERM: exit code", code, "= 0", "130: some requests were cut")
    run.details["SIGTERM"] = {"outcomes": load.counts(), "not_made": load.not_made}


def lost(sent: list[Any]) -> list[Any]:
    """Those that had a connection and no answer."""
    return Load(sent).without_answer("cut", "late")


async def burst(address: Address, load: Load) -> None:
    """Many small requests in a moment, so that some have connected and are not looked at yet when the port closes."""
    started = time.monotonic()
    live = Payload("live", request("GET", "/live"))
    asked = []
    for _ in range(BURST):
        asked.append(asyncio.ensure_future(one(address, live, load, started)))
        await asyncio.sleep(BURST_S / BURST)
    await asyncio.gather(*asked)


async def overload(arguments: argparse.Namespace, run: Run) -> None:
    """All four on one service, the signal last."""
    seconds = arguments.seconds
    with served(["--quiet"], pipeline=arguments.pipeline, workers=arguments.workers) as service:
        most = await capacity(service.address, payloads.good(), seconds=seconds / 2)
        run.add("capacity, results a second, 16 clients", most)
        await too_much(run, service, most, seconds)
        await killed_worker(run, service, most, seconds)
        await ended(run, service, most, seconds / 2)


def main(words: list[str] | None = None) -> Run:
    """The command."""
    made = parser(__doc__, "overload")
    made.add_argument("--seconds", type=float, default=20.0, help="of each load; default %(default)s")
    arguments = made.parse_args(words)
    run = Run(command="overload", title="R14: overload", folder=arguments.out, options=options(arguments))
    asyncio.run(overload(arguments, run))
    run.finish()
    return run


if __name__ == "__main__":
    main()
