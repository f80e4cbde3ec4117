# SPDX-License-Identifier: Apache-2.0
"""Corpus group `wire`: raw bytes that no ordinary client sends, to the running service over TCP.

One server plays all cases. After each one an ordinary request must get its answer, and nothing of a traceback may
stand on stderr.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import DATA, corpus_cases
from .serving_server import Server, running
from .wire_client import ANSWER_S, Answer, Talk, play

Case = dict[str, Any]

RECORDED: dict[str, str] = json.loads((DATA / "recorded" / "wire.json").read_text("utf-8"))
QUIET_S = 0.5  # without another answer
REAL_REQUEST_S = 2.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as started:
        assert ordinary_request(started) == 200
        yield started


def ordinary_request(server: Server) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=ANSWER_S)
    with contextlib.closing(connection):
        connection.request("GET", "/health")
        return connection.getresponse().status


def peak_mb(server: Server) -> float:
    """The most memory the front process has held since the last reset."""
    text = Path(f"/proc/{server.process.pid}/status").read_text("ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    assert found
    return int(found[1]) / 1024


def reset_peak(server: Server) -> None:
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5", "ascii")


def in_our_form(answer: Answer) -> None:
    assert answer.headers["server"] == "passerby"
    if answer.status >= 400:
        body = json.loads(answer.body)
        assert set(body) == {"logId", "errorCode", "errorMsg"}
        assert body["errorCode"] == answer.status
        assert re.match(r"[a-z_]+: ", body["errorMsg"])
        assert body["errorMsg"].partition(":")[0] != "internal"


CASES = corpus_cases("wire")
ON_ONE = [param for param in CASES if "connections" not in param.values[0]["recipe"]["steps"][0]]
MANY = [param for param in CASES if param not in ON_ONE]


@pytest.mark.parametrize("case", ON_ONE)
def test_wire(server: Server, case: Case) -> None:
    check = case["check"]
    allowed = check["status"] if isinstance(check["status"], list) else [check["status"]]
    measured = "max_rss_mb" in check and sys.platform == "linux"
    before = peak_mb(server) if measured else 0.0
    if measured:
        reset_peak(server)
        before = peak_mb(server)
    talk = play(server, case["recipe"]["steps"])
    with contextlib.closing(talk.socket):
        if not talk.aborted:
            talk.await_answers(check.get("answers", 1))
        if "answers" in check:
            talk.read(QUIET_S)
        answers = talk.answers()
        for answer in answers:
            if answer.status != 100:
                in_our_form(answer)
            for name in check.get("no_header_back", []):
                assert name.lower() not in answer.headers
        first = answers[0].status if answers else "closed"
        assert first in allowed
        if case["expect"] == "record":
            assert str(first) == RECORDED[case["id"]], "note the change in the changelog, then record it"
        if "answers" in check:
            assert sum(answer.status != 100 for answer in answers) == check["answers"]
        assert talk.last_s <= check.get("within", ANSWER_S)
    if measured:
        assert peak_mb(server) - before <= check["max_rss_mb"]
    assert ordinary_request(server) == 200
    assert not [line for line in server.lines() if line.startswith("Traceback")]


def test_every_recorded_case_exists() -> None:
    assert set(RECORDED) == {p.values[0]["id"] for p in ON_ONE if p.values[0]["expect"] == "record"}


@pytest.mark.parametrize("case", MANY)
def test_many_idle_connections(server: Server, case: Case) -> None:
    resource = pytest.importorskip("resource")
    count = case["recipe"]["steps"][0]["connections"]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count + 200:
        pytest.skip(f"this machine allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 200), hard))
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(contextlib.closing(server.connect())) for _ in range(count)]
        started = time.monotonic()
        assert ordinary_request(server) == 200
        assert time.monotonic() - started <= REAL_REQUEST_S
        for connection in idle:
            talk = Talk(server, connection)
            talk.await_answers(1)
            status = talk.answers()[0].status if talk.answers() else "closed"
            assert status in case["check"]["status"]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert ordinary_request(server) == 200
