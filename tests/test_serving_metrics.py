# SPDX-License-Identifier: Apache-2.0
"""What `/metrics` counts, and that nothing a client sends gets into it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import httpx
import pytest

from .conftest import CORPUS
from .serving_server import Server, running, until

parser = pytest.importorskip("prometheus_client.parser")

INFER = "/pedestrian-attribute-recognition"
PICTURE = (CORPUS / "image/jpeg_baseline.jpg").read_bytes()
JPEG = {"Content-Type": "image/jpeg"}
MARK = "SECRETMARK"
Sample = tuple[str, tuple[tuple[str, str], ...]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


def samples(server: Server) -> dict[Sample, float]:
    text = httpx.get(server.url + "/metrics", timeout=60).text
    families = parser.text_string_to_metric_families(text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def requests(status: str, error: str = "", *, method: str = "POST", route: str = INFER) -> Sample:
    labels = {"route": route, "method": method, "status": status, "error": error}
    return "passerby_requests_total", tuple(sorted(labels.items()))


def test_what_a_request_adds(server: Server) -> None:
    before = samples(server)
    answer = httpx.post(server.url + INFER, content=PICTURE, headers=JPEG, timeout=60)
    persons = len(answer.json()["result"]["pedestrians"])
    wrong = httpx.post(server.url + INFER, content=PICTURE, headers={"Content-Type": "text/plain"}, timeout=60)
    assert (answer.status_code, wrong.status_code) == (200, 415)
    until(lambda: samples(server).get(requests("415", "unsupported_media_type"), 0) >= 1)
    after = samples(server)

    def added(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return after[key] - before.get(key, 0)

    assert after[requests("200")] - before.get(requests("200"), 0) == 1
    assert added("passerby_pictures_total") == 1
    assert added("passerby_pixels_total") > 0
    assert added("passerby_persons_total") == persons
    assert added("passerby_received_bytes_total") == len(PICTURE)
    assert added("passerby_sent_bytes_total") >= len(answer.content) + len(wrong.content)
    assert added("passerby_request_seconds_count", route=INFER) == 2
    for stage in ("read", "queue", "parse", "decode", "infer", "draw", "encode"):
        assert added("passerby_stage_seconds_count", stage=stage) == 1, stage


def test_the_state_of_the_service(server: Server) -> None:
    values = {name: value for (name, _), value in samples(server).items()}
    assert values["passerby_ready"] == 1
    assert values["passerby_workers"] == 1
    assert values["passerby_queue_waiting"] == 0
    assert values["passerby_worker_restarts_total"] == 0
    assert values["passerby_bodies_bytes"] == 0
    assert values["passerby_log_lines_dropped_total"] == 0
    if sys.platform == "linux":
        assert values["process_resident_memory_bytes"] > 1e7
        assert values["passerby_worker_resident_memory_bytes"] > 1e7
        assert values["passerby_worker_cpu_seconds_total"] > 0


def test_nothing_a_client_sends_becomes_a_label(server: Server) -> None:
    series = {key for key in samples(server) if key[0] == "passerby_requests_total"}
    for path in (f"/{MARK}", f"/page/{MARK}.js", f"{INFER}/{MARK}", f"/health?{MARK}=1", f"/%3Cscript%3E{MARK}"):
        httpx.get(server.url + path, timeout=60)
    form = {"image": (f"{MARK}.jpg", PICTURE, "image/jpeg"), MARK: (None, MARK)}
    assert httpx.post(server.url + INFER, files=form, timeout=60).status_code == 200
    said = {**JPEG, "User-Agent": MARK, "Referer": f"http://{MARK}/", "X-Forwarded-For": MARK}
    httpx.post(f"{server.url}{INFER}?logId={MARK}", content=PICTURE, headers=said, timeout=60)
    httpx.post(server.url + INFER, content=b"\0" + MARK.encode(), headers={"Content-Type": f"x/{MARK}"}, timeout=60)
    for method in ("PROPFIND", "SEARCH", "LOCK"):
        with contextlib.suppress(httpx.HTTPError):
            httpx.request(method, server.url + "/health", timeout=60)
    text = httpx.get(server.url + "/metrics", timeout=60).text
    assert MARK.lower() not in text.lower()
    new = {
        dict(labels)["route"]
        for name, labels in samples(server)
        if (name, labels) not in series
        if "route" in dict(labels)
    }
    assert new <= {"none", "/health", "/metrics", INFER, "/page/*"}
    assert {dict(labels).get("method", "GET") for _, labels in samples(server)} <= {"GET", "HEAD", "POST", "other"}


def test_the_format_that_is_asked_for(server: Server) -> None:
    plain = httpx.get(server.url + "/metrics", timeout=60)
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    other = httpx.get(server.url + "/metrics", headers=accept, timeout=60)
    assert other.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert other.text.endswith("# EOF\n")
    assert plain.headers["cache-control"] == other.headers["cache-control"] == "no-store"
