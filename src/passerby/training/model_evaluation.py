# SPDX-License-Identifier: Apache-2.0
"""A model as inference runs it, measured on a split of a data set. Needs no torch.

Any model that loads can be measured, not only ours: the figures are those of the file that the pipeline will run.
`attributes.evaluation` and `detection.evaluation` make the figures; here are the pictures, the engine and the matching
of the model's labels with the data set's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..attributes import AttributeClassifier
from ..datasets.check_pictures import read_picture
from ..datasets.progress import progress_lines
from ..datasets.records import AttributeSample, AttributeSet, DetectionSample, DetectionSet
from ..detector import Detections, Detector
from ..devices import Device
from ..errors import ArgumentError, DatasetError, InputError, ModelError, PasserbyError, shown
from ..formats.metadata import Label, ModelMetadata
from ..models.convert import labels_from_texts
from ..models.load import LoadedModel
from ..types import ImageBgr
from .attributes.evaluation import AttributeFigures, evaluate_attributes, set_thresholds
from .detection.evaluation import DetectionFigures, evaluate_detections

log = logging.getLogger(__name__)

CPU = Device("cpu")
READERS = 2  # threads that decode the next pictures while the engine looks at these
Say = Callable[[str], None]
Sample = AttributeSample | DetectionSample


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOptions:
    """What to measure on.

    Attributes:
        split: `train`, `val` or `test`.
        device: of the engine.
        batch_size: pictures read ahead.
        columns: of `groups.csv`, whose values are measured apart.
        paddle: also the original's figures; attributes only.
        most: so many pictures at most, spread over the split; None all.
    """

    split: str = "val"
    device: Device = CPU
    batch_size: int = 16
    columns: tuple[str, ...] = ()
    paddle: bool = False
    most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredAttributes:
    """What an attribute model said, and what that is worth.

    Attributes:
        samples: the N crops that could be read.
        probabilities: (N, C) float32 in the order of the data set's labels.
        thresholds: (C,) those in force: the data set's, the model's own where that has none.
        left_out: the error of each crop that could not be read, by its file.
    """

    figures: AttributeFigures
    samples: tuple[AttributeSample, ...]
    probabilities: NDArray[np.float32]
    thresholds: NDArray[np.float64]
    left_out: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredDetections:
    """The same of a detector: boxes of each picture, with the data set's class ids."""

    figures: DetectionFigures
    samples: tuple[DetectionSample, ...]
    detections: tuple[Detections, ...]
    left_out: Mapping[str, str]


def measure_attributes(
    model: LoadedModel, data: AttributeSet, options: MeasureOptions, *, say: Say = log.info
) -> MeasuredAttributes:
    """Run an attribute model on the crops of a split.

    Raises:
        DatasetError: `dataset_missing`, there is no such split; `dataset_invalid`, none of its pictures can be read.
        ModelError: `model_mismatch`, the model does not know a label of the data set.
        ArgumentError: `bad_argument`, no such column.
    """
    samples = _samples(data, options)
    places = match_labels(data.label_set.labels, model.metadata.labels, input=model.source)
    classifier = AttributeClassifier(model, device=options.device)
    used: list[AttributeSample] = []
    parts: list[NDArray[np.float32]] = []
    left_out: dict[str, str] = {}
    for chunk in _read(samples, options, left_out, say):
        used += [sample for sample, _ in chunk]  # type: ignore[misc]
        parts.append(classifier.probabilities([pixels for _, pixels in chunk])[:, places])
    _must_have(used, data, options)
    probabilities = np.concatenate(parts)
    thresholds = thresholds_in_force(data, model.metadata, places)
    figures = evaluate_attributes(
        probabilities,
        np.stack([sample.targets for sample in used]),
        data.label_set,
        thresholds=thresholds,
        columns=[{c: sample.columns.get(c, "") for c in options.columns} for sample in used],
        paddle=options.paddle,
    )
    return MeasuredAttributes(
        figures=figures, samples=tuple(used), probabilities=probabilities, thresholds=thresholds, left_out=left_out
    )


def measure_detections(
    model: LoadedModel, data: DetectionSet, options: MeasureOptions, *, say: Say = log.info
) -> MeasuredDetections:
    """Run a detector on the pictures of a split. Errors as of `measure_attributes`."""
    samples = _samples(data, options)
    classes = match_classes(data.classes, model.metadata.labels, input=model.source)
    detector = Detector(model, device=options.device)
    used: list[DetectionSample] = []
    found: list[Detections] = []
    left_out: dict[str, str] = {}
    for chunk in _read(samples, options, left_out, say):
        for sample, pixels in chunk:
            used.append(sample)  # type: ignore[arg-type]
            found.append(_renamed(detector.detect(pixels, threshold=0.0), classes))
    _must_have(used, data, options)
    figures = evaluate_detections(used, found, classes=data.classes)
    return MeasuredDetections(figures=figures, samples=tuple(used), detections=tuple(found), left_out=left_out)


def match_labels(ours: Sequence[Label], theirs: Sequence[Label], *, input: str) -> NDArray[np.int64]:
    """(C,) where each label of the data set stands in a model's outputs.

    Matched by id; by place where no id is shared and the numbers agree, as in files that carry no labels.

    Raises:
        ModelError: `model_mismatch`, with the labels that the model lacks.
    """
    place = {label.id: number for number, label in enumerate(theirs)}
    missing = [label.id for label in ours if label.id not in place]
    if len(missing) == len(ours) == len(theirs):
        log.warning("labels matched by place: the model %s shares no label with the data set", shown(input, 200))
        return np.arange(len(ours), dtype=np.int64)
    if missing:
        names = ", ".join(shown(name, 40) for name in missing[:5]) + (" ..." if len(missing) > 5 else "")
        happened = f"the model has {len(theirs)} labels and lacks {len(missing)} of the data set's: {names}"
        raise ModelError("model_mismatch", happened, input=input, hint="see `passerby labels MODEL`")
    return np.array([place[label.id] for label in ours], np.int64)


def match_classes(ours: Sequence[str], theirs: Sequence[Label], *, input: str) -> NDArray[np.int64]:
    """For each class of a model the data set's, or -1. One class fits one class, whatever their names."""
    if len(ours) == len(theirs) == 1:
        return np.zeros(1, np.int64)
    places = match_labels(labels_from_texts(tuple(ours)), theirs, input=input)
    classes = np.full(len(theirs), -1, np.int64)
    classes[places] = np.arange(len(ours))
    return classes


def thresholds_in_force(data: AttributeSet, metadata: ModelMetadata, places: NDArray[np.int64]) -> NDArray[np.float64]:
    """(C,) the thresholds that the data set sets, and the model's own for labels where it sets none."""
    own = np.array(metadata.thresholds, np.float64)[places]
    given = data.label_set.thresholds or (None,) * len(places)
    unset = np.array([threshold is None for threshold in given])
    return np.where(unset, own, set_thresholds(data.label_set))


def _renamed(found: Detections, classes: NDArray[np.int64]) -> Detections:
    ids = classes[found.class_ids]
    kept = ids >= 0
    return Detections(boxes_xyxy=found.boxes_xyxy[kept], scores=found.scores[kept], class_ids=ids[kept])


def _samples(data: AttributeSet | DetectionSet, options: MeasureOptions) -> tuple[Any, ...]:
    samples: tuple[Any, ...] = tuple(data.splits.get(options.split, ()))
    if not samples:
        happened = f"the data set has no pictures in the split {options.split}"
        hint = f"its splits: {', '.join(name for name, kept in data.splits.items() if kept)}"
        raise DatasetError("dataset_missing", happened, input=str(data.root), hint=hint)
    known = {name for sample in samples for name in sample.columns}
    unknown = [name for name in options.columns if name not in known]
    if unknown:
        hint = f"its columns: {', '.join(sorted(known))}" if known else "the data set has no groups.csv"
        raise ArgumentError("bad_argument", f"groups.csv has no column {shown(unknown[0])}", hint=hint)
    if options.most is not None and len(samples) > options.most:
        rows = np.linspace(0, len(samples) - 1, options.most).round().astype(int)
        samples = tuple(samples[row] for row in rows)
    return samples


def _must_have(used: Sequence[Sample], data: AttributeSet | DetectionSet, options: MeasureOptions) -> None:
    if not used:
        happened = f"no picture of the split {options.split} can be read"
        raise DatasetError("dataset_invalid", happened, input=str(data.root), hint="run `passerby dataset check`")


def _read(
    samples: Sequence[Sample], options: MeasureOptions, left_out: dict[str, str], say: Say
) -> Iterator[list[tuple[Sample, ImageBgr]]]:
    """Chunks of samples with their pixels (H, W, 3) uint8 BGR; what cannot be read is named and left out."""
    size = options.batch_size
    progress = progress_lines(say, "measured")
    with ThreadPoolExecutor(READERS) as pool:
        waiting = [pool.submit(_pixels, sample) for sample in samples[:size]]
        for start in range(0, len(samples), size):
            ready = [future.result() for future in waiting]
            waiting = [pool.submit(_pixels, sample) for sample in samples[start + size : start + 2 * size]]
            chunk = []
            for sample, pixels in zip(samples[start : start + size], ready, strict=True):
                if isinstance(pixels, PasserbyError):
                    left_out[sample.file] = pixels.message
                    say(f"left out: {shown(sample.file, 200)}: {shown(pixels.message, 200)}")
                else:
                    chunk.append((sample, pixels))
            if chunk:
                yield chunk
            progress(min(start + size, len(samples)), len(samples))


def _pixels(sample: Sample) -> ImageBgr | PasserbyError:
    path = str(sample.path)
    try:
        pixels = read_picture(sample.path)
    except InputError as error:
        return error
    height, width = pixels.shape[:2]
    if isinstance(sample, DetectionSample) and (width, height) != sample.size_wh:
        stated = "{} x {}".format(*sample.size_wh)
        return InputError("image_corrupt", f"{width} x {height} px, the data set says {stated}", input=path)
    return pixels
