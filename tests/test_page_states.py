# SPDX-License-Identifier: Apache-2.0
"""The page when something is in the way: a key, a busy or missing service, pictures too large, turned or not pictures.

The networks are tiny; what they find means nothing, and a slider at its lowest shows some of it.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from passerby.decode import decode_image

from . import tiny
from .page_browser import DESKTOP, PHONE, STREET, add, browser, downloaded, expect, move, serious, visit
from .serving_server import Server, running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def server(chromium: Any) -> Iterator[Server]:
    with running() as started:
        yield started


@pytest.fixture
def page(chromium: Any, server: Server) -> Iterator[Any]:
    with visit(chromium, server.url) as opened:
        yield opened


def photo(path: Path, *, seed: int = 0, height: int = 240, width: int = 320) -> Path:
    cv2.imwrite(str(path), tiny.picture(seed, height=height, width=width))
    return path


def done(page: Any) -> None:
    expect(page.locator("#picture-facts")).to_have_text(re.compile(r"\d+ × \d+ pixels"))


def test_a_model_without_ranges_says_yes_or_no(page: Any, tmp_path: Path) -> None:
    add(page, photo(tmp_path / "a.png"))
    done(page)
    assert page.locator(".box").count() > 0
    assert page.locator("#person > .bars > .perhaps").count() == 0


def test_nobody_is_said_plainly(page: Any, tmp_path: Path) -> None:
    add(page, photo(tmp_path / "a.png"))
    done(page)
    move(page, "#detection-slider", 99)
    expect(page.locator(".empty-note")).to_contain_text("Nobody above this detection score.")


@pytest.mark.timeout(300)
def test_a_key_is_asked_for_and_kept_in_memory_alone(chromium: Any, tmp_path: Path) -> None:
    key = "correct-horse-battery"
    with running("--api-key", key) as server, visit(chromium, server.url) as page:
        add(page, photo(tmp_path / "a.png"), photo(tmp_path / "b.png"))
        expect(page.locator("#key")).to_be_visible()
        assert not serious(page)
        (tmp_path / "b.png").unlink()
        page.fill("#key-field", "wrong-horse-battery")
        page.keyboard.press("Enter")
        expect(page.locator("#key-wrong")).to_be_visible()
        page.fill("#key-field", key)
        page.keyboard.press("Enter")
        done(page)
        expect(page.locator("#key")).to_be_hidden()
        page.click(".thumb >> nth=1")
        expect(page.locator(".trouble")).to_contain_text("The file can no longer be read.")
        kept = page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])")
        assert key not in kept
        page.reload()
        page.locator("#choose-input").set_input_files(str(tmp_path / "a.png"))
        expect(page.locator("#key")).to_be_visible()
        page.click("#key-cancel")
        expect(page.locator("#paused")).to_contain_text("asks for a key")


@pytest.mark.timeout(300)
def test_a_busy_service_is_asked_again(chromium: Any, tmp_path: Path) -> None:
    with running("--rate-limit", "0.15") as server, visit(chromium, server.url) as page:
        add(page, photo(tmp_path / "a.png"))
        done(page)
        add(page, photo(tmp_path / "b.png", seed=1))
        expect(page.locator(".busy-note")).to_contain_text("The service is busy. Trying again in")
        expect(page.locator(".thumb.done")).to_have_count(2)
        assert 429 in [line["status"] for line in server.log()]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_service_that_went_away_is_waited_for(chromium: Any, tmp_path: Path) -> None:
    with running() as server:
        url, port = server.url, server.port
        with visit(chromium, url) as page:
            server.signal()
            assert server.exit_code() == 0
            add(page, photo(tmp_path / "a.png"))
            expect(page.locator("#paused")).to_contain_text("cannot be reached")
            assert not serious(page)
            with running("--port", str(port)):
                done(page)
                expect(page.locator("#paused")).to_be_hidden()


NO_PICTURES = {
    "letter.txt": (b"dear", "This file is not a picture."),
    "letter.jpg": (b"dear", "This file is not a picture, or of a kind that is unknown here."),
    "empty.png": (b"", "The file is empty."),
    "half.jpg": (STREET.read_bytes()[:90_000], "The file is not complete: its end is missing."),
    "paper.png": (b"%PDF-1.7\n%...\n", "This kind of file is not read. Save it as JPEG or PNG and try again."),
}


def test_what_is_no_picture_says_so(page: Any) -> None:
    add(page, *({"name": name, "mimeType": "", "buffer": body} for name, (body, _) in NO_PICTURES.items()))
    expect(page.locator(".strip-words")).to_have_text("5 of 5 pictures done · 5 failed")
    for name, (_, said) in NO_PICTURES.items():
        page.click(f".thumb[aria-label^='{name}']")
        expect(page.locator("#picture-name")).to_have_text(name)
        expect(page.locator(".trouble p").first).to_have_text(said)
    assert not serious(page)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_picture_too_large_for_the_service_is_made_smaller(chromium: Any, tmp_path: Path) -> None:
    """By bytes or by pixels; boxes and downloads are for the original all the same."""
    large = photo(tmp_path / "large.bmp", height=3000, width=4000)
    for flags in (("--max-body", "2M"), ("--max-pixels", "5000000")):
        with running(*flags) as server, visit(chromium, server.url) as page:
            add(page, large)
            done(page)
            expect(page.locator("#picture-note")).to_contain_text(
                "Too large for the service: it was asked about a copy"
            )
            expect(page.locator("#picture-facts")).to_have_text("4000 × 3000 pixels")
            assert not page.locator(".trouble").count()
            move(page, "#detection-slider", 10)
            (body,) = json.loads(downloaded(page, "#download-json"))["pictures"]
            assert body["size"] == [4000, 3000]
            assert max(max(person["bbox"]) for person in body["persons"]) > 2400


def test_a_picture_that_the_browser_cannot_show_has_boxes_all_the_same(page: Any, tmp_path: Path) -> None:
    add(page, photo(tmp_path / "scan.tif"))
    done(page)
    expect(page.locator("#picture-note")).to_contain_text("This browser cannot show this kind of file.")
    expect(page.locator(".box").first).to_be_attached()


DECODED = """async ([bytes, type]) => {
  const { decode } = await import("/page/pictures.js");
  const file = new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], "turned", { type });
  const bitmap = await decode(file);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  return [bitmap.width, bitmap.height, [...context.getImageData(0, 0, bitmap.width, bitmap.height).data]];
}"""


@pytest.mark.parametrize("suffix", ["jpeg", "png", "webp"])
def test_browser_and_service_turn_pictures_alike(page: Any, suffix: str) -> None:
    """A quarter of another colour each, and the orientation in Exif: the page shows what the service sees."""
    quarters = np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 255)]], np.uint8)
    pixels = np.kron(quarters, np.ones((32, 48, 1), np.uint8))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, suffix, exif=exif, quality=95)
        seen = decode_image(file.getvalue())[:, :, ::-1]
        given = [base64.b64encode(file.getvalue()).decode("ascii"), f"image/{suffix}"]
        width, height, painted = page.evaluate(DECODED, given)
        assert (height, width) == seen.shape[:2], orientation
        shown = np.array(painted, np.uint8).reshape(height, width, 4)[:, :, :3]
        assert np.abs(shown.astype(int) - seen).max(axis=2).mean() < 8, orientation


def test_markup_in_names_is_text(page: Any, tmp_path: Path) -> None:
    """Names of files and folders, and what is typed into the filter (S12)."""
    name = "<img src=x onerror=alert(1)>&lt;b&gt;\"'=.png"
    folder = tmp_path / "<svg onload=alert(2)>"
    folder.mkdir()
    photo(tmp_path / "a.png").rename(folder / name)
    (folder / "<script>alert(3)<").write_text("x", "utf-8")
    (folder / "b<b>.png").write_bytes(b"no picture")
    page.locator("#folder-input").set_input_files(folder)
    expect(page.locator(".strip-words")).to_have_text("2 of 2 pictures done · 1 failed")
    names = [n.get_attribute("aria-label") for n in page.locator(".thumb").all()]
    assert any(f"{folder.name}/{name}" in label for label in names)
    for thumb in page.locator(".thumb").all():
        thumb.click()
        assert page.locator("#picture-name").inner_text() in " ".join(names)
    page.fill("#filter-text", "<img src=x onerror=alert(4)>")
    page.keyboard.press("Enter")
    expect(page.locator("#filter-problem")).to_contain_text("<img src=x onerror=alert")
    assert page.locator("main img[src=x], main script, main svg[onload]").count() == 0
    assert json.loads(downloaded(page, "#download-json-all"))["pictures"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("screen", "scheme"),
    [(DESKTOP, "light"), pytest.param(PHONE, "dark", marks=pytest.mark.slow)],
    ids=["light desktop", "dark phone"],
)
def test_nothing_serious_for_axe(
    chromium: Any, server: Server, tmp_path: Path, screen: dict[str, Any], scheme: str
) -> None:
    with visit(chromium, server.url, color_scheme=scheme, **screen) as page:
        assert not serious(page)
        broken = tmp_path / "c.jpg"
        broken.write_bytes(b"x")
        add(page, photo(tmp_path / "a.png"), photo(tmp_path / "b.png", seed=1), broken)
        expect(page.locator(".strip-words")).to_have_text("3 of 3 pictures done · 1 failed")
        page.evaluate("document.querySelector('#controls').open = true")
        move(page, "#detection-slider", 10)
        page.fill("#filter-text", "no hat and hats")
        page.keyboard.press("Enter")
        page.click("#filter-all > summary")
        page.click("#by_threshold")
        assert not serious(page)
        page.click("[data-go=next], .strip-buttons [data-go='1']")
        page.click(".chip")
        if page.locator("#person").is_hidden():
            page.locator(".card-person").first.click()
        page.click("#person summary")
        page.click("#download")
        assert not serious(page)


def test_every_module_is_announced_to_the_browser(page: Any) -> None:
    """Modules that import each other are loaded in one go, not one after the other."""
    folder = Path(__file__).parents[1] / "src/passerby/serving/page"
    announced = re.findall(r'modulepreload" href="page/([\w.]+)"', (folder / "index.html").read_text("utf-8"))
    assert sorted([*announced, "main.js"]) == sorted(path.name for path in folder.glob("*.js"))
