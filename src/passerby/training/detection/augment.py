# SPDX-License-Identifier: Apache-2.0
"""Augmentation of pictures with boxes: colour, expansion, crop and flip of PP-YOLOE's recipe, then the resize.

The recipe paints each picture on a canvas of up to sixteen times its area, cuts a piece out of that and shrinks the
piece. Here the canvas is never painted: expansion and crop only choose a window, and what the window shows of the
picture is resized once, straight to its place in the network's input. Colours, flip included, then cost as much as the
input is large, however large the photo. Everything random comes from the generator that is handed in.

Source: the recipe, ranges included, is that of PP-YOLOE in PaddleDetection. Hue and brightness change as much as their
names say (there, hue turned by pi times its range and brightness moved by one grey level).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...types import BoxesXyxy, ImageBgr

FILL_BGR = (104, 116, 124)  # the mean colour, (123.675, 116.28, 103.53) in RGB: zero after normalising
INTERPOLATIONS = ("nearest", "linear", "area", "cubic", "lanczos")
CROP_OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
CROP_ATTEMPTS = 50
CROP_SCALE = (0.3, 1.0)
CROP_ASPECT = (0.5, 2.0)
MIN_SIDE_PX = 1.0  # of the network's input; what is smaller is neither an example nor a mistake
GREY_BGR = np.array([0.114, 0.587, 0.299])
YIQ_FROM_BGR = np.array([GREY_BGR, [-0.322, -0.274, 0.596], [0.312, -0.523, 0.211]])
_CV2 = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionAugment:
    """How hard to shake; the defaults are the recipe's.

    Attributes:
        colour: probability with which each of brightness, contrast, saturation and hue changes.
        colour_range: their factors are drawn from 1 - colour_range .. 1 + colour_range.
        hue_degrees: hue turns by at most this, either way.
        expand: probability that the picture is made small on a larger canvas.
        largest_expansion: side of that canvas, in sides of the picture.
        crop: probability that a piece is tried to be cut out (one draw in seven leaves the picture whole anyway).
        flip: probability of mirroring.
    """

    colour: float = 0.5
    colour_range: float = 0.5
    hue_degrees: float = 18.0
    expand: float = 0.5
    largest_expansion: float = 4.0
    crop: float = 1.0
    flip: float = 0.5


NO_AUGMENT = DetectionAugment(colour=0.0, expand=0.0, crop=0.0, flip=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPicture:
    """A picture and what is in it.

    Attributes:
        image_bgr: (H, W, 3) uint8.
        boxes_xyxy: (N, 4) float32, px of the picture: what is to be found.
        class_ids: (N,) int64.
        ignored_xyxy: (M, 4) float32: regions where finding something is neither right nor wrong.
        ignored_ids: (M,) int64, the class for which a region counts.
    """

    image_bgr: ImageBgr
    boxes_xyxy: BoxesXyxy
    class_ids: NDArray[np.int64]
    ignored_xyxy: BoxesXyxy
    ignored_ids: NDArray[np.int64]


class Window(NamedTuple):
    """A rectangle of whole pixels of the picture; it may reach beyond the picture."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


def augment(
    picture: LabelledPicture,
    *,
    size_hw: tuple[int, int],
    interpolation: str,
    options: DetectionAugment,
    random: np.random.Generator,
) -> LabelledPicture:
    """Shake a picture and bring it to the network's input size, its ratio not kept.

    Args:
        picture: of any size.
        size_hw: height and width of the result, px.
        interpolation: one of `INTERPOLATIONS`.
        options: how hard.
        random: where all chance comes from.
    Returns:
        A new picture of that size. Boxes whose centre the window does not show, and boxes thinner than a pixel, have
        become regions to ignore as far as they are visible.
    """
    colours = colour_matrix(options, random)
    height, width = picture.image_bgr.shape[:2]
    window = Window(0, 0, width, height)
    if random.random() < options.expand:
        window = expanded(window, options.largest_expansion, random)
    if len(picture.boxes_xyxy) and random.random() < options.crop:
        window = cropped(window, picture.boxes_xyxy, random)
    seen = _through(picture, window, size_hw=size_hw, interpolation=interpolation, colours=colours)
    return _mirrored(seen) if random.random() < options.flip else seen


def colour_matrix(options: DetectionAugment, random: np.random.Generator) -> NDArray[np.float32] | None:
    """Brightness, contrast, saturation and hue in random order as one affine map of BGR: (3, 4) float32, or None."""
    total = np.eye(4)
    changed = False
    for kind in random.permutation(4):
        if random.random() >= options.colour:
            continue
        changed = True
        factor = random.uniform(1 - options.colour_range, 1 + options.colour_range)
        step = np.eye(4)
        if kind == 0:  # brightness
            step[:3, :3] *= factor
        elif kind == 1:  # contrast, around the middle grey
            step[:3, :3] *= factor
            step[:3, 3] = 128 * (1 - factor)
        elif kind == 2:  # saturation
            step[:3, :3] = factor * np.eye(3) + (1 - factor) * GREY_BGR
        else:
            step[:3, :3] = _hue_rotation(math.radians(random.uniform(-options.hue_degrees, options.hue_degrees)))
        total = step @ total
    return total[:3].astype(np.float32) if changed else None


def _hue_rotation(angle: float) -> NDArray[np.float64]:
    """Rotation of the two colour axes of YIQ, in BGR: (3, 3). Greys stay as they are."""
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    rotation: NDArray[np.float64] = np.linalg.inv(YIQ_FROM_BGR) @ turn @ YIQ_FROM_BGR
    return rotation


def expanded(window: Window, largest: float, random: np.random.Generator) -> Window:
    """A window 1 to `largest` times as wide and high that holds the given one at a random place."""
    ratio = random.uniform(1.0, largest)
    width, height = int(window.width * ratio), int(window.height * ratio)
    left = window.left - int(random.integers(width - window.width + 1))
    top = window.top - int(random.integers(height - window.height + 1))
    return Window(left, top, left + width, top + height)


def cropped(window: Window, boxes_xyxy: BoxesXyxy, random: np.random.Generator) -> Window:
    """A piece of the window that shows enough of at least one box, or the window itself.

    The demands (IoU of piece and some box) are tried in random order, "no crop" among them; the first that one of 50
    random pieces meets decides. A piece must show the centre of a box.
    """
    demands = [*CROP_OVERLAPS, None]
    for place in random.permutation(len(demands)):
        demand = demands[place]
        if demand is None:
            return window
        pieces = _random_pieces(window, random)
        fits = (_iou(pieces, boxes_xyxy).max(axis=1) >= demand) & centres_inside(pieces, boxes_xyxy).any(axis=1)
        if fits.any():
            return Window(*(int(v) for v in pieces[int(fits.argmax())]))
    return window


def _random_pieces(window: Window, random: np.random.Generator) -> NDArray[np.int64]:
    """(50, 4) x1 y1 x2 y2 inside the window, at least one pixel each way."""
    scale = random.uniform(*CROP_SCALE, CROP_ATTEMPTS)
    aspect = random.uniform(np.maximum(CROP_ASPECT[0], scale**2), np.minimum(CROP_ASPECT[1], scale**-2.0))
    sides = np.stack([window.width * scale * np.sqrt(aspect), window.height * scale / np.sqrt(aspect)], axis=1)
    whole = np.array([window.width, window.height])
    sides_px = sides.astype(np.int64).clip(1, whole)
    corners = np.array([window.left, window.top]) + random.integers(whole - sides_px + 1)
    return np.concatenate([corners, corners + sides_px], axis=1)


def _iou(pieces: NDArray[np.int64], boxes_xyxy: BoxesXyxy) -> NDArray[np.float64]:
    """(P, N) overlaps; no box is empty."""
    low = np.maximum(pieces[:, None, :2], boxes_xyxy[None, :, :2])
    high = np.minimum(pieces[:, None, 2:], boxes_xyxy[None, :, 2:])
    overlap = (high - low).clip(0).prod(axis=2)
    areas = (pieces[:, 2:] - pieces[:, :2]).prod(axis=1)
    overlaps: NDArray[np.float64] = overlap / (
        areas[:, None] + (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).prod(axis=1) - overlap
    )
    return overlaps


def centres_inside(pieces: NDArray[np.int64], boxes_xyxy: BoxesXyxy) -> NDArray[np.bool_]:
    """Which boxes (N, 4) have their centre in which pieces (P, 4): (P, N)."""
    centres = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    inside = (pieces[:, None, :2] <= centres) & (centres <= pieces[:, None, 2:])  # (P, N, 2)
    return np.asarray(inside.all(axis=2))


def _through(
    picture: LabelledPicture,
    window: Window,
    *,
    size_hw: tuple[int, int],
    interpolation: str,
    colours: NDArray[np.float32] | None,
) -> LabelledPicture:
    """What the window shows, at `size_hw`; the mean colour where it shows no picture."""
    height, width = picture.image_bgr.shape[:2]
    # the part of the picture that is seen, in pixels of the picture and in pixels of the result
    cut = Window(max(window.left, 0), max(window.top, 0), min(window.right, width), min(window.bottom, height))
    target = _target(cut, window, size_hw)
    source = picture.image_bgr[cut.top : cut.bottom, cut.left : cut.right]
    piece = cv2.resize(source, (target.width, target.height), interpolation=_CV2[interpolation])
    if colours is not None:
        piece = cv2.transform(piece, colours)
    image = np.asarray(piece, np.uint8)
    if (target.height, target.width) != size_hw:
        image = np.full((*size_hw, 3), FILL_BGR, np.uint8)
        image[target.top : target.bottom, target.left : target.right] = piece
    return _with_boxes(picture, image, cut=cut, target=target, window=window)


def _target(cut: Window, window: Window, size_hw: tuple[int, int]) -> Window:
    """Where a part of the window lies in the result: whole pixels, at least one each way."""
    scale_x, scale_y = size_hw[1] / window.width, size_hw[0] / window.height
    left = min(round((cut.left - window.left) * scale_x), size_hw[1] - 1)
    top = min(round((cut.top - window.top) * scale_y), size_hw[0] - 1)
    right = max(round((cut.right - window.left) * scale_x), left + 1)
    bottom = max(round((cut.bottom - window.top) * scale_y), top + 1)
    return Window(left, top, right, bottom)


def _with_boxes(
    picture: LabelledPicture, image_bgr: ImageBgr, *, cut: Window, target: Window, window: Window
) -> LabelledPicture:
    """The boxes moved as the pixels were, sorted into examples and regions to ignore."""
    scale = np.array([target.width / cut.width, target.height / cut.height] * 2)
    boxes = np.concatenate([picture.boxes_xyxy, picture.ignored_xyxy])
    ids = np.concatenate([picture.class_ids, picture.ignored_ids])
    shown = boxes.clip([cut.left, cut.top] * 2, [cut.right, cut.bottom] * 2)
    moved = ((shown - [cut.left, cut.top] * 2) * scale + [target.left, target.top] * 2).astype(np.float32)
    sides = moved[:, 2:] - moved[:, :2]
    learnt = (sides >= MIN_SIDE_PX).all(axis=1) & centres_inside(np.array([window]), boxes)[0]
    learnt[len(picture.boxes_xyxy) :] = False
    unsure = ~learnt & (sides > 0).all(axis=1)
    return LabelledPicture(
        image_bgr=image_bgr,
        boxes_xyxy=moved[learnt],
        class_ids=ids[learnt],
        ignored_xyxy=moved[unsure],
        ignored_ids=ids[unsure],
    )


def _mirrored(picture: LabelledPicture) -> LabelledPicture:
    width = np.float32(picture.image_bgr.shape[1])

    def mirror(boxes: BoxesXyxy) -> BoxesXyxy:
        return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)

    return LabelledPicture(
        image_bgr=np.asarray(cv2.flip(picture.image_bgr, 1), np.uint8),
        boxes_xyxy=mirror(picture.boxes_xyxy),
        class_ids=picture.class_ids,
        ignored_xyxy=mirror(picture.ignored_xyxy),
        ignored_ids=picture.ignored_ids,
    )
