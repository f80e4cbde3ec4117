# SPDX-License-Identifier: Apache-2.0
"""What a weights file says about itself, parsed: network, input, labels, thresholds, and how it came to be.

`Task.describe()` writes it, `export` and `evaluate` read it. Weights that somebody passed on are no more trusted than
any other file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ModelError, shown
from ..formats.graph import INPUT_SIDE
from ..formats.metadata import Group, InputRecipe, Kind, Label, NmsRecipe

INTERPOLATIONS = {"detector": "cubic", "attributes": "linear"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A trained network without its weights.

    Attributes:
        kind: which of the two networks.
        network: arguments of its size: `scale`, or `depth` and `width`.
        input: how pixels become its input, as in evaluation.
        labels: C of them, in the order of the outputs.
        groups: of the labels.
        thresholds: (C,) as the user set them, None where nothing was said.
        nms: of a detector.
        training: what the run wrote about itself: figures, options, hash of the data.
    """

    kind: Kind
    network: Mapping[str, float]
    input: InputRecipe
    labels: tuple[Label, ...]
    groups: tuple[Group, ...] = ()
    thresholds: tuple[float | None, ...] = ()
    nms: NmsRecipe = field(default_factory=NmsRecipe)
    training: Mapping[str, Any] = field(default_factory=dict)


def parse_description(body: Mapping[str, Any], *, input: str | None = None) -> Description:
    """Parse what `Task.describe()` gave, as it came back from a file.

    Raises:
        ModelError: `model_corrupt`, something is missing or of the wrong form.
    """
    try:
        return _parsed(body)
    except (KeyError, TypeError, ValueError, AttributeError) as reason:
        happened = f"the weights are not described as training does it ({shown(repr(reason))})"
        hint = "give a file that training wrote, such as best_model/best_model.safetensors"
        raise ModelError("model_corrupt", happened, input=input, hint=hint) from None


def _parsed(body: Mapping[str, Any]) -> Description:
    kind = body["kind"]
    height, width = (int(n) for n in body["input_hw"])
    if not (0 < height <= INPUT_SIDE and 0 < width <= INPUT_SIDE):
        raise ValueError(f"input of {height} x {width}")
    labels = tuple(Label(**_texts(entry, ("id", "en", "zh", "group"))) for entry in body["labels"])
    thresholds = tuple(_threshold(value) for value in body.get("thresholds") or [None] * len(labels))
    if not len(labels) == len(thresholds) == body["num_classes"]:
        raise ValueError(f"{len(labels)} labels, {len(thresholds)} thresholds, {body['num_classes']} classes")
    return Description(
        kind=kind,
        network={str(name): float(value) for name, value in body["network"].items()},
        input=InputRecipe(height=height, width=width, interpolation=INTERPOLATIONS[kind]),  # type: ignore[arg-type]
        labels=labels,
        groups=tuple(
            Group(**_texts(entry, ("id", "en")), exclusive=entry.get("exclusive") is not False)
            for entry in body.get("groups") or ()
        ),
        thresholds=thresholds,
        nms=_nms(body.get("nms") or {}),
        training=dict(body.get("training") or {}),
    )


def _texts(entry: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    found = {name: entry.get(name, "") for name in names}
    if not all(isinstance(text, str) for text in found.values()) or not found["id"]:
        raise ValueError(f"no label or group: {shown(entry)}")
    return found


def _threshold(value: Any) -> float | None:
    if value is not None and not 0.0 <= value <= 1.0:
        raise ValueError(f"threshold {value}")
    return None if value is None else float(value)


def _nms(body: Mapping[str, Any]) -> NmsRecipe:
    default = NmsRecipe()
    return NmsRecipe(
        score_threshold=float(body.get("score_threshold", default.score_threshold)),
        top_k=int(body.get("top_k", default.top_k)),
        iou_threshold=float(body.get("iou_threshold", default.iou_threshold)),
        keep_top_k=int(body.get("keep_top_k", default.keep_top_k)),
    )
