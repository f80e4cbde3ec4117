# SPDX-License-Identifier: Apache-2.0
"""The detector as a task of `loop`: batches of pictures with boxes, the loss of PP-YOLOE, figures on the val split."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import preprocess
from ..datasets.records import DetectionSample, DetectionSet, data_hash
from ..errors import ArgumentError, DatasetError, PasserbyError
from ..formats.metadata import InputRecipe, Label, NmsRecipe
from ..models.convert import labels_from_texts
from ..networks.torch.ppyoloe import PPYOLOE, HeadOutputs
from .assigner import GroundTruth
from .detection_augment import INTERPOLATIONS, DetectionAugment, LabelledPicture, augment
from .detection_evaluation import DetectionFigures, evaluate_detections
from .detection_losses import detection_loss
from .detection_pictures import find_boxes, read_picture
from .task import Batch, Place, Weights

log = logging.getLogger(__name__)
STRIDE = 32
PROJECTION = "yolo_head.proj_conv.weight"


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
        metric: by which the best weights are chosen.
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
    metric: Literal["AP", "AP50", "AP75", "AR100"] = "AP"
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
        if self.seed < 0:
            raise ArgumentError("bad_argument", f"seed must not be negative, as {self.seed} is")


class DetectionTask:
    """PP-YOLOE and a data set of boxes. See `task.Task`."""

    def __init__(self, data: DetectionSet, options: DetectionTaskOptions, *, network: PPYOLOE | None = None) -> None:
        """
        Args:
            data: with a split `train`; `evaluate` needs `val`.
            options: the recipe.
            network: to be taught further; None makes one of the options' size, its weights drawn from the seed.
        Raises:
            DatasetError: `dataset_invalid`, there is no class or no training picture.
            ArgumentError: `bad_argument`, network or labels do not fit the classes.
        """
        if not data.classes or not data.splits.get("train"):
            raise DatasetError("dataset_invalid", "there is nothing to learn from", input=str(data.root))
        self.data, self.options = data, options
        self.network = network if network is not None else new_network(options, len(data.classes))
        self.labels = options.labels or labels_from_texts(data.classes)
        for what, count in (("network", self.network.yolo_head.num_classes), ("list of labels", len(self.labels))):
            if count != len(data.classes):
                happened = f"the {what} has {count} classes, the data set {len(data.classes)}"
                raise ArgumentError("bad_argument", happened, input=str(data.root))
        self.samples = len(data.splits["train"])
        self.metric: str = options.metric
        self.data_hash = data_hash(data)
        self.seed = options.seed
        self.not_averaged = frozenset({PROJECTION})
        self.sizes_hw = training_sizes(options.input_hw, options.multi_scale)

    def batch(self, place: Place, rows: Sequence[int]) -> Batch:
        """Read, augment and stack these training pictures, all at one size. See `task.Task`.

        Targets: `boxes` (N, M, 4) float32 px of the input, `classes` (N, M) int64, `valid` (N, M) bool; the same with
        `ignored_` before the name for regions without an opinion; `static` () bool: assign by geometry.
        """
        # the same for every process of a distributed run, so that none waits for another's larger pictures
        shared = np.random.default_rng((self.seed, place.epoch, place.number))
        size_hw = self.sizes_hw[int(shared.integers(len(self.sizes_hw)))]
        interpolation = INTERPOLATIONS[int(shared.integers(len(INTERPOLATIONS)))]
        pictures: list[LabelledPicture] = []
        files: list[str] = []
        left_out: dict[str, str] = {}
        for row in rows:
            sample = self.data.splits["train"][row]
            random = np.random.default_rng((self.seed, place.epoch, place.number, row))
            try:
                picture = read_picture(sample)
            except PasserbyError as error:
                left_out[sample.file] = error.message
                continue
            files.append(sample.file)
            pictures.append(
                augment(
                    picture,
                    size_hw=size_hw,
                    interpolation=interpolation,
                    options=self.options.augment,
                    random=random,
                )
            )
        static = place.epoch < self.options.static_assigner_epochs
        return Batch(network_input(pictures, size_hw), _targets(pictures, static=static), left_out, files)

    def loss(self, batch: Batch, *, progress: float) -> dict[str, Tensor]:
        """`total`, and its parts `classification`, `iou`, `dfl` before they are weighted. See `task.Task`."""
        outputs = self.network.head_outputs(batch.inputs)
        # the sums run over thousands of anchors: half precision is for the network alone
        with torch.autocast(batch.inputs.device.type, enabled=False):
            outputs = HeadOutputs(outputs.class_logits.float(), outputs.side_logits.float(), *outputs[2:])
            loss = detection_loss(
                outputs,
                self.network.yolo_head.distances(outputs.side_logits),
                _truth(batch.targets, ""),
                ignored=_truth(batch.targets, "ignored_"),
                use_atss=bool(batch.targets["static"]),
            )
        return {"total": loss.total, "classification": loss.classification, "iou": loss.iou, "dfl": loss.dfl}

    def evaluate(self, weights: Weights) -> dict[str, float]:
        """AP, AP50, AP75, AR100 and miss_rate on the val split. See `task.Task`."""
        return self.figures(weights).metrics()

    def figures(self, weights: Weights, *, split: str = "val") -> DetectionFigures:
        """Everything that is measured on a split, curves too.

        Args:
            weights: of the network.
            split: `val` or `test`.
        Raises:
            DatasetError: `dataset_missing`, there is no such split; `dataset_invalid`, none of its pictures can be
                read. Single pictures that cannot be read are named in the log and left out of the figures.
        """
        samples = self.data.splits.get(split, ())
        if not samples:
            raise DatasetError("dataset_missing", f"the data set has no split {split}", input=str(self.data.root))
        network = copy.deepcopy(self.network).eval()
        network.load_state_dict(dict(weights))
        read: list[DetectionSample] = []
        found = []
        boxes_of = find_boxes(
            network, samples, recipe=self.recipe, nms=self.options.nms, batch_size=self.options.evaluation_batch
        )
        for sample, result in zip(samples, boxes_of, strict=True):
            if isinstance(result, PasserbyError):
                log.warning("left out of evaluation: %s", result.message)
            else:
                read.append(sample)
                found.append(result)
        if not read:
            happened = f"no picture of the split {split} can be read"
            raise DatasetError("dataset_invalid", happened, input=str(self.data.root))
        return evaluate_detections(read, found, classes=self.data.classes)

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


def network_input(pictures: Sequence[LabelledPicture], size_hw: tuple[int, int]) -> Tensor:
    """The pictures, all of this size already, as inference would hand them over: (N, 3, H, W) float32."""
    recipe = InputRecipe(height=size_hw[0], width=size_hw[1], interpolation="cubic")
    inputs = np.empty((len(pictures), 3, *size_hw), np.float32)
    for row, picture in enumerate(pictures):
        preprocess.to_network_input(picture.image_bgr, recipe, out=inputs[row : row + 1])
    return torch.from_numpy(inputs)


def _targets(pictures: Sequence[LabelledPicture], *, static: bool) -> dict[str, Tensor]:
    return {
        **_padded("", [(p.boxes_xyxy, p.class_ids) for p in pictures]),
        **_padded("ignored_", [(p.ignored_xyxy, p.ignored_ids) for p in pictures]),
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


def _truth(targets: Mapping[str, Tensor], prefix: str) -> GroundTruth:
    return GroundTruth(
        boxes=targets[f"{prefix}boxes"], classes=targets[f"{prefix}classes"], valid=targets[f"{prefix}valid"]
    )
