"""Reads `inference.yml`, which lies beside an exported network and says how pixels become its input.

PaddleDetection and PaddleClas write different files: `Preprocess` as a list of steps with a `type`, or
`PreProcess.transform_ops` as a list of mappings from a step's name to its arguments. Both become one `InputRecipe`.
A step or argument that is not on the list is refused: leaving it out would change the pixels without a word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import ModelError, shown
from .door import AGAIN, check_content, located
from .graph import INPUT_SIDE, Program
from .metadata import InputRecipe, Interpolation, Kind
from .safe_yaml import YamlProblem, load_yaml

YML_BYTES = 1 << 20
LABEL_CHARACTERS = 200
DRAW_THRESHOLD = 0.5
POST_PROCESS = "MultiLabelThreshOutput"

_INTERPOLATIONS: dict[Any, Interpolation] = {
    0: "nearest",
    1: "linear",
    2: "cubic",
    3: "area",
    4: "lanczos",
    "NEAREST": "nearest",
    "LINEAR": "linear",
    "BILINEAR": "linear",
    "CUBIC": "cubic",
    "BICUBIC": "cubic",
    "AREA": "area",
    "LANCZOS": "lanczos",
    "LANCZOS4": "lanczos",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceYml:
    """What the file says.

    Attributes:
        model_name: the official name, or "" where none is given.
        kind: which of the two networks it belongs to, from the form of the file.
        input: the input recipe.
        labels: as they stand in the file, one for each class.
        thresholds: one for each label.
        draw_threshold: of a detector, the score from which boxes are shown.
    """

    model_name: str
    kind: Kind
    input: InputRecipe
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    draw_threshold: float = DRAW_THRESHOLD


class _Step(NamedTuple):
    name: str
    arguments: Mapping[Any, Any]


def read_inference_yml(data: bytes, *, input: str | None = None) -> InferenceYml:
    """Read an `inference.yml`.

    Args:
        data: the whole file.
        input: what it is called in messages.
    Raises:
        ModelError: `model_corrupt` (no plain YAML, numbers that cannot be), `model_unsupported` (a step, argument or
            post-processing that is not known), `model_mismatch` (no labels), `model_too_large` (input over 4096).
    """
    with located(input):
        check_content(data, limit=YML_BYTES, due="an inference.yml")
        try:
            value = load_yaml(data).value
        except YamlProblem as problem:
            raise _corrupt(str(problem)) from None
        body = _mapping(value, "the file")
        if isinstance(body.get("Preprocess"), list):
            return _detector(body)
        if isinstance(body.get("PreProcess"), dict):
            return _classifier(body)
        raise _corrupt("neither Preprocess nor PreProcess holds steps")


def check_labels(described: InferenceYml, program: Program, *, input: str | None = None) -> None:
    """Refuse labels that do not fit what a classifier's program gives.

    A detector's outputs say nothing about its classes; its labels are held against the weights when it is loaded.

    Raises:
        ModelError: `model_mismatch`.
    """
    if described.kind != "attributes":
        return
    shape = program.outputs[0].shape
    if len(program.outputs) != 1 or not shape or (shape[-1] >= 0 and shape[-1] != len(described.labels)):
        raise ModelError(
            "model_mismatch",
            f"{len(described.labels)} labels, but the network's output has the shape {list(shape)}",
            input=input,
            hint="graph and inference.yml must come from one export",
        )


def _corrupt(text: str) -> ModelError:
    return ModelError("model_corrupt", f"inference.yml cannot be right: {text}", hint=AGAIN)


def _unsupported(text: str) -> ModelError:
    return ModelError(
        "model_unsupported", f"inference.yml asks for {text}", hint="export the model with its standard steps"
    )


def _mapping(value: Any, what: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise _corrupt(f"{what} is no mapping")
    return value


def _detector(body: Mapping[Any, Any]) -> InferenceYml:
    steps = []
    for entry in body["Preprocess"]:
        arguments = dict(_mapping(entry, "a step"))
        steps.append(_Step(_word(arguments.pop("type", None), "the type of a step"), arguments))
    labels = _labels(body.get("label_list"))
    draw = _fraction(body.get("draw_threshold", DRAW_THRESHOLD), "draw_threshold")
    return InferenceYml(
        model_name=_model_name(body),
        kind="detector",
        input=_recipe(steps, default_interpolation="cubic"),
        labels=labels,
        thresholds=(draw,) * len(labels),
        draw_threshold=draw,
    )


def _classifier(body: Mapping[Any, Any]) -> InferenceYml:
    listed = body["PreProcess"].get("transform_ops")
    if not isinstance(listed, list):
        raise _corrupt("PreProcess holds no transform_ops")
    steps = []
    for entry in listed:
        for name, arguments in _mapping(entry, "a step").items():
            given = {} if arguments is None else _mapping(arguments, f"the step {shown(name, 40)}")
            steps.append(_Step(_word(name, "the name of a step"), given))
    after = _mapping(body.get("PostProcess"), "PostProcess")
    others = [name for name in after if name != POST_PROCESS]
    if others or POST_PROCESS not in after:
        raise _unsupported(
            f"the post-processing {shown(others[0] if others else 'none', 40)}, only {POST_PROCESS} is known"
        )
    settings = _mapping(after[POST_PROCESS], POST_PROCESS)
    labels = _labels(settings.get("label_list"))
    return InferenceYml(
        model_name=_model_name(body),
        kind="attributes",
        input=_recipe(steps, default_interpolation="linear"),
        labels=labels,
        thresholds=_thresholds(settings.get("threshold", DRAW_THRESHOLD), len(labels)),
    )


def _model_name(body: Mapping[Any, Any]) -> str:
    name = _mapping(body.get("Global", {}), "Global").get("model_name", "")
    return _word(name, "Global.model_name") if name else ""


def _word(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > LABEL_CHARACTERS:
        raise _corrupt(f"{what} is no word")
    return value


def _labels(listed: Any) -> tuple[str, ...]:
    if not isinstance(listed, list) or not listed:
        raise ModelError(
            "model_mismatch", "inference.yml has no label list", hint="add label_list, one name for each class"
        )
    return tuple(_word(label, f"the label {shown(label, 40)}") for label in listed)


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _corrupt(f"{what} is no finite number")
    return float(value)


def _fraction(value: Any, what: str) -> float:
    number = _number(value, what)
    if not 0.0 <= number <= 1.0:
        raise _corrupt(f"{what} is not between 0 and 1")
    return number


def _thresholds(given: Any, count: int) -> tuple[float, ...]:
    """One threshold for each label, from a number, a list, or a mapping with `default` and class numbers."""
    if isinstance(given, list):
        if len(given) != count:
            raise ModelError(
                "model_mismatch", f"inference.yml has {len(given)} thresholds for {count} labels", hint=AGAIN
            )
        return tuple(_fraction(value, "a threshold") for value in given)
    if isinstance(given, dict):
        values = [_fraction(given.get("default", DRAW_THRESHOLD), "the default threshold")] * count
        for key, value in given.items():
            if key == "default":
                continue
            if isinstance(key, bool) or not isinstance(key, int) or not 0 <= key < count:
                raise _corrupt(f"a threshold for class {shown(key, 40)}, there are {count}")
            values[key] = _fraction(value, "a threshold")
        return tuple(values)
    return (_fraction(given, "the threshold"),) * count


# --- steps --------------------------------------------------------------------------------------------------------


def _recipe(steps: Sequence[_Step], *, default_interpolation: Interpolation) -> InputRecipe:
    """Resize, normalise, channels first, each once and in this order."""
    known = (("Resize", "ResizeImage"), ("NormalizeImage",), ("Permute", "ToCHWImage"))
    for step in steps:
        if not any(step.name in names for names in known):
            raise _unsupported(f"the step {shown(step.name, 40)}, which is not known")
    if len(steps) != len(known) or any(step.name not in names for step, names in zip(steps, known, strict=True)):
        raise _unsupported(
            f"the steps {shown(', '.join(s.name for s in steps))}, known is resize, normalise, channels first"
        )
    resize, normalise, last = steps
    (height, width), interpolation = _resize(resize, default_interpolation)
    mean, std = _normalise(normalise)
    if last.arguments:
        raise _unsupported(f"{last.name} with arguments")
    return InputRecipe(height=height, width=width, interpolation=interpolation, mean=mean, std=std)


def _expect(step: _Step, **allowed: tuple[Any, ...]) -> None:
    """Refuse arguments that are not named, and named ones with other values than those allowed (empty = any)."""
    for key, value in step.arguments.items():
        if key not in allowed:
            raise _unsupported(f"{step.name} with {shown(key, 40)}, which is not known")
        if allowed[key] and not any(
            value is one or (type(value) is type(one) and value == one) for one in allowed[key]
        ):
            raise _unsupported(f"{step.name} with {shown(key, 40)}: {shown(value, 40)}")


def _resize(step: _Step, default: Interpolation) -> tuple[tuple[int, int], Interpolation]:
    """Height, width and interpolation; `Resize.target_size` is (h, w), `ResizeImage.size` is (w, h)."""
    if step.name == "Resize":
        _expect(step, target_size=(), interp=(), keep_ratio=(False,))
        size, method = step.arguments.get("target_size"), step.arguments.get("interp")
    else:
        _expect(step, size=(), interpolation=(), backend=("cv2", None), resize_short=(None,), interp=())
        size, method = step.arguments.get("size"), step.arguments.get("interpolation", step.arguments.get("interp"))
    if isinstance(size, int) and not isinstance(size, bool):
        size = [size, size]
    if not isinstance(size, list) or len(size) != 2 or any(type(n) is not int or n < 1 for n in size):
        raise _corrupt(f"{step.name} to the size {shown(size, 40)}")
    if max(size) > INPUT_SIDE:
        raise ModelError(
            "model_too_large",
            f"inference.yml asks for an input of {size[0]} x {size[1]}, the limit is {INPUT_SIDE}",
            hint=AGAIN,
        )
    if method is None:
        interpolation = default
    else:
        key = method.upper() if isinstance(method, str) else method
        if isinstance(key, (bool, float, list, dict)) or key not in _INTERPOLATIONS:
            raise _unsupported(f"the interpolation {shown(method, 40)}")
        interpolation = _INTERPOLATIONS[key]
    height, width = size if step.name == "Resize" else reversed(size)
    return (height, width), interpolation


def _normalise(step: _Step) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    _expect(
        step,
        mean=(),
        std=(),
        scale=(),
        is_scale=(True,),
        norm_type=("mean_std", "none", None),
        channel_num=(3,),
        order=("", "hwc"),
    )
    scale = step.arguments.get("scale")
    if scale is not None and abs(_number(scale, "scale") * 255.0 - 1.0) > 1e-6:
        raise _unsupported(f"NormalizeImage with scale {shown(scale, 40)}, known is 1/255")
    mean, std = (_triple(step.arguments.get(name), name) for name in ("mean", "std"))
    if min(std) <= 0.0:
        raise _corrupt("a standard deviation that is not positive")
    return mean, std


def _triple(value: Any, what: str) -> tuple[float, float, float]:
    if not isinstance(value, list) or len(value) != 3:
        raise _corrupt(f"{what} is no list of three numbers")
    a, b, c = (_number(v, what) for v in value)
    return a, b, c
