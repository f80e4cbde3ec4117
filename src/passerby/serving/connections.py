# SPDX-License-Identifier: Apache-2.0
"""What all connections of the front share: how many there may be, which of them wait, and whether the end is near."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from uvicorn.server import ServerState

from ..errors import PasserbyError
from .settings import ServerSettings

if TYPE_CHECKING:
    from .protocol import BoundedProtocol

Refused = Callable[[PasserbyError, str, str, str], str]
"""Told of a request that never became one: the error, method and target as far as they were read, client's address.
It gives the logId that the answer carries, so that the line of the log is found."""


class Connections(ServerState):
    """The open connections, and those among them on which no request is being worked on.

    Args:
        settings: their limits. most: how many there may be.
        refused: called for each request that never reaches the application.
    Attributes:
        draining: every answer from now on closes its connection.
    """

    def __init__(self, settings: ServerSettings, *, most: int, refused: Refused) -> None:
        super().__init__()
        self._most = most
        self.settings = settings
        self.draining = False
        self.refused = refused
        self._waiting: dict[BoundedProtocol, None] = {}  # the one that waits longest first

    def wait(self, connection: BoundedProtocol) -> None:
        """Nothing is being worked on here: the connection may be closed when there are too many."""
        self._waiting[connection] = None

    def work(self, connection: BoundedProtocol) -> None:
        """A request is being worked on, or the connection has gone."""
        self._waiting.pop(connection, None)

    def make_room(self) -> bool:
        """Close the connection that has waited longest when there are too many; False where none can be closed."""
        if len(self.connections) <= self._most:
            return True
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        self._waiting.pop(longest)
        longest.give_way()
        return True

    def drain(self) -> None:
        """No request but those that are on their way, and one more on each kept connection."""
        self.draining = True
        for connection in list(self.connections):
            connection.shutdown()

    def cut(self, error: PasserbyError) -> int:
        """End every connection: what has no answer yet gets this error. How many requests had none."""
        return sum(connection.cut(error) for connection in list(self.connections))  # type: ignore[union-attr]
