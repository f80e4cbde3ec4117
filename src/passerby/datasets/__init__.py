"""Folders of labelled pictures for training: read, check, convert, split, pre-label. Needs no torch.

Nothing in the inference half imports this room. The names below are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attribute_set import read_attribute_set
    from .check import CheckReport, check_dataset
    from .convert import ConvertOptions, convert_dataset
    from .convert.report import ConvertReport
    from .detection_set import read_detection_set
    from .split import SplitOptions, split_dataset
    from .split_report import SplitReport
    from .suggest import SuggestOptions, SuggestReport, suggest_labels

__all__ = [
    "CheckReport",
    "ConvertOptions",
    "ConvertReport",
    "SplitOptions",
    "SplitReport",
    "SuggestOptions",
    "SuggestReport",
    "check_dataset",
    "convert_dataset",
    "read_attribute_set",
    "read_detection_set",
    "split_dataset",
    "suggest_labels",
]

_HOMES = {
    "CheckReport": "check",
    "ConvertOptions": "convert",
    "ConvertReport": "convert.report",
    "SplitOptions": "split",
    "SplitReport": "split_report",
    "SuggestOptions": "suggest",
    "SuggestReport": "suggest",
    "check_dataset": "check",
    "convert_dataset": "convert",
    "read_attribute_set": "attribute_set",
    "read_detection_set": "detection_set",
    "split_dataset": "split",
    "suggest_labels": "suggest",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
