# SPDX-License-Identifier: Apache-2.0
"""docs/serving.md says what the service does: flags, limits, errors, metrics, and a proxy that works as shown.

nginx and Prometheus are the real programs; without them those tests are skipped.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer

from passerby.cli.app import app
from passerby.errors import SERVER, PasserbyError
from passerby.serving.settings import ServerSettings

from .serving_server import Server, running, until
from .test_clients import jpeg

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs/serving.md").read_text("utf-8")
KEY = "a-key-for-the-guide-of-this-test"
DEFAULTS = ServerSettings()

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Behind a proxy, as the guide starts it."""
    words = ["--api-key", KEY, "--allowed-host", "people.example", "--trusted-proxy", "127.0.0.1", "--log-client"]
    with running(*words) as server:
        yield server


def section(title: str) -> str:
    """A part of the guide, to the next heading of its level."""
    return GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of the tables in a part, headings left out."""
    lines = re.findall(r"^\| (.*) \|$", section(title), re.MULTILINE)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def number(text: str) -> float:
    """The first number of a text, in bytes where a unit says so."""
    found = re.search(r"([\d,]+) ?(MiB|KiB)?", text)
    assert found is not None, text
    return float(found[1].replace(",", "")) * {"MiB": 1 << 20, "KiB": 1 << 10, None: 1}[found[2]]


def test_the_guide_has_the_limits_that_hold() -> None:
    fields = {field.name for field in dataclasses.fields(ServerSettings)}
    checked = 0
    for flag, default, *_ in rows("Limits"):
        name = flag.strip("`-").replace("-", "_")
        for field in (name, f"{name}_s", f"{name.removesuffix('_time')}_s"):
            value = getattr(DEFAULTS, field) if field in fields else None
            if value is not None:
                assert number(default) == value, flag
                checked += 1
                break
    assert checked >= 12
    assert "16 KiB, 100 lines, request line of 8 KiB" in section("Limits")
    head = (DEFAULTS.max_header_bytes, DEFAULTS.max_header_lines, DEFAULTS.max_request_line)
    assert head == (16 << 10, 100, 8 << 10)


def test_the_guide_names_every_flag_or_leaves_it_to_the_command_line() -> None:
    known = GUIDE + (ROOT / "docs/cli.md").read_text("utf-8")
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    flags = [option.opts for option in serve.params]
    assert len(flags) > 30
    shown = set(re.findall(r"--[a-z_-]+", known))
    assert not [spellings for spellings in flags if not shown & set(spellings)]


def test_the_guide_has_every_error_of_a_request_with_its_status() -> None:
    statuses: dict[str, set[int]] = {}
    for row in rows("Errors")[1:]:
        for name in re.findall(r"`(\w+)`", row[1]):
            statuses.setdefault(name, set()).update(int(s) for s in row[0].split(","))
    names = {
        name: status.http
        for kind in PasserbyError.__subclasses__()
        for kind in (kind, *kind.__subclasses__())
        for name, status in kind.names.items()
    }
    assert set(SERVER) <= set(statuses)
    assert not [name for name in statuses if names.get(name) not in statuses[name]]


def test_the_guide_has_metrics_that_exist(server: Server) -> None:
    request = urllib.request.Request(f"{server.url}/metrics", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        page = answer.read().decode()
    named = set(re.findall(r"`(passerby_\w+)", section("Watch it")))
    assert len(named) > 10
    families = set(re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE))
    assert not [name for name in named if name not in families and name.removesuffix("_total") not in families]


def test_the_guide_has_the_keys_of_a_log_line(server: Server) -> None:
    urllib.request.urlopen(f"{server.url}/health", timeout=30).close()
    until(server.log)
    shown = next(json.loads(b) for b in re.findall(r"```json\n(.*?)```", section("Watch it"), re.DOTALL))
    assert list(server.log()[-1]) == [*shown, "client"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def started(words: list[str], port: int, folder: Path) -> Iterator[None]:
    """A program that serves on a port, ended with the block."""
    with (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(words, stdout=errors, stderr=errors, stdin=subprocess.DEVNULL, cwd=folder)
    try:
        until(lambda: process.poll() is not None or answers(port), within=60)
        assert process.poll() is None, (folder / "errors").read_text()
        yield
    finally:
        process.terminate()
        process.wait(60)


def nginx_configuration(folder: Path, *, port: int, service: int) -> str:
    """The snippet of the guide, with this test's ports and files."""
    (snippet,) = re.findall(r"```nginx\n(.*?)```", GUIDE, re.DOTALL)
    for old, new in (
        ("127.0.0.1:8080", f"127.0.0.1:{service}"),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/ssl/people.example", f"{folder}/people.example"),
    ):
        assert old in snippet
        snippet = snippet.replace(old, new)
    places = "".join(
        f"{kind}_temp_path {folder}/temporary/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"daemon off; master_process off; user root; pid {folder}/pid; error_log {folder}/errors warn;"
    return f"{main}\nevents {{}}\nhttp {{\naccess_log off;\n{places}{snippet}}}\n"


def test_nginx_in_front_as_the_guide_shows(server: Server, tmp_path: Path) -> None:
    """Through TLS: name, client's address and scheme arrive, and no picture is written down on the way."""
    nginx, trustme = shutil.which("nginx"), pytest.importorskip("trustme")
    if nginx is None:
        pytest.skip("no nginx here")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "root.pem"))
    certificate = authority.issue_cert("people.example", "localhost")
    certificate.private_key_pem.write_to_path(str(tmp_path / "people.example.key"))
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(str(tmp_path / "people.example.pem"), append=True)
    port = free_port()
    (tmp_path / "temporary").mkdir()
    (tmp_path / "nginx.conf").write_text(nginx_configuration(tmp_path, port=port, service=server.port))
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "large.jpg").write_bytes(jpeg(0) + bytes(8 << 20))  # what follows a JPEG's end is left alone
    with started([nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")], port, tmp_path):
        client = [sys.executable, str(ROOT / "examples/client.py"), "large.jpg", "--ca-file", "root.pem"]
        words = [*client, "--url", f"https://localhost:{port}", "--key-file", "key"]
        ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        # a page that the service itself serves, seen under the proxy's name
        context = ssl.create_default_context(cafile=str(tmp_path / "root.pem"))
        address = f"https://localhost:{port}"
        request = urllib.request.Request(f"{address}/labels", headers={"Authorization": f"Bearer {KEY}"})
        request.add_header("Origin", address)
        request.add_header("X-Forwarded-For", "203.0.113.7")
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            assert answer.status == 200
    assert "temporary file" not in (tmp_path / "errors").read_text(), "nginx warns of each that it writes"
    until(lambda: [line for line in server.log() if line["path"] == "/labels"])
    line = next(line for line in server.log() if line["path"] == "/labels")
    assert (line["status"], line["client"]) == (200, "203.0.113.7")


def test_prometheus_reads_the_figures_with_the_key(server: Server, tmp_path: Path) -> None:
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("no prometheus here")
    text = (ROOT / "deploy/prometheus.yml").read_text("utf-8")
    for old, new in (
        ("passerby:8080", f"127.0.0.1:{server.port}"),
        ("/run/secrets/passerby_key", str(tmp_path / "key")),
        ("15s", "1s"),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "prometheus.yml").write_text(text)
    (tmp_path / "key").write_text(KEY + "\n")
    port = free_port()
    words = [prometheus, f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    with started([*words, f"--web.listen-address=127.0.0.1:{port}"], port, tmp_path):

        def ready() -> bool:
            address = f"http://127.0.0.1:{port}/api/v1/query?query=passerby_ready"
            try:
                with urllib.request.urlopen(address, timeout=30) as answer:
                    return [sample["value"][1] for sample in json.load(answer)["data"]["result"]] == ["1"]
            except urllib.error.HTTPError:
                return False  # Prometheus itself is starting

        until(ready, within=60)
