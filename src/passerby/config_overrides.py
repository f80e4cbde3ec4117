# SPDX-License-Identifier: Apache-2.0
"""Built-in training files by name, and `Section.key=value` laid over a file.

A value is read by the same narrow YAML reader as the file itself and never evaluated: the original ran it as Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from .config_schema import Document, guess
from .errors import ArgumentError, shown
from .formats.safe_yaml import PlainPath, YamlProblem, load_yaml
from .models.catalogue import ENTRIES

# Where the original kept its files; commands copied from its manual name them so.
ORIGINAL_FOLDER = "paddlex/configs/modules/"
FORM = "write Section.key=value, for example Train.epochs_iters=20"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One value that stands above the file's.

    Attributes:
        path: section and key, for example ("CheckDataset", "split", "enable").
        value: plain data.
    """

    path: tuple[str, ...]
    value: Any

    def __str__(self) -> str:
        return ".".join(self.path)


def built_in_or_path(source: str | Path | Mapping[Any, Any]) -> Path | Mapping[Any, Any]:
    """The file that `source` means: one that exists, else the built-in one of that name."""
    if isinstance(source, Mapping):
        return source
    if Path(source).is_file():
        return Path(source)
    parts = PurePosixPath(str(source).replace("\\", "/"))
    name = parts.name.removesuffix(".yaml").removesuffix(".yml")
    plain = len(parts.parts) == 1 or str(parts).startswith(ORIGINAL_FOLDER)
    return built_in(name) if plain and name in ENTRIES else Path(source)


def built_in(name: str) -> Path:
    """The shipped training file of a model of the catalogue."""
    return Path(str(resources.files("passerby") / "configs" / "modules" / f"{name}.yaml"))


def parse_overrides(
    given: Sequence[str] | Mapping[str, Any], *, keys_at: Callable[[PlainPath], list[str]]
) -> list[Override]:
    """Read overrides.

    Args:
        given: `Section.key=value` texts, or `Section.key` to plain values. A later one of the same key wins.
        keys_at: the known keys of a section, [] for what is no section.
    Raises:
        ArgumentError: `bad_argument`: no such form, no such key (with the nearest one), a value that is no YAML.
    >>> parse_overrides(["Train.learning_rate=8e-4"], keys_at=lambda path: ["Train", "learning_rate"])
    [Override(path=('Train', 'learning_rate'), value=0.0008)]
    """
    if isinstance(given, str):
        raise ArgumentError("bad_argument", f"overrides are a list, not the text {shown(given)}", hint=FORM)
    pairs = given if isinstance(given, Mapping) else override_pairs(given)
    return [Override(path=_path(str(key), keys_at), value=value) for key, value in pairs.items()]


def override_pairs(texts: Sequence[str]) -> dict[str, Any]:
    """`Section.key=value` texts as keys and plain values.

    Raises:
        ArgumentError: `bad_argument`, no such form, or a value that is no YAML.
    """
    return dict(_pair(text) for text in texts)


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = str(text).partition("=")
    if not equals or not key.strip():
        raise ArgumentError("bad_argument", f"-o {shown(text)} sets nothing", hint=FORM)
    return key.strip(), plain_value(value, what=f"-o {key.strip()}")


def plain_value(text: str, *, what: str) -> Any:
    """The value of an override: YAML on one line; nothing, `None` and `null` are null.

    Raises:
        ArgumentError: `bad_argument`.
    """
    if text.strip() in ("", "None"):
        return None
    try:
        return load_yaml(text.encode("utf-8", "surrogateescape")).value
    except YamlProblem as problem:
        hint = "text with signs of YAML in it goes into quotes: 'Section.key=\"...\"'"
        raise ArgumentError("bad_argument", f"{shown(what)} is {shown(text)}: {problem.text}", hint=hint) from None


def _path(key: str, keys_at: Callable[[PlainPath], list[str]]) -> tuple[str, ...]:
    parts = tuple(key.split("."))
    for depth, part in enumerate(parts):
        known = keys_at(parts[:depth])
        if part in known:
            continue
        where = ".".join(parts[:depth])
        if not known and depth:
            raise ArgumentError("bad_argument", f"-o {shown(key)}: {shown(where)} has no keys below it", hint=FORM)
        near = guess(part, known) or next((k for k in known if len(part) > 2 and k.startswith(part)), None)
        hint = f"did you mean {'.'.join((*parts[:depth], near))}?" if near else f"known here: {', '.join(known)}"
        raise ArgumentError("bad_argument", f"-o {shown(key)}: unknown key {shown(part)}", hint=hint)
    if keys_at(parts):
        hint = f"name a key of it: {', '.join(keys_at(parts))}"
        raise ArgumentError("bad_argument", f"-o {shown(key)} is a whole section", hint=hint)
    return parts


def lay_over(document: Document, overrides: Sequence[Override]) -> Document:
    """The document with the overrides in it; the lines of what they replace are gone."""
    value = dict(document.value)
    lines = dict(document.lines)
    for override in overrides:
        _put(value, override.path, override.value)
        lines = {path: line for path, line in lines.items() if path[: len(override.path)] != override.path}
    return Document(value=value, lines=lines, input=document.input)


def _put(value: dict[Any, Any], path: tuple[str, ...], new: Any) -> None:
    first, *rest = path
    if not rest:
        value[first] = new
        return
    below = value.get(first)
    if below is not None and not isinstance(below, Mapping):
        return  # the schema names the section that is none
    inner = dict(below or {})
    _put(inner, tuple(rest), new)
    value[first] = inner
