# SPDX-License-Identifier: Apache-2.0
"""Bags: on the back, on a strap, in the hand.

Worn bags are made in rest pose and skinned with the body; hand bags are made after posing and hang straight down
from the hand. Each builder returns `Solid`s. Lengths are decimetres. Hats and glasses are in `headgear`, what else a
hand can hold in `held`.
"""

from __future__ import annotations

import numpy as np

from .figure import Points
from .solids import UP, Solid, Surface, cast, moved, ribbon, rounded_box, strap_around, tube


def backpack(surface: Surface, shoulders: Points, hips: Points, *, size: float) -> tuple[list[Solid], list[Solid]]:
    """A backpack with two shoulder straps, in rest pose.

    Args:
        surface: the dressed torso. shoulders, hips: (2, 3) left and right joint. size: 1 is 27x39x13 cm.
    Returns:
        the rigid parts (they move with the upper spine) and the straps (they move with the torso).
    """
    top, low = shoulders[:, 1].mean(), hips[:, 1].mean()
    height, half = 3.9 * size, abs(shoulders[0, 0] - shoulders[1, 0]) / 2
    middle_y = top - 0.1 - height / 2
    used = surface.points[np.unique(surface.triangles)]
    torso = used[(np.abs(used[:, 0]) < half) & (np.abs(used[:, 1] - middle_y) < 1)]
    back = float(torso[:, 2].min())
    pack = rounded_box((2.7 * size, height, 1.35 * size), exponent=0.33, material="bag", taper=0.12)
    pocket = rounded_box((2.1 * size, 1.5 * size, 0.7 * size), exponent=0.35, material="bag_dark")
    flap = rounded_box((2.3 * size, 0.14, 1.05 * size), exponent=0.4, material="bag_dark")
    centre = np.array([0, middle_y, back - 0.6 * size], np.float32)
    loop = np.array([(0.25 * np.cos(a), 0.25 * np.sin(a), 0) for a in np.linspace(0, np.pi, 9)], np.float32)
    rigid = [
        moved(pack, centre),
        moved(pocket, centre + np.array([0, -0.75 * size, -0.58 * size])),
        moved(flap, centre + np.array([0, 0.95 * size, -0.22 * size])),
        moved(tube(loop, radius=0.06, material="bag_dark"), centre + np.array([0, height / 2 - 0.05, 0.3])),
    ]
    straps = []
    for sign in (-1, 1):
        origin = np.array([sign * half * 0.62, (top + low) / 2 + 0.6, float(shoulders[:, 2].mean())], np.float32)
        angles = np.linspace(-0.45, np.pi * 0.83, 24)  # from the front of the ribs over the shoulder to the back
        forward = np.array([sign * 0.12, 0, 1.0], np.float32)
        path, normals = strap_around(surface, origin, forward / np.linalg.norm(forward), UP, angles, lift=0.05)
        straps.append(ribbon(path, normals, width=0.5, thickness=0.1, material="bag_dark"))
        tail = np.linspace(path[0], np.array([sign * half * 0.9, low + 1.0, back + 0.35]), 12)
        bulge = np.sin(np.linspace(0, np.pi, 12))[:, None] * np.array([sign * 0.55, 0, 0.35])
        straps.append(tube((tail + bulge).astype(np.float32), radius=0.06, material="bag_dark"))
    return rigid, straps


def shoulder_bag(
    surface: Surface, shoulder: Points, hip: Points, *, across: bool, size: float
) -> tuple[list[Solid], list[Solid]]:
    """A bag on a strap: across the body (strap over the other shoulder), or under the arm on the same side.

    Args:
        shoulder: (3,) joint the strap runs over. hip: (3,) joint on the side where the bag hangs.
    Returns:
        the bag (it moves with the pelvis) and the strap (it moves with the torso).
    """
    side = float(np.sign(hip[0]))
    bag = rounded_box((0.95 * size, 2.1 * size, 2.9 * size), exponent=0.3, material="bag", taper=0.1)
    flap = rounded_box((0.5 * size, 1.2 * size, 2.75 * size), exponent=0.3, material="bag_dark")
    height = float(hip[1]) + 0.55
    if across:
        return _cross_body(surface, shoulder, hip, [bag, flap], size)
    level = np.array([[side, 0, 0]], np.float32)
    origin = np.array([0, height + 0.8, float(shoulder[2])], np.float32)
    reach = float(cast(surface, origin, level)[0][0]) + 0.5 * size
    centre = np.array([side * reach, height + 0.6, float(shoulder[2]) - 0.15], np.float32)
    top = centre + np.array([0, 0.95 * size, 0])
    start = np.array([shoulder[0] * 0.86, shoulder[1] - 1.0, shoulder[2]], np.float32)
    lift = float(cast(surface, start, UP[None])[0][0]) + 0.07
    crest = start + UP * lift
    solids = [moved(bag, centre), moved(flap, centre + np.array([side * 0.27 * size, 0.4 * size, 0]))]
    straps = []
    for z in (-0.75, 0.75):
        end = top + np.array([0, 0, z * size])
        t = np.linspace(0, 1, 20)[:, None]
        path = crest * (1 - t) + end * t + np.sin(np.pi * t) * np.array([side * 0.18, 0.12, 0.3 * np.sign(z)])
        straps.append(tube(path.astype(np.float32), radius=0.075, material="bag_dark"))
    return solids, straps


def _cross_body(
    surface: Surface, shoulder: Points, hip: Points, bag: list[Solid], size: float
) -> tuple[list[Solid], list[Solid]]:
    side = float(np.sign(hip[0]))
    anchor = np.array([hip[0] + side * 0.55, hip[1] + 0.75, hip[2]], np.float32)
    over = np.array([shoulder[0] * 0.72, shoulder[1] + 0.3, shoulder[2]], np.float32)
    first = (over - anchor) / np.linalg.norm(over - anchor)
    forward = np.array([0, 0, 1], np.float32)
    second = forward - first * (first @ forward)
    second /= np.linalg.norm(second)
    angles = np.linspace(-np.pi * 0.93, np.pi * 0.93, 44)
    path, normals = strap_around(surface, (over + anchor) / 2, first, second, angles, lift=0.06)
    strap = ribbon(path, normals, width=0.34, thickness=0.07, material="bag_dark")
    level = np.array([[side, 0, 0]], np.float32)
    origin = np.array([0, hip[1], hip[2]], np.float32)
    reach = float(cast(surface, origin, level)[0][0]) + 0.45 * size
    centre = np.array([side * reach, hip[1] - 0.15, hip[2]], np.float32)
    solids = [moved(bag[0], centre), moved(bag[1], centre + np.array([side * 0.27 * size, 0.42 * size, 0]))]
    return solids, [strap]


def handbag(hand: Points, side: Points, *, size: float, drop: float = 0.0) -> list[Solid]:
    """A bag hanging straight down from a posed hand or forearm.

    Args:
        hand: (3,) where it hangs. side: (3,) unit vector along the bag's length. drop: extra handle, dm.
    """
    flat = side * np.array([1, 0, 1], np.float32)
    flat = flat / np.linalg.norm(flat)
    rotation = np.stack([np.cross(UP, flat), UP, flat], axis=1)  # thickness, height, length
    bag = rounded_box((1.05 * size, 2.0 * size, 2.8 * size), exponent=0.28, material="bag", taper=0.22)
    clasp = rounded_box((1.1 * size, 0.28 * size, 0.5 * size), exponent=0.4, material="metal")
    centre = hand - UP * (0.75 * size + 1.0 * size + drop)
    angles = np.linspace(0, np.pi, 21)
    arch = np.stack([0 * angles, (0.75 * size + drop) * np.sin(angles), 0.85 * size * np.cos(angles)], axis=1)
    handles = [
        moved(
            tube(arch + np.array([x * size, 0.97 * size, 0]), radius=0.07, material="bag_dark"),
            centre,
            rotation,
        )
        for x in (-0.3, 0.3)
    ]
    return [moved(bag, centre, rotation), moved(clasp, centre + UP * 0.55 * size, rotation), *handles]


def shopping_bag(hand: Points, side: Points, *, size: float) -> list[Solid]:
    """A paper or plastic carrier bag from a posed hand; arguments as for `handbag`."""
    rotation = _hanging(side)
    bag = rounded_box((1.1 * size, 3.4 * size, 2.7 * size), exponent=0.12, material="bag", taper=-0.06)
    centre = hand - UP * (0.85 + 1.7 * size)
    solids = [moved(bag, centre, rotation)]
    for x in (-0.4, 0.4):
        angles = np.linspace(0, np.pi, 11)
        arch = np.stack([0 * angles + x * size, 0.85 * np.sin(angles), 0.6 * size * np.cos(angles)], axis=1)
        solids.append(moved(tube(arch, radius=0.05, material="bag_dark"), centre + UP * 1.68 * size, rotation))
    return solids


def briefcase(hand: Points, side: Points, *, size: float) -> list[Solid]:
    """A flat case with a short handle from a posed hand; arguments as for `handbag`."""
    rotation = _hanging(side)
    case = rounded_box((0.95 * size, 2.9 * size, 4.0 * size), exponent=0.14, material="bag")
    seam = rounded_box((0.98 * size, 0.16, 4.02 * size), exponent=0.14, material="bag_dark")
    lock = rounded_box((1.0 * size, 0.3, 0.3), exponent=0.3, material="metal")
    centre = hand - UP * (0.25 + 1.45 * size)
    angles = np.linspace(0, np.pi, 11)
    arch = np.stack([0 * angles, 0.3 * np.sin(angles) ** 0.5, 0.65 * np.cos(angles)], axis=1)
    handle = tube(arch, radius=0.1, material="bag_dark")
    return [
        moved(case, centre, rotation),
        moved(seam, centre + UP * 0.9 * size, rotation),
        moved(lock, centre + UP * 0.9 * size, rotation),
        moved(handle, centre + UP * 1.45 * size, rotation),
    ]


def _hanging(side: Points) -> Points:
    """Axes (3, 3) of a thing that hangs: thickness, height, and length along the level part of `side`."""
    flat = side * np.array([1, 0, 1], np.float32)
    flat = flat / np.linalg.norm(flat)
    return np.asarray(np.stack([np.cross(UP, flat), UP, flat], axis=1), np.float32)
