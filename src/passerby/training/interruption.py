# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM while a network is trained: the step ends, a checkpoint is written, and the run stops.

A second signal does what it did before the training began. Measuring weights changes nothing of a run and may take
minutes: that is cut off by the first signal.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


class _StopNow(BaseException):
    """Ends what `cut_off` runs. No `Exception`, so that nothing on the way takes it for an error."""


class StopRequest:
    """A context in which signals are asked for by `requested`. In other threads than the main one it changes nothing.

    Attributes:
        requested: a signal came.
    """

    def __init__(self) -> None:
        self.requested = False
        self._cuts = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # whoever started us with signals ignored (nohup, a background job) means it
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()

    def _give_back(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._give_back()
        self.requested = True
        if self._cuts:
            raise _StopNow

    def cut_off(self, work: Callable[[], T]) -> T | None:
        """What `work` gives, or None where a signal came before its end: it is left where it stands."""
        try:
            self._cuts = True
            try:
                return None if self.requested else work()
            finally:
                self._cuts = False
        except _StopNow:
            return None
