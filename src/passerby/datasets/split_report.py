# SPDX-License-Identifier: Apache-2.0
"""What a split came to: how many samples of what are where, and how far that is from what was wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .near_copies import NearCopy

COPIES_LISTED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFigures:
    """One split.

    Attributes:
        wanted_percent, percent: of all samples that were shared out.
        samples, groups: how many; without groups each sample is its own.
        classes: how often it has each class: positives of a label, boxes of a category.
        classes_percent: the same as a share of all; None for a class that nobody has.
    """

    wanted_percent: float
    percent: float
    samples: int
    groups: int
    classes: Mapping[str, int]
    classes_percent: Mapping[str, float | None]

    def to_json(self) -> dict[str, Any]:
        """Plain data, percentages with two decimals."""
        return {
            "wanted_percent": round(self.wanted_percent, 2),
            "percent": round(self.percent, 2),
            "samples": self.samples,
            "groups": self.groups,
            "classes": dict(self.classes),
            "classes_percent": {
                name: None if share is None else round(share, 2) for name, share in self.classes_percent.items()
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitReport:
    """What `split_dataset` did.

    Attributes:
        folder: of the data set that is split now. seed, group_by: as given.
        splits: by name.
        furthest: largest distance in percentage points of a class, or of all samples, from the wanted share.
        furthest_of: the class it is, and the split; ("", split) for all samples.
        near_copies: across splits, the closest first.
        written: files of the new split. kept: where the lists of before are now.
        warnings: sentences, fit to be shown.
    """

    folder: Path
    seed: int
    group_by: str | None
    splits: Mapping[str, SplitFigures]
    furthest: float
    furthest_of: tuple[str, str]
    near_copies: tuple[NearCopy, ...]
    written: tuple[str, ...]
    kept: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; of near copies the first hundred."""
        name, split = self.furthest_of
        return {
            "folder": str(self.folder),
            "seed": self.seed,
            "group_by": self.group_by,
            "splits": {split: figures.to_json() for split, figures in self.splits.items()},
            "furthest": {"points": round(self.furthest, 2), "class": name or None, "split": split},
            "near_copies_count": len(self.near_copies),
            "near_copies": [
                {
                    copy.first_split: copy.first,
                    copy.second_split: copy.second,
                    "bits": copy.bits,
                }
                for copy in self.near_copies[:COPIES_LISTED]
            ],
            "written": list(self.written),
            "kept": list(self.kept),
            "warnings": list(self.warnings),
        }


def figures_of(
    counts: NDArray[np.int64],
    groups: Sequence[int],
    split_of: NDArray[np.int64],
    *,
    names: Sequence[str],
    wanted: Mapping[str, float],
) -> tuple[dict[str, SplitFigures], float, tuple[str, str]]:
    """Count what is where.

    Args:
        counts: (N, K) how often each sample has each class. groups: (N,). split_of: (N,) places in `wanted`.
        names: of the K classes. wanted: percent by split.
    Returns:
        figures by split, and `furthest` and `furthest_of` of the report.
    """
    totals = counts.sum(axis=0)
    group_of = np.asarray(groups, np.int64)
    figures: dict[str, SplitFigures] = {}
    furthest, furthest_of = 0.0, ("", next(iter(wanted)))
    for place, (split, percent) in enumerate(wanted.items()):
        own = split_of == place
        here = counts[own].sum(axis=0)
        shares = [float(100 * n / total) if total else None for n, total in zip(here, totals, strict=True)]
        samples = int(own.sum())
        figures[split] = SplitFigures(
            wanted_percent=percent,
            percent=100 * samples / max(1, len(counts)),
            samples=samples,
            groups=len(set(group_of[own].tolist())),
            classes={name: int(n) for name, n in zip(names, here, strict=True)},
            classes_percent=dict(zip(names, shares, strict=True)),
        )
        for name, share in (("", figures[split].percent), *zip(names, shares, strict=True)):
            if share is not None and abs(share - percent) > furthest:
                furthest, furthest_of = abs(share - percent), (name, split)
    return figures, furthest, furthest_of
