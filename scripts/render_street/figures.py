"""Synthesis meshes as Blender objects, and the boxes they cover in the picture."""

from __future__ import annotations

import math
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from passerby.synthesis.parts import CLOTH
from passerby.synthesis.people import Mesh

from . import materials


def to_scene(points: NDArray[np.float32], place_m: tuple[float, float], heading: float) -> NDArray[np.float32]:
    """Decimetres, y up, facing +z -> metres, z up, facing the camera (-y) turned by `heading` degrees."""
    x, y, z = points.T / 10
    angle = math.radians(heading)
    east, south = x * math.cos(angle) - z * math.sin(angle), x * math.sin(angle) + z * math.cos(angle)
    return np.stack([east + place_m[0], place_m[1] - south, y], axis=1).astype(np.float32)


def add_mesh(mesh: Mesh, place_m: tuple[float, float], heading: float) -> Any:
    """Make one Blender object of a synthesis mesh; returns it."""
    used, faces = np.unique(mesh.triangles, return_inverse=True)
    faces = faces.reshape(-1, 3)
    points = to_scene(mesh.points[used], place_m, heading)
    data = bpy.data.meshes.new(mesh.name)
    data.from_pydata(points.tolist(), [], faces.tolist())
    layer = data.uv_layers.new(name="uv")
    if len(data.loops) == mesh.corner_uv.shape[0] * 3:
        layer.data.foreach_set("uv", mesh.corner_uv.reshape(-1).astype(np.float32))
    pattern = data.attributes.new("pattern", "FLOAT_VECTOR", "POINT")
    pattern.data.foreach_set("vector", mesh.pattern[used].reshape(-1).astype(np.float32))
    data.polygons.foreach_set("use_smooth", np.ones(len(data.polygons), bool))
    data.materials.append(materials.for_look(mesh.look, mesh.name))
    thing = bpy.data.objects.new(mesh.name, data)
    bpy.context.collection.objects.link(thing)
    _refine(thing, mesh)
    return thing


def _refine(thing: Any, mesh: Mesh) -> None:
    """Cloth gets thickness and rounder folds; skin and eyes are smoothed by subdivision."""
    if mesh.thickness > 0:
        solidify = thing.modifiers.new("thickness", "SOLIDIFY")
        solidify.thickness = mesh.thickness / 10
        solidify.offset = 0.0
        solidify.use_rim = True
    if mesh.part in CLOTH:
        thing.modifiers.new("smooth", "SUBSURF").render_levels = 1


def box_in_picture(meshes: list[Mesh], place_m: tuple[float, float], heading: float) -> list[float]:
    """x1 y1 x2 y2 in pixels of the full-size picture of everything a person consists of."""
    render, camera = bpy.context.scene.render, bpy.context.scene.camera
    width, height = render.resolution_x, render.resolution_y
    lens = camera.calc_matrix_camera(bpy.context.evaluated_depsgraph_get(), x=width, y=height)
    matrix = np.array(lens @ camera.matrix_world.inverted())
    points = np.concatenate([to_scene(m.points[np.unique(m.triangles)], place_m, heading) for m in meshes])
    seen = np.c_[points, np.ones(len(points))] @ matrix.T
    x = (seen[:, 0] / seen[:, 3] + 1) / 2 * width
    y = (1 - seen[:, 1] / seen[:, 3]) / 2 * height
    return [round(float(v), 1) for v in (x.min(), y.min(), x.max(), y.max())]
