# SPDX-License-Identifier: Apache-2.0
"""Which stored crops the attribute network learns from, and how often each is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .attribute_data import CropStore
from .attribute_loop import TrainingSet
from .attribute_report import sigmoid
from .attribute_teach import held_out
from .research_data import RESEARCH_CROP, is_research

# relative chances within the labelled or the unlabelled crops
FASHION_PHOTO = 0.6  # `ccp`: mostly young women from the front; as it stands it would teach that bias
RENDERED_CROP = 0.25  # with as many renders as real crops a fifth of what is drawn
USELESS_CROP = 0.3
FAR_PERSON = 0.6  # unlabelled and under 80 px
FAR_PX = 80


def teacher_of(folder: Path, *, without: str | None) -> NDArray[np.float32] | None:
    """(N, LABEL_COUNT) probabilities of the teacher; None where it has seen what is to be held out."""
    saw_all = json.loads((folder / "teacher.json").read_text(encoding="utf-8")).get("without") is None
    if without is not None and saw_all:
        return None
    return sigmoid(np.load(folder / "teacher_logits.npy")).astype(np.float32)


def training_set(store: CropStore, folder: Path, *, without: str | None = None) -> TrainingSet:
    """Crops of neither val nor calibration photos, with the teacher's opinion from `attribute_teach`.

    Args:
        without: a source to hold out, to measure on it later: nothing of its photos is used. A teacher that has seen
            them is not asked: labels alone are learnt then, and no unlabelled crops.
    """
    held = held_out(store, without)
    usable = ~store.is_val & ~store.calibration & ~held
    opinions = teacher_of(folder, without=without)
    sampling = np.ones(len(store.keys))
    sampling[store.sources == "ccp"] = FASHION_PHOTO
    sampling[is_research(store.sources)] = RESEARCH_CROP  # none are in the default store
    sampling[store.rendered] = RENDERED_CROP
    sampling[store.quality == 1] = USELESS_CROP
    sampling[(store.quality == 0) & (store.heights < FAR_PX)] = FAR_PERSON
    return TrainingSet(
        store=store,
        labelled=np.flatnonzero(usable & store.judged),
        unlabelled=np.flatnonzero(usable & ~store.judged & (opinions is not None)),
        sampling=sampling,
        teacher_probabilities=np.clip(store.targets, 0, 1) if opinions is None else opinions,
        teacher_bands=np.load(folder / "teacher_bands.npy"),
    )
