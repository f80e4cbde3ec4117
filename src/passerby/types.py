"""Names for the arrays that travel through the package, so that signatures say what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

ImageBgr: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) uint8, blue green red, C-contiguous, orientation already applied."""

ImageRgb: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) uint8, red green blue."""

BoxesXyxy: TypeAlias = NDArray[np.float32]
"""(N, 4) float32: x1 y1 x2 y2 in pixels, origin top left, continuous."""

Scores: TypeAlias = NDArray[np.float32]
"""(N,) float32 in [0, 1]."""

Probabilities: TypeAlias = NDArray[np.float32]
"""(C,) or (N, C) float32 in [0, 1], C in the order of the model's labels."""

Tensor: TypeAlias = NDArray[Any]
"""What an engine takes and gives: any shape and dtype."""

Weights: TypeAlias = Mapping[str, NDArray[Any]]
"""Arrays of a network under Paddle's parameter names."""
