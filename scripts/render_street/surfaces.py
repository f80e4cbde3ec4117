"""Procedural surfaces of the street: paving, asphalt, brick, plaster, glass, rooms behind it, leaves."""

from __future__ import annotations

from typing import Any

from .materials import Nodes, linear, plain


def _place(nodes: Nodes, *, upright: bool) -> Any:
    """2D coordinates in metres: x and y on the ground, along the wall and up on a facade."""
    position = nodes.add("NewGeometry").outputs["Position"]
    if not upright:
        return position
    split = nodes.add("SeparateXYZ", {0: position})
    along = nodes.math("ADD", split.outputs[0], split.outputs[1])
    return nodes.add("CombineXYZ", {0: along, 1: split.outputs[2]}).outputs[0]


def _bricks(nodes: Nodes, where: Any, size: tuple[float, float], joint: float, colours: tuple[str, str, str]) -> Any:
    """Brick texture node of bricks `size` metres with joints of `joint` metres; colours: two bricks, mortar."""
    node = nodes.add(
        "TexBrick",
        {"Vector": where, "Color1": colours[0], "Color2": colours[1], "Mortar": colours[2], "Scale": 1.0},
        offset=0.5,
    )
    for key, value in (
        ("Brick Width", size[0]), ("Row Height", size[1]), ("Mortar Size", joint), ("Mortar Smooth", 0.25)
    ):  # fmt: skip
        node.inputs[key].default_value = value
    return node


def _weathered(nodes: Nodes, colour: Any, amount: float, scale: float = 0.5) -> Any:
    position = nodes.add("NewGeometry").outputs["Position"]
    large = nodes.ramp(nodes.noise(scale, position, 4.0, 0.65), [(0.32, "#79746c"), (0.68, "#ffffff")])
    small = nodes.ramp(nodes.noise(scale * 14, position, 2.0, 0.6), [(0.25, "#a9a59e"), (0.7, "#ffffff")])
    return nodes.mix(amount, nodes.mix(amount, colour, large, "MULTIPLY"), small, "MULTIPLY")


def paving(name: str) -> Any:
    """Concrete slabs with joints, stains and a few darker stones."""
    nodes = Nodes(name)
    where = _place(nodes, upright=False)
    slabs = _bricks(nodes, where, (0.6, 0.4), 0.007, ("#a39c91", "#8e887e", "#4b463f"))
    grain = nodes.noise(160.0, where, 1.0)
    colour = _weathered(nodes, slabs.outputs["Color"], 0.55)
    spots = nodes.add("TexVoronoi", {"Vector": where, "Scale": 2.3}).outputs["Distance"]
    gum = nodes.math("LESS_THAN", spots, 0.045)
    colour = nodes.mix(nodes.math("MULTIPLY", gum, 0.5), colour, "#4d4942")
    height = nodes.math("SUBTRACT", nodes.math("MULTIPLY", grain, 0.25), slabs.outputs["Fac"])
    rough = nodes.math("MULTIPLY_ADD", nodes.noise(1.4, where), 0.3)
    nodes.feed(rough.node.inputs[2], 0.55)
    return nodes.finish({"Base Color": colour, "Roughness": rough, "Normal": nodes.bump(height, 0.5, 0.006)})


def asphalt(name: str) -> Any:
    """Grey asphalt: stones, repairs, wheel tracks."""
    nodes = Nodes(name)
    where = _place(nodes, upright=False)
    stones = nodes.add("TexVoronoi", {"Vector": where, "Scale": 95.0}).outputs["Color"]
    grey = nodes.add("RGBToBW", {0: stones}).outputs[0]
    colour = nodes.ramp(grey, [(0.2, "#3b3a39"), (0.8, "#5e5c59")])
    colour = _weathered(nodes, colour, 0.5, 0.35)
    bump = nodes.bump(nodes.noise(220.0, where, 2.0), 0.5, 0.005)
    return nodes.finish({"Base Color": colour, "Roughness": 0.82, "Normal": bump})


def brick(name: str, colours: tuple[str, str] = ("#8a4a35", "#743b2a")) -> Any:
    """A brick wall."""
    nodes = Nodes(name)
    wall = _bricks(nodes, _place(nodes, upright=True), (0.24, 0.075), 0.006, (*colours, "#a89d8d"))
    colour = _weathered(nodes, wall.outputs["Color"], 0.4)
    bump = nodes.bump(nodes.math("SUBTRACT", 1.0, wall.outputs["Fac"]), 0.6, 0.008)
    return nodes.finish({"Base Color": colour, "Roughness": 0.85, "Normal": bump})


def plaster(name: str, colour: str) -> Any:
    """Painted plaster with streaks below."""
    nodes = Nodes(name)
    position = nodes.add("NewGeometry").outputs["Position"]
    shaded = _weathered(nodes, colour, 0.22, 0.4)
    stretched = nodes.add("VectorMath", {0: position, 1: (3.0, 3.0, 0.25)}, operation="MULTIPLY").outputs[0]
    streaks = nodes.ramp(nodes.noise(1.2, stretched, 5.0), [(0.35, "#8d8880"), (0.6, "#ffffff")])
    shaded = nodes.mix(0.3, shaded, streaks, "MULTIPLY")
    bump = nodes.bump(nodes.noise(70.0, position, 4.0), 0.2, 0.006)
    return nodes.finish({"Base Color": shaded, "Roughness": 0.88, "Normal": bump})


def stone(name: str, colour: str, size: tuple[float, float] = (0.9, 0.42)) -> Any:
    """Dressed stone blocks."""
    nodes = Nodes(name)
    darker = "#" + "".join(f"{int(int(colour[k : k + 2], 16) * 0.9):02x}" for k in (1, 3, 5))
    wall = _bricks(nodes, _place(nodes, upright=True), size, 0.006, (colour, darker, "#6b645a"))
    shaded = _weathered(nodes, wall.outputs["Color"], 0.35)
    bump = nodes.bump(nodes.math("SUBTRACT", 1.0, wall.outputs["Fac"]), 0.6, 0.01)
    return nodes.finish({"Base Color": shaded, "Roughness": 0.8, "Normal": bump})


def glass(name: str) -> Any:
    """A window pane: a mirror at a glance, clear from the front; light passes without refraction."""
    nodes = Nodes(name)
    clear = nodes.add("BsdfTransparent", {"Color": "#b9c4c2"})
    mirror = nodes.add("BsdfGlossy", {"Color": "#ffffff", "Roughness": 0.01})
    weight = nodes.add("Fresnel", {"IOR": 1.7}).outputs[0]
    share = nodes.math("ADD", nodes.math("MULTIPLY", weight, 1.0), 0.06)
    mixed = nodes.add("MixShader", {0: share, 1: clear.outputs[0], 2: mirror.outputs[0]})
    nodes.tree.links.new(mixed.outputs[0], nodes.output.inputs[0])
    return nodes.material


def room(name: str, *, lit: float) -> Any:
    """What is seen behind a window: blocks of colour like shelves and curtains, dim, some of them lit."""
    nodes = Nodes(name)
    where = _place(nodes, upright=True)
    cells = nodes.add("VectorMath", {0: where, 1: (1.7, 1.15, 1.0)}, operation="MULTIPLY").outputs[0]
    flat = nodes.add("VectorMath", {0: cells}, operation="FLOOR").outputs[0]
    chance = nodes.add("TexWhiteNoise", {"Vector": flat}).outputs["Value"]
    base = nodes.ramp(
        chance, [(0.0, "#15130f"), (0.4, "#2d261e"), (0.62, "#7d7361"), (0.8, "#b8ad98"), (0.93, "#33291f")]
    )
    things = nodes.add("TexVoronoi", {"Vector": where, "Scale": 5.0}).outputs["Color"]
    things = nodes.add("HueSaturation", {"Color": things, "Saturation": 0.45, "Value": 0.55}).outputs[0]
    colour = nodes.mix(0.4 if lit else 0.1, base, things)
    glow = nodes.mix(1.0, colour, "#ffd9a3", "MULTIPLY")
    return nodes.finish({"Base Color": colour, "Roughness": 0.9, "Emission Color": glow, "Emission Strength": lit})


def leaves(name: str, colour: str) -> Any:
    """Leaves that let light through, each a little different."""
    nodes = Nodes(name)
    position = nodes.add("NewGeometry").outputs["Random Per Island"]
    tone = nodes.ramp(position, [(0.0, "#2f4a1a"), (0.5, colour), (1.0, "#8ba33f")])
    surface = nodes.add("BsdfPrincipled", {"Base Color": tone, "Roughness": 0.55})
    through = nodes.add("BsdfTranslucent", {"Color": tone})
    mixed = nodes.add("MixShader", {0: 0.35, 1: surface.outputs[0], 2: through.outputs[0]})
    nodes.tree.links.new(mixed.outputs[0], nodes.output.inputs[0])
    return nodes.material


def awning(name: str, colour: str) -> Any:
    """Striped canvas."""
    nodes = Nodes(name)
    where = _place(nodes, upright=True)
    along = nodes.add("SeparateXYZ", {0: where}).outputs[0]
    wave = nodes.math("LESS_THAN", nodes.math("FRACT", nodes.math("DIVIDE", along, 0.44)), 0.5)
    return nodes.finish({"Base Color": nodes.mix(wave, "#e9e3d6", colour), "Roughness": 0.85})


def paint(name: str, colour: str) -> Any:
    """Car paint."""
    nodes = Nodes(name)
    return nodes.finish(
        {"Base Color": linear(colour), "Roughness": 0.35, "Metallic": 0.25, "Coat Weight": 0.8, "Coat Roughness": 0.04}
    )


def all_surfaces() -> dict[str, Any]:
    """Every material of the street by its name."""
    return {
        "paving": paving("paving"),
        "asphalt": asphalt("asphalt"),
        "kerb": plain("kerb", "#8d8a83", roughness=0.7),
        "line": plain("line", "#d9d6cc", roughness=0.7, uneven=0.6),
        "brick": brick("brick"),
        "brick_dark": brick("brick_dark", ("#6b5a4c", "#594a3e")),
        "plaster_cream": plaster("plaster_cream", "#d9c9a5"),
        "plaster_rose": plaster("plaster_rose", "#c79b84"),
        "plaster_white": plaster("plaster_white", "#dedad0"),
        "plaster_blue": plaster("plaster_blue", "#8fa3ad"),
        "stone": stone("stone", "#b5a88f"),
        "trim": plain("trim", "#e2ddd0", roughness=0.7),
        "frame_white": plain("frame_white", "#e8e6e0", roughness=0.4),
        "frame_dark": plain("frame_dark", "#23302c", roughness=0.4),
        "frame_red": plain("frame_red", "#6d2320", roughness=0.35),
        "frame_blue": plain("frame_blue", "#1f3a52", roughness=0.35),
        "glass": glass("glass"),
        "room": room("room", lit=0.0),
        "shop": room("shop", lit=0.9),
        "door": plain("door", "#3c5a4c", roughness=0.35),
        "iron": plain("iron", "#22262a", roughness=0.45, metallic=0.6),
        "steel": plain("steel", "#9a9ea2", roughness=0.35, metallic=0.9),
        "awning_red": awning("awning_red", "#a33b32"),
        "awning_green": awning("awning_green", "#2f6b50"),
        "bark": plain("bark", "#5a4a3a", roughness=0.9, uneven=0.8),
        "leaves": leaves("leaves", "#56782c"),
        "earth": plain("earth", "#4a3a2b", roughness=0.95),
        "pot": plain("pot", "#6e6a64", roughness=0.8),
        "roof": plain("roof", "#4f4742", roughness=0.8),
        "tyre": plain("tyre", "#161616", roughness=0.8),
        "lamp": plain("lamp", "#efe9d8", roughness=0.3),
        "car_red": paint("car_red", "#7e1a1c"),
        "car_silver": paint("car_silver", "#a9adb1"),
        "car_blue": paint("car_blue", "#203a5c"),
        "car_glass": plain("car_glass", "#0c1114", roughness=0.05, uneven=0.0),
        "tail_light": plain("tail_light", "#a3120f", roughness=0.15, uneven=0.0),
    }
