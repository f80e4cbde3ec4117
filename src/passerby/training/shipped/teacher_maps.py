# SPDX-License-Identifier: Apache-2.0
"""What the teacher PicoDet-S sees everywhere in a picture: feature maps, scores and boxes of every cell.

Beside its boxes (`teacher_boxes`) these dense maps are what `detection_distil` copies. Runs in the loader's process, on
the very picture that the student gets. Needs ncnn, as `teacher_boxes` does.
"""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .teacher_boxes import MEAN_RGB, SCALE_RGB, cell_centres, level_cells

LEVEL_STRIDES = (32, 16, 8)  # the student's order; the teacher's fourth level, stride 64, has no counterpart
BACKBONE = ("reshape2_19.tmp_0", "reshape2_15.tmp_0", "reshape2_3.tmp_0")
NECK = ("hardswish_30.tmp_0", "hardswish_22.tmp_0", "hardswish_14.tmp_0")
CHANNELS = (384, 192, 96, 96, 96, 96)  # of BACKBONE, then NECK
_SQUEEZE = re.compile(r"^Convolution(\s+\S+\s+1 1 (?:pool2d_[1-9]\d*|relu_\d+)\.tmp_0 \S+) 0=(\d+) .* 5=1 6=(\d+)")


class TeacherMaps:
    """The teacher, for training pictures of any size that is a multiple of 32. Not thread-safe."""

    def __init__(self, files: Path) -> None:
        """Read `<files>.param` and `<files>.bin`."""
        ncnn: Any = importlib.import_module("ncnn")
        self._mat = ncnn.Mat
        self._net = ncnn.Net()
        self._net.opt.num_threads = 1
        with tempfile.NamedTemporaryFile("w", suffix=".param") as param:
            param.write(_with_inner_products(Path(f"{files}.param").read_text(encoding="utf-8")))
            param.flush()
            self._net.load_param(param.name)
        self._net.load_model(f"{files}.bin")

    def batch(self, images_rgb: Sequence[NDArray[np.uint8]]) -> tuple[Tensor, ...]:
        """Maps of N pictures (S, S, 3).

        Returns:
            six feature maps (N, C, H, W) float16, backbone then neck, strides 32, 16, 8; scores (N, A) float32 of a
            person in every cell, in the order of the student's anchors; boxes (N, A, 4) float32 pixels x1 y1 x2 y2;
            known (N, A) bool, False inside a person that only the level of stride 64 claims.
        """
        found = [self._one(image) for image in images_rgb]
        return tuple(torch.from_numpy(np.stack(parts)) for parts in zip(*found, strict=True))

    def _one(self, image_rgb: NDArray[np.uint8]) -> tuple[NDArray[Any], ...]:
        side = image_rgb.shape[0]
        pixels = (image_rgb.astype(np.float32) - np.array(MEAN_RGB, np.float32)) * np.array(SCALE_RGB, np.float32)
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))  # ncnn reads this memory until the last extraction
        extractor = self._net.create_extractor()
        extractor.input("image", self._mat(planes))
        # in the order in which the network computes them: ncnn frees a map as soon as all later layers have used it
        maps = {name: np.array(extractor.extract(name)[1]) for name in (*BACKBONE[::-1], *NECK[::-1])}
        *levels, (coarse_scores, coarse_boxes) = [level_cells(extractor, level, side) for level in range(4)]
        scores = np.concatenate([s for s, _ in levels[::-1]])
        boxes = np.concatenate([b for _, b in levels[::-1]])
        known = np.ones(len(scores), bool)
        centres = np.concatenate([cell_centres(side, stride) for stride in LEVEL_STRIDES])
        for x1, y1, x2, y2 in coarse_boxes[coarse_scores > 0.3]:
            x, y = centres[:, 0], centres[:, 1]
            known &= ~((x > x1) & (x < x2) & (y > y1) & (y < y2))
        halves = (maps[name].astype(np.float16) for name in (*BACKBONE, *NECK))
        return (*halves, scores, boxes, known)


def _with_inner_products(param: str) -> str:
    """The teacher's layers after a global mean as what they are; ncnn complains about each of them in every call."""
    return "\n".join(_SQUEEZE.sub(r"InnerProduct\1 0=\2 1=1 2=\3", line) for line in param.split("\n"))
