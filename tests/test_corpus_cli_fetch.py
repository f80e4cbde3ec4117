"""The corpus group `fetch` through the command line: the case's URL as `--input`, a real server on loopback.

Most cases wait, so many run side by side. Where a case sets smaller limits than the command line has, or names and
addresses of its own, the policy of the run's process is one with those; nothing else differs from what a user gets.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import pytest
import trustme

from .cli_runner import (
    NETWORKS,
    Case,
    Job,
    Ran,
    Runs,
    check_ended_cleanly,
    check_limits,
    check_one_line,
    pipeline_words,
    running,
    scratch,
    selected_cases,
    true_process,
)
from .conftest import corpus_cases
from .corpus_server import CorpusServer

Record = Callable[[str, object], None]
SIDE_BY_SIDE = 6
RECORDED = {"fetch/length_short": "image_truncated"}
DIRECT = {f"{name}_proxy": "" for name in ("http", "https", "all", "no", "HTTP", "HTTPS", "ALL", "NO")}
ROUTE = {"/a.jpg": {"status": 200, "body": {"file": "image/jpeg_baseline.jpg"}}}


def without_door(case: Case) -> str | None:
    """Why a case has no form on the command line."""
    if case["call"]["where"] == "server":
        return "the policy of the server: see test_corpus_fetch_server.py"
    if case["recipe"]["url"].startswith("model:http"):
        return "no command downloads a model from another place than the catalogue's"
    return None


CASES = [p for p in corpus_cases("fetch") if without_door(p.values[0]) is None]


def words_for(url: str, pipeline: list[str]) -> list[str]:
    if url.startswith("model:"):
        return ["models", "pull", url.removeprefix("model:")]
    return ["predict", "--input", url, *pipeline, "--json", "--det-threshold", "1", "--save-path", "saved"]


class Group:
    """The runs, and the server that each case talked to."""

    def __init__(self, runs: Runs, servers: dict[str, CorpusServer]) -> None:
        self.runs, self.servers = runs, servers


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module", params=NETWORKS)
def group(request: pytest.FixtureRequest, tls: ssl.SSLContext) -> Iterator[Group]:
    pipeline = pipeline_words(request.param)
    with scratch() as folder, ExitStack() as stack:
        servers: dict[str, CorpusServer] = {}
        jobs = []
        good = stack.enter_context(CorpusServer(ROUTE))
        for case in selected_cases(request):
            routes = case["recipe"]["routes"]
            secured = any("tls" in reply for reply in routes.values() if isinstance(reply, dict))
            server = stack.enter_context(CorpusServer(routes, tls=tls if secured else None))
            servers[case["id"]] = server
            options = server.filled(case["call"]["options"])
            words = [words_for(server.filled(case["recipe"]["url"]), pipeline), words_for(good.url(), pipeline)]
            words[1][-1] = "../again"
            env = DIRECT | server.filled(options.pop("env", {}))
            root = folder / case["id"].replace("/", "_")
            jobs.append(Job(id=case["id"], root=root, words=words, env=env, policy=options))
        words = [words_for(good.url(), pipeline)]
        words[0][-1] = "../again"
        first = Job(id="good", root=folder / "good", words=words, env=DIRECT)
        with running([first, *jobs], side_by_side=SIDE_BY_SIDE) as runs:
            yield Group(runs, servers)


@pytest.mark.parametrize("case", CASES)
def test_case(case: Case, group: Group, record_property: Record) -> None:
    ran, good, check = group.runs[case["id"]], group.runs["good"], case.get("check", {})
    check_ended_cleanly(ran, good)
    expected = RECORDED.get(case["id"], case["expect"])
    if expected == "ok":
        check_good(case, ran)
    else:
        line = check_one_line(ran, expected)
        if ran.job.words[0][0] == "predict":
            (document,) = ran.documents()
            assert document["error"]["message"] == line
        assert ran.left("case") == []
        assert case["id"] != "fetch/tls_self_signed" or "--ca-file" in line
    if "not_printed" in check:
        assert check["not_printed"] not in ran.out() + ran.err()
    check_requests(case, group.servers[case["id"]])
    # the good case comes first and says how much of the time is not the network's
    seconds, grown_mb = check_limits(ran, good, check)
    assert ran.seconds >= check.get("min_seconds", 0)
    record_property("seconds", seconds)
    record_property("mb", grown_mb)


def check_good(case: Case, ran: Ran) -> None:
    check = case.get("check", {})
    assert ran.code == 0, ran.err()
    (document,) = ran.documents()
    assert document["boxes"] == []
    written = ran.left("case/saved")
    assert len(written) == len(ran.left("case")) == 2
    (picture,) = [path for path in written if not path.endswith(".json")]
    height, width = cv2.imread(str(ran.job.root / picture)).shape[:2]
    assert [width, height] == check.get("size", [48, 32])
    if "output" in check:
        assert f"case/saved/{check['output']}" in written


def check_requests(case: Case, server: CorpusServer) -> None:
    check = case.get("check", {})
    if "requests" in check:
        assert len(server.requests) == check["requests"]
    for request in server.requests:
        assert "cookie" not in request.headers
        assert check.get("never_sends", "Cookie").lower() not in request.headers
        if header := check.get("no_header_on", {}).get(request.path):
            assert header.lower() not in request.headers


@pytest.mark.parametrize("case", [p for p in corpus_cases("fetch") if without_door(p.values[0]) is not None])
def test_without_door(case: Case) -> None:
    pytest.skip(str(without_door(case)))


def test_the_good_case_and_a_root_of_ones_own_as_true_processes(
    tls: ssl.SSLContext, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pipeline_words("tiny")
    authority.cert_pem.write_to_path(str(tmp_path / "root.pem"))
    with CorpusServer(ROUTE, tls=tls) as server:
        plain = true_process(words_for(server.url(), pipeline), tmp_path)
        assert (plain.returncode, len(plain.stderr.splitlines())) == (0, 1), plain.stderr
        secure = server.url().replace("http://127.0.0.1", "https://localhost")
        refused = true_process(words_for(secure, pipeline), tmp_path)
        assert refused.returncode == 1
        assert refused.stderr.startswith("fetch_tls: ")
        trusted = true_process([*words_for(secure, pipeline), "--ca-file", "root.pem"], tmp_path)
        assert trusted.returncode == 0, trusted.stderr
        missing = true_process([*words_for(secure, pipeline), "--ca-file", "none.pem"], tmp_path)
        assert (missing.returncode, missing.stderr.partition(":")[0]) == (2, "bad_argument")


def test_every_case_is_here() -> None:
    assert sys.platform != "linux" or len(CASES) + 7 == len(corpus_cases("fetch")) == 83
