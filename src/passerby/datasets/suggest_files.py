# SPDX-License-Identifier: Apache-2.0
"""Writes suggested crops for the hands that label them: pictures, contact sheets, import files, lists.

images/                 the crops, numbered in the order of labelling
sheets/                 contact sheets with the model's guesses, to look at or to label on paper
suggested.txt           the guesses as lines of a data set, -1 where the model is unsure; becomes train.txt
label.txt, labels.yaml, groups.csv   the rest of a data set in the layout MLClsDataset
suggestions.csv         where each crop comes from, what it is worth, every probability
label_studio.json, label_studio.xml  tasks with guesses, and the labelling interface
cvat.xml, cvat_labels.json           the same for CVAT
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from ..compat.paddlex import label_string
from ..errors import OutputError
from ..files import atomic_write, encode_image, safe_name
from ..formats.metadata import Group, Label, ModelMetadata
from ..types import ImageBgr, Probabilities
from .suggest_sheet import SHEET_CROPS, Tile, contact_sheet

YES, NO, OPEN = "yes", "no", "?"
# words that `convert.label_studio` knows
ATTRIBUTES, CANNOT_TELL, NONE = "attributes", "cannot_tell", "none"
STEM_BYTES = 80
_NONE = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A crop to label.

    Attributes:
        stem: what its file is named after. source: the picture that it comes from.
        box_xyxy: px of that picture; None when it is the whole picture.
        pixels_bgr: (h, w, 3) uint8 BGR.
        worth: what it was worth when it was chosen.
        probabilities, spread: (C,) mean and standard deviation over the views.
        guesses: (C,) int8, 1, 0, or -1 where the model is unsure.
    """

    stem: str
    source: str
    box_xyxy: tuple[float, ...] | None
    pixels_bgr: ImageBgr
    worth: float
    probabilities: Probabilities
    spread: NDArray[np.float32]
    guesses: NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesWritten:
    """What `write_suggestions` wrote."""

    images: Path
    sheets: tuple[Path, ...]
    lines: Path
    table: Path
    label_studio: Path
    cvat: Path

    def to_json(self) -> dict[str, Any]:
        """Paths as text."""
        return {
            "images": str(self.images),
            "sheets": [str(path) for path in self.sheets],
            "lines": str(self.lines),
            "table": str(self.table),
            "label_studio": str(self.label_studio),
            "cvat": str(self.cvat),
        }


def write_suggestions(suggestions: Iterable[Suggestion], *, metadata: ModelMetadata, output: Path) -> FilesWritten:
    """Write everything above; pictures are taken and let go one at a time.

    Args:
        suggestions: in the order of labelling.
        metadata: of the model whose guesses these are.
        output: a folder that `check_empty` found empty.
    Raises:
        OutputError: what `files` says.
    """
    names = tuple(label_string(label) for label in metadata.labels)
    written: list[_Row] = []
    sheets: list[Path] = []
    tiles: list[Tile] = []
    for number, suggestion in enumerate(suggestions, 1):
        name = f"images/{number:04d}_{safe_name(suggestion.stem.replace('/', '_'), room=STEM_BYTES)}.png"
        atomic_write(output / name, encode_image(suggestion.pixels_bgr, ".png"))
        height, width = suggestion.pixels_bgr.shape[:2]
        written.append(_Row(name=name, size_wh=(width, height), told=dataclasses.replace(suggestion, pixels_bgr=_NONE)))
        tiles.append(_tile(number, suggestion, metadata.labels))
        if len(tiles) == SHEET_CROPS:
            sheets.append(_write_sheet(output, len(sheets) + 1, tiles))
            tiles = []
    if tiles:
        sheets.append(_write_sheet(output, len(sheets) + 1, tiles))
    _write_data_set(output, written, metadata, names)
    _write_text(output / "suggestions.csv", _table(written, metadata.labels))
    _write_json(output / "label_studio.json", [_task(row, names, metadata) for row in written])
    _write_text(output / "label_studio.xml", interface(metadata.labels, metadata.groups, names))
    _write_text(output / "cvat.xml", _cvat(written, names))
    _write_json(output / "cvat_labels.txt", [{"name": "person", "attributes": [_cvat_attribute(n) for n in names]}])
    return FilesWritten(
        images=output / "images",
        sheets=tuple(sheets),
        lines=output / "suggested.txt",
        table=output / "suggestions.csv",
        label_studio=output / "label_studio.json",
        cvat=output / "cvat.xml",
    )


def check_empty(output: Path) -> None:
    """
    Raises:
        OutputError: `output_conflict`, the folder holds something already.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise OutputError("output_conflict", "the folder is not empty", input=str(output), hint="name a new one")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A written crop: its name in the output folder, its size, and the suggestion without pixels."""

    name: str
    size_wh: tuple[int, int]
    told: Suggestion


def _tile(number: int, suggestion: Suggestion, labels: Sequence[Label]) -> Tile:
    p, guesses = suggestion.probabilities, suggestion.guesses
    sure = sorted(np.flatnonzero(guesses == 1).tolist(), key=lambda i: -float(p[i]))
    unsure = sorted(np.flatnonzero(guesses == -1).tolist(), key=lambda i: -float(suggestion.spread[i]))
    return Tile(
        title=f"{number}",
        sure=tuple(f"{p[i]:.2f} {labels[i].en}" for i in sure),
        open=tuple(f"{p[i]:.2f} {labels[i].en}" for i in unsure),
        pixels_bgr=suggestion.pixels_bgr,
    )


def _write_sheet(output: Path, number: int, tiles: Sequence[Tile]) -> Path:
    path = output / "sheets" / f"sheet_{number:03d}.png"
    atomic_write(path, encode_image(contact_sheet(tiles), ".png"))
    return path


def _write_text(path: Path, text: str) -> None:
    atomic_write(path, text.encode("utf-8"))


def _write_json(path: Path, value: Any) -> None:
    _write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def _write_data_set(output: Path, rows: Sequence[_Row], metadata: ModelMetadata, names: Sequence[str]) -> None:
    """Lines of guesses and what they mean."""
    lines = (f"{row.name}\t{','.join(str(int(v)) for v in row.told.guesses)}\n" for row in rows)
    _write_text(output / "suggested.txt", "".join(lines))
    _write_text(output / "label.txt", "".join(f"{i} {name}\n" for i, name in enumerate(names)))
    _write_text(output / "labels.yaml", label_file(metadata, names))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["path", "photo"])
    writer.writerows([row.name, row.told.source] for row in rows)
    _write_text(output / "groups.csv", table.getvalue())


def label_file(metadata: ModelMetadata, names: Sequence[str]) -> str:
    """`labels.yaml` of a model's labels. Every value is written as JSON, which YAML reads as it is."""

    def flow(**values: object) -> str:
        return "{" + ", ".join(f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in values.items()) + "}"

    out = ["labels:\n"]
    for label, name, threshold in zip(metadata.labels, names, metadata.thresholds, strict=True):
        threshold = round(float(threshold), 4)
        entry = flow(name=name, id=label.id, en=label.en, zh=label.zh, group=label.group, threshold=threshold)
        out.append(f"  - {entry}\n")
    if metadata.groups:
        out.append("groups:\n")
        out += [f"  - {flow(id=g.id, en=g.en, exclusive=g.exclusive)}\n" for g in metadata.groups]
    return "".join(out)


def _table(rows: Sequence[_Row], labels: Sequence[Label]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["path", "photo", "x1", "y1", "x2", "y2", "worth", *(label.id for label in labels)])
    for row in rows:
        box = row.told.box_xyxy or ("", "", "", "")
        corners = [f"{v:.1f}" if v != "" else "" for v in box]
        numbers = [f"{p:.3f}" for p in row.told.probabilities]
        writer.writerow([row.name, row.told.source, *corners, f"{row.told.worth:.4f}", *numbers])
    return table.getvalue()


def fields(labels: Sequence[Label], groups: Sequence[Group], names: Sequence[str]) -> dict[str, tuple[str, list[str]]]:
    """The questions of the labelling interface: by field its title and the labels to choose from.

    An exclusive group is a field of its own, of which one label or none is chosen; everything else is one field of
    many ticks.
    """
    exclusive = {group.id: group for group in groups if group.exclusive}
    out: dict[str, tuple[str, list[str]]] = {ATTRIBUTES: ("What is there?", [])}
    out |= {group.id: (group.en.capitalize(), []) for group in exclusive.values()}
    for label, name in zip(labels, names, strict=True):
        out[label.group if label.group in exclusive else ATTRIBUTES][1].append(name)
    return {field: said for field, said in out.items() if said[1]}


def interface(labels: Sequence[Label], groups: Sequence[Group], names: Sequence[str]) -> str:
    """The labelling configuration for Label Studio, to paste under Settings, Labeling Interface, Code."""
    out = ['<View style="display: flex; gap: 2em">', '  <Image name="image" value="$image" zoom="true"/>', "  <View>"]
    asked = fields(labels, groups, names)
    for field, (title, choices) in asked.items():
        many = field == ATTRIBUTES
        out.append(f"    <Header value={quoteattr(title)}/>")
        out += _choices(field, choices if many else [*choices, NONE], "multiple" if many else "single-radio")
    if ATTRIBUTES in asked:  # of a group nothing is chosen then
        out.append('    <Collapse><Panel value="Cannot be told">')
        out += [*_choices(CANNOT_TELL, asked[ATTRIBUTES][1], "multiple"), "    </Panel></Collapse>"]
    return "\n".join([*out, "  </View>", "</View>", ""])


def _choices(field: str, values: Sequence[str], kind: str) -> list[str]:
    head = f'    <Choices name={quoteattr(field)} toName="image" choice="{kind}" showInline="true">'
    return [head, *(f"      <Choice value={quoteattr(value)}/>" for value in values), "    </Choices>"]


def _task(row: _Row, names: Sequence[str], metadata: ModelMetadata) -> dict[str, Any]:
    """One task of Label Studio with the guesses as a prediction."""
    guesses = dict(zip(names, row.told.guesses, strict=True))
    chosen: dict[str, list[str]] = {}
    for field, (_, values) in fields(metadata.labels, metadata.groups, names).items():
        chosen[field] = [value for value in values if guesses[value] == 1]
        if field == ATTRIBUTES:
            chosen[CANNOT_TELL] = [value for value in values if guesses[value] == -1]
        elif all(guesses[value] == 0 for value in values):
            chosen[field] = [NONE]
    result = [
        {"from_name": field, "to_name": "image", "type": "choices", "value": {"choices": values}}
        for field, values in chosen.items()
        if values
    ]
    prediction = {"model_version": metadata.name, "score": round(row.told.worth, 4), "result": result}
    return {
        "data": {"image": f"/data/local-files/?d={row.name}", "photo": row.told.source},
        "predictions": [prediction],
    }


def _cvat_attribute(name: str) -> dict[str, Any]:
    kind = {"input_type": "select", "mutable": False}
    return {"name": name, **kind, "values": [OPEN, YES, NO], "default_value": OPEN}


def _cvat(rows: Sequence[_Row], names: Sequence[str]) -> str:
    """`CVAT for images 1.1`: a box around each crop with the guesses as its attributes."""
    out = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "  <version>1.1</version>"]
    out += ["  <meta><task><labels><label><name>person</name><attributes>"]
    for name in names:
        values = f"<default_value>{OPEN}</default_value><values>{OPEN}\n{YES}\n{NO}</values>"
        kind = "<mutable>False</mutable><input_type>select</input_type>"
        out.append(f"    <attribute><name>{escape(name)}</name>{kind}{values}</attribute>")
    out.append("  </attributes></label></labels></task></meta>")
    for number, row in enumerate(rows):
        width, height = row.size_wh
        out.append(f'  <image id="{number}" name={quoteattr(row.name)} width="{width}" height="{height}">')
        corners = f'xtl="0.00" ytl="0.00" xbr="{width:.2f}" ybr="{height:.2f}"'
        out.append(f'    <box label="person" source="auto" occluded="0" {corners} z_order="0">')
        for name, guess in zip(names, row.told.guesses, strict=True):
            answer = {1: YES, 0: NO}.get(int(guess), OPEN)
            out.append(f"      <attribute name={quoteattr(name)}>{answer}</attribute>")
        out += ["    </box>", "  </image>"]
    return "\n".join([*out, "</annotations>", ""])
