# SPDX-License-Identifier: Apache-2.0
"""What people put on their heads and carry: hair, hats, glasses, beards, bags, things in hands.

Fed by `sampling`; the shares asked for are those of its `frequencies`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from . import palette
from .fabric import Look, Material
from .figure import Side
from .outfits import Plan
from .people import Garment
from .worn import Carried

# Share of each kind, and how far below the crown (dm) hair is hidden by it.
HATS: Mapping[str, tuple[float, float]] = {
    "cap": (0.34, 0.9), "beanie": (0.15, 1.0), "slouch_beanie": (0.06, 1.0), "pompon_beanie": (0.06, 1.0),
    "bucket_hat": (0.08, 0.9), "sun_hat": (0.07, 0.9), "hats/fedora": (0.07, 0.9), "helmet": (0.09, 0.85),
    "site_helmet": (0.04, 0.85), "headscarf": (0.06, 9.0),
}  # fmt: skip
SHORT_HAIR: Mapping[str, float] = {
    "short01": 0.14, "short02": 0.16, "short03": 0.16, "short04": 0.18, "buzz": 0.1, "crop": 0.16, "full_crop": 0.06,
    "afro01": 0.04,
}  # fmt: skip
LONG_HAIR: Mapping[str, float] = {
    "bob01": 0.05, "bob02": 0.12, "long01": 0.13, "ponytail01": 0.16, "braid01": 0.1, "hull_chin": 0.09,
    "hull_shoulder": 0.14, "hull_long": 0.1, "short02": 0.03, "short04": 0.03,
}  # fmt: skip
LYING_CLOSE = ("short04", "buzz", "crop", "hull_shoulder", "hull_long", "hull_chin", "ponytail01")
TWO_HANDS: Mapping[str, float] = {"box": 0.36, "folder": 0.14, "papers": 0.14, "tablet": 0.12}
ONE_HAND: Mapping[str, float] = {"phone": 0.5, "cup": 0.32, "phone_low": 0.1, "bunch": 0.08}


@dataclass(frozen=True, slots=True, kw_only=True)
class Things:
    """What is carried, what the arms do for it (kinds of `poses.ARMS`), and the labels it stands for."""

    carried: tuple[Carried, ...] = ()
    arms: Mapping[Side, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    looked_at: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Hair and what is on the head; `hair_cut` in dm below the crown."""

    hair: str | None
    hair_cut: float | None
    beard: str | None
    garments: tuple[Garment, ...]
    glasses: tuple[Carried, ...]
    labels: tuple[str, ...]


def draw_head(
    rng: np.random.Generator, plan: Plan, wished: Mapping[str, float], garments: tuple[Garment, ...], *, tone: str
) -> Head:
    """Draw hair, beard, hat and glasses; a hood that is up leaves no room for a hat."""
    hooded = any(garment.piece == "hood_up" for garment in garments)
    hat = None if hooded or rng.random() >= wished["hat"] else _hat(rng, plan)
    style = _hair(rng, plan, tone)
    if hooded or (hat is not None and hat.piece == "headscarf"):
        style = None
    elif hat is not None and style not in LYING_CLOSE:  # what stands off the head would stick out of the hat
        style = str(
            rng.choice(["hull_shoulder", "ponytail01"] if plan.female and plan.years > 4 else ["short04", "crop"])
        )
    glasses = _glasses(rng) if rng.random() < wished["glasses"] else None
    return Head(
        hair=style,
        hair_cut=None if hat is None else HATS[hat.piece][1],
        beard=_beard(rng, plan),
        garments=() if hat is None else (hat,),
        glasses=() if glasses is None else (glasses,),
        labels=("hat",) * (hat is not None) + ("glasses",) * (glasses is not None),
    )


def _pick(rng: np.random.Generator, options: Mapping[str, float]) -> str:
    weights = np.array(list(options.values()))
    return str(rng.choice(list(options), p=weights / weights.sum()))


def _hat(rng: np.random.Generator, plan: Plan) -> Garment:
    options = {name: share for name, (share, _) in HATS.items()}
    if not plan.female:
        options["headscarf"] = 0.0
        options["sun_hat"] = 0.03
    if plan.years < 18:
        options["hats/fedora"] = 0.0
        options["site_helmet"] = 0.0
    kind = _pick(rng, options)
    word = str(rng.choice(palette.WORDS, p=_HAT_SHARES))
    if kind == "site_helmet":
        word = str(rng.choice(["yellow", "white", "orange", "red", "blue"]))
    shade = palette.draw_shade(rng, word)
    knit = "beanie" in kind
    hard = kind in ("helmet", "site_helmet")
    look = Look(
        colour=shade,
        second=palette.draw_second(rng, shade),
        pattern=str(rng.choice(["plain", "plain", "stripe", "dots"])) if knit or kind == "headscarf" else "plain",
        period=0.35,
        material="plastic" if hard else "cloth",
        relief="knit" if knit else "none" if hard or kind == "cap" else "folds",
        seed=int(rng.integers(1, 10_000)),
    )
    return Garment(piece=kind, look=look, thickness=0.1 if knit else 0.05)


_HAT_SHARES = np.array([0.26, 0.1, 0.13, 0.09, 0.03, 0.04, 0.06, 0.14, 0.03, 0.04, 0.04, 0.04])


def _hair(rng: np.random.Generator, plan: Plan, tone: str) -> str | None:
    long_ = rng.random() < (0.86 if plan.female else 0.05)
    if plan.female and plan.years > 62:
        long_ = rng.random() < 0.5
    if long_:
        return _pick(rng, LONG_HAIR)
    options = dict(SHORT_HAIR)
    if tone != "dark":
        options["afro01"] = 0.005
    if not plan.female and plan.years > 30:
        bald = float(np.clip((plan.years - 30) / 80, 0.05, 0.4))
        if rng.random() < bald:
            return None if rng.random() < 0.5 else "crown_ring"
    return _pick(rng, options)


def _beard(rng: np.random.Generator, plan: Plan) -> str | None:
    if plan.female or plan.years < 19 or rng.random() > 0.36:
        return None
    return str(rng.choice(["beard", "stubble", "goatee", "moustache"], p=[0.3, 0.42, 0.12, 0.16]))


def _glasses(rng: np.random.Generator) -> Carried:
    kind = str(rng.choice(["glasses", "round_glasses", "fine_glasses", "sunglasses"], p=[0.4, 0.13, 0.15, 0.32]))
    frame = str(rng.choice(["#15120f", "#2c2320", "#5a3a24", "#8a8d90", "#8c2a2a", "#b09a5a"], p=FRAMES))
    lens = str(rng.choice(["#0b0c0e", "#1b1512", "#22303a"]))
    looks = {"frame": Look(colour=frame, material="plastic"), "lens": Look(colour=lens, material="plastic")}
    return Carried(kind=kind, size=float(rng.uniform(0.9, 1.15)), looks=looks)


FRAMES = (0.45, 0.15, 0.14, 0.12, 0.05, 0.09)


def draw_things(rng: np.random.Generator, plan: Plan, wished: Mapping[str, float]) -> Things:
    """Draw bags and things in hands, each label with its share, hands shared out without conflict."""
    carried: list[Carried] = []
    arms: dict[Side, str] = {}
    labels: list[str] = []
    worn = _worn_bag(rng, plan, wished)
    if worn is not None:
        carried.append(worn)
        labels.append("backpack" if worn.kind == "backpack" else "shoulder_bag")
    side: Side = "l" if rng.random() < 0.5 else "r"
    other: Side = "r" if side == "l" else "l"
    in_hand = bool(rng.random() < wished["hand_bag"])
    held = bool(rng.random() < wished["hold_objects_in_front"])
    looked_at = False
    if in_hand:
        carried.append(_hand_bag(rng, plan, side))
        arms[side] = "bag_on_forearm" if carried[-1].kind == "forearm_bag" else "bag_in_hand"
        labels.append("hand_bag")
        if carried[-1].kind == "shopping_bag" and not held and rng.random() < 0.3:
            carried.append(_hand_bag(rng, plan, other, kind="shopping_bag"))
            arms[other] = "bag_in_hand"
    if held:
        kind = _pick(rng, ONE_HAND if in_hand or rng.random() < 0.55 else TWO_HANDS)
        carried.append(_held(rng, kind, other))
        arms |= dict.fromkeys((other,) if kind in ONE_HAND else ("l", "r"), HOLDING[kind])
        labels.append("hold_objects_in_front")
        looked_at = kind in ("phone", "phone_low", "tablet", "papers") and rng.random() < 0.75
    elif not in_hand and rng.random() < 0.04:
        carried.append(Carried(kind="phone", side=other))
        arms[other] = "phone_at_ear"
    elif not in_hand and rng.random() < 0.02:
        canopy = _bag_looks(rng)["bag"]
        carried.append(
            Carried(kind="umbrella", side=other, looks={"canopy": canopy}, size=float(rng.uniform(0.85, 1.1)))
        )
        arms[other] = "cup"
    elif not in_hand and plan.years > 66 and rng.random() < 0.15:
        carried.append(Carried(kind="stick", side=other))
        arms[other] = "stick"
    return Things(carried=tuple(carried), arms=arms, labels=tuple(labels), looked_at=looked_at)


HOLDING: Mapping[str, str] = {
    "box": "low_box", "folder": "chest", "papers": "both_hands_in_front", "tablet": "both_hands_in_front",
    "phone": "phone", "phone_low": "phone_low", "cup": "cup", "bunch": "cup",
}  # fmt: skip


def _bag_looks(rng: np.random.Generator, word: str | None = None) -> dict[str, Look]:
    word = word or palette.draw_word(rng, {**palette.UPPER_SHARES, "black": 0.35, "brown": 0.14})
    shade = palette.draw_shade(rng, word)
    material: Material = "leather" if rng.random() < 0.5 else "cloth"
    dark = palette.near(rng, shade, factor=(0.45, 0.9)) if rng.random() < 0.8 else palette.draw_second(rng, shade)
    return {
        "bag": Look(colour=shade, material=material, relief="none"),
        "bag_dark": Look(colour=dark, material=material, relief="none"),
    }


def _worn_bag(rng: np.random.Generator, plan: Plan, wished: Mapping[str, float]) -> Carried | None:
    small = 0.8 if plan.years < 12 else 1.0
    where = rng.random()
    if where < wished["backpack"]:
        return Carried(kind="backpack", size=float(rng.uniform(0.75, 1.2)) * small, looks=_bag_looks(rng))
    if where < wished["backpack"] + wished["shoulder_bag"]:
        kind = "tote" if rng.random() < (0.55 if plan.female else 0.25) else "cross_bag"
        side: Side = "l" if rng.random() < 0.5 else "r"
        return Carried(kind=kind, side=side, size=float(rng.uniform(0.65, 1.15)) * small, looks=_bag_looks(rng))
    return None


def _hand_bag(rng: np.random.Generator, plan: Plan, side: Side, kind: str | None = None) -> Carried:
    if kind is None:
        options = {"handbag": 0.25, "shopping_bag": 0.4, "briefcase": 0.25}
        if plan.female:
            options = {"handbag": 0.4, "forearm_bag": 0.2, "shopping_bag": 0.35, "briefcase": 0.05}
        if plan.years < 16:
            options = {"shopping_bag": 0.6, "handbag": 0.4}
        kind = _pick(rng, options)
    word = str(rng.choice(["white", "beige", "white", "red", "blue", "green", "yellow"]))
    looks = _bag_looks(rng, word if kind == "shopping_bag" else None)
    return Carried(kind=kind, side=side, size=float(rng.uniform(0.75, 1.1)), looks=looks)


def _held(rng: np.random.Generator, kind: str, side: Side) -> Carried:
    looks = {"phone": Look(colour=str(rng.choice(["#101114", "#e8e8e8", "#2a3550", "#8f2d35"])), material="plastic")}
    if kind == "folder":
        looks |= _bag_looks(rng)
    if kind == "cup" and rng.random() < 0.5:
        looks["paper"] = Look(
            colour=palette.draw_shade(rng, str(rng.choice(["brown", "green", "red"]))), material="card"
        )
    return Carried(
        kind="phone" if kind == "phone_low" else kind, side=side, size=float(rng.uniform(0.8, 1.1)), looks=looks
    )
