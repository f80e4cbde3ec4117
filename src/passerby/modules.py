"""The stages on their own, as `create_model` gives them: a detector, or a classifier for crops that exist already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from . import engines, sources
from .attributes import AttributeClassifier
from .compat import paddlex
from .detector import Detector
from .devices import parse_device
from .errors import EngineError
from .formats.metadata import Label
from .models.load import load_model
from .result import LabelScore, Person, Picture, Result
from .thresholds import ClassThreshold, class_thresholds, one_threshold
from .types import ImageBgr

# The original's defaults for a model on its own, where the model says nothing.
DETECTION_THRESHOLD = 0.5


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
        self._threshold = self._checked(DETECTION_THRESHOLD if threshold is None else threshold)

    @staticmethod
    def _checked(threshold: object) -> float:
        return one_threshold(threshold, what="threshold")

    def predict(self, input: object, *, threshold: float | None = None) -> Iterator[Result]:
        """One `Result` of kind "detection" a picture; inputs and errors as in `Pipeline.predict`."""
        least = self._threshold if threshold is None else self._checked(threshold)
        return _results(input, lambda image: self._persons(image, least), self._detector.metadata.labels, "detection")

    def _persons(self, image_bgr: ImageBgr, threshold: float) -> tuple[Person, ...]:
        found = self._detector.detect(image_bgr, threshold=threshold)
        labels = self._detector.metadata.labels
        return tuple(
            Person(
                box_xyxy=found.boxes_xyxy[i],
                score=float(found.scores[i]),
                labels=(_label_score(labels[found.class_ids[i]], float(found.scores[i])),),
                colours={},
                probabilities=None,
                note=None,
            )
            for i in range(len(found))
        )


class ClassificationModel:
    """Crops of one person each in, attributes out."""

    def __init__(self, classifier: AttributeClassifier, *, threshold: ClassThreshold | None) -> None:
        self._classifier = classifier
        self._threshold = self._checked(threshold)

    def _checked(self, threshold: ClassThreshold | None) -> np.ndarray:
        defaults = self._classifier.metadata.thresholds
        given = {} if threshold is None else threshold
        return class_thresholds(given, label_ids=self._classifier.label_ids, defaults=defaults, what="threshold")

    def predict(self, input: object, *, threshold: ClassThreshold | None = None) -> Iterator[Result]:
        """One `Result` of kind "classification" a crop; inputs and errors as in `Pipeline.predict`."""
        least = self._threshold if threshold is None else self._checked(threshold)
        return _results(
            input, lambda crop: self._persons(crop, least), self._classifier.metadata.labels, "classification"
        )

    def _persons(self, crop_bgr: ImageBgr, thresholds: np.ndarray) -> tuple[Person, ...]:
        probabilities = self._classifier.probabilities([crop_bgr])[0]
        labels = self._classifier.metadata.labels
        kept = [i for i in np.argsort(-probabilities, kind="stable") if probabilities[i] > thresholds[i]]
        height, width = crop_bgr.shape[:2]
        return (
            Person(
                box_xyxy=np.array([0, 0, width, height], np.float32),
                score=1.0,
                labels=tuple(_label_score(labels[i], float(probabilities[i])) for i in kept),
                colours={},
                probabilities=probabilities,
                note=None,
            ),
        )


def _label_score(label: Label, score: float) -> LabelScore:
    return LabelScore(id=label.id, text=paddlex.label_string(label), score=score)


def _results(
    input: object,
    describe: Callable[[ImageBgr], tuple[Person, ...]],
    labels: tuple[Label, ...],
    kind: str,
) -> Iterator[Result]:
    strict = sources.is_single(input)
    for frame in sources.frames(input):
        if isinstance(frame, sources.Failure):
            result = Result(input_path=frame.input_path, error=frame.error, output_stem=frame.output_stem)
        else:
            result = _described(frame, describe, labels, kind)
        if strict and result.error is not None:
            raise result.error
        yield result


def _described(
    frame: sources.Frame,
    describe: Callable[[ImageBgr], tuple[Person, ...]],
    labels: tuple[Label, ...],
    kind: str,
) -> Result:
    height, width = frame.image_bgr.shape[:2]
    try:
        persons = describe(frame.image_bgr)
    except EngineError as reason:
        error = EngineError(reason.name, reason.happened, input=frame.input_path, hint=reason.hint)
        return Result(input_path=frame.input_path, error=error, output_stem=frame.output_stem)
    return Result(
        input_path=frame.input_path,
        page_index=frame.page_index,
        size_wh=(width, height),
        persons=persons,
        labels=labels,
        kind="detection" if kind == "detection" else "classification",
        output_stem=frame.output_stem,
        suffix=frame.suffix,
        picture=Picture.of(frame.image_bgr, frame.reread),
    )
