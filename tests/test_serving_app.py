# SPDX-License-Identifier: Apache-2.0
"""The front's paths, its headers, its bounds on bodies, and clients that leave, against a real server."""

from __future__ import annotations

import json
import re
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import passerby

from .conftest import CORPUS
from .corpus_server import CorpusServer
from .serving_server import Server, running, until

INFER = "/pedestrian-attribute-recognition"
PICTURE = (CORPUS / "image/jpeg_baseline.jpg").read_bytes()
PACKAGE = Path(passerby.__file__).parent
PAGE = PACKAGE / "serving" / "page"
MAX_BODY = 200_000
MAX_BODIES = 300_000
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}
GETS = ("/", "/health", "/live", "/ready", "/metrics", "/labels", "/docs", "/openapi.json", "/page/street.jpg")


@pytest.fixture(scope="module")
def slow() -> Iterator[CorpusServer]:
    """A web server that takes its time over one picture."""
    with CorpusServer({"/slow.jpg": {"delay_s": 600}}) as server:
        yield server


@pytest.fixture(scope="module")
def server(slow: CorpusServer) -> Iterator[Server]:
    flags = ["--max-body", str(MAX_BODY), "--max-bodies", str(MAX_BODIES), "--body-time", "5"]
    with running(*flags, "--fetch-allow", f"127.0.0.1:{slow.port}") as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def error_of(answer: httpx.Response) -> str:
    """The machine name in an error's body, whose shape is checked."""
    body = answer.json()
    assert set(body) == {"logId", "errorCode", "errorMsg"}
    assert body["errorCode"] == answer.status_code
    return str(body["errorMsg"].partition(":")[0])


@pytest.mark.parametrize("path", GETS)
def test_head_is_get_without_a_body(client: httpx.Client, path: str) -> None:
    get, head = client.get(path), client.head(path)
    assert (get.status_code, head.status_code) == (200, 200)
    assert head.content == b""
    changing = {"date", *(["content-length"] if path == "/metrics" else [])}
    assert {k: v for k, v in head.headers.items() if k not in changing} == {
        k: v for k, v in get.headers.items() if k not in changing
    }


@pytest.mark.parametrize("path", [*GETS, INFER])
def test_other_methods_are_refused_with_what_is_allowed(client: httpx.Client, path: str) -> None:
    allowed = {"POST"} if path == INFER else {"GET", "HEAD"}
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - allowed:
        answer = client.request(method, path)
        assert answer.status_code == 405
        assert set(answer.headers["allow"].split(", ")) == allowed
        assert method == "HEAD" or error_of(answer) == "method_not_allowed"


@pytest.mark.parametrize("path", ["/nothing", INFER + "/", "/page", "/page/", "/page/README.md", "/HEALTH", "/health/"])
def test_nothing_is_found_or_redirected_by_likeness(client: httpx.Client, path: str) -> None:
    for method in ("GET", "POST"):
        answer = client.request(method, path, follow_redirects=False)
        assert (answer.status_code, error_of(answer)) == (404, "not_found")


@pytest.mark.parametrize("path", [*GETS, INFER, "/nothing"])
def test_every_answer_has_the_headers_that_keep_it_safe(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["server"] == "passerby"
    assert not [name for name in answer.headers if name.startswith(("access-control", "set-cookie", "x-powered"))]
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert policy["frame-ancestors"] == "'none'"
    if path in ("/", "/docs", "/openapi.json") or path.startswith("/page/"):
        assert policy["default-src"] == "'self'"
        assert (policy["object-src"], policy["base-uri"]) == ("'none'", "'none'")
        assert answer.headers["cache-control"] == "no-cache"
    else:
        assert policy["default-src"] == "'none'"
        assert answer.headers["cache-control"] == "no-store"


def test_results_are_kept_nowhere(client: httpx.Client) -> None:
    answer = client.post(INFER, content=PICTURE, headers={"Content-Type": "image/jpeg"})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"


def test_states_are_told_as_the_original_tells_its_health(client: httpx.Client) -> None:
    for path, word in (("/health", "Healthy"), ("/live", "Alive"), ("/ready", "Ready")):
        answer = client.get(path)
        assert answer.json() == {"logId": answer.json()["logId"], "errorCode": 0, "errorMsg": word}
        assert re.fullmatch(r"[0-9a-f-]{36}", answer.json()["logId"])


def test_labels_are_what_the_worker_said(client: httpx.Client) -> None:
    body = client.get("/labels").json()
    assert set(body) == {"logId", "errorCode", "errorMsg", "result"}
    assert len(body["result"]["labels"]) == 26
    assert body["result"]["labels"][0]["paddle"] == "Hat(帽子)"


def test_files_of_the_page_are_those_of_the_package(client: httpx.Client) -> None:
    files = {path.relative_to(PAGE).as_posix(): path for path in PAGE.rglob("*") if path.suffix in TYPES}
    files["street.jpg"] = PACKAGE / "assets" / "street.jpg"
    assert "index.html" in files
    for name, path in files.items():
        answer = client.get(f"/page/{name}")
        assert answer.content == path.read_bytes()
        assert answer.headers["content-type"] == TYPES[path.suffix]
    assert client.get("/").content == files["index.html"].read_bytes()


def test_a_browser_that_has_a_file_is_not_sent_it_again(client: httpx.Client) -> None:
    first = client.get("/page/street.jpg")
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get("/page/street.jpg", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["x-content-type-options"] == "nosniff"
    for other in ('"other"', tag.strip('"'), ""):
        assert client.get("/page/street.jpg", headers={"If-None-Match": other}).status_code == 200


TRICKS = (
    *("/page/../settings.py", "/page/%2e%2e/settings.py", "/page/..%2fsettings.py", "/page/..%5csettings.py"),
    *(
        "/page//etc/passwd",
        "/page/%2fetc%2fpasswd",
        "/page/./index.html",
        "/page/index.html%00.js",
        "/page/.%2findex.html",
    ),
    *("/page/index.html/", "/page/INDEX.HTML", "/../../etc/passwd", "//page/index.html", "/page/%69ndex.html%20"),
)


@pytest.mark.parametrize("path", TRICKS)
def test_no_spelling_of_a_path_leads_out_of_the_page(server: Server, path: str) -> None:
    """Sent by hand: clients put dots right before they send."""
    answer = by_hand(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ")), answer[:200]
    assert b"root:" not in answer
    assert b"SPDX" not in answer


def test_without_the_page_there_is_none() -> None:
    with running("--no-page") as server:
        for path in ("/", "/page/index.html", "/page/street.jpg"):
            assert httpx.get(server.url + path, timeout=60).status_code == 404
        assert httpx.get(server.url + "/docs", timeout=60).status_code == 200


READ = ("application/json; charset=utf-8", 'application/json;charset="UTF-8"', "APPLICATION/JSON", "application/a+json")
REFUSED = (
    *("text/plain", "text/json", "application/x-www-form-urlencoded", "application/octet-stream", "video/mp4"),
    *("application/json; charset=utf-16", "application/json; charset=latin-1", "application/jsonp", "json", "", "/"),
    *("application/json, text/plain", "multipart/mixed; boundary=a", "application/xml", "imagejpeg", "image /jpeg"),
)


@pytest.mark.parametrize("kind", READ)
def test_json_under_its_many_names(client: httpx.Client, kind: str) -> None:
    answer = client.post(INFER, content=b'{"image": ""}', headers={"Content-Type": kind})
    assert error_of(answer) == "input_empty"


@pytest.mark.parametrize("kind", REFUSED)
def test_types_that_are_not_read(client: httpx.Client, kind: str) -> None:
    answer = client.post(INFER, content=b'{"image": ""}', headers={"Content-Type": kind})
    assert (answer.status_code, error_of(answer)) == (415, "unsupported_media_type")
    assert "image/*" in answer.json()["errorMsg"] or "UTF-8" in answer.json()["errorMsg"]


def test_bodies_are_never_unpacked(client: httpx.Client) -> None:
    for coding in ("gzip", "deflate", "br", "identity, gzip"):
        headers = {"Content-Type": "application/json", "Content-Encoding": coding}
        assert error_of(client.post(INFER, content=b"\x1f\x8b", headers=headers)) == "unsupported_media_type"
    headers = {"Content-Type": "application/json", "Content-Encoding": "identity"}
    assert error_of(client.post(INFER, content=b'{"image": ""}', headers=headers)) == "input_empty"


def test_a_body_that_is_announced_too_large_is_not_asked_for(server: Server) -> None:
    head = post_head("application/json", f"Content-Length: {MAX_BODY + 1}\r\nExpect: 100-continue\r\n")
    with server.connect() as connection:
        connection.sendall(head)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("length", [MAX_BODY, MAX_BODY + 1])
def test_the_limit_holds_to_the_byte(client: httpx.Client, length: int) -> None:
    body = b'{"image": ""' + b" " * (length - 13) + b"}"
    expected = "input_empty" if length == MAX_BODY else "request_too_large"
    headers = {"Content-Type": "application/json"}
    assert error_of(client.post(INFER, content=body, headers=headers)) == expected

    def pieces() -> Iterator[bytes]:
        yield from (body[at : at + 10_000] for at in range(0, len(body), 10_000))

    assert error_of(client.post(INFER, content=pieces(), headers=headers)) == expected


def test_a_body_that_does_not_come_is_waited_for_so_long(server: Server) -> None:
    answer = by_hand(server, post_head("application/json", "Content-Length: 100\r\n").decode() + "{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"request_timeout: ' in answer


def test_all_bodies_together_are_bounded(server: Server, client: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}
    with begun(server, 140_000), begun(server, 140_000):
        until(lambda: metric(client, "passerby_bodies_bytes") == 280_000)
        answer = client.post(INFER, content=b'{"image": ""' + b" " * 50_000 + b"}", headers=headers)
        assert (answer.status_code, error_of(answer)) == (503, "overloaded")
        assert answer.headers["retry-after"] == "1"
        assert client.get("/live").status_code == 200
    until(lambda: metric(client, "passerby_bodies_bytes") == 0)
    answer = client.post(INFER, content=b'{"image": ""' + b" " * 50_000 + b"}", headers=headers)
    assert error_of(answer) == "input_empty"


def test_a_client_that_leaves_in_its_body_is_noted(server: Server, client: httpx.Client) -> None:
    with begun(server, 1000) as connection:
        until(lambda: metric(client, "passerby_bodies_bytes") == 1000)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closes with a reset
    line = last_line(server, "left")
    assert (line["status"], line["bytes"], line["persons"]) == (None, 1000, 0)
    until(lambda: metric(client, "passerby_bodies_bytes") == 0)


def test_a_client_that_leaves_is_not_answered(server: Server, client: httpx.Client, slow: CorpusServer) -> None:
    seen = len(slow.requests)
    body = json.dumps({"image": f"http://127.0.0.1:{slow.port}/slow.jpg"}).encode()
    left = metric(client, "passerby_requests_total", error="left")
    with server.connect() as connection:
        connection.sendall(post_head("application/json", f"Content-Length: {len(body)}\r\n") + body)
        until(lambda: len(slow.requests) > seen)
    until(lambda: metric(client, "passerby_requests_total", error="left") == left + 1)
    line = last_line(server, "left")
    assert (line["status"], line["bytes"]) == (None, len(body))
    assert metric(client, "passerby_bodies_bytes") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads what a process has loaded from /proc")
def test_the_front_loads_no_engine(server: Server, client: httpx.Client) -> None:
    assert client.post(INFER, content=PICTURE, headers={"Content-Type": "image/jpeg"}).status_code == 200
    loaded = Path(f"/proc/{server.process.pid}/maps").read_text("utf-8")
    assert not [name for name in ("onnxruntime", "cv2", "PIL") if f"/{name}/" in loaded]


def post_head(kind: str, more: str) -> bytes:
    return f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{more}\r\n".encode()


@contextmanager
def begun(server: Server, count: int) -> Iterator[socket.socket]:
    """A connection on which so many bytes of a body have been sent, and no more come."""
    with server.connect() as connection:
        connection.sendall(post_head("application/json", f"Content-Length: {MAX_BODY}\r\n") + b" " * count)
        yield connection


def by_hand(server: Server, text: str) -> bytes:
    """All that comes back on a connection of its own."""
    with server.connect() as connection:
        connection.sendall(text.encode("latin-1"))
        return b"".join(iter(lambda: connection.recv(65536), b""))


def metric(client: httpx.Client, name: str, **labels: str) -> float:
    """The sum of the samples with this name and these labels."""
    total = 0.0
    for line in client.get("/metrics").text.splitlines():
        if re.match(rf"{name}[ {{]", line) and all(f'{k}="{v}"' in line for k, v in labels.items()):
            total += float(line.rsplit(" ", 1)[1])
    return total


def last_line(server: Server, name: str) -> dict[str, Any]:
    """The last line of the log about this outcome."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = [line for line in server.log() if line["name"] == name]
        return bool(found)

    until(there)
    return found[-1]
