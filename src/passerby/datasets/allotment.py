# SPDX-License-Identifier: Apache-2.0
"""Shares samples out to splits so that groups stay whole and every class is shared as the samples are.

Numbers alone; `split` reads and writes the files. A greedy walk over the groups, those first that are hardest to place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def allot(counts: NDArray[np.int64], groups: Sequence[int], shares: Sequence[float], *, seed: int) -> NDArray[np.int64]:
    """Give each group to a split.

    Each next group goes where it brings the numbers closest to what is wanted: the squared distance over the wanted
    number, summed over the classes, and for the number of samples as heavy as all classes together. As long as some
    split has room for the whole group, none takes more samples than its share.

    Args:
        counts: (N, K) how often each of N samples has each of K classes.
        groups: (N,) samples with the same number stay together.
        shares: of S splits, each above 0, in sum 1.
        seed: another one gives another allotment; the same one with the same samples in the same order the same.
    Returns:
        (N,) which split each sample goes to.
    Raises:
        ValueError: there are fewer groups than splits.
    """
    _, group_of = np.unique(np.asarray(groups, np.int64), return_inverse=True)
    size = int(group_of.max(initial=-1)) + 1
    if size < len(shares):
        raise ValueError(f"{size} groups cannot be shared out to {len(shares)} splits")
    table = np.concatenate([np.ones((len(counts), 1), np.int64), counts], axis=1)
    table = table[:, table.sum(axis=0) > 0].astype(np.float64)
    vectors = np.zeros((size, table.shape[1]))
    np.add.at(vectors, group_of, table)
    split_of = _walk(vectors, np.asarray(shares, np.float64), np.random.default_rng(seed))
    _fill_empty(split_of, vectors[:, 0], len(shares))
    return split_of[group_of]


def sizes(count: int, shares: Sequence[float]) -> list[int]:
    """`count` in whole numbers by shares: rounded down, the rest to those that lost most, none below 1 if that can be.

    >>> sizes(7, [0.8, 0.2])
    [6, 1]
    """
    exact = [count * share for share in shares]
    whole = [int(value) for value in exact]
    for i in sorted(range(len(shares)), key=lambda i: whole[i] - exact[i])[: count - sum(whole)]:
        whole[i] += 1
    for i, value in enumerate(whole):
        largest = max(range(len(whole)), key=lambda j: whole[j])
        if value == 0 and whole[largest] > 1:
            whole[i], whole[largest] = 1, whole[largest] - 1
    return whole


def _walk(vectors: NDArray[np.float64], shares: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(G,) split of each group; `vectors` is (G, 1 + K), the number of samples first."""
    totals = vectors.sum(axis=0)
    wanted = shares[:, None] * totals  # (S, 1 + K)
    weights = np.ones(len(totals))
    weights[0] = max(1, len(totals) - 1)
    scale = weights / (wanted * totals)
    room = np.array(sizes(round(totals[0]), shares.tolist()), np.float64)
    have = np.zeros_like(wanted)
    split_of = np.zeros(len(vectors), np.int64)
    order = rng.permutation(len(vectors))
    # a group that is most of a rare class is the hardest to place
    order = order[np.argsort(-(vectors[order] / totals).max(axis=1), kind="stable")]
    for group in order:
        vector = vectors[group]
        cost = (vector * (2 * (have - wanted) + vector) * scale).sum(axis=1)  # (S,)
        fits = have[:, 0] + vector[0] <= room
        chosen = int(np.where(fits, cost, np.inf).argmin() if fits.any() else cost.argmin())
        split_of[group] = chosen
        have[chosen] += vector
    return split_of


def _fill_empty(split_of: NDArray[np.int64], samples: NDArray[np.float64], splits: int) -> None:
    """Give a split without any group the smallest one of the split that has most groups, in place."""
    for split in range(splits):
        if not (split_of == split).any():
            richest = int(np.bincount(split_of, minlength=splits).argmax())
            own = np.flatnonzero(split_of == richest)
            split_of[own[samples[own].argmin()]] = split
