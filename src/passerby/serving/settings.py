# SPDX-License-Identifier: Apache-2.0
"""Every option and every limit of the service, in one frozen record that crosses process boundaries.

The command line fills it, the front process and the workers read it. Imports nothing heavy: no engine, no web library.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engines.threads import available_threads
from ..errors import ArgumentError, shown

MIB = 1 << 20
KEY_LENGTH = 12
"""Characters a key must have at least."""

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_LABELS = ("paddle", "en", "zh", "both")
_WHOLE = {  # option: lowest, highest
    "port": (0, 65535),
    "workers": (1, 256),
    "threads": (1, 1024),
    "queue": (1, 100_000),
    "max_body": (1024, 1024 * MIB),
    "max_bodies": (1024, 1024 * 1024 * MIB),
    "max_pixels": (1, 178_956_970),
    "max_pictures": (1, 4096),
    "max_header_bytes": (256, MIB),
    "max_header_lines": (1, 10_000),
    "max_request_line": (64, MIB),
    "max_connections": (1, 100_000),
}
_SECONDS = ("deadline_s", "drain_s", "header_s", "body_s", "write_s", "idle_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What the service was told at its start. Nothing a client sends changes any of it.

    Attributes:
        pipeline: name or YAML file; None: the built-in pipeline. device, use_hpip, hpi_config: as in `create_pipeline`.
        labels: language of label texts where a request names none.
        host, port: where to listen; port 0 takes a free one.
        workers: worker processes, each with a warm pipeline; None: one for two cores, at least one.
        threads: threads that compute in one worker; None: cores divided by workers, at least one.
        api_keys: keys of which a request must show one; empty: none is asked for.
        insecure: listen beyond loopback without a key.
        cors_origins: web origins, such as `https://a.test`, whose pages may call the service.
        allowed_hosts: further host names that requests may name; loopback names and `host` always may.
        trusted_proxies: addresses or networks whose `X-Forwarded-For` is believed.
        tls_cert, tls_key: PEM files; both or none.
        fetch: whether requests may name URLs. fetch_allow: `host:port` pairs exempt from the rules on ports and
            addresses. ca_file: PEM file with a root certificate trusted for https URLs beside the system's.
        rate_limit: requests a second that each client may make, and as many at once; None: no limit.
        queue: requests that may wait for a worker.
        deadline_s: seconds from a request's arrival to its answer. drain_s: seconds to finish after SIGTERM.
        max_body: bytes of one request's body. max_bodies: bytes of all bodies in memory together.
        max_pixels: pixels of one picture. max_pictures: pictures of one request.
        max_header_bytes, max_header_lines, max_request_line: of a request's head.
        header_s: seconds from a request's first byte (or the connection's start) to the end of its head.
        body_s: seconds for its body. write_s: seconds a client may leave an answer unread. idle_s: seconds without a
            request on a kept connection.
        max_connections: beyond it the one idle longest is closed.
        log_client: client addresses in the access log. page: the page at `/`. quiet: no access log.
    """

    pipeline: str | None = None
    device: str | None = None
    use_hpip: bool = False
    hpi_config: Mapping[str, Any] | None = None
    labels: str = "paddle"
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int | None = None
    threads: int | None = None
    api_keys: tuple[str, ...] = ()
    insecure: bool = False
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    fetch: bool = True
    fetch_allow: tuple[str, ...] = ()
    ca_file: Path | None = None
    rate_limit: float | None = None
    queue: int = 64
    deadline_s: float = 30.0
    drain_s: float = 30.0
    max_body: int = 32 * MIB
    max_bodies: int = 512 * MIB
    max_pixels: int = 64_000_000
    max_pictures: int = 32
    max_header_bytes: int = 16 * 1024
    max_header_lines: int = 100
    max_request_line: int = 8 * 1024
    header_s: float = 10.0
    body_s: float = 30.0
    write_s: float = 30.0
    idle_s: float = 15.0
    max_connections: int = 1100
    log_client: bool = False
    page: bool = True
    quiet: bool = False

    def __post_init__(self) -> None:
        """
        Raises:
            ArgumentError: `bad_argument`, an option that cannot be right, or two that cannot stand together.
        """
        for name, (lowest, highest) in _WHOLE.items():
            _check_whole(name, getattr(self, name), lowest, highest)
        for name in _SECONDS:
            _check_seconds(name, getattr(self, name))
        if self.labels not in _LABELS:
            raise _wrong("labels", self.labels, f"use one of {', '.join(_LABELS)}")
        if self.rate_limit is not None and not 0 < self.rate_limit < 1e6:
            raise _wrong("rate_limit", self.rate_limit, "give requests a second, such as 10")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ArgumentError("bad_argument", "--tls-cert and --tls-key belong together", hint="give both")
        if self.max_bodies < self.max_body:
            raise _wrong("max_bodies", self.max_bodies, f"it must hold one body of --max-body {self.max_body}")
        _check_keys(self.api_keys)
        _check_texts(self)
        if not self.is_loopback and not self.api_keys and not self.insecure:
            hint = "give --api-key-file FILE, or --insecure if everybody who reaches the port may use it"
            raise ArgumentError("bad_argument", f"--host {shown(self.host)} is open to others without a key", hint=hint)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        if self.host in LOOPBACK_NAMES:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def scheme(self) -> str:
        return "http" if self.tls_cert is None else "https"

    @property
    def worker_count(self) -> int:
        """Worker processes to start."""
        return self.workers or max(1, available_threads() // 2)

    @property
    def threads_per_worker(self) -> int:
        """Threads that compute in each of them."""
        return self.threads or max(1, available_threads() // self.worker_count)


def _flag(name: str) -> str:
    """The flag of the command line behind an option.

    >>> _flag("idle_s"), _flag("drain_s")
    ('--idle-time', '--drain')
    """
    plain = name.removesuffix("_s") if name in ("deadline_s", "drain_s") else re.sub(r"_s$", "_time", name)
    return "--" + plain.replace("_", "-")


def _wrong(name: str, value: object, hint: str) -> ArgumentError:
    return ArgumentError("bad_argument", f"{_flag(name)} is {shown(value)}", hint=hint)


def _check_whole(name: str, value: object, lowest: int, highest: int) -> None:
    if value is None and name in ("workers", "threads"):
        return
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise _wrong(name, value, f"give a whole number from {lowest} to {highest}")


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(name, value, "give seconds")
    if not 0 < value <= 86400:
        raise _wrong(name, value, "give seconds, more than 0 and at most 86400")


def _check_keys(keys: tuple[str, ...]) -> None:
    """A key travels in a header, so it is printable ASCII; no message ever shows one."""
    for key in keys:
        if len(key) < KEY_LENGTH:
            raise ArgumentError(
                "bad_argument", f"an API key has {len(key)} characters", hint=f"use {KEY_LENGTH} or more"
            )
        if not re.fullmatch(r"[\x21-\x7e]+", key):
            raise ArgumentError(
                "bad_argument", "an API key holds other signs than printable ASCII", hint="make it anew"
            )


def _check_texts(settings: ServerSettings) -> None:
    """Lists whose entries have a form."""
    for origin in settings.cors_origins:
        if not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", origin):
            raise _wrong("cors_origin", origin, "write it as browsers do: https://name or https://name:port")
    for pair in settings.fetch_allow:
        if not re.fullmatch(r"\S+:\d{1,5}", pair):
            raise _wrong("fetch_allow", pair, "write host:port")
    for name in settings.allowed_hosts:
        if not re.fullmatch(r"[A-Za-z0-9.\-\[\]:]+", name):
            raise _wrong("allowed_host", name, "write a host name without a scheme")
    for network in settings.trusted_proxies:
        _check_network(network)


def _check_network(text: str) -> None:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise _wrong("trusted_proxy", text, "write an address such as 10.0.0.2 or 10.0.0.0/8") from None
