# SPDX-License-Identifier: Apache-2.0
"""How the service ends: drained, cut, at once, during its start, and when its workers keep dying."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .serving_pool import SlowServer, png
from .serving_server import Server, running, start, until

psutil = pytest.importorskip("psutil")

INFER = "/pedestrian-attribute-recognition"
PATIENCE_S = 90.0
BOTH = pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGTERM, id="SIGTERM"), pytest.param(signal.SIGINT, id="SIGINT", marks=pytest.mark.slow)],
)


@pytest.fixture
def slow() -> Iterator[SlowServer]:
    """Where pictures come from that take as long as the test wants."""
    with SlowServer(png()) as server:
        yield server


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    """Status and JSON of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        return ask_on(connection, method, path, body)


def ask_on(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None
) -> tuple[int, dict[str, Any]]:
    """The same on a connection that may be kept."""
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def waiting_requests(
    server: Server, slow: SlowServer, clients: ThreadPoolExecutor, count: int
) -> list[Future[tuple[int, dict[str, Any]]]]:
    """Requests that a worker has begun and cannot finish."""
    futures = [clients.submit(ask, server.port, "POST", INFER, {"image": slow.url}) for _ in range(count)]
    until(lambda: slow.asked >= count, within=PATIENCE_S)
    return futures


def until_not_ready(kept: http.client.HTTPConnection) -> str:
    """Ask on a kept connection until the service says that it is ending; the name it gives."""
    answers: list[dict[str, Any]] = []

    def not_ready() -> bool:
        status, body = ask_on(kept, "GET", "/ready")
        answers.append(body)
        return status == 503

    until(not_ready)
    return str(answers[-1]["errorMsg"]).partition(":")[0]


def refuses_connections(server: Server) -> bool:
    try:
        server.connect(timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def family(server: Server) -> list[Any]:
    """All processes of the service but the front."""
    return list(psutil.Process(server.process.pid).children(recursive=True))


def gone(processes: list[Any]) -> bool:
    return not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@BOTH
def test_an_idle_service_ends_at_once(number: int) -> None:
    with running() as server:
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
        with contextlib.closing(kept):
            assert ask_on(kept, "GET", "/ready")[0] == 200
            processes = family(server)
            server.signal(number)
            assert server.exit_code() == 0
        until(lambda: gone(processes))


@BOTH
def test_what_has_been_begun_is_finished(number: int, slow: SlowServer, clients: ThreadPoolExecutor) -> None:
    with running("--fetch-allow", f"127.0.0.1:{slow.port}") as server:
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
        with contextlib.closing(kept):
            assert ask_on(kept, "GET", "/ready")[0] == 200
            futures = waiting_requests(server, slow, clients, 4)
            server.signal(number)
            until(lambda: refuses_connections(server))
            assert until_not_ready(kept) == "not_ready"
            slow.let_go.set()
            assert [future.result(PATIENCE_S)[0] for future in futures] == [200] * 4
            assert server.exit_code() == 0


def test_no_new_work_is_taken_while_draining(slow: SlowServer, clients: ThreadPoolExecutor) -> None:
    with running("--fetch-allow", f"127.0.0.1:{slow.port}") as server:
        kept, probe = (http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S) for _ in range(2))
        with contextlib.closing(kept), contextlib.closing(probe):
            assert ask_on(kept, "GET", "/live")[0] == ask_on(probe, "GET", "/ready")[0] == 200
            (future,) = waiting_requests(server, slow, clients, 1)
            server.signal()
            until_not_ready(probe)
            kept.request("POST", INFER, json.dumps({"image": slow.url}), {"Content-Type": "application/json"})
            response = kept.getresponse()
            assert (response.status, response.headers["connection"]) == (503, "close")
            assert int(response.headers["retry-after"]) > 0
            slow.let_go.set()
            assert future.result(PATIENCE_S)[0] == 200
            assert server.exit_code() == 0


def test_what_takes_longer_than_the_drain_is_cut(slow: SlowServer, clients: ThreadPoolExecutor) -> None:
    with running("--fetch-allow", f"127.0.0.1:{slow.port}", "--drain", "0.5") as server:
        futures = waiting_requests(server, slow, clients, 3)
        server.signal()
        for future in futures:
            status, body = future.result(PATIENCE_S)
            assert (status, body["errorMsg"].partition(":")[0]) == (503, "interrupted")
        assert server.exit_code() == 130


def test_a_body_on_its_way_gets_an_answer_too() -> None:
    with running("--drain", "0.5") as server, contextlib.closing(server.connect()) as upload:
        head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
        upload.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
        assert upload.recv(100).startswith(b"HTTP/1.1 100")
        server.signal()
        assert b"interrupted: " in read_all(upload)
        assert server.exit_code() == 130


def read_all(connection: Any) -> bytes:
    received = b""
    while piece := connection.recv(4096):
        received += piece
    return received


def test_a_second_signal_ends_it_at_once(slow: SlowServer, clients: ThreadPoolExecutor) -> None:
    with running("--fetch-allow", f"127.0.0.1:{slow.port}", tracebacks=True) as server:
        futures = waiting_requests(server, slow, clients, 2)
        processes = family(server)
        server.signal()
        until(lambda: refuses_connections(server))
        server.signal()  # no SIGINT, which a run of tests in the background ignores, and so its children
        assert server.exit_code() == 130
        for future in futures:
            with pytest.raises((http.client.HTTPException, OSError)):
                future.result(PATIENCE_S)
        until(lambda: gone(processes), within=PATIENCE_S)


def test_a_signal_during_the_start_ends_it(tmp_path: Path) -> None:
    process = start(folder=tmp_path)
    me = psutil.Process(process.pid)
    until(lambda: process.poll() is not None or me.children(), within=PATIENCE_S)  # the first worker
    children = me.children(recursive=True)
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    said = (tmp_path / "stderr").read_text("utf-8")
    assert "serving on" not in said
    assert "Traceback" not in said
    until(lambda: gone(children), within=PATIENCE_S)


def test_workers_that_keep_dying_end_the_service() -> None:
    """One death is mended; the fifth within a minute is not."""
    with running() as server:
        seen: set[int] = set()
        started = time.monotonic()
        while server.process.poll() is None:
            assert time.monotonic() - started < 2 * PATIENCE_S
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                for child in family(server):
                    if child.pid not in seen and "spawn_main" in " ".join(child.cmdline()):
                        seen.add(child.pid)
                        child.kill()
            time.sleep(0.05)
        assert server.exit_code() == 4
        assert server.lines()[-1].startswith("engine_failed: ")
        assert len(seen) == 5


def test_a_dead_worker_is_replaced_and_the_service_goes_on(slow: SlowServer, clients: ThreadPoolExecutor) -> None:
    with running("--fetch-allow", f"127.0.0.1:{slow.port}") as server:
        (future,) = waiting_requests(server, slow, clients, 1)
        for child in family(server):
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()
        assert future.result(PATIENCE_S)[0] == 503
        slow.let_go.set()
        until(lambda: ask(server.port, "GET", "/ready")[0] == 200, within=PATIENCE_S)
        assert ask(server.port, "POST", INFER, {"image": slow.url})[0] == 200
