# SPDX-License-Identifier: Apache-2.0
"""What crosses the boundary between the front process and its workers: a request on its way in, an answer back.

Both are plain values that pickle; the front never looks into a body, and a worker never sees a connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One guarded request, its body read but not parsed.

    Attributes:
        number: unique in this run of the service; the pool's name for the job.
        log_id: ours; a valid `logId` inside the body wins in the worker.
        content_type, query: as the client sent them, empty when it did not; the query without `?`.
        body: all bytes of the request, at most `max_body`.
        deadline: `time.monotonic()` at which the answer is worth nothing any more; one clock for all processes.
    """

    number: int
    log_id: str
    content_type: str = ""
    query: str = ""
    body: bytes = field(default=b"", repr=False)
    deadline: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to one job, an error answer included.

    Attributes:
        number: the job's.
        log_id: the one the answer carries: the client's when it was valid, else ours.
        status: HTTP status.
        content_type: of the body.
        body: all bytes of the response.
        error: machine name of the error that the answer is, or None.
        pictures, pixels, persons: what was analysed, for the log and the metrics.
        seconds: time by stage: `parse`, `fetch`, `decode`, `infer`, `draw`, `encode`; a stage may be missing.
    """

    number: int
    log_id: str
    status: int = 200
    content_type: str = "application/json"
    body: bytes = field(default=b"", repr=False)
    error: str | None = None
    pictures: int = 0
    pixels: int = 0
    persons: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
