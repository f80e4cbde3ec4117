"""Drawing: what is drawn where, on any size of picture, without a font of the system."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from passerby import draw as drawing
from passerby.draw import Style, draw, layout, text


@dataclass(frozen=True)
class Label:
    id: str
    text: str
    score: float = 0.9
    decision: str | None = None


@dataclass(frozen=True)
class Person:
    box_xyxy: np.ndarray
    labels: Sequence[Label] = ()
    colours: Mapping[str, Label] = field(default_factory=dict)
    score: float = 0.8
    note: str | None = None
    uncertain: Sequence[Label] = ()
    judgeable: bool | None = None


LABELS = tuple(
    Label(id=t.lower().replace(" ", "_"), text=t)
    for t in ("Hat", "Glasses", "Long sleeves", "Striped top", "Trousers", "Backpack", "18 to 60", "From the front")
)


def person(*box: float, labels: Sequence[Label] = LABELS, note: str | None = None) -> Person:
    return Person(box_xyxy=np.array(box, np.float32), labels=labels, note=note)


def street(count: int, width: int, height: int) -> list[Person]:
    """Persons of all sizes, some of them half outside."""
    rng = np.random.default_rng(count + width)
    tall = rng.uniform(0.05, 0.7, count) * height
    x, y = rng.uniform(-0.05, 0.95, count) * width, rng.uniform(0, 1, count) * (height - tall)
    return [person(a, b, a + 0.4 * h, b + h) for a, b, h in zip(x, y, tall, strict=True)]


def grey(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), 120, np.uint8)


@pytest.mark.parametrize(
    ("width", "height", "count"),
    [(16, 16, 2), (40, 200, 3), (64, 64, 5), (320, 240, 9), (1280, 720, 7), (1280, 720, 100), (300, 4000, 12)],
)
def test_a_picture_of_any_size_is_drawn_as_a_copy(width: int, height: int, count: int) -> None:
    image = grey(width, height)
    drawn = draw(image, street(count, width, height), scores=True)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert drawn.flags.c_contiguous
    assert (image == 120).all()
    assert (drawn != image).any()


def test_a_huge_picture_gets_letters_that_grow_with_it() -> None:
    drawn = draw(grey(8000, 6000), [person(3000, 1500, 4600, 5600)])
    changed = (drawn != 120).any(axis=2)
    # the panel stands above the person: its share of the picture is what it is on a small one
    assert changed[:1500].any()
    assert changed[:1500].sum() > 400_000


def test_nobody_in_the_picture_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    assert (draw(image, []) == image).all()


def test_views_and_readonly_arrays_are_drawn() -> None:
    image = grey(200, 100)[::-1, ::2]
    image.setflags(write=False)
    assert draw(image, [person(10, 10, 40, 90)]).flags.writeable


def test_each_person_has_a_colour_of_its_own() -> None:
    drawn = draw(grey(1000, 400), [person(40 + 150 * k, 100, 100 + 150 * k, 380, labels=()) for k in range(6)])
    for k in range(6):
        assert (drawn[380, 42 + 150 * k] == drawing.PALETTE[k]).all()
    assert len(set(drawing.PALETTE)) == len(drawing.PALETTE)


def test_the_same_input_gives_the_same_pixels() -> None:
    people = street(9, 640, 480)
    assert (draw(grey(640, 480), people) == draw(grey(640, 480), people)).all()


@pytest.mark.parametrize("box", [(np.nan, 0, 5, 5), (-1e9, -5, 1e9, 1e9), (20, 20, 20, 20), (np.inf, 0, 9, 9)])
def test_a_degenerate_box_does_not_stop_the_drawing(box: tuple[float, ...]) -> None:
    assert draw(grey(100, 80), [person(*box, note="no_pixels")]).shape == (80, 100, 3)


def spots(people: Sequence[Person], width: int, height: int, monkeypatch: pytest.MonkeyPatch) -> list[layout.Rectangle]:
    """The rectangles in which panels were drawn."""
    seen: list[layout.Rectangle] = []
    real = drawing._draw_panel

    def note(picture: np.ndarray, panel: object, place: layout.Rectangle, *rest: object) -> None:
        seen.append(place)
        real(picture, panel, place, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(drawing, "_draw_panel", note)
    draw(grey(width, height), people)
    return seen


def overlap(a: layout.Rectangle, b: layout.Rectangle) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def test_panels_of_a_group_stay_off_each_other_and_off_the_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    people = [person(60 + 175 * k, 250 - 15 * (k % 3), 180 + 175 * k, 620) for k in range(7)]
    placed = spots(people, 1280, 720, monkeypatch)
    assert len(placed) == 7
    for a, b in itertools.combinations(placed, 2):
        assert overlap(a, b) == 0
    for a, p in itertools.product(placed, people):
        x1, y1, x2, y2 = (float(v) for v in p.box_xyxy)
        assert overlap(a, (x1, y1, x2, y1 + 0.25 * (y2 - y1))) < 0.1 * (x2 - x1) * 0.25 * (y2 - y1)


@pytest.mark.parametrize("count", [1, 7, 30, 100])
def test_panels_lie_inside_the_picture(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for x1, y1, x2, y2 in spots(street(count, 900, 600), 900, 600, monkeypatch):
        assert 0 <= x1 < x2 <= 900
        assert 0 <= y1 < y2 <= 600


def test_most_panels_of_a_crowd_stay_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    placed = spots(street(60, 1600, 900), 1600, 900, monkeypatch)
    area = [(r[2] - r[0]) * (r[3] - r[1]) for r in placed]
    free = [k for k, a in enumerate(placed) if sum(overlap(a, b) for b in placed if b is not a) < 0.1 * area[k]]
    assert len(free) >= 0.9 * len(placed)


def test_style_scales_letters_and_can_leave_out_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    people = [person(300, 200, 420, 560)]
    once = draw(grey(800, 600), people)
    twice = draw(grey(800, 600), people, style=Style(scale=2))
    bare = draw(grey(800, 600), [person(300, 200, 420, 560, labels=())], style=Style(numbers=False))
    assert (twice != 120).sum() > 1.5 * (once != 120).sum()
    assert (bare[:190] == 120).all()  # a box and nothing else


def test_chinese_labels_without_a_font_are_drawn_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    assert text.drawable("Hat(帽子)", "hat", chinese=False) == "Hat"
    assert text.drawable("长袖", "long_sleeve", chinese=False) == "long sleeve"
    assert text.drawable("长袖", "袖", chinese=False) == "?"
    assert text.drawable("长袖", "long_sleeve", chinese=True) == "长袖"
    monkeypatch.setattr(drawing, "can_draw_chinese", lambda: False)
    zh = [Label(id="hat", text="Hat(帽子)"), Label(id="long_sleeve", text="长袖")]
    en = [Label(id="hat", text="Hat"), Label(id="long_sleeve", text="long sleeve")]
    box = (100, 100, 180, 300)
    assert (draw(grey(400, 320), [person(*box, labels=zh)]) == draw(grey(400, 320), [person(*box, labels=en)])).all()


@pytest.mark.skipif(not drawing.can_draw_chinese(), reason="no font with Chinese letters on this machine")
def test_chinese_labels_are_drawn_in_chinese() -> None:
    pair = [draw(grey(400, 320), [person(9, 150, 90, 310, labels=[Label(id="x", text=t)])]) for t in ("帽子", "长袖")]
    assert (pair[0] != pair[1]).any()


def test_foreign_texts_are_cut_and_their_control_letters_escaped() -> None:
    assert "\n" not in text.drawable("two\nlines", "x", chinese=False)
    assert len(text.drawable("x" * 500, "x", chinese=False)) <= 50
    wild = [Label(id="x" * 300, text="\x00\u202e" + "y" * 900)]
    assert draw(grey(300, 300), [person(100, 100, 160, 280, labels=wild)]).shape == (300, 300, 3)


def test_wrapping_keeps_every_word_once() -> None:
    widths = [30.0, 80.0, 10.0, 200.0, 40.0, 40.0]
    lines = layout.wrap(widths, space=5, limit=100)
    assert [i for line in lines for i in line] == list(range(6))
    assert all(len(line) == 1 or sum(widths[i] for i in line) + 5 * (len(line) - 1) <= 100 for line in lines)
