# SPDX-License-Identifier: Apache-2.0
"""Things in posed hands: a parcel, a cup, a phone, papers, a stick. Made after posing. Lengths are decimetres."""

from __future__ import annotations

import numpy as np

from .figure import Points
from .solids import UP, Solid, grid, moved, rounded_box, tube


def held_box(left: Points, right: Points, forward: Points, *, size: tuple[float, float, float]) -> list[Solid]:
    """A parcel between two posed hands; forward: (3,) unit vector the figure faces."""
    across = (left - right) * np.array([1, 0, 1], np.float32)
    across = across / np.linalg.norm(across)
    ahead = np.cross(across, UP)
    rotation = np.stack([across, UP, ahead], axis=1)
    centre = (left + right) / 2 + UP * (size[1] / 2 - 0.45) + forward * 0.15
    box = rounded_box(size, exponent=0.06, material="cardboard")
    tape = rounded_box((0.5, size[1] * 1.004, size[2] * 1.004), exponent=0.06, material="tape")
    return [moved(box, centre, rotation), moved(tape, centre, rotation)]


def cup(hand: Points) -> list[Solid]:
    """A paper cup with a lid, upright in a posed hand."""
    wall = np.linspace(-0.55 * UP, 0.55 * UP, 4)
    body = tube(wall, radius=0.37, material="paper", sides=16)
    widths = np.repeat(np.linspace(0.82, 1.14, 4), 16)[:, None] ** np.array([1, 0, 1])  # narrower at its foot
    cone = Solid(points=(body.points * widths).astype(np.float32), triangles=body.triangles, material="paper")
    lid = tube(np.linspace(0.52 * UP, 0.66 * UP, 2), radius=0.45, material="lid", sides=16)
    top = rounded_box((0.88, 0.1, 0.88), exponent=0.6, material="lid")
    return [moved(cone, hand), moved(lid, hand), moved(top, hand + UP * 0.66)]


def phone(hand: Points, facing: Points) -> list[Solid]:
    """A phone standing in a posed hand, its screen towards `facing` (3,)."""
    look = facing / np.linalg.norm(facing)
    across = np.cross(UP, look)
    across = across / np.linalg.norm(across)
    rotation = np.stack([across, np.cross(look, across), look], axis=1)
    return [moved(rounded_box((0.75, 1.5, 0.09), exponent=0.12, material="phone"), hand, rotation)]


def stick(hand: Points, *, ground: float) -> list[Solid]:
    """A walking stick from a posed hand to the ground (y = ground), with a bent handle."""
    foot = np.array([hand[0], ground, hand[2] + 0.7], np.float32)
    shaft = tube(np.linspace(hand, foot, 12).astype(np.float32), radius=0.11, material="wood")
    reach = np.linspace(0.55, -0.5, 8)[:, None]
    grip = hand + np.array([0, 0.06, 1], np.float32) * reach
    return [shaft, tube(grip, radius=0.14, material="wood")]


def folder(left: Points, right: Points, forward: Points, *, size: float, material: str = "paper") -> list[Solid]:
    """Papers or a folder held upright before the chest, between two posed hands; arguments as for `held_box`."""
    across = (left - right) * np.array([1, 0, 1], np.float32)
    across = across / np.linalg.norm(across)
    lean = UP + 0.35 * forward
    lean = lean / np.linalg.norm(lean)
    rotation = np.stack([across, lean, np.cross(across, lean)], axis=1)
    centre = (left + right) / 2 + lean * 0.7 * size + forward * 0.12
    return [moved(rounded_box((2.2 * size, 3.0 * size, 0.18), exponent=0.1, material=material), centre, rotation)]


def tablet(left: Points, right: Points, forward: Points, facing: Points) -> list[Solid]:
    """A tablet in both hands, its screen towards the face; `facing` (3,) points from the hands to the face."""
    across = (left - right) / np.linalg.norm(left - right)
    look = facing - across * (facing @ across)
    look = look / np.linalg.norm(look)
    rotation = np.stack([across, np.cross(look, across), look], axis=1)
    plate = rounded_box((2.3, 1.6, 0.12), exponent=0.12, material="phone")
    return [moved(plate, (left + right) / 2 + forward * 0.1 + UP * 0.3, rotation)]


def bunch(hand: Points, *, size: float) -> list[Solid]:
    """A bunch of flowers in paper, upright in a posed hand."""
    paper = rounded_box((1.5 * size, 2.4 * size, 1.5 * size), exponent=0.8, material="paper", taper=-0.6)
    bloom = rounded_box((2.1 * size, 1.2 * size, 2.1 * size), exponent=0.9, material="bloom")
    return [moved(paper, hand + UP * 0.9 * size), moved(bloom, hand + UP * 2.0 * size)]


def umbrella(hand: Points, head: Points, *, size: float) -> list[Solid]:
    """An open umbrella over the head, its handle in a posed hand."""
    top = np.array([0.6 * head[0] + 0.4 * hand[0], head[1] + 3.4, 0.6 * head[2] + 0.4 * hand[2]], np.float32)
    shaft = tube(np.linspace(hand - UP * 0.4, top, 6).astype(np.float32), radius=0.07, material="metal")
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 33)[:-1], np.linspace(0, 0.5 * np.pi, 7))
    ribs = 1 - 0.06 * np.abs(np.sin(4 * u)) * np.sin(v)  # the cloth sags between eight ribs
    reach, rise = 5.0 * size, 1.5 * size
    shape = np.stack(
        [reach * ribs * np.sin(v) * np.cos(u), rise * np.cos(v) - rise, reach * ribs * np.sin(v) * np.sin(u)], -1
    )
    points = (shape.reshape(-1, 3) + top + UP * 0.15).astype(np.float32)
    return [shaft, Solid(points=points, triangles=grid(7, 32, around=True), material="canopy")]
