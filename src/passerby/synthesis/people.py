"""From a description of a person to posed meshes: the place where body, clothes and accessories meet.

A `PersonSpec` is plain data (shape, pose, garments, things carried, looks); `build_person` turns it into
`Mesh`es that any renderer can draw. Lengths are decimetres, the lowest shoe vertex stands on y = 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import accessories, clothing, figure
from .accessories import Solid, Surface
from .clothing import Canonical, Piece
from .fabric import Look as Look
from .figure import BODY_VERTICES, BaseAssets, Floats, Indices, Points
from .garments import CUTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Garment:
    """One piece of clothing: `piece` names a cut ("shirt"), a file ("shoes/shoes01") or half a suit
    ("clothes/male_casualsuit03:upper"); without a `look.texture`, a file's own texture is used when
    `own_texture` is true. `thickness` is in dm. What lies above the canonical height `below` is left out: the
    waistband under a shirt that hangs over it."""

    piece: str
    look: Look
    own_texture: bool = False
    thickness: float = 0.05
    below: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """An accessory: backpack, tote, cross_bag, handbag, forearm_bag, box, cup, phone, stick or glasses."""

    kind: str
    side: figure.Side = "l"
    size: float = 1.0
    looks: Mapping[str, Look] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonSpec:
    """A person as data. `hair` and `skin` name files without suffix; `hair_cut` (dm below the crown) hides
    the hair above a hat's rim. `place_m` is where the feet stand (x right, y away from the camera, metres),
    `heading` the direction walked in degrees (0 towards the camera, 90 to its right, 180 away)."""

    name: str
    shape: figure.BodyShape
    pose: figure.Pose
    skin: str
    garments: tuple[Garment, ...]
    carried: tuple[Carried, ...] = ()
    hair: str | None = None
    hair_colour: str = "#3a2a1e"
    hair_cut: float | None = None
    eyes: str = "brown_eye"
    place_m: tuple[float, float] = (0.0, 0.0)
    heading: float = 0.0
    attributes: tuple[str, ...] = ()
    upper_colour: str | None = None
    lower_colour: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """A posed surface: `points` (n, 3) dm, `triangles` (F, 3), `corner_uv` (F, 3, 2), `pattern` (n, 3) dm.

    `part` is one of `parts.PARTS`. `cover` (n,) in [0, 1] thins a surface whose `look.alpha` is "strands".
    """

    name: str
    part: str
    points: Points
    triangles: Indices
    corner_uv: Floats
    pattern: Floats
    look: Look
    thickness: float = 0.0
    cover: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wardrobe:
    """The asset folder, read once: base mesh, canonical coordinates, and where the files are."""

    folder: Path
    base: BaseAssets
    coordinates: Canonical

    @classmethod
    def open(cls, folder: Path) -> Wardrobe:
        """Read the base assets; FileNotFoundError when the folder lacks them."""
        base = figure.load_base(folder)
        return cls(folder=folder, base=base, coordinates=clothing.canonical(base))

    def piece(self, name: str) -> Piece:
        """Return a cut by its name, or a fitted file by GROUP/NAME with an optional :upper or :lower."""
        if name in CUTS:
            return clothing.cut_piece(name, CUTS[name], self.base, self.coordinates)
        stem, _, half = name.partition(":")
        path = self.folder / f"{stem}.npz"
        piece = clothing.load_piece(path, self.coordinates)
        if not half:
            return piece
        return clothing.half_of_suit(piece, path, self.coordinates, upper=half == "upper")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    """A surface in rest pose with its skinning weights (n, 53), before it becomes a Mesh."""

    mesh: Mesh
    weights: Points


def build_person(wardrobe: Wardrobe, spec: PersonSpec) -> list[Mesh]:
    """Shape, dress, pose and equip one person; deterministic for a given spec."""
    base = wardrobe.base
    body = figure.shape_body(base, spec.shape)
    heads, _ = figure.joints(base, body)
    rotations = figure.pose_rotations(base, heads, spec.pose)
    transforms = figure.bone_transforms(base, heads, rotations)
    dressed, hidden = _dress(wardrobe, spec, body)
    rest = [_skin_mesh(wardrobe, spec, body, hidden), *dressed]
    rest += [_over_clothes(r, dressed) for r in _head(wardrobe, spec, body)]
    for item in spec.carried:
        rest += _worn(wardrobe, item, body, heads, [r for r in dressed if r.mesh.part in ("upper", "lower")])
    if any(garment.piece == "cap" for garment in spec.garments):
        rest += _visor(wardrobe, next(r for r in dressed if r.mesh.name == "cap"))
    posed = [replace(r.mesh, points=figure.skin(r.mesh.points, r.weights, transforms)) for r in rest]
    ground = min(float(m.points[np.unique(m.triangles), 1].min()) for m in posed if m.part in ("shoes", "skin"))
    here = figure.skin(heads, np.eye(len(heads), dtype=np.float32), transforms)
    for item in spec.carried:
        posed += _held(base, item, here, ground)
    shift = np.array([0, ground, 0], np.float32)
    return [replace(mesh, points=mesh.points - shift) for mesh in posed]


def _part(piece: str) -> str:
    stem, _, half = piece.partition(":")
    if half:
        return half
    group = stem.partition("/")[0]
    known = {"shoes": "shoes", "hats": "hat", "boots": "shoes", "beanie": "hat", "cap": "hat"}
    if group in known:
        return known[group]
    return "lower" if any(word in stem for word in ("trousers", "shorts", "skirt")) else "upper"


def _dress(wardrobe: Wardrobe, spec: PersonSpec, body: Points) -> tuple[list[_Rest], NDArray[np.bool_]]:
    hidden = np.zeros(BODY_VERTICES, bool)
    dressed = []
    for garment in spec.garments:
        piece = wardrobe.piece(garment.piece)
        hidden |= piece.hidden
        if garment.below is not None:
            piece = clothing.keep_vertices(piece, piece.pattern[:, 1] < garment.below)
        look = garment.look
        if garment.own_texture:
            look = replace(look, texture=piece.texture)
        part = _part(garment.piece)
        dressed.append(_rest(wardrobe, piece, body, part=part, look=look, thickness=garment.thickness))
    return dressed, hidden


def _rest(wardrobe: Wardrobe, piece: Piece, body: Points, *, part: str, look: Look, thickness: float = 0.0) -> _Rest:
    mesh = Mesh(
        name=piece.name,
        part=part,
        points=clothing.fit(piece, body),
        triangles=piece.triangles,
        corner_uv=piece.texture_points[piece.texture_triangles],
        pattern=piece.pattern,
        look=look,
        thickness=thickness,
    )
    return _Rest(mesh=mesh, weights=clothing.fit_weights(piece, wardrobe.base.weights))


def _skin_mesh(wardrobe: Wardrobe, spec: PersonSpec, body: Points, hidden: NDArray[np.bool_]) -> _Rest:
    base = wardrobe.base
    triangles = base.triangles["body"]
    visible = ~hidden[triangles].all(axis=1)
    mesh = Mesh(
        name="body",
        part="skin",
        points=body[:BODY_VERTICES],
        triangles=triangles[visible],
        corner_uv=base.texture_points[base.texture_triangles["body"][visible]],
        pattern=wardrobe.coordinates.pattern[:BODY_VERTICES],
        look=Look(material="skin", texture=wardrobe.folder / f"skins/{spec.skin}.webp"),
    )
    return _Rest(mesh=mesh, weights=base.weights[:BODY_VERTICES])


def _head(wardrobe: Wardrobe, spec: PersonSpec, body: Points) -> list[_Rest]:
    """Eyes, eyebrows and hair."""
    eyes = Look(material="eye", texture=wardrobe.folder / f"eyes/{spec.eyes}.webp")
    brows = wardrobe.piece("eyebrows/eyebrow006")
    hairy = Look(material="hair", colour=spec.hair_colour, tinted=True)
    parts = [
        _rest(wardrobe, wardrobe.piece("eyes/low-poly"), body, part="eyes", look=eyes),
        _rest(wardrobe, brows, body, part="brows", look=replace(hairy, texture=brows.texture)),
    ]
    if spec.hair is not None:
        piece = wardrobe.piece(f"hair/{spec.hair}")
        if spec.hair_cut is not None:
            rim = wardrobe.coordinates.crown - spec.hair_cut
            piece = clothing.keep_vertices(piece, piece.pattern[:, 1] < rim + 0.2 * (piece.pattern[:, 2] - 0.4))
        parts.append(_rest(wardrobe, piece, body, part="hair", look=replace(hairy, texture=piece.texture)))
    return parts


def _over_clothes(rest: _Rest, dressed: list[_Rest]) -> _Rest:
    """Let long hair lie on the clothes instead of inside them."""
    if rest.mesh.part != "hair":
        return rest
    points = rest.mesh.points
    below_neck = np.clip((5.9 - rest.mesh.pattern[:, 1:2]) / 0.8, 0, 1)
    for layer in (r.mesh for r in dressed if r.mesh.part == "upper" and "collar" not in r.mesh.name):
        pushed = clothing.push_out(points, layer.points, layer.triangles, gap=0.1)
        points = points + below_neck * (pushed - points)
    return _Rest(mesh=replace(rest.mesh, points=points), weights=rest.weights)


def _worn(wardrobe: Wardrobe, item: Carried, body: Points, heads: Points, clothes: list[_Rest]) -> list[_Rest]:
    """Accessories that are made in rest pose and move with the body."""
    base = wardrobe.base

    def at(name: str) -> Points:
        return np.asarray(heads[base.bone(name)], np.float32)

    if item.kind == "glasses":
        eyes = np.stack([body[np.unique(base.triangles[f"{s}_eye"])].mean(axis=0) for s in ("l", "r")])
        return _rigid(base, item, accessories.glasses(eyes.astype(np.float32)), "head")
    if item.kind not in ("backpack", "tote", "cross_bag"):
        return []
    surface, weights = _torso(wardrobe, body, clothes)
    other = "r" if item.side == "l" else "l"
    if item.kind == "backpack":
        shoulders = np.stack([at("upperarm_l"), at("upperarm_r")])
        hips = np.stack([at("thigh_l"), at("thigh_r")])
        solids, straps = accessories.backpack(surface, shoulders, hips, size=item.size)
        return _rigid(base, item, solids, "spine_03") + _draped(item, straps, surface, weights)
    across = item.kind == "cross_bag"
    shoulder = at(f"upperarm_{other if across else item.side}")
    hip = at(f"thigh_{item.side}")
    solids, straps = accessories.shoulder_bag(surface, shoulder, hip, across=across, size=item.size)
    if across:
        return _rigid(base, item, solids, "pelvis") + _draped(item, straps, surface, weights)
    return _rigid(base, item, solids + straps, "spine_02")


def _torso(wardrobe: Wardrobe, body: Points, clothes: list[_Rest]) -> tuple[Surface, Points]:
    """The surface straps lie on: trunk of the body and of the clothes over it, without arms."""
    base = wardrobe.base
    arms = [k for k, n in enumerate(base.bone_names) if n.startswith(("lowerarm", "hand", "upperarm"))]
    layers = [(body[:BODY_VERTICES], base.triangles["body"], base.weights[:BODY_VERTICES])]
    layers += [(r.mesh.points, r.mesh.triangles, r.weights) for r in clothes]
    starts = np.cumsum([0] + [len(points) for points, _, _ in layers])
    triangles = []
    for start, (_, faces, weights) in zip(starts, layers, strict=False):
        trunk = weights[:, arms].sum(axis=1) < 0.75
        triangles.append(faces[trunk[faces].all(axis=1)] + start)
    points = np.concatenate([points for points, _, _ in layers])
    surface = Surface(points=points, triangles=np.concatenate(triangles).astype(np.int32))
    return surface, np.concatenate([weights for _, _, weights in layers])


def _rigid(base: BaseAssets, item: Carried, solids: list[Solid], bone: str) -> list[_Rest]:
    return [
        _Rest(
            mesh=_solid_mesh(item, solid),
            weights=np.tile(np.eye(53, dtype=np.float32)[base.bone(bone)], (len(solid.points), 1)),
        )
        for solid in solids
    ]


def _draped(item: Carried, solids: list[Solid], surface: Surface, weights: Points) -> list[_Rest]:
    """Skin straps like the nearest point of the surface they lie on."""
    used = np.unique(surface.triangles)
    rest = []
    for solid in solids:
        gaps = ((solid.points[:, None] - surface.points[used][None]) ** 2).sum(axis=-1)  # (n, used)
        nearest = used[gaps.argmin(axis=1)]
        rest.append(_Rest(mesh=_solid_mesh(item, solid), weights=weights[nearest]))
    return rest


def _solid_mesh(item: Carried, solid: Solid) -> Mesh:
    looks = {**DEFAULT_LOOKS, **item.looks}
    return Mesh(
        name=f"{item.kind}_{solid.material}",
        part=item.kind,
        points=solid.points,
        triangles=solid.triangles,
        corner_uv=solid.points[solid.triangles][:, :, :2] / 5,
        pattern=solid.points,
        look=looks[solid.material],
    )


DEFAULT_LOOKS: Mapping[str, Look] = {
    "bag": Look(colour="#6b4a2f", material="leather"),
    "bag_dark": Look(colour="#2f241c", material="leather"),
    "metal": Look(colour="#b9a46a", material="metal"),
    "frame": Look(colour="#1a1614", material="plastic"),
    "hat": Look(colour="#27364d"),
    "cardboard": Look(colour="#a77f52", material="card"),
    "tape": Look(colour="#c9ad7e", material="card"),
    "paper": Look(colour="#efe9df", material="card"),
    "lid": Look(colour="#f4f4f2", material="plastic"),
    "phone": Look(colour="#101114", material="plastic"),
    "wood": Look(colour="#5b3b22", material="wood"),
}


def _visor(wardrobe: Wardrobe, cap: _Rest) -> list[_Rest]:
    crown = cap.mesh.points[np.unique(cap.mesh.triangles)]
    item = Carried(kind="hat", looks={"hat": cap.mesh.look})
    return _rigid(wardrobe.base, item, [accessories.visor(crown)], "head")


def _held(base: BaseAssets, item: Carried, here: Points, ground: float) -> list[Mesh]:
    """Accessories that are placed after posing. here: (53, 3) posed bone heads."""

    def at(name: str) -> Points:
        return np.asarray(here[base.bone(name)], np.float32)

    def palm(side: str) -> Points:
        return np.asarray(0.5 * at(f"middle_02_{side}") + 0.5 * at(f"thumb_02_{side}"), np.float32)

    forward = np.cross(at("thigh_l") - at("thigh_r"), accessories.UP)
    forward = (forward / np.linalg.norm(forward)).astype(np.float32)
    solids: list[Solid] = []
    if item.kind == "handbag":
        grip = np.asarray((at(f"middle_02_{item.side}") + at(f"ring_03_{item.side}")) / 2, np.float32)
        solids = accessories.handbag(grip, forward, size=item.size)
    elif item.kind == "forearm_bag":
        rest = 0.35 * at(f"lowerarm_{item.side}") + 0.65 * at(f"hand_{item.side}")
        solids = accessories.handbag((rest + accessories.UP * 0.42).astype(np.float32), forward, size=item.size)
    elif item.kind == "box":
        size = (3.3 * item.size, 1.8 * item.size, 2.5 * item.size)
        solids = accessories.held_box(palm("l"), palm("r"), forward, size=size)
    elif item.kind == "cup":
        solids = accessories.cup(palm(item.side))
    elif item.kind == "phone":
        solids = accessories.phone(palm(item.side) + accessories.UP * 0.3, at("head") - palm(item.side))
    elif item.kind == "stick":
        solids = accessories.stick(palm(item.side), ground=ground)
    return [_solid_mesh(item, solid) for solid in solids]
