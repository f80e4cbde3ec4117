# SPDX-License-Identifier: Apache-2.0
"""What people put on: from wished attributes to garments that go together.

A `Plan` says what is to be seen (sleeves, pattern, kind of trousers, colours); here it becomes a tuple of `Garment`s.
Which attributes are drawn, and how often, is decided in `sampling`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from . import palette
from .fabric import Look, Material
from .people import Garment

UPPER_PATTERNS: Mapping[str, tuple[str, ...]] = {
    "upper_stripe": ("stripe", "stripe", "stripe", "stripe_broad", "stripe_upright", "stripe_chest"),
    "upper_plaid": ("plaid", "plaid", "gingham"),
    "upper_splice": ("splice", "splice_sleeves", "splice_chest", "splice_sides"),
    "upper_logo": ("logo", "print", "lettering", "lettering", "emblem", "back_print"),
}
LOWER_PATTERNS: Mapping[str, tuple[str, ...]] = {
    "lower_stripe": ("side_stripe", "side_stripes"),
    "lower_pattern": ("plaid", "camouflage", "flowers", "dots"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be seen of the clothes. `upper` and `lower` name a label of `UPPER_PATTERNS`, `LOWER_PATTERNS`, or
    None; `legs` is "trousers", "shorts" or "skirt_dress"."""

    female: bool
    years: float
    short_sleeve: bool
    upper: str | None
    legs: str
    lower: str | None
    long_coat: bool
    boots: bool
    upper_colour: str
    lower_colour: str


def dress(rng: np.random.Generator, plan: Plan) -> tuple[Garment, ...]:
    """Choose garments for a plan: legs, top, shoes; hats are chosen in `sampling`."""
    if plan.long_coat:
        return (*_legs(rng, plan, tucked=plan.boots), *_coat(rng, plan), *_feet(rng, plan))
    if plan.legs == "skirt_dress" and rng.random() < 0.5:
        return (*_dress(rng, plan), *_feet(rng, plan))
    top = _short_top(rng, plan) if plan.short_sleeve else _long_top(rng, plan)
    lowest = min(HEMS.get(garment.piece, 0.1) for garment in top if garment.piece not in COLLARS)
    legs = (_under(garment, lowest) for garment in _legs(rng, plan, tucked=plan.boots))
    return (*legs, *top, *_feet(rng, plan))


# Where skirts end (canonical height): tights are left out a hand's breadth above, they would only poke through.
SKIRT_HEMS: Mapping[str, float] = {
    "skirt": -3.3, "mini_skirt": -1.7, "pencil_skirt": -3.5, "flared_skirt": -3.9, "long_skirt": -6.7,
    "dress_skirt": -3.7, "dress_skirt_short": -2.0, "dress_skirt_straight": -3.4, "dress_skirt_long": -6.9,
}  # fmt: skip


# Canonical heights of hems that end above the waistband, or far below it; the others are near 0.1.
HEMS: Mapping[str, float] = {
    "crop_tee": 1.2, "tucked_tee": 0.7, "tucked_short": 0.7, "tank_top": 0.55, "blouse": 0.5, "tunic": -1.2,
    "blazer": -0.5, "open_blazer": -0.5, "cardigan": -0.9, "parka": -0.9,
}  # fmt: skip
COLLARS = ("shirt_collar", "roll_neck", "stand_collar", "down_collar", "scarf", "hood_down", "hood_up", "coat_collar")


def _under(garment: Garment, hem: float) -> Garment:
    """Leave out the waistband that a hem covers; above a short top it is seen."""
    if garment.piece == "tights":
        return garment
    return replace(garment, below=None if hem > 0.45 else min(hem + 0.45, 0.85))


def _fabric(rng: np.random.Generator, plan: Plan, word: str, label: str | None, *, lower: bool = False) -> Look:
    """A look in a colour word, with the pattern a label asks for."""
    shade = palette.draw_shade(rng, word)
    patterns = LOWER_PATTERNS if lower else UPPER_PATTERNS
    pattern = str(rng.choice(patterns[label])) if label is not None else "plain"
    contrast = 60 if pattern in ("plaid", "gingham", "camouflage") else 95
    if pattern == "camouflage":
        second, third = palette.near(rng, shade, factor=(0.45, 0.65)), palette.near(rng, shade, factor=(1.3, 1.6))
    else:
        second, third = palette.draw_second(rng, shade, contrast=contrast), palette.draw_second(rng, shade)
    return Look(
        colour=shade,
        second=second,
        third=third,
        pattern=pattern,
        period=float(rng.uniform(0.5, 1.25) if pattern != "dots" else rng.uniform(0.25, 0.6)),
        seed=int(rng.integers(1, 10_000)),
    )


def _plain(rng: np.random.Generator, shade: str, **more: object) -> Look:
    return replace(Look(colour=shade, seed=int(rng.integers(1, 10_000))), **more)  # type: ignore[arg-type]


def _pick(rng: np.random.Generator, options: Mapping[str, float]) -> str:
    weights = np.array(list(options.values()))
    return str(rng.choice(list(options), p=weights / weights.sum()))


# ---- tops


def _short_top(rng: np.random.Generator, plan: Plan) -> list[Garment]:
    look = _fabric(rng, plan, plan.upper_colour, plan.upper)
    options = {"t_shirt": 0.4, "loose_tee": 0.25, "polo": 0.12, "tank_top": 0.06, "loose_tank": 0.04}
    if plan.female:
        options |= {"crop_tee": 0.06, "tucked_short": 0.16, "tank_top": 0.12}
    kind = _pick(rng, options)
    garments = [Garment(piece=kind, look=look, thickness=0.05)]
    if kind == "polo":
        collar = replace(look, pattern="plain", colour=look.colour if rng.random() < 0.7 else look.second)
        garments.append(Garment(piece="shirt_collar", look=collar, thickness=0.06))
        garments[0] = replace(garments[0], look=replace(look, details=("placket",)))
    if kind in ("tank_top", "loose_tank") and rng.random() < 0.25 and not plan.female:
        inner = _plain(rng, palette.draw_shade(rng, "white"))
        garments.insert(0, Garment(piece="t_shirt", look=inner, part="inner"))
    return garments


def _long_top(rng: np.random.Generator, plan: Plan) -> list[Garment]:
    look = _fabric(rng, plan, plan.upper_colour, plan.upper)
    open_ = {"open_jacket": 0.09, "open_blazer": 0.05, "cardigan": 0.05, "down_open": 0.05, "open_hoodie": 0.05}
    closed = {"jacket": 0.12, "down_jacket": 0.12, "parka": 0.05, "blazer": 0.06, "vest": 0.03, "down_vest": 0.04}
    light = {"long_tee": 0.14, "shirt": 0.16, "sweater": 0.12, "hoodie": 0.14}
    options = light | closed | open_
    if plan.upper == "upper_plaid":
        options = {"shirt": 0.6, "jacket": 0.15, "open_jacket": 0.15, "blazer": 0.05, "down_jacket": 0.05}
    elif plan.upper in ("upper_stripe", "upper_logo"):
        options = light | {"jacket": 0.06, "tucked_tee": 0.05}
    elif plan.upper == "upper_splice":
        options = light | {"jacket": 0.25, "down_jacket": 0.15}
    if plan.female:
        options |= {"blouse": 0.1, "tunic": 0.06, "tucked_tee": 0.08}
    kind = _pick(rng, options)
    if kind in open_ or kind in ("blazer", "vest", "down_vest", "open_vest"):
        return _layered(rng, plan, kind, look)
    return _closed(rng, plan, kind, look)


def _closed(rng: np.random.Generator, plan: Plan, kind: str, look: Look) -> list[Garment]:
    plain = replace(look, pattern="plain")
    if kind == "down_jacket":
        look = replace(look, relief="quilt", details=("zip",))
        collar = Garment(piece="down_collar", look=replace(plain, relief="none"), thickness=0.2)
        return [Garment(piece=kind, look=look, thickness=0.2), *_hood(rng, plain, 0.3, [collar])]
    if kind in ("jacket", "parka"):
        material: Material = "leather" if kind == "jacket" and plan.upper is None and rng.random() < 0.18 else "cloth"
        look = replace(look, details=("zip", "pockets"), material=material)
        collar = Garment(piece="stand_collar", look=replace(plain, material=material), thickness=0.1)
        return [Garment(piece=kind, look=look, thickness=0.1), *_hood(rng, plain, 0.3, [collar])]
    if kind == "hoodie":
        inside = replace(plain, colour=plain.colour if rng.random() < 0.7 else plain.second)
        return [Garment(piece=kind, look=look, thickness=0.09), *_hood(rng, inside, 1.0, [])]
    if kind == "shirt":
        look = replace(look, details=("buttons",))
        collar = Garment(piece="shirt_collar", look=plain if look.pattern != "plaid" else look, thickness=0.06)
        return [Garment(piece=kind, look=look, thickness=0.05), collar]
    if kind == "sweater":
        look = replace(look, relief="knit")
        neck = [Garment(piece="roll_neck", look=replace(plain, relief="knit"), thickness=0.1)]
        return [Garment(piece=kind, look=look, thickness=0.1), *(neck if rng.random() < 0.3 else [])]
    return [Garment(piece=kind, look=look, thickness=0.05)]


def _hood(rng: np.random.Generator, look: Look, share: float, otherwise: list[Garment]) -> list[Garment]:
    """A hood, down or up, with a given share; else what is given."""
    if rng.random() >= share:
        return otherwise
    if rng.random() < 0.18:
        return [Garment(piece="hood_up", look=look, thickness=0.1)]
    return [Garment(piece="hood_down", look=look, thickness=0.2)]


def _layered(rng: np.random.Generator, plan: Plan, kind: str, look: Look) -> list[Garment]:
    """An open or sleeveless garment over a shirt."""
    sleeveless = "vest" in kind
    inner_word = str(rng.choice(["white", "white", "grey", "black", "blue", "beige", "red"]))
    inner = _plain(rng, palette.draw_shade(rng, inner_word))
    below = "shirt" if kind in ("blazer", "open_blazer", "vest") or rng.random() < 0.35 else "long_tee"
    garments = [Garment(piece=below, look=inner, part="inner", thickness=0.04)]
    if below == "shirt":
        garments.append(Garment(piece="shirt_collar", look=inner, part="inner", thickness=0.06))
    thick = 0.2 if "down" in kind else 0.1
    look = replace(look, relief="quilt" if "down" in kind else "folds", details=("pockets",) if not sleeveless else ())
    garments.append(Garment(piece=kind, look=look, thickness=thick))
    plain = replace(look, pattern="plain", details=(), relief="folds")
    if kind == "open_hoodie":
        garments += _hood(rng, plain, 1.0, [])
    elif kind in ("down_open", "down_vest"):
        garments.append(Garment(piece="down_collar", look=plain, thickness=0.15))
    return garments


def _coat(rng: np.random.Generator, plan: Plan) -> list[Garment]:
    look = _fabric(rng, plan, plan.upper_colour, plan.upper if plan.upper in ("upper_plaid", "upper_splice") else None)
    plain = replace(look, pattern="plain")
    if rng.random() < 0.28:
        padded = replace(look, relief="quilt", details=("zip",))
        collar = Garment(piece="down_collar", look=plain, thickness=0.2, part="coat")
        coat = [Garment(piece=p, look=padded, thickness=0.2) for p in ("down_coat_top", "down_coat_skirt")]
        return [*coat, *_hood(rng, plain, 0.5, [collar])]
    collar = Garment(piece="coat_collar", look=replace(plain, colour=palette.near(rng, plain.colour, factor=(0.8, 1))))
    if rng.random() < 0.3:
        inner = _plain(rng, palette.draw_shade(rng, str(rng.choice(["white", "grey", "black", "beige"]))))
        below = Garment(piece="sweater" if rng.random() < 0.5 else "shirt", look=inner, part="inner", thickness=0.04)
        pieces = ("open_coat_top", "open_coat_skirt")
        return [below, *(Garment(piece=p, look=look, thickness=0.12) for p in pieces)]
    hem = str(rng.choice(["coat_skirt_thigh", "coat_skirt", "coat_skirt", "coat_skirt_calf"]))
    look = replace(look, skirt_line=True, details=("buttons",) if rng.random() < 0.6 else ())
    coat = [Garment(piece=p, look=look, thickness=0.12) for p in ("coat_top", hem)]
    if rng.random() < 0.35:
        belt = palette.near(rng, look.colour, factor=(0.6, 0.95))
        coat.append(Garment(piece="belt", look=_plain(rng, belt), thickness=0.06))
    return [*coat, *_hood(rng, plain, 0.1, [replace(collar, thickness=0.1)])]


def _dress(rng: np.random.Generator, plan: Plan) -> list[Garment]:
    """A dress: its pattern shows above and below."""
    if plan.lower == "lower_pattern":
        look = _fabric(rng, plan, plan.upper_colour, plan.lower, lower=True)
    else:
        look = _fabric(rng, plan, plan.upper_colour, plan.upper)
    top = ("dress_top" if rng.random() < 0.6 else "dress_top_bare") if plan.short_sleeve else "dress_top_long"
    hems = {"dress_skirt": 0.35, "dress_skirt_short": 0.3, "dress_skirt_straight": 0.2, "dress_skirt_long": 0.15}
    skirt = _pick(rng, hems)
    garments = [Garment(piece=p, look=look, thickness=0.05) for p in (top, skirt)]
    if rng.random() < 0.45:
        sash = palette.near(rng, look.colour, factor=(0.5, 0.9)) if rng.random() < 0.5 else look.second
        garments.append(Garment(piece="sash", look=_plain(rng, sash), thickness=0.04))
    return [*_stockings(rng, skirt), *garments]


# ---- legs and feet


def _legs(rng: np.random.Generator, plan: Plan, *, tucked: bool) -> list[Garment]:
    look = _fabric(rng, plan, plan.lower_colour, plan.lower, lower=True)
    look = replace(look, legs=plan.legs != "skirt_dress")
    if plan.legs == "shorts":
        kinds = {"shorts": 0.45, "knee_shorts": 0.35, "short_shorts": 0.5 if plan.female else 0.05}
        look = replace(look, material="denim" if plan.lower_colour == "blue" and rng.random() < 0.5 else "cloth")
        return [Garment(piece=_pick(rng, kinds), look=look, thickness=0.06)]
    if plan.legs == "skirt_dress":
        kinds = {"skirt": 0.3, "mini_skirt": 0.25, "pencil_skirt": 0.12, "flared_skirt": 0.18, "long_skirt": 0.15}
        look = replace(look, pattern="stripe" if plan.lower == "lower_stripe" else look.pattern)
        if plan.long_coat:  # nothing wider than the coat over it
            kinds = {"pencil_skirt": 1.0}
        skirt = _pick(rng, kinds)
        return [*_stockings(rng, skirt), Garment(piece=skirt, look=look, thickness=0.06)]
    if tucked:
        look = replace(look, material="denim" if plan.lower_colour in ("blue", "black") else "cloth")
        return [Garment(piece="tucked_trousers", look=look)]
    return [_trousers(rng, plan, look)]


def _trousers(rng: np.random.Generator, plan: Plan, look: Look) -> Garment:
    if plan.lower == "lower_stripe":
        return Garment(piece=_pick(rng, {"joggers": 0.6, "leggings": 0.2, "trousers": 0.2}), look=look)
    if plan.lower is None and plan.lower_colour in ("blue", "grey", "black") and rng.random() < 0.35:
        file = str(rng.choice(["male_casualsuit02", "male_casualsuit03", "male_casualsuit04", "male_casualsuit06"]))
        if plan.female:
            file = str(rng.choice(["female_casualsuit01", "male_casualsuit04", "male_casualsuit06"]))
        own = replace(look, tinted=True, material="denim", relief="none")
        return Garment(piece=f"clothes/{file}:lower", look=own, own_texture=True)
    kinds = {"trousers": 0.38, "slim_trousers": 0.3, "joggers": 0.12, "wide_trousers": 0.1, "cropped_trousers": 0.06}
    if plan.female:
        kinds |= {"leggings": 0.15, "slim_trousers": 0.35, "wide_trousers": 0.16}
    denim = plan.lower_colour in ("blue", "black", "grey") and plan.lower is None and rng.random() < 0.5
    look = replace(look, material="denim" if denim else "cloth")
    return Garment(piece=_pick(rng, kinds), look=look, thickness=0.05)


def _stockings(rng: np.random.Generator, skirt: str) -> list[Garment]:
    if rng.random() < 0.55:
        return []
    shade = palette.draw_shade(rng, str(rng.choice(["black", "black", "black", "grey", "white", "beige"])))
    return [
        Garment(piece="tights", look=_plain(rng, shade, relief="none"), thickness=0.0, below=SKIRT_HEMS[skirt] + 1.0)
    ]


def _feet(rng: np.random.Generator, plan: Plan) -> list[Garment]:
    if plan.boots:
        shade = palette.draw_shade(rng, str(rng.choice(["black", "black", "brown", "brown", "beige", "grey"])))
        kinds = {"boots": 0.5, "ankle_boots": 0.2, "knee_boots": 0.3 if plan.female else 0.1}
        kind = _pick(rng, kinds)
        look = _plain(rng, shade, material="leather", relief="none")
        bottom = replace(look, colour=palette.near(rng, shade, factor=(0.25, 0.7)))
        return [Garment(piece=kind, look=look, thickness=0.06), Garment(piece="boot_sole", look=bottom, thickness=0.0)]
    number = int(rng.choice([1, 2, 3, 4, 5, 6], p=[0.14, 0.12, 0.12, 0.14, 0.24, 0.24]))
    if rng.random() < 0.5:
        return [Garment(piece=f"shoes/shoes0{number}", look=Look(relief="none"), own_texture=True)]
    word = str(rng.choice(["white", "black", "grey", "brown", "blue", "red"], p=[0.36, 0.3, 0.12, 0.1, 0.07, 0.05]))
    tinted = _plain(rng, palette.draw_shade(rng, word), tinted=True, relief="none")
    return [Garment(piece=f"shoes/shoes0{number}", look=tinted, own_texture=True)]
