"""What is in the wheel, and that it works in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout. Its build needs the build backend, so a registry or a cache of one."""
    folder = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(words, check=True, timeout=300)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_data_beside_the_code(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "passerby/py.typed",
        "passerby/configs/pedestrian_attribute_recognition.yaml",
        "passerby/assets/street.jpg",
        "passerby/models/shipped/passerby-detector-416/passerby-detector-416.onnx",
        "passerby/models/shipped/passerby-attributes/passerby-attributes.onnx",
    ):
        assert wanted in names
    assert not [n for n in names if n.startswith(("tests/", "scripts/")) or "__pycache__" in n]
    assert any(n.endswith("/LICENSE") for n in names)
    # data for training and rendering stays out; models are at most 18 MB
    assert wheel.stat().st_size < 30e6


def test_the_wheel_works_in_an_environment_of_its_own(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True, timeout=120)
    binaries = place / ("Scripts" if os.name == "nt" else "bin")
    python = binaries / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", str(wheel)], check=True, timeout=400)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PASSERBY_OFFLINE": "1"}
    for words in (["--version"], ["doctor"], ["models", "verify"]):
        run = subprocess.run(
            [str(binaries / "passerby"), *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert run.returncode == 0, run.stdout + run.stderr
    picture = "from importlib.resources import files; print(files('passerby') / 'assets' / 'street.jpg')"
    found = subprocess.run([str(python), "-c", picture], env=environment, capture_output=True, text=True, check=True)
    run = subprocess.run(
        [str(binaries / "passerby"), "predict", found.stdout.strip(), "--save-path", "output"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    assert "pedestrians" in run.stdout
    assert sorted(p.name for p in (tmp_path / "output").iterdir()) == ["street.json", "street_res.jpg"]
