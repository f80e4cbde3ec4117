"""Fine-tuning on the user's own data: tasks, losses, loop, evaluation, export. Torch comes with the extra `train`.

Nothing in the inference half imports this room. The names below do what a training file says (see `module`); they are
loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .module import evaluate, export_model, run_module, train

__all__ = ["evaluate", "export_model", "run_module", "train"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module(".module", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
