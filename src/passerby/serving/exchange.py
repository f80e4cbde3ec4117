# SPDX-License-Identifier: Apache-2.0
"""One request on its way through the front: what the log and the metrics will say of it, and how it is refused."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import PasserbyError
from .jobs import Reply

NO_ROUTE = "none"
"""The route of a path that nothing is at."""

LEFT = "left"
"""What stands for an error's name where the client went away before it was answered."""


class Refusal(Exception):
    """An error together with headers of its answer that depend on the request, such as `Allow`."""

    def __init__(self, error: PasserbyError, headers: Mapping[str, str]) -> None:
        super().__init__(error, headers)
        self.error = error
        self.headers = headers


class ClientLeft(Exception):
    """The client closed the connection; there is nobody to answer."""


@dataclass(slots=True, kw_only=True)
class Exchange:
    """What is known of one request so far.

    Attributes:
        log_id: of the answer and the log; ours until a worker finds a valid one in the body.
        method, path: as asked for, the path decoded and without the query.
        started: `time.monotonic()` when the head of the request was complete.
        route: the path of the table that answers, or `none`.
        client: the address of the client, behind trusted proxies the one they name; may be empty.
        readable_by: the web origin of another site whose page may read the answer, or None.
        status: HTTP status of the answer, None while there is none.
        error: machine name of the error that the answer is, or None.
        received, sent: bytes of the two bodies.
        read_s: seconds until the body was there. answer_s: from then until the worker's answer was.
        reply: the worker's answer, or None.
    """

    method: str
    path: str
    log_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: float = field(default_factory=time.monotonic)
    route: str = NO_ROUTE
    client: str = ""
    readable_by: str | None = None
    status: int | None = None
    error: str | None = None
    received: int = 0
    sent: int = 0
    read_s: float | None = None
    answer_s: float = 0.0
    reply: Reply | None = None

    @property
    def seconds(self) -> float:
        """Since the request arrived."""
        return time.monotonic() - self.started
