"""Compares every stage with numbers of the real Paddle stack, on full-size networks with seeded weights.

The reference data (`shared/golden`: pictures, numbers and the generator of the weights) lies beside a developer's
checkout. Nothing is judged here: the tests hold the differences to tolerances, `benchmarks/parity.py` prints them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby import Pipeline, create_pipeline, geometry
from passerby.attributes import AttributeClassifier
from passerby.decode import decode_image
from passerby.detector import Detector
from passerby.devices import Device
from passerby.formats.metadata import InputRecipe
from passerby.models.load import LoadedModel, load_path
from passerby.networks import pplcnet, ppyoloe
from passerby.preprocess import to_network_input
from passerby.result import Person

from ..layers import run

CLASSIFIER = "PP-LCNet_x1_0_pedestrian_attribute"
DETECTORS = {"S": "PP-YOLOE-S_human", "L": "PP-YOLOE-L_human"}
DETECTOR_INPUT = InputRecipe(height=640, width=640, interpolation="cubic")
CLASSIFIER_INPUT = InputRecipe(height=256, width=192, interpolation="linear")
Array = NDArray[Any]


class Golden:
    """The reference data in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        spec = importlib.util.spec_from_file_location("golden_weights", folder / "weights.py")
        assert spec is not None and spec.loader is not None
        self.generator = importlib.util.module_from_spec(spec)
        written, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the folder is read-only
        try:
            spec.loader.exec_module(self.generator)
        finally:
            sys.dont_write_bytecode = written

    def weights(self, model: str) -> dict[str, Array]:
        """The seeded state in training form, under Paddle's names."""
        state: dict[str, Array] = self.generator.generate(model)
        return state

    def parameters(self, model: str) -> dict[str, Any]:
        return self._json(f"parameters/{model}.json")

    def expected(self, name: str) -> dict[str, Any]:
        return self._json(f"expected/{name}.json")

    def numbers(self, name: str) -> dict[str, Array]:
        with np.load(self.folder / f"expected/{name}.npz") as arrays:
            return dict(arrays)

    def picture_path(self, name: str) -> Path:
        return self.folder / "images" / name

    def picture(self, name: str) -> Array:
        return decode_image(self.picture_path(name).read_bytes())

    def _json(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / name).read_text("utf-8"))
        return content

    def export(self, model: str, folder: Path, *, dynamic: bool = False) -> Path:
        """Write the model as Paddle exports it: inference.json, .pdiparams and .yml."""
        self.generator.write_inference(model, folder, variant="_dynamic" if dynamic else "")
        return folder

    def load(self, model: str, folder: Path) -> LoadedModel:
        """The exported model through our own readers."""
        return load_path(self.export(model, folder), name=model)


def sha256(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def largest(actual: Array, expected: Array) -> float:
    """Largest absolute difference, 0 for nothing."""
    return float(np.abs(actual.astype(np.float64) - expected).max()) if expected.size else 0.0


# --- single stages ------------------------------------------------------------------------------------------------


def decoding(golden: Golden) -> dict[str, bool]:
    """Per picture, whether the decoded bytes are the reference's."""
    pictures = golden.expected(DETECTORS["S"])["pictures"]
    return {name: sha256(golden.picture(name)) == case["decoded_bgr"]["sha256"] for name, case in pictures.items()}


def input_tensors(golden: Golden) -> dict[str, bool]:
    """Per picture, whether the detector's input has the reference's bytes."""
    pictures = golden.expected(DETECTORS["S"])["pictures"]
    return {
        name: sha256(to_network_input(golden.picture(name), DETECTOR_INPUT)) == case["det_input_sha256"]
        for name, case in pictures.items()
    }


def detector_layers(golden: Golden, size: str) -> dict[str, tuple[Array, Array]]:
    """Our and the reference's sampled values of backbone, neck and head on street.png."""
    numbers = golden.numbers(f"layers_{DETECTORS[size]}")
    model = ppyoloe.build_onnx(golden.weights(DETECTORS[size]), input_hw=(640, 640))
    values = {f"backbone_{i}": f"backbone.stages.{i + 1}.conv3" for i in range(3)}
    values.update({f"neck_{i}": f"neck.pan_stages.{i}.0.conv3" for i in range(2)})
    values.update(neck_2="neck.fpn_stages.2.0.conv3", cls_score="scores")
    found = run(model, to_network_input(golden.picture("street.png"), DETECTOR_INPUT), extra=values.values())
    return {
        key: (found[name].ravel()[numbers[f"{key}/index"]], numbers[f"{key}/value"]) for key, name in values.items()
    }


def classifier_layers(golden: Golden) -> dict[str, tuple[Array, Array]]:
    """Our and the reference's sampled values of the classifier's stages on the 20 crops."""
    numbers = golden.numbers(f"layers_{CLASSIFIER}")
    model = pplcnet.build_onnx(golden.weights(CLASSIFIER), input_hw=(256, 192))
    values = {"conv1": "conv1", "last_conv": "last_conv"}
    values.update({stage: f"{stage}.{len(blocks) - 1}.pw_conv" for stage, blocks in pplcnet.BLOCKS.items()})
    found = run(model, np.concatenate([tensor for tensor, _ in crop_tensors(golden)]), extra=values.values())
    return {
        key: (found[name].ravel()[numbers[f"{key}/index"]], numbers[f"{key}/value"]) for key, name in values.items()
    }


def crop_tensors(golden: Golden) -> Iterator[tuple[Array, str]]:
    """The 20 hand-drawn crops as tensors, with the reference's hash of each."""
    for case in golden.expected(CLASSIFIER)["crops"]:
        x1, y1, x2, y2 = case["xyxy"]
        pixels = golden.picture(case["picture"])[y1:y2, x1:x2]
        yield to_network_input(pixels, CLASSIFIER_INPUT), case["tensor_sha256"]


def attributes(golden: Golden, model: LoadedModel) -> tuple[Array, Array]:
    """Our probabilities (20, 26) of the hand-drawn crops and the reference's."""
    classifier = AttributeClassifier(model, device=Device("cpu"), threads=1)
    crops = []
    for case in golden.expected(CLASSIFIER)["crops"]:
        x1, y1, x2, y2 = case["xyxy"]
        crops.append(golden.picture(case["picture"])[y1:y2, x1:x2])
    return classifier.probabilities(crops), golden.numbers(CLASSIFIER)["probs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """The detector on one picture: differences over the best 300 anchors, and the rows after suppression."""

    picture: str
    score: float
    box_px: float  # of boxes scoring above 0.3
    same_rows: bool
    rows_in_place: int
    rows: int
    row_box_px: float


def raw_detections(golden: Golden, size: str, detector: Detector, pictures: Sequence[str]) -> Iterator[Raw]:
    """Compare the detector's raw answers and the rows after suppression."""
    numbers = golden.numbers(DETECTORS[size])
    for picture in pictures:
        index, wanted = numbers[f"{picture}/raw_index"], numbers[f"{picture}/raw_score"]
        boxes, scores = detector.raw(golden.picture(picture))
        found = geometry.multiclass_nms(boxes, scores, detector.metadata.nms)
        anchors, rows = numbers[f"{picture}/nms_anchor"].ravel(), numbers[f"{picture}/nms"]
        place = {int(anchor): k for k, anchor in enumerate(found.anchors)}
        paired = [(k, place[int(anchor)]) for k, anchor in enumerate(anchors) if int(anchor) in place]
        ours, theirs = found.boxes_xyxy[[b for _, b in paired]], rows[[a for a, _ in paired], 2:]
        yield Raw(
            picture=picture,
            score=largest(scores[0, index], wanted),
            box_px=largest(boxes[index][wanted > 0.3], numbers[f"{picture}/raw_box"][wanted > 0.3]),
            same_rows=sorted(place) == sorted(int(a) for a in anchors),
            rows_in_place=sum(a == b for a, b in paired),
            rows=len(anchors),
            row_box_px=largest(ours, theirs),
        )


def detector(golden: Golden, size: str, folder: Path) -> Detector:
    return Detector(golden.load(DETECTORS[size], folder), device=Device("cpu"), threads=1)


def pictures_of(golden: Golden, size: str) -> list[str]:
    return sorted(golden.expected(DETECTORS[size])["pictures"])


# --- the whole pipeline -------------------------------------------------------------------------------------------

LABEL_TOLERANCE = 1e-4  # the issue's, for a given crop: a label this close to its threshold may fall on either side
SCORE_TOLERANCE = 5e-3  # the issue's, for a detection score
# PaddleX gives its per-class dictionary to every class of a crop (its batch size is 1): 0.3 for all of them
EFFECTIVE = {"det0.5_clsdict": 0.3}


@dataclass(slots=True)
class Final:
    """The pipeline's results on some pictures at one setting."""

    setting: str
    persons: int = 0
    unmatched: list[str] = field(default_factory=list)
    near_det_threshold: int = 0
    box_px: float = 0.0
    det_score: float = 0.0
    same_crop: int = 0
    probability: float = 0.0
    label_sets_compared: int = 0
    near_cls_threshold: int = 0
    other_labels: list[str] = field(default_factory=list)
    score_shown: float = 0.0


def pipeline(golden: Golden, size: str, folder: Path) -> Pipeline:
    """The pipeline of PaddleX's YAML with both models as exported folders."""
    stages = {}
    for stage, module, model in (
        ("Detection", "object_detection", DETECTORS[size]),
        ("Classification", "multilabel_classification", CLASSIFIER),
    ):
        golden.export(model, folder / model)
        stages[stage] = {"module_name": module, "model_name": model, "model_dir": str(folder / model)}
    config = {"pipeline_name": "pedestrian_attribute_recognition", "SubModules": stages}
    return create_pipeline(config=config, device="cpu")


def final_results(golden: Golden, size: str, pipeline: Pipeline, setting: str, pictures: Sequence[str]) -> Final:
    """Run the pipeline on picture files and compare every person."""
    expected = golden.expected(f"pipeline_{DETECTORS[size]}")
    probabilities = golden.numbers(f"pipeline_{DETECTORS[size]}_probs26")
    det_threshold = expected["settings"][setting]["det_threshold"]
    cls_threshold = EFFECTIVE.get(setting, expected["settings"][setting]["cls_threshold"])
    final = Final(setting)
    for picture in pictures:
        path = golden.picture_path(picture)
        [result] = pipeline.predict(str(path), det_threshold=det_threshold, cls_threshold=cls_threshold)
        ids = [label.id for label in result.labels]
        persons = expected["pictures"][picture][setting]
        free = list(result.persons)
        for row, person in enumerate(persons):
            ours = _partner(person, free)
            if ours is None:
                _missing(final, f"{picture} row {row}", person["det_score"], det_threshold)
                continue
            free = [p for p in free if p is not ours]
            _compare(final, ours, person, probabilities[picture][row], ids, cls_threshold, f"{picture} row {row}")
        for extra in free:
            _missing(final, f"{picture}: one more", extra.score, det_threshold)
    return final


def _missing(final: Final, what: str, score: float, threshold: float) -> None:
    if abs(score - threshold) < SCORE_TOLERANCE:
        final.near_det_threshold += 1
    else:
        final.unmatched.append(what)


def _partner(person: dict[str, Any], free: list[Person]) -> Person | None:
    """Our person whose box overlaps most, at least by 0.9 and within the tolerance of the score."""
    wanted = np.array([person["coordinate"]], np.float32)
    candidates = [p for p in free if abs(p.score - person["det_score"]) < SCORE_TOLERANCE]
    if not candidates:
        return None
    overlap = geometry.iou(wanted, np.stack([p.box_xyxy for p in candidates]))[0]
    best = int(overlap.argmax())
    return candidates[best] if overlap[best] > 0.9 else None


def _compare(
    final: Final,
    ours: Person,
    theirs: dict[str, Any],
    probabilities: Array,
    ids: list[str],
    threshold: float,
    where: str,
) -> None:
    final.persons += 1
    final.box_px = max(final.box_px, largest(ours.box_xyxy, np.array(theirs["coordinate"])))
    final.det_score = max(final.det_score, abs(ours.score - theirs["det_score"]))
    if [int(v) for v in ours.box_xyxy] != theirs["crop"] or ours.probabilities is None:
        return  # a coordinate crossed a whole number: another crop, other probabilities
    final.same_crop += 1
    final.probability = max(final.probability, largest(ours.probabilities, probabilities))
    near = np.abs(probabilities - threshold) < LABEL_TOLERANCE
    final.near_cls_threshold += int(near.sum())
    sure = {k for k in range(len(ids)) if not near[k]}
    chosen = {ids.index(label.id): label.score for label in ours.labels}
    final.label_sets_compared += 1
    if sure & set(chosen) != sure & set(theirs["labels"]):
        final.other_labels.append(where)
    for label, score in zip(theirs["labels"], theirs["cls_scores"], strict=True):
        if label in chosen:
            final.score_shown = max(final.score_shown, abs(chosen[label] - score))
