"""The walk of a frame through both stages, on tiny networks: order, laziness, threads, processes, errors."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from passerby import ArgumentError, EngineError, InputError, Pipeline, Result

from . import tiny


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return tiny.pipeline()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pictures")
    for i in range(4):
        cv2.imwrite(str(out / f"{i}.png"), tiny.picture(i))
    return out


def fingerprint(result: Result) -> tuple[bytes, bytes, str]:
    """Everything a result says, to the bit."""
    return result.boxes_xyxy.tobytes(), result.probabilities.tobytes(), json.dumps(result.to_dict())


def one(pipeline: Pipeline, input: Any, **options: Any) -> Result:
    return next(pipeline.predict(input, **options))


def test_a_person_has_a_box_a_score_and_26_probabilities(pipeline: Pipeline) -> None:
    result = one(pipeline, tiny.picture())
    assert result.size_wh == (320, 240)
    assert len(result.persons) > 2
    assert result.probabilities.shape == (len(result.persons), 26)
    assert (np.diff(result.scores) <= 0).all()
    assert (result.scores > 0.35).all()
    assert result.boxes_xyxy.min() >= 0
    assert (result.boxes_xyxy.max(0) <= [320, 240, 320, 240]).all()
    for person in result.persons:
        assert all(label.score > 0.6 for label in person.labels)
        assert [x.score for x in person.labels] == sorted((x.score for x in person.labels), reverse=True)


def test_path_array_bytes_and_list_say_the_same(pipeline: Pipeline, folder: Path) -> None:
    path = folder / "0.png"
    as_path = one(pipeline, str(path))
    for other in (path, path.read_bytes(), cv2.imread(str(path)), [path]):
        again = one(pipeline, other)
        assert fingerprint(again)[:2] == fingerprint(as_path)[:2]


def test_order_and_batch_size_change_no_bit(pipeline: Pipeline, folder: Path) -> None:
    alone = [fingerprint(one(pipeline, p)) for p in sorted(folder.iterdir())]
    for batch_size in (1, 3, 32):
        assert [fingerprint(r) for r in pipeline.predict(folder, batch_size=batch_size)] == alone
    backwards = [fingerprint(r) for r in pipeline.predict(sorted(folder.iterdir(), reverse=True))]
    assert backwards[::-1] == alone


def test_sixteen_threads_give_the_serial_answers(pipeline: Pipeline) -> None:
    pictures = [tiny.picture(i % 5) for i in range(32)]
    serial = [fingerprint(one(pipeline, p)) for p in pictures[:5]]
    with ThreadPoolExecutor(16) as pool:
        parallel = list(pool.map(lambda p: fingerprint(one(pipeline, p)), pictures))
    assert parallel == [serial[i % 5] for i in range(32)]


def test_a_pickled_pipeline_answers_the_same(pipeline: Pipeline) -> None:
    data = pickle.dumps(pipeline)
    assert len(data) < 10_000  # the recipe, not the engine and not the weights
    again = pickle.loads(data)
    assert fingerprint(one(again, tiny.picture())) == fingerprint(one(pipeline, tiny.picture()))


def _in_child(pipeline: Pipeline, queue: Any) -> None:
    queue.put(fingerprint(one(pipeline, tiny.picture())))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_other_processes_give_the_same_answers(pipeline: Pipeline, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this platform cannot {method}")
    expected = fingerprint(one(pipeline, tiny.picture()))
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(pipeline, queue))
    child.start()
    try:
        assert queue.get(timeout=60) == expected
    finally:
        child.join(10)
    assert child.exitcode == 0


def test_predict_is_lazy_and_reads_one_batch_ahead_at_most(pipeline: Pipeline) -> None:
    taken: list[int] = []

    def feed() -> Iterator[np.ndarray]:
        for i in range(100):
            taken.append(i)
            yield tiny.picture(i % 3, height=64, width=64)

    results = pipeline.predict(feed(), batch_size=4)
    assert taken == []
    next(results)
    assert len(taken) <= 5


def test_wrong_arguments_are_told_at_once(pipeline: Pipeline) -> None:
    picture = tiny.picture()
    for options in (
        {"det_threshold": "high"},
        {"det_threshold": float("nan")},
        {"cls_threshold": [0.5] * 25},
        {"cls_threshold": {"hatt": 0.5}},
        {"batch_size": 0},
        {"labels": "fr"},
        {"on_error": "ignore"},
        {"device": "tpu"},
    ):
        with pytest.raises(ArgumentError):
            pipeline.predict(picture, **options)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        pipeline.predict(picture, treshold=0.5)  # type: ignore[call-arg]


def test_a_missing_device_is_an_error_and_no_fallback(pipeline: Pipeline) -> None:
    with pytest.raises(EngineError) as caught:
        pipeline.predict(tiny.picture(), device="xpu:0")
    assert caught.value.name == "device_unavailable"


def test_a_single_bad_input_raises(pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        next(pipeline.predict(tmp_path / "missing.jpg"))
    assert caught.value.name == "input_missing"
    recorded = list(pipeline.predict(tmp_path / "missing.jpg", on_error="record"))
    assert [r.error.name for r in recorded if r.error] == ["input_missing"]


def test_a_bad_file_among_several_is_a_record_in_its_place(pipeline: Pipeline, tmp_path: Path, folder: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"nonsense")
    results = list(pipeline.predict([folder / "0.png", bad, folder / "1.png"]))
    assert [r.error.name if r.error else None for r in results] == [None, "image_unknown", None]
    record = results[1].json["res"]
    assert record["input"] == str(bad)
    assert record["error"]["name"] == "image_unknown"
    with pytest.raises(InputError):
        list(pipeline.predict([folder / "0.png", bad], on_error="raise"))


def test_thresholds_per_class_act_on_their_class(pipeline: Pipeline) -> None:
    picture = tiny.picture()
    above_zero = (one(pipeline, picture).probabilities > 0).sum(1).tolist()  # rows of NaN count nothing
    without_hats = (one(pipeline, picture).probabilities[:, 1:] > 0).sum(1).tolist()

    def counts(cls_threshold: Any) -> list[int]:
        persons = one(pipeline, picture, cls_threshold=cls_threshold).persons
        return [len(p.labels) for p in persons]

    assert max(above_zero) == 26
    assert above_zero != without_hats
    assert counts(0.0) == above_zero
    assert counts({"default": 0.0, 0: 1.0}) == without_hats
    assert counts({"default": 0.0, "hat": 1}) == without_hats
    assert counts([1.0] + [0.0] * 25) == without_hats


def test_a_threshold_is_strict(pipeline: Pipeline) -> None:
    picture = tiny.picture()
    best = one(pipeline, picture).scores[0]
    assert len(one(pipeline, picture, det_threshold=float(best)).persons) == 0
    assert len(one(pipeline, picture, det_threshold=1).persons) == 0


def test_label_languages(pipeline: Pipeline) -> None:
    picture = tiny.picture()
    texts = {
        style: {x.text for p in one(pipeline, picture, cls_threshold=0.0, labels=style).persons for x in p.labels}
        for style in ("paddle", "en", "zh", "both")
    }
    assert "Hat(帽子)" in texts["paddle"]
    assert "UpperStride(上衣条纹)" in texts["paddle"]
    assert "Hat" in texts["en"]
    assert "帽子" in texts["zh"]
    assert all(len(t) == 26 for t in texts.values())


def test_classify_takes_boxes_of_any_detector(pipeline: Pipeline) -> None:
    picture = tiny.picture()
    found = one(pipeline, picture)
    described = pipeline.classify(picture, found.boxes_xyxy)
    assert described.probabilities.tobytes() == found.probabilities.tobytes()
    assert pipeline.classify(picture, []).persons == ()
    for bad in ([[0, 0, 1]], [[0, 0, float("nan"), 1]], [0, 0, 1, 1]):
        with pytest.raises(ArgumentError):
            pipeline.classify(picture, bad)


def test_persons_that_cannot_be_judged_say_so(pipeline: Pipeline) -> None:
    boxes = [[100, 100, 100.5, 200], [100, 100, 105, 110], [0, 50, 80, 200], [100, 50, 180, 200]]
    persons = pipeline.classify(tiny.picture(), boxes, cls_threshold=0.0).persons
    assert [p.note for p in persons] == ["no_pixels", "too_small", "cut_by_frame", None]
    assert persons[0].probabilities is None
    assert persons[0].labels == ()
    assert "cannot be judged" in persons[0].to_dict()["note"]
    assert "note" not in persons[3].to_dict()


def test_close_frees_and_a_later_call_works(pipeline: Pipeline) -> None:
    with tiny.pipeline() as other:
        first = fingerprint(one(other, tiny.picture()))
    assert fingerprint(one(other, tiny.picture())) == first


def test_thread_count_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from passerby.engines import available_threads

    monkeypatch.setenv("PASSERBY_THREADS", "1")
    assert available_threads() == 1
    monkeypatch.setenv("PASSERBY_THREADS", "many")
    with pytest.raises(ArgumentError):
        available_threads()
