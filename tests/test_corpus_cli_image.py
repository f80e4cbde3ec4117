"""The corpus group `image` through `passerby predict --input FILE`: exit code, both streams, files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

from .cli_runner import (
    GOOD_PICTURE,
    NETWORKS,
    Case,
    Job,
    Ran,
    Runs,
    check_ended_cleanly,
    check_limits,
    check_one_line,
    inside,
    pipeline_words,
    running,
    scratch,
    selected_cases,
    true_process,
)
from .conftest import CORPUS, DATA, corpus_cases
from .corpus_child import made_path

RECORDED: dict[str, str] = json.loads((DATA / "recorded" / "image.json").read_text("utf-8"))
Record = Callable[[str, object], None]
# Nothing scores above 1: the saved picture then is the frame itself, without boxes.
NOTHING_DRAWN = ["--det-threshold", "1"]


def words_for(path: str, pipeline: list[str], *, save_path: str) -> list[str]:
    return ["predict", f"--input={path}", *pipeline, "--json", *NOTHING_DRAWN, "--save-path", save_path]


def several_pages(case: Case) -> bool:
    return case.get("check", {}).get("results", 1) > 1 or case["expect"] == "record"


def job_for(case: Case, folder: Path, pipeline: list[str]) -> Job:
    job = Job(id=case["id"], root=folder / case["id"].replace("/", "_"), words=[])
    with inside(job.cwd):
        path = made_path(CORPUS, case)
    saved = "saved" if "copy_as" in case["call"] or several_pages(case) else "frame.png"
    job.words = [
        words_for(path, pipeline, save_path=saved),
        words_for(GOOD_PICTURE, pipeline, save_path="../again.png"),
    ]
    if "copy_as" in case["call"]:
        job.words[0].remove("--json")
    return job


@pytest.fixture(scope="module", params=NETWORKS)
def group(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """Every selected case run once; the good one under the name "good"."""
    pipeline = pipeline_words(request.param)
    with scratch() as folder:
        words = words_for(GOOD_PICTURE, pipeline, save_path="../again.png")
        jobs = [job_for(case, folder, pipeline) for case in selected_cases(request)]
        with running([Job(id="good", root=folder / "good", words=[words]), *jobs]) as runs:
            yield runs


@pytest.mark.parametrize("case", corpus_cases("image"))
def test_case(case: Case, group: Runs, record_property: Record) -> None:
    ran, good, check = group[case["id"]], group["good"], case.get("check", {})
    check_ended_cleanly(ran, good)
    assert digest(ran.job.root / "again.png") == digest(good.job.root / "again.png")
    expected = RECORDED[case["id"]] if case["expect"] == "record" else case["expect"]
    if expected != "ok":
        line = check_one_line(ran, expected)
        (document,) = ran.documents()
        assert document["error"] == {"name": expected, "message": line}
        assert ran.left("case") == [] or "recipe" in case
    else:
        check_good(case, ran)
    seconds, grown_mb = check_limits(ran, good, check)
    record_property("seconds", seconds)
    record_property("mb", grown_mb)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_good(case: Case, ran: Ran) -> None:
    check, folder = case.get("check", {}), ran.job.cwd
    assert ran.code == 0, ran.err()
    if "copy_as" in case["call"]:
        check_named(ran)
        return
    documents = ran.documents()
    assert all(document["boxes"] == [] for document in documents)
    assert len(documents) == check.get("results", len(documents))
    if several_pages(case):
        pictures = sorted((folder / "saved").glob("*_res*"))
        assert len(pictures) == len(documents) == len(list((folder / "saved").glob("*.json")))
        assert [document.get("page_index") for document in documents] == (
            list(range(len(documents))) if len(documents) > 1 else [None]
        )
        check_picture(check, pictures[0])
    else:
        assert ran.left("case") == ["case/frame.png"] or "recipe" in case
        check_picture(check, folder / "frame.png")


def check_picture(check: dict[str, Any], path: Path) -> None:
    image = cv2.imread(str(path))
    height, width = image.shape[:2]
    assert [width, height] == check.get("size", [width, height])
    places = {"tl": (1, 1), "tr": (1, 3), "bl": (3, 1), "br": (3, 3)}
    for name, colour in check.get("corners", {}).items():
        row, column = places[name]
        found = image[height * row // 4, width * column // 4, ::-1].tolist()
        assert max(abs(a - b) for a, b in zip(colour, found, strict=True)) <= check["tolerance"], (name, found)


def check_named(ran: Ran) -> None:
    """A strange file name: results inside the folder, printable lines on standard output."""
    assert all(line.isprintable() for line in ran.out().splitlines())
    written = [os.fsencode(path) for path in ran.left("case/saved")]
    assert len(written) == 2
    assert all(path.decode("utf-8").isprintable() for path in written)
    assert len(ran.left("case")) == 3


def test_the_good_case_as_a_true_process(group: Runs) -> None:
    good = group["good"]
    folder = good.job.root / "true"
    (folder / "case").mkdir(parents=True)
    run = true_process(good.job.words[0], folder / "case")
    assert (run.returncode, run.stdout, run.stderr) == (0, good.out(), good.err())
    assert digest(folder / "again.png") == digest(good.job.root / "again.png")
    assert sorted(path.name for path in folder.rglob("*")) == ["again.png", "case"]
