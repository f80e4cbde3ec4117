# SPDX-License-Identifier: Apache-2.0
"""The garments that are cut out of the mesh: their outlines as fields over canonical coordinates.

`clothing` does the cutting; here is only what a T-shirt, a coat or a boot is. Lengths are decimetres.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .clothing import Canonical, Cut, Field, Measure


def _neckline(c: Canonical, depth: float = 0.0) -> Field:
    """Positive below the neckline; `depth` (dm) lowers it in front, in a V that ends at the shoulders."""
    vee = depth * np.clip(1.0 - np.abs(c.x) / 0.95, 0, 1) * np.clip(c.z / 0.4, 0, 1)
    return np.asarray(6.17 - vee - 0.42 * np.clip(c.z, -0.4, 1.2) - c.y)


def _flat(value: float) -> Measure:
    return lambda c: np.full_like(c.y, value)


def _open_front(c: Canonical, gap: float) -> Field:
    """Positive off a slit down the front that widens downwards; everywhere when `gap` is 0."""
    slit = np.abs(c.x) - gap * (0.55 + 0.45 * np.clip((4.5 - c.y) / 4, 0, 1.4))
    return np.where((c.z > 0) & (gap > 0), slit, 1.0)


def top(
    *,
    hem: float,
    sleeve: float,
    swell: float,
    depth: float = 0.0,
    hang: float = 0.14,
    gap: float = 0.0,
    collared: bool = False,
    sinks: bool = False,
) -> Cut:
    """A top from `hem` (canonical height) to the neck, with sleeves to arm coordinate `sleeve`.

    `hang` (dm) widens it towards the hem, so that it falls over the waistband. `depth` lowers the neckline, `gap` (dm)
    opens the front; `collared` ends it lower round the neck, where a collar covers the edge; `sinks` draws the hem
    in, so that it dives under the skirt of a coat or dress without a ledge.
    """

    def keep(c: Canonical) -> Field:
        neck = _neckline(c, depth) - 0.22 * collared
        return np.asarray(np.minimum.reduce([c.y - hem, (sleeve - c.arm) * 3, neck, _open_front(c, gap)]))

    def away(c: Canonical) -> Field:
        full = swell * (1 - 0.4 * np.clip(c.arm / 2, 0, 1)) + hang * np.clip((2.2 - c.y) / 2, 0, 1)
        if sinks:
            full = full * np.where(c.arm > 0.05, 1, np.clip((c.y - hem) / 0.6, 0, 1))
        if sleeve > 0.1:
            return np.asarray(full)
        return np.asarray(full * np.clip((sleeve - c.arm) * 3 + 0.3, 0.3, 1))  # an armhole lies close to the shoulder

    return Cut(region="tights", keep=keep, swell=away, smoothing=6, hides=lambda c: keep(c) - 0.1)


def wrapped(cut: Cut, *, quilt: float = 0.0, period: float = 0.95) -> Cut:
    """A padded version of a cut: finer mesh, channels `quilt` dm deep every `period` dm (canonical height)."""

    def swell(c: Canonical) -> Field:
        channels = np.abs(np.sin(np.pi * c.pattern[:, 1] / period)) ** 0.5
        return np.asarray(cut.swell(c) + quilt * (channels - 0.7))

    return replace(cut, swell=swell, fine=True)


def trousers(*, leg: float, swell: float, flare: float) -> Cut:
    """Trousers from the waist down to `leg` (canonical height), `flare` dm wider at the ankle."""
    return Cut(
        region="tights",
        keep=lambda c: np.minimum(np.minimum(c.y - leg, 1.75 - c.y), (0.05 - c.arm) * 3),
        # Close at the waist, where a top hangs over it.
        swell=lambda c: (
            (swell + 0.05 * np.clip(1 - c.y, 0, 1)) * np.clip(0.9 - 0.7 * c.y, 0.35, 1)
            + flare * np.clip((1.0 - c.y) / 8.5, 0, 1)
        ),
    )


def skirt(*, hem: float, flare: float, waist: float = 2.0, swell: float = 0.08, gap: float = 0.0) -> Cut:
    """A skirt from `waist` to `hem` (canonical heights), widening by `flare` dm over its length."""
    return Cut(
        region="skirt",
        keep=lambda c: np.minimum.reduce([c.y - hem, waist - c.y, _open_front(c, gap)]),
        # The waist lies close, so that the top's hem falls over it and no ledge shows.
        swell=lambda c: swell * np.clip(0.55 + 0.6 * (waist - c.y), 0.55, 1) + flare * np.clip((1.2 - c.y) / 6, 0, 1.4),
        smoothing=6,
        hides=lambda c: np.minimum.reduce([c.y - hem - 1.0, waist - 0.5 - c.y, (0.05 - c.arm) * 3, -_flat(gap)(c) + 1]),
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
        swell=lambda c: 0.07 + 0.07 * np.clip((c.y + 7.0) / 2.5, 0, 1),
        smoothing=1,
        hides=lambda c: shaft - 0.2 - c.y,
    )


def sole(*, heel: float = 0.0) -> Cut:
    """The sole of a boot; `heel` (dm) thickens it at the back."""
    return Cut(
        region="tights",
        keep=lambda c: -8.0 - c.y,
        swell=lambda c: 0.11 + heel * (c.z < 0.5),
        smoothing=1,
        hides=_flat(-1.0),
    )


def scalp(*, drop: float, slope: float, swell: float, hang: float = 0.0) -> Cut:
    """The top of the head above a plane that rises towards the forehead: beanies and caps.

    `hang` (dm) lets the back of the crown sag.
    """
    return Cut(
        region="body",
        keep=lambda c: c.y - (c.crown - drop) - slope * (c.z - 0.4),
        swell=lambda c: swell + hang * np.clip(0.4 - c.z, 0, 1),
        smoothing=8,
        hides=_flat(-1.0),
    )


CUTS: dict[str, Cut] = {
    # tops
    "t_shirt": top(hem=0.1, sleeve=0.66, swell=0.12, hang=0.1),
    "loose_tee": top(hem=-0.1, sleeve=0.85, swell=0.2, hang=0.16),
    "crop_tee": top(hem=1.2, sleeve=0.5, swell=0.1, hang=0.12),
    "polo": top(hem=0.2, sleeve=0.6, swell=0.13, hang=0.08),
    "long_tee": top(hem=0.25, sleeve=1.93, swell=0.11, hang=0.08),
    "shirt": top(hem=0.15, sleeve=1.93, swell=0.17),
    "rolled_shirt": top(hem=0.15, sleeve=1.3, swell=0.17),
    "blouse": top(hem=0.5, sleeve=1.9, swell=0.2, depth=0.25, hang=0.05),
    "sweater": top(hem=0.2, sleeve=1.95, swell=0.22, hang=0.05),
    "hoodie": top(collared=True, hem=0.25, sleeve=1.93, swell=0.25),
    "open_hoodie": top(collared=True, hem=0.2, sleeve=1.95, swell=0.26, gap=0.45),
    "tank_top": top(hem=0.55, sleeve=0.02, swell=0.08),
    "loose_tank": top(hem=0.2, sleeve=0.0, swell=0.12, depth=0.6),
    "tucked_tee": top(hem=0.7, sleeve=1.93, swell=0.09, hang=0.0),
    "tucked_short": top(hem=0.7, sleeve=0.62, swell=0.09, hang=0.0),
    "tunic": top(hem=-1.2, sleeve=1.7, swell=0.18, depth=0.15, hang=0.35),
    # over a top
    "jacket": top(collared=True, hem=0.1, sleeve=1.98, swell=0.32, hang=0.05),
    "open_jacket": top(collared=True, hem=0.0, sleeve=1.98, swell=0.34, hang=0.08, gap=0.55),
    "blazer": top(hem=-0.5, sleeve=1.97, swell=0.3, depth=3.2, hang=0.1, gap=0.06),
    "open_blazer": top(hem=-0.5, sleeve=1.97, swell=0.3, depth=2.0, hang=0.12, gap=0.55),
    "cardigan": top(hem=-0.9, sleeve=1.95, swell=0.26, hang=0.15, gap=0.6),
    "down_jacket": wrapped(top(collared=True, hem=0.1, sleeve=1.98, swell=0.5, hang=0.0), quilt=0.14),
    "down_open": wrapped(top(collared=True, hem=0.1, sleeve=1.98, swell=0.5, hang=0.05, gap=0.5), quilt=0.14),
    "down_vest": wrapped(top(collared=True, hem=0.15, sleeve=0.03, swell=0.46, hang=0.0), quilt=0.12),
    "vest": top(hem=0.3, sleeve=0.02, swell=0.26, depth=2.4, hang=0.04, gap=0.05),
    "open_vest": top(hem=0.2, sleeve=0.03, swell=0.32, depth=0.3, hang=0.06, gap=0.5),
    "parka": top(collared=True, hem=-0.9, sleeve=1.98, swell=0.4, hang=0.1),
    # legs
    "trousers": trousers(leg=-7.5, swell=0.12, flare=0.24),
    "wide_trousers": trousers(leg=-7.55, swell=0.2, flare=0.55),
    "cropped_trousers": trousers(leg=-6.4, swell=0.12, flare=0.2),
    "slim_trousers": trousers(leg=-7.3, swell=0.06, flare=0.08),
    "leggings": trousers(leg=-7.2, swell=0.03, flare=0.0),
    "joggers": trousers(leg=-7.25, swell=0.2, flare=0.05),
    "tucked_trousers": trousers(leg=-5.3, swell=0.05, flare=0.0),
    "shorts": trousers(leg=-3.0, swell=0.2, flare=0.35),
    "knee_shorts": trousers(leg=-3.6, swell=0.22, flare=0.3),
    "short_shorts": trousers(leg=-1.5, swell=0.14, flare=0.6),
    "tights": trousers(leg=-7.9, swell=0.03, flare=0.0),
    # skirts and dresses
    "skirt": skirt(hem=-3.3, flare=0.6, waist=1.75, swell=0.17),
    "mini_skirt": skirt(hem=-1.7, flare=1.0, waist=1.6, swell=0.15),
    "pencil_skirt": skirt(hem=-3.5, flare=-0.1, waist=1.7, swell=0.14),
    "flared_skirt": skirt(hem=-3.9, flare=1.5, waist=1.7, swell=0.16),
    "long_skirt": skirt(hem=-6.7, flare=0.7, waist=1.75, swell=0.16),
    "dress_top": top(sinks=True, hem=0.9, sleeve=0.55, swell=0.09, depth=0.6, hang=0.0),
    "dress_top_bare": top(sinks=True, hem=0.9, sleeve=0.0, swell=0.08, depth=0.9, hang=0.0),
    "dress_top_long": top(sinks=True, hem=0.9, sleeve=1.9, swell=0.1, depth=0.2, hang=0.0),
    "dress_skirt": skirt(hem=-3.7, flare=1.1, waist=1.8, swell=0.15),
    "dress_skirt_short": skirt(hem=-2.0, flare=0.8, waist=1.8, swell=0.14),
    "dress_skirt_straight": skirt(hem=-3.4, flare=0.15, waist=1.8, swell=0.15),
    "dress_skirt_long": skirt(hem=-6.9, flare=0.9, waist=1.8, swell=0.15),
    "sash": band(low=1.45, high=1.95, swell=0.24),
    # coats
    "coat_top": top(sinks=True, collared=True, hem=0.8, sleeve=1.97, swell=0.28, hang=0.06),
    "coat_skirt": skirt(hem=-4.4, flare=0.5, waist=1.5, swell=0.37),
    "coat_skirt_thigh": skirt(hem=-2.7, flare=0.4, waist=1.5, swell=0.37),
    "coat_skirt_calf": skirt(hem=-5.8, flare=0.55, waist=1.5, swell=0.37),
    "open_coat_top": top(sinks=True, collared=True, hem=0.8, sleeve=1.97, swell=0.3, depth=0.3, hang=0.06, gap=0.55),
    "open_coat_skirt": skirt(hem=-4.2, flare=0.6, waist=1.5, swell=0.38, gap=0.6),
    "down_coat_top": wrapped(top(sinks=True, collared=True, hem=0.8, sleeve=1.98, swell=0.48, hang=0.0), quilt=0.14),
    "down_coat_skirt": wrapped(skirt(hem=-3.9, flare=0.15, waist=1.5, swell=0.5), quilt=0.14),
    "coat_collar": collar(height=0.35, swell=0.26),
    "belt": band(low=1.2, high=1.75, swell=0.4),
    # necks
    "shirt_collar": collar(height=0.17, swell=0.17),
    "hood": collar(height=0.35, swell=0.32),
    # feet
    "boots": boots(shaft=-4.7),
    "ankle_boots": boots(shaft=-6.4),
    "knee_boots": boots(shaft=-3.9),
    "boot_sole": sole(heel=0.12),
    "socks": trousers(leg=-8.2, swell=0.02, flare=0.0),
}
