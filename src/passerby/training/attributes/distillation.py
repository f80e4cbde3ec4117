# SPDX-License-Identifier: Apache-2.0
"""A teacher for the attribute task: any model file that inference can load, and which of its labels are ours."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...attributes import AttributeClassifier
from ...datasets.records import AttributeSample
from ...devices import Device
from ...errors import ModelError
from ...formats.metadata import Label
from ...models.load import load_path
from ...types import ImageBgr
from .crops import CropReader

log = logging.getLogger(__name__)

NO_OPINION = -1.0


class Teacher:
    """Probabilities of another model under the student's labels.

    Labels are matched by id. Where no id is shared but the number of labels is the same, they are matched by place:
    the files of the original carry no ids. What the teacher does not know is `NO_OPINION`.

    Runs on the CPU. Its engine is made in the process that asks for it, so a task may travel into worker processes.
    """

    def __init__(self, path: Path, labels: Sequence[Label]) -> None:
        """
        Raises:
            ModelError: the file is no attribute model, or has nothing in common with the labels.
        """
        self._model = load_path(path, name=path.stem or "teacher")
        if self._model.metadata.kind != "attributes":
            raise ModelError("model_mismatch", "the teacher is no attribute model", input=str(path))
        self.matched, self._places = _matched(labels, self._model.metadata.labels, str(path))
        self._engine: tuple[int, AttributeClassifier] | None = None

    def probabilities(self, crops_bgr: list[ImageBgr]) -> NDArray[np.float32]:
        """(N, C) float32 of crops (h, w, 3) uint8 BGR of any size, `NO_OPINION` in the columns of unknown labels."""
        out = np.full((len(crops_bgr), len(self.matched)), NO_OPINION, np.float32)
        out[:, self.matched] = self._classifier().probabilities(crops_bgr)[:, self._places]
        return out

    def of_samples(self, samples: Sequence[AttributeSample], reader: CropReader) -> NDArray[np.float32]:
        """(N, C) float32 for whole crops, once for the run; rows of unreadable pictures are `NO_OPINION`."""
        out = np.full((len(samples), len(self.matched)), NO_OPINION, np.float32)
        for number, pixels in reader.readable(samples, left_out={}):
            out[number] = self.probabilities([pixels])[0]
            if (number + 1) % 1000 == 0:
                log.info("teacher: crops=%d of=%d", number + 1, len(samples))
        self.rest()
        return out

    def rest(self) -> None:
        """Give the engine's memory and threads back; the next question makes a new one."""
        self._engine = None

    def _classifier(self) -> AttributeClassifier:
        if self._engine is None or self._engine[0] != os.getpid():
            self._engine = (os.getpid(), AttributeClassifier(self._model, device=Device("cpu"), threads=1))
        return self._engine[1]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_engine": None}


def _matched(ours: Sequence[Label], theirs: Sequence[Label], input: str) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which of our labels the teacher knows, (C,) bool, and where those stand in its outputs, int64."""
    place = {label.id: number for number, label in enumerate(theirs)}
    found = np.array([label.id in place for label in ours], bool)
    if not found.any() and len(ours) == len(theirs):
        return np.ones(len(ours), bool), np.arange(len(ours), dtype=np.int64)
    if not found.any():
        happened = f"the teacher has {len(theirs)} labels, the data set {len(ours)}, and no id is in both"
        raise ModelError("model_mismatch", happened, input=input, hint="give the labels the teacher's ids")
    return found, np.array([place[label.id] for label in ours if label.id in place], np.int64)
