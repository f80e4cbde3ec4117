"""The place: a sunny shopping street, looking along the pavement. Metres, z up, the camera looks towards +y."""

from __future__ import annotations

import math

import bpy
import numpy as np

from . import greenery, surfaces
from .buildings import House, facade
from .shapes import Batch, Local, Point

LEFT, KERB, ROAD_END, RIGHT = -4.7, 3.7, 10.6, 13.6
ROAD = -0.12

LEFT_HOUSES = (
    House(width=7.5, floors=3, wall="stone", ground="shop", front="frame_dark"),
    House(width=6.4, floors=3, wall="plaster_cream", ground="cafe", front="frame_red", awning="awning_red"),
    House(width=6.9, floors=3, wall="brick", ground="door", frame="frame_white"),
    House(width=7.2, floors=3, wall="plaster_white", ground="shop", front="frame_blue", awning="awning_green"),
    House(width=8.2, floors=4, wall="brick_dark", ground="shop", front="frame_dark"),
    House(width=7.0, floors=3, wall="plaster_rose", ground="door"),
    House(width=8.0, floors=3, wall="stone", ground="shop", front="frame_red"),
    House(width=9.0, floors=4, wall="plaster_cream", ground="door"),
)
RIGHT_HOUSES = (
    House(width=8.0, floors=3, wall="brick_dark", ground="shop", front="frame_blue"),
    House(width=7.0, floors=3, wall="plaster_white", ground="door"),
    House(width=7.6, floors=3, wall="brick", ground="shop", front="frame_dark", awning="awning_red"),
    House(width=7.0, floors=4, wall="plaster_blue", ground="shop", front="frame_red"),
    House(width=8.4, floors=3, wall="stone", ground="door"),
    House(width=8.0, floors=3, wall="plaster_rose", ground="shop", front="frame_dark"),
    House(width=9.0, floors=4, wall="brick", ground="door"),
)
END_HOUSES = (
    House(width=9.0, floors=3, wall="brick", ground="door"),
    House(width=8.0, floors=4, wall="plaster_cream", ground="shop", front="frame_dark"),
    House(width=9.0, floors=3, wall="plaster_white", ground="door"),
    House(width=9.0, floors=4, wall="stone", ground="door"),
)
END = 62.0


def build_street(seed: int) -> None:
    """Add ground, houses, trees and furniture to the scene; deterministic by seed."""
    rng = np.random.default_rng(seed)
    batch = Batch()
    _ground(batch)
    _houses(batch, rng)
    for y in (13.2, 19.5, 26.0, 33.0, 41.0, 50.0):
        greenery.tree(batch, (KERB - 0.75, y), float(rng.uniform(5.6, 6.6)), rng)
    for y in (13.0, 21.0, 30.0, 39.0, 48.0):
        greenery.tree(batch, (ROAD_END + 0.9, y), float(rng.uniform(5.6, 7.0)), rng)
    for x in (-6.0, 0.5, 6.0):
        greenery.tree(batch, (x, END - 4), 8.0, rng)
    for y in (17.0, 28.0, 44.0):
        greenery.lamp_post(batch, (KERB - 0.45, y))
    for y in np.arange(13.0, 25.0, 1.7):
        if min(abs(y - other) for other in (13.2, 17.0, 19.5)) > 0.8:
            greenery.bollard(batch, (KERB - 0.4, float(y)))
    for at in ((LEFT + 0.42, 9.4), (LEFT + 0.42, 16.2), (LEFT + 0.42, 20.3), (LEFT + 0.42, 31.5)):
        greenery.tub(batch, at, rng)
    greenery.bench(batch, (LEFT + 0.5, 18.0))
    greenery.bin_(batch, (KERB - 0.75, 19.4))
    for y, colour in ((13.4, "car_silver"), (19.2, "car_red"), (25.0, "car_blue"), (37.0, "car_silver")):
        greenery.car(batch, (KERB + 1.35, y), colour, ROAD)
    for y, colour in ((22.0, "car_blue"), (33.0, "car_red")):
        greenery.car(batch, (ROAD_END - 1.2, y), colour, ROAD)
    batch.build(
        surfaces.all_surfaces(),
        smooth=("iron", "bark", "tyre", "steel", "car_red", "car_silver", "car_blue", "car_glass"),
    )


def _ground(batch: Batch) -> None:
    def sheet(material: str, x: tuple[float, float], z: float, y: tuple[float, float] = (-12, 120)) -> None:
        corners = [(x[0], y[0], z), (x[1], y[0], z), (x[1], y[1], z), (x[0], y[1], z)]
        batch.polygons(material, corners, [(0, 1, 2, 3)])

    sheet("paving", (LEFT - 30, KERB), 0.0)
    sheet("asphalt", (KERB, ROAD_END), ROAD)
    sheet("paving", (ROAD_END, RIGHT + 30), 0.0)
    sheet("kerb", (KERB + 0.13, KERB + 0.4), ROAD + 0.003)
    for y in np.arange(-6.0, END, 1.0):
        for x in (KERB - 0.02, ROAD_END - 0.13):
            batch.box("kerb", (x, y + 0.004, ROAD - 0.1), (x + 0.15, y + 0.996, 0.006))
    middle = (KERB + ROAD_END) / 2
    for y in np.arange(-4.0, END, 4.0):
        sheet("line", (middle - 0.06, middle + 0.06), ROAD + 0.004, (y, y + 2.0))
    sheet("line", (KERB + 2.35, KERB + 2.43), ROAD + 0.004, (10, END))


def _houses(batch: Batch, rng: np.random.Generator) -> None:
    def left(start: float) -> Local:
        return lambda u, d, z: (LEFT + d, start + u, z)

    def right(start: float) -> Local:
        return lambda u, d, z: (RIGHT - d, start + u, z)

    def end(start: float) -> Local:
        def place(u: float, d: float, z: float) -> Point:
            return (start + u, END - d, z)

        return place

    for houses, local, y in ((LEFT_HOUSES, left, 4.2), (RIGHT_HOUSES, right, 6.0), (END_HOUSES, end, -18.0)):
        for house in houses:
            facade(batch, local(y), house, rng)
            y += house.width


def add_light(elevation: float = 40.0, rotation: float = 160.0, strength: float = 0.12) -> None:
    """Clear sky with a sun of slightly enlarged size (soft shadows); angles in degrees."""
    world = bpy.data.worlds.new("sky")
    bpy.context.scene.world = world
    world.use_nodes = True
    tree = world.node_tree
    sky = tree.nodes.new("ShaderNodeTexSky")
    sky.sky_type = "NISHITA"
    sky.sun_elevation, sky.sun_rotation = math.radians(elevation), math.radians(rotation)
    sky.sun_size, sky.sun_intensity = math.radians(1.6), 0.55
    sky.air_density, sky.dust_density = 1.0, 1.6
    background = tree.nodes["Background"]
    background.inputs[1].default_value = strength
    tree.links.new(sky.outputs[0], background.inputs[0])


def add_camera(*, focus_m: float = 7.2, lens_mm: float = 40.0, eye_m: float = 1.65) -> None:
    """A camera at eye height; the lens is shifted, so verticals stay vertical."""
    data = bpy.data.cameras.new("camera")
    data.lens, data.sensor_width = lens_mm, 36.0
    data.shift_y = -0.038
    data.dof.use_dof = True
    data.dof.focus_distance, data.dof.aperture_fstop = focus_m, 3.5
    camera = bpy.data.objects.new("camera", data)
    camera.location, camera.rotation_euler = (0.0, 0.0, eye_m), (math.radians(90), 0, 0)
    bpy.context.collection.objects.link(camera)
    bpy.context.scene.camera = camera
