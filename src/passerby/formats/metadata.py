"""What travels with the weights inside a model file: labels, thresholds, the input recipe, the probe, the card.

Stored as JSON under the key `passerby` of an ONNX file, so that loading a model needs no second file and no
change of code. Here is only the typed record and its way to and from JSON; `onnx_file` reads and writes the file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, shown

Kind = Literal["detector", "attributes"]
Interpolation = Literal["nearest", "linear", "cubic", "area", "lanczos"]

METADATA_BYTES = 1 << 20
METADATA_LEVELS = 32
# values of `calibration["thresholds"]` in a model whose thresholds were chosen for its labels
THRESHOLD_ORIGINS = ("set", "tuned")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One thing a model can say. `id` is stable and used in code and data; the names are for people."""

    id: str
    en: str
    zh: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Labels of which at most one (`exclusive`) can hold, for example the three ages."""

    id: str
    en: str
    exclusive: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRecipe:
    """How pixels become the network's input.

    The picture is resized to (height, width) without keeping its ratio, on uint8; then each channel c, taken in
    `colour_order`, becomes `(value / 255 - mean[c]) / std[c]` in float32, laid out as NCHW.
    """

    height: int
    width: int
    interpolation: Interpolation
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    colour_order: Literal["rgb", "bgr"] = "rgb"


@dataclass(frozen=True, slots=True, kw_only=True)
class NmsRecipe:
    """Settings of `multiclass_nms3`; the defaults are those of the PP-YOLOE human models."""

    score_threshold: float = 0.01
    top_k: int = 1000
    iou_threshold: float = 0.6
    keep_top_k: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A small stored input and what the model must answer: notices a dead model or a wrong engine.

    Attributes:
        pixels_bgr: (h, w, 3) uint8, the picture fed through the input recipe.
        outputs: per output name a sample of its values: flat indices (k,) int64 and values (k,) float32.
        tolerance: largest absolute difference that passes.
    """

    pixels_bgr: NDArray[np.uint8]
    outputs: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float32]]]
    tolerance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMetadata:
    """Everything about a model but its numbers."""

    kind: Kind
    name: str
    network: str
    input: InputRecipe
    labels: tuple[Label, ...]
    thresholds: tuple[float, ...]
    groups: tuple[Group, ...] = ()
    nms: NmsRecipe = field(default_factory=NmsRecipe)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    probe: Probe | None = None

    def __post_init__(self) -> None:
        if len(self.thresholds) != len(self.labels):
            raise ValueError(f"{len(self.labels)} labels but {len(self.thresholds)} thresholds")

    @property
    def own_thresholds(self) -> bool:
        """Whether somebody set or tuned the thresholds for these very labels and stored them on purpose.

        A pipeline whose configuration has the stock threshold uses them then; see `pipeline.Pipeline`.
        """
        return self.calibration.get("thresholds") in THRESHOLD_ORIGINS


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
        "labels": [{"id": x.id, "en": x.en, "zh": x.zh, "group": x.group} for x in m.labels],
        "thresholds": list(m.thresholds),
        "groups": [{"id": g.id, "en": g.en, "exclusive": g.exclusive} for g in m.groups],
        "nms": {
            "score_threshold": m.nms.score_threshold,
            "top_k": m.nms.top_k,
            "iou_threshold": m.nms.iou_threshold,
            "keep_top_k": m.nms.keep_top_k,
        },
        "calibration": dict(m.calibration),
        "card": dict(m.card),
    }
    if m.probe is not None:
        body["probe"] = {
            "pixels_bgr": _packed(m.probe.pixels_bgr),
            "outputs": {k: {"index": _packed(i), "value": _packed(v)} for k, (i, v) in m.probe.outputs.items()},
            "tolerance": m.probe.tolerance,
        }
    return json.dumps(body, ensure_ascii=False, allow_nan=False)


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
        labels=tuple(
            Label(id=str(x["id"]), en=str(x["en"]), zh=str(x["zh"]), group=str(x["group"])) for x in body["labels"]
        ),
        thresholds=thresholds,
        groups=tuple(Group(id=str(g["id"]), en=str(g["en"]), exclusive=bool(g["exclusive"])) for g in body["groups"]),
        nms=nms,
        calibration=dict(body["calibration"]),
        card=dict(body["card"]),
        probe=_probe(body["probe"]) if "probe" in body else None,
    )


def _probe(value: Mapping[str, Any]) -> Probe:
    pixels = _unpacked(value["pixels_bgr"])
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError("the probe is no picture")
    outputs = {str(k): (_unpacked(v["index"]), _unpacked(v["value"])) for k, v in value["outputs"].items()}
    return Probe(pixels_bgr=pixels, outputs=outputs, tolerance=float(value["tolerance"]))
