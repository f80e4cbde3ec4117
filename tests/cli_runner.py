"""The corpus through the command line: starts the worker, gives it jobs, and checks what holds for every case."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from passerby.errors import ConfigError, DatasetError, InputError, PasserbyError

from . import tiny
from .conftest import CORPUS
from .corpus_child import restore_permissions

WORKER = "tests.cli_worker"
ROOT = Path(__file__).parents[1]
GOOD_PICTURE = str(CORPUS / "image/jpeg_baseline.jpg")
SIDE_BY_SIDE = 2
# The tiny networks are quick; the same cases with the models that people get are for the long run.
NETWORKS = ["tiny", pytest.param("shipped", marks=pytest.mark.slow)]

Case = dict[str, Any]


@dataclass
class Job:
    """One case: words for the command line, then the good case's words for the same process."""

    id: str
    root: Path
    words: list[list[str]]
    env: dict[str, str] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    nobody: bool = False
    remove: str | None = None

    @property
    def cwd(self) -> Path:
        return self.root / "case"

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "root": str(self.root), "cwd": str(self.cwd)}


@dataclass
class Ran:
    """What became of a job."""

    job: Job
    answer: dict[str, Any]

    @property
    def code(self) -> int:
        return int(self.answer["codes"][0])

    @property
    def seconds(self) -> float:
        return float(self.answer["seconds"][0])

    def out(self, number: int = 0) -> str:
        return (self.job.root / f"out{number}").read_text("utf-8")

    def err(self, number: int = 0) -> str:
        return (self.job.root / f"err{number}").read_text("utf-8")

    def documents(self) -> list[dict[str, Any]]:
        """The JSON list on standard output."""
        value: list[dict[str, Any]] = json.loads(self.out())
        return value

    def document(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        value: dict[str, Any] = json.loads(self.out())
        return value

    def left(self, folder: str) -> list[str]:
        """Files below a folder of the case's root."""
        return sorted(str(p.relative_to(self.job.root)) for p in (self.job.root / folder).rglob("*") if p.is_file())


@functools.cache
def worker() -> subprocess.Popen[str]:
    """The one process that all cases of a test run are forked from."""
    environment = {"PATH": os.environ["PATH"], "HOME": tempfile.gettempdir(), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    # threads of numpy's library do not survive a fork
    environment |= {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        # warnings are errors there too: none of a library may reach the user
        [sys.executable, "-W", "error", "-m", WORKER],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def end() -> None:
        with process:
            process.communicate(timeout=60)

    atexit.register(end)
    return process


class Runs:
    """Jobs that run while the tests look at those that are done: `runs["image/jpeg_baseline"]` waits for that one."""

    def __init__(self, jobs: Sequence[Job], side_by_side: int) -> None:
        process = worker()
        assert process.stdin is not None and process.stdout is not None
        self._answers = process.stdout
        self._waiting = {job.id: job for job in jobs}
        self._done: dict[str, Ran] = {}
        for job in jobs:
            job.cwd.mkdir(parents=True, exist_ok=True)
        batch = {"parallel": side_by_side, "jobs": [job.to_json() for job in jobs]}
        print(json.dumps(batch), file=process.stdin, flush=True)

    def __getitem__(self, id: str) -> Ran:
        while id not in self._done:
            self._read()
        return self._done[id]

    def _read(self) -> None:
        answer = json.loads(self._answers.readline())
        self._done[answer["id"]] = Ran(self._waiting.pop(answer["id"]), answer)

    def finish(self) -> None:
        """Wait for those that nobody asked for."""
        while self._waiting:
            self._read()


@contextlib.contextmanager
def running(jobs: Sequence[Job], *, side_by_side: int = SIDE_BY_SIDE) -> Iterator[Runs]:
    """Run every job in a fork of its own, in this order, some at a time."""
    runs = Runs(jobs, side_by_side)
    try:
        yield runs
    finally:
        runs.finish()


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own is closed to others."""
    with tempfile.TemporaryDirectory(prefix="passerby-cli-") as name:
        Path(name).chmod(0o755)
        yield Path(name)
        restore_permissions(name)


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """The recipes of the corpus make their files in the working folder."""
    before = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def pipeline_words(networks: str) -> list[str]:
    """`--pipeline` with the tiny networks as .onnx files, or nothing for what ships with the package."""
    if networks == "tiny":
        return ["--pipeline", str(tiny_yaml())]
    shipped = resources.files("passerby.models") / "shipped"
    for name in ("passerby-detector-416", "passerby-attributes"):
        if not (shipped / name / f"{name}.onnx").is_file():
            pytest.skip("the shipped models are not in this checkout yet")
    return []


@functools.cache
def tiny_yaml() -> Path:
    """The tiny networks, converted by `passerby models convert`, and a configuration that names them."""
    folder = scratch()
    root = folder.__enter__()
    atexit.register(folder.__exit__, None, None, None)
    config = tiny.config()
    sections = config["SubModules"].values()
    jobs = [
        Job(id=kind, root=root / kind, words=[["models", "convert", section["model_dir"], "-o", f"{root / kind}.onnx"]])
        for kind, section in zip(("detector", "attributes"), sections, strict=True)
    ]
    with running(jobs) as runs:
        for job, section in zip(jobs, sections, strict=True):
            assert runs[job.id].answer["codes"] == [0], runs[job.id].err()
            section["model_dir"] = job.words[0][-1]
    (root / "tiny.yaml").write_text(yaml.safe_dump(config), "utf-8")
    return root / "tiny.yaml"


def exit_code(name: str) -> int:
    """Exit code of a machine name for an input, from the table of errors."""
    kinds = [*PasserbyError.__subclasses__(), *InputError.__subclasses__()]
    return next(kind(name, "x").exit_code for kind in kinds if name in kind.names)


def longest_message(line: str) -> int:
    """Characters that a line may have: a report of many problems is longer than other messages."""
    reports = (ConfigError, DatasetError)
    return next((kind for kind in reports if line.partition(":")[0] in kind.names), PasserbyError).shown_at_most


def check_ended_cleanly(ran: Ran, good: Ran | None = None) -> None:
    """What must hold for every case: no crash, no bug, nothing left behind, and the good case goes on as before."""
    assert "crash" not in ran.answer, ran.answer["crash"]
    for number in range(len(ran.job.words)):
        lines = ran.err(number).splitlines()
        for line in lines:
            assert line.isprintable()
            assert len(line) <= longest_message(line)
        assert "Traceback" not in ran.err(number), ran.err(number)
    assert not ran.answer["child_left"]
    assert ran.answer["sockets_left"] == 0
    assert not list(ran.job.root.rglob("PWNED"))
    assert ran.left("tmp") == []
    if good is not None:
        assert (ran.answer["codes"][1], ran.out(1), ran.err(1)) == (good.code, good.out(), good.err())


def check_one_line(ran: Ran, name: str) -> str:
    """One bad input: the exit code of its name, and one line on standard error, which is given back."""
    assert ran.code == exit_code(name), ran.err()
    (line,) = ran.err().splitlines()
    assert line.startswith(f"{name}: "), line
    return line


def selected_cases(request: pytest.FixtureRequest) -> list[Case]:
    """The cases of the tests that use a fixture with these parameters, so that all can be run side by side."""
    mine = request.fixturename, getattr(request, "param", None)
    chosen = {}
    for item in request.session.items:
        given = getattr(item, "callspec", None)
        if item.path != request.path or given is None or "case" not in given.params:
            continue
        if mine[0] in item.fixturenames and mine[1] in (None, given.params.get(mine[0])):
            chosen[given.params["case"]["id"]] = given.params["case"]
    return list(chosen.values())


def check_limits(ran: Ran, good: Ran, check: dict[str, Any]) -> tuple[float, float]:
    """Seconds and megabytes that the case took beyond the good case; `max_seconds` and `max_rss_mb` are about these.

    The good case's time is that of the same process right after, under the same load.
    """
    seconds = ran.seconds - (ran.answer["seconds"][1] if len(ran.answer["seconds"]) > 1 else 0)
    grown_mb = ran.answer["peak_mb"] - good.answer["peak_mb"]
    assert seconds <= check.get("max_seconds", 60)
    assert grown_mb <= check.get("max_rss_mb", 3 << 10)
    return seconds, grown_mb


def true_process(words: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """The command as a user starts it."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PASSERBY_HOME": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "passerby", *words],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=100,
        stdin=subprocess.DEVNULL,
        check=False,
    )
