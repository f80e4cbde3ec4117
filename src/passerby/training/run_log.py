# SPDX-License-Identifier: Apache-2.0
"""What a run says: lines for people, `metrics.csv` for tables, TensorBoard for curves.

All of it is written as it happens. A new run replaces the files of an earlier one in its folder; a run that goes on
takes them up, without the rows of steps that will be taken once more.
"""

from __future__ import annotations

import csv
import errno
import io
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..files import atomic_write

PLACE = ("event", "epoch", "step")
NO_BOARD = "no TensorBoard files are written: the package tensorboard is missing (pip install 'passerby[train]')"


def to_stderr(line: str) -> None:
    """Where a run speaks unless told otherwise; a closed stderr does not end it."""
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return


class RunLog:
    """The three logs of one run. In processes other than the first, made with `active=False`, it writes nothing.

    Args:
        output: the run's folder.
        report: takes each line as well.
        step: of the optimiser, at which the run begins; later rows of an earlier run are removed.
    """

    def __init__(
        self, output: Path, *, report: Callable[[str], None] = to_stderr, step: int = 0, active: bool = True
    ) -> None:
        self._active = active
        self._report = report
        self._lines = output / "train.log"
        self._table = Table(output / "metrics.csv")
        self._board: Any = None
        if active:
            with named_errors(output):
                if not step:
                    atomic_write(self._lines, b"")
                self._table.begin(step)
                self._board = _board(output / "tensorboard", step, self.say)

    def say(self, line: str) -> None:
        """One line for a person."""
        if self._active:
            self._report(line)
            with named_errors(self._lines), self._lines.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def row(self, event: str, *, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """Numbers of one moment, for example those of `event` "train" or "val"."""
        if self._active:
            with named_errors(self._lines.parent):
                self._table.add({"event": event, "epoch": epoch, "step": step, **values})
                for name, value in values.items():
                    if self._board is not None:
                        self._board.add_scalar(f"{event}/{name}", value, step)

    def close(self) -> None:
        """Finish the files; for a second time, nothing."""
        if self._board is not None:
            with named_errors(self._lines.parent):
                self._board.close()
            self._board = None


class Table:
    """A CSV file that grows by rows and, seldom, by columns: then it is written anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._columns: list[str] = list(PLACE)

    def begin(self, step: int) -> None:
        """Keep the whole rows up to a step."""
        rows = [row for row in self._rows() if row["step"].isdecimal() and int(row["step"]) <= step] if step else []
        self._columns = list(dict.fromkeys([*PLACE, *(name for row in rows for name in row)]))
        self._write(rows)

    def add(self, row: Mapping[str, object]) -> None:
        """Append a row; its further columns come after those that are there."""
        texts = {name: _text(value) for name, value in row.items()}
        new = [name for name in row if name not in self._columns]
        if new:
            rows = self._rows()
            self._columns += new
            self._write([*rows, texts])
        else:
            with self._path.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, self._columns, restval="", lineterminator="\n").writerow(texts)

    def _rows(self) -> list[dict[str, str]]:
        """Rows that are whole: a kill may have cut the last one."""
        if not self._path.is_file():
            return []
        lines = self._path.read_text("utf-8", errors="replace").splitlines(keepends=True)
        reader = csv.reader(line for line in lines if line.endswith("\n"))
        header = next(reader, [])
        if not set(PLACE) <= set(header):
            return []
        return [dict(zip(header, row, strict=True)) for row in reader if len(row) == len(header)]

    def _write(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        atomic_write(self._path, text.getvalue().encode())


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _board(folder: Path, step: int, say: Callable[[str], None]) -> Any:
    """TensorBoard's writer, or None without the package."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own imports warn about each other
            from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        say(NO_BOARD)
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)  # what an earlier run wrote beyond is hidden


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Errors of the operating system, while a log is written, under their names."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            happened, hint = "no room left", "free some space and resume"
            raise OutputError("output_full", happened, input=str(path), hint=hint) from None
        happened = f"cannot write ({(error.strerror or type(error).__name__).lower()})"
        raise OutputError("output_unwritable", happened, input=str(path), hint="choose another output") from None


def duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> duration(3723.4)
    '1:02:03'
    """
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
