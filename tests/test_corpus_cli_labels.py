"""The corpus group `labels` through the command line: `dataset check FOLDER --format FORMAT`, plain and --json."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from passerby.errors import shown

from .cli_runner import (
    Case,
    Job,
    Ran,
    Runs,
    check_ended_cleanly,
    check_limits,
    check_one_line,
    running,
    scratch,
    selected_cases,
    true_process,
)
from .conftest import corpus_cases
from .test_corpus_labels import RECORDED, SEVERAL, prepared, tells_cases_apart

Record = Callable[[str, object], None]
CASES = corpus_cases("labels")
GOOD_ID = "labels/attr_plain"
# A case is a few kilobytes; more than this beyond the good folder would be a reader that copies or counts on.
LIMITS = {"max_seconds": 10, "max_rss_mb": 32}
ESSENTIAL = {
    "MLClsDataset": {"label.txt", "train.txt", "val.txt"},
    "COCODetDataset": {"annotations/instance_train.json", "annotations/instance_val.json"},
}
# Places among `Job.words`; 1 is the good folder.
AS_JSON, AS_TEXT, BY_DEFAULT = 0, 2, 3


def expected(case: Case) -> str:
    return RECORDED[case["id"]] if case["expect"] == "record" else str(case["expect"])


def words_for(folder: str, format: str, *more: str) -> list[str]:
    return ["dataset", "check", folder, "--format", format, *more]


def job_for(case: Case, folder: Path, good_words: list[str]) -> Job:
    job = Job(id=case["id"], root=folder / case["id"].replace("/", "_"), words=[])
    job.cwd.mkdir(parents=True)
    root = prepared(case, job.cwd).name
    depth = [] if case.get("check", {}).get("deep_check") else ["--shallow"]
    words = words_for(root, case["call"]["format"], *depth)
    job.words = [[*words, "--json"], good_words, words]
    if expected(case) == "ok":
        job.words.append(["dataset", "check", root, "--quiet"])
    return job


@pytest.fixture(scope="module")
def group(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """Every selected case, and the plain folder with its pixels under the name "good"."""
    plain = next(c.values[0] for c in CASES if c.id == GOOD_ID)
    with scratch() as folder:
        good = Job(id="good", root=folder / "good", words=[])
        good.cwd.mkdir(parents=True)
        good.words = [words_for(str(prepared(plain, good.cwd)), plain["call"]["format"], "--json")]
        with running([good, *(job_for(case, folder, good.words[0]) for case in selected_cases(request))]) as runs:
            yield runs


@pytest.mark.parametrize("case", CASES)
def test_case(case: Case, group: Runs, record_property: Record, tmp_path: Path) -> None:
    if case.get("check", {}).get("case_sensitive_only") and not tells_cases_apart(tmp_path):
        pytest.skip("this file system does not tell A from a")
    ran, good = group[case["id"]], group["good"]
    check_ended_cleanly(ran, good)
    if expected(case) == "ok":
        check_sound(case, ran)
    else:
        check_refused(case, ran)
    assert ran.err(AS_TEXT) == ran.err(AS_JSON)
    assert ran.answer["codes"][AS_TEXT] == ran.code
    assert ran.left("home") == []
    again = tmp_path / "again"
    again.mkdir()
    prepared(case, again)
    assert files(ran.job.cwd) == files(again)
    seconds, grown_mb = check_limits(ran, good, {**LIMITS, **case.get("check", {})})
    record_property("seconds", seconds)
    record_property("mb", grown_mb)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_sound(case: Case, ran: Ran) -> None:
    check, report = case.get("check", {}), ran.document()
    assert (ran.code, report["done_flag"], report["check_pass"]) == (0, True, True)
    assert (report["dataset_type"], report["dataset_path"]) == (case["call"]["format"], "set")
    assert ran.err().splitlines() == [f"warning: {shown(text, 400)}" for text in report["warnings"]]
    for warning in check.get("warnings", []):
        assert any(warning in line for line in ran.err().splitlines()), ran.err()
    check_counts(check.get("counts", {}), report)
    assert ran.out(AS_TEXT).endswith("set: no problems\n")
    # the pixels are fine too, the files say which layout it is, and quiet is quiet
    assert (ran.answer["codes"][BY_DEFAULT], ran.out(BY_DEFAULT), ran.err(BY_DEFAULT)) == (0, "", "")


def check_counts(wanted: dict[str, int], report: dict[str, Any]) -> None:
    splits, attributes = report["splits"], report["attributes"]
    found = dict.fromkeys(("labels", "categories"), len(report["classes"]))
    found |= {split: figures["samples"] for split, figures in splits.items()}
    found |= {"images": splits["train"]["samples"], "boxes": sum(splits["train"].get("boxes", ()))}
    assert {name: found[name] for name in wanted} == wanted
    assert attributes["num_classes"] == len(report["classes"])
    assert {split: attributes[f"{split}_samples"] for split in splits} == {split: found[split] for split in splits}


def check_refused(case: Case, ran: Ran) -> None:
    name, check = expected(case), case.get("check", {})
    line = check_one_line(ran, name)
    assert ran.document() == {"done_flag": False, "input": "set", "error": {"name": name, "message": line}}
    assert ran.out(AS_TEXT) == ""
    assert check.get("mentions", "") in line
    if name == "dataset_invalid":
        check_problems(case, line)
    else:
        check_missing(case, line)


def check_missing(case: Case, line: str) -> None:
    told = re.fullmatch(r"dataset_missing: (\S+) missing: set(?:; (.+))?", line)
    assert told is not None, line
    assert told[1] in ESSENTIAL[case["call"]["format"]] - set(case["recipe"]["dataset"])
    if "val" in told[1]:
        assert "passerby dataset split" in told[2]


def check_problems(case: Case, line: str) -> None:
    """The problems of the one line: `2 problems: PLACE: TEXT; PLACE: TEXT: FOLDER`, or the only one by itself."""
    check = case["check"]
    told = re.fullmatch(r"dataset_invalid: (?:(\d+) problems: )?(.+?): set(?:; .+)?", line)
    assert told is not None, line
    count, listed = int(told[1] or 1), told[2]
    starts = "|".join(re.escape(name) for name in case["recipe"]["dataset"])
    problems = re.split(rf"; (?=(?:{starts})\b)", listed)
    for wanted in check["problems"]:
        place = wanted["file"] + (f" line {wanted['line']}" if wanted.get("line") else "")
        place += f" {wanted['where']}" if wanted.get("where") else ""
        texts = [problem.removeprefix(f"{place}: ") for problem in problems if problem.startswith(f"{place}: ")]
        assert any(wanted["contains"] in text for text in texts), line
    assert len(problems) == min(count, check.get("shown_at_most", count))
    if case["id"] not in SEVERAL:  # nothing is said of a folder but what is wrong with it
        assert count == len(check["problems"])


def test_the_good_case_as_a_true_process(group: Runs) -> None:
    good = group["good"]
    run = true_process(good.job.words[0], good.job.cwd)
    assert (run.returncode, run.stdout, run.stderr) == (0, good.out(), good.err())
