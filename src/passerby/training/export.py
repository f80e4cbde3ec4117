# SPDX-License-Identifier: Apache-2.0
"""From trained weights to a folder that runs: one self-contained .onnx, and PaddleX's `inference.yml` beside it.

The file carries labels, groups, thresholds, input recipe, card and probe. Before anything is written its answers are
held against the PyTorch network's on the caller's own pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .. import engines
from .._version import __version__
from ..datasets.check_pictures import read_picture
from ..devices import Device
from ..engines import Engine
from ..errors import ModelError, OutputError, PasserbyError, shown
from ..files import atomic_write, safe_name
from ..formats.inference_yml_writer import write_inference_yml
from ..formats.metadata import ModelMetadata
from ..formats.model_dir import DESCRIPTION, MODEL_FILES
from ..formats.onnx_file import write_onnx
from ..models.convert import NETWORKS
from ..models.download import sha256_of
from ..models.verify import probe_picture, with_probe
from ..networks.torch.pplcnet import PPLCNet
from ..networks.torch.ppyoloe import PPYOLOE
from ..preprocess import to_network_input
from ..types import ImageBgr
from .description import Description, parse_description
from .thresholds import ThresholdChoice, choose_thresholds, described, with_thresholds
from .weights_file import read_tensors

TOLERANCE = 1e-4
CHECKED_PICTURES = 16
CARD_LIST = 64  # longer lists are curves, which belong in the report
DEFAULT_NAMES = {"detector": "own-detector", "attributes": "own-attributes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What was exported.

    Attributes:
        folder: what `model_dir` is to be.
        model_file, description_file: the .onnx and the `inference.yml` in it.
        thresholds: (C,) inside, and what made them: `set`, `tuned` or `default`.
        compared: pictures whose answers were held against the PyTorch network's.
        difference: the largest of these differences; boxes count in shares of the input's longer side.
    """

    folder: Path
    model_file: Path
    description_file: Path
    kind: str
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    threshold_origin: ThresholdChoice
    compared: int
    difference: float
    tolerance: float = TOLERANCE

    def to_json(self) -> dict[str, Any]:
        """Plain values; paths as text."""
        return {
            "model_dir": str(self.folder),
            "onnx": str(self.model_file),
            "inference_config": str(self.description_file),
            "kind": self.kind,
            "labels": list(self.labels),
            "thresholds": [round(value, 6) for value in self.thresholds],
            "threshold_origin": self.threshold_origin,
            "compared_pictures": self.compared,
            "largest_difference": self.difference,
            "tolerance": self.tolerance,
        }


def export_model(
    weights_file: Path,
    output: Path,
    *,
    name: str | None = None,
    thresholds: ThresholdChoice = "set",
    tuned: Sequence[float | None] | None = None,
    check_pictures: Iterable[ImageBgr] = (),
    card: Mapping[str, Any] | None = None,
) -> ExportReport:
    """Write a model folder from trained weights.

    Args:
        weights_file: what training wrote, `best_model/best_model.safetensors`.
        output: the folder; made. An earlier export in it is replaced.
        name: of the model and its file; default the kind.
        thresholds: which ones go into the model, see `thresholds.choose_thresholds`.
        tuned: (C,) tuned on val, None where that was impossible; needed for `tuned`.
        check_pictures: (H, W, 3) uint8 BGR, crops of persons or whole pictures; a drawn one is always added.
        card: `licence`, `data`, `recipe`, `figures` and the like. Lists of over 64 numbers are left out.
    Raises:
        ModelError: what the weights are not; `model_mismatch`, the file answers otherwise than the network.
        OutputError: `output_conflict`, another model lies in the folder; `output_full`, `output_unwritable`.
    """
    tensors, body = read_tensors(weights_file)
    description = parse_description(body, input=str(weights_file))
    name = safe_name(name or DEFAULT_NAMES[description.kind])
    model_file = output / f"{name}.onnx"
    _check_folder(output, model_file)
    chosen = choose_thresholds(thresholds, given=description.thresholds, tuned=tuned, kind=description.kind)
    metadata = ModelMetadata(
        kind=description.kind,
        name=name,
        network=NETWORKS[description.kind].NETWORK,
        input=description.input,
        labels=description.labels,
        thresholds=chosen.values,
        groups=description.groups,
        nms=description.nms,
        card=_card(weights_file, description, card or {}),
    )
    weights = {key: value.to(torch.float32).numpy() for key, value in tensors.items()}
    input_hw = (description.input.height, description.input.width)
    graph = NETWORKS[description.kind].build_onnx(weights, input_hw=input_hw)
    metadata = with_thresholds(metadata, chosen)
    engine = engines.load(write_onnx(graph, metadata), device=Device("cpu"), spread="inside")
    data = write_onnx(graph, with_probe(metadata, engine))
    compared, difference = compare(network_of(description, tensors), engine, metadata, check_pictures)
    atomic_write(output / DESCRIPTION, write_inference_yml(described(metadata)))
    atomic_write(model_file, data)
    return ExportReport(
        folder=output,
        model_file=model_file,
        description_file=output / DESCRIPTION,
        kind=metadata.kind,
        labels=tuple(label.id for label in metadata.labels),
        thresholds=chosen.values,
        threshold_origin=chosen.origin,
        compared=compared,
        difference=difference,
    )


def network_of(description: Description, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The PyTorch network with these weights, ready for inference.

    Raises:
        ModelError: `model_mismatch`, the weights do not fit what is said about them.
    """
    count = len(description.labels)
    try:
        network: nn.Module
        if description.kind == "attributes":
            network = PPLCNet(count, scale=description.network["scale"])
        else:
            size = {name: description.network[name] for name in ("depth", "width")}
            network = PPYOLOE(**size, num_classes=count)
        network.load_state_dict(dict(tensors))
    except (RuntimeError, KeyError) as reason:
        happened = f"the weights are not those of the network they describe ({shown(reason)})"
        raise ModelError("model_mismatch", happened) from None
    return network.eval()


def compare(
    network: nn.Module, engine: Engine, metadata: ModelMetadata, pictures: Iterable[ImageBgr]
) -> tuple[int, float]:
    """Hold the answers of a model file against those of the network it was made from.

    Returns:
        how many pictures were compared, the drawn one with them, and the largest difference.
    Raises:
        ModelError: `model_mismatch`, it is above `TOLERANCE`.
    """
    answers = _probabilities if metadata.kind == "attributes" else _boxes_and_scores
    count, largest = 0, 0.0
    for picture in (probe_picture(), *pictures):
        x = to_network_input(picture, metadata.input)
        with torch.no_grad():
            expected = answers(network, torch.from_numpy(x), metadata)
        given = engine.run({engine.inputs[0].name: x})
        for name, (values, unit) in expected.items():
            difference = float(np.abs(given[name] - values).max(initial=0.0) / unit)
            largest = max(largest, difference) if math.isfinite(difference) else math.inf
        count += 1
    if not largest <= TOLERANCE:
        happened = f"the exported model answers otherwise than the network (off by {largest:.3g})"
        raise ModelError("model_mismatch", happened, hint=f"allowed is {TOLERANCE:g}; please report this")
    return count, largest


Answers = dict[str, tuple[NDArray[np.float32], float]]
"""By output its values and the unit they are measured in."""


def _probabilities(network: nn.Module, x: Tensor, metadata: ModelMetadata) -> Answers:
    return {"probabilities": (network(x).sigmoid().numpy(), 1.0)}


def _boxes_and_scores(network: nn.Module, x: Tensor, metadata: ModelMetadata) -> Answers:
    boxes, scores = network(x)
    side = float(max(metadata.input.height, metadata.input.width))
    return {"boxes": (boxes.numpy(), side), "scores": (scores.numpy(), 1.0)}


def pictures_to_check(paths: Sequence[Path], *, count: int = CHECKED_PICTURES) -> list[ImageBgr]:
    """Up to `count` of the pictures, spread over the list; those that cannot be read are passed over."""
    found: list[ImageBgr] = []
    step = max(1, len(paths) // count) if count else 1
    for path in paths[::step]:
        if len(found) >= count:
            break
        try:
            found.append(read_picture(path))
        except PasserbyError:
            continue
    return found


def _check_folder(output: Path, model_file: Path) -> None:
    """Two models in a folder could not be told apart by whoever loads it."""
    if not output.is_dir():
        return
    ours = {model_file.name, DESCRIPTION}
    others = [
        entry.name
        for entry in sorted(output.iterdir())
        if entry.name not in ours and (entry.name in MODEL_FILES or entry.suffix in (".onnx", ".pdparams"))
    ]
    if others:
        happened = f"the folder holds another model already ({shown(', '.join(others))})"
        raise OutputError("output_conflict", happened, input=str(output), hint="name another folder")


def _card(weights_file: Path, description: Description, said: Mapping[str, Any]) -> dict[str, Any]:
    """What the model says about where it comes from: the caller's words over those of the run."""
    training = description.training
    card: dict[str, Any] = {
        "made_by": f"passerby {__version__}",
        "network": dict(description.network),
        "weights_sha256": sha256_of(weights_file),
    }
    if training:
        kept = {key: value for key, value in training.items() if key not in ("figures", "data_hash", "options")}
        card["training"] = kept
        card |= {"figures": training.get("figures"), "recipe": training.get("options")}
        card["data"] = {"hash": training.get("data_hash")}
    for key, value in said.items():
        merged = isinstance(value, Mapping) and isinstance(card.get(key), Mapping)
        card[key] = {**card[key], **value} if merged else value
    short = _short(card)
    assert isinstance(short, dict)
    return short


def _short(value: Any) -> Any:
    """Plain JSON values; what is not finite is None, long lists of numbers go."""
    convert: dict[type, Callable[[Any], Any]] = {Path: str, np.ndarray: lambda array: _short(array.tolist())}
    if isinstance(value, Mapping):
        items = {str(key): _short(entry) for key, entry in value.items()}
        return {key: entry for key, entry in items.items() if not _is_curve(entry)}
    if isinstance(value, list | tuple):
        return [_short(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return round(float(value), 6) if math.isfinite(value) else None
    if isinstance(value, np.integer | np.bool_):
        return value.item()
    return next((change(value) for kind, change in convert.items() if isinstance(value, kind)), value)


def _is_curve(value: Any) -> bool:
    return isinstance(value, list) and len(value) > CARD_LIST and isinstance(value[0], int | float | None)
