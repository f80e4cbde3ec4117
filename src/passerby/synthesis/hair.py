# SPDX-License-Identifier: Apache-2.0
"""Hair and beards: fitted card meshes from files, and shells cut out of the mesh that thin out in strands.

A shell has a `cover` that falls towards its rim; the renderer keeps a pixel where `fabric.strands` lies below it, so
the skin shows through and the outline is not a line. Lengths are decimetres.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from . import hulls
from .clothing import Canonical, Cut, Field, Piece
from .garments import scalp
from .hulls import HULLS

# Card meshes with a picture that has alpha; the two without one are coloured and thinned like shells.
CARDS = ("short01", "short02", "short03", "short04", "bob02", "long01", "ponytail01", "braid01")
CARDS_WITHOUT_PICTURE = ("bob01", "afro01")

MOUTH_Y = 6.62  # canonical height of the mouth


def _beard(low: float, high: float, swell: float, *, lip: bool) -> Cut:
    """Hair on chin and cheeks between two canonical heights, the mouth free."""

    def keep(c: Canonical) -> Field:
        cheek = high - 0.1 + 0.9 * np.clip(1.0 - c.z, 0, 1) - c.y  # higher in front of the ears
        mouth = np.hypot(c.x / 0.3, (c.y - MOUTH_Y) / 0.1) - 1
        upper = np.where(lip, np.hypot(c.x / 0.42, (c.y - MOUTH_Y) / 0.3) - 1, 1.0)
        sides = np.where(c.y > MOUTH_Y, np.maximum(np.abs(c.x) - 0.42, -upper * 2), 1.0)
        return np.asarray(np.minimum.reduce([c.y - low, cheek, mouth, sides, c.z - 0.55]))

    return Cut(
        region="body", keep=keep, swell=lambda c: np.full_like(c.y, swell), smoothing=1, hides=lambda c: 0 * c.y - 1
    )


def _moustache() -> Cut:
    return Cut(
        region="body",
        keep=lambda c: np.minimum.reduce(
            [
                0.33 - np.abs(c.x),
                c.y - MOUTH_Y - 0.05,
                MOUTH_Y + 0.2 - 0.25 * np.abs(c.x) - c.y,
                c.z - 0.9,
            ]
        ),
        swell=lambda c: np.full_like(c.y, 0.05),
        smoothing=1,
        hides=lambda c: 0 * c.y - 1,
    )


CUTS: Mapping[str, Cut] = {
    "buzz": replace(scalp(drop=1.1, slope=0.3, swell=0.04), smoothing=0),
    "crop": replace(scalp(drop=1.15, slope=0.34, swell=0.09), smoothing=2),
    "full_crop": replace(scalp(drop=1.25, slope=0.4, swell=0.17), smoothing=2),
    "crown_ring": Cut(
        region="body",
        keep=lambda c: np.minimum.reduce([
            c.y - (c.crown - 1.3) - 0.34 * (c.z - 0.4), c.crown - 0.62 - c.y + 0.5 * np.clip(c.z, -1, 0.4), 0.9 - c.z,
        ]),
        swell=lambda c: np.full_like(c.y, 0.03),
        smoothing=0,
        hides=lambda c: 0 * c.y - 1,
    ),
    "beard": _beard(6.0, 6.95, 0.06, lip=True),
    "stubble": _beard(6.05, 6.9, 0.012, lip=True),
    "goatee": _beard(6.0, 6.6, 0.08, lip=False),
    "moustache": _moustache(),
}  # fmt: skip

# How dense hair is at its border and away from it, and over how many dm it grows so.
COVER: Mapping[str, tuple[float, float, float]] = {
    "buzz": (0.0, 1.0, 0.5),
    "stubble": (0.1, 0.55, 0.25),
    "beard": (0.1, 1.0, 0.2),
    "goatee": (0.1, 0.95, 0.15),
    "moustache": (0.3, 1.0, 0.08),
    "crown_ring": (0.0, 0.95, 0.4),
    "afro01": (0.85, 0.85, 1.0),
    "bob01": (1.0, 1.0, 1.0),
}
USUAL_COVER = (0.1, 1.0, 0.25)


def cover(name: str, coordinates: Canonical, piece: Piece) -> Field:
    """How dense hair is at each vertex of a piece, (n,) float32 in [0, 1]; it thins out towards the border."""
    name = name.removeprefix("hair/")
    rim, full, width = COVER.get(name, USUAL_COVER)
    if name in HULLS:
        inside = hulls.inside(HULLS[name], piece)
    elif name in CUTS:
        inside = CUTS[name].keep(coordinates.mixed(piece.rows, piece.shares))
    else:
        return np.full(len(piece.rows), full, np.float32)
    return np.asarray(rim + (full - rim) * np.clip(inside / width, 0, 1), np.float32)


# sRGB of hair by rough share; old people turn grey (`grey`), few dye it.
NATURAL: tuple[tuple[str, float], ...] = (
    ("#0d0b0a", 0.22), ("#17110d", 0.2), ("#241911", 0.16), ("#3a2618", 0.14), ("#513522", 0.1), ("#6d4a2c", 0.06),
    ("#8d6a3f", 0.05), ("#b3905c", 0.03), ("#7a3a1e", 0.02), ("#5a5450", 0.02),
)  # fmt: skip
GREY: tuple[str, ...] = ("#6d6a67", "#8f8c88", "#b3b0ab", "#d2cfca", "#e4e2de", "#4d4a48")
DYED: tuple[str, ...] = ("#9c2f2a", "#b0588d", "#3f5f9e", "#7a4fa0", "#c8a765", "#b8482a")


def draw_colour(rng: np.random.Generator, years: float, *, dark: bool) -> str:
    """Draw a hair colour for an age; `dark` keeps to the dark half, as most of the world has it."""
    grey = float(np.clip((years - 38) / 32, 0, 0.93))
    if rng.random() < grey:
        return str(rng.choice(GREY))
    if 14 < years < 45 and rng.random() < 0.04:
        return str(rng.choice(DYED))
    names, shares = zip(*(NATURAL[:4] if dark else NATURAL), strict=True)
    weights = np.array(shares)
    return str(rng.choice(names, p=weights / weights.sum()))
