# SPDX-License-Identifier: Apache-2.0
"""The plots of a report, drawn with matplotlib from the figures' JSON: each function gives the bytes of a PNG.

No window, no global state: a figure is made, drawn on memory and let go.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..datasets._extras import need
from ..draw.text import chinese_font_path
from ..errors import shown

INK, FAINT, GRID = "#1c2026", "#7d828a", "#e2e5e9"
BLUE, ORANGE, GREEN, RED = "#265c9e", "#ec9628", "#4f9a62", "#be281e"
DPI = 144
MOST_CURVES = 60
THIN = 10  # fewer examples than this: the figure says little, and is drawn pale
NAME_CHARACTERS = 26

Draw = Callable[[Any], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One label or class: its figure (None cannot be told), a second one as a mark, and how many examples it had."""

    name: str
    value: float | None
    mark: float | None
    support: int
    others: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line of a plot."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    support: int = 0
    value: float | None = None
    base: float | None = None


def _png(size_in: tuple[float, float], draw: Draw) -> bytes:
    """The PNG of a figure of this size in inches that `draw` has drawn on."""
    matplotlib = need("matplotlib")
    families = ["DejaVu Sans", *_chinese_family()]
    settings = {
        "font.family": families,
        "font.size": 9,
        "text.parse_math": False,  # a label with dollar signs is no formula
        "text.color": INK,
        "axes.edgecolor": "#c9ced4",
        "axes.labelcolor": INK,
        "axes.titlesize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
        "legend.frameon": False,
    }
    with matplotlib.rc_context(settings):
        figure = need("matplotlib.figure").Figure(figsize=size_in, dpi=DPI, layout="constrained")
        draw(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _chinese_family() -> list[str]:
    """The family of the system's font with Chinese letters, made known to matplotlib."""
    found = chinese_font_path()
    if found is None:
        return []
    fonts = need("matplotlib.font_manager")
    try:
        fonts.fontManager.addfont(found[0])
        return [fonts.FontProperties(fname=found[0]).get_name()]
    except (OSError, RuntimeError):
        return []


def short(name: str, limit: int = NAME_CHARACTERS) -> str:
    """A name that fits beside an axis."""
    return shown(name, limit)


def bars(rows: Sequence[Bar], *, value_name: str, mark_name: str, support_names: tuple[str, str]) -> bytes:
    """A bar for each label, and beside it how many examples the figure rests on."""

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        places = np.arange(len(rows))
        pale = [0.35 if row.support < THIN else 1.0 for row in rows]
        for place, row, alpha in zip(places, rows, pale, strict=True):
            if row.value is None:
                left.text(0.01, place, "cannot be told", va="center", color=RED, fontsize=8)
                continue
            left.barh(place, row.value, color=BLUE, alpha=alpha, height=0.62)
            end = max(row.value, row.mark or 0.0) + 0.014  # behind both
            left.text(end, place, f"{row.value:.2f}", va="center", color=FAINT, fontsize=8)
            if row.mark is not None:
                left.plot([row.mark] * 2, [place - 0.36, place + 0.36], color=ORANGE, linewidth=2.2)
        left.set_yticks(places, [short(row.name) for row in rows], color=INK)
        left.set_ylim(len(rows) - 0.4, -0.6)
        left.set_xlim(0, 1.09)
        left.set_xticks(np.linspace(0, 1, 6))
        left.set_title(f"bar: {value_name}; mark: {mark_name}", loc="left", color=FAINT)
        _support(right, rows, support_names)
        for axes in (left, right):
            axes.grid(axis="x")
            axes.tick_params(length=0)

    return _png((9.6, 0.9 + 0.27 * len(rows)), draw)


def _support(axes: Any, rows: Sequence[Bar], names: tuple[str, str]) -> None:
    """Examples of each row on a scale that shows ten beside ten thousand."""
    two = any(row.others is not None for row in rows)
    places = np.arange(len(rows)) - (0.16 if two else 0.0)
    axes.barh(places, [row.support for row in rows], color=GREEN, height=0.32 if two else 0.62)
    most = max((max(row.support, row.others or 0) for row in rows), default=1)
    for place, row in zip(places, rows, strict=True):
        colour = RED if row.support < THIN else FAINT
        axes.text(max(row.support * 1.08, 0.05), place, f"{row.support}", va="center", color=colour, fontsize=7)
    if two:
        axes.barh(places + 0.32, [row.others or 0 for row in rows], color="#b9bfc7", height=0.32)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(0, max(10, most * 3))
    ticks = [10**power for power in range(len(str(max(10, most))))]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_title(f"{names[0]} (green), {names[1]} (grey)" if two else names[0], loc="left", color=FAINT)


def curve_grid(curves: Sequence[Curve], *, points: Sequence[tuple[float, float] | None]) -> bytes:
    """Precision against recall, a small plot a label.

    Args:
        curves: `value` is the average precision, `base` the share of positives, which guessing reaches.
        points: of each curve, recall and precision at the threshold in force; None where nothing was named.
    """
    columns = min(6, max(3, len(curves)))
    lines = -(-len(curves) // columns)

    def draw(figure: Any) -> None:
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(curves) :]:
            axes.set_visible(False)
        for place, (axes, curve, point) in enumerate(zip(grid.flat, curves, points, strict=False)):
            alpha = 0.4 if curve.support < THIN else 1.0
            axes.step(curve.x, curve.y, where="pre", color=BLUE, linewidth=1.6, alpha=alpha)
            axes.fill_between(curve.x, curve.y, step="pre", color=BLUE, alpha=0.1 * alpha)
            if curve.base is not None:
                axes.axhline(curve.base, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)))
            if point is not None:
                axes.plot(*point, "o", color=ORANGE, markersize=5, markeredgecolor="white", clip_on=False)
            axes.set_title(short(curve.name, 21), loc="left", pad=14, fontsize=8.5)
            text = f"AP {curve.value:.2f}, {curve.support}" if curve.value is not None else f"{curve.support}"
            axes.text(0, 1.045, f"{text} positive{'' if curve.support == 1 else 's'}", color=FAINT, fontsize=7)
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1.02)
            axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
            axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
            axes.grid()
            axes.tick_params(length=0, labelsize=7.5, labelbottom=place + columns >= len(curves))
        figure.supxlabel("recall", fontsize=8.5, color=FAINT)
        figure.supylabel("precision", fontsize=8.5, color=FAINT)

    return _png((9.6, 0.5 + 1.75 * lines), draw)


def reliability(bins: Sequence[Mapping[str, Any]], *, share_name: str, probability_name: str = "probability") -> bytes:
    """How often it is true when the model says so, and how often it says so."""
    known = [b for b in bins if b["count"]]

    def draw(figure: Any) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.1))
        upper.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)), label="as it should be")
        x, y = [b["mean_probability"] for b in known], [b["share"] for b in known]
        ends = np.array([interval(b["share"], b["count"]) for b in known]).reshape(-1, 2).T
        errors = np.abs(ends - np.array(y))
        upper.errorbar(x, y, yerr=errors, color=BLUE, marker="o", markersize=5, linewidth=1.8, capsize=2, elinewidth=1)
        upper.set_ylim(-0.02, 1.04)
        upper.set_ylabel(share_name)
        upper.legend(loc="upper left")
        middles = [(b["low"] + b["high"]) / 2 for b in bins]
        width = 0.92 * min((b["high"] - b["low"] for b in bins), default=0.1)
        lower.bar(middles, [b["count"] for b in bins], width=width, color="#b9bfc7")
        most = max((b["count"] for b in bins), default=1)
        for middle, b in zip(middles, bins, strict=True):
            lower.text(middle, b["count"] + 0.04 * most, f"{b['count']:,}", ha="center", fontsize=7, color=FAINT)
        lower.set_ylim(0, 1.25 * max(most, 1))
        lower.set_xlim(0, 1)
        lower.set_xticks(np.linspace(0, 1, 11))
        lower.set_xlabel(probability_name)
        lower.set_ylabel("count")
        for axes in (upper, lower):
            axes.grid()
            axes.tick_params(length=0)

    return _png((6.2, 5.4), draw)


def interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `count` things, inside 0..1 and never without width.

    Source: Wilson, Probable inference, 1927.
    >>> [round(end, 2) for end in interval(1.0, 10)]
    [0.72, 1.0]
    """
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


COLOURS = (BLUE, ORANGE, GREEN, RED, "#7a5ca8", "#3c9aa8", "#a87a3c", "#6b727b")
STYLES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))


def detection_curves(curves: Mapping[str, Sequence[Curve]], *, kinds: Sequence[str]) -> bytes:
    """Precision against recall of detectors: a colour a class, a line style a kind (an IoU).

    Args:
        curves: by class, one for each of `kinds`.
    """

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for index, (name, lines) in enumerate(curves.items()):
            for style, kind, curve in zip(STYLES, kinds, lines, strict=False):
                label = f"{short(name)}, {kind}" + (f": AP {curve.value:.2f}" if curve.value is not None else "")
                colour = COLOURS[index % len(COLOURS)]
                axes.plot(curve.x, curve.y, color=colour, linestyle=style, linewidth=1.8, label=label)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        axes.grid()
        axes.tick_params(length=0)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8)

    return _png((8.2, 4.4), draw)


def miss_curves(curves: Sequence[Curve]) -> bytes:
    """Share of people missed against false boxes a picture, both on log scales; `value` is the miss rate."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.axvspan(1e-2, 1, color="#eef3f9", zorder=0)
        lowest = 0.5
        for index, curve in enumerate(curves):
            x, y = np.maximum(curve.x, 1e-3), np.maximum(curve.y, 1e-3)
            lowest = min(lowest, float(y.min(initial=0.5)))
            label = short(curve.name) + (f": {curve.value:.2f}" if curve.value is not None else "")
            axes.step(x, y, where="post", color=COLOURS[index % len(COLOURS)], linewidth=1.8, label=label)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(1e-3, 30)
        axes.set_ylim(lowest * 0.8, 1.05)
        ticks = [t for t in (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if t >= lowest * 0.8]
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xticks([0.001, 0.01, 0.1, 1, 10], ["0.001", "0.01", "0.1", "1", "10"])
        axes.minorticks_off()
        axes.set_xlabel("false boxes a picture (shaded: where the miss rate is averaged)")
        axes.set_ylabel("share missed")
        axes.grid()
        axes.tick_params(length=0)
        axes.legend(loc="lower left", fontsize=8)

    return _png((6.6, 4.2), draw)
