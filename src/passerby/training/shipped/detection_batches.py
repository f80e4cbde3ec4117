# SPDX-License-Identifier: Apache-2.0
"""Batches for the detector, each a pure function of seed and iteration: a resumed run sees what it would have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from passerby.training.detection.assigner import GroundTruth
from passerby.training.shipped.detection_augment import AugmentOptions, Example, augment_mosaic, augment_one
from passerby.training.shipped.detection_data import Packed, load_packed
from passerby.training.shipped.teacher_boxes import load_teacher_boxes, merge_truth
from passerby.training.shipped.teacher_maps import TeacherMaps

# How often a photo of a source is drawn. ccp shows one kind of person; the vehicle and indoor sets are mostly empty.
SOURCE_WEIGHTS: Mapping[str, float] = {
    "human_oi_coco": 1.0,
    "coco128": 1.0,
    "tiny_coco": 1.0,
    "oi_streets": 2.0,
    "oi_mixed": 0.4,
    "oi_vehicles": 0.4,
    "ccp": 0.25,
    "oi_people": 1.2,
    "coco_nist": 1.0,
    "coco_serverless": 1.0,
}
HALF_UP_TO = 176  # px; input sizes from here down read the half-size photos


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Part of the schedule: iterations, input sizes drawn from (px), and how to augment."""

    iterations: int
    sizes: tuple[int, ...]
    augment: AugmentOptions = field(default_factory=AugmentOptions)


class DetectionBatches(Dataset[tuple[Tensor, ...]]):
    """Item i is the whole batch of iteration i. Opens the photos lazily, so that it can go to a worker process."""

    def __init__(
        self,
        packed_dir: Path,
        teacher_file: Path,
        *,
        stages: Sequence[Stage],
        batch_size: int,
        seed: int,
        dense_teacher: Path | None = None,
    ) -> None:
        """`dense_teacher`: files of `TeacherMaps`, whose maps are then appended to every batch."""
        self.packed_dir, self.teacher_file, self.dense_teacher = packed_dir, teacher_file, dense_teacher
        self._maps: TeacherMaps | None = None
        self.stages, self.batch_size, self.seed = tuple(stages), batch_size, seed
        self._photos: tuple[Packed, list[Example | None], NDArray[np.int64], NDArray[np.float64]] | None = None

    def __len__(self) -> int:
        return sum(stage.iterations for stage in self.stages)

    def stage_of(self, iteration: int) -> Stage:
        """The stage that an iteration belongs to."""
        end = 0
        for stage in self.stages:
            end += stage.iterations
            if iteration < end:
                return stage
        return self.stages[-1]

    def __getitem__(self, iteration: int) -> tuple[Tensor, ...]:
        stage = self.stage_of(iteration)
        random = np.random.default_rng((self.seed, iteration))
        size = int(random.choice(stage.sizes))
        examples = [self._example(size, stage.augment, random) for _ in range(self.batch_size)]
        images = torch.from_numpy(np.stack([e.image_rgb for e in examples]))
        batch = (images, *_padded([e.persons for e in examples]), *_padded([e.ignored for e in examples]))
        if self.dense_teacher is None:
            return batch
        if self._maps is None:
            self._maps = TeacherMaps(self.dense_teacher)
        return (*batch, *self._maps.batch([e.image_rgb for e in examples]))

    def _example(self, size: int, options: AugmentOptions, random: np.random.Generator) -> Example:
        if random.random() < options.mosaic:
            photos = [self._photo(size, random) for _ in range(4)]
            return augment_mosaic(photos, size=size, options=options, random=random)
        return augment_one(self._photo(size, random), size=size, options=options, random=random)

    def _photo(self, size: int, random: np.random.Generator) -> Example:
        if self._photos is None:
            self._photos = self._open()
        packed, truths, rows, shares = self._photos
        row = int(rows[np.searchsorted(shares, random.random(), side="right")])
        truth = truths[row]
        assert truth is not None
        pixels = packed.half if size <= HALF_UP_TO else packed.pixels
        side = pixels.shape[1]
        return Example(image_rgb=np.asarray(pixels[row]), persons=truth.persons * side, ignored=truth.ignored * side)

    def _open(self) -> tuple[Packed, list[Example | None], NDArray[np.int64], NDArray[np.float64]]:
        cv2.setNumThreads(1)  # pictures this small lose more to OpenCV's threads than they gain
        packed = load_packed(self.packed_dir)
        teacher = load_teacher_boxes(self.teacher_file)
        rows = np.array(packed.indices("train"), np.int64)
        truths: list[Example | None] = [None] * len(packed.rows)
        nothing = np.zeros((0, 0, 3), np.uint8)
        for row in rows:
            persons, ignored = merge_truth(marked_boxes(packed, int(row)), *teacher[row])
            truths[row] = Example(image_rgb=nothing, persons=persons, ignored=ignored)  # still fractions
        weights = np.array([SOURCE_WEIGHTS[str(packed.rows[row]["source"])] for row in rows])
        return packed, truths, rows, np.cumsum(weights / weights.sum()).clip(max=1.0)


def marked_boxes(packed: Packed, row: int) -> NDArray[np.float32] | None:
    """Boxes that people marked in a packed photo, (N, 4) fractions; None when nobody looked for persons."""
    boxes = packed.rows[row]["boxes"]
    return None if boxes is None else np.array(boxes, np.float32).reshape(-1, 4)


def _padded(boxes: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    most = max((len(b) for b in boxes), default=0)
    padded = torch.zeros(len(boxes), most, 4)
    valid = torch.zeros(len(boxes), most, dtype=torch.bool)
    for index, values in enumerate(boxes):
        padded[index, : len(values)] = torch.from_numpy(values)
        valid[index, : len(values)] = True
    return padded, valid


def ground_truth(boxes: Tensor, valid: Tensor) -> GroundTruth:
    """Persons (all of class 0) as the assigners want them."""
    return GroundTruth(boxes=boxes, classes=torch.zeros(boxes.shape[:2], dtype=torch.int64), valid=valid)
