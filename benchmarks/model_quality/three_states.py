# SPDX-License-Identifier: Apache-2.0
"""What the model leaves open, and whom it will not judge: shares, and how often it is wrong about the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from passerby import decisions
from passerby.models.load import LoadedModel

from . import models
from .attribute_figures import rounded, weighted_auc
from .crop_sets import CropSet

Part = dict[str, Any]
COLOUR_GROUPS = ("upper_colour", "lower_colour")


def three_states(model: LoadedModel, crops: CropSet, *, root: Path, cache: Path | None) -> Part:
    """How often the model says yes, no, uncertain, and how often it is wrong where it is sure; nothing without ranges.

    Returns:
        `labels`, a row for each attribute that carries a range of uncertainty, and `mean`, over their known entries.
    """
    rules, places = decisions.rules_of(model.metadata), list(model.metadata.attribute_places)
    labels = [model.metadata.labels[i] for i in places]
    probabilities, _ = models.describe(models.OurClassifier(model), crops, root=root, cache_folder=cache)
    said = decisions.decide(probabilities[:, places], rules)
    truth = crops.table([label.id for label in labels])
    plain = probabilities[:, places] > rules.thresholds
    rows = [
        {"label": label.id, **_states(said[:, [i]], truth[:, [i]], plain[:, [i]])}
        for i, label in enumerate(labels)
        if label.uncertain is not None and label.group not in COLOUR_GROUPS
    ]
    chosen = [i for i, label in enumerate(labels) if any(row["label"] == label.id for row in rows)]
    mean = _states(said[:, chosen], truth[:, chosen], plain[:, chosen]) if rows else {}
    return {"labels": rows, "mean": mean}


def _states(said: Any, truth: Any, plain: Any) -> Part:
    """Over the known entries of (N, K): share uncertain, wrong where sure, wrong by the plain threshold."""
    known = truth >= 0
    sure = known & (said != decisions.UNCERTAIN)
    return {
        "known": int(known.sum()),
        "uncertain": rounded(1 - sure.sum() / max(known.sum(), 1)),
        "wrong_where_sure": rounded((said != truth)[sure].mean()) if sure.any() else None,
        "wrong_by_threshold": rounded((plain != (truth == 1))[known].mean()) if known.any() else None,
    }


def judged(model: LoadedModel, crops: CropSet, *, root: Path, cache: Path | None) -> Part:
    """Whom the model says that it cannot judge, beside the quality that the annotator gave.

    Args:
        crops: with the useless ones, and the division `quality`.
    Returns:
        `by_quality`, crops and the share of them that is flagged; `wrong`, the share of wrong decisions (by the stored
        thresholds, attributes without colours) about crops that are flagged and about the others; `auc`, how well the
        model's own output, where it has one, tells useless crops from the others.
    """
    judgement = model.metadata.judgement
    if judgement is None:
        return {}
    outputs, heights = models.describe(models.OurClassifier(model), crops, root=root, cache_folder=cache)
    place = model.metadata.judgement_place
    unclear = None if place is None else outputs[:, place]
    doubts = decisions.doubts(judgement, heights_px=heights, pixels=heights > 0, unclear=unclear)
    flagged, quality = doubts > 0, crops.groups["quality"]
    labels = [(i, label) for i, label in enumerate(model.metadata.labels) if i in model.metadata.attribute_places]
    places = [i for i, label in labels if label.group not in COLOUR_GROUPS]
    truth = crops.table([model.metadata.labels[i].id for i in places])
    wrong = (outputs[:, places] > np.array(model.metadata.thresholds)[places]) != (truth == 1)
    known = truth >= 0
    useless = quality == "1"
    auc = None if unclear is None else weighted_auc(unclear, useless, np.ones((1, len(useless))))[0]
    return {
        "by_quality": {
            str(q): {"crops": int((quality == q).sum()), "flagged": rounded(flagged[quality == q].mean())}
            for q in sorted(set(quality))
        },
        "wrong": {
            name: rounded(wrong[rows][known[rows]].mean()) if known[rows].any() else None
            for name, rows in (("flagged", flagged), ("others", ~flagged))
        },
        "auc": None if auc is None else rounded(auc),
    }
