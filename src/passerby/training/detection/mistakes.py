# SPDX-License-Identifier: Apache-2.0
"""The worst mistakes of a detector: false boxes that it was sure of, large people that it missed, on a sheet.

Matching is COCO's at IoU 0.5: the best score chooses first, regions of crowds excuse what falls on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ... import geometry
from ...datasets.check_pictures import read_picture
from ...datasets.records import DetectionSample
from ...datasets.sheet import ALARM, FAINT, LINE, Sheet, fitted
from ...detector import Detections
from ...errors import PasserbyError
from ...types import ImageBgr
from ..attributes.metrics import reliability_bins

IOU, TOUCH = 0.5, 0.1
MOST, PER_PICTURE = 20, 2
COLUMNS, GAP, MARGIN = 4, 12, 16
CELL_WIDTH, PICTURE_HEIGHT, TEXT_HEIGHT = 300, 230, 58
CONTEXT, LEAST_PX = 2.4, 64  # the view is so many boxes wide and high, and at least so many px
TRUE_BGR, FOUND_BGR, FALSE_BGR, MISSED_BGR = (98, 200, 79), (245, 245, 245), (30, 40, 220), (40, 160, 250)


@dataclass(frozen=True, slots=True)
class Matched:
    """One picture: which boxes hit something, which count at all, and which true boxes were found.

    Attributes:
        hits, counted: (N,) bool of the detections; what fell on a crowd does not count.
        found: (M,) bool of the true boxes; True for crowds.
    """

    hits: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    found: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A false box or a missed one.

    Attributes:
        row: of the picture. box_xyxy: (4,) px. class_id: said, or true of a missed one.
        score: of a false box; of a missed one the best score of a box on it, 0 without any.
        missed: which of the two.
        other: class of the true box that a false one overlaps most, None where it touches none.
        overlap: with that one, IoU.
    """

    row: int
    box_xyxy: NDArray[np.float32]
    class_id: int
    score: float
    missed: bool
    other: int | None = None
    overlap: float = 0.0


def match(sample: DetectionSample, found: Detections) -> Matched:
    """Match the boxes of a picture with its truth, class by class."""
    overlap = np.nan_to_num(geometry.iou(found.boxes_xyxy, sample.boxes_xyxy))  # (N, M)
    same = found.class_ids[:, None] == sample.class_ids[None]
    hits, counted = np.zeros(len(found), bool), np.ones(len(found), bool)
    taken = sample.crowd.copy()
    for box in np.argsort(-found.scores, kind="stable"):
        free = np.where(same[box] & ~taken, overlap[box], 0.0)
        if free.max(initial=0.0) >= IOU:
            hits[box] = True
            taken[int(free.argmax())] = True
        elif _on_crowd(found.boxes_xyxy[box], sample, same[box]):
            counted[box] = False
    return Matched(hits, counted, taken)


def _on_crowd(box: NDArray[np.float32], sample: DetectionSample, same: NDArray[np.bool_]) -> bool:
    """Whether a box lies on a region of a crowd by half of its own area, as COCO asks."""
    regions = sample.boxes_xyxy[sample.crowd & same]
    left_top, right_low = np.maximum(regions[:, :2], box[:2]), np.minimum(regions[:, 2:], box[2:])
    inside = np.prod(np.maximum(right_low - left_top, 0), axis=1)
    area = float(np.prod(np.maximum(box[2:] - box[:2], 0)))
    return area > 0 and bool((inside >= IOU * area).any())


def score_bins(samples: Sequence[DetectionSample], detections: Sequence[Detections]) -> list[dict[str, Any]]:
    """For each of ten bins of the score how many boxes there were and the share that hit a person at IoU 0.5.

    Keys as those of `attributes.metrics.reliability_bins`.
    """
    pairs = [(d.scores, match(s, d)) for s, d in zip(samples, detections, strict=True)]
    scores = np.concatenate([np.zeros(0, np.float32), *(s[m.counted] for s, m in pairs)])
    hits = np.concatenate([np.zeros(0, bool), *(m.hits[m.counted] for _, m in pairs)])
    return reliability_bins(scores, hits)


def worst_mistakes(
    samples: Sequence[DetectionSample], detections: Sequence[Detections], *, threshold: float, most: int = MOST
) -> list[Mistake]:
    """False boxes above the threshold, surest first, in turn with missed people, tallest in their picture first."""
    false: list[Mistake] = []
    missed: list[tuple[float, Mistake]] = []
    for row, (sample, found) in enumerate(zip(samples, detections, strict=True)):
        above = found.scores > threshold
        kept = Detections(
            boxes_xyxy=found.boxes_xyxy[above], scores=found.scores[above], class_ids=found.class_ids[above]
        )
        matched = match(sample, kept)
        false += _false_boxes(row, sample, kept, matched)
        missed += _missed_boxes(row, sample, found, matched)
    false.sort(key=lambda mistake: -mistake.score)
    rows: dict[int, int] = {}
    chosen: list[Mistake] = []
    queues = [false, [mistake for _, mistake in sorted(missed, key=lambda pair: -pair[0])]]
    while any(queues) and len(chosen) < most:
        for queue in queues:
            while queue and rows.get(queue[0].row, 0) >= PER_PICTURE:
                queue.pop(0)
            if queue and len(chosen) < most:
                chosen.append(queue.pop(0))
                rows[chosen[-1].row] = rows.get(chosen[-1].row, 0) + 1
    return chosen


def _false_boxes(row: int, sample: DetectionSample, found: Detections, matched: Matched) -> list[Mistake]:
    overlap = np.nan_to_num(geometry.iou(found.boxes_xyxy, sample.boxes_xyxy))
    mistakes = []
    for box in np.flatnonzero(matched.counted & ~matched.hits):
        shared = float(overlap[box].max(initial=0.0))
        below = int(sample.class_ids[int(overlap[box].argmax())]) if shared > 0 else None
        score, kind = float(found.scores[box]), int(found.class_ids[box])
        mistakes.append(Mistake(row, found.boxes_xyxy[box], kind, score, False, below, shared))
    return mistakes


def _missed_boxes(
    row: int, sample: DetectionSample, found: Detections, matched: Matched
) -> list[tuple[float, Mistake]]:
    overlap = np.nan_to_num(geometry.iou(found.boxes_xyxy, sample.boxes_xyxy))
    mistakes = []
    for box in np.flatnonzero(~matched.found):
        near = found.scores[(overlap[:, box] >= IOU) & (found.class_ids == sample.class_ids[box])]
        x = sample.boxes_xyxy[box]
        tallness = float((x[3] - x[1]) / max(sample.size_wh[1], 1))
        score = float(near.max(initial=0.0))
        mistakes.append((tallness, Mistake(row, x, int(sample.class_ids[box]), score, True)))
    return mistakes


def mistakes_sheet(
    mistakes: Sequence[Mistake],
    samples: Sequence[DetectionSample],
    detections: Sequence[Detections],
    classes: Sequence[str],
    *,
    threshold: float,
) -> ImageBgr:
    """A contact sheet of `worst_mistakes`, each a view of the place: (H, W, 3) uint8 BGR."""
    columns = min(COLUMNS, max(len(mistakes), 3))
    cell_height = PICTURE_HEIGHT + TEXT_HEIGHT + GAP
    lines = -(-len(mistakes) // columns)
    sheet = Sheet(2 * MARGIN + columns * (CELL_WIDTH + GAP) - GAP, 2 * MARGIN + lines * cell_height - GAP)
    for place, mistake in enumerate(mistakes):
        x = MARGIN + place % columns * (CELL_WIDTH + GAP)
        y = MARGIN + place // columns * cell_height
        sample = samples[mistake.row]
        sheet.box(x, y, x + CELL_WIDTH, y + PICTURE_HEIGHT, LINE)
        try:
            view = view_of(mistake, read_picture(sample.path), sample, detections[mistake.row], threshold=threshold)
            sheet.picture(x, y, CELL_WIDTH, PICTURE_HEIGHT, view)
        except PasserbyError as error:
            sheet.text(x + 8, y + 8, error.name, size=13, colour=ALARM, room=CELL_WIDTH - 16)
        said, truth = _words(mistake, classes)
        y += PICTURE_HEIGHT + 3
        sheet.text(x, y, said, size=15, colour=ALARM, room=CELL_WIDTH)
        sheet.text(x, y + 19, truth, size=13, room=CELL_WIDTH)
        name = sample.file if len(sample.file) <= 46 else "…" + sample.file[-45:]
        sheet.text(x, y + 37, name, size=12, colour=FAINT, room=CELL_WIDTH)
    return sheet.bgr()


def _words(mistake: Mistake, classes: Sequence[str]) -> tuple[str, str]:
    name = classes[mistake.class_id]
    if mistake.missed:
        height = round(float(mistake.box_xyxy[3] - mistake.box_xyxy[1]))
        best = f"best score on it {mistake.score:.2f}" if mistake.score else "no box on it at any score"
        return f"missed: {name}", f"{height} px high, {best}"
    said = f"false: {name} {mistake.score:.2f}"
    if mistake.other is None or mistake.overlap < TOUCH:
        return said, "nothing is labelled there"
    other = classes[mistake.other]
    if mistake.overlap < IOU:
        return said, f"overlaps {other} by {mistake.overlap:.2f}, {IOU:g} is needed"
    return said, "a second box on the same one" if mistake.other == mistake.class_id else f"labelled {other}"


def view_of(
    mistake: Mistake, pixels_bgr: ImageBgr, sample: DetectionSample, found: Detections, *, threshold: float
) -> ImageBgr:
    """The place of a mistake with what lies around it: true boxes green, boxes found white, the mistake thick."""
    x1, y1, x2, y2 = _window(mistake.box_xyxy, pixels_bgr.shape[1], pixels_bgr.shape[0])
    window = pixels_bgr[y1:y2, x1:x2]
    view = fitted(window, CELL_WIDTH, PICTURE_HEIGHT).copy()
    scale = view.shape[1] / window.shape[1]

    def draw(box: NDArray[np.float32], colour: tuple[int, int, int], width: int) -> None:
        corners = np.rint((box - np.array([x1, y1, x1, y1])) * scale).astype(int).tolist()
        for shade, thickness in (((20, 20, 20), width + 2), (colour, width)):
            cv2.rectangle(view, corners[:2], corners[2:], shade, thickness)

    for box in found.boxes_xyxy[found.scores > threshold]:
        draw(box, FOUND_BGR, 2)
    for box in sample.boxes_xyxy[~sample.crowd]:
        draw(box, TRUE_BGR, 2)
    draw(mistake.box_xyxy, MISSED_BGR if mistake.missed else FALSE_BGR, 4)
    return view


def _window(box: NDArray[np.float32], width: int, height: int) -> tuple[int, int, int, int]:
    """A part of the picture around a box, of the cell's proportions where the picture is large enough."""
    ratio = CELL_WIDTH / PICTURE_HEIGHT
    tall = max(CONTEXT * (box[3] - box[1]), CONTEXT * (box[2] - box[0]) / ratio, LEAST_PX)
    wide_px, tall_px = min(width, round(float(tall) * ratio)), min(height, round(float(tall)))
    left = int(np.clip((box[0] + box[2] - wide_px) / 2, 0, width - wide_px))
    top = int(np.clip((box[1] + box[3] - tall_px) / 2, 0, height - tall_px))
    return left, top, left + wide_px, top + tall_px


def legend() -> Mapping[str, str]:
    """What the colours of the sheet mean."""
    return {"red": "a false box", "amber": "a missed person", "green": "a true box", "white": "a box that was found"}
