"""Runs cases of the model corpus, each in a fork of its own, and says what happened. Used by test_corpus_model.

Started once with the corpus folder as its argument; reads one JSON case a line and answers one JSON line. The process
that forks has imported the readers and read one good file of each kind, so that whatever a case opens, imports or runs
is its own doing: an audit hook notes it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import shutil
import struct
import sys
import tarfile
import time
import traceback
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from passerby.errors import PasserbyError, shown
from passerby.formats.inference_yml import read_inference_yml
from passerby.formats.metadata import InputRecipe, Label, ModelMetadata
from passerby.formats.metadata_json import to_json
from passerby.formats.model_dir import read_model_dir
from passerby.formats.onnx_file import read_onnx
from passerby.formats.pdiparams import read_pdiparams
from passerby.formats.pdmodel import read_pdmodel
from passerby.formats.pdparams import read_pdparams
from passerby.formats.program import read_program_json
from passerby.models.archive import unpack
from passerby.models.load import load_path

ADDRESS_SPACE = 4 << 30
CPU_S = 60
FIXTURES = Path(__file__).parent / "data" / "fixtures" / "models"
NOTED = (
    "open",
    "import",
    "exec",
    "compile",
    "os.",
    "socket.",
    "subprocess.",
    "ctypes.",
    "pickle.",
    "marshal.",
    "shutil.",
)
HARMLESS = ("os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.rmdir", "os.remove", "os.chmod", "shutil.rmtree")

Case = dict[str, Any]


def digest(value: Any) -> str:
    """A hash of whatever a reader returns, arrays with their bits."""
    seen = hashlib.sha256()

    def take(part: Any) -> None:
        if isinstance(part, np.ndarray):
            seen.update(str((part.dtype.str, part.shape)).encode() + part.tobytes())
        elif isinstance(part, dict):
            for key, inner in part.items():
                seen.update(str(key).encode())
                take(inner)
        elif isinstance(part, (list, tuple)):
            for inner in part:
                take(inner)
        elif hasattr(part, "__dataclass_fields__"):
            for name in part.__dataclass_fields__:
                take(getattr(part, name))
        else:
            seen.update(repr(part).encode("utf-8", "replace"))

    take(value)
    return seen.hexdigest()


def good_onnx(corpus: Path) -> bytes:
    """A file of ours whose graph is one Identity."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.data.corpus.groups.model import onnx_model

    label = Label(id="a", en="A")
    recipe = InputRecipe(height=256, width=192, interpolation="linear")
    metadata = ModelMetadata(kind="attributes", name="m", network="n", input=recipe, labels=(label,), thresholds=(0.5,))
    return onnx_model(metadata={"passerby": to_json(metadata)})


class Readers:
    """Every reader with what it needs around it."""

    def __init__(self, corpus: Path) -> None:
        self.corpus = corpus
        self.program = read_program_json((corpus / "model/program_good.json").read_bytes())
        (corpus / "good.onnx").write_bytes(good_onnx(corpus))
        shutil.copy(FIXTURES / "tiny_cls/legacy/inference.pdmodel", corpus / "good.pdmodel")

    def good(self, reader: str, folder: Path) -> str:
        """Hash of what the reader makes of a good file."""
        model = self.corpus / "model"
        source = {
            "pdparams": model / "good.pdparams",
            "pdiparams": model / "pdiparams_good.pdiparams",
            "program": model / "program_good.json",
            "pdmodel": self.corpus / "good.pdmodel",
            "onnx": self.corpus / "good.onnx",
            "inference_yml": model / "inference_yml_good.yml",
            "tar": model / "good.tar",
        }
        if reader in ("model_dir", "tar"):
            target = folder / "good"
            unpack(source["tar"], target)
            try:
                return digest(read_model_dir(target))
            finally:
                shutil.rmtree(target)
        return digest(self.read(reader, source[reader].read_bytes(), "good"))

    def read(self, reader: str, data: bytes, input: str) -> Any:
        if reader == "pdiparams":
            return read_pdiparams(data, self.program.parameters, input=input)
        by_name: dict[str, Any] = {
            "pdparams": read_pdparams,
            "program": read_program_json,
            "pdmodel": read_pdmodel,
            "onnx": read_onnx,
            "inference_yml": read_inference_yml,
        }
        return by_name[reader](data, input=input)


def packed_zeros(path: Path, name: str, size: int) -> None:
    """A valid .tar.gz of one member of zeros: the same packed block again and again."""
    info = tarfile.TarInfo(name)
    info.size = size
    block = bytes(1 << 24)

    def packed(data: bytes, flush: int) -> bytes:
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        return packer.compress(data) + packer.flush(flush)

    head, tail = info.tobuf(tarfile.GNU_FORMAT), bytes(1024)
    times, again = size // len(block), packed(block, zlib.Z_FULL_FLUSH)
    check = zlib.crc32(head)
    for _ in range(times):
        check = zlib.crc32(block, check)
    with path.open("wb") as file:
        file.write(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + packed(head, zlib.Z_FULL_FLUSH))
        for _ in range(times):
            file.write(again)
        file.write(packed(tail, zlib.Z_FINISH))
        file.write(struct.pack("<II", zlib.crc32(tail, check), (len(head) + size + len(tail)) & 0xFFFFFFFF))


def made(recipe: dict[str, Any], folder: Path, corpus: Path) -> Path:
    """The input that a recipe describes."""
    kind, content = next(iter(recipe.items()))
    if kind == "folder":
        target = folder / "model"
        target.mkdir()
        for name, source in content.items():
            if isinstance(source, dict):
                (target / name).symlink_to(source["link"])
            else:
                shutil.copy(corpus / source, target / name)
        return target
    target = folder.parent / "input.tar"
    if kind == "tar_gz":
        packed_zeros(target, content[0][0], content[0][1]["zeros"])
        return target
    with tarfile.open(target, {"tar": "w", "tar_xz": "w:xz"}[kind]) as out:
        for name, text, _ in content:
            info = tarfile.TarInfo(name.replace("{cwd}", str(folder)))
            info.size = len(text)
            out.addfile(info, io.BytesIO(text.encode()))
    return target


def outcome(case: Case, folder: Path, readers: Readers) -> dict[str, Any]:
    """Run the one case, here, and describe it."""
    reader, call = case["call"]["reader"], case["call"]
    source = readers.corpus / case["file"] if "file" in case else made(case["recipe"], folder, readers.corpus)
    if reader == "inference_yml":
        for name in call["beside"]:
            shutil.copy(readers.corpus / name, folder / f"inference{Path(name).suffix}")
        shutil.copy(source, folder / "inference.yml")
        source = folder
    load_as = case.get("check", {}).get("load_as")
    data = source.read_bytes() if source.is_file() and reader != "tar" and not load_as else b""
    before = {str(p) for p in folder.rglob("*")}
    events: list[str] = []
    armed = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if armed and event.startswith(NOTED) and event not in HARMLESS:
            where = str(arguments[0]) if arguments else ""
            if not where.startswith((str(folder), str(source))) and not where.isdecimal():
                events.append(f"{event} {where}")

    sys.addaudithook(hook)
    answer: dict[str, Any] = {"name": "ok", "message": "", "input": None}
    peak, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    try:
        if reader == "planted":
            value: Any = Path(__file__).read_bytes()  # so that a test knows the hook sees
        elif load_as:
            armed = False  # building a graph imports the library that does it
            value = load_path(source, name=load_as)
        elif reader == "tar":
            value = {"files": [p.name for p in unpack(source, folder / call["into"])]}
            answer["modes"] = sorted({f"{p.stat().st_mode & 0o7777:04o}" for p in (folder / call["into"]).iterdir()})
            answer["files"] = value["files"]
        elif reader in ("model_dir", "inference_yml"):
            value = read_model_dir(source)
        else:
            value = readers.read(reader, data, case["id"])
        if isinstance(value, dict) and reader in ("pdparams", "pdiparams"):
            answer["shapes"] = {name: list(array.shape) for name, array in value.items()}
    except PasserbyError as error:
        answer.update(name=error.name, message=str(error), input=error.input)
    answer["seconds"] = time.monotonic() - start
    answer["mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
    armed = False
    answer["events"] = events
    answer["left"] = sorted({str(p.relative_to(folder)) for p in folder.rglob("*") if str(p) not in before})
    return answer


def in_a_fork(case: Case, readers: Readers, goods: dict[str, str]) -> dict[str, Any]:
    """Run a case in a child with limits and a folder of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            root = Path(case["root"])
            folder = root / "case"
            folder.mkdir(parents=True)
            os.chdir(folder)
            os.environ["HOME"] = os.environ["PASSERBY_HOME"] = str(root)
            resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
            answer = outcome(case, folder, readers)
            reader = case["call"]["reader"]
            answer["good_again"] = reader not in goods or readers.good(reader, root) == goods[reader]
            answer["pwned"] = any(path.name == "PWNED" for path in root.rglob("*"))
        except BaseException:
            answer = {"name": "crash", "message": traceback.format_exc()}
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        raw = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(raw) if raw else {"name": "crash", "message": f"the process ended with status {status}"}


def main() -> None:
    corpus, scratch = Path(sys.argv[1]), Path(sys.argv[2])
    readers = Readers(corpus)
    shown("\n")  # Python loads the codec for escapes at its first use
    kinds = ("pdparams", "pdiparams", "program", "pdmodel", "onnx", "inference_yml", "model_dir", "tar")
    goods = {reader: readers.good(reader, scratch) for reader in kinds}
    for line in sys.stdin:
        print(json.dumps(in_a_fork(json.loads(line), readers, goods)), flush=True)


if __name__ == "__main__":
    main()
