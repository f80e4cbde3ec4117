# SPDX-License-Identifier: Apache-2.0
"""What a program asked the system for, read from strace's output: where it connected to, which files it wrote."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

_NETWORK = ("connect", "sendto", "sendmsg", "sendmmsg")
_MAKING = (
    "creat",
    "rename",
    "renameat",
    "renameat2",
    "mkdir",
    "mkdirat",
    "symlink",
    "symlinkat",
    "link",
    "linkat",
    "mknodat",
)
_OPENING = ("open", "openat")
_CALL = re.compile(r"^(?:\d+ +)?(?P<call>\w+)\((?P<rest>.*)$")
_ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
_PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')
_WRITING = ("O_WRONLY", "O_RDWR", "O_CREAT")


@dataclass(slots=True)
class System:
    """What was seen: network calls to addresses beyond loopback, files made or opened for writing, calls in all."""

    connects: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    calls: int = 0


def tracer(trace: Path) -> list[str]:
    """The command to run another under; it stops the program at these calls only."""
    calls = ",".join((*_NETWORK, *_MAKING, *_OPENING))
    return ["strace", "-f", "-qq", "--seccomp-bpf", "-s", "200", "-o", str(trace), "-e", f"trace={calls}"]


def read_trace(trace: Path) -> System:
    """What a finished trace says."""
    system = System()
    for line in trace.read_text("utf-8", "replace").splitlines():
        read_line(line, system)
    return system


def read_line(line: str, system: System) -> None:
    """One line; failed calls on files do not count, failed connects do.

    >>> seen = System()
    >>> read_line('7 connect(5, {sa_family=AF_INET, sin_addr=inet_addr("192.0.2.1")}, 16) = 0', seen)
    >>> read_line('7 connect(5, {sa_family=AF_INET, sin_addr=inet_addr("127.0.0.1")}, 16) = 0', seen)
    >>> read_line('7 openat(AT_FDCWD, "/home/a/cache", O_WRONLY|O_CREAT|O_CLOEXEC, 0666) = 3', seen)
    >>> seen.connects, seen.written, seen.calls
    (['192.0.2.1'], ['/home/a/cache'], 3)
    """
    found = _CALL.match(line)
    if not found:
        return
    call, rest = found["call"], found["rest"]
    system.calls += 1
    if call in _NETWORK:
        addresses = [v4 or v6 for v4, v6 in _ADDRESS.findall(rest)]
        system.connects += [a for a in addresses if not _is_here(a)]
    elif " = -1 " not in rest and (call in _MAKING or any(flag in rest for flag in _WRITING)):
        system.written += [path for path in _PATH.findall(rest)[-1:] if not _is_nothing(path)]


def _is_here(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_nothing(path: str) -> bool:
    """Devices, the kernel's own files and compiled modules, which keep nothing of a request."""
    return path.startswith(("/dev/null", "/dev/tty", "/proc/")) or "/__pycache__" in path
