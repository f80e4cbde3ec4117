# SPDX-License-Identifier: Apache-2.0
"""Pictures that are almost the same: a frame later in a video, the same photo stretched or saved again.

Each picture becomes 64 bits; few bits of difference are near copies. What a network was trained on says nothing about
how good it is, so near copies across splits are told to the user by `split` and `check`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..decode import decode_image
from ..errors import InputError
from ..sources import read_file
from ..types import ImageBgr
from .problems import Findings, some

NEAR_COPY_BITS = 3  # of 64: copies of a photo in two exports differ by their stretching and JPEG only
# a sky, a wall, a lens cap: with so few gradients of one kind two pictures are alike without having anything in common
TELLING_BITS = 4
THREADS = 4
_BANDS = 4  # of 16 bits: with at most 3 bits of difference, one band of the four is equal
_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)  # numpy 1 cannot count bits


@dataclass(frozen=True, slots=True, kw_only=True)
class NearCopy:
    """Two pictures in two splits that are almost the same.

    Attributes:
        first, second: their names in the data set. first_split, second_split: where they stand.
        bits: of 64 that differ.
    """

    first: str
    first_split: str
    second: str
    second_split: str
    bits: int


def photo_hash(image_bgr: ImageBgr) -> int:
    """64-bit difference hash: horizontal gradients of the photo at 9 x 8.

    Args:
        image_bgr: (H, W, 3) uint8 BGR, at least one pixel.
    """
    gray = cv2.resize(cv2.cvtColor(image_bgr, cv2.COLOR_BGR2GRAY), (9, 8), interpolation=cv2.INTER_AREA)
    bits = (gray[:, 1:] > gray[:, :-1]).ravel()
    return int("".join("1" if b else "0" for b in bits), 2)


def hash_files(paths: Iterable[Path]) -> list[int | None]:
    """The hash of each picture file, several at a time; None where it cannot be decoded."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="hash") as pool:
        return list(pool.map(_hash_of, paths))


def near_pairs(hashes: Sequence[int | None], *, most_bits: int = NEAR_COPY_BITS) -> Iterator[tuple[int, int, int]]:
    """Pairs of near copies among N pictures.

    Args:
        hashes: by `photo_hash`; None and those with almost no gradient are near copies of nothing.
        most_bits: at most 3.
    Returns:
        places i < j in `hashes` and how many bits differ; each pair once. Of several equal pictures only neighbours
        are paired, and of each only the first with other pictures: what belongs together hangs together.
    """
    if not 0 <= most_bits < _BANDS:
        raise ValueError(f"most_bits must be from 0 to {_BANDS - 1}")
    alike: dict[int, list[int]] = {}
    for i, value in enumerate(hashes):
        if value is not None and TELLING_BITS <= value.bit_count() <= 64 - TELLING_BITS:
            alike.setdefault(value, []).append(i)
    for places in alike.values():
        yield from ((a, b, 0) for a, b in itertools.pairwise(places))
    first = np.array([places[0] for places in alike.values()], np.int64)
    for a, b, bits in _close(np.array(list(alike), np.uint64), most_bits):
        i, j = sorted((int(first[a]), int(first[b])))
        yield i, j, bits


def near_copies_across(
    hashes: Mapping[str, Mapping[str, int | None]], *, most_bits: int = NEAR_COPY_BITS
) -> tuple[NearCopy, ...]:
    """Near copies that stand in different splits, the closest first.

    Args:
        hashes: by split, then by the picture's name.
        most_bits: at most 3.
    Returns:
        for each picture that has a near copy in another split at least one pair; not every pair of large families.
    """
    rows = [(split, file, value) for split, files in hashes.items() for file, value in files.items()]
    family = families(len(rows), near_pairs([value for _, _, value in rows], most_bits=most_bits))
    members: dict[int, list[int]] = {}
    for i, head in enumerate(family):
        members.setdefault(head, []).append(i)
    found = [copy for places in members.values() for copy in _across(rows, places, most_bits)]
    return tuple(sorted(found, key=lambda copy: (copy.bits, copy.first, copy.second)))


def families(count: int, pairs: Iterable[tuple[int, int, int]]) -> list[int]:
    """For each of `count` things the smallest place of those it hangs together with.

    >>> families(4, [(0, 2, 1)])
    [0, 1, 0, 3]
    """
    head = list(range(count))

    def top(i: int) -> int:
        while head[i] != i:
            head[i] = head[head[i]]
            i = head[i]
        return i

    for i, j, _ in pairs:
        low, high = sorted((top(i), top(j)))
        head[high] = low
    return [top(i) for i in range(count)]


def warn_about_near_copies(hashes: Mapping[str, Mapping[str, int | None]], findings: Findings) -> tuple[NearCopy, ...]:
    """Say which pictures have a near copy in another split."""
    copies = near_copies_across(hashes)
    pairs: dict[tuple[str, str], list[str]] = {}
    for copy in copies:
        if copy.first != copy.second:  # one picture in two splits is told elsewhere
            splits = (copy.first_split, copy.second_split)
            pairs.setdefault(splits, []).append(f"{copy.first} and {copy.second}")
    for (first, second), names in pairs.items():
        findings.warn(
            f"{len(names)} near copies across {first} and {second}, figures of {second} will be too good: {some(names)}"
        )
    return copies


def _across(rows: Sequence[tuple[str, str, int | None]], places: Sequence[int], most_bits: int) -> Iterator[NearCopy]:
    """For each picture of a family its closest relative in an earlier split."""
    by_split: dict[str, list[int]] = {}
    for i in places:
        by_split.setdefault(rows[i][0], []).append(i)
    splits = list(by_split)
    for number, second in enumerate(splits):
        for first in splits[:number]:
            others = np.array([rows[i][2] for i in by_split[first]], np.uint64)
            for j in by_split[second]:
                distances = bits_apart(others, np.uint64(rows[j][2] or 0))
                nearest = int(distances.argmin())
                if distances[nearest] <= most_bits:
                    yield NearCopy(
                        first=rows[by_split[first][nearest]][1],
                        first_split=first,
                        second=rows[j][1],
                        second_split=second,
                        bits=int(distances[nearest]),
                    )


def bits_apart(hashes: NDArray[np.uint64], other: np.uint64) -> NDArray[np.int64]:
    """(N,) bits by which each of (N,) hashes differs from one."""
    differing: NDArray[np.uint64] = np.ascontiguousarray(hashes ^ other)
    return np.asarray(_ONES[differing.view(np.uint8)].reshape(-1, 8).sum(axis=1), np.int64)


def _close(values: NDArray[np.uint64], most_bits: int) -> Iterator[tuple[int, int, int]]:
    """Pairs of different values with at most `most_bits` of difference, each once.

    Values that share a band are compared; a pair counts in the first band that it shares.
    """
    if not len(values):
        return
    bands = np.stack([(values >> np.uint64(16 * k)) & np.uint64(0xFFFF) for k in range(_BANDS)])  # (4, N)
    for k in range(_BANDS):
        order = np.argsort(bands[k], kind="stable")
        starts = np.flatnonzero(np.diff(bands[k][order], prepend=np.uint64(0x10000)))
        for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
            bucket = order[start:end]
            for n in range(len(bucket) - 1):
                i, others = int(bucket[n]), bucket[n + 1 :]
                distances = bits_apart(values[others], values[i])
                for m in np.flatnonzero(distances <= most_bits):
                    j = int(others[m])
                    if not (bands[:k, i] == bands[:k, j]).any():
                        yield i, j, int(distances[m])


def _hash_of(path: Path) -> int | None:
    try:
        return photo_hash(decode_image(read_file(str(path)), input=str(path)))
    except (InputError, MemoryError):
        return None
