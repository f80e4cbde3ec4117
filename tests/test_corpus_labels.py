"""The corpus of data set folders through the library: every folder is built anew and checked as its case says."""

from __future__ import annotations

import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from passerby.datasets.attribute_set import read_attribute_set
from passerby.datasets.check import CheckReport, check_dataset
from passerby.datasets.detection_set import read_detection_set
from passerby.datasets.problems import PROBLEMS_SHOWN, InvalidDatasetError
from passerby.errors import DatasetError

from .conftest import CORPUS, corpus_cases

CASES = corpus_cases("labels")
PICTURE = CORPUS / "image" / "jpeg_baseline.jpg"
READERS = {"MLClsDataset": read_attribute_set, "COCODetDataset": read_detection_set}
# Cases for which more than one outcome is right: what ours is. A change here needs a line in the changelog.
RECORDED = {
    "labels/attr_same_picture_both": "ok",
    "labels/attr_never_positive": "ok",
    "labels/attr_link_out": "ok",
    "labels/attr_line_twice_same": "ok",
    "labels/coco_text_ids": "ok",
    "labels/coco_box_over_edge": "ok",
    "labels/coco_box_corners": "ok",
    "labels/coco_two_categories": "ok",
}
# Cases with more problems than their entry names, because the cause shows in several places.
SEVERAL = {"labels/attr_many_errors", "labels/attr_csv_given", "labels/coco_no_categories"}


def prepared(case: dict[str, Any], folder: Path) -> Path:
    """The folder of a case, below `folder`, with a picture outside that some of them point to."""
    root = folder / "set"
    shutil.copyfile(PICTURE, folder / "outside.jpg")
    recipe = case["recipe"]
    for name in recipe["pictures"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PICTURE, root / name)
    for name, content in recipe["dataset"].items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(bytes.fromhex(content["hex"]) if isinstance(content, dict) else content.encode())
    for name, target in recipe.get("links", {}).items():
        (root / name).symlink_to(target)
    return root


def tells_cases_apart(folder: Path) -> bool:
    (folder / "a").touch()
    return not (folder / "A").exists()


def check_problems(case: dict[str, Any], error: InvalidDatasetError) -> None:
    check = case["check"]
    for wanted in check["problems"]:
        found = [
            problem
            for problem in error.problems
            if problem.place.file == wanted["file"]
            and (problem.place.line or 0) == wanted.get("line", 0)
            and problem.place.where == wanted.get("where", "")
            and wanted["contains"] in problem.text
        ]
        assert found, [str(problem) for problem in error.problems[:5]]
        if found[0] in error.problems[:PROBLEMS_SHOWN]:
            assert str(found[0]) in error.message
    if "shown_at_most" in check:
        assert error.message.count("train.txt line") == check["shown_at_most"]
    assert check.get("mentions", "") in error.message
    if case["id"] not in SEVERAL:  # nothing is said of a folder but what is wrong with it
        assert error.count == len(check["problems"])


def check_counts(wanted: dict[str, int], report: CheckReport) -> None:
    train = report.figures["train"].to_json()
    found = {"labels": len(report.classes), "categories": len(report.classes), "images": train["samples"]}
    found |= {split: figures.samples for split, figures in report.figures.items()}
    found["boxes"] = sum(train.get("boxes", ()))
    assert {name: found[name] for name in wanted} == wanted


@pytest.mark.parametrize("case", CASES)
def test_library(case: dict[str, Any], tmp_path: Path) -> None:
    check = case.get("check", {})
    if check.get("case_sensitive_only") and not tells_cases_apart(tmp_path):
        pytest.skip("this file system does not tell A from a")
    root = prepared(case, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    try:
        report = check_dataset(root, format=case["call"]["format"], deep=check.get("deep_check", False))
        outcome = "ok"
        check_counts(check.get("counts", {}), report)
        for warning in check.get("warnings", []):
            assert any(warning in text for text in report.warnings), report.warnings
        assert all(text.isprintable() for text in report.warnings)
    except DatasetError as error:
        outcome = error.name
        assert error.exit_code == 2
        assert error.message.isprintable()
        assert len(error.message) <= DatasetError.shown_at_most
        if isinstance(error, InvalidDatasetError):
            check_problems(case, error)
    assert outcome == (RECORDED[case["id"]] if case["expect"] == "record" else case["expect"])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("case", [c for c in CASES if not c.values[0].get("check", {}).get("deep_check")])
def test_reader_alone(case: dict[str, Any], tmp_path: Path) -> None:
    """The readers that training uses refuse what the check refuses, pixels excepted."""
    check = case.get("check", {})
    if check.get("case_sensitive_only") and not tells_cases_apart(tmp_path):
        pytest.skip("this file system does not tell A from a")
    root = prepared(case, tmp_path)
    expected = RECORDED[case["id"]] if case["expect"] == "record" else case["expect"]
    if expected == "ok":
        assert READERS[case["call"]["format"]](root).splits["train"]
    else:
        with pytest.raises(DatasetError) as caught:
            READERS[case["call"]["format"]](root)
        assert caught.value.name == expected


@pytest.mark.parametrize("case", [c for c in CASES if c.values[0]["expect"] == "ok"])
def test_good_folders_are_good_with_their_pixels(case: dict[str, Any], tmp_path: Path) -> None:
    root = prepared(case, tmp_path)
    report = check_dataset(root, output=tmp_path / "out")
    assert report.drawn is not None
    for name in (report.drawn.histogram, *report.drawn.sheets):
        assert (tmp_path / "out" / name).stat().st_size > 0


def test_missing_val_says_how_to_split(tmp_path: Path) -> None:
    case = next(c.values[0] for c in CASES if c.id == "labels/attr_no_val")
    with pytest.raises(DatasetError, match="passerby dataset split"):
        read_attribute_set(prepared(case, tmp_path))


def test_problems_beyond_number_are_counted_not_kept(tmp_path: Path) -> None:
    case = next(c.values[0] for c in CASES if c.id == "labels/attr_many_errors")
    root = prepared(case, tmp_path)
    (root / "train.txt").write_text("images/0.jpg\t1\n" * 30_000, "utf-8")
    tracemalloc.start()
    with pytest.raises(InvalidDatasetError) as caught:
        read_attribute_set(root)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.count == 30_000
    assert "29980 more" in caught.value.message
    assert len(caught.value.problems) == 10_000
    assert peak < 32e6
