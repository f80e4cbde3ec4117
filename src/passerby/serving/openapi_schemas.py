# SPDX-License-Identifier: Apache-2.0
"""JSON Schemas of what is sent and answered, for the OpenAPI document. Those of requests are made from `fields`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..decisions import REASONS
from ..errors import FETCH, INPUT, INTERNAL, INTERRUPTED, SERVER, Status
from .answers import LOG_ID
from .fields import FIELDS, Field
from .settings import ServerSettings

Schema = dict[str, Any]

ENGINE = {"engine_failed": Status(1, 500), "out_of_memory": Status(1, 503)}
NAMES: Mapping[str, Status] = {**SERVER, **INPUT, **FETCH, **ENGINE, **INTERRUPTED, **INTERNAL}
# What only the library and the command line meet: the service reads no paths, folders, arrays and videos.
ELSEWHERE = frozenset(
    "input_missing input_unreadable input_type folder_empty array_invalid "
    "video_unreadable video_no_frames video_truncated".split()
)

PICTURE_TEXT = "A picture in base64 (a data URI and line breaks are fine), or its http(s) URL."
_DECISION: Schema = {"enum": ["yes", "uncertain", None], "description": "Null where a clsThreshold was given."}


def names_of(status: int) -> list[str]:
    """The machine names of the errors that are answered with an HTTP status."""
    return [name for name, known in NAMES.items() if known.http == status and name not in ELSEWHERE]


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def schemas(settings: ServerSettings) -> dict[str, Schema]:
    """All named schemas of the document."""
    return {
        "Request": request_schema(settings),
        "Form": form_schema(settings),
        "Answer": _answer(),
        "Result": _result(),
        "Results": {
            **_object({"results": _list({"anyOf": [ref("Result"), ref("Failed")]})}, ["results"]),
            "description": "Of several pictures: one entry each, in their order.",
        },
        "Failed": {
            **_object({"error": _object({"name": {"type": "string"}, "message": {"type": "string"}})}),
            "description": "In the place of a picture that could not be analysed, among others that could.",
        },
        "Pedestrian": _pedestrian(),
        "Scored": _object({"label": {"type": "string"}, "score": _share()}),
        "Colour": _object({"label": {"type": "string"}, "score": _share(), "decision": _DECISION}),
        "Error": error_schema(),
        "Healthy": _object({"logId": _log_id(), "errorCode": {"const": 0}, "errorMsg": {"type": "string"}}),
        "Labels": _envelope(_models()),
    }


def _object(properties: Mapping[str, Schema], required: list[str] | None = None) -> Schema:
    """An object with these keys and no others; all are required unless `required` says which."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _share() -> Schema:
    return {"type": "number", "minimum": 0, "maximum": 1}


def _log_id() -> Schema:
    return {"type": "string", "pattern": f"^{LOG_ID.pattern}$", "description": "The client's logId, or a new one."}


def field_schema(field: Field, *, null: bool) -> Schema:
    """The schema of a field with its sentence and default; in JSON, null stands for the default."""
    schema: Schema = dict(field.schema)
    if null and schema:
        schema = {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "description": f"{field.about} Default: {field.default}.", "examples": [field.example]}


def request_schema(settings: ServerSettings) -> Schema:
    """A JSON body: `image`, or `images`, and any of the fields. Other keys are ignored."""
    text = {"type": "string", "description": PICTURE_TEXT}
    texts = {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "maxItems": settings.max_pictures,
        "description": "Several pictures; the answer then holds `results`, and a bad one does not stop the others.",
    }
    nothing = {"type": "null"}
    return {
        "type": "object",
        "properties": {
            "image": {**text, "type": ["string", "null"]},
            "images": {**texts, "type": ["array", "null"]},
            **{field.name: field_schema(field, null=True) for field in FIELDS},
        },
        "oneOf": [
            {"required": ["image"], "properties": {"image": {"type": "string"}, "images": nothing}},
            {"required": ["images"], "properties": {"images": {"type": "array"}, "image": nothing}},
        ],
    }


def form_schema(settings: ServerSettings) -> Schema:
    """A form: one file or several, each a part named `image`, and the fields."""
    return {
        "type": "object",
        "properties": {
            "image": {
                "type": "array",
                "items": {"type": "string", "format": "binary"},
                "minItems": 1,
                "maxItems": settings.max_pictures,
                "description": "The picture; several parts of this name are several pictures. A part without a file "
                "name holds base64 or a URL.",
            },
            **{field.name: field_schema(field, null=False) for field in FIELDS},
        },
        "required": ["image"],
    }


def _envelope(result: Schema) -> Schema:
    return _object(
        {
            "logId": _log_id(),
            "result": result,
            "errorCode": {"const": 0},
            "errorMsg": {"const": "Success"},
        }
    )


def _answer() -> Schema:
    return _envelope({"anyOf": [ref("Result"), ref("Results")]})


def _result() -> Schema:
    size = {"type": "integer", "minimum": 1}
    return _object(
        {
            "pedestrians": {**_list(ref("Pedestrian")), "description": "Best detection first."},
            "size": {**_list(size), "minItems": 2, "maxItems": 2, "description": "Width and height, with `details`."},
            "image": {
                "type": "string",
                "contentEncoding": "base64",
                "contentMediaType": "image/jpeg",
                "description": "The picture with everybody drawn on it, unless `visualize` is false.",
            },
        },
        ["pedestrians"],
    )


def _pedestrian() -> Schema:
    """The original's three keys, and those that `details` adds."""
    scored, per_label = _list(ref("Scored")), "By label id; the ids are those of GET /labels and those of colours."
    details: dict[str, Schema] = {
        "uncertain": {**scored, "description": "More likely than not, but not sure."},
        "colours": {
            "type": "object",
            "properties": {"upper": ref("Colour"), "lower": ref("Colour")},
            "additionalProperties": False,
            "description": "The likeliest colour of what is worn, where the model tells colours.",
        },
        "judgeable": {"type": ["boolean", "null"], "description": "Null where the model does not tell."},
        "reasons": {**_list({"enum": list(REASONS)}), "description": "Why this person cannot be judged."},
        "note": {"type": ["string", "null"], "description": "Why the attributes deserve doubt, for people."},
        "probabilities": {
            "type": ["object", "null"],
            "additionalProperties": _share(),
            "description": f"{per_label} Null without a pixel to judge.",
        },
        "decisions": {
            "type": ["object", "null"],
            "additionalProperties": {"enum": ["yes", "no", "uncertain"]},
            "description": f"{per_label} Null where a clsThreshold was given or the model has no thresholds.",
        },
    }
    box = {**_list({"type": "number"}), "minItems": 4, "maxItems": 4}
    seed: dict[str, Schema] = {
        "bbox": {**box, "description": "Left, top, right, bottom in pixels of the picture."},
        "attributes": {**scored, "description": "What holds, best first."},
        "score": {**_share(), "description": "The detection score."},
    }
    described = {name: {**schema, "title": "with details"} for name, schema in details.items()}
    return {**_object({**seed, **described}, list(seed)), "dependentRequired": {"decisions": list(details)}}


def _models() -> Schema:
    """What GET /labels says: `facts.facts_of`."""
    text, share = {"type": "string"}, _share()
    pair = {"type": ["array", "null"], "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    label = {
        **dict.fromkeys(("id", "en", "zh", "paddle", "group"), text),
        "threshold": share,
        "uncertain": {**pair, "description": "Between these it is neither yes nor no; null where nobody measured."},
    }
    models = ("version", "device", "detector", "attributes", "detector_sha256", "attributes_sha256")
    return _object(
        {
            **dict.fromkeys(models, text),
            "det_threshold": share,
            "labels": {**_list(_object(label)), "description": "In the order of their numbers in `clsThreshold`."},
            "colours": {
                "type": "object",
                "additionalProperties": {"enum": ["upper", "lower"]},
                "description": "Groups of labels that are colours, and the part of a person that they colour.",
            },
        }
    )


def error_schema(status: int | None = None) -> Schema:
    """The body of an error; of one status, with its names alone."""
    names = sorted({name for name in NAMES if name not in ELSEWHERE} if status is None else names_of(status))
    return _object(
        {
            "logId": _log_id(),
            "errorCode": {"type": "integer", "minimum": 400, "maximum": 599} if status is None else {"const": status},
            "errorMsg": {
                "type": "string",
                "pattern": f"^({'|'.join(names)}): ",
                "description": "A machine name, then what happened and what to do.",
            },
        }
    )
