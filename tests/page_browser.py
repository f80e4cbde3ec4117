# SPDX-License-Identifier: Apache-2.0
"""A real headless Chromium for the tests of the page, which fails a test that logs an error, breaks the policy for
content, or asks anybody but the service.

with browser() as chromium, visit(chromium, server.url) as page:
    page.locator("#choose-input").set_input_files("street.jpg")
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")
# no look-ups of its own, no sandbox for root, no keyring
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-default-apps"),
)
WAIT_MS = 60_000  # a loaded machine takes its time
# What the browser itself logs when the service answers with an error; such answers are what some tests are about.
FAILED_REQUEST = "Failed to load resource"
STREET = Path(str(resources.files("passerby") / "assets" / "street.jpg"))

PHONE = {"viewport": {"width": 375, "height": 740}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}


@contextmanager
def browser() -> Iterator[Any]:
    """A Chromium; the test is skipped where there is none, or no playwright to drive it."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    if executable is None:
        pytest.skip("there is no Chromium on this machine")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        try:
            yield chromium
        finally:
            chromium.close()


class Watch:
    """What a page did that it must not do.

    Attributes:
        foreign: requests to anybody but the service. posts: bodies' sizes of what was asked of the service.
    """

    def __init__(self, context: Any, url: str) -> None:
        self.messages: list[str] = []
        self.foreign: list[str] = []
        self.posts: list[str] = []
        self._own = url
        context.on("request", self._request)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.messages.append(f"thrown: {error.error}"))
        context.on("dialog", self._dialog)

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self._own + "/", "blob:", "data:")):
            self.foreign.append(request.url)
        if request.method == "POST":
            self.posts.append(request.url)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(FAILED_REQUEST):
            self.messages.append(f"{message.type}: {message.text}")

    def _dialog(self, dialog: Any) -> None:
        self.messages.append(f"a script ran: {dialog.message}")
        dialog.dismiss()


@contextmanager
def visit(chromium: Any, url: str, **options: Any) -> Iterator[Any]:
    """The page in a fresh profile; at the end nothing bad was logged, reported or asked for.

    The page has an attribute `watch`.
    """
    context = chromium.new_context(**{**DESKTOP, "locale": "en-GB", "reduced_motion": "reduce", **options})
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(
        "window.reports = []; document.addEventListener('securitypolicyviolation', (e) => reports.push(e.blockedURI))"
    )
    watch = Watch(context, url)
    page = context.new_page()
    page.watch = watch
    try:
        page.goto(url + "/")
        yield page
        assert page.evaluate("window.reports") == []
        assert watch.messages == []
        assert watch.foreign == []
    finally:
        context.close()


def add(page: Any, *files: Path | dict[str, Any]) -> None:
    """Choose pictures; {"name", "mimeType", "buffer"} for one that is no file."""
    page.locator("#choose-input").set_input_files(list(files))


def expect(locator: Any) -> Any:
    """Assertions that wait, patiently."""
    from playwright.sync_api import expect as assertions

    assertions.set_options(timeout=WAIT_MS)
    return assertions(locator)


def people(page: Any, count: int) -> Any:
    """The boxes, once there are so many."""
    boxes = page.locator(".box")
    expect(boxes).to_have_count(count)
    return boxes


def move(page: Any, slider: str, value: int) -> None:
    """Move a slider as a user does: the page hears of it."""
    page.locator(slider).fill(str(value))


def downloaded(page: Any, entry: str) -> bytes:
    """Choose an entry of the download menu and read the file."""
    page.click("#download")
    with page.expect_download() as download:
        page.click(entry)
    return Path(download.value.path()).read_bytes()


def serious(page: Any) -> Sequence[str]:
    """Findings of axe-core that a person would stumble over; skipped where it is not installed."""
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text("utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    return [
        f"{one['id']}: {node['html']} {node['failureSummary']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def wider_than_screen(page: Any) -> bool:
    """Whether the page must be scrolled sideways."""
    wide: bool = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return wide
