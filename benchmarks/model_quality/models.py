# SPDX-License-Identifier: Apache-2.0
"""Runs passerby's own models over crops and photos, one thread, the way the pipeline does; times what one answer costs.

Crops are cut by `passerby.attributes.crop` and described by `AttributeClassifier`, photos are read by
`passerby.decode` and searched by `Detector`: the stages of the pipeline, with its preprocessing, and nothing beside.
Probabilities are kept in a cache folder when one is given, under the hash of model, code and crops.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

import passerby
from passerby.attributes import AttributeClassifier, crop
from passerby.decode import decode_image
from passerby.detector import Detector
from passerby.devices import Device
from passerby.formats.onnx_file import KEY
from passerby.models.load import LoadedModel, load_model
from passerby.types import ImageBgr

from .crop_sets import CropSet
from .photo_sets import PhotoSet

BATCH = 16
MIN_SCORE = 0.01  # boxes from here on make the precision-recall curve
# modules that take part in the probabilities of a crop; a change in one of them makes kept ones worthless
ROOMS = ("attributes.py", "decode.py", "preprocess.py", "images/*.py", "engines/*.py")

Found = tuple[NDArray[np.float32], NDArray[np.float32]]


class Describes(Protocol):
    """Something that gives probabilities of crops: our classifier, or a teacher.

    Attributes:
        key: hash of everything that its answers depend on.
        label_ids: C names of its outputs.
    """

    key: str
    label_ids: tuple[str, ...]

    def probabilities(self, crops_bgr: list[ImageBgr]) -> NDArray[np.float32]:
        """(N, C) for N crops (h, w, 3) uint8 BGR."""
        ...


class Finds(Protocol):
    """Something that finds persons in photos."""

    def boxes(self, image_bgr: ImageBgr) -> Found:
        """(N, 4) boxes in pixels and (N,) scores from `MIN_SCORE` on, best first, at most 100."""
        ...


def open_model(name: str, path: Path | None, kind: str) -> LoadedModel:
    """A model of the catalogue, or the one in a file or folder."""
    model = load_model(name, path)
    if model.metadata.kind != kind:
        raise SystemExit(f"{model.source}: a model of kind {model.metadata.kind}, {kind} is needed")
    return model


@cache
def code_hash() -> str:
    """SHA-256 of the modules of passerby that turn a crop into probabilities."""
    root = Path(passerby.__file__).parent
    digest = hashlib.sha256()
    for path in sorted({path for room in ROOMS for path in root.glob(room)}):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def identity(model: LoadedModel) -> str:
    """SHA-256 of all that decides the answers of a model: graph, weights, metadata without card and probe.

    A card that holds these figures can be packed into the file without changing what they are figures of.
    """
    file = onnx.load_from_string(model.model_bytes)
    described = next(json.loads(entry.value) for entry in file.metadata_props if entry.key == KEY)
    bare = {name: value for name, value in described.items() if name not in ("card", "probe")}
    graph = file.graph.SerializeToString(deterministic=True)
    return hashlib.sha256(graph + json.dumps(bare, sort_keys=True).encode()).hexdigest()


def about(model: LoadedModel) -> dict[str, Any]:
    """What the JSON says of a model."""
    graph = onnx.load_from_string(model.model_bytes).graph
    return {
        "name": model.metadata.name,
        "network": model.metadata.network,
        "input_hw": [model.metadata.input.height, model.metadata.input.width],
        "bytes": len(model.model_bytes),
        "parameters": int(sum(np.prod(tensor.dims) for tensor in graph.initializer)),
        "identity": identity(model),
        "file_sha256": hashlib.sha256(model.model_bytes).hexdigest(),
    }


class OurClassifier:
    """The attribute stage with one thread."""

    def __init__(self, model: LoadedModel) -> None:
        self._classifier = AttributeClassifier(model, device=Device("cpu"), threads=1)
        self.key = hashlib.sha256(f"{identity(model)} {code_hash()}".encode()).hexdigest()
        self.label_ids = tuple(label.id for label in model.metadata.labels)

    def probabilities(self, crops_bgr: list[ImageBgr]) -> NDArray[np.float32]:
        """As the pipeline's second stage."""
        return self._classifier.probabilities(crops_bgr)


class OurDetector:
    """The detection stage with one thread."""

    def __init__(self, model: LoadedModel) -> None:
        self._detector = Detector(model, device=Device("cpu"), threads=1)
        self.threshold = float(model.metadata.thresholds[0])

    def boxes(self, image_bgr: ImageBgr) -> Found:
        """As the pipeline's first stage, with the lowest threshold that makes sense."""
        found = self._detector.detect(image_bgr, threshold=MIN_SCORE)
        return found.boxes_xyxy, found.scores


def crops_of(crops: CropSet) -> Iterator[ImageBgr]:
    """The pixels of each crop; a photo with several persons in a row is decoded once."""
    last: Path | None = None
    photo = np.zeros((0, 0, 3), np.uint8)
    for path, box in zip(crops.files, crops.boxes, strict=True):
        if path != last:
            photo, last = decode_image(path.read_bytes(), input=str(path)), path
        yield photo if box is None else crop(photo, np.array(box, np.float32))


def describe(
    model: Describes, crops: CropSet, *, root: Path, cache_folder: Path | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(N, C) probabilities and (N,) heights of all crops in native pixels."""
    name = hashlib.sha256(f"{model.key} {crops.fingerprint(root)}".encode()).hexdigest()
    kept = cache_folder / f"{crops.name}-{name[:32]}.npz" if cache_folder else None
    if kept and kept.is_file():
        with np.load(kept) as stored:
            return stored["probabilities"], stored["heights"]
    parts, heights, waiting = [], [], []
    for pixels in crops_of(crops):
        heights.append(pixels.shape[0])
        waiting.append(pixels)
        if len(waiting) == BATCH:
            parts.append(model.probabilities(waiting))
            waiting = []
    if waiting:
        parts.append(model.probabilities(waiting))
    probabilities = np.concatenate(parts)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(kept, probabilities=probabilities, heights=np.array(heights, np.int64))
    return probabilities, np.array(heights, np.int64)


def search(model: Finds, photos: PhotoSet) -> list[Found]:
    """Boxes and scores in every photo."""
    return [model.boxes(decode_image(path.read_bytes(), input=str(path))) for path in photos.files]


def cost_ms(calls: Mapping[str, Callable[[], object]], *, repeats: int = 60) -> dict[str, dict[str, float]]:
    """Processor time of each call in ms: smallest and median over repeats, the calls taking turns.

    Processor time and not the clock's: other programs may share the core. All calls must use one thread.
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(5):
            call()
    for _ in range(repeats):
        for name, call in calls.items():
            started = time.process_time_ns()
            call()
            taken[name].append((time.process_time_ns() - started) / 1e6)
    return {name: {"min": min(t), "median": statistics.median(t)} for name, t in taken.items()}


def drawn_crops(count: int, hw: tuple[int, int] = (220, 90)) -> list[ImageBgr]:
    """Noise of a crop's size: what a network costs does not depend on what it sees."""
    generator = np.random.default_rng(5)
    return [generator.integers(0, 256, (*hw, 3), dtype=np.uint8) for _ in range(count)]
