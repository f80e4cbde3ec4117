# SPDX-License-Identifier: Apache-2.0
"""The access log: one line of JSON a request on stderr, with nothing in it that a client sent but method and path.

A thread writes, so that a reader of stderr that stands still does not stop the event loop; lines that do not fit into
the waiting room are counted and left out.
"""

from __future__ import annotations

import contextlib
import json
import queue
import sys
import threading
import traceback
from datetime import datetime, timezone
from typing import Any, TextIO

from ..errors import PATH_SHOWN, shown
from .exchange import Exchange

WAITING_LINES = 10_000
CLOSE_S = 2.0


class AccessLog:
    """Writes what happened to every request, and tracebacks of bugs. Safe to use from every thread.

    Args:
        requests: whether requests are logged; bugs always are.
        clients: whether the lines name the client's address.
        stream: where to write; default stderr.
    Attributes:
        dropped: lines left out because nobody read them.
    """

    def __init__(self, *, requests: bool = True, clients: bool = False, stream: TextIO | None = None) -> None:
        self.dropped = 0
        self._requests = requests
        self._clients = clients
        self._stream = sys.stderr if stream is None else stream
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING_LINES)
        self._writer = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._writer.start()

    @property
    def waiting(self) -> int:
        """Lines that are not written yet."""
        return self._lines.qsize()

    def request(self, exchange: Exchange) -> None:
        """One line about a request that is over."""
        if not self._requests:
            return
        reply = exchange.reply
        line: dict[str, Any] = {
            "time": _now(),
            "logId": exchange.log_id,
            "method": shown(exchange.method, 20),
            "path": shown(exchange.path, PATH_SHOWN),
            "status": exchange.status,
            "name": exchange.error,
            "bytes": exchange.received,
            "sent": exchange.sent,
            "milliseconds": round(exchange.seconds * 1000, 1),
            "pixels": 0 if reply is None else reply.pixels,
            "persons": 0 if reply is None else reply.persons,
        }
        if self._clients:
            line["client"] = shown(exchange.client)
        self._put(line)

    def bug(self, log_id: str, error: BaseException) -> None:
        """The traceback of a bug under the logId that its answer carries."""
        lines = "".join(traceback.format_exception(error)).splitlines()
        self._put({"time": _now(), "logId": log_id, "name": "internal", "traceback": lines})

    def close(self) -> None:
        """Write what waits, for at most two seconds."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=CLOSE_S)
            self._writer.join(CLOSE_S)

    def _put(self, line: dict[str, Any]) -> None:
        try:
            # plain ASCII: no sign of another terminal or line can come out of a path
            self._lines.put_nowait(json.dumps(line, separators=(",", ":")) + "\n")
        except queue.Full:
            self.dropped += 1

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            with contextlib.suppress(OSError, ValueError):  # a closed stderr is no reason to stop answering
                self._stream.write(line)
                self._stream.flush()


def _now() -> str:
    """The wall clock in UTC, to the millisecond."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
