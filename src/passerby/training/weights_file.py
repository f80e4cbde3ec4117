# SPDX-License-Identifier: Apache-2.0
"""Tensors and a description of them in one safetensors file, with a hash over both.

The file's metadata has two entries: `passerby`, JSON, and `sha256` over that JSON and every tensor's name, type, shape
and bytes in the order of the names. Nothing in it can act when it is read. `best_model.safetensors` is such a file;
checkpoints are too.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import ModelError, shown
from ..files import atomic_write
from ..formats.strict_json import load_json

KEY, HASH = "passerby", "sha256"
LEVELS = 32
FILE_BYTES = 8 << 30


def write_tensors(path: Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write a file whole or not at all.

    Args:
        tensors: by name; copied to the CPU.
        description: JSON; numbers that are not finite become null.
    Raises:
        OutputError: `output_full`, `output_unwritable`; what was there before is still there.
    """
    held = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    text = json.dumps(_plain(description), ensure_ascii=False, allow_nan=False)
    atomic_write(path, save(held, {KEY: text, HASH: _digest(held, text)}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read and check what `write_tensors` wrote.

    Raises:
        ModelError: `model_missing`, `model_too_large`, `model_corrupt` (no such file, damaged, changed), and
            `model_unsupported` (a safetensors file of somebody else).
    """
    try:
        if path.stat().st_size > FILE_BYTES:
            raise ModelError("model_too_large", f"over {FILE_BYTES >> 30} GiB", input=str(path))
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as reason:
        happened = f"the file cannot be read ({shown(reason.strerror or type(reason).__name__)})"
        raise ModelError("model_missing", happened, input=str(path), hint="check the path") from None
    except (SafetensorError, ValueError, RuntimeError) as reason:
        raise _corrupt(path, str(reason)) from None
    if KEY not in metadata or HASH not in metadata:
        happened = "a safetensors file without the description 'passerby'"
        raise ModelError("model_unsupported", happened, input=str(path), hint="give a file that training wrote")
    if _digest(tensors, metadata[KEY]) != metadata[HASH]:
        raise _corrupt(path, "its hash is another than the one written in it")
    try:
        description = load_json(metadata[KEY].encode(), levels=LEVELS)
    except ValueError as reason:
        raise _corrupt(path, str(reason)) from None
    if not isinstance(description, dict):
        raise _corrupt(path, "its description is no mapping")
    return tensors, description


def _corrupt(path: Path, why: str) -> ModelError:
    return ModelError("model_corrupt", f"the file is damaged ({shown(why)})", input=str(path))


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """The value with null for every number that is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
