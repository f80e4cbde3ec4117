"""Downloads against a real server that cuts, changes, stalls and redirects."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from passerby.errors import ModelError
from passerby.fetch import DOWNLOAD_POLICY
from passerby.models import download as module
from passerby.models.download import QUIET, Reports, download

from .corpus_server import CorpusServer, closed_port

DATA = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(DATA).hexdigest()
WHOLE = {"status": 200, "body": {"bytes": DATA}}
REST = {"status": 206, "range": True, "body": {"bytes": DATA}}
ETAG = {"headers": {"ETag": '"one"'}}


@pytest.fixture(autouse=True)
def quick_and_online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PASSERBY_OFFLINE", raising=False)
    monkeypatch.setattr(module, "WAITS_S", (0.01, 0.01))


def got(routes: dict[str, Any], target: Path, **options: Any) -> CorpusServer:
    with CorpusServer(routes) as server:
        download(server.url("/m"), target, reports=QUIET, **options)
    return server


def refused(routes: dict[str, Any], target: Path, **options: Any) -> tuple[ModelError, CorpusServer]:
    with CorpusServer(routes) as server, pytest.raises(ModelError) as caught:
        download(server.url("/m"), target, reports=QUIET, **options)
    return caught.value, server


def test_whole(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    with CorpusServer({"/m": WHOLE}) as server:
        reports = Reports(lambda line: None, lambda done, total: seen.append((done, total)))
        assert download(server.url("/m"), tmp_path / "m", reports=reports) == SHA256
    assert (tmp_path / "m").read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA)) and seen == sorted(seen)
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_cut_twice_goes_on_where_it_broke(tmp_path: Path) -> None:
    server = got({"/m": [WHOLE | {"cut_after": 1000}, REST | {"cut_after": 5000}, REST]}, tmp_path / "m", sha256=SHA256)
    assert [r.headers.get("range") for r in server.requests] == [None, "bytes=1000-", "bytes=6000-"]
    assert (tmp_path / "m").read_bytes() == DATA


def test_server_without_ranges_begins_anew(tmp_path: Path) -> None:
    server = got({"/m": [WHOLE | {"cut_after": 1000}, WHOLE]}, tmp_path / "m", sha256=SHA256)
    assert len(server.requests) == 2 and (tmp_path / "m").read_bytes() == DATA


def test_range_beyond_a_file_that_shrank(tmp_path: Path) -> None:
    routes = {"/m": [WHOLE | {"cut_after": 1000}, {"status": 416}, WHOLE]}
    got(routes, tmp_path / "m", sha256=SHA256)
    assert (tmp_path / "m").read_bytes() == DATA


def test_file_of_another_size_is_not_joined(tmp_path: Path) -> None:
    """Without a pinned hash, the total size is what tells that the file changed between two parts."""
    other = {"status": 206, "range": True, "body": {"bytes": DATA + b"more"}}
    got({"/m": [WHOLE | {"cut_after": 1000}, other, WHOLE]}, tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == DATA


def test_always_cut(tmp_path: Path) -> None:
    error, server = refused({"/m": WHOLE | {"cut_after": 10}}, tmp_path / "m")
    assert error.name == "model_download" and "fetch_incomplete" in error.message
    assert len(server.requests) == 3 and list(tmp_path.iterdir()) == []


def test_part_with_a_mark_is_used_by_the_next_call(tmp_path: Path) -> None:
    refused({"/m": WHOLE | ETAG | {"cut_after": 1000}}, tmp_path / "m")
    kept = sorted(p.name for p in tmp_path.iterdir())
    assert kept == [".m.part", ".m.part.json"]
    (tmp_path / ".m.part").write_bytes(DATA[:70_000])
    with CorpusServer({"/m": REST | ETAG}) as server:
        note = tmp_path / ".m.part.json"
        note.write_text(json.dumps({"url": server.url("/m"), "validator": '"one"'}))
        download(server.url("/m"), tmp_path / "m", reports=QUIET)
    assert server.requests[0].headers["range"] == "bytes=70000-"
    assert server.requests[0].headers["if-range"] == '"one"'
    assert (tmp_path / "m").read_bytes() == DATA
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_part_of_another_url_or_without_a_note_is_dropped(tmp_path: Path) -> None:
    (tmp_path / ".m.part").write_bytes(b"x" * 1000)
    server = got({"/m": WHOLE}, tmp_path / "m")
    assert "range" not in server.requests[0].headers and (tmp_path / "m").read_bytes() == DATA
    (tmp_path / ".m.part").write_bytes(b"x" * 1000)
    (tmp_path / ".m.part.json").write_text('{"url": "http://other/", "validator": "\\"one\\""}')
    server = got({"/m": WHOLE}, tmp_path / "m")
    assert "range" not in server.requests[0].headers and (tmp_path / "m").read_bytes() == DATA


def test_other_bytes_than_pinned(tmp_path: Path) -> None:
    error, server = refused({"/m": WHOLE}, tmp_path / "m", sha256="0" * 64)
    assert error.name == "model_hash" and SHA256 in error.message and "0" * 64 in error.message
    assert len(server.requests) == 1 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [403, 404, 410])
def test_status_is_final(tmp_path: Path, status: int) -> None:
    error, server = refused({"/m": {"status": status, "body": {"text": "no"}}}, tmp_path / "m")
    assert error.name == "model_download" and str(status) in error.message
    assert len(server.requests) == 1 and list(tmp_path.iterdir()) == []


def test_server_recovers(tmp_path: Path) -> None:
    got({"/m": [{"status": 503}, {"reset": True}, WHOLE]}, tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == DATA


def test_redirect(tmp_path: Path) -> None:
    got({"/m": {"status": 302, "headers": {"Location": "/n"}}, "/n": WHOLE}, tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == DATA


def test_nothing_listens(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        download(f"http://127.0.0.1:{closed_port()}/m", tmp_path / "m", reports=QUIET)
    assert caught.value.name == "model_download" and "fetch_connect" in caught.value.message


def test_silence_has_an_end(tmp_path: Path) -> None:
    policy = dataclasses.replace(DOWNLOAD_POLICY, idle_s=0.2)
    routes = {"/m": WHOLE | {"drip": {"bytes": 1000, "every_s": 30}}}
    error, _ = refused(routes, tmp_path / "m", policy=policy)
    assert "fetch_timeout" in error.message


@pytest.mark.parametrize("reply", [WHOLE, WHOLE | {"no_length": True}, {"body": {"endless": True}, "no_length": True}])
def test_size_limit(tmp_path: Path, reply: dict[str, Any]) -> None:
    policy = dataclasses.replace(DOWNLOAD_POLICY, max_bytes=100_000)
    error, server = refused({"/m": reply}, tmp_path / "m", policy=policy)
    assert "fetch_too_large" in error.message and len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_size_limit_counts_all_parts(tmp_path: Path) -> None:
    policy = dataclasses.replace(DOWNLOAD_POLICY, max_bytes=100_000)
    part = {"status": 206, "headers": {"Content-Range": "bytes 60000-119999/*"}, "body": {"zeros": 60_000}}
    first = {"status": 200, "body": {"zeros": 60_000}, "chunked": True, "cut_after": 60_000}
    error, _ = refused({"/m": [first, part]}, tmp_path / "m", policy=policy)
    assert "fetch_too_large" in error.message


def test_packed_answer_is_refused(tmp_path: Path) -> None:
    reply = {"headers": {"Content-Encoding": "gzip"}, "body": {"gzip": {"bytes": DATA}}}
    error, _ = refused({"/m": reply}, tmp_path / "m")
    assert "fetch_incomplete" in error.message


def test_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSERBY_OFFLINE", "1")
    error, server = refused({"/m": WHOLE}, tmp_path / "m")
    assert error.name == "model_offline" and server.requests == []


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A file size limit stands for a full disk: the same error from the system, without filling one."""
    code = """
import resource, sys
from pathlib import Path
from passerby.errors import OutputError
from passerby.models.download import QUIET, download
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    download(sys.argv[1], Path(sys.argv[2]), reports=QUIET)
except OutputError as error:
    print(error.name)
"""
    with CorpusServer({"/m": WHOLE}) as server:
        command = [sys.executable, "-c", code, server.url("/m"), str(tmp_path / "m")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "output_full", done.stderr
    assert list(tmp_path.iterdir()) == []


def test_another_part_than_the_one_asked_for(tmp_path: Path) -> None:
    part = {
        "status": 206,
        "headers": {"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"},
        "body": {"bytes": DATA},
    }
    error, _ = refused({"/m": [WHOLE | {"cut_after": 1000}, part]}, tmp_path / "m")
    assert "fetch_incomplete" in error.message and list(tmp_path.iterdir()) == []
    error, _ = refused({"/m": part}, tmp_path / "m")
    assert "206" in error.message
