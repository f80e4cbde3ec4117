# SPDX-License-Identifier: Apache-2.0
"""Colours of clothes: the twelve colour words, what cloth of each looks like, and what goes with what.

Streets are mostly black, grey, blue and white; loud colours are rare and mostly muted. Shades are drawn round
anchors in CIELAB-like steps of sRGB that people would call by the word.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# For each word, anchors as sRGB: a shade is a mix of two neighbours, then a little noise.
ANCHORS: Mapping[str, tuple[str, ...]] = {
    "black": ("#0c0c0e", "#17171a", "#1d1f22", "#222226"),
    "white": ("#f4f3ef", "#ebebe8", "#e4e5e6", "#f0efe9"),
    "grey": ("#4c4e52", "#6b6d70", "#8a8c8e", "#a8a9aa", "#c0c1c1", "#77756f"),
    "red": ("#8c1d22", "#a8242a", "#c22f2f", "#7a1a24", "#b8313a"),
    "orange": ("#d9682a", "#e07b2f", "#c75a22", "#e58b45"),
    "yellow": ("#d9b43a", "#e6c84f", "#c99f2c", "#eed774"),
    "green": ("#2f4a33", "#3d5c3f", "#4b5a35", "#5d7a58", "#2a5d4c", "#7c9a6e", "#5a6240"),
    "blue": ("#1f2c4a", "#27375c", "#2f4f86", "#3d6aa8", "#5f86b5", "#8fb0d2", "#1c3f66"),
    "purple": ("#4a2f5c", "#5f3f78", "#76589a", "#8a6aa5", "#4f2448"),
    "pink": ("#d98aa0", "#e3a6b4", "#c96a86", "#ecc0c6", "#d4577e"),
    "brown": ("#4a3425", "#5c4230", "#6f5038", "#3d2b20", "#7d5d40"),
    "beige": ("#c9b391", "#d8c7a8", "#b89f7a", "#e0d3bb", "#cdbb9e"),
}
WORDS = tuple(ANCHORS)

UPPER_SHARES: Mapping[str, float] = {
    "black": 0.19, "white": 0.13, "grey": 0.13, "blue": 0.14, "red": 0.07, "green": 0.07, "brown": 0.05,
    "beige": 0.06, "pink": 0.05, "yellow": 0.04, "orange": 0.035, "purple": 0.035,
}  # fmt: skip
LOWER_SHARES: Mapping[str, float] = {
    "black": 0.25, "white": 0.07, "grey": 0.13, "blue": 0.24, "red": 0.04, "green": 0.06, "brown": 0.06,
    "beige": 0.07, "pink": 0.03, "yellow": 0.015, "orange": 0.015, "purple": 0.02,
}  # fmt: skip


def draw_word(rng: np.random.Generator, shares: Mapping[str, float]) -> str:
    """Draw a colour word; shares need not sum to one."""
    weights = np.array([max(shares.get(word, 0.0), 0.0) for word in WORDS])
    return str(rng.choice(WORDS, p=weights / weights.sum()))


def draw_shade(rng: np.random.Generator, word: str) -> str:
    """Draw a shade of a colour word as "#rrggbb"."""
    anchors = ANCHORS[word]
    a, b = (_rgb(anchors[k]) for k in rng.choice(len(anchors), 2))
    mixed = a + (b - a) * rng.random() * 0.5 + rng.normal(0, 5 if word not in ("black", "white") else 2.5, 3)
    return _hex(mixed * rng.uniform(0.94, 1.05))


def draw_second(rng: np.random.Generator, shade: str, *, contrast: float = 70) -> str:
    """Draw a colour that can be told from `shade`: `contrast` is the least distance in sRGB (0-442)."""
    own = _rgb(shade)
    neutral = ("white", "black", "grey", "blue", "beige", "red")
    for _ in range(12):
        word = str(rng.choice(neutral)) if rng.random() < 0.7 else str(rng.choice(WORDS))
        other = draw_shade(rng, word)
        if float(np.linalg.norm(_rgb(other) - own)) > contrast:
            return other
    return "#f0efe9" if own.mean() < 128 else "#17171a"


def near(rng: np.random.Generator, shade: str, *, factor: tuple[float, float]) -> str:
    """A darker or paler cousin of a shade, its brightness times a factor from the range."""
    return _hex(_rgb(shade) * rng.uniform(*factor) + rng.normal(0, 2, 3))


def _rgb(shade: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([int(shade[k : k + 2], 16) for k in (1, 3, 5)], np.float64)


def _hex(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    red, green, blue = values.round().clip(0, 255).astype(int).tolist()
    return f"#{red:02x}{green:02x}{blue:02x}"
