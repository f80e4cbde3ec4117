"""`passerby predict`, and the same through the original's flags: pictures in, results on stdout and in a folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ArgumentError, EngineError, OutputError, PasserbyError, shown
from . import options, output
from .exits import PipeClosed, Stopped, code_for_input, leave_pipe, say, tell, worst

if TYPE_CHECKING:
    from ..fetch import FetchPolicy
    from ..result import Result

NO_INPUT = "name a picture, a folder, a URL or a pattern"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One run, as the flags describe it."""

    inputs: list[str]
    format: output.Format
    pipeline: str | None = None
    save_path: str | None = None
    device: str | None = None
    use_hpip: bool = False
    hpi_config: str | None = None
    det_threshold: str | None = None
    cls_threshold: str | None = None
    batch_size: int | None = None
    labels: options.Labels | None = None
    ca_file: str | None = None
    quiet: bool = False
    verbose: bool = False


@dataclass(slots=True)
class Tally:
    """What has been reached, for the exit code and the last line."""

    codes: list[int] = field(default_factory=list)
    pictures: int = 0
    failed: int = 0
    persons: int = 0

    def add(self, result: Result) -> None:
        self.pictures += 1
        self.persons += len(result.persons)
        if result.error is not None:
            self.fail(result.error)

    def fail(self, error: PasserbyError) -> None:
        """An input met an error: name it and remember its code."""
        self.failed += 1
        code = code_for_input(error)
        if code not in self.codes:
            self.codes.append(code)
        tell(error)

    def __str__(self) -> str:
        failed = f", {self.failed} not analysed" if self.failed else ""
        return f"{self.pictures} picture{_s(self.pictures)}{failed}, {self.persons} pedestrian{_s(self.persons)}"


class Saver:
    """Writes what `--save_path` asks for: both files into a folder, or one file, when its suffix says so."""

    def __init__(self, save_path: str | None) -> None:
        self._path = None if save_path is None else Path(save_path)
        self._saved = 0

    def _single(self) -> bool:
        from .. import files

        path = self._path
        return (
            path is not None and not path.is_dir() and (path.suffix.lower() == ".json" or files.is_picture_name(path))
        )

    def try_out(self) -> None:
        """Find out before any model is loaded whether results can be written.

        Raises:
            OutputError: `output_unwritable`, `output_full`.
        """
        if self._path is not None:
            from .. import files

            files.check_writable(self._path.parent if self._single() else self._path)

    def save(self, result: Result) -> None:
        """
        Raises:
            OutputError: also `output_conflict`, when a second result would replace the first one's file.
        """
        if self._path is None:
            return
        if not self._single():
            result.save_to_json(self._path)
            result.save_to_img(self._path)
            return
        if self._saved:
            raise OutputError(
                "output_conflict", "one file for several results", input=str(self._path), hint="name a folder"
            )
        self._saved += 1
        if self._path.suffix.lower() == ".json":
            result.save_to_json(self._path)
        else:
            result.save_to_img(self._path)


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def predict(
    words: Annotated[list[str] | None, typer.Argument(metavar="INPUT...", help=NO_INPUT, show_default=False)] = None,
    more: Annotated[list[str] | None, typer.Option("--input", "-i", metavar="INPUT", help="The same.")] = None,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", metavar="NAME|FILE", help="Built-in pipeline or its YAML file.")
    ] = None,
    save_path: options.SavePath = None,
    as_json: options.Json = False,
    as_lines: Annotated[bool, typer.Option("--jsonl", help="One JSON object a line, as results come.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One line a pedestrian, all probabilities.")] = False,
    labels: options.LabelStyle = None,
    det_threshold: options.DetThreshold = None,
    cls_threshold: options.ClsThreshold = None,
    device: options.Device = None,
    batch_size: options.BatchSize = None,
    use_hpip: options.UseHpip = False,
    hpi_config: options.HpiConfig = None,
    ca_file: options.CaFile = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Find every pedestrian of pictures and describe each one.

    An input is a picture, a folder (walked), a URL or a pattern such as "shots/*.jpg". Results come on stdout; an
    input that fails is named on stderr, has its error in the results, and the others go on.
    """
    format = output.chosen(as_json=as_json, as_lines=as_lines, as_csv=as_csv) or output.Text
    if labels is None and format is output.Text:
        labels = options.Labels.en
    raise typer.Exit(
        run(
            Request(
                inputs=[*(words or []), *(more or [])],
                format=format,
                pipeline=pipeline,
                save_path=save_path,
                device=device,
                use_hpip=use_hpip,
                hpi_config=hpi_config,
                det_threshold=det_threshold,
                cls_threshold=cls_threshold,
                batch_size=batch_size,
                labels=labels,
                ca_file=ca_file,
                quiet=quiet,
                verbose=verbose,
            )
        )
    )


def run(request: Request) -> int:
    """Analyse all inputs and give the exit code.

    Raises:
        PasserbyError: what makes the whole run impossible: arguments, configuration, models, the output folder.
    """
    if not request.inputs:
        raise ArgumentError("bad_argument", "no input was given", hint=NO_INPUT)
    options.set_up_logging(quiet=request.quiet, verbose=request.verbose)
    arguments = _arguments(request)
    from ..config import DEFAULT_PIPELINE, load_pipeline_config

    config = load_pipeline_config(
        request.pipeline or DEFAULT_PIPELINE
    )  # a mistake shows before anything heavy is loaded
    saver = Saver(request.save_path)
    saver.try_out()

    from .. import Pipeline

    pipeline = Pipeline(
        config,
        device=request.device,
        use_hpip=request.use_hpip or None,
        hpi_config=options.mapping(request.hpi_config, option="--hpi-config"),
    )
    results = pipeline.predict(_input(request.inputs), on_error="record", **arguments)
    tally = Tally()
    try:
        _deliver(results, request.format(pipeline.labels), saver, tally, quiet=request.quiet)
    except PipeClosed:
        leave_pipe()
        return worst(tally.codes)
    except Stopped:
        say(f"interrupted: stopped after {tally}{_written(request)}")
        return 130
    except PasserbyError as error:  # output_full and the like end the run
        tell(error)
        tally.codes.append(error.exit_code)
    alone = tally.pictures <= 1 and tally.pictures == tally.failed  # its one line says everything
    if not request.quiet and not alone and (request.save_path is not None or sys.stderr.isatty()):
        say(f"{tally}{_written(request)}")
    return worst(tally.codes)


def _input(words: list[str]) -> str | list[str]:
    return words[0] if len(words) == 1 else words


def _fetch_policy(ca_file: str) -> FetchPolicy:
    """The command line's rules for URLs, with one more root certificate.

    Raises:
        ArgumentError: `bad_argument`, there is no such file.
    """
    from ..fetch import CLI_POLICY

    return replace(CLI_POLICY, ca_file=options.ca_file(ca_file))


def _arguments(request: Request) -> dict[str, Any]:
    """What `Pipeline.predict` is told; left out where the user said nothing."""
    given = {
        "det_threshold": options.one_number(request.det_threshold, option="--det-threshold"),
        "cls_threshold": options.thresholds(request.cls_threshold, option="--cls-threshold"),
        "batch_size": request.batch_size,
        "labels": None if request.labels is None else request.labels.value,
        "fetch_policy": None if request.ca_file is None else _fetch_policy(request.ca_file),
    }
    return {name: value for name, value in given.items() if value is not None}


def _written(request: Request) -> str:
    return "" if request.save_path is None else f"; written to {shown(request.save_path, 200)}"


def _deliver(results: Iterator[Result], writer: output.Writer, saver: Saver, tally: Tally, *, quiet: bool) -> None:
    """Save and print each result as it comes; the document on stdout is closed whatever happens."""
    with _progress(quiet=quiet) as show:
        try:
            for result in results:
                show("")
                tally.add(result)
                if result.error is None:
                    _save(saver, result, tally)
                writer.write(result)
                show(str(tally))
        except PipeClosed:
            raise
        except BaseException:
            writer.close()
            raise
        writer.close()


def _save(saver: Saver, result: Result, tally: Tally) -> None:
    """Save a result; what concerns this input alone (its file has gone before it was drawn) stops no other."""
    try:
        saver.save(result)
    except OutputError:
        raise
    except PasserbyError as error:
        tally.fail(error)
    except MemoryError:
        tally.fail(EngineError("out_of_memory", "not enough memory to draw the result", input=result.input_path))


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A line on a terminal's stderr that is written over, while stdout goes elsewhere; nothing in any other case."""
    active = sys.stderr.isatty() and not sys.stdout.isatty() and not quiet

    def show(line: str) -> None:
        if active:
            sys.stderr.write(f"\r\033[K{line}")
            sys.stderr.flush()

    try:
        yield show
    finally:
        show("")
