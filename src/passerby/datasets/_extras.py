# SPDX-License-Identifier: Apache-2.0
"""The one way to a library of the extra `train`: an error that says what to install, in place of an ImportError."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import EngineError


def need(module_name: str) -> Any:
    """Import an optional library, such as `matplotlib.figure`.

    Raises:
        EngineError: `engine_missing`, it is not installed.
    """
    try:
        return importlib.import_module(module_name)
    except ImportError:
        library = module_name.split(".", maxsplit=1)[0]
        hint = "pip install 'passerby[train]'"
        raise EngineError("engine_missing", f"this needs {library}, which is not installed", hint=hint) from None
