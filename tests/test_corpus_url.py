"""Corpus group `url`: which URLs are opened, which address is dialled. DNS and dialling are recorded, never real."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from passerby import sources
from passerby.errors import PasserbyError
from passerby.fetch import CLI_POLICY, SERVER_POLICY, FetchPolicy, fetch, is_url

from .conftest import CORPUS, corpus_cases
from .corpus_server import CorpusServer

PICTURE = (CORPUS / "image/jpeg_baseline.jpg").read_bytes()


class Network:
    """What the fetch function sees instead of the world: `resolve` answers, every connection leads to our server."""

    def __init__(self, resolve: dict[str, Any], server: CorpusServer) -> None:
        self._resolve, self._server = resolve, server
        self.resolved: list[str] = []
        self.dialled: list[str] = []

    def resolver(self, host: str, port: int) -> list[str]:
        self.resolved.append(host)
        if host not in self._resolve:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        answers = self._resolve[host]
        if answers and isinstance(answers[0], list):
            return list(answers[min(self.resolved.count(host), len(answers)) - 1])
        return list(answers)

    def dialler(self, address: str, port: int, seconds: float) -> socket.socket:
        self.dialled.append(address)
        return socket.create_connection(("127.0.0.1", self._server.port), seconds)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "root.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("public.test").configure_cert(context)
    return context


class Everything(dict[str, Any]):
    """Routes that answer every path with one reply."""

    def __init__(self, reply: dict[str, Any]) -> None:
        super().__init__()
        self._reply = reply

    def get(self, key: str, default: Any = None) -> Any:
        return self._reply


@pytest.fixture
def network(request: pytest.FixtureRequest, tls: ssl.SSLContext) -> Iterator[Network]:
    recipe = request.node.callspec.params["case"]["recipe"]
    reply = recipe.get("reply", {"status": 200, "body": {"file": "image/jpeg_baseline.jpg"}})
    with CorpusServer(Everything(reply), tls=tls) as server:
        yield Network(recipe["resolve"], server)


def policy_of(case: dict[str, Any], network: Network, ca_file: Path) -> FetchPolicy:
    options = case["call"].get("options", {})
    base = SERVER_POLICY if case["call"]["where"] == "server" else CLI_POLICY
    fields = {name: getattr(base, name) for name in base.__dataclass_fields__}
    fields |= {"resolver": network.resolver, "dialler": network.dialler, "ca_file": ca_file}
    fields |= {"allow": tuple(options.get("fetch_allow", ())), "enabled": options.get("fetch", True)}
    return FetchPolicy(**fields)


def outcome(case: dict[str, Any], policy: FetchPolicy) -> str:
    url = case["recipe"]["url"]
    try:
        if case["call"]["where"] == "cli" and not is_url(url):
            # On the command line what is no URL is a path.
            (found,) = sources.frames(url)
            return str(found.error.name) if isinstance(found, sources.Failure) else "ok"
        return "ok" if fetch(url, policy) == PICTURE else "another body"
    except PasserbyError as error:
        assert "\n" not in error.message and "secret" not in error.message
        return error.name


@pytest.mark.parametrize("case", corpus_cases("url"))
def test_url(case: dict[str, Any], network: Network, ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in case["call"].get("env", {}).items():
        monkeypatch.setenv(name, value)
    assert outcome(case, policy_of(case, network, ca_file)) == case["expect"], case["note"]
    check = case.get("check", {})
    if case["expect"] != "ok" and "dialled" not in check:
        assert network.dialled == []
    if "dialled" in check:
        assert network.dialled == check["dialled"]
    if "resolved_times" in check:
        assert len(network.resolved) == check["resolved_times"]
