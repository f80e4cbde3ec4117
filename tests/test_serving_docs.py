# SPDX-License-Identifier: Apache-2.0
"""The reference at `/docs`: it says what the document says, its calls run, a browser finds nothing wrong with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from passerby.serving import examples
from passerby.serving.docs_page import docs_page, reference
from passerby.serving.fields import NAMES
from passerby.serving.openapi import INFER, document
from passerby.serving.openapi_schemas import names_of
from passerby.serving.settings import ServerSettings

from .conftest import CORPUS
from .page_browser import PHONE, browser, serious, visit, wider_than_screen
from .serving_server import Server, running

GOOD = CORPUS / "image/jpeg_baseline.jpg"
VOID = {"meta", "link", "br", "img"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


class Page(HTMLParser):
    """What a page holds, and whether its tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def values(self, name: str) -> list[str]:
        return [value or "" for attribute, value in self.attributes if attribute == name]


def test_the_reference_needs_nothing_but_itself(server: Server) -> None:
    requests = pytest.importorskip("requests")
    answer = requests.get(f"{server.url}/docs", timeout=60)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    page = Page(answer.text)
    assert not page.tags & {"script", "style", "iframe", "form", "object"}
    assert not [name for name, _ in page.attributes if name == "style" or name.startswith("on")]
    for link in [*page.values("href"), *page.values("src")]:
        if link.startswith("#"):
            assert link[1:] in page.values("id")
        else:
            assert requests.get(server.url + link, timeout=60).status_code == 200, link
    assert len(page.values("id")) == len(set(page.values("id")))


def test_the_reference_says_all_that_the_document_says() -> None:
    whole = document(ServerSettings())
    words = Page(docs_page(ServerSettings())).words
    for name in NAMES:
        assert name in words
    for status, answer in whole["paths"][INFER]["post"]["responses"].items():
        assert status in words
        if status != "200":
            assert all(name in words for name in names_of(int(status))), answer
    for path, methods in whole["paths"].items():
        assert path in words
        assert all(operation["summary"] in words or path == INFER for operation in methods.values())
    for key in whole["components"]["schemas"]["Pedestrian"]["properties"]:
        assert key in words
    assert "Authorization: Bearer" not in words
    assert "Authorization: Bearer" in Page(docs_page(ServerSettings(api_keys=("k" * 12,)))).words
    assert set(reference(ServerSettings())) == {"/docs", "/docs/style.css", "/openapi.json"}


PROGRAMS = {
    "curl": (["sh", "-e"], "curl", '"pedestrians"'),
    "Python": ([sys.executable, "-"], sys.executable, "["),
    "JavaScript": (["node", "--input-type=module", "-"], "node", "["),
}


@pytest.mark.parametrize("name", list(examples.CALLS))
def test_the_calls_of_the_reference_run(server: Server, tmp_path: Path, name: str) -> None:
    command, program, said = PROGRAMS[name]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    if name == "Python":
        pytest.importorskip("requests")
    for file in ("demo.jpg", "other.jpg"):
        shutil.copyfile(GOOD, tmp_path / file)
    text = examples.CALLS[name].format(url=server.url + INFER)
    environment = {**os.environ, "NO_PROXY": "127.0.0.1"}
    run = subprocess.run(
        command, input=text, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert run.returncode == 0, run.stderr
    assert said in run.stdout
    if name != "JavaScript":
        assert (tmp_path / "out.jpg").read_bytes()[:2] == b"\xff\xd8"


SCREENS: dict[str, dict[str, Any]] = {"light": {}, "dark": {"color_scheme": "dark"}, "phone": PHONE}


def test_the_reference_in_a_browser(server: Server) -> None:
    """One start of the browser, which takes longest."""
    with browser() as chromium:
        for name, screen in SCREENS.items():
            with visit(chromium, server.url, **screen) as page:
                page.goto(f"{server.url}/docs")
                assert page.title() == "passerby: the API"
                assert serious(page) == [], name
                assert not wider_than_screen(page), name
                ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
                brightness = sum(int(part) for part in ground.removeprefix("rgb(").removesuffix(")").split(","))
                assert (brightness < 380) is (name == "dark"), ground
