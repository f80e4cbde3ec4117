# SPDX-License-Identifier: Apache-2.0
"""What papers print about PETA: mA; accuracy, precision, recall, F1 by picture; all at 0.5, beside published rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from passerby.datasets.attribute_set import read_attribute_set
from passerby.formats.strict_json import load_json
from passerby.models.load import load_path
from passerby.training.model_evaluation import MeasureOptions, measure_attributes

from .convert import ABOUT

COLUMNS = {
    "mA": "mA",
    "accuracy": "instance_accuracy",
    "precision": "instance_precision",
    "recall": "instance_recall",
    "F1": "instance_f1",
}
# ResNet-50 at 256 x 192 of github.com/valencebond/Rethinking_of_PAR (README, commit 0baa462), the code of Jia et al.,
# Rethinking of Pedestrian Attribute Recognition, arXiv 2107.03576. It learns from train and val, and its best epoch is
# chosen on test.
PUBLISHED: Mapping[str, Mapping[str, float]] = {
    "random": {"mA": 83.96, "accuracy": 78.65, "precision": 87.08, "recall": 85.62, "F1": 86.35},
    "zero-shot": {"mA": 71.43, "accuracy": 58.69, "precision": 74.41, "recall": 69.82, "F1": 72.04},
}


def evaluate(model: Path, data: Path, *, most: int | None = None) -> dict[str, Any]:
    """Measure a model file or folder on the test pictures of a converted PETA.

    Args:
        most: so many pictures at most, spread over the list; None all.
    Returns:
        `split` as the converter described it, number of `pictures`, `figures` in per cent, `by_subset` mA and number
        of pictures, and the `published` row of that kind of split.
    Raises:
        PasserbyError: what reading and running say.
    """
    about = load_json((data / ABOUT).read_bytes(), levels=4)
    options = MeasureOptions(split="test", columns=("subset",), most=most)
    measured = measure_attributes(load_path(model, name=model.stem), read_attribute_set(data), options, say=_quiet)
    plain = measured.figures.at["plain"]
    subsets = measured.figures.columns["subset"]["values"]
    return {
        "split": about,
        "pictures": measured.figures.samples,
        "left_out": len(measured.left_out),
        "figures": {name: round(100 * plain[key], 2) for name, key in COLUMNS.items()},
        "by_subset": {name: [row["samples"], round(100 * row["mA"], 2)] for name, row in subsets.items()},
        "published": dict(PUBLISHED["zero-shot" if about["split"] == "zero-shot" else "random"]),
    }


def _quiet(_: str) -> None:
    """Progress lines are left out: the figures are what is printed."""


def table(report: Mapping[str, Any]) -> str:
    """The figures as lines of a Markdown table, this model above the published one."""
    rows = {"this model": report["figures"], "ResNet-50, published": report["published"]}
    lines = [f"| {report['pictures']} test pictures | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, figures in rows.items():
        lines.append(f"| {name} | {' | '.join(f'{figures[column]:.2f}' for column in COLUMNS)} |")
    return "\n".join(lines)
