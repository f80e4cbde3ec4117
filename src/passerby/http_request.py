"""What is sent to a web server or a proxy, and which proxy the environment names. Pure; `fetch` sends it."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping

from ._version import __version__
from .errors import FetchError
from .urls import Target, is_loopback, parse_url


def request_bytes(
    target: Target, *, login: bytes | None, proxy: Target | None = None, asked: Mapping[str, str] | None = None
) -> bytes:
    """A GET request: no cookies, no Referer, one answer per connection.

    Args:
        login: `user:password` for the target.
        proxy: the proxy the request goes to, when it is not tunnelled through it.
        asked: further headers, for example Range.
    """
    headers = {
        "Host": target.host_header,
        "User-Agent": f"passerby/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
        **(asked or {}),
    }
    if login:
        headers["Authorization"] = _basic(login)
    if proxy is not None and proxy.login:
        headers["Proxy-Authorization"] = _basic(proxy.login)
    return _head(f"GET {target.path if proxy is None else target.url} HTTP/1.1", headers)


def tunnel_bytes(target: Target, proxy: Target) -> bytes:
    """The request for a tunnel through `proxy` to the target."""
    headers = {"Host": target.host_port}
    if proxy.login:
        headers["Proxy-Authorization"] = _basic(proxy.login)
    return _head(f"CONNECT {target.host_port} HTTP/1.1", headers)


def proxy_for(target: Target, environment: Mapping[str, str] = os.environ) -> Target | None:
    """The proxy that `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` name for this target, or None.

    This machine itself is always asked directly.

    Raises:
        FetchError: `fetch_connect`, the variable holds no http:// proxy.
    """
    text = _variable(environment, target.scheme) or _variable(environment, "all")
    if not text or is_loopback(target.host) or _bypassed(target, _variable(environment, "no")):
        return None
    try:
        proxy = parse_url(text if "://" in text else f"http://{text}")
        if proxy.scheme == "http":
            return proxy
    except FetchError:
        pass
    raise FetchError(
        "fetch_connect",
        "the proxy of the environment is no http:// proxy",
        input=target.shown,
        hint=f"see {target.scheme}_proxy and no_proxy",
    )


def _variable(environment: Mapping[str, str], kind: str) -> str:
    text = environment.get(f"{kind}_proxy", "")
    # In a CGI program HTTP_PROXY comes from the client's `Proxy` header.
    if not text and not (kind == "http" and "REQUEST_METHOD" in environment):
        text = environment.get(f"{kind.upper()}_PROXY", "")
    return text.strip()


def _bypassed(target: Target, listed: str) -> bool:
    host = target.host.rstrip(".")
    for entry in (part.strip().lower().lstrip(".") for part in listed.split(",")):
        if entry in ("*", host, f"{host}:{target.port}", target.host_port):
            return True
        if entry and not target.literal and host.endswith(f".{entry}"):
            return True
    return False


def _head(first_line: str, headers: Mapping[str, str]) -> bytes:
    lines = [first_line, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("ascii")


def _basic(login: bytes) -> str:
    return "Basic " + base64.b64encode(login).decode("ascii")
