"""The corpus group `tree` through the library: every case ends as the manifest says."""

from __future__ import annotations

import pytest

from .conftest import corpus_cases
from .corpus_runner import Case, GroupRun, group_cases, judge, run_cases

pytestmark = pytest.mark.timeout(900)  # the first case waits for the whole group


@pytest.fixture(scope="module", params=["frames", "predict"])
def door(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def group_run(door: str, tmp_path_factory: pytest.TempPathFactory) -> GroupRun:
    return run_cases(door, group_cases("tree", slow=False), tmp_path_factory.mktemp("tree"))


@pytest.mark.parametrize("case", corpus_cases("tree"))
def test_case(case: Case, door: str, group_run: GroupRun, tmp_path_factory: pytest.TempPathFactory) -> None:
    if case.get("check", {}).get("slow"):
        group_run = run_cases(door, [case], tmp_path_factory.mktemp("slow"))
    judge(case, group_run)


def test_no_library_prints_anything(group_run: GroupRun) -> None:
    assert group_run.printed == ""
