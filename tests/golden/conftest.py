"""Fixtures of the parity tests; all of them are skipped where the reference data is absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from passerby import Pipeline
from passerby.detector import Detector

from ..conftest import shared
from . import measure


@pytest.fixture(scope="session")
def golden() -> measure.Golden:
    return measure.Golden(shared("golden/weights.py").parent)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Converted models go to a folder of this run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PASSERBY_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="session")
def detector_s(golden: measure.Golden, folder: Path) -> Detector:
    return measure.detector(golden, "S", folder / "detector_s")


@pytest.fixture(scope="session")
def pipeline_s(golden: measure.Golden, folder: Path) -> Pipeline:
    return measure.pipeline(golden, "S", folder / "pipeline_s")


@pytest.fixture(scope="session")
def pipeline_l(golden: measure.Golden, folder: Path) -> Pipeline:
    return measure.pipeline(golden, "L", folder / "pipeline_l")
