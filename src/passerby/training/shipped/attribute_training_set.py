# SPDX-License-Identifier: Apache-2.0
"""Which stored crops the attribute network learns from, and how often each is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .attribute_data import CropStore
from .attribute_loop import TrainingSet
from .attribute_report import sigmoid

# relative chances within the labelled or the unlabelled crops
FASHION_PHOTO = 0.6  # `ccp`: mostly young women from the front; as it stands it would teach that bias
USELESS_CROP = 0.3
FAR_PERSON = 0.6  # unlabelled and under 80 px
FAR_PX = 80


def training_set(store: CropStore, folder: Path, *, without: str | None = None) -> TrainingSet:
    """Crops of neither val nor calibration photos, with the teacher's opinion from `attribute_teach`.

    Args:
        without: a source to hold out, to measure on it later: nothing of its photos is used, and neither is the
            teacher's opinion, because the teacher has seen its labels.
    """
    usable = ~store.is_val & ~store.calibration
    opinions = sigmoid(np.load(folder / "teacher_logits.npy")).astype(np.float32)
    if without is not None:
        usable &= ~np.isin(store.keys, store.keys[store.sources == without])
        opinions = np.clip(store.targets, 0, 1)
    sampling = np.ones(len(store.keys))
    sampling[store.sources == "ccp"] = FASHION_PHOTO
    sampling[store.quality == 1] = USELESS_CROP
    sampling[(store.quality == 0) & (store.heights < FAR_PX)] = FAR_PERSON
    return TrainingSet(
        store=store,
        labelled=np.flatnonzero(usable & store.labelled),
        unlabelled=np.flatnonzero(usable & ~store.labelled & (without is None)),
        sampling=sampling,
        teacher_probabilities=opinions,
        teacher_bands=np.load(folder / "teacher_bands.npy"),
    )
