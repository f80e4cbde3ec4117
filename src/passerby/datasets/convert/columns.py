# SPDX-License-Identifier: Apache-2.0
"""`groups.csv` of a new data set: what the source says about pictures and boxes beside their labels."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence


def groups_csv(rows: Sequence[tuple[str, Mapping[str, str]]]) -> bytes:
    """The file, a line a sample; b"" where nothing is known about any.

    Args:
        rows: names of pictures as the lists write them, and their columns.
    """
    heading = [name for name in dict.fromkeys(key for _, columns in rows for key in columns) if _plain(name)]
    # two names that are the same once they are plain would be one column
    named = {_plain(name): name for name in heading if _plain(name) != "path"}
    if not named:
        return b""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", *named])
    writer.writerows([path, *(_plain(columns.get(name, "")) for name in named.values())] for path, columns in rows)
    return text.getvalue().encode("utf-8", "replace")


def _plain(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text).strip()
