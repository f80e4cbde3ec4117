"""Cycles materials for people and street, made of nodes; colours are sRGB "#rrggbb" strings.

Nothing here knows a person or a building: `for_look` turns a synthesis Look into a material, the other
functions make one procedural surface each. Textures come from the asset folder only.
"""

from __future__ import annotations

from typing import Any

import bpy

from passerby.synthesis.people import Look


def linear(colour: str) -> tuple[float, float, float, float]:
    """Scene-linear RGBA of an sRGB hex colour."""
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return (r, g, b, 1.0)


class Nodes:
    """A thin layer over a material's node tree: `add` makes a node, feeding sockets with values or outputs."""

    def __init__(self, name: str) -> None:
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.tree.nodes.clear()
        self.output = self.tree.nodes.new("ShaderNodeOutputMaterial")

    def add(self, kind: str, inputs: dict[Any, Any] | None = None, **settings: Any) -> Any:
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for key, value in settings.items():
            setattr(node, key, value)
        for key, value in (inputs or {}).items():
            self.feed(node.inputs[key], value)
        return node

    def feed(self, socket: Any, value: Any) -> None:
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        elif isinstance(value, str):
            socket.default_value = linear(value)
        else:
            socket.default_value = value

    def math(self, operation: str, a: Any, b: Any = 0.0) -> Any:
        return self.add("Math", {0: a, 1: b}, operation=operation).outputs[0]

    def mix(self, share: Any, a: Any, b: Any, blend: str = "MIX") -> Any:
        node = self.add("Mix", data_type="RGBA", blend_type=blend)
        for index, value in ((0, share), (6, a), (7, b)):
            self.feed(node.inputs[index], value)
        return node.outputs[2]

    def ramp(self, value: Any, stops: list[tuple[float, str]]) -> Any:
        node = self.add("ValToRGB", {0: value})
        elements = node.color_ramp.elements
        while len(elements) < len(stops):
            elements.new(0.5)
        for element, (position, colour) in zip(elements, stops, strict=True):
            element.position, element.color = position, linear(colour)
        return node.outputs[0]

    def noise(self, scale: float, vector: Any = None, detail: float = 4.0, roughness: float = 0.55) -> Any:
        inputs: dict[Any, Any] = {"Scale": scale, "Detail": detail, "Roughness": roughness}
        if vector is not None:
            inputs["Vector"] = vector
        return self.add("TexNoise", inputs).outputs[0]

    def bump(self, height: Any, strength: float, distance: float, normal: Any = None) -> Any:
        inputs = {"Height": height, "Strength": strength, "Distance": distance}
        if normal is not None:
            inputs["Normal"] = normal
        return self.add("Bump", inputs).outputs[0]

    def finish(self, inputs: dict[Any, Any]) -> Any:
        """Close the tree with a Principled surface; returns the material."""
        shader = self.add("BsdfPrincipled", inputs)
        self.tree.links.new(shader.outputs[0], self.output.inputs[0])
        return self.material


def for_look(look: Look, name: str) -> Any:
    """Material of something worn or carried."""
    if look.material in ("skin", "hair", "eye"):
        return {"skin": skin, "hair": hair, "eye": eye}[look.material](look, name)
    if look.material in ("cloth", "denim"):
        return cloth(look, name)
    return solid(look, name)


def _picture(nodes: Nodes, look: Look) -> Any:
    image = bpy.data.images.load(str(look.texture), check_existing=True)
    return nodes.add("TexImage", image=image)


def skin(look: Look, name: str) -> Any:
    """Skin with a little subsurface scattering and uneven gloss."""
    nodes = Nodes(name)
    colour = _picture(nodes, look).outputs[0]
    colour = nodes.add("HueSaturation", {"Color": colour, "Saturation": 0.94, "Value": 0.82}).outputs[0]
    fine = nodes.noise(900.0)
    return nodes.finish(
        {
            "Base Color": colour,
            "Subsurface Weight": 0.12,
            "Subsurface Radius": (1.0, 0.35, 0.2),
            "Subsurface Scale": 0.008,
            "Roughness": nodes.math("MULTIPLY_ADD", nodes.noise(60.0), 0.25),
            "Specular IOR Level": 0.35,
            "Normal": nodes.bump(fine, 0.15, 0.001),
        }
    )


def hair(look: Look, name: str) -> Any:
    """Hair cards: the picture gives strands and transparency, the look gives the colour."""
    nodes = Nodes(name)
    picture = _picture(nodes, look)
    grey = nodes.add("RGBToBW", {0: picture.outputs[0]}).outputs[0]
    grey = nodes.math("POWER", nodes.math("MULTIPLY_ADD", grey, 1.1), 0.8)
    strands = nodes.mix(1.0, nodes.add("CombineColor", {0: grey, 1: grey, 2: grey}).outputs[0], look.colour, "MULTIPLY")
    bright = nodes.mix(0.35, look.colour, nodes.mix(1.0, strands, "#ffffff", "SOFT_LIGHT"))
    colour = nodes.mix(0.75, bright, strands)
    return nodes.finish(
        {
            "Base Color": colour,
            "Alpha": picture.outputs[1],
            "Roughness": 0.5,
            "Specular IOR Level": 0.22,
            "Anisotropic": 0.4,
        }
    )


def eye(look: Look, name: str) -> Any:
    """Wet eyes."""
    nodes = Nodes(name)
    return nodes.finish({"Base Color": _picture(nodes, look).outputs[0], "Roughness": 0.08, "Coat Weight": 0.5})


def solid(look: Look, name: str) -> Any:
    """Leather, metal, plastic, card and wood."""
    roughness = {"leather": 0.42, "metal": 0.28, "plastic": 0.25, "card": 0.75, "wood": 0.45}[look.material]
    nodes = Nodes(name)
    where = nodes.add("TexCoord").outputs["Object"]
    grain = nodes.noise({"leather": 260.0, "wood": 40.0, "card": 30.0}.get(look.material, 8.0), where)
    shade = nodes.math("MULTIPLY_ADD", grain, 0.5)
    nodes.feed(shade.node.inputs[2], 0.75)
    dark = nodes.add("CombineColor", {0: shade, 1: shade, 2: shade}).outputs[0]
    return nodes.finish(
        {
            "Base Color": nodes.mix(1.0, look.colour, dark, "MULTIPLY"),
            "Roughness": roughness,
            "Metallic": 1.0 if look.material == "metal" else 0.0,
            "Normal": nodes.bump(grain, 0.25 if look.material != "metal" else 0.0, 0.002),
        }
    )


def cloth(look: Look, name: str) -> Any:
    """Woven fabric: pattern, weave, soft folds, a rim of sheen."""
    nodes = Nodes(name)
    pattern = nodes.add("Attribute", attribute_name="pattern").outputs["Vector"]
    colour = PATTERNS[look.pattern](nodes, look, pattern) if look.pattern != "plain" else look.colour
    height = _folds(nodes, pattern)
    if look.texture is not None:
        picture = _picture(nodes, look).outputs[0]
        grey = nodes.add("RGBToBW", {0: picture}).outputs[0]
        if look.tinted:
            gain = nodes.math("MULTIPLY", grey, 2.6)
            picture = nodes.mix(
                1.0, nodes.add("CombineColor", {0: gain, 1: gain, 2: gain}).outputs[0], colour, "MULTIPLY"
            )
        colour = picture
    soil = nodes.noise(1.3, pattern, 3.0)
    colour = nodes.mix(0.18, colour, nodes.ramp(soil, [(0.3, "#555555"), (0.7, "#ffffff")]), "MULTIPLY")
    if look.skirt_line:
        colour = _opening(nodes, pattern, colour)
    weave = nodes.noise(140.0, pattern, 2.0)
    folds = nodes.bump(height, 1.0, 0.085)
    denim = look.material == "denim"
    return nodes.finish(
        {
            "Base Color": colour,
            "Roughness": 0.86,
            "Specular IOR Level": 0.2,
            "Sheen Weight": 0.1 if denim else 0.25,
            "Sheen Roughness": 0.5,
            "Normal": nodes.bump(weave, 0.25, 0.004, folds),
        }
    )


def _folds(nodes: Nodes, pattern: Any) -> Any:
    """Height of creases: ridges of a warped noise, deep in some places and absent in others."""
    warp = nodes.add("TexNoise", {"Vector": pattern, "Scale": 0.5, "Detail": 2.0}).outputs["Color"]
    warped = nodes.add("VectorMath", {0: warp, 1: (1.6, 1.6, 1.6), 2: pattern}, operation="MULTIPLY_ADD").outputs[0]
    ridge = nodes.noise(0.75, _stretched(nodes, warped, (1.1, 0.6, 1.0)), 2.5, 0.4)
    centred = nodes.math("ABSOLUTE", nodes.math("SUBTRACT", ridge, 0.5))
    crease = nodes.math("SUBTRACT", 1.0, nodes.math("MINIMUM", nodes.math("MULTIPLY", centred, 5.0), 1.0))
    where = nodes.math("SUBTRACT", nodes.noise(0.45, pattern, 1.0), 0.3)
    broad = nodes.noise(0.4, _stretched(nodes, pattern, (1.0, 0.5, 1.0)), 1.0)
    return nodes.math("ADD", nodes.math("MULTIPLY", crease, where), broad)


def _stretched(nodes: Nodes, vector: Any, factors: tuple[float, float, float]) -> Any:
    return nodes.add("VectorMath", {0: vector, 1: factors}, operation="MULTIPLY").outputs[0]


def _axes(nodes: Nodes, pattern: Any) -> tuple[Any, Any, Any]:
    split = nodes.add("SeparateXYZ", {0: pattern})
    return split.outputs[0], split.outputs[1], split.outputs[2]


def _wave(nodes: Nodes, value: Any, period: float, share: float) -> Any:
    """1 inside the first `share` of every period, else 0."""
    return nodes.math("LESS_THAN", nodes.math("FRACT", nodes.math("DIVIDE", value, period)), share)


def stripe(nodes: Nodes, look: Look, pattern: Any) -> Any:
    """Horizontal stripes."""
    _, y, _ = _axes(nodes, pattern)
    return nodes.mix(_wave(nodes, y, look.period, 0.45), look.colour, look.second)


def plaid(nodes: Nodes, look: Look, pattern: Any) -> Any:
    """Checks in both directions at half strength, with thin light lines."""
    x, y, _ = _axes(nodes, pattern)
    both = nodes.math("ADD", _wave(nodes, x, look.period, 0.5), _wave(nodes, y, look.period, 0.5))
    colour = nodes.mix(nodes.math("MULTIPLY", both, 0.5), look.colour, look.second)
    shifted = [nodes.math("ADD", axis, 0.21 * look.period) for axis in (x, y)]
    lines = nodes.math("MAXIMUM", *(_wave(nodes, axis, look.period, 0.09) for axis in shifted))
    return nodes.mix(nodes.math("MULTIPLY", lines, 0.6), colour, "#e8dfc8")


def splice(nodes: Nodes, look: Look, pattern: Any) -> Any:
    """Two colours, divided across the chest and the upper sleeves, with a pale line between."""
    _, y, _ = _axes(nodes, pattern)
    colour = nodes.mix(nodes.math("GREATER_THAN", y, 3.5), look.colour, look.second)
    line = nodes.math("LESS_THAN", nodes.math("ABSOLUTE", nodes.math("SUBTRACT", y, 3.5)), 0.09)
    return nodes.mix(line, colour, "#f2f0ea")


def logo(nodes: Nodes, look: Look, pattern: Any) -> Any:
    """A sun over a wave, printed on the chest."""
    x, y, z = _axes(nodes, pattern)
    up = nodes.math("SUBTRACT", y, 4.05)
    radius = nodes.math("SQRT", nodes.math("ADD", nodes.math("MULTIPLY", x, x), nodes.math("MULTIPLY", up, up)))
    ripple = nodes.math("MULTIPLY", nodes.math("SINE", nodes.math("MULTIPLY", x, 5.5)), 0.1)
    crest = nodes.math("SUBTRACT", up, ripple)
    disc = nodes.math("LESS_THAN", radius, 0.82)
    sun = nodes.math("MULTIPLY", disc, nodes.math("GREATER_THAN", crest, -0.12))
    sea = nodes.math("MULTIPLY", disc, nodes.math("LESS_THAN", crest, -0.28))
    front = nodes.math("GREATER_THAN", z, 0.2)
    colour = nodes.mix(nodes.math("MULTIPLY", sun, front), look.colour, look.second)
    return nodes.mix(nodes.math("MULTIPLY", sea, front), colour, "#f3efe4")


def dots(nodes: Nodes, look: Look, pattern: Any) -> Any:
    """A print of small blossoms."""
    cells = nodes.add("TexVoronoi", {"Vector": pattern, "Scale": 1 / look.period})
    near = nodes.math("LESS_THAN", cells.outputs["Distance"], 0.36)
    core = nodes.math("LESS_THAN", cells.outputs["Distance"], 0.13)
    return nodes.mix(core, nodes.mix(near, look.colour, look.second), "#f1d98a")


PATTERNS = {"stripe": stripe, "plaid": plaid, "splice": splice, "logo": logo, "dots": dots}


def _opening(nodes: Nodes, pattern: Any, colour: Any) -> Any:
    """The overlapping front edge and the buttons of a coat."""
    x, y, z = _axes(nodes, pattern)
    front = nodes.math("GREATER_THAN", z, 0.1)
    edge = nodes.math("LESS_THAN", nodes.math("ABSOLUTE", nodes.math("SUBTRACT", x, -0.25)), 0.035)
    beside = nodes.math("ABSOLUTE", nodes.math("SUBTRACT", nodes.math("ABSOLUTE", nodes.math("ADD", x, 0.0)), 0.35))
    step = nodes.math("ABSOLUTE", nodes.math("SUBTRACT", nodes.math("FRACT", nodes.math("DIVIDE", y, 1.1)), 0.5))
    button = nodes.math(
        "LESS_THAN",
        nodes.math(
            "SQRT",
            nodes.math(
                "ADD", nodes.math("POWER", beside, 2.0), nodes.math("POWER", nodes.math("MULTIPLY", step, 1.1), 2.0)
            ),
        ),
        0.12,
    )
    dark = nodes.math("MULTIPLY", front, nodes.math("MAXIMUM", edge, button))
    return nodes.mix(nodes.math("MULTIPLY", dark, 0.8), colour, "#1c140e")


def plain(name: str, colour: str, *, roughness: float = 0.6, metallic: float = 0.0, uneven: float = 0.3) -> Any:
    """One colour with soft unevenness: paint, stone, metal."""
    nodes = Nodes(name)
    where = nodes.add("NewGeometry").outputs["Position"]
    dirt = nodes.noise(2.5, where, 4.0, 0.65)
    shaded = nodes.mix(uneven, colour, nodes.ramp(dirt, [(0.3, "#6a6660"), (0.75, "#ffffff")]), "MULTIPLY")
    fine = nodes.noise(90.0, where, 1.0)
    return nodes.finish(
        {"Base Color": shaded, "Roughness": roughness, "Metallic": metallic, "Normal": nodes.bump(fine, 0.12, 0.004)}
    )
