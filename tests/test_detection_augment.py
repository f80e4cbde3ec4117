# SPDX-License-Identifier: Apache-2.0
"""Augmentation of pictures with boxes: that boxes stay on what they mark, and the ranges of the recipe."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.training.detection import augment as detection_augment
from passerby.training.detection.augment import (
    FILL_BGR,
    INTERPOLATIONS,
    NO_AUGMENT,
    DetectionAugment,
    LabelledPicture,
    Window,
    augment,
)

GEOMETRY = DetectionAugment(colour=0.0)
MARKS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))  # a colour for each class


def picture(boxes, *, size_wh=(200, 120), crowds=()):
    """A grey picture with a box of pure colour for each row x1 y1 x2 y2; row i is of class i."""
    image = np.full((size_wh[1], size_wh[0], 3), 128, np.uint8)
    for (left, top, right, bottom), colour in zip(boxes, MARKS, strict=False):
        cv2.rectangle(image, (left, top), (right - 1, bottom - 1), colour, -1)
    return LabelledPicture(
        image_bgr=image,
        boxes_xyxy=np.array(boxes, np.float32).reshape(-1, 4),
        class_ids=np.arange(len(boxes)),
        ignored_xyxy=np.array(crowds, np.float32).reshape(-1, 4),
        ignored_ids=np.zeros(len(crowds), np.int64),
    )


BOXES = ((20, 10, 60, 100), (90, 30, 130, 90), (150, 50, 190, 110))


def seen_box(image_bgr, colour):
    """Where a colour stands, x1 y1 x2 y2, or None."""
    near = np.abs(image_bgr.astype(int) - colour).max(axis=2) < 90
    ys, xs = np.nonzero(near)
    return None if not len(xs) else (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


def shaken(source, seed, *, size_hw=(96, 160), options=GEOMETRY, interpolation="linear"):
    random = np.random.default_rng(seed)
    return augment(source, size_hw=size_hw, interpolation=interpolation, options=options, random=random)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32), st.sampled_from(INTERPOLATIONS))
def test_boxes_lie_on_what_they_mark(seed, interpolation):
    result = shaken(picture(BOXES), seed, interpolation=interpolation)
    assert result.image_bgr.shape == (96, 160, 3)
    for box, kind in zip(result.boxes_xyxy, result.class_ids, strict=True):
        assert (box >= 0).all()
        assert (box <= [160, 96, 160, 96]).all()
        assert ((box[2:] - box[:2]) >= detection_augment.MIN_SIDE_PX).all()
        place = seen_box(result.image_bgr, MARKS[kind])
        # half a pixel of rounding, and what the interpolation smears
        assert place is not None or (box[2:] - box[:2]).min() < 4
        if place is not None:
            np.testing.assert_allclose(place, box, atol=2.0)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32))
def test_nobody_is_lost_without_a_word(seed):
    """What shows a coloured pixel is an example or a region to ignore."""
    result = shaken(picture(BOXES), seed, interpolation="nearest")
    marked = [*zip(result.class_ids, result.boxes_xyxy, strict=True)]
    marked += [*zip(result.ignored_ids, result.ignored_xyxy, strict=True)]
    for kind, colour in enumerate(MARKS):
        place = seen_box(result.image_bgr, colour)
        if place is not None:
            (box,) = [box for k, box in marked if k == kind]
            np.testing.assert_allclose(place, box, atol=2.0)


def test_without_augmentation_it_is_a_resize():
    source = picture(BOXES, crowds=[(0, 0, 10, 10)])
    result = shaken(source, 1, options=NO_AUGMENT, size_hw=(240, 400), interpolation="cubic")
    expected = cv2.resize(source.image_bgr, (400, 240), interpolation=cv2.INTER_CUBIC)
    assert (result.image_bgr == expected).all()
    assert (result.boxes_xyxy == source.boxes_xyxy * 2).all()
    assert result.ignored_xyxy.tolist() == [[0, 0, 20, 20]]


def test_crowds_move_along_and_stay_ignored():
    only_flip = DetectionAugment(colour=0, expand=0, crop=0, flip=1.0)
    result = shaken(picture(BOXES[:1], crowds=[(150, 0, 200, 30)]), 0, size_hw=(120, 200), options=only_flip)
    assert result.ignored_xyxy.tolist() == [[0, 0, 50, 30]]
    assert result.boxes_xyxy.tolist() == [[140, 10, 180, 100]]


def test_the_same_seed_gives_the_same_picture():
    first, again, other = (shaken(picture(BOXES), seed, options=DetectionAugment()) for seed in (7, 7, 8))
    assert (first.image_bgr == again.image_bgr).all()
    assert (first.boxes_xyxy == again.boxes_xyxy).all()
    assert (first.image_bgr != other.image_bgr).any()


def test_a_picture_without_people_is_used_too():
    result = shaken(picture(()), 3, options=DetectionAugment())
    assert result.boxes_xyxy.shape == result.ignored_xyxy.shape == (0, 4)


def test_expansion_keeps_the_whole_picture_on_a_canvas_up_to_four_times_as_wide():
    random = np.random.default_rng(0)
    ratios = []
    for _ in range(2000):
        window = detection_augment.expanded(Window(0, 0, 200, 120), 4.0, random)
        assert window.left <= 0
        assert window.top <= 0
        assert window.right >= 200
        assert window.bottom >= 120
        ratios.append(window.width / 200)
    assert min(ratios) < 1.05
    assert 3.9 < max(ratios) <= 4
    assert np.mean(ratios) == pytest.approx(2.5, abs=0.1)


def test_around_the_picture_lies_the_mean_colour():
    only_expand = DetectionAugment(colour=0, expand=1.0, crop=0, flip=0)
    result = shaken(picture(BOXES), 5, options=only_expand)
    grey = np.abs(result.image_bgr.astype(int) - 128).max(axis=2) < 2
    filled = (result.image_bgr == FILL_BGR).all(axis=2)
    assert filled.any()
    assert grey.any()
    assert len(result.boxes_xyxy) == 3


def test_crops_follow_the_recipe():
    random = np.random.default_rng(0)
    whole = Window(-50, -20, 350, 280)
    boxes = np.array(BOXES, np.float32)
    pieces = [detection_augment.cropped(whole, boxes, random) for _ in range(1500)]
    cut = [piece for piece in pieces if piece != whole]
    # one draw in seven asks for no crop; demands that no piece of 50 meets go on to the next
    assert 0.1 < 1 - len(cut) / len(pieces) < 0.5
    for piece in cut:
        assert piece.left >= whole.left
        assert piece.top >= whole.top
        assert piece.right <= whole.right
        assert piece.bottom <= whole.bottom
        width, height = piece.width / whole.width, piece.height / whole.height
        assert 0.29 < (width * height) ** 0.5 < 1
        assert 0.49 < width / height < 2.02
        assert detection_augment.centres_inside(np.array([piece]), boxes).any()


@pytest.mark.parametrize("degrees", [0.0, 18.0])
def test_colours_leave_middle_grey_alone_but_for_brightness(degrees):
    options = DetectionAugment(colour=1.0, colour_range=0.0, hue_degrees=degrees)
    matrix = detection_augment.colour_matrix(options, np.random.default_rng(2))
    grey = matrix @ [128, 128, 128, 1]
    np.testing.assert_allclose(grey, 128, atol=0.3)
    turned = matrix @ [40, 90, 200, 1]
    assert np.allclose(turned, [40, 90, 200], atol=0.3) == (degrees == 0)


def test_colour_factors_reach_half_and_one_and_a_half():
    random = np.random.default_rng(0)
    only = DetectionAugment(colour=1.0, hue_degrees=0.0)
    gains = [detection_augment.colour_matrix(only, random)[:, :3].sum(axis=1).mean() for _ in range(3000)]
    assert 0.25 <= min(gains) < 0.3  # brightness and contrast both at their least
    assert 2.15 < max(gains) <= 2.26


def test_without_the_chance_no_colour_changes():
    assert detection_augment.colour_matrix(GEOMETRY, np.random.default_rng(0)) is None
