# SPDX-License-Identifier: Apache-2.0
"""Names of pictures in the new data set: those of the source, with the folder before them where two are the same."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable

from ...files import safe_name


class Names:
    """Gives out names, none twice, not even on a disk that does not tell large letters from small ones.

    Args:
        files: of all pictures, relative to the source.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._bases = Counter(posixpath.basename(file).casefold() for file in files)
        self._taken: set[str] = set()

    def stem_and_suffix(self, file: str) -> tuple[str, str]:
        """What a picture is called in the new data set: `a`, or `north/a` where another folder has an `a` too.

        >>> Names(["x/a.jpg", "y/a.jpg", "y/b.jpg"]).stem_and_suffix("y/a.jpg")
        ('y/a', '.jpg')
        """
        alone = self._bases[posixpath.basename(file).casefold()] < 2
        plain, suffix = posixpath.splitext(posixpath.basename(file) if alone else file)
        # a colon would be read as a drive's letter, a tab and a comma part the columns of lists
        safe = str.maketrans({":": "_", ",": "_", "\\": "_", "\t": "_"})
        parts = [safe_name(part.translate(safe), room=150) for part in plain.split("/")]
        return "/".join(parts), safe_name(suffix.translate(safe)).replace("_", ".", 1) if suffix else ""

    def free(self, stem: str, suffix: str) -> str:
        """`stem + suffix`, with a number between where that is taken."""
        number, name = 2, f"{stem}{suffix}"
        while name.casefold() in self._taken:
            name, number = f"{stem}-{number}{suffix}", number + 1
        self._taken.add(name.casefold())
        return name
