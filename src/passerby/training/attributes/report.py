# SPDX-License-Identifier: Apache-2.0
"""The report of an attribute model: from the figures' JSON and the crops to the sections of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...datasets.records import AttributeSample, LabelSet
from ...files import encode_image
from .. import report_plots as plots
from ..report_page import Item, Picture, Section, Table, Text, Tile, number
from .mistakes import mistakes_sheet, surest_mistakes

KINDS = {"plain": "at 0.5", "set": "at the thresholds in force", "tuned": "at tuned thresholds"}
MEANS = {
    "mA": "mA",
    "label_accuracy": "label accuracy",
    "label_precision": "label precision",
    "label_recall": "label recall",
    "label_f1": "label F1",
    "instance_accuracy": "instance accuracy",
    "instance_precision": "instance precision",
    "instance_recall": "instance recall",
    "instance_f1": "instance F1",
}
GAP_FIGURES = {"mA": "mA", "auc": "AUC", "f1": "F1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeEvidence:
    """What the figures were made from; without it a report has no sheet of mistakes.

    Attributes:
        samples: N crops.
        label_set: what the C columns mean.
        probabilities: (N, C) as the model said.
        thresholds: (C,) those in force.
    """

    samples: Sequence[AttributeSample]
    label_set: LabelSet
    probabilities: NDArray[Any]
    thresholds: Sequence[float] | NDArray[Any]


def attribute_tiles(figures: Mapping[str, Any]) -> tuple[Tile, ...]:
    """The figures at the top."""
    summary = figures["summary"]
    cross = "each crop judged by the others" if figures["tuned_on"] == "cross" else "tuned on other crops"
    return (
        Tile(value=number(summary["mA"]), name="mA", note="at 0.5"),
        Tile(value=number(summary["mA_set"]), name="mA", note="at the thresholds in force"),
        Tile(value=number(summary["mA_tuned"]), name="mA", note=f"at tuned thresholds, {cross}"),
        Tile(value=number(summary["f1"]), name="F1", note="mean of the labels, at 0.5"),
        Tile(value=number(summary["mAP"]), name="mAP", note="no threshold"),
        Tile(value=number(summary["auc"]), name="AUC", note="mean of the labels, no threshold"),
        Tile(value=number(summary["ece"]), name="ECE", note="calibration error, 0 is best"),
    )


def attribute_sections(figures: Mapping[str, Any], evidence: AttributeEvidence | None) -> tuple[Section, ...]:
    """Everything below the tiles."""
    sections = [_thresholds(figures), _labels(figures), _curves(figures), _reliability(figures)]
    if figures["groups"]:
        sections.append(_groups(figures))
    sections += [_column(name, column) for name, column in figures["columns"].items()]
    if evidence is not None:
        sections.append(_mistakes(evidence))
    if figures.get("paddle"):
        sections.append(_paddle(figures["paddle"]))
    return tuple(sections)


def _thresholds(figures: Mapping[str, Any]) -> Section:
    rows = [(name, *(number(figures["at"][kind][key]) for kind in KINDS)) for key, name in MEANS.items()]
    text = (
        "Label-based figures are taken label by label and averaged over the labels that have both positives and "
        "negatives here; mA is the mean of the recall of positives and of negatives. Instance-based figures compare "
        "each person's set of labels. Entries that nobody labelled count nowhere."
    )
    if figures["tuned_on"] == "cross":
        text += " Tuned thresholds are measured in five folds: none of them saw the crops that it is measured on."
    return Section(title="Figures", items=(Text(text), Table(head=("", *KINDS.values()), rows=tuple(rows))))


def _labels(figures: Mapping[str, Any]) -> Section:
    labels = figures["labels"]
    bars = [
        plots.Bar(
            name=row["en"],
            value=row["at"]["set"]["mean_accuracy"] if row["positives"] + row["negatives"] else None,
            mark=row["at"]["tuned"]["mean_accuracy"],
            support=row["positives"],
            others=row["negatives"],
        )
        for row in labels
    ]
    picture = plots.bars(
        bars,
        value_name="mean accuracy at the thresholds in force",
        mark_name="at tuned ones",
        support_names=("positives", "negatives"),
    )
    head = ("label", "id", "positives", "negatives", "AP", "AUC", "ECE", "threshold", "tuned")
    rows = [
        (
            row["en"],
            row["id"],
            f"{row['positives']}",
            f"{row['negatives']}",
            *(number(row[key]) for key in ("ap", "auc", "ece")),
            *(number(row["thresholds"][kind], 2) for kind in ("set", "tuned")),
            *(number(row["at"]["set"][key]) for key in ("mean_accuracy", "precision", "recall", "f1")),
        )
        for row in labels
    ]
    text = (
        f"Mean accuracy, precision, recall and F1 are those at the thresholds in force. A label with fewer than "
        f"{plots.THIN} positives is drawn pale: its figures rest on too little."
    )
    items: tuple[Item, ...] = (
        Text(text),
        Picture(file="labels.png", data=picture, alt="Mean accuracy and support of each label"),
        Table(head=(*head, "mean acc.", "precision", "recall", "F1"), rows=tuple(rows), words=2),
    )
    return Section(title="Label by label", items=items)


def _curves(figures: Mapping[str, Any]) -> Section:
    rows = [row for row in figures["labels"] if figures["curves"].get(row["id"], {}).get("recall")]
    shown = rows
    if len(rows) > plots.MOST_CURVES:  # the weakest are what one looks for
        weakest = sorted(rows, key=lambda row: row["ap"])[: plots.MOST_CURVES]
        shown = [row for row in rows if row in weakest]
    if not shown:
        return Section(title="Precision and recall", items=(Text("No label has a positive, so there is no curve."),))
    curves, points = [], []
    for row in shown:
        curve = figures["curves"][row["id"]]
        base = row["positives"] / (row["positives"] + row["negatives"])
        # the step before the first point: the surest ones have the precision of the first
        x, y = [0.0, *curve["recall"]], [curve["precision"][0], *curve["precision"]]
        curves.append(plots.Curve(name=row["en"], x=x, y=y, support=row["positives"], value=row["ap"], base=base))
        at = row["at"]["set"]
        told = at["recall"] is not None and at["precision"] is not None
        points.append((at["recall"], at["precision"]) if told else None)
    left_out = "" if len(shown) == len(rows) else f" The {len(shown)} labels with the lowest AP of {len(rows)}."
    text = (
        "What share of the people with a label is found (recall), and what share of those named has it (precision), "
        f"over all thresholds. The dot is the threshold in force, the dashed line what guessing reaches.{left_out}"
    )
    picture = plots.curve_grid(curves, points=points)
    return Section(
        title="Precision and recall",
        items=(Text(text), Picture(file="pr_curves.png", data=picture, alt="Precision against recall of each label")),
    )


def _reliability(figures: Mapping[str, Any]) -> Section:
    text = (
        "Of everything that was said with a probability of about 0.8, eight in ten should be true. Points below the "
        "dashed line: the model is surer than it should be. All labels together; the bars count the answers in each "
        "tenth, the thin lines are 95 % intervals."
    )
    picture = plots.reliability(figures["reliability"], share_name="share that is true")
    alt = "Share of true answers against stated probability, with counts"
    return Section(
        title="Reliability of the probabilities",
        items=(Text(text), Picture(file="reliability.png", data=picture, alt=alt, width=640)),
    )


def _groups(figures: Mapping[str, Any]) -> Section:
    rows = tuple((g["en"], g["id"], number(g["accuracy"]), f"{g['support']}") for g in figures["groups"])
    text = "Of each exclusive group the share of crops whose likeliest label is the labelled one."
    table = Table(head=("group", "id", "accuracy", "crops"), rows=rows, words=2)
    return Section(title="Groups of which one label holds", items=(Text(text), table))


def _column(name: str, column: Mapping[str, Any]) -> Section:
    rows = [
        (value, f"{row['samples']}", *(number(row[key]) for key in GAP_FIGURES))
        for value, row in column["values"].items()
    ]
    gaps = [
        f"{GAP_FIGURES[key]} differs by {number(gap['difference'])} between {gap['best']} and {gap['worst']}"
        for key, gap in column["gap"].items()
    ]
    judged = f"over the {column['labels']} labels that every value can judge"
    text = f"{'; '.join(gaps) or 'Too few crops to tell a gap'} ({judged})."
    return Section(
        title=f"By {name}",
        items=(Text(text), Table(head=(name, "crops", *GAP_FIGURES.values()), rows=tuple(rows))),
    )


def _mistakes(evidence: AttributeEvidence) -> Section:
    targets = np.array([sample.targets for sample in evidence.samples]).reshape(evidence.probabilities.shape)
    found = surest_mistakes(evidence.probabilities, targets, np.asarray(evidence.thresholds))
    title = "The surest mistakes"
    if not found:
        return Section(title=title, items=(Text("There is none: every labelled entry was judged as it is labelled."),))
    text = (
        "Where the model was surest and the label says otherwise, at the thresholds in force. Look at the labels "
        "first: some of these may be mistakes of the data set."
    )
    sheet = mistakes_sheet(found, evidence.samples, evidence.label_set)
    picture = Picture(file="mistakes.png", data=encode_image(sheet, ".png"), alt=_told(found, evidence))
    return Section(title=title, items=(Text(text), picture))


def _told(found: Sequence[Sequence[Any]], evidence: AttributeEvidence) -> str:
    first = found[0][0]
    label = evidence.label_set.labels[first.label].en
    return (
        f"Contact sheet of {len(found)} crops with mistakes, the surest: {label}, probability {first.probability:.2f}"
    )


def _paddle(figures: Mapping[str, float | None]) -> Section:
    text = (
        "As the original's evaluation computes them, quirks included: logits are compared with 0.5, which is a "
        "probability of 0.622, and label_f1 uses the mean recall. For comparison with figures from there alone."
    )
    rows = tuple((name, number(value, 5)) for name, value in figures.items())
    return Section(title="PaddleX's own figures", items=(Text(text), Table(head=("figure", "value"), rows=rows)))
