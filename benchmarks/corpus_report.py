"""Runs the tests of the corpus and prints a table: group, door, passed / run / skipped and why, worst seconds and MB.

    python benchmarks/corpus_report.py [words for pytest]

Seconds and megabytes are those a test recorded of its case alone; for tests that record none, the seconds of the test.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1] / "tests"


@dataclass
class Row:
    """Figures of one group through one door."""

    passed: int = 0
    failed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    mb: float = 0.0

    def __str__(self) -> str:
        skipped = "; ".join(f"{count}: {why}" for why, count in self.skipped.items()) or "0"
        mb = f"{self.mb:.0f}" if self.mb else "-"
        return f"{self.passed} | {self.passed + self.failed} | {skipped} | {self.seconds:.2f} | {mb}"


class Counting:
    """Pytest plugin that sorts outcomes of corpus cases into rows."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = defaultdict(Row)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
        report = (yield).get_result()
        case = getattr(item, "callspec", None) and item.callspec.params.get("case")
        if not isinstance(case, dict) or report.when == "teardown" or (report.when == "setup" and report.passed):
            return
        row = self.rows[case["group"], "command line" if _is_command_line(item) else "library"]
        if report.skipped:
            row.skipped[str(report.longrepr[2]).removeprefix("Skipped: ")] += 1
            return
        row.passed += report.passed
        row.failed += report.failed
        told = dict(item.user_properties)
        row.seconds = max(row.seconds, told.get("seconds", 0.0 if _is_command_line(item) else call.duration))
        row.mb = max(row.mb, told.get("mb", 0.0))

    def pytest_deselected(self, items: list[Any]) -> None:
        for item in items:
            case = getattr(item, "callspec", None) and item.callspec.params.get("case")
            if isinstance(case, dict) and item.callspec.params.get("group") != "shipped":
                door = "command line" if _is_command_line(item) else "library"
                self.rows[case["group"], door].skipped["slow, not in this run"] += 1


def _is_command_line(item: Any) -> bool:
    return "_cli_" in item.path.name or "command_line" in item.name


def main() -> int:
    counting = Counting()
    files = [str(path) for path in sorted(TESTS.glob("test_corpus_*.py"))]
    code = pytest.main(["-q", "--no-header", *(sys.argv[1:] or files)], plugins=[counting])
    print("\n| group | door | passed | run | skipped | worst s | worst MB |\n|---|---|---|---|---|---|---|")
    for (group, door), row in sorted(counting.rows.items()):
        print(f"| {group} | {door} | {row} |")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
