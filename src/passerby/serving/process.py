# SPDX-License-Identifier: Apache-2.0
"""A worker process as the front holds it: started, fed, listened to and buried, without ever keeping the loop waiting.

A thread writes and a thread reads, because a pipe blocks while its other end is busy, with a body of 32 MiB for many
milliseconds. What they find out is told on the event loop, so the pool needs no lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from .layout import Layout
from .pipes import END, Message, receive, send
from .settings import ServerSettings

# A new interpreter that is given the recipe of a pipeline. Forking would copy locks whose threads do not exist in the
# child, and the listening sockets; this way it is the same on Linux, macOS and Windows.
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(slots=True, kw_only=True, eq=False)
class Worker:
    """One worker process. Its methods are for the event loop; `start` alone blocks and is for a thread.

    Attributes:
        number: counts the workers of this service from 1.
        ready: it is warm, and not known to be dead.
        here: numbers of jobs that hold a slot. away: those that wait for other servers.
        told: called on the loop with every message of the worker.
        died: called on the loop once, last, with the exit code; below 0 it is the signal that ended it.
    """

    number: int
    settings: ServerSettings
    layout: Layout
    loop: asyncio.AbstractEventLoop
    told: Callable[[Worker, Message], None]
    died: Callable[[Worker, int], None]
    ready: bool = False
    here: set[int] = field(default_factory=set)
    away: set[int] = field(default_factory=set)
    _process: BaseProcess | None = None
    _outgoing: queue.SimpleQueue[Message | None] = field(default_factory=queue.SimpleQueue)

    @property
    def free(self) -> int:
        """Slots for jobs; below 0 while more have come back from fetching than there are."""
        return self.layout.slots - len(self.here) if self.ready else 0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process and its two threads.

        Raises:
            OSError: the system has no more processes or files to give.
        """
        ours, theirs = _SPAWN.Pipe(duplex=True)
        name = f"passerby-worker-{self.number}"
        process = _SPAWN.Process(target=run_worker, args=(theirs, self.settings, self.layout), name=name, daemon=True)
        with _signals_blocked():
            process.start()
        theirs.close()  # so that ours is closed when the worker ends
        self._process = process
        writer = threading.Thread(target=self._write, args=(ours,), name=f"{name}-writer", daemon=True)
        writer.start()
        threading.Thread(target=self._read, args=(ours, writer), name=f"{name}-reader", daemon=True).start()

    def give(self, message: Message) -> None:
        """Send a message; returns at once."""
        self._outgoing.put(message)

    def end(self) -> None:
        """Tell it to end, whatever it is doing."""
        self._outgoing.put(Message(kind=END))

    def kill(self) -> None:
        """End it without a word; it may hang."""
        if self._process is not None:
            self._process.kill()

    def _write(self, connection: Connection) -> None:
        with contextlib.suppress(OSError):  # the reader notices too
            while (message := self._outgoing.get()) is not None:
                send(connection, message)
                del message  # a body must not stay in memory until the next one comes

    def _read(self, connection: Connection, writer: threading.Thread) -> None:
        assert self._process is not None
        try:
            while True:
                message = receive(connection)
                self._on_loop(self.told, message)
                del message
        except OSError:
            pass
        except Exception:
            traceback.print_exc()  # what it wrote is no message: it is not trusted any further
        self._process.kill()
        self._process.join()
        # Closed only when nobody can write any more: its number may be another file's a moment later.
        self._outgoing.put(None)
        writer.join()
        connection.close()
        self._on_loop(self.died, self._process.exitcode or 0)

    def _on_loop(self, call: Callable[..., None], value: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self.loop.call_soon_threadsafe(call, self, value)


def run_worker(connection: Connection, settings: ServerSettings, layout: Layout) -> None:
    """The main function of a worker process; does not return.

    A terminal and a service manager send signals to every process of a group; what follows from them is decided by the
    front, which lets work be finished.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # The engines ask for it when they load a network.
    os.environ["PASSERBY_THREADS"] = str(layout.engine_threads)
    code = 1
    try:
        from .worker import WorkerLoop  # loads what computes, which the front never does

        with contextlib.suppress(OSError):  # the front has ended
            WorkerLoop(connection, settings, layout).run()
        code = 0
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)  # threads that still compute do so for nobody


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """A process started meanwhile keeps them blocked, until it says what it does with them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
