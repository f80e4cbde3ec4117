"""What travels with the weights inside a model file: labels, thresholds, what was measured, the recipe, the card.

Stored as JSON under the key `passerby` of an ONNX file, so that loading a model needs no second file and no
change of code. Here is only the typed record; `metadata_json` is its way to and from JSON, `onnx_file` the file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["detector", "attributes"]
Interpolation = Literal["nearest", "linear", "cubic", "area", "lanczos"]

# values of `calibration["thresholds"]` in a model whose thresholds were chosen for its labels
THRESHOLD_ORIGINS = ("set", "tuned")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One thing a model can say. `id` is stable and used in code and data; the names are for people.

    Attributes:
        uncertain: calibrated probabilities strictly between these two are neither yes nor no; 0 below means that
            there is no sure no, 1 above that there is no sure yes. None: nobody measured that, the threshold decides.
    """

    id: str
    en: str
    zh: str = ""
    group: str = ""
    uncertain: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.uncertain is not None and not 0 <= self.uncertain[0] <= self.uncertain[1] <= 1:
            raise ValueError(f"{self.uncertain} is no range of probabilities")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Labels of which at most one (`exclusive`) can hold, for example the three ages.

    Attributes:
        margin: of an exclusive group, how much of the sum of its two likeliest probabilities the likeliest must have,
            0.5 to 1, before it is said. None: nobody measured that, being the likeliest is enough.
    """

    id: str
    en: str
    exclusive: bool = True
    margin: float | None = None

    def __post_init__(self) -> None:
        if self.margin is not None and not 0.5 <= self.margin <= 1:
            raise ValueError(f"a margin of {self.margin} is not within 0.5..1")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeightError:
    """How often a model is wrong about persons of some height in the picture.

    Attributes:
        from_px, to_px: height of the box in pixels of the picture, the second left out; None: and all above.
        error: balanced error: half the share of labels that hold and are missed, half that of those named wrongly.
        persons: how many it was measured on.
    """

    from_px: float
    to_px: float | None
    error: float
    persons: int

    def __post_init__(self) -> None:
        sizes = 0 <= self.from_px < math.inf and (self.to_px is None or self.from_px < self.to_px < math.inf)
        if not sizes or not 0 <= self.error <= 1 or self.persons < 0:
            raise ValueError(f"no measured error: {self.from_px} to {self.to_px} px, {self.error}, {self.persons}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Who cannot be judged, from measured error.

    Attributes:
        label: id of the output whose probability says that a person cannot be judged, or None. It is no attribute.
        threshold: strictly above it that output means so.
        min_height_px: persons lower than this in the picture cannot be judged.
        error_rates: the figures behind `min_height_px`, from small to tall.
    """

    label: str | None = None
    threshold: float = 0.5
    min_height_px: float = 0.0
    error_rates: tuple[HeightError, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1 or not 0 <= self.min_height_px < math.inf:
            raise ValueError(f"a judgement above {self.threshold} or under {self.min_height_px} px")


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
    judgement: Judgement | None = None

    def __post_init__(self) -> None:
        if len(self.thresholds) != len(self.labels):
            raise ValueError(f"{len(self.labels)} labels but {len(self.thresholds)} thresholds")
        if self.judgement is not None and self.judgement.label is not None and self.judgement_place is None:
            raise ValueError(f"no label {self.judgement.label!r}, which the judgement names")

    @property
    def judgement_place(self) -> int | None:
        """Place of the output that says "cannot be judged"; None where the model has none."""
        own = None if self.judgement is None else self.judgement.label
        return next((i for i, label in enumerate(self.labels) if label.id == own), None)

    @property
    def attribute_places(self) -> tuple[int, ...]:
        """Places of the outputs that say something of a person: all but `judgement_place`."""
        place = self.judgement_place
        return tuple(i for i in range(len(self.labels)) if i != place)

    @property
    def own_thresholds(self) -> bool:
        """Whether somebody set or tuned the thresholds for these very labels and stored them on purpose.

        A pipeline whose configuration has the stock threshold uses them then; see `pipeline.Pipeline`.
        """
        return self.calibration.get("thresholds") in THRESHOLD_ORIGINS
