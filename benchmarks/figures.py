"""The figures of docs/figures.md: start-up, memory, size, speed, and the code one frame crosses.

    python benchmarks/figures.py --golden ../shared/golden [--rounds 5]

Each figure is the median over the rounds, with minimum and maximum; every round measures everything once, so that
what else the machine does falls on all alike. PaddleX's figures are those that were measured on a machine of the same
kind (golden/README.md of the reference data), not in this run; `ratio` is PaddleX's figure over ours.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# ms, MiB and MiB installed as in golden/README.md, default threads; None where PaddleX has no counterpart
PADDLEX = {
    "import passerby, s": 1.05,
    "CLI, cold, 640x480 picture, shipped models, s": 3.75,
    "CLI, peak RSS, MiB": 632,
    "installed base, MiB": 1643,
    "PP-YOLOE-S, network alone, ms": 78,
    "PP-YOLOE-S, array to boxes, ms": 80,
    "PP-LCNet x1.0, one crop, network alone, ms": 3.5,
    "PP-LCNet x1.0, one crop, array to attributes, ms": 3.9,
    "pipeline S, array, 76 persons, ms": 378,
    "pipeline S, file, 76 persons, ms": 399,
    "pipeline S, peak RSS, MiB": 686,
    "functions a frame crosses, array": 70,
    "files a frame crosses, array": 18,
}


def child(code: str, *, env: dict[str, str] | None = None) -> dict[str, float]:
    """Run code in a fresh interpreter; its last line of output is JSON."""
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **(env or {})}
    )
    answer: dict[str, float] = json.loads(out.stdout.splitlines()[-1])
    return answer


IMPORT = """
import json, time
t = time.perf_counter()
import passerby
print(json.dumps({"import passerby, s": time.perf_counter() - t}))
"""

PIPELINE = """
import json, os, resource, sys, time
import cv2
import numpy as np
from passerby import create_pipeline
from passerby import preprocess

folder, picture, label, count = sys.argv[1:5] if len(sys.argv) > 4 else ARGS
def times(f, n):
    f()
    out = []
    for _ in range(n):
        t = time.perf_counter()
        f()
        out.append((time.perf_counter() - t) * 1000)
    return float(np.median(out))

config = {"pipeline_name": "pedestrian_attribute_recognition"}
if folder:
    config["SubModules"] = {
        "Detection": {"model_name": "PP-YOLOE-S_human", "model_dir": folder + "/PP-YOLOE-S_human"},
        "Classification": {
            "model_name": "PP-LCNet_x1_0_pedestrian_attribute",
            "model_dir": folder + "/PP-LCNet_x1_0_pedestrian_attribute",
        },
    }
pipeline = create_pipeline(config=config if folder else None, device="cpu")
image = cv2.imread(picture)
persons = len(next(pipeline.predict(image)).persons)
out = {}
out[f"pipeline {label}, array, {persons} persons, ms"] = times(lambda: list(pipeline.predict(image)), 7)
out[f"pipeline {label}, file, {persons} persons, ms"] = times(lambda: list(pipeline.predict(picture)), 7)
out[f"pipeline {label}, peak RSS, MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
stages = pipeline._stages_on(pipeline._device)
det, cls = stages.detector, stages.classifier
x = preprocess.to_network_input(image, det.metadata.input)
crop = image[100:400, 300:420]
y = preprocess.to_network_input(crop, cls.metadata.input)
det_name, cls_name = ("PP-YOLOE-S", "PP-LCNet x1.0") if folder else ("shipped detector", "shipped attributes")
out[f"{det_name}, network alone, ms"] = times(lambda: det._engine.run({"image": x}), 15)
out[f"{det_name}, array to boxes, ms"] = times(lambda: det.detect(image, threshold=0.5), 15)
out[f"{cls_name}, one crop, network alone, ms"] = times(lambda: cls._engine.run({"x": y}), 40)
out[f"{cls_name}, one crop, array to attributes, ms"] = times(lambda: cls.probabilities([crop]), 40)
print(json.dumps(out))
"""

TRACE = """
import json, sys
from pathlib import Path
import cv2
import passerby
from passerby import create_pipeline

root = str(Path(passerby.__file__).parent)
pipeline = create_pipeline(device="cpu")

def crossed(inputs):
    \"\"\"Functions and files of this package that the second of two frames of one call goes through.\"\"\"
    seen = set()
    def profile(frame, event, arg):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(root) and code.co_name[0] != "<":
            seen.add((code.co_filename, code.co_name))
    results = pipeline.predict(inputs)
    next(results)
    sys.setprofile(profile)
    next(results)
    sys.setprofile(None)
    return len(seen), len({file for file, _ in seen})

out = {}
for name, frame in (("array", cv2.imread(PICTURE)), ("JPEG file", PICTURE)):
    functions, files = crossed([frame, frame])
    out[f"functions a frame crosses, {name}"] = functions
    out[f"files a frame crosses, {name}"] = files
print(json.dumps(out))
"""


def seeded_models(golden: Path, folder: Path) -> None:
    for name in ("PP-YOLOE-S_human", "PP-LCNet_x1_0_pedestrian_attribute"):
        command = [sys.executable, str(golden / "weights.py"), name, "--inference", str(folder / name)]
        subprocess.run(command, check=True, capture_output=True)


def cli_run(picture: Path, out: Path) -> dict[str, float]:
    """The command line from nothing, timed from outside, with its own peak memory."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "passerby", "--input", str(picture), "--save_path", str(out), "--device", "cpu"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"the command line ended with {status}")
    return {
        "CLI, cold, 640x480 picture, shipped models, s": time.perf_counter() - started,
        "CLI, peak RSS, MiB": usage.ru_maxrss / 1024,
    }


def installed_size() -> float:
    """MiB of a fresh environment with nothing but the base dependencies."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [f"{folder}/bin/pip", "install", "--quiet", "--no-compile", str(HERE.parent)]
        subprocess.run(pip, check=True, capture_output=True)
        site = Path(folder, "lib", f"python{sysconfig.get_python_version()}", "site-packages")
        skipped = {"pip", "setuptools"}
        files = (f for p in site.iterdir() if p.name.split("-")[0] not in skipped for f in [p, *p.rglob("*")])
        return sum(f.lstat().st_size for f in files if f.is_file()) / 2**20


def one_round(golden: Path | None, models: Path, small: Path) -> dict[str, float]:
    out = child(IMPORT)
    out |= cli_run(small, models / "out")
    out |= child(TRACE.replace("PICTURE", repr(str(small))))
    runs = [("", "shipped")] + ([(str(models), "S")] if golden else [])
    for folder, label in runs:
        picture = golden / "images/street.png" if golden else HERE.parent / "src/passerby/assets/street.jpg"
        out |= child(PIPELINE.replace("ARGS", repr((folder, str(picture), label, 0))))
    return out


def table(rounds: list[dict[str, float]]) -> str:
    lines = ["| figure | median | min | max | PaddleX | ratio |", "|---|---|---|---|---|---|"]
    for name in rounds[0]:
        values = [r[name] for r in rounds if name in r]
        middle = statistics.median(values)
        theirs = PADDLEX.get(name)
        ratio = f"{theirs / middle:.2f}" if theirs else ""
        row = [name, f"{middle:.4g}", f"{min(values):.4g}", f"{max(values):.4g}", f"{theirs or ''}", ratio]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--golden", type=Path, help="folder of the golden reference data, for the seeded official networks"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--size", action="store_true", help="also install the package into a fresh environment and weigh it"
    )
    args = parser.parse_args()

    import cv2
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        if args.golden:
            seeded_models(args.golden.resolve(), models)
        small = models / "small.jpg"
        street = cv2.imread(str(HERE.parent / "src/passerby/assets/street.jpg"))
        cv2.imwrite(str(small), np.ascontiguousarray(cv2.resize(street, (640, 480), interpolation=cv2.INTER_AREA)))
        golden = args.golden.resolve() if args.golden else None
        rounds = [one_round(golden, models, small) for _ in range(args.rounds)]
    if args.size:
        rounds[0]["installed base, MiB"] = installed_size()
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}\n")
    print(table(rounds))


if __name__ == "__main__":
    main()
