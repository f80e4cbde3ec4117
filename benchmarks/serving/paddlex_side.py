# SPDX-License-Identifier: Apache-2.0
"""PaddleX's own server beside ours: the same models, the same pictures, the same requests, one after the other.

    python -m benchmarks.serving.paddlex_side --environment FOLDER --golden ../shared/golden [--install]

PaddleX gets an environment of its own in FOLDER (about 2 GB, made only with --install), its defaults, and one process.
The official weights are not used: both sides serve the seeded full-size networks of the reference data, PP-YOLOE-S and
PP-LCNet, with a detection threshold that leaves few persons (see docs/parity.md). A third row shows ours with the
models that we ship. Each server runs alone, in turn, for several rounds; figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from .client import RECOGNITION, Address, Answer, NoAnswer, as_base64, exchange, recognition, request
from .load import Load, closed_loop, probing
from .payloads import Payload, pictures
from .record import Run, options, parser
from .server_process import served

PACKAGES = ("paddlex[cv,serving]==3.7.2", "paddlepaddle==3.2.2")
MODELS = ("PP-YOLOE-S_human", "PP-LCNet_x1_0_pedestrian_attribute")
THRESHOLD = 0.9
CLIENTS = (1, 16)
START_S = 180.0
THEIRS, OURS, SHIPPED = "PaddleX", "passerby, same models", "passerby, shipped models"
BODY = 40_000_000


@dataclass(frozen=True, slots=True)
class Side:
    """A server that runs: where, its process, and seconds from its start until it was ready."""

    address: Address
    pid: int
    start_s: float


def install(folder: Path) -> None:
    """Make the environment of PaddleX; nothing of it reaches ours."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)
    pip = [str(folder / "env/bin/pip"), "install", "--no-compile", "--no-cache-dir", *PACKAGES]
    subprocess.run(pip, check=True)


def seeded_models(folder: Path, golden: Path) -> Path:
    """The seeded networks in the form that both sides load, and the YAML that names them."""
    for name in MODELS:
        if not (folder / "models" / name / "inference.yml").is_file():
            made = [
                sys.executable,
                "-B",
                str(golden / "weights.py"),
                name,
                "--inference",
                str(folder / "models" / name),
            ]
            subprocess.run(made, check=True, capture_output=True)
    detector, classifier = ({"model_name": n, "model_dir": str(folder / "models" / n), "batch_size": 1} for n in MODELS)
    content = {
        "pipeline_name": "pedestrian_attribute_recognition",
        "SubModules": {
            "Detection": {"module_name": "object_detection", **detector, "threshold": THRESHOLD},
            "Classification": {"module_name": "multilabel_classification", **classifier, "threshold": 0.7},
        },
    }
    file = folder / "seeded.yaml"
    file.write_text(json.dumps(content), "utf-8")
    return file


@contextmanager
def paddlex(folder: Path, pipeline: Path, *, port: int) -> Iterator[Side]:
    """PaddleX's server as its manual starts it, but on loopback, without asking for model hosts at its start.

    Raises:
        RuntimeError: it did not start; holds the end of what it said.
    """
    fonts = sorted(folder.glob("env/lib/python*/site-packages/matplotlib/mpl-data/fonts/ttf/DejaVuSans.ttf"))
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(folder / "home"), "LANG": "C.UTF-8"}
    env["PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK"] = "True"
    # without it the font is downloaded at the first drawing, and where that fails every answer is a 500
    env |= {"PADDLE_PDX_LOCAL_FONT_FILE_PATH": str(fonts[0])} if fonts else {}
    (folder / "home").mkdir(exist_ok=True)
    command = [str(folder / "env/bin/paddlex"), "--serve", "--pipeline", str(pipeline), "--device", "cpu"]
    started = time.monotonic()
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=log, env=env, cwd=folder
        )
    try:
        while not asyncio.run(_healthy(("127.0.0.1", port))):
            if process.poll() is not None or time.monotonic() - started > START_S:
                raise RuntimeError((folder / "serve.log").read_text("utf-8", "replace")[-2000:])
            time.sleep(0.1)
        yield Side(("127.0.0.1", port), process.pid, time.monotonic() - started)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def passerby(pipeline: str | None, workers: int | None) -> Iterator[Side]:
    """Our server, with its defaults."""
    started = time.monotonic()
    with served(["--quiet"], pipeline=pipeline, workers=workers) as service:
        yield Side(service.address, service.front, time.monotonic() - started)


async def _healthy(address: Address) -> bool:
    try:
        return (await exchange(address, request("GET", "/health"), within=5)).status == 200
    except NoAnswer:
        return False


def rss_mb(pid: int) -> float:
    """Resident memory of a process and all below it."""
    try:
        process = psutil.Process(pid)
        return sum(p.memory_info().rss for p in (process, *process.children(recursive=True))) / 1e6
    except psutil.Error:
        return float("nan")


def good_requests() -> list[Payload]:
    """The tutorial's request, with both pictures; the drawn picture comes back."""
    return [Payload(f"picture {n}", recognition({"image": as_base64(p)})) for n, p in enumerate(pictures())]


def bad_requests() -> dict[str, bytes]:
    """What a client gets wrong, in the words of the catalogue."""
    return {
        "bad base64": recognition({"image": "%%% no base64 %%%"}),
        "no picture": recognition({"image": as_base64(b"hello, this is no picture")}),
        "a body of 40 MB": recognition({"image": "A" * BODY}),
    }


async def measure(side: Side, *, seconds: float) -> dict[str, Any]:
    """Pictures a second and times for each number of clients, /health meanwhile, memory."""
    await closed_loop(side.address, good_requests(), clients=2, seconds=min(2.0, seconds))
    out: dict[str, Any] = {"seconds from start to ready": side.start_s}
    out["persons in the two pictures"] = await persons(side.address)
    for clients in CLIENTS:
        with probing(side.address, "/health") as health:
            started = time.monotonic()
            load = await closed_loop(side.address, good_requests(), clients=clients, seconds=seconds)
            took = time.monotonic() - started
        out |= _figures(load, took, f"{clients} client{'s' * (clients > 1)}")
        out[f"/health meanwhile, {clients} client{'s' * (clients > 1)}: p99, ms"] = health.p(0.99)
    out["resident memory afterwards, MB"] = rss_mb(side.pid)
    return out


async def persons(address: Address) -> int:
    """How many are found in both pictures; the same models must find the same."""
    answers = [await exchange(address, payload.content) for payload in good_requests()]
    return sum(answer.body.count(b'"bbox"') for answer in answers)


def _figures(load: Load, took: float, who: str) -> dict[str, Any]:
    good = load.answered(200)
    return {
        f"{who}: pictures a second": len(good) / took,
        f"{who}: p50, ms": load.p(0.5),
        f"{who}: p99, ms": load.p(0.99),
        f"{who}: requests without a result": len(load.sent) - len(good),
    }


async def mistakes(side: Side) -> dict[str, dict[str, Any]]:
    """What each mistake is answered with, how long it takes, and /health in that time."""
    out = {}
    for name, content in bad_requests().items():
        with probing(side.address, "/health", every=0.01) as health:
            started = time.monotonic()
            try:
                got = _said(await exchange(side.address, content, within=60))
            except NoAnswer as absent:
                got = {"status": None, "says": f"no answer: {absent.reason}"}
            got["ms"] = round((time.monotonic() - started) * 1000)
        got["health_max_ms"] = round(health.p(1.0) or 0)
        out[name] = got
    out["nothing but {}"] = _said(await exchange(side.address, recognition({})))
    out["another method"] = _said(await exchange(side.address, request("GET", RECOGNITION)))
    return out


def _said(answer: Answer) -> dict[str, Any]:
    """Status and message of an answer."""
    said = json.loads(answer.body).get("errorMsg", "") if answer.body.startswith(b"{") else ""
    return {"status": answer.status, "says": re.sub(r"\s+", " ", str(said))[:160]}


def report(run: Run, rounds: dict[str, list[dict[str, Any]]]) -> None:
    """Medians of the rounds so far, side by side."""
    for side, measured in rounds.items():
        for name in measured[0] if measured else ():
            values = [m[name] for m in measured if m[name] is not None]
            note = f"{min(values):.4g} to {max(values):.4g} in {len(values)} rounds" if len(values) > 1 else ""
            run.add(f"{side}: {name}", statistics.median(values) if values else None, "", note)


def one_round(arguments: argparse.Namespace, run: Run, pipeline: Path, rounds: dict[str, list[dict[str, Any]]]) -> None:
    """Each side once."""
    folder = arguments.environment.resolve()
    for name in (THEIRS, OURS, SHIPPED):
        if name == THEIRS:
            side_of = paddlex(folder, pipeline, port=arguments.port)
        else:
            side_of = passerby(str(pipeline) if name == OURS else None, arguments.workers)
        with side_of as side:
            rounds[name].append(asyncio.run(measure(side, seconds=arguments.seconds)))
            if name != SHIPPED and name not in run.details.setdefault("mistakes", {}):
                run.details["mistakes"][name] = asyncio.run(mistakes(side))
        report(run, rounds)


def main(words: Sequence[str] | None = None) -> Run:
    """The command."""
    made = parser(__doc__, "paddlex_side")
    made.add_argument(
        "--environment", type=Path, required=True, help="folder with PaddleX's environment, or to make it"
    )
    made.add_argument("--golden", type=Path, required=True, help="folder of the golden reference data")
    made.add_argument("--install", action="store_true", help="make the environment first: 2 GB from the package index")
    made.add_argument("--seconds", type=float, default=15.0, help="of each load; default %(default)s")
    made.add_argument("--rounds", type=int, default=3, help="default %(default)s")
    made.add_argument("--port", type=int, default=18998, help="for PaddleX's server; default %(default)s")
    arguments = made.parse_args(words)
    folder = arguments.environment.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.install and not (folder / "env/bin/paddlex").is_file():
        install(folder)
    if not (folder / "env/bin/paddlex").is_file():
        made.error(f"{folder / 'env'} holds no PaddleX; give --install to make it")
    pipeline = seeded_models(folder, arguments.golden.resolve())
    run = Run(command="paddlex_side", title="PaddleX beside passerby", folder=arguments.out, options=options(arguments))
    run.details["packages"] = PACKAGES
    rounds: dict[str, list[dict[str, Any]]] = {THEIRS: [], OURS: [], SHIPPED: []}
    for _ in range(arguments.rounds):
        one_round(arguments, run, pipeline, rounds)
    run.finish()
    return run


if __name__ == "__main__":
    main()
