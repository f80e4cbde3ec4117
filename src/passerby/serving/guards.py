# SPDX-License-Identifier: Apache-2.0
"""Who may ask: the host that a request names, the web page it comes from, its key, and how often it comes.

Everything is judged by the head of a request, before a byte of its body is read. The guards know nothing of routes;
`app` calls them in order.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import time
from collections import OrderedDict

from starlette.datastructures import Headers
from starlette.types import Scope

from ..errors import ServerError, shown
from .settings import LOOPBACK_NAMES, ServerSettings

CLIENTS_REMEMBERED = 10_000
PREFLIGHT_S = 600
ALLOWED_HEADERS = "authorization, content-type"
DEFAULT_PORTS = {"http": "80", "https": "443"}

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{1,5}))?", re.IGNORECASE)


class HostGuard:
    """Lets a request through that names this machine.

    A web page can point a name of its own at 127.0.0.1 and then talk to the service as if it were its own server; the
    browser still sends that name in `Host`. Beyond loopback any name may lead here, so there the guard acts only
    when names were given.
    """

    def __init__(self, settings: ServerSettings) -> None:
        names = {*LOOPBACK_NAMES, settings.host, *settings.allowed_hosts}
        self._names = {bare.lower() for name in names if (bare := _host_name(name)) is not None}
        self._acts = settings.is_loopback or bool(settings.allowed_hosts)

    def check(self, scope: Scope, headers: Headers) -> None:
        """
        Raises:
            ServerError: `bad_request`, no Host or two; `host_not_allowed`, another host.
        """
        given = headers.getlist("host")
        if not given and scope["http_version"] == "1.0":
            return
        if len(given) != 1:
            raise ServerError("bad_request", "the request has no Host header, or several", hint="send one")
        if not self._acts:
            return
        name = _host_name(given[0])
        if name is None or not (name.lower() in self._names or _is_loopback(name)):
            raise ServerError(
                "host_not_allowed",
                f"Host {shown(given[0])} is not this service",
                hint="use its address, or start it with --allowed-host",
            )


class OriginGuard:
    """Keeps the pages of other web sites out, but for those that were named at the start."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._origins = {_origin(origin) for origin in origins}

    @property
    def names_any(self) -> bool:
        """Whether there is a page of another site that may call."""
        return bool(self._origins)

    def check(self, scheme: str, headers: Headers) -> str | None:
        """The origin of another site that may read the answer; None where no other site asks.

        Args:
            scheme: how the client speaks with us, `http` or `https`.
        Raises:
            ServerError: `origin_not_allowed`.
        """
        given = headers.getlist("origin")
        if not given:
            return None
        if len(given) == 1 and self.lists(given[0]):
            return given[0]
        if len(given) == 1 and _origin(given[0]) == _origin(f"{scheme}://{headers.get('host', '')}"):
            return None
        raise ServerError(
            "origin_not_allowed",
            f"a page of {shown(given[0])} may not call this service",
            hint="start it with --cors-origin to allow that",
        )

    def lists(self, origin: str) -> bool:
        """Whether the origin was named at the start."""
        return _origin(origin) in self._origins


def cors_headers(origin: str) -> dict[str, str]:
    """Headers that let a page of this origin read the answer."""
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "Retry-After",
        "Vary": "Origin",
    }


def preflight_headers(methods: str) -> dict[str, str]:
    """What the answer to a preflight allows beside the origin."""
    return {
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": ALLOWED_HEADERS,
        "Access-Control-Max-Age": str(PREFLIGHT_S),
    }


class KeyGuard:
    """Asks for one of the keys. Keys are compared by their digests, all of them, in time that says nothing of them."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._digests = [_digest(key.encode("utf-8")) for key in keys]

    def check(self, headers: Headers) -> None:
        """
        Raises:
            ServerError: `unauthorized`.
        """
        if not self._digests:
            return
        given = headers.getlist("authorization")
        scheme, _, key = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        digest = _digest(key.strip(" ").encode("latin-1"))
        right = sum(hmac.compare_digest(digest, own) for own in self._digests)
        if scheme.lower() != "bearer" or not right:
            raise ServerError(
                "unauthorized",
                "the key is missing or wrong",
                hint="send the header Authorization: Bearer KEY",
            )


class RateLimit:
    """A bucket of tokens for each client, as many as it gets in a second; one request takes one.

    Args:
        rate: requests a second; None: no limit.
    """

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._room = max(1.0, rate or 0)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, client: str, *, now: float | None = None) -> float:
        """Take a token; seconds until there is one where there is none, else 0.

        Args:
            client: its address.
            now: `time.monotonic()`.
        """
        if self._rate is None:
            return 0.0
        now = time.monotonic() if now is None else now
        name = _network(client)
        tokens, then = self._buckets.pop(name, (self._room, now))
        tokens = min(self._room, tokens + (now - then) * self._rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        self._buckets[name] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > CLIENTS_REMEMBERED:
            # the one that asked longest ago: its bucket is the fullest
            self._buckets.popitem(last=False)
        return wait


class Clients:
    """Finds out who asks: the peer of the connection, or whom a trusted proxy names."""

    def __init__(self, trusted: tuple[str, ...]) -> None:
        self._trusted = [ipaddress.ip_network(text, strict=False) for text in trusted]

    def address(self, scope: Scope, headers: Headers) -> str:
        """The client's address, empty where it is unknown.

        Of `X-Forwarded-For` the last address counts that is no trusted proxy: what stands before it anybody can write.
        """
        peer = str((scope.get("client") or ("",))[0])
        if not self._is_trusted(peer):
            return peer
        for part in reversed(",".join(headers.getlist("x-forwarded-for")).split(",")):
            address = part.strip()
            if _address(address) is None:
                break
            peer = address
            if not self._is_trusted(peer):
                break
        return peer

    def scheme(self, scope: Scope, headers: Headers) -> str:
        """How the client speaks with the outermost proxy that we trust: `http` or `https`."""
        peer = str((scope.get("client") or ("",))[0])
        said = headers.get("x-forwarded-proto", "").strip().lower()
        return said if said in DEFAULT_PORTS and self._is_trusted(peer) else str(scope["scheme"])

    def _is_trusted(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._trusted)


def _host_name(text: str) -> str | None:
    """The name of `name`, `name:port`, `[v6]` or `[v6]:port`, without brackets."""
    if ":" in text and _address(text) is not None:
        return text
    found = _HOST.fullmatch(text.strip())
    return None if found is None else found[1].strip("[]")


def _is_loopback(name: str) -> bool:
    address = _address(name)
    return address is not None and address.is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # a socket for both families shows IPv4 peers in this form
    return getattr(address, "ipv4_mapped", None) or address


def _network(client: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 that one IPv6 subscriber has."""
    address = _address(client)
    if address is None or address.version == 4:
        return client if address is None else str(address)
    return str(ipaddress.ip_network((address, 64), strict=False))


def _origin(text: str) -> str:
    """An origin in one spelling: lower case, the scheme's own port left out."""
    scheme, _, rest = text.lower().partition("://")
    return f"{scheme}://{rest.removesuffix(':' + DEFAULT_PORTS.get(scheme, ''))}"


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
