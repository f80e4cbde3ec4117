"""Device strings: `cpu`, `gpu`, `gpu:1`, `npu:0`. What a string means, not whether the device is there."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import NamedTuple

from .errors import ArgumentError, EngineError, shown

# PaddleX's names, and the field's words for the same things.
KINDS = ("cpu", "gpu", "npu", "xpu", "mlu", "dcu", "gcu", "iluvatar_gpu", "metax_gpu")
ALIASES = {"cuda": "gpu"}


class Device(NamedTuple):
    """One place to compute. The CPU has no number."""

    kind: str
    number: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.number}"


def parse_device(text: str | None) -> Device | None:
    """Read a device string; None and "auto" mean "the first GPU, else the CPU" and give None.

    Raises:
        ArgumentError: `bad_device_name`.
        EngineError: `device_unavailable`, several devices at once are asked for.
    >>> parse_device("gpu:1")
    Device(kind='gpu', number=1)
    """
    if text is None or text == "auto":
        return None
    if not isinstance(text, str):
        raise ArgumentError("bad_device_name", f"a device is text, not {type(text).__name__}", hint="for example gpu:0")
    kind, _, number = text.partition(":")
    kind = ALIASES.get(kind, kind)
    if kind not in KINDS:
        close = get_close_matches(kind, [*KINDS, *ALIASES, "auto"], 1)
        guess = f"did you mean {close[0]}?" if close else f"known are auto, {', '.join(KINDS)}"
        raise ArgumentError("bad_device_name", f"no device is called {shown(text)}", hint=guess)
    if ":" not in text:
        return Device(kind)
    if kind == "cpu":
        raise ArgumentError("bad_device_name", f"the CPU has no number: {shown(text)}", hint="write cpu")
    if re.fullmatch(r"[0-9]{1,3}(,[0-9]{1,3})+", number):
        raise EngineError("device_unavailable", f"one device at a time, not {shown(text)}", hint="name one")
    if not re.fullmatch(r"[0-9]{1,3}", number):
        raise ArgumentError("bad_device_name", f"{shown(text)} has no device number", hint=f"for example {kind}:0")
    return Device(kind, int(number))
