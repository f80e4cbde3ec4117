# SPDX-License-Identifier: Apache-2.0
"""Ways around the doors of the service: each a request that must not get what it asks for, or one that must.

Keys, paths, methods, hosts, origins, hidden requests. The bytes are sent as they stand here; ordinary clients would
tidy them up.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from .client import RECOGNITION, recognition, request

ORIGIN = "https://good.test"
Header = tuple[str, str]
JSON: Header = ("Content-Type", "application/json")
GUARDED = (RECOGNITION, "/labels", "/metrics")
OPEN = ("/health", "/live", "/ready", "/")

# `{key}` is the right key and stands where it must not count; `{start}` is all of it but the last letter
AUTHORIZATIONS = """
Bearer|Bearer |{key}|Basic {login}|Digest username="{key}"|Token {key}|Bearer "{key}"|Bearer {start}|Bearer {first}
Bearer {key}x|Bearer {key}{key}|Bearer {swapped}|Bearer {reversed}|Bearer {start} {last}|Bearer {start},{last}|Bearer *
Bearer null|Bearer true|Bearer undefined|Bearer {percent}|Bearer {base64}|Bearer \u00e9\u00ff|Bearer {long}|Bearer{key}
Bearer: {key}|Bearer={key}|Bearer\t{start}|Bearer {start}%|Bearer {start}_|Bearer ' or 1=1|Bearer {start}\\0
"""
OTHER_HEADERS = """
X-API-Key: {key}|Api-Key: {key}|Cookie: Authorization=Bearer {key}; key={key}|Proxy-Authorization: Bearer {key}
X-Authorization: Bearer {key}|Authorization_: Bearer {key}|X-Forwarded-For: 127.0.0.1|X-Real-IP: 127.0.0.1
Forwarded: for=127.0.0.1;host=localhost|X-Remote-User: admin|X-Forwarded-User: admin|X-Original-URL: /health
X-Rewrite-URL: /health|X-HTTP-Method-Override: GET|X-Method-Override: OPTIONS|Trailer: Authorization
Connection: Upgrade|Upgrade: websocket|Origin: https://good.test|Access-Control-Request-Method: POST|X-Debug: 1
"""
QUERIES = "key api_key apiKey access_token token authorization Authorization bearer"

# `{path}` is a guarded path, `{name}` the same without its slash
SPELLINGS = """
/{path}|//{path}|/.{path}|/x/..{path}|/health/..{path}|/health/../..{path}|/page/..{path}|/health/%2e%2e{path}
/%2e{path}|/page/%2e%2e/{name}|/page/..%2f{name}|/page%2f..{path}|/page/../{name}|/health;{path}|/health/;/..{path}
{path};x=/health|{path}/|{path}//|{path}/.|{path}%20|{path}%00|{path}%00/health|{path}.json|{path}.html|{path}?/health
{path}?x=/page/|{path}#/health|{path}%23|{upper}|{title}|/{percent}|/%25{hex}{rest}|{escaped}|{backslashes}|\\{name}
/health\\..\\{name}|/%5c..%5c{name}|/%c0%ae%c0%ae/{name}|/\u2025/{name}|http://127.0.0.1{path}|/live/{name}|/health{path}
http://127.0.0.1/health/..{path}|HTTP://LOCALHOST{path}|/ready?{path}|*{path}|{name}|/page{path}|/page/{name}|{path}\t
"""
CLIMBS = ".. %2e%2e .%2e ..%2f.. ..\\.. ..%5c.. ....// ..; %252e%252e %c0%ae%c0%ae"
CLIMBED_TO = "settings.py ../settings.py ../../../../../../../../etc/passwd guards.py ../../../pyproject.toml"
FILES = """
/page//etc/passwd /page/%2fetc/passwd /page/file:///etc/passwd /page/C:/x /page/. /page/index.html%00.py
/page/__init__.py /page/~root/.profile /page/street.jpg/../../settings.py /page/../serving/settings.py
"""
METHODS = """
GET HEAD PUT PATCH DELETE OPTIONS TRACE CONNECT PROPFIND MKCOL COPY LOCK PURGE SEARCH post Post POSTX GETPOST QUERY BREW
"""

# names that a resolver may lead to 127.0.0.1, and what a careless reader takes for loopback
HOSTS = """
evil.test|evil.test:{port}|127.0.0.1.evil.test|localhost.evil.test|evil.test.|evil-localhost|notlocalhost
localhost@evil.test|evil.test@localhost|evil.test:{port}@127.0.0.1|localhost, evil.test|localhost evil.test
evil.test/localhost|evil.test#localhost|evil.test?localhost|127.0.0.1:80:80|0.0.0.0|[::]|[::1].evil.test|[::1]evil.test
[::ffff:127.0.0.1].evil.test|[evil.test]|192.168.0.1|169.254.169.254|localhost:evil.test|localhost:-1|localhost:8o
loc\u0430lhost|localhost\u3002evil.test|127.0.0.1%00.evil.test|%6c%6f%63%61%6c%68%6f%73%74|xn--localhost-|*|.|10.0.0.1
localhost\\.evil.test|localhost;evil.test|::1.evil.test|127.0.0.1evil.test|1270.0.0.1|127.0.0.256|localhost_.test
"""
RIGHT_HOSTS = "localhost|127.0.0.1|[::1]|localhost:{port}|127.0.0.1:{port}|[::1]:{port}|LocalHost"

ORIGINS = """
https://evil.test|null|https://good.test.evil.test|https://evilgood.test|https://good.test@evil.test|http://good.test
https://good.test:444|https://good.test:4430|https://www.good.test|https://good.test, https://evil.test|https://go.test
https://evil.test https://good.test|https://evil.test/https://good.test|https://evil.test#https://good.test|file://
https://evil.test?https://good.test|https://good\u3002test|chrome-extension://abc|http://localhost.evil.test:{port}
http://127.0.0.1.evil.test:{port}|http://localhost:{port}0|http://localhost:1|http://127.0.0.1|https://*|*|undefined
https://127.0.0.1:{port}|http://127.0.0.2:{port}|http://[::ffff:127.0.0.1]:{port}|about:blank|data:|https://good.test_
https://good.test%00.evil.test|https://good.test\\.evil.test|https://good.test;evil.test|http://evil.test:{port}
"""
FORMS = "text/plain|application/x-www-form-urlencoded|text/plain; x=application/json|application/jsonx|"


@dataclass(frozen=True, slots=True)
class Trick:
    """One request.

    Attributes:
        family, name: for the report.
        content: the bytes.
        may: whether it is one that must be let in, so that a door nobody comes through does not pass for a safe one.
    """

    family: str
    name: str
    content: bytes
    may: bool = False


def written(text: str, **values: object) -> list[str]:
    """The entries of a table above: one a bar or line, with what stands in braces filled in."""
    return [entry.format(**values) for line in text.strip("\n").split("\n") for entry in line.split("|")]


def key_tricks(key: str, body: bytes) -> Iterator[Trick]:
    """Requests for guarded paths without the right key, in every place and spelling that was ever read."""
    values = {
        "key": key,
        "start": key[:-1],
        "first": key[0],
        "last": key[-1],
        "swapped": key.swapcase(),
        "reversed": key[::-1],
        "long": "a" * 8000,
        "login": base64.b64encode(f"x:{key}".encode()).decode(),
        "base64": base64.b64encode(key.encode()).decode(),
        "percent": "".join(f"%{ord(c):02x}" for c in key),
    }
    lists = [[("Authorization", value)] for value in written(AUTHORIZATIONS, **values)]
    lists += [[(name, value)] for name, _, value in (h.partition(": ") for h in written(OTHER_HEADERS, **values))]
    lists += [[], [("Authorization", "")], [("Authorization", "Bearer wrong-wrong"), ("Authorization", "Bearer x")]]
    for headers in lists:
        name = "; ".join(f"{k}: {v[:30]}" for k, v in headers) or "none"
        yield Trick("key", name, request("POST", RECOGNITION, body=body, headers=[JSON, *headers]))
        yield Trick("key", f"{name}, /labels", request("GET", "/labels", headers=headers))
    for field in QUERIES.split():
        path = f"{RECOGNITION}?{field}={key}"
        yield Trick("key", f"query {field}", request("POST", path, body=body, headers=[JSON]))
        yield Trick("key", f"query {field}, /labels", request("GET", f"/labels?{field}={key}"))
    target = f"http://user:{key}@127.0.0.1{RECOGNITION}"
    yield Trick("key", "login in the target", request("POST", target, body=body, headers=[JSON]))
    for scheme in ("Bearer", "bearer", "BEARER"):
        right = [JSON, ("Authorization", f"{scheme} {key}")]
        yield Trick("key", f"right, {scheme}", request("POST", RECOGNITION, body=body, headers=right), may=True)


def path_tricks(body: bytes) -> Iterator[Trick]:
    """Guarded paths spelled otherwise, and files beside those that are served. No key is shown."""
    for path in GUARDED:
        name = path[1:]
        values = {"path": path, "name": name, "upper": path.upper(), "title": path.title(), "rest": name[1:]}
        values |= {"hex": f"{ord(name[0]):02x}", "percent": f"%{ord(name[0]):02x}{name[1:]}"}
        values |= {"escaped": path.replace("e", "%65"), "backslashes": path.replace("/", "\\")}
        for target in written(SPELLINGS, **values):
            yield Trick("path", f"GET {target}", request("GET", target))
            if path == RECOGNITION:
                yield Trick("path", f"POST {target}", request("POST", target, body=body, headers=[JSON]))
    climbs = [f"/page/{up}/{file}" for up in CLIMBS.split() for file in CLIMBED_TO.split()]
    for target in (*climbs, *FILES.split()):
        yield Trick("path", f"GET {target}", request("GET", target))
    for path in OPEN:
        yield Trick("path", f"open {path}", request("GET", path), may=True)


def method_tricks(body: bytes) -> Iterator[Trick]:
    """Other methods on guarded paths, without a key."""
    for path in GUARDED:
        for method in METHODS.split():
            yield Trick("method", f"{method} {path}", request(method, path, body=body, headers=[JSON]))


def host_tricks(port: int, body: bytes, key: Header) -> Iterator[Trick]:
    """A service on loopback is asked under another name, as a page does whose name was turned to 127.0.0.1; the key is
    right."""
    for host in (*written(HOSTS, port=port), ""):
        content = request("POST", RECOGNITION, body=body, headers=[JSON, key], host=host)
        yield Trick("host", f"POST {host or 'none'}", content)
        yield Trick("host", f"GET /labels {host or 'none'}", request("GET", "/labels", headers=[key], host=host))
    two = request("POST", RECOGNITION, body=body, headers=[("Host", "evil.test"), JSON, key])
    yield Trick("host", "localhost, then evil.test", two)
    for name in ("X-Forwarded-Host", "X-Host", "X-Original-Host"):
        headers = [(name, "localhost"), JSON, key]
        content = request("POST", RECOGNITION, body=body, headers=headers, host="evil.test")
        yield Trick("host", name, content)
    for host in written(RIGHT_HOSTS, port=port):
        yield Trick("host", f"right {host}", request("GET", "/labels", headers=[key], host=host), may=True)


def origin_tricks(port: int, body: bytes, key: Header) -> Iterator[Trick]:
    """Pages of other origins; one origin is allowed. The key is right: a browser of the user may hold it."""
    host = f"127.0.0.1:{port}"
    for origin in written(ORIGINS, port=port):
        headers = [JSON, key, ("Origin", origin)]
        yield Trick("origin", f"POST {origin}", request("POST", RECOGNITION, body=body, headers=headers, host=host))
        yield Trick("origin", f"GET /labels {origin}", request("GET", "/labels", headers=headers[1:], host=host))
        ask = [("Origin", origin), ("Access-Control-Request-Method", "POST")]
        yield Trick("origin", f"preflight {origin}", request("OPTIONS", RECOGNITION, headers=ask, host=host))
    two = [JSON, key, ("Origin", ORIGIN), ("Origin", "https://evil.test")]
    yield Trick("origin", "two", request("POST", RECOGNITION, body=body, headers=two, host=host))
    for content_type in FORMS.split("|"):
        headers = [("Content-Type", content_type), key, ("Sec-Fetch-Site", "cross-site")]
        yield Trick("origin", f"form {content_type}", request("POST", RECOGNITION, body=body, headers=headers))
    for origin in (ORIGIN, f"http://{host}"):
        headers = [JSON, key, ("Origin", origin)]
        content = request("POST", RECOGNITION, body=body, headers=headers, host=host)
        yield Trick("origin", f"right {origin}", content, may=True)


def framing_tricks(body: bytes) -> Iterator[Trick]:
    """A second request hidden in the first: its answer would come without a key having been shown."""
    hidden = recognition(body)
    start = b"POST /live HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    heads = {
        "length beside chunked": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "chunked beside length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "two lengths": b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
        "length with a sign": b"Content-Length: +0\r\n\r\n",
        "unknown coding": b"Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n",
        "blank before the colon": b"Content-Length : 0\r\n\r\n",
    }
    for name, head in heads.items():
        yield Trick("framing", name, start + head + hidden)
    yield Trick("framing", "pipelined", request("GET", "/live", keep=True) + hidden)
    yield Trick("framing", "a second path", request("GET", "/live", keep=True) + request("GET", "/labels"))
