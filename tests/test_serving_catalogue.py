# SPDX-License-Identifier: Apache-2.0
"""Short forms of the measurements of the service: the same code as in benchmarks/serving, seconds in place of minutes.

What holds on any machine is tested: nobody is left without an answer, no way leads around the doors, no mark turns up
where it must not. Times are figures, not tests; the commands print them on a quiet machine.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
pytest.importorskip("httptools")
pytest.importorskip("psutil")
if sys.platform != "linux":
    pytest.skip("processes are read from /proc", allow_module_level=True)

from benchmarks.serving import doors, overload, page, payloads, privacy, record, slow_clients, soak
from benchmarks.serving.client import exchange
from benchmarks.serving.server_process import served

from .serving_server import tiny_pipeline


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """What every command is told: tiny networks, one worker, a folder of its own."""
    return ["--pipeline", str(tiny_pipeline(tmp_path)), "--workers", "1", "--out", str(tmp_path / "results")]


def values(run: record.Run) -> dict[str, float | int | None]:
    return {figure.name: figure.value for figure in run.figures}


def missed(run: record.Run, *parts: str) -> list[str]:
    """Figures with one of these parts in their name that miss their aim."""
    return [record.line(f) for f in run.figures if f.reached is False and any(p in f.name for p in parts)]


def test_no_way_leads_around_the_doors(words: list[str]) -> None:
    run = doors.main([*words, "--most", "12", "--times", "100"])
    found = values(run)
    assert not missed(run, "bypasses", "let in"), run.details
    assert {f"{family}: bypasses" for family in doors.FAMILIES} <= found.keys()
    assert not run.details["closed_without_an_answer"]


@pytest.mark.slow
def test_no_way_at_all_leads_around_the_doors(words: list[str]) -> None:
    run = doors.main([*words, "--times", "100"])
    assert not missed(run, "bypasses", "let in"), run.details


def test_marks_are_found_nowhere_and_nobody_calls_home(words: list[str]) -> None:
    run = privacy.main([*words, *([] if shutil.which("strace") else ["--no-strace"])])
    assert not missed(run, ""), run.details


def test_marks_would_be_found() -> None:
    marks = {"key": privacy.KEY.encode()}
    assert privacy.found(f"x {privacy.KEY.lower()} y".encode(), "log", marks) == [privacy.Hit("key", "log")]
    picture = privacy.marked_picture()
    assert privacy.MARKS["EXIF"].encode() in picture
    pieces = privacy.picture_marks(picture)
    assert {h.mark for h in privacy.found(picture, "log", pieces)} == {"picture"}
    text = payloads.as_base64(picture).encode()
    assert {h.mark for h in privacy.found(text, "log", pieces)} == {"picture in base64"}


@pytest.mark.slow
def test_nobody_is_left_without_an_answer(words: list[str]) -> None:
    run = overload.main([*words, "--seconds", "4"])
    assert not missed(run, "without an answer", "5xx", "exit code", "open files", "drain"), run.details
    assert values(run)["killed worker: seconds until a new one has answered"] is not None
    assert values(run)["after it: seconds until a request gets a result"] is not None
    # one may come in the microseconds between the last look and the closing
    assert values(run)["SIGTERM: small requests cut while the port closed"] <= 1
    assert json.loads((run.folder / "overload.json").read_text("utf-8"))["complete"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", slow_clients.KINDS)
def test_slow_connections_go_and_a_real_request_is_answered(words: list[str], kind: str) -> None:
    run = slow_clients.main([*words, "--connections", "100", "--seconds", "1", "--times", "2", "--kinds", kind])
    found = values(run)
    assert found[f"{kind}: connections made"] >= 100
    assert found[f"{kind}: seconds until all were gone"] is not None
    if (
        kind != "reader"
    ):  # the tiny bound on bodies used here may strike while the large file goes out on a full machine
        assert not found[f"{kind}: real requests without a result"], run.figures


def test_slow_connections_without_a_word_go(words: list[str]) -> None:
    run = slow_clients.main(
        [*words, "--connections", "60", "--seconds", "0.5", "--times", "1", "--kinds", "silent", "header"]
    )
    found = values(run)
    for kind in ("silent", "header"):
        assert found[f"{kind}: connections made"] == 60
        assert found[f"{kind}: seconds until all were gone"] is not None


@pytest.mark.slow
def test_soak_of_seconds_has_all_its_figures(words: list[str]) -> None:
    run = soak.main([*words, "--minutes", "0.2", "--capacity", "5"])
    assert not missed(run, "without an answer", "5xx", "another status", "replaced", "exit code"), run.details
    assert values(run)["resident memory of the front, MB an hour"] is not None
    assert len((run.folder / "soak.jsonl").read_text("utf-8").splitlines()) >= 5


def test_every_payload_gets_its_status(words: list[str]) -> None:
    """The long measurements count other answers as wrong; so each must be right on a service that is not busy."""

    async def ask() -> list[tuple[str, int, int]]:
        with served(["--quiet"], pipeline=words[1], workers=1) as service:
            sent = [*payloads.good(), *payloads.bad()]
            answers = [await exchange(service.address, p.content) for p in sent]
            return [(p.name, p.status, a.status) for p, a in zip(sent, answers, strict=True)]

    assert [row for row in asyncio.run(ask()) if row[1] != row[2]] == []


def test_slope_of_a_line_and_of_noise() -> None:
    steady = [(60.0 * n, 100.0 + n / 60) for n in range(60)]  # 1 MB an hour
    found = soak.slope(steady)
    assert found is not None
    assert found[0] == pytest.approx(1.0)
    assert found[1] == pytest.approx(0.0, abs=1e-6)
    assert soak.slope(steady[:2]) is None


def test_a_page_shows_what_was_reached_what_is_short_and_what_was_not_measured(tmp_path: Path) -> None:
    run = record.Run(command="soak", title="R13", folder=tmp_path)
    run.add("slope | MB", 7.0, "<= 5")
    run.add("lost", 0, "= 0")
    run.add("unknown", None, "= 0", "nobody could look")
    text = "a\n<!-- soak -->\nold\n<!-- end -->\nb\n<!-- doors -->\n<!-- end -->\nc"
    reasons = {"soak": {"slope | MB": "because"}}
    filled = page.filled(text, page.read_results(tmp_path), reasons)
    assert "| slope / MB | 7 | <= 5 | short: because |" in filled
    assert "| lost | 0 | = 0 | reached |" in filled
    assert "| unknown | not measured | = 0 |  | nobody could look |" in filled
    assert "The run was cut" in filled
    assert "nobody ran `python -m benchmarks.serving.doors`" in filled
    assert filled.startswith("a\n") and filled.endswith("\nc") and "old" not in filled
    run.finish()
    assert "The run was cut" not in page.filled(text, page.read_results(tmp_path), reasons)


def test_the_committed_page_shows_the_committed_figures() -> None:
    reasons = record.RESULTS / "reasons.json"
    known = json.loads(reasons.read_text("utf-8")) if reasons.is_file() else {}
    text = page.PAGE.read_text("utf-8")
    assert page.filled(text, page.read_results(record.RESULTS), known) == text, "run python -m benchmarks.serving.page"
