# SPDX-License-Identifier: Apache-2.0
"""What a conversion came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..check import DatasetFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertReport:
    """What `convert_dataset` did.

    Attributes:
        source, source_format: what was read. folder, format: the new data set and its layout.
        pictures, boxes: how many the source has.
        samples: by split, how many the data set has: pictures or crops.
        classes: of boxes, or labels.
        warnings: sentences about what is odd and what was left out, fit to be shown.
    """

    source: Path
    source_format: str
    folder: Path
    format: DatasetFormat
    pictures: int
    boxes: int
    samples: Mapping[str, int]
    classes: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "source": str(self.source),
            "source_format": self.source_format,
            "folder": str(self.folder),
            "format": self.format,
            "pictures": self.pictures,
            "boxes": self.boxes,
            "samples": dict(self.samples),
            "classes": list(self.classes),
            "warnings": list(self.warnings),
        }
