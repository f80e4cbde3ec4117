"""Engines: what computes a network, chosen by device from one visible table."""

from __future__ import annotations

from typing import Literal

from ..devices import Device
from ..errors import EngineError
from .base import Engine, TensorInfo
from .threads import available_threads

__all__ = ["Engine", "TensorInfo", "available_threads", "load", "provider_for"]

Spread = Literal["inside", "across"]
"""Where threads go: inside one item (few, large inputs) or across items (many, small ones)."""

# device kind -> execution providers of ONNX Runtime that drive it, best first
PROVIDERS: dict[str, tuple[str, ...]] = {
    "cpu": ("CPUExecutionProvider",),
    "gpu": ("CUDAExecutionProvider", "ROCMExecutionProvider", "MIGraphXExecutionProvider"),
    "npu": ("CANNExecutionProvider",),
}


def provider_for(device: Device) -> str | None:
    """The provider of the installed engine that drives this kind of device, or None."""
    from . import onnx_runtime

    installed = onnx_runtime.providers()
    return next((p for p in PROVIDERS.get(device.kind, ()) if p in installed), None)


def load(model_bytes: bytes, *, device: Device, spread: Spread, threads: int | None = None) -> Engine:
    """Load a network on a device.

    Args:
        model_bytes: a checked .onnx file.
        device: where to compute; never replaced by another one.
        spread: "inside" for a detector that sees one picture at a time, "across" for crops.
        threads: CPU threads in all; default what the process may use.
    Raises:
        EngineError: `device_unavailable`, `engine_failed`, `out_of_memory`.
    """
    from . import onnx_runtime

    provider = provider_for(device)
    if provider is None:
        raise EngineError(
            "device_unavailable",
            f"no installed engine computes on {device}",
            hint=f"this installation has {', '.join(available_kinds())}; for an NVIDIA GPU install onnxruntime-gpu",
        )
    count = threads or available_threads()
    return onnx_runtime.OnnxRuntimeEngine(
        model_bytes,
        provider=provider,
        provider_options={} if device.kind == "cpu" else {"device_id": str(device.number)},
        threads=count if spread == "inside" else 1,
        streams=count if spread == "across" and device.kind == "cpu" else 1,
    )


def available_kinds() -> list[str]:
    """Device kinds that the installed engine can drive."""
    return [kind for kind in PROVIDERS if provider_for(Device(kind)) is not None]


def default_device() -> Device:
    """GPU 0 when the installed engine has one, else the CPU."""
    gpu = Device("gpu", 0)
    return gpu if provider_for(gpu) is not None else Device("cpu")
