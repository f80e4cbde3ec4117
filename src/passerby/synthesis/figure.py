# SPDX-License-Identifier: Apache-2.0
"""A human figure: base mesh, shape targets, skeleton and poses.

In here: reading the base assets, shaping a body from six numbers, building bone rotations for walking and
standing people, and linear blend skinning. Not in here: clothes (`clothing`), things carried (`accessories`)
and rendering. Lengths are decimetres, y up, facing +z, left = +x; angles are degrees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.float32]
Floats: TypeAlias = NDArray[np.floating[Any]]
Indices: TypeAlias = NDArray[np.int32]
Rotate: TypeAlias = Callable[[str, Floats], None]
Side = Literal["l", "r"]

BODY_VERTICES = 13380
TIGHTS_VERTICES = slice(15328, 18002)
SKIRT_VERTICES = slice(18002, 18722)
FINGERS = ("index", "middle", "ring", "pinky")


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseAssets:
    """The unshaped mesh with everything that is defined on its vertex numbers.

    Attributes:
        vertices: (19158, 3) float32, dm; body, then eyes, lashes, teeth and clothing helpers.
        texture_points: (T, 2) float32 in [0, 1], v upwards.
        triangles: name -> (F, 3) int32 vertex numbers (`body`, `tights`, `skirt`, `hair`, `l_eye`, `r_eye`).
        texture_triangles: name -> (F, 3) int32 rows of `texture_points`.
        targets: name -> offsets (19158, 3) float32 dm.
        bone_names: 53 names, parents first. `bone_parent`: (53,) int16, -1 for the root.
        bone_heads, bone_tails: for each bone the vertices whose mean is that joint.
        weights: (19158, 53) float32 skinning weights, rows sum to 1.
    """

    vertices: Points
    texture_points: Points
    triangles: Mapping[str, Indices]
    texture_triangles: Mapping[str, Indices]
    targets: Mapping[str, Points]
    bone_names: tuple[str, ...]
    bone_parent: NDArray[np.int16]
    bone_heads: tuple[Indices, ...]
    bone_tails: tuple[Indices, ...]
    weights: Points

    def bone(self, name: str) -> int:
        """Return the row of a bone; ValueError for an unknown name."""
        return self.bone_names.index(name)


def load_base(folder: Path) -> BaseAssets:
    """Read base.npz and targets.npz of the asset folder.

    Raises:
        FileNotFoundError: the folder does not hold them.
    """
    with np.load(folder / "base.npz") as base:
        names = [key[4:] for key in base.files if key.startswith("tri_")]
        vertices = base["v"].astype(np.float32)
        weights = np.zeros((len(vertices), len(base["bone_names"])), np.float32)
        np.put_along_axis(weights, base["skin_idx"].astype(np.int64), 0, axis=1)
        rows = np.repeat(np.arange(len(vertices)), 4)
        np.add.at(weights, (rows, base["skin_idx"].ravel()), base["skin_w"].ravel() / np.float32(65535))
        return BaseAssets(
            vertices=vertices,
            texture_points=base["vt"].astype(np.float32),
            triangles={name: base[f"tri_{name}"].astype(np.int32) for name in names},
            texture_triangles={name: base[f"triuv_{name}"].astype(np.int32) for name in names},
            targets=_read_targets(folder / "targets.npz", count=len(vertices)),
            bone_names=tuple(str(name) for name in base["bone_names"]),
            bone_parent=base["bone_parent"],
            bone_heads=tuple(row[row >= 0] for row in base["bone_head_verts"]),
            bone_tails=tuple(row[row >= 0] for row in base["bone_tail_verts"]),
            weights=weights / weights.sum(axis=1, keepdims=True).clip(1e-6),
        )


def _read_targets(path: Path, *, count: int) -> dict[str, Points]:
    """Targets as dense offsets: 44 MB, and forty of them are added to a body in a millisecond instead of twenty."""
    found = {}
    with np.load(path) as targets:
        for name in (key[:-2] for key in targets.files if key.endswith("|i")):
            found[name] = np.zeros((count, 3), np.float32)
            found[name][targets[f"{name}|i"]] = targets[f"{name}|d"].astype(np.float32) / 1000
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyShape:
    """What a body looks like without clothes; every number but `years` lies in [0, 1].

    `gender` 1 is male. The three race weights are normalised to sum to one.
    """

    gender: float
    years: float
    muscle: float = 0.5
    weight: float = 0.5
    height: float = 0.5
    african: float = 0.0
    asian: float = 0.0
    caucasian: float = 1.0


NEUTRAL_SHAPE = BodyShape(gender=0.5, years=25, african=1, asian=1, caucasian=1)


def shape_body(assets: BaseAssets, shape: BodyShape) -> Points:
    """Shape the base mesh.

    Returns:
        (19158, 3) float32, dm, rest pose; a new array.
    Source: MakeHuman's macro targets; weight formulas as documented there.
    """
    vertices = assets.vertices.copy()
    for name, weight in _target_weights(shape).items():
        if name in assets.targets:  # not every combination exists: it then has no effect, as in MakeHuman
            vertices += np.float32(weight) * assets.targets[name]
    return vertices


def _target_weights(shape: BodyShape) -> dict[str, float]:
    """Weights of the macro targets that touch a shape, by target name."""
    gender = {"male": shape.gender, "female": 1 - shape.gender}
    age = _age_parts(shape.years)
    total = shape.african + shape.asian + shape.caucasian
    race = {"african": shape.african / total, "asian": shape.asian / total}
    race["caucasian"] = 1 - race["african"] - race["asian"]
    muscle, weight = _three_parts(shape.muscle), _three_parts(shape.weight)
    height = {"max": max(0.0, 2 * shape.height - 1), "min": max(0.0, 1 - 2 * shape.height)}
    weights: dict[str, float] = {}
    for (g, wg), (a, wa) in product(gender.items(), age.items()):
        weights |= {f"{r}-{g}-{a}": wr * wg * wa for r, wr in race.items()}
        for (m, wm), (w, ww) in product(muscle.items(), weight.items()):
            stem, value = f"{g}-{a}-{m}muscle-{w}weight", wg * wa * wm * ww
            weights[f"universal-{stem}"] = value
            weights |= {f"height/{stem}-{h}height": value * wh for h, wh in height.items()}
    return {name: value for name, value in weights.items() if value > 1e-4}


def _age_parts(years: float) -> dict[str, float]:
    age = (years - 1) / 48 if years <= 25 else 0.5 + (years - 25) / 130
    if age >= 0.5:
        return {"old": 2 * age - 1, "young": 2 - 2 * age}
    baby, young = max(0.0, 1 - 5.333 * age), max(0.0, 3.2 * (age - 0.1875))
    return {"baby": baby, "young": young, "child": max(0.0, min(1.0, 5.333 * age) - young)}


def _three_parts(value: float) -> dict[str, float]:
    high, low = max(0.0, 2 * value - 1), max(0.0, 1 - 2 * value)
    return {"max": high, "min": low, "average": 1 - high - low}


def joints(assets: BaseAssets, body: Points) -> tuple[Points, Points]:
    """Return heads and tails of the bones, each (53, 3) float32 dm, of a shaped body in rest pose."""
    heads = np.stack([body[rows].mean(axis=0) for rows in assets.bone_heads])
    tails = np.stack([body[rows].mean(axis=0) for rows in assets.bone_tails])
    return heads.astype(np.float32), tails.astype(np.float32)


def turn(axis: Sequence[float] | Floats, degrees: float) -> Points:
    """Rotation matrix (3, 3) float32 about an axis through the origin, right-handed (Rodrigues)."""
    x, y, z = np.asarray(axis, np.float64) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return np.asarray(rotation, np.float32)


X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One arm, degrees. Zero everywhere is an arm that hangs down loosely.

    `swing` is forward, `out` away from the body, `bend` the elbow beyond its rest bend, `inward` turns the
    whole arm about the vertical towards the other side, `curl` closes the fingers.
    """

    swing: float = 0.0
    out: float = 0.0
    bend: float = 0.0
    inward: float = 0.0
    curl: float = 22.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """How a figure stands or walks; angles in degrees, `phase` of the step in [0, 1).

    `stride` 0 stands with the weight on one leg, 0.6-1 walks. `head_turn` and `chest_turn` are positive to the
    figure's left, `head_nod` is positive downwards. An arm given here does not swing with the walk. `sway` in
    [-1, 1] is where a skirt swings sideways.
    """

    stride: float = 0.0
    phase: float = 0.0
    lean: float = 1.0
    head_turn: float = 0.0
    head_nod: float = 0.0
    chest_turn: float = 0.0
    left_arm: Arm | None = None
    right_arm: Arm | None = None
    sway: float = 0.0
    extra: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)


# Knots of one step: phase, hip, knee, ankle (degrees), the shape of a normal adult gait.
GAIT = np.array(
    [
        (0.00, 28, 4, 0), (0.12, 24, 17, -4), (0.30, 6, 9, 6), (0.42, -6, 5, 10), (0.52, -11, 12, 6),
        (0.62, -4, 38, -16), (0.73, 14, 60, -6), (0.85, 29, 38, 0), (0.93, 31, 10, 2), (1.00, 28, 4, 0),
    ]
)  # fmt: skip


def pose_rotations(assets: BaseAssets, heads: Points, pose: Pose) -> Points:
    """Turn a pose into one rotation a bone.

    Args:
        heads: (53, 3) bone heads of the shaped body in rest pose.
    Returns:
        (53, 3, 3) float32, in rest-pose world axes; identity for bones that do not move.
    """
    rotations = np.tile(np.eye(3, dtype=np.float32), (len(assets.bone_names), 1, 1))

    def rotate(bone: str, matrix: Floats) -> None:
        row = assets.bone(bone)
        rotations[row] = matrix @ rotations[row]

    hips = _pose_legs(pose, rotate)
    _pose_trunk(pose, hips, rotate)
    swing = 0.75 * (hips["l"] - hips["r"]) / 2
    for side, sign, arm in (("l", 1, pose.left_arm), ("r", -1, pose.right_arm)):
        arm = arm or Arm(swing=-sign * swing, out=6.5, bend=-22 + max(0.0, -sign * swing) * 0.6)
        _pose_arm(assets, heads, arm, side, rotate)
    for bone, (x, y, z) in pose.extra.items():
        rotate(bone, turn(Z, z) @ turn(Y, y) @ turn(X, x))
    return rotations


def _pose_legs(pose: Pose, rotate: Rotate) -> dict[str, float]:
    """Rotate legs and feet; returns the hip angle of each side."""
    hips: dict[str, float] = {}
    for side, sign, offset in (("l", 1, 0.0), ("r", -1, 0.5)):
        if pose.stride > 0:
            phase = (pose.phase + offset) % 1
            hip, knee, ankle = (float(np.interp(phase, GAIT[:, 0], GAIT[:, k])) for k in (1, 2, 3))
            hip, ankle = hip * pose.stride, ankle * pose.stride
        else:
            free = side == "l"
            hip, knee, ankle = (9.0, 15.0, -4.0) if free else (-1.0, 1.0, 0.0)
        hips[side] = hip
        rotate(f"thigh_{side}", turn(X, -hip) @ turn(Z, -sign * 5.5))
        rotate(f"calf_{side}", turn(X, knee))
        rotate(f"foot_{side}", turn(X, -ankle) @ turn(Z, sign * 4.0))
        if hip < -4:  # the toes stay on the ground while the heel lifts
            rotate(f"ball_{side}", turn(X, 1.6 * hip))
    return hips


def _pose_trunk(pose: Pose, hips: Mapping[str, float], rotate: Rotate) -> None:
    twist = 0.12 * (hips["r"] - hips["l"])
    roll = 0.0 if pose.stride > 0 else -2.5
    rotate("pelvis", turn(Y, -twist) @ turn(Z, roll) @ turn(X, pose.lean))
    for bone, share in (("spine_01", 0.4), ("spine_02", 0.6), ("spine_03", 0.6)):
        rotate(bone, turn(Y, share * (1.6 * twist + pose.chest_turn)) @ turn(Z, -share * roll))
    rotate("neck_01", turn(Y, 0.4 * pose.head_turn) @ turn(X, 0.4 * pose.head_nod - 0.5 * pose.lean))
    rotate("head", turn(Y, 0.6 * pose.head_turn - 0.5 * twist) @ turn(X, 0.6 * pose.head_nod))


def _pose_arm(assets: BaseAssets, heads: Points, arm: Arm, side: str, rotate: Rotate) -> None:
    sign = 1 if side == "l" else -1
    down = turn(Z, -sign * (40.0 - arm.out))
    rotate(f"upperarm_{side}", turn(Y, -sign * arm.inward) @ turn(X, -arm.swing) @ down)
    rotate(f"clavicle_{side}", turn(Z, -sign * 3.0))
    elbow, wrist = heads[assets.bone(f"lowerarm_{side}")], heads[assets.bone(f"hand_{side}")]
    shoulder = heads[assets.bone(f"upperarm_{side}")]
    # The rest forearm already bends forward: its hinge is the normal of the plane through the three joints.
    hinge = np.cross(elbow - shoulder, wrist - elbow)
    rotate(f"lowerarm_{side}", turn(hinge, arm.bend))
    forearm = wrist - elbow
    knuckles = heads[assets.bone(f"index_01_{side}")] - heads[assets.bone(f"pinky_01_{side}")]
    for finger in FINGERS:
        for joint in ("01", "02", "03"):
            rotate(f"{finger}_{joint}_{side}", turn(knuckles * -sign, _curl(arm.curl, finger)))
    rotate(f"thumb_02_{side}", turn(forearm, sign * 0.4 * arm.curl))


def _curl(curl: float, finger: str) -> float:
    return curl * {"index": 0.8, "middle": 0.95, "ring": 1.05, "pinky": 1.1}[finger]


def bone_transforms(assets: BaseAssets, heads: Points, rotations: Points) -> Points:
    """Chain bone rotations from the root outwards.

    Returns:
        (53, 3, 4) float32: posed point = M[:, :3] @ rest point + M[:, 3].
    """
    chained = np.zeros((len(heads), 3, 4), np.float32)
    for row, parent in enumerate(assets.bone_parent):
        rotation, head = rotations[row], heads[row]
        own = np.concatenate([rotation, (head - rotation @ head)[:, None]], axis=1)
        if parent < 0:
            chained[row] = own
            continue
        above = chained[parent]
        chained[row] = above[:, :3] @ own
        chained[row, :, 3] += above[:, 3]
    return chained


def skin(points: Points, weights: Points, transforms: Points) -> Points:
    """Linear blend skinning.

    Args:
        points: (N, 3) rest positions, dm. weights: (N, 53), rows sum to 1. transforms: (53, 3, 4).
    Returns:
        (N, 3) float32 posed positions; a new array.
    """
    blended = (weights @ transforms.reshape(len(transforms), 12)).reshape(-1, 3, 4)  # (N, 53) -> (N, 3, 4)
    posed: Points = np.einsum("nij,nj->ni", blended[:, :, :3], points) + blended[:, :, 3]
    return posed
