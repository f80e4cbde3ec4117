"""Pipelines of the two tiny real-Paddle networks: small, quick, and with known answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from passerby import Pipeline, create_pipeline
from passerby.types import ImageBgr

from .conftest import FIXTURES

DETECTOR_DIR = FIXTURES / "models/tiny_det/pir"
CLASSIFIER_DIR = FIXTURES / "models/tiny_cls/pir"


def config(**detection: Any) -> dict[str, Any]:
    """The seed's YAML as a mapping, with the tiny networks in `model_dir`."""
    return {
        "pipeline_name": "pedestrian_attribute_recognition",
        "SubModules": {
            "Detection": {
                "module_name": "object_detection",
                "model_name": "PP-YOLOE-S_human",
                "model_dir": str(DETECTOR_DIR),
                "batch_size": 1,
                "threshold": 0.35,
                **detection,
            },
            "Classification": {
                "module_name": "multilabel_classification",
                "model_name": "PP-LCNet_x1_0_pedestrian_attribute",
                "model_dir": str(CLASSIFIER_DIR),
                "batch_size": 1,
                "threshold": 0.6,
            },
        },
    }


def pipeline(**detection: Any) -> Pipeline:
    return create_pipeline(config=config(**detection), device="cpu")


def picture(seed: int = 0, *, height: int = 240, width: int = 320) -> ImageBgr:
    """Blocks of colour on which the tiny detector, which knows nothing, finds a few boxes."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
    return np.ascontiguousarray(np.kron(small, np.ones((16, 16, 1), np.uint8))[:height, :width])
