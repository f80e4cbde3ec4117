# SPDX-License-Identifier: Apache-2.0
"""Person boxes of a teacher network, and how they complete what people have marked.

The teacher is PicoDet-S 416 (Apache-2.0, PaddleDetection) as ncnn files that the caller provides; neither it nor ncnn
is a dependency of passerby. Its boxes fill in persons that annotators left out, and its doubts become regions where the
student's scores are not punished.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from passerby import geometry
from passerby.formats.metadata import NmsRecipe

INPUT_SIDE = 416
STRIDES = (8, 16, 32, 64)
BINS = 8
MEAN_RGB = (123.675, 116.28, 103.53)
SCALE_RGB = (1 / 58.395, 1 / 57.12, 1 / 57.375)
NMS_IOU = 0.6

SURE_SCORE = 0.5  # a teacher box from here on counts as a person
DOUBT_SCORE = 0.3  # from here on it is a region without an opinion
SAME_PERSON_IOU = 0.5
PART_SHARE = 0.75  # a box that lies this far inside a marked one may be a part of that person


class PicoDetTeacher:
    """Runs the teacher; holds the ncnn net. Not thread-safe."""

    def __init__(self, param: Path, weights: Path, *, threads: int = 1) -> None:
        self._ncnn: Any = importlib.import_module("ncnn")
        self._net = self._ncnn.Net()
        self._net.opt.num_threads = threads
        self._net.load_param(str(param))
        self._net.load_model(str(weights))

    def boxes(
        self, image_rgb: NDArray[np.uint8], *, score: float = 0.05
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes (N, 4) as fractions of the picture and scores (N,) of persons in a (H, W, 3) uint8 RGB picture."""
        square = image_rgb
        if square.shape[:2] != (INPUT_SIDE, INPUT_SIDE):
            square = np.asarray(cv2.resize(square, (INPUT_SIDE, INPUT_SIDE)), np.uint8)
        mat = self._ncnn.Mat.from_pixels(
            np.ascontiguousarray(square), self._ncnn.Mat.PixelType.PIXEL_RGB, INPUT_SIDE, INPUT_SIDE
        )
        mat.substract_mean_normalize(list(MEAN_RGB), list(SCALE_RGB))
        extractor = self._net.create_extractor()
        extractor.input("image", mat)
        found = [self._level(extractor, level, score) for level in range(len(STRIDES))]
        boxes = np.concatenate([f[0] for f in found])
        scores = np.concatenate([f[1] for f in found])
        keep = suppress(boxes, scores, iou=NMS_IOU)
        return (boxes[keep] / INPUT_SIDE).clip(0, 1).astype(np.float32), scores[keep].astype(np.float32)

    def _level(self, extractor: Any, level: int, score: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        person, boxes = level_cells(extractor, level, INPUT_SIDE)
        return boxes[person > score], person[person > score]


def level_cells(extractor: Any, level: int, side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the teacher says in every cell of one level: scores (cells,) of a person, boxes (cells, 4) in pixels.

    Args:
        extractor: ncnn's, with a square input of `side` pixels.
        level: place in `STRIDES`.
    """
    _, classes = extractor.extract(f"save_infer_model/scale_{level}.tmp_1")
    _, sides = extractor.extract(f"save_infer_model/scale_{level + 4}.tmp_1")
    logits = np.array(sides, np.float32).reshape(-1, 4, BINS)
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    distances = (weights @ np.arange(BINS, dtype=np.float32)) / weights.sum(axis=2) * STRIDES[level]
    centres = cell_centres(side, STRIDES[level])
    boxes = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
    return np.array(classes, np.float32).reshape(-1, 80)[:, 0].copy(), boxes.astype(np.float32)


def cell_centres(side: int, stride: int) -> NDArray[np.float32]:
    """(cells, 2) x, y in pixels of the cells of one level, rows first."""
    count = -(-side // stride)
    ys, xs = np.divmod(np.arange(count * count), count)
    return ((np.stack([xs, ys], axis=1) + 0.5) * stride).astype(np.float32)


def inside_share(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Share of every box of `a` (N, 4) that lies in every box of `b` (M, 4): (N, M)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    area = (a[:, 2:] - a[:, :2]).prod(axis=1)[:, None]
    return np.asarray((high - low).clip(0).prod(axis=2) / np.maximum(area, 1e-12), np.float32)


def suppress(boxes: NDArray[np.float32], scores: NDArray[np.float32], *, iou: float) -> NDArray[np.intp]:
    """Every box (scores above 0) that suppression keeps, best first: a box goes when its IoU is above `iou`."""
    return geometry.nms(boxes, scores, NmsRecipe(score_threshold=0.0, top_k=-1, iou_threshold=iou, keep_top_k=-1))


def merge_truth(
    marked: NDArray[np.float32] | None, teacher: NDArray[np.float32], scores: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Persons to learn and regions to ignore, from boxes that people marked and boxes of the teacher.

    Args:
        marked: (M, 4) boxes drawn by people; None when nobody looked for persons.
        teacher: (T, 4) teacher boxes, same unit.
        scores: (T,) teacher scores.
    Returns:
        persons (P, 4): all marked boxes, then sure teacher boxes that overlap none; ignored (I, 4): doubtful
        ones, and those that may be a part of a marked person.
    """
    single = suppress(teacher, scores, iou=SAME_PERSON_IOU)
    teacher, scores = teacher[single], scores[single]
    known = np.zeros((0, 4), np.float32) if marked is None else marked
    new = np.ones(len(teacher), bool)
    part = np.zeros(len(teacher), bool)
    if len(known) and len(teacher):
        new = geometry.iou(teacher, known).max(axis=1) < SAME_PERSON_IOU
        part = inside_share(teacher, known).max(axis=1) > PART_SHARE
    sure = (scores >= SURE_SCORE) & ~part
    persons = np.concatenate([known, teacher[new & sure]])
    return persons, teacher[new & (scores >= DOUBT_SCORE) & ~sure]


def save_teacher_boxes(path: Path, found: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> None:
    """Store boxes and scores of all photos as flat arrays with the number of each photo."""
    counts = np.array([len(scores) for _, scores in found], np.int64)
    boxes = np.concatenate([boxes for boxes, _ in found])
    np.savez_compressed(path, counts=counts, boxes=boxes, scores=np.concatenate([scores for _, scores in found]))


def load_teacher_boxes(path: Path) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """What `save_teacher_boxes` stored, one (boxes, scores) pair a photo."""
    with np.load(path) as stored:
        ends = np.cumsum(stored["counts"])[:-1]
        return list(zip(np.split(stored["boxes"], ends), np.split(stored["scores"], ends), strict=True))
