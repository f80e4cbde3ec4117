# SPDX-License-Identifier: Apache-2.0
"""Faces that differ: proportions of the head and a few expressions, as offsets on the shaped body.

A pedestrian's face has few pixels; what matters is that it is not the same face each time. Lengths are decimetres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .clothing import Canonical
from .figure import Points


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """Proportions are factors about 1, expressions lie in [0, 1]."""

    width: float = 1.0
    length: float = 1.0
    nose: float = 1.0
    jaw: float = 1.0
    smile: float = 0.0
    open_mouth: float = 0.0
    raised_brows: float = 0.0


def shape_face(body: Points, coordinates: Canonical, face: Face) -> Points:
    """Apply a face to a shaped body (19158, 3), rest pose; returns a new array."""
    x, y, z = coordinates.x, coordinates.y, coordinates.z
    head = np.clip((y - 6.1) / 0.7, 0, 1) * (np.abs(x) < 1.4)
    out = body.copy()
    neck = y > 6.0
    middle = body[neck & (y < 6.4) & (np.abs(x) < 0.8)].mean(axis=0)
    low = np.clip((7.0 - y) / 0.6, 0, 1)
    out[:, 0] *= 1 + head * ((face.width - 1) + (face.jaw - 1) * low)
    out[:, 1] += head * (body[:, 1] - middle[1]) * (face.length - 1)

    def near(at: tuple[float, float], size: float) -> Points:
        away = (np.abs(x) - at[0]) ** 2 + (y - at[1]) ** 2
        return np.asarray(np.exp(-away / size**2) * (z > 0.7), np.float32)

    scale = float(np.ptp(body[neck, 1])) / 2.4
    out[:, 2] += near((0.0, 7.02), 0.16) * 0.35 * (face.nose - 1) * scale
    corner, chin, brow = near((0.25, 6.65), 0.16), near((0.0, 6.42), 0.3), near((0.3, 7.6), 0.2)
    out[:, 0] += corner * np.sign(x) * 0.07 * face.smile * scale
    out[:, 1] += (corner * 0.09 * face.smile - chin * 0.13 * face.open_mouth + brow * 0.06 * face.raised_brows) * scale
    return np.asarray(out, np.float32)
