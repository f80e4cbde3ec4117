# SPDX-License-Identifier: Apache-2.0
"""A worker process: one warm pipeline, and threads that answer jobs with it.

The main thread reads the pipe and does nothing else, so a message never waits, and the end of the front, by whatever
cause, is seen at once: the pipe closes, and the worker ends. This is the one module of the service that loads what
computes; `process.run_worker` imports it, in the worker.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from multiprocessing.connection import Connection

from ..errors import EngineError, InternalError, PasserbyError
from ..pipeline import Pipeline, create_pipeline
from .answering import answer
from .facts import facts_of
from .gate import JobGate, Room, Turns
from .jobs import Job, Reply
from .layout import FETCHES, Layout
from .pipes import AWAY, BACK, DROP, DROPPED, JOB, READY, Message, error_message, job_of, receive, reply_message, send
from .settings import ServerSettings

WARM_S = 600.0


class WorkerLoop:
    """Jobs in, replies out, until the front says stop or is gone."""

    def __init__(self, connection: Connection, settings: ServerSettings, layout: Layout) -> None:
        self._connection = connection
        self._settings = settings
        self._layout = layout
        self._writing = threading.Lock()
        self._computing = Turns(layout.computing)
        self._fetching = Turns(FETCHES)
        self._room = Room(layout.away)
        self._gates: dict[int, JobGate] = {}
        self._pipeline: Pipeline | None = None
        self._threads = ThreadPoolExecutor(layout.slots + layout.away, thread_name_prefix="passerby-job")

    def run(self) -> None:
        """Read messages until there is no need to.

        Raises:
            OSError: the front is gone.
        """
        threading.Thread(target=self._start, name="passerby-start", daemon=True).start()
        while True:
            message = receive(self._connection)
            if message.kind == JOB:
                self._begin(job_of(message))
            elif message.kind == DROP:
                gate = self._gates.get(message.number)
                if gate is not None:
                    gate.drop()
            else:
                return

    def _send(self, message: Message) -> None:
        try:
            with self._writing:
                send(self._connection, message)
        except OSError:
            os._exit(0)  # the front is gone; nobody is left to answer

    def _start(self) -> None:
        """Make the pipeline and warm it, then say so, or say why not."""
        try:
            pipeline = _warm_pipeline(self._settings, self._layout.computing)
            self._pipeline = pipeline
            facts = facts_of(pipeline)
        except PasserbyError as error:
            self._send(error_message(error))
        except MemoryError:
            self._send(error_message(EngineError("out_of_memory", "not enough memory to start a worker")))
        except Exception:
            traceback.print_exc()
            self._send(error_message(InternalError("internal", "a worker could not start")))
        else:
            # What was made so far stays: the collector need not look through it again and again.
            gc.collect()
            gc.freeze()
            self._send(Message(kind=READY, values=facts))

    def _begin(self, job: Job) -> None:
        def tell(away: bool) -> None:
            self._send(Message(kind=AWAY if away else BACK, number=job.number))

        gate = self._gates[job.number] = JobGate(
            computing=self._computing, fetching=self._fetching, room=self._room, deadline=job.deadline, tell=tell
        )
        self._threads.submit(self._answer, job, gate)

    def _answer(self, job: Job, gate: JobGate) -> None:
        assert self._pipeline is not None
        try:
            reply = answer(job, self._pipeline, self._settings, gate)
            dropped = gate.dropped
            del self._gates[job.number]
            self._send(Message(kind=DROPPED, number=job.number) if dropped else reply_message(reply))
        except BaseException:
            # Whose answer can be neither made nor sent would wait for ever: the front answers for a dead worker.
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)


def _warm_pipeline(settings: ServerSettings, threads: int) -> Pipeline:
    """The pipeline, after every thread that will compute has answered a request, so that no client pays for the first.

    Raises:
        PasserbyError: it cannot be made, or its networks do not run.
    """
    pipeline = create_pipeline(
        settings.pipeline,
        device=settings.device,
        use_hpip=settings.use_hpip or None,
        hpi_config=settings.hpi_config,
    )
    picture = (resources.files("passerby") / "assets/street.jpg").read_bytes()
    pipeline.classify(picture, [[0, 0, 64, 128]])  # a detector that finds nobody leaves the second network cold
    roomy = dataclasses.replace(settings, max_pixels=ServerSettings().max_pixels)
    with ThreadPoolExecutor(threads) as together:
        replies = list(together.map(lambda _: _rehearse(picture, pipeline, roomy), range(threads)))
    for reply in replies:
        if reply.error is not None:
            raise EngineError("engine_failed", f"the first picture could not be analysed ({reply.error})")
    return pipeline


def _rehearse(picture: bytes, pipeline: Pipeline, settings: ServerSettings) -> Reply:
    job = Job(
        number=0,
        log_id="warm",
        content_type="image/jpeg",
        query="visualize=true&details=true",
        body=picture,
        deadline=time.monotonic() + WARM_S,
    )
    alone = JobGate(computing=Turns(1), fetching=Turns(1), room=Room(1), deadline=job.deadline, tell=lambda away: None)
    return answer(job, pipeline, settings, alone)
