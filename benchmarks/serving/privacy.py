# SPDX-License-Identifier: Apache-2.0
"""S10: marked strings in everything a client can send; does one turn up where it must not, and does anybody call home?

    python -m benchmarks.serving.privacy

The service runs with a fresh HOME, temporary, cache and working folder, all empty, and without the variables by which
libraries tell a test run from a real one. Marks stand in keys, queries, logins, file names, EXIF, labels, headers,
paths, values and pictures; afterwards logs, metrics, answers and all of these folders are searched for them, the
picture's own bytes and the words of the results included. With strace its system calls say which files it opened for
writing and where it connected to; without, it runs where there is no network but loopback, if that can be had.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from .client import RECOGNITION, Address, Answer, NoAnswer, as_base64, exchange, recognition, request
from .payloads import pictures
from .record import Run, options, parser
from .server_process import served
from .system_calls import System, read_trace, tracer

KEY = "MARKkeyMARK-7Qw9xZ2p"
MARKS = {
    "key": KEY,
    "wrong key": "MARKwrongkeyMARK",
    "query": "MARKqueryMARK",
    "login": "MARKloginMARK",
    "password": "MARKpasswordMARK",
    "name": "MARKnameMARK",
    "EXIF": "MARKexifMARK",
    "label": "MARKlabelMARK",
    "logId": "MARK logid MARK",
    "header": "MARKheaderMARK",
    "host": "MARKhostMARK",
    "path": "MARKpathMARK",
    "value": "MARKvalueMARK",
    "unknown key": "MARKunknownMARK",
    "field": "MARKfieldMARK",
    "fragment": "MARKfragmentMARK",
}
# A path that does not exist is named in the log by rule; what is wrong with a value is told to the client who sent it.
LOG_MAY = {"path"}
ANSWER_MAY = {"label", "value", "path", "host"}
CONVERTED = "passerby/converted"
"""Where models of other forms are kept once they are converted; nothing of a request is in them."""
BOUNDARY = "xxMARKboundaryMARKxx"
# the words of a result, short ones left out: they are parts of other words
WORD_LENGTH = 5


@dataclass(frozen=True, slots=True)
class Hit:
    """A mark where it must not be."""

    mark: str
    where: str


def marked_picture() -> bytes:
    """The small street picture with marks in its EXIF block and its comment."""
    image = Image.open(io.BytesIO(pictures()[1]))
    exif = Image.Exif()
    for tag in (
        0x010E,
        0x013B,
        0x8298,
        0x9C9B,
        0x0131,
        0x010F,
    ):  # description, artist, copyright, title, software, make
        exif[tag] = MARKS["EXIF"]
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90, exif=exif, comment=MARKS["EXIF"].encode())
    return out.getvalue()


def requests_with_marks(port: int) -> Iterator[bytes]:
    """All that a client can write anything into; good and bad ones."""
    key, picture = ("Authorization", f"Bearer {KEY}"), marked_picture()
    noise = [
        ("User-Agent", MARKS["header"]),
        ("Referer", f"http://x.test/{MARKS['header']}"),
        ("Cookie", MARKS["header"]),
    ]
    noise += [("X-Request-Id", MARKS["header"]), ("X-Forwarded-For", MARKS["header"]), ("Accept", MARKS["header"])]
    image = {"image": as_base64(picture), "detThreshold": 0.1, "clsThreshold": 0.3}
    yield recognition({**image, "logId": MARKS["logId"]}, key, *noise)
    yield recognition({**image, MARKS["unknown key"]: MARKS["value"], "details": True}, key)
    yield recognition({**image, "output": "image"}, key)
    yield recognition({**image, "labels": MARKS["label"]}, key)
    yield recognition({**image, "detThreshold": MARKS["value"]}, key)
    yield recognition({"image": MARKS["value"] + "%%%"}, key)
    yield recognition(f'{{"image": "{MARKS["value"]}'.encode(), key)
    yield recognition({"images": [as_base64(picture), as_base64(picture[:5000]), as_base64(b"MARKvalueMARK")]}, key)
    for host in (f"127.0.0.1:{port}", "127.0.0.1", "203.0.113.7:81", "no such host"):
        login = f"{MARKS['login']}:{MARKS['password']}"
        url = f"http://{login}@{host}/{MARKS['path']}.jpg?token={MARKS['query']}#{MARKS['fragment']}"
        yield recognition({"image": url}, key)
        yield recognition({"image": url.replace(f"{login}@", "")}, key)
    jpeg = [("Content-Type", "image/jpeg"), key]
    yield request("POST", f"{RECOGNITION}?visualize=false&x={MARKS['query']}", body=picture, headers=jpeg)
    yield request(
        "POST", f"{RECOGNITION}?labels={MARKS['label']}&detThreshold={MARKS['value']}", body=picture, headers=jpeg
    )
    yield request("POST", RECOGNITION, body=multipart(picture), headers=[multipart_type(), key, *noise])
    yield request("POST", RECOGNITION, body=multipart(picture)[:-900], headers=[multipart_type(), key])
    yield request("POST", RECOGNITION, body=multipart(b"MARKvalueMARK"), headers=[multipart_type(), key])
    for wrong in (MARKS["wrong key"], KEY[:-1], KEY + "x"):
        yield recognition(image, ("Authorization", f"Bearer {wrong}"), *noise)
    yield recognition(image, ("Authorization", f"Basic {MARKS['login']}"))
    yield request("GET", f"/{MARKS['path']}?key={KEY}&x={MARKS['query']}", headers=[key, *noise])
    yield request("GET", f"/labels?api_key={KEY}&{MARKS['query']}=1", headers=[key])
    yield request(
        "POST", f"http://{MARKS['login']}:{MARKS['password']}@127.0.0.1{RECOGNITION}", body=b"{}", headers=[key]
    )
    yield request("GET", "/labels", headers=[key, ("Origin", f"https://{MARKS['host']}.test".lower())])
    yield request("GET", "/labels", headers=[key], host=f"{MARKS['host']}.test")
    yield request("DELETE", RECOGNITION, headers=[key, *noise])
    yield f"GET /{MARKS['path']} HTTP/9.9\r\nX: {MARKS['header']}\r\n\r\n".encode()
    yield f"GET /live HTTP/1.1\r\nHost: x\r\n{MARKS['header']}\r\n\r\n".encode()
    yield request("GET", "/live", headers=[("X-Long", MARKS["header"] * 2000)])
    for path in ("/", "/docs", "/openapi.json", "/health", "/ready", "/labels"):
        yield request("GET", path, headers=[key, *noise])


def multipart_type() -> tuple[str, str]:
    return "Content-Type", f"multipart/form-data; boundary={BOUNDARY}"


def multipart(picture: bytes) -> bytes:
    """A form with a file of a marked name and fields of marked names and values."""
    parts = [
        (f'name="image"; filename="{MARKS["name"]}.jpg"\r\nContent-Type: image/jpeg', picture),
        ('name="logId"', MARKS["logId"].encode()),
        (f'name="{MARKS["field"]}"', MARKS["value"].encode()),
    ]
    made = b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + body + b"\r\n"
        for head, body in parts
    )
    return made + f"--{BOUNDARY}--\r\n".encode()


def found(text: bytes, where: str, marks: Mapping[str, bytes], *, may: Set[str] = frozenset()) -> list[Hit]:
    """The marks in some bytes, upper and lower case alike."""
    lower = text.lower()
    return [Hit(name, where) for name, mark in marks.items() if name not in may and mark.lower() in lower]


def picture_marks(picture: bytes) -> dict[str, bytes]:
    """Pieces of the picture's bytes, as they stand and in base64, that nothing else holds."""
    middle = len(picture) // 2 // 3 * 3
    piece = picture[middle : middle + 24]
    return {"picture": piece, "picture in base64": as_base64(piece).encode()[:-2]}


def words_of(answers: Sequence[Answer]) -> dict[str, bytes]:
    """The words of the labels in the results."""
    words = set()
    for answer in answers:
        if answer.status == 200 and b'"bbox"' in answer.body and b'"openapi"' not in answer.body:
            for result in results_in(json.loads(answer.body)["result"]):
                words |= {a["label"] for p in result["pedestrians"] for a in p["attributes"]}
    return {f"result: {w}": w.encode() for w in words if len(w) >= WORD_LENGTH}


def results_in(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The results of an answer for one picture or for several."""
    return [r for r in result.get("results", [result]) if "pedestrians" in r]


def drawn_in(answer: Answer) -> list[bytes]:
    """The drawn pictures of an answer, out of their base64."""
    if answer.headers.get("content-type") == "image/jpeg":
        return [answer.body]
    if answer.status != 200 or b'"bbox"' not in answer.body or b'"openapi"' in answer.body:
        return []
    return [base64.b64decode(r["image"]) for r in results_in(json.loads(answer.body)["result"]) if "image" in r]


def files_below(folders: Sequence[Path]) -> list[Path]:
    """Everything that lies in the folders; they were empty."""
    return sorted(p for folder in folders for p in folder.rglob("*") if not p.is_dir())


def empty_environment(root: Path) -> tuple[dict[str, str], list[Path]]:
    """Variables of a user whose folders are all empty, and these folders; nothing says that this is a test."""
    folders = {name: root / name for name in ("home", "tmp", "cache", "config", "data", "run")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    env = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LANG": "C.UTF-8",
        "HOME": str(folders["home"]),
        "TMPDIR": str(folders["tmp"]),
        "XDG_CACHE_HOME": str(folders["cache"]),
        "XDG_CONFIG_HOME": str(folders["config"]),
        "XDG_DATA_HOME": str(folders["data"]),
        "XDG_RUNTIME_DIR": str(folders["run"]),
    }
    if "PYTHONPATH" in os.environ:
        env["PYTHONPATH"] = os.environ["PYTHONPATH"]
    return env, list(folders.values())


async def ask_all(address: Address, port: int) -> list[Answer]:
    """All requests; those without an answer (the parser closed) are left out."""
    answers = []
    for content in requests_with_marks(port):
        with contextlib.suppress(NoAnswer):
            answers.append(await exchange(address, content, within=60))
    return answers


def search(run: Run, answers: Sequence[Answer], log: bytes, metrics: bytes, folders: Sequence[Path]) -> None:
    """Look everywhere and report."""
    marks = {name: mark.encode() for name, mark in MARKS.items()} | {"boundary": BOUNDARY.encode()}
    inside = marks | picture_marks(marked_picture()) | words_of(answers)
    hits = found(log, "log", inside, may=LOG_MAY) + found(metrics, "metrics", inside)
    for answer in answers:
        head = repr(sorted(answer.headers.items())).encode()
        hits += found(head, f"head of a {answer.status}", marks)
        hits += found(answer.body, f"body of a {answer.status}", marks, may=ANSWER_MAY)
        for picture in drawn_in(answer):
            hits += found(picture, "a drawn picture", marks)
    files = [f for f in files_below(folders) if CONVERTED not in str(f)]
    for file in files:
        hits += found(file.read_bytes() if file.is_file() else b"", file.name, inside)
        hits += found(file.name.encode(), "a file's name", inside)
    run.add("requests with marks that were answered", len(answers))
    run.add("results among them, with persons", sum(b'"bbox"' in a.body for a in answers), ">= 3")
    run.add("drawn pictures among them", sum(len(drawn_in(a)) for a in answers), ">= 3")
    run.add("words of results searched for", len(words_of(answers)), ">= 1")
    run.add("lines of log searched", len(log.splitlines()), ">= 10")
    run.add("marks in logs, metrics, answers and folders", len(hits), "= 0", f"{len(inside)} marks")
    run.add("files left in home, temporary, cache and working folders", len(files), "= 0")
    run.details |= {"hits": sorted({f"{h.mark} in {h.where}" for h in hits}), "files": [f.name for f in files]}


def report_system(run: Run, system: System | None, *, alone: bool) -> None:
    """What the system calls say, or that nobody could look."""
    if system is None:
        why = "no strace here; " + ("it ran where there is no network" if alone else "and no network namespace")
        run.add("connects beyond loopback", None, "= 0", why)
        run.add("files opened for writing", None, "= 0", why)
        return
    run.add("connects beyond loopback", len(system.connects), "= 0", f"{system.calls} system calls read")
    written = [path for path in system.written if CONVERTED not in path and not path.endswith("/cache/passerby")]
    run.add("files opened for writing", len(written), "= 0", "devices, compiled modules, converted models left out")
    run.details |= {"connects": system.connects[:20], "written": written[:20]}


async def privacy(arguments: argparse.Namespace, run: Run) -> None:
    """Ask, stop the service, search."""
    with tempfile.TemporaryDirectory(prefix="privacy-") as name:
        root = Path(name)
        env, folders = empty_environment(root)
        work, trace = root / "work", root / "trace"
        traced = shutil.which("strace") is not None and not arguments.no_strace
        around = tracer(trace) if traced else []
        same = {"pipeline": arguments.pipeline, "workers": arguments.workers}
        with served(["--api-key", KEY], env=env, around=around, folder=work, **same) as service:
            answers = await ask_all(service.address, service.port)
            key = ("Authorization", f"Bearer {KEY}")
            metrics = await exchange(service.address, request("GET", "/metrics", headers=[key]))
            service.stop()
            log = service.log.read_bytes()
        search(run, answers, log, metrics.body, [*folders, work])
        report_system(run, read_trace(trace) if traced else None, alone=arguments.alone)


def where_no_network_is(words: Sequence[str]) -> None:
    """Become the same command in a network namespace of its own with loopback only, if the machine allows it."""
    tried = subprocess.run(
        ["unshare", "--net", "--map-root-user", "ip", "link", "set", "lo", "up"], capture_output=True
    )
    if tried.returncode == 0:
        again = [sys.executable, "-m", "benchmarks.serving.privacy", *words, "--alone"]
        script = 'ip link set lo up && exec "$@"'
        os.execvp("unshare", ["unshare", "--net", "--map-root-user", "sh", "-c", script, "sh", *again])


def main(words: Sequence[str] | None = None) -> Run:
    """The command."""
    made = parser(__doc__, "privacy")
    made.add_argument("--no-strace", action="store_true", help="do not look at system calls")
    made.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = made.parse_args(words)
    by_hand = words is None and shutil.which("strace") is None and shutil.which("unshare") is not None
    if by_hand and not arguments.alone:
        where_no_network_is(sys.argv[1:])
    run = Run(command="privacy", title="S10: privacy", folder=arguments.out, options=options(arguments))
    asyncio.run(privacy(arguments, run))
    run.finish()
    return run


if __name__ == "__main__":
    main()
