# SPDX-License-Identifier: Apache-2.0
"""How people stand, walk and hold things: poses drawn at random, with arms that fit what the hands do.

Angles follow `figure.Pose` and `figure.Arm` (degrees); each draw adds noise so that no two people stand alike.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .figure import Arm, Pose, Side

# What an arm does: swing, out, bend, inward, curl, and the noise on each of the first four.
ARMS: Mapping[str, tuple[float, float, float, float, float, float]] = {
    "hang": (2, 6, -20, 2, 24, 5),
    "bag_in_hand": (3, 8, -30, 0, 42, 4),
    "bag_on_forearm": (12, 6, 48, 12, 38, 5),
    "pocket": (-8, 16, 12, 8, 30, 4),
    "jacket_pocket": (4, 12, 34, 30, 30, 4),
    "both_hands_in_front": (12, 5, 42, 26, 30, 3),
    "low_box": (-9, 5, 36, 23, 30, 3),
    "phone": (28, 5, 62, 18, 38, 6),
    "phone_low": (14, 6, 52, 16, 38, 5),
    "phone_at_ear": (38, 22, 112, -4, 40, 4),
    "cup": (20, 6, 56, 10, 44, 6),
    "chest": (16, 4, 52, 30, 34, 3),
    "strap": (18, 10, 88, 4, 46, 4),
    "hip": (-14, 34, 66, 20, 30, 4),
    "stick": (14, 7, 2, 0, 42, 3),
    "behind": (-26, 10, 14, 34, 34, 3),
    "crossed": (20, 4, 70, 52, 34, 3),
    "wave": (60, 30, 92, -18, 6, 10),
    "talking": (14, 14, 60, 2, 14, 12),
    "raised": (70, 12, 40, 6, 14, 10),
}


def draw_arm(rng: np.random.Generator, kind: str) -> Arm:
    """One arm of a kind named in `ARMS`, with noise."""
    swing, out, bend, inward, curl, noise = ARMS[kind]
    extra = rng.normal(0, noise, 4)
    return Arm(
        swing=swing + extra[0],
        out=max(out + 0.4 * extra[1], 3.0),
        bend=bend + extra[2],
        inward=inward + 0.5 * extra[3],
        curl=curl + float(rng.normal(0, 4)),
    )


def draw_pose(
    rng: np.random.Generator, *, years: float, arms: Mapping[Side, str], looks_at_hands: bool = False
) -> Pose:
    """Draw a pose.

    Args:
        years: old people walk with shorter steps and stoop.
        arms: side -> kind of `ARMS` for arms with something to do; the others swing or do something by chance.
        looks_at_hands: bow the head (a phone, papers).
    """
    walking = rng.random() < 0.62
    age = float(np.clip((years - 60) / 25, 0, 1))
    stride = float(rng.uniform(0.5, 1.0) * (1 - 0.35 * age)) if walking else 0.0
    chosen: dict[Side, str | None] = {"l": arms.get("l"), "r": arms.get("r")}
    free: list[Side] = [side for side in ("l", "r") if chosen[side] is None]
    chosen |= _idle(rng, free, walking=walking)
    nod = rng.normal(24, 5) if looks_at_hands else rng.normal(2, 6) + 6 * age
    turned = rng.normal(0, 9) if looks_at_hands or rng.random() < 0.6 else rng.normal(0, 32)
    return Pose(
        stride=stride,
        phase=float(rng.random()),
        lean=float(rng.normal(2.0 if walking else 0.5, 1.2) + 5 * age + (2 if years < 12 and walking else 0)),
        head_turn=float(np.clip(turned, -62, 62)),
        head_nod=float(np.clip(nod, -14, 38)),
        chest_turn=float(np.clip(rng.normal(0, 6 if walking else 12), -28, 28)),
        left_arm=None if chosen["l"] is None else draw_arm(rng, chosen["l"]),
        right_arm=None if chosen["r"] is None else draw_arm(rng, chosen["r"]),
        sway=float(np.clip(rng.normal(0, 0.4), -1, 1)),
        extra=_small_things(rng, walking=walking, age=age),
    )


def _idle(rng: np.random.Generator, free: list[Side], *, walking: bool) -> dict[Side, str | None]:
    """What arms without a task do; None swings with the walk."""
    out: dict[Side, str | None] = {}
    if len(free) == 2 and rng.random() < (0.12 if walking else 0.4):
        kind = str(rng.choice(["pocket", "jacket_pocket", "behind", "both_hands_in_front", "hip"]))
        return dict.fromkeys(free, kind)
    for side in free:
        if walking and rng.random() < 0.78:  # swings
            continue
        options = ["hang", "pocket", "jacket_pocket", "hip", "talking", "strap", "wave", "raised"]
        shares = [0.46, 0.2, 0.1, 0.06, 0.08, 0.05, 0.02, 0.03]
        out[side] = str(rng.choice(options, p=shares))
    return out


def _small_things(rng: np.random.Generator, *, walking: bool, age: float) -> dict[str, tuple[float, float, float]]:
    """Rotations a bone on top of the pose: stance, stoop, shoulders, a head tilted."""
    stoop = float(abs(rng.normal(2, 3)) + 9 * age)
    extra = {
        "spine_02": (0.5 * stoop, 0.0, float(rng.normal(0, 1.5))),
        "spine_03": (0.5 * stoop, 0.0, 0.0),
        "neck_01": (-0.3 * stoop, 0.0, float(rng.normal(0, 2))),
        "head": (0.0, 0.0, float(rng.normal(0, 4))),
    }
    if not walking:  # feet apart, toes out, one foot a little ahead
        apart, ahead = float(rng.uniform(-2, 8)), float(rng.normal(0, 5))
        toes = rng.uniform(0, 16, 2)
        for side, sign in (("l", 1), ("r", -1)):
            extra[f"thigh_{side}"] = (-sign * ahead, float(sign * toes[0 if sign > 0 else 1]), sign * apart / 2)
    return extra
