# SPDX-License-Identifier: Apache-2.0
"""The description of a model as JSON text and back; the text comes from a file that nobody vouches for."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, shown
from .metadata import Group, HeightError, InputRecipe, Judgement, Label, ModelMetadata, NmsRecipe, Probe

METADATA_BYTES = 1 << 20
METADATA_LEVELS = 32


def _packed(array: NDArray[Any]) -> dict[str, Any]:
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def _unpacked(value: Mapping[str, Any]) -> NDArray[Any]:
    dtype = np.dtype({"uint8": "u1", "int64": "<i8", "float32": "<f4"}[value["dtype"]])
    shape = tuple(int(n) for n in value["shape"])
    raw = base64.b64decode(value["data"], validate=True)
    if any(n < 0 for n in shape) or len(raw) != dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
        raise ValueError("array of another size")
    array = np.frombuffer(raw, dtype).reshape(shape)
    array.flags.writeable = False
    return array


def to_json(metadata: ModelMetadata) -> str:
    """The metadata as JSON text, the inverse of `from_json`."""
    m = metadata
    body: dict[str, Any] = {
        "kind": m.kind,
        "name": m.name,
        "network": m.network,
        "input": {
            "height": m.input.height,
            "width": m.input.width,
            "interpolation": m.input.interpolation,
            "mean": list(m.input.mean),
            "std": list(m.input.std),
            "colour_order": m.input.colour_order,
        },
        "labels": [_said_label(x) for x in m.labels],
        "thresholds": list(m.thresholds),
        "groups": [_said_group(g) for g in m.groups],
        "nms": {
            "score_threshold": m.nms.score_threshold,
            "top_k": m.nms.top_k,
            "iou_threshold": m.nms.iou_threshold,
            "keep_top_k": m.nms.keep_top_k,
        },
        "calibration": dict(m.calibration),
        "card": dict(m.card),
    }
    if m.judgement is not None:
        body["judgement"] = dataclasses.asdict(m.judgement)
    if m.probe is not None:
        body["probe"] = {
            "pixels_bgr": _packed(m.probe.pixels_bgr),
            "outputs": {k: {"index": _packed(i), "value": _packed(v)} for k, (i, v) in m.probe.outputs.items()},
            "tolerance": m.probe.tolerance,
        }
    return json.dumps(body, ensure_ascii=False, allow_nan=False)


def _said_label(label: Label) -> dict[str, Any]:
    """What was not measured is left out, so that files without it stay the same to the byte."""
    said: dict[str, Any] = {"id": label.id, "en": label.en, "zh": label.zh, "group": label.group}
    return said if label.uncertain is None else {**said, "uncertain": list(label.uncertain)}


def _said_group(group: Group) -> dict[str, Any]:
    said: dict[str, Any] = {"id": group.id, "en": group.en, "exclusive": group.exclusive}
    return said if group.margin is None else {**said, "margin": group.margin}


def _levels(text: str) -> int:
    """Deepest nesting of brackets in JSON text, strings left out; cheap enough to ask before parsing."""
    depth = deepest = 0
    quoted = escaped = False
    for c in text:
        if quoted:
            if escaped:
                escaped = False
            elif c == "\\":
                escaped = True
            elif c == '"':
                quoted = False
        elif c == '"':
            quoted = True
        elif c in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif c in "]}":
            depth -= 1
    return deepest


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def from_json(text: str, *, input: str | None = None) -> ModelMetadata:
    """Read the metadata of a model file.

    Raises:
        ModelError: `model_too_large` (over 1 MiB), `model_corrupt` (too deep, not JSON, a field missing or of
            the wrong type, counts that disagree).
    """
    if len(text) > METADATA_BYTES:
        raise ModelError("model_too_large", "the model's metadata is over 1 MiB", input=input)
    if _levels(text) > METADATA_LEVELS:
        raise ModelError("model_corrupt", "the model's metadata is nested too deeply", input=input)
    try:
        return _parsed(json.loads(text, parse_constant=_no_constant))
    except (ValueError, TypeError, KeyError, AttributeError) as reason:
        raise ModelError(
            "model_corrupt", f"the model's metadata cannot be read ({shown(reason)})", input=input
        ) from None


def _triple(value: Any) -> tuple[float, float, float]:
    a, b, c = (float(v) for v in value)
    return a, b, c


def _one_of(value: Any, *allowed: str) -> Any:
    if value not in allowed:
        raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
    return value


def _parsed(body: Mapping[str, Any]) -> ModelMetadata:
    given = body["input"]
    recipe = InputRecipe(
        height=int(given["height"]),
        width=int(given["width"]),
        interpolation=_one_of(given["interpolation"], "nearest", "linear", "cubic", "area", "lanczos"),
        mean=_triple(given["mean"]),
        std=_triple(given["std"]),
        colour_order=_one_of(given["colour_order"], "rgb", "bgr"),
    )
    if not (0 < recipe.height <= 4096 and 0 < recipe.width <= 4096):
        raise ValueError("network input over 4096 x 4096")
    thresholds = tuple(float(t) for t in body["thresholds"])
    if not all(0.0 <= t <= 1.0 for t in thresholds):
        raise ValueError("a threshold outside 0..1")
    nms = NmsRecipe(
        score_threshold=float(body["nms"]["score_threshold"]),
        top_k=int(body["nms"]["top_k"]),
        iou_threshold=float(body["nms"]["iou_threshold"]),
        keep_top_k=int(body["nms"]["keep_top_k"]),
    )
    return ModelMetadata(
        kind=_one_of(body["kind"], "detector", "attributes"),
        name=str(body["name"]),
        network=str(body["network"]),
        input=recipe,
        labels=tuple(_label(x) for x in body["labels"]),
        thresholds=thresholds,
        groups=tuple(_group(g) for g in body["groups"]),
        nms=nms,
        calibration=dict(body["calibration"]),
        card=dict(body["card"]),
        probe=_probe(body["probe"]) if "probe" in body else None,
        judgement=_judgement(body["judgement"]) if "judgement" in body else None,
    )


def _number(value: Any) -> float:
    """A number as JSON has them; texts and booleans are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is no whole number")
    return value


def _label(value: Mapping[str, Any]) -> Label:
    band = value.get("uncertain")
    if band is not None:
        low, high = (_number(v) for v in band)
        band = (low, high)
    return Label(
        id=str(value["id"]), en=str(value["en"]), zh=str(value["zh"]), group=str(value["group"]), uncertain=band
    )


def _group(value: Mapping[str, Any]) -> Group:
    margin = value.get("margin")
    return Group(
        id=str(value["id"]),
        en=str(value["en"]),
        exclusive=bool(value["exclusive"]),
        margin=None if margin is None else _number(margin),
    )


def _judgement(value: Mapping[str, Any]) -> Judgement:
    rows = tuple(
        HeightError(
            from_px=_number(row["from_px"]),
            to_px=None if row["to_px"] is None else _number(row["to_px"]),
            error=_number(row["error"]),
            persons=_count(row["persons"]),
        )
        for row in value["error_rates"]
    )
    return Judgement(
        label=None if value["label"] is None else str(value["label"]),
        threshold=_number(value["threshold"]),
        min_height_px=_number(value["min_height_px"]),
        error_rates=rows,
    )


def _probe(value: Mapping[str, Any]) -> Probe:
    pixels = _unpacked(value["pixels_bgr"])
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError("the probe is no picture")
    outputs = {str(k): (_unpacked(v["index"]), _unpacked(v["value"])) for k, v in value["outputs"].items()}
    return Probe(pixels_bgr=pixels, outputs=outputs, tolerance=float(value["tolerance"]))
