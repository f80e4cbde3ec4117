"""A batch of simple shapes, one Blender object a material in the end. Metres, z up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import bpy
import numpy as np

Point = tuple[float, float, float]
Local = Callable[[float, float, float], Point]
FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


class Batch:
    """Collects polygons by material name; `build` makes the objects."""

    def __init__(self) -> None:
        self.points: dict[str, list[Point]] = defaultdict(list)
        self.faces: dict[str, list[tuple[int, ...]]] = defaultdict(list)

    def polygons(self, material: str, points: Sequence[Point], faces: Sequence[Sequence[int]]) -> None:
        start = len(self.points[material])
        self.points[material] += [tuple(float(v) for v in p) for p in points]
        self.faces[material] += [tuple(start + k for k in face) for face in faces]

    def box(self, material: str, low: Point, high: Point, local: Local | None = None) -> None:
        """An axis-parallel box between two corners, through `local` when given."""
        ends = list(zip(low, high, strict=True))
        corners = [(x, y, z) for x in ends[0] for y in ends[1] for z in ends[2]]
        self.polygons(material, [local(*c) for c in corners] if local else corners, FACES)

    def pipe(self, material: str, path: Sequence[Point], radii: Sequence[float], sides: int = 12) -> None:
        """A round bar through points, with a radius at each."""
        points = np.array(path, float)
        along = np.gradient(points, axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        side = np.cross(along, np.where(np.abs(along[:, 2:]) > 0.9, [[1.0, 0, 0]], [[0, 0, 1.0]]))
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        other = np.cross(along, side)
        angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
        rings = [p + r * (np.outer(np.cos(angles), s) + np.outer(np.sin(angles), o))
                 for p, r, s, o in zip(points, radii, side, other, strict=True)]  # fmt: skip
        faces = [(r * sides + k, r * sides + (k + 1) % sides, (r + 1) * sides + (k + 1) % sides, (r + 1) * sides + k)
                 for r in range(len(path) - 1) for k in range(sides)]  # fmt: skip
        last = (len(path) - 1) * sides
        faces += [tuple(range(sides - 1, -1, -1)), tuple(range(last, last + sides))]
        self.polygons(material, [tuple(p) for p in np.concatenate(rings)], faces)

    def build(self, surfaces: dict[str, Any], *, smooth: Sequence[str] = ()) -> None:
        for material, points in self.points.items():
            data = bpy.data.meshes.new(material)
            data.from_pydata(points, [], self.faces[material])
            data.materials.append(surfaces[material])
            if material in smooth:
                data.polygons.foreach_set("use_smooth", np.ones(len(data.polygons), bool))
            bpy.context.collection.objects.link(bpy.data.objects.new(material, data))
