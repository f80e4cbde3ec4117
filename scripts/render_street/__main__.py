"""Command line of the street picture: builds the scene, renders it, writes the true boxes beside it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import bpy
import numpy as np
from PIL import Image

from passerby.synthesis.people import Wardrobe, build_person

from . import figures, people, street

SEED = 11
WIDTH, HEIGHT = 1280, 720


def main() -> None:
    options = _options()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    street.add_light()
    street.add_camera()
    bpy.context.view_layer.update()
    if options.no_street:
        bpy.ops.mesh.primitive_plane_add(size=200)
    else:
        street.build_street(SEED)
    truth = _add_people(options)
    if options.truth:
        options.truth.write_text(json.dumps({"width": WIDTH, "height": HEIGHT, "persons": truth}, indent=1) + "\n")
    scene.render.resolution_percentage = options.percent
    _render(options)
    if options.jpeg:
        _develop(options.out, options.jpeg)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="render_street", description=__doc__)
    parser.add_argument("--assets", type=Path, required=True, help="folder of the MakeHuman CC0 subset")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument("--truth", type=Path, help="JSON to write: box and attributes of every person")
    parser.add_argument("--jpeg", type=Path, help="JPEG to write from it, with a little grain")
    parser.add_argument("--percent", type=int, default=100, help="of the full size; 25 for a preview")
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--minutes", type=float, default=0, help="stop sampling after this time; 0 for no limit")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-street", action="store_true", help="people on bare ground, for a look at them")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the people to add")
    return parser.parse_args()


def _add_people(options: argparse.Namespace) -> list[dict[str, object]]:
    wardrobe = Wardrobe.open(options.assets)
    truth: list[dict[str, object]] = []
    for number, (spec, place, heading) in enumerate(people.PLACES):
        if options.only is not None and number not in options.only:
            continue
        meshes = build_person(wardrobe, spec)
        for mesh in meshes:
            figures.add_mesh(mesh, place, heading)
        box = figures.box_in_picture(meshes, place, heading)
        truth.append({"name": spec.name, "box_xyxy": box, "attributes": list(spec.attributes)})
    return truth


def _render(options: argparse.Namespace) -> None:
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.threads_mode, scene.render.threads = "FIXED", options.threads
    cycles = scene.cycles
    cycles.samples, cycles.seed = options.samples, SEED
    cycles.use_adaptive_sampling, cycles.adaptive_threshold = True, 0.03
    cycles.time_limit = 60 * options.minutes
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 6, 3, 2
    cycles.transparent_max_bounces = 24
    cycles.sample_clamp_indirect = 6.0
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.look = "AgX - Medium High Contrast"
    scene.view_settings.use_white_balance = True
    scene.view_settings.white_balance_temperature = 5900  # the low sun is warm; people should not be orange
    scene.render.image_settings.file_format = "PNG"
    scene.render.filepath = str(options.out.resolve())
    bpy.ops.render.render(write_still=True)


def _develop(png: Path, jpeg: Path) -> None:
    """Give the denoised picture the grain and the darker corners of a photograph, and save it as JPEG."""
    picture = np.asarray(Image.open(png).convert("RGB"), np.float32)
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    rng = np.random.default_rng(SEED)
    grain = rng.normal(size=(height + 1, width + 1)).astype(np.float32)
    grain = (grain[:-1, :-1] + grain[1:, :-1] + grain[:-1, 1:] + grain[1:, 1:]) / 2
    light = picture.mean(axis=2) / 255
    strength = 1.9 * np.sqrt(np.clip(light * (1.15 - light), 0.02, None)) * 2
    developed = picture * (1 - 0.07 * (x**2 + y**2))[:, :, None] + (grain * strength)[:, :, None]
    Image.fromarray(developed.clip(0, 255).astype(np.uint8)).save(jpeg, quality=90, optimize=True)


main()
