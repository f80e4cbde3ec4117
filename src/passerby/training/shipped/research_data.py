# SPDX-License-Identifier: Apache-2.0
"""PETA and Market-1501 in our labels, for the research variant alone: their terms allow research and nothing else.

The default models never see them: nothing is read here unless `train_attributes.py prepare --sources all` asks for it,
and `refuse_research` stops the default when a picture of them turns up under another label table. Both sets label
persons and not pictures, so a bag can be out of sight; a label that their words do not answer is unknown (-1).

Word lists: Deng et al., Pedestrian Attribute Recognition At Far Distance, 2014; Lin et al., Improving Person
Re-identification by Attribute and Identity Learning, 2019; both as they stand in the files.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError
from .attribute_data import UNKNOWN, PersonBox, in_hash_val
from .attribute_labels import COLOUR_WORDS, LABELS

SUBSETS = ("3DPeS", "CAVIAR4REID", "CUHK", "GRID", "i-LID", "MIT", "PRID", "SARC3D", "TownCentre", "VIPeR")
RESEARCH_SOURCES = (*(f"peta-{name}" for name in SUBSETS), "market1501")
LABEL_FILE = "Label.txt"
PETA_FOLDER = Path("peta") / "PETA dataset"
MARKET_FOLDER = Path("market1501") / "train"
MARKET_ATTRIBUTES = Path("market1501_attributes") / "market_attribute.mat"
# Relative chance of a picture to be drawn: all 14,700 training pictures together then count like 2,200 crops and do not
# outvote the 3,300 that somebody looked at one by one.
RESEARCH_CROP = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class PetaPicture:
    """One picture of PETA.

    Attributes:
        path: of the file. subset: one of `SUBSETS`.
        person: first number of the file's name, without zeros in front; in CUHK and MIT every picture has its own.
        tags: what `Label.txt` says about the person, for example `upperBodyBlue`.
    """

    path: Path
    subset: str
    person: str
    tags: frozenset[str]


def read_peta(root: Path) -> list[PetaPicture]:
    """All pictures with tags: sub-sets by name without regard to case, in each the files by name.

    That is the order of the rows of PETA.mat, in which the published splits count.

    Args:
        root: folder with one folder a sub-set, in each `archive/` with the pictures and `Label.txt`.
    Raises:
        DatasetError: `dataset_missing`, no sub-set is there.
    """
    found = sorted(root.glob(f"*/archive/{LABEL_FILE}"), key=lambda file: file.parents[1].name.lower())
    if not found:
        hint = "PETA is in github.com/snake719/ML_data, folder `PETA dataset`"
        raise DatasetError("dataset_missing", "no sub-set of PETA is there", input=str(root), hint=hint)
    return [picture for file in found for picture in _read_subset(file)]


def _read_subset(label_file: Path) -> Iterator[PetaPicture]:
    """A line of `Label.txt` names a file, its stem, or its first number with zeros in front or without."""
    tags: dict[str, frozenset[str]] = {}
    for line in label_file.read_text("latin-1").splitlines():
        name, *words = line.split() or [""]
        if name:
            tags[name] = frozenset(words)
            tags.setdefault(_number(name.partition(".")[0]), frozenset(words))
    for path in sorted(label_file.parent.iterdir()):
        person = path.stem.partition("_")[0]
        found = next((tags[k] for k in (path.name, path.stem, person, _number(person)) if k in tags), None)
        if path != label_file and found is not None:
            yield PetaPicture(path=path, subset=label_file.parents[1].name, person=_number(person), tags=found)


def _number(text: str) -> str:
    return text.lstrip("0") or "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """How words behind a part's name answer a label: looked at when any of `known` is there (empty: any word of the
    part), true for any of `yes`, otherwise unknown for any of `unsure` and false without."""

    part: str
    yes: tuple[str, ...]
    known: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()

    def answer(self, tags: frozenset[str]) -> int:
        words = {tag.removeprefix(self.part) for tag in tags if tag.startswith(self.part)}
        if not (words & set(self.known) if self.known else words):
            return -1
        return 1 if words & set(self.yes) else -1 if words & set(self.unsure) else 0


_SLEEVES = ("ShortSleeve", "NoSleeve", "LongSleeve")
_LOWER = ("Trousers", "Jeans", "Suits", "Shorts", "HotPants", "ShortSkirt", "LongSkirt", "Capri")
_FEET = ("Boots", "Shoes", "Sneakers", "Sneaker", "LeatherShoes", "Sandals")
_AGES = ("Less15", "Less30", "Less45", "Less60", "Larger60")
_STRIPES = ("ThinStripes", "ThickStripes")
# in the hands or at the side, the words do not say: then "holds nothing in front" is unknown
_IN_HAND = ("Other", "BabyBuggy", "ShoppingTro", "Umbrella", "PlasticBags")

PETA_RULES: Mapping[str, _Rule] = {
    "hat": _Rule(part="accessory", yes=("Hat",)),
    "glasses": _Rule(part="accessory", yes=("Sunglasses",)),  # clear glasses were never annotated
    "short_sleeve": _Rule(part="upperBody", known=_SLEEVES, yes=("ShortSleeve", "NoSleeve")),
    "long_sleeve": _Rule(part="upperBody", known=_SLEEVES, yes=("LongSleeve",)),
    "upper_stripe": _Rule(part="upperBody", yes=_STRIPES),
    "upper_logo": _Rule(part="upperBody", yes=("Logo",)),
    "upper_plaid": _Rule(part="upperBody", yes=("Plaid",)),
    "lower_stripe": _Rule(part="lowerBody", known=_LOWER, yes=_STRIPES),
    "lower_pattern": _Rule(part="lowerBody", known=_LOWER, yes=("Plaid", "Logo")),
    "trousers": _Rule(part="lowerBody", known=_LOWER, yes=("Trousers", "Jeans", "Suits"), unsure=("Capri",)),
    "shorts": _Rule(part="lowerBody", known=_LOWER, yes=("Shorts", "HotPants"), unsure=("Capri",)),
    "skirt_dress": _Rule(part="lowerBody", known=_LOWER, yes=("ShortSkirt", "LongSkirt")),
    "boots": _Rule(part="footwear", known=_FEET, yes=("Boots",)),
    "hand_bag": _Rule(part="carrying", yes=("PlasticBags", "Suitcase"), unsure=("Other",)),
    "shoulder_bag": _Rule(part="carrying", yes=("MessengerBag",), unsure=("Other",)),
    "backpack": _Rule(part="carrying", yes=("Backpack",)),
    "hold_objects_in_front": _Rule(part="carrying", yes=("Folder",), unsure=_IN_HAND),
    "age_under_18": _Rule(part="personal", known=_AGES, yes=("Less15",)),
    "age_18_60": _Rule(part="personal", known=_AGES, yes=("Less30", "Less45", "Less60")),
    "age_over_60": _Rule(part="personal", known=_AGES, yes=("Larger60",)),
    "female": _Rule(part="personal", known=("Male", "Female"), yes=("Female",)),
}
VIEWS = ("front", "side", "back")
_VIEW_WORDS = {
    "MIT": {"fore": "front", "back": "back"},
    "SARC3D": {"front": "front", "back": "back", "left": "side", "right": "side"},
    "VIPeR": {"0": "front", "90": "side", "180": "back"},
}


def peta_labels(picture: PetaPicture) -> dict[str, int]:
    """Our label ids to 1, 0 or -1; labels that PETA has no word for are left out."""
    labels = {label: rule.answer(picture.tags) for label, rule in PETA_RULES.items()}
    if {"personalMale", "personalFemale"} <= picture.tags:
        labels["female"] = -1
    words = picture.path.stem.split("_")
    place = 1 if picture.subset == "VIPeR" else -1
    view = _VIEW_WORDS.get(picture.subset, {}).get(words[place].lower() if len(words) > 1 else "")
    if view:
        labels |= {name: int(name == view) for name in VIEWS}
    for part, ours in (("upperBody", "upper"), ("lowerBody", "lower")):
        labels |= _colours(ours, [c for c in COLOUR_WORDS if part + c.capitalize() in picture.tags], without=("beige",))
    return labels


def _colours(part: str, named: Sequence[str], *, without: Sequence[str]) -> dict[str, int]:
    """A garment of exactly one colour has it and none of the others; of any other nothing is known.

    Args:
        without: colours that the set has no word for: they stay unknown.
    """
    if len(named) != 1:
        return {}
    return {f"{part}_{c}": int(c == named[0]) for c in COLOUR_WORDS if c not in without}


# our label, their field, the value that means yes: fields hold 1 and 2, age 1 to 4
_MARKET_FIELDS = (
    ("hat", "hat", 2),
    ("short_sleeve", "up", 2),
    ("long_sleeve", "up", 1),
    ("hand_bag", "handbag", 2),
    ("shoulder_bag", "bag", 2),
    ("backpack", "backpack", 2),
    ("female", "gender", 2),
    ("age_over_60", "age", 4),
)
_MARKET_COLOURS = {
    "up": ("black", "white", "red", "purple", "yellow", "gray", "blue", "green"),
    "down": ("black", "white", "pink", "purple", "yellow", "gray", "blue", "green", "brown"),
}
_MARKET_NAMES = (
    *sorted({field for _, field, _ in _MARKET_FIELDS} | {"clothes", "down"}),
    *(part + colour for part, colours in _MARKET_COLOURS.items() for colour in colours),
)
_TEENAGER = 2  # by its name a teenager, in the pictures mostly students: neither of our ages


def market_labels(fields: Mapping[str, int]) -> dict[str, int]:
    """Our label ids to 1, 0 or -1 from the fields of one person."""
    labels = {label: int(fields[field] == yes) for label, field, yes in _MARKET_FIELDS}
    dress = fields["clothes"] == 1  # `down` is then the length of the dress
    labels |= {"skirt_dress": int(dress), "trousers": int(not dress and fields["down"] == 1)}
    labels |= {"shorts": int(not dress and fields["down"] == 2)}
    for label, age in (("age_under_18", 1), ("age_18_60", 3)):
        labels[label] = -1 if fields["age"] == _TEENAGER else int(fields["age"] == age)
    for part, ours in (("up", "upper"), ("down", "lower")):
        there = [c.replace("gray", "grey") for c in _MARKET_COLOURS[part]]
        named = [c for c in there if fields[part + c.replace("grey", "gray")] == 2]
        labels |= _colours(ours, named, without=[c for c in COLOUR_WORDS if c not in there])
    return labels


def read_market(attributes: Path) -> dict[str, dict[str, int]]:
    """Labels of the training persons of Market-1501 by their four digits.

    Args:
        attributes: `market_attribute.mat`.
    Raises:
        DatasetError: `dataset_missing`, the file is not there; what `read_mat` says.
    """
    if not attributes.is_file():
        hint = "it is in github.com/vana77/Market-1501_Attribute"
        raise DatasetError("dataset_missing", "there is no such file", input=str(attributes), hint=hint)
    train = read_mat(attributes)["market_attribute"].train
    return {
        str(person): market_labels({name: int(getattr(train, name)[row]) for name in _MARKET_NAMES})
        for row, person in enumerate(train.image_index)
    }


def read_mat(path: Path) -> dict[str, Any]:
    """A MATLAB file as scipy reads it: structures as objects, single values without their dimensions.

    Raises:
        DatasetError: `dataset_invalid`, scipy is missing or the file is none.
    """
    try:
        scipy_io: Any = importlib.import_module("scipy.io")
    except ImportError:
        happened, hint = "reading a MATLAB file needs scipy", "pip install scipy"
        raise DatasetError("dataset_invalid", happened, input=str(path), hint=hint) from None
    try:
        return dict(scipy_io.loadmat(str(path), struct_as_record=False, squeeze_me=True))
    except (OSError, ValueError, NotImplementedError, scipy_io.matlab.MatReadError) as reason:
        raise DatasetError("dataset_invalid", f"no MATLAB file ({reason})", input=str(path)) from None


def row_of(labels: Mapping[str, int]) -> tuple[float, ...]:
    """(LABEL_COUNT,) targets in the order of the model's outputs; what is not named is unknown."""
    return tuple(float(labels.get(label.id, UNKNOWN)) for label in LABELS)


def research_persons(research: Path, *, most: int = 6) -> tuple[list[PersonBox], dict[str, Path]]:
    """Persons of PETA and Market-1501 for the attribute network, the whole picture as their box.

    A person is val by the hash rule of `in_hash_val` over sub-set and number, so no person is on both sides; the key
    of its pictures is the person, so that folds and calibration keep them together too. A sub-set is a source of its
    own (`peta-VIPeR`), which `--without` can hold out.

    Args:
        research: folder with `peta/PETA dataset`, `market1501/train` and `market1501_attributes`.
        most: pictures of one person, spread evenly over all there are: TownCentre has up to hundreds.
    Returns:
        the persons, and for each source the folder that its pictures lie in.
    Raises:
        DatasetError: as `read_peta` and `read_market`; `dataset_missing`, no pictures of Market-1501.
    """
    rows = [(f"peta-{p.subset}", p.path, f"peta-{p.subset}_{p.person}", p) for p in read_peta(research / PETA_FOLDER)]
    persons = [_person(source, path, key, peta_labels(picture)) for source, path, key, picture in _spread(rows, most)]
    table = read_market(research / MARKET_ATTRIBUTES)
    pictures = sorted((research / MARKET_FOLDER).glob("*.jpg"))
    if not pictures:
        hint = "they are in github.com/parth1620/Person-Re-Id-Dataset, folder `train`"
        raise DatasetError("dataset_missing", "no pictures", input=str(research / MARKET_FOLDER), hint=hint)
    market = [("market1501", p, f"market1501_{p.name[:4]}", table[p.name[:4]]) for p in pictures if p.name[:4] in table]
    persons += [_person(source, path, key, labels) for source, path, key, labels in _spread(market, most)]
    folders = {source: path.parent for source, path, *_ in (*rows, *market)}
    return persons, folders


def _spread(rows: Sequence[tuple[str, Path, str, Any]], most: int) -> list[tuple[str, Path, str, Any]]:
    """At most so many rows of a key, evenly spread, in the order of before."""
    places: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        places.setdefault(row[2], []).append(number)
    kept: list[int] = []
    for numbers in places.values():
        chosen = np.linspace(0, len(numbers) - 1, min(most, len(numbers))).round().astype(int)
        kept += [numbers[i] for i in chosen]
    return [rows[i] for i in sorted(kept)]


def _person(source: str, path: Path, key: str, labels: Mapping[str, int]) -> PersonBox:
    return PersonBox(
        id=f"{source}/{path.name}",
        photo=f"{source}/{path.name}",
        key=key,
        box_xyxy=None,
        split="val" if in_hash_val(key) else "train",
        quality=2,
        targets=row_of(labels),
    )


def refuse_research(persons: Iterable[PersonBox]) -> None:
    """Stop when a picture of a research-only set stands among the persons of the default models.

    Raises:
        DatasetError: `dataset_invalid`, with the first one.
    """
    for person in persons:
        source = person.photo.partition("/")[0].lower()
        if source.startswith(("peta", "market")):
            happened = "a picture of a research-only set among those of the default models"
            hint = "leave its table out, or make the research variant with --sources all"
            raise DatasetError("dataset_invalid", happened, input=person.photo, hint=hint)


def is_research(sources: NDArray[np.str_]) -> NDArray[np.bool_]:
    """(N,) which stored crops came from a research-only set."""
    return np.isin(sources, RESEARCH_SOURCES)
