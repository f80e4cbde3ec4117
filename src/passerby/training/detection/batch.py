# SPDX-License-Identifier: Apache-2.0
"""Augmented pictures of one size become the tensors of a step, and the tensors what the losses want."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ... import preprocess
from ...formats.metadata import InputRecipe
from .assigner import GroundTruth
from .augment import LabelledPicture

FOUND, IGNORED = "", "ignored_"
"""Before the names `boxes`, `classes` and `valid` of a batch's targets."""


def network_input(pictures: Sequence[LabelledPicture], size_hw: tuple[int, int]) -> Tensor:
    """The pictures, all of this size already, as inference would hand them over: (N, 3, H, W) float32, N may be 0."""
    recipe = InputRecipe(height=size_hw[0], width=size_hw[1], interpolation="cubic")
    inputs = np.empty((len(pictures), 3, *size_hw), np.float32)
    for row, picture in enumerate(pictures):
        preprocess.to_network_input(picture.image_bgr, recipe, out=inputs[row : row + 1])
    return torch.from_numpy(inputs)


def targets(pictures: Sequence[LabelledPicture], *, static: bool) -> dict[str, Tensor]:
    """What is to be found, what is to be ignored, and whether anchors are assigned by geometry.

    Returns:
        `boxes` (N, M, 4) float32 px of the input, `classes` (N, M) int64, `valid` (N, M) bool, M as many as the
        fullest picture has; the same with `ignored_` before the name; `static` () bool.
    """
    return {
        **_padded(FOUND, [(p.boxes_xyxy, p.class_ids) for p in pictures]),
        **_padded(IGNORED, [(p.ignored_xyxy, p.ignored_ids) for p in pictures]),
        "static": torch.tensor(static),
    }


def _padded(prefix: str, found: Iterable[tuple[NDArray[np.float32], NDArray[np.int64]]]) -> dict[str, Tensor]:
    rows = list(found)
    most = max((len(ids) for _, ids in rows), default=0)
    boxes = torch.zeros(len(rows), most, 4)
    classes = torch.zeros(len(rows), most, dtype=torch.int64)
    valid = torch.zeros(len(rows), most, dtype=torch.bool)
    for index, (values, ids) in enumerate(rows):
        boxes[index, : len(ids)] = torch.from_numpy(values)
        classes[index, : len(ids)] = torch.from_numpy(ids)
        valid[index, : len(ids)] = True
    return {f"{prefix}boxes": boxes, f"{prefix}classes": classes, f"{prefix}valid": valid}


def ground_truth(batch_targets: Mapping[str, Tensor], prefix: str, device: torch.device) -> GroundTruth:
    """One of the two sorts of boxes in `targets`, on a device."""
    boxes, classes, valid = (batch_targets[f"{prefix}{name}"].to(device) for name in ("boxes", "classes", "valid"))
    return GroundTruth(boxes=boxes, classes=classes, valid=valid)
