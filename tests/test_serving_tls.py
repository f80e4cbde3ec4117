# SPDX-License-Identifier: Apache-2.0
"""TLS: certificates that work, those that cannot, and clients that speak something else."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from passerby.cli import main

from .serving_server import Server, running, until

trustme = pytest.importorskip("trustme")

HELLO = bytes.fromhex("16030100750100007103030000")


@dataclass(frozen=True)
class Files:
    """PEM files of one authority."""

    root: Path
    cert: Path
    key: Path
    other_key: Path

    @property
    def flags(self) -> tuple[str, ...]:
        return ("--tls-cert", str(self.cert), "--tls-key", str(self.key))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    leaf, other = authority.issue_cert("localhost", "127.0.0.1"), authority.issue_cert("localhost")
    made = Files(folder / "root.pem", folder / "cert.pem", folder / "key.pem", folder / "other.pem")
    authority.cert_pem.write_to_path(made.root)
    for number, blob in enumerate(leaf.cert_chain_pems):
        blob.write_to_path(made.cert, append=number > 0)
    leaf.private_key_pem.write_to_path(made.key)
    other.private_key_pem.write_to_path(made.other_key)
    return made


@pytest.fixture(scope="module")
def server(files: Files) -> Iterator[Server]:
    with running(*files.flags, "--header-time", "2") as started:
        yield started


def test_a_client_that_trusts_the_root_is_answered(server: Server, files: Files) -> None:
    assert server.url.startswith("https://")
    context = ssl.create_default_context(cafile=files.root)
    with urllib.request.urlopen(f"{server.url}/health", context=context, timeout=60) as response:
        assert response.status == 200


def test_old_versions_are_not_spoken(server: Server, files: Files) -> None:
    context = ssl.create_default_context(cafile=files.root)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.deprecated_call():
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with server.connect() as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="localhost")


def test_the_protocol_agreed_on_is_http_1(server: Server, files: Files) -> None:
    context = ssl.create_default_context(cafile=files.root)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with server.connect() as plain, context.wrap_socket(plain, server_hostname="localhost") as wrapped:
        assert wrapped.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("bytes_sent", [b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", HELLO, b""])
def test_who_does_not_finish_the_greeting_is_closed(server: Server, bytes_sent: bytes) -> None:
    with server.connect(timeout=60) as plain:
        plain.sendall(bytes_sent)
        started = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            while plain.recv(4096):
                pass
        assert time.monotonic() - started < 30
    assert not [line for line in server.lines() if not line.startswith(("{", "passerby: serving"))]


def test_a_client_that_leaves_without_a_farewell_is_no_error(server: Server, files: Files) -> None:
    context = ssl.create_default_context(cafile=files.root)
    for _ in range(3):
        with server.connect() as plain, context.wrap_socket(plain, server_hostname="localhost") as wrapped:
            wrapped.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wrapped.shutdown(socket.SHUT_RDWR)
    until(lambda: len([line for line in server.log() if line["path"] == "/health"]) >= 3)
    assert not [line for line in server.lines() if not line.startswith(("{", "passerby: serving"))]


def test_files_that_do_not_fit_are_one_line(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str], own_signals: None
) -> None:
    noise, locked = tmp_path / "noise.pem", tmp_path / "locked.pem"
    noise.write_bytes(bytes(range(256)))
    locked.write_bytes(encrypted(files.key))
    for cert, key in ((files.cert, files.other_key), (noise, files.key), (files.cert, noise), (files.cert, locked)):
        code = main(["serve", "--port", "0", "--tls-cert", str(cert), "--tls-key", str(key)])
        said = capsys.readouterr().err
        assert code == 2, said
        assert said.startswith("bad_argument: --tls-cert and --tls-key cannot be used")
        assert len(said.splitlines()) == 1


def encrypted(key: Path) -> bytes:
    """The same key behind a password."""
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    return bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
