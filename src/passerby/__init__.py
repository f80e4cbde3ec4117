"""passerby: every pedestrian in a picture, with a box and attributes.

    from passerby import create_pipeline

    for result in create_pipeline().predict("street.jpg"):
        result.print()
        result.save_to_img("./output/")
        result.save_to_json("./output/")

The names below are the public ones. They are loaded when first used, so importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .errors import (
        ArgumentError,
        ConfigError,
        DatasetError,
        EngineError,
        FetchError,
        InputError,
        InternalError,
        Interrupted,
        ModelError,
        OutputError,
        PasserbyError,
        ServerError,
        TrainingError,
    )
    from .modules import create_model
    from .pipeline import Pipeline, create_pipeline
    from .result import Person, Result

__all__ = [
    "ArgumentError",
    "ConfigError",
    "DatasetError",
    "EngineError",
    "FetchError",
    "InputError",
    "InternalError",
    "Interrupted",
    "ModelError",
    "OutputError",
    "PasserbyError",
    "Person",
    "Pipeline",
    "Result",
    "ServerError",
    "TrainingError",
    "__version__",
    "create_model",
    "create_pipeline",
]

_HOMES = {
    "create_model": "modules",
    "create_pipeline": "pipeline",
    "Pipeline": "pipeline",
    "Person": "result",
    "Result": "result",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
