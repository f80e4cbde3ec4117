# SPDX-License-Identifier: Apache-2.0
"""The inner loops of the renderer on shapes whose picture is known: triangles, planes, a ball over the ground."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from passerby.synthesis import camera as cameras
from passerby.synthesis import light, raster, streets
from passerby.synthesis.degrade import Sensor, develop, to_linear, to_srgb

UV = np.zeros((1, 3, 2), np.float32)
STRANDS = np.zeros((2, 2), np.float32)


def shape(triangles: list[tuple[int, int, int]], surface: list[int] | None = None, uv: object = None) -> raster.Shape:
    count = max(max(t) for t in triangles) + 1
    return raster.Shape(
        triangles=np.array(triangles, np.int32),
        surface=np.array(surface or [0] * len(triangles), np.int32),
        corner_uv=np.zeros((len(triangles), 3, 2), np.float32) if uv is None else np.asarray(uv, np.float32),
        pattern=np.zeros((count, 3), np.float32),
        cover=np.ones(count, np.float32),
    )


def holes(kinds: list[int], texels: object = (0,), places: object = ((-1, 1, 1),)) -> raster.Holes:
    pictures = raster.Textures(texels=np.asarray(texels, np.uint8).ravel(), places=np.asarray(places, np.int64))
    return raster.Holes(kinds=np.array(kinds, np.int8), pictures=pictures, thresholds=STRANDS)


def drawn(
    screen: object, what: raster.Shape, through: raster.Holes, size: tuple[int, int] = (20, 30)
) -> raster.Buffers:
    buffers = raster.new_buffers(*size)
    raster.draw(np.asarray(screen, np.float32), what, through, buffers)
    return buffers


SQUARE = [(5, 5, 2), (15, 5, 2), (15, 15, 2), (5, 15, 2)]
HALVES = [(0, 1, 2), (0, 2, 3)]


def test_two_triangles_fill_their_square_once_and_nothing_else() -> None:
    found = drawn(SQUARE, shape(HALVES), holes([0])).face
    assert (found >= 0).sum() == 100
    assert (found[5:15, 5:15] >= 0).all()


def test_both_sides_are_drawn() -> None:
    turned = [(0, 2, 1), (0, 3, 2)]
    assert (drawn(SQUARE, shape(turned), holes([0])).face[5:15, 5:15] >= 0).all()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_surface_wins_in_any_order(order: tuple[int, int]) -> None:
    near = [(x, y, 1) for x, y, _ in SQUARE]
    points = SQUARE + near if order == (0, 1) else near + SQUARE
    what = shape([*HALVES, (4, 5, 6), (4, 6, 7)], [order[0]] * 2 + [order[1]] * 2)
    found = drawn(points, what, holes([0, 0], places=[(-1, 1, 1)] * 2))
    assert (what.surface[found.face[5:15, 5:15]] == 1).all()
    assert found.nearness[10, 10] == pytest.approx(1.0)


def test_what_is_behind_the_camera_or_outside_is_left_out() -> None:
    behind = [(5, 5, 2), (15, 5, -1), (15, 15, 2), (5, 15, 2)]
    assert (drawn(behind, shape([(0, 1, 2)]), holes([0])).face < 0).all()
    outside = [(x + 100, y, z) for x, y, z in SQUARE]
    assert (drawn(outside, shape(HALVES), holes([0])).face < 0).all()


def test_alpha_cuts_holes_and_half_alpha_cuts_about_half() -> None:
    uv = [[(0, 1), (1, 1), (1, 0)], [(0, 1), (1, 0), (0, 0)]]
    screen = [(0, 0, 2), (80, 0, 2), (80, 80, 2), (0, 80, 2)]
    for alpha, low, high in ((0, 0, 0), (255, 1, 1), (128, 0.4, 0.6)):
        texels = [(200, 100, 50, 255), (200, 100, 50, alpha)]  # left half solid, right half alpha
        found = drawn(screen, shape(HALVES, uv=uv), holes([raster.BY_PICTURE], texels, [(0, 1, 2)]), (80, 80)).face >= 0
        assert found[:, :40].all()
        assert low <= found[:, 40:].mean() <= high


def test_strands_appear_where_the_cover_exceeds_the_threshold() -> None:
    what = shape(HALVES)._replace(cover=np.array([0, 1, 1, 0], np.float32))
    through = holes([raster.BY_STRANDS])._replace(thresholds=np.full((8, 8), 0.5, np.float32))
    found = drawn(SQUARE, what, through).face[5:15, 5:15] >= 0
    assert not found[:, :5].any()
    assert found[:, 5:].all()


def test_samples_carry_what_the_corners_know() -> None:
    what = shape(HALVES)
    buffers = drawn(SQUARE, what, holes([0]))
    points = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], np.float32)
    normals = np.tile(np.array([0, 0, 1], np.float32), (4, 1))
    found = raster.gather(buffers, what, points, normals, np.ones(4, np.float32))
    assert len(found.face) == 100
    assert np.allclose(found.point[:, 0], (found.column + 0.5 - 5) / 10, atol=1e-5)
    assert np.allclose(found.sky, 1, atol=1e-5)


def ball(middle: tuple[float, float, float], radius: float) -> tuple[np.ndarray, np.ndarray]:
    around, up = np.meshgrid(np.linspace(0, 2 * np.pi, 25)[:-1], np.linspace(-np.pi / 2, np.pi / 2, 13))
    points = np.stack([np.cos(up) * np.sin(around), np.sin(up), np.cos(up) * np.cos(around)], -1).reshape(-1, 3)
    rows, columns = np.meshgrid(np.arange(12), np.arange(24), indexing="ij")
    a, b = rows * 24 + columns, rows * 24 + (columns + 1) % 24
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, b + 24), (a, b + 24, a + 24))])
    return (points * radius + middle).astype(np.float32), triangles.astype(np.int32)


def test_normals_of_a_ball_point_away_from_its_middle() -> None:
    points, triangles = ball((0, 0, 0), 1.0)
    normals = raster.vertex_normals(points, triangles)
    inner = np.abs(points[:, 1]) < 0.99  # the poles are rings of length zero
    assert ((normals * points).sum(axis=1)[inner] > 0.95).all()


def test_a_ball_over_the_ground_shades_what_lies_behind_it() -> None:
    points, triangles = ball((0, 1, 0), 0.5)
    towards = np.array([0, 1, 0], np.float32)
    sun = raster.light_map(points, towards, raster.bounds(points), size=128, triangles=triangles)
    assert raster.lit_share(sun, 0.0, 0.0, 0.0, 0.01) == 0
    assert raster.lit_share(sun, 0.9, 0.0, 0.0, 0.01) == 1
    assert raster.lit_share(sun, 0.0, 1.51, 0.0, 0.02) == 1  # above the ball


def test_an_open_level_surface_gets_the_whole_sky() -> None:
    total = sum(weight * float(way[1]) for way, weight in light.SKY_WAYS)
    assert total == pytest.approx(1)


def test_the_camera_puts_things_where_they_belong() -> None:
    camera = cameras.aimed((0, 1.5, 10), (0, 1.5, 0), focal_px=1000)
    x, y, depth = camera.project(np.array([[0, 1.5, 0], [1, 1.5, 0], [0, 2.5, 0]], np.float32)).T
    assert np.allclose(depth, 10)
    assert np.allclose(x, [0, 100, 0], atol=1e-3)
    assert np.allclose(y, [0, 0, -100], atol=1e-3)
    assert camera.horizon() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("seed", range(8))
def test_ground_points_project_back_to_their_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    view = cameras.sample_view(rng)
    points, _ = ball((0, 0.9, 0), 0.9)
    camera = cameras.camera_for(view, points)
    box = raster.bounds(camera.project(points))
    assert box[0, 1] == pytest.approx(0, abs=0.01)
    assert box[1, 1] == pytest.approx(view.native_px, rel=1e-3)
    x, y = np.array([[5.0, 20.0]]), np.array([[0.9, 0.97]]) * view.native_px
    world_x, world_z, ground = camera.ground_points(x, y)
    assert ground.all()
    world = np.stack([world_x, np.zeros_like(world_x), world_z], -1).reshape(-1, 3)
    assert np.allclose(camera.project(world)[:, :2], np.stack([x, y], -1).reshape(-1, 2), atol=0.05)


def test_srgb_and_back_is_the_identity() -> None:
    values = np.linspace(0, 1, 101)
    assert np.allclose(to_linear(to_srgb(values)), values, atol=1e-6)


def test_a_clean_sensor_changes_little() -> None:
    sensor = Sensor(
        blur_px=0, motion_px=0, motion_degrees=0, balance=(1, 1, 1), exposure=1, contrast=1, noise=0, grain_px=0.5,
        quality=98, sharpen=0, grey=False,
    )  # fmt: skip
    scene = np.full((40, 30, 3), (0.1, 0.2, 0.4), np.float32)
    picture = develop(scene, sensor, np.random.default_rng(0))
    assert picture.shape == (40, 30, 3)
    assert np.abs(picture[..., ::-1] / 255 - to_srgb(scene)).max() < 0.03


def test_run_lengths_unfold_to_the_mask() -> None:
    rng = np.random.default_rng(0)
    for share in (0.0, 0.3, 1.0):
        mask = rng.random((7, 5)) < share
        coded = streets.run_lengths(mask)
        values = np.repeat(np.arange(len(coded["counts"])) % 2 == 1, coded["counts"])
        assert (values.reshape(coded["size"], order="F") == mask).all()
