"""The garments that are cut out of the mesh: their outlines as fields over canonical coordinates.

`clothing` does the cutting; here is only what a T-shirt, a coat or a boot is. Lengths are decimetres.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .clothing import Canonical, Cut, Field, Measure


def _neckline(c: Canonical, depth: float = 0.0) -> Field:
    return 6.17 - depth - 0.42 * np.clip(c.z, -0.4, 1.2) - c.y


def _flat(value: float) -> Measure:
    return lambda c: np.full_like(c.y, value)


def top(*, hem: float, sleeve: float, swell: float, depth: float = 0.0, hang: float = 0.14) -> Cut:
    """A top from `hem` (canonical height) to the neck, with sleeves to arm coordinate `sleeve`.

    `hang` (dm) widens it towards the hem, so that it falls over the waistband.
    """
    return Cut(
        region="tights",
        keep=lambda c: np.minimum.reduce([c.y - hem, (sleeve - c.arm) * 3, _neckline(c, depth)]),
        swell=lambda c: swell * (1 - 0.4 * np.clip(c.arm / 2, 0, 1)) + hang * np.clip((2.2 - c.y) / 2, 0, 1),
        smoothing=6,
    )


def trousers(*, leg: float, swell: float, flare: float) -> Cut:
    """Trousers from the waist down to `leg` (canonical height), `flare` dm wider at the ankle."""
    return Cut(
        region="tights",
        keep=lambda c: np.minimum(np.minimum(c.y - leg, 1.75 - c.y), (0.05 - c.arm) * 3),
        swell=lambda c: swell + flare * np.clip((1.0 - c.y) / 8.5, 0, 1) + 0.05 * np.clip(1 - c.y, 0, 1),
    )


def skirt(*, hem: float, flare: float, waist: float = 2.0, swell: float = 0.08) -> Cut:
    """A skirt from `waist` to `hem` (canonical heights), widening by `flare` dm over its length."""
    return Cut(
        region="skirt",
        keep=lambda c: np.minimum(c.y - hem, waist - c.y),
        swell=lambda c: swell + flare * np.clip((1.2 - c.y) / 6, 0, 1),
        smoothing=6,
        hides=lambda c: np.minimum.reduce([c.y - hem - 1.0, waist - 0.5 - c.y, (0.05 - c.arm) * 3]),
    )


def band(*, low: float, high: float, swell: float) -> Cut:
    """A ring round the body between two canonical heights: a belt, a waistband."""
    return Cut(
        region="tights",
        keep=lambda c: np.minimum.reduce([c.y - low, high - c.y, (0.05 - c.arm) * 3]),
        swell=_flat(swell),
        hides=_flat(-1.0),
    )


def collar(*, height: float, swell: float) -> Cut:
    """A ring round the neck above the neckline."""
    return Cut(
        region="tights",
        keep=lambda c: np.minimum(_neckline(c, 0.25) * -1, _neckline(c, -height)),
        swell=lambda c: swell + 0.3 * np.clip(-_neckline(c), 0, 1),
        smoothing=2,
        hides=_flat(-1.0),
    )


def boots(*, shaft: float) -> Cut:
    """The shaft and foot of a boot, up to canonical height `shaft`; the sole is thicker."""
    return Cut(
        region="tights",
        keep=lambda c: shaft - c.y,
        swell=lambda c: 0.11 + 0.12 * np.clip((c.y + 7.0) / 1.5, 0, 1) + 0.1 * (c.y < -7.8),
        smoothing=2,
        hides=lambda c: shaft - 0.2 - c.y,
    )


def scalp(*, drop: float, slope: float, swell: float) -> Cut:
    """The top of the head above a plane that rises towards the forehead: beanies and caps."""
    return Cut(
        region="body",
        keep=lambda c: c.y - (c.crown - drop) - slope * (c.z - 0.4),
        swell=_flat(swell),
        smoothing=8,
        hides=_flat(-1.0),
    )


CUTS: Mapping[str, Cut] = {
    "t_shirt": top(hem=0.1, sleeve=0.66, swell=0.12, hang=0.1),
    "long_tee": top(hem=0.25, sleeve=1.93, swell=0.11, hang=0.08),
    "shirt": top(hem=0.15, sleeve=1.93, swell=0.17),
    "hoodie": top(hem=0.25, sleeve=1.93, swell=0.25),
    "tank_top": top(hem=0.55, sleeve=0.02, swell=0.08),
    "trousers": trousers(leg=-7.5, swell=0.12, flare=0.24),
    "slim_trousers": trousers(leg=-7.3, swell=0.06, flare=0.08),
    "tucked_trousers": trousers(leg=-5.3, swell=0.05, flare=0.0),
    "shorts": trousers(leg=-3.0, swell=0.2, flare=0.35),
    "tucked_tee": top(hem=0.7, sleeve=1.93, swell=0.09, hang=0.0),
    "skirt": skirt(hem=-3.3, flare=0.6, waist=1.75, swell=0.17),
    "dress_top": top(hem=0.9, sleeve=0.55, swell=0.09, depth=0.35, hang=0.0),
    "dress_skirt": skirt(hem=-3.7, flare=1.1, waist=1.8, swell=0.15),
    "sash": band(low=1.45, high=1.95, swell=0.24),
    "coat_top": top(hem=1.2, sleeve=1.97, swell=0.28, hang=0.06),
    "coat_skirt": skirt(hem=-4.4, flare=0.5, waist=1.9, swell=0.37),
    "coat_collar": collar(height=0.35, swell=0.26),
    "belt": band(low=1.2, high=1.75, swell=0.46),
    "hood": collar(height=0.35, swell=0.32),
    "boots": boots(shaft=-4.7),
    "beanie": scalp(drop=1.15, slope=0.28, swell=0.17),
    "cap": scalp(drop=0.95, slope=0.12, swell=0.14),
}
