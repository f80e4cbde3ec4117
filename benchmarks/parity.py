"""Prints the largest difference to the real Paddle stack at every stage, the table of docs/parity.md.

    python benchmarks/parity.py --golden ../shared/golden [--sizes S L]

The weights are seeded, full-size and the same on both sides; the reference ran PaddleX 3.7.2 on paddlepaddle 3.2.2.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from passerby import engines
from tests.golden import measure

Row = tuple[str, str]


def share(same: list[bool]) -> str:
    return f"{sum(same)} of {len(same)} equal"


def shared_stages(golden: measure.Golden, folder: Path) -> Iterator[Row]:
    """Stages that both detector sizes share, and the attribute network."""
    yield "decoded pixels, 12 pictures", share(list(measure.decoding(golden).values()))
    yield "detector's input tensor, 12 pictures", share(list(measure.input_tensors(golden).values()))
    crops = [measure.sha256(tensor) == wanted for tensor, wanted in measure.crop_tensors(golden)]
    yield "attribute network's input tensor, 20 crops", share(crops)
    layers = measure.classifier_layers(golden).values()
    yield "attribute network's stages, relative", f"{max(relative(*pair) for pair in layers):.1e}"
    ours, theirs = measure.attributes(golden, golden.load(measure.CLASSIFIER, folder / "classifier"))
    yield "attribute probabilities, 20 crops", f"{measure.largest(ours, theirs):.1e}"


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference relative to the largest value of the layer."""
    return measure.largest(ours, theirs) / float(np.abs(theirs).max())


def detector_stages(golden: measure.Golden, size: str, folder: Path) -> Iterator[Row]:
    layers = measure.detector_layers(golden, size).values()
    yield f"{size}: backbone, neck and head, relative", f"{max(relative(*pair) for pair in layers):.1e}"
    pictures = measure.pictures_of(golden, size)
    detector = measure.detector(golden, size, folder / f"detector_{size}")
    raw = list(measure.raw_detections(golden, size, detector, pictures))
    where = f"{len(raw)} pictures"
    yield f"{size}: raw scores, best 300 anchors of {where}", f"{max(r.score for r in raw):.1e}"
    yield f"{size}: raw boxes scoring over 0.3, {where}", f"{max(r.box_px for r in raw):.4f} px"
    in_place = sum(r.rows_in_place for r in raw)
    yield f"{size}: same rows after suppression", share([r.same_rows for r in raw])
    yield f"{size}: rows in the same place", f"{in_place} of {sum(r.rows for r in raw)}"


def final_stages(golden: measure.Golden, size: str, folder: Path) -> Iterator[Row]:
    pipeline = measure.pipeline(golden, size, folder / f"pipeline_{size}")
    pictures = measure.pictures_of(golden, size)
    settings = golden.expected(f"pipeline_{measure.DETECTORS[size]}")["settings"]
    finals = [measure.final_results(golden, size, pipeline, setting, pictures) for setting in settings]
    persons, crops = sum(f.persons for f in finals), sum(f.same_crop for f in finals)
    title = f"{size}: pipeline, {len(pictures)} pictures x {len(finals)} settings"
    yield f"{title}, persons without partner", f"{sum(len(f.unmatched) for f in finals)} of {persons}"
    yield f"{title}, persons excepted (score within 5e-3 of it)", str(sum(f.near_det_threshold for f in finals))
    yield f"{title}, coordinates", f"{max(f.box_px for f in finals):.4f} px"
    yield f"{title}, detection scores", f"{max(f.det_score for f in finals):.1e}"
    yield f"{title}, same whole-pixel crop", f"{crops} of {persons}"
    yield f"{title}, all 26 probabilities", f"{max(f.probability for f in finals):.1e}"
    yield f"{title}, other label sets", f"{sum(len(f.other_labels) for f in finals)} of {crops}"
    yield f"{title}, labels excepted (within 1e-4 of it)", str(sum(f.near_cls_threshold for f in finals))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", type=Path, required=True, help="folder of the reference data")
    parser.add_argument("--sizes", nargs="+", choices=["S", "L"], default=["S", "L"])
    arguments = parser.parse_args()
    golden = measure.Golden(arguments.golden.resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["PASSERBY_HOME"] = str(folder / "home")
        show(("stage", "largest difference"))
        show(("---", "---"))
        for row in shared_stages(golden, folder):
            show(row)
        for size in arguments.sizes:
            for row in (*detector_stages(golden, size, folder), *final_stages(golden, size, folder)):
                show(row)
    print(f"\nOpenCV {cv2.__version__}, numpy {np.__version__}, ONNX Runtime {engines.onnx_runtime.version()}")


def show(row: Row) -> None:
    print(f"| {row[0]} | {row[1]} |", flush=True)


if __name__ == "__main__":
    main()
