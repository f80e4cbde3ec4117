# SPDX-License-Identifier: Apache-2.0
"""Tables and curves of `fine_tuning.py`'s results, put between the marks in docs/fine-tuning-figures.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot

Row = Mapping[str, Any]
NAMES = {
    ("finetune", "random"): "fine-tuned",
    ("finetune", "suggest"): "fine-tuned, crops by `suggest`",
    ("first", "random"): "those crops alone, from the first weights of pretraining",
    ("alone", "random"): "those crops alone, from random weights",
}
COLOURS = dict(zip(NAMES, ("#265c9e", "#d9822b", "#7a7a7a", "#b0453a"), strict=True))


def write_report(rows: Sequence[Row], *, docs: Path) -> None:
    """Fill in `fine-tuning-figures.md` and draw both curves.

    Args:
        rows: lines of `results.jsonl`. docs: folder of the page, with `images/`.
    """
    page = docs / "fine-tuning-figures.md"
    text = page.read_text("utf-8")
    for name, table in (
        ("fine-tuning", curve_table(rows)),
        ("suggest", suggest_table(rows)),
        ("labels", label_table(rows)),
    ):
        mark = f"<!-- {name} -->"
        text = re.sub(f"{mark}.*?<!-- end -->", lambda _, m=mark, t=table: f"{m}\n{t}\n<!-- end -->", text, flags=re.S)
    page.write_text(text, encoding="utf-8")
    every = [key for key in NAMES if key != ("finetune", "suggest")]
    _draw(rows, every, docs / "images" / "fine_tuning_curve.png", "Labelled crops of the new source")
    both = [("finetune", "random"), ("finetune", "suggest")]
    _draw(rows, both, docs / "images" / "suggest_curve.png", "Labelled crops, chosen at random or by suggest")


def _values(rows: Sequence[Row], key: tuple[str, str], count: int, figure: str) -> list[float]:
    return [r[figure] for r in rows if (r["how"], r["order"]) == key and r["count"] == count]


def _counts(rows: Sequence[Row], key: tuple[str, str]) -> list[int]:
    return sorted({r["count"] for r in rows if (r["how"], r["order"]) == key})


def _none(rows: Sequence[Row], figure: str) -> float:
    return float(next(r[figure] for r in rows if r["how"] == "none"))


def _cell(values: Sequence[float]) -> str:
    """Mean, and the smallest and largest of several."""
    if not values:
        return ""
    return f"{np.mean(values):.3f}" + (f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else " (one)")


def curve_table(rows: Sequence[Row]) -> str:
    """Mean AUC and mA by number of crops and by where training began."""
    keys = [key for key in NAMES if key != ("finetune", "suggest")]
    out = ["| crops | " + " | ".join(NAMES[key] for key in keys) + " |", "|---|" + "---|" * len(keys)]
    for figure, title in (("auc", "mean AUC"), ("mA", "mA at 0.5")):
        out.append(f"| **{title}**, no fine-tuning | {_none(rows, figure):.3f} |" + " |" * (len(keys) - 1))
        counts = sorted({count for key in keys for count in _counts(rows, key)})
        for count in counts:
            cells = [_cell(_values(rows, key, count, figure)) for key in keys]
            out.append(f"| {title}, {count} | " + " | ".join(cells) + " |")
    return "\n".join(out)


def suggest_table(rows: Sequence[Row]) -> str:
    """Random against suggested crops, and what a hundred labels add to the network without fine-tuning."""
    out = ["| labels | random: AUC | `suggest`: AUC | difference | gain per 100 labels, random | `suggest` | mA |"]
    out.append("|---|---|---|---|---|---|---|")
    base = _none(rows, "auc")
    for count in _counts(rows, ("finetune", "suggest")):
        pairs = [_values(rows, ("finetune", order), count, "auc") for order in ("random", "suggest")]
        if not all(pairs):
            continue
        plain, chosen = (float(np.mean(p)) for p in pairs)
        accuracies = [float(np.mean(_values(rows, ("finetune", o), count, "mA"))) for o in ("random", "suggest")]
        gains = " | ".join(f"{(v - base) * 100 / count:+.4f}" for v in (plain, chosen))
        accuracy = f"{accuracies[0]:.3f} / {accuracies[1]:.3f}"
        row = f"| {count} | {_cell(pairs[0])} | {_cell(pairs[1])} | {chosen - plain:+.3f} | {gains} | {accuracy} |"
        out.append(row)
    return "\n".join(out)


def label_table(rows: Sequence[Row], count: int = 500) -> str:
    """AUC by label: before, and after fine-tuning on random crops."""
    before = next(r["auc_by_label"] for r in rows if r["how"] == "none")
    runs = [r["auc_by_label"] for r in rows if (r["how"], r["order"], r["count"]) == ("finetune", "random", count)]
    out = [f"| label | no fine-tuning | {count} crops |", "|---|---|---|"]
    for label, value in before.items():
        out.append(f"| `{label}` | {value:.3f} | {np.mean([run[label] for run in runs]):.3f} |")
    return "\n".join(out)


def _draw(rows: Sequence[Row], keys: Sequence[tuple[str, str]], path: Path, title: str) -> None:
    figure, axes = pyplot.subplots(figsize=(7.2, 4.4), dpi=110)
    base = _none(rows, "auc")
    axes.axhline(base, color="#444444", linewidth=1, linestyle="--", label="no fine-tuning")
    for key in keys:
        counts = _counts(rows, key)
        values = [_values(rows, key, count, "auc") for count in counts]
        if counts:
            axes.plot(counts, [np.mean(v) for v in values], "o-", color=COLOURS[key], label=NAMES[key].replace("`", ""))
            lows, highs = [min(v) for v in values], [max(v) for v in values]
            axes.fill_between(counts, lows, highs, color=COLOURS[key], alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    ticks = sorted({count for key in keys for count in _counts(rows, key)})
    axes.set_xticks(ticks, [str(t) for t in ticks], minor=False)
    axes.minorticks_off()
    axes.set(xlabel=title, ylabel="mean AUC on the test part")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)
