# SPDX-License-Identifier: Apache-2.0
"""Drawing people: shapes, poses, clothes and things so that each attribute occurs as often as asked.

Attributes that exclude each other (a coat and short sleeves) are drawn from conditional shares that add up to the
asked ones. What a camera then sees is another matter: labels of pictures come from visible pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from . import accessorizing, hair, outfits, palette
from .fabric import PATTERN_LABELS
from .faces import Face
from .figure import BodyShape, Pose
from .outfits import Plan
from .people import Garment, PersonSpec, Wardrobe, part_of
from .poses import draw_pose

# Shares that give each rare label enough examples; lower than life for the common, higher for the rare.
DEFAULT_FREQUENCIES: Mapping[str, float] = {
    "hat": 0.3, "glasses": 0.3, "short_sleeve": 0.42, "upper_stripe": 0.12, "upper_logo": 0.15, "upper_plaid": 0.12,
    "upper_splice": 0.12, "lower_stripe": 0.1, "lower_pattern": 0.1, "long_coat": 0.15, "shorts": 0.18,
    "skirt_dress": 0.2, "boots": 0.2, "hand_bag": 0.2, "shoulder_bag": 0.2, "backpack": 0.2,
    "hold_objects_in_front": 0.2, "age_under_18": 0.25, "age_18_60": 0.45, "age_over_60": 0.3, "female": 0.5,
    **{f"upper_{word}": share for word, share in palette.UPPER_SHARES.items()},
    **{f"lower_{word}": share for word, share in palette.LOWER_SHARES.items()},
}  # fmt: skip
AGES: Mapping[str, tuple[float, float]] = {
    "age_under_18": (5.0, 16.0), "age_18_60": (20.0, 57.0), "age_over_60": (64.0, 85.0),
}  # fmt: skip


def sample_person(rng: np.random.Generator, *, frequencies: Mapping[str, float], assets: Wardrobe) -> PersonSpec:
    """Draw one person; the same state of `rng` gives the same person.

    Args:
        frequencies: label id -> wished share in [0, 1]; labels left out take `DEFAULT_FREQUENCIES`. `long_sleeve`
            and `trousers` follow from their groups; front, side and back are the camera's.
        assets: the wardrobe, for the names of the files it holds.
    Returns:
        a spec whose `attributes`, `upper_colour` and `lower_colour` say what was put on.
    """
    wished = {**DEFAULT_FREQUENCIES, **frequencies}
    age = _age(rng, wished)
    years = float(rng.uniform(*AGES[age]))
    plan = draw_plan(rng, wished, years)
    garments = outfits.dress(rng, plan)
    tone = str(rng.choice(["light", "asian", "dark"], p=[0.42, 0.3, 0.28]))
    things = accessorizing.draw_things(rng, plan, wished)
    hair_colour = hair.draw_colour(rng, years, dark=tone != "light" or rng.random() < 0.4)
    head = accessorizing.draw_head(rng, plan, wished, garments, tone=tone)
    worn = (*garments, *head.garments)
    return PersonSpec(
        name="sampled",
        shape=_shape(rng, plan, tone),
        pose=_pose(rng, years, things, garments),
        skin=_skin(rng, plan, tone, assets),
        tint=_tint(rng, tone),
        garments=worn,
        carried=(*things.carried, *head.glasses),
        hair=head.hair,
        hair_colour=hair_colour,
        hair_cut=head.hair_cut,
        beard=head.beard,
        brows=f"eyebrow{rng.integers(1, 13):03d}",
        face=_face(rng),
        eyes="brown_eye" if tone != "light" or rng.random() < 0.5 else str(rng.choice(assets.eyes)),
        attributes=_labels(plan, worn, age, (*things.labels, *head.labels)),
        upper_colour=plan.upper_colour,
        lower_colour=plan.upper_colour if any(part_of(g) == "dress" for g in garments) else plan.lower_colour,
    )


def _pose(rng: np.random.Generator, years: float, things: accessorizing.Things, garments: tuple[Garment, ...]) -> Pose:
    pose = draw_pose(rng, years=years, arms=things.arms, looks_at_hands=things.looked_at)
    narrow = any(word in garment.piece for garment in garments for word in ("long_skirt", "skirt_long", "pencil"))
    return replace(pose, stride=min(pose.stride, 0.6)) if narrow else pose  # a narrow skirt allows short steps only


def _age(rng: np.random.Generator, wished: Mapping[str, float]) -> str:
    shares = np.array([wished[name] for name in AGES])
    return str(rng.choice(list(AGES), p=shares / shares.sum()))


def draw_plan(rng: np.random.Generator, wished: Mapping[str, float], years: float) -> Plan:
    """Draw what is to be seen of the clothes, so that each label has its share over many draws."""
    female = bool(rng.random() < wished["female"])
    skirts, shorts, coats = wished["skirt_dress"], wished["shorts"], wished["long_coat"]
    if rng.random() < (skirts / max(wished["female"], 1e-6) if female else 0.0):
        legs = "skirt_dress"
    else:
        legs = "shorts" if rng.random() < shorts / max(1 - skirts, 1e-6) else "trousers"
    # No coat over shorts, no short sleeves under a coat: the others make up for it.
    long_coat = bool(legs != "shorts" and rng.random() < coats / max(1 - shorts, 1e-6))
    short = wished["short_sleeve"]
    with_shorts = min(0.9, short / max(shorts, 1e-6))
    share = with_shorts if legs == "shorts" else (short - shorts * with_shorts) / max(1 - shorts - coats, 1e-6)
    short_sleeve = bool(not long_coat and rng.random() < share)
    boots = bool(legs != "shorts" and rng.random() < wished["boots"] / max(1 - shorts, 1e-6))
    return Plan(
        female=female,
        years=years,
        short_sleeve=short_sleeve,
        upper=None if long_coat and rng.random() < 0.93 else _pattern(rng, wished, outfits.UPPER_PATTERNS, 1 - coats),
        legs=legs,
        lower=None if long_coat or boots else _pattern(rng, wished, outfits.LOWER_PATTERNS, (1 - coats) * 0.8),
        long_coat=long_coat,
        boots=boots,
        upper_colour=palette.draw_word(rng, _colours(wished, "upper")),
        lower_colour=palette.draw_word(rng, _colours(wished, "lower")),
    )


def _colours(wished: Mapping[str, float], where: str) -> dict[str, float]:
    return {word: wished[f"{where}_{word}"] for word in palette.WORDS}


def _pattern(
    rng: np.random.Generator, wished: Mapping[str, float], names: Mapping[str, tuple[str, ...]], share: float
) -> str | None:
    """Draw one of some pattern labels or None; `share` of all people can wear one at all."""
    weights = np.array([wished[name] for name in names]) / max(share, 1e-6)
    weights = weights / max(1.0, float(weights.sum()))
    chosen = rng.choice([*names, ""], p=[*weights, max(0.0, 1 - float(weights.sum()))])
    return str(chosen) or None


def _shape(rng: np.random.Generator, plan: Plan, tone: str) -> BodyShape:
    gender = rng.beta(1.3, 9) if plan.female else 1 - rng.beta(1.3, 9)
    race = {"light": (0.1, 0.1, 1.0), "asian": (0.1, 1.0, 0.25), "dark": (1.0, 0.1, 0.15)}[tone]
    african, asian, caucasian = (float(v * rng.uniform(0.6, 1.2)) for v in race)
    return BodyShape(
        gender=float(gender),
        years=plan.years,
        muscle=float(np.clip(rng.normal(0.5, 0.16), 0.1, 0.95)),
        weight=float(np.clip(rng.normal(0.5, 0.2), 0.02, 1.0)),
        height=float(np.clip(rng.normal(0.5, 0.17), 0.05, 0.95)),
        african=african,
        asian=asian,
        caucasian=caucasian,
    )


def _skin(rng: np.random.Generator, plan: Plan, tone: str, assets: Wardrobe) -> str:
    """A skin picture by age, gender and tone; where there is none of the kind, the nearest age."""
    gender = "_female" if plan.female else "_male"
    shade = "dark" if tone == "dark" else "light"
    fitting = [name for name in assets.skins if gender in name and f"_{shade}skinned" in name]
    wanted = "old" if plan.years > 58 else "middleage" if plan.years > 38 else "young"
    same = [name for name in fitting if name.startswith(wanted)] or fitting or list(assets.skins)
    return str(rng.choice(same))


def _tint(rng: np.random.Generator, tone: str) -> tuple[float, float, float]:
    """Factors on the skin picture's linear colours, so that few pictures give many complexions."""
    light = {"light": (0.75, 1.12), "asian": (0.62, 1.02), "dark": (0.7, 1.7)}[tone]
    value = float(rng.uniform(*light))
    warm = float(rng.normal(0, 0.03)) + (0.03 if tone == "asian" else 0.0)
    return value * (1 + warm), value, value * (1 - 1.5 * warm)


def _face(rng: np.random.Generator) -> Face:
    return Face(
        width=float(rng.normal(1, 0.035)),
        length=float(rng.normal(1, 0.025)),
        nose=float(rng.normal(1, 0.14)),
        jaw=float(rng.normal(1, 0.06)),
        smile=float(rng.beta(1, 2)),
        open_mouth=float(rng.beta(1, 6)),
        raised_brows=float(rng.random()),
    )


def _labels(plan: Plan, garments: tuple[Garment, ...], age: str, others: tuple[str, ...]) -> tuple[str, ...]:
    """Label ids of what is worn; a pattern counts only where a garment carries it."""
    labels = [age, plan.legs, "short_sleeve" if plan.short_sleeve else "long_sleeve", *others]
    labels += ["female"] * plan.female + ["long_coat"] * plan.long_coat + ["boots"] * plan.boots
    for garment in garments:
        where = {"upper": ("upper",), "coat": ("upper",), "dress": ("upper", "lower")}.get(part_of(garment), ())
        where = where or (("lower",) if part_of(garment) in ("lower", "shorts", "skirt") else ())
        named = PATTERN_LABELS.get(garment.look.pattern, {})
        labels += [named[w] for w in where if w in named]
    return tuple(dict.fromkeys(labels))
