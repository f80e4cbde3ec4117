# SPDX-License-Identifier: Apache-2.0
"""The detector as a task of `loop`: batches of pictures with boxes, the loss of PP-YOLOE, figures on the val split."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...datasets.records import DetectionSample, DetectionSet, data_hash
from ...detector import Detections
from ...errors import ArgumentError, DatasetError, InputError, shown
from ...formats.metadata import InputRecipe, Label, NmsRecipe
from ...models.convert import labels_from_texts
from ...networks.torch.ppyoloe import PPYOLOE, HeadOutputs
from ..task import Batch, Place, Weights
from .augment import INTERPOLATIONS, DetectionAugment, LabelledPicture, augment
from .batch import FOUND, IGNORED, ground_truth, network_input, targets
from .evaluation import evaluate_detections
from .losses import detection_loss
from .pictures import find_boxes, read_picture

log = logging.getLogger(__name__)
STRIDE = 32
PROJECTION = "yolo_head.proj_conv.weight"
METRICS = ("AP", "AP50", "AP75", "AR100")
STAND_INS = 16  # pictures tried where none of a batch can be used


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionTaskOptions:
    """What network to teach, at which sizes and how.

    Attributes:
        depth, width: of PP-YOLOE: S 0.33, 0.5; M 0.67, 0.75; L 1, 1; X 1.33, 1.25.
        input_hw: height and width that inference uses, multiples of 32.
        multi_scale: smallest and largest training size in shares of `input_hw`; each batch draws one of the multiples
            of 32 between, for 640 of 320 to 768. (1, 1) trains at `input_hw` alone.
        augment: how hard pictures are shaken.
        static_assigner_epochs: so many epochs assign by geometry (ATSS), the rest by the predictions.
        metric: one of `METRICS`, by which the best weights are chosen.
        nms: of evaluation; the exported model has the same.
        evaluation_batch: pictures that evaluation puts through the network at once.
        labels: what the classes mean; None makes them from the names in the data set.
        seed: of batches and of new weights.
    """

    depth: float = 0.33
    width: float = 0.5
    input_hw: tuple[int, int] = (640, 640)
    multi_scale: tuple[float, float] = (0.5, 1.2)
    augment: DetectionAugment = field(default_factory=DetectionAugment)
    static_assigner_epochs: int = 0
    metric: str = "AP"
    nms: NmsRecipe = field(default_factory=NmsRecipe)
    evaluation_batch: int = 8
    labels: tuple[Label, ...] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        height, width = self.input_hw
        if min(height, width) < STRIDE or height % STRIDE or width % STRIDE:
            raise ArgumentError("bad_argument", f"input_hw must be multiples of {STRIDE} px, not {height} x {width}")
        if not training_sizes(self.input_hw, self.multi_scale):
            low, high = self.multi_scale
            raise ArgumentError(
                "bad_argument", f"no multiple of {STRIDE} px lies between {low} and {high} of {height} px"
            )
        if self.metric not in METRICS:
            raise ArgumentError("bad_argument", f"metric must be one of {', '.join(METRICS)}, not {shown(self.metric)}")
        if self.seed < 0:
            raise ArgumentError("bad_argument", f"seed must not be negative, as {self.seed} is")


class DetectionTask:
    """PP-YOLOE and a data set of boxes. See `task.Task`."""

    network: PPYOLOE

    def __init__(self, data: DetectionSet, options: DetectionTaskOptions, *, network: PPYOLOE | None = None) -> None:
        """
        Args:
            data: with pictures in `train` and boxes in `val`.
            options: the recipe.
            network: to be taught further; None makes one, its weights drawn from the seed.
        Raises:
            DatasetError: `dataset_invalid`, there is nothing to learn from or to measure on.
            ArgumentError: `bad_argument`, network or labels do not fit options and classes.
        """
        _check_data(data)
        count = len(data.classes)
        self.data, self.options = data, options
        self.labels = options.labels or labels_from_texts(data.classes)
        if len(self.labels) != count:
            happened = f"{len(self.labels)} labels are given, the data set has {count} classes"
            raise ArgumentError("bad_argument", happened, input=str(data.root))
        self.network = _checked(network or new_network(options, count), options, count)
        self.samples = len(data.splits["train"])
        self.metric = options.metric
        self.data_hash = data_hash(data)
        self.seed = options.seed
        self.not_averaged = frozenset({PROJECTION})
        self.sizes_hw = training_sizes(options.input_hw, options.multi_scale)

    def batch(self, place: Place, rows: Sequence[int]) -> Batch:
        """Read, augment and stack these training pictures, all at one size. See `task.Task`.

        Targets are those of `batch.targets`. When none of the pictures can be used, another one stands in,
        because a process without a batch would keep the others of a distributed run waiting.
        """
        # the same for every process of a distributed run, so that none waits for another's larger pictures
        shared = np.random.default_rng((self.seed, place.epoch, place.number))
        size_hw = self.sizes_hw[int(shared.integers(len(self.sizes_hw)))]
        interpolation = INTERPOLATIONS[int(shared.integers(len(INTERPOLATIONS)))]
        pictures: list[LabelledPicture] = []
        files: list[str] = []
        left_out: dict[str, str] = {}

        def take(row: int) -> None:
            sample = self.data.splits["train"][row]
            # a generator for each picture: what happens to it does not depend on whether others can be read
            random = np.random.default_rng((self.seed, place.epoch, place.number, row))
            try:
                picture = read_picture(sample)
            except InputError as error:
                left_out[sample.file] = error.message
                return
            options = self.options.augment
            pictures.append(
                augment(picture, size_hw=size_hw, interpolation=interpolation, options=options, random=random)
            )
            files.append(sample.file)

        for row in rows:
            take(row)
        stand_ins = shared.choice(self.samples, min(STAND_INS, self.samples), replace=False)
        for row in stand_ins.tolist():
            if not pictures:
                take(row)
        static = place.epoch < self.options.static_assigner_epochs
        return Batch(network_input(pictures, size_hw), targets(pictures, static=static), left_out, tuple(files))

    def loss(self, batch: Batch, *, progress: float) -> dict[str, Tensor]:
        """`total`, and its parts `classification`, `iou`, `dfl` before they are weighted. See `task.Task`."""
        head = self.network.yolo_head
        device = head.proj_conv.weight.device
        outputs = self.network.head_outputs(batch.inputs.to(device))
        # the sums run over thousands of anchors: half precision is for the network alone
        with torch.autocast(device.type, enabled=False):
            outputs = HeadOutputs(outputs.class_logits.float(), outputs.side_logits.float(), *outputs[2:])
            loss = detection_loss(
                outputs,
                head.distances(outputs.side_logits),
                ground_truth(batch.targets, FOUND, device),
                ignored=ground_truth(batch.targets, IGNORED, device),
                use_atss=bool(batch.targets["static"]),
            )
        return {"total": loss.total, "classification": loss.classification, "iou": loss.iou, "dfl": loss.dfl}

    def evaluate(self, weights: Weights) -> dict[str, float]:
        """AP, AP50, AP75, AR100 and miss_rate on the val split. See `task.Task`."""
        samples, detections = self.detections(weights)
        return evaluate_detections(samples, detections, classes=self.data.classes).metrics()

    def detections(
        self, weights: Weights, *, split: str = "val"
    ) -> tuple[tuple[DetectionSample, ...], tuple[Detections, ...]]:
        """What a network with these weights finds in the pictures of a split: what `evaluate_detections` takes.

        Args:
            weights: of the network.
            split: one that the data set has.
        Returns:
            the pictures that could be read, and the boxes in each; others are named in the log.
        Raises:
            DatasetError: `dataset_missing`, no such split; `dataset_invalid`, none of its pictures can be read.
        """
        samples = self.data.splits.get(split, ())
        if not samples:
            raise DatasetError("dataset_missing", f"the data set has no split {split}", input=str(self.data.root))
        network = copy.deepcopy(self.network).eval()
        network.load_state_dict(dict(weights))
        options = self.options
        answers = find_boxes(network, samples, recipe=self.recipe, nms=options.nms, batch_size=options.evaluation_batch)
        read: list[DetectionSample] = []
        found: list[Detections] = []
        for sample, answer in zip(samples, answers, strict=True):
            if isinstance(answer, InputError):
                log.warning("left out of evaluation: %s", answer.message)
            else:
                read.append(sample)
                found.append(answer)
        if not read:
            happened = f"no picture of the split {split} can be read"
            raise DatasetError("dataset_invalid", happened, input=str(self.data.root))
        return tuple(read), tuple(found)

    @property
    def recipe(self) -> InputRecipe:
        """How evaluation and inference bring a picture to the network's input."""
        height, width = self.options.input_hw
        return InputRecipe(height=height, width=width, interpolation="cubic")

    def describe(self) -> dict[str, Any]:
        """See `task.Task`."""
        return {
            "kind": "detector",
            "network": {"depth": self.options.depth, "width": self.options.width},
            "num_classes": len(self.data.classes),
            "input_hw": list(self.options.input_hw),
            "labels": [asdict(label) for label in self.labels],
            "groups": [],
            "thresholds": [None] * len(self.labels),
            "nms": asdict(self.options.nms),
        }


def _check_data(data: DetectionSet) -> None:
    where = str(data.root)
    for split in ("train", "val"):
        if not data.splits.get(split):
            raise DatasetError("dataset_invalid", f"no pictures in the split {split}", input=where)
    if all(sample.crowd.all() for sample in data.splits["val"]):
        raise DatasetError("dataset_invalid", "no boxes in the split val, nothing can be measured", input=where)


def _checked(network: PPYOLOE, options: DetectionTaskOptions, count: int) -> PPYOLOE:
    """The network, laid out in memory as convolutions want it: on a CPU a step then takes two thirds of the time."""
    with torch.device("meta"):  # shapes alone, no weights
        expected = PPYOLOE(depth=options.depth, width=options.width, num_classes=count).state_dict()
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    if shapes != {name: value.shape for name, value in expected.items()}:
        happened = (
            f"the network with {network.yolo_head.num_classes} classes is not PP-YOLOE of depth {options.depth} and "
            f"width {options.width} with {count}"
        )
        raise ArgumentError("bad_argument", happened, hint="let the task make its network")
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def new_network(options: DetectionTaskOptions, num_classes: int) -> PPYOLOE:
    """A network with weights drawn from the seed; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return PPYOLOE(depth=options.depth, width=options.width, num_classes=num_classes)


def training_sizes(input_hw: tuple[int, int], multi_scale: tuple[float, float]) -> tuple[tuple[int, int], ...]:
    """The input sizes of training: heights are all multiples of 32 in the range, widths follow the ratio.

    >>> [height for height, _ in training_sizes((640, 640), (0.5, 1.2))][:3]
    [320, 352, 384]
    """
    height, width = input_hw
    low, high = (share * height / STRIDE for share in multi_scale)
    cells = range(max(1, int(np.ceil(low - 1e-6))), int(high + 1e-6) + 1)
    return tuple((n * STRIDE, max(1, round(n * width / height)) * STRIDE) for n in cells)
