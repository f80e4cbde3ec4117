# SPDX-License-Identifier: Apache-2.0
"""A training file carried out: check a data set, train, evaluate, export, predict.

What the original's `main.py` did. Each mode writes `<output>/<mode>_result.json`, whether it ends well or not. Needs
no torch itself; a mode that does says what to install.
"""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config_recipes import resolved
from ..config_training import TrainingConfig, load_training_config
from ..datasets._extras import need
from ..errors import EngineError, PasserbyError, shown
from ..files import atomic_write, check_writable
from ..formats.metadata import Kind
from ..models.load import load_path
from .module_check import check
from .run_log import to_stderr

Source = str | Path | Mapping[Any, Any]
Overrides = Sequence[str] | Mapping[str, Any]
Say = Callable[[str], None]
Mode = Callable[[TrainingConfig, Say], dict[str, Any]]


def run_module(source: Source, overrides: Overrides = (), *, say: Say = to_stderr) -> dict[str, Any]:
    """Do what a training file says under `Global.mode`.

    Args:
        source: path of a YAML file, name of a built-in one, or the same as a mapping.
        overrides: `Section.key=value` texts or a mapping of `Section.key` to values; they stand above the file.
        say: takes lines about the progress.
    Returns:
        What was written to `<output>/<mode>_result.json`, `done_flag` first.
    Raises:
        PasserbyError: whatever went wrong; it stands in that file too, where the output can be written.
    """
    config = resolved(load_training_config(source, overrides))
    mode, output = config.Global.mode, config.Global.output
    check_writable(output)
    try:
        if mode == "train":
            _check_processes(config, source, overrides)
        body = _plain({"done_flag": True, **_mode(mode)(config, say)})
    except PasserbyError as error:
        _write_result(output, mode, {"done_flag": False, "err_type": error.name, "err_msg": error.message})
        raise
    _write_result(output, mode, body)
    return dict(body)


def train(source: Source, overrides: Overrides = (), *, say: Say = to_stderr) -> dict[str, Any]:
    """`run_module` in the mode `train`: weights, logs, and a model folder that runs in a pipeline."""
    return run_module(source, _in_mode(overrides, "train"), say=say)


def evaluate(source: Source, overrides: Overrides = (), *, say: Say = to_stderr) -> dict[str, Any]:
    """`run_module` in the mode `evaluate`: figures of any model file, and a report."""
    return run_module(source, _in_mode(overrides, "evaluate"), say=say)


def export_model(source: Source, overrides: Overrides = (), *, say: Say = to_stderr) -> dict[str, Any]:
    """`run_module` in the mode `export`: a model folder made from weights."""
    return run_module(source, _in_mode(overrides, "export"), say=say)


def kind_of_weights(path: Path) -> Kind:
    """Whether weights are of a detector or an attribute network.

    Raises:
        EngineError: `engine_missing`, our own weights need torch. ModelError.
    """
    if path.suffix != ".safetensors":
        return load_path(path, name=path.stem).metadata.kind
    need("torch")
    from .description import parse_description
    from .weights_file import read_tensors

    return parse_description(read_tensors(path)[1], input=str(path)).kind


def _in_mode(overrides: Overrides, mode: str) -> Overrides:
    if isinstance(overrides, Mapping):
        return {**overrides, "Global.mode": mode}
    return [*overrides, f"Global.mode={mode}"]


def _mode(name: str) -> Mode:
    if name == "check_dataset":
        return check
    if name in ("train", "export"):
        need("torch")
        from . import module_train

        return module_train.train if name == "train" else module_train.export
    from . import module_use

    return module_use.evaluate if name == "evaluate" else module_use.predict


def _check_processes(config: TrainingConfig, source: Source, overrides: Overrides) -> None:
    """
    Raises:
        EngineError: `device_unavailable`, several devices and one process, with the command that starts more.
    """
    devices = config.Global.device.partition(":")[2].split(",")
    if len(devices) < 2 or "WORLD_SIZE" in os.environ:
        return
    command = shlex.join(torchrun_command(len(devices), source, overrides))
    happened = f"Global.device is {shown(config.Global.device)} and this is one process"
    raise EngineError("device_unavailable", happened, hint=f"one device, or: {command}")


def torchrun_command(processes: int, source: Source, overrides: Overrides) -> list[str]:
    """The words that start the same training in several processes."""
    file = "FILE.yaml" if isinstance(source, Mapping) else str(source)
    texts = [*overrides] if not isinstance(overrides, Mapping) else [f"{k}={_word(v)}" for k, v in overrides.items()]
    if not any(text.replace(" ", "").startswith("Global.mode=") for text in texts):
        texts.append("Global.mode=train")
    words = ["torchrun", f"--nproc-per-node={processes}", "-m", "passerby", "module", "-c", file]
    return words + [word for text in texts for word in ("-o", text)]


def _word(value: Any) -> str:
    if isinstance(value, str | Path):
        return str(value)
    return json.dumps(value)


def _write_result(output: Path, mode: str, body: Mapping[str, Any]) -> None:
    """The result for whoever reads files; of several processes the first one writes."""
    if os.environ.get("RANK", "0") == "0":
        text = json.dumps(body, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        atomic_write(output / f"{mode}_result.json", text.encode("utf-8", "backslashreplace"))


def _plain(value: Any) -> Any:
    """JSON values: paths as text, numbers that are none as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
