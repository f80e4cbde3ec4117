# SPDX-License-Identifier: Apache-2.0
"""The pictures of a check: a histogram, contact sheets to judge the labels by, and a few samples of each split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ..errors import shown
from ..files import atomic_write, encode_image, safe_name
from ..types import ImageBgr
from .check_figures import CROWD_EDGES, HEIGHT_EDGES_PX, AttributeFigures, DetectionFigures, bin_names
from .check_sheets import SAMPLE_SIDE, attribute_sample, attribute_sheets, boxed, detection_sheet
from .histogram import Panel, Value, draw_histogram
from .records import AttributeSet, DetectionSet

SAMPLES = 10
Figures: TypeAlias = Mapping[str, AttributeFigures] | Mapping[str, DetectionFigures]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Files that were made, relative to the output folder, with forward slashes; samples by split."""

    histogram: str
    sheets: tuple[str, ...]
    samples: Mapping[str, tuple[str, ...]]


def draw_report(data: AttributeSet | DetectionSet, figures: Figures, output: Path, folder: str) -> Drawn:
    """Write `histogram.png`, contact sheets and `demo_img/` into `output/folder`; the same data gives the same files.

    Raises:
        OutputError: a file cannot be written.
    """

    def write(name: str, picture: ImageBgr) -> str:
        atomic_write(output / folder / name, encode_image(picture, ".png"))
        return f"{folder}/{name}"

    title = shown(data.root.resolve().name, 60)
    histogram = write("histogram.png", draw_histogram(title, list(_panels(data, figures))))
    sheets, samples = [], {}
    for split in data.splits:
        for number, sheet in enumerate(_sheets(data, split), 1):
            sheets.append(write(f"sheet_{split}_{number}.png", sheet))
        samples[split] = tuple(
            write(f"demo_img/{split}_{number}_{safe_name(Path(file).stem, room=80)}.png", picture)
            for number, (file, picture) in enumerate(_samples(data, split))
        )
    return Drawn(histogram=histogram, sheets=tuple(sheets), samples=samples)


def _sheets(data: AttributeSet | DetectionSet, split: str) -> Iterator[ImageBgr]:
    if isinstance(data, AttributeSet):
        yield from attribute_sheets(data, split)
        return
    sheet = detection_sheet(data, split)
    if sheet is not None:
        yield sheet


def _samples(data: AttributeSet | DetectionSet, split: str) -> Iterator[tuple[str, ImageBgr]]:
    """Names and pictures of some samples, drawn by lot."""
    chosen = np.random.default_rng(1).permutation(len(data.splits[split]))[:SAMPLES]
    for i in sorted(chosen.tolist()):
        if isinstance(data, AttributeSet):
            crop = data.splits[split][i]
            yield crop.file, attribute_sample(data, crop)
        else:
            picture = data.splits[split][i]
            yield picture.file, boxed(picture, (SAMPLE_SIDE, SAMPLE_SIDE))


def _panels(data: AttributeSet | DetectionSet, figures: Figures) -> Iterator[Panel]:
    if isinstance(data, AttributeSet):
        crops = {split: f for split, f in figures.items() if isinstance(f, AttributeFigures)}
        yield Panel(
            title="Positives of each label, of its labelled pictures",
            totals={split: _number(f.samples, "picture") for split, f in crops.items()},
            bars=[
                (label.en, {split: _positives(f, i) for split, f in crops.items()})
                for i, label in enumerate(data.label_set.labels)
            ],
            zero_is_wrong=True,
        )
        return
    boxes = {split: f for split, f in figures.items() if isinstance(f, DetectionFigures)}
    by_box = {split: _number(sum(f.boxes), "box") for split, f in boxes.items()}
    by_picture = {split: _number(f.samples, "picture") for split, f in boxes.items()}
    if len(data.classes) > 1:
        bars = _bars(data.classes, boxes, lambda f: f.boxes)
        yield Panel(title="Boxes of each class", totals=by_box, bars=bars, zero_is_wrong=True)
    bars = _without_empty_ends(_bars(bin_names(HEIGHT_EDGES_PX), boxes, lambda f: f.heights))
    yield Panel(title="Boxes by height, px", totals=by_box, bars=bars)
    bars = _without_empty_ends(_bars(bin_names(CROWD_EDGES), boxes, lambda f: f.per_picture))
    yield Panel(title="Pictures by number of boxes", totals=by_picture, bars=bars)


def _number(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}{'es' if name.endswith('x') else 's'}"


def _positives(figures: AttributeFigures, number: int) -> Value:
    yes, unknown = figures.positives[number], figures.unlabelled[number]
    labelled = yes + figures.negatives[number]
    return Value(count=yes, share=yes / max(labelled, 1), note=f", {unknown} not labelled" if unknown else "")


def _bars(
    names: Sequence[str], boxes: Mapping[str, DetectionFigures], of: Callable[[DetectionFigures], Sequence[int]]
) -> list[tuple[str, dict[str, Value]]]:
    return [
        (name, {split: Value(count=of(f)[i], share=of(f)[i] / max(sum(of(f)), 1)) for split, f in boxes.items()})
        for i, name in enumerate(names)
    ]


def _without_empty_ends(bars: list[tuple[str, dict[str, Value]]]) -> list[tuple[str, dict[str, Value]]]:
    """The bins from the first to the last that holds anything; all of them where none does."""
    filled = [i for i, (_, values) in enumerate(bars) if any(value.count for value in values.values())]
    return bars[filled[0] : filled[-1] + 1] if filled else bars
