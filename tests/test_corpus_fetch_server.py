# SPDX-License-Identifier: Apache-2.0
"""The corpus group `fetch` through the service: the case's URL as `image`, where its policy is the server's.

One server answers all cases. The names and addresses of a case are its own, so the processes of the server are given a
resolver and a dialler that read them from a file; both are fields of the policy, and nothing else differs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import corpus_cases
from .corpus_server import CorpusServer
from .serving_server import Server, running

INFER = "/pedestrian-attribute-recognition"
CASES = [p for p in corpus_cases("fetch") if p.values[0]["call"]["where"] == "server"]
ROUTE = {"/a.jpg": {"status": 200, "body": {"file": "image/jpeg_baseline.jpg"}}}

# Loaded by every process of the server before anything else.
CUSTOMISED = """
import dataclasses, json, pathlib, socket
from passerby import fetch

def names():
    return json.loads(pathlib.Path(__file__).with_name("names.json").read_text())

def resolver(host, port):
    try:
        return names()["resolve"][host]
    except KeyError:
        raise OSError("no such name") from None

def dialler(address, port, seconds):
    host, _, real = names()["dial"].get(address, f"{address}:{port}").rpartition(":")
    return socket.create_connection((host, int(real)), seconds)

fetch.SERVER_POLICY = dataclasses.replace(fetch.SERVER_POLICY, resolver=resolver, dialler=dialler)
"""

Case = dict[str, Any]


@dataclass(frozen=True)
class Group:
    """The server, the web server of every case, and where names are written down."""

    server: Server
    web: dict[str, CorpusServer]
    names: Path

    def ask(self, url: str) -> tuple[int, dict[str, Any]]:
        requests = pytest.importorskip("requests")
        answer = requests.post(self.server.url + INFER, json={"image": url, "detThreshold": 1}, timeout=60)
        return answer.status_code, answer.json()


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    folder = tmp_path_factory.mktemp("names")
    (folder / "sitecustomize.py").write_text(CUSTOMISED, "utf-8")
    names = folder / "names.json"
    names.write_text('{"resolve": {}, "dial": {}}', "utf-8")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    with ExitStack() as stack:
        web = {"good": stack.enter_context(CorpusServer(ROUTE))}
        flags = ["--fetch-allow", f"127.0.0.1:{web['good'].port}"]
        for case in (p.values[0] for p in CASES):
            served = web[case["id"]] = stack.enter_context(CorpusServer(case["recipe"]["routes"]))
            for place in served.filled(case["call"]["options"].get("fetch_allow", [])):
                flags += ["--fetch-allow", place]
        server = stack.enter_context(running(*flags, env={"PYTHONPATH": path}))
        yield Group(server, web, names)


@pytest.mark.parametrize("case", CASES)
def test_case(case: Case, group: Group) -> None:
    web, check = group.web[case["id"]], case.get("check", {})
    options = web.filled(case["call"]["options"])
    group.names.write_text(json.dumps({key: options.get(key, {}) for key in ("resolve", "dial")}), "utf-8")
    good = group.ask(group.web["good"].url())
    status, said = group.ask(web.filled(case["recipe"]["url"]))
    if case["expect"] == "ok":
        assert (status, said["result"]) == (200, good[1]["result"])
    else:
        assert status == 422
        assert list(said) == ["logId", "errorCode", "errorMsg"]
        assert said["errorMsg"].startswith(f"{case['expect']}: ")
    assert len(web.requests) == check.get("requests", 1)
    again = group.ask(group.web["good"].url())
    assert (again[0], again[1]["result"]) == (200, good[1]["result"])


def test_nothing_secret_of_a_url_comes_back_or_is_logged(group: Group) -> None:
    base = group.web["good"].url("/missing.jpg").removeprefix("http://")
    for url in (f"http://{base}?token=s3cret-word", f"http://me:s3cret-word@{base}", f"http://{base}#s3cret-word"):
        status, said = group.ask(url)
        assert status == 422
        assert "s3cret-word" not in json.dumps(said)
    assert "s3cret-word" not in "\n".join(group.server.lines())


def test_every_case_is_here() -> None:
    assert len(CASES) == 5
