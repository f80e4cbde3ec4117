# SPDX-License-Identifier: Apache-2.0
"""From a description of a person to posed meshes: the place where body, clothes and accessories meet.

A `PersonSpec` is plain data (shape, pose, garments, things carried, looks); `build_person` turns it into
`Mesh`es that any renderer can draw. Lengths are decimetres, the lowest shoe vertex stands on y = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from . import clothing, draping, figure, worn
from . import faces as faces_
from . import hair as hair_
from .fabric import Look as Look
from .figure import BODY_VERTICES, Floats, Indices, Points
from .hulls import HULLS
from .wardrobe import Fitting, leg_radii
from .wardrobe import Wardrobe as Wardrobe
from .worn import Carried as Carried


@dataclass(frozen=True, slots=True, kw_only=True)
class Garment:
    """One piece of clothing: `piece` names a cut ("shirt"), a file ("shoes/shoes01") or half a suit
    ("clothes/male_casualsuit03:upper"); without a `look.texture`, a file's own texture is used when
    `own_texture` is true. `thickness` is in dm. What lies above the canonical height `below` is left out: the
    waistband under a shirt that hangs over it. `part` overrides which part it counts as (a shirt that is
    "inner")."""

    piece: str
    look: Look
    own_texture: bool = False
    thickness: float = 0.05
    below: float | None = None
    part: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonSpec:
    """A person as data. `hair` and `skin` name files without suffix (or a cut of `hair.CUTS`); `hair_cut` (dm below
    the crown) hides the hair above a hat's rim. `tint` multiplies the linear colours of the skin. `place_m` is where
    the feet stand (x right, y away from the camera, metres), `heading` the direction walked in degrees (0 towards the
    camera, 90 to its right, 180 away). `attributes`, `upper_colour` and `lower_colour` say what was put on."""

    name: str
    shape: figure.BodyShape
    pose: figure.Pose
    skin: str
    garments: tuple[Garment, ...]
    carried: tuple[Carried, ...] = ()
    hair: str | None = None
    hair_colour: str = "#3a2a1e"
    hair_cut: float | None = None
    beard: str | None = None
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    brows: str = "eyebrow006"
    face: faces_.Face = field(default_factory=faces_.Face)
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
class _Rest:
    """A surface in rest pose with its fitting (skinning weights, neighbours), before it becomes a Mesh."""

    mesh: Mesh
    weights: Points
    fitting: Fitting | None = None


# What a garment's name says about its part; the first word found decides.
_WORDS: tuple[tuple[str, str], ...] = (
    ("socks", "legwear"), ("tights", "legwear"), ("leggings", "lower"), ("shoes", "shoes"), ("boot", "boots"),
    ("hats/", "hat"), ("beanie", "hat"), ("cap", "hat"), ("_hat", "hat"), ("helmet", "hat"), ("headscarf", "hat"),
    ("hood_up", "hood"), ("scarf", "scarf"), ("coat", "coat"), ("belt", "coat"), ("dress", "dress"), ("sash", "dress"),
    ("skirt", "skirt"), ("shorts", "shorts"), ("trousers", "lower"), ("joggers", "lower"),
)  # fmt: skip


def part_of(garment: Garment) -> str:
    """Which of `parts.PARTS` a garment is."""
    if garment.part is not None:
        return garment.part
    stem, _, half = garment.piece.partition(":")
    if half:
        return half
    return next((part for word, part in _WORDS if word in stem), "upper")


def build_person(wardrobe: Wardrobe, spec: PersonSpec) -> list[Mesh]:
    """Shape, dress, pose and equip one person; deterministic for a given spec."""
    base = wardrobe.base
    body = faces_.shape_face(figure.shape_body(base, spec.shape), wardrobe.coordinates, spec.face)
    heads, _ = figure.joints(base, body)
    transforms = figure.bone_transforms(base, heads, figure.pose_rotations(base, heads, spec.pose))
    here = figure.skin(heads, np.eye(len(heads), dtype=np.float32), transforms)
    dressed, hidden = _dress(wardrobe, spec, body)
    rest = [_skin_mesh(wardrobe, spec, body, hidden), *dressed]
    rest += [_over_clothes(r, dressed) for r in _head(wardrobe, spec, body)]
    items = _worn(wardrobe, spec, body, heads, dressed)
    legs = draping.posed_legs(base, here, leg_radii(wardrobe, body, heads))
    posed = [_posed(r, transforms, legs, spec.pose) for r in rest]
    posed += [_item_mesh(i, figure.skin(i.solid.points, i.weights, transforms)) for i in items if i.weights is not None]
    ground = min(float(m.points[:, 1].min()) for m in posed if m.part in ("shoes", "boots"))
    for item in spec.carried:
        posed += [_item_mesh(i, i.solid.points) for i in worn.held(base, item, here, ground)]
    shift = np.array([0, ground, 0], np.float32)
    return [replace(mesh, points=mesh.points - shift) for mesh in posed]


def _posed(rest: _Rest, transforms: Points, legs: draping.Legs, pose: figure.Pose) -> Mesh:
    """Bring one surface into the pose: skinning, then what cloth does by itself, then its edge."""
    mesh = rest.mesh
    points = figure.skin(mesh.points, rest.weights, transforms)
    fitting = rest.fitting
    if fitting is None:
        return replace(mesh, points=points)
    if "skirt" in mesh.name:
        swing = pose.stride * np.sin(2 * np.pi * (2 * pose.phase + 0.15))
        gap = 0.2 if mesh.part == "coat" else 0.12
        points = draping.hang(points, fitting.joined, legs, gap=gap, sway=(0.12 * pose.sway, 0.3 * float(swing)))
    if mesh.thickness <= 0 or len(fitting.joined.rim) == 0:
        return replace(mesh, points=points)
    rim = fitting.rim
    edge = draping.edge_points(points, mesh.triangles, fitting.joined, rim, thickness=mesh.thickness)
    uv = np.zeros((len(fitting.piece.pattern) + 2 * len(rim.rows), 2), np.float32)
    return replace(
        mesh,
        points=np.concatenate([points, edge]),
        triangles=np.concatenate([mesh.triangles, rim.triangles]),
        corner_uv=np.concatenate([mesh.corner_uv, uv[rim.triangles]]),
        pattern=np.concatenate([mesh.pattern, np.tile(mesh.pattern[rim.rows], (2, 1))]),
    )


def _dress(wardrobe: Wardrobe, spec: PersonSpec, body: Points) -> tuple[list[_Rest], NDArray[np.bool_]]:
    hidden = np.zeros(BODY_VERTICES, bool)
    dressed = []
    for garment in spec.garments:
        fitting = wardrobe.fitting(garment.piece, below=garment.below)
        hidden |= wardrobe.piece(garment.piece).hidden
        look = replace(garment.look, texture=fitting.piece.texture) if garment.own_texture else garment.look
        dressed.append(_rest(fitting, body, part=part_of(garment), look=look, thickness=garment.thickness))
    return dressed, hidden


def _rest(fitting: Fitting, body: Points, *, part: str, look: Look, thickness: float = 0.0) -> _Rest:
    piece = fitting.piece
    mesh = Mesh(
        name=piece.name,
        part=part,
        points=clothing.fit(piece, body, fitting.joined),
        triangles=piece.triangles,
        corner_uv=fitting.corner_uv,
        pattern=piece.pattern,
        look=look,
        thickness=thickness,
    )
    return _Rest(mesh=mesh, weights=fitting.weights, fitting=fitting)


def _skin_mesh(wardrobe: Wardrobe, spec: PersonSpec, body: Points, hidden: NDArray[np.bool_]) -> _Rest:
    triangles = wardrobe.base.triangles["body"]
    visible = ~(hidden[triangles[:, 0]] & hidden[triangles[:, 1]] & hidden[triangles[:, 2]])
    mesh = Mesh(
        name="body",
        part="skin",
        points=body[:BODY_VERTICES],
        triangles=triangles[visible],
        corner_uv=wardrobe.body_uv[visible],
        pattern=wardrobe.coordinates.pattern[:BODY_VERTICES],
        look=Look(material="skin", texture=wardrobe.folder / f"skins/{spec.skin}.webp", tint=spec.tint),
    )
    return _Rest(mesh=mesh, weights=wardrobe.base.weights[:BODY_VERTICES])


def _head(wardrobe: Wardrobe, spec: PersonSpec, body: Points) -> list[_Rest]:
    """Eyes, eyebrows, hair and beard."""
    eyes = Look(material="eye", texture=wardrobe.folder / f"eyes/{spec.eyes}.webp")
    hairy = Look(material="hair", colour=spec.hair_colour, tinted=True)

    def grown(name: str, part: str, below: float | None = None) -> _Rest:
        fitting = wardrobe.fitting(name, below=below)
        texture = fitting.piece.texture
        look = replace(hairy, texture=texture, alpha=texture if texture is not None else "strands")
        rest = _rest(fitting, body, part=part, look=look)
        if texture is not None:
            return rest
        return replace(rest, mesh=replace(rest.mesh, cover=hair_.cover(name, wardrobe.coordinates, fitting.piece)))

    parts = [_rest(wardrobe.fitting("eyes/low-poly"), body, part="eyes", look=eyes)]
    parts.append(grown(f"eyebrows/{spec.brows}", "brows"))
    if spec.hair is not None:
        name = spec.hair if spec.hair in hair_.CUTS or spec.hair in HULLS else f"hair/{spec.hair}"
        parts.append(_under_hat(grown(name, "hair"), wardrobe, spec))
    if spec.beard is not None:
        parts.append(grown(spec.beard, "beard"))
    return parts


def _under_hat(rest: _Rest, wardrobe: Wardrobe, spec: PersonSpec) -> _Rest:
    """Leave out the hair above the rim of a hat."""
    if spec.hair_cut is None:
        return rest
    mesh = rest.mesh
    rim = wardrobe.coordinates.crown - spec.hair_cut
    kept = (mesh.pattern[:, 1] < rim + 0.2 * (mesh.pattern[:, 2] - 0.4))[mesh.triangles].all(axis=1)
    return replace(rest, mesh=replace(mesh, triangles=mesh.triangles[kept], corner_uv=mesh.corner_uv[kept]))


def _over_clothes(rest: _Rest, dressed: list[_Rest]) -> _Rest:
    """Let long hair lie on the clothes instead of inside them."""
    low = rest.mesh.pattern[:, 1] < 6.35
    if rest.mesh.part != "hair" or not low.any():
        return rest
    points = rest.mesh.points.copy()
    share = np.clip((6.35 - rest.mesh.pattern[low, 1:2]) / 0.4, 0, 1)
    for layer in (r.mesh for r in dressed if r.mesh.part in ("upper", "coat", "dress") and "collar" not in r.mesh.name):
        pushed = clothing.push_out(points[low], layer.points, layer.triangles, gap=0.1)
        points[low] += share * (pushed - points[low])
    return replace(rest, mesh=replace(rest.mesh, points=points))


def _worn(wardrobe: Wardrobe, spec: PersonSpec, body: Points, heads: Points, dressed: list[_Rest]) -> list[worn.Item]:
    """Accessories that are made in rest pose and move with the body."""
    base = wardrobe.base
    items: list[worn.Item] = []
    trunk: worn.Torso | None = None
    for item in spec.carried:
        if item.kind.endswith("glasses"):
            items += worn.glasses(base, item, body)
        elif item.kind in ("backpack", "tote", "cross_bag"):
            if trunk is None:
                layers = [(r.mesh.points, r.mesh.triangles, r.weights) for r in dressed if r.mesh.part in OVER_TRUNK]
                bare = (body[:BODY_VERTICES], base.triangles["body"], base.weights[:BODY_VERTICES])
                trunk = worn.torso(base, layers or [bare])
            items += worn.worn_bag(wardrobe, item, heads, trunk)
    for rest in dressed:
        if rest.mesh.part == "hat" and rest.mesh.name in HAT_PARTS:
            crown, look = rest.mesh.points, rest.mesh.look
            second = replace(look, colour=look.second, pattern="plain")
            for kind in HAT_PARTS[rest.mesh.name]:
                items += worn.hat_parts(base, kind, crown, look, second, worn.eye_centres(base, body))
    return items


OVER_TRUNK = ("upper", "inner", "lower", "coat", "dress", "skirt", "shorts")
HAT_PARTS: dict[str, tuple[str, ...]] = {
    "cap": ("cap",),
    "bucket_hat": ("bucket_hat",),
    "sun_hat": ("sun_hat",),
    "pompon_beanie": ("pompon",),
    "helmet": ("helmet",),
    "site_helmet": ("site_helmet",),
}


def _item_mesh(item: worn.Item, points: Points) -> Mesh:
    solid = item.solid
    return Mesh(
        name=item.name,
        part=item.part,
        points=points,
        triangles=solid.triangles,
        corner_uv=solid.points[solid.triangles][:, :, :2] / 5,
        pattern=solid.points,
        look=item.look,
    )
