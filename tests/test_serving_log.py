# SPDX-License-Identifier: Apache-2.0
"""The access log: what stands in a line, what never does, and that nobody waits for it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import CORPUS
from .serving_server import Server, running, until

pytest.importorskip("starlette")

from passerby.serving import access_log
from passerby.serving.access_log import AccessLog
from passerby.serving.exchange import Exchange

INFER = "/pedestrian-attribute-recognition"
PICTURE = (CORPUS / "image/jpeg_baseline.jpg").read_bytes()
KEY = "correct-horse"
WITH_KEY = {"Authorization": f"Bearer {KEY}"}
MARK = "SECRETMARK"
FIELDS = ["time", "logId", "method", "path", "status", "name", "bytes", "sent", "milliseconds", "pixels", "persons"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("--api-key", KEY) as server:
        yield server


def line_of(server: Server, log_id: str) -> dict[str, Any]:
    """The line of one request; it is written after the answer is sent."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = [line for line in server.log() if line["logId"] == log_id]
        return bool(found)

    until(there)
    assert len(found) == 1
    return found[0]


def post(server: Server, content: bytes, **headers: str) -> httpx.Response:
    headers = WITH_KEY | {"Content-Type": "image/jpeg"} | headers
    return httpx.post(server.url + INFER, content=content, headers=headers, timeout=60)


def test_a_line_of_an_answer(server: Server) -> None:
    answer = post(server, PICTURE)
    line = line_of(server, answer.json()["logId"])
    assert list(line) == FIELDS
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert (line["method"], line["path"], line["status"], line["name"]) == ("POST", INFER, 200, None)
    assert (line["bytes"], line["sent"]) == (len(PICTURE), len(answer.content))
    assert line["persons"] == len(answer.json()["result"]["pedestrians"])
    assert line["pixels"] > 0
    assert 0 < line["milliseconds"] < 60_000


def test_a_line_of_an_error(server: Server) -> None:
    answer = post(server, b"no picture")
    line = line_of(server, answer.json()["logId"])
    assert (line["status"], line["name"], line["bytes"]) == (422, "image_unknown", 10)
    refused = httpx.get(server.url + "/nothing", timeout=60)
    line = line_of(server, refused.json()["logId"])
    assert (line["status"], line["name"], line["path"]) == (401, "unauthorized", "/nothing")


def test_what_the_parser_refuses_has_its_line_too(server: Server) -> None:
    refused = httpx.get(server.url + f"/long?{MARK}", headers={"X-Long": "a" * 30_000}, timeout=60)
    assert refused.status_code == 431
    line = line_of(server, refused.json()["logId"])
    assert (line["status"], line["name"]) == (431, "headers_too_large")
    assert line["path"] == "/long"
    until(lambda: "headers_too_large" in httpx.get(server.url + "/metrics", headers=WITH_KEY, timeout=60).text)


def test_the_log_id_of_the_client_counts_when_it_is_one(server: Server) -> None:
    said = httpx.post(server.url + INFER, json={"image": "", "logId": "mine-1"}, headers=WITH_KEY, timeout=60)
    assert said.json()["logId"] == "mine-1"
    assert line_of(server, "mine-1")["name"] == "input_empty"


def test_nothing_private_is_written(server: Server) -> None:
    asked = [
        httpx.get(f"{server.url}/health?name={MARK}", timeout=60),
        post(server, PICTURE, **{"User-Agent": MARK, "Referer": f"http://{MARK}/", "X-Forwarded-For": MARK}),
        post(server, PICTURE, Authorization=f"Bearer {MARK}-wrong-key"),
        post(server, MARK.encode()),
        post(server, PICTURE, **{"Content-Type": f"text/{MARK}"}),
        post(server, PICTURE + MARK.encode()),
        httpx.post(
            f"{server.url}{INFER}?detThreshold={MARK}",
            files={"image": (f"{MARK}.jpg", PICTURE, "image/jpeg")},
            headers=WITH_KEY,
            timeout=60,
        ),
        httpx.post(
            server.url + INFER,
            json={"image": f"http://{MARK}:{MARK}@127.0.0.1/{MARK}.jpg?{MARK}", "logId": f"{MARK} x"},
            headers=WITH_KEY,
            timeout=60,
        ),
    ]
    for answer in asked:
        line_of(server, answer.json()["logId"])
    written = server.errors.read_text("utf-8")
    assert MARK.lower() not in written.lower()
    assert KEY not in written
    assert '"client"' not in written
    assert "127.0.0.1:" not in written.replace(f"127.0.0.1:{server.port}", "")


def test_a_path_cannot_forge_a_line(server: Server) -> None:
    before = len(server.lines())
    answer = httpx.get(server.url + "/a%0d%0a%1b[31mINFO%20forged%e2%80%a8%22,%22status%22:200", timeout=60)
    line = line_of(server, answer.json()["logId"])
    assert line["status"] == 401
    assert line["path"].startswith("/a\\r\\n\\x1b[31mINFO forged")
    assert len(server.lines()) == before + 1
    assert all(text.isascii() and text.isprintable() for text in server.lines())


def test_a_long_path_is_cut(server: Server) -> None:
    answer = httpx.get(server.url + "/" + "a" * 5000, timeout=60)
    assert len(line_of(server, answer.json()["logId"])["path"]) == 200


def test_clients_are_named_on_request_and_nobody_when_quiet() -> None:
    with running("--log-client") as server:
        answer = httpx.get(server.url + "/health", timeout=60)
        assert line_of(server, answer.json()["logId"])["client"] == "127.0.0.1"
    with running("--quiet") as server:
        assert httpx.get(server.url + "/health", timeout=60).status_code == 200
        server.signal()
        server.exit_code()
        assert server.log() == []


def done(path: str = "/health") -> Exchange:
    exchange = Exchange(method="GET", path=path)
    exchange.status = 200
    return exchange


def test_a_reader_that_stands_still_costs_lines_and_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "WAITING_LINES", 5)
    monkeypatch.setattr(access_log, "CLOSE_S", 0.1)
    read, write = os.pipe()
    fill(write)
    with os.fdopen(read, "rb") as reader, os.fdopen(write, "w") as stream:
        log = AccessLog(stream=stream)
        log.request(done("/first"))
        until(lambda: not log.waiting)  # the writer stands still with it
        for _ in range(20):
            log.request(done("/first"))
        assert (log.waiting, log.dropped) == (5, 15)
        log.close()  # gives up
        monkeypatch.setattr(access_log, "CLOSE_S", 60.0)
        drained: list[bytes] = []
        draining = threading.Thread(target=lambda: drained.extend(reader), daemon=True)
        draining.start()
        until(lambda: not log.waiting)
        log.request(done("/last"))
        log.close()
        stream.close()
        draining.join(30)
    lines = [json.loads(line) for line in b"".join(drained).lstrip(b" ").splitlines()]
    assert [line["path"] for line in lines] == ["/first"] * 6 + ["/last"]


def fill(pipe: int) -> None:
    """Write blanks until nothing more fits."""
    os.set_blocking(pipe, False)
    for size in (65536, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(pipe, b" " * size)
    os.set_blocking(pipe, True)


def test_a_closed_stream_stops_nothing() -> None:
    stream = io.StringIO()
    log = AccessLog(stream=stream)
    stream.close()
    log.request(done())
    log.close()


def test_a_bug_leaves_its_traceback_on_one_line_also_when_quiet() -> None:
    stream = io.StringIO()
    log = AccessLog(requests=False, stream=stream)
    log.request(done())
    try:
        raise KeyError("two\nlines")
    except KeyError as bug:
        log.bug("id-1", bug)
    log.close()
    (text,) = stream.getvalue().splitlines()
    line = json.loads(text)
    assert (line["logId"], line["name"]) == ("id-1", "internal")
    assert line["traceback"][0].startswith("Traceback")
    assert "KeyError" in line["traceback"][-1]


BUG = """
import passerby.serving.endpoints as endpoints

async def planted(request):
    raise KeyError("SECRETPLACE")

endpoints._health = planted
"""


def test_a_bug_is_told_to_the_operator_and_not_to_the_client(tmp_path: Path) -> None:
    """Planted by a module that Python imports at its start."""
    (tmp_path / "sitecustomize.py").write_text(BUG, "utf-8")
    with running(env={"PYTHONPATH": str(tmp_path)}) as server:
        answer = httpx.get(server.url + "/health", timeout=60)
        assert answer.status_code == 500
        assert set(answer.json()) == {"logId", "errorCode", "errorMsg"}
        assert answer.json()["errorMsg"].startswith("internal: ")
        assert "KeyError" not in answer.text
        assert "SECRETPLACE" not in answer.text
        log_id = answer.json()["logId"]
        until(lambda: sum(line["logId"] == log_id for line in server.log()) == 2)
        bug, request = (line for line in server.log() if line["logId"] == log_id)
        assert "KeyError: 'SECRETPLACE'" in bug["traceback"]
        assert (request["status"], request["name"]) == (500, "internal")
        assert httpx.get(server.url + "/live", timeout=60).status_code == 200
