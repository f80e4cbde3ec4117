# SPDX-License-Identifier: Apache-2.0
"""Patterns of cloth as functions of the pattern coordinate: stripes, checks, blocks, prints, flowers.

Each returns how much of three colours a pixel has and whether the pattern shows there. `fabric` mixes the colours;
nothing here knows a renderer. Lengths are decimetres on the neutral body with hanging arms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating[Any]]
Bools: TypeAlias = NDArray[np.bool_]

NOISE_CELLS = 256
NOISE_DM = 12.8  # side of the noise tile
# A leg of the neutral body: heights, then x and z of its middle and its half width there, dm.
LEG = (
    (-7.5, -5.0, -4.0, -3.0, -1.0, 0.0, 2.0),
    (1.85, 1.63, 1.5, 1.28, 1.0, 0.8, 0.6),
    (0.15, 0.05, 0.15, 0.4, 0.42, 0.2, 0.3),
    (0.5, 0.62, 0.62, 0.68, 0.85, 1.0, 1.0),
)


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


def sample(kind: str, u: Floats, v: Floats) -> Floats:
    """Look the tile up at (k,) coordinates in dm; nearest cell, wrapped."""
    scale = NOISE_CELLS / NOISE_DM
    column = (u * scale).astype(np.int64) & (NOISE_CELLS - 1)
    row = (v * scale).astype(np.int64) & (NOISE_CELLS - 1)
    return np.asarray(_noise(kind)[row, column], np.float32)


def _wave(values: Floats, period: float, share: float) -> Bools:
    return np.asarray((values / period) % 1 < share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Pattern coordinates of the pixels, x, y, z (k,) dm, and what a look says of its pattern (`fabric.Look`)."""

    x: Floats
    y: Floats
    z: Floats
    period: float
    seed: int
    legs: bool

    @property
    def around(self) -> Floats:
        """Length along the cloth from the front middle, (k,): round the trunk, each sleeve, each trouser leg."""
        trunk = 1.6 * np.arctan2(self.x, self.z - 0.25)
        out = np.abs(self.x)
        sleeve = 0.55 * np.arctan2(out - 1.75, self.z - 0.2)
        along = np.where((out > 1.38) & (self.y > 0.5), sleeve, trunk)
        if self.legs:
            middle, half = (np.interp(self.y, LEG[0], LEG[k]) for k in (1, 3))
            leg = half * np.arctan2(out - middle, self.z - np.interp(self.y, LEG[0], LEG[2]))
            along = np.where(self.y < 0.2, leg, along)
        return np.asarray(along)

    @property
    def shift(self) -> tuple[float, float]:
        """Where in the noise tile this look begins, dm."""
        return (self.seed * 37 % 128) / 10, (self.seed * 61 % 128) / 10

    def noise(self, kind: str, stretch: float = 1.0) -> Floats:
        """Noise of the tile over the cloth, (k,) in [0, 1]; `stretch` makes it coarser."""
        du, dv = self.shift
        return sample(kind, (self.around + du) / stretch, (self.y + dv) / stretch)


Layers: TypeAlias = tuple[Floats, Bools]  # shares (k, 3) of the three colours, and where the pattern shows


def _layers(second: Bools, third: Bools | None = None, *, mark: Bools | None = None) -> Layers:
    shares = np.zeros((len(second), 3), np.float32)
    shares[:, 1] = second
    if third is not None:
        shares[third] = (0, 0, 1)
    shares[:, 0] = 1 - shares[:, 1] - shares[:, 2]
    return shares, mark if mark is not None else second if third is None else second | third


def _stripe(w: Where) -> Layers:
    return _layers(_wave(w.y, w.period, 0.45), mark=np.ones(len(w.y), bool))


def _stripe_broad(w: Where) -> Layers:
    second, third = _wave(w.y, w.period * 2, 0.34), _wave(w.y + 0.7 * w.period, w.period * 2, 0.2)
    return _layers(second, third, mark=np.ones(len(w.y), bool))


def _stripe_upright(w: Where) -> Layers:
    return _layers(_wave(w.around, w.period, 0.4), mark=np.ones(len(w.y), bool))


def _stripe_chest(w: Where) -> Layers:
    band = np.abs(w.y - 3.6)
    return _layers(band < 0.55, band < 0.2)


def _plaid(w: Where) -> Layers:
    period = w.period
    shares = np.zeros((len(w.y), 3), np.float32)
    shares[:, 1] = 0.5 * _wave(w.around, period, 0.5) + 0.5 * _wave(w.y, period, 0.5)
    lines = _wave(w.around + 0.21 * period, period, 0.09) | _wave(w.y + 0.21 * period, period, 0.09)
    shares[:, 0] = 1 - shares[:, 1]
    shares[lines] = shares[lines] * 0.45 + np.array([0, 0, 0.55], np.float32)
    return shares, np.ones(len(w.y), bool)


def _gingham(w: Where) -> Layers:
    period = w.period * 0.7
    shares = np.zeros((len(w.y), 3), np.float32)
    shares[:, 1] = 0.5 * _wave(w.around, period, 0.5) + 0.5 * _wave(w.y, period, 0.5)
    shares[:, 0] = 1 - shares[:, 1]
    return shares, np.ones(len(w.y), bool)


def _splice(w: Where) -> Layers:
    second = w.y > 3.6
    return _layers(second, np.abs(w.y - 3.6) < 0.09 if w.seed % 2 else None, mark=np.ones(len(w.y), bool))


def _splice_sleeves(w: Where) -> Layers:
    return _layers(np.abs(w.x) > 1.75 - 0.12 * (w.y - 4.5), mark=np.ones(len(w.y), bool))


def _splice_chest(w: Where) -> Layers:
    return _layers((w.y > 2.7) & (w.y < 4.3), (w.y <= 2.7) & (w.seed % 2 == 0), mark=np.ones(len(w.y), bool))


def _splice_sides(w: Where) -> Layers:
    return _layers((np.abs(w.x) > 1.05) & (np.abs(w.x) < 1.9), mark=np.ones(len(w.y), bool))


def _logo(w: Where) -> Layers:
    u, v = w.x / 0.9, (w.y - 3.8) / 0.8
    kind = w.seed % 3
    if kind == 0:
        shape = u**2 + v**2 < 0.75
    elif kind == 1:
        shape = np.abs(u) + np.abs(v) < 0.95
    else:
        shape = (np.abs(u) < 0.95) & (np.abs(v) < 0.5)
    ink = shape & (w.noise("fine", 0.5) > 0.35)
    front = w.z > 0.1
    return _layers(shape & front, ink & front, mark=shape & front)


def _emblem(w: Where) -> Layers:
    shape = (((w.x - 0.8) / 0.32) ** 2 + ((w.y - 4.2) / 0.3) ** 2 < 1) & (w.z > 0.1)
    return _layers(shape, shape & (w.noise("fine", 0.3) > 0.6))


def _print(w: Where) -> Layers:
    shape = (np.abs(w.x) < 1.05) & (np.abs(w.y - 3.3) < 1.15) & (w.z > 0.1)
    ink = w.noise("soft", 0.45)
    return _layers(shape & (ink > 0.45), shape & (ink < 0.25), mark=shape)


def _letters(w: Where, middle: float) -> Bools:
    """Something like a line or two of letters: cells with strokes."""
    u, v = (w.x + 1.2) / 0.34, (w.y - middle + 0.5) / 0.5
    cell, row = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    a, b = u - cell, v - row
    code = (cell * 7 + row * 13 + w.seed) % 5
    upright = (a > 0.12) & (a < 0.34)
    other = (a > 0.6) & (a < 0.82) & (code != 1)
    bars = ((b > 0.78) & (code != 2)) | ((b > 0.42) & (b < 0.58) & (code != 3)) | ((b < 0.2) & (code > 1))
    inside = (a > 0.12) & (a < 0.82) & (b > 0.05) & (b < 0.92)
    lines = 1 + w.seed % 2
    return np.asarray(inside & (upright | other | bars) & (np.abs(w.x) < 1.2) & (row >= 0) & (row < lines))


def _lettering(w: Where) -> Layers:
    box = (np.abs(w.x) < 1.2) & (np.abs(w.y - 4.0) < 0.6) & (w.z > 0.1)
    return _layers(_letters(w, 4.0) & box, mark=box)


def _back_print(w: Where) -> Layers:
    box = (np.abs(w.x) < 1.2) & (np.abs(w.y - 4.0) < 0.9) & (w.z < -0.1)
    return _layers(_letters(w, 4.2) & box, mark=box)


def _seam(w: Where, low: float, high: float) -> Bools:
    """A stripe down the outside of the legs, between two distances (dm) from the seam along the cloth."""
    middle, depth, half = (np.interp(w.y, LEG[0], LEG[k]) for k in (1, 2, 3))
    off = half * np.abs(np.arctan2(w.z - depth, np.abs(w.x) - middle))
    return np.asarray((off >= low) & (off < high))


def _side_stripe(w: Where) -> Layers:
    return _layers(_seam(w, 0.0, 0.22))


def _side_stripes(w: Where) -> Layers:
    return _layers(_seam(w, 0.0, 0.09) | _seam(w, 0.2, 0.32), mark=_seam(w, 0.0, 0.34))


def _camouflage(w: Where) -> Layers:
    a, b = w.noise("soft", 0.55), w.noise("warp", 0.4)
    return _layers(a > 0.62, b > 0.72, mark=np.ones(len(w.y), bool))


def _flowers(w: Where) -> Layers:
    period = w.period
    u, v = w.around / period, w.y / period
    v = v + 0.5 * (np.floor(u) % 2)
    a, b = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
    away, angle = np.hypot(a, b), np.arctan2(b, a)
    petals = away < 0.22 + 0.1 * np.cos(5 * angle)
    return _layers(petals, away < 0.09, mark=np.ones(len(w.y), bool))


def _dots(w: Where) -> Layers:
    period = w.period
    u, v = w.around / period, w.y / period
    u = u + 0.5 * (np.floor(v) % 2)
    spot = np.hypot(u - np.floor(u) - 0.5, v - np.floor(v) - 0.5) < 0.27
    return _layers(spot, mark=np.ones(len(w.y), bool))


PATTERNS: Mapping[str, Callable[[Where], Layers]] = {
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
