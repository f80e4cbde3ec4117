# SPDX-License-Identifier: Apache-2.0
"""Contact sheets of a data set: what is said to be there beside what is to be seen, so that wrong labels stand out.

Crops: a row for each label with some that have it and some that have not. Pictures: their boxes drawn in. Which ones
are shown is drawn by lot, the same for the same data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from ..draw import PALETTE
from ..errors import InputError, shown
from ..types import ImageBgr
from .check_pictures import read_picture
from .records import UNKNOWN, AttributeSample, AttributeSet, DetectionSample, DetectionSet
from .sheet import ALARM, FAINT, LINE, Sheet, fitted

LABELS_PER_SHEET, MOST_SHEETS = 12, 20
YES, NO = 8, 4
CROP_WH = (72, 144)
PICTURES, PICTURE_COLUMNS, PICTURE_WH = 12, 3, (400, 300)
GAP, MARGIN, NAME_WIDTH, BETWEEN = 8, 20, 200, 24
TITLE_HEIGHT, HEADING_HEIGHT, CAPTION_HEIGHT = 48, 26, 26
SAMPLE_SIDE, SAMPLE_CROP_HEIGHT, SAMPLE_TEXT_WIDTH, SAMPLE_LINE = 1280, 320, 300, 19
CROWD_BGR = (150, 150, 150)


def attribute_sheets(data: AttributeSet, split: str) -> Iterator[ImageBgr]:
    """Sheets of 12 labels each, 20 at most: up to 8 crops that have the label and up to 4 that have not.

    Returns:
        (H, W, 3) uint8 BGR each.
    """
    count = len(data.label_set.labels)
    if not data.splits[split]:
        return
    for number, first in enumerate(range(0, min(count, LABELS_PER_SHEET * MOST_SHEETS), LABELS_PER_SHEET)):
        yield _labels_sheet(data, split, range(first, min(first + LABELS_PER_SHEET, count)), number)


def _labels_sheet(data: AttributeSet, split: str, labels: range, number: int) -> ImageBgr:
    row_height = CROP_WH[1] + GAP
    no_left = MARGIN + NAME_WIDTH + YES * (CROP_WH[0] + GAP) + BETWEEN
    width = no_left + NO * (CROP_WH[0] + GAP) - GAP + MARGIN
    top = TITLE_HEIGHT + HEADING_HEIGHT
    sheet = Sheet(width, top + len(labels) * row_height + MARGIN - GAP)
    span = f"labels {labels.start} to {labels.stop - 1} of {len(data.label_set.labels)}"
    sheet.text(MARGIN, 14, f"{shown(data.root.resolve().name, 60)}, {split}: {span}", size=22, room=width - 2 * MARGIN)
    sheet.text(MARGIN + NAME_WIDTH, TITLE_HEIGHT, "labelled yes", size=16, colour=FAINT)
    sheet.text(no_left, TITLE_HEIGHT, "labelled no", size=16, colour=FAINT)
    targets = data.targets(split)
    for row, label in enumerate(labels):
        y = top + row * row_height
        sheet.box(MARGIN, y - GAP / 2, width - MARGIN, y - GAP / 2 + 1, LINE)
        _label_name(sheet, data, label, targets[:, label], y)
        for value, left, most in ((1, MARGIN + NAME_WIDTH, YES), (0, no_left, NO)):
            rng = np.random.default_rng((number, label, value))
            rows = np.flatnonzero(targets[:, label] == value)
            for place, sample in enumerate(sorted(rng.permutation(rows)[:most])):
                pixels = _seen(data.splits[split][sample].path)
                sheet.picture(left + place * (CROP_WH[0] + GAP), y, *CROP_WH, pixels)
            if not len(rows):
                sheet.text(left, y + CROP_WH[1] / 2 - 10, "none", size=16, colour=ALARM if value else FAINT)
    return sheet.bgr()


def _label_name(sheet: Sheet, data: AttributeSet, number: int, targets: np.ndarray, top: int) -> None:
    label = data.label_set.labels[number]
    room = NAME_WIDTH - 12
    counts = [int((targets == value).sum()) for value in (1, 0, UNKNOWN)]
    sheet.text(MARGIN, top + 8, f"{number}  {label.en}", size=17, room=room)
    line = top + 34
    if label.zh and label.zh != label.en:
        sheet.text(MARGIN, line, label.zh, size=15, room=room)
        line += 24
    if label.group:
        sheet.text(MARGIN, line, f"one of {label.group}", size=13, colour=FAINT, room=room)
        line += 20
    for text, count in zip(("yes", "no", "not labelled"), counts, strict=True):
        if count or text == "yes":
            sheet.text(MARGIN, line, f"{count} {text}", size=13, colour=FAINT if count else ALARM, room=room)
            line += 17


def detection_sheet(data: DetectionSet, split: str) -> ImageBgr | None:
    """A sheet of up to 12 pictures with their boxes: the fullest, the one with the lowest box, an empty one, others.

    Returns:
        (H, W, 3) uint8 BGR; None for a split without pictures.
    """
    samples = data.splits[split]
    if not samples:
        return None
    chosen = _telling(samples)
    rows = -(-len(chosen) // PICTURE_COLUMNS)
    columns = min(PICTURE_COLUMNS, len(chosen))
    cell_height = PICTURE_WH[1] + CAPTION_HEIGHT + GAP
    width = max(2 * MARGIN + columns * (PICTURE_WH[0] + GAP) - GAP, 700)
    sheet = Sheet(width, TITLE_HEIGHT + rows * cell_height + MARGIN)
    title = f"{shown(data.root.resolve().name, 60)}, {split}: {len(chosen)} of {len(samples)} pictures"
    sheet.text(MARGIN, 14, title, size=22, room=width - 2 * MARGIN)
    for place, sample in enumerate(chosen):
        x = MARGIN + place % PICTURE_COLUMNS * (PICTURE_WH[0] + GAP)
        y = TITLE_HEIGHT + place // PICTURE_COLUMNS * cell_height
        sheet.picture(x, y, *PICTURE_WH, boxed(sample, PICTURE_WH))
        count, crowd = int((~sample.crowd).sum()), int(sample.crowd.sum())
        caption = f"{count} box{'' if count == 1 else 'es'}" + (f", {crowd} of crowd" if crowd else "")
        used = sheet.text(x, y + PICTURE_WH[1] + 3, caption, size=14)
        sheet.text(
            x + used + 10, y + PICTURE_WH[1] + 3, sample.file, size=14, colour=FAINT, room=PICTURE_WH[0] - used - 10
        )
    return sheet.bgr()


def _telling(samples: Sequence[DetectionSample]) -> list[DetectionSample]:
    counts = np.array([len(sample.boxes_xyxy) for sample in samples])
    heights = np.array(
        [(s.boxes_xyxy[:, 3] - s.boxes_xyxy[:, 1]).min() if len(s.boxes_xyxy) else np.inf for s in samples]
    )
    first = [int(counts.argmax()), int(heights.argmin()), int(counts.argmin())]
    others = sorted(np.random.default_rng(0).permutation(len(samples)).tolist(), key=lambda i: counts[i] == 0)
    return [samples[i] for i in list(dict.fromkeys([*first, *others]))[:PICTURES]]


def boxed(sample: DetectionSample, room_wh: tuple[int, int]) -> ImageBgr:
    """A picture shrunk to fit into `room_wh`, with its boxes in the colours of their classes; crowd regions are grey.

    Returns:
        (h, w, 3) uint8 BGR, a copy.
    """
    pixels = fitted(_seen(sample.path), *room_wh, enlarge=1.0).copy()
    scale = np.array([pixels.shape[1] / sample.size_wh[0], pixels.shape[0] / sample.size_wh[1]] * 2)
    thickness = max(2, round(min(pixels.shape[:2]) / 240))
    for box, class_id, crowd in zip(sample.boxes_xyxy * scale, sample.class_ids, sample.crowd, strict=True):
        x1, y1, x2, y2 = (int(v) for v in np.rint(box))
        colour = CROWD_BGR if crowd else PALETTE[int(class_id) % len(PALETTE)]
        # a dark line below the bright one: it shows on any ground
        cv2.rectangle(pixels, (x1, y1), (x2 - 1, y2 - 1), (0, 0, 0), thickness + 2)
        cv2.rectangle(pixels, (x1, y1), (x2 - 1, y2 - 1), colour, thickness)
    return pixels


def attribute_sample(data: AttributeSet, sample: AttributeSample) -> ImageBgr:
    """One crop with the labels that it has beside it.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    labels = data.label_set.labels
    yes = [label.en for label, value in zip(labels, sample.targets, strict=True) if value == 1]
    open_ones = [label.en for label, value in zip(labels, sample.targets, strict=True) if value == UNKNOWN]
    lines = [(f"+ {name}", False) for name in yes] or [("no label is yes", True)]
    lines += [(f"? {name}", True) for name in open_ones]
    most = (SAMPLE_CROP_HEIGHT - 2 * GAP) // SAMPLE_LINE - 1
    if len(lines) > most:
        lines = [*lines[: most - 1], (f"and {len(lines) - most + 1} more", True)]
    pixels = fitted(_seen(sample.path), SAMPLE_CROP_HEIGHT, SAMPLE_CROP_HEIGHT)
    sheet = Sheet(pixels.shape[1] + 2 * GAP + SAMPLE_TEXT_WIDTH, SAMPLE_CROP_HEIGHT + 2 * GAP)
    sheet.picture(GAP, GAP, pixels.shape[1], SAMPLE_CROP_HEIGHT, pixels)
    left, room = pixels.shape[1] + 3 * GAP, SAMPLE_TEXT_WIDTH - 2 * GAP
    sheet.text(left, GAP, sample.file, size=13, colour=FAINT, room=room)
    for number, (text, faint) in enumerate(lines, 1):
        y = GAP + 4 + number * SAMPLE_LINE
        if faint:
            sheet.text(left, y, text, size=15, colour=FAINT, room=room)
        else:
            sheet.text(left, y, text, size=15, room=room)
    return sheet.bgr()


def _seen(path: Path) -> ImageBgr:
    """The pixels of a picture; in place of one that cannot be read a crossed sheet, for checks that decode nothing."""
    try:
        return read_picture(path)
    except InputError:
        pixels = np.full((96, 96, 3), 235, np.uint8)
        for start, end in (((0, 0), (95, 95)), ((0, 95), (95, 0))):
            cv2.line(pixels, start, end, ALARM[::-1], 2, cv2.LINE_AA)
        return pixels
