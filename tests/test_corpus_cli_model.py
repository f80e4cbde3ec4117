"""The corpus group `model` through the command line: `passerby models convert FILE` and `models verify FILE`.

A file of the corpus is one part of a model; what the command needs around it are the good files of the group. Those are
no network that can run, so a file which its reader accepts ends as `model_mismatch`, one stage later: the tests of the
library see what was read. `load_as` is `models import FILE --name ...`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .cli_runner import (
    Case,
    Job,
    Runs,
    check_ended_cleanly,
    check_limits,
    check_one_line,
    inside,
    running,
    scratch,
    selected_cases,
    tiny_yaml,
    true_process,
)
from .conftest import DATA, FIXTURES, corpus_cases
from .model_worker import made

Record = Callable[[str, object], None]
CASES = [p for p in corpus_cases("model") if p.values[0]["call"]["reader"] != "download"]
RECORDED: dict[str, str] = json.loads((DATA / "recorded" / "model.json").read_text("utf-8"))
# Read without a complaint by its reader, and then no network of ours.
AFTER_OK = "model_mismatch"
GOOD = {
    "inference.json": "model/program_good.json",
    "inference.pdiparams": "model/pdiparams_good.pdiparams",
    "inference.yml": "model/inference_yml_good.yml",
}
PLACE = {"pdiparams": "inference.pdiparams", "program": "inference.json", "inference_yml": "inference.yml"}


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the group, which are not stored."""
    from .data.corpus.groups import model
    from .data.corpus.groups.common import Corpus

    out = tmp_path_factory.mktemp("model_files")
    model.build(Corpus(out))
    return out


def input_of(case: Case, job: Job, corpus: Path) -> str:
    """The model as the command gets it: a file, or a folder with the case's file among good ones."""
    reader = case["call"]["reader"]
    if "file" not in case:
        return str(made(case["recipe"], job.cwd, corpus))
    source = corpus / case["file"]
    if reader not in (*PLACE, "pdmodel"):
        return str(source)
    folder = job.cwd / "model"
    folder.mkdir()
    for name, good in GOOD.items():
        shutil.copy(corpus / good, folder / name)
    if reader == "pdmodel":
        (folder / "inference.json").unlink()
    shutil.copy(source, folder / PLACE.get(reader, "inference.pdmodel"))
    return str(folder)


def job_for(case: Case, folder: Path, corpus: Path, good: list[str]) -> Job:
    job = Job(id=case["id"], root=folder / case["id"].replace("/", "_"), words=[])
    with inside(job.cwd):
        source = input_of(case, job, corpus)
    load_as = case.get("check", {}).get("load_as")
    convert = ["models", "convert", source, "--output", "made.onnx"]
    words = ["models", "import", source, "--name", load_as] if load_as else convert
    job.words = [words, good, ["models", "verify", source, "--json"]]
    job.env = {"PASSERBY_OFFLINE": "1"}
    return job


@pytest.fixture(scope="module")
def group(request: pytest.FixtureRequest, model_files: Path) -> Iterator[Runs]:
    """Every selected case, and a file that can run under the name "good"."""
    words = ["models", "verify", str(tiny_yaml().with_name("attributes.onnx"))]
    with scratch() as folder:
        jobs = [job_for(case, folder, model_files, words) for case in selected_cases(request)]
        with running([Job(id="good", root=folder / "good", words=[words]), *jobs]) as runs:
            yield runs


@pytest.mark.parametrize("case", CASES)
def test_case(case: Case, group: Runs, record_property: Record) -> None:
    ran, good, check = group[case["id"]], group["good"], case.get("check", {})
    check_ended_cleanly(ran, good)
    expected = RECORDED[case["id"]] if case["expect"] == "record" else case["expect"]
    line = check_one_line(ran, AFTER_OK if expected == "ok" else expected)
    assert ran.out() == ""
    assert not (ran.job.cwd / "made.onnx").exists()
    assert [path for path in ran.left("case") if not path.startswith("case/model/")] == []
    assert all(path.endswith(".lock") for path in ran.left("home"))
    if "load_as" not in check:
        (document,) = json.loads(ran.out(2))
        assert document["error"]["message"] == line
        assert ran.err(2) == f"{line}\n"
    seconds, grown_mb = check_limits(ran, good, check)
    record_property("seconds", seconds)
    record_property("mb", grown_mb)


@pytest.mark.skip(reason="no command downloads a model from another place than the catalogue's")
@pytest.mark.parametrize("case", [p for p in corpus_cases("model") if p.values[0]["call"]["reader"] == "download"])
def test_download(case: Case) -> None: ...


def test_a_refusal_of_weights_names_what_is_missing_and_what_is_too_much(group: Runs) -> None:
    (case,) = [p.values[0] for p in CASES if "load_as" in p.values[0].get("check", {})]
    line = group[case["id"]].err()
    assert "missing: " in line
    assert "unexpected: " in line


def test_the_good_case_as_a_true_process(tmp_path: Path) -> None:
    """A folder of real Paddle becomes a file that answers its probe."""
    converted = true_process(["models", "convert", str(FIXTURES / "models/tiny_cls/pir"), "-o", "a.onnx"], tmp_path)
    assert (converted.returncode, converted.stdout, converted.stderr) == (0, "a.onnx\n", "")
    assert sha256(tmp_path / "a.onnx") == sha256(tiny_yaml().with_name("attributes.onnx"))
    verified = true_process(["models", "verify", "a.onnx", "--json"], tmp_path)
    (document,) = json.loads(verified.stdout)
    assert (verified.returncode, document["difference"]) == (0, 0.0)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
