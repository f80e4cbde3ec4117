"""The corpus group `config` through the command line: `--pipeline FILE`, `module -c FILE`, and words as they stand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from passerby.models.catalogue import ENTRIES

from .cli_runner import (
    GOOD_PICTURE,
    Case,
    Job,
    Ran,
    Runs,
    check_ended_cleanly,
    check_limits,
    check_one_line,
    inside,
    running,
    scratch,
    selected_cases,
    true_process,
)
from .conftest import CORPUS, corpus_cases
from .test_corpus_config import check_message, expected, prepared

Record = Callable[[str, object], None]
SEED = str(CORPUS / "config" / "seed.yaml")
GOOD_WORDS = ["config", "check", SEED, "--json"]


def kind(parameter: Any) -> str:
    return str(parameter.values[0]["call"]["kind"])


def is_shipped(name: str) -> bool:
    return name in ENTRIES and ENTRIES[name].shipped


def ending(case: Case) -> str:
    """The error of a training file: a sound one is read to its end, and what it names is not there."""
    if case["id"] == "config/train_device_list":
        return "device_unavailable"
    return "dataset_missing" if expected(case) == "ok" else expected(case)


def job_for(case: Case, folder: Path) -> Job:
    job = Job(id=case["id"], root=folder / case["id"].replace("/", "_"), words=[])
    with inside(job.cwd):
        path = str(prepared(case, job.cwd))
    if case["call"]["kind"] == "train":
        # a mode that needs no torch, where the file's own is not what is tried
        mode = ["-o", "Global.mode=check_dataset"] if ending(case) == "dataset_missing" else []
        job.words = [["module", "-c", path, "-o", "Global.output=out", *mode], GOOD_WORDS]
    else:
        words = case["call"].get("args", ["--pipeline", path, "--input", GOOD_PICTURE, "--json"])
        # the third run says what the second one cannot: that a configuration which is fine is read to its end
        job.words = [words, GOOD_WORDS, ["config", "check", path, "--json"], ["config", "show", path, "--json"]]
    job.env = {"PASSERBY_OFFLINE": "1"}
    return job


@pytest.fixture(scope="module")
def group(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """Every selected case, and the tutorial's file under the name "good"."""
    with scratch() as folder:
        jobs = [job_for(case, folder) for case in selected_cases(request)]
        with running([Job(id="good", root=folder / "good", words=[GOOD_WORDS]), *jobs]) as runs:
            yield runs


@pytest.mark.parametrize("case", [c for c in corpus_cases("config") if kind(c) == "pipeline"])
def test_pipeline(case: Case, group: Runs, record_property: Record) -> None:
    ran, good = group[case["id"]], group["good"]
    check_ended_cleanly(ran, good)
    assert all(path.endswith(".lock") for path in ran.left("home"))
    if expected(case) == "ok":
        assert ran.answer["codes"][2:] == [0, 0]
        assert json.loads(ran.out(2)) == {"input": ran.job.words[2][2], "error": None}
        shown = json.loads(ran.out(3))
        assert shown["pipeline_name"] == "pedestrian_attribute_recognition"
        if all(is_shipped(shown[stage]["model_name"]) for stage in ("detection", "classification")):
            assert ran.code == 0
            assert len(json.loads(ran.out())) == 1
        else:
            # The file names official models, and nothing may be downloaded here: what remains is to say so.
            assert ran.code == 3
            (line,) = ran.err().splitlines()
            assert line.startswith(("model_offline: ", "model_missing: "))
    else:
        line = check_one_line(ran, expected(case))
        check_message(case, line)
        assert ran.out() == ""
        assert ran.answer["codes"][2:] == [2, 2]
        assert json.loads(ran.out(2))["error"] == {"name": expected(case), "message": line}
        assert (ran.err(2), ran.err(3)) == (f"{line}\n", f"{line}\n")
    figures(ran, good, case, record_property)


@pytest.mark.parametrize("case", [c for c in corpus_cases("config") if kind(c) == "cli"])
def test_words(case: Case, group: Runs, record_property: Record, tmp_path: Path) -> None:
    ran, good = group[case["id"]], group["good"]
    check_ended_cleanly(ran, good)
    check_one_line(ran, expected(case))
    prepared(case, tmp_path)
    edited = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.removeprefix("case/"): (ran.job.root / path).read_bytes() for path in ran.left("case")} == edited
    figures(ran, good, case, record_property)


@pytest.mark.parametrize("case", [c for c in corpus_cases("config") if kind(c) == "train"])
def test_training(case: Case, group: Runs, record_property: Record) -> None:
    ran, good = group[case["id"]], group["good"]
    check_ended_cleanly(ran, good)
    check_message(case, check_one_line(ran, ending(case)))
    assert ran.out() == ""
    figures(ran, good, case, record_property)


def figures(ran: Ran, good: Ran, case: Case, record_property: Record) -> None:
    seconds, grown_mb = check_limits(ran, good, case.get("check", {}))
    record_property("seconds", seconds)
    record_property("mb", grown_mb)


def test_the_good_case_as_a_true_process(group: Runs) -> None:
    good = group["good"]
    run = true_process(GOOD_WORDS, good.job.cwd)
    assert (run.returncode, run.stdout, run.stderr) == (0, good.out(), good.err())
