"""What the check of a data set says, writes and draws."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from passerby.datasets.check import check_dataset, guess_format
from passerby.datasets.check_pictures import check_pictures
from passerby.datasets.check_report import draw_report
from passerby.datasets.example import write_attribute_example, write_detection_example
from passerby.datasets.histogram import Panel, Value, draw_histogram
from passerby.datasets.problems import Findings, InvalidDatasetError, Place
from passerby.datasets.sheet import SPLIT_COLOURS, Sheet
from passerby.decode import decode_image
from passerby.errors import ArgumentError, DatasetError, OutputError
from passerby.types import ImageBgr


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    write_attribute_example(tmp_path / "crops", count=16)
    return tmp_path / "crops"


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    write_detection_example(tmp_path / "streets", count=8)
    return tmp_path / "streets"


def seen(path: Path) -> ImageBgr:
    return decode_image(path.read_bytes())


def has_colour(picture: ImageBgr, rgb: tuple[int, int, int]) -> int:
    return int((picture == np.array(rgb[::-1], np.uint8)).all(axis=2).sum())


def test_figures_of_crops_are_those_of_the_lists(crops: Path) -> None:
    report = check_dataset(crops)
    for split in ("train", "val"):
        rows = [line.split("\t")[1].split(",") for line in (crops / f"{split}.txt").read_text("utf-8").splitlines()]
        found = report.figures[split].to_json()
        assert found["samples"] == len(rows)
        for key, value in (("positives", "1"), ("negatives", "0"), ("unlabelled", "-1")):
            assert found[key] == [column.count(value) for column in zip(*rows, strict=True)]
    assert report.picture_sizes == {"width_px": [80, 80, 80], "height_px": [160, 160, 160]}
    cameras = dict(line.split(",") for line in (crops / "groups.csv").read_text("utf-8").splitlines()[1:])
    taken = [
        {cameras[line.split("\t")[0]] for line in (crops / f"{s}.txt").read_text("utf-8").splitlines()}
        for s in ("train", "val")
    ]
    assert report.columns["camera"] == {
        "train": len(taken[0]),
        "val": len(taken[1]),
        "shared": len(taken[0] & taken[1]),
    }


def test_figures_of_streets_are_those_of_the_lists(streets: Path) -> None:
    report = check_dataset(streets, format="COCODetDataset")
    for split in ("train", "val"):
        document = json.loads((streets / f"annotations/instance_{split}.json").read_text("utf-8"))
        heights = np.array([a["bbox"][3] for a in document["annotations"]])
        found = report.figures[split].to_json()
        assert found["boxes"] == [len(heights)]
        assert found["box_heights_px"]["64-95"] == ((heights >= 64) & (heights < 96)).sum()
        assert sum(found["box_heights_px"].values()) == len(heights)
        assert sum(found["boxes_per_picture"].values()) == found["samples"] == len(document["images"])


# the keys that the original writes, and what they hold
ORIGINAL = {
    "done_flag": bool,
    "check_pass": bool,
    "attributes": dict,
    "analysis": dict,
    "dataset_path": str,
    "show_type": str,
    "dataset_type": str,
}


@pytest.mark.parametrize("name", ["crops", "streets"])
def test_the_result_file_has_the_keys_of_the_original(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(name)
    report = check_dataset(folder, output=tmp_path / "out")
    body = json.loads((tmp_path / "out/check_dataset_result.json").read_text("utf-8"))
    assert body == report.to_json()
    assert {key: type(body[key]) for key in ORIGINAL} == ORIGINAL
    assert body["done_flag"] and body["check_pass"]
    assert body["show_type"] == "image"
    assert body["dataset_path"] == name
    assert body["dataset_type"] == guess_format(folder) == report.format
    assert body["analysis"]["histogram"] == "check_dataset/histogram.png"
    attributes = body["attributes"]
    assert attributes["num_classes"] == len(report.classes)
    assert ("label_file" in attributes) == (name == "crops")
    assert attributes["train_samples"] == len(report.data.splits["train"])
    files = [*attributes["train_sample_paths"], *attributes["val_sample_paths"], *body["contact_sheets"]]
    assert 0 < len(attributes["train_sample_paths"]) <= 10
    for file in [*files, body["analysis"]["histogram"]]:
        assert seen(tmp_path / "out" / file).size
    written = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert written == {*files, "check_dataset/histogram.png", "check_dataset_result.json"}


def test_the_same_data_gives_the_same_files(crops: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        check_dataset(crops, output=tmp_path / name, threads=1 if name == "a" else 3)
    names = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(names) == 18
    for file in names:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_progress_counts_every_picture_once(crops: Path) -> None:
    said: list[tuple[int, int]] = []
    check_dataset(crops, progress=lambda done, total: said.append((done, total)))
    assert said == [(i, 16) for i in range(1, 17)]
    check_dataset(crops, deep=False, progress=lambda done, total: said.append((done, total)))
    assert len(said) == 16


def test_every_damaged_picture_is_named_beside_the_other_problems(crops: Path, tmp_path: Path) -> None:
    for number in (1, 5, 9):
        path = crops / f"images/{number:04d}.png"
        path.write_bytes(path.read_bytes()[:-200])
    with (crops / "val.txt").open("a", encoding="utf-8") as file:
        file.write("images/0000.png\t1,0\n")
    with pytest.raises(InvalidDatasetError) as caught:
        check_dataset(crops, output=tmp_path / "out")
    assert caught.value.count == 4
    texts = [str(problem) for problem in caught.value.problems]
    assert texts[0] == "val.txt line 5: must have 6 values, one for each label, it has 2"
    # 4 of the 16 pictures are for val
    assert any(text.startswith("val.txt line 2: images/0001.png: image_truncated") for text in texts)
    assert any(text.startswith("train.txt line 2: images/0005.png: image_truncated") for text in texts)
    body = json.loads((tmp_path / "out/check_dataset_result.json").read_text("utf-8"))
    assert (body["done_flag"], body["check_pass"], body["err_type"]) == (False, False, "dataset_invalid")
    assert body["problems"] == texts
    assert (tmp_path / "out/check_dataset/problems.txt").read_text("utf-8").splitlines() == texts
    assert "problems.txt" in caught.value.message


def test_a_good_check_takes_the_list_of_old_problems_away(crops: Path, tmp_path: Path) -> None:
    good = (crops / "val.txt").read_text("utf-8")
    (crops / "val.txt").write_text("images/0000.png\n" + good, "utf-8")
    with pytest.raises(InvalidDatasetError):
        check_dataset(crops, output=tmp_path / "out")
    (crops / "val.txt").write_text(good, "utf-8")
    check_dataset(crops, output=tmp_path / "out")
    assert "no problems" in (tmp_path / "out/check_dataset/problems.txt").read_text("utf-8")


def test_a_missing_file_is_written_down_too(crops: Path, tmp_path: Path) -> None:
    (crops / "train.txt").unlink()
    with pytest.raises(DatasetError, match="dataset_missing"):
        check_dataset(crops, output=tmp_path / "out")
    body = json.loads((tmp_path / "out/check_dataset_result.json").read_text("utf-8"))
    assert body["err_type"] == "dataset_missing"
    assert body["err_msg"].startswith("dataset_missing: train.txt missing")


def test_output_that_cannot_be_written_is_noticed_first(crops: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file", "utf-8")
    said: list[int] = []
    with pytest.raises(OutputError):
        check_dataset(crops, output=tmp_path / "out", progress=lambda done, total: said.append(done))
    assert not said


def test_a_person_in_two_splits_is_noticed(crops: Path) -> None:
    lines = [f"images/{i:04d}.png,{i % 5}" for i in range(16)]
    (crops / "groups.csv").write_text("path,person\n" + "\n".join(lines) + "\n", "utf-8")
    report = check_dataset(crops, deep=False)
    assert report.columns["person"] == {"train": 5, "val": 4, "shared": 4}
    expected = "4 values of the column person stand in train and in another split, split with --group-by person: "
    assert any(text.startswith(expected) for text in report.warnings)


def test_pictures_in_no_list_are_counted(crops: Path, streets: Path) -> None:
    for folder in (crops, streets):
        (folder / "images/more").mkdir()
        for i in range(5):
            shutil.copy(folder / "images/0000.png", folder / f"images/more/{i}.png")
        expected = "5 files below images stand in no list: "
        assert any(text.startswith(expected) and "and 2 more" in text for text in check_dataset(folder).warnings)


def test_near_copies_across_splits_are_noticed(crops: Path) -> None:
    """A photo of train saved anew, smaller, stands in val under another name."""
    with Image.open(files("passerby") / "assets/street.jpg") as street:
        street.save(crops / "images/street.png")
        street.resize((600, 330)).save(crops / "images/copy.jpg", quality=80)
    for split, name in (("train", "street.png"), ("val", "copy.jpg")):
        with (crops / f"{split}.txt").open("a", encoding="utf-8") as file:
            file.write(f"images/{name}\t1,0,0,0,0,1\n")
    report = check_dataset(crops)
    found = [copy for copy in report.near_copies if copy.second == "images/copy.jpg"]
    assert [(copy.first, copy.first_split, copy.second_split) for copy in found] == [
        ("images/street.png", "train", "val")
    ]
    assert any("images/street.png and images/copy.jpg" in text for text in report.warnings)
    assert dataclasses.asdict(found[0]) in report.to_json()["near_copies"]
    assert check_dataset(crops, deep=False).near_copies == ()


def test_classes_without_boxes_and_tiny_boxes_are_noticed(streets: Path) -> None:
    path = streets / "annotations/instance_train.json"
    document = json.loads(path.read_text("utf-8"))
    document["categories"].append({"id": 2, "name": "rider"})
    document["annotations"][0]["bbox"][2] = 2
    path.write_text(json.dumps(document), "utf-8")
    warnings = check_dataset(streets).warnings
    assert any(text == "train: 1 classes without a box: rider" for text in warnings)
    assert any(text.endswith("boxes have a side under 4 px") for text in warnings)


def test_unknown_layouts_and_formats_are_refused(tmp_path: Path, crops: Path) -> None:
    with pytest.raises(DatasetError, match="dataset_missing: the folder has neither"):
        check_dataset(tmp_path / "crops/images")
    with pytest.raises(DatasetError, match="dataset_missing: no such folder"):
        check_dataset(tmp_path / "nowhere")
    with pytest.raises(ArgumentError, match="bad_argument: format must be MLClsDataset or COCODetDataset"):
        check_dataset(crops, format="VOC")  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="dataset_missing"):
        check_dataset(crops, format="COCODetDataset")


def test_bars_are_as_long_as_their_shares() -> None:
    def bars(share: float) -> int:
        values = {"train": Value(count=5, share=share), "val": Value(count=0, share=0)}
        full = {"train": Value(count=0, share=0), "val": Value(count=9, share=0.5)}
        picture = draw_histogram(
            "t", [Panel(title="p", totals={"train": "1", "val": "1"}, bars=[("a", values), ("b", full)])]
        )
        return has_colour(picture, SPLIT_COLOURS["train"])

    legend = bars(0)
    assert (bars(0.5) - legend) / (bars(0.25) - legend) == pytest.approx(2, abs=0.02)


def test_foreign_names_are_drawn_and_never_run_into_the_next_line(tmp_path: Path) -> None:
    names = ["<script>alert(1)</script>", "$x^{2$", "帽子" * 60, "\u202eabc", "a" * 300, "عربى", "🎩"]
    values = {"train": Value(count=1, share=0.5), "val": Value(count=0, share=0)}
    panel = Panel(title="p", totals={"train": "1", "val": "1"}, bars=[(name, values) for name in names])
    picture = draw_histogram("\n".join(names), [panel])
    plain = draw_histogram("t", [Panel(title="p", totals=panel.totals, bars=[("a", values)] * len(names))])
    assert picture.shape == plain.shape
    # names end before the bars begin, and the bars are where they were
    assert has_colour(picture, SPLIT_COLOURS["train"]) == has_colour(plain, SPLIT_COLOURS["train"])


def test_long_histograms_are_counted_beyond_a_thousand_rows() -> None:
    values = {"train": Value(count=1, share=0.1)}
    rows = [(str(i), values) for i in range(1500)]
    picture = draw_histogram("t", [Panel(title="p", totals={"train": "1"}, bars=rows)])
    assert picture.shape[0] < 32_000


def test_text_is_cut_to_its_room() -> None:
    sheet = Sheet(400, 40)
    assert sheet.text(0, 0, "m" * 100, size=16, room=120) <= 120
    assert not has_colour(sheet.bgr()[:, 125:], (28, 32, 38))


def test_contact_sheets_show_the_crops_of_each_label(tmp_path: Path) -> None:
    """Red crops have the label, blue ones have not: the sheet has red on the left and blue on the right."""
    (tmp_path / "images").mkdir()
    lines = []
    for i in range(12):
        Image.new("RGB", (30, 60), (250, 0, 0) if i % 2 else (0, 0, 250)).save(tmp_path / f"images/{i}.png")
        lines.append(f"images/{i}.png\t{i % 2},{-1 if i % 2 else 0}\n")
    (tmp_path / "label.txt").write_text("0 red\n1 never\n", "utf-8")
    for split in ("train", "val"):
        (tmp_path / f"{split}.txt").write_text("".join(lines), "utf-8")
    report = check_dataset(tmp_path, output=tmp_path / "out")
    sheet = seen(tmp_path / "out/check_dataset/sheet_train_1.png")
    middle = sheet.shape[1] * 2 // 3
    assert has_colour(sheet[:, :middle], (250, 0, 0)) == 6 * 72 * 144
    assert not has_colour(sheet[:, middle:], (250, 0, 0))
    # four for each of the two labels
    assert has_colour(sheet[:, middle:], (0, 0, 250)) == 8 * 72 * 144
    assert any("never" in text for text in report.warnings)


def test_boxes_are_drawn_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (200, 100), (10, 10, 10)).save(tmp_path / "images/0.png")
    boxes = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 30, 60, 50]}]
    boxes.append({"id": 2, "image_id": 1, "category_id": 1, "bbox": [120, 30, 60, 50], "iscrowd": 1})
    document = {
        "images": [{"id": 1, "file_name": "0.png"}],
        "annotations": boxes,
        "categories": [{"id": 1, "name": "a"}],
    }
    (tmp_path / "annotations").mkdir()
    for split in ("train", "val"):
        (tmp_path / f"annotations/instance_{split}.json").write_text(json.dumps(document), "utf-8")
    report = check_dataset(tmp_path, output=tmp_path / "out")
    assert report.drawn is not None
    picture = seen(tmp_path / "out" / report.drawn.samples["train"][0]).astype(int)
    assert picture.shape == (100, 200, 3)
    bright = picture.max(axis=2) > 100
    rows, columns = np.nonzero(bright[:, :100])
    assert (abs(np.array([columns.min(), rows.min(), columns.max(), rows.max()]) - [20, 30, 80, 80]) <= 2).all()
    grey = bright[:, 100:] & (np.ptp(picture[:, 100:], axis=2) == 0)
    assert grey.sum() > 200


def test_a_check_that_decodes_nothing_still_draws(crops: Path, tmp_path: Path) -> None:
    for path in (crops / "images").iterdir():
        path.write_bytes(b"no picture")
    report = check_dataset(crops, output=tmp_path / "out", deep=False)
    assert report.picture_sizes == {}
    assert report.drawn is not None
    assert len(report.drawn.sheets) == 2


def test_an_empty_split_draws_nothing(crops: Path, tmp_path: Path) -> None:
    report = check_dataset(crops, deep=False)
    empty = dataclasses.replace(report.data, splits={"train": report.data.splits["train"], "val": ()})
    drawn = draw_report(empty, report.figures, tmp_path, "check")
    assert drawn.sheets == ("check/sheet_train_1.png",)
    assert drawn.samples["val"] == ()


def test_an_interrupted_progress_ends_the_check(crops: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_dataset(crops, progress=stop, threads=2)


def test_pictures_shared_by_two_splits_are_decoded_once(streets: Path) -> None:
    report = check_dataset(streets, deep=False)
    samples = dict.fromkeys(("train", "val"), report.data.splits["train"])
    places = {split: tuple(Place(file=split, line=i) for i in range(len(s))) for split, s in samples.items()}
    said: list[int] = []
    findings = Findings()
    check_pictures(samples, places, findings, progress=lambda done, total: said.append(total))
    assert set(said) == {len(samples["train"])}
    assert not findings.count


def test_neither_torch_nor_matplotlib_is_needed(crops: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom passerby.datasets.check import check_dataset\n"
        f"check_dataset({str(crops)!r}, output={str(tmp_path / 'out')!r})\n"
        "print([m for m in ('torch', 'matplotlib', 'pycocotools') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "[]\n"
