# SPDX-License-Identifier: Apache-2.0
"""The reference at `/docs`: the OpenAPI document as a page to read, without a script.

The usual viewers are scripts of one to three megabytes that write styles into the page and load workers, which the
policy `default-src 'self'` forbids; this is 20 kB, works offline, prints, and is read by a screen reader. It is made
from the document and nothing else, so it says what `/openapi.json` says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from importlib import resources
from typing import Any

from . import examples
from .openapi import INFER, document, openapi_json
from .openapi_schemas import Schema
from .settings import ServerSettings

STYLE = "/docs/style.css"
# The seed's own port, where a free one is taken.
_PORT = 8080
# An object of so few keys is shown by them, a larger one by its name.
_FEW = 3
_LINE = 90
_OR = ", or "
_OR_NULL = f"{_OR}null"


def reference(settings: ServerSettings) -> Mapping[str, tuple[bytes, str]]:
    """The files of the reference: bytes and suffix, by the path they are served at."""
    style = resources.files(__package__).joinpath("docs.css").read_bytes()
    return {
        "/docs": (docs_page(settings).encode(), ".html"),
        STYLE: (style, ".css"),
        "/openapi.json": (openapi_json(settings), ".json"),
    }


def docs_page(settings: ServerSettings) -> str:
    """The page, HTML."""
    whole = document(settings)
    operation = whole["paths"][INFER]["post"]
    url = f"{settings.scheme}://localhost:{settings.port or _PORT}{INFER}"
    parts = [
        _calls(url, key=bool(settings.api_keys)),
        _request(whole, operation),
        _answers(whole),
        _errors(whole, operation),
        _others(whole),
    ]
    info = whole["info"]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title in _SECTIONS.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(info["title"])}: the API</title>
<link rel="stylesheet" href="{STYLE}">
</head>
<body>
<header>
<h1>{escape(info["title"])} <small>{escape(info["version"])}</small></h1>
<p>{escape(info["description"])}</p>
<nav aria-label="Sections">{links}<a href="/openapi.json">openapi.json</a></nav>
</header>
<main>
{"".join(parts)}</main>
</body>
</html>
"""


_SECTIONS = {
    "calls": "Examples",
    "request": "Request",
    "answer": "Answer",
    "errors": "Errors",
    "others": "Other paths",
}


def _section(name: str, *content: str) -> str:
    title = f'<h2 id="{name}-title">{_SECTIONS[name]}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">{title}\n{"".join(content)}</section>\n'


def _calls(url: str, *, key: bool) -> str:
    content = [f'<p class="path"><b>POST</b> <code>{INFER}</code></p>\n']
    if key:
        content.append("<p>Every request needs the header <code>Authorization: Bearer KEY</code>.</p>\n")
    content += [f"<h3>{name}</h3>\n{_code(call.format(url=url))}" for name, call in examples.CALLS.items()]
    return _section("calls", *content)


def _request(whole: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    schema = whole["components"]["schemas"]["Request"]
    kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in operation["requestBody"]["content"])
    rows = [
        (_name(name), escape(_type(field, whole).removesuffix(_OR_NULL)), _text(field["description"]))
        for name, field in schema["properties"].items()
    ]
    return _section(
        "request",
        f"<p>{_text(operation['description'])}</p>\n<p>Bodies: {kinds}. In JSON, null counts as absent.</p>\n",
        _table("Fields of a request", ("Field", "Value", "Meaning"), rows),
    )


def _answers(whole: Mapping[str, Any]) -> str:
    schemas = whole["components"]["schemas"]
    content = ["<h3>One picture</h3>\n", _code(_json(examples.ANSWER))]
    for title, name in (("The result", "Result"), ("A pedestrian", "Pedestrian")):
        required = schemas[name]["required"]
        rows = [
            (
                _name(key) + ("" if key in required else " <small>optional</small>"),
                escape(_type(field, whole)),
                _text(field.get("description", "")),
            )
            for key, field in schemas[name]["properties"].items()
        ]
        content.append(f"<h3>{title}</h3>\n{_table(f'{title}, key by key', ('Key', 'Value', 'Meaning'), rows)}")
    content += ["<h3>A pedestrian with details</h3>\n", _code(_json(examples.DETAILS))]
    content += ["<h3>The result of several pictures</h3>\n", _code(_json(examples.SEVERAL))]
    return _section("answer", *content)


def _errors(whole: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    rows = []
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            about, _, names = _resolved(whole, answer)["description"].partition(" Names: ")
            listed = " ".join(f"<code>{escape(name)}</code>" for name in names.rstrip(".").split(", "))
            rows.append((f"<b>{status}</b>", escape(about), listed))
    lead = "<p>Every error has this body; its message begins with a machine name that keeps its meaning.</p>\n"
    return _section(
        "errors", lead, _code(_json(examples.ERROR)), _table("Every status", ("Status", "When", "Names"), rows)
    )


def _others(whole: Mapping[str, Any]) -> str:
    rows = [
        (f"<b>{method.upper()}</b> <code>{escape(path)}</code>", escape(operation["summary"]))
        for path, methods in whole["paths"].items()
        for method, operation in methods.items()
        if path != INFER
    ]
    return _section("others", _table("Every other path", ("Path", "What it is"), rows))


def _resolved(whole: Mapping[str, Any], value: Mapping[str, Any]) -> Any:
    """What a `$ref` points at."""
    found: Any = whole
    for step in value["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def _type(schema: Schema, whole: Mapping[str, Any]) -> str:
    """A schema in a few words; `whole` is the document it stands in.

    >>> _type({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "null"}]}, {})
    'number from 0 to 1, or null'
    """
    if "$ref" in schema:
        keys = _resolved(whole, schema)["properties"]
        return f"{{{', '.join(keys)}}}" if len(keys) <= _FEW else str(schema["$ref"].rsplit("/", 1)[-1]).lower()
    if "anyOf" in schema:
        return _OR.join(_type(one, whole) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(json.dumps(one) for one in schema["enum"])
    kinds = schema.get("type", "anything")
    return _OR.join(_plain_type(kind, schema, whole) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _plain_type(kind: str, schema: Schema, whole: Mapping[str, Any]) -> str:
    if kind == "number" and "maximum" in schema:
        return f"number from {schema['minimum']} to {schema['maximum']}"
    if kind == "array":
        return f"list of {_type(schema['items'], whole)}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object, each {_type(schema['additionalProperties'], whole)}"
    if kind == "object" and "properties" in schema:
        keys = (f"{key}: {_type(one, whole)}" for key, one in schema["properties"].items())
        return f"object of {', '.join(keys)}"
    return {"string": "text", "boolean": "true or false"}.get(kind, kind)


def _name(name: str) -> str:
    return f"<code>{escape(name)}</code>"


def _text(text: str) -> str:
    """Prose, with what stands between backticks as code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if i % 2 else piece for i, piece in enumerate(pieces))


def _code(text: str) -> str:
    # scrolls sideways, so it must be reached by the keyboard
    return f'<pre tabindex="0"><code>{escape(text.rstrip())}</code></pre>\n'


def _json(value: Any, indent: str = "") -> str:
    """JSON to be read: what fits and holds no list or object of its own stays on one line.

    >>> print(_json({"a": [1, 2], "b": {"c": [{"d": 3}]}}))
    {
      "a": [1, 2],
      "b": {
        "c": [
          {"d": 3}
        ]
      }
    }
    """
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    line = json.dumps(value, ensure_ascii=False)
    if not inner or (len(line) <= _LINE and not any(isinstance(one, dict | list) and one for one in inner)):
        return line
    deeper = indent + "  "
    if isinstance(value, dict):
        lines = [f"{deeper}{json.dumps(key)}: {_json(one, deeper)}" for key, one in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    return "[\n" + ",\n".join(deeper + _json(one, deeper) for one in value) + f"\n{indent}]"


def _table(caption: str, heads: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    head = "".join(f'<th scope="col">{title}</th>' for title in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{caption}"><table>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
    )
