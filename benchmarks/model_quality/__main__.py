# SPDX-License-Identifier: Apache-2.0
"""Measure the shipped models, or any others, and write figures and page.

    python -m benchmarks.model_quality --photos PHOTOS --labels LABELS.csv --research RESEARCH --teachers TEACHERS
    python -m benchmarks.model_quality places --research RESEARCH          one part; the others stay as they were
    python -m benchmarks.model_quality page --previous EARLIER.json        tables from the JSON alone

Parts are by-eye, places, detection, cost and page; without any, all. A part that was measured on other models than
the ones given is dropped. Everything runs on one thread; with all sources about ten minutes. docs/model-quality.md
says where the sources come from and how the folders must look.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # before numpy is loaded; a test that imports this module keeps its threads
    os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
import onnxruntime

from passerby._version import __version__
from passerby.files import atomic_write

from . import models, page
from .parts import MODELS, PARTS, Inputs, or_absent

HERE = Path(__file__).resolve().parent
DOCS = HERE.parents[1] / "docs"
SCHEMA = 1


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.model_quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", nargs="*", help=f"{', '.join(PARTS)} or page; default: all of them")
    parser.add_argument("--attributes", type=Path, help="model file or folder; default the shipped one")
    parser.add_argument("--detector", type=Path, help="model file or folder; default the shipped one")
    parser.add_argument("--photos", type=Path, help="folder with one folder a source of photos")
    parser.add_argument("--labels", type=Path, nargs="+", default=[], help="by-eye tables, or folders of them")
    parser.add_argument("--research", type=Path, help="folder with peta/, market1501/, penn_fudan/, ...")
    parser.add_argument("--teachers", type=Path, nargs="+", default=[], help="folders with the files of the teachers")
    parser.add_argument("--previous", type=Path, help="an earlier JSON: tables show its figures too")
    parser.add_argument("--json", type=Path, default=HERE / "figures.json", help="what is written; default %(default)s")
    parser.add_argument("--page", type=Path, default=DOCS / "model-quality.md", help="the page whose tables are filled")
    parser.add_argument("--cache", type=Path, help="folder that keeps probabilities, under the hash of the model")
    parser.add_argument(
        "--most",
        nargs="+",
        default=[],
        type=_limit,
        metavar="SET=N",
        help="at most N crops of peta (of each sub-set) or market1501, drawn by a fixed seed; default all",
    )
    parser.add_argument("--resamples", type=int, default=300, help="draws of the bootstrap; default %(default)s")
    args = parser.parse_args(words)
    unknown = [name for name in args.part if name not in (*PARTS, "page")]
    if unknown:
        parser.error(f"{unknown[0]!r} is no part: {', '.join(PARTS)}, page")
    return args


def _limit(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in ("peta", "market1501") or not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not like peta=500 or market1501=2000")
    return name, int(number)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """The JSON with the parts that were asked for measured anew."""
    inputs = Inputs(
        attributes=models.open_model("passerby-attributes", args.attributes, "attributes"),
        detector=models.open_model("passerby-detector-416", args.detector, "detector"),
        photos=args.photos,
        labels=tuple(args.labels),
        research=args.research,
        teachers=tuple(args.teachers),
        cache=args.cache,
        most=dict(args.most),
        resamples=args.resamples,
    )
    about = {"attributes": models.about(inputs.attributes), "detector": models.about(inputs.detector)}
    content: dict[str, Any] = {"schema": SCHEMA, "models": about, "parts": {}}
    if args.json.is_file():
        earlier = json.loads(args.json.read_text("utf-8"))
        same = {kind for kind in about if earlier["models"][kind]["identity"] == about[kind]["identity"]}
        content["parts"] = {name: part for name, part in earlier["parts"].items() if same.issuperset(MODELS[name])}
    for name in args.part or PARTS:
        if name in PARTS:
            started = time.monotonic()
            measured = or_absent(functools.partial(PARTS[name], inputs))
            content["parts"][name] = measured | {"made": made(time.monotonic() - started)}
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
            for line in absences(measured):
                print(f"  not measured: {line}", file=sys.stderr)
    return content


def made(seconds: float) -> dict[str, Any]:
    """With what, when and how long."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "seconds": round(seconds),
        "passerby": __version__,
        "code": models.code_hash()[:16],
        "onnxruntime": onnxruntime.__version__,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
    }


def absences(part: Any) -> list[str]:
    """Every reason why something in a part was not measured."""
    if not isinstance(part, dict):
        return []
    absent = part.get("absent")
    own = [absent] if isinstance(absent, str) else list(absent.values()) if isinstance(absent, dict) else []
    return sorted({*own, *(line for value in part.values() for line in absences(value))})


def main(words: list[str] | None = None) -> None:
    """Measure, write the JSON, fill the page."""
    args = arguments(words)
    cv2.setNumThreads(1)
    if args.part == ["page"]:
        content = json.loads(args.json.read_text("utf-8"))
    else:
        content = measure(args)
        atomic_write(args.json, json.dumps(content, indent=1, allow_nan=False).encode() + b"\n")
    previous = json.loads(args.previous.read_text("utf-8")) if args.previous else None
    page.fill(args.page, content, previous)


if __name__ == "__main__":
    main()
