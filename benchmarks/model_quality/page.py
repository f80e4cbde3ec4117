# SPDX-License-Identifier: Apache-2.0
"""Tables of docs/model-quality.md from the JSON, each put between its marks; the text around them is written by hand.

A table that was not measured says so and why. With an earlier JSON tables carry a column `previous`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from passerby.files import atomic_write

from .detection_tables import detection_table, people_free_table, recall_table
from .markdown import absent_line, before, get, markdown, number, span

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """One line of the first table: where the figure stands in the JSON, what it should reach, the teacher's figure."""

    title: str
    path: tuple[str, ...]
    aim: str = ""
    beside_teacher: bool = False

    @property
    def teacher(self) -> tuple[str, ...]:
        """Where the teacher's figure stands: below `teacher` of the same part."""
        return (self.path[0], "teacher", *self.path[1:]) if self.beside_teacher else ()


EYE, PLACES, DETECTION = "by-eye", "places", "detection"
HEADLINE = (
    Aim(title="attributes, by-eye val: mean AUC", path=(EYE, "summary", "mean_auc"), aim="0.90"),
    Aim(title="mA at 0.5", path=(EYE, "summary", "mean_ma_half"), aim="0.80, here or below"),
    Aim(title="mA at the stored thresholds", path=(EYE, "summary", "mean_ma_stored"), aim="0.80, here or above"),
    Aim(title="calibration error, all labels together", path=(EYE, "summary", "ece"), aim="at most 0.05"),
    Aim(title="calibration error, mean of the labels", path=(EYE, "summary", "mean_label_ece"), aim="at most 0.05"),
    Aim(title="upper colour right", path=(EYE, "colours", "upper_colour", "accuracy")),
    Aim(title="lower colour right", path=(EYE, "colours", "lower_colour", "accuracy")),
    Aim(title="PETA, never learnt from: mean AUC", path=(PLACES, "peta", "summary", "mean_auc"), aim="0.78"),
    Aim(title="Market-1501, likewise: mean AUC", path=(PLACES, "market1501", "summary", "mean_auc"), aim="0.75"),
    Aim(
        title="detector, `human_oi_coco` val, 100 px and more: AP50",
        path=(DETECTION, "human_oi_coco", "from_100_px", "ap50"),
        aim="0.76",
        beside_teacher=True,
    ),
    Aim(
        title="the same, all persons: AP50",
        path=(DETECTION, "human_oi_coco", "from_0_px", "ap50"),
        aim="0.52",
        beside_teacher=True,
    ),
    Aim(
        title="detector, 128 photos of COCO val2017, all persons: AP50",
        path=(DETECTION, "coco128", "from_0_px", "ap50"),
        aim="0.60",
        beside_teacher=True,
    ),
    Aim(
        title="detector, Penn-Fudan, upright pedestrians of 100 px and more: AP50",
        path=(DETECTION, "penn_fudan", "from_100_px", "ap50"),
        aim="0.95",
        beside_teacher=True,
    ),
    Aim(
        title="detector, false boxes a photo without people",
        path=(DETECTION, "people_free", "false_per_photo"),
        beside_teacher=True,
    ),
)


def fill(page: Path, content: Json, previous: Json | None) -> None:
    """Put every table between its marks in the page; a page that lacks a mark leaves its table out."""
    atomic_write(page, filled(page.read_text("utf-8"), content, previous).encode("utf-8"))


def filled(text: str, content: Json, previous: Json | None) -> str:
    """The text with every table between its marks, `<!-- name -->` and `<!-- end -->`, made anew."""
    for name, table in TABLES.items():
        start, end = f"<!-- {name} -->", "<!-- end -->"
        head, found, rest = text.partition(start)
        if found:
            text = f"{head}{start}\n{table(content, previous)}\n{end}{rest.partition(end)[2]}"
    return text


def headline(content: Json, previous: Json | None, *, of: Sequence[str] = (EYE, PLACES, DETECTION)) -> str:
    """The figures that the aims are about; `of` names the parts."""
    rows = []
    for aim in HEADLINE:
        if aim.path[0] not in of:
            continue
        path = ("parts", *aim.path)
        interval = get(content, *path[:-1], f"{path[-1]}_interval")
        teacher = number(get(content, "parts", *aim.teacher)) if aim.teacher else ""
        shown = number(get(content, *path))
        rows.append([aim.title, shown, span(interval), *before(previous, *path), teacher, aim.aim])
    previous_title = ["previous"] if previous else []
    table = markdown(["figure", "now", "95 %", *previous_title, "teacher", "aim"], rows)
    return "\n".join([table, *_absences(content, of)])


def _absences(content: Json, of: Sequence[str]) -> list[str]:
    """A line for each set that could not be measured."""
    places = (
        ("by-eye val", (EYE,)), ("PETA", (PLACES, "peta")), ("Market-1501", (PLACES, "market1501")),
        *((name, (DETECTION, name)) for name in ("human_oi_coco", "coco128", "penn_fudan")),
    )  # fmt: skip
    lines = [(name, absent_line(get(content, "parts", *path))) for name, path in places if path[0] in of]
    return ["", *(f"{name}: {line}" for name, line in lines if line)] if any(line for _, line in lines) else []


def _label_cells(row: Json) -> list[str]:
    star = "" if row["supported"] else " *"
    shown = [number(row[k]) for k in ("ap", "ma_half")]
    stored = [number(row["threshold"], 2), number(row["ma_stored"]), number(row["recall"]), number(row["ece"])]
    return [f"{row['positives']} / {row['negatives']}{star}", *shown, *stored]


def label_table(content: Json, previous: Json | None, *, path: tuple[str, ...] = ("parts", EYE)) -> str:
    """One row a label of the by-eye val split."""
    if line := absent_line(get(content, *path)):
        return line
    earlier = {row["label"]: row for row in get(previous, *path, "labels") or []}
    rows = []
    for row in get(content, *path, "labels"):
        was = [number(earlier.get(row["label"], {}).get("auc"))] if previous else []
        support, *cells = _label_cells(row)
        rows.append([f"`{row['label']}`", support, number(row["auc"]), span(row["auc_interval"]), *was, *cells])
    previous_title = ["previous"] if previous else []
    head = ["label", "positives / negatives", "AUC", "95 %", *previous_title, "AP", "mA at 0.5", "threshold"]
    return markdown([*head, "mA there", "recall there", "calibration error"], rows)


def colour_table(content: Json, previous: Json | None) -> str:
    """The words of both colour groups: how often the likeliest word is right, and AUC."""
    if line := absent_line(get(content, "parts", EYE)):
        return line
    rows = []
    for group in get(content, "parts", EYE, "colours") or {}:
        path = ("parts", EYE, "colours", group)
        part = get(content, *path)
        interval = span(part["accuracy_interval"])
        was = before(previous, *path, "accuracy")
        name = f"**{group.replace('_', ' ')}**"
        rows.append([name, str(part["crops"]), f"{number(part['accuracy'])} ({interval})", *was, "", ""])
        aucs = {row["label"]: row for row in part["labels"]}
        for word, value in part["words"].items():
            was = before(previous, *path, "words", word, "right")
            auc = number(aucs[word]["auc"]) + ("" if aucs[word]["supported"] else " *")
            rows.append([f"`{word}`", str(value["crops"]), number(value["right"]), *was, auc, number(aucs[word]["ap"])])
    previous_title = ["previous"] if previous else []
    return markdown(["", "crops", "right when likeliest", *previous_title, "AUC", "AP"], rows)


def group_table(
    *paths: tuple[str, ...], title: str, cluster: str, shared: bool = True
) -> Callable[[Json, Json | None], str]:
    """A table of summaries: the whole of each path, or of its groups, one row each.

    `shared` adds the mean over the labels that count in every group.
    """

    def table(content: Json, previous: Json | None) -> str:
        rows = []
        for path in paths:
            found = get(content, "parts", *path)
            if line := absent_line(found):
                if found is not None or "by_" not in path[-1]:
                    rows.append([path[-1], line, *[""] * (9 if previous else 8)])
                continue
            whole = "summary" in found
            for name, summary in {path[-1]: found["summary"]}.items() if whole else found.items():
                steps = ("parts", *path, "summary") if whole else ("parts", *path, name)
                rows.append(_summary_cells(f"`{name}`", summary, before(previous, *steps, "mean_auc")))
        previous_title = ["previous"] if previous else []
        head = [title, "crops", cluster, "mean AUC (labels)", "95 %", *previous_title, "mA at 0.5"]
        head += ["mA at thresholds", "calibration error", "mean AUC, shared labels"]
        return markdown(head, rows) if shared else markdown(head[:-1], [row[:-1] for row in rows])

    return table


def _summary_cells(name: str, summary: Json, was: Sequence[str]) -> list[str]:
    auc = f"{number(summary['mean_auc'])} ({summary['labels']})"
    ends = [number(summary[k]) for k in ("mean_ma_half", "mean_ma_stored", "ece")]
    counts = [str(summary["crops"]), str(summary["clusters"])]
    shared = f"{number(summary['shared_auc'])} ({summary['shared_labels']})" if "shared_auc" in summary else ""
    return [name, *counts, auc, span(summary["mean_auc_interval"]), *was, *ends, shared]


def gap_table(content: Json, previous: Json | None) -> str:
    """The same label in two groups of people."""
    if line := absent_line(get(content, "parts", EYE)):
        return line
    rows = []
    for name, part in (get(content, "parts", EYE, "gaps") or {}).items():
        if not part["labels"]:
            crops = " and ".join(str(n) for n in part["crops"])
            rows.append([f"**{name}**", "no label has support in both", f"{crops} crops", "", "", ""])
            continue
        cells = [f"{number(part[f'mean_{k}_gap'], sign=True)} ({span(part[f'mean_{k}_gap_interval'])})" for k in GAPS]
        rows.append([f"**{name}**", f"mean of {len(part['labels'])} labels", "", *cells])
        for row in part["labels"]:
            support = " and ".join("/".join(map(str, row[k])) for k in ("first_support", "second_support"))
            both = f"{number(row['first_auc'])} and {number(row['second_auc'])}"
            cells = [f"{number(row[f'{k}_gap'], sign=True)} ({span(row[f'{k}_gap_interval'])})" for k in GAPS]
            rows.append([f"`{row['label']}`", support, both, *cells])
    return markdown(
        ["first and second", "positives/negatives", "AUC", "AUC gap", "recall gap", "false alarm gap"], rows
    )


GAPS = ("auc", "recall", "false_alarms")


def decision_table(content: Json, previous: Json | None) -> str:
    """Three states: how much is left open, and what that buys."""
    part = get(content, "parts", EYE, "decisions")
    if not part or not part["labels"]:
        return absent_line(get(content, "parts", EYE)) or "The model carries no ranges of uncertainty."
    rows = []
    for row in [{"label": f"all {len(part['labels'])} labels", **part["mean"]}, *part["labels"]]:
        cells = [number(row[k]) for k in ("uncertain", "wrong_where_sure", "wrong_by_threshold")]
        rows.append([f"`{row['label']}`", str(row["known"]), *cells])
    return markdown(["label", "known", "uncertain", "wrong where sure", "wrong by the plain threshold"], rows)


def judgement_table(content: Json, previous: Json | None) -> str:
    """Whom the model will not judge."""
    part = get(content, "parts", EYE, "judgement")
    if not part:
        return absent_line(get(content, "parts", EYE)) or "The model judges everybody."
    rows = [[f"quality {q}", str(row["crops"]), number(row["flagged"])] for q, row in part["by_quality"].items()]
    wrong = [number(part["wrong"][name]) for name in ("flagged", "others")]
    rows.append(["decisions that are wrong, of flagged crops and of the others", "", " and ".join(wrong)])
    rows.append(["AUC of the output that judges, useless crops against the others", "", number(part["auc"])])
    return markdown(["", "crops", "flagged"], rows)


def place_label_table(content: Json, previous: Json | None) -> str:
    """AUC of each label in the other places beside the by-eye val split."""
    sets = {"by-eye val": ("parts", EYE), "PETA": ("parts", PLACES, "peta")}
    sets["Market-1501"] = ("parts", PLACES, "market1501")
    tables = {name: {r["label"]: r for r in get(content, *path, "labels") or []} for name, path in sets.items()}
    elsewhere = [name for name in tables if name != "by-eye val"]
    labels = [label for label in tables["by-eye val"] or tables["PETA"] if any(label in tables[n] for n in elsewhere)]
    rows = []
    for label in labels:
        cells = [number(tables["by-eye val"].get(label, {}).get("auc"))]
        for name in elsewhere:
            row = tables[name].get(label)
            if row is None or row["positives"] + row["negatives"] == 0:
                cells += ["-", "-"]
                continue
            star = "" if row["supported"] else " *"
            cells += [f"{row['positives']} / {row['negatives']}", number(row["auc"]) + star]
        rows.append([f"`{label}`", *cells])
    return markdown(["label", "by-eye val", "PETA, yes / no", "AUC", "Market-1501, yes / no", "AUC"], rows)


def teacher_table(content: Json, previous: Json | None) -> str:
    """Our attributes and the attribute teacher's on the questions both answer."""
    rows = []
    places = {"by-eye val": (EYE,), "PETA": (PLACES, "peta"), "Market-1501": (PLACES, "market1501")}
    for name, path in places.items():
        part = get(content, "parts", *path, "teacher")
        if part is None or "absent" in part:
            rows.append([name, absent_line(part) or "not measured", "", "", "", "", "", ""])
            continue
        for row in part["rows"]:
            ours, theirs = row["ours"], row["teacher"]
            if not ours["supported"]:
                continue
            aucs = [f"{number(r['auc'])} ({span(r['auc_interval'])})" for r in (ours, theirs)]
            support = f"{ours['positives']} / {ours['negatives']}"
            accuracies = [number(ours["ma_half"]), number(theirs["ma_half"])]
            ahead = "ours" if ours["auc"] > theirs["auc"] else "teacher"
            rows.append([name, row["question"], support, *aucs, *accuracies, ahead])
    head = ["set", "question", "yes / no", "our AUC", "teacher's AUC", "our mA at 0.5", "teacher's", "better AUC"]
    return markdown(head, rows)


def cost_table(content: Json, previous: Json | None) -> str:
    """Processor time of one answer and bytes of the files."""
    part = get(content, "parts", "cost")
    if line := absent_line(part):
        return line
    rows = []
    for name, row in part["rows"].items():
        was = before(previous, "parts", "cost", "rows", name, "median", digits=1)
        rows.append([name, number(row["median"], 1), number(row["min"], 1), *was, f"{row['bytes'] / 1e6:.1f}"])
    rows += [
        [name, f"not measured: {why}", "", *([""] if previous else []), ""] for name, why in part["absent"].items()
    ]
    previous_title = ["previous"] if previous else []
    return markdown(["network", "ms, median", "ms, least", *previous_title, "MB"], rows)


def made_table(content: Json, previous: Json | None) -> str:
    """Which models and versions, when, and how much of a set was left out."""
    rows = []
    for name, part in (get(content, "parts", PLACES) or {}).items():
        whole, taken = get(part, "pictures_in_set"), get(part, "summary", "crops")
        if whole and taken and taken < whole:
            rows.append([f"`{name}`", f"{taken} of {whole} pictures, drawn by a fixed seed"])
    for model in content["models"].values():
        rows.append([f"`{model['name']}`", f"{model['bytes'] / 1e6:.2f} MB, {model['parameters']:,} numbers"])
        rows.append(["its identity (graph, weights, description without card)", f"`{model['identity'][:32]}`"])
    for name, part in content["parts"].items():
        m = part["made"]
        versions = (
            f"passerby {m['passerby']}, ONNX Runtime {m['onnxruntime']}, OpenCV {m['opencv']}, numpy {m['numpy']}"
        )
        rows.append([name, f"{m['date']}, {versions}"])
    return markdown(["what", "which"], rows)


TABLES: Mapping[str, Callable[[Json, Json | None], str]] = {
    "headline": headline,
    "attribute headline": functools.partial(headline, of=(EYE, PLACES)),
    "detector headline": functools.partial(headline, of=(DETECTION,)),
    "labels": label_table,
    "colours": colour_table,
    "sources": group_table((EYE, "by_source"), title="source", cluster="photos"),
    "heights": group_table((EYE, "by_height"), title="native height, px", cluster="photos"),
    "people": group_table((EYE, "by_gender"), (EYE, "by_age"), title="looks", cluster="photos"),
    "gaps": gap_table,
    "decisions": decision_table,
    "judgement": judgement_table,
    "places": group_table(
        (PLACES, "peta"),
        (PLACES, "peta", "by_subset"),
        (PLACES, "market1501"),
        title="place",
        cluster="persons",
        shared=False,
    ),
    "place labels": place_label_table,
    "detection": detection_table,
    "recall": recall_table,
    "people free": people_free_table,
    "teacher": teacher_table,
    "cost": cost_table,
    "made": made_table,
}
