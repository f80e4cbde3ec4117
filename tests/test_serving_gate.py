# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is: never more than allowed, in order, and never for those who are late or gone."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from passerby.errors import Interrupted, ServerError
from passerby.serving.gate import JobGate, Room, Turns

from .serving_server import until


class Gates:
    """Gates of one worker."""

    def __init__(self, *, computing: int = 1, fetching: int = 1, room: int = 2) -> None:
        self.shared = {"computing": Turns(computing), "fetching": Turns(fetching), "room": Room(room)}
        self.told: list[bool] = []

    def gate(self, *, seconds: float = 60.0) -> JobGate:
        return JobGate(**self.shared, deadline=time.monotonic() + seconds, tell=self.told.append)


def test_at_most_so_many_compute_at_once() -> None:
    gates = Gates(computing=3)
    inside, most, lock = 0, 0, threading.Lock()

    def compute(_: int) -> None:
        nonlocal inside, most
        gate = gates.gate()
        gate.acquire()
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.001)
        with lock:
            inside -= 1
        gate.release()

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(compute, range(200)))
    assert most == 3
    for _ in range(3):  # all turns are back
        gates.gate(seconds=0).acquire()
    with pytest.raises(ServerError, match="deadline_exceeded"):
        gates.gate(seconds=0).acquire()


def test_who_asks_first_is_first() -> None:
    gates = Gates()
    holder = gates.gate()
    holder.acquire()
    order: list[int] = []

    def compute(number: int) -> None:
        gate = gates.gate()
        gate.acquire()
        order.append(number)
        gate.release()

    threads = []
    for number in range(20):
        threads.append(threading.Thread(target=compute, args=(number,)))
        threads[-1].start()
        until(lambda n=number: len(gates.shared["computing"]._asking) == n + 1)
    holder.release()
    for thread in threads:
        thread.join()
    assert order == list(range(20))


def test_dropping_wakes_who_waits_and_refuses_who_comes() -> None:
    gates = Gates()
    gates.gate().acquire()
    waiting = gates.gate()
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(waiting.acquire)
        until(lambda: gates.shared["computing"]._asking)
        waiting.drop()
        with pytest.raises(Interrupted):
            asked.result(30)
    assert waiting.dropped
    with pytest.raises(Interrupted):
        waiting.acquire()


def test_leaving_lets_others_compute_and_is_told() -> None:
    gates = Gates()
    first, second = gates.gate(), gates.gate(seconds=0)
    first.acquire()
    first.leave()
    second.acquire()
    second.release()
    first.acquire()
    first.release()
    assert gates.told == [True, False]


def test_more_fetches_than_there_is_room_for_are_refused() -> None:
    gates = Gates(fetching=1, room=2)
    fetching, parked, refused = gates.gate(), gates.gate(seconds=0.1), gates.gate()
    fetching.acquire()
    fetching.leave()
    with ThreadPoolExecutor(1) as threads:
        parked.acquire()
        asked = threads.submit(parked.leave)
        until(lambda: len(gates.told) == 2)
        refused.acquire()
        with pytest.raises(ServerError, match="overloaded"):
            refused.leave()
        with pytest.raises(ServerError, match="deadline_exceeded"):
            asked.result(30)
    fetching.acquire()  # its turn to compute is free: both others gave theirs away
    fetching.release()
    assert gates.told == [True, True, False, False]
    for _ in range(2):  # and so is the room
        assert gates.shared["room"].enter()
