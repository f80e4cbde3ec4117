# SPDX-License-Identifier: Apache-2.0
"""Accessories on a figure: which builder makes a thing, which bone or cloth it moves with, which part it is.

Fed by `people`: `worn` in rest pose, `held` after posing. Lengths are decimetres.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from . import accessories, clothing, figure, headgear
from . import held as things
from .fabric import Look
from .figure import BaseAssets, Indices, Points
from .solids import UP, Solid, Surface
from .wardrobe import Wardrobe


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """An accessory: one of `PART_OF`. `looks` by material of the solids ("bag", "bag_dark", "frame", ...)."""

    kind: str
    side: figure.Side = "l"
    size: float = 1.0
    looks: Mapping[str, Look] = field(default_factory=dict)


PART_OF: Mapping[str, str] = {
    "backpack": "backpack",
    "tote": "shoulder_bag",
    "cross_bag": "shoulder_bag",
    "handbag": "hand_bag",
    "forearm_bag": "hand_bag",
    "shopping_bag": "hand_bag",
    "briefcase": "hand_bag",
    "box": "held",
    "folder": "held",
    "papers": "held",
    "tablet": "held",
    "cup": "held",
    "phone": "held",
    "bunch": "held",
    "stick": "stick",
    "umbrella": "umbrella",
    "glasses": "glasses",
    "round_glasses": "glasses",
    "fine_glasses": "glasses",
    "sunglasses": "glasses",
}

DEFAULT_LOOKS: Mapping[str, Look] = {
    "bag": Look(colour="#6b4a2f", material="leather"),
    "bag_dark": Look(colour="#2f241c", material="leather"),
    "metal": Look(colour="#b9a46a", material="metal"),
    "frame": Look(colour="#1a1614", material="plastic"),
    "lens": Look(colour="#0d0e10", material="plastic"),
    "hat": Look(colour="#27364d"),
    "hat_dark": Look(colour="#1c2028"),
    "cardboard": Look(colour="#a77f52", material="card"),
    "tape": Look(colour="#c9ad7e", material="card"),
    "paper": Look(colour="#efe9df", material="card"),
    "lid": Look(colour="#f4f4f2", material="plastic"),
    "phone": Look(colour="#101114", material="plastic"),
    "wood": Look(colour="#5b3b22", material="wood"),
    "canopy": Look(colour="#1c2028"),
    "bloom": Look(colour="#c2445a", second="#f0c9d2", pattern="dots", period=0.3),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A solid with its look and part; `weights` (n, 53) when it is in rest pose and moves with the body."""

    name: str
    part: str
    solid: Solid
    look: Look
    weights: Points | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Torso:
    """What straps lie on: body and clothes of the trunk, with skinning weights (m, 53) of their points."""

    surface: Surface
    weights: Points


Layer = tuple[Points, Indices, Points]  # points (n, 3), triangles (F, 3), weights (n, 53)


def torso(base: BaseAssets, layers: list[Layer]) -> Torso:
    """Join the trunk of body and clothes, arms left out."""
    arms = [k for k, n in enumerate(base.bone_names) if n.startswith(("lowerarm", "hand", "upperarm"))]
    starts = np.cumsum([0] + [len(points) for points, _, _ in layers])
    triangles = []
    for start, (_, faces, weights) in zip(starts, layers, strict=False):
        trunk = weights[:, arms].sum(axis=1) < 0.75
        triangles.append(faces[trunk[faces].all(axis=1)] + start)
    surface = Surface(
        points=np.concatenate([points for points, _, _ in layers]),
        triangles=np.concatenate(triangles).astype(np.int32),
    )
    return Torso(surface=surface, weights=np.concatenate([weights for _, _, weights in layers]))


# Half axes of a lens (dm) and how bold the frame is.
FRAMES: Mapping[str, tuple[float, float, float]] = {
    "glasses": (0.27, 0.2, 1.0),
    "round_glasses": (0.23, 0.22, 0.8),
    "fine_glasses": (0.26, 0.17, 0.5),
}


def glasses(base: BaseAssets, item: Carried, body: Points) -> list[Item]:
    """Glasses of any kind, in rest pose."""
    eyes = eye_centres(base, body)
    if item.kind == "sunglasses":
        solids = headgear.glasses(eyes, width=0.28 * item.size, tall=0.22 * item.size, dark=True)
    else:
        width, tall, bold = FRAMES[item.kind]
        solids = headgear.glasses(eyes, width=width, tall=tall, bold=bold)
    return _rigid(base, item, solids, "head")


def eye_centres(base: BaseAssets, body: Points) -> Points:
    """Left and right eye of a shaped body, (2, 3)."""
    eyes = [body[np.unique(base.triangles[f"{s}_eye"])].mean(axis=0) for s in ("l", "r")]
    return np.asarray(np.stack(eyes), np.float32)


def worn_bag(wardrobe: Wardrobe, item: Carried, heads: Points, dressed: Torso) -> list[Item]:
    """A backpack, cross-body bag or tote, in rest pose; heads: (53, 3)."""
    base = wardrobe.base

    def at(name: str) -> Points:
        return np.asarray(heads[base.bone(name)], np.float32)

    surface = dressed.surface
    if item.kind == "backpack":
        shoulders = np.stack([at("upperarm_l"), at("upperarm_r")])
        hips = np.stack([at("thigh_l"), at("thigh_r")])
        solids, straps = accessories.backpack(surface, shoulders, hips, size=item.size)
        return _rigid(base, item, solids, "spine_03") + _draped(item, straps, dressed)
    across = item.kind == "cross_bag"
    other = "r" if item.side == "l" else "l"
    shoulder, hip = at(f"upperarm_{other if across else item.side}"), at(f"thigh_{item.side}")
    solids, straps = accessories.shoulder_bag(surface, shoulder, hip, across=across, size=item.size)
    if across:
        return _rigid(base, item, solids, "pelvis") + _draped(item, straps, dressed)
    return _rigid(base, item, solids, "spine_02") + _rigid(base, item, straps, "spine_02", part="shoulder_strap")


def hat_parts(base: BaseAssets, kind: str, crown: Points, look: Look, second: Look, eyes: Points) -> list[Item]:
    """What a cut of the scalp lacks of a hat. crown: (n, 3) its points in rest pose."""
    makers: Mapping[str, Callable[[], list[Solid]]] = {
        "cap": lambda: [headgear.visor(crown)],
        "bucket_hat": lambda: [headgear.brim(crown, width=0.55, droop=0.42)],
        "sun_hat": lambda: [headgear.brim(crown, width=1.0, droop=0.15)],
        "pompon": lambda: [headgear.pompon(crown)],
        "helmet": lambda: [*headgear.helmet_shell(crown, kind="cycle"), headgear.chin_strap(eyes)],
        "site_helmet": lambda: headgear.helmet_shell(crown, kind="site"),
    }
    item = Carried(kind=kind, looks={"hat": look, "hat_dark": second})
    return _rigid(base, item, makers[kind]() if kind in makers else [], "head", part="hat")


def _rigid(base: BaseAssets, item: Carried, solids: list[Solid], bone: str, *, part: str | None = None) -> list[Item]:
    row = np.eye(53, dtype=np.float32)[base.bone(bone)]
    return [_item(item, s, weights=np.tile(row, (len(s.points), 1)), part=part) for s in solids]


def _draped(item: Carried, solids: list[Solid], dressed: Torso) -> list[Item]:
    """Skin straps like the nearest point of the surface they lie on."""
    used = np.unique(dressed.surface.triangles)
    part = "backpack_strap" if item.kind == "backpack" else "shoulder_strap"
    out = []
    for solid in solids:
        nearest, _ = clothing.nearest_points(solid.points, dressed.surface.points[used])
        out.append(_item(item, solid, weights=dressed.weights[used[nearest]], part=part))
    return out


def _item(item: Carried, solid: Solid, *, weights: Points | None = None, part: str | None = None) -> Item:
    looks = {**DEFAULT_LOOKS, **item.looks}
    return Item(
        name=f"{item.kind}_{solid.material}",
        part=part or PART_OF[item.kind],
        solid=solid,
        look=looks[solid.material],
        weights=weights,
    )


def held(base: BaseAssets, item: Carried, here: Points, ground: float) -> list[Item]:
    """Things placed after posing. here: (53, 3) posed bone heads."""

    def at(name: str) -> Points:
        return np.asarray(here[base.bone(name)], np.float32)

    def palm(side: str) -> Points:
        return np.asarray(0.5 * at(f"middle_02_{side}") + 0.5 * at(f"thumb_02_{side}"), np.float32)

    forward = np.cross(at("thigh_l") - at("thigh_r"), UP)
    forward = (forward / np.linalg.norm(forward)).astype(np.float32)
    side, size = item.side, item.size
    grip = np.asarray((at(f"middle_02_{side}") + at(f"ring_03_{side}")) / 2, np.float32)
    forearm = (0.35 * at(f"lowerarm_{side}") + 0.65 * at(f"hand_{side}") + UP * 0.42).astype(np.float32)
    to_face = at("head") + UP * 0.5 - palm(side)
    makers: Mapping[str, Callable[[], list[Solid]]] = {
        "handbag": lambda: accessories.handbag(grip, forward, size=size),
        "forearm_bag": lambda: accessories.handbag(forearm, forward, size=size),
        "shopping_bag": lambda: accessories.shopping_bag(grip, forward, size=size),
        "briefcase": lambda: accessories.briefcase(grip, forward, size=size),
        "box": lambda: things.held_box(palm("l"), palm("r"), forward, size=(3.3 * size, 1.8 * size, 2.5 * size)),
        "folder": lambda: things.folder(palm("l"), palm("r"), forward, size=size, material="bag"),
        "papers": lambda: things.folder(palm("l"), palm("r"), forward, size=size),
        "tablet": lambda: things.tablet(palm("l"), palm("r"), forward, to_face),
        "cup": lambda: things.cup(palm(side)),
        "phone": lambda: things.phone(palm(side) + UP * 0.3, to_face),
        "bunch": lambda: things.bunch(palm(side), size=size),
        "stick": lambda: things.stick(palm(side), ground=ground),
        "umbrella": lambda: things.umbrella(palm(side), at("head"), size=size),
    }
    return [_item(item, solid) for solid in makers[item.kind]()] if item.kind in makers else []
