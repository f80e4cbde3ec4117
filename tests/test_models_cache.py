"""The cache: hashes recorded and checked, damage repaired once, one download for many processes, no network twice."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from passerby.errors import ModelError
from passerby.models import cache, catalogue, lock
from passerby.models import download as download_module
from passerby.models.download import QUIET, Reports
from passerby.models.load import import_model, load_model

from .corpus_server import CorpusServer
from .model_files import ATTRIBUTES, TINY_CLASSIFIER, TINY_DETECTOR, attribute_pdparams, packed, serve_as_official

PROCESSES = 8

Routes = dict[str, Any]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PASSERBY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PASSERBY_OFFLINE", raising=False)
    monkeypatch.setattr(download_module, "WAITS_S", (0.01, 0.01))
    return tmp_path / "home"


@pytest.fixture
def routes() -> Routes:
    return {"/m.tar": {"status": 200, "body": {"bytes": packed(TINY_CLASSIFIER)}}}


@pytest.fixture
def server(routes: Routes, monkeypatch: pytest.MonkeyPatch) -> Iterator[CorpusServer]:
    """Serves the tiny attribute network as the official one."""
    with CorpusServer(routes) as server:
        serve_as_official(monkeypatch, server.url("/m.tar"), tiny=True)
        yield server


def load() -> bytes:
    return load_model(ATTRIBUTES, kind="attributes", reports=QUIET).model_bytes


def refused() -> ModelError:
    with pytest.raises(ModelError) as caught:
        load()
    return caught.value


def everything_below(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*")}


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache.home() == tmp_path / "home"
    monkeypatch.delenv("PASSERBY_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache.home() == tmp_path / "xdg/passerby"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.home() == tmp_path / ".cache/passerby"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache.home() == tmp_path / "Library/Caches/passerby"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert cache.home() == tmp_path / "Local/passerby/Cache"


def test_first_use_downloads_and_records(server: CorpusServer, own_home: Path) -> None:
    first = load()
    assert len(server.requests) == 1
    assert cache.state_of(ATTRIBUTES) is cache.State.GOOD
    record = cache.read_record(ATTRIBUTES)
    assert record is not None and record.source == server.url("/m.tar")
    assert sorted(record.files) == ["inference.json", "inference.pdiparams", "inference.yml"]
    assert {p.name for p in (own_home / "models").iterdir()} == {
        ATTRIBUTES,
        f"{ATTRIBUTES}.json",
        f".{ATTRIBUTES}.lock",
    }
    assert load() == first and len(server.requests) == 1


def test_download_says_what_it_does(server: CorpusServer) -> None:
    lines: list[str] = []
    load_model(ATTRIBUTES, reports=Reports(lines.append, lambda done, total: None))
    assert lines == [f"downloading {ATTRIBUTES} from 127.0.0.1:{server.port}, 6.7 MB"]


def test_pdparams_is_a_source_too(routes: Routes, server: CorpusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first source that has the file counts; the official size is checked tensor by tensor."""
    routes["/m.pdparams"] = {"status": 200, "body": {"bytes": attribute_pdparams()}}
    serve_as_official(monkeypatch, server.url("/gone.tar"), server.url("/m.pdparams"))
    model = load_model(ATTRIBUTES, reports=QUIET)
    assert [r.path for r in server.requests] == ["/gone.tar", "/m.pdparams"]
    assert len(model.metadata.labels) == 26 and model.metadata.input.height == 256
    load()
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (packed(TINY_DETECTOR), "model_mismatch"),
        (b"<!doctype html><title>please log in</title>", "model_corrupt"),
        (packed(TINY_CLASSIFIER)[:3000], "model_corrupt"),
        (packed(TINY_CLASSIFIER, inside="../"), "archive_unsafe"),
        (b"", "model_corrupt"),
    ],
)
def test_wrong_download_is_not_kept(
    routes: Routes, server: CorpusServer, own_home: Path, tmp_path: Path, body: bytes, name: str
) -> None:
    good = routes["/m.tar"]
    routes["/m.tar"] = {"status": 200, "body": {"bytes": body}}
    assert refused().name == name
    assert everything_below(tmp_path) <= {"home", "home/models", f"home/models/.{ATTRIBUTES}.lock"}
    routes["/m.tar"] = good
    load()
    assert cache.state_of(ATTRIBUTES) is cache.State.GOOD


def test_official_name_needs_the_official_size(server: CorpusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_as_official(monkeypatch, server.url("/m.tar"))
    error = refused()
    assert error.name == "model_mismatch" and "scale" in error.message
    assert cache.state_of(ATTRIBUTES) is cache.State.ABSENT


def test_damaged_file_is_moved_aside_and_fetched_once(server: CorpusServer, own_home: Path) -> None:
    first = load()
    path = cache.folder_of(ATTRIBUTES) / "inference.pdiparams"
    path.write_bytes(path.read_bytes()[:-1])
    assert load() == first and len(server.requests) == 2
    assert cache.state_of(ATTRIBUTES) is cache.State.GOOD
    assert (own_home / f"models/{ATTRIBUTES}.bad/inference.pdiparams").exists()
    assert load() == first and len(server.requests) == 2


def test_every_damage_is_noticed(server: CorpusServer) -> None:
    """R10: one byte changed at many places, files cut and missing, the record too: never another model."""
    first = load()
    folder = cache.folder_of(ATTRIBUTES)
    record = folder.with_name(f"{ATTRIBUTES}.json")
    rng = random.Random(20240917)
    files = [*cache.model_files(folder), record]
    for _ in range(200):
        path = rng.choice(files)
        good = path.read_bytes()
        at = rng.randrange(len(good))
        path.write_bytes(good[:at] + bytes([good[at] ^ (1 << rng.randrange(8))]) + good[at + 1 :])
        state = cache.state_of(ATTRIBUTES)
        # A blank more or less in the record changes nothing that it says.
        harmless = path == record and cache.read_record(ATTRIBUTES) is not None
        assert state is (cache.State.GOOD if harmless else cache.State.BAD)
        path.write_bytes(good)
    for _ in range(50):
        path = rng.choice(files)
        good = path.read_bytes()
        path.write_bytes(good[: rng.randrange(len(good))])
        assert cache.state_of(ATTRIBUTES) is cache.State.BAD
        path.write_bytes(good)
    (folder / "inference.yml").unlink()
    assert cache.state_of(ATTRIBUTES) is cache.State.BAD
    assert load() == first and len(server.requests) == 2


def test_damaged_and_the_source_has_another_file(routes: Routes, server: CorpusServer) -> None:
    load()
    (cache.folder_of(ATTRIBUTES) / "inference.yml").write_bytes(b"x")
    routes["/m.tar"] = {"status": 200, "body": {"bytes": packed(TINY_CLASSIFIER, inside="")}}
    for _ in range(2):
        error = refused()
        assert error.name == "model_hash" and f"{ATTRIBUTES}.json" in error.message
    cache.folder_of(ATTRIBUTES).with_name(f"{ATTRIBUTES}.json").unlink()
    load()


def test_damaged_and_no_network(server: CorpusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    load()
    (cache.folder_of(ATTRIBUTES) / "inference.yml").write_bytes(b"x")
    monkeypatch.setenv("PASSERBY_OFFLINE", "1")
    error = refused()
    assert error.name == "model_hash" and "model_offline" in error.message
    assert "passerby-attributes" in error.message


def test_offline(server: CorpusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSERBY_OFFLINE", "1")
    error = refused()
    assert error.name == "model_offline" and server.requests == []
    assert "models pull" in error.message and "passerby-attributes" in error.message
    monkeypatch.delenv("PASSERBY_OFFLINE")
    load()
    monkeypatch.setenv("PASSERBY_OFFLINE", "1")
    load()
    assert len(server.requests) == 1


def test_failed_download_names_the_model_that_can_stand_in(
    server: CorpusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_as_official(monkeypatch, server.url("/gone.tar"))
    error = refused()
    assert error.name == "model_download" and "404" in error.message and "passerby-attributes" in error.message


def test_files_put_there_by_hand_are_recorded(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_as_official(monkeypatch, tiny=True)
    folder = cache.folder_of(ATTRIBUTES)
    folder.mkdir(parents=True)
    for path in TINY_CLASSIFIER.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    assert cache.state_of(ATTRIBUTES) is cache.State.NEW
    load()
    assert cache.state_of(ATTRIBUTES) is cache.State.GOOD
    (folder / "inference.yml").write_bytes(b"x")
    assert cache.state_of(ATTRIBUTES) is cache.State.BAD


@pytest.mark.parametrize("form", ["tar", "folder", "pdparams"])
def test_import(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_as_official(monkeypatch, tiny=form != "pdparams")
    path = {"tar": tmp_path / "m.tar", "folder": TINY_CLASSIFIER, "pdparams": tmp_path / "m.pdparams"}[form]
    if form == "tar":
        path.write_bytes(packed(TINY_CLASSIFIER))
    elif form == "pdparams":
        path.write_bytes(attribute_pdparams())
    assert import_model(ATTRIBUTES, path, reports=QUIET) == cache.folder_of(ATTRIBUTES)
    assert cache.state_of(ATTRIBUTES) is cache.State.GOOD
    load()


def test_import_of_something_else_changes_nothing(server: CorpusServer, tmp_path: Path) -> None:
    first = load()
    (tmp_path / "other.tar").write_bytes(packed(TINY_DETECTOR))
    for path in (tmp_path / "other.tar", TINY_DETECTOR, tmp_path / "missing"):
        with pytest.raises(ModelError):
            import_model(ATTRIBUTES, path, reports=QUIET)
    assert load() == first and len(server.requests) == 1
    with pytest.raises(ModelError):
        import_model(catalogue.SHIPPED_ATTRIBUTES, TINY_CLASSIFIER, reports=QUIET)


def test_converted_model_is_kept_and_checked(server: CorpusServer, own_home: Path) -> None:
    first = load()
    (kept,) = (own_home / "converted").iterdir()
    assert kept.read_bytes() == first
    kept.write_bytes(first[:-1] + bytes([first[-1] ^ 1]))
    assert load() == first
    (kept,) = (own_home / "converted").iterdir()
    assert kept.read_bytes() == first


def test_converted_models_do_not_pile_up(own_home: Path) -> None:
    for number in range(cache.CONVERTED_KEPT + 3):
        cache.keep_converted(f"key{number}", bytes([number]))
        path = next((own_home / "converted").glob(f"key{number}.*"))
        os.utime(path, (number, number))
    assert len(list((own_home / "converted").iterdir())) == cache.CONVERTED_KEPT
    assert cache.find_converted("key0") is None and cache.find_converted("key10") == b"\x0a"


def test_cache_that_cannot_be_written(
    server: CorpusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The model is used from memory, with a warning. A file where the folder should be stops root too."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("PASSERBY_HOME", str(tmp_path / "file/home"))
    with caplog.at_level(logging.WARNING):
        load()
    assert "PASSERBY_HOME" in caplog.text
    assert everything_below(tmp_path) == {"file"}


def test_wait_for_another_process_has_an_end(server: CorpusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits says so, and after the limit takes a temporary copy of its own."""
    monkeypatch.setattr(cache, "WAIT_S", 0.3)
    lines: list[str] = []
    path = cache.folder_of(ATTRIBUTES).with_name(f".{ATTRIBUTES}.lock")
    path.parent.mkdir(parents=True)
    with lock.locked(path, wait_s=0, waiting=lambda: None) as held:
        assert held
        load_model(ATTRIBUTES, reports=Reports(lines.append, lambda done, total: None))
    assert "waiting" in lines[0] and len(server.requests) == 1
    assert cache.state_of(ATTRIBUTES) is cache.State.ABSENT


def test_what_killed_processes_left_is_removed(server: CorpusServer, own_home: Path) -> None:
    models = own_home / "models"
    old, young = models / ".passerby-old", models / ".passerby-young"
    for folder in (old, young):
        (folder / "files").mkdir(parents=True)
    os.utime(old, (1, 1))
    load()
    assert not old.exists() and young.exists()


LOADER = """
import dataclasses, hashlib, sys
from passerby.models import catalogue
from passerby.models.load import load_model
name, url = sys.argv[1:]
entry = dataclasses.replace(catalogue.ENTRIES[name], sources=(url,), architecture={})
catalogue.ENTRIES[name] = entry
print(hashlib.sha256(load_model(name).model_bytes).hexdigest())
"""


def start(server: CorpusServer) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LOADER, ATTRIBUTES, server.url("/m.tar")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_many_processes_make_one_download(routes: Routes, server: CorpusServer) -> None:
    routes["/m.tar"] |= {"delay_s": 1.5}
    processes = [start(server) for _ in range(PROCESSES)]
    answers = [process.communicate(timeout=100) for process in processes]
    assert {process.returncode for process in processes} == {0}, answers
    assert len({out for out, _ in answers}) == 1
    assert len(server.requests) == 1
    assert any("waiting" in err for _, err in answers)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX signals")
def test_lock_of_a_killed_process_is_free(routes: Routes, server: CorpusServer) -> None:
    good = routes["/m.tar"]
    routes["/m.tar"] = good | {"drip": {"bytes": 100, "every_s": 0.5}}
    process = start(server)
    while not server.requests:
        time.sleep(0.05)
    time.sleep(0.3)
    process.kill()
    process.communicate(timeout=10)
    routes["/m.tar"] = good
    started = time.monotonic()
    load()
    assert time.monotonic() - started < 5 and cache.state_of(ATTRIBUTES) is cache.State.GOOD


def test_threads_of_one_process_make_one_download(server: CorpusServer) -> None:
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(load())) for _ in range(PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(found) == PROCESSES and len(set(found)) == 1 and len(server.requests) == 1


def test_record_is_plain_json(server: CorpusServer) -> None:
    load()
    body = json.loads(cache.folder_of(ATTRIBUTES).with_name(f"{ATTRIBUTES}.json").read_text("utf-8"))
    assert set(body) == {"source", "download_sha256", "files", "check"}
