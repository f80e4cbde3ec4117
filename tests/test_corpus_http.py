# SPDX-License-Identifier: Apache-2.0
"""Corpus group `http`: what an ordinary client can send to the running service, and the answer each must get.

One server for each way to start it. After every case the plain request must still get the same result.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from passerby.errors import PasserbyError

from .conftest import CORPUS, DATA, corpus_cases
from .corpus_server import CorpusServer
from .serving_server import Server, running, until

Case = dict[str, Any]
Record = Callable[[str, object], None]

INFER = "/pedestrian-attribute-recognition"
KEY = "correct-horse"
TIMEOUT_S = 60
TRIES = 3
RECORDED: dict[str, str] = json.loads((DATA / "recorded" / "http.json").read_text("utf-8"))
ERROR_KEYS = {"logId", "errorCode", "errorMsg"}
# Words that show what the service is made of, or where it lies.
INSIDES = re.compile(
    r"traceback|\.py\b|site-packages|uvicorn|starlette|httptools|onnx|opencv|numpy|pydantic|pillow", re.I
)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes
    seconds: float

    @property
    def is_json(self) -> bool:
        return str(self.headers["content-type"]).startswith("application/json")

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def outcome(self) -> str:
        """`ok` or the machine name of the error."""
        return "ok" if self.status == 200 else str(self.json()["errorMsg"]).partition(":")[0]


@dataclass
class Running:
    """A server started with the options of some cases."""

    server: Server
    key: str | None
    pictures: str
    good: Any = None

    def ask(self, recipe: dict[str, Any], barrier: Barrier | None = None) -> Answer:
        """Send a request and read the answer, also when it comes before everything is sent."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=TIMEOUT_S)
        body, chunked = body_of(recipe, self.pictures)
        with contextlib.closing(connection):
            connection.connect()
            if barrier is not None:
                barrier.wait()
            started = time.monotonic()
            headers = {name: filled(value, self.pictures) for name, value in recipe["headers"].items()}
            connection.putrequest(recipe["method"], filled(recipe["path"], self.pictures), skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name, value)
            if chunked:
                connection.putheader("Transfer-Encoding", "chunked")
            elif body is not None:
                connection.putheader("Content-Length", str(len(body)))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.endheaders(pieces(body) if chunked else body, encode_chunked=chunked)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read(), time.monotonic() - started)

    def lines_so_far(self) -> int:
        """Lines in the log after one more request, whose own has arrived: they come a moment after the answers."""
        log_id = self.ask(GOOD["recipe"]).json()["logId"]
        until(lambda: any(line["logId"] == log_id for line in self.server.log()))
        return len(self.server.log())

    def ask_good(self) -> Any:
        """The result of the plain request, retried where the case before it used up what a client may ask."""
        recipe = dict(GOOD["recipe"])
        if self.key is not None:
            recipe["headers"] = recipe["headers"] | {"Authorization": f"Bearer {self.key}"}
        answers: list[Answer] = []

        def answered() -> bool:
            answers.append(self.ask(recipe))
            return answers[-1].status not in (429, 503)

        until(answered)
        assert answers[-1].status == 200, answers[-1].body
        return answers[-1].json()["result"]


CASES = corpus_cases("http")
GOOD: Case = next(param.values[0] for param in CASES if param.id == "http/good")


def pieces(body: bytes | None) -> Iterator[bytes]:
    for start in range(0, len(body or b""), 65536):
        yield (body or b"")[start : start + 65536]


def body_of(recipe: dict[str, Any], pictures: str) -> tuple[bytes | None, bool]:
    """The bytes to send, and whether in chunks."""
    if "json" in recipe:
        return json.dumps(filled(recipe["json"], pictures)).encode(), False
    if "body" in recipe:
        return recipe["body"].encode("utf-8"), False
    if "body_hex" in recipe:
        return bytes.fromhex(recipe["body_hex"]), False
    if "body_build" in recipe:
        build = recipe["body_build"]
        text = build["prefix"] + build["repeat"] * build["count"] + build["suffix"]
        return text.encode("utf-8"), build.get("chunked", False)
    return None, False


def filled(value: Any, pictures: str) -> Any:
    """A value of the manifest with its `$` words replaced."""
    if isinstance(value, list):
        return [filled(item, pictures) for item in value]
    if not isinstance(value, dict):
        return value
    if "$repeat" in value:
        text, count = value["$repeat"]
        return text * count
    if "$fetch" in value:
        return pictures + value["$fetch"]
    if "$b64" in value:
        text = base64.b64encode((CORPUS / value["$b64"]).read_bytes()).decode("ascii")
        if "wrap" in value:
            text = "\n".join(text[i : i + value["wrap"]] for i in range(0, len(text), value["wrap"]))
        if value.get("strip_padding"):
            assert text.endswith("="), "a picture without padding proves nothing"
            text = text.rstrip("=")
        return value.get("prefix", "") + text
    return {name: filled(item, pictures) for name, item in value.items()}


def flags_of(options: dict[str, Any], pictures: CorpusServer) -> list[str]:
    """The options of a case as flags of `passerby serve`."""
    flags: list[str] = []
    for name, value in options.items():
        if name == "fetch":
            flags += [] if value else ["--no-fetch"]
        elif name == "fetch_allow":
            flags += ["--fetch-allow", f"127.0.0.1:{pictures.port}"]
        elif name == "cors_origin":
            flags += [word for origin in value for word in ("--cors-origin", origin)]
        else:
            flags += [f"--{name.replace('_', '-')}", str(value)]
    return flags


@pytest.fixture(scope="module")
def pictures() -> Iterator[CorpusServer]:
    with CorpusServer({"/jpeg_baseline.jpg": {"body": {"file": "image/jpeg_baseline.jpg"}}}) as server:
        yield server


@pytest.fixture(scope="module")
def servers(pictures: CorpusServer) -> Iterator[Callable[[Case], Running]]:
    """The server for a case; each is started once."""
    started: dict[str, Running] = {}
    with contextlib.ExitStack() as stack:

        def server_for(case: Case) -> Running:
            options = case["call"]["options"]
            # the tiny networks know nothing of people, and find some anywhere
            pipeline = "pedestrian_attribute_recognition" if "pedestrians" in case.get("check", {}) else None
            name = json.dumps([options, pipeline], sort_keys=True)
            if name not in started:
                server = stack.enter_context(running(*flags_of(options, pictures), pipeline=pipeline))
                url = f"http://127.0.0.1:{pictures.port}"
                started[name] = Running(server, options.get("api_key"), url)
                started[name].good = started[name].ask_good()
            return started[name]

        yield server_for
        for one in started.values():
            check_log(one.server)


def check_log(server: Server) -> None:
    """No line with a sign that acts on a terminal, no bug, and nothing of what the requests held."""
    for line in server.lines():
        assert line.isprintable(), repr(line)
    assert "internal" not in [line["name"] for line in server.log()]
    whole = server.errors.read_text("utf-8")
    for private in ("forged\n", KEY, "api_key", "Female", "root:"):
        assert private not in whole


@pytest.mark.parametrize("case", CASES)
def test_case(case: Case, servers: Callable[[Case], Running], record_property: Record) -> None:
    one, check = servers(case), case.get("check", {})
    before_mb, lines = peak_mb(one.server), one.lines_so_far() if "log_lines_added" in check else 0
    if "parallel" in check:
        answers = at_once(one, case)
        record_property("seconds", max(answer.seconds for answer in answers))
    else:
        answer = one.ask(case["recipe"])
        grown_mb = peak_mb(one.server, reset=False) - before_mb
        expected = RECORDED[case["id"]] if case["expect"] == "record" else case["expect"]
        assert answer.outcome == expected, (answer.status, answer.body[:500])
        check_answer(answer, case, one)
        for name, value in check.items():
            check_one(name, value, answer, one, case)
        if "max_rss_mb" in check:
            assert grown_mb <= check["max_rss_mb"]
        if "log_lines_added" in check:
            until(lambda: len(one.server.log()) >= lines + check["log_lines_added"])
            assert len(one.server.log()) == lines + check["log_lines_added"]
        record_property("seconds", answer.seconds)
        record_property("mb", grown_mb)
    assert one.ask_good() == one.good, "the plain request is answered differently after this case"


def check_answer(answer: Answer, case: Case, one: Running) -> None:
    """What holds for every answer: the shape of its body, its headers, and that it shows nothing of the inside."""
    shown = answer.body.decode("utf-8", "replace")
    if answer.is_json:
        body = answer.json()
        result = body.get("result") or {}
        assert set(body) in (ERROR_KEYS, ERROR_KEYS | {"result"})
        assert body["errorCode"] == (0 if answer.status == 200 else answer.status)
        shown = json.dumps({**body, "result": {**result, "image": ""}})  # base64 may spell any word
    else:
        assert case["recipe"]["path"] in ("/", "/metrics", "/docs")
    assert not INSIDES.search(shown), shown
    for folder in (Path(__file__).parents[1], one.server.errors.parent, Path.home()):
        assert str(folder) not in shown
    assert answer.headers["server"] == "passerby"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert ("retry-after" in answer.headers) == (answer.status in (429, 503))


def check_one(name: str, value: Any, answer: Answer, one: Running, case: Case) -> None:
    """One entry of a case's `check`."""
    text = answer.body.decode("utf-8", "replace")
    if name == "status":
        assert answer.status == value
    elif name == "contains":
        assert value in text
    elif name == "not_contains":
        assert value not in text
    elif name == "header_back":
        for header, part in value.items():
            assert part in answer.headers[header]
    elif name == "no_header_back":
        assert not [header for header in value if header in answer.headers]
    elif name == "result_keys":
        assert list(answer.json()["result"]) == value
    elif name == "json_has":
        assert {key: answer.json()[key] for key in value} == value
    elif name == "pedestrians":
        assert len(answer.json()["result"]["pedestrians"]) == value
    elif name == "log_id":
        assert answer.json()["logId"] == value
    elif name == "log_id_not":
        assert answer.json()["logId"] != value
    elif name == "max_seconds":
        # another program may hold the machine for a moment: one quick answer shows what the service needs
        assert min(answer.seconds, *(one.ask(case["recipe"]).seconds for _ in range(TRIES))) <= value
    else:
        assert name in {"max_rss_mb", "log_lines_added"}, name


def at_once(one: Running, case: Case) -> list[Answer]:
    """Many requests at the same moment: every answer is one of those allowed, and one at least the error expected."""
    check = case["check"]
    barrier = Barrier(check["parallel"])
    with ThreadPoolExecutor(check["parallel"]) as clients:
        answers = list(clients.map(lambda _: one.ask(case["recipe"], barrier), range(check["parallel"])))
    assert {answer.status for answer in answers} == set(check["statuses"])
    for answer in answers:
        check_answer(answer, case, one)
        if answer.status != 200:
            assert answer.outcome == case["expect"]
            assert answer.headers["retry-after"] == check["header_back"]["Retry-After"]
    return answers


def peak_mb(server: Server, *, reset: bool = True) -> float:
    """Most memory that the front and its workers had together; counted anew from here on, where the system can."""
    total = 0.0
    for pid in (server.process.pid, *children(server.process.pid)):
        with contextlib.suppress(OSError):
            if reset:
                Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("ascii"))
            total += int(found[1]) / 1024 if found else 0
    return total


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    return []


def test_recorded_outcomes_are_names_of_errors() -> None:
    kinds = [kind for child in PasserbyError.__subclasses__() for kind in (child, *child.__subclasses__())]
    names = {name for kind in kinds for name in kind.names} - {"internal"}
    assert set(RECORDED) == {param.id for param in CASES if param.values[0]["expect"] == "record"}
    assert set(RECORDED.values()) <= names | {"ok"}
