# SPDX-License-Identifier: Apache-2.0
"""PETA and Market-1501 in passerby's label ids, for measuring only: their terms allow research and nothing else.

Both sets label a person and not a picture, so a bag can be out of sight in some of them. What their words answer is
decided where they are read (`training.shipped.research_data`); labels without a fair counterpart stay unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DatasetError
from passerby.training.shipped.research_data import peta_labels, read_market, read_peta

from .crop_sets import AbsentError, CropSet

Row = tuple[Path, str, str, dict[str, int]]  # picture, sub-set, person, labels


def peta(root: Path) -> CropSet:
    """All pictures of PETA whose person has tags; the ten sub-sets are the division `subset`.

    Args:
        root: folder with one folder a sub-set, in each `archive/` with pictures and `Label.txt`.
    """
    try:
        pictures = read_peta(root)
    except DatasetError as error:
        raise AbsentError(f"PETA: {error.message} (snake719/ML_data, `PETA dataset`)") from None
    return _crop_set("peta", [(p.path, p.subset, f"{p.subset}_{p.person}", peta_labels(p)) for p in pictures])


def market1501(pictures: Path, attributes: Path) -> CropSet:
    """The training pictures of Market-1501 with the labels of their persons.

    Args:
        pictures: folder of `0002_c1s1_000451_03.jpg` and its like.
        attributes: `market_attribute.mat`.
    """
    files = sorted(pictures.glob("*.jpg"))
    if not files:
        raise AbsentError(f"Market-1501: no pictures in {pictures} (parth1620/Person-Re-Id-Dataset, `train`)")
    if not attributes.is_file():
        raise AbsentError(f"Market-1501: no {attributes.name} (vana77/Market-1501_Attribute)")
    persons = read_market(attributes)
    rows = [(f, "market1501", f"market_{f.name[:4]}", persons[f.name[:4]]) for f in files if f.name[:4] in persons]
    return _crop_set("market1501", rows)


def _crop_set(name: str, rows: Sequence[Row]) -> CropSet:
    ids = sorted({label for row in rows for label in row[3]})
    table = np.array([[row[3].get(label, -1) for label in ids] for row in rows], np.int8)  # (N, C)
    targets: dict[str, NDArray[np.int8]] = {label: table[:, column] for column, label in enumerate(ids)}
    return CropSet(
        name=name,
        files=tuple(row[0] for row in rows),
        boxes=(None,) * len(rows),
        targets=targets,
        clusters=np.array([row[2] for row in rows]),
        groups={"subset": np.array([row[1] for row in rows])},
    )
