# SPDX-License-Identifier: Apache-2.0
"""The workers of the service as one: a bounded queue before them, and an answer for every job, whatever dies.

Everything here runs on one event loop and none of it waits for anything but the loop. A job goes to the worker with
most room. What it is refused with: `overloaded` at once when the queue is full, `deadline_exceeded` when its time is
over, `not_ready` before the first worker is warm, and `interrupted` when its work was cut off: by a drain, or because
its worker died. `interrupted`, since nothing is known to be wrong with the request, nor is there more to do than can be
done, which `overloaded` would tell those who watch; that memory ran out is likely then, and not known.
"""

from __future__ import annotations

import asyncio
import atexit
import collections
import dataclasses
import logging
import time
from collections.abc import Mapping
from typing import Any

from ..errors import EngineError, Interrupted, PasserbyError, ServerError
from .jobs import Job, Reply
from .layout import layout_of
from .pipes import AWAY, BACK, DROP, DROPPED, FAILED, READY, REPLY, Message, error_of, job_message, reply_of
from .process import Worker
from .settings import ServerSettings

log = logging.getLogger(__name__)

DEATHS, WITHIN_S = 5, 60.0
"""So many deaths within so many seconds end the service."""

HUNG_S = 30.0
END_S = 2.0


@dataclasses.dataclass(slots=True, kw_only=True, eq=False)
class _Entry:
    """A job, until it is answered. `worker` has it, or nobody does yet."""

    job: Job | None
    future: asyncio.Future[Reply]
    worker: Worker | None = None


class WorkerPool:
    """Worker processes that answer jobs.

    Args:
        settings: of the service.
        hung_s: seconds after a job's deadline at which a worker that still holds it is taken for hung, and killed.
    Attributes:
        recipe: what workers are given of the settings: no keys, for they take strangers' pictures apart.
    """

    def __init__(self, settings: ServerSettings, *, hung_s: float = HUNG_S) -> None:
        self._settings = settings
        self.recipe = dataclasses.replace(settings, api_keys=(), insecure=True)
        self._layout = layout_of(settings)
        self._hung_s = hung_s
        self._workers: list[Worker] = []
        self._started = 0
        self._entries: dict[int, _Entry] = {}
        self._queue: collections.OrderedDict[int, _Entry] = collections.OrderedDict()
        self._deaths: collections.deque[float] = collections.deque(maxlen=DEATHS)
        self._restarts = 0
        self._facts: Mapping[str, Any] = {}
        self._draining = False
        self._stopping = False
        self._changed = asyncio.Event()
        self._failure: PasserbyError | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Jobs that no worker has yet."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """Jobs that workers have, those that fetch included."""
        return sum(len(worker.here) + len(worker.away) for worker in self._workers)

    @property
    def restarts(self) -> int:
        """Workers replaced since the start."""
        return self._restarts

    @property
    def ready(self) -> bool:
        """Whether a job would be taken."""
        return any(w.ready for w in self._workers) and not self._draining and self._failure is None

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the workers say of their models, see `facts.facts_of`; empty before the first is warm."""
        return self._facts

    @property
    def pids(self) -> tuple[int, ...]:
        """Process numbers of the workers, for metrics."""
        return tuple(worker.pid for worker in self._workers if worker.pid is not None)

    async def start(self) -> None:
        """Start all workers, and return when they are warm.

        Raises:
            PasserbyError: what kept one of them from starting; none runs then.
        """
        atexit.register(self._kill_all)
        for _ in range(self._settings.worker_count):
            self._launch()
        while self._failure is None and not all(worker.ready for worker in self._workers):
            await self._change()
        if self._failure is not None:
            await self.stop()
            raise self._failure

    def check_room(self) -> None:
        """Whether a job would be taken now; for those who can ask before they have its body.

        Raises:
            ServerError: `not_ready`, `overloaded`. Interrupted: the service is ending.
        """
        if self._draining or self._failure is not None:
            raise Interrupted("interrupted", "the service is ending", hint="try again later")
        if not self._facts:
            raise ServerError("not_ready", "the models are being loaded", hint="try again later")
        if len(self._queue) >= self._settings.queue:
            raise ServerError("overloaded", "too many requests wait already", hint="try again later")

    async def answer(self, job: Job) -> Reply:
        """Have a job done. Cancelling drops it, also in the worker.

        Raises:
            ServerError: `not_ready`, `overloaded`, `deadline_exceeded`.
            Interrupted: its work was cut off.
        """
        self.check_room()
        loop = asyncio.get_running_loop()
        entry = _Entry(job=job, future=loop.create_future())
        self._entries[job.number] = self._queue[job.number] = entry
        late = loop.call_later(max(0.0, job.deadline - time.monotonic()), self._expire, entry)
        number, deadline = job.number, job.deadline
        del job
        try:
            self._dispatch()
            return await entry.future
        finally:
            late.cancel()
            self._forget(number, deadline)

    async def drain(self, seconds: float) -> int:
        """Take no more jobs, and finish those that are here.

        Returns:
            how many were not finished after so many seconds and got `interrupted`.
        """
        self._draining = True
        end = time.monotonic() + seconds
        while self._entries and self._failure is None and (left := end - time.monotonic()) > 0:
            await self._change(left)
        return self._cut("the service is ending")

    async def stop(self) -> None:
        """End all workers; jobs that are left get `interrupted`. Returns when no process is left."""
        self._stopping = self._draining = True
        self._cut("the service is ending")
        for worker in self._workers:
            worker.end()
        end = time.monotonic() + END_S
        while self._workers and (left := end - time.monotonic()) > 0:
            await self._change(left)
        self._kill_all()
        while self._workers:
            await self._change()
        atexit.unregister(self._kill_all)

    async def failed(self) -> PasserbyError:
        """Wait until the workers cannot be kept alive any more.

        Returns:
            why: its exit code is the service's.
        """
        while self._failure is None:
            await self._change()
        return self._failure

    def _dispatch(self) -> None:
        """Give waiting jobs, oldest first, to the workers with most room."""
        while self._queue:
            worker = max(self._workers, key=lambda w: w.free, default=None)
            if worker is None or worker.free <= 0:
                return
            number, entry = self._queue.popitem(last=False)
            assert entry.job is not None
            entry.worker = worker
            worker.here.add(number)
            worker.give(job_message(entry.job))
            entry.job = None  # the worker has the body now

    def _expire(self, entry: _Entry) -> None:
        hint = "send smaller pictures or fewer at once, or try again later"
        seconds = self._settings.deadline_s
        self._refuse(entry, ServerError("deadline_exceeded", f"no answer within {seconds:g} s", hint=hint))

    def _refuse(self, entry: _Entry, error: PasserbyError) -> None:
        if not entry.future.done():
            entry.future.set_exception(error)

    def _forget(self, number: int, deadline: float) -> None:
        """Nobody waits for the job any more; a worker that still has it is told, and watched."""
        entry = self._entries.pop(number)
        self._queue.pop(number, None)
        worker = entry.worker
        if worker is not None and (number in worker.here or number in worker.away):
            worker.give(Message(kind=DROP, number=number))
            seconds = max(0.0, deadline - time.monotonic()) + self._hung_s
            asyncio.get_running_loop().call_later(seconds, self._check_hung, worker, number)
        self._notify()

    def _check_hung(self, worker: Worker, number: int) -> None:
        if worker in self._workers and (number in worker.here or number in worker.away):
            log.warning("a worker hangs and is replaced: worker=%d", worker.number)
            worker.kill()

    def _launch(self) -> None:
        """Start a worker; that goes on by itself, also when whoever waits for it is told not to."""
        self._started += 1
        loop = asyncio.get_running_loop()
        worker = Worker(
            number=self._started,
            settings=self.recipe,
            layout=self._layout,
            loop=loop,
            told=self._told,
            died=self._died,
        )
        self._workers.append(worker)
        task = loop.create_task(self._begin(worker))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _begin(self, worker: Worker) -> None:
        if self._stopping:
            self._died(worker, 0)
            return
        try:
            await asyncio.to_thread(worker.start)
        except OSError as reason:
            log.warning("no worker process could be started: %s", reason.strerror or type(reason).__name__)
            self._died(worker, 1)
        if self._stopping:
            worker.kill()

    def _told(self, worker: Worker, message: Message) -> None:
        number = message.number
        if message.kind == READY:
            self._welcome(worker, message.values)
        elif message.kind == FAILED:
            self._not_started(worker, error_of(message))
        elif message.kind == AWAY and number in worker.here:
            worker.here.remove(number)
            worker.away.add(number)
        elif message.kind == BACK and number in worker.away:
            worker.away.remove(number)
            worker.here.add(number)
        elif message.kind in (REPLY, DROPPED):
            worker.here.discard(number)
            worker.away.discard(number)
            entry = self._entries.get(number)
            if message.kind == REPLY and entry is not None and not entry.future.done():
                entry.future.set_result(reply_of(message))
        self._dispatch()

    def _welcome(self, worker: Worker, facts: Mapping[str, Any]) -> None:
        if self._facts and facts != self._facts:
            happened = "the model files or the configuration changed since the service started"
            self._not_started(worker, EngineError("engine_failed", happened, hint="restart the service"))
            return
        self._facts = facts
        worker.ready = True
        self._notify()

    def _not_started(self, worker: Worker, error: PasserbyError) -> None:
        """At the start of the service that is its end; later it is a death like any other."""
        if self._facts:
            log.warning("a worker could not start: worker=%d %s", worker.number, error.message)
        else:
            self._fail(error)
        worker.kill()

    def _died(self, worker: Worker, exit_code: int) -> None:
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        worker.ready = False
        lost = [entry for entry in self._entries.values() if entry.worker is worker]
        hint = "try again, and if it happens again with a smaller picture"
        for entry in lost:
            self._refuse(entry, Interrupted("interrupted", "the process that worked on this ended", hint=hint))
        worker.here.clear()
        worker.away.clear()
        if not self._stopping:
            log.warning("a worker died: worker=%d exit_code=%d requests=%d", worker.number, exit_code, len(lost))
            self._bury()
        self._notify()

    def _bury(self) -> None:
        """Replace a worker, unless too many died too fast, or the service never came up."""
        self._deaths.append(time.monotonic())
        if self._failure is not None:
            return
        if not self._facts:
            self._fail(EngineError("engine_failed", "a worker process ended while it started"))
        elif len(self._deaths) == DEATHS and self._deaths[-1] - self._deaths[0] <= WITHIN_S:
            self._fail(EngineError("engine_failed", f"{DEATHS} worker processes died within {WITHIN_S:g} s"))
        else:
            self._restarts += 1
            self._launch()

    def _fail(self, error: PasserbyError) -> None:
        self._failure = self._failure or error
        self._cut("the service is ending")
        self._notify()

    def _cut(self, happened: str) -> int:
        """Refuse whatever is left."""
        left = [entry for entry in self._entries.values() if not entry.future.done()]
        for entry in left:
            self._refuse(entry, Interrupted("interrupted", happened, hint="try again later"))
        return len(left)

    def _kill_all(self) -> None:
        """At the latest when this process ends, as the workers do not heed its signals."""
        for worker in self._workers:
            worker.kill()

    def _notify(self) -> None:
        """Wake whoever waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change(self, seconds: float | None = None) -> None:
        """Wait until something changed, or so long."""
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except asyncio.TimeoutError:
            return
