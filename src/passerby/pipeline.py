"""Where the stages meet: source -> Frame -> detect -> crop -> classify -> Person -> Result.

Reads top to bottom in that order. Nothing here decodes, computes or writes by itself.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from . import config as configuration
from . import engines, sources
from .attributes import AttributeClassifier, Classified
from .compat import paddlex
from .detector import Detector
from .devices import Device, parse_device
from .errors import ArgumentError, EngineError, InputError, shown
from .fetch import FetchPolicy
from .formats.metadata import Label
from .models.load import LoadedModel, load_model
from .persons import LabelStyle, describe, label_text, vocabulary_of
from .result import Kind, Person, Picture, Result
from .thresholds import ClassThreshold, class_thresholds, one_threshold
from .types import BoxesXyxy, Scores

OnError = Literal["raise", "record"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What one call of `predict` asked for, checked.

    Attributes:
        cls_thresholds: (C,) of the caller or the configuration; None: the model decides.
        texts: (C,) names of the labels.
    """

    det_threshold: float
    cls_thresholds: Scores | None
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Both networks on one device, in one process."""

    detector: Detector
    classifier: AttributeClassifier


def create_pipeline(
    pipeline: str | Path | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    device: str | None = None,
    use_hpip: bool | None = None,
    hpi_config: Mapping[str, Any] | None = None,
) -> Pipeline:
    """Make a pipeline from its name, a YAML file or a mapping with the same keys.

    Args:
        pipeline: a name (`pedestrian_attribute_recognition`) or the path of a YAML file; default that name.
        config: the content of such a file; wins over `pipeline`.
        device: `cpu`, `gpu`, `gpu:0`, ... or None for GPU 0 when the installed engine has one, else the CPU.
        use_hpip, hpi_config: high-performance mode and its settings; default what the file says.
    Raises:
        ConfigError, ModelError, EngineError, ArgumentError.
    """
    source = config if config is not None else (pipeline or paddlex.PIPELINE_NAME)
    loaded = configuration.load_pipeline_config(source)
    return Pipeline(loaded, device=device, use_hpip=use_hpip, hpi_config=hpi_config)


class Pipeline:
    """Finds and describes the pedestrians of pictures.

    Safe to use from several threads; the answers are those of one thread, to the bit. Pickling keeps the recipe
    (configuration and device), and engines are made anew in every process, so fork and spawn both work.
    """

    def __init__(
        self,
        config: configuration.PipelineConfig,
        *,
        device: str | None = None,
        use_hpip: bool | None = None,
        hpi_config: Mapping[str, Any] | None = None,
    ) -> None:
        self._config = config
        self._device = parse_device(device) or engines.default_device()
        self._use_hpip = config.use_hpip if use_hpip is None else use_hpip
        self._hpi_config = hpi_config
        if self._use_hpip:
            log.warning("use_hpip: onnxruntime is the only engine of this version, so it is used as in normal mode")
        self._lock = threading.Lock()
        self._stages: dict[tuple[int, Device], Stages] = {}
        det, cls = config.detection, config.classification
        self._detector_model = load_model(det.model_name, det.model_dir, kind="detector")
        self._classifier_model = load_model(cls.model_name, cls.model_dir, kind="attributes")
        self._vocabulary = vocabulary_of(self._classifier_model.metadata)
        self._choices(None, None, "paddle")
        self._stages_on(self._device)

    @property
    def device(self) -> str:
        return str(self._device)

    @property
    def labels(self) -> tuple[Label, ...]:
        """Labels of the attribute model, in the order of all probabilities and decisions."""
        return self._vocabulary.labels

    @property
    def models(self) -> tuple[LoadedModel, LoadedModel]:
        """The detector and the attribute model that run."""
        return self._detector_model, self._classifier_model

    @property
    def det_threshold(self) -> float:
        """Where `predict` keeps boxes when nobody says otherwise."""
        return self._choices(None, None, "paddle").det_threshold

    @property
    def visualize(self) -> bool:
        """Whether the service draws where a request does not say: `Serving.visualize` of the configuration."""
        return bool(self._config.serving.get("visualize", True))

    def __reduce__(self) -> tuple[Any, ...]:
        make = functools.partial(
            Pipeline, device=str(self._device), use_hpip=self._use_hpip, hpi_config=self._hpi_config
        )
        return make, (self._config,)

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the engines. A later call makes them anew."""
        with self._lock:
            self._stages.clear()

    def predict(
        self,
        input: object,
        *,
        device: str | None = None,
        det_threshold: float | None = None,
        cls_threshold: ClassThreshold | None = None,
        batch_size: int | None = None,
        on_error: OnError | None = None,
        labels: LabelStyle = "paddle",
        fetch_policy: FetchPolicy | None = None,
    ) -> Iterator[Result]:
        """Find and describe the pedestrians of one input or of many, lazily and in order.

        Args:
            input: path, URL, folder (walked, sorted), glob, array (H, W, 3) uint8 BGR (also grey and BGRA), PIL image,
                encoded bytes, open binary file, or a list or iterator of these.
            device: where to compute this time; default the pipeline's device.
            det_threshold: boxes are kept when their score is strictly above; default from the configuration (0.5).
            cls_threshold: number, one number a label, or mapping from "default", label number or label id to number;
                labels are kept when their probability is strictly above; default from the configuration (0.7). A
                model with thresholds of its own decides by them where nobody gives any: each label is yes, no or
                uncertain, and `labels` are what it is sure of (docs/uncertainty.md).
            batch_size: frames read ahead; changes no result.
            on_error: "raise" the first error, or "record" each in its place as a result with `error`; default
                "raise" for a single input and "record" for several.
            labels: "paddle" as PaddleX prints them, "en", "zh" or "both".
            fetch_policy: which URLs may be fetched, how long that may take, which certificates are trusted; default
                that of the command line.
        Returns:
            an iterator of one `Result` a picture (a page, in files with pages).
        Raises:
            ArgumentError: at once, for an argument that cannot be right.
            PasserbyError: while iterating, see `on_error`.
        """
        stages = self._stages_on(parse_device(device) or self._device)
        choices = self._choices(det_threshold, cls_threshold, labels)
        size = self._config.detection.batch_size if batch_size is None else _whole(batch_size, "batch_size")
        if on_error not in (None, "raise", "record"):
            raise ArgumentError("bad_argument", f"on_error is {shown(on_error)}", hint='use "raise" or "record"')
        strict = on_error == "raise" or (on_error is None and sources.is_single(input))
        frames = sources.frames(input, fetch_policy=fetch_policy)
        if on_error == "record":
            frames = _recorded(frames)
        return results(frames, lambda frame: self._answer(frame, stages, choices), batch_size=size, strict=strict)

    __call__ = predict

    def classify(
        self,
        image: object,
        boxes: BoxesXyxy | Sequence[Sequence[float]],
        *,
        cls_threshold: ClassThreshold | None = None,
        labels: LabelStyle = "paddle",
    ) -> Result:
        """Describe the persons inside boxes that any detector found.

        Args:
            image: one picture, anything `predict` takes.
            boxes: (N, 4) x1 y1 x2 y2 in pixels of the picture; clipped to it.
        Returns:
            one result whose persons are in the order of the boxes, with score 1.0.
        Raises:
            ArgumentError: the boxes are not (N, 4) finite numbers. InputError: the picture cannot be read.
        """
        given = np.asarray(boxes, np.float32)
        if given.size == 0:
            given = given.reshape(0, 4)
        if given.ndim != 2 or given.shape[1] != 4 or not np.isfinite(given).all():
            raise ArgumentError(
                "bad_argument", f"boxes have the shape {given.shape}", hint="give (N, 4) finite numbers"
            )
        choices = self._choices(None, cls_threshold, labels)
        frame = next(sources.frames(image), None)
        if frame is None:
            raise InputError("input_missing", "no picture was given")
        if isinstance(frame, sources.Failure):
            raise frame.error
        height, width = frame.image_bgr.shape[:2]
        clipped = np.clip(given, 0, np.array([width, height] * 2, np.float32))
        classifier = self._stages_on(self._device).classifier
        found = classifier.classify(frame.image_bgr, clipped)
        return self._result(frame, clipped, np.ones(len(clipped), np.float32), found, choices)

    def _answer(self, frame: sources.Frame, stages: Stages, choices: Choices) -> Result:
        detections = stages.detector.detect(frame.image_bgr, threshold=choices.det_threshold)
        found = stages.classifier.classify(frame.image_bgr, detections.boxes_xyxy)
        return self._result(frame, detections.boxes_xyxy, detections.scores, found, choices)

    def _result(
        self, frame: sources.Frame, boxes: BoxesXyxy, scores: Scores, found: Classified, choices: Choices
    ) -> Result:
        persons = describe(
            boxes, scores, found, self._vocabulary, texts=choices.texts, thresholds=choices.cls_thresholds
        )
        return frame_result(frame, persons, self.labels)

    def _choices(
        self, det_threshold: float | None, cls_threshold: ClassThreshold | None, labels: LabelStyle
    ) -> Choices:
        if labels not in ("paddle", "en", "zh", "both"):
            raise ArgumentError("bad_argument", f"labels is {shown(labels)}", hint='use "paddle", "en", "zh" or "both"')
        finder = self._detector_model.metadata
        det = self._config.detection.threshold if det_threshold is None else det_threshold
        if det_threshold is None and det == configuration.DETECTION_THRESHOLD and finder.own_thresholds:
            det = finder.thresholds[0]
        return Choices(
            det_threshold=one_threshold(det, what="det_threshold"),
            cls_thresholds=self._class_thresholds(cls_threshold),
            texts=tuple(label_text(label, labels) for label in self.labels),
        )

    def _class_thresholds(self, cls_threshold: ClassThreshold | None) -> Scores | None:
        """(C,) the caller's or the configuration's; None for a model that decides by what was measured of it.

        The configuration's stock number gives way to thresholds that were chosen for the model's own labels, so a
        fine-tuned model runs as it was tuned when nothing but `model_dir` changes. `{default: 0.7}` and
        `cls_threshold=0.7` mean 0.7 with every model, and `{}` the model's thresholds as plain numbers.
        """
        metadata = self._classifier_model.metadata
        stock = self._config.classification.threshold
        if cls_threshold is None and stock == configuration.CLASSIFICATION_THRESHOLD and metadata.own_thresholds:
            return None
        attributes = np.flatnonzero(self._vocabulary.attributes)
        thresholds = np.full(len(self.labels), np.inf, np.float32)  # colours are no labels: they never hold
        thresholds[attributes] = class_thresholds(
            stock if cls_threshold is None else cls_threshold,
            label_ids=[self.labels[i].id for i in attributes],
            defaults=self._vocabulary.rules.thresholds[attributes].tolist(),
        )
        return thresholds

    def _stages_on(self, device: Device) -> Stages:
        """The networks on a device, made once a process: an engine's threads do not survive a fork."""
        key = (os.getpid(), device)
        stages = self._stages.get(key)
        if stages is None:
            with self._lock:
                stages = self._stages.get(key)
                if stages is None:
                    stages = self._stages[key] = Stages(
                        detector=Detector(self._detector_model, device=device),
                        classifier=AttributeClassifier(self._classifier_model, device=device),
                    )
        return stages


def results(
    frames: Iterable[sources.Frame | sources.Failure],
    answer: Callable[[sources.Frame], Result],
    *,
    batch_size: int = 1,
    strict: bool,
) -> Iterator[Result]:
    """One result a frame or failure, in order; `strict` raises the first error."""
    waiting = iter(frames)
    while batch := list(itertools.islice(waiting, batch_size)):
        # Each frame is let go when its result has been taken: `item` is what keeps its pixels until then.
        while batch:
            item = batch.pop(0)
            result = _answered(item, answer)
            if strict and result.error is not None:
                raise result.error
            yield result


def _answered(item: sources.Frame | sources.Failure, answer: Callable[[sources.Frame], Result]) -> Result:
    """The answer, or the error that stands in its place."""
    if isinstance(item, sources.Failure):
        return Result(input_path=item.input_path, error=item.error, output_stem=item.output_stem)
    try:
        return answer(item)
    except MemoryError:
        height, width = item.image_bgr.shape[:2]
        name, happened, hint = "out_of_memory", f"not enough memory for {width} x {height} pixels", None
    except EngineError as reason:
        name, happened, hint = reason.name, reason.happened, reason.hint
    error = EngineError(name, happened, input=item.input_path, hint=hint)
    return Result(input_path=item.input_path, page_index=item.page_index, error=error, output_stem=item.output_stem)


def frame_result(
    frame: sources.Frame, persons: tuple[Person, ...], labels: tuple[Label, ...], kind: Kind = "pipeline"
) -> Result:
    """What was found on a frame, with the way back to its pixels."""
    height, width = frame.image_bgr.shape[:2]
    return Result(
        input_path=frame.input_path,
        page_index=frame.page_index,
        size_wh=(width, height),
        persons=persons,
        labels=labels,
        kind=kind,
        output_stem=frame.output_stem,
        suffix=frame.suffix,
        picture=Picture.of(frame.image_bgr, frame.reread),
    )


def _recorded(frames: Iterator[sources.Frame | sources.Failure]) -> Iterator[sources.Frame | sources.Failure]:
    """The frames; an error of the input as a whole, such as an empty folder, in the place of its first frame."""
    try:
        yield from frames
    except InputError as error:
        yield sources.Failure(error=error, input_path=error.input, page_index=None, index=0, output_stem="input")


def _whole(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= int(value) <= 4096:
        raise ArgumentError(
            "bad_argument", f"{what} is {shown(repr(value))}", hint="give a whole number from 1 to 4096"
        )
    return int(value)
