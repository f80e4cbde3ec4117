# SPDX-License-Identifier: Apache-2.0
"""What is at which path of the service. Who may ask is settled before anything here runs (`app`)."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope

from ..errors import ServerError
from .answer_headers import DATA, PAGE
from .answers import JSON_TYPE, json_bytes, result_body
from .body import Bodies, check_type, unless_client_leaves
from .docs_page import reference
from .exchange import Exchange
from .jobs import Job
from .metrics import Metrics
from .openapi import INFER
from .page_files import PageFile, page_file, read_page
from .settings import ServerSettings

if TYPE_CHECKING:
    from .pool import WorkerPool


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What an endpoint is given."""

    scope: Scope
    headers: Headers
    receive: Receive
    exchange: Exchange


Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What is at a path.

    Attributes:
        name: in the metrics.
        endpoint: answers; it may raise a PasserbyError or ClientLeft.
        method: GET (then HEAD too) or POST.
        open: answered without a key.
        headers: of its answers.
    """

    name: str
    endpoint: Endpoint
    method: str = "GET"
    open: bool = False
    headers: Mapping[str, str] = field(default_factory=lambda: DATA)

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods that are answered."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)


class Endpoints:
    """The endpoints of one service.

    Args:
        settings: of the service.
        pool: the workers.
        metrics: what `/metrics` shows.
        bodies: reads the bodies of requests.
    """

    def __init__(self, settings: ServerSettings, pool: WorkerPool, metrics: Metrics, bodies: Bodies) -> None:
        self._settings = settings
        self._pool = pool
        self._metrics = metrics
        self._bodies = bodies
        self._numbers = itertools.count(1)

    def table(self) -> Mapping[str, Route]:
        """Every path of the service."""
        routes = {
            INFER: Route(name=INFER, endpoint=self._infer, method="POST"),
            "/health": Route(name="/health", endpoint=_health, open=True),
            "/live": Route(name="/live", endpoint=_live, open=True),
            "/ready": Route(name="/ready", endpoint=self._ready, open=True),
            "/metrics": Route(name="/metrics", endpoint=self._figures),
            "/labels": Route(name="/labels", endpoint=self._labels),
        }
        for path, (body, suffix) in reference(self._settings).items():
            routes[path] = _file_route(path, page_file(body, suffix))
        if self._settings.page:
            files = read_page()
            routes["/"] = _file_route("/", files["index.html"])
            routes |= {f"/page/{name}": _file_route("/page/*", file) for name, file in files.items()}
        return routes

    async def _infer(self, request: Request) -> Response:
        exchange = request.exchange
        check_type(request.headers)
        self._bodies.check_length(request.headers)
        self._pool.check_room()  # before the body is read
        try:
            # nothing here keeps the body: once a worker has it, its memory in this process is free again
            work = self._pool.answer(self._job(request, await self._bodies.read(request.receive, exchange)))
            exchange.read_s = exchange.seconds
            reply = await unless_client_leaves(work, request.receive)
        finally:
            self._bodies.release(exchange)
        exchange.answer_s = exchange.seconds - exchange.read_s
        exchange.reply, exchange.log_id, exchange.error = reply, reply.log_id, reply.error
        return Response(reply.body, reply.status, headers={"Content-Type": reply.content_type})

    def _job(self, request: Request, body: bytes) -> Job:
        return Job(
            number=next(self._numbers),
            log_id=request.exchange.log_id,
            content_type=request.headers.get("content-type", ""),
            query=request.scope["query_string"].decode("latin-1"),
            body=body,
            # from here on: how long the client took to send it is bounded apart from that
            deadline=time.monotonic() + self._settings.deadline_s,
        )

    async def _ready(self, request: Request) -> Response:
        if not self._pool.ready:
            raise _not_ready()
        return _state(request, "Ready")

    async def _figures(self, request: Request) -> Response:
        body, content_type = self._metrics.page(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    async def _labels(self, request: Request) -> Response:
        if not self._pool.facts:
            raise _not_ready()
        return Response(result_body(request.exchange.log_id, self._pool.facts), media_type=JSON_TYPE)


async def _health(request: Request) -> Response:
    return _state(request, "Healthy")


async def _live(request: Request) -> Response:
    return _state(request, "Alive")


def _state(request: Request, word: str) -> Response:
    body = json_bytes({"logId": request.exchange.log_id, "errorCode": 0, "errorMsg": word})
    return Response(body, media_type=JSON_TYPE)


def _not_ready() -> ServerError:
    return ServerError("not_ready", "the service is starting or stopping", hint="try again later")


def _file_route(name: str, file: PageFile) -> Route:
    """What is the same for everybody and says nothing of anybody: browsers cannot send a key when they load it."""

    async def endpoint(request: Request) -> Response:
        return file.response(request.headers)

    return Route(name=name, endpoint=endpoint, open=True, headers=PAGE)
