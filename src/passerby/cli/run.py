"""The frame around every command: errors to one line and an exit code, signals, closed pipes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from types import FrameType

import typer

from ..errors import ArgumentError, EngineError, InternalError, Interrupted, PasserbyError, shown
from .app import app
from .exits import PipeClosed, Stopped, leave_pipe, tell

# typer keeps its base of usage errors in a module that has moved between versions; the class itself can be reached.
UsageError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "UsageError")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code.

    Args:
        arguments: words after the program's name; default those of the process.
    """
    _text_streams()
    _catch_signals()
    try:
        return _command(list(sys.argv[1:] if arguments is None else arguments))
    except PasserbyError as error:
        tell(error)
        if error.name == "internal":
            traceback.print_exc()
        return error.exit_code
    except (Stopped, KeyboardInterrupt, typer.Abort):
        tell(Interrupted("interrupted", "stopped on request"))
        return 130
    except PipeClosed:
        leave_pipe()
        return 0
    except MemoryError:
        tell(EngineError("out_of_memory", "not enough memory to load the models"))
        return 4
    except Exception as bug:
        traceback.print_exc()
        tell(InternalError("internal", f"a bug of passerby: {shown(repr(bug))}", hint="please report the lines above"))
        return 1


def _command(arguments: list[str]) -> int:
    try:
        code = app(arguments, prog_name="passerby", standalone_mode=False)
    except UsageError as wrong:
        raise _usage_error(wrong) from None
    return code if isinstance(code, int) else 0


def _usage_error(wrong: Exception) -> ArgumentError:
    """typer's errors in our one-line form."""
    said = str(getattr(wrong, "format_message", lambda: str(wrong))()).strip().rstrip(".")
    command = getattr(getattr(wrong, "ctx", None), "command_path", "passerby")
    happened = shown(said[:1].lower() + said[1:], 200)
    return ArgumentError("bad_argument", happened, hint=f"see `{command} --help`")


def _text_streams() -> None:
    """File names need not be Unicode: what cannot be encoded is shown escaped."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _catch_signals() -> None:
    """First SIGINT or SIGTERM: stop in order. A second one: at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, lambda *_: os._exit(130))
        raise Stopped

    if threading.current_thread() is not threading.main_thread():
        return  # whoever embeds us handles signals
    for number in (signal.SIGINT, signal.SIGTERM):
        # whoever started us with signals ignored (nohup, a background job) means it
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
