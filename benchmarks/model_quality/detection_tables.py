# SPDX-License-Identifier: Apache-2.0
"""Tables of the detector: average precision, recall by height, false boxes; ours and the teacher's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .markdown import absent_line, before, get, markdown, number, span

Json = Mapping[str, Any]
SETS = ("human_oi_coco", "coco128", "penn_fudan")
NETWORKS = (("ours", ()), ("teacher", ("teacher",)))


def _measured(content: Json, names: tuple[str, ...] = SETS) -> Iterator[tuple[str, str, tuple[str, ...], Any]]:
    """Set, whose, path and part of everything that was measured or is marked as absent."""
    for name in names:
        for whose, step in NETWORKS:
            path = ("parts", "detection", *step, name)
            part = get(content, *path)
            yield name, whose, path, part if part is not None else get(content, "parts", "detection", *step)


def detection_table(content: Json, previous: Json | None) -> str:
    """Average precision of each set, from a native height on."""
    rows = []
    for name, whose, path, part in _measured(content):
        if line := absent_line(part):
            rows.append([f"`{name}`", whose, line, "", "", "", *([""] if previous else []), ""])
            continue
        for key in ("from_0_px", "from_60_px", "from_100_px"):
            row = part[key]
            title = "all" if key == "from_0_px" else f"{key.split('_')[1]} px and more"
            was = before(previous, *path, key, "ap50")
            ap = number(part["ap"]) if key == "from_0_px" else ""
            cells = [title, str(row["persons"]), number(row["ap50"]), span(row["ap50_interval"]), *was]
            rows.append([f"`{name}`, {part['photos']} photos", whose, *cells, number(row["ap75"]), ap])
    previous_title = ["previous"] if previous else []
    return markdown(["set", "whose", "persons of", "", "AP50", "95 %", *previous_title, "AP75", "AP"], rows)


def recall_table(content: Json, previous: Json | None) -> str:
    """Share of persons found at IoU 0.5 by native height, at the stored threshold and at any score."""
    rows = []
    titles: list[str] = []
    for name, whose, _, part in _measured(content):
        if absent_line(part):
            continue
        titles = [_range(row) for row in part["recall"]]
        shown = [f"{number(r['recall'], 2)} ({number(r['recall_any_score'], 2)})" for r in part["recall"]]
        rows.append([f"`{name}`", whose, *shown])
        counts = [str(row["persons"]) for row in part["recall"]]
        if whose == "ours":
            rows.append([f"`{name}`", "persons", *counts])
    return markdown(["set", "whose", *titles], rows) if rows else "not measured"


def _range(row: Json) -> str:
    if row["high"] is None:
        return "all" if row["low"] == 0 else f">={row['low']} px"
    return f"{row['low']}-{row['high']} px"


def people_free_table(content: Json, previous: Json | None) -> str:
    """What is shown at the threshold beyond the persons: false boxes a photo, precision."""
    rows = []
    for name, whose, path, part in _measured(content, (*SETS, "people_free")):
        if line := absent_line(part):
            rows.append([f"`{name}`", whose, line, "", "", "", *([""] if previous else []), ""])
            continue
        was = before(previous, *path, "false_per_photo")
        false = [number(part["false_per_photo"], 2), span(part["false_per_photo_interval"]), *was]
        precision = "" if name == "people_free" else number(part["precision"], 2)
        share = number(part["photos_with_false"], 2)
        rows.append([f"`{name}`, {part['photos']} photos", whose, f"{part['threshold']:.2f}", precision, *false, share])
    previous_title = ["previous"] if previous else []
    head = ["set", "whose", "threshold", "precision", "false boxes a photo", "95 %", *previous_title]
    return markdown([*head, "photos with one"], rows)
