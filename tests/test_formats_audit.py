"""Reading model files opens nothing but them, imports nothing and starts nothing, as Python's audit events tell."""

from __future__ import annotations

import subprocess
import sys

from .conftest import FIXTURES

PROGRAM = """
import sys
from pathlib import Path

from passerby.formats.model_dir import read_model_dir
from passerby.formats.onnx_file import read_onnx
from passerby.formats.pdparams import read_pdparams

root = Path(sys.argv[1])
folders = sorted({path.parent for path in root.rglob("inference.yml")})
files = {path: path.read_bytes() for path in sorted(root.rglob("*.pdparams"))}
events = []
armed = False


def hook(event, arguments):
    if armed and event != "os.listdir":
        events.append((event, str(arguments[:1])))


sys.addaudithook(hook)
for turn in range(2):  # the first turn may load codecs and the like
    armed = turn == 1
    for path, data in files.items():
        try:
            read_pdparams(data, input=str(path))
        except Exception as error:
            assert type(error).__name__ == "ModelError", error
    for folder in folders:
        read_model_dir(folder)
if sys.argv[2] == "plant":
    open(sys.executable, "rb").close()
opened = [e for e in events if e[0] == "open" and str(root) in e[1]]
print(len(files), len(opened), [e for e in events if e not in opened])
"""


def run(mode: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(FIXTURES / "models"), mode], capture_output=True, text=True
    )


def test_reading_every_fixture_raises_no_event_but_its_opening() -> None:
    done = run("quiet")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "9 12 []\n"  # nine files were read before; four folders of three files are opened


def test_the_hook_would_have_seen_another_file() -> None:
    assert sys.executable in run("plant").stdout


def test_importing_formats_loads_neither_onnx_nor_protobuf() -> None:
    program = (
        "import sys, passerby.formats.model_dir, passerby.formats.onnx_file, passerby.formats.pdparams;"
        "print(sorted({'onnx', 'google.protobuf', 'onnxruntime', 'torch', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
