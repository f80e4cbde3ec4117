# SPDX-License-Identifier: Apache-2.0
"""Which pictures of PETA are train, val and test. Pure functions of names and seeds, but for the reader of PETA.mat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DatasetError
from passerby.training.shipped.research_data import PetaPicture, read_mat

Split = Mapping[str, NDArray[np.int64]]
"""Places of pictures by `train`, `val`, `test`; each array sorted."""

RANDOM_SHARES = (9500 / 19000, 1900 / 19000, 7600 / 19000)
ZERO_SHOT_SHARES = (0.6, 0.2, 0.2)
NAMES = ("train", "val", "test")
PUBLISHED = 5  # random splits in PETA.mat
# a word of Label.txt that PETA.mat spells in another way
SPELLINGS = {"footwearSneaker": "footwearSneakers"}


def random_split(count: int, *, seed: int) -> Split:
    """Pictures at random, 9,500 / 1,900 / 7,600 of the 19,000, as in the usual split: a person may be on all sides.

    Args:
        count: number of pictures; of fewer the same shares.
    """
    order = np.random.default_rng(seed).permutation(count)
    ends = np.round(np.cumsum(RANDOM_SHARES) * count).astype(int)
    return {name: np.sort(part) for name, part in zip(NAMES, np.split(order, ends[:2]), strict=True)}


def zero_shot_split(pictures: Sequence[PetaPicture], *, seed: int) -> Split:
    """Persons at random, 60 / 20 / 20 per cent of the pictures of each sub-set: no person is in two of the three.

    In each sub-set the persons are shuffled; each goes with all pictures to the part that lacks most. Where every
    picture has a number of its own (CUHK, MIT), the set does not say who is the same person, and neither can this.
    """
    rng = np.random.default_rng(seed)
    parts: dict[str, list[int]] = {name: [] for name in NAMES}
    for subset in sorted({p.subset for p in pictures}):
        rows = [i for i, p in enumerate(pictures) if p.subset == subset]
        of_person: dict[str, list[int]] = {}
        for i in rows:
            of_person.setdefault(pictures[i].person, []).append(i)
        lacking = dict(zip(NAMES, (share * len(rows) for share in ZERO_SHOT_SHARES), strict=True))
        persons = sorted(of_person)
        for number in rng.permutation(len(persons)):
            name = max(NAMES, key=lambda part: lacking[part])
            parts[name] += of_person[persons[number]]
            lacking[name] -= len(of_person[persons[number]])
    return {name: np.sort(np.array(places, np.int64)) for name, places in parts.items()}


def published_split(mat: Path, pictures: Sequence[PetaPicture], *, number: int) -> Split:
    """One of the five random splits that PETA's authors publish in PETA.mat.

    The file counts pictures by place in a list of its own. That list is the pictures in the order of `read_peta`,
    which is checked here: sub-set sizes, the person's number and all 105 attributes of every picture must agree.

    Args:
        number: 1 to 5; papers use the first or all.
    Raises:
        DatasetError: `dataset_missing`, no such file; `dataset_invalid`, it is none, or lists other pictures.
    """
    if not mat.is_file():
        hint = "PETA.mat is in github.com/tinyvision/SOLIDER-PersonAttributeRecognition, folder data/PETA"
        raise DatasetError("dataset_missing", "there is no such file", input=str(mat), hint=hint)
    content = read_mat(mat).get("peta")
    if content is None:
        raise DatasetError("dataset_invalid", "no PETA.mat: it holds nothing called peta", input=str(mat))
    wrong = differing(np.asarray(content.data), [str(name) for name in content.attribute], pictures)
    if wrong:
        hint = "convert all ten sub-sets, complete and under their own file names"
        raise DatasetError("dataset_invalid", f"it lists other pictures: {wrong}", input=str(mat), hint=hint)
    parts = content.partion_attribute[number - 1]  # their spelling
    return {name: np.sort(np.asarray(getattr(parts, name), np.int64) - 1) for name in NAMES}


def differing(rows: NDArray[np.integer], attributes: Sequence[str], pictures: Sequence[PetaPicture]) -> str:
    """What differs between PETA.mat's rows and the pictures, "" where nothing does.

    Args:
        rows: (N, 4 + C): number, person, sub-set, the person's number in it, then 0 or 1 for each attribute.
    """
    if len(rows) != len(pictures):
        return f"{len(rows)} rows, {len(pictures)} pictures"
    for row, picture in zip(rows, pictures, strict=True):
        if int(row[3]) != int(picture.person):
            return f"row {row[0]} is person {row[3]}, {picture.subset}/{picture.path.name} another"
        tags = picture.tags | {ours for ours, theirs in SPELLINGS.items() if theirs in picture.tags}
        odd = [name for name, value in zip(attributes, row[4:], strict=True) if (name in tags) != bool(value)]
        if odd:
            return f"row {row[0]} and {picture.subset}/{picture.path.name} disagree about {odd[0]}"
    return ""
