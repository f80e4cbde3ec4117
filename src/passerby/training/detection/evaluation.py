# SPDX-License-Identifier: Apache-2.0
"""Figures of a detector: COCO's AP and AR by pycocotools, miss rate, precision against recall.

pycocotools matches boxes with truth once; every figure and curve here is made from that one matching, so they agree
with each other. Crowd boxes are regions where nothing counts.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...datasets._extras import need
from ...datasets.records import DetectionSample
from ...detector import Detections

CURVE_IOUS = (0.5, 0.75)
MISS_RATE_FPPI = np.logspace(-2, 0, 9)  # false boxes a picture at which the miss rate is averaged
SUMMARY = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""The order in which COCOeval's `stats` gives them. s, m, l: below 32 x 32 px, below 96 x 96 px, above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Precision against recall at one IoU.

    Attributes:
        iou: overlap that counts as found.
        recall: (101,) 0..1 in steps of 0.01.
        precision: (101,) the best precision at this recall or a higher one, 0 where it is not reached.
        scores: (101,) threshold at which that recall is reached, 0 where it is not.
    """

    iou: float
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    scores: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFigures:
    """Figures of one class, IoU 0.5 where nothing else is said.

    Attributes:
        name: of the class.
        boxes: in the truth, without crowds; with none, every figure below is None.
        ap, ap50, ap75, ar100: as COCO defines them.
        miss_rate: log-average over 0.01 to 1 false boxes a picture; lower is better.
        best_f1, best_f1_score: the best F1 and the score threshold that gives it.
        curves: one for each of `CURVE_IOUS`.
        false_per_picture, missed, miss_scores: the miss curve, (K,) each, from the strictest threshold to none.
    """

    name: str
    boxes: int
    ap: float | None
    ap50: float | None
    ap75: float | None
    ar100: float | None
    miss_rate: float | None
    best_f1: float | None
    best_f1_score: float | None
    curves: tuple[Curve, ...]
    false_per_picture: NDArray[np.float64]
    missed: NDArray[np.float64]
    miss_scores: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionFigures:
    """Figures of a detector over the pictures of a split.

    Attributes:
        summary: by the names of `SUMMARY`, and `miss_rate`, the mean of the classes; None where the truth has no such
            box.
        pictures, boxes, crowds: what was measured on.
        classes: each class by itself.
    """

    summary: dict[str, float | None]
    pictures: int
    boxes: int
    crowds: int
    classes: tuple[ClassFigures, ...]

    def metrics(self) -> dict[str, float]:
        """`AP`, `AP50`, `AP75`, `AR100` and `miss_rate`; NaN where undefined."""
        chosen = ("AP", "AP50", "AP75", "AR100", "miss_rate")
        values = {name: self.summary[name] for name in chosen}
        return {name: float("nan") if value is None else value for name, value in values.items()}

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON can hold it, six digits after the point."""
        return {
            "kind": "detector",
            "summary": {name: _rounded(value) for name, value in self.summary.items()},
            "pictures": self.pictures,
            "boxes": self.boxes,
            "crowds": self.crowds,
            "classes": [_class_json(figures) for figures in self.classes],
        }


def evaluate_detections(
    samples: Sequence[DetectionSample], detections: Sequence[Detections], *, classes: Sequence[str] | None = None
) -> DetectionFigures:
    """Compare what was found with the truth.

    Args:
        samples: the pictures with their truth.
        detections: what was found in each, pixels of the picture; `class_ids` as in the samples.
        classes: their names; without them, numbers up to the highest id in use.
    Raises:
        EngineError: `engine_missing`, pycocotools is not installed.
    Source: COCO's evaluation; miss rate as in Dollar et al., "Pedestrian Detection: An Evaluation of the State of the
        Art" (2012), 1 where a rate of false boxes is never reached from below.
    """
    if classes is None:
        used = [
            ids.max(initial=-1) for s, d in zip(samples, detections, strict=True) for ids in (s.class_ids, d.class_ids)
        ]
        classes = [str(number) for number in range(int(max(used, default=-1)) + 1)]
    evaluation = _coco_evaluation(samples, detections, len(classes))
    found = tuple(_class_figures(evaluation, index, name, len(samples)) for index, name in enumerate(classes))
    summary = {name: _defined(value) for name, value in zip(SUMMARY, evaluation.stats, strict=True)}
    rates = [figures.miss_rate for figures in found if figures.miss_rate is not None]
    summary["miss_rate"] = float(np.mean(rates)) if rates else None
    crowds = int(sum(s.crowd.sum() for s in samples))
    return DetectionFigures(
        summary=summary,
        pictures=len(samples),
        boxes=sum(len(s.crowd) for s in samples) - crowds,
        crowds=crowds,
        classes=found,
    )


def _coco_evaluation(samples: Sequence[DetectionSample], detections: Sequence[Detections], classes: int) -> Any:
    """A finished COCOeval. Its records count from 1: pycocotools takes an annotation 0 for none at all."""
    truth = [
        {"bbox": _xywh(box), "category_id": int(kind) + 1, "image_id": row, "iscrowd": int(crowd)}
        for row, s in enumerate(samples, 1)
        for box, kind, crowd in zip(s.boxes_xyxy, s.class_ids, s.crowd, strict=True)
    ]
    found = [
        {"bbox": _xywh(box), "category_id": int(kind) + 1, "image_id": row, "iscrowd": 0, "score": float(score)}
        for row, d in enumerate(detections, 1)
        for box, kind, score in zip(d.boxes_xyxy, d.class_ids, d.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # it prints on every step
        sets = [_coco_set(len(samples), classes, rows) for rows in (truth, found)]
        evaluation = need("pycocotools.cocoeval").COCOeval(*sets, iouType="bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def _coco_set(pictures: int, classes: int, annotations: list[dict[str, Any]]) -> Any:
    coco = need("pycocotools.coco").COCO()
    for number, annotation in enumerate(annotations, 1):
        annotation |= {"id": number, "area": annotation["bbox"][2] * annotation["bbox"][3]}
    coco.dataset = {
        "images": [{"id": number} for number in range(1, pictures + 1)],
        "categories": [{"id": number} for number in range(1, classes + 1)],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _xywh(box: NDArray[np.float32]) -> list[float]:
    left, top, right, bottom = (float(v) for v in box)
    return [left, top, right - left, bottom - top]


def _class_figures(evaluation: Any, index: int, name: str, pictures: int) -> ClassFigures:
    precision = evaluation.eval["precision"][:, :, index, 0, -1]  # (IoU, recall)
    scores = evaluation.eval["scores"][:, :, index, 0, -1]
    recall = evaluation.eval["recall"][:, index, 0, -1]  # (IoU,)
    ious = list(evaluation.params.iouThrs)
    rows = [int(np.argmin(np.abs(np.array(ious) - iou))) for iou in CURVE_IOUS]
    hits, hit_scores, boxes = _matches(evaluation, index)
    if not boxes:
        nothing = np.zeros(0)
        return ClassFigures(
            name=name, boxes=0, ap=None, ap50=None, ap75=None, ar100=None, miss_rate=None, best_f1=None,
            best_f1_score=None, curves=(), false_per_picture=nothing, missed=nothing, miss_scores=nothing,
        )  # fmt: skip
    right, wrong = np.cumsum(hits), np.cumsum(~hits)
    false_per_picture, missed = wrong / max(pictures, 1), 1 - right / boxes
    f1 = 2 * right / (right + wrong + boxes)
    best = int(f1.argmax()) if len(f1) else -1
    corners = _corners(hits)
    return ClassFigures(
        name=name,
        boxes=boxes,
        ap=float(precision.mean()),
        ap50=float(precision[rows[0]].mean()),
        ap75=float(precision[rows[1]].mean()),
        ar100=float(recall.mean()),
        miss_rate=log_average_miss_rate(false_per_picture, missed),
        best_f1=float(f1[best]) if best >= 0 else 0.0,
        best_f1_score=float(hit_scores[best]) if best >= 0 else None,
        curves=tuple(
            Curve(iou=iou, recall=evaluation.params.recThrs, precision=precision[row], scores=scores[row])
            for iou, row in zip(CURVE_IOUS, rows, strict=True)
        ),
        false_per_picture=false_per_picture[corners],
        missed=missed[corners],
        miss_scores=hit_scores[corners],
    )


def _matches(evaluation: Any, index: int) -> tuple[NDArray[np.bool_], NDArray[np.float64], int]:
    """Of one class at IoU 0.5, best score first: whether each box found something, its score; and the true boxes.

    Boxes that fell on crowds are left out.
    """
    pictures, areas = len(evaluation.params.imgIds), len(evaluation.params.areaRng)
    start = index * areas * pictures  # the area "all" comes first
    records = [record for record in evaluation.evalImgs[start : start + pictures] if record is not None]
    if not records:
        return np.zeros(0, np.bool_), np.zeros(0), 0
    scores = np.concatenate([np.asarray(record["dtScores"], np.float64) for record in records])
    hits = np.concatenate([record["dtMatches"][0] > 0 for record in records])
    counted = np.concatenate([record["dtIgnore"][0] == 0 for record in records])
    boxes = int(sum((np.asarray(record["gtIgnore"]) == 0).sum() for record in records))
    order = np.argsort(-scores, kind="stable")
    order = order[counted[order]]
    return hits[order], scores[order], boxes


def _corners(hits: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Where the curve of misses against false boxes turns; all other points lie on straight lines between."""
    if len(hits) < 2:
        return np.arange(len(hits))
    turns = np.flatnonzero(hits[1:] != hits[:-1])
    return np.concatenate([[0], turns, [len(hits) - 1]]) if len(turns) else np.array([0, len(hits) - 1])


def log_average_miss_rate(false_per_picture: NDArray[np.float64], missed: NDArray[np.float64]) -> float:
    """Geometric mean of the miss rate at nine rates of false boxes from 0.01 to 1 a picture.

    Args:
        false_per_picture: (K,) rising.
        missed: (K,) share of the true boxes that is missed there.

    >>> log_average_miss_rate(np.array([0.0, 0.0, 0.5]), np.array([0.5, 0.25, 0.25]))
    0.25
    """
    rates = []
    for reference in MISS_RATE_FPPI:
        reached = int(np.searchsorted(false_per_picture, reference, side="right"))
        rates.append(missed[reached - 1] if reached else 1.0)
    return float(np.exp(np.log(np.maximum(rates, 1e-10)).mean()))


def _defined(value: float) -> float | None:
    """COCOeval says -1 for what is not defined."""
    return None if value < 0 else float(value)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _class_json(figures: ClassFigures) -> dict[str, Any]:
    def numbers(values: NDArray[np.float64]) -> list[float]:
        return [round(float(v), 6) for v in values]

    single = ("ap", "ap50", "ap75", "ar100", "miss_rate", "best_f1", "best_f1_score")
    return {
        "name": figures.name,
        "boxes": figures.boxes,
        **{name: _rounded(getattr(figures, name)) for name in single},
        "curves": [
            {
                "iou": curve.iou,
                "recall": numbers(curve.recall),
                "precision": numbers(curve.precision),
                "scores": numbers(curve.scores),
            }
            for curve in figures.curves
        ],
        "miss_curve": {
            "false_per_picture": numbers(figures.false_per_picture),
            "missed": numbers(figures.missed),
            "scores": numbers(figures.miss_scores),
        },
    }
