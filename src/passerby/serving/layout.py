# SPDX-License-Identifier: Apache-2.0
"""How the workers share the cores.

Two pictures side by side, each on one core, are faster than one picture on both: on two cores 4.5 pictures a second
against 3.4, because decoding and drawing use one core anyway and small networks leave a second one waiting. Threads of
one process do it as well as two processes, with half the memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..engines.threads import available_threads
from .settings import ServerSettings

FETCHES = 8
"""Jobs of a worker that fetch at once: with 24 MiB a picture, 192 MiB at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How one worker uses its share of the cores.

    Attributes:
        computing: jobs that compute at once, each on its own thread.
        engine_threads: threads of the engine for each of them. The same for all workers, so their answers are the same
            to the bit; those of the library too where `PASSERBY_THREADS` is this number.
        slots: jobs that the worker holds, apart from those away to fetch: more than compute, so that the next is here
            when a turn comes free, and not many more, so that jobs go to the worker that has room.
        away: jobs that may fetch or wait to do so.
    """

    computing: int
    engine_threads: int
    slots: int
    away: int


def layout_of(settings: ServerSettings) -> Layout:
    """The layout that these settings ask for; cores that `threads` leaves over go to the engine."""
    computing = settings.threads_per_worker
    return Layout(
        computing=computing,
        engine_threads=max(1, available_threads() // (settings.worker_count * computing)),
        slots=2 * computing,
        away=FETCHES + -(-settings.queue // settings.worker_count),
    )
