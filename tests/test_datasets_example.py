"""The drawn data sets: layout, determinism, boxes that hold their figures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from passerby.datasets import example
from passerby.errors import OutputError


def test_the_attribute_example_has_the_layout_of_mlcls_and_is_the_same_for_a_seed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        example.write_attribute_example(tmp_path / name, count=16, seed=3)
    example.write_attribute_example(tmp_path / "other", count=16, seed=4)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)
    assert (tmp_path / "one/train.txt").read_text() != (tmp_path / "other/train.txt").read_text()
    lines = (tmp_path / "one/train.txt").read_text().splitlines() + (tmp_path / "one/val.txt").read_text().splitlines()
    assert len(lines) == len({line.split("\t")[0] for line in lines}) == 16
    for line in lines:
        path, values = line.split("\t")
        assert (tmp_path / "one" / path).is_file()
        lower = values.split(",")[3:]
        assert set(values.split(",")) <= {"-1", "0", "1"}
        assert lower.count("1") <= 1


def test_the_boxes_of_the_detection_example_hold_figures(tmp_path: Path) -> None:
    example.write_detection_example(tmp_path / "d", count=12, seed=1)
    document = json.loads((tmp_path / "d/annotations/instance_train.json").read_text())
    pictures = {image["id"]: tmp_path / "d/images" / image["file_name"] for image in document["images"]}
    assert document["annotations"]
    for annotation in document["annotations"]:
        picture = cv2.imread(str(pictures[annotation["image_id"]]))
        x, y, w, h = annotation["bbox"]
        assert min(x, y) >= 0 and x + w <= picture.shape[1] and y + h <= picture.shape[0]
        assert h > 1.5 * w  # figures stand
        assert picture[y : y + h, x : x + w].std() > 10


def test_a_figure_changes_its_box_and_nothing_else() -> None:
    picture = np.full((240, 320, 3), 90, np.uint8)
    figure = example.Figure(hat=True, backpack=True, high_vis=False, lower=2)
    rng = np.random.default_rng(0)
    x1, y1, x2, y2 = example.draw_figure(picture, figure, centre_x=100, foot_y=200, height=150, rng=rng)
    inside = np.zeros(picture.shape[:2], bool)
    inside[y1:y2, x1:x2] = True
    assert (picture[~inside] == 90).all()
    assert 130 < y2 - y1 < 165


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="output_conflict"):
        example.write_attribute_example(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
