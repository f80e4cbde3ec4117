"""The training YAML, with the original's keys: a closed schema, defaults, all problems at once.

Read by `training`; only the file's form is checked here. Whether paths exist and devices are there shows when the
training starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from .config_schema import (
    AboveZero,
    AnyPath,
    BatchSize,
    Count,
    CountFromZero,
    Problem,
    Section,
    guess,
    line_of,
    number,
    one_of,
    read_document,
    refuse,
    report,
    said,
    validate,
)
from .devices import parse_device
from .errors import ArgumentError, EngineError, shown
from .models.catalogue import ENTRIES

MODES = ("check_dataset", "train", "evaluate", "export", "predict")


def _device(value: object) -> str:
    if not isinstance(value, str):
        raise refuse(f"must be a device such as cpu or gpu:0, not {shown(repr(value))}")
    try:
        parse_device(value)
    except EngineError:
        pass  # several devices at once: a sound string, refused when the training starts
    except ArgumentError as error:
        raise refuse(said(error)) from None
    return value


def _percent(value: object) -> float:
    plain = number(value)
    if not 0 < plain < 100:
        raise refuse(f"must be between 0 and 100, not {shown(value)}")
    return plain


class GlobalSection(Section):
    """Which network, what to do, on which data, where the results go."""

    model: str
    mode: Annotated[str, one_of(*MODES)] = "check_dataset"
    dataset_dir: AnyPath | None = None
    device: Annotated[str, BeforeValidator(_device)] = "auto"
    output: AnyPath = Path("output")
    export_with_pir: bool | None = None


class ConvertSection(Section):
    """Whether to make the data set from another format first."""

    enable: bool = False
    src_dataset_type: str | None = None


class SplitSection(Section):
    """Whether to split the data set anew, in per cent."""

    enable: bool = False
    train_percent: Annotated[float, BeforeValidator(_percent)] | None = None
    val_percent: Annotated[float, BeforeValidator(_percent)] | None = None


class CheckDatasetSection(Section):
    """What `check_dataset` does besides looking."""

    convert: ConvertSection = Field(default_factory=ConvertSection)
    split: SplitSection = Field(default_factory=SplitSection)


class TrainSection(Section):
    """The recipe; None means the network's own default.

    `warmup_steps` are epochs for attribute networks and steps for detectors, as in the original.
    """

    num_classes: Count | None = None
    epochs_iters: Count | None = None
    batch_size: BatchSize | None = None
    learning_rate: AboveZero | None = None
    pretrain_weight_path: AnyPath | None = None
    warmup_steps: CountFromZero | None = None
    resume_path: AnyPath | None = None
    log_interval: Count | None = None
    eval_interval: Count = 1
    save_interval: Count | None = None
    dy2st: bool = False
    amp: Annotated[str, one_of("OFF", "O1", "O2")] = "OFF"
    dist_ips: str | None = None
    uniform_output_enabled: bool = True
    basic_config_path: AnyPath | None = None


class EvaluateSection(Section):
    """Which weights to measure."""

    weight_path: AnyPath | None = None
    log_interval: Count = 1


class ExportSection(Section):
    """Which weights to turn into a model file."""

    weight_path: AnyPath | None = None


class KernelOption(Section):
    """PaddleX's choice of engine; accepted, and without effect here."""

    run_mode: str = "paddle"


class PredictSection(Section):
    """Which model to try on which picture."""

    batch_size: BatchSize = 1
    model_dir: AnyPath | None = None
    input: str | None = None
    kernel_option: KernelOption = Field(default_factory=KernelOption)


class TrainingConfig(Section):
    """A training file. Attributes have the names that stand in it."""

    Global: GlobalSection
    CheckDataset: CheckDatasetSection = Field(default_factory=CheckDatasetSection)
    Train: TrainSection = Field(default_factory=TrainSection)
    Evaluate: EvaluateSection = Field(default_factory=EvaluateSection)
    Export: ExportSection = Field(default_factory=ExportSection)
    Predict: PredictSection = Field(default_factory=PredictSection)
    Benchmark: dict[str, Any] | None = None


def load_training_config(source: str | Path | Mapping[Any, Any]) -> TrainingConfig:
    """Read and check a training configuration.

    Args:
        source: the path of a YAML file, or the same content as a mapping.
    Raises:
        ConfigError: `config_missing`, `config_unreadable`, `config_invalid` with every problem of the file.
    """
    document = read_document(source)
    parsed, problems = validate(TrainingConfig, document)
    section = document.value.get("Global")
    name = section.get("model") if isinstance(section, Mapping) else None
    if isinstance(name, str) and name not in ENTRIES:
        near = guess(name, ENTRIES)
        end = f"did you mean {near}?" if near else f"known: {', '.join(ENTRIES)}"
        line = line_of(("Global", "model"), document.lines)
        problems.append(Problem(path="Global.model", text=f"unknown model {shown(name)}, {end}", line=line))
    if parsed is None or problems:
        raise report(sorted(problems, key=lambda p: p.line or 0), document.input)
    return parsed
