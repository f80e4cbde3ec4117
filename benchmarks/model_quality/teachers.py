# SPDX-License-Identifier: Apache-2.0
"""The teachers that stand beside our models: a detector and an attribute network, run by their recipes.

Files of a folder that the caller gives; none is part of passerby, and one that is missing leaves its column out.
PicoDet-S 416 is PaddleDetection's (Apache-2.0), person-attributes-recognition-crossroad-0230 is Open Model Zoo's
(Apache-2.0).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from passerby.training.shipped.teacher_boxes import PicoDetTeacher
from passerby.types import ImageBgr

from .crop_sets import AbsentError
from .models import MIN_SCORE, Found

PICODET = ("picodet-s-416.param", "picodet-s-416.bin")
CROSSROAD = ("person-attributes-recognition-crossroad-0230.xml", "person-attributes-recognition-crossroad-0230.bin")
CROSSROAD_OUTPUTS: tuple[str, ...] = (
    "is_male", "has_bag", "has_backpack", "has_hat", "has_longsleeves", "has_longpants", "has_longhair",
    "has_coat_jacket",
)  # fmt: skip
CROSSROAD_WH = (80, 160)
PICODET_THRESHOLD = 0.5
MOST_BOXES = 100


def teacher_files(folders: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """The files of a teacher, from the first folder that holds them all.

    Raises:
        AbsentError: no folder does.
    """
    for folder in folders:
        found = [folder / name for name in names]
        if all(path.is_file() for path in found):
            return found
    raise AbsentError(f"teacher {Path(names[0]).stem}: {' and '.join(names)} in no folder of --teachers")


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Nothing reaches stderr: ncnn writes dozens of lines there on every answer, past Python's streams."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class PicoDet:
    """The person detector. Not thread-safe."""

    threshold = PICODET_THRESHOLD

    def __init__(self, folders: Sequence[Path]) -> None:
        """
        Raises:
            AbsentError: a file or the package `ncnn` is missing.
        """
        param, weights = teacher_files(folders, PICODET)
        try:
            with _silenced():
                self._net = PicoDetTeacher(param, weights, threads=1)
        except ImportError:
            raise AbsentError("teacher picodet-s-416: the package `ncnn` is not installed") from None
        self.bytes = param.stat().st_size + weights.stat().st_size

    def boxes(self, image_bgr: ImageBgr) -> Found:
        """As `models.Finds.boxes`."""
        height, width = image_bgr.shape[:2]
        with _silenced():
            shares, scores = self._net.boxes(np.ascontiguousarray(image_bgr[:, :, ::-1]), score=MIN_SCORE)
        best = np.argsort(-scores, kind="stable")[:MOST_BOXES]
        scale = np.array([width, height, width, height], np.float32)
        return np.asarray(shares[best] * scale, np.float32), scores[best]


class Crossroad:
    """The attribute network; its eight outputs are probabilities already. Not thread-safe."""

    label_ids = CROSSROAD_OUTPUTS

    def __init__(self, folders: Sequence[Path]) -> None:
        """
        Raises:
            AbsentError: a file or the package `openvino` is missing.
        """
        description, weights = teacher_files(folders, CROSSROAD)
        try:
            openvino: Any = importlib.import_module("openvino")
        except ImportError:
            raise AbsentError("teacher crossroad-0230: the package `openvino` is not installed") from None
        options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        self._network = openvino.Core().compile_model(str(description), "CPU", options)
        outputs = [output for output in self._network.outputs if output.shape[1] == len(CROSSROAD_OUTPUTS)]
        self._output = outputs[0]
        self.bytes = description.stat().st_size + weights.stat().st_size
        self.key = hashlib.sha256(description.read_bytes() + weights.read_bytes() + b" stretched, BGR").hexdigest()

    def probabilities(self, crops_bgr: list[ImageBgr]) -> NDArray[np.float32]:
        """(N, 8); each crop stretched to 80 x 160, BGR 0..255, one at a time as the network was made."""
        return np.stack([self._one(pixels) for pixels in crops_bgr])

    def _one(self, pixels: ImageBgr) -> NDArray[np.float32]:
        stretched = cv2.resize(pixels, CROSSROAD_WH)
        tensor = stretched.transpose(2, 0, 1)[None].astype(np.float32)  # (1, 3, 160, 80)
        return np.asarray(self._network([tensor])[self._output], np.float32).ravel().copy()


# what both can say: the question, our labels (any of them), the teacher's output, whether that is the opposite
SHARED = (
    ("female", ("female",), "is_male", True),
    ("bag in hand or over a shoulder", ("hand_bag", "shoulder_bag"), "has_bag", False),
    ("backpack", ("backpack",), "has_backpack", False),
    ("hat", ("hat",), "has_hat", False),
    ("long_sleeve", ("long_sleeve",), "has_longsleeves", False),
    ("trousers", ("trousers",), "has_longpants", False),
    ("long_coat (theirs: any coat or jacket)", ("long_coat",), "has_coat_jacket", False),
)


def any_probability(probabilities: NDArray[np.float32], columns: list[int]) -> NDArray[np.float64]:
    """(N,) probability that at least one label holds, the labels taken as independent."""
    return np.asarray(1 - np.prod(1 - probabilities[:, columns].astype(np.float64), axis=1))


def any_target(targets: NDArray[np.int8], columns: list[int]) -> NDArray[np.int8]:
    """(N,) 1 where one label holds, 0 where none does, -1 where that cannot be told."""
    chosen = targets[:, columns]
    return np.where((chosen == 1).any(axis=1), 1, np.where((chosen == 0).all(axis=1), 0, -1)).astype(np.int8)
