# SPDX-License-Identifier: Apache-2.0
"""R13: many minutes at 80 % of what the service can do, one request in twenty bad: does it grow, slow down or fail?

    python -m benchmarks.serving.soak --minutes 30

Every ten seconds a line with memory, open files, threads and the answers of that time goes to `results/soak.jsonl`,
and the figures are worked out anew once a minute, so that a run that was cut has the figures of what it measured.
Slopes are least-squares lines through what was read after the warm-up (a fifth of the run, at most five minutes).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import random
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from . import payloads
from .load import Load, Sent, capacity, open_loop
from .payloads import Payload
from .record import Run, milliseconds, options, parser
from .server_process import Served, served

BAD_SHARE = 0.05
MB_PER_HOUR = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read at one moment, and the answers since the moment before.

    Attributes:
        at: seconds since the start of the load.
        front_mb, workers_mb: resident memory.
        front_files, workers_files: open files.
        p99_ms: of requests with a result.
    """

    at: float
    front_mb: float
    workers_mb: float
    front_files: int
    workers_files: int
    threads: int
    answers: int
    p99_ms: float | None


def slope(samples: list[tuple[float, float]]) -> tuple[float, float] | None:
    """Least-squares slope an hour of values at seconds, and its standard error; None of less than three.

    >>> slope([(0, 1.0), (1800, 2.0), (3600, 3.0)])
    (2.0, 0.0)
    """
    count = len(samples)
    if count < 3:
        return None
    hours = [at / 3600 for at, _ in samples]
    mean_h, mean_v = sum(hours) / count, sum(v for _, v in samples) / count
    spread = sum((h - mean_h) ** 2 for h in hours)
    if not spread:
        return None
    found = sum((h - mean_h) * (v - mean_v) for h, (_, v) in zip(hours, samples, strict=True)) / spread
    rest = sum((v - mean_v - found * (h - mean_h)) ** 2 for h, (_, v) in zip(hours, samples, strict=True))
    return found, math.sqrt(rest / (count - 2) / spread)


def choose(number: int, *, good: list[Payload], bad: list[Payload]) -> Payload:
    """One in twenty is bad, each kind in turn; the same number always gives the same payload."""
    chance = random.Random(number)
    return chance.choice(bad if chance.random() < BAD_SHARE else good)


class Soak:
    """One run: the samples, and what is counted over all of it."""

    def __init__(self, run: Run, service: Served, *, warm_up: float) -> None:
        self.run, self.service, self.warm_up = run, service, warm_up
        self.samples: list[Sample] = []
        self.outcomes: Counter[str] = Counter()
        self.good_seconds: list[float] = []
        self.faults: list[Sent] = []
        self.wrong: list[Sent] = []
        self.lost = 0
        self.first_workers = set(service.workers())
        self.replaced: set[int] = set()

    def take(self, load: Load, at: float) -> None:
        """Read the processes, count the answers that came and forget them."""
        sent, load.sent[:] = list(load.sent), []
        good = [s.seconds for s in sent if s.status == 200]
        self.good_seconds += good
        self.outcomes.update(f"{s.status or 'none'} {s.error}".strip() for s in sent)
        part = Load(sent)
        self.faults += part.server_faults()
        self.lost += len(part.without_answer())
        self.wrong += [s for s in sent if s.status not in (None, s.wanted, 503, 504)]
        self.replaced |= set(self.service.workers()) - self.first_workers
        sample = Sample(
            round(at, 1),
            *self.service.rss_mb(),
            *self.service.open_files(),
            self.service.threads(),
            len(sent),
            milliseconds(good, 0.99),
        )
        self.samples.append(sample)
        with (self.run.folder / "soak.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(sample)) + "\n")

    def figures(self) -> None:
        """Work out all figures from what there is."""
        add = self.run.add
        after = [s for s in self.samples if s.at >= self.warm_up]
        add("minutes of load", self.samples[-1].at / 60 if self.samples else 0, ">= 30")
        for who, memory, files in (("front", "front_mb", "front_files"), ("workers", "workers_mb", "workers_files")):
            self._slope(f"resident memory of the {who}, MB an hour", after, memory, f"<= {MB_PER_HOUR}")
            self._slope(f"open files of the {who}, an hour", after, files, "")
            read = [getattr(s, files) for s in after]
            quarter = max(1, len(read) // 4)
            # the lowest readings: what is open for a request in the works comes and goes
            change = min(read[-quarter:]) - min(read[:quarter]) if read else None
            add(f"open files of the {who}, last quarter over the first, lowest readings", change, "= 0")
        add("answers", sum(self.outcomes.values()))
        add("p50 of a result, ms", milliseconds(self.good_seconds, 0.5))
        add("p99 of a result, ms", milliseconds(self.good_seconds, 0.99))
        add("requests without an answer", self.lost, "= 0")
        add("answers of 5xx other than 503 and 504", len(self.faults), "= 0")
        add("answers with another status than the request must get, 503 and 504 left out", len(self.wrong), "= 0")
        busy = sum(n for k, n in self.outcomes.items() if k.startswith(("503", "504")))
        add("answers of 503 and 504", busy)
        add("workers that were replaced", len(self.replaced), "= 0")
        self.run.details = {
            "outcomes": dict(sorted(self.outcomes.items())),
            "faults": [asdict(s) for s in self.faults[:20]],
            "wrong": [asdict(s) for s in self.wrong[:20]],
            "warm_up_s": self.warm_up,
            "first_and_last_sample": [asdict(s) for s in (*self.samples[:1], *self.samples[-1:])],
        }

    def _slope(self, name: str, samples: list[Sample], field: str, aim: str) -> None:
        found = slope([(s.at, float(getattr(s, field))) for s in samples])
        if found is None:
            self.run.add(name, None, aim, "fewer than three readings after the warm-up")
        else:
            self.run.add(name, found[0], aim, f"+- {found[1]:.2g}, {len(samples)} readings")


async def soak(arguments: argparse.Namespace, run: Run) -> None:
    """Find the capacity unless it is given, then the long run."""
    seconds = arguments.minutes * 60
    good, bad = payloads.good(), payloads.bad()
    with served(["--quiet"], pipeline=arguments.pipeline, workers=arguments.workers) as service:
        most = arguments.capacity or await capacity(service.address, good, seconds=min(20.0, seconds))
        run.add("capacity, results a second, 16 clients", most)
        run.add("load, requests a second", most * arguments.share)
        warm_up = min(300.0, seconds / 5)
        watch, load, started = Soak(run, service, warm_up=warm_up), Load(), time.monotonic()
        loading = asyncio.ensure_future(
            open_loop(
                service.address,
                lambda number: choose(number, good=good, bad=bad),
                rate=most * arguments.share,
                seconds=seconds,
                load=load,
            )
        )
        every, minute = min(10.0, seconds / 10), 60.0
        with contextlib.suppress(asyncio.CancelledError):
            while not loading.done():
                await asyncio.wait([loading], timeout=every)
                watch.take(load, time.monotonic() - started)
                if time.monotonic() - started > minute:
                    minute += 60.0
                    watch.figures()
            run.add("requests that could not be made, 900 were open", load.not_made, "= 0")
            loading.result()
        watch.figures()
        code, drained = service.stop()
        run.add("exit code after SIGTERM", code, "= 0")
        run.add("seconds from SIGTERM to the end", drained)


def main(words: list[str] | None = None) -> Run:
    """The command."""
    made = parser(__doc__, "soak")
    made.add_argument("--minutes", type=float, default=30.0, help="of load; default %(default)s")
    made.add_argument("--share", type=float, default=0.8, help="of the capacity; default %(default)s")
    made.add_argument("--capacity", type=float, help="results a second; default measured first, 20 seconds")
    arguments = made.parse_args(words)
    run = Run(command="soak", title="R13: soak", folder=arguments.out, options=options(arguments))
    Path(arguments.out).mkdir(parents=True, exist_ok=True)
    (run.folder / "soak.jsonl").write_bytes(b"")
    try:
        asyncio.run(soak(arguments, run))
    except KeyboardInterrupt:
        run.write(complete=False)
        raise SystemExit(130) from None
    run.finish()
    return run


if __name__ == "__main__":
    main()
