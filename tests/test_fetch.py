"""The fetch function beyond the corpus: proxies, tunnels, TLS, spellings of forbidden hosts, arbitrary answers."""

from __future__ import annotations

import base64
import dataclasses
import io
import ipaddress
import random
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.errors import FetchError, InputError, PasserbyError
from passerby.fetch import CLI_POLICY, SERVER_POLICY, FetchPolicy, fetch, is_url
from passerby.http_reply import EndedEarly, Malformed, read_body, read_head, unpacked
from passerby.http_request import proxy_for
from passerby.urls import bare_url, is_public, parse_url

from .corpus_server import CorpusServer, closed_port, read_request

BODY = b"picture " * 1000
# The machine may be busy; how long one example takes says nothing here.
unhurried = settings(deadline=None)
GOOD = {"status": 200, "body": {"bytes": BODY}}


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "root.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def context_for(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def leads_to(server: CorpusServer, **changes: Any) -> FetchPolicy:
    """A policy whose network is the one server: every name is public, every connection ends there."""

    def dialler(address: str, port: int, seconds: float) -> socket.socket:
        return socket.create_connection(("127.0.0.1", server.port), seconds)

    return dataclasses.replace(
        CLI_POLICY, tries=1, resolver=lambda host, port: ["93.184.216.34"], dialler=dialler, **changes
    )


def refused(url: str, policy: FetchPolicy) -> PasserbyError:
    with pytest.raises(PasserbyError) as caught:
        fetch(url, policy)
    return caught.value


# --- what is a URL ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://host/a.jpg", True),
        ("  HTTP://host", True),
        ("rtsp://camera/1", True),
        ("http:/host", True),
        ("data:image/png;base64,AAAA", True),
        ("//host/a.jpg", False),
        ("C:\\a.jpg", False),
        ("C:/a.jpg", False),
        ("c://a.jpg", False),
        ("folder/a.jpg", False),
        ("12:30.jpg", False),
        ("note:1.jpg", False),
        ("", False),
    ],
)
def test_is_url(text: str, expected: bool) -> None:
    assert is_url(text) is expected


@unhurried
@given(st.text(max_size=200))
def test_any_text_is_a_target_or_a_named_error(text: str) -> None:
    try:
        target = parse_url(text)
    except FetchError as error:
        assert error.name in ("url_invalid", "url_forbidden")
    else:
        assert target.path.isascii() and " " not in target.path and target.path.startswith("/")
        assert target.host.isascii() and 1 <= target.port <= 65535
        assert parse_url(target.url).url == target.url


@unhurried
@given(st.text("abcxyz:/@?#.\\ ", max_size=60))
def test_secrets_do_not_show(text: str) -> None:
    secret = "s3cretpw"
    for url in (
        f"http://me:{secret}@host/{text.split('@')[0]}",
        f"https://host/?{text}{secret}",
        f"ftp://{secret}@host",
    ):
        assert secret not in bare_url(url)
        try:
            parse_url(url)
        except FetchError as error:
            assert secret not in error.message and secret not in str(error.input)


# --- which addresses are public ---------------------------------------------------------------------------------


@unhurried
@given(st.ip_addresses(v=4))
def test_addresses_that_carry_another_are_judged_by_it(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    for outer in (0xFFFF << 32, 0x64FF9B << 96):
        assert is_public(str(ipaddress.IPv6Address(outer | number))) is is_public(str(inner))
    assert is_public(str(ipaddress.IPv6Address(0x2002 << 112 | number << 80))) is is_public(str(inner))
    assert not is_public(str(ipaddress.IPv6Address(number)))


@unhurried
@given(st.ip_addresses())
def test_what_the_standard_library_calls_private_is_not_public(address: Any) -> None:
    if address.is_loopback or address.is_private or address.is_multicast or address.is_link_local:
        assert not is_public(str(address)) or getattr(address, "ipv4_mapped", None) is not None


def spellings(rng: random.Random) -> Iterator[str]:
    """Hosts that mean a forbidden place to some parser somewhere (S4)."""
    addresses = ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.7", "172.20.0.1", "0.0.0.0", "100.64.9.9"]
    digits = "0123456789"
    wide, circled = "０１２３４５６７８９", "⓪①②③④⑤⑥⑦⑧⑨"
    while True:
        parts = [int(p) for p in rng.choice(addresses).split(".")]
        number = int.from_bytes(bytes(parts), "big")
        written = [
            rng.choice([str(p), f"{p:#x}", f"0{p:o}", f"{p:03d}", f"{p:#X}", f"{p + 256}", f" {p}", f"{p}%00"])
            for p in parts
        ]
        text = rng.choice(
            [
                ".".join(written),
                ".".join([*written[:2], str(parts[2] << 8 | parts[3])]),
                str(number),
                f"{number:#x}",
                f"0{number:o}",
                ".".join(map(str, parts)).translate(str.maketrans(digits, rng.choice([wide, circled]))),
                rng.choice(["。", "．", "｡"]).join(map(str, parts)),
                f"[::ffff:{'.'.join(map(str, parts))}]",
                f"[::{number >> 16:x}:{number & 0xFFFF:x}]",
                f"[64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}]",
                f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::1]",
                f"[0:0:0:0:0:ffff:{number >> 16:x}:{number & 0xFFFF:x}]",
                f"[fe80::{number & 0xFFFF:x}%25eth0]",
                f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}%1]",
            ]
        )
        yield (
            rng.choice(["", "", "", "user@", "public.test@", "public.test:80@", "a\\@", "public.test#@"])
            + text
            + rng.choice(["", "", "", ".", ":80", ":443", ":", "%2e", "\t", "/", "?"])
        )


def test_no_spelling_of_a_forbidden_host_is_dialled() -> None:
    dialled: list[str] = []

    def dialler(address: str, port: int, seconds: float) -> socket.socket:
        dialled.append(address)
        raise ConnectionRefusedError

    def resolver(host: str, port: int) -> list[str]:
        # As a system resolver does: whatever inet_aton understands is an address to it.
        try:
            return [socket.inet_ntoa(socket.inet_aton(host))]
        except OSError:
            raise socket.gaierror(socket.EAI_NONAME, "unknown") from None

    policy = dataclasses.replace(SERVER_POLICY, resolver=resolver, dialler=dialler)
    rng = random.Random(20240917)
    texts = spellings(rng)
    names: dict[str, int] = {}
    for _ in range(10_000):
        error = refused(f"{rng.choice(['http', 'https'])}://{next(texts)}/a.jpg", policy)
        names[error.name] = names.get(error.name, 0) + 1
    assert dialled == [] and set(names) <= {"url_invalid", "url_forbidden", "address_forbidden", "fetch_dns"}
    assert min(names["url_invalid"], names["address_forbidden"]) > 500


# --- reading answers --------------------------------------------------------------------------------------------


@unhurried
@given(st.binary(max_size=600))
def test_any_bytes_are_an_answer_or_refused(data: bytes) -> None:
    for prefix in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"):
        stream = io.BytesIO(prefix + data)
        try:
            head = read_head(stream)
            for piece in unpacked(read_body(stream, head), head):
                assert len(piece) <= 64 * 1024
        except (Malformed, EndedEarly):
            pass


@unhurried
@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8))
def test_chunks_come_back_joined(chunks: list[bytes]) -> None:
    sent = b"".join(b"%X;name=value\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\nTrailer: x\r\n\r\nnext"
    stream = io.BytesIO(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + sent)
    assert b"".join(read_body(stream, read_head(stream))) == b"".join(chunks)
    assert stream.read() == b"next"


def test_interim_answers_are_passed_over() -> None:
    stream = io.BytesIO(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3 + b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n")
    head = read_head(stream)
    assert head.status == 200 and head.headers == (("a", "b"),)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabcde\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5000,
    ],
)
def test_unclear_answers_are_refused(answer: bytes) -> None:
    stream = io.BytesIO(answer)
    with pytest.raises(Malformed):
        list(read_body(stream, read_head(stream)))


# --- TLS --------------------------------------------------------------------------------------------------------


def test_https_with_a_root_of_our_own(authority: trustme.CA, ca_file: Path) -> None:
    with CorpusServer({"/a": GOOD}, tls=context_for(authority, "public.test")) as server:
        policy = leads_to(server, ca_file=ca_file)
        assert fetch("https://public.test/a", policy) == BODY
        assert server.requests[0].over_tls and server.requests[0].headers["host"] == "public.test"


def test_certificate_of_another_name(authority: trustme.CA, ca_file: Path) -> None:
    with CorpusServer({"/a": GOOD}, tls=context_for(authority, "other.test")) as server:
        error = refused("https://public.test/a", leads_to(server, ca_file=ca_file))
    assert error.name == "fetch_tls" and server.requests == []


def test_ca_file_that_is_none(authority: trustme.CA, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    with CorpusServer({"/a": GOOD}, tls=context_for(authority, "public.test")) as server:
        for path in (tmp_path / "bad.pem", tmp_path / "missing.pem"):
            error = refused("https://public.test/a", leads_to(server, ca_file=path))
            assert error.name == "fetch_tls" and "--ca-file" in error.message


# --- proxies ----------------------------------------------------------------------------------------------------


def test_proxy_gets_the_whole_url(monkeypatch: pytest.MonkeyPatch) -> None:
    with CorpusServer({"http://public.test/a": GOOD}) as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:pw@127.0.0.1:{proxy.port}")
        assert fetch("http://public.test/a?b=1", dataclasses.replace(CLI_POLICY, resolver=no_names)) == BODY
    (request,) = proxy.requests
    assert request.path == "http://public.test/a?b=1" and request.headers["host"] == "public.test"
    assert base64.b64decode(request.headers["proxy-authorization"].removeprefix("Basic ")) == b"me:pw"


def no_names(host: str, port: int) -> list[str]:
    raise AssertionError(f"behind a proxy the name {host} is the proxy's business")


def test_redirect_behind_a_proxy_to_a_private_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with CorpusServer({"http://public.test/a": {"status": 302, "headers": {"Location": "http://10.0.0.1/"}}}) as proxy:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
        error = refused("http://public.test/a", dataclasses.replace(CLI_POLICY, resolver=no_names))
    assert error.name == "address_forbidden" and len(proxy.requests) == 1


class Tunnel:
    """A proxy that answers CONNECT and then passes bytes on to one server."""

    def __init__(self, target: CorpusServer, status: str = "200 Connection established") -> None:
        self._target, self._status = target, status
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client, socket.create_connection(("127.0.0.1", self._target.port)) as server:
            request = read_request(client)
            assert request is not None
            self.asked.append(f"{request.method} {request.path}")
            client.sendall(f"HTTP/1.1 {self._status}\r\n\r\n".encode())
            back = threading.Thread(target=self._pass, args=(server, client), daemon=True)
            back.start()
            self._pass(client, server)
            back.join(timeout=5)
        self._listener.close()

    @staticmethod
    def _pass(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_https_goes_through_a_tunnel(authority: trustme.CA, ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with CorpusServer({"/a": GOOD}, tls=context_for(authority, "public.test")) as server:
        tunnel = Tunnel(server)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{tunnel.port}")
        assert (
            fetch("https://public.test/a", dataclasses.replace(CLI_POLICY, ca_file=ca_file, resolver=no_names)) == BODY
        )
    assert tunnel.asked == ["CONNECT public.test:443"]
    assert server.requests[0].path == "/a" and "proxy-authorization" not in server.requests[0].headers


def test_proxy_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with CorpusServer({}) as server:
        tunnel = Tunnel(server, "407 Proxy Authentication Required")
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{tunnel.port}")
        error = refused("https://public.test/a", dataclasses.replace(CLI_POLICY, tries=1, resolver=no_names))
    assert error.name == "fetch_connect" and "407" in error.message


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({"http_proxy": "http://p:1"}, "http://host/", "p"),
        ({"HTTP_PROXY": "p:1"}, "http://host/", "p"),
        ({"http_proxy": "http://p:1", "HTTP_PROXY": "http://q:1"}, "http://host/", "p"),
        ({"http_proxy": "http://p:1"}, "https://host/", None),
        ({"all_proxy": "http://p:1"}, "https://host/", "p"),
        ({"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, "http://host/", None),
        ({"http_proxy": "http://p:1"}, "http://localhost/", None),
        ({"http_proxy": "http://p:1"}, "http://127.0.0.1:8000/", None),
        ({"http_proxy": "http://p:1"}, "http://[::1]/", None),
        ({"http_proxy": "http://p:1", "no_proxy": "host"}, "http://host/", None),
        ({"http_proxy": "http://p:1", "no_proxy": "other, .example.com"}, "http://a.example.com/", None),
        ({"http_proxy": "http://p:1", "no_proxy": "example.com"}, "http://badexample.com/", "p"),
        ({"http_proxy": "http://p:1", "NO_PROXY": "*"}, "http://host/", None),
        ({"http_proxy": "http://p:1", "no_proxy": "host:8080"}, "http://host/", "p"),
        ({"http_proxy": "http://p:1", "no_proxy": "0.0.1"}, "http://10.0.0.1/", "p"),
    ],
)
def test_proxy_variables(environment: dict[str, str], url: str, expected: str | None) -> None:
    proxy = proxy_for(parse_url(url), environment)
    assert (proxy.host if proxy else None) == expected


@pytest.mark.parametrize("value", ["socks5://p:1", "https://p:1", "http://", "\x00"])
def test_proxy_that_cannot_be_used(value: str) -> None:
    with pytest.raises(FetchError) as caught:
        proxy_for(parse_url("http://host/"), {"http_proxy": value})
    assert caught.value.name == "fetch_connect" and "http_proxy" in caught.value.message


# --- time and names ---------------------------------------------------------------------------------------------


def test_slow_name_server_has_an_end() -> None:
    policy = dataclasses.replace(CLI_POLICY, total_s=0.2, resolver=lambda host, port: time.sleep(5) or [])
    started = time.monotonic()
    assert refused("http://public.test/", policy).name == "fetch_timeout"
    assert time.monotonic() - started < 2


def test_second_address_is_tried() -> None:
    with CorpusServer({"/a": GOOD}) as server:

        def dialler(address: str, port: int, seconds: float) -> socket.socket:
            if address == "93.184.216.34":
                raise ConnectionRefusedError
            return socket.create_connection(("127.0.0.1", server.port), seconds)

        policy = dataclasses.replace(
            CLI_POLICY, resolver=lambda host, port: ["93.184.216.34", "93.184.216.35"], dialler=dialler
        )
        assert fetch("http://public.test/a", policy) == BODY


def test_one_deadline_for_all_tries() -> None:
    policy = dataclasses.replace(CLI_POLICY, total_s=1.2)
    started = time.monotonic()
    assert refused(f"http://127.0.0.1:{closed_port()}/", policy).name == "fetch_connect"
    assert time.monotonic() - started < 2


def test_wall_clock_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """R11: the wall clock jumps by years while a fetch runs."""
    real = time.time
    for jump in (86_400, -86_400, 157_680_000, -157_680_000):
        monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
        with CorpusServer({"/a": GOOD | {"drip": {"bytes": 2000, "every_s": 0.05}}}) as server:
            assert fetch(server.url("/a")) == BODY
        with CorpusServer({"/a": GOOD | {"delay_s": 5}}) as server:
            started = time.monotonic()
            assert refused(server.url("/a"), dataclasses.replace(CLI_POLICY, total_s=0.3)).name == "fetch_timeout"
            # Never early; late only by what a busy machine adds, which is far from a day.
            assert 0.3 <= time.monotonic() - started < 3


def test_login_goes_to_its_host_only() -> None:
    routes = {
        "/a": {"status": 302, "headers": {"Location": "/b"}},
        "/b": {"status": 302, "headers": {"Location": "http://localhost:{port}/c"}},
        "/c": GOOD,
    }
    with CorpusServer(routes) as server:
        assert fetch(f"http://me:p%40ss@127.0.0.1:{server.port}/a") == BODY
    logins = [request.headers.get("authorization") for request in server.requests]
    expected = "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert logins == [expected, expected, None]


def test_errors_keep_no_secret() -> None:
    with CorpusServer({}) as server:
        error = refused(f"http://me:s3cret@127.0.0.1:{server.port}/a?token=s3cret#s3cret", CLI_POLICY)
    assert error.name == "fetch_status" and "s3cret" not in repr(error) + error.message


def test_allowed_places_in_any_case() -> None:
    with CorpusServer({"/a": GOOD}) as server:
        policy = dataclasses.replace(
            SERVER_POLICY, allow=(f"LocalHost:{server.port}",), resolver=lambda host, port: ["127.0.0.1"]
        )
        assert fetch(f"http://LOCALHOST:{server.port}/a", policy) == BODY


def test_empty_answer_is_an_empty_input() -> None:
    with CorpusServer({"/a": {"status": 200, "body": {"text": ""}}}) as server, pytest.raises(InputError) as caught:
        fetch(server.url("/a"))
    assert caught.value.name == "input_empty"


def test_no_socket_and_no_thread_is_left() -> None:
    """After good and bad answers alike; an unclosed socket would be a warning, and warnings are errors."""
    routes = {
        "/good": GOOD,
        "/cut": GOOD | {"cut_after": 10},
        "/bad": {"raw": "SSH-2.0\r\n"},
        "/loop": {"status": 302, "headers": {"Location": "/loop"}},
    }
    policy = dataclasses.replace(CLI_POLICY, tries=1, max_bytes=len(BODY) - 1)
    before = threading.active_count()
    with CorpusServer(routes) as server:
        for path in routes:
            refused(server.url(path), policy)
    assert threading.active_count() <= before
