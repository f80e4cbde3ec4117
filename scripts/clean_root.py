# SPDX-License-Identifier: Apache-2.0
"""Runs an unpacked image by runc under the conditions of a strict engine, and looks at it from inside and outside.

Called by clean_root.sh: python3 scripts/clean_root.py ROOT WORK, with the image's description in WORK/image.json.
Everything that is run comes from that description: entry point, arguments, user, environment, health check.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT_OF_REPOSITORY = Path(__file__).resolve().parents[1]
MIB = 1 << 20
READY = "passerby: serving on "
START_S = 120.0
STOP_S = 40.0
MEMORY_MAX = 2048 * MIB
ADDRESS = "http://127.0.0.1:8080"
PICTURE = "from importlib.resources import files; print(files('passerby') / 'assets' / 'street.jpg')"
WRITES = "import pathlib; pathlib.Path('/opt/passerby/written').write_text('x')"
CONNECTS = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
STATUS = """
import sys, urllib.error, urllib.request
headers = {'Authorization': 'Bearer ' + sys.argv[2]} if len(sys.argv) > 2 else {}
try:
    answer = urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=headers), timeout=10)
    print(answer.status, answer.read().decode())
except urllib.error.HTTPError as reason:
    print(reason.code)
"""


# A request that takes a while: a number of copies of the picture, then how many results came back.
LONG = """
import base64, json, sys, urllib.request
picture = base64.b64encode(open(sys.argv[1], 'rb').read()).decode()
body = json.dumps({'images': [picture] * int(sys.argv[4]), 'visualize': True}).encode()
headers = {'Authorization': 'Bearer ' + sys.argv[2], 'Content-Type': 'application/json'}
wanted = urllib.request.Request(sys.argv[3] + '/pedestrian-attribute-recognition', body, headers)
print(len(json.load(urllib.request.urlopen(wanted, timeout=60))['result']['results']))
"""
COPIES = 8


class Failed(Exception):
    """The image does not do what it should; the text says what."""


def check(holds: bool, what: str) -> None:
    if not holds:
        raise Failed(what)
    print(f"  ok  {what}", flush=True)


def mounts(work: Path) -> list[dict[str, Any]]:
    """What an engine gives to every container, the key, and the client that will ask; nothing that can be written
    but shared memory, which engines always give."""
    read_only = ["nosuid", "noexec", "nodev", "ro"]
    bind = ["bind", "ro", "nosuid", "nodev"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
        {
            "destination": "/dev/shm",
            "type": "tmpfs",
            "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        },
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": read_only},
        {"destination": "/run/secrets/passerby_key", "type": "bind", "source": str(work / "key"), "options": bind},
        {
            "destination": "/srv",
            "type": "bind",
            "source": str(ROOT_OF_REPOSITORY / "examples"),
            "options": [*bind, "noexec"],
        },
    ]


def bundle(root: Path, work: Path, image: dict[str, Any]) -> None:
    """Write the folder that runc starts from."""
    user, group = (int(number) for number in image["User"].split(":"))
    process = {
        "args": [*image["Entrypoint"], *image["Cmd"]],
        "env": [*image["Env"], "HOME=/"],  # engines say so of a user without a name
        "cwd": image["WorkingDir"] or "/",
        "user": {"uid": user, "gid": group},
        "noNewPrivileges": True,
        "capabilities": {kind: [] for kind in ("bounding", "effective", "permitted")},
    }
    linux = {
        "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")],
        "resources": {
            "devices": [{"allow": False, "access": "rwm"}],
            "memory": {"limit": MEMORY_MAX},
            "pids": {"limit": 256},
        },
        "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
        "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
    }
    config = {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": str(root), "readonly": True},
        "hostname": "passerby",
        "mounts": mounts(work),
        "linux": linux,
    }
    (work / "config.json").write_text(json.dumps(config, indent=1), "utf-8")


class Container:
    """A running image. Commands inside run with its user, its environment and its network."""

    def __init__(self, work: Path, image: dict[str, Any]) -> None:
        self.name = f"passerby-{secrets.token_hex(4)}"
        self.picture = ""  # of the package, as seen from inside
        self.user = image["User"]
        self.env = [word for pair in image["Env"] for word in ("--env", pair)]
        self.errors = work / "stderr"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                ["runc", "run", "--bundle", str(work), self.name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def wait_until_ready(self) -> None:
        end = time.monotonic() + START_S
        while READY not in self.said():
            if self.process.poll() is not None or time.monotonic() > end:
                raise Failed(f"the server is not ready, it says:\n{self.said()}")
            time.sleep(0.02)

    def said(self) -> str:
        return self.errors.read_text("utf-8", "replace")

    def command(self, *words: str) -> list[str]:
        return ["runc", "exec", *self.env, "--user", self.user, self.name, *words]

    def inside(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = self.command(*words)
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL
        )

    def status(self, path: str, *key: str) -> int:
        return int(self.get(path, *key).split()[0])

    def get(self, path: str, *key: str) -> str:
        """Status and body of an answer."""
        return self.inside("python3", "-c", STATUS, ADDRESS + path, *key).stdout

    def processes(self) -> list[int]:
        """Numbers of its processes, as seen from here."""
        ran = subprocess.run(["runc", "ps", "--format", "json", self.name], capture_output=True, text=True, check=True)
        numbers: list[int] = json.loads(ran.stdout)
        return numbers

    def memory_mib(self) -> float:
        """Memory of all processes, pages that several share counted once."""
        total = 0
        for number in self.processes():
            for line in Path(f"/proc/{number}/smaps_rollup").read_text("ascii").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total / 1024

    def end(self) -> tuple[int, float]:
        """SIGTERM to process 1: exit code and seconds."""
        start = time.monotonic()
        subprocess.run(["runc", "kill", self.name, "TERM"], check=True)
        return self.process.wait(STOP_S), time.monotonic() - start

    def remove(self) -> None:
        if self.process.poll() is None:
            subprocess.run(["runc", "kill", self.name, "KILL"], check=False)
            self.process.wait(STOP_S)


def megabytes(folder: Path) -> float:
    """Size of the files below, those of other file systems left out."""
    ran = subprocess.run(["du", "-smx", str(folder)], capture_output=True, text=True, check=True)
    return float(ran.stdout.split()[0])


def look(container: Container, image: dict[str, Any], key: str) -> None:
    """What must hold while the image runs."""
    python = ("python3", "-c")
    me = container.inside(*python, "import os; print(os.getuid(), open('/proc/1/cmdline').read().split(chr(0))[:-1])")
    number, _, command = me.stdout.partition(" ")
    check(int(number) == int(image["User"].split(":")[0]) > 0, f"the user is number {number}, not root")
    check("serve" in command and "sh" not in command.split("'"), "process 1 is the server, no shell in between")
    check("Read-only file system" in container.inside(*python, WRITES).stderr, "nothing can be written")
    check("unreachable" in container.inside(*python, CONNECTS).stderr, "there is no network")
    check(container.inside(*image["Healthcheck"]["Test"][1:]).returncode == 0, "the health check of the image passes")
    check([container.status(p) for p in ("/live", "/ready", "/health")] == [200] * 3, "/live, /ready, /health: 200")
    check(container.status("/metrics") == 401, "/metrics without the key: 401")
    check(container.status("/metrics", key) == 200, "/metrics with the key: 200")
    container.picture = container.inside(*python, PICTURE).stdout.strip()
    ask = ("python3", "/srv/client.py", container.picture, "--key-file", "/run/secrets/passerby_key")
    start = time.monotonic()
    ran = container.inside(*ask)
    seconds = time.monotonic() - start
    check(ran.returncode == 0, f"examples/client.py gets an answer{ran.stderr and ': ' + ran.stderr}")
    people = len(json.loads(ran.stdout)["pedestrians"])
    check(people >= 5, f"{people} pedestrians in the bundled picture, {seconds:.2f} s with the client's start")


def end_in_the_middle(container: Container, key: str) -> None:
    """SIGTERM while a request is worked on, which is answered all the same."""
    words = container.command("python3", "-c", LONG, container.picture, key, ADDRESS, str(COPIES))
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as client:
        end = time.monotonic() + 30
        while "passerby_requests_running 1.0" not in container.get("/metrics", key):
            if time.monotonic() > end or client.poll() is not None:
                raise Failed("the long request was never seen at work")
        code, seconds = container.end()
        answer = client.communicate(timeout=60)[0].strip()
    check(answer == str(COPIES), f"a request of {COPIES} pictures is answered after SIGTERM")
    check(code == 0, f"the server ends with exit code 0, {seconds:.1f} s after SIGTERM")


def run(root: Path, work: Path) -> None:
    """Start, look, end."""
    image = json.loads((work / "image.json").read_text("utf-8"))["Docker"]["config"]
    key = secrets.token_urlsafe(32)
    (work / "key").write_text(key + "\n", "utf-8")
    (work / "key").chmod(0o444)
    bundle(root, work, image)
    start = time.monotonic()
    container = Container(work, image)
    try:
        container.wait_until_ready()
        started = time.monotonic() - start
        at_rest = container.memory_mib()
        look(container, image, key)
        worked, processes = container.memory_mib(), len(container.processes())
        end_in_the_middle(container, key)
        check(key not in container.said(), "the key is not in the log")
        check("Traceback" not in container.said(), "the log has no traceback")
    finally:
        container.remove()
    size, ours = megabytes(root), megabytes(root / "opt/passerby")
    print(f"image: {size:.0f} MiB, of it /opt/passerby {ours:.0f} MiB; from start to ready: {started:.1f} s")
    print(f"memory: {at_rest:.0f} MiB when ready, {worked:.0f} MiB after a request, {processes} processes")


if __name__ == "__main__":
    try:
        run(Path(sys.argv[1]), Path(sys.argv[2]))
    except Failed as reason:
        sys.exit(f"clean_root: not so: {reason}")
