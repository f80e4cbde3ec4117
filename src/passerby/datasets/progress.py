# SPDX-License-Identifier: Apache-2.0
"""How far something long is, for people: a line every few seconds, none for what is quick."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 5.0


def progress_lines(say: Callable[[str], None], verb: str) -> Callable[[int, int], None]:
    """A function to call with how many of how many pictures are done.

    Args:
        say: takes a line.
        verb: what is done with a picture, for example `checked`.
    """
    spoken = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal spoken
        if time.monotonic() - spoken > SECONDS:
            spoken = time.monotonic()
            say(f"{verb} {done} of {total} pictures")

    return tell
