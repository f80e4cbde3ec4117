"""Every error this package raises on purpose, with its machine name, exit code and HTTP status.

    PasserbyError
    ├── ArgumentError    a call or a command line that cannot be right
    ├── ConfigError      a YAML file or its values
    ├── DatasetError     training data
    │   └── InvalidDatasetError  the same with every problem as a record (datasets.problems)
    ├── InputError       a picture, a folder, an array
    │   └── FetchError   a picture behind a URL
    ├── ModelError       a model file, archive or download
    ├── EngineError      a device or the library that computes on it
    ├── OutputError      a result that could not be written
    ├── TrainingError    a run of training
    ├── ServerError      a request
    ├── Interrupted      Ctrl-C or SIGTERM
    └── InternalError    a bug of ours

The names are public: new ones may come, none changes its meaning. A message is one line for the person who
reads it at night: what happened, to which input, what to do.
"""

from __future__ import annotations

import re
from typing import ClassVar, NamedTuple

PATH_SHOWN = 200
VALUE_SHOWN = 80
MESSAGE_SHOWN = 400


class Status(NamedTuple):
    """What a name means at the doors: the exit code of the command line and the HTTP status of the service."""

    exit_code: int
    http: int


def _statuses(exit_code: int, http: int, names: str) -> dict[str, Status]:
    return {name: Status(exit_code, http) for name in names.split()}


ARGUMENT = _statuses(2, 400, "bad_argument unknown_pipeline bad_device_name")
CONFIG = _statuses(2, 500, "config_missing config_unreadable config_invalid")
DATASET = _statuses(2, 500, "dataset_missing dataset_invalid")
INPUT = {
    **_statuses(
        1,
        422,
        "input_missing input_unreadable input_type input_empty folder_empty image_unknown image_refused "
        "image_corrupt image_truncated image_too_large array_invalid video_unreadable video_no_frames "
        "video_truncated",
    ),
    **_statuses(1, 413, "input_too_large"),
}
FETCH = _statuses(
    1,
    422,
    "url_invalid url_forbidden address_forbidden fetch_dns fetch_connect fetch_tls fetch_timeout fetch_status "
    "fetch_redirects fetch_too_large fetch_incomplete",
)
MODEL = _statuses(
    3,
    500,
    "model_unknown model_missing model_offline model_download model_hash model_unsafe archive_unsafe "
    "model_corrupt model_unsupported model_mismatch model_not_finite model_too_large",
)
ENGINE = {
    **_statuses(4, 500, "device_unavailable engine_missing engine_failed"),
    **_statuses(1, 503, "out_of_memory"),
}
OUTPUT = _statuses(5, 500, "output_unwritable output_full output_conflict")
TRAINING = {
    **_statuses(1, 500, "loss_not_finite"),
    **_statuses(3, 500, "checkpoint_corrupt checkpoint_mismatch"),
}
SERVER = {
    name: Status(1, http)
    for name, http in {
        "bad_request": 400,
        "unauthorized": 401,
        "origin_not_allowed": 403,
        "not_found": 404,
        "method_not_allowed": 405,
        "request_timeout": 408,
        "request_too_large": 413,
        "unsupported_media_type": 415,
        "host_not_allowed": 421,
        "request_invalid": 422,
        "rate_limited": 429,
        "headers_too_large": 431,
        "overloaded": 503,
        "not_ready": 503,
        "deadline_exceeded": 504,
    }.items()
}
INTERRUPTED = _statuses(130, 503, "interrupted")
INTERNAL = _statuses(1, 500, "internal")


def shown(text: object, limit: int = VALUE_SHOWN) -> str:
    """Foreign text made fit to be shown: control characters escaped, cut to `limit` characters.

    >>> shown("two\\nlines")
    'two\\\\nlines'
    """
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def without_secrets(text: str) -> str:
    """A URL without its login, query and fragment; any other text as it is.

    >>> without_secrets("http://me:pw@host/a.jpg?token=1")
    'http://host/a.jpg'
    """
    if not re.match(r"(?i)https?://", text):
        return text
    bare = re.split(r"[?#]", text, maxsplit=1)[0]
    return re.sub(r"(?i)^(https?://)[^/]*@", r"\1", bare)


class PasserbyError(Exception):
    """Base of all errors of this package.

    Attributes:
        name: machine name, one of the table above, for example `image_truncated`.
        message: one line, `<name>: <what happened>: <input>; <what to do>`, at most 400 characters.
        input: the path, URL or name of what was read, or None.
        hint: what to do next, or None.
    """

    names: ClassVar[dict[str, Status]] = {}
    shown_at_most: ClassVar[int] = MESSAGE_SHOWN

    def __init__(self, name: str, happened: str, *, input: str | None = None, hint: str | None = None) -> None:
        if name not in self.names:
            raise ValueError(f"{type(self).__name__} has no error called {name!r}")
        self.name = name
        self.happened = happened
        self.input = input
        self.hint = hint
        super().__init__(name, happened, input, hint)

    @property
    def message(self) -> str:
        where = f": {shown(without_secrets(self.input), PATH_SHOWN)}" if self.input else ""
        todo = f"; {self.hint}" if self.hint else ""
        return shown(f"{self.name}: {self.happened}{where}{todo}", self.shown_at_most)

    @property
    def exit_code(self) -> int:
        return self.names[self.name].exit_code

    @property
    def http_status(self) -> int:
        return self.names[self.name].http

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.name, self.happened, self.input, self.hint)


def _rebuild(kind: type[PasserbyError], name: str, happened: str, input: str | None, hint: str | None) -> PasserbyError:
    return kind(name, happened, input=input, hint=hint)


class ArgumentError(PasserbyError):
    """A call or a command line that cannot be right."""

    names = ARGUMENT


class ConfigError(PasserbyError):
    """A configuration file that is missing, unreadable or wrong; `config_invalid` lists all problems at once."""

    names = CONFIG
    shown_at_most = 8000  # a report of up to 20 problems, one line each


class DatasetError(PasserbyError):
    """Training data that is missing or wrong."""

    names = DATASET
    shown_at_most = 8000


class InputError(PasserbyError):
    """A picture, folder or array that cannot be analysed."""

    names = INPUT


class FetchError(InputError):
    """A picture behind a URL that cannot be had."""

    names = FETCH


class ModelError(PasserbyError):
    """A model that is missing, damaged, dangerous or of another kind."""

    names = MODEL


class EngineError(PasserbyError):
    """A device or engine that is missing or failed."""

    names = ENGINE


class OutputError(PasserbyError):
    """A result that could not be written."""

    names = OUTPUT


class TrainingError(PasserbyError):
    """A training run that cannot go on."""

    names = TRAINING


class ServerError(PasserbyError):
    """A request that the service does not answer with a result."""

    names = SERVER


class Interrupted(PasserbyError):
    """The user or the system asked us to stop."""

    names = INTERRUPTED


class InternalError(PasserbyError):
    """A bug of this package."""

    names = INTERNAL
