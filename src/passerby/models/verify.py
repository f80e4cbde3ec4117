"""The probe: a small stored picture and what the model must answer; it shows a dead model or a wrong engine.

`make_probe` writes one when a model is made, `verify_model` asks it again on whatever engine is here. Boxes are
compared in fractions of the network's input, so that one tolerance fits them and probabilities.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import engines
from ..devices import Device
from ..engines import Engine
from ..errors import ModelError
from ..formats.metadata import ModelMetadata, Probe
from ..preprocess import to_network_input
from ..types import ImageBgr, Tensor
from .load import LoadedModel, load_model

PROBE_HW = (64, 48)
PROBE_SEED = 20240917
# Float32 on another processor or a graphics card, other order of the sums; a dead model is off by far more.
TOLERANCE = 5e-3
SAMPLES = 64

EngineFactory = Callable[[bytes], Engine]
"""Model file to a loaded engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a probe showed.

    Attributes:
        difference: largest difference to the stored answer; None when the model carries no probe.
        tolerance: the largest that passes.
        engine: what computed.
    """

    difference: float | None
    tolerance: float
    engine: str


def verify(name: str, engine_factory: EngineFactory | None = None) -> Verified:
    """Load a model of the catalogue and ask its probe.

    Args:
        engine_factory: default the CPU.
    Raises:
        ModelError: it does not load, or answers something else (`model_corrupt`).
        EngineError: the engine does not start or fails.
    """
    return verify_model(load_model(name), engine_factory)


def verify_model(model: LoadedModel, engine_factory: EngineFactory | None = None) -> Verified:
    """Run a model on its probe.

    Raises:
        ModelError: `model_corrupt`, the answer is further off than the probe allows; `model_not_finite`.
        EngineError: the engine does not start or fails.
    """
    engine = (engine_factory or _on_cpu)(model.model_bytes)
    probe = model.metadata.probe
    if probe is None:
        # Without a stored answer at least the plainly dead are found.
        _sampled(_answers(model.metadata, engine, probe_picture()), model.source)
        return Verified(difference=None, tolerance=TOLERANCE, engine=engine.description)
    answers = _answers(model.metadata, engine, probe.pixels_bgr)
    difference = max((_difference(answers, name, *stored) for name, stored in probe.outputs.items()), default=np.inf)
    if not difference <= probe.tolerance:
        raise ModelError(
            "model_corrupt",
            f"the model answers otherwise than when it was made (off by {difference:.3g}, allowed {probe.tolerance:g})",
            input=model.source,
            hint=f"get the model again, or another engine than {engine.description}",
        )
    return Verified(difference=difference, tolerance=probe.tolerance, engine=engine.description)


def with_probe(metadata: ModelMetadata, engine: Engine) -> ModelMetadata:
    """The metadata with a probe made on this engine."""
    return dataclasses.replace(metadata, probe=make_probe(metadata, engine))


def make_probe(metadata: ModelMetadata, engine: Engine) -> Probe:
    """A probe of a model as it answers on this engine.

    Raises:
        ModelError: `model_not_finite`, it answers NaN or infinity; `model_corrupt`, it says the same to everything.
    """
    pixels = probe_picture()
    outputs = _sampled(_answers(metadata, engine, pixels), metadata.name)
    return Probe(pixels_bgr=pixels, outputs=outputs, tolerance=TOLERANCE)


def probe_picture() -> ImageBgr:
    """A (64, 48, 3) uint8 picture, the same on every machine: a sky, a ground, a figure, and grain over it.

    Integers only, so that no rounding differs anywhere.
    """
    height, width = PROBE_HW
    rows, columns = np.mgrid[0:height, 0:width].astype(np.int64)
    picture = np.stack([200 - rows, 170 - rows + columns, 120 + columns], axis=-1)
    picture[44:] = (70, 90, 95)
    for (top, bottom), (left, right), colour in (
        ((8, 17), (20, 28), (140, 170, 220)),  # head
        ((17, 36), (15, 33), (40, 60, 190)),  # jacket
        ((36, 58), (17, 23), (110, 60, 30)),  # one leg
        ((36, 58), (25, 31), (100, 50, 25)),  # the other
    ):
        picture[top:bottom, left:right] = colour
    state = np.uint32(PROBE_SEED)
    grain = np.empty(height * width * 3, np.int64)
    for i in range(grain.size):
        state = np.uint32((int(state) * 1664525 + 1013904223) & 0xFFFFFFFF)
        grain[i] = (int(state) >> 24) % 25 - 12
    return np.clip(picture + grain.reshape(picture.shape), 0, 255).astype(np.uint8)


def _on_cpu(model_bytes: bytes) -> Engine:
    return engines.load(model_bytes, device=Device("cpu"), spread="inside")


def _answers(metadata: ModelMetadata, engine: Engine, pixels_bgr: ImageBgr) -> dict[str, Tensor]:
    """All outputs for one picture, boxes in fractions of the longer side of the input."""
    answers = engine.run({engine.inputs[0].name: to_network_input(pixels_bgr, metadata.input)})
    if metadata.kind == "detector":
        side = np.float32(max(metadata.input.height, metadata.input.width))
        answers = {**answers, "boxes": answers["boxes"] / side}
    return answers


def _sampled(answers: Mapping[str, Tensor], source: str) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Of each output the extremes, where a fault shows most, and values spread over the rest."""
    sampled = {}
    for name, values in answers.items():
        flat = np.asarray(values, np.float32).ravel()
        if not np.isfinite(flat).all():
            raise ModelError("model_not_finite", f"the model's {name} are not finite numbers", input=source)
        if flat.size > 1 and np.ptp(flat) == 0:
            raise ModelError("model_corrupt", f"the model gives the same value for all {name}", input=source)
        order = np.argsort(-flat, kind="stable")
        spread = np.linspace(0, flat.size - 1, min(SAMPLES // 2, flat.size)).astype(np.int64)
        index = np.unique(np.concatenate([order[: SAMPLES // 4], order[-SAMPLES // 4 :], spread])).astype(np.int64)
        sampled[name] = (index, flat[index])
    return sampled


def _difference(
    answers: Mapping[str, Tensor], name: str, index: NDArray[np.int64], values: NDArray[np.float32]
) -> float:
    flat = np.asarray(answers[name], np.float32).ravel() if name in answers else np.empty(0, np.float32)
    if not index.size or index.min() < 0 or index.max() >= flat.size or index.shape != values.shape:
        return float("inf")
    difference = float(np.max(np.abs(flat[index] - values)))
    return difference if np.isfinite(difference) else float("inf")
