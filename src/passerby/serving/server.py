# SPDX-License-Identifier: Apache-2.0
"""One run of the service: the port, the workers, what signals do, and the exit code.

The port is open while the workers warm up, so that probes get an answer: `/live` says 200 and `/ready` 503. SIGTERM
and SIGINT drain: no new connections, no new work, what waits is finished. A second one ends everything at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from email.utils import formatdate
from types import FrameType
from typing import Any

import uvicorn

from ..errors import Interrupted
from .access_log import AccessLog
from .app import Application, create_app
from .connections import Connections
from .pool import WorkerPool
from .protocol import BoundedProtocol
from .settings import ServerSettings
from .sockets import Listening

STOP_S = 2.0
"""For the last bytes of answers after everything else has ended."""
TURNS, TURN_S = 10, 0.01
"""For those who connected before the port was closed to say what they want: it lies in the system already, but takes
some turns of the event loop to reach us, also where a busy machine gives us none for a while."""

TICK_S = 0.02

Say = Callable[[str], None]

log = logging.getLogger(__name__)


def serve(settings: ServerSettings, *, say: Say) -> int:
    """Run the service until it is told to stop, and give its exit code.

    Args:
        settings: of the service.
        say: takes the one line that tells where it listens.
    Returns:
        0 after a drain in which every request was finished, 130 where some were cut, 4 when workers keep dying.
    Raises:
        PasserbyError: what makes a start impossible: the port, the certificate, the configuration, a model.
    """
    with Listening(settings) as listening:
        return asyncio.run(_Run(settings, listening, say).whole())


class _Run:
    """One service from its start to its end, on one event loop."""

    def __init__(self, settings: ServerSettings, listening: Listening, say: Say) -> None:
        self._settings = settings
        self._listening = listening
        self._say = say
        self._stopping = asyncio.Event()
        self._pool = WorkerPool(settings)
        self._log = AccessLog(requests=not settings.quiet, clients=settings.log_client)
        self._app = create_app(settings, self._pool, log=self._log)
        self._connections = Connections(settings, most=listening.most, refused=self._app.refused)
        self._servers: list[asyncio.Server] = []
        self._protocol: Callable[[], BoundedProtocol]
        self._last: set[asyncio.Task[Any]] = set()

    async def whole(self) -> int:
        """
        Raises:
            PasserbyError: the start failed.
        """
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_Complaints())
        with _signals(loop, self._stop):
            clock = loop.create_task(self._tell_time())
            try:
                await self._listen(loop)
                return await self._work()
            finally:
                clock.cancel()
                await self._end()

    async def _work(self) -> int:
        """
        Raises:
            PasserbyError: a worker could not start, or too many died.
        """
        if not await self._unless_stopped(self._pool.start()):
            return 0
        self._say(f"passerby: serving on {self._listening.url}")
        failed = asyncio.ensure_future(self._pool.failed())
        if await self._unless_stopped(failed):
            raise failed.result()
        return 130 if await self._drain() else 0

    async def _unless_stopped(self, work: Awaitable[object]) -> bool:
        """Whether the work came to its end before the service was told to stop; if not, it is cancelled.

        Raises:
            PasserbyError: what the work raised.
        """
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            return working.done()
        finally:
            working.cancel()
            stopping.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take connections. One protocol object is made for each, and all share `self._connections`."""
        config = _uvicorn_config(self._app)
        config.load()
        self._protocol = lambda: BoundedProtocol(config, self._connections, {}, loop)
        for each in self._listening.sockets:
            server = await loop.create_server(
                self._protocol,
                sock=each,
                ssl=self._listening.tls,
                ssl_handshake_timeout=None if self._listening.tls is None else self._settings.header_s,
                backlog=config.backlog,
            )
            self._servers.append(server)

    async def _tell_time(self) -> None:
        """Keep the headers that every answer has: the date changes once a second."""
        while True:
            date = formatdate(time.time(), usegmt=True).encode()
            self._connections.default_headers = [(b"date", date), (b"server", b"passerby")]
            await asyncio.sleep(1)

    async def _drain(self) -> int:
        """Finish what has been begun; how many requests were cut because that took too long."""
        end = time.monotonic() + self._settings.drain_s
        await self._take_the_last()
        self._connections.drain()
        cut = await self._pool.drain(self._settings.drain_s)
        await self._answered(max(end - time.monotonic(), STOP_S))  # bodies on their way
        cut += self._connections.cut(Interrupted("interrupted", "the service stops", hint="ask again later"))
        await self._answered(STOP_S)
        await self._read(max(end - time.monotonic(), STOP_S))
        return cut

    async def _take_the_last(self) -> None:
        """Close the port, but first take those who have connected: the system would cut them off without a word."""
        loop = asyncio.get_running_loop()
        for each in self._listening.sockets:
            with contextlib.suppress(NotImplementedError):  # Windows
                # asyncio drops what it has taken half when its server closes, so it has to finish first
                loop.remove_reader(each)
        await _some_turns()
        waiting = self._listening.accept_waiting()
        self._close_port()
        for connected in waiting:
            taken = loop.connect_accepted_socket(self._protocol, connected, ssl=self._listening.tls)
            self._last.add(loop.create_task(taken))
        await _some_turns()

    async def _answered(self, seconds: float) -> None:
        """Wait until no request is being worked on."""
        end = time.monotonic() + seconds
        while self._connections.tasks and (rest := end - time.monotonic()) > 0:
            await asyncio.wait(set(self._connections.tasks), timeout=rest)

    async def _read(self, seconds: float) -> None:
        """Wait until clients have read their answers and all connections are closed."""
        end = time.monotonic() + seconds
        while self._connections.connections and time.monotonic() < end:
            await asyncio.sleep(TICK_S)

    async def _end(self) -> None:
        self._close_port()
        await self._pool.stop()
        await self._answered(STOP_S)
        for connection in list(self._connections.connections):
            connection.transport.close()
        await self._read(TICK_S)
        self._log.close()

    def _close_port(self) -> None:
        for server in self._servers:
            server.close()

    def _stop(self) -> None:
        self._stopping.set()


async def _some_turns() -> None:
    """Let the event loop look around, for a moment and a few times at least."""
    for _ in range(TURNS):
        await asyncio.sleep(TURN_S)


def _uvicorn_config(app: Application) -> uvicorn.Config:
    """What uvicorn's protocol reads; nothing of its own server, logging or reading of the environment."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
    )


@contextlib.contextmanager
def _signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> Iterator[None]:
    """The first SIGINT or SIGTERM calls `stop`, the second ends the process at once; afterwards all is as before.

    Workers see their pipes close and end by themselves.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, lambda *_: os._exit(130))
        loop.call_soon_threadsafe(stop)

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        # whoever started us with signals ignored (nohup, a background job) means it
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Complaints:
    """What asyncio complains about: one line a second for what the system ran out of, a traceback for bugs only."""

    def __init__(self) -> None:
        self._said = float("-inf")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error, message = context.get("exception"), str(context.get("message", ""))
        if isinstance(error, OSError):
            if time.monotonic() - self._said >= 1:
                self._said = time.monotonic()
                log.warning("%s: %s", message or "connection", error.strerror or type(error).__name__)
        elif not (isinstance(error, ValueError) and "_start_serving" in message):
            # a second after it ran out of files asyncio takes connections again, also where the port is closed by then
            loop.default_exception_handler(context)
