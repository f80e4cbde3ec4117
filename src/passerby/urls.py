"""Which URLs may be asked: syntax, scheme, host form, and which addresses belong to the public internet.

Pure text and numbers; nothing here opens a connection. `fetch` is the only user that does. The checks run in a
fixed order and the first that fails is the answer: length and characters, scheme, host and port number, then (on
the server) credentials and port, then the spelling of the host. Addresses are judged by a list of our own, because
the standard library's idea of "global" lets several forbidden ranges through and changes between versions.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import quote, unquote_to_bytes, urljoin

from .errors import FetchError, shown

URL_CHARACTERS = 8192
HOST_CHARACTERS = 253
LABEL_CHARACTERS = 63
DEFAULT_PORTS = {"http": 80, "https": 443}
# Schemes that are recognised without `//` behind them, so that `http:/host` is a bad URL and not a file name.
BARE_SCHEMES = frozenset({"http", "https", "ftp", "file", "data", "javascript", "blob", "mailto"})
BLANKS = " \t\r\n\f\v"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_PORT = re.compile(r"[0-9]{1,5}")
_NAME = re.compile(r"[a-z0-9_\-]+(\.[a-z0-9_\-]+)*\.?")
_IPV4 = re.compile(r"(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_FORBIDDEN_V4 = [
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
        "192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4"
    ).split()
]
# Only 2000::/3 is handed out as global unicast; everything outside is forbidden without being named here.
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_FORBIDDEN_V6 = [ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20")]
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_6TO4 = ipaddress.IPv6Network("2002::/16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL that passed the checks, taken apart.

    Attributes:
        scheme: `http` or `https`.
        host: lower case; a name in its ASCII (IDNA) form, an IPv4 address, or an IPv6 address without brackets.
        port: 1 to 65535.
        path: what is sent, percent-encoded, with its query, at least `/`.
        login: `user:password` as bytes, or None.
        literal: whether the host is an address and not a name.
        shown: the URL without login, query and fragment, for messages.
    """

    scheme: str
    host: str
    port: int
    path: str
    login: bytes | None
    literal: bool
    shown: str

    @property
    def host_port(self) -> str:
        """`host:port`, an IPv6 host in brackets: how an allow list names it."""
        return f"{self._bracketed}:{self.port}"

    @property
    def host_header(self) -> str:
        """The value of the Host header: the port is left out where it is the scheme's own."""
        return self._bracketed if self.port == DEFAULT_PORTS[self.scheme] else self.host_port

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def url(self) -> str:
        """The URL as it is asked, without the login."""
        return f"{self.scheme}://{self.host_header}{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceRule:
    """What strangers may ask for: these ports, and every `host:port` of `allow`."""

    ports: frozenset[int]
    allow: frozenset[str]


def is_url(text: str) -> bool:
    """Whether `text` is meant as a URL and not as a path: it starts with a scheme (of two letters or more, so that
    a Windows drive is none) and `//`, or with one of the well-known schemes.

    >>> is_url("https://host/a.jpg"), is_url("//host/a.jpg"), is_url("C:/a.jpg"), is_url("http:/host")
    (True, False, False, True)
    """
    found = _SCHEME.match(text.strip(BLANKS))
    if not found or len(found[1]) < 2:
        return False
    return text.strip(BLANKS)[found.end() :].startswith("//") or found[1].lower() in BARE_SCHEMES


def bare_url(text: str) -> str:
    """A URL of any scheme without login, query and fragment: fit for messages, logs and results.

    >>> bare_url("https://me:pw@host/a.jpg?token=1#x")
    'https://host/a.jpg'
    """
    bare = re.split(r"[?#]", text.strip(BLANKS)[:URL_CHARACTERS], maxsplit=1)[0]
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.\-]*:/*)[^/\\]*@", r"\1", bare)


def parse_url(text: str, *, base: str | None = None, rule: PlaceRule | None = None) -> Target:
    """Take a URL apart, or say why it is not opened.

    Args:
        text: the URL; white space around it is ignored.
        base: for a redirect, the URL it came from; `text` may then be relative.
        rule: which ports are open; with a rule, a login in the URL is refused too.
    Raises:
        FetchError: `url_invalid` (too long, control characters, backslash, no host, bad port, a spelling of the
            host that is not four decimal numbers, an IPv6 address in brackets or a name), `url_forbidden` (a scheme
            other than http and https; what `rule` says).
    """
    text = text.strip(BLANKS)
    _check_characters(text)
    if base is not None:
        text = urljoin(base, text) if not _SCHEME.match(text) else text
        _check_characters(text)
    scheme, rest = _split_scheme(text)
    authority, path = _split_authority(text, rest)
    userinfo, at, host_port = authority.rpartition("@")
    raw_host, port = _split_port(text, host_port, DEFAULT_PORTS[scheme])
    if rule is not None:
        _check_place(text, rule, login=bool(at), host_port=f"{raw_host.lower()}:{port}", port=port)
    host, literal = _host(text, raw_host)
    return Target(
        scheme=scheme,
        host=host,
        port=port,
        path=path,
        login=unquote_to_bytes(userinfo) if at and userinfo else None,
        literal=literal,
        shown=bare_url(text),
    )


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet.

    IPv6 addresses that carry an IPv4 address (mapped, NAT64, 6to4) are judged by the one inside.

    >>> is_public("93.184.216.34"), is_public("::ffff:127.0.0.1"), is_public("2002:7f00:1::")
    (True, False, False)
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _MAPPED or ip in _NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif ip in _6TO4:
            ip = ipaddress.IPv4Address(int(ip) >> 80 & 0xFFFFFFFF)
        else:
            return ip in _GLOBAL_V6 and not any(ip in network for network in _FORBIDDEN_V6)
    return not any(ip in network for network in _FORBIDDEN_V4)


def is_loopback(host: str) -> bool:
    """Whether a host names this machine: `localhost` or a loopback address written out."""
    if host.rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _invalid(happened: str, text: str) -> NoReturn:
    raise FetchError("url_invalid", happened, input=bare_url(text))


def _check_characters(text: str) -> None:
    if len(text) > URL_CHARACTERS:
        _invalid(f"the URL has {len(text)} characters, at most {URL_CHARACTERS} are allowed", text)
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text):
        _invalid("the URL contains control characters", text)
    if "\\" in text:
        _invalid("the URL contains a backslash", text)


def _check_place(text: str, rule: PlaceRule, *, login: bool, host_port: str, port: int) -> None:
    if login:
        raise FetchError("url_forbidden", "a URL with a login is not accepted here", input=bare_url(text))
    if port not in rule.ports and host_port not in rule.allow:
        ports = " and ".join(str(p) for p in sorted(rule.ports))
        raise FetchError("url_forbidden", f"port {port} is not allowed, only {ports}", input=bare_url(text))


def _split_scheme(text: str) -> tuple[str, str]:
    found = _SCHEME.match(text)
    if not found:
        _invalid("this is not a URL", text)
    scheme = found[1].lower()
    if scheme not in DEFAULT_PORTS:
        raise FetchError(
            "url_forbidden",
            f"only http and https URLs are opened, not {shown(scheme, 20)}",
            input=bare_url(text),
            hint="give a local file by its path" if scheme == "file" else None,
        )
    return scheme, text[found.end() :]


def _split_authority(text: str, rest: str) -> tuple[str, str]:
    if not rest.startswith("//"):
        _invalid("the URL needs two slashes before the host", text)
    authority, path, query = _parts(rest[2:])
    if not authority.rpartition("@")[2]:
        _invalid("the URL has no host", text)
    encoded = quote(path or "/", safe="/%:@!$&'()*+,;=~")
    return authority, encoded + (quote(query, safe="/%:@!$&'()*+,;=~?[]"))


def _parts(rest: str) -> tuple[str, str, str]:
    """`authority`, `path` and `?query` of what stands behind `//`; the fragment is dropped."""
    rest = rest.partition("#")[0]
    end = re.search(r"[/?]", rest)
    authority, tail = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    path, mark, query = tail.partition("?")
    return authority, path, mark + query


def _split_port(text: str, host_port: str, default: int) -> tuple[str, int]:
    if host_port.startswith("["):
        host, closed, behind = host_port.partition("]")
        if not closed or (behind and not behind.startswith(":")):
            _invalid("the IPv6 address of the URL is not closed", text)
        host, port = host + closed, behind[1:]
    else:
        host, _, port = host_port.partition(":")
    if not host:
        _invalid("the URL has no host", text)
    if not port:
        return host, default
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        _invalid(f"{shown(port, 20)} is no port", text)
    return host, int(port)


def _host(text: str, raw: str) -> tuple[str, bool]:
    """The host in the one form that is looked up, sent and compared, and whether it is an address."""
    if raw.startswith("["):
        try:
            if "%" in raw:
                raise ValueError
            return str(ipaddress.IPv6Address(raw[1:-1])), True
        except ValueError:
            _invalid("this is no IPv6 address (zones are not accepted)", text)
    if len(raw) > HOST_CHARACTERS + 1:
        _invalid("the host name is too long", text)
    host = _ascii_name(text, raw)
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        # A host that ends in a number is an address for every resolver, in spellings they disagree about.
        if not _IPV4.fullmatch(raw) or any(int(part) > 255 for part in raw.split(".")):
            _invalid("an IPv4 address is written as four decimal numbers", text)
        return raw, True
    return host, False


def _ascii_name(text: str, raw: str) -> str:
    try:
        host = raw.lower() if raw.isascii() else raw.encode("idna").decode("ascii").lower()
    except UnicodeError:
        _invalid("the host name cannot be written in IDNA", text)
    labels = host[:-1].split(".") if host.endswith(".") else host.split(".")
    if not _NAME.fullmatch(host) or any(not 1 <= len(label) <= LABEL_CHARACTERS for label in labels):
        _invalid("this is no host name", text)
    if len(host) > HOST_CHARACTERS + 1:
        _invalid("the host name is too long", text)
    return host
