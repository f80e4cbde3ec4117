# SPDX-License-Identifier: Apache-2.0
"""The list of photo sources, and taking photos out of a real git repository made here."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from passerby.errors import ArgumentError, DatasetError
from passerby.training.shipped.detection_data import is_val_stem
from passerby.training.shipped.photo_sources import (
    SourceFile,
    blob_id,
    choose_files,
    choose_sources,
    extract_files,
    held_out_keys,
    load_sources,
    split_of,
)

SCRIPT = Path(__file__).parents[1] / "scripts" / "training_photos.py"
VAL_ID = next(f"{n:012d}" for n in range(1000) if is_val_stem(f"{n:012d}"))
TRAIN_ID = next(f"{n:012d}" for n in range(1000) if not is_val_stem(f"{n:012d}"))

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def row(**changes: Any) -> dict[str, Any]:
    """A valid row of the list."""
    return {
        "name": "streets",
        "repo": "someone/streets",
        "commit": "0" * 40,
        "paths": ["photos/*.jpg"],
        "images": 2,
        "use": "train",
        "split": "none",
        "licence": "CC BY 4.0",
        "what": "streets",
        "val": [],
        **changes,
    }


def write_list(path: Path, *rows: object) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def test_the_shipped_list_can_be_read_and_separates_research() -> None:
    sources = load_sources()
    train = [s.name for s in choose_sources(sources)]
    assert {"human_oi_coco", "oi_people", "coco128", "ccp"} <= set(train)
    assert not {"peta", "market1501"} & set(train)
    assert [s.name for s in choose_sources(sources, uses=("research",))] == ["peta", "market1501"]
    for source in sources.values():
        if source.use == "train":
            assert any(word in source.licence for word in ("CC BY", "Creative Commons", "Apache", "coco128"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"commit": "main"}, "40 hex digits, not a branch"),
        ({"repo": "../etc"}, "owner/name"),
        ({"use": "anything"}, "train, research, measure"),
        ({"licence": " "}, "licence must be stated"),
        ({"name": "../up"}, "small letters"),
        ({"paths": []}, "paths must be"),
        ({"images": True}, "images must be a count"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DatasetError, match=said) as caught:
        load_sources(write_list(tmp_path / "list.json", row(name="good"), row(**changes)))
    assert caught.value.name == "dataset_invalid"
    assert "row 2" in caught.value.message


def test_lists_that_are_no_lists(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="two rows are called streets"):
        load_sources(write_list(tmp_path / "twice.json", row(), row()))
    (tmp_path / "broken.json").write_text("[{", encoding="utf-8")
    with pytest.raises(DatasetError, match="dataset_invalid"):
        load_sources(tmp_path / "broken.json")
    with pytest.raises(DatasetError, match="dataset_missing"):
        load_sources(tmp_path / "none.json")


def test_names_and_uses_are_checked() -> None:
    sources = load_sources()
    with pytest.raises(ArgumentError, match="did you mean oi_people"):
        choose_sources(sources, ["oi_peple"])
    with pytest.raises(ArgumentError, match="peta may be used for research only"):
        choose_sources(sources, ["peta"])
    assert [s.name for s in choose_sources(sources, ["peta"], uses=("research",))] == ["peta"]


def test_val_photos_are_val_in_their_source_and_left_out_elsewhere(tmp_path: Path) -> None:
    sources = load_sources(
        write_list(
            tmp_path / "list.json",
            row(name="big", split="hash"),
            row(name="known", val=[TRAIN_ID, "street7"]),
            row(name="late", split="leave_out"),
            row(name="away", use="measure"),
        )
    )
    held_out = held_out_keys(sources)
    assert held_out == {TRAIN_ID, "known/street7"}
    got = {
        (name, key): split_of(sources[name], f"photos/{key}_jpg.rf.1a2b.jpg", held_out)
        for name in sources
        for key in (VAL_ID, TRAIN_ID, "street7")
    }
    assert [key for key, split in got.items() if split == "val"] == [
        ("big", VAL_ID),
        ("known", TRAIN_ID),
        ("known", "street7"),
    ]
    assert [key for key, split in got.items() if split == "left out"] == [
        ("big", TRAIN_ID),
        ("late", VAL_ID),
        ("late", TRAIN_ID),
    ]
    assert {split for (name, _), split in got.items() if name == "away"} == {"measure"}
    assert split_of(sources["big"], f"labels/{VAL_ID}_jpg.rf.1a2b.txt", held_out) == "val"


@pytest.mark.parametrize(
    "path", ["photos/../../up.jpg", "/photos/a.jpg", "photos//a.jpg", "photos/a\n.jpg", "c:\\a.jpg"]
)
def test_paths_that_lead_out_of_the_folder_are_refused(path: str) -> None:
    source = replace(load_sources()["oi_streets"], paths=("*.jpg",))
    with pytest.raises(DatasetError, match="dataset_invalid"):
        choose_files(source, {path: "0" * 40}, frozenset())


def test_bytes_of_another_file_are_refused(tmp_path: Path) -> None:
    file = SourceFile(path="a.jpg", blob=blob_id(b"right"), split="train")
    with pytest.raises(DatasetError, match="not those of the commit"):
        extract_files([file], lambda _: b"wrong", tmp_path)
    assert not (tmp_path / "a.jpg").exists()


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    run = subprocess.run(["git", "-C", str(folder), *identity, *words], capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of repositories with one in it, and a list that names its first commit."""
    work = tmp_path / "hub" / "someone" / "streets"
    (work / "photos").mkdir(parents=True)
    git(work, "init", "--quiet")
    for key, data in ((TRAIN_ID, b"train"), (VAL_ID, b"val"), ("street7", b"\x00\xff\r\n")):
        (work / "photos" / f"{key}.jpg").write_bytes(data)
    (work / "README.md").write_bytes(b"not wanted")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "-m", "photos")
    commit = git(work, "rev-parse", "HEAD")
    (work / "photos" / f"{TRAIN_ID}.jpg").write_bytes(b"later")
    git(work, "commit", "--quiet", "-am", "changed later")
    return work.parents[1], write_list(tmp_path / "list.json", row(commit=commit, split="leave_out"))


def run_script(tmp_path: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    places = ["--mirror", tmp_path / "mirror", "--photos", tmp_path / "photos", "--sources", tmp_path / "list.json"]
    command = [sys.executable, str(SCRIPT), *map(str, words), *map(str, places)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@needs_git
def test_fetch_and_extract_a_commit_and_again(tmp_path: Path, repository: tuple[Path, Path]) -> None:
    hub, _ = repository
    early = run_script(tmp_path, "extract")
    assert early.returncode == 1
    assert "no copy of someone/streets" in early.stderr
    fetched = run_script(tmp_path, "fetch", "--base-url", f"file://{hub.as_posix()}/")
    assert fetched.returncode == 0, fetched.stderr
    assert "is here" in run_script(tmp_path, "fetch", "--base-url", "file:///nowhere/").stdout

    first = run_script(tmp_path, "extract")
    assert "2 written, 0 were there, 0 missing (2 train, 1 left out)" in first.stdout, first.stderr
    folder = tmp_path / "photos" / "streets" / "photos"
    assert sorted(p.name for p in folder.iterdir()) == sorted([f"{TRAIN_ID}.jpg", "street7.jpg"])
    assert (folder / f"{TRAIN_ID}.jpg").read_bytes() == b"train"
    with (tmp_path / "photos" / "streets.csv").open(newline="", encoding="utf-8") as file:
        rows = {r["path"]: r for r in csv.DictReader(file)}
    assert rows[f"photos/{VAL_ID}.jpg"]["split"] == "left out"
    assert rows["photos/street7.jpg"]["blob"] == blob_id(b"\x00\xff\r\n")

    (folder / "street7.jpg").write_bytes(b"damaged")
    again = run_script(tmp_path, "extract")
    assert "1 written, 1 were there, 0 missing" in again.stdout
    assert (folder / "street7.jpg").read_bytes() == b"\x00\xff\r\n"


@needs_git
def test_a_file_that_the_copy_lacks_is_listed(tmp_path: Path, repository: tuple[Path, Path]) -> None:
    work = repository[0] / "someone" / "streets"
    (tmp_path / "mirror").mkdir()
    copy = tmp_path / "mirror" / "someone+streets"
    shutil.copytree(work / ".git", copy)
    blob = blob_id(b"train")
    (copy / "objects" / blob[:2] / blob[2:]).unlink()
    run = run_script(tmp_path, "extract")
    assert run.returncode == 1
    assert f"missing: photos/{TRAIN_ID}.jpg" in run.stdout
    assert (tmp_path / "photos" / "streets" / "photos" / "street7.jpg").exists()
