# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is in a worker: a few jobs compute at once, first come first served; others wait for other servers.

A job holds a turn while it computes and gives it back while it fetches. How many fetch at once, and how many more wait
to do so, is bounded apart, and neither counts among the jobs that a worker is busy with. So slow URLs never keep out
pictures that are here, and what they may hold in memory has an end.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from ..errors import Interrupted, PasserbyError, ServerError


class Asking:
    """One that waits for turns, one at a time."""

    def __init__(self) -> None:
        self.woken = threading.Event()
        self.granted = False
        self.refusal: PasserbyError | None = None


class Turns:
    """So many at once; who asks first is first. Safe to use from several threads."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._asking: deque[Asking] = deque()
        self._lock = threading.Lock()

    def take(self, asking: Asking, deadline: float) -> None:
        """Wait for a turn, until `time.monotonic()` is `deadline`.

        Raises:
            PasserbyError: the refusal of `call_off`, or `deadline_exceeded`.
        """
        with self._lock:
            if asking.refusal is not None:
                raise asking.refusal
            if self._free:  # then nobody is asking: a turn given back goes to the first who does
                self._free -= 1
                return
            asking.granted = False
            asking.woken.clear()
            self._asking.append(asking)
        asking.woken.wait(max(0.0, min(deadline - time.monotonic(), threading.TIMEOUT_MAX)))
        with self._lock:
            if asking.granted:
                return
            if asking in self._asking:
                self._asking.remove(asking)
        raise asking.refusal or ServerError("deadline_exceeded", "no turn came in time", hint="try again later")

    def give(self) -> None:
        """Hand a turn to the next, or back."""
        with self._lock:
            if self._asking:
                first = self._asking.popleft()
                first.granted = True
                first.woken.set()
            else:
                self._free += 1

    def call_off(self, asking: Asking, refusal: PasserbyError) -> None:
        """Give it no turn any more. One that it has it keeps until it gives it."""
        with self._lock:
            asking.refusal = refusal
            if asking in self._asking:
                self._asking.remove(asking)
                asking.woken.set()


class Room:
    """A count with a bound. Safe to use from several threads."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._lock = threading.Lock()

    def enter(self) -> bool:
        """Whether there was room for one more."""
        with self._lock:
            fits = self._left > 0
            self._left -= fits
            return fits

    def leave(self) -> None:
        """Make room for another."""
        with self._lock:
            self._left += 1


class JobGate:
    """The gate of `answering` as one job sees it.

    Args:
        computing, fetching: the worker's turns to compute and to wait for another server.
        room: for the jobs of the worker that fetch or wait to do so.
        deadline: of the job, `time.monotonic()`.
        tell: called with True when the job goes away to fetch, and with False when it is back.
    """

    def __init__(
        self, *, computing: Turns, fetching: Turns, room: Room, deadline: float, tell: Callable[[bool], None]
    ) -> None:
        self._computing, self._fetching, self._room = computing, fetching, room
        self._deadline = deadline
        self._tell = tell
        self._asking = Asking()
        self._away = False

    @property
    def dropped(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._asking.refusal is not None

    def acquire(self) -> None:
        """Wait for a turn to compute.

        Raises:
            ServerError: `deadline_exceeded`. Interrupted: the job was dropped.
        """
        if self._away:
            self._fetching.give()
            self._come_back()
        self._computing.take(self._asking, self._deadline)

    def release(self) -> None:
        """Give the turn to the next; the job is over."""
        self._computing.give()

    def leave(self) -> None:
        """Give the turn to the next, and wait until something may be fetched; `acquire` ends that.

        Raises:
            ServerError: `overloaded`, too many fetch already; `deadline_exceeded`. Interrupted: the job was dropped.
                The turn is given away all the same.
        """
        self._computing.give()
        if not self._room.enter():
            raise ServerError("overloaded", "too many pictures are being fetched", hint="try again later")
        self._tell(True)
        try:
            self._fetching.take(self._asking, self._deadline)
        except PasserbyError:
            self._come_back()
            raise
        self._away = True

    def drop(self) -> None:
        """Nobody waits for the answer any more: what has not begun does not begin."""
        refusal = Interrupted("interrupted", "the client went away")
        self._computing.call_off(self._asking, refusal)
        self._fetching.call_off(self._asking, refusal)

    def _come_back(self) -> None:
        self._away = False
        self._room.leave()
        self._tell(False)
