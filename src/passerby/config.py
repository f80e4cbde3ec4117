"""The pipeline's YAML: a closed schema, defaults, all problems at once.

`load_pipeline_config` is the only way in. The file is the original's, so the schema has its names and its nesting;
what is not in it is an error. The networks, devices and files behind the names are checked when they are loaded.
Deliberately not here: what a device string means (`devices`), thresholds against a model's labels (`thresholds`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from .config_schema import (
    AnyPath,
    BatchSize,
    Document,
    Problem,
    Section,
    Share,
    guess,
    known_keys,
    line_of,
    one_of,
    path_text,
    read_document,
    refuse,
    report,
    share,
    validate,
)
from .errors import ArgumentError, shown
from .formats.safe_yaml import PlainPath
from .models.catalogue import ELSEWHERE, SHIPPED_ATTRIBUTES, SHIPPED_DETECTOR, entries, lookup, why_absent
from .thresholds import ClassThreshold

DEFAULT_PIPELINE = "pedestrian_attribute_recognition"
PIPELINE_NAMES = (DEFAULT_PIPELINE,)
DETECTION, CLASSIFICATION = "SubModules.Detection", "SubModules.Classification"
# The shipped configuration names these; a file that leaves a section out gets them too.
DEFAULT_DETECTOR, DEFAULT_ATTRIBUTES = SHIPPED_DETECTOR, SHIPPED_ATTRIBUTES
DETECTION_THRESHOLD, CLASSIFICATION_THRESHOLD = 0.5, 0.7
# Models whose labels are known before they are loaded: a list of another length is a mistake in the file.
LABEL_COUNTS = {"PP-LCNet_x1_0_pedestrian_attribute": 26}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageConfig:
    """One of the two networks of a pipeline.

    Attributes:
        module_name: PaddleX's word for the task; decides nothing.
        model_name: a name of the catalogue, or any name together with `model_dir`.
        model_dir: folder in Paddle's layout, `.pdparams` or `.onnx` file, relative to the working directory; None
            means the catalogue's model of that name.
        batch_size: 1..4096.
        threshold: detection: a number. Classification: a number, one number a label, or a mapping of "default",
            class numbers and label ids, which leaves labels it does not name at the model's own thresholds.
        engine, engine_config, use_hpip, hpi_config: the stage's own, else the pipeline's, else None or False.
    """

    module_name: str
    model_name: str
    model_dir: Path | None
    batch_size: int
    threshold: ClassThreshold
    engine: str | None = None
    engine_config: Mapping[str, Any] | None = None
    use_hpip: bool = False
    hpi_config: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineConfig:
    """A pipeline as its file describes it.

    Attributes:
        source: the file or the built-in name it came from, for messages.
        serving: the section `Serving`, as it stands.
        raw: the whole file as plain data.
    """

    pipeline_name: str
    detection: StageConfig
    classification: StageConfig
    use_hpip: bool = False
    hpi_config: Mapping[str, Any] | None = None
    engine: str | None = None
    engine_config: Mapping[str, Any] | None = None
    serving: Mapping[str, Any] = field(default_factory=dict)
    source: str = DEFAULT_PIPELINE
    raw: Mapping[Any, Any] = field(default_factory=dict, repr=False)


def _class_threshold(value: object) -> ClassThreshold:
    if isinstance(value, list | tuple):
        return tuple(share(v, at=(i,)) for i, v in enumerate(value))
    if not isinstance(value, Mapping):
        return share(value)
    out: dict[str | int, float] = {}
    for key, entry in value.items():
        out[_threshold_key(key)] = share(entry, at=(f"{key}",))
    return out


# a user's own labels may have ids in any script
_LABEL_ID = re.compile(r"[^\W\d][\w.]{0,99}")


def _threshold_key(key: object) -> str | int:
    """`default`, a class number, or a label's id, which is lower-case; whether the model has it shows when it loads."""
    if isinstance(key, int) and not isinstance(key, bool) and key >= 0:
        return key
    if isinstance(key, str) and key.isascii() and key.isdigit():
        return int(key)
    if isinstance(key, str) and _LABEL_ID.fullmatch(key) and key == key.lower():
        return key
    near = str(key).lower().replace("-", "_")
    sound = _LABEL_ID.fullmatch(near)
    end = f"did you mean {near}?" if sound else "keys are default, a class number or a label id such as hat"
    raise refuse(f"has a key {shown(repr(key))} that names no class, {end}")


class _Extras(Section):
    use_hpip: bool | None = None
    hpi_config: dict[str, Any] | None = None
    engine: str | None = None
    engine_config: dict[str, Any] | None = None


class _Detection(_Extras):
    module_name: Annotated[str, one_of("object_detection")] = "object_detection"
    model_name: str = DEFAULT_DETECTOR
    model_dir: AnyPath | None = None
    batch_size: BatchSize = 1
    threshold: Share = DETECTION_THRESHOLD


class _Classification(_Extras):
    module_name: Annotated[str, one_of("multilabel_classification")] = "multilabel_classification"
    model_name: str = DEFAULT_ATTRIBUTES
    model_dir: AnyPath | None = None
    batch_size: BatchSize = 1
    threshold: Annotated[Any, BeforeValidator(_class_threshold)] = CLASSIFICATION_THRESHOLD


class _SubModules(Section):
    Detection: _Detection = Field(default_factory=_Detection)
    Classification: _Classification = Field(default_factory=_Classification)


class _Serving(Section):
    visualize: bool = True
    return_urls: bool | None = None
    extra: dict[str, Any] | None = None


class _File(_Extras):
    pipeline_name: str
    SubModules: _SubModules = Field(default_factory=_SubModules)
    Serving: _Serving = Field(default_factory=_Serving)


def load_pipeline_config(source: str | Path | Mapping[Any, Any]) -> PipelineConfig:
    """Read and check a pipeline's configuration.

    Args:
        source: a built-in name, the path of a YAML file, or the same content as a mapping.
    Raises:
        ArgumentError: `unknown_pipeline`.
        ConfigError: `config_missing`, `config_unreadable`, `config_invalid` with every problem of the file.
    """
    document = read_document(_located(source))
    _check_name(document)
    parsed, problems = validate(_File, document, advice=_advice)
    problems += _name_problems(document)
    if parsed is None or problems:
        raise report(sorted(problems, key=lambda p: p.line or 0), document.input)
    return _config(parsed, document, str(source) if not isinstance(source, Mapping) else "a mapping")


def builtin_config(name: str) -> bytes:
    """The shipped configuration file of a pipeline, as it stands, comments and all.

    Raises:
        ArgumentError: `unknown_pipeline`.
    """
    return _builtin(name).read_bytes()


def _builtin(name: str) -> Path:
    if name not in PIPELINE_NAMES:
        near = guess(name, PIPELINE_NAMES)
        hint = f"did you mean {near}?" if near else f"known: {', '.join(PIPELINE_NAMES)}, or give a .yaml file"
        raise ArgumentError("unknown_pipeline", f"no pipeline is called {shown(name)}", hint=hint)
    return Path(str(resources.files("passerby") / "configs" / f"{name}.yaml"))


def _located(source: str | Path | Mapping[Any, Any]) -> Path | Mapping[Any, Any]:
    """A text with a YAML suffix or a separator is a path, any other a built-in name, as in the original."""
    if isinstance(source, Mapping | Path):
        return source
    if not isinstance(source, str):
        raise ArgumentError("bad_argument", f"a pipeline is a name or a path, not {type(source).__name__}")
    looks_like_path = source.lower().endswith((".yaml", ".yml", ".json")) or "/" in source or "\\" in source
    return Path(source) if looks_like_path else _builtin(source)


def _check_name(document: Document) -> None:
    """Another pipeline's file is one mistake, not a list of unknown sections."""
    name = document.value.get("pipeline_name")
    if not isinstance(name, str) or name in PIPELINE_NAMES:
        return
    near = guess(name, PIPELINE_NAMES)
    line = line_of(("pipeline_name",), document.lines)
    raise ArgumentError(
        "unknown_pipeline",
        f"pipeline_name: unknown pipeline {shown(name)}" + (f" (line {line})" if line else ""),
        input=document.input,
        hint=f"did you mean {near}?" if near else f"known: {', '.join(PIPELINE_NAMES)}",
    )


def _advice(path: PlainPath) -> str | None:
    """Where a key belongs that is known, but not here."""
    key = path[-1]
    if len(path) == 1 and key in ("Detection", "Classification"):
        return "unknown key at the top, it belongs in SubModules"
    if len(path) == 1 and key in _Detection.model_fields:
        return f"unknown key at the top, it belongs in {DETECTION} or {CLASSIFICATION}"
    if len(path) > 1 and key in known_keys(_File, ()):
        return "unknown key here, it belongs at the top of the file"
    return None


def _name_problems(document: Document) -> list[Problem]:
    """Model names and label counts: what needs the catalogue, asked also when the schema has failed elsewhere."""
    modules = document.value.get("SubModules")
    if not isinstance(modules, Mapping):
        return []
    problems = []
    for stage, kind in (("Detection", "detector"), ("Classification", "attributes")):
        section = modules.get(stage)
        if not isinstance(section, Mapping):
            continue
        for key, text in (
            ("model_name", _model_problem(section, kind)),
            ("threshold", _count_problem(section) if kind == "attributes" else None),
        ):
            if text:
                path = ("SubModules", stage, key)
                problems.append(Problem(path=path_text(path), text=text, line=line_of(path, document.lines)))
    return problems


def _model_problem(section: Mapping[Any, Any], kind: str) -> str | None:
    name = section.get("model_name")
    if not isinstance(name, str):
        return None
    what = {"detector": "a detector", "attributes": "an attribute model"}
    own = section.get("model_dir") is not None
    # with model_dir any name goes: only one of the catalogue that says otherwise is a mistake
    entry = lookup(name)
    if entry is not None and entry.kind != kind:
        return f"{shown(name)} is {what[entry.kind]}, here belongs {what[kind]}"
    if entry is None and name in ELSEWHERE and not own:
        return why_absent(name)
    if entry is None and not own:
        fitting = [n for n, e in entries().items() if e.kind == kind]
        near = guess(name, fitting)
        end = f"did you mean {near}?" if near else f"known: {', '.join(fitting)}; for your own set model_dir"
        return f"unknown model {shown(name)}, {end}"
    return None


def _count_problem(section: Mapping[Any, Any]) -> str | None:
    labels = LABEL_COUNTS.get(str(section.get("model_name"))) if section.get("model_dir") is None else None
    given = section.get("threshold")
    if labels is None:
        return None
    if isinstance(given, list | tuple) and len(given) != labels:
        return f"has {len(given)} numbers for {labels} labels"
    if isinstance(given, Mapping):
        beyond = [k for k in given if isinstance(k, int) and k >= labels]
        if beyond:
            return f"names class {shown(beyond[0])}, the {labels} classes are 0..{labels - 1}"
    return None


def _config(parsed: _File, document: Document, source: str) -> PipelineConfig:
    return PipelineConfig(
        pipeline_name=parsed.pipeline_name,
        detection=_stage(parsed.SubModules.Detection, parsed),
        classification=_stage(parsed.SubModules.Classification, parsed),
        use_hpip=bool(parsed.use_hpip),
        hpi_config=parsed.hpi_config,
        engine=parsed.engine,
        engine_config=parsed.engine_config,
        serving=parsed.Serving.model_dump(),
        source=source,
        raw=document.value,
    )


def _stage(stage: _Detection | _Classification, whole: _File) -> StageConfig:
    return StageConfig(
        module_name=stage.module_name,
        model_name=stage.model_name,
        model_dir=stage.model_dir,
        batch_size=stage.batch_size,
        threshold=stage.threshold,
        engine=stage.engine or whole.engine,
        engine_config=stage.engine_config or whole.engine_config,
        use_hpip=bool(whole.use_hpip if stage.use_hpip is None else stage.use_hpip),
        hpi_config=stage.hpi_config or whole.hpi_config,
    )
