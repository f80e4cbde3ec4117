"""The first stage: a frame in, the boxes of its pedestrians out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import engines, geometry, preprocess
from .devices import Device
from .errors import EngineError, ModelError
from .models.load import LoadedModel
from .types import BoxesXyxy, ImageBgr, Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """Boxes of one frame, best first.

    Attributes:
        boxes_xyxy: (N, 4) float32, frame pixels, clipped to the frame, every box with an area.
        scores: (N,) float32.
        class_ids: (N,) int64, row numbers of the model's labels.
    """

    boxes_xyxy: BoxesXyxy
    scores: Scores
    class_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)


class Detector:
    """A detection network and its recipe. Safe to use from several threads."""

    def __init__(self, model: LoadedModel, *, device: Device, threads: int | None = None) -> None:
        """
        Raises:
            ModelError: `model_mismatch`, the model is no detector.
            EngineError: the device is missing or the engine does not load the model.
        """
        if model.metadata.kind != "detector":
            raise ModelError("model_mismatch", f"{model.metadata.name} finds no boxes", input=model.source)
        self.metadata = model.metadata
        self._engine = engines.load(model.model_bytes, device=device, spread="inside", threads=threads)

    def raw(self, image_bgr: ImageBgr) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the network says, before suppression.

        Returns:
            boxes (A, 4) float32 in frame pixels, not clipped; scores (C, A) float32.
        """
        height, width = image_bgr.shape[:2]
        recipe = self.metadata.input
        outputs = self._engine.run({"image": preprocess.to_network_input(image_bgr, recipe)})
        boxes, scores = outputs["boxes"][0], outputs["scores"][0]
        if not np.isfinite(scores).all():
            raise EngineError("engine_failed", "the detector answered with numbers that are not finite")
        # The real system scales first and only then suppresses.
        network_hw = (recipe.height, recipe.width)
        return geometry.scale_boxes(boxes, network_hw=network_hw, image_hw=(height, width)), scores

    def detect(self, image_bgr: ImageBgr, *, threshold: float) -> Detections:
        """Find the pedestrians of one frame.

        Args:
            image_bgr: (H, W, 3) uint8, BGR.
            threshold: a box is kept when its score is strictly above.
        Source: `multiclass_nms3`, then the threshold, then clipping, in PaddleX's order.
        """
        height, width = image_bgr.shape[:2]
        found = geometry.multiclass_nms(*self.raw(image_bgr), self.metadata.nms)
        above = found.scores > np.float32(threshold)
        boxes = geometry.clip_boxes(found.boxes_xyxy[above], image_hw=(height, width))
        whole = geometry.has_area(boxes)
        return Detections(
            boxes_xyxy=boxes[whole],
            scores=found.scores[above][whole],
            class_ids=found.class_ids[above][whole],
        )
