# SPDX-License-Identifier: Apache-2.0
"""`passerby serve` and `passerby --serve`: what they listen on, what they refuse at the start, and how they say so."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from passerby.cli import main
from passerby.errors import ArgumentError
from passerby.serving.settings import ServerSettings

from .serving_server import running, start, tiny_pipeline, until

KEY = "correct-horse"
START_S = 90.0


class Refused:
    """Runs a command line that cannot start a service, in this process: exit code and stderr."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str]:
        code = main(words)
        return code, self.capsys.readouterr().err


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], own_signals: None) -> Refused:
    pytest.importorskip("uvicorn")
    return Refused(capsys)


def status(url: str, key: str | None = None) -> int:
    request = urllib.request.Request(url, headers={} if key is None else {"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("--host", "0.0.0.0"), "--api-key-file"),
        (("--host", "::"), "--insecure"),
        (("--api-key", "short"), "12"),
        (("--api-key", "with blanks in it"), "ASCII"),
        (("--api-key-file", "/nowhere/keys"), "--api-key-file"),
        (("--tls-cert", "cert.pem"), "--tls-key"),
        (("--tls-cert", "/nowhere/c", "--tls-key", "/nowhere/k"), "names no file"),
        (("--cors-origin", "evil.test"), "https://"),
        (("--trusted-proxy", "everybody"), "10.0.0"),
        (("--fetch-allow", "host"), "host:port"),
        (("--port", "99999"), "65535"),
        (("--workers", "0"), "--workers"),
        (("--queue", "0"), "--queue"),
        (("--deadline", "0"), "--deadline"),
        (("--idle-time", "nan"), "--idle-time"),
        (("--max-body", "32 parsecs"), "32M"),
        (("--max-bodies", "1M"), "--max-body"),
        (("--rate-limit", "-1"), "--rate-limit"),
        (("--ca-file", "/nowhere/ca"), "--ca-file"),
        (("--host", "no.such.host.invalid", "--insecure"), "--host"),
        (("--pipeline", "no_such_pipeline", "--port", "0"), "no_such_pipeline"),
    ],
)
def test_a_start_that_cannot_be_right_is_one_line(flags: tuple[str, ...], word: str, refused: Refused) -> None:
    code, said = refused("serve", *flags)
    assert code == 2, said
    assert word in said
    assert len(said.splitlines()) == 1, said


def test_a_key_is_never_shown(refused: Refused) -> None:
    _, said = refused("serve", "--api-key", "sécret-marked-key")
    assert "marked" not in said


def test_a_missing_model_is_the_exit_code_of_models(tmp_path: Path, refused: Refused) -> None:
    file = tiny_pipeline(tmp_path)
    file.write_text(file.read_text("utf-8").replace("tiny_det", "no_such_model"), "utf-8")
    code, said = refused("serve", "--pipeline", str(file), "--port", "0")
    assert code == 3, said
    assert said.startswith("model_missing: ")
    assert len(said.splitlines()) == 1, said


def test_a_port_in_use_is_said_before_anything_is_loaded(refused: Refused) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = refused("serve", "--port", str(taken.getsockname()[1]))
    assert code == 2
    assert "use" in said
    assert len(said.splitlines()) == 1


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ModuleNotFoundError('absent', name='uvicorn')", "utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "passerby", "serve", "--port", "0"],
        capture_output=True,
        timeout=START_S,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=False,
    )
    said = ended.stderr.decode("utf-8", "replace")
    assert ended.returncode == 4, said
    assert said.startswith("engine_missing: ")
    assert "pip install 'passerby[serve]'" in said


def test_flags_of_pictures_and_of_the_service_do_not_mix(refused: Refused) -> None:
    code, said = refused("--serve", "--input", "a.jpg")
    assert (code, "--serve" in said) == (2, True)
    code, said = refused("--port", "8080")
    assert (code, "--serve" in said) == (2, True)


def test_the_command_line_of_paddlex_starts_the_service(tmp_path: Path) -> None:
    """`paddlex --serve --pipeline ... --host ... --port ...`, another program's name apart."""
    port = free_port()
    command = ["--serve", "--pipeline", str(tiny_pipeline(tmp_path)), "--device", "cpu"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "stderr").open("wb") as errors:
        process = subprocess.Popen([sys.executable, "-m", "passerby", *command], stderr=errors)
    try:
        until(lambda: process.poll() is not None or "serving on" in (tmp_path / "stderr").read_text(), within=START_S)
        assert status(f"http://127.0.0.1:{port}/health") == 200
    finally:
        process.terminate()
        assert process.wait(60) == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_keys_come_from_a_file_in_either_spelling(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"# of the cameras\n{KEY}\n\nanother-long-key\n", "utf-8")
    with running("--api_key_file", str(keys)) as server:
        assert status(server.url + "/labels") == 401
        assert status(server.url + "/labels", "wrong-but-long") == 401
        assert status(server.url + "/labels", KEY) == 200
        assert status(server.url + "/labels", "another-long-key") == 200
        assert KEY not in "".join(server.lines())


def test_it_listens_on_every_address_of_a_name() -> None:
    addresses = {info[4][0] for info in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    with running("--host", "localhost") as server:
        for address in addresses:
            host = f"[{address}]" if ":" in str(address) else address
            assert status(f"http://{host}:{server.port}/live") == 200


def test_ipv6_stands_in_brackets() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with running("--host", "::1") as server:
        assert server.url == f"http://[::1]:{server.port}"
        assert status(server.url + "/health") == 200


def test_the_port_answers_while_the_models_load(tmp_path: Path) -> None:
    """A probe sees a service that lives and is not ready, then one that is."""
    port = free_port()
    process = start("--port", str(port), folder=tmp_path)
    seen: list[tuple[int, int]] = []

    def ready() -> bool:
        assert process.poll() is None
        with contextlib.suppress(urllib.error.URLError, OSError):
            seen.append((status(f"http://127.0.0.1:{port}/live"), status(f"http://127.0.0.1:{port}/ready")))
        return bool(seen) and seen[-1] == (200, 200)

    try:
        until(ready, within=START_S)
    finally:
        process.terminate()
        process.wait(60)
    assert seen[0] == (200, 503)
    assert set(seen) == {(200, 503), (200, 200)}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_front_process_holds_no_engine() -> None:
    with running() as server:
        assert status(server.url + "/labels") == 200
        maps = Path(f"/proc/{server.process.pid}/maps").read_text("utf-8")
    assert not [name for name in ("onnxruntime", "cv2") if name in maps]


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ArgumentError, match="--host"):
        ServerSettings(host="192.0.2.1")
    assert ServerSettings(host="192.0.2.1", api_keys=(KEY,)).is_loopback is False
    assert ServerSettings(host="127.9.9.9").is_loopback
    with pytest.raises(ArgumentError, match="--header-time"):
        ServerSettings(header_s=0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs the limit of open files")
def test_a_small_limit_of_open_files_means_fewer_connections() -> None:
    """More connections than files: idle ones give way, and a request is answered though hundreds ask for a file."""
    with running("--idle-time", "60", files=96) as server, contextlib.ExitStack() as stack:
        assert any("at most 48 connections" in line for line in server.lines())
        for _ in range(300):
            stack.enter_context(contextlib.closing(server.connect()))
        assert status(server.url + "/health") == 200
