# SPDX-License-Identifier: Apache-2.0
"""The asset folder: found by argument or variable, every file checked, and what is wrong is named."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from passerby.errors import DatasetError
from passerby.synthesis import assets, convert_assets

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


def test_a_folder_with_a_list_of_its_own_is_held_to_it(tmp_path: Path) -> None:
    source = shared("data/makehuman")
    digests = {}
    for name in assets.checksums():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if "shoes" not in name:
            (tmp_path / name).symlink_to(source / name)
            digests[name] = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    listed = tmp_path / "checksums.json"
    listed.write_text(json.dumps({"sha256": digests}))
    assert assets.open_assets(tmp_path).skins
    listed.write_text(json.dumps({"sha256": {name: digests[name] for name in ("base.npz", "targets.npz")}}))
    (tmp_path / "skins").rename(tmp_path / "no skins")
    with pytest.raises(DatasetError, match=r"no skins/\*\.webp"):
        assets.open_assets(tmp_path)
    (tmp_path / "no skins").rename(tmp_path / "skins")
    listed.write_text(json.dumps({"sha256": digests | {"base.npz": "0" * 64}}))
    with pytest.raises(DatasetError, match=r"1 files are not the listed ones \(base\.npz\)"):
        assets.open_assets(tmp_path)
    for broken in ("[]", "{", '{"sha256": {}}'):
        listed.write_text(broken)
        with pytest.raises(DatasetError, match=r"checksums\.json") as caught:
            assets.open_assets(tmp_path)
        assert caught.value.name == "dataset_invalid"


# ---- making the folder from the public files

SQUARE = """# a square and a triangle apart from it
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 5 5 5
v 6 5 5
v 5 6 5
vt 0 0
vt 1 0
vt 1 1
vt 0 1
g cloth
f 1/1 2/2 3/3 4/4
f 5/1 6/2 7/3
"""
FIT = """name square
x_scale 10 11 2.0
z_depth 50
verts 0
1 2 3 0.25 0.25 0.5 0.1 0.2 0.3
material some.mhmat
4 5 6 1 0 0 0 0 0
7
8
9
10
11

delete_verts
3 5 - 8
12
"""


def test_a_fitted_piece_is_read(tmp_path: Path) -> None:
    arrays = convert_assets.convert_piece(FIT, SQUARE)
    assert arrays["tri"].tolist() == [[0, 1, 2], [0, 2, 3], [4, 5, 6]]
    assert arrays["triuv"].tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]
    assert arrays["ref"][:3].tolist() == [[1, 2, 3], [4, 5, 6], [7, 7, 7]]
    assert arrays["wt"][2].tolist() == [1, 0, 0]
    assert arrays["off"][0] == pytest.approx([0.1, 0.2, 0.3])
    assert arrays["scale"].tolist() == [[10, 11, 2], [-1, -1, 1], [-1, -1, 1]]
    assert arrays["delete_verts"].tolist() == [3, 5, 6, 7, 8, 12]
    assert arrays["component"].tolist() == [0, 0, 0, 0, 1, 1, 1]
    convert_assets.write_arrays(tmp_path / "clothes/square.npz", arrays)
    with np.load(tmp_path / "clothes/square.npz") as again:
        assert all((again[name] == array).all() for name, array in arrays.items())


def test_targets_are_kept_in_thousandths_without_rows_that_do_nothing(tmp_path: Path) -> None:
    for name in ("height/male-old", "proportions/male-young", "universal-male-baby-maxmuscle-maxweight"):
        path = tmp_path / f"{name}.target.gz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(b"# a comment\n3 .5 0 -.25\n9 0 0.0001 0\n"))
    arrays = convert_assets.convert_targets(tmp_path)
    assert set(arrays) == {"height/male-old|i", "height/male-old|d"}
    assert arrays["height/male-old|i"].tolist() == [3]
    assert arrays["height/male-old|d"].tolist() == [[500, 0, -250]]


def test_pictures_are_scaled_with_their_alpha_and_pointers_are_told(tmp_path: Path) -> None:
    picture = np.zeros((64, 128, 4), np.uint8)
    picture[:, 64:] = 255
    (tmp_path / "hair.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    assert convert_assets.write_picture(tmp_path / "hair.png", tmp_path / "hair.webp", side=32)
    small = cv2.imdecode(np.fromfile(tmp_path / "hair.webp", np.uint8), cv2.IMREAD_UNCHANGED)
    assert small.shape == (16, 32, 4)
    assert small[8, 4, 3] == 0
    assert small[8, 28, 3] == 255
    (tmp_path / "pointer.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    assert not convert_assets.write_picture(tmp_path / "pointer.png", tmp_path / "pointer.webp", side=32)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="no picture"):
        convert_assets.write_picture(tmp_path / "broken.png", tmp_path / "broken.webp", side=32)
    assert sorted(path.name for path in tmp_path.glob("*.webp")) == ["hair.webp"]
