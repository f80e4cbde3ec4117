"""How a run ends: exit codes, the line on stderr, and the two ways to be cut off."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from ..errors import PasserbyError

# With several failures the first of these that occurred is the exit code.
SEVERITY = (130, 5, 4, 3, 2, 1)


class Stopped(BaseException):
    """SIGINT or SIGTERM arrived. No `Exception`, so that nothing which handles the errors of an input swallows it."""


class PipeClosed(BaseException):
    """The reader of stdout has gone. No `OSError`: typer would turn it into exit code 1."""


def tell(error: PasserbyError) -> None:
    """One line about an error on stderr."""
    say(error.message)


def say(line: str) -> None:
    """One line on stderr; a closed stderr is no reason to fail."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def worst(codes: Sequence[int]) -> int:
    """The exit code of several outcomes.

    >>> worst([1, 3, 0, 1])
    3
    """
    return next((code for code in SEVERITY if code in codes), 0)


def code_for_input(error: PasserbyError) -> int:
    """Exit code of an error that one input met: an engine that failed on one picture is not a missing engine."""
    return 1 if error.name in ("engine_failed", "out_of_memory") else error.exit_code


def leave_pipe() -> None:
    """Point stdout at nothing: Python flushes it at exit, which would complain about the closed pipe once more."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
