"""Things a figure wears or carries that are not clothes: bags, glasses, a box, a cup, a walking stick.

Worn things (backpack, bags on straps, glasses, visor) are made in rest pose and skinned with the body; held
things are made after posing, at the hands. Each builder returns `Solid`s. Lengths are decimetres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .figure import Floats, Indices, Points

UP = np.array([0, 1, 0], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Solid:
    """A closed surface: `points` (n, 3) dm, `triangles` (F, 3); `material` names its look, e.g. "bag"."""

    points: Points
    triangles: Indices
    material: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """What straps lie on: the dressed torso. `points` (n, 3), `triangles` (F, 3)."""

    points: Points
    triangles: Indices


def rounded_box(size: tuple[float, float, float], *, exponent: float, material: str, taper: float = 0.0) -> Solid:
    """A superellipsoid box centred on the origin.

    Args:
        size: full extents x, y, z, dm. exponent: 0 sharp corners, 1 an ellipsoid.
        taper: share by which the top is narrower than the bottom.
    """
    u, v = np.meshgrid(np.linspace(-np.pi, np.pi, 41)[:-1], np.linspace(-np.pi / 2, np.pi / 2, 21))

    def power(values: Points) -> Points:
        return np.asarray(np.sign(values) * np.abs(values) ** exponent, np.float32)

    x = power(np.cos(v)) * power(np.cos(u))
    z = power(np.cos(v)) * power(np.sin(u))
    y = power(np.sin(v))
    narrowing = 1 - taper * (y + 1) / 2
    points = np.stack([x * narrowing, y, z * narrowing], axis=-1).reshape(-1, 3) * np.array(size) / 2
    return Solid(points=points.astype(np.float32), triangles=_grid(21, 40, around=True), material=material)


def _grid(rows: int, columns: int, *, around: bool) -> Indices:
    """Triangles of a (rows, columns) vertex grid, closed along the columns when `around`."""
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(columns if around else columns - 1), indexing="ij")
    right = (c + 1) % columns
    a, b, d, e = r * columns + c, r * columns + right, (r + 1) * columns + c, (r + 1) * columns + right
    quads = [np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, d, b), (b, d, e))]
    return np.concatenate(quads).astype(np.int32)


def tube(path: Floats, *, radius: float, material: str, sides: int = 10) -> Solid:
    """A round tube along a path (n, 3)."""
    along = _directions(path)
    side = np.cross(along, np.where(np.abs(along[:, 1:2]) > 0.9, [[0, 0, 1.0]], UP))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    for k in range(1, len(side)):  # the frame must not flip from one ring to the next
        side[k] = side[k - 1] - along[k] * (side[k - 1] @ along[k])
        side[k] /= np.linalg.norm(side[k])
    other = np.cross(along, side)
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.cos(angles)[:, None] * side[:, None] + np.sin(angles)[:, None] * other[:, None]
    points = (path[:, None] + radius * ring).reshape(-1, 3)  # (n, sides, 3) -> (n * sides, 3)
    return Solid(points=points.astype(np.float32), triangles=_grid(len(path), sides, around=True), material=material)


def ribbon(path: Floats, normals: Floats, *, width: float, thickness: float, material: str) -> Solid:
    """A flat strap along a path (n, 3), lying with its face along `normals` (n, 3)."""
    along = _directions(path)
    side = np.cross(along, normals)
    side /= np.linalg.norm(side, axis=1, keepdims=True).clip(1e-6)
    across = [(-0.5, 0), (0.5, 0), (0.5, 1), (-0.5, 1)]
    rings = [path + side * (width * s) + normals * (thickness * t) for s, t in across]
    points = np.stack(rings, axis=1).reshape(-1, 3)
    return Solid(points=points.astype(np.float32), triangles=_grid(len(path), 4, around=True), material=material)


def _directions(path: Floats) -> Points:
    along = np.gradient(path, axis=0)
    return np.asarray(along / np.linalg.norm(along, axis=1, keepdims=True).clip(1e-6), np.float32)


def cast(surface: Surface, origin: Floats, directions: Floats) -> tuple[Points, Points]:
    """Shoot rays from inside a surface and return the outermost hits.

    Args:
        origin: (3,). directions: (n, 3) unit vectors.
    Returns:
        distances (n,) dm, 0 where nothing is hit, and outward normals (n, 3).
    Source: Moeller and Trumbore, Fast minimum storage ray/triangle intersection, 1997.
    """
    a, b, c = (surface.points[surface.triangles[:, k]] for k in range(3))
    e1, e2, t = b - a, c - a, origin - a
    normals = np.cross(e1, e2)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)
    q = np.cross(t, e1)
    far = (e2 * q).sum(axis=1)
    distances, found = np.zeros(len(directions), np.float32), np.array(directions, np.float32)
    for k, d in enumerate(directions):
        p = np.cross(d, e2)
        det = (e1 * p).sum(axis=1)
        det = np.where(np.abs(det) < 1e-9, 1e-9, det)
        u, v = (t * p).sum(axis=1) / det, (q @ d) / det
        s = np.where((u >= 0) & (v >= 0) & (u + v <= 1), far / det, 0)
        best = int(np.argmax(s))
        distances[k] = max(float(s[best]), 0.0)
        found[k] = normals[best] * np.sign(normals[best] @ d)
    return distances, np.asarray(found, np.float32)


def strap_around(
    surface: Surface, origin: Floats, first: Floats, second: Floats, angles: Floats, *, lift: float
) -> tuple[Points, Points]:
    """Lay a strap on a surface in the plane of two unit vectors.

    Returns:
        path (n, 3) and normals (n, 3); the path runs through the given angles (radians) from `first` to
        `second`, `lift` dm above the surface, smoothed so that it bridges hollows.
    """
    directions = np.cos(angles)[:, None] * first + np.sin(angles)[:, None] * second
    reached, _ = cast(surface, origin, directions)
    known = reached > 0
    distances = np.interp(np.arange(len(angles)), np.flatnonzero(known), reached[known])
    for _ in range(3):
        padded = np.pad(distances, 1, mode="edge")
        distances = np.maximum(distances, (padded[:-2] + padded[1:-1] + padded[2:]) / 3)
    path = origin + directions * (distances + lift)[:, None]
    return path.astype(np.float32), directions.astype(np.float32)


def moved(solid: Solid, offset: Floats, rotation: Floats | None = None) -> Solid:
    """Rotate (3, 3) a solid about the origin, then shift it by (3,)."""
    points = solid.points if rotation is None else solid.points @ rotation.T
    return Solid(points=(points + offset).astype(np.float32), triangles=solid.triangles, material=solid.material)


def backpack(surface: Surface, shoulders: Points, hips: Points, *, size: float) -> tuple[list[Solid], list[Solid]]:
    """A backpack with two shoulder straps, in rest pose.

    Args:
        surface: the dressed torso. shoulders, hips: (2, 3) left and right joint. size: 1 is 27x39x13 cm.
    Returns:
        the rigid parts (they move with the upper spine) and the straps (they move with the torso).
    """
    top, low = shoulders[:, 1].mean(), hips[:, 1].mean()
    height, half = 3.9 * size, abs(shoulders[0, 0] - shoulders[1, 0]) / 2
    middle_y = top - 0.1 - height / 2
    torso = surface.points[(np.abs(surface.points[:, 0]) < half) & (np.abs(surface.points[:, 1] - middle_y) < 1)]
    back = float(torso[:, 2].min())
    pack = rounded_box((2.7 * size, height, 1.35 * size), exponent=0.33, material="bag", taper=0.12)
    pocket = rounded_box((2.1 * size, 1.5 * size, 0.7 * size), exponent=0.35, material="bag_dark")
    flap = rounded_box((2.3 * size, 0.14, 1.05 * size), exponent=0.4, material="bag_dark")
    centre = np.array([0, middle_y, back - 0.6 * size], np.float32)
    loop = np.array([(0.25 * np.cos(a), 0.25 * np.sin(a), 0) for a in np.linspace(0, np.pi, 9)], np.float32)
    rigid = [
        moved(pack, centre),
        moved(pocket, centre + np.array([0, -0.75 * size, -0.58 * size])),
        moved(flap, centre + np.array([0, 0.95 * size, -0.22 * size])),
        moved(tube(loop, radius=0.06, material="bag_dark"), centre + np.array([0, height / 2 - 0.05, 0.3])),
    ]
    straps = []
    for sign in (-1, 1):
        origin = np.array([sign * half * 0.62, (top + low) / 2 + 0.6, float(shoulders[:, 2].mean())], np.float32)
        angles = np.linspace(-0.45, np.pi * 0.83, 36)  # from the front of the ribs over the shoulder to the back
        forward = np.array([sign * 0.12, 0, 1.0], np.float32)
        path, normals = strap_around(surface, origin, forward / np.linalg.norm(forward), UP, angles, lift=0.05)
        straps.append(ribbon(path, normals, width=0.5, thickness=0.1, material="bag_dark"))
        tail = np.linspace(path[0], np.array([sign * half * 0.9, low + 1.0, back + 0.35]), 12)
        bulge = np.sin(np.linspace(0, np.pi, 12))[:, None] * np.array([sign * 0.55, 0, 0.35])
        straps.append(tube((tail + bulge).astype(np.float32), radius=0.06, material="bag_dark"))
    return rigid, straps


def shoulder_bag(
    surface: Surface, shoulder: Points, hip: Points, *, across: bool, size: float
) -> tuple[list[Solid], list[Solid]]:
    """A bag on a strap: across the body (strap over the other shoulder), or under the arm on the same side.

    Args:
        shoulder: (3,) joint the strap runs over. hip: (3,) joint on the side where the bag hangs.
    Returns:
        the bag (it moves with the pelvis) and the strap (it moves with the torso).
    """
    side = float(np.sign(hip[0]))
    bag = rounded_box((0.95 * size, 2.1 * size, 2.9 * size), exponent=0.3, material="bag", taper=0.1)
    flap = rounded_box((0.5 * size, 1.2 * size, 2.75 * size), exponent=0.3, material="bag_dark")
    height = float(hip[1]) + 0.55
    if across:
        return _cross_body(surface, shoulder, hip, [bag, flap], size)
    level = np.array([[side, 0, 0]], np.float32)
    origin = np.array([0, height + 0.8, float(shoulder[2])], np.float32)
    reach = float(cast(surface, origin, level)[0][0]) + 0.5 * size
    centre = np.array([side * reach, height + 0.6, float(shoulder[2]) - 0.15], np.float32)
    top = centre + np.array([0, 0.95 * size, 0])
    start = np.array([shoulder[0] * 0.86, shoulder[1] - 1.0, shoulder[2]], np.float32)
    lift = float(cast(surface, start, UP[None])[0][0]) + 0.07
    crest = start + UP * lift
    solids = [moved(bag, centre), moved(flap, centre + np.array([side * 0.27 * size, 0.4 * size, 0]))]
    straps = []
    for z in (-0.75, 0.75):
        end = top + np.array([0, 0, z * size])
        t = np.linspace(0, 1, 20)[:, None]
        path = crest * (1 - t) + end * t + np.sin(np.pi * t) * np.array([side * 0.18, 0.12, 0.3 * np.sign(z)])
        straps.append(tube(path.astype(np.float32), radius=0.075, material="bag_dark"))
    return solids, straps


def _cross_body(
    surface: Surface, shoulder: Points, hip: Points, bag: list[Solid], size: float
) -> tuple[list[Solid], list[Solid]]:
    side = float(np.sign(hip[0]))
    anchor = np.array([hip[0] + side * 0.55, hip[1] + 0.75, hip[2]], np.float32)
    over = np.array([shoulder[0] * 0.72, shoulder[1] + 0.3, shoulder[2]], np.float32)
    first = (over - anchor) / np.linalg.norm(over - anchor)
    forward = np.array([0, 0, 1], np.float32)
    second = forward - first * (first @ forward)
    second /= np.linalg.norm(second)
    angles = np.linspace(-np.pi * 0.93, np.pi * 0.93, 72)
    path, normals = strap_around(surface, (over + anchor) / 2, first, second, angles, lift=0.06)
    strap = ribbon(path, normals, width=0.34, thickness=0.07, material="bag_dark")
    level = np.array([[side, 0, 0]], np.float32)
    origin = np.array([0, hip[1], hip[2]], np.float32)
    reach = float(cast(surface, origin, level)[0][0]) + 0.45 * size
    centre = np.array([side * reach, hip[1] - 0.15, hip[2]], np.float32)
    solids = [moved(bag[0], centre), moved(bag[1], centre + np.array([side * 0.27 * size, 0.42 * size, 0]))]
    return solids, [strap]


def glasses(eyes: Points, *, material: str = "frame") -> list[Solid]:
    """Spectacles: two rims, a bridge and temples. eyes: (2, 3) left and right eye centre, rest pose."""
    gap = abs(float(eyes[0, 0] - eyes[1, 0]))
    unit = gap / 0.62
    front = eyes[:, 2].mean() + 0.26 * unit
    angles = np.linspace(0, 2 * np.pi, 33)
    solids = []
    for eye in eyes:
        centre = np.array([eye[0] * 1.08, eye[1] - 0.01, front], np.float32)
        rim = np.stack([0.27 * np.cos(angles), 0.21 * np.sin(angles), 0 * angles], axis=1) * unit
        rim[:, 2] -= 0.25 * (rim[:, 0] * np.sign(eye[0])).clip(0)
        solids.append(tube((centre + rim).astype(np.float32), radius=0.032 * unit, material=material))
        outer = centre + np.array([np.sign(eye[0]) * 0.27 * unit, 0.05 * unit, -0.06])
        ear = outer + np.array([np.sign(eye[0]) * 0.12 * unit, 0.02, -1.15 * unit])
        solids.append(tube(np.linspace(outer, ear, 8).astype(np.float32), radius=0.03 * unit, material=material))
    bridge = np.linspace(
        [-0.08 * unit, eyes[0, 1] + 0.03, front + 0.03], [0.08 * unit, eyes[0, 1] + 0.03, front + 0.03], 5
    )
    solids.append(tube(bridge.astype(np.float32), radius=0.03 * unit, material=material))
    return solids


def visor(crown: Points) -> Solid:
    """The peak of a cap. crown: (n, 3) points of the cap in rest pose."""
    rim = crown[crown[:, 2] > np.quantile(crown[:, 2], 0.8)]
    front, low = float(crown[:, 2].max()), float(rim[:, 1].min())
    half = 0.82 * float(np.abs(crown[:, 0]).max())
    angles = np.linspace(0.02, np.pi - 0.02, 25)
    inner = np.stack([half * np.cos(angles), 0 * angles, 0.75 * np.sin(angles) - 0.75], axis=1)
    outer = np.stack([half * np.cos(angles), -0.12 * np.sin(angles), 0.95 * np.sin(angles) - 0.45], axis=1)
    middle = (inner + outer) / 2 + np.array([0, 0.03, 0])
    base = np.array([0, low + 0.06, front])
    under = np.array([0, 0.06, 0])
    layers = [inner, middle, outer, outer - under, middle - under, inner - under]
    points = (np.concatenate(layers) + base).astype(np.float32)
    return Solid(points=points, triangles=_grid(6, 25, around=False), material="hat")


def handbag(hand: Points, side: Points, *, size: float, drop: float = 0.0) -> list[Solid]:
    """A bag hanging straight down from a posed hand or forearm.

    Args:
        hand: (3,) where it hangs. side: (3,) unit vector along the bag's length. drop: extra handle, dm.
    """
    flat = side * np.array([1, 0, 1], np.float32)
    flat = flat / np.linalg.norm(flat)
    rotation = np.stack([np.cross(UP, flat), UP, flat], axis=1)  # thickness, height, length
    bag = rounded_box((1.05 * size, 2.0 * size, 2.8 * size), exponent=0.28, material="bag", taper=0.22)
    clasp = rounded_box((1.1 * size, 0.28 * size, 0.5 * size), exponent=0.4, material="metal")
    centre = hand - UP * (0.75 * size + 1.0 * size + drop)
    angles = np.linspace(0, np.pi, 21)
    arch = np.stack([0 * angles, (0.75 * size + drop) * np.sin(angles), 0.85 * size * np.cos(angles)], axis=1)
    handles = [
        moved(
            tube(arch + np.array([x * size, 0.97 * size, 0]), radius=0.07, material="bag_dark"),
            centre,
            rotation,
        )
        for x in (-0.3, 0.3)
    ]
    return [moved(bag, centre, rotation), moved(clasp, centre + UP * 0.55 * size, rotation), *handles]


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
    body = rounded_box((0.8, 1.1, 0.8), exponent=0.7, material="paper", taper=-0.2)
    lid = rounded_box((0.92, 0.16, 0.92), exponent=0.6, material="lid")
    return [moved(body, hand), moved(lid, hand + UP * 0.58)]


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
