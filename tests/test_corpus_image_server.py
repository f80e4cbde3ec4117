# SPDX-License-Identifier: Apache-2.0
"""The corpus group `image` through the service: each picture as base64 to one server, the good one after each.

What differs from the other doors (corpus/README.md): a body over 32 MiB is `request_too_large`, more than 64 million
pixels `image_too_large`, of several pages the first is looked at, and file names mean nothing.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from passerby.errors import INPUT, SERVER

from .conftest import CORPUS, DATA, corpus_cases
from .corpus_child import made_bytes
from .serving_server import Server, running

INFER = "/pedestrian-attribute-recognition"
RECORDED: dict[str, str] = json.loads((DATA / "recorded" / "image.json").read_text("utf-8"))
BODY_BYTES = 32 << 20
SERVER_PIXELS = 64_000_000
# A JPEG of the answer loses a little of the colours, and where two meet more of it.
LOSS = 6
# Nothing scores above 1: the picture in the answer then is the frame itself.
ASK = {"detThreshold": 1, "details": True}

Case = dict[str, Any]
Record = Callable[[str, object], None]


def without_door(case: Case) -> bool:
    """Cases about the name of a file."""
    return "bytes" not in case["call"]["as"]


# The slow one is a picture of 179 megapixels: here it is refused by its header, and as quick as any.
CASES = [pytest.param(p.values[0], id=p.id) for p in corpus_cases("image") if not without_door(p.values[0])]


@dataclass(frozen=True)
class Desk:
    """A server, what it says to the good picture, and the memory of its processes."""

    server: Server
    good: bytes

    def send(self, data: bytes) -> tuple[int, bytes]:
        """Status and body of the answer to a picture."""
        text = base64.b64encode(data)
        head = json.dumps(ASK).encode()[:-1] + b', "image": "'
        return self.exchange(len(head) + len(text) + 2, head + text + b'"}')

    def exchange(self, length: int, body: bytes) -> tuple[int, bytes]:
        """Announce a body of so many bytes, send these on a new connection, and read the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=100)
        try:
            connection.putrequest("POST", INFER)
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", str(length))
            connection.endheaders()
            connection.send(body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def peak_mb(self) -> float:
        """Most memory that the front and the workers had at once since `forget_peak`, as each saw it."""
        return sum(_memory_mb(pid, "VmHWM") for pid in self._pids())

    def forget_peak(self) -> float:
        """Start anew, from what they have now."""
        for pid in self._pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")
        return sum(_memory_mb(pid, "VmRSS") for pid in self._pids())

    def _pids(self) -> list[int]:
        front = self.server.process.pid
        return [front, *map(int, Path(f"/proc/{front}/task/{front}/children").read_text("ascii").split())]


def _memory_mb(pid: int, field: str) -> float:
    text = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(text.split(f"{field}:")[1].split()[0]) / 1024


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with running() as server:
        good = (CORPUS / "image/jpeg_baseline.jpg").read_bytes()
        status, body = Desk(server, b"").send(good)
        assert status == 200
        yield Desk(server, without_log_id(body))
        assert not [line for line in server.log() if line.get("name") == "internal"]
        assert all(line.isprintable() for line in server.lines())


def without_log_id(body: bytes) -> bytes:
    said = json.loads(body)
    del said["logId"]
    return json.dumps(said).encode()


def picture_of(case: Case) -> bytes | None:
    """The case's picture; None for one that does not fit into a body."""
    if "file" in case:
        return (CORPUS / case["file"]).read_bytes()
    sizes = [part.get("pad_to", 0) for part in case["recipe"].get("concat", [])]
    return None if max(sizes, default=0) > BODY_BYTES else made_bytes(CORPUS, case["recipe"])


def expected(case: Case) -> str:
    """The outcome at this door."""
    outcome = RECORDED[case["id"]] if case["expect"] == "record" else str(case["expect"])
    width, height = case.get("check", {}).get("size", (0, 0))
    if outcome == "input_too_large":
        return "request_too_large"
    return "image_too_large" if width * height > SERVER_PIXELS else outcome


@pytest.mark.parametrize("case", CASES)
def test_case(case: Case, desk: Desk, record_property: Record) -> None:
    check = case.get("check", {})
    measured = "max_rss_mb" in check and sys.platform == "linux"
    data = picture_of(case)
    before = desk.forget_peak() if measured else 0
    start = time.monotonic()
    # a body over the limit is refused by the length that is announced, so none of it is made
    status, body = desk.send(data) if data is not None else desk.exchange(BODY_BYTES + 1, b"")
    seconds = time.monotonic() - start
    if measured:
        # the request itself is there as bytes, as text and as a picture
        assert desk.peak_mb() - before <= check["max_rss_mb"] + 5 * len(data or b"") / 2**20
    start = time.monotonic()
    assert without_log_id(desk.send((CORPUS / "image/jpeg_baseline.jpg").read_bytes())[1]) == desk.good
    # the good case's time is that of the same machine under the same load
    assert seconds - (time.monotonic() - start) <= check.get("max_seconds", 60)
    record_property("seconds", seconds)
    said, outcome = json.loads(body), expected(case)
    if outcome == "ok":
        assert status == 200, said
        check_picture(check, said["result"])
    else:
        assert list(said) == ["logId", "errorCode", "errorMsg"]
        assert (status, said["errorMsg"].partition(": ")[0]) == ({**INPUT, **SERVER}[outcome].http, outcome)
        assert len(said["errorMsg"]) <= check.get("message_max", 400)
        assert check.get("hint", "") in said["errorMsg"]


def check_picture(check: dict[str, Any], result: dict[str, Any]) -> None:
    assert list(result) == ["pedestrians", "size", "image"]
    assert result["pedestrians"] == []
    assert result["size"] == check.get("size", result["size"])
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(result["image"], validate=True))))
    height, width = pixels.shape[:2]
    assert [width, height] == result["size"]
    places = {"tl": (1, 1), "tr": (1, 3), "bl": (3, 1), "br": (3, 3)}
    for name, colour in check.get("corners", {}).items():
        row, column = places[name]
        found = pixels[height * row // 4, width * column // 4].tolist()
        far = max(abs(a - b) for a, b in zip(colour, found, strict=True))
        assert far <= check["tolerance"] + LOSS, (name, found, colour)


def test_every_case_is_here() -> None:
    assert len(CASES) == len({case.id for case in CASES}) == 187
