"""The model group of the corpus through the library: every reader on good, damaged and hostile files.

The files are not stored; they are written once for the run and must have the manifest's hashes. Case
`model/pinned_hash` (reader `download`) runs with the downloads.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import CORPUS, DATA, corpus_cases

CASES = [p for p in corpus_cases("model") if p.values[0]["call"]["reader"] != "download"]
RECORDED: dict[str, str] = json.loads((DATA / "recorded" / "model.json").read_text("utf-8"))
MESSAGE_MAX = 400

Run = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="session")
def model_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the group, each compared with the manifest."""
    from .data.corpus.groups import model
    from .data.corpus.groups.common import Corpus

    out = tmp_path_factory.mktemp("corpus")
    model.build(Corpus(out))
    for parameter in corpus_cases("model"):
        case = parameter.values[0]
        if "file" in case:
            assert hashlib.sha256((out / case["file"]).read_bytes()).hexdigest() == case["sha256"], case["id"]
    return out


@pytest.fixture(scope="session")
def run_case(model_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs a case in a fork of one prepared process; afterwards the group's figures are printed."""
    scratch = tmp_path_factory.mktemp("model")
    worker = Path(__file__).with_name("model_worker.py")
    process = subprocess.Popen(
        [sys.executable, str(worker), str(model_corpus), str(scratch)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    answers: list[dict[str, Any]] = []

    def run(case: dict[str, Any]) -> dict[str, Any]:
        root = scratch / case["id"].replace("/", "_")
        print(json.dumps({**case, "root": str(root)}), file=process.stdin, flush=True)
        answers.append(json.loads(process.stdout.readline()))  # type: ignore[union-attr]
        return answers[-1]

    yield run
    process.stdin.close()
    process.wait(30)
    process.stdout.close()
    if answers:
        worst_s, worst_mb = (max(a.get(key, 0.0) for a in answers) for key in ("seconds", "mb"))
        names = Counter(a["name"] for a in answers)
        print(f"\nmodel group: {len(answers)} run, worst {worst_s:.2f} s, {worst_mb:.0f} MB, {dict(names)}")


@pytest.mark.parametrize("case", CASES)
def test_a_model_file_has_the_outcome_of_the_manifest(case: dict[str, Any], run_case: Run) -> None:
    answer, check = run_case(case), case.get("check", {})
    expected = RECORDED[case["id"]] if case["expect"] == "record" else case["expect"]
    assert answer["name"] == expected, answer["message"]
    assert len(answer["message"]) <= MESSAGE_MAX and answer["message"].isprintable()
    assert answer["name"] == "ok" or answer["input"]
    assert not answer["pwned"]
    assert answer["events"] == []
    assert answer["good_again"]
    if check.get("no_files_left"):
        assert answer["left"] == []
    for name, shape in check.get("shapes", {}).items():
        assert answer["shapes"][name] == shape
    if "files" in check:
        assert answer["files"] == sorted(check["files"])
    if "file_mode" in check:
        assert answer["modes"] == [check["file_mode"]]
    assert answer["seconds"] <= check.get("max_seconds", 10)
    assert answer["mb"] <= check.get("max_rss_mb", 256)


def test_the_hook_of_the_worker_sees_an_opened_file(run_case: Run) -> None:
    case = {"id": "model/planted", "call": {"reader": "planted"}, "file": "model/good.pdparams"}
    assert any(event.startswith("open ") and "model_worker" in event for event in run_case(case)["events"])


def test_every_case_but_the_download_is_here() -> None:
    everything = [p.values[0] for p in corpus_cases("model")]
    assert len(CASES) == len(everything) - 1 == 221
    assert set(RECORDED) == {c["id"] for c in everything if c["expect"] == "record"}
    assert (CORPUS / "groups" / "model.py").is_file()
