"""The corpus of configurations through the library and through the command line."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from passerby.config import load_pipeline_config
from passerby.config_training import load_training_config
from passerby.errors import ArgumentError, ConfigError, PasserbyError

from .conftest import CORPUS, corpus_cases

CASES = corpus_cases("config")
READERS: dict[str, Callable[[Path], object]] = {"pipeline": load_pipeline_config, "train": load_training_config}
# Cases for which more than one outcome is right: what ours is. A change here needs a line in the changelog.
RECORDED = {
    "config/model_dir_relative": "ok",
    "config/original_extras": "ok",
    "config/threshold_dict_no_default": "ok",
    "config/train_device_list": "ok",
    "config/get_config_exists": "output_conflict",
}


def prepared(case: dict[str, Any], folder: Path) -> Path:
    """The configuration of a case, where it is or made in a fresh folder."""
    recipe = case.get("recipe")
    if recipe is None:
        return CORPUS / case["file"]
    for name, source in recipe.get("folder", {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CORPUS / source, folder / name)
    if "repeat_hex" in recipe:
        (folder / "large.yaml").write_bytes(bytes.fromhex(recipe["repeat_hex"]) * recipe["count"])
        return folder / "large.yaml"
    return folder / recipe.get("feed", "")


def expected(case: dict[str, Any]) -> str:
    return RECORDED[case["id"]] if case["expect"] == "record" else case["expect"]


def check_message(case: dict[str, Any], message: str) -> None:
    check = case.get("check", {})
    for problem in check.get("problems", []):
        assert problem["path"] in message
        assert problem["contains"] in message
        assert problem.get("suggestion", "") in message
    assert check.get("suggestion", "") in message
    if "shown_at_most" in check:
        assert message.count("unknown key") <= check["shown_at_most"]
        assert "80 more" in message
    limit = check.get("message_max", ConfigError.shown_at_most)
    assert len(message) <= limit
    assert message.isprintable()


@pytest.mark.parametrize("case", [c for c in CASES if c.values[0]["call"]["kind"] != "cli"])
def test_library(case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = prepared(case, tmp_path)
    read = READERS[case["call"]["kind"]]
    begun, peak = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        read(path)
        outcome = "ok"
    except PasserbyError as error:
        assert isinstance(error, ConfigError | ArgumentError)
        assert error.exit_code == 2
        outcome = error.name
        check_message(case, error.message)
    assert outcome == expected(case)
    check = case.get("check", {})
    assert time.monotonic() - begun < check.get("max_seconds", 10)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024 < check.get("max_rss_mb", 256)
    assert not list(tmp_path.rglob("PWNED"))
    load_pipeline_config(CORPUS / "config" / "seed.yaml")


def cli(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "import sys; from passerby.cli import main; sys.exit(main())", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )


FAST_ON_THE_COMMAND_LINE = ("many", "anchor_bomb", "tag_python_apply", "long_line", "missing")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            c.values[0],
            id=c.id,
            marks=[] if c.values[0]["id"].removeprefix("config/") in FAST_ON_THE_COMMAND_LINE else [pytest.mark.slow],
        )
        for c in CASES
        if c.values[0]["call"]["kind"] == "pipeline" and c.values[0]["expect"] not in ("ok", "record")
    ],
)
def test_command_line_refuses(case: dict[str, Any], tmp_path: Path) -> None:
    path = prepared(case, tmp_path)
    run = cli(["--pipeline", str(path), "--input", "picture.jpg"], tmp_path)
    assert run.returncode == 2
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1
    assert run.stderr.startswith(case["expect"] + ": ")
    check_message(case, run.stderr.rstrip("\n"))
    assert not list(tmp_path.rglob("PWNED"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.values[0]["call"]["kind"] == "pipeline" and c.values[0]["expect"] in ("ok", "record")],
)
def test_command_line_accepts(case: dict[str, Any], tmp_path: Path) -> None:
    run = cli(["config", "check", str(prepared(case, tmp_path))], tmp_path)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("case", [c for c in CASES if c.values[0]["call"]["kind"] == "cli"])
def test_command_line_itself(case: dict[str, Any], tmp_path: Path) -> None:
    prepared(case, tmp_path)
    edited = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    run = cli(case["call"]["args"], tmp_path)
    assert run.returncode == 5
    assert run.stderr.startswith(expected(case) + ": ")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == edited
