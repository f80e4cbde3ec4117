"""ONNX Runtime as an engine.

Its Linux builds send usage events by default since 1.29; the switch must be in the environment before the first
import, so this module is the only one that imports onnxruntime and sets the switch on the line above.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime as ort

from ..errors import EngineError
from ..types import Tensor
from .base import TensorInfo

_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(uint8)": "uint8"}
_FATAL_ONLY = 4


def version() -> str:
    return str(ort.__version__)


def providers() -> tuple[str, ...]:
    """Names of the execution providers of the installed build, best first."""
    return tuple(ort.get_available_providers())


class OnnxRuntimeEngine:
    """One network on ONNX Runtime.

    A batch is computed item by item: a result must not depend on its neighbours, to the bit, and on CPUs a larger
    batch is not faster (the crops of a street cost more each in batches of 32 than alone). `streams` items run
    side by side instead, each with `threads` threads.
    """

    def __init__(
        self,
        model_bytes: bytes,
        *,
        provider: str,
        provider_options: Mapping[str, str],
        threads: int,
        streams: int,
    ) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL_ONLY
        # Threads spin while they wait within a run (a quarter faster on two cores), and not between runs, where they
        # would take the cores from the decoder and from the other network.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        wanted: list[Any] = [(provider, dict(provider_options))]
        if provider != "CPUExecutionProvider":
            # Operators that a provider lacks run on the CPU; a missing provider is an error all the same, below.
            wanted.append("CPUExecutionProvider")
        try:
            self._session = ort.InferenceSession(model_bytes, options, providers=wanted)
        except MemoryError:
            raise EngineError("out_of_memory", "not enough memory to load the network") from None
        except Exception as reason:
            raise EngineError(
                "engine_failed", f"the engine does not load the network ({type(reason).__name__})"
            ) from None
        if provider not in self._session.get_providers():
            raise EngineError("device_unavailable", f"the engine could not start its {provider}")
        self.description = f"onnxruntime {ort.__version__}, {provider}, {threads} thread(s) x {streams}"
        self.inputs = tuple(_info(x) for x in self._session.get_inputs())
        self.outputs = tuple(_info(x) for x in self._session.get_outputs())
        self._names = [x.name for x in self.outputs]
        self._streams = streams
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def run(self, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
        count = len(next(iter(arrays.values())))
        items = [{name: array[i : i + 1] for name, array in arrays.items()} for i in range(count)]
        results = self._run_all(items)
        if not results:
            return {x.name: np.empty((0, *(n or 0 for n in x.shape[1:])), x.dtype) for x in self.outputs}
        if count == 1:
            return dict(zip(self._names, results[0], strict=True))
        return {name: np.concatenate([r[k] for r in results]) for k, name in enumerate(self._names)}

    def _run_all(self, items: Sequence[dict[str, Tensor]]) -> list[list[Tensor]]:
        if self._streams == 1 or len(items) < 2:
            return [self._run_one(item) for item in items]
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._streams, thread_name_prefix="passerby-engine")
        return list(self._pool.map(self._run_one, items))

    def _run_one(self, item: dict[str, Tensor]) -> list[Tensor]:
        try:
            outputs: list[Tensor] = self._session.run(self._names, item)
        except MemoryError:
            raise EngineError("out_of_memory", "not enough memory to compute") from None
        except Exception as reason:
            if "Failed to allocate" in str(reason):
                raise EngineError("out_of_memory", "not enough memory to compute") from None
            raise EngineError("engine_failed", f"the engine failed ({type(reason).__name__})") from reason
        return outputs


def _info(x: Any) -> TensorInfo:
    shape = tuple(n if isinstance(n, int) else None for n in x.shape)
    return TensorInfo(x.name, shape, _DTYPES.get(x.type, x.type))
