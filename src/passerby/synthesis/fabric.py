# SPDX-License-Identifier: Apache-2.0
"""What cloth and other surfaces look like, per pixel: colours, patterns, and the relief of folds and quilting.

A pattern is a function of the pattern coordinate (dm): where the point lies on the neutral body with hanging arms,
x to its left, y up, z forward. A renderer calls `paint`, `height` and `strands` with the coordinates of its visible
pixels; nothing here knows meshes, light or cameras.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from .patterns import PATTERNS, Bools, Floats, Where, sample

Material = Literal["cloth", "denim", "leather", "skin", "hair", "eye", "metal", "plastic", "card", "wood"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a surface looks like: colours are sRGB "#rrggbb"; `period` is the pattern's size, dm.

    `texture` is a picture; with `tinted` only its luminance is used and multiplied by `colour`. `alpha` cuts holes:
    a picture's alpha channel at the texture coordinates, or "strands" where the mesh's `cover` is thin.
    `skirt_line` draws the front opening of a coat; `legs` runs patterns round each leg. `details` are sewn on: "zip",
    "buttons", "placket", "pockets". `relief` names the height field: "folds", "quilt", "knit", "none"; `tint`
    multiplies the final linear colour (skin tones); `seed` moves random patterns.
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
    legs: bool = False
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


def paint(look: Look, pattern: Floats) -> tuple[Floats, Bools]:
    """Colour the pixels of one surface.

    Args:
        pattern: (k, 3) dm, the surface's pattern coordinate at each pixel.
    Returns:
        albedo (k, 3) float32, linear RGB in [0, 1], and (k,) bool: where the pattern itself can be seen (a logo, a
        seam stripe; all of it for a striped or checked cloth; nothing for a plain one).
    """
    where = _where(look, pattern)
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
    elif look.material == "hair" and look.texture is None:
        albedo = albedo * (0.45 + 1.1 * strands(pattern))[:, None]
    for detail in look.details:
        _sew(detail, where, albedo)
    if look.skirt_line:
        line = (np.abs(where.x - 0.06) < 0.05) & (where.z > 0)
        albedo[line] *= 0.45
    return np.asarray(albedo.clip(0, 1), np.float32), mark


def _where(look: Look, pattern: Floats) -> Where:
    x, y, z = pattern.T
    return Where(x=x, y=y, z=z, period=look.period, seed=look.seed, legs=look.legs)


def _sew(detail: str, w: Where, albedo: Floats) -> None:
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
    """The relief of a surface, (k,) float32 dm outwards: folds, quilted channels, ribs of a knit, strands."""
    where = _where(look, pattern)
    if look.material == "hair" and look.texture is None:
        return np.asarray(0.09 * strands(pattern), np.float32)
    if look.material not in ("cloth", "denim") or look.relief == "none":
        return np.zeros(len(pattern), np.float32)
    du, dv = where.shift
    # Folds run down the body, and across it where cloth is pushed together: at elbow, waist, knee, ankle.
    down = sample("warp", (where.around + du) / 0.35, (where.y + dv) / 1.6)
    across = sample("warp", (where.around + dv) / 1.3, (where.y + du) / 0.3)
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
    return sample("fine", angle * 5.5, pattern[:, 1] * 0.35)
