"""`passerby models`: the catalogue, what lies in the cache, and the user's own model files."""

from __future__ import annotations

import json
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ArgumentError, ModelError, OutputError, PasserbyError, shown
from . import options, output
from .exits import say, tell, worst

if TYPE_CHECKING:
    from ..models.catalogue import CatalogueEntry
    from ..models.load import LoadedModel

ARCHIVES = (".tar", ".tgz", ".gz")

app = typer.Typer(
    cls=options.group_with_examples("passerby models list", "passerby models pull PP-YOLOE-L_human"),
    help="List, download, verify, find, import or convert models.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="A name of the catalogue.")]
NameOrFile = Annotated[str, typer.Argument(metavar="NAME|FILE", help="A name of the catalogue, a file or a folder.")]


@app.command("list", cls=options.with_examples("passerby models list", "passerby models list --json"))
def list_models(as_json: options.Json = False) -> None:
    """Show every model with a name: what it does, licence, size, whether it is on this machine."""
    from ..models.catalogue import entries

    rows = [_row(entry) for entry in entries().values()]
    if as_json:
        output.put(json.dumps(rows, ensure_ascii=False, indent=2) + "\n")
        return
    width, licence = (max(len(row[key]) for row in rows) for key in ("name", "licence"))
    for row in rows:
        size = f"{row['size_mb']:.0f} MB" if row["size_mb"] else ""
        output.put(
            f"{row['name']:{width}}  {row['kind']:10}  {row['licence']:{licence}}  {size:>6}  {row['here']:10}  "
            f"{row['description']}\n"
        )
    output.put("\nshipped: part of the package. cached: on this machine. download: fetched when it is first used.\n")
    for distribution in sorted({row["distribution"] for row in rows} - {""}):
        output.put(f"installed: part of {distribution}, under its own licence.\n")


def _row(entry: CatalogueEntry) -> dict[str, Any]:
    from ..models import cache

    record = cache.read_record(entry.name)
    digest = record.download_sha256 if record and record.download_sha256 else None
    if entry.file is not None:
        here, digest = "installed", entry.sha256[str(entry.file)]
    else:
        cached = cache.model_files(cache.folder_of(entry.name))
        here = "shipped" if entry.shipped else "cached" if cached else "download"
    return {
        "name": entry.name,
        "kind": entry.kind,
        "network": entry.network,
        "licence": entry.licence,
        "size_mb": entry.size_mb,
        "input_hw": list(entry.input_hw),
        "here": here,
        "distribution": entry.distribution,
        "sources": list(entry.sources),
        "sha256": digest,
        "path": str(_place(entry)),
        "description": entry.description,
    }


def _place(entry: CatalogueEntry) -> Path:
    from ..models import cache

    if entry.file is not None:
        return entry.file
    if not entry.shipped:
        return cache.folder_of(entry.name)
    return Path(str(resources.files("passerby.models"))) / "shipped" / entry.name / f"{entry.name}.onnx"


@app.command(cls=options.with_examples("passerby models pull PP-YOLOE-L_human PP-LCNet_x1_0_pedestrian_attribute"))
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of the catalogue.")],
    quiet: options.Quiet = False,
) -> None:
    """Download models into the cache, checked tensor by tensor; what is there already is only checked."""
    from ..models import catalogue, load
    from ..models.download import QUIET, STDERR

    codes = []
    for name in names:
        code = _guarded(lambda name=name: load.load_model(name, reports=QUIET if quiet else STDERR))
        if code == 0:
            output.put(f"{_place(catalogue.find(name))}\n")
        codes.append(code)
    raise typer.Exit(worst(codes))


@app.command(cls=options.with_examples("passerby models verify passerby-attributes", "passerby models verify my.onnx"))
def verify(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME|FILE...", help="Default: the shipped models, installed ones, and those in the cache."
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Load models, check every tensor, and run each on its stored probe."""
    from ..models import cache
    from ..models.catalogue import entries

    here = [n for n, e in entries().items() if e.shipped or e.file or cache.model_files(cache.folder_of(n))]
    rows: list[dict[str, Any]] = []
    codes = [_verified(model, rows, as_json=as_json) for model in models or here]
    if as_json:
        output.put(json.dumps(rows, ensure_ascii=False, indent=2) + "\n")
    raise typer.Exit(worst(codes))


def _verified(model: str, rows: list[dict[str, Any]], *, as_json: bool) -> int:
    from ..models.verify import verify_model

    try:
        found = verify_model(_loaded(model))
    except PasserbyError as error:
        tell(error)
        rows.append({"input": model, "error": {"name": error.name, "message": error.message}})
        return error.exit_code
    rows.append({"model": model, "difference": found.difference, "tolerance": found.tolerance, "engine": found.engine})
    if not as_json:
        told = (
            "carries no probe; it loads and answers"
            if found.difference is None
            else (f"answers its probe within {found.difference:.1e} (allowed {found.tolerance:g})")
        )
        output.put(f"{shown(model, 200)}: {told}\n")
    return 0


def _loaded(model: str) -> LoadedModel:
    """A model by its name, or from a file, a folder or an archive; a name of the catalogue wins over a file's."""
    from ..models import archive, catalogue, load

    path = Path(model)
    is_path = path.exists() or path.suffix in (".onnx", ".pdparams", *ARCHIVES) or len(path.parts) > 1
    if not is_path or catalogue.lookup(model) is not None:
        return load.load_model(model)
    name = path.name.partition(".")[0]
    if path.suffix in ARCHIVES and path.is_file():
        with tempfile.TemporaryDirectory(prefix="passerby-") as work:
            archive.unpack(path, Path(work) / "files", input=model)
            try:
                return load.load_path(Path(work) / "files", name=name)
            except ModelError as error:  # it is the archive that the user knows, not where we unpacked it
                raise ModelError(error.name, error.happened, input=model, hint=error.hint) from None
    return load.load_path(path, name=name)


@app.command(cls=options.with_examples("passerby models path PP-YOLOE-L_human"))
def path(name: Name) -> None:
    """Print where a model lies, or would lie; the place to put files by hand."""
    from ..models import catalogue

    place = _place(catalogue.find(name))
    output.put(f"{place}\n")
    if not place.exists():
        say(f"{shown(name)} is not there yet; `passerby models pull {shown(name)}` fetches it")


@app.command(
    "import", cls=options.with_examples("passerby models import PP-YOLOE-L_human_infer.tar --name PP-YOLOE-L_human")
)
def import_model(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Official .tar, .pdparams file or folder.")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Which model it is; default from the file's name.")
    ] = None,
) -> None:
    """Put a model file that you have into the cache, checked like a download. No network needed."""
    from ..models import catalogue, load

    known = next((n for n in catalogue.ENTRIES if Path(file).name.startswith(n)), None)
    if name is None and known is None:
        raise ArgumentError("bad_argument", f"{shown(file)} has no name of the catalogue", hint="say which with --name")
    output.put(f"{load.import_model(name or known or '', Path(file))}\n")


@app.command(cls=options.with_examples("passerby models convert my_model_folder/ --output my_model.onnx"))
def convert(
    model: NameOrFile,
    target: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Default: the same name with .onnx, here.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Turn Paddle's files into one .onnx that carries labels, input recipe and a probe."""
    from .. import files

    place = Path(target) if target is not None else Path(f"{Path(model).name.partition('.')[0]}.onnx")
    data = _with_probe(_loaded(model))
    if place.exists() and not overwrite:
        raise OutputError("output_conflict", "the file exists", input=str(place), hint="--overwrite replaces it")
    files.atomic_write(place, data)
    output.put(f"{place}\n")


def _with_probe(model: LoadedModel) -> bytes:
    """The model's file with an answer to check later engines against."""
    import onnx

    from .. import engines
    from ..devices import Device
    from ..formats.onnx_file import write_onnx
    from ..models import verify as probes

    engine = engines.load(model.model_bytes, device=Device("cpu"), spread="inside")
    return write_onnx(onnx.load_model_from_string(model.model_bytes), probes.with_probe(model.metadata, engine))


def _guarded(action: Any) -> int:
    """Run one of several, so that one failure does not stop the others."""
    try:
        action()
    except PasserbyError as error:
        tell(error)
        return error.exit_code
    return 0
