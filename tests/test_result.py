"""What a result prints, saves and draws."""

from __future__ import annotations

import gc
import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from passerby import Pipeline, Result

from . import tiny


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return tiny.pipeline()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "street.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), tiny.picture())
    return path


@pytest.fixture
def result(pipeline: Pipeline, saved: Path) -> Result:
    return next(pipeline.predict(saved))


def test_body_has_the_keys_of_the_original(result: Result, saved: Path) -> None:
    body = result.json["res"]
    assert list(body) == ["input_path", "boxes"]
    assert body["input_path"] == str(saved)
    for box in body["boxes"]:
        assert list(box)[:4] == ["labels", "cls_scores", "det_score", "coordinate"]
        assert len(box["labels"]) == len(box["cls_scores"])
        assert all(round(s, 5) == s for s in box["cls_scores"])
        assert all(type(v) is float for v in [*box["coordinate"], *box["cls_scores"], box["det_score"]])


def test_saved_file_holds_the_body_without_the_wrapper(result: Result, tmp_path: Path) -> None:
    path = result.save_to_json(tmp_path / "out")
    assert path == tmp_path / "out" / "street.json"
    text = path.read_text("utf-8")
    assert json.loads(text) == result.json["res"]
    assert text.startswith('{\n    "input_path"')
    exact = result.save_to_json(tmp_path / "here.json", indent=2, ensure_ascii=True)
    assert exact.read_bytes().isascii()


def test_print_forms(result: Result, capsys: pytest.CaptureFixture[str]) -> None:
    result.print()
    assert json.loads(capsys.readouterr().out) == result.json
    result.print(indent=2, ensure_ascii=True)
    assert capsys.readouterr().out.isascii()
    result.print(format_json=False)
    line = capsys.readouterr().out
    assert line.startswith("{'res': {'input_path':")
    assert line.count("\n") == 1
    result.print(json_format=True)
    assert json.loads(capsys.readouterr().out) == result.json


def test_picture_is_drawn_at_full_size(result: Result, tmp_path: Path, saved: Path) -> None:
    path = result.save_to_img(tmp_path / "out")
    assert path == tmp_path / "out" / "street_res.png"
    drawn, plain = cv2.imread(str(path)), cv2.imread(str(saved))
    assert drawn.shape == plain.shape
    assert (drawn != plain).any()
    image = result.img["res"]
    assert (image.mode, image.size) == ("RGB", (320, 240))
    assert (np.asarray(image)[:, :, ::-1] == drawn).all()


def test_drawing_works_after_the_pipeline_has_gone_on(pipeline: Pipeline, saved: Path) -> None:
    results = list(pipeline.predict([saved, saved]))
    gc.collect()
    assert results[0].picture is not None
    assert results[0].drawn().tobytes() == results[1].drawn().tobytes()


def test_a_result_of_a_file_holds_no_pixels(pipeline: Pipeline, saved: Path) -> None:
    results = list(pipeline.predict([saved] * 3))
    gc.collect()
    assert all(len(pickle.dumps(r)) < 60_000 for r in results)
    assert pickle.loads(pickle.dumps(results[0])).drawn().shape == (240, 320, 3)


def test_numpy_printing_is_left_alone(result: Result) -> None:
    assert "..." not in repr(np.zeros(50))


def test_probabilities_are_read_only(result: Result) -> None:
    probabilities = result.persons[0].probabilities
    assert probabilities is not None
    with pytest.raises(ValueError, match="read-only"):
        probabilities[0] = 0
