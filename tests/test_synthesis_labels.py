# SPDX-License-Identifier: Apache-2.0
"""Labels say what a picture shows: pixels decide between yes, no and unknown. Needs the shared CC0 assets in part."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest

pytest.importorskip("numba")

from passerby.models.pa100k import GROUPS
from passerby.synthesis import scene
from passerby.synthesis.camera import View, camera_for
from passerby.synthesis.crops import CropOptions, draw_crop, render_crop
from passerby.synthesis.figure import BodyShape, Pose
from passerby.synthesis.light import sample_light
from passerby.synthesis.parts import PART_IDS, PARTS
from passerby.synthesis.people import Carried, Garment, Look, PersonSpec, Wardrobe, build_person
from passerby.synthesis.scene import BAND_IDS, BANDS, Figure, Layer
from passerby.synthesis.textures import TextureStore
from passerby.synthesis.visible_labels import LABELS, Evidence, count_pixels, view_of, visible_labels

from .conftest import shared

WORN = ("age_18_60", "female", "long_sleeve", "trousers", "backpack", "upper_logo")
SPEC = PersonSpec(
    name="walker",
    shape=BodyShape(gender=0.1, years=35),
    pose=Pose(stride=0.8, phase=0.1),
    skin="young_lightskinned_female_diffuse2",
    hair="bob02",
    garments=(
        Garment(piece="trousers", look=Look(colour="#2f4d86")),
        Garment(piece="long_tee", look=Look(colour="#a8242a", second="#f0e0d0", pattern="logo")),
        Garment(piece="shoes/shoes01", look=Look(), own_texture=True),
    ),
    carried=(Carried(kind="backpack"),),
    attributes=WORN,
    upper_colour="red",
    lower_colour="blue",
)
Table = Mapping[str, int]


@pytest.fixture(scope="module")
def wardrobe() -> Wardrobe:
    return Wardrobe.open(shared("data/makehuman"))


@pytest.fixture(scope="module")
def figure(wardrobe: Wardrobe) -> Figure:
    return scene.pack(build_person(wardrobe, SPEC))


def seen_from(figure: Figure, heading: float) -> tuple[Layer, Figure]:
    turned = scene.placed(figure, heading=heading - figure.yaw)
    view = View(height_m=1.6, distance_m=8, roll=0, aside=0, native_px=200)
    camera = camera_for(view, turned.points)
    light_now = sample_light(np.random.default_rng(0), night=0)
    return scene.draw_layer(turned, camera, (202, 150), light_now, TextureStore()), turned


def told(figure: Figure, heading: float, *, hide: tuple[float, float] = (0, 0), **changes: object) -> Table:
    """Labels by id, with the rows between two shares of the height hidden by something."""
    layer, turned = seen_from(figure, heading)
    visible = np.ones(layer.parts.shape, bool)
    rows = [round(share * len(visible)) for share in hide]
    visible[rows[0] : rows[1]] = False
    evidence = Evidence(
        **count_pixels(layer, visible),
        yaw=heading,
        sharp_px=190.0,
        brightness=0.4,
    )
    values = visible_labels(dataclasses.replace(evidence, **changes), SPEC, turned)
    return {label.id: int(value) for label, value in zip(LABELS, values, strict=True)}


def test_from_behind_the_backpack_is_there_and_the_logo_is_not(figure: Figure) -> None:
    labels = told(figure, 180)
    assert labels["backpack"] == 1
    assert labels["upper_logo"] == 0
    assert labels["glasses"] == -1
    assert (labels["front"], labels["side"], labels["back"]) == (0, 0, 1)


def test_from_the_front_everything_that_is_worn_is_told(figure: Figure) -> None:
    labels = told(figure, 0)
    expected = {"long_sleeve": 1, "short_sleeve": 0, "trousers": 1, "shorts": 0, "upper_logo": 1, "upper_plaid": 0}
    expected |= {"front": 1, "female": 1, "age_18_60": 1, "hat": 0, "glasses": 0, "hand_bag": 0, "long_coat": 0}
    expected |= {"upper_red": 1, "upper_blue": 0, "lower_blue": 1, "boots": 0}
    assert {name: labels[name] for name in expected} == expected


def test_hidden_legs_make_the_lower_body_unknown_and_nothing_else(figure: Figure) -> None:
    labels = told(figure, 0, hide=(0.45, 1.0))
    for name in ("trousers", "shorts", "skirt_dress", "boots", "lower_stripe", "lower_blue", "long_coat"):
        assert labels[name] == -1, name
    assert labels["upper_red"] == 1
    assert labels["hat"] == 0


def test_a_hidden_head_makes_hat_and_glasses_unknown(figure: Figure) -> None:
    labels = told(figure, 0, hide=(0.0, 0.2))
    assert labels["hat"] == labels["glasses"] == -1
    assert labels["trousers"] == 1


def test_a_print_in_the_colour_of_the_cloth_is_not_told(wardrobe: Wardrobe) -> None:
    top = Garment(piece="long_tee", look=Look(colour="#802020", second="#84231f", third="#7f2121", pattern="logo"))
    spec = dataclasses.replace(SPEC, garments=(SPEC.garments[0], top, SPEC.garments[2]), carried=())
    assert told(scene.pack(build_person(wardrobe, spec)), 0)["upper_logo"] != 1


def test_a_bag_behind_something_is_unknown_not_absent(figure: Figure) -> None:
    assert told(figure, 180, hide=(0.1, 0.6))["backpack"] == -1


def test_small_dark_and_grey_pictures_tell_less(figure: Figure) -> None:
    every = told(figure, 0)
    small, dark, grey = told(figure, 0, sharp_px=40.0), told(figure, 0, brightness=0.02), told(figure, 0, grey=True)
    assert small["glasses"] == small["upper_logo"] == small["boots"] == -1
    assert small["trousers"] == 1
    assert set(dark.values()) == {-1}
    assert all(grey[f"upper_{word}"] == -1 for word in ("red", "black"))
    for less in (small, dark, grey):
        assert all(value in (-1, every[name]) for name, value in less.items())


def test_exclusive_groups_never_contradict_themselves(figure: Figure) -> None:
    for heading in (0, 60, 120, 200, 300):
        labels = told(figure, heading, hide=(0.3, 0.5))
        for group in GROUPS:
            values = [labels[label.id] for label in LABELS if label.group == group.id]
            assert sorted(values) in ([-1] * len(values), [0] * (len(values) - 1) + [1]), group.id


def test_the_trunk_decides_the_view() -> None:
    assert [view_of(a) for a in (0, 30, -30, 90, -90, 180, -170, 359)] == [
        *("front", "front", "front", "side", "side", "back", "back", "front")
    ]
    assert view_of(45) is view_of(-135) is None


def test_the_yaw_of_a_turned_figure_is_the_turn(figure: Figure) -> None:
    assert scene.placed(figure, heading=70).yaw == pytest.approx(figure.yaw + 70)
    assert abs(figure.yaw) < 25  # a walker's trunk is nearly straight


def test_parts_and_bands_lie_where_they_belong(figure: Figure) -> None:
    layer, _ = seen_from(figure, 0)
    rows = {name: np.nonzero(layer.bands == BAND_IDS[name])[0].mean() for name in BANDS if name != "forearms"}
    order = [rows[name] for name in ("head", "chest", "hips", "thighs", "shins", "feet")]
    assert order == sorted(order)
    shoes = np.nonzero(layer.parts == PART_IDS["shoes"])[0]
    hair = np.nonzero(layer.parts == PART_IDS["hair"])[0]
    assert hair.mean() < 0.2 * len(layer.parts)
    assert shoes.mean() > 0.85 * len(layer.parts)
    assert layer.parts.max() <= len(PARTS)


def test_nobody_is_black_transparent_or_blown_out(figure: Figure) -> None:
    for heading in (0, 90, 180):
        layer, _ = seen_from(figure, heading)
        inside = layer.alpha > 0.99
        assert inside.mean() > 0.1
        light_of = layer.rgb[inside].mean(axis=1)
        assert 0.02 < np.median(light_of) < 0.8
        skin = layer.rgb[:40][inside[:40]].mean()
        assert skin > 0.02, heading


def test_shadows_darken_the_ground_at_the_feet_and_nowhere_far(figure: Figure) -> None:
    layer, _ = seen_from(figure, 0)
    assert layer.shade.max() <= 1.0001
    assert layer.shade[-30:].min() < 0.75


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(wardrobe: Wardrobe) -> None:
    options = CropOptions(size_hw=(64, 48), highest_px=60)
    one, two, three = (render_crop(SPEC, assets=wardrobe, seed=s, options=options) for s in (5, 5, 6))
    assert (one.image_bgr == two.image_bgr).all()
    assert one.parameters == two.parameters
    assert (one.labels == two.labels).all()
    assert one.image_bgr.shape == (64, 48, 3)
    assert (one.image_bgr != three.image_bgr).any()


def test_other_people_hide_but_add_no_labels(wardrobe: Wardrobe, figure: Figure) -> None:
    from passerby.synthesis.backgrounds import Backgrounds
    from passerby.synthesis.crops import Stage

    options = CropOptions(size_hw=(64, 48), company=1.0, cut=0.0, occluded=0.0, lowest_px=120, highest_px=120, night=0)
    bare = dataclasses.replace(SPEC, carried=(), attributes=tuple(a for a in WORN if a != "backpack"))
    main = scene.pack(build_person(wardrobe, bare))
    stage = Stage(store=TextureStore(), backgrounds=Backgrounds(), options=options)
    column = [label.id for label in LABELS].index("backpack")
    for seed in range(4):
        crop = draw_crop(np.random.default_rng(seed), bare, main, stage, others=[figure], photo=0)
        assert crop.parameters["company"] >= 1
        assert crop.labels[column] in (0, -1)
        assert 0 <= crop.parameters["visible"] <= 1
