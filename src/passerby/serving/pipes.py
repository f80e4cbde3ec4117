# SPDX-License-Identifier: Apache-2.0
"""Messages between the front and a worker: a head of JSON, and the bytes of a body as they are.

JSON and not pickle, though both ends are ours: a worker takes strangers' pictures apart, and what it sends must not be
able to act in the front. Bodies are never wrapped, escaped or joined to anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from ..errors import InternalError, PasserbyError
from .jobs import Job, Reply

JOB, DROP, END = "job", "drop", "end"
"""What the front says: do this; nobody waits for that any more; stop."""

READY, FAILED, AWAY, BACK, REPLY, DROPPED = "ready", "failed", "away", "back", "reply", "dropped"
"""What a worker says: warm, with facts; cannot start, with an error; the job waits for another server; it does no
longer; done, with an answer; done without one, as nobody waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, either way.

    Attributes:
        kind: one of the words above.
        number: of the job it is about, 0 where it is about none.
        values: what JSON can say.
        body: of a request or an answer.
    """

    kind: str
    number: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


def send(connection: Connection, message: Message) -> None:
    """Write a message; blocks while the other side does not read. One thread at a time.

    Raises:
        OSError: the other side is gone.
    """
    head = [message.kind, message.number, message.values, bool(message.body)]
    connection.send_bytes(json.dumps(head, separators=(",", ":")).encode("ascii"))
    if message.body:
        connection.send_bytes(message.body)


def receive(connection: Connection) -> Message:
    """Wait for a message. One thread at a time.

    Raises:
        OSError: the other side is gone.
    """
    try:
        kind, number, values, has_body = json.loads(connection.recv_bytes())
        body = connection.recv_bytes() if has_body else b""
    except EOFError:
        raise ConnectionResetError("the other side has ended") from None
    return Message(kind=kind, number=number, values=values, body=body)


def job_message(job: Job) -> Message:
    values = {
        "log_id": job.log_id,
        "content_type": job.content_type,
        "query": job.query,
        "deadline": job.deadline,
    }
    return Message(kind=JOB, number=job.number, values=values, body=job.body)


def job_of(message: Message) -> Job:
    return Job(number=message.number, body=message.body, **message.values)


def reply_message(reply: Reply) -> Message:
    values = {
        "log_id": reply.log_id,
        "status": reply.status,
        "content_type": reply.content_type,
        "error": reply.error,
        "pictures": reply.pictures,
        "pixels": reply.pixels,
        "persons": reply.persons,
        "seconds": dict(reply.seconds),
    }
    return Message(kind=REPLY, number=reply.number, values=values, body=reply.body)


def reply_of(message: Message) -> Reply:
    return Reply(number=message.number, body=message.body, **message.values)


def error_message(error: PasserbyError) -> Message:
    """The error that kept a worker from starting."""
    kind = type(error).__name__
    values = {"type": kind, "name": error.name, "happened": error.happened, "input": error.input, "hint": error.hint}
    return Message(kind=FAILED, values=values)


def error_of(message: Message) -> PasserbyError:
    said = message.values
    known = {kind.__name__: kind for kind in _kinds(PasserbyError)}
    kind = known.get(said["type"])
    if kind is None or said["name"] not in kind.names:
        return InternalError("internal", "a worker could not start")
    return kind(said["name"], said["happened"], input=said["input"], hint=said["hint"])


def _kinds(base: type[PasserbyError]) -> list[type[PasserbyError]]:
    return [kind for child in base.__subclasses__() for kind in (child, *_kinds(child))]
