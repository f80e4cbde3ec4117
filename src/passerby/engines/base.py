"""The boundary between this package and whatever computes: named arrays in, named arrays out.

An engine knows nothing of pictures, labels or thresholds, and no stage asks which engine it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from ..types import Tensor


class TensorInfo(NamedTuple):
    """A named input or output. `shape` holds None where a dimension is free."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class Engine(Protocol):
    """A loaded network.

    Attributes:
        description: engine, version and provider, for people (`doctor`, logs).
        inputs, outputs: what `run` takes and gives. The first dimension of each is the batch.
    """

    description: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def run(self, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute all outputs for a batch.

        Safe to call from several threads at once. An item's result does not depend on the rest of its batch,
        to the bit.

        Raises:
            EngineError: `engine_failed`, `out_of_memory`.
        """
        ...
