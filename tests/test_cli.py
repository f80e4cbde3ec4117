"""The command line as a user meets it: real runs, what is on stdout and stderr, and the exit code."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml

from passerby import cli
from passerby.cli import options
from passerby.cli.exits import worst
from passerby.errors import ArgumentError

from . import tiny

pytestmark = pytest.mark.usefixtures("own_signals")

COMMAND = [sys.executable, "-m", "passerby"]
NAME = "pedestrian_attribute_recognition"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh working folder with `tiny.yaml` and the pictures a.png and b.png; the cache is empty and inside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PASSERBY_HOME", str(tmp_path / "home"))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny.config()), "utf-8")
    for seed, name in enumerate(("a", "b")):
        assert cv2.imwrite(f"{name}.png", tiny.picture(seed))
    return tmp_path


class Run:
    """What a run left: exit code, stdout, stderr."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = cli.main(list(words))
        out, err = self._capsys.readouterr()
        return code, out, err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


def test_version_and_help_start_with_what_is_asked_for(run: Run) -> None:
    code, out, err = run("--version")
    assert (code, err) == (0, "")
    assert out.startswith("passerby ")
    for words in (
        [],
        ["predict"],
        ["models"],
        ["models", "pull"],
        ["config"],
        ["config", "write"],
        ["doctor"],
        ["labels"],
    ):
        code, out, _ = run(*words, "--help")
        assert code == 0
        assert out.splitlines()[0] == "Example:"
        assert out.splitlines()[1].strip().startswith("passerby ")


def test_without_words_the_help_is_shown_and_the_exit_code_is_2(run: Run) -> None:
    code, out, _ = run()
    assert code == 2
    assert "--get_pipeline_config" in out


def test_completion_is_offered() -> None:
    run = subprocess.run(
        COMMAND,
        env={**os.environ, "_PASSERBY_COMPLETE": "complete_bash", "COMP_WORDS": "passerby pre", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "predict" in run.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["--nonsense"],
        ["predictt", "a.png"],
        ["predict", "--cls-thresold", "1"],
        ["predict"],
        ["predict", "a.png", "--json", "--csv"],
        ["--input", "a.png", "predict", "b.png"],
        ["--pipeline", NAME],
        ["predict", "a.png", "--batch-size", "many"],
        ["predict", "a.png", "--det-threshold", "high"],
        ["predict", "a.png", "--cls-threshold", "hat=high"],
        ["predict", "a.png", "--cls-threshold", "{"],
        ["predict", "a.png", "--hpi-config", "[1]"],
        ["models", "import", "nothing.tar"],
    ],
)
def test_a_command_line_that_cannot_be_right_ends_with_2_and_one_line(words: list[str], run: Run, folder: Path) -> None:
    code, out, err = run(*words)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("bad_argument: ")


def test_all_formats_tell_the_same(run: Run, folder: Path) -> None:
    words = ["predict", "a.png", "b.png", "--pipeline", "tiny.yaml"]
    code, out, err = run(*words, "--json")
    assert (code, err) == (0, "")
    results = json.loads(out)
    assert [r["input_path"] for r in results] == ["a.png", "b.png"]
    counts = [len(r["boxes"]) for r in results]
    assert min(counts) > 0

    _, out, _ = run(*words, "--jsonl")
    assert [json.loads(line) for line in out.splitlines()] == results

    _, out, _ = run(*words, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [sum(row["input"] == n for row in rows) for n in ("a.png", "b.png")] == counts
    assert float(rows[0]["score"]) == pytest.approx(results[0]["boxes"][0]["det_score"], abs=1e-5)
    assert 0 <= float(rows[0]["hat"]) <= 1

    _, out, _ = run(*words)
    assert f"a.png: {counts[0]} pedestrians in 320 x 240 pixels" in out


def test_the_originals_flags_print_as_the_original_does(run: Run, folder: Path) -> None:
    code, out, err = run("--pipeline", "tiny.yaml", "--input", "a.png", "--device", "cpu", "--save_path", "out")
    assert code == 0
    assert out.startswith("{'res': {'input_path': 'a.png', 'boxes': [{'labels': [")
    assert err.splitlines()[-1].endswith("written to out")
    assert sorted(p.name for p in Path("out").iterdir()) == ["a.json", "a_res.png"]
    body = json.loads(Path("out/a.json").read_text("utf-8"))
    assert body["input_path"] == "a.png"


def test_thresholds_mean_the_same_in_every_spelling(run: Run, folder: Path) -> None:
    def persons(*words: str) -> list[dict[str, Any]]:
        code, out, err = run("predict", "a.png", "--pipeline", "tiny.yaml", "--json", *words)
        assert (code, err) == (0, "")
        boxes: list[dict[str, Any]] = json.loads(out)[0]["boxes"]
        return boxes

    high = persons("--det_threshold", "0.5")
    assert high == persons("--det-threshold=0.5")
    assert all(p["det_score"] > 0.5 for p in high)
    without_glasses = persons("--det_threshold", "0.5", "--cls_threshold", "default=0.6,glasses=1")
    assert without_glasses == persons("--det_threshold", "0.5", "--cls_threshold", '{"default": 0.6, "1": 1}')
    as_list = ",".join("1" if i == 1 else "0.6" for i in range(26))
    assert without_glasses == persons("--det_threshold", "0.5", "--cls_threshold", as_list)
    assert any("Glasses(眼镜)" in p["labels"] for p in high)
    assert not any("Glasses(眼镜)" in p["labels"] for p in without_glasses)


def test_one_bad_file_does_not_stop_the_others(run: Run, folder: Path) -> None:
    (folder / "shots").mkdir()
    for name in ("a", "c"):
        os.link("a.png", f"shots/{name}.png")
    Path("shots/b.png").write_text("nonsense")
    code, out, err = run("predict", "shots", "--pipeline", "tiny.yaml", "--json", "--save-path", "out")
    assert code == 1
    first, second, third = json.loads(out)
    assert (first["input_path"], third["input_path"]) == ("shots/a.png", "shots/c.png")
    assert second["input"] == "shots/b.png"
    assert second["error"]["name"] == "image_unknown"
    assert err.splitlines()[0] == second["error"]["message"]
    assert sorted(p.name for p in Path("out").glob("*.json")) == ["a.json", "c.json"]


def test_a_single_bad_input_has_its_error_in_its_place(run: Run, folder: Path) -> None:
    code, out, err = run("predict", "nothing.png", "--pipeline", "tiny.yaml", "--json")
    assert code == 1
    assert json.loads(out)[0]["error"]["name"] == "input_missing"
    assert len(err.splitlines()) == 1


def test_a_picture_that_goes_during_the_run_stops_no_other(folder: Path) -> None:
    many(folder, 40)
    words = [*COMMAND, "predict", "many", "--pipeline", "tiny.yaml", "--jsonl", "--save-path", "out"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        Path("many/0039.png").unlink()
        results = [json.loads(line) for line in process.stdout]
        assert process.stderr.readline().startswith("input_missing: ")
        assert process.wait(timeout=60) == 1
    assert results[-1]["error"]["name"] == "input_missing"
    assert len(list(Path("out").glob("*.json"))) == 39


def test_an_output_that_cannot_be_written_shows_before_a_model_is_loaded(run: Run, folder: Path) -> None:
    Path("taken").write_text("a file")
    broken = tiny.config(model_dir="no/such/model")
    Path("broken.yaml").write_text(yaml.safe_dump(broken), "utf-8")
    code, out, err = run("predict", "a.png", "--pipeline", "broken.yaml", "--save-path", "taken/out")
    assert (code, out) == (5, "")
    assert err.startswith("output_unwritable: ")
    code, _, err = run("predict", "a.png", "--pipeline", "broken.yaml", "--save-path", "out")
    assert code == 3
    assert err.startswith("model_missing: ")


def test_devices(run: Run, folder: Path) -> None:
    code, _, err = run("predict", "a.png", "--pipeline", "tiny.yaml", "--device", "gpux")
    assert (code, err.split(":")[0]) == (2, "bad_device_name")
    code, _, err = run("predict", "a.png", "--pipeline", "tiny.yaml", "--device", "npu:0")
    assert (code, err.split(":")[0]) == (4, "device_unavailable")


def test_save_path_may_be_one_file_for_one_result(run: Run, folder: Path) -> None:
    code, _, _ = run("predict", "a.png", "--pipeline", "tiny.yaml", "--save-path", "one.json", "--quiet")
    assert code == 0
    assert json.loads(Path("one.json").read_text("utf-8"))["input_path"] == "a.png"
    code, out, err = run("predict", "a.png", "b.png", "--pipeline", "tiny.yaml", "--save-path", "two.json", "--json")
    assert code == 5
    assert err.startswith("output_conflict: ")
    assert json.loads(Path("two.json").read_text("utf-8"))["input_path"] == "a.png"
    assert json.loads(out)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are no Unicode")
def test_a_name_that_is_no_unicode_is_shown_escaped(folder: Path) -> None:
    os.link(b"a.png", b"\xff.png")
    run = subprocess.run(
        [*COMMAND, "predict", b"\xff.png", "--pipeline", "tiny.yaml", "--json"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert json.loads(run.stdout.decode("utf-8"))[0]["input_path"] == "\udcff.png"


def test_no_colour_codes_anywhere(run: Run, folder: Path) -> None:
    for words in (
        ["predict", "a.png", "--pipeline", "tiny.yaml"],
        ["--help"],
        ["predict", "--nope"],
        ["models", "list"],
    ):
        _, out, err = run(*words)
        assert "\x1b" not in out + err


def test_the_configuration_is_written_once_and_never_over_an_edited_one(run: Run, folder: Path) -> None:
    words = ["--get_pipeline_config", NAME, "--save_path", "my_path"]
    code, out, _ = run(*words)
    assert (code, out) == (0, "")
    file = Path("my_path") / f"{NAME}.yaml"
    assert run("config", "check", str(file))[0] == 0
    assert run(*words)[0] == 0
    file.write_text(file.read_text("utf-8").replace("0.5", "0.4"), "utf-8")
    edited = file.read_bytes()
    code, _, err = run(*words)
    assert (code, err.split(":")[0]) == (5, "output_conflict")
    assert file.read_bytes() == edited
    assert run("config", "write", "--save-path", "my_path", "--overwrite")[0] == 0
    assert file.read_bytes() != edited
    code, _, err = run("--get_pipeline_config", "nothing", "--save_path", "my_path")
    assert (code, err.split(":")[0]) == (2, "unknown_pipeline")


def test_config_show_is_yaml_and_json_of_the_same(run: Run, folder: Path) -> None:
    _, text, _ = run("config", "show", "tiny.yaml")
    _, as_json, _ = run("config", "show", "tiny.yaml", "--json")
    assert yaml.safe_load(text) == json.loads(as_json)
    assert json.loads(as_json)["detection"]["threshold"] == tiny.config()["SubModules"]["Detection"]["threshold"]


def test_config_check_answers_in_json_too(run: Run, folder: Path) -> None:
    code, out, _ = run("config", "check", "tiny.yaml", "--json")
    assert (code, json.loads(out)) == (0, {"input": "tiny.yaml", "error": None})
    Path("bad.yaml").write_text("a: 1\n", "utf-8")
    code, out, err = run("config", "check", "bad.yaml", "--json")
    assert code == 2
    assert json.loads(out)["error"] == {"name": "config_invalid", "message": err.rstrip("\n")}


def test_models_are_listed_found_converted_and_verified(run: Run, folder: Path) -> None:
    code, out, _ = run("models", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert rows["PP-YOLOE-L_human"]["here"] == "download"
    assert rows["passerby-attributes"]["licence"] == "Apache-2.0"

    code, out, err = run("models", "path", "PP-YOLOE-S_human")
    assert (code, out) == (0, f"{folder / 'home' / 'models' / 'PP-YOLOE-S_human'}\n")
    assert "not there yet" in err

    code, out, _ = run("models", "convert", str(tiny.CLASSIFIER_DIR), "--output", "mine.onnx")
    assert (code, out) == (0, "mine.onnx\n")
    code, out, _ = run("models", "verify", "mine.onnx")
    assert code == 0
    assert "answers its probe" in out
    code, _, err = run("models", "convert", str(tiny.CLASSIFIER_DIR), "--output", "mine.onnx")
    assert (code, err.split(":")[0]) == (5, "output_conflict")

    Path("broken.onnx").write_bytes(Path("mine.onnx").read_bytes()[:-100])
    code, out, err = run("models", "verify", "mine.onnx", "broken.onnx", "--json")
    assert code == 3
    assert [("error" in row) for row in json.loads(out)] == [False, True]
    assert len(err.splitlines()) == 1

    code, out, _ = run("labels", "mine.onnx", "--json")
    assert code == 0
    assert json.loads(out)[0]["paddle"] == "Hat(帽子)"


def test_a_model_that_is_not_here_says_how_to_get_it_and_what_can_stand_in(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSERBY_OFFLINE", "1")
    Path("seed.yaml").write_text(
        f"pipeline_name: {NAME}\nSubModules:\n  Detection:\n    model_name: PP-YOLOE-L_human\n"
    )
    code, _, err = run("predict", "a.png", "--pipeline", "seed.yaml")
    assert (code, err.split(":")[0]) == (3, "model_offline")
    assert "passerby models pull PP-YOLOE-L_human" in err
    assert "passerby-detector-416" in err


def test_doctor_is_honest(run: Run, folder: Path) -> None:
    code, out, err = run("doctor", "--json")
    report = json.loads(out)
    named = {f["name"]: f for f in report["findings"]}
    assert code == max(f["code"] for f in report["findings"])
    assert report["ok"] == (code == 0)
    for name in ("python", "platform", "processor", "threads", "numpy", "providers", "telemetry", "cache"):
        assert named[name]["status"] == "ok", named[name]
    assert err == ""
    assert not (folder / "home").exists()


def test_a_bug_is_reported_as_one_and_leaves_no_result() -> None:
    planted = "import sys, passerby.config as c; c.load_pipeline_config = None; from passerby.cli import main; "
    planted += "sys.exit(main())"
    run = subprocess.run(
        [sys.executable, "-c", planted, "predict", "a.png"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stdout) == (1, "")
    assert "Traceback" in run.stderr
    assert run.stderr.splitlines()[-1].startswith("internal: ")


def many(folder: Path, count: int) -> None:
    (folder / "many").mkdir()
    for i in range(count):
        os.link("a.png", f"many/{i:04}.png")


def test_a_closed_pipe_ends_quietly(folder: Path) -> None:
    many(folder, 500)
    words = [*COMMAND, "predict", "many", "--pipeline", "tiny.yaml", "--jsonl"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())
        process.stdout.close()
        assert process.wait(timeout=30) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_only_whole_files(number: int, folder: Path) -> None:
    many(folder, 2000)
    words = [*COMMAND, "predict", "many", "--pipeline", "tiny.yaml", "--json", "--save-path", "out"]
    # Tests that run in the background of a shell inherit an ignored SIGINT, which the command line would respect.
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        head = [process.stdout.readline() for _ in range(4)]
        process.send_signal(number)
        begun = time.monotonic()
        out = "".join(head) + process.stdout.read()
        err = process.stderr.read()
        assert process.wait(timeout=30) == 130
    assert time.monotonic() - begun < 10
    assert err.startswith("interrupted: stopped after ")
    results = json.loads(out)
    written = sorted(Path("out").iterdir())
    assert len(results) >= 3
    assert not [p for p in written if p.name.startswith(".")]
    for path in written:
        if path.suffix == ".json":
            assert json.loads(path.read_text("utf-8"))["boxes"]
        else:
            assert cv2.imread(str(path)) is not None


def test_reading_thresholds() -> None:
    def read(text: str) -> object:
        return options.thresholds(text, option="--cls-threshold")

    assert read("0.6") == 0.6
    assert read("0.1, 0.2") == [0.1, 0.2]
    assert read("default = 0.7, hat=.4") == {"default": 0.7, "hat": 0.4}
    assert read('{"0": 0.5}') == {"0": 0.5}
    for bad in ("", "a", "hat=", "hat=1,hat=2", '{"a": 1, "a": 2}', "[" * 100_000):
        with pytest.raises(ArgumentError):
            read(bad)


def test_the_gravest_failure_decides_the_exit_code() -> None:
    assert worst([]) == 0
    assert worst([1, 3, 0]) == 3
    assert worst([1, 5, 130]) == 130
