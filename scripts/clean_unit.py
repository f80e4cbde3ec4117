# SPDX-License-Identifier: Apache-2.0
"""Starts the systemd unit under a real systemd, in a root folder of its own with a network of its own.

Called by clean_root.sh: python3 scripts/clean_unit.py ROOT, where ROOT holds Debian with systemd and /opt/passerby.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
NAME = f"passerby-{secrets.token_hex(4)}"
ADDRESS = "http://127.0.0.1:8080"
START_S = 120.0
READY = f"import urllib.request; urllib.request.urlopen('{ADDRESS}/ready', timeout=4)"
OPEN = f"import urllib.request; urllib.request.urlopen('{ADDRESS}/metrics', timeout=4)"


class Failed(Exception):
    """The unit does not do what it should; the text says what."""


def check(holds: bool, what: str) -> None:
    if not holds:
        raise Failed(what)
    print(f"  ok  {what}", flush=True)


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + START_S
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"not within {START_S:g} s: {what}")
        time.sleep(0.1)


def prepare(root: Path) -> None:
    """What an administrator does by docs/serving.md, and the client that will ask."""
    (root / "etc/passerby").mkdir(mode=0o700, exist_ok=True)
    (root / "etc/passerby/key").write_text(secrets.token_urlsafe(32) + "\n", "utf-8")
    options(root, "--workers 1")
    shutil.copy(REPOSITORY / "deploy/systemd/passerby.service", root / "etc/systemd/system/passerby.service")
    for file in (REPOSITORY / "examples/client.py", REPOSITORY / "src/passerby/assets/street.jpg"):
        shutil.copy(file, root / "srv")


def options(root: Path, words: str) -> None:
    (root / "etc/passerby/options").write_text(f'PASSERBY_OPTIONS="{words}"\n', "utf-8")


class System:
    """A booted systemd; commands run in it as root."""

    def __init__(self, root: Path) -> None:
        words = ["systemd-nspawn", "-D", str(root), "--boot", "--register=no", "--keep-unit", "--private-network"]
        # the hierarchy of control groups that newer systemd wants, whatever this machine has
        environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        Path("/run/systemd").mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [*words, f"--machine={NAME}"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def inside(self, *words: str) -> subprocess.CompletedProcess[str]:
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text("ascii").split()
        if not found:
            raise Failed("systemd-nspawn has started nothing")
        command = ["nsenter", "-t", found[0], "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    def booted(self) -> bool:
        if self.process.poll() is not None:
            raise Failed("systemd-nspawn ended")
        try:
            return self.inside("systemctl", "is-active", "multi-user.target").stdout.strip() == "active"
        except Failed:
            return False

    def ready(self) -> bool:
        return self.inside("python3", "-c", READY).returncode == 0

    def shows(self, key: str) -> str:
        return self.inside("systemctl", "show", "passerby", "-p", key, "--value").stdout.strip()

    def systemctl(self, *words: str) -> bool:
        return self.inside("systemctl", *words).returncode == 0

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)  # nspawn passes an orderly end on
            self.process.wait(START_S)


def look(system: System, root: Path) -> None:
    """Start, ask, stop, kill, and a flag that cannot be right."""
    check(system.systemctl("start", "passerby"), "systemctl start")
    until(system.ready, "the service is ready")
    status = system.inside("cat", f"/proc/{system.shows('MainPID')}/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    check(int(fields["Uid"].split()[0]) > 60000, f"the user is number {fields['Uid'].split()[0]}, made for the run")
    check(int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0, "no capabilities, and none to be had")
    check((fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2"), "no new privileges; system calls are filtered")
    ask = ("python3", "/srv/client.py", "/srv/street.jpg", "--key-file", "/etc/passerby/key")
    answer = system.inside(*ask)
    check(answer.returncode == 0 and len(json.loads(answer.stdout)["pedestrians"]) > 4, "a picture is answered")
    check("401" in system.inside("python3", "-c", OPEN).stderr, "/metrics without the key: 401")
    start = time.monotonic()
    check(system.systemctl("stop", "passerby"), f"systemctl stop, {time.monotonic() - start:.1f} s")
    check((system.shows("Result"), system.shows("ExecMainStatus")) == ("success", "0"), "it ended with exit code 0")
    system.systemctl("start", "passerby")
    until(system.ready, "the service is ready again")
    system.systemctl("kill", "-s", "KILL", "--kill-whom=main", "passerby")
    until(lambda: system.shows("NRestarts") == "1" and system.ready(), "it is started again")
    check(True, "killed, it is started again")
    options(root, "--workers 0")
    system.systemctl("restart", "passerby")
    until(lambda: system.shows("ActiveState") == "failed", "a wrong flag is seen")
    check((system.shows("NRestarts"), system.shows("ExecMainStatus")) == ("0", "2"), "with a wrong flag it is not")


def run(root: Path) -> None:
    prepare(root)
    system = System(root)
    try:
        until(system.booted, "systemd has booted")
        check(True, system.inside("systemctl", "--version").stdout.splitlines()[0] + " has booted")
        look(system, root)
    except Failed:
        print(system.inside("journalctl", "-u", "passerby", "-o", "cat", "--no-pager").stdout[-2000:], file=sys.stderr)
        raise
    finally:
        system.end()


if __name__ == "__main__":
    try:
        run(Path(sys.argv[1]))
    except Failed as reason:
        sys.exit(f"clean_unit: not so: {reason}")
