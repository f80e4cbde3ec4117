# SPDX-License-Identifier: Apache-2.0
"""The system calls that deploy/systemd/passerby.service allows, as a filter that container runtimes understand.

So the unit's filter can be tried where systemd is installed and does not run the machine. `SystemCallFilter`,
`RestrictAddressFamilies` and `MemoryDenyWriteExecute` are taken over; the other settings are no filters.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

UNIT = Path(__file__).resolve().parents[1] / "deploy/systemd/passerby.service"
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
WRITE, EXECUTE, SHM_EXEC = 2, 4, 0o100000


def settings(name: str) -> list[str]:
    """All values of a key of the unit."""
    lines = UNIT.read_text("utf-8").splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]


def members(group: str) -> set[str]:
    """The calls of a group such as @system-service, those of groups within it too."""
    words = ["systemd-analyze", "syscall-filter", "--no-pager", group]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found: set[str] = set()
    for line in shown.splitlines():
        entry = line.strip()
        if not entry or entry == group or entry.startswith("#"):
            continue
        found |= members(entry) if entry.startswith("@") else {entry}
    return found


def allowed() -> set[str]:
    """The first line of the unit's filter says what is allowed, later ones may take away."""
    calls: set[str] = set()
    for line in settings("SystemCallFilter"):
        taken = line.startswith("~")
        for entry in line.lstrip("~").split():
            named = members(entry) if entry.startswith("@") else {entry}
            calls = calls - named if taken else calls | named
    return calls


def seccomp() -> dict[str, Any]:
    """The filter in the form of the OCI runtime specification; what is not allowed fails with EPERM."""
    calls = allowed()
    rules: list[dict[str, Any]] = []

    def allow_when(name: str, index: int, value: int, *, mask: int | None = None) -> None:
        calls.discard(name)
        argument = {"index": index, "value": value, "op": "SCMP_CMP_EQ"}
        if mask is not None:
            argument = {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
        rules.append({"names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument]})

    for family in settings("RestrictAddressFamilies")[0].split():
        allow_when("socket", 0, FAMILIES[family])
    if settings("MemoryDenyWriteExecute") == ["yes"]:
        allow_when("mmap", 2, 0, mask=EXECUTE)
        allow_when("mmap", 2, EXECUTE, mask=EXECUTE | WRITE)
        allow_when("mprotect", 2, 0, mask=EXECUTE)
        allow_when("pkey_mprotect", 2, 0, mask=EXECUTE)
        allow_when("shmat", 2, 0, mask=SHM_EXEC)
    rules.append({"names": sorted(calls), "action": "SCMP_ACT_ALLOW"})
    # runc itself starts the program: execve is in @system-service; capset, which it needs before, is not a loss
    rules.append({"names": ["capset", "capget", "seccomp", "prctl"], "action": "SCMP_ACT_ALLOW"})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": rules,
    }
