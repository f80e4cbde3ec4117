"""The corpus group `tree` through the original's flags, `--input FOLDER --save_path DIR`, in a fresh folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
    exit_code,
    inside,
    pipeline_words,
    running,
    scratch,
    selected_cases,
    true_process,
)
from .conftest import CORPUS, corpus_cases
from .corpus_child import made_tree

Record = Callable[[str, object], None]
GOOD_ID = "good"


def words_for(feed: Any, pipeline: list[str], *more: str) -> list[str]:
    feeds = feed if isinstance(feed, list) else [feed]
    return [*pipeline, *(word for one in feeds for word in ("--input", one)), "--json", *more]


def save_path(case: Case) -> str:
    return str(case.get("check", {}).get("save_path", "saved"))


def job_for(case: Case, folder: Path, pipeline: list[str]) -> Job:
    check, steps = case.get("check", {}), case["recipe"]["tree"]
    # 20,000 times two files flushed to the disk would say nothing about reading
    saving = [] if check.get("slow") else ["--save_path", save_path(case)]
    job = Job(id=case["id"], root=folder / case["id"].replace("/", "_"), words=[])
    job.words = [words_for(case["call"]["feed"], pipeline, *saving), words_for(GOOD_PICTURE, pipeline)]
    job.nobody = bool(check.get("not_as_root"))
    job.remove = next(
        (step["remove_after_first_result"] for step in steps if "remove_after_first_result" in step), None
    )
    with inside(job.cwd):
        made_tree(CORPUS, steps)
    return job


@pytest.fixture(scope="module", params=NETWORKS)
def group(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """Every selected case, and the plain picture under the name "good"."""
    pipeline = pipeline_words(request.param)
    with scratch() as folder:
        good = Job(id=GOOD_ID, root=folder / "good", words=[words_for(GOOD_PICTURE, pipeline)])
        with running([good, *(job_for(case, folder, pipeline) for case in selected_cases(request))]) as runs:
            yield runs


@pytest.mark.parametrize("case", corpus_cases("tree"))
def test_case(case: Case, group: Runs, record_property: Record) -> None:
    ran, good, check = group[case["id"]], group[GOOD_ID], case.get("check", {})
    check_ended_cleanly(ran, good)
    documents = ran.documents()
    errors = {document["input"]: document["error"]["name"] for document in documents if "error" in document}
    if "paths" not in check and "results" not in check:
        line = check_one_line(ran, case["expect"])
        assert [document["error"]["message"] for document in documents] == [line]
        assert ran.left(f"case/{save_path(case)}") == []
    else:
        check_results(case, ran, documents, errors)
    seconds, grown_mb = check_limits(ran, good, check)
    record_property("seconds", seconds)
    record_property("mb", grown_mb)


def check_results(case: Case, ran: Ran, documents: list[dict[str, Any]], errors: dict[str, str]) -> None:
    check = case["check"]
    paths = [document.get("input_path", document.get("input")) for document in documents]
    assert paths == check.get("paths", paths)
    assert len(paths) == check.get("results", len(paths))
    assert errors == check.get("errors", {})
    assert ran.code == check.get("exit_code", 0) == max(map(exit_code, errors.values()), default=0)
    lines = ran.err().splitlines()
    for line, name in zip(lines, errors.values(), strict=False):
        assert line.startswith(f"{name}: ")
    if check.get("slow"):
        assert lines == []
        return
    written = list(ran.left(f"case/{save_path(case)}"))
    saved = [path for path in written if path.endswith(".json")]
    assert len(saved) == check.get("outputs", len(paths) - len(errors)) == len(written) - len(saved)
    for path in saved:
        body = json.loads((ran.job.root / path).read_text("utf-8"))
        assert body["input_path"] in paths
    told = f"; written to {save_path(case)}"
    assert [line.endswith(told) for line in lines[len(errors) :]] == ([True] if saved else [])


def test_the_good_case_as_a_true_process(group: Runs) -> None:
    good = group[GOOD_ID]
    run = true_process(good.job.words[0], good.job.cwd)
    assert (run.returncode, run.stdout, run.stderr) == (0, good.out(), good.err())
    assert list(good.job.cwd.iterdir()) == []
