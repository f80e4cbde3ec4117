# SPDX-License-Identifier: Apache-2.0
"""The attribute task: PP-LCNet on labelled crops, what one step learns from and how far it has come.

The loop (`loop`) knows it as a `Task`. Data come from `datasets`, views from `augment`, the loss from
`losses`; figures in full are `evaluation`'s, here are only those by which a run is steered.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ... import preprocess
from ...datasets.records import AttributeSet, data_hash
from ...errors import ArgumentError, DatasetError
from ...formats.metadata import InputRecipe
from ...networks.torch.pplcnet import PPLCNet
from ...types import ImageBgr
from ..task import Batch, Place, Weights
from .augment import Strength, augmented, erase
from .crops import CropReader, measure
from .distillation import NO_OPINION, Teacher
from .losses import LossName, attribute_loss, label_ratios, masked_soft_loss
from .metrics import summary_figures

BEHIND_THE_POOLING = ("last_conv.", "fc.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeTaskOptions:
    """How the attribute network is taught.

    Attributes:
        input_hw: height and width of the network's input, px; at least 32, the network's stride.
        scale: width factor of PP-LCNet: 0.25, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0 or 2.5.
        loss: `weighted_bce` raises what is rare, as the original does, and with it the probabilities of rare labels
            (odds up to 2.7 times too high); `bce` leaves them honest; `focal` and `asl` are for rare labels.
        original_ratios: weigh by means that count -1 as a number, as PaddleClas does.
        augment: see `augment.augmented`.
        freeze_backbone: learn only what stands behind the pooling; running statistics are frozen too.
        teacher: a model file (.onnx, .pdparams or folder) whose probabilities are learnt as well.
        teacher_weight: its share of the loss, 0..1; the labels have the rest. A label that is unknown for a crop is
            still learnt from the teacher.
        teacher_sees: `sample`: the whole crop, asked once before the training; `view`: the crop as augmented, asked
            every time, which costs a forward pass of the teacher.
        cache_mb: memory for decoded crops in each process; 0.15 MB a crop at 256 x 192.
        seed: of everything random in batches.
    """

    input_hw: tuple[int, int] = (256, 192)
    scale: float = 1.0
    loss: LossName = "weighted_bce"
    original_ratios: bool = False
    augment: Strength = "paddle"
    freeze_backbone: bool = False
    teacher: Path | None = None
    teacher_weight: float = 0.5
    teacher_sees: Literal["sample", "view"] = "sample"
    cache_mb: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.input_hw) < 32:
            raise ArgumentError("bad_argument", f"input_hw is {self.input_hw}", hint="give at least 32 px")
        if not 0 <= self.teacher_weight <= 1:
            raise ArgumentError("bad_argument", f"teacher_weight is {self.teacher_weight}", hint="give 0 to 1")


class AttributeTask:
    """PP-LCNet on an `AttributeSet`; a `Task`."""

    network: nn.Module

    def __init__(self, data: AttributeSet, options: AttributeTaskOptions, *, network: PPLCNet | None = None) -> None:
        """
        Args:
            data: with at least one sample in `train` and in `val`.
            network: to go on with; by default a fresh one of `options.scale`, from torch's global generator.
        Raises:
            DatasetError: `dataset_invalid`, a split is missing or empty.
            ArgumentError: the network has another number of outputs or another scale.
            ModelError: the teacher cannot be used.
        """
        for split in ("train", "val"):
            if not data.splits.get(split):
                raise DatasetError("dataset_invalid", f"no crops in the split {split}", input=str(data.root))
        self.data = data
        self.options = options
        self.seed = options.seed
        self.metric = "mA"
        self.data_hash = data_hash(data)
        self.not_averaged: frozenset[str] = frozenset()
        self._train = data.splits["train"]
        self.samples = len(self._train)
        labels = data.label_set.labels
        self.network = _checked(network or PPLCNet(len(labels), scale=options.scale), len(labels), options.scale)
        self._measured = copy.deepcopy(self.network).requires_grad_(False)
        if options.freeze_backbone:
            for name, parameter in self.network.named_parameters():
                parameter.requires_grad_(name.startswith(BEHIND_THE_POOLING))
        height, width = options.input_hw
        self.recipe = InputRecipe(height=height, width=width, interpolation="linear")
        self._reader = CropReader(self.recipe, cache_mb=options.cache_mb)
        self._ratios = torch.from_numpy(label_ratios(data.targets("train"), as_original=options.original_ratios))
        self._teacher = Teacher(options.teacher, labels) if options.teacher else None
        self._taught: NDArray[np.float32] | None = None
        if self._teacher and options.teacher_sees == "sample":
            self._taught = self._teacher.of_samples(self._train, self._reader)

    def batch(self, place: Place, rows: Sequence[int]) -> Batch:
        """Read, augment and stack samples; `targets` has `labels` (N, C) and with a teacher `teacher` (N, C)."""
        samples = [self._train[row] for row in rows]
        left_out: dict[str, str] = {}
        inputs: list[NDArray[np.float32]] = []
        used: list[int] = []
        views: list[ImageBgr] = []
        for number, pixels in self._reader.readable(samples, left_out=left_out):
            # one generator a sample: what happens to it does not depend on whether its neighbours could be read
            rng = np.random.default_rng((self.seed, place.epoch, place.number, number))
            view = augmented(pixels, strength=self.options.augment, rng=rng)
            planes = preprocess.to_network_input(view, self.recipe)
            erase(planes[0], strength=self.options.augment, rng=rng)
            inputs.append(planes)
            used.append(number)
            if self._teacher and self._taught is None:
                views.append(view)
        shape = (0, 3, *self.options.input_hw)
        stacked = np.concatenate(inputs) if inputs else np.zeros(shape, np.float32)
        targets = self._targets([rows[n] for n in used], views)
        return Batch(torch.from_numpy(stacked), targets, left_out, tuple(samples[n].file for n in used))

    def _targets(self, rows: list[int], views: list[ImageBgr]) -> dict[str, Tensor]:
        count = len(self.data.label_set.labels)
        labels = np.array([self._train[row].targets for row in rows], np.float32).reshape(-1, count)
        targets = {"labels": torch.from_numpy(labels)}
        if self._teacher:
            taught = self._taught[rows] if self._taught is not None else self._teacher.probabilities(views)
            targets["teacher"] = torch.from_numpy(taught)
        return targets

    def loss(self, batch: Batch, *, progress: float) -> dict[str, Tensor]:
        """`total`, and with a teacher its two parts `labels` and `teacher`."""
        if self.options.freeze_backbone:
            self._freeze_statistics()
        device = next(self.network.parameters()).device
        inputs = batch.inputs.to(device, memory_format=torch.channels_last)
        logits = self.network(inputs).float()
        targets = batch.targets["labels"].to(device)
        from_labels = attribute_loss(logits, targets, self._ratios.to(device), loss=self.options.loss)
        if "teacher" not in batch.targets:
            return {"total": from_labels}
        taught = batch.targets["teacher"].to(device)
        known = (taught != NO_OPINION).to(logits.dtype)
        from_teacher = masked_soft_loss(logits, taught.clamp(min=0), known)
        share = self.options.teacher_weight
        total = (1 - share) * from_labels + share * from_teacher
        return {"total": total, "labels": from_labels.detach(), "teacher": from_teacher.detach()}

    def _freeze_statistics(self) -> None:
        """Undo for the backbone what `network.train()` did; dropout stands behind it and stays on."""
        for name, child in self.network.named_children():
            if not f"{name}.".startswith(BEHIND_THE_POOLING):
                child.eval()

    def evaluate(self, weights: Weights) -> dict[str, float]:
        """`mA` at 0.5, mean `auc`, mean `f1` at 0.5 and the `loss` on the val split, by float32 weights."""
        device = next(self.network.parameters()).device
        self._measured.load_state_dict(dict(weights))
        samples = self.data.splits["val"]
        logits, rows = measure(self._measured.to(device), samples, self._reader)
        if not len(rows):
            raise DatasetError("dataset_invalid", "no crop of the split val can be read", input=str(self.data.root))
        targets = self.data.targets("val")[rows]
        with torch.no_grad():
            loss = attribute_loss(
                torch.from_numpy(logits),
                torch.from_numpy(targets.astype(np.float32)),
                self._ratios,
                loss=self.options.loss,
            )
        return {**summary_figures(1 / (1 + np.exp(-logits.astype(np.float64))), targets), "loss": float(loss)}

    def describe(self) -> dict[str, Any]:
        """Kind, architecture, input size, labels, groups and set thresholds, as JSON values."""
        label_set = self.data.label_set
        return {
            "kind": "attributes",
            "network": {"scale": self.options.scale},
            "num_classes": len(label_set.labels),
            "input_hw": list(self.options.input_hw),
            "labels": [asdict(label) for label in label_set.labels],
            "groups": [asdict(group) for group in label_set.groups],
            "thresholds": list(label_set.thresholds) or [None] * len(label_set.labels),
        }


def _checked(network: PPLCNet, count: int, scale: float) -> PPLCNet:
    expected = {name: value.shape for name, value in _shapes(count, scale).items()}
    if {name: value.shape for name, value in network.state_dict().items()} != expected:
        outputs = network.fc.bias.shape[0]
        happened = f"the network with {outputs} outputs is not PP-LCNet of scale {scale} with {count}"
        raise ArgumentError("bad_argument", happened, hint="let the task make its network")
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _shapes(count: int, scale: float) -> dict[str, Tensor]:
    """The state dict without values: making it draws no random numbers."""
    with torch.device("meta"):
        return PPLCNet(count, scale=scale).state_dict()
