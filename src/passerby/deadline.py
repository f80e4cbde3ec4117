"""A deadline on the monotonic clock, and a socket's bytes read under it: the wall clock may jump, a sender may drip."""

from __future__ import annotations

import io
import socket
import time


class Deadline:
    """So many seconds from now; None means no end."""

    def __init__(self, seconds: float | None) -> None:
        self._end = float("inf") if seconds is None else time.monotonic() + seconds

    def left(self) -> float:
        return self._end - time.monotonic()

    def timeout(self, limit: float | None = None) -> float | None:
        """Seconds that the next step may take, `limit` at most.

        Raises:
            TimeoutError: none are left.
        """
        left = self.left()
        if left <= 0:
            raise TimeoutError("deadline")
        shortest = left if limit is None else min(left, limit)
        return None if shortest == float("inf") else shortest


class TimedReader(io.RawIOBase):
    """Bytes of a socket; each read has at most `idle_s` seconds and what the deadline leaves."""

    def __init__(self, connection: socket.socket, deadline: Deadline, idle_s: float | None) -> None:
        self._connection, self._deadline, self._idle_s = connection, deadline, idle_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._connection.settimeout(self._deadline.timeout(self._idle_s))
        return self._connection.recv_into(buffer)
