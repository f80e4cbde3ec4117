# SPDX-License-Identifier: Apache-2.0
"""S9: keys, paths, methods, Host, Origin: how many ways around the doors lead inside, and whether a wrong key's time
tells how much of it is right.

    python -m benchmarks.serving.doors

A bypass is an answer that holds what only a guarded path gives, or a header that lets a foreign page read it. Requests
that must be let in are made too, so that a service that refuses everybody does not pass for a safe one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import re
import time
from collections.abc import Iterable, Sequence

from . import door_tricks as tricks
from .client import Address, NoAnswer, as_base64, connection, exchange, recognition, request
from .door_tricks import Header, Trick
from .payloads import pictures
from .record import Run, options, parser
from .server_process import Served, served

KEY = "Kx7-pQ2_mZ9.wR4tY8uB"
FAMILIES = ("key", "path", "method", "framing", "host", "origin", "rate")
# what only a guarded path gives, and files that must never be served
SECRETS = [b'"pedestrians"', b"# HELP", b"root:x:0", b"from __future__", b"[project]"]
BOUND = 0.1


async def read_all(address: Address, content: bytes, *, quiet: float = 0.05, within: float = 20.0) -> bytes:
    """All that comes back for some bytes: whole answers, until the other side closes or is quiet after one.

    Args:
        quiet: seconds of silence after an answer; more where a second one is feared.
    """
    got = b""
    with contextlib.suppress(NoAnswer, ConnectionError, asyncio.TimeoutError, TimeoutError):
        async with connection(address) as opened:
            await opened.send(content)
            end = time.monotonic() + within
            while time.monotonic() < end:
                rest = quiet if is_whole(got) else end - time.monotonic()
                piece = await asyncio.wait_for(opened.reader.read(65536), rest)
                if not piece:
                    break
                got += piece
    return got


def is_whole(got: bytes) -> bool:
    """Whether these bytes hold a whole answer."""
    head, found, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return bool(found) and (length is None or len(body) >= int(length[1]))


async def mark_of_labels(address: Address, key: Header) -> bytes:
    """A piece out of the middle of `/labels`, to know it again wherever it turns up.

    Raises:
        RuntimeError: it was not given to the right key.
    """
    answer = await exchange(address, request("GET", "/labels", headers=[key]))
    if answer.status != 200:
        raise RuntimeError(f"/labels was answered {answer.status} to the right key")
    return answer.body[len(answer.body) // 2 :][:80]


class Doors:
    """What was tried so far."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.secrets = list(SECRETS)
        self.tried = dict.fromkeys(FAMILIES, 0)
        self.bypasses: list[Trick] = []
        self.kept_out: list[Trick] = []
        self.silent: list[Trick] = []

    async def go(self, address: Address, given: Iterable[Trick], *, most: int | None) -> None:
        """Try these; `most` of each call are drawn, those that must be let in always among them."""
        all_given = list(given)
        wrong = [t for t in all_given if not t.may]
        if most is not None and len(wrong) > most:
            wrong = random.Random(0).sample(wrong, most)
        for trick in (*wrong, *(t for t in all_given if t.may)):
            hidden = trick.family == "framing"
            got = await read_all(address, trick.content, quiet=1.0 if hidden else 0.05)
            self.tried[trick.family] += not trick.may
            if trick.may and b" 200 " not in got[:15]:
                self.kept_out.append(trick)
            elif not trick.may and self.is_inside(trick, got):
                self.bypasses.append(trick)
            elif not got:
                self.silent.append(trick)

    def is_inside(self, trick: Trick, got: bytes) -> bool:
        """Whether an answer holds what the door keeps."""
        allows = trick.family == "origin" and b"access-control-allow-origin" in got.lower()
        return allows or any(secret in got for secret in self.secrets)

    def report(self) -> None:
        """All counts."""
        for family, tried in self.tried.items():
            inside = [t.name for t in self.bypasses if t.family == family]
            if tried:
                self.run.add(f"{family}: bypasses", len(inside), "= 0", f"of {tried} tried")
        self.run.add("all: bypasses", len(self.bypasses), "= 0", f"of {sum(self.tried.values())} tried")
        self.run.add("requests that must be let in and were not", len(self.kept_out), "= 0")
        self.run.details = {
            "bypasses": [f"{t.family}: {t.name}" for t in self.bypasses],
            "kept_out": [f"{t.family}: {t.name}" for t in self.kept_out],
            "closed_without_an_answer": [f"{t.family}: {t.name}" for t in self.silent],
        }
        self.run.write(complete=False)


async def rate_tricks(doors: Doors, service: Served, *, rate: float, count: int) -> None:
    """One client under many names: more than its share of requests let through is a bypass each."""
    let, started = 0, time.monotonic()
    for number in range(count):
        name = f"10.{number}.0.{number}"
        headers = [("X-Forwarded-For", name), ("X-Real-IP", name), ("Forwarded", f"for={name}"), ("Client-IP", name)]
        got = await read_all(service.address, recognition({}, *headers))
        let += bool(got) and not got.startswith(b"HTTP/1.1 429")
    share = max(1.0, rate) + rate * (time.monotonic() - started) + 1
    doors.tried["rate"] += count
    over = [Trick("rate", f"{let} let in, {share:.0f} is the share", b"")] * max(0, int(let - share))
    doors.bypasses += over
    if not let:
        doors.kept_out.append(Trick("rate", "nobody was let in", b""))


async def key_times(address: Address, *, count: int) -> list[tuple[int, float]]:
    """Length of the right beginning of a wrong key, and seconds to its refusal; in random order, keys equally long."""
    chance = random.Random(1)
    lengths = [n % len(KEY) for n in range(count)]
    chance.shuffle(lengths)
    measured: list[tuple[int, float]] = []
    while len(measured) < count:
        with contextlib.suppress(NoAnswer, ConnectionError):
            async with connection(address) as opened:
                for length in lengths[len(measured) : len(measured) + 50]:
                    wrong = KEY[:length] + "".join("~" for _ in KEY[length:])
                    head = [("Authorization", f"Bearer {wrong}")]
                    answer = await opened.ask(request("GET", "/labels", headers=head, keep=True))
                    assert answer.status == 401, answer.status
                    measured.append((length, answer.seconds))
                    if answer.headers.get("connection", "") == "close":
                        break
    return measured


def correlation(pairs: Sequence[tuple[float, float]]) -> float:
    """Pearson's r; 0 where one side never changes.

    >>> correlation([(1, 2), (2, 4), (3, 6)])
    1.0
    """
    count = len(pairs)
    mean_x, mean_y = sum(x for x, _ in pairs) / count, sum(y for _, y in pairs) / count
    both = sum((x - mean_x) * (y - mean_y) for x, y in pairs)
    spread = sum((x - mean_x) ** 2 for x, _ in pairs) * sum((y - mean_y) ** 2 for _, y in pairs)
    return round(both / spread**0.5, 12) if spread else 0.0


def without_outliers(pairs: Sequence[tuple[int, float]], share: float = 0.95) -> list[tuple[float, float]]:
    """The pairs without the slowest: what interrupts the machine says nothing of the key."""
    bound = sorted(seconds for _, seconds in pairs)[int(share * (len(pairs) - 1))]
    return [(length, seconds) for length, seconds in pairs if seconds <= bound]


async def doors(arguments: argparse.Namespace, run: Run) -> None:
    """Two services: one with a key and an origin that is allowed, one with a rate."""
    found, most = Doors(run), arguments.most
    body = recognition({"image": as_base64(pictures()[1]), "visualize": False}).partition(b"\r\n\r\n")[2]
    key = ("Authorization", f"Bearer {KEY}")
    flags = ["--quiet", "--api-key", KEY, "--cors-origin", tricks.ORIGIN]
    same = {"pipeline": arguments.pipeline, "workers": arguments.workers}
    with served(flags, **same) as service:
        found.secrets.append(await mark_of_labels(service.address, key))
        for family in (tricks.key_tricks(KEY, body), tricks.path_tricks(body), tricks.method_tricks(body)):
            await found.go(service.address, family, most=most)
        await found.go(service.address, tricks.framing_tricks(body), most=most)
        for with_key in (tricks.host_tricks, tricks.origin_tricks):
            await found.go(service.address, with_key(service.port, body, key), most=most)
        times = await key_times(service.address, count=arguments.times)
        pairs = without_outliers(times)
        r = correlation(pairs)
        run.add(
            "wrong key, time against prefix length: |r|", abs(r), f"< {BOUND}", f"{len(pairs)} of {len(times)} kept"
        )
    with served(["--quiet", "--rate-limit", "2"], **same) as service:
        await rate_tricks(found, service, rate=2.0, count=min(100, most or 100))
    found.report()


def main(words: Sequence[str] | None = None) -> Run:
    """The command."""
    made = parser(__doc__, "doors")
    made.add_argument("--most", type=int, help="tricks of each family, drawn by a fixed seed; default all of them")
    made.add_argument("--times", type=int, default=4000, help="wrong keys that are timed; default %(default)s")
    arguments = made.parse_args(words)
    run = Run(command="doors", title="S9: doors", folder=arguments.out, options=options(arguments))
    asyncio.run(doors(arguments, run))
    run.finish()
    return run


if __name__ == "__main__":
    main()
