# SPDX-License-Identifier: Apache-2.0
"""Make the pictures of the page for the documentation: `python -m tests.page_pictures`.

They show the bundled, rendered street and nothing else; needs what the tests of the page need.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from .page_browser import PHONE, browser, people, visit
from .serving_server import running

IMAGES = Path(__file__).parents[1] / "docs" / "images"
LARGEST_BYTES = 400_000


def keep(screenshot: bytes, name: str) -> None:
    """Write a screenshot with as many colours as the size allows."""
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    for colours in (256, 192, 128, 96, 64):
        file = io.BytesIO()
        picture.quantize(colours, method=Image.Quantize.MAXCOVERAGE, kmeans=2).save(file, "PNG", optimize=True)
        if file.tell() < LARGEST_BYTES:
            break
    (IMAGES / name).write_bytes(file.getvalue())
    print(f"{name}: {picture.width} x {picture.height}, {file.tell()} bytes, {colours} colours")


def main() -> None:
    """Two pictures: a desktop and a phone."""
    with running(pipeline="pedestrian_attribute_recognition") as server, browser() as chromium:
        with visit(chromium, server.url, viewport={"width": 1240, "height": 840}) as page:
            page.click("[data-open=street]")
            people(page, 7)
            page.mouse.move(1235, 830)
            keep(page.screenshot(), "page.png")
        with visit(chromium, server.url, **PHONE) as page:
            page.tap("[data-open=street]")
            people(page, 7)
            page.tap(".box[data-number='1']")
            keep(page.screenshot(), "page-phone.png")


if __name__ == "__main__":
    main()
