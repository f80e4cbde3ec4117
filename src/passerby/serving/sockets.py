# SPDX-License-Identifier: Apache-2.0
"""Where the service listens: sockets bound before anything is loaded, and the certificate of TLS."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from pathlib import Path
from types import TracebackType

from ..errors import ArgumentError, shown
from .settings import ServerSettings

log = logging.getLogger(__name__)

FILES_BESIDE = 256
"""Open files that are no connections of clients."""

UNREAD = 128 * 1024
"""Bytes of answers that the system keeps for one client. Left alone it keeps up to 4 MiB: a thousand clients that read
nothing took 1.6 GB and four seconds of a core, against 0.26 GB and one second."""


class Listening:
    """Bound sockets, which nobody can connect to until an event loop listens on them.

    Args:
        settings: host, port and certificate. A name with several addresses gets a socket for each.
    Attributes:
        sockets: bound, to be closed at the end of the block. tls: what speaks TLS, or None.
        most: connections at once, as many as the system has open files for.
        url: what people type.
    Raises:
        ArgumentError: `bad_argument`, the address cannot be had, or the certificate cannot be used.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.tls = None if settings.tls_cert is None else _tls(settings.tls_cert, settings.tls_key)
        self.sockets: list[socket.socket] = []
        try:
            self._bind(settings.host, settings.port)
        except OSError as reason:
            self.close()
            where = f"--host {shown(settings.host)} --port {settings.port}"
            said = reason.strerror or type(reason).__name__
            hint = "take another port, or --port 0 for a free one"
            raise ArgumentError("bad_argument", f"cannot listen on {where} ({shown(said)})", hint=hint) from None
        self.most = _connections(settings.max_connections)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.url = f"{settings.scheme}://{host}:{self.sockets[0].getsockname()[1]}"

    def _bind(self, host: str, port: int) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            each = socket.socket(family, kind, protocol)
            self.sockets.append(each)
            if hasattr(socket, "SO_REUSEADDR") and not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
                # a restart need not wait for old connections to be forgotten; on Windows it would mean theft
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # taken over by every connection that is accepted here
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD)
            free = port or self.sockets[0].getsockname()[1]  # the same free port for all addresses of a name
            each.bind((address[0], free, *address[2:]))
            each.setblocking(False)

    def accept_waiting(self) -> list[socket.socket]:
        """Everybody who has connected and was not taken yet."""
        taken = []
        for each in self.sockets:
            with contextlib.suppress(OSError):  # nobody waits any more
                while True:
                    taken.append(each.accept()[0])
        for connected in taken:
            connected.setblocking(False)
        return taken

    def close(self) -> None:
        """Close the sockets."""
        for each in self.sockets:
            each.close()

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _tls(cert: Path, key: Path | None) -> ssl.SSLContext:
    """TLS 1.2 and later, HTTP/1.1 only.

    Raises:
        ArgumentError: `bad_argument`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # an encrypted key would ask for its password on the terminal; a service has none
        context.load_cert_chain(cert, key, password=lambda: b"")
    except FileNotFoundError:
        missing = next((path for path in (cert, key) if path is not None and not path.exists()), cert)
        raise ArgumentError("bad_argument", "--tls-cert or --tls-key names no file", input=str(missing)) from None
    except (OSError, ValueError) as reason:
        said = getattr(reason, "reason", None) or getattr(reason, "strerror", None) or "unreadable"
        hint = "give the certificate chain and its unencrypted key as PEM files"
        happened = f"--tls-cert and --tls-key cannot be used ({shown(said)})"
        raise ArgumentError("bad_argument", happened, input=str(cert), hint=hint) from None
    return context


def _connections(wanted: int) -> int:
    """How many connections there may be. The soft limit of open files is raised for them: shells often give 1024."""
    try:
        import resource
    except ImportError:  # Windows knows no such limit
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + FILES_BESIDE
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    if soft >= needed:
        return wanted
    possible = max(1, soft - min(FILES_BESIDE, soft // 2))
    log.warning("the system allows %d open files, so at most %d connections are kept", soft, possible)
    return possible
