# SPDX-License-Identifier: Apache-2.0
"""Augmentation for the detector: packed photos and their boxes to training pictures of any size.

A training picture is one photo, or four in a mosaic; each photo goes through one affine map (scale, aspect, place,
flip), so its pixels are interpolated once. Colours are one 3x4 matrix. Boxes follow the map; what is hardly visible
becomes a region to ignore.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

FILL_RGB = (124, 116, 104)
MIN_VISIBLE = 0.3  # share of a person's box that must remain for it to be learnt
MIN_SIDE_PX = 5.0
GREY_RGB = np.array([[0.299, 0.587, 0.114]], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentOptions:
    """How hard to shake. log_aspect: range of log(x scale / y scale); a wide frame made square lies near -0.3."""

    mosaic: float = 0.5
    scale: tuple[float, float] = (0.55, 1.5)
    log_aspect: tuple[float, float] = (-0.45, 0.35)
    colour: float = 0.35
    blur: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A picture (S, S, 3) uint8 RGB with persons (N, 4), ignored regions (M, 4): x1 y1 x2 y2 in its pixels."""

    image_rgb: NDArray[np.uint8]
    persons: NDArray[np.float32]
    ignored: NDArray[np.float32]


def augment_one(photo: Example, *, size: int, options: AugmentOptions, random: np.random.Generator) -> Example:
    """One photo, moved and recoloured, on a square of `size` pixels."""
    canvas = np.full((size, size, 3), FILL_RGB, np.uint8)
    scale = random.uniform(*options.scale)
    slack = size * (1 - _stretched(scale, options, random))
    corner = np.array([random.uniform(min(0, s), max(0, s)) for s in slack])
    matrix = _matrix(photo, size - slack, corner, random.random() < 0.5)
    return _coloured(_place([(photo, matrix, (0, 0, size, size))], canvas), options, random)


def augment_mosaic(
    photos: list[Example], *, size: int, options: AugmentOptions, random: np.random.Generator
) -> Example:
    """Four photos around a random centre of a square of `size` pixels."""
    canvas = np.full((size, size, 3), FILL_RGB, np.uint8)
    centre_x, centre_y = (int(size * random.uniform(0.35, 0.65)) for _ in range(2))
    placed = []
    for index, photo in enumerate(photos[:4]):
        right, lower = index % 2, index // 2
        window = (
            centre_x if right else 0,
            centre_y if lower else 0,
            size if right else centre_x,
            size if lower else centre_y,
        )
        extent = size * _stretched(random.uniform(*options.scale) * 0.62, options, random)
        corner = np.array([centre_x if right else centre_x - extent[0], centre_y if lower else centre_y - extent[1]])
        placed.append((photo, _matrix(photo, extent, corner, random.random() < 0.5), window))
    return _coloured(_place(placed, canvas), options, random)


def _stretched(scale: float, options: AugmentOptions, random: np.random.Generator) -> NDArray[np.float64]:
    half_log = random.uniform(*options.log_aspect) / 2
    return scale * np.exp([half_log, -half_log])


def _matrix(
    photo: Example, extent: NDArray[np.float64], corner: NDArray[np.float64], flip: bool
) -> NDArray[np.float64]:
    """Affine map that takes the photo to a rectangle of `extent` px at `corner`, mirrored if asked."""
    height, width = photo.image_rgb.shape[:2]
    scale_x, scale_y = extent[0] / width, extent[1] / height
    if flip:
        return np.array([[-scale_x, 0, corner[0] + extent[0]], [0, scale_y, corner[1]]])
    return np.array([[scale_x, 0, corner[0]], [0, scale_y, corner[1]]])


def _place(
    placed: list[tuple[Example, NDArray[np.float64], tuple[int, int, int, int]]], canvas: NDArray[np.uint8]
) -> Example:
    persons, ignored = [], []
    for photo, matrix, window in placed:
        x1, y1, x2, y2 = window
        local = matrix - np.array([[0, 0, x1], [0, 0, y1]])
        canvas[y1:y2, x1:x2] = _warp(photo.image_rgb, local, (x2 - x1, y2 - y1))
        learnt, hidden = _visible(_moved(photo.persons, matrix), window)
        seen, rest = _visible(_moved(photo.ignored, matrix), window)
        persons.append(learnt)
        ignored += [hidden, seen, rest]
    return Example(image_rgb=canvas, persons=np.concatenate(persons), ignored=np.concatenate(ignored))


def _warp(image: NDArray[np.uint8], matrix: NDArray[np.float64], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Affine warp in pixel-edge coordinates; halves the photo first where a plain warp would alias."""
    half_pixel = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    to_edges = np.vstack([matrix, [0, 0, 1]]) @ half_pixel
    if max(abs(matrix[0, 0]), abs(matrix[1, 1])) < 0.6:
        image = np.asarray(cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
        to_edges = np.vstack([matrix, [0, 0, 1]]) @ np.diag([2.0, 2.0, 1.0]) @ half_pixel
    to_edges[:2, 2] -= 0.5
    warped = cv2.warpAffine(image, to_edges[:2], size_wh, flags=cv2.INTER_LINEAR, borderValue=FILL_RGB)
    return np.asarray(warped, np.uint8)


def _moved(boxes: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    corners = boxes.reshape(-1, 2, 2) @ np.diag(matrix[:, :2].diagonal()) + matrix[:, 2]
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)


def _visible(
    boxes: NDArray[np.float32], window: tuple[int, int, int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes cut to the window: those that still show enough to be learnt, and slivers."""
    x1, y1, x2, y2 = window
    cut = np.stack(
        [boxes[:, 0].clip(x1, x2), boxes[:, 1].clip(y1, y2), boxes[:, 2].clip(x1, x2), boxes[:, 3].clip(y1, y2)], axis=1
    )
    sides = cut[:, 2:] - cut[:, :2]
    share = sides.prod(axis=1) / np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-6)
    learnt = (share >= MIN_VISIBLE) & (sides.min(axis=1) >= MIN_SIDE_PX)
    return cut[learnt], cut[~learnt & (sides.min(axis=1) > 1)]


def _coloured(example: Example, options: AugmentOptions, random: np.random.Generator) -> Example:
    image = example.image_rgb
    if random.random() < 0.8:
        strength = options.colour
        saturation, contrast = 1 + random.uniform(-strength, strength, 2)
        saturation = 0.0 if random.random() < 0.04 else saturation
        gains = contrast * (1 + random.uniform(-strength, strength, 3) * 0.25)
        mix = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * np.repeat(GREY_RGB, 3, axis=0)
        offset = 128 * (1 - contrast) + 255 * random.uniform(-strength, strength) * 0.4
        matrix = np.concatenate([gains[:, None] * mix, np.full((3, 1), offset)], axis=1)
        image = np.asarray(cv2.transform(image, matrix.astype(np.float32)), np.uint8)
    if random.random() < options.blur:
        image = np.asarray(cv2.GaussianBlur(image, (3, 3), 0), np.uint8)
    return Example(image_rgb=image, persons=example.persons, ignored=example.ignored)
