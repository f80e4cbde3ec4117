# SPDX-License-Identifier: Apache-2.0
"""Drawing people: shapes, poses and clothes so that each attribute occurs as often as asked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .people import PersonSpec, Wardrobe


def sample_person(rng: np.random.Generator, *, frequencies: Mapping[str, float], assets: Wardrobe) -> PersonSpec:
    """Draw one person; the same state of `rng` gives the same person.

    Args:
        frequencies: label id -> wished share in [0, 1]; labels left out take `DEFAULT_FREQUENCIES`.
    Returns:
        a spec whose `attributes`, `upper_colour` and `lower_colour` say what was put on.
    """
    raise NotImplementedError
