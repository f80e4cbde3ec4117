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
from hypothesis import strategies
from PIL import Image
from schemathesis.transport.serialization import Binary


def _picture(format: str, *, cut: bool = False) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(buffer, format)
    data = buffer.getvalue()
    return data[: len(data) // 2] if cut else data


_PICTURES = [_picture("JPEG"), _picture("PNG"), _picture("JPEG", cut=True), _picture("WEBP")]
_TEXTS = itertools.cycle(base64.b64encode(picture).decode() for picture in _PICTURES)

# Files of forms and bare bodies: a text to the schema, bytes on the wire.
schemathesis.openapi.format("binary", strategies.sampled_from([Binary(picture) for picture in _PICTURES]))


@schemathesis.serializer("image/*")
def picture_as_it_is(_: Any, value: Any) -> Any:
    """A bare picture is sent as the bytes it is, and what else was made for one as its text."""
    if isinstance(value, Binary):
        return value.data
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Put pictures into the texts of JSON bodies that are meant to be right."""
    right = case.meta is not None and case.meta.generation.mode.is_positive
    if not right or case.media_type != "application/json" or not isinstance(case.body, dict):
        return
    body = dict(case.body)
    if isinstance(body.get("image"), str):
        body["image"] = next(_TEXTS)
    if isinstance(body.get("images"), list):
        body["images"] = [next(_TEXTS) for _ in body["images"]]
    case.body = body
