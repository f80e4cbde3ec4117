"""Weights of one of the two networks, in Paddle's names, become one .onnx file with everything it needs inside.

Which network it is comes from the names; its size from the shapes, each of which is checked. Labels and input recipe
come from `inference.yml` where there is one, else they are those of the official models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from .._version import __version__
from ..errors import ModelError, shown
from ..formats.door import located
from ..formats.inference_yml import InferenceYml
from ..formats.metadata import Group, InputRecipe, Kind, Label, ModelMetadata
from ..formats.model_dir import read_file, read_model_dir
from ..formats.onnx_file import write_onnx
from ..formats.pdparams import read_pdparams
from ..networks import pplcnet, ppyoloe
from ..types import Weights
from . import pa100k
from .catalogue import ENTRIES, CatalogueEntry

NETWORKS = {"detector": ppyoloe, "attributes": pplcnet}
DETECTOR_INPUT = InputRecipe(height=640, width=640, interpolation="cubic")
ATTRIBUTES_INPUT = InputRecipe(height=256, width=192, interpolation="linear")
THRESHOLD = 0.5
PEDESTRIAN = Label(id="pedestrian", en="pedestrian")


def convert(
    weights: Weights,
    *,
    name: str,
    described: InferenceYml | None = None,
    card: Mapping[str, Any] | None = None,
    architecture: Mapping[str, float] | None = None,
    input: str | None = None,
) -> bytes:
    """Make a model file.

    Args:
        weights: all parameters under Paddle's names, in the training or the merged form.
        name: what the model is called.
        described: its `inference.yml`, None for the recipe and labels of the official models.
        card: licence, source and the like.
        architecture: fields of the network's `Architecture` that the weights must have.
        input: where the weights came from, for messages.
    Raises:
        ModelError: `model_mismatch` (no such network, labels that do not fit), `model_not_finite`,
            `model_unsupported` (an input size the network cannot have).
    """
    kind, network = network_of(weights, name=name, input=input)
    if described is not None and described.kind != kind:
        raise ModelError(
            "model_mismatch", f"inference.yml belongs to another network than these {network} weights", input=input
        )
    recipe = described.input if described else DETECTOR_INPUT if kind == "detector" else ATTRIBUTES_INPUT
    _check_size(weights, kind, architecture or {}, name, input)
    model, count = _built(weights, kind, recipe, input)
    labels = _labels(kind, described, count)
    if len(labels) != count:
        raise ModelError("model_mismatch", f"{len(labels)} labels for a network with {count} outputs", input=input)
    metadata = ModelMetadata(
        kind=kind,
        name=name,
        network=network,
        input=recipe,
        labels=labels,
        thresholds=described.thresholds if described else (THRESHOLD,) * count,
        groups=_groups(labels),
        card=dict(card or {}),
    )
    return write_onnx(model, metadata)


def convert_path(path: Path, *, name: str, official: CatalogueEntry | None = None) -> bytes:
    """Make a model file from a folder in Paddle's layout or a .pdparams file.

    Args:
        name: what the model is called; a name of the catalogue must be the one in `inference.yml`.
        official: the entry whose size the network must have.
    Raises:
        ModelError: as `convert`, and what the readers say.
    """
    weights, described = _weights(path, name)
    entry = ENTRIES.get(name)
    return convert(
        weights,
        name=name,
        described=described,
        card={"converted_by": f"passerby {__version__}", **({"licence": entry.licence} if entry else {})},
        architecture=official.architecture if official else None,
        input=str(path),
    )


def _weights(path: Path, name: str) -> tuple[Weights, InferenceYml | None]:
    """Weights under the network's names, and what the folder says about them."""
    if not path.is_dir():
        return read_pdparams(read_file(path), input=str(path)), None
    found = read_model_dir(path)
    described = found.inference.model_name
    if described != name and described in ENTRIES and name in ENTRIES:
        happened = f"inference.yml says this is {described}, asked for was {shown(name)}"
        raise ModelError("model_mismatch", happened, input=str(path), hint="correct model_name or model_dir")
    with located(str(path)):
        return NETWORKS[found.inference.kind].weights_from_program(found.program, found.parameters), found.inference


def network_of(weights: Weights, *, name: str, input: str | None = None) -> tuple[Kind, str]:
    """Which network the names belong to: its kind and the name of its family.

    Args:
        name: what the model is to be; for a name of the catalogue the message says which tensors differ.
    Raises:
        ModelError: `model_mismatch`, neither.
    """
    if any(tensor.startswith("yolo_head.") for tensor in weights):
        return "detector", ppyoloe.NETWORK
    if any(tensor.startswith("blocks2.0.") for tensor in weights):
        return "attributes", pplcnet.NETWORK
    happened = f"{len(weights)} tensors that belong neither to {ppyoloe.NETWORK} nor to {pplcnet.NETWORK}"
    entry = ENTRIES.get(name)
    wanted: list[str] = []
    if entry is not None and entry.architecture:
        network = NETWORKS[entry.kind]
        wanted = list(network.parameter_shapes(network.Architecture(**entry.architecture), deploy=False))
        happened += f"; missing: {_some([tensor for tensor in wanted if tensor not in weights])}"
    raise ModelError(
        "model_mismatch",
        f"{happened}; unexpected: {_some([tensor for tensor in weights if tensor not in wanted])}",
        input=input,
    )


def _some(names: list[str]) -> str:
    """At most five names, so that missing and unexpected ones together are at most ten."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (", ".join(shown(name, 40) for name in names[:5]) or "none") + more


def _check_size(weights: Weights, kind: Kind, architecture: Mapping[str, float], name: str, input: str | None) -> None:
    with located(input):
        found = NETWORKS[kind].Architecture.from_weights(weights)
    for field, value in architecture.items():
        if getattr(found, field, None) != value:
            happened = f"{shown(name)} has {field} {value:g}, these weights have {getattr(found, field, 'none')}"
            raise ModelError("model_mismatch", happened, input=input, hint="check the model's name")


def _built(weights: Weights, kind: Kind, recipe: InputRecipe, input: str | None) -> tuple[onnx.ModelProto, int]:
    """The graph, and how many classes it has."""
    input_hw = (recipe.height, recipe.width)
    if kind == "detector" and any(side % 32 for side in input_hw):
        happened = f"an input of {recipe.height} x {recipe.width}, the sides must be multiples of 32"
        raise ModelError("model_unsupported", happened, input=input)
    network = NETWORKS[kind]
    with located(input):
        count: int = network.Architecture.from_weights(weights).num_classes
        return network.build_onnx(weights, input_hw=input_hw), count


def _labels(kind: Kind, described: InferenceYml | None, count: int) -> tuple[Label, ...]:
    if described is not None:
        return labels_from_texts(described.labels)
    if kind == "detector" and count == 1:
        return (PEDESTRIAN,)
    if kind == "attributes" and count == len(pa100k.LABELS):
        return pa100k.LABELS
    return tuple(Label(id=f"label_{i}", en=f"label {i}") for i in range(count))


def labels_from_texts(texts: tuple[str, ...]) -> tuple[Label, ...]:
    """Labels from the texts of an `inference.yml`, such as `Hat(帽子)`.

    The official ones are recognised by their Chinese part and get their id and group; others get an id made from
    the text, with a number behind it where two would be the same.

    >>> [label.id for label in labels_from_texts(("Hat(帽子)", "Red Hat", "red-hat"))]
    ['hat', 'red_hat', 'red_hat_2']
    """
    official = {label.zh: label for label in pa100k.LABELS}
    labels: list[Label] = []
    taken: set[str] = set()
    for text in texts:
        found = re.fullmatch(r"(.*?)\((.*)\)", text)
        en, zh = (found[1], found[2]) if found and not found[2].isascii() else (text, "")
        label = official.get(zh) or Label(id=_id(en), en=en, zh=zh)
        number, id = 2, label.id
        while id in taken:
            id, number = f"{label.id}_{number}", number + 1
        taken.add(id)
        labels.append(Label(id=id, en=label.en, zh=label.zh, group=label.group))
    return tuple(labels)


def _id(text: str) -> str:
    return re.sub(r"\W+", "_", text.lower()).strip("_") or "label"


def _groups(labels: tuple[Label, ...]) -> tuple[Group, ...]:
    used = {label.group for label in labels}
    return tuple(group for group in pa100k.GROUPS if group.id in used)
