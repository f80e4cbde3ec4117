"""The bundled picture and its truth: large enough, small enough, people who show a dozen attributes and more."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
import pytest

from passerby.models.pa100k import LABELS

from .conftest import DATA


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DATA / "street_truth.json").read_text("utf-8"))
    return loaded


def test_the_picture_is_bundled_and_not_too_heavy(truth: dict[str, Any]) -> None:
    data = (files("passerby") / "assets" / "street.jpg").read_bytes()
    assert len(data) <= 500_000
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[:2] == (truth["height"], truth["width"])
    assert truth["width"] >= 1280
    assert truth["height"] >= 720


def test_people_are_whole_and_of_a_useful_size(truth: dict[str, Any]) -> None:
    assert 4 <= len(truth["persons"]) <= 8
    for person in truth["persons"]:
        x1, y1, x2, y2 = person["box_xyxy"]
        assert 0 <= x1 < x2 <= truth["width"], person["name"]
        assert 0 <= y1 < y2 <= truth["height"], person["name"]
        assert 250 <= y2 - y1 <= 550, person["name"]


def test_at_least_twelve_attributes_are_to_be_seen(truth: dict[str, Any]) -> None:
    seen = {attribute for person in truth["persons"] for attribute in person["attributes"]}
    assert seen <= {label.id for label in LABELS}
    assert len(seen) >= 12
    for group in ("sleeve", "lower_garment", "age", "view"):
        members = {label.id for label in LABELS if label.group == group}
        for person in truth["persons"]:
            assert len(members & set(person["attributes"])) == 1, (person["name"], group)
