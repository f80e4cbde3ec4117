# SPDX-License-Identifier: Apache-2.0
"""Where the camera stands, how it looks, and which part of its picture is kept.

World: metres, y up, the ground is y = 0; a figure at heading 0 faces +z, where the camera is. No roll means that the
horizon is level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from .figure import Floats, Points
from .raster import bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A pinhole camera.

    Attributes:
        position: (3,) float32 m. axes: (3, 3) float32, rows right, up, forward.
        focal_px: focal length. centre_px: where the optical axis meets the picture, x and y.
    """

    position: Points
    axes: Points
    focal_px: float
    centre_px: tuple[float, float]

    def project(self, points: Floats) -> Points:
        """(N, 3) m -> (N, 3) float32: x px, y px, depth m."""
        seen = (points - self.position) @ self.axes.T
        depth = seen[:, 2]
        safe = np.where(np.abs(depth) < 1e-6, 1e-6, depth)
        x = self.centre_px[0] + self.focal_px * seen[:, 0] / safe
        y = self.centre_px[1] - self.focal_px * seen[:, 1] / safe
        return np.stack([x, y, depth], axis=1).astype(np.float32)

    def window(self, left: float, top: float, *, scale: float = 1.0) -> Camera:
        """The same camera with the picture's origin moved to (left, top) px and then enlarged by `scale`."""
        centre = ((self.centre_px[0] - left) * scale, (self.centre_px[1] - top) * scale)
        return replace(self, focal_px=self.focal_px * scale, centre_px=centre)

    def horizon(self) -> float:
        """Row (px) of the horizon below or above the picture's left border, may lie outside the picture."""
        fall = -float(self.axes[2, 1]) / max(float(self.axes[1, 1]), 1e-3)
        return self.centre_px[1] - self.focal_px * fall

    def ground_points(self, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
        """World x and z (m) of the ground behind pixels, and whether there is ground (below the horizon)."""
        right = (x - self.centre_px[0]) / self.focal_px
        up = (self.centre_px[1] - y) / self.focal_px
        way = right[..., None] * self.axes[0] + up[..., None] * self.axes[1] + self.axes[2]
        fall = -way[..., 1]
        reach = self.position[1] / np.where(fall > 1e-4, fall, 1e-4)
        return self.position[0] + reach * way[..., 0], self.position[2] + reach * way[..., 2], fall > 1e-4


def aimed(
    position: tuple[float, float, float],
    target: tuple[float, float, float],
    *,
    focal_px: float,
    roll: float = 0.0,
    aside: float = 0.0,
) -> Camera:
    """A camera that looks at a point.

    Args:
        position, target: m. focal_px: focal length, the optical axis at (0, 0) px.
        roll: degrees clockwise. aside: degrees by which it looks past the target, to its right.
    """
    forward = np.subtract(target, position).astype(np.float64)
    turn = math.radians(aside)
    x, y, z = forward / np.linalg.norm(forward)
    forward = np.array([x * math.cos(turn) - z * math.sin(turn), y, x * math.sin(turn) + z * math.cos(turn)])
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    angle = math.radians(roll)
    turned = math.cos(angle) * right + math.sin(angle) * up
    axes = np.stack([turned, np.cross(turned, forward), forward]).astype(np.float32)
    return Camera(position=np.array(position, np.float32), axes=axes, focal_px=focal_px, centre_px=(0.0, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How one person is looked at: camera height and distance (m), degrees of roll and of looking past the person,
    native height of the whole person (px)."""

    height_m: float
    distance_m: float
    roll: float
    aside: float
    native_px: float


def sample_view(rng: np.random.Generator, *, lowest_px: float = 40, highest_px: float = 300) -> View:
    """A view as street cameras and passers-by with phones have it; middling sizes are more often than small ones."""
    share = float(rng.random()) ** 0.65  # people who are too small to be described are there, but fewer
    native = float(np.exp(np.log(lowest_px) + share * (np.log(highest_px) - np.log(lowest_px))))
    height = float(rng.uniform(1.3, 2.0) if rng.random() < 0.5 else rng.uniform(2.0, 6.0))
    nearest = max(2.2, 1.15 * (height - 0.9))  # steeper than about 41 degrees nobody is recognised
    distance = float(np.exp(rng.uniform(np.log(nearest), np.log(max(28.0, nearest + 1)))))
    return View(
        height_m=height,
        distance_m=distance,
        roll=float(rng.normal(0, 1.2)),
        aside=float(rng.uniform(-24, 24)),
        native_px=native,
    )


def camera_for(view: View, points: Points) -> Camera:
    """The camera of a view of a person that stands at the origin: their box is `native_px` high and starts at (0, 0).

    points: (N, 3) float32 m, all points of the person.
    """
    camera = aimed(
        (0.0, view.height_m, view.distance_m),
        (0.0, 0.9, 0.0),
        focal_px=1000.0,
        roll=view.roll,
        aside=view.aside,
    )
    screen = camera.project(points)
    (left, top, _), (_, low, _) = bounds(screen)
    scale = view.native_px / max(float(low - top), 1e-3)
    return camera.window(float(left), float(top), scale=scale)
