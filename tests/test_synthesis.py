"""Rendered people: the body's measures, garments that fit, feet on the ground. Needs the shared CC0 assets."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from passerby.synthesis import clothing, figure, garments
from passerby.synthesis.figure import Arm, BodyShape, Pose
from passerby.synthesis.people import Carried, Garment, Look, PersonSpec, Wardrobe, build_person

from .conftest import shared

ADULTS = (BodyShape(gender=1, years=30), BodyShape(gender=0, years=30, weight=0.9), BodyShape(gender=0, years=75))


@pytest.fixture(scope="module")
def wardrobe() -> Wardrobe:
    return Wardrobe.open(shared("data/makehuman"))


def height_m(wardrobe: Wardrobe, shape: BodyShape) -> float:
    body = figure.shape_body(wardrobe.base, shape)[: figure.BODY_VERTICES]
    return float(np.ptp(body[:, 1])) / 10


def test_bodies_have_the_heights_of_people(wardrobe: Wardrobe) -> None:
    man, woman = height_m(wardrobe, ADULTS[0]), height_m(wardrobe, BodyShape(gender=0, years=25))
    boy, child = height_m(wardrobe, BodyShape(gender=1, years=13)), height_m(wardrobe, BodyShape(gender=1, years=6))
    assert 1.70 < man < 1.80
    assert 1.55 < woman < 1.66
    assert 0.9 < child < boy < woman


def test_skinning_weights_and_shapes_are_sound(wardrobe: Wardrobe) -> None:
    assert np.allclose(wardrobe.base.weights.sum(axis=1), 1, atol=1e-5)
    weights = figure._target_weights(BodyShape(gender=0.3, years=40, muscle=0.8, weight=0.2, african=1, asian=1))
    races = sum(v for k, v in weights.items() if k.split("-")[0] in ("african", "asian", "caucasian"))
    assert races == pytest.approx(1)


def test_the_rest_pose_is_the_identity(wardrobe: Wardrobe) -> None:
    body = figure.shape_body(wardrobe.base, ADULTS[0])
    heads, _ = figure.joints(wardrobe.base, body)
    still = np.tile(np.eye(3, dtype=np.float32), (len(heads), 1, 1))
    transforms = figure.bone_transforms(wardrobe.base, heads, still)
    assert np.allclose(figure.skin(body, wardrobe.base.weights, transforms), body, atol=1e-3)


def test_rotations_are_rotations(wardrobe: Wardrobe) -> None:
    body = figure.shape_body(wardrobe.base, ADULTS[1])
    heads, _ = figure.joints(wardrobe.base, body)
    pose = Pose(stride=0.9, phase=0.3, left_arm=Arm(swing=20, bend=40, inward=20), chest_turn=12, head_nod=5)
    rotations = figure.pose_rotations(wardrobe.base, heads, pose)
    assert np.allclose(rotations @ rotations.transpose(0, 2, 1), np.eye(3), atol=1e-4)
    assert np.allclose(np.linalg.det(rotations), 1, atol=1e-4)


def test_curled_fingers_come_nearer_to_the_thumb(wardrobe: Wardrobe) -> None:
    body = figure.shape_body(wardrobe.base, ADULTS[0])
    heads, tails = figure.joints(wardrobe.base, body)

    def gap(curl: float) -> float:
        arm = Arm(curl=curl)
        rotations = figure.pose_rotations(wardrobe.base, heads, Pose(left_arm=arm, right_arm=arm))
        chain = figure.bone_transforms(wardrobe.base, heads, rotations)
        ends = [wardrobe.base.bone(f"{finger}_03_l") for finger in ("middle", "thumb")]
        middle, thumb = (chain[k, :, :3] @ tails[k] + chain[k, :, 3] for k in ends)
        return float(np.linalg.norm(middle - thumb))

    assert gap(40) < 0.7 * gap(0)


@pytest.mark.parametrize("name", sorted(garments.CUTS))
def test_each_garment_covers_something_on_every_body(wardrobe: Wardrobe, name: str) -> None:
    piece = wardrobe.piece(name)
    assert len(piece.triangles) > 50
    assert np.allclose(piece.shares.sum(axis=1), 1, atol=1e-5)
    for shape in ADULTS:
        points = clothing.fit(piece, figure.shape_body(wardrobe.base, shape))
        assert np.isfinite(points).all()
        assert np.abs(points).max() < 12


def test_clipping_makes_a_straight_hem(wardrobe: Wardrobe) -> None:
    cut = garments.band(low=1.0, high=2.0, swell=0.0)
    piece = clothing.cut_piece("band", cut, wardrobe.base, wardrobe.coordinates)
    heights = (wardrobe.coordinates.y[piece.rows] * piece.shares).sum(axis=1)
    assert heights.min() == pytest.approx(1.0, abs=1e-4)
    assert heights.max() == pytest.approx(2.0, abs=1e-4)


SPEC = PersonSpec(
    name="walker",
    shape=BodyShape(gender=0.2, years=35),
    pose=Pose(stride=0.8, phase=0.1),
    skin="young_lightskinned_female_diffuse2",
    hair="long01",
    garments=(
        Garment(piece="trousers", look=Look()),
        Garment(piece="clothes/male_casualsuit03:upper", look=Look(), own_texture=True),
        Garment(piece="shoes/shoes01", look=Look(), own_texture=True),
    ),
    carried=tuple(Carried(kind=k) for k in "backpack tote cross_bag handbag glasses cup phone stick".split()),
)


def test_a_person_stands_on_the_ground_with_everything_in_place(wardrobe: Wardrobe) -> None:
    meshes = build_person(wardrobe, SPEC)
    parts = {mesh.part for mesh in meshes}
    assert {"skin", "eyes", "brows", "hair", "upper", "lower", "shoes", "backpack", "glasses", "stick"} <= parts
    for mesh in meshes:
        assert np.isfinite(mesh.points).all(), mesh.name
        assert mesh.triangles.max() < len(mesh.points)
        assert mesh.corner_uv.shape == (len(mesh.triangles), 3, 2)
    used = np.concatenate([m.points[np.unique(m.triangles), 1] for m in meshes if m.part in ("shoes", "skin")])
    assert used.min() == pytest.approx(0, abs=1e-4)
    assert 15 < used.max() < 19


def test_the_same_person_is_built_twice_alike(wardrobe: Wardrobe) -> None:
    for a, b in zip(build_person(wardrobe, SPEC), build_person(wardrobe, SPEC), strict=True):
        assert (a.points == b.points).all()


def test_straps_lie_outside_the_body(wardrobe: Wardrobe) -> None:
    meshes = {m.name: m for m in build_person(wardrobe, SPEC)}
    strap, shirt = meshes["cross_bag_bag_dark"], meshes["male_casualsuit03"]
    normals = clothing.vertex_normals(shirt.points, shirt.triangles)
    gaps = ((strap.points[:, None] - shirt.points[None]) ** 2).sum(axis=-1)
    nearest = gaps.argmin(axis=1)
    height = ((strap.points - shirt.points[nearest]) * normals[nearest]).sum(axis=1)
    assert (height > -0.15).mean() > 0.9


def test_missing_assets_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"base\.npz"):
        Wardrobe.open(tmp_path)


def test_gait_is_symmetric_and_closed() -> None:
    assert (figure.GAIT[0, 1:] == figure.GAIT[-1, 1:]).all()
    assert all(a < b for a, b in itertools.pairwise(figure.GAIT[:, 0]))
