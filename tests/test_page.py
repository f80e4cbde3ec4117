# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser, before the service with the shipped models: from a picture to what is downloaded."""

from __future__ import annotations

import csv
import io
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from passerby.cli.output import Csv

from .page_browser import PHONE, STREET, add, browser, downloaded, expect, move, people, visit, wider_than_screen
from .serving_server import Server, running

SHIPPED = "pedestrian_attribute_recognition"
FOUND = 7  # people on the bundled street above the model's own score


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def server(chromium: Any) -> Iterator[Server]:
    with running(pipeline=SHIPPED) as started:
        yield started


@pytest.fixture
def page(chromium: Any, server: Server) -> Iterator[Any]:
    with visit(chromium, server.url) as opened:
        yield opened


@pytest.fixture
def street(page: Any) -> Any:
    """The page with the bundled street, analysed."""
    add(page, STREET)
    people(page, FOUND)
    return page


@pytest.fixture(scope="module")
def asked(server: Server) -> list[dict[str, Any]]:
    """What the service says of the street when a program asks."""
    query = "details=true&visualize=false&labels=en"
    request = urllib.request.Request(
        f"{server.url}/pedestrian-attribute-recognition?{query}",
        data=STREET.read_bytes(),
        headers={"Content-Type": "image/jpeg"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        body = json.load(response)
    found: list[dict[str, Any]] = body["result"]["pedestrians"]
    return found


def pieces(folder: Path) -> Path:
    """Three cuts of the street, a file that is no picture but says so, and one that does not."""
    folder.mkdir()
    street = cv2.imread(str(STREET))
    for name, left in (("1 west", 0), ("2 middle", 380), ("10 east", 700)):
        cv2.imwrite(str(folder / f"{name}.jpg"), street[150:720, left : left + 560])
    (folder / "3 broken.jpg").write_bytes(b"this is text")
    (folder / "notes.txt").write_text("nothing to see", "utf-8")
    return folder


def test_boxes_lie_where_the_service_says(street: Any, asked: list[dict[str, Any]]) -> None:
    picture = street.locator(".frame canvas").bounding_box()
    scale = picture["width"] / 1280
    for number, person in enumerate(asked, 1):
        box = street.locator(f".box[data-number='{number}']").bounding_box()
        x1, y1, x2, y2 = (v * scale for v in person["bbox"])
        placed = [box["x"] - picture["x"], box["y"] - picture["y"], box["width"], box["height"]]
        assert placed == pytest.approx([x1, y1, x2 - x1, y2 - y1], abs=1)


def test_a_person_shows_what_the_service_says(street: Any, asked: list[dict[str, Any]]) -> None:
    for number in (1, 5):
        street.locator(f".box[data-number='{number}']").hover()
        expect(street.locator("#person-title")).to_have_text(f"Person {number}")
        body = asked[number - 1]
        sure = [a["label"] for a in body["attributes"]] + [
            c["label"] for c in body["colours"].values() if c["decision"] == "yes"
        ]
        perhaps = [a["label"] for a in body["uncertain"]] + [
            c["label"] for c in body["colours"].values() if c["decision"] == "uncertain"
        ]
        rows = street.locator("#person > .bars > .yes .bar-name")
        assert sorted(rows.all_inner_texts()) == sorted(sure)
        assert sorted(street.locator("#person > .bars > .perhaps .bar-name").all_inner_texts()) == sorted(perhaps)
        street.locator("#person summary").click()
        assert street.locator("#person .all .bar-row").count() == len(body["probabilities"])
        street.locator("#person summary").click()


def test_sliders_and_filter_act_without_another_request(street: Any) -> None:
    move(street, "#detection-slider", 85)
    few = street.locator(".box").count()
    move(street, "#detection-slider", 10)
    many = street.locator(".box").count()
    assert few < FOUND < many
    expect(street.locator(".card-person")).to_have_count(many)
    move(street, "#detection-slider", 50)
    street.click("#by_threshold")
    move(street, "#attribute-slider", 90)
    assert street.locator("#person > .bars > .perhaps").count() == 0
    high = street.locator("#person > .bars > .yes").count()
    move(street, "#attribute-slider", 10)
    expect(street.locator("#attribute-value")).to_have_text("10%")
    assert street.locator("#person > .bars > .yes").count() > high
    street.click("#by_model")
    expect(street.locator("#person > .bars > .perhaps").first).to_be_visible()
    assert len(street.watch.posts) == 1


def told(person: dict[str, Any]) -> set[str]:
    """What the page takes as likely: what the service tells, as sure or as uncertain."""
    return {found["label"] for kind in ("attributes", "uncertain") for found in person[kind]}


def test_the_filter_understands_a_sentence(street: Any, asked: list[dict[str, Any]]) -> None:
    both = [n for n, person in enumerate(asked, 1) if {"Trousers", "Hat"} <= told(person)]
    assert 0 < len(both) < FOUND
    street.fill("#filter-text", "trousers and hat")
    street.keyboard.press("Enter")
    expect(street.locator(".chip")).to_have_text(["with Trousers", "with Hat"])
    expect(street.locator(".card-person")).to_have_count(len(both))
    assert street.locator(".box.dim").count() == FOUND - len(both)
    street.click(".chip >> text=with Trousers")
    street.click(".chip >> text=with Hat")
    street.fill("#filter-text", "no hat")
    street.click("text=Add >> nth=-1")
    street.click("#counts-sure")
    no = [n for n, person in enumerate(asked, 1) if person["decisions"]["hat"] == "no"]
    expect(street.locator("#people-count")).to_have_text(f"{len(no)} of {FOUND} match")
    assert [int(n.get_attribute("data-number")) for n in street.locator(".card-person").all()] == no
    street.fill("#filter-text", "umbrella")
    street.keyboard.press("Enter")
    expect(street.locator("#filter-problem")).to_have_text("No attribute is called “umbrella”.")


SENTENCES = {
    "backpack and no hat": [("backpack", True), ("hat", False)],
    "Boots without glasses": [("boots", True), ("glasses", False)],
    "blue top, long sleeves; -hats": [("upper_blue", True), ("long_sleeve", True), ("hat", False)],
    "背包，没有帽子": [("backpack", True), ("hat", False)],
}


def test_ways_to_say_a_filter(street: Any) -> None:
    for text, conditions in SENTENCES.items():
        read = street.evaluate(
            """async (text) => {
              const { readFilter } = await import("/page/persons.js");
              const { state } = await import("/page/store.js");
              return readFilter(text, state.facts.labels);
            }""",
            text,
        )
        assert [(c["id"], c["wanted"]) for c in read["conditions"]] == conditions
        assert not read["unknown"]
        assert not read["several"]


def test_downloads_hold_what_is_shown(street: Any, asked: list[dict[str, Any]]) -> None:
    body = json.loads(downloaded(street, "#download-json"))
    (picture,) = body["pictures"]
    assert picture["input"] == "street.jpg"
    assert picture["size"] == [1280, 720]
    for person, told in zip(picture["persons"], asked, strict=True):
        assert person["bbox"] == pytest.approx(told["bbox"], abs=0.01)
        assert person["decisions"] == told["decisions"]
        assert person["probabilities"] == told["probabilities"]
    move(street, "#detection-slider", 90)
    shown = street.locator(".box").count()
    lines = list(csv.reader(io.StringIO(downloaded(street, "#download-csv").decode("utf-8-sig"))))
    assert lines[0] == [*Csv.columns, *asked[0]["probabilities"], *Csv.decided]
    assert len(lines) == 1 + shown
    jpeg = np.frombuffer(downloaded(street, "#download-picture"), np.uint8)
    drawn, plain = cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.imread(str(STREET))
    assert drawn.shape == plain.shape
    changed = np.abs(drawn.astype(int) - plain).max(axis=2) > 60
    x1, _, _, y2 = (int(v) for v in asked[0]["bbox"])
    assert changed[y2 - 40, x1 - 3 : x1 + 4].any()
    assert changed.mean() < 0.2


def test_a_picture_is_pasted(page: Any) -> None:
    page.evaluate(
        """async () => {
          const blob = await (await fetch("page/street.jpg")).blob();
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File([blob], "image.png", { type: "image/jpeg" }));
          document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
        }"""
    )
    people(page, FOUND)


def test_the_bundled_street_is_one_click_away(page: Any) -> None:
    page.click("[data-open=street]")
    people(page, FOUND)
    assert page.title() == "street.jpg · passerby"
    expect(page.locator("#announced")).to_have_text(f"{FOUND} people found in street.jpg.")


def test_a_folder_is_gone_through(page: Any, tmp_path: Path) -> None:
    page.locator("#folder-input").set_input_files(pieces(tmp_path / "holiday"))
    expect(page.locator(".strip-words")).to_have_text("4 of 4 pictures done · 1 failed")
    expect(page.locator("#toast")).to_have_text("1 file that is not a picture was left out.")
    names = [name.split(",")[0] for name in page.locator(".thumb").evaluate_all("all => all.map((n) => n.ariaLabel)")]
    assert names == [f"holiday/{name}.jpg" for name in ("1 west", "2 middle", "3 broken", "10 east")]
    page.locator(".thumb").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#picture-name")).to_have_text("holiday/2 middle.jpg")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".trouble")).to_contain_text("This file is not a picture")
    page.fill("#filter-text", "shorts")  # the boy in the middle of the street
    page.keyboard.press("Enter")
    matching = page.locator(".thumb.done:not(.dim)").count()
    assert 0 < matching < 3
    page.check("[data-go=only]")
    expect(page.locator(".thumb")).to_have_count(matching + 1)  # the one looked at stays
    body = json.loads(downloaded(page, "#download-json-all"))
    assert [bool(p.get("persons")) for p in body["pictures"]].count(True) == matching
    assert body["pictures"][2]["error"]["name"] == "image_unknown"
    page.click("[data-go=clear]")
    expect(page.locator("#start")).to_be_visible()


def test_a_dropped_folder_is_read_to_the_bottom(page: Any, tmp_path: Path) -> None:
    (tmp_path / "outer").mkdir()
    inner = pieces(tmp_path / "outer" / "inner")
    point = {"x": 400, "y": 300}
    data = {"items": [], "files": [str(tmp_path / "outer"), str(inner / "1 west.jpg")], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    session.send("Input.dispatchDragEvent", {"type": "dragEnter", **point, "data": data})
    expect(page.locator("#dropping")).to_be_visible()
    for event in ("dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": event, **point, "data": data})
    expect(page.locator(".strip-words")).to_have_text("5 of 5 pictures done · 1 failed")
    expect(page.locator("#dropping")).to_be_hidden()


def test_the_keyboard_is_enough(street: Any) -> None:
    street.locator(".box[tabindex='0']").focus()
    street.keyboard.press("ArrowRight")
    expect(street.locator(".box.at")).to_have_attribute("data-number", "2")
    expect(street.locator("#person-title")).to_have_text("Person 2")
    street.keyboard.press("End")
    expect(street.locator(".box:focus")).to_have_attribute("data-number", str(FOUND))
    street.keyboard.press("Enter")
    expect(street.locator("#person")).to_be_focused()
    street.keyboard.press("Escape")
    expect(street.locator("#person")).to_be_hidden()
    expect(street.locator(".box:focus")).to_have_attribute("data-number", str(FOUND))
    street.locator("#download").focus()
    street.keyboard.press("Enter")
    street.keyboard.press("ArrowDown")
    expect(street.locator("#download-json")).to_be_focused()
    street.keyboard.press("Escape")
    expect(street.locator("#downloads")).to_be_hidden()
    expect(street.locator("#download")).to_be_focused()


@pytest.mark.timeout(300)
def test_a_phone(chromium: Any, server: Server) -> None:
    for width in (320, 375):
        with visit(chromium, server.url, **{**PHONE, "viewport": {"width": width, "height": 700}}) as page:
            assert page.locator("[data-open=photograph] >> nth=0").is_visible()
            assert not wider_than_screen(page)
            page.tap("[data-open=street]")
            people(page, FOUND)
            page.tap(".box[data-number='1']")
            sheet = page.locator("#person").bounding_box()
            assert sheet["y"] + sheet["height"] == pytest.approx(700, abs=1)
            assert page.locator(".box[data-number='1']").bounding_box()["y"] < sheet["y"]
            page.tap("[data-role=close]")
            expect(page.locator("#person")).to_be_hidden()
            page.tap("#controls > summary")
            page.tap("#filter-all > summary")
            expect(page.locator(".choice").last).to_be_visible()
            assert not wider_than_screen(page)


def test_words_and_labels_in_chinese(chromium: Any, server: Server) -> None:
    with visit(chromium, server.url, locale="zh-CN") as page:
        add(page, STREET)
        people(page, FOUND)
        expect(page.locator("#people-count")).to_have_text(f"{FOUND} 人")
        expect(page.locator("[data-label=trousers] .bar-name").first).to_have_text("长裤")
        page.click("#language")
        expect(page.locator("[data-label=trousers] .bar-name").first).to_have_text("Trousers")
        page.reload()  # the choice is remembered, the picture is not
        expect(page.locator("h1 >> nth=0")).to_have_text("What are the people in your picture wearing?")


def test_both_languages_say_everything(page: Any) -> None:
    missing = page.evaluate(
        """async () => {
          const { en } = await import("/page/words_en.js");
          const { zh } = await import("/page/words_zh.js");
          return [...Object.keys(en).filter((k) => !(k in zh)), ...Object.keys(zh).filter((k) => !(k in en))];
        }"""
    )
    assert missing == []


def test_dark_and_light(chromium: Any, server: Server) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with visit(chromium, server.url, color_scheme="dark") as page:
        dark = page.evaluate(ground)
        page.click("#theme")  # light, whatever the system says
        light = page.evaluate(ground)
        page.reload()
        assert page.evaluate(ground) == light != dark
        page.click("#theme")
        assert page.evaluate(ground) == dark
