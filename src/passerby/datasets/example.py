# SPDX-License-Identifier: Apache-2.0
"""Small data sets of drawn figures: enough to walk the whole way from folder to model in minutes, and for tests.

The figures are cartoons. They show the layout of a data set and that training works; they teach nothing about people.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import OutputError
from ..files import atomic_write, encode_image
from ..types import ImageBgr

LABELS = ("Hat(帽子)", "Backpack(背包)", "HighVis(反光背心)", "Trousers(长裤)", "Shorts(短裤)", "Skirt(裙子)")
LABELS_YAML = """\
# What label.txt cannot say: ids, groups, thresholds. Everything but the name may be left out.
labels:
  - {name: "Hat(帽子)", id: hat}
  - {name: "Backpack(背包)", id: backpack}
  - {name: "HighVis(反光背心)", id: high_vis, en: high-visibility vest, zh: 反光背心, threshold: 0.6}
  - {name: "Trousers(长裤)", id: trousers, group: lower}
  - {name: "Shorts(短裤)", id: shorts, group: lower}
  - {name: "Skirt(裙子)", id: skirt, group: lower}
groups:
  - {id: lower, en: Lower garment, exclusive: true}
"""
CAMERAS = ("north", "south")
CROP_HW = (160, 80)
STREET_HW = (240, 320)
SKINS = ((125, 160, 220), (90, 125, 190), (60, 85, 140), (40, 55, 95))  # BGR
VEST, STRIPE = (40, 235, 215), (225, 225, 225)
UNKNOWN_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What a drawn person wears; `lower` is a place in Trousers, Shorts, Skirt."""

    hat: bool
    backpack: bool
    high_vis: bool
    lower: int

    @property
    def targets(self) -> list[int]:
        """In the order of `LABELS`."""
        return [int(self.hat), int(self.backpack), int(self.high_vis), *(int(self.lower == i) for i in range(3))]


def write_attribute_example(folder: Path, *, count: int = 240, seed: int = 0) -> None:
    """Write `count` crops of drawn figures in the layout MLClsDataset, a quarter of them for val.

    Six labels with an exclusive group, one of twenty values unknown, and a camera for each picture in `groups.csv`.

    Raises:
        OutputError: `output_conflict`, the folder is not empty; `output_full`, `output_unwritable`.
    """
    _must_be_empty(folder)
    rng = np.random.default_rng(seed)
    lines: list[str] = []
    groups = ["path,camera"]
    for number in range(count):
        camera = int(rng.integers(len(CAMERAS)))
        figure = _dressed(rng)
        height, width = CROP_HW
        picture = _background(rng, CROP_HW, dark=camera == 1)
        draw_figure(picture, figure, centre_x=width / 2 + rng.uniform(-4, 4), foot_y=height - 6, height=140, rng=rng)
        name = f"images/{number:04d}.png"
        atomic_write(folder / name, encode_image(_grainy(picture, rng), ".png"))
        values = [-1 if rng.random() < UNKNOWN_SHARE else value for value in figure.targets]
        lines.append(f"{name}\t{','.join(map(str, values))}\n")
        groups.append(f"{name},{CAMERAS[camera]}")
    val = count // 4
    _write_text(folder / "train.txt", "".join(lines[val:]))
    _write_text(folder / "val.txt", "".join(lines[:val]))
    _write_text(folder / "label.txt", "".join(f"{i} {name}\n" for i, name in enumerate(LABELS)))
    _write_text(folder / "labels.yaml", LABELS_YAML)
    _write_text(folder / "groups.csv", "\n".join(groups) + "\n")


def write_detection_example(folder: Path, *, count: int = 80, seed: int = 0) -> None:
    """Write `count` drawn streets with 0 to 4 figures in the layout COCODetDataset, a quarter of them for val.

    Raises:
        OutputError: as `write_attribute_example`.
    """
    _must_be_empty(folder)
    rng = np.random.default_rng(seed)
    val = count // 4
    for split, numbers in (("val", range(val)), ("train", range(val, count))):
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number in numbers:
            picture, boxes = _street(rng)
            name = f"{number:04d}.png"
            atomic_write(folder / "images" / name, encode_image(_grainy(picture, rng), ".png"))
            height, width = STREET_HW
            images.append({"id": number + 1, "file_name": name, "width": width, "height": height})
            for x1, y1, x2, y2 in boxes:
                box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
                annotations.append({"id": len(annotations) + 1, "image_id": number + 1, "category_id": 1, **box})
        document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "pedestrian"}]}
        _write_text(folder / f"annotations/instance_{split}.json", json.dumps(document, indent=1))


def draw_figure(
    picture: ImageBgr, figure: Figure, *, centre_x: float, foot_y: float, height: float, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Draw a figure into a picture, in place.

    Args:
        picture: (H, W, 3) uint8 BGR.
        centre_x, foot_y, height: px of the picture.
        rng: decides colours and the width of the stride.
    Returns:
        its box x1 y1 x2 y2, px, inside the picture.
    """
    skin = SKINS[int(rng.integers(len(SKINS)))]
    upper, lower, dark = _colour(rng), _colour(rng), tuple(int(v) for v in rng.integers(15, 70, 3))
    stride = float(rng.uniform(0.02, 0.08))
    before = picture.copy()

    def at(x: float, y: float) -> tuple[int, int]:  # shares of the height from the middle of the feet
        return round(centre_x + x * height), round(foot_y - y * height)

    def limb(start: tuple[float, float], end: tuple[float, float], colour: tuple[int, ...], width: float) -> None:
        cv2.line(picture, at(*start), at(*end), colour, max(1, round(width * height)), cv2.LINE_AA)

    if figure.backpack:
        cv2.ellipse(picture, at(-0.13, 0.64), (round(0.08 * height), round(0.15 * height)), 0, 0, 360, dark, -1)
    for side in (-1, 1):
        bare = lower if figure.lower == 0 else skin
        limb((0.04 * side, 0.45), (stride * side * 1.5, 0.02), bare, 0.075)
        if figure.lower == 1:
            limb((0.04 * side, 0.45), (stride * side, 0.27), lower, 0.085)
        limb((stride * side * 1.5, 0.02), ((stride + 0.03) * side * 1.5, 0.01), dark, 0.03)
        limb((0.09 * side, 0.78), (0.14 * side, 0.46), upper, 0.055)
        limb((0.14 * side, 0.46), (0.14 * side, 0.43), skin, 0.045)
    if figure.lower == 2:
        corners = np.array([at(-0.08, 0.5), at(0.08, 0.5), at(0.15, 0.24), at(-0.15, 0.24)], np.int32)
        cv2.fillConvexPoly(picture, corners, lower, cv2.LINE_AA)
    torso = VEST if figure.high_vis else upper
    cv2.rectangle(picture, at(-0.09, 0.81), at(0.09, 0.46), torso, -1, cv2.LINE_AA)
    if figure.high_vis:
        for y in (0.56, 0.66):
            limb((-0.085, y), (0.085, y), STRIPE, 0.02)
    cv2.circle(picture, at(0, 0.9), max(1, round(0.07 * height)), skin, -1, cv2.LINE_AA)
    hair = 180 if not figure.hat else 0
    cv2.ellipse(picture, at(0, 0.92), (round(0.072 * height),) * 2, 0, 180, 180 + hair, dark, -1, cv2.LINE_AA)
    if figure.hat:
        cv2.ellipse(picture, at(0, 0.93), (round(0.08 * height), round(0.075 * height)), 0, 180, 360, upper, -1)
        limb((-0.13, 0.93), (0.13, 0.93), upper, 0.02)
    rows, columns = np.nonzero((picture != before).any(axis=2))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def _dressed(rng: np.random.Generator) -> Figure:
    hat, backpack, high_vis = (bool(rng.random() < share) for share in (0.4, 0.3, 0.3))
    return Figure(hat=hat, backpack=backpack, high_vis=high_vis, lower=int(rng.integers(3)))


def _street(rng: np.random.Generator) -> tuple[ImageBgr, list[tuple[int, int, int, int]]]:
    """A street and the boxes of its figures, the nearest drawn last; no figure covers much of another."""
    height, width = STREET_HW
    picture = _background(rng, STREET_HW, dark=bool(rng.random() < 0.3))
    places = rng.permutation(np.linspace(35, width - 35, 5))[: int(rng.integers(0, 5))]
    sizes = np.sort(rng.uniform(60, 170, len(places)))
    boxes = []
    for centre_x, size in zip(places, sizes, strict=True):
        foot_y = min(height - 4.0, height * 0.5 + size * 0.6)
        boxes.append(draw_figure(picture, _dressed(rng), centre_x=centre_x, foot_y=foot_y, height=size, rng=rng))
    return picture, boxes


def _background(rng: np.random.Generator, size_hw: tuple[int, int], *, dark: bool) -> ImageBgr:
    """Wall, windows and pavement."""
    height, width = size_hw
    picture = np.empty((height, width, 3), np.uint8)
    horizon = round(height * rng.uniform(0.55, 0.7))
    picture[:horizon] = rng.integers(90, 200, 3)
    picture[horizon:] = rng.integers(100, 170)
    for left in range(int(rng.integers(5, 20)), width, int(rng.integers(35, 60))):
        top = round(height * 0.12)
        cv2.rectangle(picture, (left, top), (left + 18, top + 26), _colour(rng), -1)
    # sun and shade: without them two crops of the same clothes are near copies
    light = cv2.resize(rng.uniform(0.6, 1.2, (4, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    shade = 0.45 if dark else 1.0
    return np.asarray(np.clip(picture * light[:, :, None] * shade, 0, 255), np.uint8)


def _grainy(picture: ImageBgr, rng: np.random.Generator) -> ImageBgr:
    noise = rng.normal(0, 5, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    blue, green, red = (int(v) for v in rng.integers(30, 230, 3))
    return blue, green, red


def _must_be_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError("output_conflict", "the folder is not empty", input=str(folder), hint="name a new one")


def _write_text(path: Path, text: str) -> None:
    atomic_write(path, text.encode("utf-8"))
