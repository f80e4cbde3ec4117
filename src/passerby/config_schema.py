"""What both configuration files share: reading the file, closed sections, and one report of all problems.

`config` (pipelines) and `config_training` describe their sections with the types below. A problem names its key,
its line and, for a typo, the key that was probably meant. YAML itself is read by `formats.safe_yaml`.
"""

from __future__ import annotations

import math
import numbers
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from .errors import ConfigError, PasserbyError, shown
from .formats.safe_yaml import PlainPath, YamlProblem, load_yaml

FILE_BYTES = 1 << 20
PROBLEMS_SHOWN = 20
BATCH_LIMIT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong in a configuration.

    Attributes:
        path: keys to the value as one would write them, for example `SubModules.Detection.threshold`; may be empty.
        text: what is wrong and, where it can be guessed, what was meant.
        line: line of the file from 1, or None.
    """

    path: str
    text: str
    line: int | None = None

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.text}" + (f" (line {self.line})" if self.line else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A configuration as plain data. `input` is the file's name, None when it came as a mapping."""

    value: Mapping[Any, Any]
    lines: Mapping[PlainPath, int]
    input: str | None


class Section(BaseModel):
    """A mapping with known keys only. A known key without a value means its default, so an emptied section is fine."""

    # keys such as model_name are the file's words, not pydantic's
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _defaults_for_null(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {k: v for k, v in value.items() if v is not None or k not in cls.model_fields}


SectionType = TypeVar("SectionType", bound=Section)


def guess(word: object, known: Iterable[str]) -> str | None:
    """The known word that was probably meant; case, dashes and underscores count as equal.

    >>> guess("Batch-Size", ["batch_size", "threshold"])
    'batch_size'
    """
    plain = {k.lower().replace("-", "_"): k for k in known}
    # words of thousands of characters are nobody's typo, and matching them takes seconds
    close = get_close_matches(str(word)[:200].lower().replace("-", "_"), list(plain), 1, 0.7)
    return plain[close[0]] if close else None


def read_document(source: str | Path | Mapping[Any, Any]) -> Document:
    """Read a configuration file, or take a mapping as it is.

    Raises:
        ConfigError: `config_missing`, `config_unreadable` (folder, too large, no text), `config_invalid` (no YAML,
            no mapping).
    """
    if isinstance(source, Mapping):
        return Document(value=source, lines={}, input=None)
    name = str(source)
    data = _file_bytes(Path(source))
    try:
        loaded = load_yaml(data)
    except YamlProblem as problem:
        if problem.kind == "unreadable":
            raise ConfigError("config_unreadable", str(problem), input=name) from None
        raise report([Problem(path=path_text(problem.path), text=problem.text, line=problem.line)], name) from None
    if not isinstance(loaded.value, Mapping):
        what = "a list" if isinstance(loaded.value, list) else f"only {shown(repr(loaded.value))}"
        raise report([Problem(path="", text=f"the file must hold a mapping of keys, it holds {what}", line=1)], name)
    return Document(value=loaded.value, lines=loaded.lines, input=name)


def _file_bytes(path: Path) -> bytes:
    name = str(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ConfigError("config_unreadable", "this is a folder, not a configuration file", input=name)
        if not stat.S_ISREG(mode):  # a pipe would block for ever
            raise ConfigError("config_unreadable", "this is no regular file", input=name)
        with path.open("rb") as file:
            data = file.read(FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError("config_missing", "no such file", input=name, hint=_near_file(path)) from None
    except (OSError, ValueError) as reason:
        said = reason.strerror if isinstance(reason, OSError) and reason.strerror else "not a usable path"
        raise ConfigError("config_unreadable", shown(said), input=name) from None
    if len(data) > FILE_BYTES:
        raise ConfigError("config_unreadable", "the file is larger than 1 MiB", input=name)
    return data


def _near_file(path: Path) -> str:
    try:
        names = [p.name for p in path.parent.iterdir() if p.suffix in (".yaml", ".yml")]
    except OSError:
        names = []
    near = get_close_matches(path.name, names, 1)
    write = "write one with `passerby --get_pipeline_config pedestrian_attribute_recognition --save_path DIR`"
    return f"did you mean {shown(near[0])}, in the same folder?" if near else write


def path_text(path: PlainPath) -> str:
    """Keys and places as one would write them.

    >>> path_text(("SubModules", "Classification", "threshold", 1))
    'SubModules.Classification.threshold[1]'
    """
    text = ""
    for number, part in enumerate(path):
        if isinstance(part, int) and number > 0:
            text += f"[{part}]"
        else:
            text += ("." if text else "") + shown(part, 40)
    return text


def line_of(path: PlainPath, lines: Mapping[PlainPath, int]) -> int | None:
    """The line of a value, or of the nearest mapping around it; None for a configuration without a file."""
    for end in range(len(path), -1, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return None


def report(problems: list[Problem], input: str | None) -> ConfigError:
    """The one error that names all problems; beyond the first 20 they are counted."""
    parts = [str(p) for p in problems[:PROBLEMS_SHOWN]]
    if len(problems) > PROBLEMS_SHOWN:
        parts.append(f"and {len(problems) - PROBLEMS_SHOWN} more")
    happened = parts[0] if len(problems) == 1 else f"{len(problems)} problems: " + "; ".join(parts)
    return ConfigError("config_invalid", happened, input=input)


def validate(
    section: type[SectionType], document: Document, *, advice: Callable[[PlainPath], str | None] | None = None
) -> tuple[SectionType | None, list[Problem]]:
    """Hold a document against its schema.

    Args:
        section: the schema of the whole file.
        document: what was read.
        advice: for the path of an unknown key, a better sentence than the nearest key, or None.
    Returns:
        the parsed section (None with problems), and every problem in the order of the file.
    """
    try:
        return section.model_validate(document.value), []
    except ValidationError as failed:
        details = failed.errors(include_url=False, include_input=False, include_context=True)
    listed: set[PlainPath] = set()
    problems = []
    for detail in details:
        path: PlainPath = tuple(detail["loc"])
        if detail["type"] in ("extra_forbidden", "invalid_key"):
            text = (advice(path) if advice else None) or _unknown_key(path, section, listed)
        else:
            text = detail["msg"] if detail["type"] == "passerby" else _plain(detail["type"])
            path += tuple(detail.get("ctx", {}).get("at", ()))
        problems.append(Problem(path=path_text(path), text=text, line=line_of(path, document.lines)))
    return None, sorted(problems, key=lambda p: p.line or 0)


def _plain(kind: str) -> str:
    return {
        "missing": "required, but missing",
        "model_type": "must be a mapping of keys",
        "model_attributes_type": "must be a mapping of keys",
        "bool_type": "must be true or false",
        "string_type": "must be text",
        "dict_type": "must be a mapping of keys",
    }.get(kind, "has the wrong type")


def _unknown_key(path: PlainPath, section: type[Section], listed: set[PlainPath]) -> str:
    known = known_keys(section, path[:-1])
    near = guess(path[-1], known)
    if near:
        return f"unknown key, did you mean {near}?"
    if path[:-1] in listed or not known:
        return "unknown key"
    listed.add(path[:-1])
    return f"unknown key, known here are {', '.join(known)}"


def known_keys(section: type[Section], path: PlainPath) -> list[str]:
    """The keys of a section below `section`; [] where there is none."""
    here: Any = section
    for part in path:
        field = here.model_fields.get(part)
        here = field.annotation if field is not None else None
        if not (isinstance(here, type) and issubclass(here, Section)):
            return []
    return list(here.model_fields)


def refuse(text: str, *, at: PlainPath = ()) -> PydanticCustomError:
    """The exception a value's check raises; `at` is the place inside the value."""
    # braces would be read as placeholders
    return PydanticCustomError("passerby", "{said}", {"said": text, "at": at})


def number(value: object, *, at: PlainPath = ()) -> float:
    """A finite number; whole numbers and numpy's are numbers, text and booleans are not."""
    if isinstance(value, str):
        hint = ", write it with a decimal point" if value.replace(",", "").isdigit() and "," in value else ""
        raise refuse(f"must be a number, not the text {shown(repr(value))}{hint}", at=at)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise refuse(f"must be a number, not {_kind(value)}", at=at)
    try:
        plain = float(value)
    except OverflowError:
        plain = math.inf
    if not math.isfinite(plain):
        raise refuse(f"must be a finite number, not {plain}", at=at)
    return plain


def share(value: object, *, at: PlainPath = ()) -> float:
    """A number between 0 and 1."""
    plain = number(value, at=at)
    if not 0.0 <= plain <= 1.0:
        raise refuse(f"must be between 0 and 1, not {shown(value)}", at=at)
    return plain


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else shown(repr(value))


def whole(least: int, most: int | None = None) -> BeforeValidator:
    """Check of a whole number with bounds."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise refuse(
                f"must be a whole number, not {shown(repr(value)) if not isinstance(value, bool) else _kind(value)}"
            )
        plain = int(value)
        if plain < least:
            raise refuse(f"must be at least {least}, not {shown(plain)}")
        if most is not None and plain > most:
            raise refuse(f"must be at most {most}, not {shown(plain)}")
        return plain

    return BeforeValidator(check)


def _choice(allowed: tuple[str, ...]) -> str:
    return allowed[0] if len(allowed) == 1 else f"one of {', '.join(allowed)}"


def one_of(*allowed: str) -> BeforeValidator:
    """Check of a word from a closed list."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            near = guess(value, allowed)
            end = f", did you mean {near}?" if near else ""
            raise refuse(f"must be {_choice(allowed)}, not {shown(value)}{end}")
        return value

    return BeforeValidator(check)


def _path(value: object) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str):
        raise refuse(f"must be a path, not {_kind(value)}")
    if not value.strip():
        raise refuse("is an empty path, write null for none")
    if "\0" in value:
        raise refuse("is no path: it holds a zero character")
    return Path(value)


def _above_zero(value: object) -> float:
    plain = number(value)
    if plain <= 0:
        raise refuse(f"must be greater than 0, not {shown(plain)}")
    return plain


Share: TypeAlias = Annotated[float, BeforeValidator(share)]
AboveZero: TypeAlias = Annotated[float, BeforeValidator(_above_zero)]
AnyPath: TypeAlias = Annotated[Path, BeforeValidator(_path)]
Count: TypeAlias = Annotated[int, whole(1)]
CountFromZero: TypeAlias = Annotated[int, whole(0)]
BatchSize: TypeAlias = Annotated[int, whole(1, BATCH_LIMIT)]


def said(error: PasserbyError) -> str:
    """An error of another room as the text of a problem."""
    return error.happened + (f", {error.hint}" if error.hint else "")
