# SPDX-License-Identifier: Apache-2.0
"""The files of the page, read once at the start: a request chooses among names and never touches the disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response

PACKAGE = Path(__file__).resolve().parents[1]
PAGE = PACKAGE / "serving" / "page"
EXAMPLE = PACKAGE / "assets" / "street.jpg"

# What is served, and as what; a file with another ending is none of the page's.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file: its bytes, and what a browser is told of them."""

    body: bytes
    content_type: str
    etag: str

    def response(self, headers: Headers) -> Response:
        """The file, or 304 where the browser has it already."""
        # `no-cache`: kept, but asked for each time, so that a new version is seen at once
        kept = {"ETag": self.etag, "Cache-Control": "no-cache"}
        known = [tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")]
        if self.etag in known or known == ["*"]:
            return Response(status_code=304, headers=kept)
        return Response(self.body, headers={**kept, "Content-Type": self.content_type})


def read_page(folder: Path = PAGE, example: Path = EXAMPLE) -> Mapping[str, PageFile]:
    """The page's files by the path below `/page/`, with the bundled picture as `street.jpg`."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    paths["street.jpg"] = example
    return {name: page_file(path.read_bytes(), path.suffix) for name, path in paths.items() if path.suffix in TYPES}


def page_file(body: bytes, suffix: str) -> PageFile:
    """Bytes as a file of the page; `suffix` says what they are."""
    return PageFile(body, TYPES[suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')
