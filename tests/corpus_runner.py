"""Runs the corpus groups that feed the library with pictures, and judges every case by its manifest entry.

All cases of a group share one child process (`corpus_child.py`), so that a crash, a hang or a memory bomb ends the
child and not the tests; the rest then goes on in a new one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "data" / "corpus"
SOURCE = Path(__file__).parents[1] / "src"
CHILD = Path(__file__).with_name("corpus_child.py")
GROUP_S = 600
FIRST_RESULT_S = 5

Case = dict[str, Any]


@dataclass
class GroupRun:
    """What the child said to every case, by id, and all it printed on standard error."""

    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    printed: str = ""


def group_cases(group: str, *, slow: bool) -> list[Case]:
    cases = json.loads((CORPUS / "manifest.json").read_text("utf-8"))["cases"]
    return [case for case in cases if case["group"] == group and bool(case.get("check", {}).get("slow")) == slow]


def run_cases(door: str, cases: list[Case], folder: Path) -> GroupRun:
    """Run the cases in as few children as survive them.

    Args:
        door: `frames` (the pixels) or `predict` (a pipeline of the tiny networks).
    """
    run, waiting = GroupRun(), list(cases)
    while waiting:
        done, printed, code = _child(door, waiting, folder)
        run.printed += printed
        run.lines |= done
        left = [case for case in waiting if case["id"] not in done]
        if len(left) == len(waiting) and not done and code == 0:
            raise AssertionError("the child did nothing")
        if left:
            run.lines[left[0]["id"]] = {"crashed": code}
        waiting = left[1:]
    return run


def _child(door: str, cases: list[Case], folder: Path) -> tuple[dict[str, dict[str, Any]], str, int]:
    list_path, out = folder / "cases.json", folder / "lines.jsonl"
    list_path.write_text(json.dumps(cases), "utf-8")
    out.unlink(missing_ok=True)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    # warnings are errors there too: none of a library may reach the user
    arguments = [sys.executable, "-W", "error", str(CHILD), door, str(CORPUS), str(list_path), str(out)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": f"{SOURCE}{os.pathsep}{SOURCE.parent}"}
    try:
        ended = subprocess.run(arguments, env=environment, capture_output=True, timeout=GROUP_S, check=False)
        code, printed = ended.returncode, ended.stderr.decode("utf-8", "replace")
    except subprocess.TimeoutExpired as late:
        code, printed = -1, (late.stderr or b"").decode("utf-8", "replace")
    lines = out.read_text("utf-8").splitlines() if out.exists() else []
    return {line["id"]: line for line in map(json.loads, lines)}, printed, code


def judge(case: Case, run: GroupRun) -> None:
    """Assert that a case ended as its entry says.

    Raises:
        AssertionError: with what differs.
    """
    line = run.lines[case["id"]]
    assert "crashed" not in line, f"the process died or hung: {line}"
    assert line["good_after"], "the plain picture is read differently after this case"
    assert not line["new"], f"files left: {line['new']}"
    assert [way["way"] for way in line["ways"]] == case["call"]["as"]
    for way in line["ways"]:
        assert "foreign" not in way, way["foreign"]
        assert outcome(way) == case["expect"] or case["expect"] == "record", (outcome(way), way.get("message"))
        assert case["group"] != "tree" or way["first_seconds"] <= FIRST_RESULT_S
        assert not way["outside"], f"written outside the output folder: {way['outside']}"
        for name, value in case.get("check", {}).items():
            _check(name, value, case, way, run)


def outcome(way: dict[str, Any]) -> str:
    """`ok`, or the name of the error: of the call, else of the first answer that is one."""
    if "raised" in way:
        return str(way["raised"])
    return next((str(answer["error"]) for answer in way["answers"] if "error" in answer), "ok")


def _check(name: str, value: Any, case: Case, way: dict[str, Any], run: GroupRun) -> None:
    answers = way["answers"]
    if name == "size":
        assert answers[0]["size"] == value
    elif name == "corners":
        if "corners" in answers[0]:  # only the door to the pixels shows them
            _check_corners(value, case["check"]["tolerance"], answers[0]["corners"])
    elif name == "results":
        pages = case["id"] == "image/tiff_pages" and way["way"] == "bytes"  # the note: the first page from bytes
        assert len(answers) == (1 if pages else value)
    elif name == "errors_at":
        assert [i for i, answer in enumerate(answers) if "error" in answer] == value
    elif name == "same_as":
        assert answers[0]["sha256"] == run.lines[value]["ways"][0]["answers"][0]["sha256"]
    elif name == "same_as_path":
        assert answers[0]["sha256"] == run.lines[case["id"]]["good"]
    elif name == "input_unchanged":
        assert not way["changed"]
    elif name == "hint":
        assert value in way["message"]
    elif name == "message_max":
        assert len(way["message"]) <= value
    elif name == "paths":
        assert [answer["path"] for answer in answers] == value
    elif name == "errors":
        assert {answer["path"]: answer["error"] for answer in answers if "error" in answer} == value
    elif name == "outputs":
        assert len({answer["written"][0] for answer in answers if "written" in answer}) == value
        assert len({answer["written"][1] for answer in answers if "written" in answer}) == value
    elif name == "max_seconds":
        assert way["seconds"] <= value
    elif name == "max_rss_mb":
        assert way["grown_mb"] <= value
    else:
        assert name in {"tolerance", "slow", "not_as_root", "linux_only", "save_path", "exit_code"}, name


def _check_corners(expected: dict[str, list[int]], tolerance: int, found: dict[str, list[int]]) -> None:
    for place, colour in expected.items():
        far = max(abs(a - b) for a, b in zip(colour, found[place], strict=True))
        assert far <= tolerance, (place, found[place], colour)
