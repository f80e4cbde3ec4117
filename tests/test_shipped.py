"""The models in the package: there, small enough, alive, described, and right about the bundled picture."""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest

from passerby import Result, create_pipeline
from passerby.geometry import iou
from passerby.models import catalogue
from passerby.models.load import load_model
from passerby.models.verify import verify

from .conftest import DATA

SHIPPED = [entry for entry in catalogue.ENTRIES.values() if entry.shipped]
LIMIT_BYTES = {"detector": 10_000_000, "attributes": 8_000_000}


@pytest.fixture(scope="module")
def street() -> Result:
    with as_file(files("passerby") / "assets" / "street.jpg") as path:
        return next(create_pipeline(device="cpu").predict(path))


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda e: e.name)
def test_a_model_is_small_and_says_what_it_is(entry: catalogue.CatalogueEntry) -> None:
    folder = Path(str(files("passerby.models"))) / "shipped" / entry.name
    assert (folder / f"{entry.name}.onnx").stat().st_size <= LIMIT_BYTES[entry.kind]
    card = (folder / "CARD.md").read_text("utf-8")
    for part in ("Licence", "Data", "Figures", "Recipe", "Known failures"):
        assert f"## {part}" in card or f"| {part}" in card, part
    metadata = load_model(entry.name, kind=entry.kind).metadata
    assert metadata.name == entry.name
    assert metadata.card["licence"] == "Apache-2.0"
    assert (metadata.input.height, metadata.input.width) == entry.input_hw


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda e: e.name)
def test_a_model_answers_its_probe(entry: catalogue.CatalogueEntry) -> None:
    answer = verify(entry.name)
    assert answer.difference is not None
    assert answer.difference < 1e-3


def test_every_person_of_the_bundled_picture_is_found(street: Result) -> None:
    persons = json.loads((DATA / "street_truth.json").read_text("utf-8"))["persons"]
    truth = np.array([p["box_xyxy"] for p in persons], np.float32)
    overlaps = iou(truth, street.boxes_xyxy)
    assert (street.scores > 0.5).all()
    assert overlaps.max(1).min() > 0.5, [
        p["name"] for p, row in zip(persons, overlaps, strict=True) if row.max() <= 0.5
    ]
    assert len(street.persons) <= len(persons) + 1


def test_persons_have_colours_and_all_probabilities(street: Result) -> None:
    assert all(set(person.colours) == {"upper", "lower"} for person in street.persons)
    assert street.probabilities.shape == (len(street.persons), len(street.labels))
    assert [label.id for label in street.labels[:2]] == ["hat", "glasses"]
    assert np.isfinite(street.probabilities).all()


def test_what_is_plain_to_see_is_named(street: Result) -> None:
    """Sleeves, lower garment and view of the seven: most must be right, or something is wired wrongly."""
    persons = json.loads((DATA / "street_truth.json").read_text("utf-8"))["persons"]
    ids = [label.id for label in street.labels]
    overlaps = iou(np.array([p["box_xyxy"] for p in persons], np.float32), street.boxes_xyxy)
    right = total = 0
    for person, row in zip(persons, overlaps, strict=True):
        probabilities = street.probabilities[row.argmax()]
        for group in (
            ("short_sleeve", "long_sleeve"),
            ("trousers", "shorts", "skirt_dress"),
            ("front", "side", "back"),
        ):
            said = max(group, key=lambda i, p=probabilities: p[ids.index(i)])  # type: ignore[misc]
            right += said in person["attributes"]
            total += 1
    assert right / total >= 0.6
