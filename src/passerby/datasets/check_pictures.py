# SPDX-License-Identifier: Apache-2.0
"""Decodes every picture of a data set, several at a time, and keeps of each its size and hash or what is wrong.

Only the pictures being decoded are in memory, so a folder of any number of pictures costs no more than a few.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeAlias

from ..decode import decode_image
from ..errors import InputError, shown
from ..sources import read_file
from ..types import ImageBgr
from .near_copies import photo_hash
from .problems import Findings, Place
from .records import AttributeSample, DetectionSample

Progress: TypeAlias = Callable[[int, int], None]
"""Called with how many of how many pictures are done."""
MOST_THREADS = 4
WAITING = 2  # pictures per thread that are decoded ahead of the one whose turn it is


class Decoded(NamedTuple):
    """What a picture is: width and height in px, and its `near_copies.photo_hash`."""

    size_wh: tuple[int, int]
    hash: int


def read_picture(path: Path) -> ImageBgr:
    """(H, W, 3) uint8 BGR of a picture file, upright.

    Raises:
        InputError: as `decode.decode_image` and `sources.read_file`.
    """
    return decode_image(read_file(str(path)), input=str(path))


def check_pictures(
    splits: Mapping[str, Sequence[AttributeSample | DetectionSample]],
    places: Mapping[str, Sequence[Place]],
    findings: Findings,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Decoded]:
    """Decode each picture once; what does not decode or has another size than written becomes a finding.

    Args:
        splits: samples by split. places: where each of them is listed.
        threads: None for one a processor, at most four: more of them wait for the disk and for memory.
    Returns:
        the pictures that decode, by `file`.
    """
    listed: dict[Path, list[tuple[AttributeSample | DetectionSample, Place]]] = {}
    for split, samples in splits.items():
        for sample, place in zip(samples, places[split], strict=True):
            listed.setdefault(sample.path, []).append((sample, place))
    good: dict[str, Decoded] = {}
    decoded = _in_order(list(listed), threads or min(MOST_THREADS, os.cpu_count() or 1))
    for number, (mentions, found) in enumerate(zip(listed.values(), decoded, strict=True), 1):
        for sample, place in mentions:
            if isinstance(found, str):
                findings.add(place, f"{shown(sample.file)}: {found}")
            else:
                good[sample.file] = found
                _compare(sample, place, found.size_wh, findings)
        if progress is not None:
            progress(number, len(listed))
    return good


def _compare(
    sample: AttributeSample | DetectionSample, place: Place, size_wh: tuple[int, int], findings: Findings
) -> None:
    if isinstance(sample, AttributeSample) or sample.size_wh == size_wh:
        return
    (width, height), (said_width, said_height) = size_wh, sample.size_wh
    turned = ", is it stored turned?" if (said_height, said_width) == size_wh else ""
    findings.add(
        place,
        f"{shown(sample.file)} has {width} x {height} pixels, not {said_width} x {said_height} as written{turned}",
    )


def _in_order(paths: Sequence[Path], threads: int) -> Iterator[Decoded | str]:
    rest = iter(paths)
    with ThreadPoolExecutor(threads, thread_name_prefix="check") as pool:
        ahead: deque[Future[Decoded | str]] = deque(
            pool.submit(_decode, path) for path in islice(rest, threads * WAITING)
        )
        try:
            while ahead:
                done = ahead.popleft().result()
                for path in islice(rest, 1):
                    ahead.append(pool.submit(_decode, path))
                yield done
        finally:
            for future in ahead:
                future.cancel()


def _decode(path: Path) -> Decoded | str:
    """What the picture is, or what is wrong with it."""
    try:
        pixels = read_picture(path)
        height, width = pixels.shape[:2]
        return Decoded((width, height), photo_hash(pixels))
    except InputError as error:
        return f"{error.name}, {error.happened}"
    except MemoryError:
        return "out_of_memory, the picture does not fit into memory"
