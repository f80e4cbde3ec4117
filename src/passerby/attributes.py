"""The second stage: a frame and boxes in, the probability of every attribute of every person out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import engines, preprocess
from .devices import Device
from .errors import EngineError, ModelError
from .models.load import LoadedModel
from .types import BoxesXyxy, ImageBgr, Probabilities

# A person smaller than this on the picture gets probabilities, and a note that they are guesses: at the network's
# 256 x 192 such a crop is blown up more than eightfold.
SMALL_HEIGHT_PX = 32
SMALL_WIDTH_PX = 12
# Network inputs held in memory together: 16 of 256 x 192 are 9 MB.
CROPS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified:
    """What the network says about N persons.

    Attributes:
        probabilities: (N, C) float32, without the output that judges the person; rows of persons without pixels are 0
            and `judged` is False there.
        judged: (N,) bool.
        notes: per person "no_pixels", "too_small", "cut_by_frame" or None.
        unclear: (N,) float32, how likely a person cannot be judged, where the model has an output for that.
    """

    probabilities: Probabilities
    judged: NDArray[np.bool_]
    notes: tuple[str | None, ...]
    unclear: Probabilities | None = None


def crop(image_bgr: ImageBgr, box_xyxy: NDArray[np.float32]) -> ImageBgr:
    """The pixels inside a box, a view. Coordinates are cut to whole numbers towards zero, as the original does.

    The view may be empty; coordinates below 0 count as 0.
    """
    x1, y1, x2, y2 = (max(0, int(v)) for v in box_xyxy)
    return image_bgr[y1:y2, x1:x2]


def note_on(
    box_xyxy: NDArray[np.float32],
    pixels: ImageBgr,
    *,
    frame_hw: tuple[int, int],
    smallest_hw: tuple[float, float] = (SMALL_HEIGHT_PX, SMALL_WIDTH_PX),
) -> str | None:
    """Why a person can be judged badly or not at all, or None."""
    height, width = pixels.shape[:2]
    if height == 0 or width == 0:
        return "no_pixels"
    if height < smallest_hw[0] or width < smallest_hw[1]:
        return "too_small"
    x1, y1, x2, y2 = (float(v) for v in box_xyxy)
    if x1 <= 0 or y1 <= 0 or x2 >= frame_hw[1] or y2 >= frame_hw[0]:
        return "cut_by_frame"
    return None


class AttributeClassifier:
    """An attribute network and its recipe. Safe to use from several threads.

    `metadata.labels` are all outputs; `labels` are the attributes, without the one that judges the person.
    """

    def __init__(self, model: LoadedModel, *, device: Device, threads: int | None = None) -> None:
        """
        Raises:
            ModelError: `model_mismatch`, the model is no attribute network.
            EngineError: the device is missing or the engine does not load the model.
        """
        if model.metadata.kind != "attributes":
            raise ModelError("model_mismatch", f"{model.metadata.name} names no attributes", input=model.source)
        self.metadata = model.metadata
        self._places = np.array(model.metadata.attribute_places, np.intp)
        self.labels = tuple(model.metadata.labels[i] for i in self._places)
        self._judge = model.metadata.judgement_place
        # a model that carries its measured smallest height needs no guess of ours
        self._smallest_hw = (SMALL_HEIGHT_PX, SMALL_WIDTH_PX) if model.metadata.judgement is None else (0, 0)
        self._engine = engines.load(model.model_bytes, device=device, spread="across", threads=threads)

    def probabilities(self, crops_bgr: list[ImageBgr]) -> Probabilities:
        """(N, outputs) float32, all of `metadata.labels`, for N crops (h, w, 3) uint8 BGR of at least one pixel."""
        count = len(self.metadata.labels)
        if not crops_bgr:
            return np.zeros((0, count), np.float32)
        parts = [self._batch(crops_bgr[i : i + CROPS_AT_ONCE]) for i in range(0, len(crops_bgr), CROPS_AT_ONCE)]
        out = np.concatenate(parts)
        if not np.isfinite(out).all():
            raise EngineError("engine_failed", "the attribute network answered with numbers that are not finite")
        return out.astype(np.float32, copy=False)

    def _batch(self, crops_bgr: list[ImageBgr]) -> Probabilities:
        recipe = self.metadata.input
        batch = np.empty((len(crops_bgr), 3, recipe.height, recipe.width), np.float32)
        for i, pixels in enumerate(crops_bgr):
            preprocess.to_network_input(pixels, recipe, out=batch[i : i + 1])
        return self._engine.run({"x": batch})["probabilities"]

    def classify(self, image_bgr: ImageBgr, boxes_xyxy: BoxesXyxy) -> Classified:
        """Describe the persons inside the boxes of one frame.

        Args:
            image_bgr: (H, W, 3) uint8, BGR.
            boxes_xyxy: (N, 4) float32, frame pixels; not enlarged before cutting.
        """
        crops = [crop(image_bgr, box) for box in boxes_xyxy]
        frame_hw = (image_bgr.shape[0], image_bgr.shape[1])
        notes = tuple(
            note_on(b, c, frame_hw=frame_hw, smallest_hw=self._smallest_hw)
            for b, c in zip(boxes_xyxy, crops, strict=True)
        )
        judged = np.array([note != "no_pixels" for note in notes], bool)
        out = np.zeros((len(crops), len(self.metadata.labels)), np.float32)
        out[judged] = self.probabilities([c for c, good in zip(crops, judged, strict=True) if good])
        attributes, unclear = self.parted(out)
        return Classified(probabilities=attributes, judged=judged, notes=notes, unclear=unclear)

    def parted(self, outputs: Probabilities) -> tuple[Probabilities, Probabilities | None]:
        """All outputs (N, outputs) as those of `labels` (N, C) and what the output that judges says (N,), if any."""
        return (outputs, None) if self._judge is None else (outputs[:, self._places], outputs[:, self._judge])
