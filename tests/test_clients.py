# SPDX-License-Identifier: Apache-2.0
"""The clients in examples/ as a user starts them, against a real server."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from PIL import Image

from . import tiny
from .serving_server import Server, running, start, tiny_pipeline

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
KEY = "a-key-for-the-clients-of-this-test"

pytestmark = pytest.mark.timeout(240)


def run(
    *words: str | Path, folder: Path, env: Mapping[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """A client as its first lines say, in a folder of its own. Proxies of this machine have no part in it."""
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env={**environment, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def jpeg(seed: int) -> bytes:
    """A picture on which the tiny detector finds somebody, 320 x 240."""
    buffer = io.BytesIO()
    Image.fromarray(tiny.picture(seed)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A service that asks for a key."""
    with running("--api-key", KEY) as server:
        yield server


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures, one below another folder, and a file that is no picture."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "b.jpg", "more/a.jpg")):
        (folder / name).write_bytes(jpeg(number))
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    return file


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_request_of_the_tutorial(tmp_path: Path) -> None:
    """PaddleX's own example, key and options unknown to it."""
    pytest.importorskip("requests")
    (tmp_path / "demo.jpg").write_bytes(jpeg(0))
    with running() as open_server:
        ran = run(sys.executable, EXAMPLES / "client_seed.py", "demo.jpg", open_server.url, folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    with Image.open(tmp_path / "out.jpg") as drawn:
        assert (drawn.format, drawn.size) == ("JPEG", (320, 240))
    saved, *pedestrians = ran.stdout.splitlines()
    assert saved == "Output image saved at out.jpg"
    assert pedestrians
    assert all(re.fullmatch(r"\[(\d+\.\d+(, )?){4}\] 0\.\d+ \[.*\]", line) for line in pedestrians), ran.stdout


def test_a_folder_of_pictures(server: Server, photos: Path, key_file: Path, tmp_path: Path) -> None:
    words = ["photos", "--url", server.url, "--key-file", key_file, "--save-path", "output"]
    ran = run(sys.executable, EXAMPLES / "client.py", *words, folder=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    answers = lines(ran.stdout)
    assert [a["input"] for a in answers] == ["photos/a.jpg", "photos/b.jpg", "photos/more/a.jpg"]
    assert all(isinstance(a["pedestrians"], list) for a in answers)
    assert any(a["pedestrians"] for a in answers)
    drawn = sorted(str(p.relative_to(tmp_path / "output")) for p in (tmp_path / "output").rglob("*.jpg"))
    assert drawn == ["a.jpg_res.jpg", "b.jpg_res.jpg", "more/a.jpg_res.jpg"]
    with Image.open(tmp_path / "output/more/a.jpg_res.jpg") as picture:
        assert picture.size == (320, 240)


def test_a_bad_picture_stops_no_other(server: Server, photos: Path, key_file: Path, tmp_path: Path) -> None:
    (photos / "b.jpg").write_bytes(jpeg(1)[:2000])
    words = ["photos", "--url", server.url, "--key-file", key_file]
    ran = run(sys.executable, EXAMPLES / "client.py", *words, folder=tmp_path)
    assert ran.returncode == 1
    first, second, third = lines(ran.stdout)
    assert "pedestrians" in first
    assert "pedestrians" in third
    assert str(second["error"]).startswith("image_truncated: ")


def test_a_wrong_key_is_named(server: Server, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("another-key-than-the-one-of-it")
    words = ["photos/a.jpg", "--url", server.url, "--key-file", "key"]
    ran = run(sys.executable, EXAMPLES / "client.py", *words, folder=tmp_path)
    assert ran.returncode == 1
    assert str(lines(ran.stdout)[0]["error"]).startswith("unauthorized: ")


def test_the_client_waits_as_long_as_the_service_says(photos: Path, tmp_path: Path) -> None:
    with running("--rate-limit", "1") as slow:
        words = ["photos", "--url", slow.url, "--parallel", "3"]
        ran = run(sys.executable, EXAMPLES / "client.py", *words, folder=tmp_path)
        refused = [line for line in slow.log() if line["status"] == 429]
    assert ran.returncode == 0, ran.stdout
    assert all("pedestrians" in line for line in lines(ran.stdout))
    assert refused


def test_the_client_waits_for_a_service_that_starts(photos: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = subprocess.Popen(
        [sys.executable, EXAMPLES / "client.py", "photos/a.jpg", "--url", f"http://127.0.0.1:{port}"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    service = start("--port", str(port), folder=tmp_path, pipeline=tiny_pipeline(tmp_path))
    try:
        answer, _ = client.communicate(timeout=120)
    finally:
        service.terminate()
        service.wait(60)
    assert client.returncode == 0, answer
    assert "pedestrians" in lines(answer)[0]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl(server: Server, photos: Path, key_file: Path, tmp_path: Path) -> None:
    env = {"KEY_FILE": str(key_file)}
    ran = run("sh", EXAMPLES / "client.sh", "photos/a.jpg", server.url, folder=tmp_path, env=env)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    answer = json.loads(ran.stdout)
    assert (answer["errorCode"], list(answer["result"])) == (0, ["pedestrians"])
    with Image.open(photos / "a_res.jpg") as drawn:
        assert (drawn.format, drawn.size) == ("JPEG", (320, 240))


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_without_the_key_shows_the_error(server: Server, photos: Path, tmp_path: Path) -> None:
    ran = run("sh", EXAMPLES / "client.sh", "photos/a.jpg", server.url, folder=tmp_path)
    assert ran.returncode != 0
    assert '"errorMsg":"unauthorized: ' in ran.stdout


def node_is_new_enough() -> bool:
    if shutil.which("node") is None:
        return False
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return int(version.strip().lstrip("v").split(".")[0]) >= 18


@pytest.mark.skipif(not node_is_new_enough(), reason="no Node 18 or newer here")
def test_node(server: Server, photos: Path, key_file: Path, tmp_path: Path) -> None:
    env = {"SERVICE": server.url, "KEY_FILE": str(key_file)}
    (photos / "b.jpg").write_bytes(b"no picture at all")
    one = run("node", EXAMPLES / "client.mjs", "photos/a.jpg", folder=tmp_path, env=env)
    assert one.returncode == 0, one.stderr
    assert list(lines(one.stdout)[0]) == ["input", "pedestrians"]
    several = run("node", EXAMPLES / "client.mjs", "photos/a.jpg", "photos/b.jpg", folder=tmp_path, env=env)
    assert several.returncode == 1, several.stderr
    good, bad = lines(several.stdout)
    assert good == lines(one.stdout)[0]
    assert bad["error"]["name"] == "image_unknown"  # type: ignore[index]
    wrong = run("node", EXAMPLES / "client.mjs", "photos/a.jpg", folder=tmp_path, env={"SERVICE": server.url})
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("unauthorized: ")
