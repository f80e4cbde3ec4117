# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI 3.1 document of the service, made from the fields of requests and the table of errors."""

from __future__ import annotations

from typing import Any

from .._version import __version__
from .answers import JSON_TYPE, json_bytes
from .fields import FIELDS, Field
from .openapi_schemas import Schema, error_schema, field_schema, names_of, ref, schemas
from .settings import ServerSettings

INFER = "/pedestrian-attribute-recognition"
KEY = "apiKey"
ABOUT = (
    "Finds every pedestrian in a picture and says what each wears and carries. "
    "Requests and answers are those of PaddleX's pipeline of the same name, with more on request."
)
TITLES = {
    400: "What the HTTP parser cannot read.",
    401: "The key is missing or wrong.",
    403: "A page of another site asked.",
    405: "This path has another method.",
    408: "The request did not arrive in time.",
    413: "The body or the picture has too many bytes.",
    415: "A body of another type.",
    421: "The Host is not one of this service.",
    422: "The request, the picture or its URL cannot be used.",
    429: "Too many requests of one client.",
    431: "The head of the request is too large.",
    500: "The service failed.",
    503: "Not now: starting, busy, or ending.",
    504: "The answer was not ready before its deadline.",
}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}},
    405: {"Allow": {"required": True, "schema": {"type": "string"}}},
    **{
        status: {
            "Retry-After": {
                "required": True,
                "description": "Seconds.",
                "schema": {"type": "integer", "minimum": 0},
            }
        }
        for status in (429, 503)
    },
}
# Any request may meet these; the others stand with the operation.
_EVERYWHERE = (400, 403, 405, 408, 413, 421, 431, 500)


def document(settings: ServerSettings) -> dict[str, Any]:
    """The whole document as plain data, for a service with these settings."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "passerby", "version": __version__, "description": ABOUT, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "paths": {INFER: {"post": _infer(settings)}, **_others(settings)},
        "components": {
            "schemas": schemas(settings),
            "responses": {f"Status{status}": _error(status) for status in sorted(TITLES)},
            "securitySchemes": {KEY: {"type": "http", "scheme": "bearer"}} if settings.api_keys else {},
        },
    }


def openapi_json(settings: ServerSettings) -> bytes:
    """The document as JSON."""
    return json_bytes(document(settings))


def _infer(settings: ServerSettings) -> dict[str, Any]:
    return {
        "operationId": "infer",
        "summary": "Find and describe the pedestrians of a picture",
        "description": "Send the picture in JSON as base64 or URL, as a file of a form, or as it is. The fields stand "
        "in the JSON object, in the form, or in the query; each once. Fields that nobody knows are ignored, a typo of "
        "a known one is refused.",
        **_secured(settings),
        "parameters": [_parameter(field) for field in FIELDS],
        "requestBody": {
            "required": True,
            "content": {
                JSON_TYPE: {"schema": ref("Request"), "examples": {"seed": {"value": {"image": "<base64>"}}}},
                "multipart/form-data": {"schema": ref("Form")},
                "image/*": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {
            "200": {
                "description": "The result; of several pictures, `results` with an error in the place of bad ones.",
                "content": {
                    JSON_TYPE: {"schema": ref("Answer")},
                    "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
                },
            },
            **_errors(settings, 415, 422, 503, 504, *([429] if settings.rate_limit else [])),
        },
    }


def _parameter(field: Field) -> dict[str, Any]:
    schema = field_schema(field, null=False)
    about = schema.pop("description")
    parameter = {"name": field.name, "in": "query", "description": about}
    if field.as_json and "anyOf" in schema:
        return {**parameter, "content": {JSON_TYPE: {"schema": schema}}}
    return {**parameter, "schema": schema or {"type": "string"}}


def _secured(settings: ServerSettings) -> dict[str, Any]:
    return {"security": [{KEY: []}]} if settings.api_keys else {}


def _errors(settings: ServerSettings, *more: int, key: bool = True) -> dict[str, Any]:
    statuses = {*_EVERYWHERE, *more, *([401] if key and settings.api_keys else [])}
    return {str(status): {"$ref": f"#/components/responses/Status{status}"} for status in sorted(statuses)}


def _error(status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": f"{TITLES[status]} Names: {', '.join(names_of(status))}.",
        "content": {JSON_TYPE: {"schema": error_schema(status)}},
    }
    return {**answer, "headers": _HEADERS[status]} if status in _HEADERS else answer


def _others(settings: ServerSettings) -> dict[str, Any]:
    """The paths beside the one that infers."""
    healthy, page = {JSON_TYPE: {"schema": ref("Healthy")}}, {"text/html": {"schema": {"type": "string"}}}
    return {
        "/health": {"get": _get(settings, "health", "Is it there? As the original answers", healthy)},
        "/live": {"get": _get(settings, "live", "Does the process answer at all?", healthy)},
        "/ready": {"get": _get(settings, "ready", "Are the models loaded, and does it take work?", healthy, 503)},
        "/labels": {
            "get": _get(
                settings, "labels", "What each number means", {JSON_TYPE: {"schema": ref("Labels")}}, 503, key=True
            )
        },
        "/metrics": {
            "get": _get(
                settings,
                "metrics",
                "Counts and times for Prometheus",
                {"text/plain": {"schema": {"type": "string"}}},
                key=True,
            )
        },
        "/openapi.json": {
            "get": _get(settings, "openapi", "This document", {JSON_TYPE: {"schema": {"type": "object"}}})
        },
        "/docs": {"get": _get(settings, "docs", "This document, to be read", page)},
    }


def _get(
    settings: ServerSettings, name: str, summary: str, content: dict[str, Schema], *errors: int, key: bool = False
) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        **(_secured(settings) if key else {}),
        "responses": {
            "200": {"description": "Yes." if "?" in summary else "What was asked for.", "content": content},
            **_errors(settings, *errors, key=key),
        },
    }
