# SPDX-License-Identifier: Apache-2.0
"""Rendered pedestrians: people who do not exist, dressed, posed, drawn and labelled by what can be seen of them.

`figure` shapes and poses a body, `clothing` dresses it, `accessories` gives it things to carry, `sampling` draws all
that by lot. Lengths there are decimetres, y up, a figure faces +z and its left is +x, as in the MakeHuman assets (CC0)
these modules read; all of it is numpy and serves any renderer. The renderer of this package (`raster`, `light`,
`scene`, `crops`, `streets`) needs the extra `synthesis` and works in metres.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .crops import Crop, CropOptions, render_crop
    from .production import Recipe, synthesise

__all__ = ["Crop", "CropOptions", "Recipe", "render_crop", "synthesise"]


def __getattr__(name: str) -> Any:
    """Load the renderer when it is asked for: figures alone need no numba."""
    if name in ("Crop", "CropOptions", "render_crop"):
        from . import crops

        return getattr(crops, name)
    if name in ("Recipe", "synthesise"):
        from . import production

        return getattr(production, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
