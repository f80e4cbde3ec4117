# SPDX-License-Identifier: Apache-2.0
"""From trained weights to weights that ship: calibration folded into the head, thresholds, and figures on val.

Calibration, thresholds and what counts as uncertain come from photos kept from training; val is only measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...models.pa100k import JUDGEMENT
from ...networks.torch.pplcnet import PPLCNet, load_weights
from ..attributes.decisions import decision_bands
from ..attributes.judgement import error_by_height
from ..attributes.measured import measure_decisions, parts_of
from ..attributes.metrics import (
    LabelFigures,
    expected_calibration_error,
    fit_calibration,
    group_accuracy,
    label_figures,
    mean_auc,
)
from .attribute_data import CropStore
from .attribute_features import LABELLED_MARGIN
from .attribute_labels import (
    ATTRIBUTE_COUNT,
    COLOUR_OUTPUTS,
    INPUT_HW,
    JUDGEMENT_OUTPUT,
    LABEL_COUNT,
    LABELS,
    LOWER_COLOUR,
    UPPER_COLOUR,
    description,
)
from .attribute_loop import predict_logits

SMALL_PX = 100
SEEN_FROM_PX = (16, 24, 32, 48, 64, 96, 144)
# balanced error beyond which persons of a height are not judged; tall persons have 0.20, guessing has 0.5
WORST_ERROR = 0.25


def network_of(weights: Mapping[str, NDArray[Any]]) -> PPLCNet:
    """The x1.0 network with these weights, ready for inference."""
    network = PPLCNet(LABEL_COUNT)
    load_weights(network, weights)
    return network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def calibrated(weights: Mapping[str, NDArray[Any]], store: CropStore) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Fold a scale and a bias for each label into `fc`, fitted on the crops kept from training.

    Returns:
        the weights, and what was fitted.
    """
    rows = np.flatnonzero(store.calibration & store.judged)
    logits = predict_logits(network_of(weights), store, rows, size_hw=INPUT_HW)
    targets = store.targets[rows]
    scales, biases = fit_calibration(logits, targets)
    folded = dict(weights)
    folded["fc.weight"] = (weights["fc.weight"] * scales).astype(np.float32)  # (1280, C)
    folded["fc.bias"] = (weights["fc.bias"] * scales + biases).astype(np.float32)
    return folded, {
        "method": "Platt by label with a prior, folded into fc",
        "crops": len(rows),
        "scale": scales.round(4).tolist(),
        "bias": biases.round(4).tolist(),
        "error_before": round(expected_calibration_error(sigmoid(logits), targets), 4),
        "error_after": round(expected_calibration_error(sigmoid(logits * scales + biases), targets), 4),
    }


def decisions(weights: Mapping[str, NDArray[Any]], store: CropStore) -> tuple[dict[str, Any], dict[str, Any]]:
    """When the model says yes, no or nothing, measured on the crops kept from training.

    What small persons do to it is measured on the same crops shrunk to `SEEN_FROM_PX`: few are so small by themselves.

    Returns:
        the measured parts of a model's description (`measured.parts_of`), and figures for the card.
    """
    network = network_of(weights)
    rows = np.flatnonzero(store.calibration & store.judged)
    usable = rows[store.quality[rows] >= 2]
    probabilities = sigmoid(predict_logits(network, store, rows, size_hw=INPUT_HW))
    targets = store.targets[rows]
    seen, known, heights = [], [], []
    for height in SEEN_FROM_PX:
        chosen = usable[store.heights[usable] >= height]
        seen.append(sigmoid(predict_logits(network, store, chosen, size_hw=INPUT_HW, seen_from_px=height)))
        known.append(store.targets[chosen])
        heights.append(np.full(len(chosen), height))
    limits = decision_bands(probabilities, targets).thresholds
    by_height = error_by_height(
        np.concatenate(seen)[:, :JUDGEMENT_OUTPUT],
        np.concatenate(known)[:, :JUDGEMENT_OUTPUT],
        np.concatenate(heights),
        thresholds=limits[:JUDGEMENT_OUTPUT],
        edges_px=SEEN_FROM_PX,
    )
    described, found = measure_decisions(
        description("passerby-attributes"),
        probabilities,
        targets,
        heights=by_height,
        worst=WORST_ERROR,
        judge=JUDGEMENT.id,
    )
    return parts_of(described), {"crops": len(rows), **found}


def figures(weights: Mapping[str, NDArray[Any]], store: CropStore, limits: NDArray[np.float32]) -> dict[str, Any]:
    """Everything measured on the by-eye val: by label with support, by size, with and without a margin."""
    rows = np.flatnonzero(store.judged & store.is_val)
    network = network_of(weights)
    probabilities = sigmoid(predict_logits(network, store, rows, size_hw=INPUT_HW))
    with_margin = sigmoid(predict_logits(network, store, rows, size_hw=INPUT_HW, margin=LABELLED_MARGIN))
    targets, heights, sources = store.targets[rows], store.heights[rows], store.sources[rows]
    at_half = label_figures(probabilities, targets)
    at_limits = label_figures(probabilities, targets, thresholds=limits)
    return {
        "crops": len(rows),
        "exact_box": _summary(probabilities, targets, limits),
        "margin_5_3_percent": _summary(with_margin, targets, limits),
        f"height_under_{SMALL_PX}_px": _summary(probabilities[heights < SMALL_PX], targets[heights < SMALL_PX], limits),
        "by_source": {
            str(s): _summary(probabilities[sources == s], targets[sources == s], limits) for s in np.unique(sources)
        },
        "labels": {
            label.id: {
                "positives": half.positives,
                "negatives": half.negatives,
                "auc": round(half.auc, 4),
                "ma_at_0.5": round(half.mean_accuracy, 4),
                "threshold": round(float(limits[i]), 3),
                "ma_at_threshold": round(at_limits[i].mean_accuracy, 4),
            }
            for i, (label, half) in enumerate(zip(LABELS, at_half, strict=True))
        },
    }


def _summary(
    probabilities: NDArray[Any], targets: NDArray[Any], limits: NDArray[np.float32]
) -> dict[str, float | int | None]:
    attributes = slice(0, ATTRIBUTE_COUNT)
    by_label = label_figures(probabilities, targets)
    by_limit = label_figures(probabilities, targets, thresholds=limits)
    upper, upper_count = group_accuracy(probabilities, targets, UPPER_COLOUR)
    lower, lower_count = group_accuracy(probabilities, targets, LOWER_COLOUR)
    summary = {
        "crops": len(targets),
        "labels_counted": sum(f.supported for f in by_label[attributes]),
        "mean_auc": mean_auc(by_label[attributes]),
        "mean_auc_colours": mean_auc(by_label[COLOUR_OUTPUTS]),
        "ma_at_0.5": _mean_ma(by_label[attributes]),
        "ma_at_thresholds": _mean_ma(by_limit[attributes]),
        "upper_colour_accuracy": upper,
        "upper_colour_crops": upper_count,
        "lower_colour_accuracy": lower,
        "lower_colour_crops": lower_count,
        "calibration_error": expected_calibration_error(probabilities, targets),
    }
    # JSON has no NaN: a figure without support is null
    return {k: (round(v, 4) if np.isfinite(v) else None) for k, v in summary.items()}


def _mean_ma(by_label: list[LabelFigures]) -> float:
    supported = [f.mean_accuracy for f in by_label if f.supported]
    return float(np.mean(supported)) if supported else float("nan")


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities of logits, any shape."""
    return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))), np.float64)
