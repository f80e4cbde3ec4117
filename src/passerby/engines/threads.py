"""How many threads we may use: affinity, cgroup quota and `PASSERBY_THREADS`, the smallest wins."""

from __future__ import annotations

import math
import os
from pathlib import Path

from ..errors import ArgumentError, shown

_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1 = (Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us"))


def available_threads() -> int:
    """Threads this process should use, at least 1.

    Raises:
        ArgumentError: `bad_argument`, `PASSERBY_THREADS` is no positive whole number.
    """
    given = os.environ.get("PASSERBY_THREADS")
    if given:
        if not given.isascii() or not given.isdigit() or int(given) < 1:
            raise ArgumentError(
                "bad_argument", f"PASSERBY_THREADS is {shown(given)}", hint="give a whole number from 1"
            )
        return int(given)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def _cgroup_quota() -> float | None:
    """CPUs the container may use, or None without a limit."""
    try:
        if _CGROUP_V2.exists():
            quota, period = _CGROUP_V2.read_text("ascii").split()[:2]
        else:
            quota, period = (path.read_text("ascii").strip() for path in _CGROUP_V1)
        if quota in ("max", "-1"):
            return None
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
