# SPDX-License-Identifier: Apache-2.0
"""S8: a thousand slow or idle connections of each kind: does a real request still get its answer, and do they go?

    python -m benchmarks.serving.slow_clients --connections 1000

silent   connected, nothing sent.            kept      one request answered, then nothing.
header   a letter of a header a second.      body      a complete head, then a byte of the body a second.
reader   asks for a large file many times and reads nothing.      crowd     half as many again, silent: over the bound.

While they stand, real requests are made one after the other; afterwards no new ones come and we wait until the
service has let all of them go (its open files are back where they were).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from . import payloads
from .client import RECOGNITION, Address, NoAnswer, exchange, request
from .record import Run, milliseconds, options, parser
from .server_process import Served, raise_file_limit, served

KINDS = ("silent", "kept", "header", "body", "reader", "crowd")
CROWD = 1.5
PIPELINED = 30
TIME_FLAGS = ("header-time", "body-time", "write-time", "idle-time")
AIM_MS = 2000
GONE_S = 60
"""Every bound of the service is at most 30 seconds, so a minute is long enough for any of them."""

_HEAD = b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
FIRST = {
    "silent": b"",
    "crowd": b"",
    "kept": request("GET", "/live", keep=True),
    "header": b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
    "body": _HEAD % RECOGNITION.encode(),
    "reader": request("GET", "/page/street.jpg", keep=True) * PIPELINED,
}
DRIP = {"header": b"a", "body": b" "}


@dataclass(slots=True)
class Crowd:
    """Slow connections of one kind; they send what their kind sends and never read."""

    kind: str
    open: list[socket.socket] = field(default_factory=list)
    refused: int = 0

    async def connect(self, address: Address, count: int) -> None:
        """Open the connections, a few at a time so that the queue of the listening socket holds them."""
        loop = asyncio.get_running_loop()
        for number in range(count):
            made = socket.socket()
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            made.setblocking(False)
            try:
                await loop.sock_connect(made, address)
                await loop.sock_sendall(made, FIRST[self.kind])
                self.open.append(made)
            except OSError:
                self.refused += 1
                made.close()
            if number % 20 == 19:
                await asyncio.sleep(0.002)

    def drip(self) -> None:
        """One more byte on each, where the kind sends any."""
        if self.kind in DRIP:
            for held in self.open:
                with contextlib.suppress(OSError):
                    held.send(DRIP[self.kind])

    def close(self) -> None:
        for held in self.open:
            held.close()
        self.open.clear()


async def real_requests(address: Address, *, seconds: float, answers: list[float], failed: list[str]) -> None:
    """A real request after the other until the time is over; keeps seconds and failures."""
    end = time.monotonic() + seconds
    content = payloads.seed_request()
    while time.monotonic() < end:
        try:
            answer = await exchange(address, content, within=30)
            answers.append(answer.seconds)
            if answer.status != 200:
                failed.append(f"{answer.status} {answer.error}")
        except NoAnswer as absent:
            failed.append(absent.reason)
        await asyncio.sleep(0.02)


async def one_kind(run: Run, service: Served, kind: str, *, count: int, seconds: float) -> None:
    """Connections of one kind: real requests beside them, then how long until all are gone."""
    files, (memory, _) = service.open_files()[0], service.rss_mb()
    crowd = Crowd(kind)
    answers: list[float] = []
    failed: list[str] = []
    began, dripping = time.monotonic(), asyncio.ensure_future(_drip(crowd))
    try:
        await crowd.connect(service.address, int(count * CROWD) if kind == "crowd" else count)
        most_files = service.open_files()[0] - files
        await real_requests(service.address, seconds=seconds, answers=answers, failed=failed)
        growth = service.rss_mb()[0] - memory
        gone = await all_gone(service, files, began)
        made = len(crowd.open)
    finally:
        dripping.cancel()
        crowd.close()
    run.add(f"{kind}: connections made", made, "", f"{most_files} held at once, {crowd.refused} refused")
    run.add(f"{kind}: p99 of a real request, ms", milliseconds(answers, 0.99), f"<= {AIM_MS}", f"{len(answers)} made")
    run.add(f"{kind}: real requests without a result", len(failed), "= 0", ", ".join(sorted(set(failed))[:5]))
    run.add(f"{kind}: growth of the front, MB", growth)
    run.add(f"{kind}: seconds until all were gone", gone, f"<= {GONE_S}")


async def _drip(crowd: Crowd) -> None:
    while True:
        await asyncio.sleep(1.0)
        crowd.drip()


async def all_gone(service: Served, files: int, began: float) -> float | None:
    """Seconds from the first connection until the front has as few open files as before; None: never in a minute."""
    while service.open_files()[0] > files + 1:
        if time.monotonic() - began > 2 * GONE_S:
            return None
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def slow_clients(arguments: argparse.Namespace, run: Run) -> None:
    """Every kind on one service."""
    flags = ["--quiet", *(w for f in TIME_FLAGS if arguments.times for w in (f"--{f}", str(arguments.times)))]
    with served(flags, pipeline=arguments.pipeline, workers=arguments.workers) as service:
        answers: list[float] = []
        await real_requests(service.address, seconds=min(5.0, arguments.seconds), answers=answers, failed=[])
        run.add("alone: p99 of a real request, ms", milliseconds(answers, 0.99), "", f"{len(answers)} made")
        for kind in arguments.kinds:
            await one_kind(run, service, kind, count=arguments.connections, seconds=arguments.seconds)
            await _at_rest(service)


async def _at_rest(service: Served) -> None:
    """Until the service answers again; a kind must not spoil the next one's figures."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(NoAnswer):
            if (await exchange(service.address, request("GET", "/live"), within=5)).status == 200:
                return
        await asyncio.sleep(0.1)


def main(words: Sequence[str] | None = None) -> Run:
    """The command."""
    made = parser(__doc__, "slow_clients")
    made.add_argument("--connections", type=int, default=1000, help="of each kind; default %(default)s")
    made.add_argument("--seconds", type=float, default=8.0, help="of real requests beside them; default %(default)s")
    made.add_argument("--times", type=float, help="the service's bounds in seconds; default its own, 10 to 30")
    made.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="default all")
    arguments = made.parse_args(words)
    raise_file_limit()
    run = Run(command="slow_clients", title="S8: slow clients", folder=arguments.out, options=options(arguments))
    asyncio.run(slow_clients(arguments, run))
    run.finish()
    return run


if __name__ == "__main__":
    main()
