# SPDX-License-Identifier: Apache-2.0
"""Describe a folder of pictures by the service; Python's standard library alone.

python examples/client.py photos/ --url https://people.example --key-file key --save-path output > results.jsonl

One JSON line a picture on stdout, in order. Answers 429 and 503 are asked again after the time that the service names.
Exit code 1 when a picture stayed without a result, which its line says.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import mimetypes
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif"}
PATIENCE_S = 120.0
LONGEST_WAIT_S = 30.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="a picture, or a folder that is searched through")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="address of the service")
    parser.add_argument("--key-file", type=Path, help="file with the API key; a key in an argument is seen by others")
    parser.add_argument("--ca-file", type=Path, help="PEM file with a root to trust, for a certificate of your own")
    parser.add_argument("--save-path", type=Path, help="folder for the pictures with boxes")
    parser.add_argument("--labels", choices=["paddle", "en", "zh", "both"], default="en")
    parser.add_argument("--parallel", type=int, default=4, help="requests at the same time")
    return parser.parse_args()


def pictures(place: Path) -> list[Path]:
    if place.is_dir():
        return sorted(p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return [place]


def request(file: Path, options: argparse.Namespace) -> urllib.request.Request:
    """The picture itself is the body, and what is wanted stands in the query."""
    query = {"labels": options.labels, "visualize": "true" if options.save_path else "false"}
    headers = {"Content-Type": mimetypes.guess_type(file.name)[0] or "image/jpeg"}
    if options.key_file:
        headers["Authorization"] = f"Bearer {options.key_file.read_text('utf-8').strip()}"
    address = f"{options.url.rstrip('/')}/pedestrian-attribute-recognition?{urllib.parse.urlencode(query)}"
    return urllib.request.Request(address, data=file.read_bytes(), headers=headers, method="POST")


def seconds_to_wait(reason: urllib.error.URLError, tried: int) -> float:
    """What the service asks for; else twice as long each time, as after a refused connection."""
    named = reason.headers.get("Retry-After", "") if isinstance(reason, urllib.error.HTTPError) else ""
    return min(float(named) if named.isdigit() else 0.5 * 2**tried, LONGEST_WAIT_S)


def ask(wanted: urllib.request.Request, trust: ssl.SSLContext) -> dict[str, Any]:
    """The service's answer, that of an error too.

    Raises:
        OSError: there is no service, also after a while.
    """
    end = time.monotonic() + PATIENCE_S
    for tried in itertools.count():
        try:
            with urllib.request.urlopen(wanted, timeout=60, context=trust) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as reason:
            with reason:
                wait = seconds_to_wait(reason, tried)
                if reason.code not in (429, 503) or time.monotonic() + wait > end:
                    return answer_of(reason)
        except urllib.error.URLError as reason:
            wait = seconds_to_wait(reason, tried)
            if isinstance(reason.reason, ssl.SSLError) or time.monotonic() + wait > end:
                raise
        time.sleep(wait)
    raise AssertionError("the count has no end")


def answer_of(reason: urllib.error.HTTPError) -> dict[str, Any]:
    """A proxy in between may answer in another form than the service."""
    try:
        return dict(json.load(reason))
    except ValueError:
        return {"errorCode": reason.code, "errorMsg": f"{reason.code} {reason.reason}"}


def describe(file: Path, options: argparse.Namespace, trust: ssl.SSLContext) -> dict[str, Any]:
    """One line of the output: pedestrians, or what went wrong with this picture."""
    try:
        answer = ask(request(file, options), trust)
    except OSError as reason:
        return {"input": str(file), "error": f"no answer: {reason}"}
    if answer["errorCode"]:
        return {"input": str(file), "error": answer["errorMsg"]}
    result = answer["result"]
    if options.save_path:
        below = file.relative_to(options.pictures) if options.pictures.is_dir() else Path(file.name)
        drawn = options.save_path / f"{below}_res.jpg"  # the whole name stays: a.jpg and a.png are two pictures
        drawn.parent.mkdir(parents=True, exist_ok=True)
        drawn.write_bytes(base64.b64decode(result["image"]))
    return {"input": str(file), "pedestrians": result["pedestrians"]}


def main() -> int:
    options = arguments()
    trust = ssl.create_default_context(cafile=options.ca_file)
    failed = 0
    with ThreadPoolExecutor(options.parallel) as threads:
        for line in threads.map(lambda file: describe(file, options, trust), pictures(options.pictures)):
            failed += "error" in line
            print(json.dumps(line, ensure_ascii=False), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
