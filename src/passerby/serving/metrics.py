# SPDX-License-Identifier: Apache-2.0
"""What `/metrics` says: counts and times of the service, in Prometheus' format.

Every label has a closed set of values: routes, methods, statuses, machine names of errors, stages. Nothing a client
sent is among them, so that the page grows with the program and not with its users.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from .exchange import Exchange

if TYPE_CHECKING:
    from .access_log import AccessLog
    from .body import Bodies
    from .pool import WorkerPool

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
STAGES = ("parse", "fetch", "decode", "infer", "draw", "encode")
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """All figures of one service. Used by the event loop alone."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series of its own for each: nobody asks for them
        self.registry = CollectorRegistry()
        labels = ("route", "method", "status", "error")
        self._requests = self._counter("requests", "Requests that are over, by what they ended with.", labels)
        self._seconds = self._histogram("request_seconds", "From the request's head to the end of its answer.", "route")
        self._stages = self._histogram("stage_seconds", "Time by stage of answering, seconds.", "stage")
        self._pictures = self._counter("pictures", "Pictures analysed.")
        self._pixels = self._counter("pixels", "Pixels of the pictures analysed.")
        self._persons = self._counter("persons", "Pedestrians found.")
        self._received = self._counter("received_bytes", "Bytes of request bodies read.")
        self._sent = self._counter("sent_bytes", "Bytes of answers' bodies.")
        ProcessCollector(registry=self.registry)

    def _counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(f"passerby_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, label: str) -> Histogram:
        return Histogram(f"passerby_{name}", text, (label,), registry=self.registry, buckets=BUCKETS_S)

    def watch(self, pool: WorkerPool, bodies: Bodies, log: AccessLog) -> None:
        """Read the state of these whenever somebody asks."""
        self.registry.register(_State(pool, bodies, log))

    def count(self, exchange: Exchange) -> None:
        """Count a request that is over."""
        method = exchange.method if exchange.method in METHODS else "other"
        status = "none" if exchange.status is None else str(exchange.status)
        self._requests.labels(exchange.route, method, status, exchange.error or "").inc()
        self._seconds.labels(exchange.route).observe(exchange.seconds)
        self._received.inc(exchange.received)
        self._sent.inc(exchange.sent)
        if exchange.read_s is not None:
            self._stages.labels("read").observe(exchange.read_s)
        reply = exchange.reply
        if reply is not None:
            self._pictures.inc(reply.pictures)
            self._pixels.inc(reply.pixels)
            self._persons.inc(reply.persons)
            # what the stages do not explain is waiting: for a worker, for its turn there, for the way there and back
            waited = exchange.answer_s - sum(reply.seconds.values())
            self._stages.labels("queue").observe(max(0.0, waited))
            for stage in STAGES:
                if stage in reply.seconds:
                    self._stages.labels(stage).observe(reply.seconds[stage])

    def page(self, accept: str) -> tuple[bytes, str]:
        """The figures and their content type, in the format that the Accept header names."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class _State(Collector):
    """Figures that are read when they are asked for."""

    def __init__(self, pool: WorkerPool, bodies: Bodies, log: AccessLog) -> None:
        self._pool = pool
        self._bodies = bodies
        self._log = log

    def collect(self) -> Iterator[Metric]:
        pool = self._pool
        yield _gauge("ready", "1 while requests are answered, 0 while starting or draining.", bool(pool.ready))
        yield _gauge("queue_waiting", "Requests that wait for a worker.", pool.waiting)
        yield _gauge("requests_running", "Requests that workers are at.", pool.running)
        yield _gauge("bodies_bytes", "Bytes of request bodies in memory.", self._bodies.held)
        yield _counter("worker_restarts", "Workers replaced since the start.", pool.restarts)
        yield _counter("log_lines_dropped", "Lines of the log left out because nobody read them.", self._log.dropped)
        yield from _worker_figures(pool.pids)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"passerby_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"passerby_{name}", text, value=value)


def _worker_figures(pids: Iterable[int]) -> Iterator[Metric]:
    """Memory and processor time of the workers together, where the system tells them (Linux)."""
    memory = GaugeMetricFamily(
        "passerby_worker_resident_memory_bytes", "Resident memory of a worker.", labels=["worker"]
    )
    spent = CounterMetricFamily("passerby_worker_cpu_seconds", "Processor time of a worker.", labels=["worker"])
    alive = 0
    for place, pid in enumerate(pids):
        alive += 1
        try:
            # the second field may hold blanks and brackets: the name of the program
            fields = Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()
        except OSError:
            continue
        memory.add_metric([str(place)], float(fields[21]) * os.sysconf("SC_PAGE_SIZE"))
        spent.add_metric([str(place)], (float(fields[11]) + float(fields[12])) / os.sysconf("SC_CLK_TCK"))
    yield _gauge("workers", "Worker processes that are alive.", alive)
    yield memory
    yield spent
