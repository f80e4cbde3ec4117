# SPDX-License-Identifier: Apache-2.0
"""Which split each picture of a source goes to: the one that the source says, else one by seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError
from ..allotment import allot
from ..records import SPLITS


def share_out(
    said: Sequence[str | None],
    groups: Sequence[str],
    counts: NDArray[np.int64],
    *,
    val_percent: float,
    seed: int,
    input: str,
) -> dict[str, list[int]]:
    """Places of samples by split, in their order.

    A source that says val (or test) is taken at its word, and what it does not say goes to train. Where it says nothing
    of val, the samples of train are shared out by seed.

    Args:
        said: (N,) what the source says of each sample.
        groups: (N,) samples of one picture stay together.
        counts: (N, K) how often each sample has each class.
        val_percent: above 0, below 100. input: for messages.
    Raises:
        DatasetError: `dataset_invalid`, there is nothing for train or for val.
    """
    splits = [split or "train" for split in said]
    if "val" not in splits:
        free = [i for i, split in enumerate(splits) if split == "train"]
        numbers = {name: i for i, name in enumerate(dict.fromkeys(groups[i] for i in free))}
        if len(numbers) < 2:
            happened = f"{len(numbers)} pictures with labels cannot be shared out to train and val"
            raise DatasetError("dataset_invalid", happened, input=input, hint="label more pictures")
        shares = [1 - val_percent / 100, val_percent / 100]
        chosen = allot(counts[free], [numbers[groups[i]] for i in free], shares, seed=seed)
        for i, split in zip(free, chosen.tolist(), strict=True):
            splits[i] = ("train", "val")[split]
    places = {split: [i for i, own in enumerate(splits) if own == split] for split in SPLITS}
    if not places["train"]:
        raise DatasetError("dataset_invalid", "there is no picture with labels for train", input=input)
    return {split: own for split, own in places.items() if own}
