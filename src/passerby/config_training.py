"""The training YAML, with the original's keys and a few of our own: a closed schema, all problems at once.

Read by `training`; only the file's form is checked here. Whether paths exist and devices are there shows when the
training starts. `config_overrides` finds the built-in files and lays `-o Section.key=value` over them,
`config_recipes` fills in what a network trains with unless the file says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from .config_overrides import Override, built_in_or_path, lay_over, parse_overrides
from .config_schema import (
    AboveZero,
    AnyPath,
    BatchSize,
    Count,
    CountFromZero,
    Document,
    Problem,
    Section,
    Share,
    guess,
    known_keys,
    line_of,
    number,
    one_of,
    read_document,
    refuse,
    report,
    said,
    validate,
    whole,
)
from .devices import parse_device
from .errors import ArgumentError, EngineError, shown
from .formats.metadata import Kind
from .models.catalogue import ENTRIES

MODES = ("check_dataset", "train", "evaluate", "export", "predict")
# What `Train.pretrain_weight_path` is when the file does not say: the model that `Global.model` names.
THE_MODEL = "Global.model"
SMALLEST_SIDE, LARGEST_SIDE = 32, 4096


def _device(value: object) -> str:
    if not isinstance(value, str):
        raise refuse(f"must be a device such as cpu or gpu:0, not {shown(repr(value))}")
    try:
        parse_device(value)
    except EngineError:
        pass  # several devices at once: a sound string, judged when the training starts
    except ArgumentError as error:
        raise refuse(said(error)) from None
    return value


def _percent(value: object) -> float:
    plain = number(value)
    if not 0 < plain < 100:
        raise refuse(f"must be between 0 and 100, not {shown(value)}")
    return plain


def _from_zero(value: object) -> float:
    plain = number(value)
    if plain < 0:
        raise refuse(f"must not be below 0, not {shown(plain)}")
    return plain


def _decay(value: object) -> float:
    plain = number(value)
    if not 0 <= plain < 1:
        raise refuse(f"must be at least 0 and below 1, not {shown(plain)}; 0 trains without an average")
    return plain


def _weights(value: object) -> Path | str:
    """A name of the catalogue as text, anything else as a path. The original's URLs are names too."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise refuse(f"must be a path or a model's name, not {shown(repr(value))}")
    if value in ENTRIES:
        return value
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", value):
        name = value.rsplit("/", 1)[-1].removesuffix(".pdparams").removesuffix("_pretrained")
        if name not in ENTRIES:
            raise refuse("is a URL of no official model, download the file and name its path")
        return name
    return Path(value)


def _size_hw(value: object) -> tuple[int, int]:
    """Height and width; one number is both."""
    given = list(value) if isinstance(value, list | tuple) else [value, value]
    sides = [s for s in given if isinstance(s, int) and not isinstance(s, bool)]
    if len(given) != 2 or len(sides) != 2 or not all(SMALLEST_SIDE <= s <= LARGEST_SIDE for s in sides):
        bounds = f"from {SMALLEST_SIDE} to {LARGEST_SIDE}"
        raise refuse(f"must be [height, width] or one number, each {bounds}, not {shown(repr(value))}")
    return sides[0], sides[1]


def _amp(value: object) -> object:
    """YAML 1.1 reads a bare OFF as false."""
    return "OFF" if value is False else value


Weights = Annotated[Path | str, BeforeValidator(_weights)]
FromZero = Annotated[float, BeforeValidator(_from_zero)]
SizeHw = Annotated[tuple[int, int], BeforeValidator(_size_hw)]


class GlobalSection(Section):
    """Which network, what to do, on which data, where the results go. Ours: `seed`, `threads`."""

    model: str
    mode: Annotated[str, one_of(*MODES)] = "check_dataset"
    dataset_dir: AnyPath | None = None
    device: Annotated[str, BeforeValidator(_device)] = "auto"
    output: AnyPath = Path("output")
    export_with_pir: bool | None = None
    seed: Annotated[int, whole(0, 2**32 - 1)] = 0
    threads: Count | None = None


class ConvertSection(Section):
    """Whether to make the data set from another format first. Ours: `output`, where the new one goes."""

    enable: bool = False
    src_dataset_type: str | None = None
    output: AnyPath | None = None


class SplitSection(Section):
    """Whether to split the data set anew, in per cent. Ours: `test_percent`, `group_by`, a column of groups.csv."""

    enable: bool = False
    train_percent: Annotated[float, BeforeValidator(_percent)] | None = None
    val_percent: Annotated[float, BeforeValidator(_percent)] | None = None
    test_percent: Annotated[float, BeforeValidator(_percent)] | None = None
    group_by: str | None = None


class CheckDatasetSection(Section):
    """What `check_dataset` does besides looking. Ours: `deep`, whether every picture is decoded."""

    convert: ConvertSection = Field(default_factory=ConvertSection)
    split: SplitSection = Field(default_factory=SplitSection)
    deep: bool = True


class TrainSection(Section):
    """The recipe; None means the network's own default, see `config_recipes`.

    `warmup_steps` are epochs for attribute networks and steps for detectors, as in the original. Everything from
    `optimiser` on is ours. `pretrain_weight_path: null` alone differs from leaving the key out: it trains from nothing.
    """

    num_classes: Count | None = None
    epochs_iters: Count | None = None
    batch_size: BatchSize | None = None
    learning_rate: AboveZero | None = None
    pretrain_weight_path: Weights | None = THE_MODEL
    warmup_steps: CountFromZero | None = None
    resume_path: AnyPath | None = None
    log_interval: Count | None = None
    eval_interval: Count = 1
    save_interval: Count | None = None
    dy2st: bool = False
    # the check named last runs first
    amp: Annotated[str, one_of("OFF", "O1", "O2"), BeforeValidator(_amp)] = "OFF"
    dist_ips: str | None = None
    uniform_output_enabled: bool = True
    basic_config_path: AnyPath | None = None

    optimiser: Annotated[str, one_of("momentum", "adamw")] | None = None
    weight_decay: FromZero | None = None
    ema_decay: Annotated[float, BeforeValidator(_decay)] | None = None
    accumulate: Count = 1
    clip_norm: FromZero | None = None
    early_stopping: Count | None = None
    save_minutes: AboveZero = 5.0
    workers: CountFromZero | None = None
    metric: str | None = None
    input_size: SizeHw | None = None
    augment: Annotated[str, one_of("paddle", "mild", "none")] | None = None
    # attribute networks
    scale: AboveZero | None = None
    loss: Annotated[str, one_of("weighted_bce", "bce", "focal", "asl")] | None = None
    freeze_backbone: bool = False
    teacher: Weights | None = None
    teacher_weight: Share = 0.5
    # detectors
    depth: AboveZero | None = None
    width: AboveZero | None = None
    multi_scale: bool = True
    static_assigner_epochs: CountFromZero = 0

    @model_validator(mode="before")
    @classmethod
    def _defaults_for_null(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        keep = "pretrain_weight_path"
        return {k: v for k, v in value.items() if v is not None or k not in cls.model_fields or k == keep}


class EvaluateSection(Section):
    """Which weights to measure. Everything from `split` on is ours."""

    weight_path: Weights | None = None
    log_interval: Count = 1
    split: Annotated[str, one_of("train", "val", "test")] = "val"
    batch_size: BatchSize = 16
    group_by: tuple[str, ...] = ()
    paddle_metrics: bool = False

    @model_validator(mode="before")
    @classmethod
    def _one_column_or_several(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "group_by" not in value:
            return value
        given = value["group_by"]
        columns = given if isinstance(given, list | tuple) else () if given is None else (given,)
        return {**value, "group_by": tuple(str(c) for c in columns)}


class ExportSection(Section):
    """Which weights to turn into a model file. Ours: the `thresholds` it carries: as set, tuned on val, or 0.5."""

    weight_path: Weights | None = None
    thresholds: Annotated[str, one_of("set", "tuned", "default")] = "set"


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

    @property
    def kind(self) -> Kind:
        """What `Global.model` is."""
        return ENTRIES[self.Global.model].kind


def load_training_config(
    source: str | Path | Mapping[Any, Any], overrides: Sequence[str] | Mapping[str, Any] = ()
) -> TrainingConfig:
    """Read and check a training configuration.

    Args:
        source: the path of a YAML file, the name of a built-in one (`PP-YOLOE-S_human` with or without `.yaml`), or
            the same content as a mapping.
        overrides: `Section.key=value` texts, whose values are read as YAML, or a mapping of `Section.key` to values.
    Raises:
        ConfigError: `config_missing`, `config_unreadable`, `config_invalid` with every problem of the file.
        ArgumentError: `bad_argument`, an override that is none or names no key.
    """
    document = read_document(built_in_or_path(source))
    laid = parse_overrides(overrides, keys_at=lambda path: known_keys(TrainingConfig, path))
    document = lay_over(document, laid)
    parsed, problems = validate(TrainingConfig, document)
    problems += _model_problems(document) + _kind_problems(document)
    if parsed is None or problems:
        raise report(_told(sorted(problems, key=lambda p: p.line or 0), laid), document.input)
    return parsed


def _told(problems: list[Problem], laid: Sequence[Override]) -> list[Problem]:
    """A problem that an override brought says so, in place of a line of the file."""
    keys = {".".join(override.path) for override in laid}
    return [
        Problem(path=p.path, text=f"{p.text} (given with -o)") if p.path.partition("[")[0] in keys else p
        for p in problems
    ]


def _model_problems(document: Document) -> list[Problem]:
    """Asked also when the schema has failed elsewhere."""
    section = document.value.get("Global")
    name = section.get("model") if isinstance(section, Mapping) else None
    if not isinstance(name, str) or name in ENTRIES:
        return []
    near = guess(name, ENTRIES)
    end = f"did you mean {near}?" if near else f"known: {', '.join(ENTRIES)}"
    line = line_of(("Global", "model"), document.lines)
    return [Problem(path="Global.model", text=f"unknown model {shown(name)}, {end}", line=line)]


METRICS: Mapping[Kind, tuple[str, ...]] = {
    "attributes": ("mA", "auc", "f1"),
    "detector": ("AP", "AP50", "AP75", "AR100"),
}
# Keys of `Train` that one kind of network has and the other has not.
ONLY: Mapping[Kind, tuple[str, ...]] = {
    "attributes": ("scale", "loss", "freeze_backbone", "teacher", "teacher_weight"),
    "detector": ("depth", "width", "multi_scale", "static_assigner_epochs"),
}


def _kind_problems(document: Document) -> list[Problem]:
    """Keys that the named network cannot follow, and sizes that it cannot take."""
    top, train = document.value.get("Global"), document.value.get("Train") or {}
    entry = ENTRIES.get(str(top.get("model"))) if isinstance(top, Mapping) else None
    if entry is None or not isinstance(train, Mapping):
        return []
    other: Kind = "detector" if entry.kind == "attributes" else "attributes"
    what = "an attribute network" if entry.kind == "attributes" else "a detector"
    found = {key: f"{entry.name} is {what}, which has no such key" for key in ONLY[other] if train.get(key) is not None}
    size = train.get("input_size")
    sides = size if isinstance(size, list | tuple) else [size]
    if any(isinstance(side, int) and side % SMALLEST_SIDE for side in sides):
        found["input_size"] = f"the sides of the input are multiples of {SMALLEST_SIDE}, not {shown(repr(size))}"
    metric = train.get("metric")
    if metric is not None and metric not in METRICS[entry.kind]:
        found["metric"] = f"must be one of {', '.join(METRICS[entry.kind])}, not {shown(metric)}"
    problems = _evaluation_problems(document, entry.kind)
    lines = document.lines
    return problems + [
        Problem(path=f"Train.{k}", text=text, line=line_of(("Train", k), lines)) for k, text in found.items()
    ]


def _evaluation_problems(document: Document, kind: Kind) -> list[Problem]:
    section = document.value.get("Evaluate")
    if kind == "attributes" or not isinstance(section, Mapping):
        return []
    return [
        Problem(
            path=f"Evaluate.{key}",
            text="is for attribute networks, Global.model is a detector",
            line=line_of(("Evaluate", key), document.lines),
        )
        for key in ("group_by", "paddle_metrics")
        if section.get(key)
    ]
