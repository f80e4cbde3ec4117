"""Fixtures that many tests share: where data lies, and the corpus of good and bad inputs."""

from __future__ import annotations

import functools
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# The networks of the tests are tiny: a second thread of torch costs more than it brings, and where another program
# holds that core each step waits for it. Child processes inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")

DATA = Path(__file__).parent / "data"
CORPUS = DATA / "corpus"
FIXTURES = DATA / "fixtures"
# Large reference data lies beside a developer's checkout and nowhere else.
SHARED = Path(__file__).resolve().parents[2] / "shared"


@functools.cache
def _manifest() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((CORPUS / "manifest.json").read_text("utf-8"))["cases"]
    return cases


def corpus_cases(group: str) -> list[Any]:
    """The cases of one corpus group as pytest parameters, slow ones marked."""
    return [
        pytest.param(case, id=case["id"], marks=[pytest.mark.slow] if case.get("check", {}).get("slow") else [])
        for case in _manifest()
        if case["group"] == group
    ]


def shared(relative: str) -> Path:
    """A file of the shared reference data; the test is skipped where it is absent."""
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"shared reference data is absent: {relative}")
    return path


@pytest.fixture
def own_signals() -> Iterator[None]:
    """The command line catches signals for the process it runs in; give pytest its own back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
