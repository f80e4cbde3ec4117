# SPDX-License-Identifier: Apache-2.0
"""`passerby synthesise` as a user meets it: data sets that our own check accepts, runs that go on, clear errors."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("numba")

from passerby import cli
from passerby.datasets import check_dataset
from passerby.datasets.attribute_set import read_attribute_set
from passerby.errors import OutputError
from passerby.files import encode_image
from passerby.synthesis import CropOptions, Recipe, synthesise
from passerby.synthesis.production import VIEWS_PER_PERSON, chunk_size, rows_file

from .conftest import shared

Run = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("own_signals")
SMALL = CropOptions(size_hw=(64, 48), lowest_px=40, highest_px=60, company=0.1)
COUNT = 30  # ten persons: the tenth is for val


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PASSERBY_ASSETS", raising=False)

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main(["synthesise", *words])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture(scope="module")
def assets() -> Path:
    return shared("data/makehuman")


@pytest.fixture(scope="module")
def crops(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crops")
    synthesise(folder, count=COUNT, recipe=Recipe(seed=3, assets=assets, crops=SMALL))
    return folder


def pictures(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((folder / "images").rglob("*.jpg"))}


def test_our_own_check_accepts_the_crops(crops: Path) -> None:
    report = check_dataset(crops)
    assert not [warning for warning in report.warnings if "unlisted" in warning]
    data = read_attribute_set(crops)
    assert len(data.label_set.labels) == 50
    assert {group.id for group in data.label_set.groups} >= {"view", "age", "upper_colour"}


def test_statistics_table_and_sheet_agree_with_the_labels(crops: Path) -> None:
    statistics = json.loads((crops / "statistics.json").read_text("utf-8"))
    assert statistics["pictures"] == COUNT
    assert statistics["persons"] == COUNT // VIEWS_PER_PERSON
    lines = [line for name in ("train.txt", "val.txt") for line in (crops / name).read_text("utf-8").splitlines()]
    values = np.array([[int(v) for v in line.split("\t")[1].split(",")] for line in lines])
    for column, counts in enumerate(statistics["labels"].values()):
        found = [int((values[:, column] == value).sum()) for value in (1, 0, -1)]
        assert found == [counts["yes"], counts["no"], counts["unknown"]]
    table = (crops / "crops.csv").read_text("utf-8").splitlines()
    assert len(table) == COUNT + 1
    assert {"seed", "camera_height_m", "visible_backpack"} <= set(table[0].split(","))
    assert cv2.imread(str(crops / "sheet.png")) is not None


def test_a_person_is_in_one_split_only(crops: Path) -> None:
    person = dict(line.split(",")[:2] for line in (crops / "groups.csv").read_text("utf-8").splitlines()[1:])
    sides = [
        {person[line.split("\t")[0]] for line in (crops / name).read_text("utf-8").splitlines()}
        for name in ("train.txt", "val.txt")
    ]
    assert sides[1]
    assert not sides[0] & sides[1]


def test_a_lost_chunk_is_made_again_byte_for_byte_and_the_rest_is_kept(crops: Path, assets: Path) -> None:
    before = pictures(crops)
    kept = crops / "images/0000/0000000.jpg"
    stamp = kept.stat().st_mtime_ns
    rows_file(crops, 1).unlink()
    for number in range(chunk_size("crops"), COUNT):
        (crops / f"images/0000/{number:07d}.jpg").unlink()
    synthesise(crops, count=COUNT, recipe=Recipe(seed=3, assets=assets, crops=SMALL))
    assert pictures(crops) == before
    assert kept.stat().st_mtime_ns == stamp


def test_half_a_file_of_rows_counts_as_nothing(crops: Path, assets: Path) -> None:
    before, whole = pictures(crops), rows_file(crops, 1).read_bytes()
    rows_file(crops, 1).write_bytes(whole[: len(whole) // 2])
    synthesise(crops, count=COUNT, recipe=Recipe(seed=3, assets=assets, crops=SMALL))
    assert rows_file(crops, 1).read_bytes() == whole
    assert pictures(crops) == before


def test_another_recipe_does_not_mix_with_what_is_there(crops: Path, assets: Path) -> None:
    with pytest.raises(OutputError, match="seed differs") as caught:
        synthesise(crops, count=COUNT, recipe=Recipe(seed=4, assets=assets, crops=SMALL))
    assert caught.value.name == "output_conflict"


def test_asked_frequencies_arrive(assets: Path, tmp_path: Path) -> None:
    wished = {"backpack": 1.0, "hat": 0.0, "front": 0.0, "side": 0.0, "back": 1.0}
    options = CropOptions(size_hw=(64, 48), lowest_px=110, highest_px=120, company=0, occluded=0, cut=0, night=0)
    recipe = Recipe(seed=1, assets=assets, crops=options, frequencies=wished)
    labels = synthesise(tmp_path, count=9, recipe=recipe)["labels"]
    assert labels["backpack"]["yes"] >= 7
    assert labels["backpack"]["no"] == 0
    assert labels["front"]["yes"] == labels["side"]["yes"] == 0
    assert labels["back"]["yes"] >= 6


def test_the_command_prints_the_table(run: Run, assets: Path) -> None:
    code, out, _ = run("out", "--count", "3", "--assets", str(assets), "--native", "40-50", "--size", "64x48", "-q")
    assert (code, out) == (0, "")
    code, out, _ = run("out", "--count", "3", "--assets", str(assets), "--native", "40-50", "--size", "64x48")
    assert code == 0
    assert out.startswith("3 pictures of 1 persons\nlabel ")


def test_photos_of_all_sub_folders_become_backgrounds(run: Run, assets: Path, tmp_path: Path) -> None:
    deep = tmp_path / "photos/a/b"
    deep.mkdir(parents=True)
    (deep / "red.png").write_bytes(encode_image(np.full((200, 300, 3), (0, 0, 255), np.uint8), ".png"))
    (deep / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    words = ("--count", "3", "--assets", str(assets), "--native", "100-110", "--night", "0", "--backgrounds", "photos")
    assert run("out", *words)[0] == 0
    seen = [cv2.imread(str(p)) for p in sorted(Path("out/images").rglob("*.jpg"))]
    assert any(int(picture[5:40, 5:15, 2].mean()) > 2 * int(picture[5:40, 5:15, 0].mean()) for picture in seen)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([], 2, "PASSERBY_ASSETS"),
        (["--assets", "nowhere"], 2, "dataset_missing"),
        (["--size", "12"], 2, "--size must be"),
        (["--native", "300-40"], 2, "--native must be"),
        (["--frequency", "backpak=0.3"], 2, "passerby labels"),
        (["--frequency", "hat=2"], 2, "0 to 1"),
        (["--backgrounds", "nowhere"], 1, "no such folder of backgrounds"),
        (["--count", "0"], 2, "count"),
    ],
)
def test_mistakes_are_told_before_anything_is_drawn(run: Run, words: list[str], code: int, text: str) -> None:
    got, out, err = run("out", *words)
    assert (got, out) == (code, "")
    assert text in err
    assert not Path("out/images").exists()


def test_help_starts_with_an_example(run: Run) -> None:
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    assert out.startswith("Example:\n  passerby synthesise")


def test_streets_have_boxes_and_masks_that_fit(run: Run, assets: Path) -> None:
    words = ("--kind", "streets", "--count", "3", "--seed", "2", "--assets", str(assets), "--size", "180x320")
    assert run("out", *words)[0] == 0
    document = json.loads(Path("out/annotations/instance_train.json").read_text("utf-8"))
    assert len(document["images"]) == 3
    assert document["annotations"]
    for person in document["annotations"]:
        x, y, width, height = person["bbox"]
        assert 0 <= x < x + width <= 320
        assert 0 <= y < y + height <= 180
        counts = person["segmentation"]["counts"]
        assert sum(counts) == 180 * 320
        assert sum(counts[1::2]) == person["area"]
        full = person["full_bbox"]
        assert full[0] <= x
        assert full[1] <= y
        assert 0.1 <= person["visibility"] <= 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_several_processes_write_the_same_bytes_and_a_stop_leaves_a_run_that_goes_on(
    assets: Path, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "passerby", "synthesise", "--count", "72", "--assets", str(assets)]
    words += ["--native", "40-60", "--size", "64x48", "--jobs", "2"]
    first = subprocess.Popen([*words, str(tmp_path / "two")], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while not rows_file(tmp_path / "two", 0).exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    first.send_signal(signal.SIGTERM)  # SIGINT is ignored below a shell's background job
    assert first.wait(timeout=60) == 130
    subprocess.run([*words, str(tmp_path / "two")], check=True, capture_output=True, timeout=400)
    recipe = Recipe(assets=assets, crops=CropOptions(size_hw=(64, 48), lowest_px=40, highest_px=60))
    synthesise(tmp_path / "one", count=72, recipe=recipe)
    assert pictures(tmp_path / "one") == pictures(tmp_path / "two")
    assert (tmp_path / "one/train.txt").read_bytes() == (tmp_path / "two/train.txt").read_bytes()
