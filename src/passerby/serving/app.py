# SPDX-License-Identifier: Apache-2.0
"""The application of the front: the order in which a request is judged, and what every answer has.

Host, Origin, preflight, key, path, method, rate, then the endpoint; the first that fails is the answer. Paths are
looked up in a table exactly as they stand: nothing is matched, joined or redirected. What the table does not mark as
open needs the key, paths that do not exist included.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..errors import InternalError, PasserbyError, ServerError, without_secrets
from .access_log import AccessLog
from .answer_headers import COMMON, DATA
from .answers import JSON_TYPE, error_body
from .body import Bodies
from .endpoints import Endpoints, Request, Route
from .exchange import LEFT, ClientLeft, Exchange, Refusal
from .guards import Clients, HostGuard, KeyGuard, OriginGuard, RateLimit, cors_headers, preflight_headers
from .metrics import Metrics
from .settings import ServerSettings

if TYPE_CHECKING:
    from .pool import WorkerPool

RETRY_S = 1


class Application:
    """The ASGI application of one service; one event loop uses it.

    Args:
        settings: of the service.
        pool: the workers.
        metrics, log: where requests are counted and written down.
    """

    def __init__(self, settings: ServerSettings, pool: WorkerPool, metrics: Metrics, log: AccessLog) -> None:
        bodies = Bodies(each=settings.max_body, together=settings.max_bodies, seconds=settings.body_s)
        self._metrics = metrics
        self._log = log
        self._hosts = HostGuard(settings)
        self._origins = OriginGuard(settings.cors_origins)
        self._keys = KeyGuard(settings.api_keys)
        self._rate = RateLimit(settings.rate_limit)
        self._clients = Clients(settings.trusted_proxies)
        self._routes = Endpoints(settings, pool, metrics, bodies).table()
        metrics.watch(pool, bodies, log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"this service does not speak {scope['type']}")
        headers = Headers(scope=scope)
        exchange = Exchange(method=scope["method"], path=scope["path"], client=self._clients.address(scope, headers))
        request = Request(scope=scope, headers=headers, receive=receive, exchange=exchange)
        try:
            response = await self._answer(request)
            exchange.status = response.status_code
            exchange.sent = 0 if exchange.method == "HEAD" else len(response.body)
            await response(scope, receive, send)
        except ClientLeft:
            exchange.error = LEFT
        finally:
            self._finish(exchange)

    def refused(self, error: PasserbyError, method: str, target: str, client: str) -> str:
        """Count and write down a request that the parser answered with an error; it never came here.

        Args:
            error: the answer.
            method, target: of the request line as far as they were read, may be empty.
            client: address of the peer.
        Returns:
            the logId of the line, which the answer carries too.
        """
        exchange = Exchange(method=method, path=without_secrets(target).partition("?")[0], client=client)
        exchange.status, exchange.error = error.http_status, error.name
        self._finish(exchange)
        return exchange.log_id

    def _finish(self, exchange: Exchange) -> None:
        """Count a request that is over, and write it down."""
        self._metrics.count(exchange)
        self._log.request(exchange)

    async def _answer(self, request: Request) -> Response:
        """The answer, whatever happens.

        Raises:
            ClientLeft: nobody waits for it.
        """
        exchange = request.exchange
        try:
            response = await self._judge(request)
        except Refusal as refusal:
            response = _error_response(exchange, refusal.error, refusal.headers)
        except PasserbyError as error:
            response = _error_response(exchange, error)
        except ClientLeft:
            raise
        except Exception as bug:
            self._log.bug(exchange.log_id, bug)
            hint = "report it with the logId of this answer"
            response = _error_response(exchange, InternalError("internal", "the service made a mistake", hint=hint))
        response.headers.update(COMMON)
        if exchange.readable_by is not None:
            response.headers.update(cors_headers(exchange.readable_by))
        if response.status_code in (429, 503):
            response.headers.setdefault("Retry-After", str(RETRY_S))
        return response

    async def _judge(self, request: Request) -> Response:
        """Guard after guard, then the endpoint.

        Raises:
            PasserbyError: what a guard or the endpoint says.
            Refusal: the same with headers.
        """
        scope, headers, exchange = request.scope, request.headers, request.exchange
        route = self._routes.get(exchange.path)
        if route is not None:
            exchange.route = route.name
        self._hosts.check(scope, headers)
        if exchange.method == "OPTIONS":
            return self._preflight(request, route)
        exchange.readable_by = self._origins.check(self._clients.scheme(scope, headers), headers)
        if route is None or not route.open:
            self._keys.check(headers)
        if route is None:
            raise ServerError("not_found", "there is nothing at this path", hint="GET /docs lists what there is")
        if exchange.method not in route.methods:
            raise _wrong_method(route)
        if route.method == "POST":
            self._check_rate(exchange)
        response = await route.endpoint(request)
        for name, value in route.headers.items():
            response.headers.setdefault(name, value)
        return response

    def _preflight(self, request: Request, route: Route | None) -> Response:
        """What a browser asks before it lets a page of another site call; only pages that were named get a yes.

        Raises:
            ServerError: `not_found`.
            Refusal: `method_not_allowed`.
        """
        origins = request.headers.getlist("origin")
        if route is None:
            raise ServerError("not_found", "there is nothing at this path")
        if len(origins) != 1 or not self._origins.lists(origins[0]):
            raise _wrong_method(route)
        request.exchange.readable_by = origins[0]
        return Response(status_code=204, headers={**DATA, **preflight_headers(", ".join(route.methods))})

    def _check_rate(self, exchange: Exchange) -> None:
        wait_s = self._rate.wait_s(exchange.client)
        if wait_s:
            error = ServerError("rate_limited", "too many requests of one client", hint=f"wait {ceil(wait_s)} s")
            raise Refusal(error, {"Retry-After": str(ceil(wait_s))})


def create_app(
    settings: ServerSettings, pool: WorkerPool, *, metrics: Metrics | None = None, log: AccessLog | None = None
) -> Application:
    """The application of a service.

    Args:
        settings: of the service.
        pool: its workers, started or not: until they are ready `/ready` and requests are answered 503 `not_ready`.
        metrics, log: default new ones, the log on stderr.
    """
    log = log or AccessLog(requests=not settings.quiet, clients=settings.log_client)
    return Application(settings, pool, metrics or Metrics(), log)


def _wrong_method(route: Route) -> Refusal:
    allowed = ", ".join(route.methods)
    error = ServerError("method_not_allowed", "this path has another method", hint=f"use {allowed}")
    return Refusal(error, {"Allow": allowed})


def _error_response(exchange: Exchange, error: PasserbyError, headers: Mapping[str, str] = {}) -> Response:
    exchange.error = error.name
    more = {"WWW-Authenticate": "Bearer"} if error.http_status == 401 else {}
    body = error_body(exchange.log_id, error)
    return Response(body, error.http_status, headers={**DATA, **more, **headers, "Content-Type": JSON_TYPE})
