# SPDX-License-Identifier: Apache-2.0
"""What is behind people: windows of photos without people that the user has, or scenes made up on the spot."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ..decode import decode_image
from ..errors import InputError
from ..types import ImageBgr
from .degrade import to_linear
from .figure import Floats

log = logging.getLogger(__name__)
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif"})
LONGEST_PX = 1600
KEPT = 6


def find_photos(folder: Path) -> tuple[Path, ...]:
    """All pictures below a folder, in the order of their relative names.

    Raises:
        InputError: `input_missing`, no such folder; `folder_empty`, no picture in it.
    """
    if not folder.is_dir():
        hint = "give a folder of photos without people, or leave --backgrounds out"
        raise InputError("input_missing", "no such folder of backgrounds", input=str(folder), hint=hint)
    found = [p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
    if not found:
        raise InputError("folder_empty", "no photo in the folder of backgrounds", input=str(folder))
    return tuple(sorted(found, key=lambda p: p.relative_to(folder).as_posix()))


@dataclass(slots=True, kw_only=True)
class Backgrounds:
    """Where backgrounds come from: `photos` (may be empty: then everything is made up). Keeps a few decoded ones."""

    photos: tuple[Path, ...] = ()
    _kept: OrderedDict[Path, ImageBgr] = field(default_factory=OrderedDict)

    def window(
        self, rng: np.random.Generator, size_hw: tuple[int, int], *, photo: int, horizon: float
    ) -> tuple[Floats, str]:
        """A piece of background.

        Args:
            size_hw: wanted size, px. photo: which one, any number; the same for neighbours saves decoding.
            horizon: row, px, for what is made up.
        Returns:
            (H, W, 3) float32 linear RGB, and the photo's name or "generated".
        """
        if self.photos:
            for attempt in range(5):
                path = self.photos[(photo + 7919 * attempt) % len(self.photos)]
                picture = self._read(path)
                if picture is not None:
                    return to_linear(_cut(rng, picture, size_hw)[..., ::-1] / np.float32(255)), path.name
        return made_up(rng, size_hw, horizon), "generated"

    def whole(
        self, rng: np.random.Generator, size_hw: tuple[int, int], *, photo: int, horizon: float
    ) -> tuple[Floats, str]:
        """A whole photo, cut to the wanted shape and resized; else as `window`."""
        if self.photos:
            path = self.photos[photo % len(self.photos)]
            picture = self._read(path)
            if picture is not None:
                height, width = picture.shape[:2]
                share = min(height / size_hw[0], width / size_hw[1])
                cut_hw = (round(size_hw[0] * share), round(size_hw[1] * share))
                top, left = height - cut_hw[0], (width - cut_hw[1]) // 2
                return to_linear(_resized(picture[top:, left : left + cut_hw[1]], size_hw)[..., ::-1] / 255), path.name
        return made_up(rng, size_hw, horizon), "generated"

    def _read(self, path: Path) -> ImageBgr | None:
        if path in self._kept:
            self._kept.move_to_end(path)
            return self._kept[path]
        try:
            picture = decode_image(path.read_bytes(), input=str(path))
        except (InputError, OSError) as error:
            log.warning("background left out: %s", error)
            return None
        shrink = LONGEST_PX / max(picture.shape[:2])
        if shrink < 1:
            picture = _resized(picture, (round(picture.shape[0] * shrink), round(picture.shape[1] * shrink)))
        self._kept[path] = picture
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return picture


def _resized(picture: ImageBgr, size_hw: tuple[int, int]) -> ImageBgr:
    shrinks = picture.shape[0] > size_hw[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size_hw[::-1], interpolation=how), np.uint8)


def _cut(rng: np.random.Generator, picture: ImageBgr, size_hw: tuple[int, int]) -> ImageBgr:
    """A window of the photo, more often from its lower half where the ground is, resized to size_hw."""
    height, width = picture.shape[:2]
    largest = min(height, width * size_hw[0] / size_hw[1])
    cut = largest * float(rng.uniform(0.35, 1.0))
    cut_h, cut_w = max(2, round(cut)), max(2, round(cut * size_hw[1] / size_hw[0]))
    top = round((height - cut_h) * float(rng.beta(2.2, 1.1)))
    left = round((width - cut_w) * float(rng.random()))
    piece = picture[top : top + cut_h, left : left + cut_w]
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    piece = _resized(piece, size_hw)
    if rng.random() < 0.35:  # out of focus behind the person
        piece = np.asarray(cv2.GaussianBlur(piece, (0, 0), float(rng.uniform(0.004, 0.014)) * size_hw[0]), np.uint8)
    return piece


def _smooth_noise(rng: np.random.Generator, size_hw: tuple[int, int], cells: float) -> Floats:
    """Soft noise (H, W) about 0, one bump every H / cells px."""
    height, width = size_hw
    rows, columns = max(2, round(cells) + 1), max(2, round(cells * width / height) + 1)
    coarse = rng.standard_normal((rows, columns)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def made_up(rng: np.random.Generator, size_hw: tuple[int, int], horizon: float) -> Floats:
    """A street that never was: wall, hedge or distance behind, ground with joints in front, a few things, out of focus.

    Args:
        horizon: its row, px, also outside the picture; walls may stand in front of it.
    Returns:
        (H, W, 3) float32 linear RGB.
    """
    height, width = size_hw
    # where the ground ends at a wall: on the horizon or below it
    horizon = round(float(np.clip(horizon + height * rng.uniform(0, 0.25), 0, 0.85 * height)))
    scene = np.empty((height, width, 3), np.float32)
    scene[:horizon] = _behind(rng, (max(horizon, 2), width))[:horizon]
    scene[horizon:] = _ground(rng, (height - horizon, width))
    for _ in range(int(rng.integers(0, 6))):
        _thing(rng, scene, horizon)
    soft = float(rng.uniform(0.003, 0.012)) * height
    scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), max(soft, 0.3)), np.float32).reshape(height, width, 3)
    fine = 1 + 0.02 * rng.standard_normal((height, width, 1), dtype=np.float32)
    return np.asarray((scene * fine * np.float32(np.exp(rng.normal(0, 0.3)))).clip(0.001, 1.0), np.float32)


def _tint(rng: np.random.Generator, low: float, high: float, colour: float) -> Floats:
    """A random colour of this brightness, (3,) linear."""
    return np.asarray(rng.uniform(low, high) * (1 + 0.6 * colour * rng.uniform(-1, 1, 3)), np.float32).clip(0.005, 1)


def _behind(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    height, width = size_hw
    kind = int(rng.integers(0, 3))
    base = np.broadcast_to(_tint(rng, 0.08, 0.55, 0.35), (height, width, 3)).copy()
    base *= (1 + 0.1 * _smooth_noise(rng, size_hw, 4))[..., None]
    if kind == 0:  # a front with windows
        step_x, step_y = width * float(rng.uniform(0.18, 0.6)), height * float(rng.uniform(0.25, 0.9))
        glass, frame = _tint(rng, 0.02, 0.2, 0.3), _tint(rng, 0.2, 0.8, 0.1)
        for x in np.arange(-step_x * float(rng.random()), width, step_x):
            for y in np.arange(-step_y * float(rng.random()), height, step_y):
                a, b = (round(x), round(y)), (round(x + 0.6 * step_x), round(y + 0.68 * step_y))
                cv2.rectangle(base, a, b, frame.tolist(), -1)
                pad = max(1, round(0.04 * step_x))
                cv2.rectangle(base, (a[0] + pad, a[1] + pad), (b[0] - pad, b[1] - pad), glass.tolist(), -1)
    elif kind == 1:  # leaves
        base = (
            _tint(rng, 0.06, 0.2, 0.2) * np.array([0.8, 1.1, 0.5], np.float32) * np.ones((height, width, 1), np.float32)
        )
        base *= np.exp(0.5 * _smooth_noise(rng, size_hw, 9) + 0.4 * _smooth_noise(rng, size_hw, 25))[..., None]
    else:  # sky above far houses
        edge = round(height * float(rng.uniform(0.2, 0.9)))
        sky = np.linspace(1.0, 0.7, max(edge, 1), dtype=np.float32)[:, None, None] * _tint(rng, 0.5, 0.9, 0.15)
        base[:edge] = sky
    return np.asarray(base, np.float32)


def _ground(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    """Pavement, road or grass, seen in perspective."""
    height, width = size_hw
    base = np.broadcast_to(_tint(rng, 0.08, 0.42, 0.12), (height, width, 3)).copy()
    base *= (1 + 0.12 * _smooth_noise(rng, size_hw, 6) + 0.05 * _smooth_noise(rng, size_hw, 30))[..., None]
    if rng.random() < 0.6:
        depth = 1 / (np.arange(height, dtype=np.float32) / max(height, 1) + 0.12)
        across = (np.arange(width, dtype=np.float32) - width * float(rng.random()))[None] * depth[:, None] / width
        tile = float(rng.uniform(0.5, 3.0))
        joints = (np.abs((across * tile) % 1) < 0.05) | (np.abs((depth * tile)[:, None] % 1) < 0.06)
        base[joints] *= float(rng.uniform(0.7, 0.92))
    if rng.random() < 0.25:  # a kerb or a painted line
        y = round(height * float(rng.uniform(0.1, 0.9)))
        thick = max(1, round(height * 0.05))
        cv2.line(
            base, (0, y), (width, y + round(rng.uniform(-0.2, 0.2) * height)), _tint(rng, 0.4, 0.8, 0.1).tolist(), thick
        )
    return np.asarray(base, np.float32)


def _thing(rng: np.random.Generator, scene: Floats, horizon: int) -> None:
    """A box, a post or a bush that stands on the ground, drawn in place."""
    height, width = scene.shape[:2]
    foot = horizon + round((height - horizon) * float(rng.uniform(0.0, 0.5)))
    middle, tall = round(width * float(rng.random())), round(height * float(rng.uniform(0.1, 0.6)))
    colour = _tint(rng, 0.02, 0.5, 0.5).tolist()
    if rng.random() < 0.35:
        cv2.line(scene, (middle, foot), (middle, foot - 2 * tall), colour, max(1, round(0.02 * height)))
        return
    half = round(tall * float(rng.uniform(0.3, 1.2)))
    cv2.rectangle(scene, (middle - half, foot - tall), (middle + half, foot), colour, -1)
    cv2.rectangle(
        scene, (middle - half, foot - tall), (middle + half, foot - tall // 2), (np.array(colour) * 1.3).tolist(), -1
    )
