# SPDX-License-Identifier: Apache-2.0
"""Average precision of person boxes, in all and from a given height on; and running a network over packed photos.

The matching is COCO's (best free truth first, ignored truth last, 101 recall points, 100 boxes a photo), except that
"too small" is a matter of height: truth below the limit, and unmatched boxes below it, neither help nor hurt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from passerby import geometry
from passerby.networks.torch.ppyoloe import PPYOLOE
from passerby.training.shipped.teacher_boxes import suppress

MEAN_RGB = (0.485, 0.456, 0.406)
STD_RGB = (0.229, 0.224, 0.225)
MAX_DETECTIONS = 100
NMS_TOP = 1000
NMS_IOU = 0.5  # as in the shipped file; PaddleX uses 0.6, with which loose boxes leave doubles
MIN_SCORE = 0.01

BoxesAndScores = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """ap: average precision; persons: truth that counted; recall: share found at any score; best_f1 and its score."""

    ap: float
    persons: int
    recall: float
    best_f1: float
    best_f1_score: float


def average_precision(
    truths: Sequence[NDArray[np.float32]],
    detections: Sequence[BoxesAndScores],
    *,
    iou: float = 0.5,
    min_height: float = 0.0,
) -> Precision:
    """Average precision over photos.

    Args:
        truths: (M, 4) boxes of each photo, x1 y1 x2 y2.
        detections: boxes (N, 4) and scores (N,) of each photo, same unit.
        iou: overlap that counts as found.
        min_height: persons and boxes lower than this are ignored, same unit.
    """
    scores, hits, persons = [], [], 0
    for truth, (boxes, box_scores) in zip(truths, detections, strict=True):
        order = np.argsort(-box_scores, kind="stable")[:MAX_DETECTIONS]
        small_truth = (truth[:, 3] - truth[:, 1]) < min_height
        verdict = match_boxes(truth, small_truth, boxes[order], iou)
        small_box = (boxes[order, 3] - boxes[order, 1]) < min_height
        counted = (verdict == 1) | ((verdict == 0) & ~small_box)
        scores.append(box_scores[order][counted])
        hits.append(verdict[counted] == 1)
        persons += int((~small_truth).sum())
    return _summary(np.concatenate(scores), np.concatenate(hits), persons)


def match_boxes(
    truth: NDArray[np.float32], ignored: NDArray[np.bool_], boxes: NDArray[np.float32], iou: float
) -> NDArray[np.int8]:
    """Verdict on each box (sorted by score): 1 found a person, 0 false, -1 matched an ignored one."""
    verdict = np.zeros(len(boxes), np.int8)
    if not len(truth):
        return verdict
    overlaps = geometry.iou(boxes, truth)
    free = np.ones(len(truth), bool)
    for row in range(len(boxes)):
        for kind, value in ((~ignored, 1), (ignored, -1)):
            open_overlaps = np.where(free & kind, overlaps[row], -1.0)
            best = int(open_overlaps.argmax())
            if open_overlaps[best] >= iou:
                free[best] = False
                verdict[row] = value
                break
    return verdict


def _summary(scores: NDArray[np.float32], hits: NDArray[np.bool_], persons: int) -> Precision:
    order = np.argsort(-scores, kind="mergesort")
    found = np.cumsum(hits[order])
    if not persons or not len(order):
        return Precision(ap=0.0, persons=persons, recall=0.0, best_f1=0.0, best_f1_score=0.0)
    recall = found / persons
    precision = found / np.arange(1, len(found) + 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(f1.argmax())
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    ap = np.where(at < len(envelope), envelope[np.minimum(at, len(envelope) - 1)], 0.0).mean()
    return Precision(
        ap=float(ap),
        persons=persons,
        recall=float(recall[-1]),
        best_f1=float(f1[best]),
        best_f1_score=float(scores[order][best]),
    )


def to_input(images_rgb: torch.Tensor) -> torch.Tensor:
    """(N, H, W, 3) uint8 RGB to the normalised (N, 3, H, W) float32 network input, channels last in memory."""
    images = images_rgb.permute(0, 3, 1, 2).float()  # stays channels last
    mean = torch.tensor(MEAN_RGB).reshape(1, 3, 1, 1)
    std = torch.tensor(STD_RGB).reshape(1, 3, 1, 1)
    return (images / 255 - mean) / std


def detect(model: PPYOLOE, images_rgb: NDArray[np.uint8], *, min_score: float = MIN_SCORE) -> list[BoxesAndScores]:
    """Boxes (N, 4) in input pixels and scores (N,) of each picture (B, S, S, 3) uint8, after NMS."""
    with torch.inference_mode():
        boxes, scores = model(to_input(torch.from_numpy(images_rgb)))
    found = []
    for picture_boxes, picture_scores in zip(boxes.numpy(), scores[:, 0].numpy(), strict=True):
        order = np.argsort(-picture_scores, kind="stable")[:NMS_TOP]
        order = order[picture_scores[order] > min_score]
        kept = suppress(picture_boxes[order], picture_scores[order], iou=NMS_IOU)[:MAX_DETECTIONS]
        side = images_rgb.shape[1]
        found.append((picture_boxes[order][kept].clip(0, side), picture_scores[order][kept]))
    return found


def evaluate(
    model: PPYOLOE,
    pixels: NDArray[np.uint8],
    truths: Sequence[NDArray[np.float32]],
    *,
    min_score: float = MIN_SCORE,
    batch: int = 8,
) -> tuple[dict[str, Precision], list[BoxesAndScores]]:
    """Figures of a model on photos (N, S, S, 3) with truth boxes in pixels, and the boxes found."""
    was_training = model.training
    model.eval()
    found: list[BoxesAndScores] = []
    for start in range(0, len(pixels), batch):
        found += detect(model, np.ascontiguousarray(pixels[start : start + batch]), min_score=min_score)
    model.train(was_training)
    return figures(truths, found), found


def figures(truths: Sequence[NDArray[np.float32]], found: Sequence[BoxesAndScores]) -> dict[str, Precision]:
    """The figures that the model card states, from boxes that were found already."""
    return {
        "ap50_all": average_precision(truths, found),
        "ap50_60px": average_precision(truths, found, min_height=60),
        "ap50_100px": average_precision(truths, found, min_height=100),
        "ap75_100px": average_precision(truths, found, iou=0.75, min_height=100),
    }
