# SPDX-License-Identifier: Apache-2.0
"""What a request asks: JSON, a form or a bare picture, read once into checked values.

In two steps, because a client's logId belongs into the answer that says what is wrong with the rest: `unpack` takes
the body apart, `understand` checks what it says. Pictures stay as they were sent; `answering` reads them one by one,
so that a bad one does not stop the others.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl

from ..errors import InputError, ServerError, shown
from ..formats.strict_json import load_json
from ..thresholds import ClassThreshold
from ..urls import BLANKS, is_url
from .fields import BY_NAME, PICTURES, check_names, invalid, kind_of, value_of
from .jobs import Job
from .settings import ServerSettings

if TYPE_CHECKING:
    from ..persons import LabelStyle

BodyKind = Literal["json", "form", "picture"]

JSON_LEVELS = 32
# What a request of 32 pictures and 26 thresholds needs, many times over; counted before anything is parsed. Many
# backslashes are honest: base64 in lines, and clients that write `/` as `\/`.
_MOST = {b'"': 4_000, b",": 20_000, b"[": 1_000, b"{": 1_000, b"]": 1_000, b"}": 1_000, b"\\": 2_000_000}
_MOST_NAMES = 100
_FIELD_BYTES = 64 << 10

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_DATA_URI = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_HEAD_CHARACTERS = 300
_CHARSETS = ("utf-8", "utf8", "us-ascii")
_TYPE_HINT = "send application/json, multipart/form-data or image/*, for example -H 'Content-Type: application/json'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request taken apart: `image` and `images` as they came, fields as JSON values, its logId if that is valid."""

    image: Any = field(default=None, repr=False)
    images: Any = field(default=None, repr=False)
    fields: dict[str, Any] = field(repr=False)
    log_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that can be right.

    Attributes:
        pictures: encoded bytes, or text that is base64 or a URL; see `picture_source`.
        several: whether the answer is a list, also of one.
        det_threshold, cls_threshold, visualize, labels: None where the request says nothing.
    """

    pictures: tuple[bytes | str, ...] = field(repr=False)
    several: bool = False
    det_threshold: float | None = None
    cls_threshold: ClassThreshold | None = None
    visualize: bool | None = None
    labels: LabelStyle | None = None
    details: bool = False
    output: Literal["json", "image"] = "json"


def body_kind(content_type: str) -> BodyKind:
    """How a body of this Content-Type is read; nothing of the body is needed.

    Raises:
        ServerError: `unsupported_media_type`.
    >>> body_kind("application/json; charset=UTF-8"), body_kind("image/png")
    ('json', 'picture')
    """
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "charset" and value.strip().strip('"') not in _CHARSETS:
                raise _unsupported(f"JSON in {shown(value, 40)}", "send JSON in UTF-8")
        return "json"
    if kind == "multipart/form-data":
        return "form"
    if kind.startswith("image/"):
        return "picture"
    raise _unsupported(f"a body of type {shown(kind, 60)}" if kind else "a body without Content-Type", _TYPE_HINT)


def _unsupported(happened: str, hint: str) -> ServerError:
    return ServerError("unsupported_media_type", happened, hint=hint)


def unpack(job: Job, settings: ServerSettings) -> Sent:
    """Take a request apart. Options in the query count for every kind of body.

    Raises:
        ServerError: `unsupported_media_type`, or `request_invalid`, what cannot be read at all.
    """
    kind = body_kind(job.content_type)
    fields = _query(job.query)
    image: Any = None
    images: Any = None
    if kind == "picture":
        image = job.body
    elif kind == "form":
        image, images = _form(job, settings, fields)
    else:
        image, images = _json(job.body, fields)
    log_id = BY_NAME["logId"].read("logId", fields.pop("logId", None))
    return Sent(image=image, images=images, fields=fields, log_id=log_id)


def understand(sent: Sent, settings: ServerSettings) -> Asked:
    """Check what a request says.

    Raises:
        ServerError: `request_invalid`.
    """
    check_names(sent.fields)
    pictures, several = _pictures(sent, settings), sent.image is None
    said = {
        name: known.read(name, sent.fields[name])
        for name, known in BY_NAME.items()
        if sent.fields.get(name) is not None
    }
    if said.get("output") == "image" and (several or said.get("visualize") is False):
        why = "several pictures" if several else "visualize false"
        raise invalid(f"output is image, with {why}", "leave one of them out")
    return Asked(
        pictures=pictures,
        several=several,
        det_threshold=said.get("detThreshold"),
        cls_threshold=said.get("clsThreshold"),
        visualize=said.get("visualize"),
        labels=said.get("labels"),
        details=said.get("details", False),
        output=said.get("output", "json"),
    )


def _pictures(sent: Sent, settings: ServerSettings) -> tuple[bytes | str, ...]:
    """What is to be looked at, each as bytes or text."""
    if sent.image is None and sent.images is None:
        raise invalid("image is missing", 'send {"image": "base64 or URL"}, or a part of a form that is named image')
    if sent.image is not None and sent.images is not None:
        raise invalid("image and images stand together", "give one of them")
    pictures = [sent.image] if sent.images is None else sent.images
    if not isinstance(pictures, list):
        raise invalid(f"images is {kind_of(pictures)}", "give a list of base64 texts or URLs")
    if not 1 <= len(pictures) <= settings.max_pictures:
        raise invalid(f"there are {len(pictures)} pictures", f"send 1 to {settings.max_pictures} in one request")
    for number, picture in enumerate(pictures):
        if not isinstance(picture, str | bytes):
            name = "image" if sent.images is None else f"images[{number}]"
            raise invalid(f"{name} is {kind_of(picture)}", "give base64 or a URL as text")
    return tuple(pictures)


def _query(query: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_MOST_NAMES)
    except ValueError:
        raise invalid("the query cannot be read", "write it as name=value&name=value, percent-encoded") from None
    for name, text in pairs:
        if name in PICTURES:
            raise invalid(f"{name} stands in the query", "send it in the body")
        _put_text(fields, name, text)
    return fields


def _put_text(fields: dict[str, Any], name: str, text: str) -> None:
    """A field that came as text. Unknown ones are kept by name alone, for `check_names`."""
    if name in BY_NAME and name in fields:
        raise _twice(name)
    fields[name] = value_of(BY_NAME[name], text) if name in BY_NAME else None


def _twice(name: str) -> ServerError:
    return invalid(f"{name} stands twice", "give it once, in the query or in the body")


def _json(body: bytes, fields: dict[str, Any]) -> tuple[Any, Any]:
    """`image` and `images` of a JSON body; its other fields are put to `fields`."""
    if not body or body.isspace():
        raise invalid("the body is empty", 'send {"image": "..."}')
    try:
        said = load_json(body, levels=JSON_LEVELS, most=_MOST)
    except ValueError as reason:
        raise invalid(f"the body is no JSON that can be read: {reason}") from None
    if not isinstance(said, dict):
        raise invalid(f"the body is {kind_of(said)}", 'send an object, {"image": "..."}')
    if len(said) > _MOST_NAMES:
        raise invalid(f"the body has {len(said)} fields", f"at most {_MOST_NAMES} are read")
    image, images = (said.pop(name, None) for name in PICTURES)
    for name, value in said.items():
        if name in BY_NAME and name in fields:
            raise _twice(name)
        fields[name] = value
    return image, images


def _form(job: Job, settings: ServerSettings, fields: dict[str, Any]) -> tuple[bytes | str | None, Any]:
    """The one picture of a form, or several; its other parts are put to `fields`."""
    from .multipart import read_parts

    pictures: list[bytes | str] = []
    for part in read_parts(job.content_type, job.body, most=settings.max_pictures + _MOST_NAMES):
        if part.name == "images":
            raise invalid("images is no part of a form", "send each picture as a part named image")
        if part.name == "image" and part.file:
            pictures.append(part.data)
            continue
        if part.name != "image" and len(part.data) > _FIELD_BYTES:
            raise invalid(f"the part {shown(repr(part.name), 60)} is too long for a field")
        try:
            text = part.data.decode()
        except UnicodeDecodeError:
            raise invalid(f"the part {shown(repr(part.name), 60)} is no UTF-8 text") from None
        if part.name == "image":
            pictures.append(text)
        else:
            _put_text(fields, part.name, text)
    return (None, pictures) if len(pictures) > 1 else (pictures[0] if pictures else None, None)


def url_of(picture: bytes | str) -> str | None:
    """The URL that a picture is, or None when it is the picture itself."""
    if isinstance(picture, bytes):
        return None
    head = picture[:_HEAD_CHARACTERS].lstrip(BLANKS)
    return picture if is_url(head) and head[:5].lower() != "data:" else None


def picture_bytes(picture: bytes | str) -> bytes:
    """The encoded picture that was sent as bytes or as base64; a data URI in front and line breaks are fine.

    Raises:
        InputError: `input_empty`. ServerError: `request_invalid`, no base64.
    """
    if isinstance(picture, bytes):
        return picture
    try:
        text = picture.encode("ascii").translate(None, b" \t\r\n")
    except UnicodeEncodeError:
        raise _no_base64("it holds signs beyond ASCII") from None
    if text[:5].lower() == b"data:":
        head = _DATA_URI.match(text[:_HEAD_CHARACTERS].decode("ascii"))
        if head is None:
            raise _no_base64("a data URI without ;base64,")
        text = text[head.end() :]
    if not text:
        raise InputError("input_empty", "the picture is an empty text", hint="send its bytes in base64")
    padding = text.translate(None, _BASE64)
    if padding not in (b"", b"=", b"==") or not text.endswith(padding):
        safe = not padding.strip(b"=-_")
        raise _no_base64("it is of the URL-safe alphabet (- and _)" if safe else "it holds other signs")
    if len(text) % 4:
        raise _no_base64("its length is no multiple of 4, so padding is missing or a part is cut off")
    return binascii.a2b_base64(text)


def _no_base64(why: str) -> ServerError:
    hint = "send base64 with + and / and padding, or an http(s) URL; paths on the server are never opened"
    return invalid(f"image is no base64: {why}", hint)
