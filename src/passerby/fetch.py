"""The one place that opens connections: pictures behind URLs, and model files to download.

Two policies. On the command line the user chooses the URL: private addresses and logins are fine, proxies of the
environment are used. On the server strangers choose it: public addresses on ports 80 and 443 only, no login, no proxy,
one try. On both, a name is resolved once, every address of the answer is judged, and the address that was judged is the
one that is dialled, with the name in Host and SNI; each redirect starts at the top, and one that leads from a public
place to a private one is refused. One deadline covers everything: names, connections, redirects, tries and waits.

Standard library only: httpx and urllib3 pick the address themselves inside the connection, read no further than a
timeout per read, and would be one more base dependency; the rules here need about as many lines on top of them.
`urls` judges the text, `http_reply` reads the answer.
"""

from __future__ import annotations

import contextlib
import functools
import io
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

from .deadline import Deadline, TimedReader
from .errors import FetchError, InputError, shown
from .http_reply import EndedEarly, Head, Malformed, content_length, placed, read_body, read_head, unpacked
from .http_request import proxy_for, request_bytes, tunnel_bytes
from .urls import PlaceRule, Target, bare_url, is_public, is_url, parse_url

__all__ = ["CLI_POLICY", "DOWNLOAD_POLICY", "SERVER_POLICY", "Download", "FetchPolicy", "Temporary", "fetch"]
__all__ += ["is_url", "open_download"]

Resolver = Callable[[str, int], Sequence[str]]
"""Host and port to addresses, as text; raises OSError for a name that does not exist."""

Dialler = Callable[[str, int, float], socket.socket]
"""Address, port and seconds to a connected socket; raises OSError."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})
PASSING_STATUSES = frozenset({429, 500, 502, 503, 504})
SERVER_PORTS = frozenset({80, 443})
MIB = 1 << 20


def resolve(host: str, port: int) -> list[str]:
    """All addresses of a name, in the system's order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def dial(address: str, port: int, seconds: float) -> socket.socket:
    """Connect to an address; nothing is looked up here."""
    return socket.create_connection((address, port), timeout=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPolicy:
    """What may be fetched and how long it may take.

    Attributes:
        where: `cli` (the user chose the URL) or `server` (a stranger did).
        allow: `host:port` pairs, as written in URLs, that are exempt from the rules on ports and addresses.
        enabled: False refuses every URL.
        connect_s: seconds for one connection. total_s: seconds for everything, None for no such limit.
        idle_s: seconds without a byte, None for no such limit.
        max_bytes: size of the unpacked body.
        tries: how often in all; waits_s: seconds before the second, third, ... try, unless the server names them.
        redirects: how many are followed.
        ca_file: PEM file with a root certificate that is trusted beside the system's.
        proxies: whether the proxy variables of the environment count.
        resolver, dialler: the two calls that reach the network.
    """

    where: Literal["cli", "server"] = "cli"
    allow: tuple[str, ...] = ()
    enabled: bool = True
    connect_s: float = 5.0
    total_s: float | None = 30.0
    idle_s: float | None = None
    max_bytes: int = 128 * MIB
    tries: int = 3
    waits_s: tuple[float, ...] = (0.5, 1.0)
    redirects: int = 5
    ca_file: Path | None = None
    proxies: bool = True
    resolver: Resolver = resolve
    dialler: Dialler = dial


CLI_POLICY = FetchPolicy()
SERVER_POLICY = FetchPolicy(where="server", total_s=10.0, max_bytes=24 * MIB, tries=1, proxies=False)
DOWNLOAD_POLICY = FetchPolicy(total_s=None, idle_s=30.0, max_bytes=1024 * MIB, tries=1)


class Temporary(Exception):
    """A failure that another try may cure: the error to raise when there is none, and the seconds to wait if the
    server named them."""

    def __init__(self, error: FetchError, wait_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """An open answer with a large body.

    Attributes:
        start: place of the first byte of `chunks` in the file: what was asked for, or 0 when the server began anew.
        total: size of the whole file in bytes, None when unknown.
        validator: strong ETag, to ask for the rest of the same file later.
        chunks: the bytes, in pieces; raises FetchError, or Temporary when another try may help.
    """

    start: int
    total: int | None
    validator: str | None
    chunks: Iterator[bytes]


def fetch(url: str, policy: FetchPolicy = CLI_POLICY) -> bytes:
    """The bytes behind a URL, at most `policy.max_bytes`.

    Raises:
        FetchError: url_invalid, url_forbidden, address_forbidden, fetch_dns, fetch_connect, fetch_tls, fetch_timeout,
            fetch_status, fetch_redirects, fetch_too_large, fetch_incomplete.
        InputError: `input_empty`, the answer has no content.
    """
    deadline = Deadline(policy.total_s)
    for attempt in range(policy.tries):
        try:
            with _answer(url, policy, deadline) as answer:
                return _whole_body(answer, policy)
        except Temporary as failure:
            wait = failure.wait_s
            if wait is None:
                wait = policy.waits_s[min(attempt, len(policy.waits_s) - 1)] if policy.waits_s else 0.0
            if attempt + 1 >= policy.tries or wait >= deadline.left():
                raise failure.error from None
        time.sleep(wait)
    raise AssertionError("tries is at least 1")


@contextlib.contextmanager
def open_download(
    url: str, policy: FetchPolicy = DOWNLOAD_POLICY, *, start: int = 0, validator: str | None = None
) -> Iterator[Download]:
    """Open a large file for reading piece by piece, from byte `start` on if the server can do that.

    Args:
        validator: `Download.validator` of the earlier part; with it, a server sends a changed file from its beginning.
    Raises:
        FetchError, Temporary: as `fetch`, one try.
    """
    asked = {"Range": f"bytes={start}-"} if start else {}
    if start and validator:
        asked["If-Range"] = validator
    with contextlib.ExitStack() as stack:
        answer = stack.enter_context(_answer(url, policy, Deadline(policy.total_s), asked))
        if start and answer.head.status == 416:
            start = 0
            answer = stack.enter_context(_answer(url, policy, Deadline(policy.total_s)))
        _check_status(answer, *((200, 206) if start else (200,)))
        with _named(answer.target, "fetch_incomplete"):
            begin, total = placed(answer.head, start)
        etag = answer.head.first("etag")
        yield Download(
            start=begin,
            total=total,
            validator=etag if etag and etag.startswith('"') else None,
            chunks=_body(answer, policy.max_bytes - begin, packed=False),
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    target: Target
    head: Head
    stream: BinaryIO


def _error(name: str, happened: str, target: Target, hint: str | None = None) -> FetchError:
    return FetchError(name, happened, input=target.shown, hint=hint)


@contextlib.contextmanager
def _named(target: Target, broken: str) -> Iterator[None]:
    """Give everything that goes wrong on the wire its name; `broken` is the one for a lost connection."""
    try:
        yield
    except Malformed as reason:
        raise _error("fetch_incomplete", str(reason), target) from None
    except EndedEarly as reason:
        raise Temporary(_error("fetch_incomplete", str(reason), target)) from None
    except TimeoutError:
        raise Temporary(_error("fetch_timeout", "the server took too long", target)) from None
    except ssl.SSLError as reason:
        raise _tls_error(reason, target) from None
    except OSError as reason:
        happened = f"the connection failed ({shown(reason.strerror or 'closed', 60)})"
        raise Temporary(_error(broken, happened, target)) from None


def _tls_error(reason: ssl.SSLError, target: Target) -> FetchError:
    if isinstance(reason, ssl.SSLCertVerificationError):
        happened = f"the server's certificate is not trusted ({shown(reason.verify_message, 60)})"
        return _error("fetch_tls", happened, target, "--ca-file adds a root certificate")
    why = shown((reason.reason or "handshake failed").lower().replace("_", " "), 60)
    return _error("fetch_tls", f"no secure connection ({why})", target, "is the server's port one for https?")


@contextlib.contextmanager
def _answer(
    url: str, policy: FetchPolicy, deadline: Deadline, asked: dict[str, str] | None = None
) -> Iterator[_Answer]:
    """Follow redirects from `url` to an answer that is none; its connection is open inside the `with`."""
    if not policy.enabled:
        raise FetchError("url_forbidden", "URLs are switched off here", input=bare_url(url))
    target, login, from_public = _target(url, policy, None), None, False
    login = target.login
    for _ in range(policy.redirects + 1):
        with contextlib.ExitStack() as stack:
            connection, proxy, public = _connect(target, policy, deadline, from_public)
            stack.callback(connection.close)
            with _named(target, "fetch_connect"):
                if target.scheme == "https":
                    connection = stack.enter_context(_secured(connection, target, policy, deadline))
                connection.settimeout(deadline.timeout())
                via = proxy if target.scheme == "http" else None
                connection.sendall(request_bytes(target, login=login, proxy=via, asked=asked))
                reader = TimedReader(connection, deadline, policy.idle_s)
                stream = cast(BinaryIO, io.BufferedReader(reader, 64 * 1024))
                head = read_head(stream)
            if head.status not in REDIRECTS or not head.first("location"):
                yield _Answer(target, head, stream)
                return
        following = _target(head.first("location") or "", policy, target.url)
        login = following.login or (login if following.origin == target.origin else None)
        target, from_public = following, from_public or public
    raise _error("fetch_redirects", f"more than {policy.redirects} redirects", target)


def _target(url: str, policy: FetchPolicy, base: str | None) -> Target:
    if policy.where == "cli":
        return parse_url(url, base=base)
    return parse_url(url, base=base, rule=PlaceRule(ports=SERVER_PORTS, allow=_allowed(policy)))


def _allowed(policy: FetchPolicy) -> frozenset[str]:
    return frozenset(place.lower() for place in policy.allow)


def _connect(
    target: Target, policy: FetchPolicy, deadline: Deadline, from_public: bool
) -> tuple[socket.socket, Target | None, bool]:
    """A connection to the target or to its proxy, that proxy, and whether the place is a public one."""
    strict = (policy.where == "server" or from_public) and target.host_port not in _allowed(policy)
    proxy = proxy_for(target) if policy.proxies else None
    if proxy is not None:
        # The proxy resolves the name; only an address that is written out can be judged here.
        public = not target.literal or is_public(target.host)
        _check_addresses(target, [target.host] if target.literal else [], strict)
        addresses = _addresses(proxy, policy, deadline)
    else:
        addresses = _addresses(target, policy, deadline)
        public = all(is_public(address) for address in addresses)
        _check_addresses(target, addresses, strict)
    place = proxy or target
    connection = _dialled(place, addresses, policy, deadline)
    if proxy is not None and target.scheme == "https":
        with _named(target, "fetch_connect"), contextlib.ExitStack() as undo:
            undo.callback(connection.close)
            _tunnel(connection, target, proxy, deadline)
            undo.pop_all()
    return connection, proxy, public


def _check_addresses(target: Target, addresses: Sequence[str], strict: bool) -> None:
    if strict and not all(is_public(address) for address in addresses):
        # The address itself is not shown: it would tell strangers about the inside of a network.
        raise _error("address_forbidden", "the host is not on the public internet", target)


def _addresses(place: Target, policy: FetchPolicy, deadline: Deadline) -> list[str]:
    """The addresses of a host; looked up in a thread of its own, because the system's call knows no deadline."""
    if place.literal:
        return [place.host]
    answers: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(policy.resolver(place.host, place.port))
        except Exception as reason:
            answers.put(reason)

    threading.Thread(target=ask, daemon=True, name="passerby-resolve").start()
    try:
        answer = answers.get(timeout=deadline.timeout(policy.idle_s))
    except (queue.Empty, TimeoutError):
        raise _error("fetch_timeout", "the name server took too long", place) from None
    if isinstance(answer, OSError | UnicodeError) or (not isinstance(answer, Exception) and not answer):
        raise _error("fetch_dns", "the host's name is unknown", place, "check the spelling and the network")
    if isinstance(answer, Exception):
        raise answer
    return list(answer)


def _dialled(place: Target, addresses: Sequence[str], policy: FetchPolicy, deadline: Deadline) -> socket.socket:
    """A connection to the first address that answers."""
    *others, last = addresses
    for address in others:
        with contextlib.suppress(OSError):
            return policy.dialler(address, place.port, deadline.timeout(policy.connect_s) or policy.connect_s)
    with _named(place, "fetch_connect"):
        return policy.dialler(last, place.port, deadline.timeout(policy.connect_s) or policy.connect_s)
    raise AssertionError("unreachable")


@functools.lru_cache(maxsize=4)
def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    """The system's roots and one more; kept, because reading them takes longer than most handshakes."""
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


def _secured(connection: socket.socket, target: Target, policy: FetchPolicy, deadline: Deadline) -> ssl.SSLSocket:
    try:
        context = _trusting(policy.ca_file)
    except (OSError, ssl.SSLError):
        raise _error("fetch_tls", "the --ca-file cannot be read as PEM certificates", target) from None
    connection.settimeout(deadline.timeout(policy.connect_s))
    try:
        return context.wrap_socket(connection, server_hostname=target.host.rstrip("."))
    except ConnectionError:
        raise _error("fetch_tls", "the server closed the connection in the handshake", target) from None


def _tunnel(connection: socket.socket, target: Target, proxy: Target, deadline: Deadline) -> None:
    connection.settimeout(deadline.timeout())
    connection.sendall(tunnel_bytes(target, proxy))
    # Nothing may follow the head before we speak, so what the buffer read ahead is not missed.
    head = read_head(cast(BinaryIO, io.BufferedReader(TimedReader(connection, deadline, None))))
    if head.status != 200:
        raise _error("fetch_connect", f"the proxy answered {head.status}", target)


def _check_status(answer: _Answer, *good: int) -> None:
    status = answer.head.status
    if status in good:
        return
    error = _error("fetch_status", f"the server answered {status}", answer.target)
    if status in PASSING_STATUSES:
        named = answer.head.first("retry-after") or ""
        raise Temporary(error, float(named) if named.isascii() and named.isdigit() else None)
    raise error


def _whole_body(answer: _Answer, policy: FetchPolicy) -> bytes:
    _check_status(answer, 200, 203, 204, 205)
    whole = bytearray()
    for piece in _body(answer, policy.max_bytes, packed=True):
        whole += piece
    if not whole:
        raise InputError("input_empty", "the answer has no content", input=answer.target.shown)
    return bytes(whole)


def _body(answer: _Answer, limit: int, *, packed: bool) -> Iterator[bytes]:
    """The unpacked body in pieces; `packed` says whether gzip is accepted."""
    with _named(answer.target, "fetch_incomplete"):
        announced = content_length(answer.head)
        pieces = read_body(answer.stream, answer.head)
        if packed:
            pieces = unpacked(pieces, answer.head)
        elif answer.head.first("content-encoding") not in (None, "", "identity"):
            raise Malformed("the answer is packed in a way nobody asked for")
        seen = announced or 0
        if seen <= limit:
            seen = 0
            for piece in pieces:
                seen += len(piece)
                if seen > limit:
                    break
                yield piece
    if seen > limit:
        raise _error("fetch_too_large", f"the answer is over {limit} bytes", answer.target)
