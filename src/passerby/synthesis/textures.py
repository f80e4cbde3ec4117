# SPDX-License-Identifier: Apache-2.0
"""Pictures of skins, clothes and hair in memory, read once a process and in two sizes: far figures need small ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .raster import Textures

SIDES = (512, 192)  # longest side, px, of the two sizes
_START_BYTES = 8 << 20


class TextureStore:
    """Every picture used so far, one behind the other in one array. Not safe for threads; one a process."""

    def __init__(self) -> None:
        self._texels = np.zeros(_START_BYTES, np.uint8)
        self._used = 0
        self._places: dict[tuple[str, int], tuple[int, int, int, bool]] = {}

    def place(self, texture: Path | NDArray[np.uint8], *, size: int) -> tuple[int, int, int, bool]:
        """Offset, height, width and whether the picture has holes.

        Args:
            texture: a file, or (H, W, 4) uint8 RGBA.
            size: row of `SIDES`.
        Raises:
            InputError: `input_missing`, `image_corrupt`.
        """
        if not isinstance(texture, Path):
            return self._add(texture, size)
        key = (str(texture), size)
        if key not in self._places:
            self._places[key] = self._add(_read(texture), size)
        return self._places[key]

    def _add(self, picture: NDArray[np.uint8], size: int) -> tuple[int, int, int, bool]:
        height, width = picture.shape[:2]
        shrink = SIDES[size] / max(height, width)
        if shrink < 1:
            wanted = (max(1, round(width * shrink)), max(1, round(height * shrink)))
            picture = np.asarray(cv2.resize(picture, wanted, interpolation=cv2.INTER_AREA), np.uint8)
        height, width = picture.shape[:2]
        end = self._used + picture.size
        if end > len(self._texels):
            self._texels = np.concatenate([self._texels, np.zeros(max(len(self._texels), picture.size), np.uint8)])
        self._texels[self._used : end] = picture.ravel()
        place = (self._used, height, width, bool((picture[..., 3] < 250).any()))
        self._used = end
        return place

    def tables(self, places: list[tuple[int, int, int, bool] | None]) -> Textures:
        """The tables of a scene whose surfaces have these pictures."""
        rows = [(-1, 1, 1, False) if place is None else place for place in places]
        return Textures(texels=self._texels, places=np.array([row[:3] for row in rows], np.int64).reshape(-1, 3))


def _read(path: Path) -> NDArray[np.uint8]:
    """(H, W, 4) uint8 RGBA. The asset files are ours and checked, so OpenCV reads them: our decoder drops alpha."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError:
        raise InputError("input_missing", "a texture of the assets is missing", input=str(path)) from None
    found: Any = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if found is None:
        raise InputError("image_corrupt", "a texture of the assets cannot be read", input=str(path))
    if found.ndim == 2:
        found = cv2.cvtColor(found, cv2.COLOR_GRAY2BGR)
    if found.shape[2] == 3:
        return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGBA), np.uint8)
    return _bled(np.asarray(cv2.cvtColor(found, cv2.COLOR_BGRA2RGBA), np.uint8))


def _bled(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill what is transparent with the mean colour of what is not, so that edges do not turn black when shrunk."""
    solid = picture[..., 3] > 128
    if solid.any():
        faint = picture[..., 3] < 16
        picture[faint, :3] = picture[solid, :3].mean(axis=0).astype(np.uint8)
    return picture
