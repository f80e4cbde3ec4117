# SPDX-License-Identifier: Apache-2.0
"""People drawn at random: the asked shares come out, garments cover, and parts are named. Needs the CC0 assets."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from passerby.models.pa100k import COLOURS, LABELS
from passerby.synthesis import clothing, fabric, hair, hulls, palette, patterns
from passerby.synthesis.parts import PART_IDS, PARTS
from passerby.synthesis.people import Mesh, PersonSpec, Wardrobe, build_person, part_of
from passerby.synthesis.sampling import DEFAULT_FREQUENCIES, sample_person
from passerby.synthesis.worn import PART_OF

from .conftest import shared

VIEWS = {"front", "side", "back"}
DRAWN = 900


@pytest.fixture(scope="module")
def wardrobe() -> Wardrobe:
    return Wardrobe.open(shared("data/makehuman"))


@pytest.fixture(scope="module")
def crowd(wardrobe: Wardrobe) -> list[PersonSpec]:
    rng = np.random.default_rng(3)
    return [sample_person(rng, frequencies={}, assets=wardrobe) for _ in range(DRAWN)]


def draw(wardrobe: Wardrobe, seed: int, **frequencies: float) -> PersonSpec:
    return sample_person(np.random.default_rng(seed), frequencies=frequencies, assets=wardrobe)


def find(crowd: list[PersonSpec], label: str) -> PersonSpec:
    return next(spec for spec in crowd if label in spec.attributes)


def test_every_label_is_drawn_as_often_as_asked(crowd: list[PersonSpec]) -> None:
    counts = Counter(label for spec in crowd for label in spec.attributes)
    for label in {entry.id for entry in LABELS} - VIEWS - {"long_sleeve", "trousers"}:
        asked = DEFAULT_FREQUENCIES[label]
        # Three standard errors, and a little more for patterns that two garments may both carry.
        slack = 3 * np.sqrt(asked * (1 - asked) / DRAWN) + 0.025
        assert abs(counts[label] / DRAWN - asked) < slack, (label, counts[label] / DRAWN, asked)


def test_groups_are_exclusive_and_complete(crowd: list[PersonSpec]) -> None:
    for group in ("sleeve", "lower_garment", "age"):
        members = {entry.id for entry in LABELS if entry.group == group}
        assert all(len(members & set(spec.attributes)) == 1 for spec in crowd), group


def test_every_colour_word_is_worn(crowd: list[PersonSpec]) -> None:
    for words in (Counter(s.upper_colour for s in crowd), Counter(s.lower_colour for s in crowd)):
        assert set(words) == set(COLOURS)


def test_shares_that_are_asked_for_are_kept(wardrobe: Wardrobe) -> None:
    rng = np.random.default_rng(5)
    wished = {"hat": 1.0, "glasses": 0.0, "long_coat": 0.6, "female": 0.0, "skirt_dress": 0.0, "upper_red": 9.0}
    crowd = [sample_person(rng, frequencies=wished, assets=wardrobe) for _ in range(200)]
    counts = Counter(label for spec in crowd for label in spec.attributes)
    assert counts["glasses"] == counts["female"] == counts["skirt_dress"] == 0
    assert counts["hat"] > 185  # a hood that is up leaves no room
    assert 0.48 < counts["long_coat"] / 200 < 0.72
    assert sum(spec.upper_colour == "red" for spec in crowd) > 150


def test_the_same_generator_gives_the_same_person(wardrobe: Wardrobe) -> None:
    assert draw(wardrobe, 8) == draw(wardrobe, 8)
    assert draw(wardrobe, 8) != draw(wardrobe, 9)


def test_people_are_whole_and_on_the_ground(wardrobe: Wardrobe, crowd: list[PersonSpec]) -> None:
    for spec in crowd[:12]:
        meshes = build_person(wardrobe, spec)
        for mesh in meshes:
            assert mesh.part in PART_IDS, mesh.part
            assert np.isfinite(mesh.points).all(), mesh.name
            assert mesh.triangles.min() >= 0
            assert mesh.triangles.max() < len(mesh.points) == len(mesh.pattern), mesh.name
            assert mesh.corner_uv.shape == (len(mesh.triangles), 3, 2), mesh.name
            assert mesh.cover is None or len(mesh.cover) == len(mesh.points), mesh.name
        low = min(m.points[:, 1].min() for m in meshes if m.part in ("shoes", "boots"))
        assert low == pytest.approx(0, abs=1e-3)
        assert 8 < max(m.points[:, 1].max() for m in meshes) < 24


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("hat", {"hat"}), ("glasses", {"glasses"}), ("boots", {"boots"}), ("long_coat", {"coat"}),
        ("backpack", {"backpack", "backpack_strap"}), ("shoulder_bag", {"shoulder_bag", "shoulder_strap"}),
        ("hand_bag", {"hand_bag"}), ("hold_objects_in_front", {"held"}), ("shorts", {"shorts"}),
        ("skirt_dress", {"skirt", "dress"}),
    ],
)  # fmt: skip
def test_what_is_worn_is_there_to_be_seen(
    wardrobe: Wardrobe, crowd: list[PersonSpec], label: str, parts: set[str]
) -> None:
    found = {mesh.part for mesh in build_person(wardrobe, find(crowd, label))}
    assert (found & parts) if label == "skirt_dress" else parts <= found


def test_all_parts_have_numbers_and_all_things_have_parts(crowd: list[PersonSpec]) -> None:
    assert sorted(PART_IDS.values()) == list(range(1, len(PARTS) + 1))
    assert set(PART_OF.values()) <= set(PARTS)
    assert {part_of(garment) for spec in crowd for garment in spec.garments} <= set(PARTS)


# ---- cloth


def garment(meshes: list[Mesh], name: str) -> Mesh:
    return next(mesh for mesh in meshes if mesh.name == name)


def test_a_hem_has_an_edge_inside_the_cloth(wardrobe: Wardrobe, crowd: list[PersonSpec]) -> None:
    fitting = wardrobe.fitting("t_shirt")
    count = len(fitting.piece.rows)
    spec = next(s for s in crowd if any(g.piece == "t_shirt" for g in s.garments))
    mesh = garment(build_person(wardrobe, spec), "t_shirt")
    ring = len(np.unique(fitting.joined.rim))
    assert len(mesh.points) == count + 2 * ring
    edge = mesh.points[count : count + ring] - mesh.points[np.unique(fitting.joined.rim)]
    assert np.linalg.norm(edge, axis=1) == pytest.approx(np.full(ring, mesh.thickness), rel=0.05)


def test_a_coat_moves_with_the_legs_and_hides_them(wardrobe: Wardrobe, crowd: list[PersonSpec]) -> None:
    closed = next(s for s in crowd if s.pose.stride > 0.7 and any(g.piece == "coat_skirt" for g in s.garments))
    meshes = build_person(wardrobe, closed)
    coat = garment(meshes, "coat_skirt")
    low = coat.points[:, 1].min() + 1.5
    legs = next(m for m in meshes if m.part in ("lower", "skirt") and m.name != "coat_skirt")
    inside = legs.points[np.unique(legs.triangles)]
    inside = inside[(inside[:, 1] > low) & (inside[:, 1] < low + 2)]
    for height in np.linspace(low, low + 2, 5):  # at each height the legs lie within the coat's outline
        ring = coat.points[np.abs(coat.points[:, 1] - height) < 0.6]
        near = inside[np.abs(inside[:, 1] - height) < 0.3]
        if len(near):
            assert near[:, 2].max() < ring[:, 2].max() + 0.15
            assert near[:, 2].min() > ring[:, 2].min() - 0.15


def test_smoothing_does_not_slide_along_the_cloth(wardrobe: Wardrobe) -> None:
    piece = wardrobe.piece("long_tee")
    flat = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), axis=-1).reshape(-1, 2)
    points = np.pad(flat + np.random.default_rng(0).normal(0, 0.1, flat.shape), ((0, 0), (0, 1))).astype(np.float32)
    quads = [(r * 5 + c, r * 5 + c + 1, r * 5 + c + 5) for r in range(4) for c in range(4)]
    quads += [(r * 5 + c + 1, r * 5 + c + 6, r * 5 + c + 5) for r in range(4) for c in range(4)]
    moved = clothing.inflate(points, np.array(quads, np.int32), np.zeros(25), rounds=6)
    assert np.allclose(moved, points, atol=1e-5)
    assert piece.smoothing > 0


@pytest.mark.parametrize("name", sorted(hulls.HULLS))
def test_hulls_clear_the_head(wardrobe: Wardrobe, name: str) -> None:
    fitting = wardrobe.fitting(name)
    coordinates = wardrobe.coordinates
    body = np.stack([coordinates.x, coordinates.y, coordinates.z], axis=1).astype(np.float32)
    points = clothing.fit(fitting.piece, body, fitting.joined)
    assert np.allclose(points, fitting.piece.pattern, atol=1e-3)  # on the neutral body a hull is what was described
    assert np.allclose(fitting.piece.shares.sum(axis=1), 1, atol=1e-5)
    assert len(fitting.piece.triangles) > 100


@pytest.mark.parametrize("name", sorted(hair.CUTS))
def test_hair_thins_out_towards_its_rim(wardrobe: Wardrobe, name: str) -> None:
    fitting = wardrobe.fitting(name)
    cover = hair.cover(name, wardrobe.coordinates, fitting.piece)
    assert cover.min() >= 0
    assert cover.max() <= 1
    rim = np.unique(fitting.joined.rim)
    assert cover[rim].mean() < cover.max()


# ---- fabric


@pytest.mark.parametrize("name", sorted(patterns.PATTERNS))
def test_patterns_show_more_than_one_colour(wardrobe: Wardrobe, name: str) -> None:
    lower = name.startswith("side")
    points = wardrobe.piece("joggers" if lower else "long_tee").pattern.astype(np.float32)
    points = (points[:, None] + np.random.default_rng(0).normal(0, 0.15, (1, 40, 3))).reshape(-1, 3).astype(np.float32)
    look = fabric.Look(colour="#204080", second="#f0f0e8", third="#c03030", pattern=name, legs=lower, seed=2)
    albedo, mark = fabric.paint(look, points)
    assert albedo.shape == points.shape
    assert albedo.dtype == np.float32
    assert (albedo >= 0).all()
    assert (albedo <= 1).all()
    assert mark.any()
    plain, unmarked = fabric.paint(fabric.Look(colour="#204080", seed=2), points)
    assert not unmarked.any()
    assert (np.abs(albedo - plain).max(axis=1) > 0.05).mean() > 0.001


def test_a_logo_is_on_the_front_only() -> None:
    look = fabric.Look(pattern="logo", seed=1)
    front = np.array([[0.1, 3.8, 1.2]], np.float32)
    assert fabric.paint(look, front)[1].all()
    assert not fabric.paint(look, front * [1, 1, -1])[1].any()


def test_fabric_is_the_same_each_time() -> None:
    points = np.random.default_rng(1).uniform(-5, 5, (500, 3)).astype(np.float32)
    look = fabric.Look(pattern="camouflage", relief="quilt", seed=11)
    assert (fabric.paint(look, points)[0] == fabric.paint(look, points)[0]).all()
    assert np.ptp(fabric.height(look, points)) > 0.1
    assert not fabric.height(fabric.Look(material="leather"), points).any()
    thresholds = fabric.strands(points)
    assert 0 <= thresholds.min() < 0.1
    assert 0.9 < thresholds.max() <= 1


def test_labels_of_patterns_are_labels() -> None:
    known = {entry.id for entry in LABELS}
    for named in fabric.PATTERN_LABELS.values():
        assert set(named.values()) <= known
    assert set(fabric.PATTERN_LABELS) == set(patterns.PATTERNS)


# What the twelve words mean in hue (degrees) and lightness is for people to say; black, white and grey are not.
def test_shades_keep_to_their_words() -> None:
    rng = np.random.default_rng(0)
    assert set(palette.WORDS) == set(COLOURS)
    for word, low, high in (("black", 0, 60), ("white", 200, 255), ("grey", 50, 215)):
        for _ in range(50):
            shade = palette.draw_shade(rng, word)
            channels = [int(shade[k : k + 2], 16) for k in (1, 3, 5)]
            assert low <= np.mean(channels) <= high
            assert np.ptp(channels) < 50
