# SPDX-License-Identifier: Apache-2.0
"""The research variant stays apart: its distribution is found as data, its pictures enter on demand and never else."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import pytest

from passerby.config import load_pipeline_config
from passerby.errors import ConfigError, ModelError
from passerby.formats.onnx_file import write_onnx
from passerby.models import catalogue, installed
from passerby.models.load import import_model, load_model, load_path

from .model_files import TINY_CLASSIFIER

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "packages" / "research-models"
NAME = "passerby-attributes-research"
LICENCE = "LicenseRef-research-only"


def by_path(path: Path) -> ModuleType:
    """A script of the repository as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def packed_model(path: Path, *, name: str = NAME, licence: str = LICENCE) -> Path:
    """A tiny attribute model with a name and a licence in its metadata."""
    tiny = load_path(TINY_CLASSIFIER, name="tiny")
    card = {"licence": licence, "summary": "tiny, knows nothing"}
    metadata = dataclasses.replace(tiny.metadata, name=name, card=card)
    path.write_bytes(write_onnx(onnx.load_model_from_string(tiny.model_bytes), metadata))
    return path


def distribution(site: Path, *, name: str = "passerby-research-models", package: str = "research_site") -> Path:
    """Install an empty distribution of models into a folder the way installers leave it; returns its package.

    Its code fails when it runs: nothing may import it.
    """
    inside = site / package
    (inside / "models").mkdir(parents=True)
    (inside / "__init__.py").write_text("raise RuntimeError('a package of models was imported')\n")
    (inside / installed.CATALOGUE).write_text('{"models": []}')
    about = site / f"{name.replace('-', '_')}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{installed.GROUP}]\nresearch = {package}\n")
    return inside


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path of modules, looked through anew."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    installed.installed_models.cache_clear()
    yield folder
    installed.installed_models.cache_clear()


def command(site: Path, *words: str) -> Any:
    """`passerby` in a process of its own that has the folder on its path."""
    environment = {**os.environ, "PYTHONPATH": str(site), "PASSERBY_OFFLINE": "1"}
    words = (sys.executable, "-m", "passerby", *words)
    return subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment, cwd=site)


def test_an_installed_distribution_is_listed_and_runs_by_its_name(tmp_path: Path) -> None:
    site = tmp_path / "site"
    package = distribution(site)
    by_path(PACKAGE / "add_model.py").add_model(packed_model(tmp_path / "any.onnx"), package)
    listed = command(site, "models", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    row = rows[NAME]
    assert (row["licence"], row["here"], row["distribution"]) == (LICENCE, "installed", "passerby-research-models")
    assert row["path"] == str(package / "models" / f"{NAME}.onnx") and row["kind"] == "attributes"
    assert all(not other["distribution"] for name, other in rows.items() if name != NAME)
    text = command(site, "models", "list").stdout
    assert LICENCE in next(line for line in text.splitlines() if line.startswith(NAME))
    labels = command(site, "labels", NAME)
    assert labels.returncode == 0 and len(labels.stdout.splitlines()) == len(
        load_path(TINY_CLASSIFIER, name="t").metadata.labels
    )


def test_it_is_never_a_default(site: Path, tmp_path: Path) -> None:
    by_path(PACKAGE / "add_model.py").add_model(packed_model(tmp_path / "any.onnx"), distribution(site))
    assert NAME in catalogue.entries() and NAME not in catalogue.ENTRIES
    assert catalogue.stand_in("attributes") == catalogue.SHIPPED_ATTRIBUTES
    assert (
        load_pipeline_config("pedestrian_attribute_recognition").classification.model_name
        == catalogue.SHIPPED_ATTRIBUTES
    )
    named = load_pipeline_config(classification(NAME))
    assert named.classification.model_name == NAME
    assert load_model(NAME, kind="attributes").metadata.name == NAME


def classification(name: str) -> dict[str, Any]:
    """A pipeline whose second stage is a model by name."""
    stage = {"module_name": "multilabel_classification", "model_name": name}
    return {"pipeline_name": "pedestrian_attribute_recognition", "SubModules": {"Classification": stage}}


def test_names_of_the_catalogue_are_found_without_looking_round() -> None:
    """What looks through installed distributions takes a while to import: only a foreign name may cost that."""
    name = catalogue.SHIPPED_ATTRIBUTES
    code = f"import sys; from passerby.models.catalogue import find; find({name!r})"
    code += "; print('importlib.metadata' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "False"


def test_a_name_without_its_distribution_says_what_is_missing(site: Path) -> None:
    with pytest.raises(ModelError, match=r"passerby-research-models .*research only.* not installed") as caught:
        catalogue.find(NAME)
    assert caught.value.name == "model_missing" and "docs/research-models.md" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="passerby-research-models"):
        load_pipeline_config(classification(NAME))
    with pytest.raises(ModelError, match=f"did you mean {NAME}"):
        catalogue.find("passerby-attribute-research")


def test_the_empty_distribution_is_no_error(site: Path) -> None:
    distribution(site)
    assert installed.installed_models() == () and installed.is_installed("passerby-research-models")
    assert list(catalogue.entries()) == list(catalogue.ENTRIES)
    with pytest.raises(ModelError, match="not among the models that the installed passerby-research-models holds"):
        load_model(NAME)


def test_the_distribution_of_the_repository_holds_no_model_yet() -> None:
    package = PACKAGE / "src" / "passerby_research_models"
    listed = json.loads((package / installed.CATALOGUE).read_text("utf-8"))["models"]
    assert {f"{model['name']}.onnx" for model in listed} == {p.name for p in (package / "models").glob("*.onnx")}
    assert all(model["licence"] == LICENCE for model in listed)


@pytest.mark.parametrize("name", [catalogue.SHIPPED_ATTRIBUTES, catalogue.SHIPPED_DETECTOR])
def test_no_shipped_model_is_a_research_model(name: str) -> None:
    card = load_model(name).metadata.card
    assert card["licence"] == "Apache-2.0" and not card.get("research_only")
    data = json.dumps(card["data"]).lower()
    assert "peta" not in data and "market" not in data


def test_a_changed_file_is_refused(site: Path, tmp_path: Path) -> None:
    package = distribution(site)
    by_path(PACKAGE / "add_model.py").add_model(packed_model(tmp_path / "any.onnx"), package)
    file = package / "models" / f"{NAME}.onnx"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="not the one that passerby-research-models lists") as caught:
        load_model(NAME)
    assert caught.value.name == "model_hash"
    file.unlink()
    with pytest.raises(ModelError) as caught:
        load_model(NAME)
    assert caught.value.name == "model_missing"
    with pytest.raises(ModelError, match="part of passerby-research-models and is not imported"):
        import_model(NAME, file)


def test_names_of_the_catalogue_cannot_be_taken(site: Path) -> None:
    package = distribution(site)
    taken = line(name=catalogue.SHIPPED_ATTRIBUTES)
    (package / installed.CATALOGUE).write_text(json.dumps({"models": [taken]}))
    assert catalogue.entries()[catalogue.SHIPPED_ATTRIBUTES].shipped
    assert catalogue.find(catalogue.SHIPPED_ATTRIBUTES).file is None


def line(**changes: Any) -> dict[str, Any]:
    """A sound line of a catalogue, with changes."""
    return {
        "name": "foreign",
        "kind": "attributes",
        "network": "PP-LCNet",
        "licence": LICENCE,
        "input_hw": [256, 192],
        "sha256": "0" * 64,
        "description": "of another distribution",
    } | changes


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"models": 3}',
        json.dumps({"models": [line(name="../../etc")]}),
        json.dumps({"models": [line(sha256="none")]}),
        json.dumps({"models": [line(kind="oracle")]}),
        json.dumps({"models": [line(input_hw=[256])]}),
        json.dumps({"models": [line(description="two\nlines")]}),
        json.dumps({"models": [line(more=1)]}),
    ],
)
def test_a_bad_catalogue_leaves_the_others_alone(site: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    (distribution(site, name="bad-models", package="bad_site") / installed.CATALOGUE).write_text(content)
    good = distribution(site, name="good-models", package="good_site")
    (good / installed.CATALOGUE).write_text(json.dumps({"models": [line()]}))
    assert [model.name for model in installed.installed_models()] == ["foreign"]
    assert "bad-models" in caplog.text and "good-models" not in caplog.text


def test_an_entry_point_that_names_no_package_is_left_out(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    package = distribution(site)
    for name in ("not.a.package", "there_is_no_such_package_here"):
        points = next(site.glob("*.dist-info")) / "entry_points.txt"
        points.write_text(f"[{installed.GROUP}]\nresearch = {name}\n")
        installed.installed_models.cache_clear()
        assert installed.installed_models() == ()
    assert "names no package" in caplog.text and package.exists()


def test_models_of_another_licence_or_name_do_not_go_in(tmp_path: Path) -> None:
    add_model = by_path(PACKAGE / "add_model.py").add_model
    package = distribution(tmp_path / "site")
    with pytest.raises(ModelError, match=r"licence 'Apache-2\.0'"):
        add_model(packed_model(tmp_path / "a.onnx", licence="Apache-2.0"), package)
    with pytest.raises(ModelError, match="a name of its own"):
        add_model(packed_model(tmp_path / "b.onnx", name=catalogue.SHIPPED_ATTRIBUTES), package)
    assert json.loads((package / installed.CATALOGUE).read_text())["models"] == []
    for _ in range(2):  # a model of the same name is replaced
        add_model(packed_model(tmp_path / "c.onnx"), package)
    assert len(json.loads((package / installed.CATALOGUE).read_text())["models"]) == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_wheel_holds_the_catalogue_and_both_licences(tmp_path: Path) -> None:
    """Its build needs the build backend, so a registry or a cache of one."""
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(PACKAGE)]
    subprocess.run(words, check=True, timeout=250)
    site = tmp_path / "site"
    wheel = next(tmp_path.glob("*.whl"))
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(words, check=True, timeout=100)
    names = {str(path.relative_to(site)) for path in site.rglob("*")}
    assert "passerby_research_models/catalogue.json" in names
    assert any(name.endswith("licenses/LICENSE-WEIGHTS.md") for name in names)
    missing = command(site, "models", "path", NAME)
    assert missing.returncode == 3 and "not among the models" in missing.stderr
