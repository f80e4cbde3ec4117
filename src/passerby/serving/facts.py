# SPDX-License-Identifier: Apache-2.0
"""What a warm worker tells of its models: what `GET /labels` answers with, and whether a replacement is the same."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..compat import paddlex
from ..persons import COLOUR_GROUPS

if TYPE_CHECKING:
    from ..pipeline import Pipeline


def facts_of(pipeline: Pipeline) -> dict[str, Any]:
    """Labels, models and thresholds of a pipeline as JSON says them.

    Returns:
        `version`, `device`, `detector` and `attributes` (names of the models), `detector_sha256` and
        `attributes_sha256` (of the networks that run), `det_threshold`, `labels` (a row a label, in the order of
        probabilities and decisions), `colours` (group of labels to the part of a person it colours).
    """
    detector, attributes = pipeline.models
    metadata = attributes.metadata
    present = {label.group for label in pipeline.labels}
    return {
        "version": __version__,
        "device": pipeline.device,
        "detector": detector.metadata.name,
        "attributes": metadata.name,
        "detector_sha256": hashlib.sha256(detector.model_bytes).hexdigest(),
        "attributes_sha256": hashlib.sha256(attributes.model_bytes).hexdigest(),
        "det_threshold": round(float(pipeline.det_threshold), 5),
        "labels": [
            {
                "id": label.id,
                "en": label.en,
                "zh": label.zh,
                "paddle": paddlex.label_string(label),
                "group": label.group,
                "threshold": round(metadata.thresholds[place], 5),
                "uncertain": None if label.uncertain is None else [round(v, 5) for v in label.uncertain],
            }
            for place, label in zip(metadata.attribute_places, pipeline.labels, strict=True)
        ],
        "colours": {group: part for group, part in COLOUR_GROUPS.items() if group in present},
    }
