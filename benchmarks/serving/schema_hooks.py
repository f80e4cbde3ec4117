# SPDX-License-Identifier: Apache-2.0
"""What schemathesis loads beside our OpenAPI document: true pictures where the document asks for one.

Of texts made at random hardly one is a picture, and a request that ends at its base64 tests nothing behind it. So the
requests that are meant to be right carry pictures, good ones and one that is cut; those meant to be wrong stay as made.
"""

from __future__ import annotations

import base64
import io
import itertools
from typing import Any

import schemathesis
from PIL import Image


def _picture(format: str, *, cut: bool = False) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(buffer, format)
    data = buffer.getvalue()
    return data[: len(data) // 2] if cut else data


_PICTURES = itertools.cycle([_picture("JPEG"), _picture("PNG"), _picture("JPEG", cut=True), _picture("WEBP")])


def _is_right(case: Any) -> bool:
    """Whether a request is one that fits the document."""
    return case.meta is not None and bool(case.meta.generation.mode.is_positive)


@schemathesis.serializer("image/*")
def picture_as_it_is(context: Any, value: Any) -> Any:
    """A bare picture; what else was made for one is sent as it is."""
    if _is_right(context.case):
        return next(_PICTURES)
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def _true(value: Any) -> Any:
    """A JSON body with pictures in place of texts."""
    if not isinstance(value, dict):
        return value
    body = dict(value)
    if isinstance(body.get("image"), str):
        body["image"] = base64.b64encode(next(_PICTURES)).decode()
    if isinstance(body.get("images"), list):
        body["images"] = [base64.b64encode(next(_PICTURES)).decode() for _ in body["images"]]
    return body


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Put pictures into requests that are meant to be right."""
    if case.method != "POST" or not _is_right(case):
        return
    if case.media_type == "application/json":
        case.body = _true(case.body)
    elif case.media_type == "multipart/form-data" and isinstance(case.body, dict) and case.body.get("image"):
        case.body = {**case.body, "image": [next(_PICTURES) for _ in case.body["image"]]}
