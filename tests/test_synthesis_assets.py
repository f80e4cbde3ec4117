# SPDX-License-Identifier: Apache-2.0
"""The asset folder: found by argument or variable, every file checked, and what is wrong is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from passerby.errors import DatasetError
from passerby.synthesis import assets

from .conftest import shared


def test_checksums_are_hexadecimal_and_cover_the_bodies() -> None:
    listed = assets.checksums()
    assert {"base.npz", "targets.npz", "skins/young_lightskinned_male_diffuse.webp"} <= set(listed)
    assert all(len(digest) == 64 and int(digest, 16) >= 0 for digest in listed.values())


def test_no_folder_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(assets.VARIABLE, raising=False)
    with pytest.raises(DatasetError, match=r"--assets FOLDER or set PASSERBY_ASSETS") as caught:
        assets.open_assets()
    assert caught.value.name == "dataset_missing"


def test_an_empty_folder_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(assets.VARIABLE, str(tmp_path))
    with pytest.raises(DatasetError, match=r"100 of 100 files .*base\.npz.* and 95 more") as caught:
        assets.open_assets()
    assert caught.value.name == "dataset_missing"
    assert caught.value.input == str(tmp_path)
    assert "makehumancommunity" in caught.value.message


def test_the_listed_files_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(assets.VARIABLE, str(shared("data/makehuman")))
    wardrobe = assets.open_assets()
    assert len(wardrobe.skins) == 14
    assert len(wardrobe.base.vertices) == 19158


def test_a_changed_file_is_found(tmp_path: Path) -> None:
    source = shared("data/makehuman")
    for name in assets.checksums():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(source / name)
    assets.open_assets(tmp_path)
    changed = tmp_path / "shoes/shoes01.webp"
    changed.unlink()
    shutil.copy(source / "shoes/shoes02.webp", changed)
    with pytest.raises(DatasetError, match=r"1 files are not the listed ones \(shoes/shoes01\.webp\)") as caught:
        assets.open_assets(tmp_path)
    assert caught.value.name == "dataset_invalid"
    assert assets.open_assets(tmp_path, verify=False).skins
