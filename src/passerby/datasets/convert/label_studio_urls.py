# SPDX-License-Identifier: Apache-2.0
"""Which file a task of Label Studio is about. Nothing is fetched: the last parts of an address name the file."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .source_pictures import is_picture

KEYS = ("image", "img", "picture", "photo_url", "url")


def picture_text(data: Mapping[str, Any]) -> tuple[str, str | None]:
    """The key and text of a task's data that name its picture: of the usual keys, else the first that looks so."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    for key in KEYS:
        if key in texts:
            return key, texts[key]
    found = next((key for key, value in texts.items() if any(map(is_picture, picture_names(value)))), None)
    return (found, texts[found]) if found is not None else ("", None)


def picture_names(text: str) -> list[str]:
    """Names that the picture may have below the source, the surest first.

    >>> picture_names("/data/local-files/?d=cam%201/a.jpg")
    ['cam 1/a.jpg']
    >>> picture_names("/data/upload/3/0a1b2c3d-street.jpg")
    ['data/upload/3/0a1b2c3d-street.jpg', 'street.jpg']
    """
    try:
        parts = urlsplit(text)
        query = parse_qs(parts.query)
    except ValueError:
        return [text]
    if "local-files" in parts.path and query.get("d"):
        return [query["d"][0].lstrip("/")]
    if not parts.scheme and not parts.path.startswith("/data/"):
        return [text, unquote(text)] if unquote(text) != text else [text]
    path = unquote(parts.path).lstrip("/")
    # uploads get eight hexadecimal digits before their name
    plain = re.sub(r"^[0-9a-f]{8}-", "", posixpath.basename(path))
    return [path] if plain == posixpath.basename(path) else [path, plain]
