# SPDX-License-Identifier: Apache-2.0
"""From stored crops to what the student copies: features on disk, projected, then the ensemble's opinion.

Joins `attribute_features` and `attribute_teacher`; writes `teacher_bands.npy`, `teacher_logits.npy`, `teacher.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..attributes.metrics import fit_calibration, label_figures, mean_auc
from .attribute_data import CropStore
from .attribute_features import BANDS, TeacherFiles, extract_features
from .attribute_labels import ATTRIBUTE_COUNT, COLOUR_OUTPUTS, LABEL_COUNT, LABELS
from .attribute_teacher import TeacherOptions, fit_projection, predict, project, train_folds

# feature: components for the perceptrons, and how many of them the student's bands copy
COMPONENTS = {
    "lite0": (256, 128),
    "lite1": (256, 128),
    "picodet": (192, 96),
    "colour": (48, 0),
    "reid": (128, 0),
    "head": (160, 0),  # bands of the head alone are no bands of the person
    "legs": (128, 0),
    "crossroad": (8, 0),
}
PARTS = ("labelled", "flipped", "unlabelled")
PROJECTION_SAMPLE = 3000
SEED = 9


def part_rows(store: CropStore, part: str) -> NDArray[np.int64]:
    """Crops of a part: `labelled` (both splits), `flipped` (labelled training crops), `unlabelled` (training).

    Useless crops count as labelled: that they cannot be judged is their label.
    """
    chosen = {
        "labelled": store.judged & ~store.rendered,
        "flipped": store.judged & ~store.is_val & ~store.rendered,
        "unlabelled": ~store.judged & ~store.is_val,
    }[part]
    return np.flatnonzero(chosen).astype(np.int64)


def store_features(store: CropStore, files: TeacherFiles, folder: Path, *, threads: int = 1) -> None:
    """Write `features_<part>.npz`: float16 (n, bands, D) for each kind of feature; takes about 20 ms a crop."""
    for part in PARTS:
        rows = part_rows(store, part)
        kinds: dict[str, NDArray[Any]] = {}
        found = extract_features(store, files, indices=rows, flipped=part == "flipped", threads=threads)
        for position, (_, features) in enumerate(found):
            for kind, values in features.items():
                if kind not in kinds:
                    kinds[kind] = np.zeros((len(rows), *values.shape), np.float16)
                kinds[kind][position] = np.clip(values, -60000, 60000)
        arrays: dict[str, Any] = {"index": rows, **kinds}
        np.savez(folder / f"features_{part}.npz", **arrays)


def held_out(store: CropStore, source: str | None) -> NDArray[np.bool_]:
    """(N,) crops of the photos of a source, under whatever name a photo appears; none for None."""
    return np.isin(store.keys, store.keys[store.sources == source])


def teach(store: CropStore, folder: Path, *, options: TeacherOptions, without: str | None = None) -> dict[str, Any]:
    """Train the ensemble on stored features and write its opinion on every training crop.

    Opinions are logits, calibrated out of fold. Val crops and those held out get none: their rows stay 0.

    Args:
        folder: with the features.
        without: a source to hold out; the teacher sees nothing of its photos.
    Returns:
        figures: out of fold on training crops, and on val.
    """
    held = held_out(store, without)
    inputs, bands = _projected(store, folder, held)
    rows = {part: part_rows(store, part) for part in PARTS}
    is_train = ~store.is_val[rows["labelled"]] & ~held[rows["labelled"]]
    flipped = rows["flipped"][~held[rows["flipped"]]]
    targets = store.targets[rows["labelled"]]
    out_of_fold, members = train_folds(
        {"plain": inputs["labelled"][is_train], "flipped": inputs["flipped"][~held[rows["flipped"]]]},
        targets[is_train],
        store.keys[flipped],
        options=options,
    )
    scales, biases = fit_calibration(out_of_fold, targets[is_train])
    logits = np.zeros((len(store.keys), LABEL_COUNT), np.float32)
    logits[flipped] = out_of_fold * scales + biases
    logits[rows["unlabelled"]] = predict(members, inputs["unlabelled"]) * scales + biases
    np.save(folder / "teacher_logits.npy", logits)
    np.save(folder / "teacher_bands.npy", bands)
    is_val = store.is_val[rows["labelled"]] & ~held[rows["labelled"]]
    on_val = label_figures(predict(members, inputs["labelled"][is_val]), targets[is_val])
    figures = {
        "without": without,
        "auc_out_of_fold": mean_auc(label_figures(out_of_fold, targets[is_train])[:ATTRIBUTE_COUNT]),
        "auc_val": mean_auc(on_val[:ATTRIBUTE_COUNT]),
        "auc_val_colours": mean_auc(on_val[COLOUR_OUTPUTS]),
        "val": {label.id: [f.positives, f.negatives, round(f.auc, 4)] for label, f in zip(LABELS, on_val, strict=True)},
    }
    (folder / "teacher.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return figures


def _projected(
    store: CropStore, folder: Path, held: NDArray[np.bool_]
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float16]]:
    """Perceptron inputs by part, (n, D), and the student's bands of all stored crops, (N, BANDS, K)."""
    inputs: dict[str, list[NDArray[np.float32]]] = {part: [] for part in PARTS}
    bands: list[NDArray[np.float16]] = []
    for kind, (size, copied) in COMPONENTS.items():
        features: dict[str, NDArray[Any]] = {}
        for part in PARTS:
            with np.load(folder / f"features_{part}.npz") as stored:
                features[part] = stored[kind]
        is_train = ~(store.is_val | held)[part_rows(store, "labelled")]
        count = len(features["unlabelled"])
        drawn = np.random.default_rng(SEED).choice(count, min(PROJECTION_SAMPLE, count), replace=False)
        sample = np.concatenate([features["labelled"][is_train], features["unlabelled"][np.sort(drawn)]])
        projection = fit_projection(sample, size)
        whole = np.zeros((len(store.keys), BANDS, copied), np.float16)
        for part in PARTS:
            projected = project(features[part], projection)
            inputs[part].append(projected.reshape(len(projected), -1))
            if copied and part != "flipped":
                whole[part_rows(store, part)] = projected[:, :, :copied]
        bands.append(whole)
    return {part: np.concatenate(v, axis=1) for part, v in inputs.items()}, np.concatenate(bands, axis=2)
