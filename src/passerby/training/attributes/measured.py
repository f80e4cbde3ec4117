# SPDX-License-Identifier: Apache-2.0
"""All that makes a model answer yes, no or uncertain in one call, and its way through a JSON file.

Training measures where the weights are; the model file is made elsewhere (`scripts/pack_model.py`) from weights and a
file of plain values. `parts_of` and `with_parts` carry what was measured from here to there.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ArgumentError
from ...formats.metadata import HeightError, ModelMetadata
from ...formats.metadata_json import from_json, to_json
from .decisions import CONFIDENCE, RATE, decision_bands, groups_with_margins, with_decisions
from .judgement import USABLE, USELESS, judgement_of, judgement_threshold

# what of a description is measured, by its key in JSON
PARTS = ("labels", "thresholds", "groups", "judgement", "calibration")


def measure_decisions(
    metadata: ModelMetadata,
    probabilities: NDArray[Any],
    targets: NDArray[Any],
    *,
    heights: Sequence[HeightError],
    worst: float,
    judge: str | None = None,
    rate: float = RATE,
    confidence: float = CONFIDENCE,
    balanced: bool = False,
) -> tuple[ModelMetadata, dict[str, Any]]:
    """Put into a model's description what labelled persons say about its answers.

    Args:
        metadata: of the model; its thresholds and what it says of uncertainty are replaced.
        probabilities: (N, outputs) calibrated, in the order of `metadata.labels`.
        targets: (N, outputs) 1, 0 or -1. Of a person who cannot be judged only the column of `judge` is known, 1.
        heights: from `judgement.error_by_height`. worst: the balanced error beyond which a height cannot be judged.
        judge: id of the output that says "cannot be judged"; None where the model has none.
        rate, confidence, balanced: see `decisions.decision_bands`.
    Returns:
        the description, and figures for its card.
    Raises:
        ArgumentError: `bad_argument`, arrays that are no measurement, an unknown `judge`, or no height that can be
            judged.
    """
    bands = decision_bands(probabilities, targets, rate=rate, confidence=confidence, balanced=balanced)
    groups = groups_with_margins(metadata, probabilities, targets, rate=rate, confidence=confidence)
    threshold, figures = 1.0, bands.to_json(metadata.labels)
    if judge is not None:
        place = next((i for i, label in enumerate(metadata.labels) if label.id == judge), None)
        if place is None:
            raise ArgumentError("bad_argument", f"the model has no output {judge!r}")
        told = np.asarray(targets)[:, place]
        quality = np.where(told == 1, USELESS, np.where(told == 0, USABLE[0], 0))
        found = judgement_threshold(np.asarray(probabilities)[:, place], quality)
        threshold, figures["unclear"] = found.threshold, dataclasses.asdict(found)
        if math.isnan(found.auc):  # JSON has no NaN
            figures["unclear"]["auc"] = None
        del figures["labels"][judge]
    judgement = judgement_of(heights, worst=worst, label=judge, threshold=threshold)
    figures["margins"] = {group.id: group.margin for group in groups if group.margin is not None}
    figures["min_height_px"] = judgement.min_height_px
    figures["worst_error"] = worst
    figures["heights"] = [dataclasses.asdict(row) for row in heights]
    return with_decisions(metadata, bands, groups=groups, judgement=judgement), figures


def parts_of(metadata: ModelMetadata) -> dict[str, Any]:
    """What was measured of a model, as plain values for a JSON file."""
    body = json.loads(to_json(metadata))
    return {key: body[key] for key in PARTS if key in body}


def with_parts(metadata: ModelMetadata, parts: Mapping[str, Any]) -> ModelMetadata:
    """A description with what `parts_of` took out of another one of the same labels.

    Raises:
        ArgumentError: `bad_argument`, the parts are of other labels. ModelError: `model_corrupt`, they are none.
    """
    other = sorted(set(parts) - set(PARTS))
    ids = [label.id for label in metadata.labels]
    if other or [entry.get("id") for entry in parts.get("labels", ())] != ids:
        raise ArgumentError("bad_argument", f"what was measured is not of these {len(ids)} labels")
    return from_json(json.dumps({**json.loads(to_json(metadata)), **parts}))
