"""A frame and its persons become a picture for people: boxes, and readable labels beside them.

Everything scales with the picture, and with the person where a crowd is small. A panel holds the number of the
person in the result (from 1) and its labels; where there is no room, fewer labels, in the end only the number.
Drawing needs no network and no font of the system, see `text`. Colours in here are BGR.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import shown
from ..types import BoxesXyxy, ImageBgr
from .boxes import Colour, clipped, draw_corners, draw_dashes
from .layout import ACCEPTABLE, Rectangle, Spot, best_spot, wrap
from .text import can_draw_chinese, drawable, font, is_plain, text_width

__all__ = ["Style", "can_draw_chinese", "draw"]


class LabelLike(Protocol):
    """A label that holds: `text` is drawn, `id` stands in where its letters cannot be drawn."""

    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def decision(self) -> str | None: ...


class PersonLike(Protocol):
    """What is drawn of a person; `result.Person` is one."""

    @property
    def box_xyxy(self) -> BoxesXyxy: ...
    @property
    def score(self) -> float: ...
    @property
    def labels(self) -> Sequence[LabelLike]: ...
    @property
    def colours(self) -> Mapping[str, LabelLike]: ...
    @property
    def note(self) -> str | None: ...
    @property
    def uncertain(self) -> Sequence[LabelLike]: ...
    @property
    def judgeable(self) -> bool | None: ...


# Bright, and as far from each other as twelve can be; light enough for dark letters on top.
PALETTE: tuple[Colour, ...] = tuple(
    (int(c[4:6], 16), int(c[2:4], 16), int(c[0:2], 16))
    for c in "35B6FF FFB000 3DDC97 FF6FA3 B79CFF F4E04D FF8552 5CE1E6 F29CFF A6E05A FFC6A5 8FB4FF".split()
)

NOTES = {
    "no_pixels": "cannot be judged",
    "too_small": "too small to be sure",
    "cut_by_frame": "cut by the frame",
    "unclear": "too unclear to judge",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a picture is drawn.

    Attributes:
        scale: 1 is the size chosen from the picture; 2 doubles letters and lines.
        opacity: of the panels, 0 to 1.
        numbers: put each person's number (from 1, as in the result) on its panel.
        palette: BGR colours, used in turn.
    """

    scale: float = 1.0
    opacity: float = 0.78
    numbers: bool = True
    palette: tuple[Colour, ...] = field(default=PALETTE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    """A piece of a panel's text: `chip` is the number on the person's colour, `dim` the note, `faint` if unsure."""

    text: str
    chip: bool = False
    dim: bool = False
    faint: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """Words broken into lines, measured: `size_wh` includes the margins, px."""

    words: tuple[_Word, ...]
    lines: tuple[tuple[int, ...], ...]
    size_px: int
    size_wh: tuple[int, int]
    chinese: bool
    dropped: int


SPACE = 0.84  # between two words, in letter sizes
PANEL_BGR = np.array([30, 24, 22], np.float32)
TEXT_BGR = np.array([250, 248, 246], np.float32)
DIM_BGR = np.array([120, 205, 255], np.float32)
FAINT = 150  # of 255: how strongly the letters of an unsure label are laid on
DARK_BGR = np.array([28, 22, 20], np.float32)


def draw(
    image_bgr: ImageBgr, persons: Sequence[PersonLike], *, scores: bool = False, style: Style | None = None
) -> ImageBgr:
    """Draw persons on a copy of their frame.

    What is uncertain is written faintly with a question mark, and goes first where room is short. Somebody who cannot
    be judged has a dashed box, and why that is in place of all that would be uncertain.

    Args:
        image_bgr: (H, W, 3) uint8 BGR; stays untouched.
        persons: in the order of the result. scores: write the probabilities behind the texts.
    Returns:
        (H, W, 3) uint8 BGR, C-contiguous, a new array.
    """
    style = style or Style()
    picture: ImageBgr = np.array(image_bgr, np.uint8, order="C", copy=True)
    height, width = picture.shape[:2]
    boxes = clipped([person.box_xyxy for person in persons], width, height)
    unit = max(1.0, style.scale * float(np.sqrt(width * height)) / 960)
    colours = [style.palette[k % len(style.palette)] for k in range(len(persons))]
    for k in reversed(range(len(persons))):
        draw_box = draw_dashes if persons[k].judgeable is False else draw_corners
        draw_box(picture, boxes[k], colours[k], unit)
    if min(width, height) >= 48:  # below that no letter can be read
        _draw_panels(picture, persons, boxes, colours, scores=scores, style=style)
    return picture


def _draw_panels(
    picture: ImageBgr,
    persons: Sequence[PersonLike],
    boxes: NDArray[np.float64],
    colours: Sequence[Colour],
    *,
    scores: bool,
    style: Style,
) -> None:
    height, width = picture.shape[:2]
    base = style.scale * float(np.sqrt(width * height)) / 66  # 14.5 px on 1280x720
    placed: list[Rectangle] = []
    # Big persons choose first: they are what the picture is about, and small ones have more free ground around.
    order = sorted(range(len(persons)), key=lambda k: -(boxes[k, 3] - boxes[k, 1]))
    for k in order:
        size_px = max(9, round(base * _person_factor(boxes[k], height, len(persons))))
        panels = _panels(persons[k], k, size_px, boxes[k], count=len(persons), scores=scores, style=style)
        others = np.delete(boxes, k, axis=0)
        found = _place(panels, boxes[k], (width, height), size_px, placed, others)
        if found is None:
            continue
        panel, spot = found
        placed.append(spot.rectangle)
        _draw_leader(picture, spot.rectangle, boxes[k], colours[k], max(1, round(size_px / 10)))
        _draw_panel(picture, panel, spot.rectangle, colours[k], style.opacity)


def _person_factor(box: NDArray[np.float64], image_height: int, count: int) -> float:
    """Letters shrink a little with small persons, and more in a crowd."""
    share = (box[3] - box[1]) / (0.45 * image_height)
    crowd = 1.0 if count <= 8 else max(0.7, (8 / count) ** 0.2)
    return float(np.clip(share**0.3, 0.72, 1.0)) * crowd


def _words(person: PersonLike, number: int, *, scores: bool, style: Style) -> tuple[list[_Word], bool]:
    """The words of a panel, number first, and whether they need the Chinese font."""
    chinese = can_draw_chinese()
    labels = [*person.labels, *person.colours.values(), *person.uncertain]
    if person.judgeable is False:
        labels = [label for label in labels if label.decision != "uncertain"]
    labels.sort(key=lambda label: label.decision == "uncertain")  # what is sure stays first and in its order
    texts = [drawable(label.text, label.id, chinese=chinese) for label in labels]
    needs = not all(is_plain(t) for t in texts)
    faint = [label.decision == "uncertain" for label in labels]
    texts = [f"{text}?" if unsure else text for text, unsure in zip(texts, faint, strict=True)]
    if scores:
        texts = [f"{text} {label.score:.2f}" for text, label in zip(texts, labels, strict=True)]
    words = [_Word(text=text, faint=unsure) for text, unsure in zip(texts, faint, strict=True)]
    if person.note:
        note = drawable(NOTES.get(person.note, shown(person.note)), person.note, chinese=False)
        # of somebody who cannot be judged this is what must be read, whatever the room
        words.insert(0 if person.judgeable is False else len(words), _Word(text=note, dim=True))
    if style.numbers:
        chip = f"{number + 1}  {person.score:.2f}" if scores else str(number + 1)
        words.insert(0, _Word(text=chip, chip=True))
    return words, needs


def _panels(
    person: PersonLike,
    number: int,
    size_px: int,
    box: NDArray[np.float64],
    *,
    count: int,
    scores: bool,
    style: Style,
) -> list[_Panel]:
    """Panels to try, the fullest first; each number of labels in a wide, a middle and a narrow form."""
    words, chinese = _words(person, number, scores=scores, style=style)
    if not words:
        return []
    room = (box[3] - box[1]) / size_px
    most = len(words) if room > 9 else max(1, int(room / 1.6))
    if count > 12:
        most = min(most, 1 if count > 40 else 5)
    panels = []
    for kept in sorted({most, (most + 1) // 2 + 1, 1}, reverse=True):
        if kept > most:
            continue
        chosen = words[:kept]
        limits = [letters * 0.55 * size_px for letters in (24, 17, 11)]
        panels += [_measure(chosen, size_px, limit, chinese, dropped=len(words) - kept) for limit in limits]
    return panels


def _measure(words: Sequence[_Word], size_px: int, limit: float, chinese: bool, *, dropped: int) -> _Panel:
    widths = [text_width(w.text, size_px, chinese=chinese) + (0.8 * size_px if w.chip else 0) for w in words]
    space = SPACE * size_px
    lines = wrap(widths, space=space, limit=limit)
    inner = max(sum(widths[i] for i in line) + space * (len(line) - 1) for line in lines)
    only_chip = len(words) == 1 and words[0].chip
    margin = 0.0 if only_chip else 0.5 * size_px
    line_height = 1.42 * size_px
    return _Panel(
        words=tuple(words),
        lines=tuple(tuple(line) for line in lines),
        size_px=size_px,
        size_wh=(int(np.ceil(inner + 2 * margin)), int(np.ceil(line_height * len(lines) + 1.2 * margin))),
        chinese=chinese,
        dropped=dropped,
    )


def _place(
    panels: Sequence[_Panel],
    box: NDArray[np.float64],
    image_wh: tuple[int, int],
    size_px: int,
    placed: Sequence[Rectangle],
    people: NDArray[np.float64],
) -> tuple[_Panel, Spot] | None:
    """The panel with the most labels that finds an acceptable spot, else the one that does least harm."""
    own: Rectangle = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
    found: list[tuple[float, int, _Panel, Spot]] = []
    for rank, panel in enumerate(panels):
        spot = best_spot(own, panel.size_wh, image_wh=image_wh, gap=0.35 * size_px, panels=placed, people=people)
        if spot is None:
            continue
        found.append((spot.cost + 0.08 * (rank % 3), panel.dropped, panel, spot))
    for dropped in sorted({entry[1] for entry in found}):
        group = [entry for entry in found if entry[1] == dropped]
        cost, _, panel, spot = min(group, key=lambda entry: entry[0])
        if cost < ACCEPTABLE or dropped == max(entry[1] for entry in found):
            return panel, spot
    return None


def _draw_leader(picture: ImageBgr, panel: Rectangle, box: NDArray[np.float64], colour: Colour, thickness: int) -> None:
    """A line from a panel that stands off to its person."""
    dx = max(panel[0] - box[2], box[0] - panel[2], 0)
    dy = max(panel[1] - box[3], box[1] - panel[3], 0)
    if max(dx, dy) < 6 * thickness + 4:
        return
    start = (int(np.clip((box[0] + box[2]) / 2, panel[0], panel[2])), int(np.clip(box[1], panel[1], panel[3])))
    end = (int(np.clip(start[0], box[0], box[2])), int(np.clip(start[1], box[1], box[3])))
    cv2.line(picture, start, end, colour, thickness, cv2.LINE_AA)


def _draw_panel(picture: ImageBgr, panel: _Panel, place: Rectangle, colour: Colour, opacity: float) -> None:
    """Blend a rounded dark panel, its words and the coloured number into the picture."""
    x, y = int(place[0]), int(place[1])
    width, height = panel.size_wh
    size, only_chip = panel.size_px, len(panel.words) == 1 and panel.words[0].chip
    target = picture[y : y + height, x : x + width]
    height, width = target.shape[:2]
    patch = target.astype(np.float32)
    margin = 0.0 if only_chip else 0.5 * size
    if not only_chip:
        _blend(patch, _rounded(width, height, 0.42 * size), PANEL_BGR, opacity)
        edge = _rounded(width, height, 0.42 * size)
        edge[:, max(2, round(0.2 * size)) :] = 0
        _blend(patch, edge, np.array(colour, np.float32), 1.0)
    letters = _letter_masks(panel, width, height, margin)
    if letters.chip is not None:
        cx, cy, cw, ch = letters.chip
        part = patch[cy : cy + ch, cx : cx + cw]
        _blend(part, _rounded(part.shape[1], part.shape[0], 0.36 * size), np.array(colour, np.float32), 1.0)
    for mask, ink in ((letters.text, TEXT_BGR), (letters.dim, DIM_BGR), (letters.on_chip, DARK_BGR)):
        _blend(patch, mask, ink, 1.0)
    target[:] = np.clip(patch + 0.5, 0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Letters:
    """Coverage (h, w) in [0, 1] of a panel's letters by ink, and the rectangle x, y, w, h of the number's chip."""

    text: NDArray[np.float32]
    dim: NDArray[np.float32]
    on_chip: NDArray[np.float32]
    chip: tuple[int, int, int, int] | None


def _letter_masks(panel: _Panel, width: int, height: int, margin: float) -> _Letters:
    from PIL import Image, ImageDraw

    masks = [Image.new("L", (width, height), 0) for _ in range(3)]
    pens = [ImageDraw.Draw(mask) for mask in masks]
    face, size = font(panel.size_px, chinese=panel.chinese), panel.size_px
    chip: tuple[int, int, int, int] | None = None
    y = 0.6 * margin
    for line in panel.lines:
        x = margin
        baseline = y + 1.05 * size
        for position, index in enumerate(line):
            word = panel.words[index]
            length = text_width(word.text, size, chinese=panel.chinese)
            if word.chip:
                chip = (round(x), round(y + 0.07 * size), round(length + 0.8 * size), round(1.28 * size))
                pens[2].text((x + 0.4 * size, baseline), word.text, font=face, fill=255, anchor="ls")
                x += length + (0.8 + SPACE) * size
                continue
            if position > 0 and not panel.words[line[position - 1]].chip:
                # A faint dot keeps "Short sleeves" and "Glasses" apart.
                pens[0].text((x - 0.42 * size, baseline), "·", font=face, fill=150, anchor="ms")
            ink = FAINT if word.faint else 255
            pens[1 if word.dim else 0].text((x, baseline), word.text, font=face, fill=ink, anchor="ls")
            x += length + SPACE * size
        y += 1.42 * size
    text, dim, on_chip = (np.asarray(mask, np.float32) / np.float32(255) for mask in masks)
    return _Letters(text=text, dim=dim, on_chip=on_chip, chip=chip)


def _rounded(width: int, height: int, radius: float) -> NDArray[np.float32]:
    """Coverage (height, width) in [0, 1] of a rectangle with round corners: signed distance, one px of ramp."""
    x = np.abs(np.arange(width) + 0.5 - width / 2) - (width / 2 - radius)
    y = np.abs(np.arange(height) + 0.5 - height / 2) - (height / 2 - radius)
    distance = np.hypot(x.clip(0)[None, :], y.clip(0)[:, None]) - radius
    return np.asarray(np.clip(0.5 - distance, 0, 1), np.float32)


def _blend(patch: NDArray[np.float32], mask: NDArray[np.float32], ink: NDArray[np.float32], opacity: float) -> None:
    """Lay ink (3,) on a float patch (h, w, 3) in place, as strongly as the mask (h, w) says."""
    share = (mask * np.float32(opacity))[:, :, None]
    patch += share * (ink - patch)
