"""Model files for tests: an official-sized attribute network with random weights, served under the official name."""

from __future__ import annotations

import dataclasses
import functools
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from passerby.models import catalogue
from passerby.networks import pplcnet

from .conftest import FIXTURES

ATTRIBUTES = "PP-LCNet_x1_0_pedestrian_attribute"
OFFICIAL = catalogue.ENTRIES[ATTRIBUTES]


@functools.cache
def attribute_pdparams(seed: int = 1) -> bytes:
    """What Paddle's save writes for a PP-LCNet of the official size."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in pplcnet.parameter_shapes(pplcnet.Architecture(), deploy=False).items():
        values = rng.normal(0, 0.1, shape)
        weights[name] = (np.abs(values) + 0.5 if name.endswith("_variance") else values).astype(np.float32)
    return pickle.dumps(weights, protocol=4)


def packed(folder: Path, *, inside: str = "model_infer/") -> bytes:
    """A tar of a model folder's files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for path in sorted(folder.iterdir()):
            info = tarfile.TarInfo(inside + path.name)
            info.size = path.stat().st_size
            out.addfile(info, io.BytesIO(path.read_bytes()))
    return buffer.getvalue()


TINY_CLASSIFIER = FIXTURES / "models/tiny_cls/pir"
TINY_DETECTOR = FIXTURES / "models/tiny_det/pir"


def serve_as_official(monkeypatch: pytest.MonkeyPatch, *urls: str, tiny: bool = False) -> catalogue.CatalogueEntry:
    """Let the catalogue's attribute network come from these URLs; `tiny` lifts the demand on its size."""
    entry = dataclasses.replace(OFFICIAL, sources=urls, architecture={} if tiny else OFFICIAL.architecture)
    monkeypatch.setitem(catalogue.ENTRIES, ATTRIBUTES, entry)
    return entry
