"""The findings of `passerby doctor`, one function a subject. None of them raises, none opens a connection."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .. import engines
from .._version import __version__
from ..errors import PasserbyError, shown
from ..models import catalogue

# Extensions of the processor that decide how fast the networks run.
CPU_FLAGS = ("sse4_2", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "amx_tile", "asimddp", "i8mm")
DEPENDENCIES = ("numpy", "opencv-python-headless", "onnxruntime", "onnx", "pillow", "pyyaml", "pydantic", "typer")
# Distributions that install the same module: the one installed last overwrites parts of the other.
RIVALS = {
    "OpenCV": ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"),
}
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report. `code` is the exit code that a failure asks for, else 0."""

    name: str
    text: str
    status: Literal["ok", "warn", "fail"] = "ok"
    code: int = 0


def all_findings() -> list[Finding]:
    """Everything, in the order it is shown."""
    subjects: list[Callable[[], Iterator[Finding]]] = [system, processor, packages, engine, environment, cache, models]
    return [finding for subject in subjects for finding in _guarded(subject)]


def _guarded(subject: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """The findings of a subject; the report is most needed where something unforeseen is broken."""
    try:
        return list(subject())
    except Exception as reason:
        code = reason.exit_code if isinstance(reason, PasserbyError) else 4
        return [Finding(name=subject.__name__, text=shown(reason, 300), status="fail", code=code)]


def system() -> Iterator[Finding]:
    yield Finding(name="passerby", text=f"{__version__} in {Path(__file__).parents[1]}")
    yield Finding(
        name="python", text=f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    )
    libc = " ".join(platform.libc_ver()).strip()
    yield Finding(name="platform", text=f"{platform.platform()}, {platform.machine()}{', ' + libc if libc else ''}")


def processor() -> Iterator[Finding]:
    facts = _cpu_facts()
    flags = facts.get("flags", facts.get("Features", "")).split()
    have = [flag for flag in CPU_FLAGS if flag in flags]
    name = facts.get("model name") or platform.processor() or "unknown"
    yield Finding(name="processor", text=f"{name}; {' '.join(have) or 'no known extension'}")
    given = os.environ.get("PASSERBY_THREADS")
    why = f"PASSERBY_THREADS={given}" if given else "affinity and cgroup"
    yield Finding(name="threads", text=f"{engines.available_threads()} of {os.cpu_count()} ({why})")


def _cpu_facts() -> dict[str, str]:
    try:
        first = Path("/proc/cpuinfo").read_text("utf-8", "replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def packages() -> Iterator[Finding]:
    for name in DEPENDENCIES:
        version = _version(name)
        stands_in = next((r for rivals in RIVALS.values() if name in rivals for r in rivals if _version(r)), None)
        if version is not None:
            yield Finding(name=name, text=version)
        elif stands_in is not None:
            yield Finding(name=stands_in, text=f"{_version(stands_in)} (in place of {name})")
        else:
            yield Finding(name=name, text="not installed", status="fail", code=4)
    for module, rivals in RIVALS.items():
        installed = [r for r in rivals if _version(r) is not None]
        if len(installed) > 1:
            text = f"{', '.join(installed)} are installed together; uninstall all, then install one"
            yield Finding(name=f"{module} variants", text=text, status="warn")


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def engine() -> Iterator[Finding]:
    from ..engines import onnx_runtime

    yield Finding(name="providers", text=", ".join(onnx_runtime.providers()))
    yield Finding(name="default device", text=str(engines.default_device()))
    off = os.environ.get("ORT_DISABLE_TELEMETRY") == "1"
    yield Finding(
        name="telemetry",
        text="off" if off else "not switched off before onnxruntime was imported",
        status="ok" if off else "fail",
        code=0 if off else 4,
    )


def environment() -> Iterator[Finding]:
    for name in ("PASSERBY_HOME", "PASSERBY_OFFLINE"):
        if os.environ.get(name):
            yield Finding(name=name, text=shown(os.environ[name], 200))
    # values of proxy variables may hold passwords
    proxies = [p for p in PROXIES if os.environ.get(p) or os.environ.get(p.lower())]
    if proxies:
        yield Finding(name="proxy variables", text=f"set: {', '.join(proxies)}")


def cache() -> Iterator[Finding]:
    from ..models import cache as store

    home = store.home()
    nearest = next((p for p in (home, *home.parents) if p.exists()), home)
    writable = os.access(nearest, os.W_OK)
    text = f"{home} ({'there' if home.exists() else 'not made yet'}{'' if writable else ', not writable'})"
    yield Finding(name="cache", text=text, status="ok" if writable else "warn")
    for name, entry in catalogue.ENTRIES.items():
        state = store.State.ABSENT if entry.shipped else store.state_of(name)
        if state is store.State.BAD:
            yield Finding(name=name, text="in the cache, but damaged; it is fetched again when used", status="warn")
        elif state is not store.State.ABSENT:
            yield Finding(name=name, text=f"in the cache, {state.value}")


def models() -> Iterator[Finding]:
    for entry in catalogue.entries().values():
        if entry.shipped or entry.file is not None:
            yield _probed(entry.name)


def _probed(name: str) -> Finding:
    from ..models import verify

    try:
        found = verify.verify(name)
    except PasserbyError as error:
        return Finding(name=name, text=error.message, status="fail", code=error.exit_code)
    if found.difference is None:
        return Finding(name=name, text="loads and answers, but carries no probe", status="warn")
    return Finding(name=name, text=f"answers its probe within {found.difference:.1e} ({found.engine})")
