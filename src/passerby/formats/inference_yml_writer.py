# SPDX-License-Identifier: Apache-2.0
"""Writes `inference.yml` as PaddleDetection and PaddleClas do, so that their readers and ours take it.

The inverse of `inference_yml`. Texts are written as JSON strings, which YAML reads as they stand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from ..errors import ModelError
from .inference_yml import POST_PROCESS, InferenceYml
from .metadata import Interpolation

# as PaddleDetection numbers them and PaddleClas calls them
CODES: dict[Interpolation, tuple[int, str]] = {
    "nearest": (0, "nearest"),
    "linear": (1, "bilinear"),
    "cubic": (2, "bicubic"),
    "area": (3, "area"),
    "lanczos": (4, "lanczos"),
}
SCALE = 0.00392156862745098  # the original writes 1/255 with these digits


def write_inference_yml(described: InferenceYml) -> bytes:
    """The file's bytes; `read_inference_yml` gives `described` back.

    Raises:
        ModelError: `model_unsupported`, what the form cannot say: BGR input, a detector whose classes have thresholds
            of their own.
    """
    if described.input.colour_order != "rgb":
        raise ModelError("model_unsupported", "inference.yml cannot say that a network takes BGR")
    lines = _detector(described) if described.kind == "detector" else _classifier(described)
    return ("\n".join(lines) + "\n").encode("utf-8")


def _detector(described: InferenceYml) -> list[str]:
    if any(threshold != described.draw_threshold for threshold in described.thresholds):
        raise ModelError("model_unsupported", "inference.yml has one threshold for all classes of a detector")
    recipe = described.input
    return [
        "mode: paddle",
        f"draw_threshold: {described.draw_threshold!r}",
        "metric: COCO",
        "use_dynamic_shape: false",
        *_global(described.model_name),
        "arch: YOLO",
        "min_subgraph_size: 3",
        "Preprocess:",
        f"- interp: {CODES[recipe.interpolation][0]}",
        "  keep_ratio: false",
        *_listed("  target_size", (recipe.height, recipe.width)),
        "  type: Resize",
        "- is_scale: true",
        *_listed("  mean", recipe.mean),
        *_listed("  std", recipe.std),
        "  type: NormalizeImage",
        "- type: Permute",
        *_listed("label_list", described.labels),
    ]


def _classifier(described: InferenceYml) -> list[str]:
    recipe = described.input
    same = len(set(described.thresholds)) == 1
    return [
        *_global(described.model_name),
        "PreProcess:",
        "  transform_ops:",
        "  - ResizeImage:",
        *_listed("      size", (recipe.width, recipe.height)),
        # the original leaves out what is its default
        *([] if recipe.interpolation == "linear" else [f"      interpolation: {CODES[recipe.interpolation][1]}"]),
        "  - NormalizeImage:",
        "      channel_num: 3",
        *_listed("      mean", recipe.mean),
        "      order: ''",
        f"      scale: {SCALE!r}",
        *_listed("      std", recipe.std),
        "  - ToCHWImage: null",
        "PostProcess:",
        f"  {POST_PROCESS}:",
        *([f"    threshold: {described.thresholds[0]!r}"] if same else _listed("    threshold", described.thresholds)),
        *_listed("    label_list", described.labels),
    ]


def _global(name: str) -> list[str]:
    return ["Global:", f"  model_name: {_text(name)}"] if name else []


def _listed(key: str, values: Iterable[float | int | str]) -> list[str]:
    """A key and its values below it, dashes under the key as the original writes them."""
    dash = " " * (len(key) - len(key.lstrip())) + "- "
    return [f"{key}:", *(dash + (_text(v) if isinstance(v, str) else repr(v)) for v in values)]


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
