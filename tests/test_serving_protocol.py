# SPDX-License-Identifier: Apache-2.0
"""One connection of the service: bounds of size and time, the order of answers, and what is never read as HTTP."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .serving_server import Server, running, until
from .wire_client import ANSWER_S, Answer, Talk

INFER = b"/pedestrian-attribute-recognition"
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" % INFER
LATE_S = 20.0  # on a loaded machine, for what is due after a second


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def brisk() -> Iterator[Server]:
    """A server that waits for nothing longer than a second."""
    times = ("--header-time", "1", "--body_time", "1", "--write-time", "1", "--idle_time", "1")
    with running(*times) as started:
        yield started


@contextlib.contextmanager
def talking(server: Server) -> Iterator[Talk]:
    connection = server.connect()
    connection.setblocking(False)
    with contextlib.closing(connection):
        yield Talk(server, connection)


def said(server: Server, *pieces: bytes, answers: int = 1) -> list[Answer]:
    """The answers to these bytes, sent in one go or piece by piece."""
    with talking(server) as talk:
        for piece in pieces:
            talk.push(piece)
        talk.await_answers(answers)
        return talk.answers()


def last_words(talk: Talk, answers: int) -> list[Answer]:
    """All answers, when no more than so many are due and the client says that it sends no more."""
    talk.await_answers(answers)
    with contextlib.suppress(OSError):  # closed already
        talk.socket.shutdown(socket.SHUT_WR)
    until_closed(talk)
    return talk.answers()


def until_closed(talk: Talk, *, within: float = LATE_S) -> float:
    """Read on until the server closes; the seconds since the start of the connection."""
    end = time.monotonic() + within
    while not talk.closed:
        assert time.monotonic() < end, f"still open after {within} s: {bytes(talk.received[-200:])!r}"
        talk.read(0.1)
    return talk.last_s


def logged(server: Server, **fields: Any) -> list[dict[str, Any]]:
    """The lines of the access log with these values; waits for the first."""

    def found() -> list[dict[str, Any]]:
        return [line for line in server.log() if all(line.get(key) == value for key, value in fields.items())]

    until(found)
    return found()


# Sizes


@pytest.mark.parametrize(("lines", "status"), [(99, 200), (100, 431)])
def test_headers_are_counted(server: Server, lines: int, status: int) -> None:
    more = b"".join(b"X-%d: a\r\n" % number for number in range(lines))
    (answer,) = said(server, HEALTH[:-2] + more + b"\r\n")
    assert answer.status == status


@pytest.mark.parametrize(("size", "status"), [(16_000, 200), (16_400, 431)])
def test_the_head_has_a_size(server: Server, size: int, status: int) -> None:
    (answer,) = said(server, HEALTH[:-2] + b"X: " + b"a" * size + b"\r\n\r\n")
    assert answer.status == status


@pytest.mark.parametrize(("size", "status"), [(8_000, 404), (8_300, 431)])
def test_the_request_line_has_a_length(server: Server, size: int, status: int) -> None:
    (answer,) = said(server, b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"a" * size))
    assert answer.status == status


def test_a_header_without_end_is_refused_before_it_ends(server: Server) -> None:
    (answer,) = said(server, HEALTH[:-2] + b"X: " + b"a" * 40_000)
    assert (answer.status, answer.name) == (431, "headers_too_large")


def test_a_burst_of_requests_is_answered_one_by_one(server: Server) -> None:
    answers = said(server, HEALTH * 3000, answers=3000)
    assert [answer.status for answer in answers] == [200] * 3000


def test_pieces_of_any_size_make_the_same_requests(server: Server) -> None:
    body = b'{"detThreshold": 0.5}'
    stream = HEALTH + POST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    stream += POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % c for c in body) + b"0\r\n\r\n"
    stream += HEALTH
    for size in (1, 2, 7, 50, 333, len(stream)):
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        answers = said(server, *pieces, answers=4)
        assert [answer.status for answer in answers] == [200, 422, 422, 200], f"in pieces of {size} bytes"


# Time


def test_silence_is_closed_without_a_word(brisk: Server) -> None:
    with talking(brisk) as talk:
        assert until_closed(talk) >= 0.9
        assert not talk.received


def test_a_head_that_drips_is_ended_in_time(brisk: Server) -> None:
    with talking(brisk) as talk:
        talk.drip(HEALTH[:-2] + b"X: " + b"a" * 200, 0.1)
        talk.await_answers(1)
        assert 0.9 <= talk.last_s <= LATE_S
        assert [(a.status, a.name) for a in talk.answers()] == [(408, "request_timeout")]


def test_empty_lines_are_no_way_to_stay(brisk: Server) -> None:
    with talking(brisk) as talk:
        talk.drip(b"\r\n" * 100, 0.1)
        until_closed(talk)
        assert talk.last_s <= LATE_S


def test_a_body_that_drips_is_ended_in_time(brisk: Server) -> None:
    with talking(brisk) as talk:
        talk.push(POST + b"Content-Length: 1000\r\nUser-Agent: drip\r\n\r\n")
        talk.drip(b"a" * 200, 0.1)
        talk.await_answers(1)
        assert [(a.status, a.name) for a in talk.answers()] == [(408, "request_timeout")]
        assert talk.answers()[0].headers["connection"] == "close"
    assert len(logged(brisk, name="request_timeout", path=INFER.decode())) == 1


def test_a_kept_connection_is_closed_when_nothing_comes(brisk: Server) -> None:
    with talking(brisk) as talk:
        talk.push(HEALTH)
        talk.await_answers(1)
        until_closed(talk)
        assert len(talk.answers()) == 1


def test_answers_that_nobody_reads_are_given_up(brisk: Server) -> None:
    with talking(brisk) as talk:
        talk.push(HEALTH.replace(b"health", b"openapi.json") * 4000)  # far more than sockets hold
        until(lambda: not open_connections(brisk, talk), within=LATE_S)


def open_connections(server: Server, talk: Talk) -> bool:
    """Whether the server still has this connection."""
    psutil = pytest.importorskip("psutil")
    port = talk.socket.getsockname()[1]
    return any(c.raddr and c.raddr.port == port for c in psutil.Process(server.process.pid).net_connections())


# Order, and what is not read


def test_what_stands_behind_an_error_is_not_read(server: Server) -> None:
    with talking(server) as talk:
        talk.push(HEALTH + b"nonsense\r\n\r\n" + HEALTH)
        assert [answer.status for answer in last_words(talk, 2)] == [200, 400]


def test_an_error_in_a_body_is_one_answer_and_one_line_in_the_log(server: Server) -> None:
    with talking(server) as talk:
        talk.push(POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n" + HEALTH)
        (answer,) = last_words(talk, 1)
        assert (answer.status, answer.name) == (400, "bad_request")
        log_id = json.loads(answer.body)["logId"]
    assert len(logged(server, logId=log_id)) == 1


def test_nothing_is_read_behind_a_last_request(server: Server) -> None:
    with talking(server) as talk:
        talk.push(HEALTH[:-2] + b"Connection: close\r\n\r\n" + HEALTH)
        until_closed(talk)
        assert [answer.status for answer in talk.answers()] == [200]


def test_an_answer_before_the_end_of_the_body_can_be_read(server: Server) -> None:
    """Closing with unread bytes would reset the connection, and the client would see no answer."""
    with talking(server) as talk:
        talk.push(b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n")
        for _ in range(80):
            talk.push(b"a" * 100_000)
        talk.await_answers(1)
        (answer,) = talk.answers()
        assert (answer.status, answer.headers["connection"]) == (404, "close")


def test_an_early_answer_ends_before_the_lingering_does(server: Server) -> None:
    with talking(server) as talk:
        talk.push(b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n")
        talk.await_answers(1)
        answered_s = talk.last_s
        assert until_closed(talk) - answered_s < 1.5  # it lingers for 2 s
        assert [answer.status for answer in talk.answers()] == [404]


def test_a_client_that_asks_for_http_2_is_answered_in_http_1(server: Server) -> None:
    """Java's client asks for it with every request, body included."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    body = b'{"detThreshold": 2}'
    for pieces in ([body], [body[:5], body[5:]]):
        answers = said(server, POST + upgrade + b"Content-Length: %d\r\n\r\n" % len(body), *pieces)
        assert [(a.status, a.name) for a in answers] == [(422, "request_invalid")]


def test_a_full_url_names_the_host_that_counts(server: Server) -> None:
    (answer,) = said(server, b"GET http://evil.test/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.name == "host_not_allowed"
    (answer,) = said(server, b"GET http://127.0.0.1:1/health HTTP/1.1\r\nHost: evil.test\r\n\r\n")
    assert answer.status == 200


def test_trailers_are_no_headers(server: Server) -> None:
    (answer,) = said(server, POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nHost: evil.test\r\n\r\n")
    assert answer.name == "request_invalid"


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"identity", b"chunked\r\nTransfer-Encoding: chunked"])
def test_only_plain_chunks_are_taken_apart(server: Server, coding: bytes) -> None:
    (answer,) = said(server, POST + b"Transfer-Encoding: " + coding + b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
    assert (answer.status, answer.name) == (400, "bad_request")


def test_refusals_are_logged_without_query(server: Server) -> None:
    (answer,) = said(server, b"GET /secret-free?token=marked HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    assert answer.status == 400
    (line,) = logged(server, path="/secret-free")
    assert (line["method"], line["status"], line["name"]) == ("GET", 400, "bad_request")
    assert "marked" not in "".join(server.lines())


def test_head_is_answered_without_a_body(server: Server) -> None:
    with talking(server) as talk:
        talk.push(HEALTH.replace(b"GET", b"HEAD").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        until_closed(talk, within=ANSWER_S)
        head, _, body = bytes(talk.received).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert not body


# Connections


def test_the_connection_that_waits_longest_gives_way() -> None:
    with running("--max-connections", "3") as server, contextlib.ExitStack() as stack:
        talks = []
        for _ in range(3):
            talks.append(stack.enter_context(talking(server)))
            talks[-1].push(HEALTH)
            talks[-1].await_answers(1)
        talks[0].push(HEALTH)  # so the second one has waited longest
        talks[0].await_answers(2)
        assert said(server, HEALTH)[0].status == 200
        until_closed(talks[1])
        for talk in (talks[0], talks[2]):
            talk.push(HEALTH)
        talks[0].await_answers(3)
        assert len(talks[0].answers()) == 3


def test_a_connection_too_many_is_told_so_when_none_waits() -> None:
    with running("--max-connections", "2") as server, contextlib.ExitStack() as stack:
        for _ in range(2):
            busy = stack.enter_context(talking(server))
            busy.push(POST + b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n")
            until(lambda busy=busy: busy.read(0.1) or busy.answers())  # `100 Continue`: it is being worked on
        with talking(server) as talk:
            talk.push(HEALTH)
            (answer,) = last_words(talk, 1)
            assert (answer.status, answer.name) == (503, "overloaded")
            assert int(answer.headers["retry-after"]) > 0
