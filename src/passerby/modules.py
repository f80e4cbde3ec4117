"""The stages on their own, as `create_model` gives them: a detector, or a classifier for crops that exist already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from . import engines, sources
from .attributes import AttributeClassifier
from .detector import Detector
from .devices import parse_device
from .models.load import load_model
from .persons import label_text, named
from .pipeline import frame_result, results
from .result import LabelScore, Person, Result
from .thresholds import ClassThreshold, class_thresholds, one_threshold
from .types import ImageBgr


def create_model(
    model_name: str,
    model_dir: str | Path | None = None,
    *,
    device: str | None = None,
    threshold: ClassThreshold | None = None,
) -> DetectionModel | ClassificationModel:
    """Make one stage.

    Args:
        model_name: a name of the catalogue (`passerby models list`).
        model_dir: a folder in Paddle's layout, a .pdparams file or one of our .onnx files; default the catalogue's.
        device: as in `create_pipeline`.
        threshold: default of `predict`.
    Raises:
        ModelError, EngineError, ArgumentError.
    """
    model = load_model(model_name, None if model_dir is None else Path(model_dir))
    where = parse_device(device) or engines.default_device()
    if model.metadata.kind == "detector":
        return DetectionModel(Detector(model, device=where), threshold=threshold)
    return ClassificationModel(AttributeClassifier(model, device=where), threshold=threshold)


class DetectionModel:
    """Pictures in, boxes out."""

    def __init__(self, detector: Detector, *, threshold: ClassThreshold | None) -> None:
        self._detector = detector
        self._threshold = self._checked(detector.metadata.thresholds[0] if threshold is None else threshold)

    @staticmethod
    def _checked(threshold: object) -> float:
        return one_threshold(threshold, what="threshold")

    def predict(self, input: object, *, threshold: float | None = None) -> Iterator[Result]:
        """One `Result` of kind "detection" a picture; inputs and errors as in `Pipeline.predict`."""
        least = self._threshold if threshold is None else self._checked(threshold)
        labels = self._detector.metadata.labels

        def answer(frame: sources.Frame) -> Result:
            return frame_result(frame, self._persons(frame.image_bgr, least), labels, "detection")

        return results(sources.frames(input), answer, strict=sources.is_single(input))

    def _persons(self, image_bgr: ImageBgr, threshold: float) -> tuple[Person, ...]:
        found = self._detector.detect(image_bgr, threshold=threshold)
        labels = self._detector.metadata.labels
        texts = [label_text(label, "paddle") for label in labels]
        return tuple(
            Person(
                box_xyxy=found.boxes_xyxy[i],
                score=float(found.scores[i]),
                labels=(LabelScore(id=labels[k].id, text=texts[k], score=float(found.scores[i])),),
                colours={},
                probabilities=None,
                note=None,
            )
            for i, k in enumerate(found.class_ids)
        )


class ClassificationModel:
    """Crops of one person each in, attributes out."""

    def __init__(self, classifier: AttributeClassifier, *, threshold: ClassThreshold | None) -> None:
        self._classifier = classifier
        self._threshold = self._checked(threshold)

    def _checked(self, threshold: ClassThreshold | None) -> np.ndarray:
        stored, labels = self._classifier.metadata, self._classifier.labels
        return class_thresholds(
            {} if threshold is None else threshold,
            label_ids=[label.id for label in labels],
            defaults=[stored.thresholds[i] for i in stored.attribute_places],
            what="threshold",
        )

    def predict(self, input: object, *, threshold: ClassThreshold | None = None) -> Iterator[Result]:
        """One `Result` of kind "classification" a crop; inputs and errors as in `Pipeline.predict`."""
        least = self._threshold if threshold is None else self._checked(threshold)
        labels = self._classifier.labels

        def answer(frame: sources.Frame) -> Result:
            return frame_result(frame, self._persons(frame.image_bgr, least), labels, "classification")

        return results(sources.frames(input), answer, strict=sources.is_single(input))

    def _persons(self, crop_bgr: ImageBgr, thresholds: np.ndarray) -> tuple[Person, ...]:
        probabilities, _ = self._classifier.parted(self._classifier.probabilities([crop_bgr]))
        labels = self._classifier.labels
        texts = [label_text(label, "paddle") for label in labels]
        height, width = crop_bgr.shape[:2]
        return (
            Person(
                box_xyxy=np.array([0, 0, width, height], np.float32),
                score=1.0,
                labels=tuple(named(probabilities, probabilities > thresholds, labels, texts)[0]),
                colours={},
                probabilities=probabilities[0],
                note=None,
            ),
        )
