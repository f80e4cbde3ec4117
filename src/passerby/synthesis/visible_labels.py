# SPDX-License-Identifier: Apache-2.0
"""Labels from what can be seen: what a person wears is known, visible pixels decide whether the picture shows it.

1: it is there and enough of it is visible. 0: it is not there and the place where it would be is visible, or the
person's own body hides it. -1: that place is cut off, hidden by something else, or too small or blurred to tell.
The order of labels is that of the shipped model: `models.pa100k.LABELS`, then `COLOUR_LABELS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..models.pa100k import COLOUR_LABELS, COLOURS
from ..models.pa100k import LABELS as ATTRIBUTE_LABELS
from . import fabric
from .parts import LOWER, PART_IDS, PARTS, UPPER
from .people import PersonSpec
from .scene import BAND_IDS, BANDS, Figure, Layer

LABELS = (*ATTRIBUTE_LABELS, *COLOUR_LABELS)
UNKNOWN = -1
VIEWS = ("front", "side", "back")
AGES = ("age_under_18", "age_18_60", "age_over_60")
SLEEVES = ("short_sleeve", "long_sleeve")
LOWER_GARMENTS = {"trousers": ("lower", "legwear"), "shorts": ("shorts",), "skirt_dress": ("skirt", "dress")}
BAGS = {
    "backpack": ("backpack", "backpack_strap"),
    "shoulder_bag": ("shoulder_bag", "shoulder_strap"),
    "hand_bag": ("hand_bag",),
    "hold_objects_in_front": ("held",),
}
# What must be in the picture to say that something is not there.
BAG_PLACES = {
    "backpack": ("chest",),
    "shoulder_bag": ("chest", "hips"),
    "hand_bag": ("forearms", "thighs"),
    "hold_objects_in_front": ("forearms", "chest"),
}
# Upright height of a person in px, after blur, from which a kind of label can be read.
READABLE_PX = {"shape": 34.0, "pattern": 55.0, "detail": 80.0, "glasses": 105.0}
# Mean sRGB of the visible person below which nothing of the kind can be told.
DARKEST = {"shape": 0.075, "pattern": 0.09, "colour": 0.17}
LEAST_CONTRAST = 0.09  # of a pattern's colours
SIDE_DEGREES, DOUBT_DEGREES = (45.0, 135.0), 7.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a picture shows of a person, in px of the native picture.

    Attributes:
        whole, seen: (P, B) of parts and bands, without anything in front and uncut, and as it is in the picture.
        marked_whole, marked_seen: (P,) px of parts that show their pattern's sign.
        contrast: (P,) how much the colours of a sign differ from each other or from the rest of the part, 0..1 sRGB.
        yaw: degrees between the trunk's direction and the way to the camera, in [-180, 180).
        sharp_px: height of the whole person over the spread of a point; what is smaller is not readable.
        brightness: mean sRGB of the visible person, 0..1.
        grey: no colours in the picture.
    """

    whole: NDArray[np.float64]
    seen: NDArray[np.float64]
    marked_whole: NDArray[np.float64]
    marked_seen: NDArray[np.float64]
    contrast: NDArray[np.float64]
    yaw: float
    sharp_px: float
    brightness: float
    grey: bool = False

    def part(self, *names: str) -> float:
        """Visible px of parts."""
        return float(sum(self.seen[PART_IDS[name]].sum() for name in names))

    def part_whole(self, *names: str) -> float:
        return float(sum(self.whole[PART_IDS[name]].sum() for name in names))

    def band_share(self, *names: str) -> float:
        """Visible share of bands of the body; 0 where the body itself hides them all."""
        rows = [BAND_IDS[name] for name in names]
        return float(self.seen[:, rows].sum() / max(self.whole[:, rows].sum(), 1e-9))

    @property
    def total(self) -> float:
        return float(self.whole.sum())

    @property
    def visible_share(self) -> float:
        return float(self.seen.sum() / max(self.total, 1e-9))


def count_pixels(layer: Layer, visible: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """The five tables of `Evidence` by name, from a layer's fine pictures. visible: (H*fine, W*fine) bool."""
    size = (len(PARTS) + 1, len(BANDS) + 1)
    codes = layer.parts.astype(np.int64) * size[1] + layer.bands
    there = layer.parts > 0
    share = 1 / layer.fine**2

    def table(where: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(codes[where], minlength=size[0] * size[1]).reshape(size) * share, np.float64)

    def marked(where: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(layer.parts[where & layer.marks], minlength=size[0]) * share, np.float64)

    return {
        "whole": table(there),
        "seen": table(there & visible),
        "marked_whole": marked(there),
        "marked_seen": marked(there & visible),
        "contrast": _contrast(layer, there & visible),
    }


def _contrast(layer: Layer, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    found = np.zeros(len(PARTS) + 1)
    for part in np.unique(layer.parts[where & layer.marks]):
        mine = where & (layer.parts == part)
        sign = np.sqrt(layer.albedo[mine & layer.marks])  # sRGB is nearly a root
        rest = np.sqrt(layer.albedo[mine & ~layer.marks])
        found[part] = sign.std(axis=0).max()
        if len(rest):
            found[part] = max(found[part], np.abs(sign.mean(axis=0) - rest.mean(axis=0)).max())
    return found


def view_of(yaw: float) -> str | None:
    """front, side or back by the trunk's yaw; None near a border.

    >>> [view_of(a) for a in (0, -90, 170, 46)]
    ['front', 'side', 'back', None]
    """
    turn = abs((yaw + 180) % 360 - 180)
    if any(abs(turn - border) < DOUBT_DEGREES for border in SIDE_DEGREES):
        return None
    return VIEWS[int(np.searchsorted(SIDE_DEGREES, turn))]


def visible_labels(evidence: Evidence, spec: PersonSpec, figure: Figure) -> NDArray[np.int8]:
    """The labels (C,) int8 of a rendered person, in the order of `LABELS`."""
    worn = frozenset(spec.attributes)
    told: dict[str, int] = {}
    _whole_person(told, evidence, worn)
    _head(told, evidence, worn)
    _clothes(told, evidence, worn)
    _patterns(told, evidence, worn, figure)
    _bags(told, evidence, worn)
    _colour(told, evidence, "upper", spec.upper_colour, UPPER - {"inner"})
    _colour(told, evidence, "lower", spec.lower_colour, LOWER - {"coat", "legwear"})
    return np.array([told.get(label.id, UNKNOWN) for label in LABELS], np.int8)


def _one_of(told: dict[str, int], members: Iterable[str], chosen: str | None) -> None:
    """Tell an exclusive group; None tells nothing."""
    if chosen is not None:
        told.update({member: int(member == chosen) for member in members})


def _first(worn: frozenset[str], members: Iterable[str]) -> str | None:
    return next((member for member in members if member in worn), None)


def _whole_person(told: dict[str, int], seen: Evidence, worn: frozenset[str]) -> None:
    trunk = seen.band_share("chest", "hips")
    if seen.sharp_px < READABLE_PX["shape"] or seen.brightness < DARKEST["shape"]:
        return
    if trunk > 0.3:
        _one_of(told, VIEWS, view_of(seen.yaw))
    if seen.band_share("head") > 0.5 or (trunk > 0.5 and seen.visible_share > 0.5):
        told["female"] = int("female" in worn)
        if seen.sharp_px > READABLE_PX["pattern"] or "age_18_60" in worn:
            _one_of(told, AGES, _first(worn, AGES))


def _head(told: dict[str, int], seen: Evidence, worn: frozenset[str]) -> None:
    head = seen.band_share("head")
    if seen.sharp_px < READABLE_PX["pattern"] or seen.brightness < DARKEST["shape"]:
        return
    covered = (
        seen.part("hat", "hood") > 0.003 * seen.total
    )  # a hood worn up counts, as in the guide of labelling by eye
    if "hat" in worn or covered:
        told["hat"] = 1 if covered else UNKNOWN
    elif head > 0.5 and not seen.part_whole("hood"):
        told["hat"] = 0
    if seen.sharp_px < READABLE_PX["glasses"] or abs((seen.yaw + 180) % 360 - 180) > 115:
        return
    if "glasses" in worn:
        told["glasses"] = 1 if seen.part("glasses") >= 4 and seen.brightness > 0.12 else UNKNOWN
    elif seen.part("eyes") > 0.6 and head > 0.6:
        told["glasses"] = 0


def _clothes(told: dict[str, int], seen: Evidence, worn: frozenset[str]) -> None:
    if seen.sharp_px < READABLE_PX["shape"] or seen.brightness < DARKEST["shape"]:
        return
    if seen.sharp_px > 45 and seen.band_share("upper_arms", "forearms") > 0.35:
        _one_of(told, SLEEVES, _first(worn, SLEEVES))
    lower = _first(worn, LOWER_GARMENTS)
    if lower is not None and seen.band_share("thighs", "shins") > 0.3 and seen.band_share("shins") > 0.25:
        kinds = LOWER_GARMENTS[lower]
        _one_of(told, LOWER_GARMENTS, lower if seen.part(*kinds) > 0.012 * seen.total else None)
    if seen.band_share("hips", "thighs") > 0.5:
        told["long_coat"] = int("long_coat" in worn)
    if seen.sharp_px < READABLE_PX["detail"] or seen.band_share("feet") < 0.4:
        return
    if "boots" in worn:
        shaft = seen.seen[PART_IDS["boots"], BAND_IDS["shins"]]
        told["boots"] = 1 if shaft > 0.003 * seen.total else UNKNOWN
    else:
        told["boots"] = 0


def _patterns(told: dict[str, int], seen: Evidence, worn: frozenset[str], figure: Figure) -> None:
    if seen.sharp_px < READABLE_PX["pattern"] or seen.brightness < DARKEST["pattern"]:
        return
    for where, parts, band in (("upper", UPPER - {"inner"}, "chest"), ("lower", LOWER - {"coat", "legwear"}, "thighs")):
        names = {label.id for label in ATTRIBUTE_LABELS if label.id.startswith(f"{where}_")}
        whole, visible = seen.part_whole(*parts), seen.part(*parts)
        if whole < 0.02 * seen.total or visible < 0.45 * whole or seen.band_share(band) < 0.4:
            continue
        told.update(dict.fromkeys(names - worn, 0))
        for name in names & worn:
            told[name] = _pattern(name, parts, seen, figure, visible)


def _pattern(name: str, parts: frozenset[str], seen: Evidence, figure: Figure, visible: float) -> int:
    """One pattern that is worn: 1, 0 where the body itself hides it, -1."""
    where = name.partition("_")[0]
    looks = [
        mesh.look
        for mesh in figure.meshes
        if mesh.part in parts and fabric.PATTERN_LABELS.get(mesh.look.pattern, {}).get(where) == name
    ]
    if not looks:  # it is in the garment's picture: prints are on the chest
        if name != "upper_logo":
            return 1 if seen.sharp_px > READABLE_PX["detail"] else UNKNOWN
        return {"front": 1, "back": 0}.get(view_of(seen.yaw) or "", UNKNOWN)
    period_px = min(look.period for look in looks) / 10 * seen.sharp_px / max(figure.height_m, 0.5)
    fine = name in ("upper_stripe", "upper_plaid") and period_px < 2.5
    rows = [PART_IDS[part] for part in parts]
    marked, whole = seen.marked_seen[rows].sum(), seen.marked_whole[rows].sum()
    contrast = seen.contrast[rows].max() * min(1.0, seen.brightness / 0.2)
    enough = max(8.0, (0.10 if name in ("upper_stripe", "upper_plaid", "upper_splice") else 0.012) * visible)
    if marked >= enough and contrast >= LEAST_CONTRAST and not fine:
        return 1
    return 0 if whole < 0.2 * enough or seen.contrast[rows].max() < 0.25 * LEAST_CONTRAST else UNKNOWN


def _bags(told: dict[str, int], seen: Evidence, worn: frozenset[str]) -> None:
    if seen.sharp_px < READABLE_PX["pattern"] or seen.brightness < DARKEST["pattern"]:
        return
    for label, parts in BAGS.items():
        if label not in worn:
            if seen.band_share(*BAG_PLACES[label]) > 0.5 and seen.visible_share > 0.45:
                told[label] = 0
            continue
        enough = max(8.0, 0.006 * seen.total)
        visible, whole = seen.part(*parts), seen.part_whole(*parts)
        if visible >= enough:
            told[label] = 1
        elif whole < 0.3 * enough and seen.visible_share > 0.8:
            told[label] = 0


def _colour(told: dict[str, int], seen: Evidence, where: str, word: str | None, parts: Iterable[str]) -> None:
    """Tell a colour group where the garment is visible in enough light."""
    if word not in COLOURS or seen.grey or seen.brightness < DARKEST["colour"] or seen.sharp_px < READABLE_PX["shape"]:
        return
    if seen.part(*parts) > 0.03 * seen.total and seen.part(*parts) > 0.3 * seen.part_whole(*parts):
        _one_of(told, [f"{where}_{colour}" for colour in COLOURS], f"{where}_{word}")


def part_shares(evidence: Evidence) -> Mapping[str, float]:
    """Visible share of each part that the whole person shows, for `crops.csv`."""
    shares = {}
    for name in PARTS:
        whole = evidence.part_whole(name)
        if whole > 0:
            shares[name] = round(evidence.part(name) / whole, 3)
    return shares
