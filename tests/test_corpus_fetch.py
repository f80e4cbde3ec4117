"""Corpus group `fetch`: answers of a web server that a fetch must survive, played by a real server on loopback.

Most cases wait (for a retry, for a time limit), so all are run side by side once and each test looks at its own
outcome; the few that measure memory run alone.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
import os
import resource
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme

from passerby import decode, sources
from passerby.errors import PasserbyError
from passerby.fetch import CLI_POLICY, SERVER_POLICY, FetchPolicy, fetch
from passerby.models import download, load

from .conftest import CORPUS, corpus_cases
from .corpus_server import CorpusServer, Request

SIDE_BY_SIDE = 12
LIMITS = {"total_s", "connect_s", "max_bytes"}


@dataclasses.dataclass
class Outcome:
    name: str
    message: str
    seconds: float
    requests: list[Request]
    data: bytes | None
    url: str
    left: list[str]


def measures_memory(case: dict[str, Any]) -> bool:
    return "max_rss_mb" in case.get("check", {})


def policy_of(case: dict[str, Any], server: CorpusServer) -> FetchPolicy:
    options = server.filled(case["call"]["options"])
    base = SERVER_POLICY if case["call"]["where"] == "server" else CLI_POLICY
    changes: dict[str, Any] = {k: v for k, v in options.items() if k in LIMITS}
    changes["allow"] = tuple(options.get("fetch_allow", ()))
    if "resolve" in options:
        changes["resolver"] = lambda host, port: options["resolve"][host]
        changes["dialler"] = functools.partial(dial_as_told, options["dial"])
    return dataclasses.replace(base, **changes)


def dial_as_told(places: dict[str, str], address: str, port: int, seconds: float) -> socket.socket:
    host, _, real_port = places.get(address, f"{address}:{port}").rpartition(":")
    return socket.create_connection((host, int(real_port)), seconds)


def played(case: dict[str, Any], tls: ssl.SSLContext, files: Path, scratch: Path) -> Outcome:
    recipe = case["recipe"]
    uses_tls = any("tls" in reply for reply in recipe["routes"].values() if isinstance(reply, dict))
    with CorpusServer(recipe["routes"], tls=tls if uses_tls else None, files=files) as server:
        url = server.filled(recipe["url"])
        started = time.monotonic()
        name, message, data = "ok", "", None
        try:
            data = run(case, url, server, files, scratch)
        except PasserbyError as error:
            name, message = error.name, error.message
        seconds = time.monotonic() - started
        left = sorted(p.name for p in scratch.rglob("*")) if scratch.exists() else []
        return Outcome(name, message, seconds, list(server.requests), data, url, left)


def run(case: dict[str, Any], url: str, server: CorpusServer, files: Path, scratch: Path) -> bytes | None:
    if not url.startswith("model:"):
        data = fetch(url, policy_of(case, server))
        decode.decode_image(data, input=url)
        return data
    scratch.mkdir()
    pinned = (files / case["call"]["options"]["pinned_to"]).read_bytes()
    target = scratch / "m.tar"
    download.download(
        url.removeprefix("model:"), target, sha256=hashlib.sha256(pinned).hexdigest(), reports=download.QUIET
    )
    assert target.read_bytes() == pinned
    return None


@pytest.fixture(scope="module")
def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model group's archives; they are not stored but made from their recipe."""
    sys.path.insert(0, str(CORPUS))
    try:
        from groups import model
        from groups.common import Corpus
    finally:
        sys.path.remove(str(CORPUS))
    corpus = Corpus(tmp_path_factory.mktemp("corpus"))
    model.paddle(corpus)
    model.tars(corpus)
    return Path(corpus.root)


@pytest.fixture(scope="module", autouse=True)
def plain_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            patch.delenv(name, raising=False)
            patch.delenv(name.upper(), raising=False)
        yield


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tls: ssl.SSLContext, files: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Outcome]]]:
    """Every selected case that measures no memory and sets no environment, started side by side."""
    cases = [
        item.callspec.params["case"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec") and "case" in item.callspec.params
    ]
    scratch = tmp_path_factory.mktemp("downloads")
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        yield {
            case["id"]: pool.submit(played, case, tls, files, scratch / str(number))
            for number, case in enumerate(cases)
            if not measures_memory(case) and "env" not in case["call"]["options"]
        }


@pytest.mark.parametrize("case", corpus_cases("fetch"))
def test_fetch(
    case: dict[str, Any],
    outcomes: dict[str, Future[Outcome]],
    tls: ssl.SSLContext,
    files: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name, value in case["call"]["options"].get("env", {}).items():
        monkeypatch.setenv(name, value)
    if case["id"] == "fetch/offline":
        check_offline(case, tmp_path, monkeypatch)
        return
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if case["id"] in outcomes:
        outcome = outcomes[case["id"]].result(timeout=60)
    else:
        outcome = played(case, tls, files, tmp_path / "downloads")
    check = case.get("check", {})
    if measures_memory(case):
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown / 1024 <= check["max_rss_mb"]
    if case["expect"] == "record":
        # What is read is a picture that ends early.
        assert outcome.name == "image_truncated", case["note"]
    else:
        assert outcome.name == case["expect"], f"{case['note']}: {outcome.message}"
    check_requests(check, outcome)
    check_texts(case, check, outcome, caplog)
    assert outcome.seconds >= check.get("min_seconds", 0)
    assert outcome.seconds <= check.get("max_seconds", 60)
    if check.get("no_files_left"):
        assert outcome.left == []


def check_requests(check: dict[str, Any], outcome: Outcome) -> None:
    if "requests" in check:
        assert len(outcome.requests) == check["requests"]
    for request in outcome.requests:
        assert "cookie" not in request.headers and "referer" not in request.headers
        assert check.get("never_sends", "Cookie").lower() not in request.headers
        if header := check.get("no_header_on", {}).get(request.path):
            assert header.lower() not in request.headers


def check_texts(
    case: dict[str, Any], check: dict[str, Any], outcome: Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    assert "\n" not in outcome.message and len(outcome.message) <= 400
    if "not_printed" in check:
        assert check["not_printed"] not in outcome.message + caplog.text
    if case["id"] == "fetch/redirect_drops_login":
        assert "authorization" in outcome.requests[0].headers
    if case["id"] == "fetch/tls_self_signed":
        assert "--ca-file" in outcome.message
    if case["id"] == "fetch/type_lies_jpeg":
        assert "HTML" in outcome.message
    if "status" in case["id"] and outcome.name == "fetch_status":
        status = case["recipe"]["routes"]["/a.jpg"]["status"]
        assert str(status) in outcome.message and "<b>" not in outcome.message
    if "size" in check:
        height, width = decode.decode_image(outcome.data).shape[:2]
        assert [width, height] == check["size"]
    if "output" in check or "outputs_inside" in check:
        check_output_name(check, outcome)


def check_output_name(check: dict[str, Any], outcome: Outcome) -> None:
    """The name for results comes from the path of the URL, and never leads out of the folder."""
    with CorpusServer(Answers(outcome.data)) as server:
        (frame,) = sources.frames(outcome.url.replace(outcome.url.split("/")[2], f"127.0.0.1:{server.port}"))
    if "output" in check:
        assert f"{frame.output_stem}.json" == check["output"]
    assert frame.output_stem not in ("", ".", "..") and Path(frame.output_stem).name == frame.output_stem


class Answers(dict[str, Any]):
    """Routes that answer every path with the same bytes, under a misleading name."""

    def __init__(self, data: bytes | None) -> None:
        super().__init__()
        headers = {"Content-Disposition": "attachment; filename=../../PWNED"}
        self._reply = {"status": 200, "headers": headers, "body": {"bytes": data}}

    def get(self, key: str, default: Any = None) -> Any:
        return self._reply


def check_offline(case: dict[str, Any], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSERBY_HOME", str(home))
    opened: list[object] = []
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: opened.append(a))
    assert os.environ["PASSERBY_OFFLINE"] == "1"
    with pytest.raises(PasserbyError) as caught:
        load.load_model(case["recipe"]["url"].removeprefix("model:"))
    assert caught.value.name == case["expect"] and opened == []
    assert "passerby-detector-416" in caught.value.message


@pytest.mark.parametrize("pinned", [p for p in corpus_cases("model") if p.values[0]["call"]["reader"] == "download"])
def test_model_download(pinned: dict[str, Any], files: Path, tmp_path: Path) -> None:
    """The one case of the group `model` that needs a server."""
    recipe = pinned["recipe"]
    target, sha256 = tmp_path / "m.tar", recipe["pinned"]
    routes = {"/m.tar": {"status": 200, "body": {"file": recipe["serve"]}}}
    with CorpusServer(routes, files=files) as server, pytest.raises(PasserbyError) as caught:
        download.download(server.url("/m.tar"), target, sha256=sha256, reports=download.QUIET)
    assert caught.value.name == pinned["expect"], pinned["note"]
    served = hashlib.sha256((files / recipe["serve"]).read_bytes()).hexdigest()
    assert served in caught.value.message and sha256 in caught.value.message
    assert list(tmp_path.iterdir()) == []
