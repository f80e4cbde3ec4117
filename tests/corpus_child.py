"""Runs corpus cases of the groups image, ndarray and tree in a process of its own, and reports one JSON line a case.

    python corpus_child.py DOOR CORPUS CASES OUT     (DOOR: frames or predict; CASES: a JSON list; OUT: the lines)

The parent (`corpus_runner.py`) judges. A case that kills this process is the one after the last line. What a
careless decoder would do to memory is bounded by RLIMIT_AS.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from passerby import files, sources
from passerby.errors import PasserbyError

if TYPE_CHECKING:
    from passerby import Result

ADDRESS_SPACE = 4 << 30
CPU_S = 900
NOBODY = 65534
KEPT = 1000
OUR_FILES = {"t", "u", "other", "saved", "made.jpg", "a.bin"}  # what cases are made of
GOOD = "image/jpeg_baseline.jpg"

Answer = dict[str, Any]


class Frames:
    """The door to the pixels: what `sources.frames` says."""

    def results(self, feed: object) -> Iterator[sources.Frame | sources.Failure]:
        for one in sources.frames(feed):
            if isinstance(one, sources.Failure) and sources.is_single(feed):
                raise one.error
            yield one

    def answer(self, one: sources.Frame | sources.Failure, save_path: str | None) -> Answer:
        if isinstance(one, sources.Failure):
            return said(one.error)
        if save_path is None:
            return described(one.image_bgr)
        return {**described(one.image_bgr), "written": written(one, save_path)}


class Predict:
    """The door of users: what a pipeline of the two tiny networks says."""

    def __init__(self) -> None:
        # only here, so that the door to the pixels runs where no engine is installed
        from tests import tiny

        self._pipeline = tiny.pipeline()

    def results(self, feed: object) -> Iterator[Result]:
        return self._pipeline.predict(feed)

    def answer(self, one: Result, save_path: str | None) -> Answer:
        if one.error is not None:
            return said(one.error)
        body = {**one.to_dict(), "input_path": None}
        answer: Answer = {"sha256": hashlib.sha256(json.dumps(body).encode()).hexdigest(), "size": one.size_wh}
        if save_path is not None:
            answer["written"] = [os.path.realpath(save(save_path)) for save in (one.save_to_json, one.save_to_img)]
        return answer


Door = Frames | Predict


def said(error: PasserbyError) -> Answer:
    return {"error": error.name, "message": error.message}


def run_library(door: Any, feed: object, after_first: Callable[[], None], save_path: str | None) -> list[Answer]:
    """What the library says to one input: an answer for every picture, in order."""
    answers: list[Answer] = []
    for one in door.results(feed):
        answer = {"path": one.input_path, "page": one.page_index}
        if not answers:
            answer["at"] = time.perf_counter()
        answer |= door.answer(one, save_path)
        # so that what grows is the library and not this list
        answers.append(answer if len(answers) < KEPT or "error" in answer else {})
        if len(answers) == 1:
            after_first()
    return answers


def described(image_bgr: np.ndarray) -> Answer:
    height, width = image_bgr.shape[:2]
    assert image_bgr.dtype == np.uint8
    assert image_bgr.shape[2:] == (3,)
    assert image_bgr.flags.c_contiguous
    places = {
        "tl": (height // 4, width // 4),
        "tr": (height // 4, width * 3 // 4),
        "bl": (height * 3 // 4, width // 4),
        "br": (height * 3 // 4, width * 3 // 4),
    }
    return {
        "size": [width, height],
        "corners": {name: image_bgr[y, x, ::-1].tolist() for name, (y, x) in places.items()},
        "sha256": hashlib.sha256(image_bgr).hexdigest(),
    }


def written(frame: sources.Frame, save_path: str) -> list[str]:
    """Write what a result writes, under the names that it uses."""
    picture = files.writable_suffix(frame.suffix)
    pairs = [
        (files.result_path(save_path, frame.output_stem, ".json", ""), b"{}"),
        (
            files.result_path(save_path, frame.output_stem, picture, "_res"),
            files.encode_image(frame.image_bgr, picture),
        ),
    ]
    for path, data in pairs:
        files.atomic_write(path, data)
    return [os.path.realpath(path) for path, _ in pairs]


def made_bytes(corpus: Path, recipe: dict[str, Any]) -> bytes:
    if "file" in recipe:
        return (corpus / recipe["file"]).read_bytes()
    data = b""
    for part in recipe["concat"]:
        if "file" in part:
            data += (corpus / part["file"]).read_bytes()
        elif "repeat_hex" in part:
            data += bytes.fromhex(part["repeat_hex"]) * part["count"]
        else:
            data += bytes(part["pad_to"] - len(data))
    return data


def made_path(corpus: Path, case: dict[str, Any]) -> str:
    """The input as a file in the current folder (or where the corpus has it)."""
    if "file" in case:
        return str(corpus / case["file"])
    target = Path(case["call"].get("copy_as", "made.jpg"))
    recipe = case["recipe"]
    if "pad_to" in str(recipe):  # sparse, so that the disk holds a few bytes of it
        with target.open("wb") as file:
            file.write((corpus / recipe["concat"][0]["file"]).read_bytes())
            file.truncate(recipe["concat"][1]["pad_to"])
    else:
        target.write_bytes(made_bytes(corpus, recipe))
    return str(target)


def made_value(corpus: Path, recipe: dict[str, Any]) -> Any:
    if recipe["make"] == "python":
        scope = {"np": np, "Image": Image, "io": io, "Path": Path, "jpeg": str(corpus / GOOD)}
        return eval(recipe["expr"], scope)
    dtype = recipe["dtype"]
    dtype = np.dtype([tuple(field) for field in dtype] if isinstance(dtype, list) else dtype)
    fill, shape = recipe["fill"], tuple(recipe["shape"])
    if fill == "noise":
        a = np.random.default_rng(7).integers(0, 256, shape, np.uint8)
    elif dtype.names:
        a = np.zeros(shape, dtype)
    else:
        a = np.full(shape, {"nan": np.nan, "inf": np.inf}.get(fill, fill)).astype(dtype)
    a = np.asarray(a, order=recipe["order"])
    if "view" in recipe:
        a = eval(recipe["view"], {"np": np, "a": a})
    for flag, on in recipe.get("flags", {}).items():
        assert flag == "writeable"
        a.setflags(write=on)
    return a


def made_tree(corpus: Path, steps: list[dict[str, Any]]) -> Callable[[], None]:
    """Make the folder of a tree case; gives the step that waits for the first result."""
    later: list[str] = []
    for step in steps:
        for key in ("file", "link", "fifo", "socket"):
            if key in step:
                make_parents(step[key])
        if "file" in step:
            if "from" in step:
                shutil.copyfile(corpus / step["from"], step["file"])
            else:
                Path(step["file"]).write_bytes(step["text"].encode("latin-1"))
        elif "dir" in step:
            Path(step["dir"]).mkdir(parents=True, exist_ok=True)
        elif "link" in step:
            Path(step["link"]).symlink_to(step["to"])
        elif "fifo" in step:
            os.mkfifo(step["fifo"])
        elif "socket" in step:
            with socket.socket(socket.AF_UNIX) as place:
                place.bind(step["socket"])
        elif "chmod" in step:
            Path(step["chmod"]).chmod(int(step["mode"], 8))
        elif "many" in step:
            make_many(corpus, step)
        else:
            later.append(step["remove_after_first_result"])
    return lambda: [Path(path).unlink() for path in later] and None


def make_parents(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)


def make_many(corpus: Path, step: dict[str, Any]) -> None:
    first = step["name"].format(0)
    make_parents(first)
    shutil.copyfile(corpus / step["from"], first)
    for number in range(1, step["many"]):
        Path(step["name"].format(number)).hardlink_to(first)


def memory_mb(field: str) -> float:
    text = Path("/proc/self/status").read_text("ascii")
    return int(text.split(f"{field}:")[1].split()[0]) / 1024


def forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")


@contextlib.contextmanager
def as_nobody(case: dict[str, Any]) -> Iterator[None]:
    """Cases about permissions mean nothing to root, who reads everything."""
    drop = case.get("check", {}).get("not_as_root") and os.geteuid() == 0
    if drop:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if drop:
            os.seteuid(0)


def outcome_of(door: Door, feed: object, after_first: Callable[[], None], save_path: str | None) -> Answer:
    try:
        return {"answers": run_library(door, feed, after_first, save_path)}
    except PasserbyError as error:
        return {"raised": error.name, "message": error.message, "answers": []}
    except Exception as error:
        return {"foreign": f"{type(error).__name__}: {error}", "answers": []}


def runs(corpus: Path, case: dict[str, Any]) -> Iterator[tuple[str, object, Callable[[], None], str | None]]:
    """(way, what to feed, step after the first result, where results go) for every way of one case."""
    nothing: Callable[[], None] = lambda: None  # noqa: E731
    for way in case["call"]["as"]:
        if case["group"] == "tree":
            after = made_tree(corpus, case["recipe"]["tree"])
            check = case.get("check", {})
            # 20,000 times two files flushed to the disk would say nothing about reading
            yield way, case["call"]["feed"], after, None if check.get("slow") else check.get("save_path", "saved")
        elif case["group"] == "ndarray":
            yield way, made_value(corpus, case["recipe"]), nothing, None
        elif way == "bytes":
            data = made_bytes(corpus, case.get("recipe", {"file": case.get("file")}))
            yield way, data, nothing, None
        else:
            save_path = "saved" if "copy_as" in case["call"] else None
            yield way, made_path(corpus, case), nothing, save_path


def run_case(door: Door, corpus: Path, case: dict[str, Any]) -> Iterator[Answer]:
    for way, feed, after_first, save_path in runs(corpus, case):
        before = hashlib.sha256(np.ascontiguousarray(feed)).hexdigest() if is_plain_array(feed) else None
        forget_peak()
        start_mb, start = memory_mb("VmRSS"), time.perf_counter()
        with as_nobody(case):
            answer = outcome_of(door, feed, after_first, save_path)
        seconds, grown_mb = time.perf_counter() - start, memory_mb("VmHWM") - start_mb
        changed = before is not None and hashlib.sha256(np.ascontiguousarray(feed)).hexdigest() != before
        if isinstance(feed, io.IOBase):
            answer["closed"] = feed.closed
            feed.close()
        first = answer["answers"][0].pop("at") - start if answer["answers"] else seconds
        measured = {"seconds": seconds, "first_seconds": first, "grown_mb": grown_mb, "changed": changed}
        yield answer | measured | {"way": way}


def is_plain_array(value: object) -> bool:
    return type(value) is np.ndarray and value.dtype == np.uint8 and value.nbytes < 1 << 24


def main() -> None:
    corpus, cases, out = (Path(argument).resolve() for argument in sys.argv[2:])
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    door: Door = Predict() if sys.argv[1] == "predict" else Frames()
    good = good_answer(door, corpus)
    with out.open("a", encoding="utf-8") as lines:
        for case in json.loads(cases.read_text("utf-8")):
            line = {"id": case["id"], "good": good, **run_in_folder(door, corpus, case)}
            line["good_after"] = good_answer(door, corpus) == good
            lines.write(json.dumps(line) + "\n")
            lines.flush()


def good_answer(door: Door, corpus: Path) -> str:
    (answer,) = run_library(door, str(corpus / GOOD), lambda: None, None)
    return str(answer["sha256"])


def run_in_folder(door: Door, corpus: Path, case: dict[str, Any]) -> Answer:
    """Run a case in a fresh folder; also says what it left there and what it wrote elsewhere."""
    with tempfile.TemporaryDirectory(prefix="passerby-case-") as folder:
        Path(folder).chmod(0o777)
        os.chdir(folder)
        ways = list(run_case(door, corpus, case))
        place = Path(folder).resolve()
        known = {*OUR_FILES, case["call"].get("copy_as")}
        new = sorted({path.name for path in place.iterdir()} - known)
        for way in ways:
            names = [name for answer in way["answers"] for name in answer.get("written", [])]
            way["outside"] = [name for name in names if not inside(name, place, case)]
        os.chdir("/")
        restore_permissions(folder)
    return {"ways": ways, "new": new}


def inside(path: str, folder: Path, case: dict[str, Any]) -> bool:
    save_path = case.get("check", {}).get("save_path", "saved")
    return Path(path).is_relative_to((folder / save_path).resolve())


def restore_permissions(folder: str) -> None:
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(0o755)


if __name__ == "__main__":
    main()
