# SPDX-License-Identifier: Apache-2.0
"""Who is let in: hosts, origins, keys, rates, and the addresses that proxies name."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from passerby.errors import PasserbyError, ServerError
from passerby.serving.settings import ServerSettings

from .serving_server import Server, running

pytest.importorskip("starlette")

from starlette.datastructures import Headers

from passerby.serving import guards
from passerby.serving.guards import Clients, HostGuard, KeyGuard, OriginGuard, RateLimit

KEY = "correct-horse"
INFER = "/pedestrian-attribute-recognition"
SCOPE = {"http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 5000)}


def headers(*pairs: tuple[str, str]) -> Headers:
    return Headers(raw=[(name.encode(), value.encode("latin-1")) for name, value in pairs])


def outcome(call: Any, *arguments: Any) -> str:
    try:
        call(*arguments)
    except PasserbyError as error:
        return error.name
    return "ok"


LOOPBACK_HOSTS = {
    "localhost": "ok",
    "localhost:8080": "ok",
    "LocalHost:1": "ok",
    "127.0.0.1": "ok",
    "127.0.0.1:8080": "ok",
    "127.9.9.9": "ok",
    "[::1]": "ok",
    "[::1]:8080": "ok",
    "[::ffff:127.0.0.1]": "ok",
    "evil.test": "host_not_allowed",
    "localhost.evil.test": "host_not_allowed",
    "evil.test:8080": "host_not_allowed",
    "127.0.0.1.evil.test": "host_not_allowed",
    "evil.test#localhost": "host_not_allowed",
    "localhost@evil.test": "host_not_allowed",
    "localhost, evil.test": "host_not_allowed",
    "0.0.0.0": "host_not_allowed",
    "10.0.0.1": "host_not_allowed",
    "2130706433": "host_not_allowed",
    "localhost:80:80": "host_not_allowed",
    "localhost:port": "host_not_allowed",
    "": "host_not_allowed",
}


@pytest.mark.parametrize("host", LOOPBACK_HOSTS)
def test_hosts_on_loopback(host: str) -> None:
    guard = HostGuard(ServerSettings())
    assert outcome(guard.check, SCOPE, headers(("host", host))) == LOOPBACK_HOSTS[host]


def test_hosts_that_were_named() -> None:
    guard = HostGuard(ServerSettings(allowed_hosts=("People.test", "2001:db8::1")))
    for host in ("people.test", "PEOPLE.TEST:443", "localhost", "[2001:db8::1]:8080"):
        assert outcome(guard.check, SCOPE, headers(("host", host))) == "ok"
    assert outcome(guard.check, SCOPE, headers(("host", "www.people.test"))) == "host_not_allowed"


def test_beyond_loopback_any_host_may_be_named_unless_some_were() -> None:
    anywhere = HostGuard(ServerSettings(host="0.0.0.0", api_keys=(KEY,)))
    assert outcome(anywhere.check, SCOPE, headers(("host", "people.test"))) == "ok"
    named = HostGuard(ServerSettings(host="0.0.0.0", api_keys=(KEY,), allowed_hosts=("people.test",)))
    assert outcome(named.check, SCOPE, headers(("host", "people.test"))) == "ok"
    assert outcome(named.check, SCOPE, headers(("host", "evil.test"))) == "host_not_allowed"


def test_one_host_and_no_more() -> None:
    guard = HostGuard(ServerSettings())
    assert outcome(guard.check, SCOPE, headers()) == "bad_request"
    assert outcome(guard.check, SCOPE, headers(("host", "localhost"), ("host", "evil.test"))) == "bad_request"
    assert outcome(guard.check, {**SCOPE, "http_version": "1.0"}, headers()) == "ok"


OWN = ("host", "localhost:8080")
ORIGINS = {
    "http://localhost:8080": None,
    "HTTP://LOCALHOST:8080": None,
    "https://good.test": "https://good.test",
    "https://good.test:443": "https://good.test:443",
    "http://localhost": "origin_not_allowed",
    "http://localhost:8081": "origin_not_allowed",
    "https://localhost:8080": "origin_not_allowed",
    "http://good.test": "origin_not_allowed",
    "https://good.test.evil.test": "origin_not_allowed",
    "https://good.test:444": "origin_not_allowed",
    "null": "origin_not_allowed",
    "": "origin_not_allowed",
    "https://": "origin_not_allowed",
}


@pytest.mark.parametrize("origin", ORIGINS)
def test_origins(origin: str) -> None:
    guard = OriginGuard(("https://good.test",))
    try:
        answer = guard.check("http", headers(OWN, ("origin", origin)))
    except ServerError as error:
        answer = error.name
    assert answer == ORIGINS[origin]


def test_the_port_of_a_scheme_may_be_left_out() -> None:
    guard = OriginGuard(())
    assert guard.check("https", headers(("host", "people.test"), ("origin", "https://people.test"))) is None
    assert guard.check("https", headers(("host", "people.test:443"), ("origin", "https://people.test"))) is None
    assert guard.check("http", headers(("host", "people.test:80"), ("origin", "http://people.test"))) is None


def test_no_origin_is_no_web_page_and_two_are_none_of_ours() -> None:
    guard = OriginGuard(("https://good.test",))
    assert guard.check("http", headers(OWN)) is None
    twice = headers(OWN, ("origin", "https://good.test"), ("origin", "https://good.test"))
    assert outcome(guard.check, "http", twice) == "origin_not_allowed"


AUTHORIZATIONS = {
    f"Bearer {KEY}": "ok",
    f"bearer {KEY}": "ok",
    f"Bearer  {KEY} ": "ok",
    "Bearer another-key-1": "ok",
    f"Bearer {KEY}x": "unauthorized",
    f"Bearer {KEY[:-1]}": "unauthorized",
    f"Bearer {KEY.upper()}": "unauthorized",
    f"Bearer {KEY},another-key-1": "unauthorized",
    f"Basic {KEY}": "unauthorized",
    f"Bearer\t{KEY}": "unauthorized",
    f"Bearer{KEY}": "unauthorized",
    KEY: "unauthorized",
    "Bearer": "unauthorized",
    "Bearer ": "unauthorized",
    "": "unauthorized",
    "Bearer \xe9\xff": "unauthorized",
}


@pytest.mark.parametrize("value", AUTHORIZATIONS)
def test_keys(value: str) -> None:
    guard = KeyGuard((KEY, "another-key-1"))
    assert outcome(guard.check, headers(("authorization", value))) == AUTHORIZATIONS[value]


def test_a_key_counts_once_and_nowhere_else() -> None:
    guard = KeyGuard((KEY,))
    assert outcome(guard.check, headers()) == "unauthorized"
    twice = headers(("authorization", "Bearer wrong"), ("authorization", f"Bearer {KEY}"))
    assert outcome(guard.check, twice) == "unauthorized"
    assert outcome(guard.check, headers(("proxy-authorization", f"Bearer {KEY}"))) == "unauthorized"
    assert outcome(KeyGuard(()).check, headers()) == "ok"


def test_rate_refills_with_time() -> None:
    limit = RateLimit(2.0)
    assert [limit.wait_s("a", now=10.0) for _ in range(3)] == [0, 0, 0.5]
    assert limit.wait_s("b", now=10.0) == 0
    assert limit.wait_s("a", now=10.25) == pytest.approx(0.25)
    assert limit.wait_s("a", now=10.5) == 0
    assert [limit.wait_s("a", now=1000.0) > 0 for _ in range(3)] == [False, False, True]  # never more than a burst
    assert RateLimit(None).wait_s("a") == 0


def test_slow_rates_still_let_one_through() -> None:
    limit = RateLimit(0.1)
    assert limit.wait_s("a", now=0.0) == 0
    assert limit.wait_s("a", now=0.0) == pytest.approx(10)
    assert limit.wait_s("a", now=10.0) == 0


def test_one_ipv6_subscriber_is_one_client() -> None:
    limit = RateLimit(1.0)
    assert limit.wait_s("2001:db8::1", now=0.0) == 0
    assert limit.wait_s("2001:db8::ffff:2", now=0.0) > 0
    assert limit.wait_s("2001:db8:0:1::1", now=0.0) == 0
    assert limit.wait_s("::ffff:10.0.0.1", now=0.0) == 0
    assert limit.wait_s("10.0.0.1", now=0.0) > 0


def test_clients_are_forgotten_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "CLIENTS_REMEMBERED", 3)
    limit = RateLimit(1.0)
    for client in ("a", "b", "c", "d"):
        assert limit.wait_s(client, now=0.0) == 0
    assert limit.wait_s("d", now=0.0) > 0
    assert limit.wait_s("a", now=0.0) == 0  # the first one was forgotten


PROXIES = ("127.0.0.1", "10.0.0.0/8", "2001:db8::/32")
FORWARDED = {
    (): "127.0.0.1",
    ("203.0.113.7",): "203.0.113.7",
    ("1.1.1.1, 203.0.113.7",): "203.0.113.7",
    ("1.1.1.1", "203.0.113.7, 10.1.2.3"): "203.0.113.7",
    ("203.0.113.7, 2001:db8::5 ",): "203.0.113.7",
    ("2606:4700::1",): "2606:4700::1",
    ("10.9.9.9, 10.1.1.1",): "10.9.9.9",
    ("203.0.113.7, unknown",): "127.0.0.1",
    ("203.0.113.7, , 10.1.1.1",): "10.1.1.1",
    ("<script>",): "127.0.0.1",
}


@pytest.mark.parametrize("values", FORWARDED)
def test_addresses_that_trusted_proxies_name(values: tuple[str, ...]) -> None:
    said = headers(*(("x-forwarded-for", value) for value in values))
    assert Clients(PROXIES).address(SCOPE, said) == FORWARDED[values]
    assert Clients(()).address(SCOPE, said) == "127.0.0.1"
    assert Clients(("192.0.2.1",)).address(SCOPE, said) == "127.0.0.1"


def test_a_socket_for_both_families_shows_proxies_in_another_form() -> None:
    scope = {**SCOPE, "client": ("::ffff:10.1.1.1", 1)}
    assert Clients(PROXIES).address(scope, headers(("x-forwarded-for", "203.0.113.7"))) == "203.0.113.7"


def test_the_scheme_is_the_proxys_word_only_where_it_is_trusted() -> None:
    said = headers(("x-forwarded-proto", "https"))
    assert Clients(PROXIES).scheme(SCOPE, said) == "https"
    assert Clients(()).scheme(SCOPE, said) == "http"
    assert Clients(PROXIES).scheme(SCOPE, headers(("x-forwarded-proto", "gopher"))) == "http"


@pytest.fixture(scope="module")
def keyed() -> Iterator[Server]:
    """A server with a key, a page of another site that may call, and a proxy that is believed."""
    flags = ["--api-key", KEY, "--cors-origin", "https://good.test", "--allowed-host", "people.test"]
    with running(*flags, "--trusted-proxy", "127.0.0.1", "--rate-limit", "1") as server:
        yield server


def ask(server: Server, method: str, path: str, **more: Any) -> Any:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request(method, path, more.get("body"), more.get("headers", {}))
        answer = connection.getresponse()
        answer.body = answer.read()  # type: ignore[attr-defined]
        return answer
    finally:
        connection.close()


OPEN = ("/", "/health", "/live", "/ready", "/docs", "/openapi.json", "/page/street.jpg", "/page/index.html")
TRICKS = (
    *(INFER, INFER + "/", INFER.upper(), "/metrics", "/labels", "/Metrics", "/metrics/", "//metrics", "/./metrics"),
    *("/health/../metrics", "/health/..%2fmetrics", "/page/../metrics", "/page/%2e%2e/metrics", "/metrics%00"),
    *("/metrics%0a", "/%6detrics", "/metrics;x", "/metrics?/health", "/health%2f..%2fmetrics", "/live/", "/page"),
    *("/page/", "/nothing", "/page/nothing.js", "/docs/", "/docs/nothing", "/metrics%20", "/health%20", "/.", "//"),
)


@pytest.mark.parametrize("path", OPEN)
def test_open_without_a_key(keyed: Server, path: str) -> None:
    assert ask(keyed, "GET", path).status == 200


@pytest.mark.parametrize("path", TRICKS)
def test_everything_else_needs_the_key(keyed: Server, path: str) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE"):
        for more in ({}, {"Authorization": "Bearer wrong-horse-1"}, {"X-HTTP-Method-Override": "GET"}):
            answer = ask(keyed, method, path, headers=more)
            assert answer.status == 401, (method, path, answer.status)
            assert answer.headers["www-authenticate"] == "Bearer"


def test_a_preflight_of_the_page_that_was_named(keyed: Server) -> None:
    asked = {"Origin": "https://good.test", "Access-Control-Request-Method": "POST"}
    answer = ask(keyed, "OPTIONS", INFER, headers=asked)
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "https://good.test"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "http://good.test", "https://good.test.evil.test"])
def test_a_preflight_of_any_other_page(keyed: Server, origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    answer = ask(keyed, "OPTIONS", INFER, headers=asked)
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_the_page_that_was_named_may_read_errors_too(keyed: Server) -> None:
    answer = ask(keyed, "POST", INFER, headers={"Origin": "https://good.test"})
    assert answer.status == 401
    assert answer.headers["access-control-allow-origin"] == "https://good.test"


def test_hosts_that_were_named_reach_the_service(keyed: Server) -> None:
    assert ask(keyed, "GET", "/health", headers={"Host": "people.test"}).status == 200
    assert ask(keyed, "GET", "/health", headers={"Host": "evil.test"}).status == 421


def test_each_client_behind_the_proxy_has_a_rate_of_its_own(keyed: Server) -> None:
    def status(client: str) -> tuple[int, str | None]:
        more = {"Authorization": f"Bearer {KEY}", "Content-Type": "text/plain", "X-Forwarded-For": client}
        answer = ask(keyed, "POST", INFER, headers=more)
        return answer.status, answer.headers["retry-after"]

    assert status("203.0.113.1") == (415, None)
    assert status("203.0.113.1") == (429, "1")
    assert status("198.51.100.9, 203.0.113.1") == (429, "1")  # what the client itself wrote in front
    assert status("203.0.113.2") == (415, None)
