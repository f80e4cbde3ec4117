# SPDX-License-Identifier: Apache-2.0
"""What an answer says about a picture: the original's `pedestrians`, the details that may be asked for, errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..decisions import WORDS
from ..errors import PasserbyError
from ..formats.metadata import Label
from ..result import NOTES, LabelScore, Person, Result


def picture_body(result: Result, *, details: bool) -> dict[str, Any]:
    """What is said about one picture: `pedestrians`, and with details its size."""
    body: dict[str, Any] = {"pedestrians": [_pedestrian(p, result.labels, details=details) for p in result.persons]}
    if details and result.size_wh is not None:
        body["size"] = list(result.size_wh)
    return body


def failed_body(error: PasserbyError) -> dict[str, Any]:
    """What stands in the place of a picture that could not be analysed, among others."""
    return {"error": {"name": error.name, "message": error.message}}


def _pedestrian(person: Person, labels: Sequence[Label], *, details: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "bbox": person.box_xyxy.tolist(),
        "attributes": [_scored(label) for label in person.labels],
        "score": person.score,
    }
    if not details:
        return body
    ids = [label.id for label in labels]
    probabilities, decisions = person.probabilities, person.decisions
    return {
        **body,
        "uncertain": [_scored(label) for label in person.uncertain],
        "colours": {part: {**_scored(label), "decision": label.decision} for part, label in person.colours.items()},
        "judgeable": person.judgeable,
        "reasons": list(person.reasons),
        "note": None if person.note is None else NOTES[person.note],
        "probabilities": None
        if probabilities is None
        else dict(zip(ids, (round(p, 5) for p in probabilities.tolist()), strict=True)),
        "decisions": None if decisions is None else dict(zip(ids, (WORDS[d] for d in decisions.tolist()), strict=True)),
    }


def _scored(label: LabelScore) -> dict[str, Any]:
    """A label with its probability, to 5 decimals as the original rounds them."""
    return {"label": label.text, "score": round(label.score, 5)}
