# SPDX-License-Identifier: Apache-2.0
"""Which split a name means: tools and their users spell the three in a few ways."""

from __future__ import annotations

import re

_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def split_word(text: str) -> str | None:
    """
    >>> split_word("Validation"), split_word("default")
    ('val', None)
    """
    return _WORDS.get(text.strip().casefold())


def split_in_name(name: str) -> str | None:
    """The split in a file's path, if it names one: the file before its folders.

    >>> split_in_name("annotations/instances_val2017.json"), split_in_name("valid/_annotations.coco.json")
    ('val', 'val')
    """
    for part in reversed(name.split("/")):
        found = {split_word(word) for word in re.split(r"[^A-Za-z]+", part)} - {None}
        if len(found) == 1:
            return found.pop()
    return None
