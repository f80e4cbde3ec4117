# SPDX-License-Identifier: Apache-2.0
"""PETA and Market-1501 as drawn folders: their layout and words, none of their pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from passerby.training.shipped import research_data as research

RED = "upperBodyRed lowerBodyBlue lowerBodyJeans personalLess30 personalFemale upperBodyShortSleeve carryingBackpack"
# two colours, breeches, something carried: much that leaves our labels unknown
OLD = "upperBodyBlack upperBodyWhite lowerBodyCapri personalLarger60 personalMale carryingOther accessoryHat"
OLD += " footwearShoes"


def drawn(path: Path, *, height: int = 40, width: int = 20, value: int = 90) -> Path:
    """A picture of one colour with a bar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((height, width, 3), value, np.uint8)
    pixels[5:9] = 200
    cv2.imwrite(str(path), pixels)
    return path


def peta_folder(root: Path, *, persons: int = 6) -> Path:
    """Two sub-sets: VIPeR, whose lines name persons of several pictures, and CUHK, whose lines name files."""
    for subset in ("VIPeR", "CUHK"):
        folder = root / subset / "archive"
        lines = [""]
        for person in range(persons):
            tags = RED if person % 2 else OLD
            names = [f"{person:03}_{(0, 90, 180)[view]}_{view}.bmp" for view in range(3)]
            names = names if subset == "VIPeR" else [f"{person:04}.png"]
            for name in names:
                drawn(folder / name, value=60 + 10 * person)
            lines.append(f"{person if subset == 'VIPeR' else names[0]} {tags}")
        (folder / "Label.txt").write_text("\n".join(lines), "latin-1")
    return root


def market_folders(root: Path) -> None:
    """Two persons of Market-1501: a woman in a red dress with a bag, a man in black trousers."""
    fields = {name: [1, 1] for name in research._MARKET_NAMES}
    fields |= {"gender": [2, 1], "bag": [2, 1], "clothes": [1, 2], "down": [2, 1], "age": [2, 4]}
    fields |= {"upred": [2, 1], "upblack": [1, 2], "downblack": [1, 2], "up": [2, 1]}
    table = {
        "train": {**{k: np.array(v) for k, v in fields.items()}, "image_index": np.array(["0002", "0007"], object)}
    }
    (root / "market1501_attributes").mkdir(parents=True)
    scipy_io = pytest.importorskip("scipy.io")
    scipy_io.savemat(str(root / research.MARKET_ATTRIBUTES), {"market_attribute": table})
    for person in ("0002", "0007", "0009"):  # the last one has no attributes
        for number in range(9):
            drawn(root / research.MARKET_FOLDER / f"{person}_c1s1_{number:06}_01.jpg", height=128, width=64)


def research_folder(root: Path) -> Path:
    peta_folder(root / research.PETA_FOLDER)
    market_folders(root)
    return root
