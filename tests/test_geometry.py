"""Box maths: equal to Paddle's `multiclass_nms3` on every recorded case, and the laws that hold for any boxes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from passerby.formats.metadata import NmsRecipe
from passerby.geometry import areas, clip_boxes, has_area, iou, multiclass_nms, nms, scale_boxes

from .conftest import FIXTURES

CASES: list[dict[str, Any]] = json.loads((FIXTURES / "nms/cases.json").read_text("utf-8"))
Boxes = NDArray[np.float32]


@pytest.fixture(scope="module")
def recorded() -> dict[str, NDArray[Any]]:
    with np.load(FIXTURES / "nms/cases.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_suppression_equals_the_operator_row_by_row(case: dict[str, Any], recorded: dict[str, NDArray[Any]]) -> None:
    key, settings_of = case["key"], case["settings"]
    recipe = NmsRecipe(
        score_threshold=settings_of["score_threshold"],
        top_k=settings_of["nms_top_k"],
        iou_threshold=settings_of["nms_threshold"],
        keep_top_k=settings_of["keep_top_k"],
    )
    rows, index, counts = [], [], []
    boxes, scores = recorded[f"{key}_boxes"], recorded[f"{key}_scores"]
    for picture in range(len(boxes)):
        ids, found, kept, anchors = multiclass_nms(boxes[picture], scores[picture], recipe)
        rows.append(np.column_stack([ids.astype(np.float32), found, kept]))
        index.append(anchors + picture * boxes.shape[1])
        counts.append(len(anchors))
    np.testing.assert_array_equal(np.concatenate(rows), recorded[f"{key}_out"], strict=True)
    np.testing.assert_array_equal(np.concatenate(index), recorded[f"{key}_index"][:, 0])
    assert counts == recorded[f"{key}_num"].tolist()


def test_all_54_cases_are_there() -> None:
    assert len(CASES) == 54


# whole and half pixels: overlaps are then exact in float32, and ties and equal boxes are common
coordinate = st.integers(-20, 200).map(lambda n: n / 2)


@st.composite
def boxes_and_scores(draw: st.DrawFn) -> tuple[Boxes, NDArray[np.float32]]:
    count = draw(st.integers(0, 40))
    corners = draw(npst.arrays(np.float32, (count, 2), elements=coordinate))
    sides = draw(npst.arrays(np.float32, (count, 2), elements=st.integers(1, 120).map(float)))
    ranks = draw(st.permutations(range(count)))
    scores = np.array([(rank + 1) / (count + 1) for rank in ranks], np.float32)  # distinct
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32), scores


@given(boxes_and_scores())
@settings(max_examples=100, deadline=None)
def test_survivors_are_a_subset_and_survive_again(given_boxes: tuple[Boxes, NDArray[np.float32]]) -> None:
    boxes, scores = given_boxes
    kept = nms(boxes, scores, NmsRecipe())
    assert len(set(kept.tolist())) == len(kept)
    assert (np.diff(scores[kept]) < 0).all()
    again = nms(boxes[kept], scores[kept], NmsRecipe())
    assert again.tolist() == list(range(len(kept)))


@given(boxes_and_scores())
@settings(max_examples=100, deadline=None)
def test_no_two_survivors_overlap_and_every_fallen_box_has_a_reason(
    given_boxes: tuple[Boxes, NDArray[np.float32]],
) -> None:
    boxes, scores = given_boxes
    recipe = NmsRecipe(score_threshold=0.0)
    kept = nms(boxes, scores, recipe)
    overlap = iou(boxes, boxes[kept])
    for place, survivor in enumerate(kept):
        assert (overlap[survivor, :place] <= np.float32(recipe.iou_threshold)).all()
    for fallen in set(range(len(boxes))) - set(kept.tolist()):
        better = scores[kept] > scores[fallen]
        assert (overlap[fallen, better] > np.float32(recipe.iou_threshold)).any()


@given(boxes_and_scores(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_of_the_boxes_does_not_matter_for_distinct_scores(
    given_boxes: tuple[Boxes, NDArray[np.float32]], random: Any
) -> None:
    boxes, scores = given_boxes
    shuffled = list(range(len(boxes)))
    random.shuffle(shuffled)
    kept = nms(boxes, scores, NmsRecipe())
    again = nms(boxes[shuffled], scores[shuffled], NmsRecipe())
    assert [shuffled[k] for k in again] == kept.tolist()


@given(
    npst.arrays(np.float32, st.tuples(st.integers(0, 30), st.just(4)), elements=st.floats(width=32)),
    st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_any_numbers_at_all_give_a_subset_without_a_warning(boxes: Boxes, seed: int) -> None:
    scores = np.random.default_rng(seed).random((2, len(boxes)), np.float32)
    ids, found, kept, anchors = multiclass_nms(boxes, scores, NmsRecipe(keep_top_k=10))
    assert len(ids) == len(found) == len(kept) == len(anchors) <= 10
    np.testing.assert_array_equal(kept, boxes[anchors])
    np.testing.assert_array_equal(found, scores[ids, anchors])


def test_more_candidates_than_top_k_keep_the_tied_ones_in_index_order() -> None:
    boxes = np.array([[100 * k, 0, 100 * k + 10, 10] for k in range(8)], np.float32)
    scores = np.array([0.5, 0.9, 0.5, 0.5, 0.9, 0.5, 0.1, 0.5], np.float32)
    assert nms(boxes, scores, NmsRecipe(top_k=5)).tolist() == [1, 4, 0, 2, 3]
    assert nms(boxes, scores, NmsRecipe(top_k=0)).tolist() == []
    assert nms(boxes, scores, NmsRecipe(keep_top_k=0)).tolist() == []


def test_iou_is_symmetric_and_one_with_itself() -> None:
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 50, (20, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 30, (20, 2))], axis=1).astype(np.float32)
    overlap = iou(boxes, boxes)
    np.testing.assert_array_equal(overlap, overlap.T)
    np.testing.assert_array_equal(np.diag(overlap), np.ones(20, np.float32))
    assert (overlap >= 0).all() and (overlap <= 1).all()
    assert iou(boxes[:0], boxes).shape == (0, 20)


def test_inverted_boxes_have_no_area() -> None:
    boxes = np.array([[0, 0, 3, 2], [3, 2, 0, 0], [5, 0, 1, 4]], np.float32)
    assert areas(boxes).tolist() == [6.0, 0.0, 0.0]


@given(
    npst.arrays(np.float32, st.tuples(st.integers(0, 10), st.just(4)), elements=st.floats(-900, 900, width=32)),
    st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
)
@settings(max_examples=60, deadline=None)
def test_scaling_there_and_back_changes_less_than_a_pixel(boxes: Boxes, image_hw: tuple[int, int]) -> None:
    there = scale_boxes(boxes, network_hw=(640, 640), image_hw=image_hw)
    back = scale_boxes(there, network_hw=image_hw, image_hw=(640, 640))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, boxes, atol=1e-2)


def test_clipping_keeps_what_is_inside_and_shows_what_was_outside() -> None:
    boxes = np.array([[1, 2, 3, 4], [-5, -6, 70, 80], [90, 90, 95, 95], [-9, -9, -1, -1]], np.float32)
    clipped = clip_boxes(boxes, image_hw=(50, 60))
    assert clipped.tolist() == [[1, 2, 3, 4], [0, 0, 60, 50], [90, 90, 60, 50], [0, 0, -1, -1]]
    assert has_area(clipped).tolist() == [True, True, False, False]
    assert boxes[1, 0] == -5, "the given boxes stay as they are"
    assert not has_area(np.array([[0, 0, np.nan, 5]], np.float32)).any()


def test_clipping_and_dropping_equal_paddlex() -> None:
    cases = json.loads((FIXTURES / "postproc/det_postprocess.json").read_text("utf-8"))
    checked = 0
    for case in cases:
        # with thresholds of other types PaddleX filters nothing or by class, which is not geometry
        if not case["case"].startswith("float "):
            continue
        rows = np.array(case["boxes"], np.float32)
        rows = rows[(rows[:, 1] > case["threshold"]) & (rows[:, 0] > -1)]
        width, height = case["img_size_wh"]
        clipped = clip_boxes(rows[:, 2:], image_hw=(height, width))
        expected = np.array([box["coordinate"] for box in case["out"]], np.float32)
        np.testing.assert_array_equal(clipped[has_area(clipped)], expected)
        checked += 1
    assert checked >= 2
