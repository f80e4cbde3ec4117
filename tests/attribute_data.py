"""Drawn crops with three labels that a small network can learn, for the tests of attribute training."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from passerby.datasets.records import AttributeSample, AttributeSet, LabelSet
from passerby.formats.metadata import Group, Label

LABELS = (
    Label(id="red", en="Red", group="colour"),
    Label(id="blue", en="Blue", group="colour"),
    Label(id="hat", en="Hat"),
)


def draw_crop(targets: tuple[int, int, int], seed: int, *, size_hw: tuple[int, int] = (96, 48)) -> np.ndarray:
    """A noisy grey figure, red or blue, with a bright bar on top for a hat."""
    rng = np.random.default_rng(seed)
    height, width = size_hw
    pixels = rng.integers(60, 120, (height, width, 3), dtype=np.uint8)
    colour = (40, 40, 220) if targets[0] else (220, 40, 40) if targets[1] else (110, 110, 110)
    pixels[height // 4 : height - 8, width // 5 : width - width // 5] = colour
    if targets[2]:
        pixels[2 : height // 5] = 250
    return pixels


def attribute_set(folder: Path, *, train: int = 12, val: int = 8, unknown: bool = False) -> AttributeSet:
    """Write crops as PNG and say what is on them; with `unknown` every third has no word about the hat."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    splits = {}
    for number, (split, count) in enumerate({"train": train, "val": val}.items()):
        samples = []
        for i in range(count):
            truth = (i % 2, 1 - i % 2, (i // 2) % 2)
            file = f"images/{split}_{i}.png"
            cv2.imwrite(str(folder / file), draw_crop(truth, seed=1000 * number + i))
            known = (*truth[:2], -1) if unknown and i % 3 == 0 else truth
            samples.append(AttributeSample(file=file, path=folder / file, targets=np.array(known, np.int8)))
        splits[split] = tuple(samples)
    groups = (Group(id="colour", en="Colour"),)
    return AttributeSet(root=folder, label_set=LabelSet(labels=LABELS, groups=groups), splits=splits)
