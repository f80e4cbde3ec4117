# SPDX-License-Identifier: Apache-2.0
"""The report of a detector: from the figures' JSON and the pictures to the sections of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...datasets.records import DetectionSample
from ...detector import Detections
from ...files import encode_image
from .. import report_plots as plots
from ..report_page import Picture, Section, Table, Text, Tile, number
from .mistakes import legend, mistakes_sheet, score_bins, worst_mistakes

SUMMARY = {
    "AP": "AP, mean over IoU 0.50 to 0.95",
    "AP50": "AP at IoU 0.50",
    "AP75": "AP at IoU 0.75",
    "APs": "AP of small boxes, below 32 x 32 px",
    "APm": "AP of medium boxes, below 96 x 96 px",
    "APl": "AP of large boxes",
    "AR1": "AR with 1 box a picture",
    "AR10": "AR with 10 boxes a picture",
    "AR100": "AR with 100 boxes a picture",
    "ARs": "AR of small boxes",
    "ARm": "AR of medium boxes",
    "ARl": "AR of large boxes",
    "miss_rate": "log-average miss rate, lower is better",
}
MOST_CLASSES = 8  # more lines than this cannot be told apart


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionEvidence:
    """What the figures were made from; without it a report has no reliability and no sheet of mistakes.

    Attributes:
        samples: the pictures. detections: what was found in each, class ids as in the samples, all scores.
        classes: their names.
        threshold: from which score a box counts in the sheet of mistakes.
    """

    samples: Sequence[DetectionSample]
    detections: Sequence[Detections]
    classes: Sequence[str]
    threshold: float = 0.5


def detection_tiles(figures: Mapping[str, Any]) -> tuple[Tile, ...]:
    """The figures at the top."""
    summary = figures["summary"]
    return (
        Tile(value=number(summary["AP"]), name="AP", note="IoU 0.50 to 0.95"),
        Tile(value=number(summary["AP50"]), name="AP50", note="IoU 0.50"),
        Tile(value=number(summary["AP75"]), name="AP75", note="IoU 0.75"),
        Tile(value=number(summary["AR100"]), name="AR100", note="recall, 100 boxes a picture"),
        Tile(value=number(summary["miss_rate"]), name="miss rate", note="log-average, lower is better"),
        Tile(value=f"{figures['boxes']:,}", name="true boxes", note=f"in {figures['pictures']:,} pictures"),
    )


def detection_sections(figures: Mapping[str, Any], evidence: DetectionEvidence | None) -> tuple[Section, ...]:
    """Everything below the tiles."""
    sections = [_summary(figures), _classes(figures), _curves(figures)]
    if evidence is not None:
        sections += [_reliability(evidence), _mistakes(evidence)]
    return tuple(sections)


def _summary(figures: Mapping[str, Any]) -> Section:
    text = "As COCO defines them. A dash: the truth has no such box."
    if figures["crowds"]:
        text += f" {figures['crowds']} regions of crowds count neither as found nor as missed."
    rows = tuple((name, number(figures["summary"].get(key))) for key, name in SUMMARY.items())
    return Section(title="Figures", items=(Text(text), Table(head=("figure", "value"), rows=rows)))


def _classes(figures: Mapping[str, Any]) -> Section:
    classes = figures["classes"]
    bars = [
        plots.Bar(name=row["name"], value=row["ap50"], mark=row["ap"], support=row["boxes"], others=None)
        for row in classes
    ]
    picture = plots.bars(bars, value_name="AP50", mark_name="AP", support_names=("true boxes", ""))
    rows = tuple(
        (
            row["name"],
            f"{row['boxes']}",
            *(number(row[key]) for key in ("ap", "ap50", "ap75", "ar100", "miss_rate", "best_f1", "best_f1_score")),
        )
        for row in classes
    )
    head = ("class", "boxes", "AP", "AP50", "AP75", "AR100", "miss rate", "best F1", "at score")
    text = "The last two columns: the best F1 at IoU 0.5, and the score threshold that reaches it."
    return Section(
        title="Class by class",
        items=(
            Picture(file="classes.png", data=picture, alt="AP and number of true boxes of each class"),
            Text(text),
            Table(head=head, rows=rows),
        ),
    )


def _curves(figures: Mapping[str, Any]) -> Section:
    rows = sorted((row for row in figures["classes"] if row["curves"]), key=lambda row: -row["boxes"])[:MOST_CLASSES]
    if not rows:
        return Section(title="Curves", items=(Text("There is no true box, so there is no curve."),))
    kinds = [f"IoU {curve['iou']:g}" for curve in rows[0]["curves"]]
    by_class = {
        row["name"]: [
            plots.Curve(name=row["name"], x=c["recall"], y=c["precision"], value=value)
            for c, value in zip(row["curves"], (row["ap50"], row["ap75"]), strict=True)
        ]
        for row in rows
    }
    misses = [
        plots.Curve(
            name=row["name"],
            x=row["miss_curve"]["false_per_picture"],
            y=row["miss_curve"]["missed"],
            value=row["miss_rate"],
        )
        for row in rows
    ]
    few = f" The {len(rows)} classes with the most boxes." if len(rows) < len(figures["classes"]) else ""
    return Section(
        title="Curves",
        items=(
            Text(f"Precision against recall over all score thresholds.{few}"),
            Picture(
                file="pr_curves.png",
                data=plots.detection_curves(by_class, kinds=kinds),
                alt="Precision against recall of each class",
                width=820,
            ),
            Text(
                "The share of people missed against the false boxes a picture, from a strict threshold on the left to "
                "none on the right; the number is the miss rate."
            ),
            Picture(
                file="miss_rate.png",
                data=plots.miss_curves(misses),
                alt="Share of people missed against false boxes a picture",
                width=660,
            ),
        ),
    )


def _reliability(evidence: DetectionEvidence) -> Section:
    bins = score_bins(evidence.samples, evidence.detections)
    text = (
        "What share of the boxes with a score is on a person (IoU 0.5, each person once). Points below the dashed "
        "line: the scores promise more than they keep. Scores of detectors are not made to be probabilities."
    )
    picture = plots.reliability(bins, share_name="share that is on a person", probability_name="score")
    alt = "Share of right boxes against score, with counts"
    return Section(
        title="Reliability of the scores",
        items=(Text(text), Picture(file="reliability.png", data=picture, alt=alt, width=640)),
    )


def _mistakes(evidence: DetectionEvidence) -> Section:
    found = worst_mistakes(evidence.samples, evidence.detections, threshold=evidence.threshold)
    title = "The worst mistakes"
    if not found:
        return Section(title=title, items=(Text(f"There is none at score {evidence.threshold:g}."),))
    sheet = mistakes_sheet(found, evidence.samples, evidence.detections, evidence.classes, threshold=evidence.threshold)
    colours = ", ".join(f"{colour} {meaning}" for colour, meaning in legend().items())
    text = (
        f"At score {evidence.threshold:g}, in turn: false boxes, the surest first, and missed ones, the tallest in "
        f"their picture first. Colours: {colours}. Look at the labels first: some may be mistakes of the data set."
    )
    false = sum(not mistake.missed for mistake in found)
    alt = f"Contact sheet of {false} false boxes and {len(found) - false} missed ones"
    return Section(
        title=title, items=(Text(text), Picture(file="mistakes.png", data=encode_image(sheet, ".png"), alt=alt))
    )
