# SPDX-License-Identifier: Apache-2.0
"""Glasses, and the parts of hats that no cut of the mesh gives: peaks, brims, pompons, the shell of a helmet.

All are made in rest pose and move with the head. Lengths are decimetres.
"""

from __future__ import annotations

import numpy as np

from .figure import Points
from .solids import Solid, grid, moved, rounded_box, tube


def glasses(
    eyes: Points, *, width: float = 0.27, tall: float = 0.21, bold: float = 1.0, dark: bool = False
) -> list[Solid]:
    """Spectacles: two rims, a bridge and temples; sunglasses have opaque lenses.

    Args:
        eyes: (2, 3) left and right eye centre, rest pose. width, tall: half axes of a lens where the eyes are 0.62 dm
        apart. bold: 1 is a frame of 6 mm. dark: fill the lenses.
    """
    unit = abs(float(eyes[0, 0] - eyes[1, 0])) / 0.62
    front = eyes[:, 2].mean() + 0.26 * unit
    angles = np.linspace(0, 2 * np.pi, 21)
    solids = []
    for eye in eyes:
        outward = np.sign(eye[0])
        centre = np.array([eye[0] * 1.08, eye[1] - 0.01, front], np.float32)
        round_ = np.stack([width * np.cos(angles), tall * np.sin(angles), 0 * angles], axis=1)
        round_ = np.sign(round_) * np.abs(round_ / np.array([width, tall, 1])) ** 0.75 * np.array([width, tall, 1])
        rim = round_ * unit
        rim[:, 2] -= 0.25 * (rim[:, 0] * outward).clip(0)
        solids.append(tube((centre + rim).astype(np.float32), radius=0.032 * unit * bold, material="frame"))
        if dark:
            points = np.concatenate([centre[None], centre + rim[:-1]]).astype(np.float32)
            fan = np.array([(0, k + 1, (k + 1) % 20 + 1) for k in range(20)], np.int32)
            solids.append(Solid(points=points, triangles=fan, material="lens"))
        outer = centre + np.array([outward * width * unit, 0.05 * unit, -0.06])
        ear = outer + np.array([outward * 0.12 * unit, 0.02, -1.15 * unit])
        path = np.linspace(outer, ear, 5).astype(np.float32)
        solids.append(tube(path, radius=0.03 * unit * bold, material="frame"))
    ends = [[x * unit, eyes[0, 1] + 0.03, front + 0.03] for x in (-0.08, 0.08)]
    solids.append(
        tube(np.linspace(ends[0], ends[1], 5).astype(np.float32), radius=0.03 * unit * bold, material="frame")
    )
    return solids


def visor(crown: Points) -> Solid:
    """The peak of a cap. crown: (n, 3) points of the cap in rest pose."""
    rim = crown[crown[:, 2] > np.quantile(crown[:, 2], 0.8)]
    front, low = float(crown[:, 2].max()), float(rim[:, 1].min())
    half = 0.82 * float(np.abs(crown[:, 0]).max())
    angles = np.linspace(0.02, np.pi - 0.02, 25)
    inner = np.stack([half * np.cos(angles), 0 * angles, 0.75 * np.sin(angles) - 0.75], axis=1)
    outer = np.stack([half * np.cos(angles), -0.12 * np.sin(angles), 0.95 * np.sin(angles) - 0.45], axis=1)
    middle = (inner + outer) / 2 + np.array([0, 0.03, 0])
    base = np.array([0, low + 0.06, front])
    under = np.array([0, 0.06, 0])
    layers = [inner, middle, outer, outer - under, middle - under, inner - under]
    points = (np.concatenate(layers) + base).astype(np.float32)
    return Solid(points=points, triangles=grid(6, 25, around=False), material="hat")


def brim(crown: Points, *, width: float, droop: float, material: str = "hat") -> Solid:
    """The brim of a hat all round. crown: (n, 3) points of its crown in rest pose; width, droop: dm."""
    low = float(np.quantile(crown[:, 1], 0.03))
    rim = crown[crown[:, 1] < low + 0.35]
    centre = (rim.min(axis=0) + rim.max(axis=0)) / 2
    half = (rim.max(axis=0) - rim.min(axis=0)) / 2
    angles = np.linspace(0, 2 * np.pi, 33)[:-1]
    rings = []
    for out, drop in ((-0.08, -0.02), (0.5, 0.35), (1.0, 1.0), (1.0, 1.12), (0.5, 0.5), (-0.08, 0.1)):
        x, z = (half[0] + out * width) * np.cos(angles), (half[2] + out * width) * np.sin(angles)
        # The rim of a crown is cut on a slope, higher in front.
        slope = 0.18 * (z + centre[2] - 0.4)
        rings.append(np.stack([centre[0] + x, low + 0.18 + slope - drop * droop, centre[2] + z], axis=1))
    points = np.concatenate(rings).astype(np.float32)
    return Solid(points=points, triangles=grid(6, 32, around=True), material=material)


def pompon(crown: Points, *, material: str = "hat_dark") -> Solid:
    """The ball on a knitted cap; arguments as for `brim`."""
    top = crown[crown[:, 1].argmax()] + np.array([0, 0.2, 0])
    return moved(rounded_box((0.75, 0.7, 0.75), exponent=1.0, material=material), top.astype(np.float32))


def helmet_shell(crown: Points, *, kind: str) -> list[Solid]:
    """The hard shell of a helmet over the crown: "cycle" long with ridges, "site" round with a rim.

    Args:
        crown: (n, 3) points of a close cap in rest pose.
    """
    low, high = crown.min(axis=0), crown.max(axis=0)
    centre, half = (low + high) / 2, (high - low) / 2
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 33)[:-1], np.linspace(0.05, np.pi / 2, 9))
    swell = 0.22 if kind == "cycle" else 0.2
    x, z = (half[0] + swell) * np.sin(v) * np.sin(u), (half[2] + swell) * np.sin(v) * np.cos(u)
    tall = 2 * half[1] * (0.78 if kind == "cycle" else 0.85) + 0.25
    y = tall * np.cos(v)
    if kind == "cycle":
        ridge = 0.07 * np.cos(5 * x / (half[0] + swell) * np.pi / 1.2) * np.cos(v)
        x, y, z = x, y + ridge, z * 1.04 - 0.04 * np.sin(v)
    base = np.array([centre[0], high[1] + 0.22 - tall, centre[2]])
    tilt = 0.16 * z
    points = (np.stack([x, y + tilt, z], axis=-1).reshape(-1, 3) + base).astype(np.float32)
    solids = [Solid(points=points, triangles=grid(9, 32, around=True), material="hat")]
    if kind == "site":
        solids.append(brim(points, width=0.28, droop=0.05))
    return solids


def chin_strap(eyes: Points) -> Solid:
    """The strap of a helmet: from the temples under the chin. eyes: (2, 3), rest pose."""
    middle = eyes.mean(axis=0)
    angles = np.linspace(-0.1 * np.pi, 1.1 * np.pi, 25)
    path = np.stack([0.78 * np.cos(angles), -1.28 * np.sin(angles).clip(-0.3), 0.25 * np.sin(angles) - 0.55], axis=1)
    return tube((middle + path + np.array([0, 0.05, 0])).astype(np.float32), radius=0.05, material="hat_dark")
