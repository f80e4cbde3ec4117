# SPDX-License-Identifier: Apache-2.0
"""Figures of person boxes: average precision from a height on, recall by height, false boxes a photo; with intervals.

Matching is COCO's (boxes by falling score, each takes the free truth it overlaps most, at most 100 boxes a photo, 101
points of recall), with height in place of area: truth below the limit, and unmatched boxes below it, count nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby import geometry

from .attribute_figures import interval, rounded
from .models import Found
from .photo_sets import PhotoSet

MOST_BOXES = 100
IOUS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
MIN_HEIGHTS_PX = (0, 60, 100)
RECALL_BINS_PX = ((0, 30), (30, 60), (60, 100), (100, 200), (200, 1 << 30))
RESAMPLES = 300

Floats = NDArray[np.float64]
Verdicts = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]


def matches(overlaps: NDArray[np.float32], ignored: NDArray[np.bool_], iou: float) -> NDArray[np.int64]:
    """Which truth each box takes, -1 for none.

    Args:
        overlaps: (N, M) IoU of boxes, best score first, with truths.
        ignored: (M,) truths that are taken only when no other fits.
        iou: overlap that counts as found.
    """
    taken = np.full(len(overlaps), -1, np.int64)
    if not overlaps.size:
        return taken
    free = np.ones(len(ignored), bool)
    for row in np.flatnonzero(overlaps.max(axis=1) >= iou):
        for kind in (~ignored, ignored):
            fitting = np.where(free & kind, overlaps[row], -1.0)
            best = int(fitting.argmax())
            if fitting[best] >= iou:
                free[best] = False
                taken[row] = best
                break
    return taken


def verdicts(photos: PhotoSet, found: Sequence[Found], *, iou: float, min_height_px: float) -> Verdicts:
    """Scores, hits and photo numbers (D,) of all boxes that count, and the persons (P,) of each photo that count."""
    scores, hits, owners, persons = [], [], [], []
    for number, (truth, (boxes, box_scores)) in enumerate(zip(photos.boxes, found, strict=True)):
        order = np.argsort(-box_scores, kind="stable")[:MOST_BOXES]
        low = _heights(truth) < min_height_px
        taken = matches(_overlaps(boxes[order], truth), low, iou)
        hit = (taken >= 0) & ~low[taken] if len(truth) else np.zeros(len(order), bool)
        counted = hit | ((taken < 0) & (_heights(boxes[order]) >= min_height_px))
        scores.append(box_scores[order][counted])
        hits.append(hit[counted])
        owners.append(np.full(int(counted.sum()), number, np.int64))
        persons.append(int((~low).sum()))
    return (
        np.concatenate([np.zeros(0, np.float32), *scores]),
        np.concatenate([np.zeros(0, bool), *hits]),
        np.concatenate([np.zeros(0, np.int64), *owners]),
        np.array(persons, np.int64),
    )


def _heights(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(boxes[:, 3] - boxes[:, 1])


def _overlaps(boxes: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float32]:
    if not len(boxes) or not len(truth):
        return np.zeros((len(boxes), len(truth)), np.float32)
    return np.asarray(geometry.iou(boxes, truth), np.float32)


def average_precision(judged: Verdicts, weights: Floats) -> Floats:
    """(R,) average precision for each row of (R, P) weights of photos; NaN without persons."""
    scores, hits, owners, persons = judged
    order = np.argsort(-scores, kind="stable")
    w = weights[:, owners[order]]
    right = np.cumsum(w * hits[order], axis=1)
    chosen = np.cumsum(w, axis=1)
    total = weights @ persons
    out = np.full(len(weights), np.nan)
    for row in np.flatnonzero(total > 0):
        if not len(scores):
            out[row] = 0.0
            continue
        recall = right[row] / total[row]
        precision = right[row] / np.maximum(chosen[row], 1e-12)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
        out[row] = np.where(at < len(envelope), envelope[np.minimum(at, len(envelope) - 1)], 0.0).mean()
    return out


def photo_draws(count: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """(1 + R, P) weights of photos, the first row all ones."""
    if not count:
        return np.zeros((1 + resamples, 0))
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.concatenate([np.ones((1, count)), drawn.astype(np.float64)])


def detection_figures(
    photos: PhotoSet, found: Sequence[Found], *, threshold: float, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Everything the page says of one detector on one set.

    Args:
        threshold: boxes strictly above it are what a user is shown.
    """
    weights = photo_draws(len(photos.files), resamples=resamples)
    out: dict[str, Any] = {"photos": len(photos.files), "persons": sum(len(b) for b in photos.boxes)}
    precisions = []
    for iou in IOUS:
        values = average_precision(verdicts(photos, found, iou=iou, min_height_px=0), weights[:1])
        precisions.append(values[0])
    out["ap"] = rounded(float(np.mean(precisions)))
    for least in MIN_HEIGHTS_PX:
        judged = verdicts(photos, found, iou=0.5, min_height_px=least)
        values = average_precision(judged, weights)
        out[f"from_{least}_px"] = {
            "persons": int(judged[3].sum()),
            "ap50": rounded(values[0]),
            "ap50_interval": interval(values),
            "ap75": rounded(average_precision(verdicts(photos, found, iou=0.75, min_height_px=least), weights[:1])[0]),
        }
    return out | {"threshold": threshold} | at_threshold(photos, found, threshold=threshold, weights=weights)


def at_threshold(photos: PhotoSet, found: Sequence[Found], *, threshold: float, weights: Floats) -> dict[str, Any]:
    """What a user sees at the stored threshold: recall by native height, precision, false boxes a photo."""
    kept = [(boxes[scores > threshold], scores[scores > threshold]) for boxes, scores in found]
    heights, seen, seen_any, false = [], [], [], []
    for truth, chosen, every in zip(photos.boxes, kept, found, strict=True):
        no_ignored = np.zeros(len(truth), bool)
        taken = matches(_overlaps(chosen[0], truth), no_ignored, 0.5)
        heights.append(_heights(truth))
        seen.append(np.isin(np.arange(len(truth)), taken))
        seen_any.append(np.isin(np.arange(len(truth)), matches(_overlaps(every[0], truth), no_ignored, 0.5)))
        false.append(int((taken < 0).sum()))
    height, hit, hit_any = (np.concatenate([np.zeros(0, np.float32), *v]) for v in (heights, seen, seen_any))
    ranges = (*((low, 1 << 30) for low in MIN_HEIGHTS_PX), *RECALL_BINS_PX)
    recall = [
        {
            "low": low,
            "high": high if high < 1 << 30 else None,
            "persons": int(inside.sum()),
            "recall": rounded(hit[inside].mean()) if inside.any() else None,
            "recall_any_score": rounded(hit_any[inside].mean()) if inside.any() else None,
        }
        for low, high in ranges
        for inside in [(height >= low) & (height < high)]
    ]
    per_photo = weights @ np.array(false, np.float64) / np.maximum(weights.sum(axis=1), 1e-12)
    boxes = sum(len(scores) for _, scores in kept)
    return {
        "recall": recall,
        "precision": rounded(1 - sum(false) / boxes) if boxes else None,
        "false_per_photo": rounded(per_photo[0]),
        "false_per_photo_interval": interval(per_photo),
        "photos_with_false": rounded(float(np.mean(np.array(false) > 0))) if false else None,
    }
