# SPDX-License-Identifier: Apache-2.0
"""PETA and Market-1501 in passerby's label ids, for measuring only: their terms allow research and nothing else.

Both sets label a person and not a picture, so a bag can be out of sight in some of them. The rules below say which of
their words answer which of our labels; labels with no fair counterpart stay unknown. Sources: the label lists of
"Pedestrian Attribute Recognition At Far Distance" (Deng et al., 2014) and of "Improving Person Re-identification by
Attribute and Identity Learning" (Lin et al., 2019), as they stand in the files.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .crop_sets import AbsentError, CropSet

LOWER_WORDS = ("Trousers", "Jeans", "Suits", "Shorts", "HotPants", "ShortSkirt", "LongSkirt", "Capri")
FOOTWEAR = ("Boots", "Shoes", "Sneakers", "Sneaker", "LeatherShoes", "Sandals")
SLEEVES = ("ShortSleeve", "NoSleeve", "LongSleeve")
AGES = ("Less15", "Less30", "Less45", "Less60", "Larger60")
# things in the hands that the word list does not place: in front of the body, or at the side
OTHER_LOADS = ("Other", "BabyBuggy", "ShoppingTro", "Umbrella", "PlasticBags")


@dataclass(frozen=True, slots=True, kw_only=True)
class PetaRule:
    """How the words of one part of PETA's tags answer a label.

    Attributes:
        part: what the tags begin with.
        known: words that show that the part was looked at; empty: any tag of the part.
        yes: words that make the label true.
        unsure: words that make a "no" unknown.
    """

    part: str
    known: tuple[str, ...] = ()
    yes: tuple[str, ...]
    unsure: tuple[str, ...] = ()

    def value(self, tags: frozenset[str]) -> int:
        """1, 0 or -1 for one person's tags."""
        known = _has(tags, self.part, self.known) if self.known else any(t.startswith(self.part) for t in tags)
        if not known:
            return -1
        if _has(tags, self.part, self.yes):
            return 1
        return -1 if _has(tags, self.part, self.unsure) else 0


def _has(tags: frozenset[str], part: str, words: Sequence[str]) -> bool:
    return any(part + word in tags for word in words)


PETA_RULES: Mapping[str, PetaRule] = {
    "hat": PetaRule(part="accessory", yes=("Hat",)),
    "glasses": PetaRule(part="accessory", yes=("Sunglasses",)),  # clear glasses were never annotated
    "short_sleeve": PetaRule(part="upperBody", known=SLEEVES, yes=("ShortSleeve", "NoSleeve")),
    "long_sleeve": PetaRule(part="upperBody", known=SLEEVES, yes=("LongSleeve",)),
    "upper_stripe": PetaRule(part="upperBody", yes=("ThinStripes", "ThickStripes")),
    "upper_logo": PetaRule(part="upperBody", yes=("Logo",)),
    "upper_plaid": PetaRule(part="upperBody", yes=("Plaid",)),
    "lower_stripe": PetaRule(part="lowerBody", known=LOWER_WORDS, yes=("ThinStripes", "ThickStripes")),
    "lower_pattern": PetaRule(part="lowerBody", known=LOWER_WORDS, yes=("Plaid", "Logo")),
    "trousers": PetaRule(part="lowerBody", known=LOWER_WORDS, yes=("Trousers", "Jeans", "Suits"), unsure=("Capri",)),
    "shorts": PetaRule(part="lowerBody", known=LOWER_WORDS, yes=("Shorts", "HotPants"), unsure=("Capri",)),
    "skirt_dress": PetaRule(part="lowerBody", known=LOWER_WORDS, yes=("ShortSkirt", "LongSkirt")),
    "boots": PetaRule(part="footwear", known=FOOTWEAR, yes=("Boots",)),
    "hand_bag": PetaRule(part="carrying", yes=("PlasticBags", "Suitcase"), unsure=("Other",)),
    "shoulder_bag": PetaRule(part="carrying", yes=("MessengerBag",), unsure=("Other",)),
    "backpack": PetaRule(part="carrying", yes=("Backpack",)),
    "hold_objects_in_front": PetaRule(part="carrying", yes=("Folder",), unsure=OTHER_LOADS),
    "age_under_18": PetaRule(part="personal", known=AGES, yes=("Less15",)),
    "age_18_60": PetaRule(part="personal", known=AGES, yes=("Less30", "Less45", "Less60")),
    "age_over_60": PetaRule(part="personal", known=AGES, yes=("Larger60",)),
    "female": PetaRule(part="personal", known=("Male", "Female"), yes=("Female",)),
}
VIEWS = ("front", "side", "back")
PETA_COLOURS = ("Black", "Blue", "Brown", "Green", "Grey", "Orange", "Pink", "Purple", "Red", "White", "Yellow")


def peta_view(subset: str, stem: str) -> str:
    """`front`, `side` or `back` where a file's name tells it, else ""."""
    if subset == "MIT":
        return {"fore": "front", "back": "back"}.get(stem.rpartition("_")[2], "")
    if subset == "SARC3D":
        return {"front": "front", "back": "back", "left": "side", "right": "side"}.get(
            stem.rpartition("_")[2].lower(), ""
        )
    if subset == "VIPeR":
        return {"0": "front", "90": "side", "180": "back"}.get(stem.split("_")[1], "")
    return ""


def peta(root: Path) -> CropSet:
    """All pictures of PETA whose person has tags; the ten sub-sets are the division `subset`.

    Args:
        root: folder with one folder a sub-set, in each `archive/` with pictures and `Label.txt`.
    """
    folders = sorted(root.glob("*/archive/Label.txt"))
    if not folders:
        raise AbsentError(f"PETA: no sub-set in {root.parent.name}/{root.name} (snake719/ML_data, `PETA dataset`)")
    rows = [row for label_file in folders for row in _peta_subset(label_file)]
    return _crop_set("peta", rows)


Row = tuple[Path, str, str, dict[str, int]]  # picture, sub-set, person, labels


def _peta_subset(label_file: Path) -> Iterator[Row]:
    """The rows of one sub-set. A line of `Label.txt` names a file, its stem or its first number, zeros or not."""
    folder, subset = label_file.parent, label_file.parents[1].name
    tags: dict[str, frozenset[str]] = {}
    for line in label_file.read_text("latin-1").splitlines():
        name, *words = line.split() or [""]
        if name:
            tags[name] = frozenset(words)
            tags.setdefault(_number(name.partition(".")[0]), frozenset(words))
    for path in sorted(folder.iterdir()):
        if path == label_file:
            continue
        person = path.stem.partition("_")[0]
        found = next((tags[k] for k in (path.name, path.stem, person, _number(person)) if k in tags), None)
        if found is not None:
            yield path, subset, f"{subset}_{person}", _peta_labels(found, peta_view(subset, path.stem))


def _number(text: str) -> str:
    return text.lstrip("0") or "0"


def _peta_labels(tags: frozenset[str], view: str) -> dict[str, int]:
    labels = {label: rule.value(tags) for label, rule in PETA_RULES.items()}
    if {"personalMale", "personalFemale"} <= tags:
        labels["female"] = -1
    if view:
        labels |= {name: int(name == view) for name in VIEWS}
    for part, ours in (("upperBody", "upper"), ("lowerBody", "lower")):
        named = [colour.lower() for colour in PETA_COLOURS if part + colour in tags]
        labels |= _colour_labels(ours, named, known=[colour.lower() for colour in PETA_COLOURS])
    return labels


def _colour_labels(part: str, named: Sequence[str], *, known: Sequence[str]) -> dict[str, int]:
    """A garment of exactly one named colour has it and not the others; any other garment stays unknown."""
    return {f"{part}_{c}": int(c == named[0]) if len(named) == 1 else -1 for c in known}


# our label, their field, the value that means yes (fields hold 1 and 2, age 1 to 4)
MARKET_FIELDS = (
    ("hat", "hat", 2),
    ("short_sleeve", "up", 2),
    ("long_sleeve", "up", 1),
    ("hand_bag", "handbag", 2),
    ("shoulder_bag", "bag", 2),
    ("backpack", "backpack", 2),
    ("female", "gender", 2),
    ("age_over_60", "age", 4),
)
MARKET_UPPER = ("black", "white", "red", "purple", "yellow", "gray", "blue", "green")
MARKET_LOWER = ("black", "white", "pink", "purple", "yellow", "gray", "blue", "green", "brown")
TEENAGER = 2  # "teenager" in the list, in the pictures mostly students: neither of our ages


def market1501(pictures: Path, attributes: Path) -> CropSet:
    """The training pictures of Market-1501 with the labels of their persons.

    Args:
        pictures: folder of `0002_c1s1_000451_03.jpg` and its like.
        attributes: `market_attribute.mat`.
    """
    files = sorted(pictures.glob("*.jpg"))
    if not files:
        raise AbsentError(f"Market-1501: no pictures in {pictures} (parth1620/Person-Re-Id-Dataset, `train`)")
    if not attributes.is_file():
        raise AbsentError(f"Market-1501: no {attributes.name} (vana77/Market-1501_Attribute)")
    persons = _market_persons(attributes)
    rows = [(f, "market1501", f"market_{f.name[:4]}", persons[f.name[:4]]) for f in files if f.name[:4] in persons]
    return _crop_set("market1501", rows)


def _market_persons(path: Path) -> dict[str, dict[str, int]]:
    try:
        loadmat: Callable[..., Any] = importlib.import_module("scipy.io").loadmat
    except ImportError:
        raise AbsentError("Market-1501: reading market_attribute.mat needs scipy") from None
    train = loadmat(str(path), struct_as_record=False, squeeze_me=True)["market_attribute"].train
    return {
        str(person): market_labels({name: int(getattr(train, name)[row]) for name in _market_names()})
        for row, person in enumerate(train.image_index)
    }


def _market_names() -> tuple[str, ...]:
    single = {name for _, name, _ in MARKET_FIELDS} | {"clothes", "down"}
    return (*sorted(single), *(f"up{c}" for c in MARKET_UPPER), *(f"down{c}" for c in MARKET_LOWER))


def market_labels(fields: Mapping[str, int]) -> dict[str, int]:
    """Our labels from the fields of one person."""
    labels = {label: int(fields[name] == yes) for label, name, yes in MARKET_FIELDS}
    dress = fields["clothes"] == 1  # then `down` tells the length of the dress, not trousers from shorts
    labels |= {"skirt_dress": int(dress)}
    labels |= {"trousers": int(not dress and fields["down"] == 1), "shorts": int(not dress and fields["down"] == 2)}
    young = fields["age"] == TEENAGER
    labels |= {"age_under_18": -1 if young else int(fields["age"] == 1)}
    labels |= {"age_18_60": -1 if young else int(fields["age"] == 3)}
    for ours, theirs, colours in (("upper", "up", MARKET_UPPER), ("lower", "down", MARKET_LOWER)):
        named = [c.replace("gray", "grey") for c in colours if fields[theirs + c] == 2]
        labels |= _colour_labels(ours, named, known=[c.replace("gray", "grey") for c in colours])
    return labels


def _crop_set(name: str, rows: Sequence[Row]) -> CropSet:
    ids = sorted({label for row in rows for label in row[3]})
    table = np.array([[row[3].get(label, -1) for label in ids] for row in rows], np.int8)  # (N, C)
    targets: dict[str, NDArray[np.int8]] = {label: table[:, column] for column, label in enumerate(ids)}
    return CropSet(
        name=name,
        files=tuple(row[0] for row in rows),
        boxes=(None,) * len(rows),
        targets=targets,
        clusters=np.array([row[2] for row in rows]),
        groups={"subset": np.array([row[1] for row in rows])},
    )
