# SPDX-License-Identifier: Apache-2.0
"""What cloth and other surfaces look like, per pixel: colours, patterns, and the relief of folds and quilting.

A pattern is a function of the pattern coordinate (dm): where the point lies on the neutral body with hanging arms,
x to its left, y up, z forward. A renderer calls `paint`, `height` and `strands` with the coordinates of its visible
pixels; nothing here knows meshes, light or cameras.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Material = Literal["cloth", "denim", "leather", "skin", "hair", "eye", "metal", "plastic", "card", "wood"]
Floats: TypeAlias = NDArray[np.floating[Any]]
Bools: TypeAlias = NDArray[np.bool_]

NOISE_CELLS = 256
NOISE_DM = 12.8  # side of the noise tile
HIP_Y, ANKLE_Y = 0.0, -7.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a surface looks like: colours are sRGB "#rrggbb"; `period` is the pattern's size, dm.

    `texture` is a picture; with `tinted` only its luminance is used and multiplied by `colour`. `alpha` cuts holes:
    a picture's alpha channel at the texture coordinates, or "strands" where the mesh's `cover` is thin.
    `skirt_line` draws the front opening of a coat. `details` are sewn on: "zip", "buttons", "hems", "pockets".
    `relief` names the height field: "folds", "quilt", "knit", "none"; `tint` multiplies the final linear colour (skin
    tones); `seed` moves random patterns.
    """

    colour: str = "#808080"
    second: str = "#303030"
    third: str = "#e8e4d8"
    pattern: str = "plain"
    period: float = 0.8
    material: Material = "cloth"
    texture: Path | None = None
    tinted: bool = False
    alpha: Path | Literal["strands"] | None = None
    skirt_line: bool = False
    details: tuple[str, ...] = ()
    relief: Literal["folds", "quilt", "knit", "none"] = "folds"
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    seed: int = 0


# What a pattern says about a garment, by where it is worn. Fine patterns (dots, knit) are no label of PA-100K.
PATTERN_LABELS: Mapping[str, Mapping[str, str]] = {
    "stripe": {"upper": "upper_stripe", "lower": "lower_stripe"},
    "stripe_broad": {"upper": "upper_stripe", "lower": "lower_stripe"},
    "stripe_upright": {"upper": "upper_stripe", "lower": "lower_stripe"},
    "stripe_chest": {"upper": "upper_stripe"},
    "plaid": {"upper": "upper_plaid", "lower": "lower_pattern"},
    "gingham": {"upper": "upper_plaid", "lower": "lower_pattern"},
    "splice": {"upper": "upper_splice"},
    "splice_sleeves": {"upper": "upper_splice"},
    "splice_chest": {"upper": "upper_splice"},
    "splice_sides": {"upper": "upper_splice"},
    "logo": {"upper": "upper_logo"},
    "emblem": {"upper": "upper_logo"},
    "print": {"upper": "upper_logo"},
    "lettering": {"upper": "upper_logo"},
    "back_print": {"upper": "upper_logo"},
    "side_stripe": {"lower": "lower_stripe"},
    "side_stripes": {"lower": "lower_stripe"},
    "camouflage": {"lower": "lower_pattern"},
    "flowers": {"lower": "lower_pattern"},
    "dots": {"lower": "lower_pattern"},
}


def linear(colour: str) -> Floats:
    """An sRGB "#rrggbb" as (3,) float32 linear RGB in [0, 1] (IEC 61966-2-1)."""
    values = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)], np.float32) / 255
    bent = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return np.asarray(bent, np.float32)


@cache
def _noise(kind: str) -> Floats:
    """A tile of noise (256, 256) float32 in [0, 1], uniform, periodic; "soft" is broad, "fine" has detail."""
    slope, seed = {"soft": (2.2, 1), "fine": (1.2, 2), "warp": (2.6, 3)}[kind]
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.standard_normal((NOISE_CELLS, NOISE_CELLS)))
    fy = np.fft.fftfreq(NOISE_CELLS)[:, None] * NOISE_CELLS
    fx = np.fft.rfftfreq(NOISE_CELLS)[None] * NOISE_CELLS
    spectrum *= np.hypot(fx, fy).clip(2.0) ** -slope
    field = np.fft.irfft2(spectrum, s=(NOISE_CELLS, NOISE_CELLS))
    ranks = field.ravel().argsort().argsort().reshape(field.shape)
    tile = np.asarray(ranks / ranks.size, np.float32)
    tile.setflags(write=False)
    return tile


def _sample(kind: str, u: Floats, v: Floats) -> Floats:
    """Look the tile up at (k,) coordinates in dm; nearest cell, wrapped."""
    scale = NOISE_CELLS / NOISE_DM
    column = (u * scale).astype(np.int64) & (NOISE_CELLS - 1)
    row = (v * scale).astype(np.int64) & (NOISE_CELLS - 1)
    return _noise(kind)[row, column]


def _wave(values: Floats, period: float, share: float) -> Bools:
    return np.asarray((values / period) % 1 < share)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Where:
    """Pattern coordinates of the pixels, split: x, y, z (k,), `around` runs along the cloth round the trunk."""

    x: Floats
    y: Floats
    z: Floats
    look: Look

    @property
    def around(self) -> Floats:
        # On the sides of the trunk cloth runs along z: without it a check would smear there. The seam is behind.
        return np.asarray(self.x + np.sign(self.x) * 0.8 * np.clip(0.9 - self.z, 0, None))

    @property
    def shift(self) -> tuple[float, float]:
        return (self.look.seed * 37 % 128) / 10, (self.look.seed * 61 % 128) / 10

    def noise(self, kind: str, stretch: float = 1.0) -> Floats:
        du, dv = self.shift
        return _sample(kind, (self.around + du) / stretch, (self.y + dv) / stretch)


Layers: TypeAlias = tuple[Floats, Bools]  # shares (k, 3) of the three colours, and where the pattern shows


def _layers(second: Bools, third: Bools | None = None, *, mark: Bools | None = None) -> Layers:
    shares = np.zeros((len(second), 3), np.float32)
    shares[:, 1] = second
    if third is not None:
        shares[third] = (0, 0, 1)
    shares[:, 0] = 1 - shares[:, 1] - shares[:, 2]
    return shares, mark if mark is not None else second if third is None else second | third


def _stripe(w: _Where) -> Layers:
    return _layers(_wave(w.y, w.look.period, 0.45), mark=np.ones(len(w.y), bool))


def _stripe_broad(w: _Where) -> Layers:
    second, third = _wave(w.y, w.look.period * 2, 0.34), _wave(w.y + 0.7 * w.look.period, w.look.period * 2, 0.2)
    return _layers(second, third, mark=np.ones(len(w.y), bool))


def _stripe_upright(w: _Where) -> Layers:
    return _layers(_wave(w.around, w.look.period, 0.4), mark=np.ones(len(w.y), bool))


def _stripe_chest(w: _Where) -> Layers:
    band = np.abs(w.y - 3.6)
    return _layers(band < 0.55, band < 0.2)


def _plaid(w: _Where) -> Layers:
    period = w.look.period
    shares = np.zeros((len(w.y), 3), np.float32)
    shares[:, 1] = 0.5 * _wave(w.around, period, 0.5) + 0.5 * _wave(w.y, period, 0.5)
    lines = _wave(w.around + 0.21 * period, period, 0.09) | _wave(w.y + 0.21 * period, period, 0.09)
    shares[:, 0] = 1 - shares[:, 1]
    shares[lines] = shares[lines] * 0.45 + np.array([0, 0, 0.55], np.float32)
    return shares, np.ones(len(w.y), bool)


def _gingham(w: _Where) -> Layers:
    period = w.look.period * 0.7
    shares = np.zeros((len(w.y), 3), np.float32)
    shares[:, 1] = 0.5 * _wave(w.around, period, 0.5) + 0.5 * _wave(w.y, period, 0.5)
    shares[:, 0] = 1 - shares[:, 1]
    return shares, np.ones(len(w.y), bool)


def _splice(w: _Where) -> Layers:
    second = w.y > 3.6
    return _layers(second, np.abs(w.y - 3.6) < 0.09 if w.look.seed % 2 else None, mark=np.ones(len(w.y), bool))


def _splice_sleeves(w: _Where) -> Layers:
    return _layers(np.abs(w.x) > 1.75 - 0.12 * (w.y - 4.5), mark=np.ones(len(w.y), bool))


def _splice_chest(w: _Where) -> Layers:
    return _layers((w.y > 2.7) & (w.y < 4.3), (w.y <= 2.7) & (w.look.seed % 2 == 0), mark=np.ones(len(w.y), bool))


def _splice_sides(w: _Where) -> Layers:
    return _layers((np.abs(w.x) > 1.05) & (np.abs(w.x) < 1.9), mark=np.ones(len(w.y), bool))


def _logo(w: _Where) -> Layers:
    u, v = w.x / 0.9, (w.y - 3.8) / 0.8
    kind = w.look.seed % 3
    if kind == 0:
        shape = u**2 + v**2 < 0.75
    elif kind == 1:
        shape = np.abs(u) + np.abs(v) < 0.95
    else:
        shape = (np.abs(u) < 0.95) & (np.abs(v) < 0.5)
    ink = shape & (w.noise("fine", 0.5) > 0.35)
    front = w.z > 0.1
    return _layers(shape & front, ink & front, mark=shape & front)


def _emblem(w: _Where) -> Layers:
    shape = (((w.x - 0.8) / 0.32) ** 2 + ((w.y - 4.2) / 0.3) ** 2 < 1) & (w.z > 0.1)
    return _layers(shape, shape & (w.noise("fine", 0.3) > 0.6))


def _print(w: _Where) -> Layers:
    shape = (np.abs(w.x) < 1.05) & (np.abs(w.y - 3.3) < 1.15) & (w.z > 0.1)
    ink = w.noise("soft", 0.45)
    return _layers(shape & (ink > 0.45), shape & (ink < 0.25), mark=shape)


def _letters(w: _Where, middle: float) -> Bools:
    """Something like a line or two of letters: cells with strokes."""
    u, v = (w.x + 1.2) / 0.34, (w.y - middle + 0.5) / 0.5
    cell, row = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    a, b = u - cell, v - row
    code = (cell * 7 + row * 13 + w.look.seed) % 5
    upright = (a > 0.12) & (a < 0.34)
    other = (a > 0.6) & (a < 0.82) & (code != 1)
    bars = ((b > 0.78) & (code != 2)) | ((b > 0.42) & (b < 0.58) & (code != 3)) | ((b < 0.2) & (code > 1))
    inside = (a > 0.12) & (a < 0.82) & (b > 0.05) & (b < 0.92)
    lines = 1 + w.look.seed % 2
    return np.asarray(inside & (upright | other | bars) & (np.abs(w.x) < 1.2) & (row >= 0) & (row < lines))


def _lettering(w: _Where) -> Layers:
    box = (np.abs(w.x) < 1.2) & (np.abs(w.y - 4.0) < 0.6) & (w.z > 0.1)
    return _layers(_letters(w, 4.0) & box, mark=box)


def _back_print(w: _Where) -> Layers:
    box = (np.abs(w.x) < 1.2) & (np.abs(w.y - 4.0) < 0.9) & (w.z < -0.1)
    return _layers(_letters(w, 4.2) & box, mark=box)


def _seam(w: _Where, low: float, high: float) -> Bools:
    """A stripe down the outside of the legs, between two distances (dm) from the seam along the cloth."""
    heights = (-7.5, -5.0, -4.0, -3.0, -1.0, 0.0, 2.0)
    out = np.abs(w.x) - np.interp(w.y, heights, (1.85, 1.63, 1.5, 1.28, 1.0, 0.8, 0.6))
    ahead = w.z - np.interp(w.y, heights, (0.15, 0.05, 0.15, 0.4, 0.42, 0.2, 0.3))
    off = np.interp(w.y, heights, (0.5, 0.62, 0.62, 0.68, 0.85, 1.0, 1.0)) * np.abs(np.arctan2(ahead, out))
    return np.asarray((off >= low) & (off < high))


def _side_stripe(w: _Where) -> Layers:
    return _layers(_seam(w, 0.0, 0.3))


def _side_stripes(w: _Where) -> Layers:
    return _layers(_seam(w, 0.0, 0.09) | _seam(w, 0.2, 0.32), mark=_seam(w, 0.0, 0.34))


def _camouflage(w: _Where) -> Layers:
    a, b = w.noise("soft", 0.55), w.noise("warp", 0.4)
    return _layers(a > 0.62, b > 0.72, mark=np.ones(len(w.y), bool))


def _flowers(w: _Where) -> Layers:
    period = w.look.period
    u, v = w.around / period, w.y / period
    v = v + 0.5 * (np.floor(u) % 2)
    a, b = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
    away, angle = np.hypot(a, b), np.arctan2(b, a)
    petals = away < 0.22 + 0.1 * np.cos(5 * angle)
    return _layers(petals, away < 0.09, mark=np.ones(len(w.y), bool))


def _dots(w: _Where) -> Layers:
    period = w.look.period
    u, v = w.around / period, w.y / period
    u = u + 0.5 * (np.floor(v) % 2)
    spot = np.hypot(u - np.floor(u) - 0.5, v - np.floor(v) - 0.5) < 0.27
    return _layers(spot, mark=np.ones(len(w.y), bool))


PATTERNS: Mapping[str, Callable[[_Where], Layers]] = {
    "stripe": _stripe,
    "stripe_broad": _stripe_broad,
    "stripe_upright": _stripe_upright,
    "stripe_chest": _stripe_chest,
    "plaid": _plaid,
    "gingham": _gingham,
    "splice": _splice,
    "splice_sleeves": _splice_sleeves,
    "splice_chest": _splice_chest,
    "splice_sides": _splice_sides,
    "logo": _logo,
    "emblem": _emblem,
    "print": _print,
    "lettering": _lettering,
    "back_print": _back_print,
    "side_stripe": _side_stripe,
    "side_stripes": _side_stripes,
    "camouflage": _camouflage,
    "flowers": _flowers,
    "dots": _dots,
}


def paint(look: Look, pattern: Floats) -> tuple[Floats, Bools]:
    """Colour the pixels of one surface.

    Args:
        pattern: (k, 3) dm, the surface's pattern coordinate at each pixel.
    Returns:
        albedo (k, 3) float32, linear RGB in [0, 1], and (k,) bool: where the pattern itself can be seen (a logo, a
        seam stripe; all of it for a striped or checked cloth; nothing for a plain one).
    """
    where = _Where(x=pattern[:, 0], y=pattern[:, 1], z=pattern[:, 2], look=look)
    colours = np.stack([linear(look.colour), linear(look.second), linear(look.third)])
    if look.pattern in PATTERNS:
        shares, mark = PATTERNS[look.pattern](where)
        albedo = shares @ colours
    else:
        albedo, mark = np.tile(colours[0], (len(pattern), 1)), np.zeros(len(pattern), bool)
    if look.material in ("cloth", "denim"):
        wear = 0.9 + 0.2 * where.noise("soft")
        if look.material == "denim":  # thighs and knees are paler
            wear = wear + 0.25 * np.exp(-((where.y + 1.8) ** 2) / 5) * (where.z > 0)
        albedo = albedo * wear[:, None]
    for detail in look.details:
        _sew(detail, where, albedo)
    if look.skirt_line:
        line = (np.abs(where.x - 0.06) < 0.05) & (where.z > 0)
        albedo[line] *= 0.45
    return np.asarray(albedo.clip(0, 1), np.float32), mark


def _sew(detail: str, w: _Where, albedo: Floats) -> None:
    """Draw a detail into albedo (k, 3), in place."""
    front = w.z > 0.1
    if detail == "zip":
        albedo[(np.abs(w.x) < 0.05) & front] *= 0.4
    elif detail == "buttons":
        spot = np.hypot(w.x, (w.y % 0.95) - 0.47) < 0.09
        albedo[spot & front] = 0.6 * albedo[spot & front] + 0.05
        albedo[(np.abs(w.x - 0.22) < 0.03) & front] *= 0.6
    elif detail == "pockets":
        edge = (np.abs(np.abs(w.x) - 0.95) < 0.5) & (np.abs(w.y - 1.5 + 0.5 * (np.abs(w.x) - 0.95)) < 0.04)
        albedo[edge & front] *= 0.45
    elif detail == "placket":
        albedo[(np.abs(w.x) < 0.18) & (w.y > 4.6) & front] *= 0.8


def height(look: Look, pattern: Floats) -> Floats:
    """The relief of a surface, (k,) float32 dm outwards: folds, quilted channels, ribs of a knit."""
    where = _Where(x=pattern[:, 0], y=pattern[:, 1], z=pattern[:, 2], look=look)
    if look.material not in ("cloth", "denim") or look.relief == "none":
        return np.zeros(len(pattern), np.float32)
    du, dv = where.shift
    # Folds run down the body, and across it where cloth is pushed together: at elbow, waist, knee, ankle.
    down = _sample("warp", (where.around + du) / 0.35, (where.y + dv) / 1.6)
    across = _sample("warp", (where.around + dv) / 1.3, (where.y + du) / 0.3)
    bunch = sum(np.exp(-(((where.y - y) / 0.9) ** 2)) for y in (2.6, 0.9, -3.4, -7.2))
    folds = 0.16 * down + 0.2 * across * np.minimum(bunch, 1)
    if look.relief == "quilt":
        period = 0.95 if look.period < 1 else look.period
        folds = 0.35 * folds + 0.28 * np.abs(np.sin(np.pi * where.y / period)) ** 0.5
    elif look.relief == "knit":
        folds = 0.8 * folds + 0.012 * np.sin(2 * np.pi * where.around / 0.25)
    return np.asarray(folds, np.float32)


def strands(pattern: Floats) -> Floats:
    """Thresholds (k,) float32 in [0, 1] that make hair thin out in strands: keep a pixel below the mesh's cover."""
    angle = np.arctan2(pattern[:, 0], pattern[:, 2] + 0.2)
    return _sample("fine", angle * 5.5, pattern[:, 1] * 0.35)
