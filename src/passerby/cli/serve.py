# SPDX-License-Identifier: Apache-2.0
"""`passerby serve`, and the same through the original's `--serve`: the HTTP service until it is told to stop."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ArgumentError, EngineError, shown
from . import options
from .exits import say

if TYPE_CHECKING:
    from ..serving.settings import ServerSettings

KEY_FILE_BYTES = 65536
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
NOT_ANSWERED = "Seconds until a request without an answer gets 504."


def _flag(name: str, metavar: str, help: str) -> Any:
    """An option in both spellings."""
    spellings = dict.fromkeys((f"--{name}", f"--{name.replace('-', '_')}"))
    return typer.Option(*spellings, metavar=metavar, help=help)


Host = Annotated[
    str | None, _flag("host", "ADDRESS", "Where to listen; default 127.0.0.1, which only this machine sees.")
]
Port = Annotated[int | None, _flag("port", "N", "Default 8080; 0 takes a free one.")]
ApiKey = Annotated[list[str] | None, _flag("api-key", "KEY", "Ask for this key; others see it in the process list.")]
ApiKeyFile = Annotated[str | None, _flag("api-key-file", "FILE", "Keys, one a line, of at least 12 characters each.")]
Insecure = Annotated[bool, typer.Option("--insecure", help="Listen on any address without a key.")]


def serve(
    pipeline: Annotated[str | None, _flag("pipeline", "NAME|FILE", "Built-in pipeline or its YAML file.")] = None,
    host: Host = None,
    port: Port = None,
    device: options.Device = None,
    use_hpip: options.UseHpip = False,
    hpi_config: options.HpiConfig = None,
    labels: options.LabelStyle = None,
    workers: Annotated[int | None, _flag("workers", "N", "Processes with a pipeline each; default cores / 2.")] = None,
    threads: Annotated[int | None, _flag("threads", "N", "Threads of each; default cores / workers.")] = None,
    api_key: ApiKey = None,
    api_key_file: ApiKeyFile = None,
    insecure: Insecure = False,
    tls_cert: Annotated[str | None, _flag("tls-cert", "FILE", "Certificate chain, PEM: speak https.")] = None,
    tls_key: Annotated[str | None, _flag("tls-key", "FILE", "Its key, PEM, not encrypted.")] = None,
    cors_origin: Annotated[
        list[str] | None, _flag("cors-origin", "ORIGIN", "Site whose pages may call, such as https://a.example.")
    ] = None,
    allowed_host: Annotated[
        list[str] | None, _flag("allowed-host", "NAME", "Host name, beside localhost, that requests may name.")
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None, _flag("trusted-proxy", "NETWORK", "Whose X-Forwarded-For is believed: 10.0.0.0/8.")
    ] = None,
    no_fetch: Annotated[bool, _flag("no-fetch", "", "Refuse URLs in requests.")] = False,
    fetch_allow: Annotated[
        list[str] | None, _flag("fetch-allow", "HOST:PORT", "Fetch from there though it is a private address.")
    ] = None,
    ca_file: options.CaFile = None,
    rate_limit: Annotated[float | None, _flag("rate-limit", "N", "Requests a second of one client.")] = None,
    queue: Annotated[int | None, _flag("queue", "N", "Requests that may wait; default 64, more get 503.")] = None,
    deadline: Annotated[float | None, _flag("deadline", "SECONDS", f"{NOT_ANSWERED} Default 30.")] = None,
    drain: Annotated[float | None, _flag("drain", "SECONDS", "For what waits when told to stop; default 30.")] = None,
    max_body: Annotated[str | None, _flag("max-body", "SIZE", "Of one request; default 32M.")] = None,
    max_bodies: Annotated[str | None, _flag("max-bodies", "SIZE", "Of all that are in memory; default 512M.")] = None,
    max_pixels: Annotated[int | None, _flag("max-pixels", "N", "Of a picture; default 64000000.")] = None,
    max_pictures: Annotated[int | None, _flag("max-pictures", "N", "Of one request; default 32.")] = None,
    max_connections: Annotated[int | None, _flag("max-connections", "N", "At once; default 1100.")] = None,
    header_time: Annotated[float | None, _flag("header-time", "SECONDS", "For a request's head; default 10.")] = None,
    body_time: Annotated[float | None, _flag("body-time", "SECONDS", "For its body; default 30.")] = None,
    write_time: Annotated[float | None, _flag("write-time", "SECONDS", "For reading the answer; default 30.")] = None,
    idle_time: Annotated[float | None, _flag("idle-time", "SECONDS", "Between two requests; default 15.")] = None,
    log_client: Annotated[bool, _flag("log-client", "", "Write client addresses into the log.")] = False,
    no_page: Annotated[bool, _flag("no-page", "", "Leave out the page at /.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No line for each request on stderr.")] = False,
    verbose: options.Verbose = False,
) -> None:
    """Answer requests over HTTP: POST /pedestrian-attribute-recognition, and a page to try it at /.

    Without --host only this machine can reach it. Another address needs a key, or --insecure. Ctrl-C or SIGTERM
    finishes what has been begun.
    """
    given = {
        "pipeline": pipeline,
        "host": host,
        "port": port,
        "device": device,
        "use_hpip": use_hpip,
        "hpi_config": options.mapping(hpi_config, option="--hpi-config"),
        "labels": None if labels is None else labels.value,
        "workers": workers,
        "threads": threads,
        "api_keys": keys(api_key, api_key_file),
        "insecure": insecure,
        "tls_cert": _path(tls_cert),
        "tls_key": _path(tls_key),
        "cors_origins": tuple(cors_origin or ()),
        "allowed_hosts": tuple(allowed_host or ()),
        "trusted_proxies": tuple(trusted_proxy or ()),
        "fetch": not no_fetch,
        "fetch_allow": tuple(fetch_allow or ()),
        "ca_file": options.ca_file(ca_file),
        "rate_limit": rate_limit,
        "queue": queue,
        "deadline_s": deadline,
        "drain_s": drain,
        "max_body": _bytes(max_body, option="--max-body"),
        "max_bodies": _bytes(max_bodies, option="--max-bodies"),
        "max_pixels": max_pixels,
        "max_pictures": max_pictures,
        "max_connections": max_connections,
        "header_s": header_time,
        "body_s": body_time,
        "write_s": write_time,
        "idle_s": idle_time,
        "log_client": log_client,
        "page": not no_page,
        "quiet": quiet,
    }
    raise typer.Exit(run(given, verbose=verbose))


def run(given: dict[str, Any], *, verbose: bool = False) -> int:
    """Run the service with these settings, None for a default, and give its exit code.

    Raises:
        PasserbyError: what makes a start impossible.
    """
    from ..serving.settings import ServerSettings

    settings = ServerSettings(**{name: value for name, value in given.items() if value is not None})
    options.set_up_logging(quiet=False, verbose=verbose)
    return _run(settings)


def _run(settings: ServerSettings) -> int:
    """
    Raises:
        EngineError: `engine_missing`, the extra is not installed.
    """
    try:
        from ..serving.server import serve as answer
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("passerby"):
            raise
        happened = f"the service needs {missing.name}, which is not installed"
        raise EngineError("engine_missing", happened, hint="pip install 'passerby[serve]'") from None
    return answer(settings, say=say)


def keys(given: list[str] | None, file: str | None) -> tuple[str, ...]:
    """The keys of the command line and of a file, one a line; empty lines and lines with # are left out.

    Raises:
        ArgumentError: `bad_argument`, the file cannot be read or holds none.
    """
    found = list(given or ())
    if file is not None:
        try:
            with Path(file).open("rb") as lines:
                text = lines.read(KEY_FILE_BYTES).decode("utf-8")
        except (OSError, ValueError):
            raise ArgumentError("bad_argument", "--api-key-file cannot be read", input=file) from None
        in_file = [key for line in text.splitlines() if (key := line.strip()) and not key.startswith("#")]
        if not in_file:
            raise ArgumentError("bad_argument", "--api-key-file holds no key", input=file, hint="write one a line")
        found += in_file
    return tuple(dict.fromkeys(found))


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _bytes(text: str | None, *, option: str) -> int | None:
    """A size in bytes: 1000000, 500k, 32M or 1G, with or without iB behind it.

    >>> _bytes("32M", option="--max-body")
    33554432
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,12})\s*([kmg]?)(?:i?b)?", text.strip().lower())
    if found is None:
        raise ArgumentError("bad_argument", f"{option} is {shown(text)}", hint="give a size such as 500k, 32M or 1G")
    return int(found[1]) * UNITS[found[2]]
