"""Runs command lines of corpus cases, each in a fork of one process that has imported everything.

Started by `cli_runner.py`. Reads one JSON batch a line, `{"parallel": n, "jobs": [...]}`, and answers one line a job.
Starting Python and its libraries anew would take most of the time and say nothing about a case. What a fork does is
what `python -m passerby` does: `passerby.cli.main` with words, its own working folder, home and cache, limits on memory
and processor time, standard output and standard error in files.
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import importlib
import json
import os
import pkgutil
import resource
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import cv2
import onnx
import onnxruntime
from PIL import Image

import passerby
from passerby import cli, fetch, sources
from tests.corpus_child import forget_peak, memory_mb

ADDRESS_SPACE = 4 << 30
CPU_S = 60
LIMIT_S = 100
NOBODY = 65534
NOT_ON_THE_WAY = ("training", "synthesis", "torch", "__main__")
LIBRARIES = (cv2, onnx, onnxruntime, Image)

Job = dict[str, Any]


def warm_up() -> None:
    """Import what a command imports when it needs it."""
    for found in pkgutil.walk_packages(passerby.__path__, "passerby."):
        if not any(part in NOT_ON_THE_WAY for part in found.name.split(".")):
            importlib.import_module(found.name)
    for name in ("passerby.networks.torch", "passerby.training"):
        sys.modules.pop(name, None)
    Image.init()
    # a user who may not enter Python's folder cannot load codecs later
    for codec in ("ascii", "latin-1", "idna", "unicode_escape", "utf-8", "utf-8-sig", "utf-16"):
        codecs.lookup(codec)


def set_up(job: Job) -> None:
    """Make this process the one that the case runs in."""
    root = Path(job["root"])
    for name in ("home", "tmp"):
        (root / name).mkdir(exist_ok=True)
        (root / name).chmod(0o777)
    os.environ.update(HOME=str(root / "home"), PASSERBY_HOME=str(root / "home" / "cache"), TMPDIR=str(root / "tmp"))
    os.environ.update(job.get("env", {}))
    tempfile.tempdir = None
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    if job.get("policy"):
        fetch.CLI_POLICY = sources.CLI_POLICY = policy(job["policy"])
    os.chdir(job["cwd"])
    root.chmod(0o777)
    if job.get("nobody") and os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def policy(told: dict[str, Any]) -> fetch.FetchPolicy:
    """The command line's policy with the smaller limits of a case, and its names and addresses for the real ones."""
    changes = {k: v for k, v in told.items() if k in ("total_s", "connect_s", "max_bytes")}
    if "resolve" in told:
        changes["resolver"] = lambda host, port: told["resolve"][host]
        changes["dialler"] = lambda address, port, seconds: dialled(told["dial"], address, port, seconds)
    return dataclasses.replace(fetch.CLI_POLICY, **changes)


def dialled(places: dict[str, str], address: str, port: int, seconds: float) -> socket.socket:
    host, _, real_port = places.get(address, f"{address}:{port}").rpartition(":")
    return socket.create_connection((host, int(real_port)), seconds)


def send_output_to(out: Path, err: Path) -> None:
    for stream, path, number in ((sys.stdout, out, 1), (sys.stderr, err, 2)):
        stream.flush()
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(file, number)
        os.close(file)


def removed_after_first_result(path: str, out: Path) -> int:
    """A process beside the case that deletes a file as soon as the first result has been printed."""
    child = os.fork()
    if child == 0:
        last = time.monotonic() + LIMIT_S
        while time.monotonic() < last and not (out.exists() and out.stat().st_size):
            time.sleep(0.001)
        Path(path).unlink()
        os._exit(0)
    return child


def sockets() -> int:
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(entry.readlink()).startswith("socket:")
    return count


def ran(job: Job) -> dict[str, Any]:
    """Run the words of a job, one list after the other in the same process, and measure the first."""
    root, answer = Path(job["root"]), {"codes": [], "seconds": []}
    before = sockets()
    for number, words in enumerate(job["words"]):
        out = root / f"out{number}"
        send_output_to(out, root / f"err{number}")
        remover = removed_after_first_result(job["remove"], out) if number == 0 and job.get("remove") else None
        if number == 0:
            forget_peak()
        begun = time.monotonic()
        answer["codes"].append(cli.main(words))
        answer["seconds"].append(time.monotonic() - begun)
        if number == 0:
            answer["peak_mb"] = memory_mb("VmHWM")
        if remover is not None:
            os.waitpid(remover, 0)
    sys.stdout.flush()
    sys.stderr.flush()
    answer["sockets_left"] = sockets() - before
    try:
        os.waitpid(-1, os.WNOHANG)
        answer["child_left"] = True
    except ChildProcessError:
        answer["child_left"] = False
    return answer


def in_a_fork(job: Job) -> int:
    child = os.fork()
    if child:
        return child
    answer_file = os.open(Path(job["root"]) / "answer", os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        set_up(job)
        answer = ran(job)
    except BaseException:
        answer = {"crash": traceback.format_exc()}
    os.write(answer_file, json.dumps(answer).encode())
    os._exit(0)


def answer_of(job: Job, status: int) -> dict[str, Any]:
    text = (Path(job["root"]) / "answer").read_text("utf-8")
    answer = json.loads(text) if text else {"crash": f"the process ended with status {status}"}
    return {"id": job["id"], **answer}


def run_batch(jobs: list[Job], parallel: int) -> None:
    waiting, running = list(jobs), {}
    while waiting or running:
        while waiting and len(running) < parallel:
            job = waiting.pop(0)
            running[in_a_fork(job)] = (job, time.monotonic())
        for child, (job, begun) in list(running.items()):
            if time.monotonic() - begun > LIMIT_S:
                os.kill(child, 9)
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                del running[child]
                print(json.dumps(answer_of(job, status)), flush=True)
        time.sleep(0.002)


def main() -> None:
    warm_up()
    for line in sys.stdin:
        batch = json.loads(line)
        run_batch(batch["jobs"], batch["parallel"])


if __name__ == "__main__":
    main()
