# SPDX-License-Identifier: Apache-2.0
"""What the measurements send: good requests of several kinds, and bad ones with the status each must get."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

import passerby

from .client import RECOGNITION, as_base64, recognition, request

STREET = Path(passerby.__file__).parent / "assets/street.jpg"


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes of a request; `status`: what it must be answered with when the service has time."""

    name: str
    content: bytes
    status: int = 200


@functools.cache
def pictures() -> tuple[bytes, bytes]:
    """The bundled street picture as JPEG: as it is, and 640 x 480."""
    image = cv2.imread(str(STREET))
    small = cv2.resize(image, (640, 480), interpolation=cv2.INTER_AREA)
    return STREET.read_bytes(), cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def good(*headers: tuple[str, str]) -> list[Payload]:
    """Requests that get a result: both pictures, with and without the drawn picture, as JSON and as bytes."""
    large, small = pictures()
    image = [("Content-Type", "image/jpeg"), *headers]
    return [
        Payload("large, drawn", recognition({"image": as_base64(large)}, *headers)),
        Payload("small, drawn", recognition({"image": as_base64(small)}, *headers)),
        Payload("small", recognition({"image": as_base64(small), "visualize": False}, *headers)),
        Payload("small, details", recognition({"image": as_base64(small), "details": True}, *headers)),
        Payload("bytes", request("POST", f"{RECOGNITION}?visualize=false", body=small, headers=image)),
    ]


def seed_request(*headers: tuple[str, str], keep: bool = False) -> bytes:
    """The request of the tutorial: the small picture, and the drawn one wanted back."""
    return recognition({"image": as_base64(pictures()[1])}, *headers, keep=keep)


def bad(*headers: tuple[str, str]) -> list[Payload]:
    """A client's mistakes, each with its status."""
    small = pictures()[1]
    text, form = [("Content-Type", "text/plain"), *headers], [("Content-Type", "multipart/form-data"), *headers]
    return [
        Payload("base64", recognition({"image": "%%% no base64 %%%"}, *headers), 422),
        Payload("no picture", recognition({"image": as_base64(b"hello, this is no picture")}, *headers), 422),
        Payload("half a picture", recognition({"image": as_base64(small[: len(small) // 2])}, *headers), 422),
        Payload("no JSON", recognition(b'{"image": ', *headers), 422),
        Payload("no image", recognition({}, *headers), 422),
        Payload("threshold", recognition({"image": as_base64(small), "detThreshold": "high"}, *headers), 422),
        Payload("forbidden URL", recognition({"image": "http://127.0.0.1:1/a.jpg"}, *headers), 422),
        Payload("text", request("POST", RECOGNITION, body=b"image=1", headers=text), 415),
        Payload("multipart without boundary", request("POST", RECOGNITION, body=b"--x", headers=form), 422),
        Payload("method", request("PUT", RECOGNITION, body=b"{}", headers=headers), 405),
        Payload("path", request("GET", "/no-such-page", headers=headers), 404),
    ]


def in_turn(payloads: Sequence[Payload], number: int) -> Payload:
    """The payload for the request of this number."""
    return payloads[number % len(payloads)]
