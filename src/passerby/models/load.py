"""A name or a path becomes one checked .onnx in memory: what every stage runs.

Shipped models are read from the package, others from the installed distribution that brought them. Official names come
from the cache or the network, own weights from a folder in Paddle's layout, a .pdparams or one of our .onnx files. What
is no .onnx yet is converted, and the result is kept in the cache under the hash of what it was made from.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from .._version import __version__
from ..errors import ModelError, shown
from ..formats.inference_yml import YML_BYTES, read_inference_yml
from ..formats.metadata import Kind, ModelMetadata
from ..formats.model_dir import DESCRIPTION, read_file
from ..formats.onnx_file import read_onnx
from . import cache, catalogue
from .archive import unpack
from .download import STDERR, Reports, sha256_of

log = logging.getLogger(__name__)

# Another number is due when conversion writes something else for the same weights: converted models are kept.
CONVERSION = 1

# where a training run and its best weights keep the exported model, below the folders that people point at
RUN_FOLDERS = ("inference", "best_model/inference")

KINDS: dict[Kind, str] = {"detector": "a detector", "attributes": "an attribute model"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A checked model.

    Attributes:
        model_bytes: a whole .onnx file.
        metadata: what travels with it.
        source: where it came from, for messages: a name of the catalogue or the path the user gave.
    """

    model_bytes: bytes
    metadata: ModelMetadata
    source: str


def load_model(
    name: str, model_dir: Path | None = None, *, kind: Kind | None = None, reports: Reports = STDERR
) -> LoadedModel:
    """Load a model by its name, or from the user's own files.

    Args:
        name: a name of the catalogue; with `model_dir`, any name.
        model_dir: a folder in Paddle's layout, a .pdparams file or one of our .onnx files.
        kind: what the model is needed for; None takes either.
        reports: where a download says what it does.
    Raises:
        ModelError: any of its names.
        OutputError: `output_full`, the disk is full in a download.
    """
    if model_dir is not None:
        model = load_path(model_dir, name=name)
    else:
        entry = catalogue.find(name)
        if entry.file is not None:
            model = _installed(entry, entry.file)
        else:
            model = _shipped(entry) if entry.shipped else _official(entry, reports)
    if kind is not None and model.metadata.kind != kind:
        happened = f"{shown(name)} is {KINDS[model.metadata.kind]}, {KINDS[kind]} is needed"
        raise ModelError("model_mismatch", happened, input=model.source)
    return model


def import_model(name: str, path: Path, *, reports: Reports = STDERR) -> Path:
    """Put the files of an official model, got on another way, into the cache.

    Args:
        name: an official name of the catalogue.
        path: the downloaded .tar, its unpacked folder, or the .pdparams file.
    Returns:
        The model's folder in the cache.
    Raises:
        ModelError: the files are not this model, or what the readers say. Nothing is changed then.
        OutputError: the cache cannot be written.
    """
    entry = catalogue.find(name)
    if entry.shipped or entry.file is not None:
        of = entry.distribution or "the package"
        raise ModelError("model_mismatch", f"{entry.name} is part of {of} and is not imported")
    sources = _files(path)
    with cache.replacing(entry, reports=reports) as folder:
        if path.is_dir() or path.suffix == ".pdparams":
            for source in sources:
                (folder / source.name).write_bytes(read_file(source))
        else:
            unpack(path, folder)
        load_path(folder, name=entry.name, official=entry)
    return cache.folder_of(entry.name)


def load_path(
    path: Path,
    *,
    name: str,
    official: catalogue.CatalogueEntry | None = None,
    hashes: Mapping[str, str] | None = None,
) -> LoadedModel:
    """Load a model from files: a folder in Paddle's layout or with one model file in it, .pdparams, or .onnx.

    A folder that training exported holds one .onnx and an `inference.yml` made from it. The .onnx says everything;
    the other file is for Paddle's tools and must only not contradict it.

    Args:
        name: what the model is called from now on; a name of the catalogue must be the one in `inference.yml`.
        official: the entry whose kind and size the model must have, where the files are to be the official ones.
        hashes: file name to SHA-256, where they are known already.
    Raises:
        ModelError: `model_missing` (nothing there, or not what is due), and what the readers say.
    """
    files = _files(path)
    if path.is_dir() and len(files) == 1 and files[0].suffix in cache.MODEL_SUFFIXES:
        path = files[0]
    elif path.is_dir() and (exported := _exported(files)) is not None:
        model = _from_onnx(read_file(exported), source=str(path))
        _check_description(path / DESCRIPTION, model)
        return model
    if path.is_dir() or path.suffix == ".pdparams":
        known = hashes or _hashes(files)
        return _converted(path, name, official, None if any(f.is_symlink() for f in files) else known)
    if path.suffix == ".onnx":
        return _from_onnx(read_file(path), source=str(path))
    raise ModelError(
        "model_unsupported",
        "a model is a folder in Paddle's layout, a .pdparams file or one of our .onnx files",
        input=str(path),
        hint="an archive is unpacked by `passerby models import`" if ".tar" in path.suffixes else None,
    )


def _exported(files: list[Path]) -> Path | None:
    """The .onnx of a folder that holds one beside its `inference.yml` and nothing else of a model."""
    models = [file for file in files if file.suffix in cache.MODEL_SUFFIXES]
    others = {file.name for file in files if file not in models}
    return models[0] if others == {DESCRIPTION} and [m.suffix for m in models] == [".onnx"] else None


def _check_description(path: Path, model: LoadedModel) -> None:
    """Refuse an `inference.yml` of another model; where somebody changed its thresholds, say that they do not count."""
    described = read_inference_yml(read_file(path, limit=YML_BYTES), input=str(path))
    inside = model.metadata
    if described.kind != inside.kind or len(described.labels) != len(inside.labels):
        happened = f"it describes another model than the {inside.kind} with {len(inside.labels)} labels beside it"
        raise ModelError("model_mismatch", happened, input=str(path), hint="export the model again")
    if not np.allclose(described.thresholds, inside.thresholds, rtol=0, atol=1e-6):
        log.warning("the thresholds inside the model are used, not those in file=%s", path)


def _files(path: Path) -> list[Path]:
    """The files that a model at `path` may be made of."""
    try:
        if path.is_dir():
            found = cache.model_files(path)
            inner = [name for name in RUN_FOLDERS if not found and cache.model_files(path / name)]
            if inner:
                hint = f"training put it into {inner[0]} in there"
                raise ModelError("model_missing", "the folder itself holds no model", input=str(path), hint=hint)
            return found
        if path.is_file():
            return [path]
        happened = "no regular file" if path.exists() else "there is no such file or folder"
    except (OSError, ValueError):
        happened = "the path cannot be looked at"
    raise ModelError("model_missing", happened, input=str(path), hint="check model_dir")


def _hashes(files: list[Path]) -> dict[str, str]:
    try:
        return {file.name: sha256_of(file) for file in files}
    except OSError as reason:
        happened = f"the file cannot be read ({shown(reason.strerror)})"
        raise ModelError("model_missing", happened, input=str(reason.filename), hint="check its permissions") from None


def _shipped(entry: catalogue.CatalogueEntry) -> LoadedModel:
    """A model of the package itself; no cache, no network."""
    file = resources.files("passerby.models") / "shipped" / entry.name / f"{entry.name}.onnx"
    if not file.is_file():
        raise ModelError(
            "model_missing",
            f"the shipped model {entry.name} is not in this installation",
            hint="install the package again from its wheel",
        )
    return _from_onnx(file.read_bytes(), source=entry.name)


def _installed(entry: catalogue.CatalogueEntry, path: Path) -> LoadedModel:
    """A model that another installed distribution brought."""
    data = read_file(path)
    if hashlib.sha256(data).hexdigest() != entry.sha256[str(path)]:
        happened = f"the file of {entry.name} is not the one that {entry.distribution} lists"
        raise ModelError("model_hash", happened, input=str(path), hint=f"install {entry.distribution} again")
    return _from_onnx(data, source=entry.name)


def _official(entry: catalogue.CatalogueEntry, reports: Reports) -> LoadedModel:
    """A downloaded model. What was downloaded just now stays in the cache only if it can be loaded."""
    with cache.opened(entry, reports=reports) as folder:
        # What is recorded of a folder in the cache was compared a moment ago: 200 MB need not be hashed twice.
        record = cache.read_record(entry.name) if folder == cache.folder_of(entry.name) else None
        model = load_path(folder, name=entry.name, official=entry, hashes=record.files if record else None)
        return LoadedModel(model_bytes=model.model_bytes, metadata=model.metadata, source=entry.name)


def _from_onnx(data: bytes, *, source: str) -> LoadedModel:
    file = read_onnx(data, input=source)
    return LoadedModel(model_bytes=file.model_bytes, metadata=file.metadata, source=source)


def _converted(
    path: Path, name: str, official: catalogue.CatalogueEntry | None, hashes: Mapping[str, str] | None
) -> LoadedModel:
    """A model made from Paddle's files, from the cache when these very files were converted before.

    Without hashes nothing is kept: a link may leave the folder, which only the reader refuses.
    """
    key = _key(hashes, name, official) if hashes else None
    kept = cache.find_converted(key) if key else None
    if kept is not None:
        return _from_onnx(kept, source=str(path))
    # The library that builds graphs takes a third of a second to import; shipped and kept models do without it.
    from .convert import convert_path

    data = convert_path(path, name=name, official=official)
    model = _from_onnx(data, source=str(path))
    if key:
        cache.keep_converted(key, data)
    return model


def _key(hashes: Mapping[str, str], name: str, official: catalogue.CatalogueEntry | None) -> str:
    """Names the outcome of a conversion: everything that it depends on, hashed."""
    depends_on = [__version__, CONVERSION, name, official.name if official else None, sorted(hashes.items())]
    return hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:32]
