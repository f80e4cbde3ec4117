# SPDX-License-Identifier: Apache-2.0
"""The fields of a request: what each is called, what it may hold, and how it is read.

This is the one description: `requests` reads by it, `openapi` and `docs_page` are made from it. A field is read from a
JSON value; what arrives as text (a query, a part of a form) is first turned into the JSON value it stands for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from ..errors import ArgumentError, ServerError, shown
from ..formats.strict_json import load_json
from ..thresholds import one_threshold
from .answers import valid_log_id

LABEL_STYLES = ("paddle", "en", "zh", "both")
OUTPUTS = ("json", "image")
MAX_CLASSES = 4096
_CLASS_NUMBER = re.compile(r"0|[1-9][0-9]{0,3}")
# Longer names are no typo of ours, and comparing them would take time.
_NAME_CHARACTERS = 40
_ALIKE = 0.8

_SHARE = {"type": "number", "minimum": 0, "maximum": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One option of a request.

    Attributes:
        about: one sentence for the reference.
        schema: JSON Schema of its values, without null.
        default: what holds without it, in words.
        read: from a JSON value to a checked one; raises ServerError.
        as_json: whether its text in a query or form is JSON, and not the bare word.
    """

    name: str
    about: str
    schema: Mapping[str, Any]
    default: str
    example: Any
    read: Callable[[str, Any], Any]
    as_json: bool = False


def invalid(happened: str, hint: str | None = None) -> ServerError:
    """The error of a request that can be read and cannot be right."""
    return ServerError("request_invalid", happened, hint=hint)


def kind_of(value: object) -> str:
    """A JSON value in a few words, never in full: it may be megabytes."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return f"the text {shown(repr(value[:60]), 60)}"
    return "a list" if isinstance(value, list) else "an object"


def _number(name: str, value: Any) -> float:
    try:
        return one_threshold(value, what=name)
    except ArgumentError:
        raise invalid(f"{name} is {kind_of(value)}", "give a number between 0 and 1") from None


def _class_threshold(name: str, value: Any) -> Any:
    """A number, a list of numbers, or a mapping of "default" and class numbers; how many is the model's to judge."""
    if isinstance(value, list):
        if len(value) > MAX_CLASSES:
            raise invalid(f"{name} has {len(value)} numbers", "give one for each label")
        return [_number(f"{name}[{i}]", entry) for i, entry in enumerate(value)]
    if not isinstance(value, dict):
        return _number(name, value)
    out: dict[str | int, float] = {}
    for key, entry in value.items():
        if key != "default" and not _CLASS_NUMBER.fullmatch(key):
            hint = 'use "default" and the numbers of labels, such as "0"; GET /labels lists them'
            raise invalid(f"{name} has the key {shown(repr(key[:60]), 60)}", hint)
        out["default" if key == "default" else int(key)] = _number(f"{name}[{key}]", entry)
    return out


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise invalid(f"{name} is {kind_of(value)}", "give true or false")
    return value


def _one_of(choices: tuple[str, ...]) -> Callable[[str, Any], str]:
    def read(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise invalid(f"{name} is {kind_of(value)}", f"use one of {', '.join(choices)}")
        return value

    return read


def _log_id(_: str, value: Any) -> str | None:
    """One that may not stand in a log is replaced by ours, and is no error."""
    return value if valid_log_id(value) else None


FIELDS = (
    Field(
        name="detThreshold",
        about="A pedestrian is reported when its detection score is strictly above this.",
        schema=_SHARE,
        default="the configuration's, 0.5",
        example=0.5,
        read=_number,
        as_json=True,
    ),
    Field(
        name="clsThreshold",
        about="An attribute is reported when its probability is strictly above this: one number for all, a list with "
        'one number for each label, or an object from "default" and label numbers to numbers. Without it the model '
        "decides by its own thresholds.",
        schema={
            "anyOf": [
                _SHARE,
                {"type": "array", "items": _SHARE, "maxItems": MAX_CLASSES},
                {
                    "type": "object",
                    "propertyNames": {"pattern": "^(default|0|[1-9][0-9]{0,3})$"},
                    "additionalProperties": _SHARE,
                },
            ]
        },
        default="the model's own thresholds, else the configuration's",
        example={"default": 0.5, "0": 0.45, "7": 0.4},
        read=_class_threshold,
        as_json=True,
    ),
    Field(
        name="visualize",
        about="Whether the answer holds the picture with everybody drawn on it.",
        schema={"type": "boolean"},
        default="Serving.visualize of the configuration, true",
        example=False,
        read=_flag,
    ),
    Field(
        name="labels",
        about="The language of label texts: as PaddleX prints them, English, Chinese, or both.",
        schema={"type": "string", "enum": list(LABEL_STYLES)},
        default="as the service was started, paddle",
        example="en",
        read=_one_of(LABEL_STYLES),
    ),
    Field(
        name="details",
        about="Whether each pedestrian comes with every probability, what was decided about it, what is uncertain, "
        "clothing colours, and whether the person can be judged.",
        schema={"type": "boolean"},
        default="false",
        example=True,
        read=_flag,
    ),
    Field(
        name="output",
        about="`image` answers with the drawn JPEG itself in place of JSON; for one picture.",
        schema={"type": "string", "enum": list(OUTPUTS)},
        default="json",
        example="json",
        read=_one_of(OUTPUTS),
    ),
    Field(
        name="logId",
        about="A name for this request that comes back in the answer and stands in the log: 1 to 64 of the signs "
        "A-Z a-z 0-9 . _ - (another one is replaced).",
        schema={},
        default="one made by the service",
        example="camera-7.0001",
        read=_log_id,
    ),
)
BY_NAME: Mapping[str, Field] = {field.name: field for field in FIELDS}
PICTURES = ("image", "images")
NAMES = (*PICTURES, *BY_NAME)
_PLAIN = {name.lower(): name for name in NAMES}


def check_names(names: Iterable[str]) -> None:
    """Names nobody knows are ignored, as the original does; one that is nearly ours is a mistake that would be missed.

    Raises:
        ServerError: `request_invalid`, with the name that was meant.
    """
    for name in names:
        if name in NAMES or len(name) > _NAME_CHARACTERS:
            continue
        plain = name.lower().replace("_", "").replace("-", "")
        close = [_PLAIN[plain]] if plain in _PLAIN else get_close_matches(name, NAMES, 1, _ALIKE)
        if close:
            raise invalid(f"there is no field {shown(repr(name), 60)}", f"did you mean {close[0]}?")


def value_of(field: Field, text: str) -> Any:
    """The JSON value that a text in a query or form stands for.

    >>> value_of(BY_NAME["detThreshold"], "0.4"), value_of(BY_NAME["details"], "True")
    (0.4, True)
    """
    if field.as_json:
        try:
            value = load_json(text.encode(), levels=2)
        except ValueError:
            return text
        return text if value is None else value  # null is a way of JSON to leave a field out; a query just does
    if field.schema.get("type") == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    return text
