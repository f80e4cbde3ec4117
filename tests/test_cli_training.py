"""`passerby dataset|train|evaluate|export|module` as a user meets them: what is on stdout and stderr, the exit code."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from passerby import cli
from passerby.datasets.example import write_attribute_example, write_detection_example

Run = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("own_signals")
TINY = ["-o", "Train.scale=0.25", "-o", "Train.input_size=[64, 32]", "-o", "Train.workers=0", "-o", "Global.threads=1"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command line in a folder of its own: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PASSERBY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PASSERBY_OFFLINE", "1")

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.mark.parametrize(
    "words",
    [["dataset"], ["train"], ["evaluate"], ["export"], ["module"]]
    + [["dataset", name] for name in ("check", "convert", "split", "suggest", "example")],
    ids=" ".join,
)
def test_help_starts_with_an_example(run: Run, words: list[str]) -> None:
    code, out, err = run(*words, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Example:\n  passerby {' '.join(words)}")


def test_a_sound_data_set(run: Run) -> None:
    assert run("dataset", "example", "data", "--count", "12", "-q") == (0, "", "")
    assert run("dataset", "example", "data")[0] == 5  # not over what is there
    code, out, err = run("dataset", "check", "data", "--output", "checked")
    assert code == 0
    assert out.endswith("data: no problems\n")
    assert all(line.startswith("warning: ") for line in err.splitlines())
    assert Path("checked/check_dataset/histogram.png").is_file()
    code, out, err = run("dataset", "check", "data", "--json", "--quiet")
    assert (code, err, json.loads(out)["dataset_type"]) == (0, "", "MLClsDataset")


def test_a_data_set_with_problems(run: Run) -> None:
    write_detection_example(Path("data"), count=8)
    Path("data/images/0000.png").write_bytes(b"no picture")
    code, out, err = run("dataset", "check", "data")
    assert (code, out) == (2, "")
    assert err.startswith("dataset_invalid: ")
    assert "0000.png" in err
    assert err.count("\n") == 1
    code, out, _ = run("dataset", "check", "data", "--json")
    assert (code, json.loads(out)["error"]["name"]) == (2, "dataset_invalid")
    assert run("dataset", "check", "data", "--shallow")[0] == 0
    assert run("dataset", "check", "nowhere")[0] == 2


def test_the_whole_way(run: Run) -> None:
    pytest.importorskip("torch")
    write_attribute_example(Path("data"), count=24)
    given = ["--epochs", "1", "--batch-size", "8", "--start-from", "none"]
    code, out, err = run("train", "data", "--output", "out", *given, *TINY)
    assert code == 0
    assert "models.best.model_dir: out/best_model/inference\n" in out
    assert "epoch 1/1 val mA" in err

    code, out, err = run("evaluate", "out/best_model/best_model.safetensors", "data", "--output", "out", "--json", "-q")
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads(Path("out/evaluate_result.json").read_text("utf-8"))

    code, out, _ = run("export", "out/best_model/best_model.safetensors", "--output", "mine", "--thresholds", "default")
    assert code == 0
    assert "model_dir: mine\n" in out
    code, out, _ = run("labels", "mine/passerby-attributes.onnx", "--json")
    assert [row["id"] for row in json.loads(out)] == ["hat", "backpack", "high_vis", "trousers", "shorts", "skirt"]

    code, out, err = run("train", "data", "--output", "out", "--resume", *given, *TINY)
    assert (code, json.loads(Path("out/train_result.json").read_text("utf-8"))["models"]["last"]["epoch"]) == (0, 1)


def test_module_takes_the_originals_words(run: Run) -> None:
    write_attribute_example(Path("data"), count=12)
    file = "paddlex/configs/modules/pedestrian_attribute_recognition/PP-LCNet_x1_0_pedestrian_attribute.yaml"
    words = ["-o", "Global.mode=check_dataset", "-o", "Global.dataset_dir=data"]
    code, out, _ = run("module", "-c", file, *words)
    assert code == 0
    assert "attributes.num_classes: 6\n" in out
    assert out.endswith("result: output/check_dataset_result.json\n")
    assert json.loads(Path("output/check_dataset_result.json").read_text("utf-8"))["done_flag"] is True


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["module", "-c", "passerby-attributes", "-o", "Train.epoch_iters=3"], 2, "did you mean Train.epochs_iters?"),
        (["module", "-c", "passerby-attributes", "-o", "Train.batch_size=x"], 2, "config_invalid: Train.batch_size"),
        (["module", "-c", "nothing.yaml"], 2, "config_missing"),
        (["module"], 2, "bad_argument"),
        (["train", "nowhere"], 2, "dataset_missing"),
        (["train", "data", "--epochs", "0", "--output", "o"], 2, "Train.epochs_iters: must be at least 1"),
        (["evaluate", "gone.onnx", "data", "--output", "o"], 3, "model_missing"),
        (["export", "gone.onnx"], 3, "model_missing"),
        (["train", "data", "--output", "data/train.txt"], 5, "output_unwritable"),
        (["train", "data", "-c", "PP-YOLOE-S_human"], 2, "dataset_missing"),
        (["train", "data", "-c", "PP-LCNet_x1_0_pedestrian_attribute"], 3, "model_offline"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_one_line(run: Run, words: list[str], code: int, said: str) -> None:
    pytest.importorskip("torch")
    write_attribute_example(Path("data"), count=8)
    got, out, err = run(*words)
    assert (got, out) == (code, "")
    assert said in err.splitlines()[-1]
    assert "Traceback" not in err


def test_ctrl_c_leaves_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    write_attribute_example(tmp_path / "data", count=24)
    words = ["train", "data", "--output", "out", "--epochs", "100000", "--start-from", "none", *TINY]
    process = subprocess.Popen(
        [sys.executable, "-m", "passerby", *words], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    checkpoint = tmp_path / "out" / "checkpoints" / "latest.safetensors"
    waited = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < waited:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.decode().splitlines()[-1].startswith("interrupted: ")
    assert checkpoint.is_file()
    body = json.loads((tmp_path / "out" / "train_result.json").read_text("utf-8"))
    assert (body["done_flag"], body["err_type"]) == (False, "interrupted")


def test_a_split_by_camera_and_one_by_near_copies(run: Run) -> None:
    write_attribute_example(Path("data"), count=24)
    before = Path("data/train.txt").read_bytes()
    code, out, _ = run("dataset", "split", "data", "--train", "50", "--val", "50", "--group-by", "camera", "--json")
    assert code == 0
    assert Path("data/train.txt.bak").read_bytes() == before
    assert {name: figures["groups"] for name, figures in json.loads(out)["splits"].items()} == {"train": 1, "val": 1}
    code, out, _ = run("dataset", "split", "data", "--output", "new", "--near-copies", "ignore", "--seed", "3")
    assert code == 0
    assert "splits.train.percent: " in out
    assert run("dataset", "check", "new", "--quiet") == (0, "", "")


def test_check_dataset_splits_where_the_file_says_so(run: Run) -> None:
    write_detection_example(Path("data"), count=12)
    words = ["-o", "CheckDataset.split.enable=true", "-o", "Global.dataset_dir=data"]
    code, _, err = run("module", "-c", "PP-YOLOE-S_human.yaml", *words)
    assert (code, "CheckDataset.split.train_percent is not set" in err) == (2, True)
    words += ["-o", "CheckDataset.split.train_percent=50", "-o", "CheckDataset.split.val_percent=50"]
    code, _, err = run("module", "-c", "PP-YOLOE-S_human.yaml", *words)
    assert code == 0
    body = json.loads(Path("output/check_dataset_result.json").read_text("utf-8"))
    assert (body["attributes"]["train_samples"], body["attributes"]["val_samples"]) == (6, 6)
    assert body["split"]["seed"] == 0


def labelme_folder(folder: Path) -> None:
    """The drawn streets as LabelMe writes them: a JSON beside each picture."""
    write_detection_example(folder / "drawn", count=8)
    for split in ("train", "val"):
        stored = json.loads((folder / f"drawn/annotations/instance_{split}.json").read_text("utf-8"))
        for image in stored["images"]:
            name = image["file_name"]
            (folder / name).write_bytes((folder / "drawn" / "images" / name).read_bytes())
            boxes = [a["bbox"] for a in stored["annotations"] if a["image_id"] == image["id"]]
            shapes = [
                {"label": "pedestrian", "shape_type": "rectangle", "points": [[x, y], [x + w, y + h]], "flags": {}}
                for x, y, w, h in boxes
            ]
            body = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": name, "imageData": None}
            body |= {"imageWidth": image["width"], "imageHeight": image["height"]}
            (folder / f"{Path(name).stem}.json").write_text(json.dumps(body), encoding="utf-8")
    shutil.rmtree(folder / "drawn")


def test_convert_from_a_labelling_tool(run: Run) -> None:
    labelme_folder(Path("labelled"))
    code, out, _ = run("dataset", "convert", "labelled", "boxes", "--from", "LabelMe", "--val", "25")
    assert code == 0
    assert "format: COCODetDataset\n" in out
    assert run("dataset", "check", "boxes", "--quiet")[0] == 0
    code, _, err = run("dataset", "convert", "labelled", "boxes", "--from", "LabelMe")
    assert (code, err.partition(":")[0]) == (5, "output_conflict")
    code, _, err = run("dataset", "convert", "labelled", "other", "--from", "LabelMi")
    assert (code, "LabelMe" in err) == (2, True)


def test_check_dataset_converts_where_the_file_says_so(run: Run) -> None:
    labelme_folder(Path("labelled"))
    before = sorted(Path("labelled").iterdir())
    words = ["-o", "CheckDataset.convert.enable=True", "-o", "CheckDataset.convert.src_dataset_type=LabelMe"]
    code, _, err = run("module", "-c", "PP-YOLOE-S_human.yaml", *words, "-o", "Global.dataset_dir=labelled")
    assert code == 0
    assert "converted labelled to labelled_converted" in err
    body = json.loads(Path("output/check_dataset_result.json").read_text("utf-8"))
    assert (body["dataset_dir"], body["convert"]["pictures"]) == ("labelled_converted", 8)
    assert sorted(Path("labelled").iterdir()) == before


def test_without_torch_the_extra_is_named_and_the_check_still_works(tmp_path: Path) -> None:
    """A process in which torch cannot be imported, as with the base dependencies alone."""
    write_attribute_example(tmp_path / "data", count=8)
    code = "import sys; sys.modules['torch'] = None; from passerby.cli import main; sys.exit(main(sys.argv[1:]))"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)

    refused = run("train", "data")
    assert refused.returncode == 4
    assert refused.stderr.startswith("engine_missing: ")
    assert "pip install 'passerby[train]'" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert run("dataset", "check", "data", "--output", "checked").returncode == 0
    assert (tmp_path / "checked" / "check_dataset_result.json").is_file()
