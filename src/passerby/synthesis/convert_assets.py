# SPDX-License-Identifier: Apache-2.0
"""Make the asset folder from the public files.

    python -m passerby.synthesis.convert_assets MPFB2 MAKEHUMAN-ASSETS MAKEHUMAN OUT

The first three arguments are checkouts of mpfb2, makehuman-assets and makehuman of github.com/makehumancommunity, the
second with its Git-LFS pictures. All that is read is CC0 1.0; the layout that is written stands in docs/synthesis.md.
Meshes and numbers come out as in the folder of the package's `checksums.json`; pictures are scaled and packed anew, so
the new folder gets a `checksums.json` of its own, which `assets.open_assets` goes by. Lengths are decimetres.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError
from ..files import atomic_write
from ..formats.strict_json import load_json

GROUPS = {"body": "body", "tights": "helper-tights", "skirt": "helper-skirt", "hair": "helper-hair"}
GROUPS |= {"l_eye": "helper-l-eye", "r_eye": "helper-r-eye"}
FOLDERS = {"shoes": "shoes", "hair": "hair", "eyebrow": "eyebrows", "fedora": "hats"}  # else clothes
SIDES = {"clothes": 1024, "hair": 1024, "shoes": 512, "eyebrows": 256, "eyes": 256, "skins": 1024, "hats": 512}
LFS = b"version https://git-lfs"
Arrays = dict[str, NDArray[Any]]


def read_obj(text: str) -> dict[str, Any]:
    """Read a Wavefront file: `v` (n, 3), `vt` (t, 2), and by group the triangles of points and of texture points.

    Quads are split into two triangles; a group without texture points repeats nothing.
    """
    points, texture, group = [], [], ""
    groups: dict[str, tuple[list[list[int]], list[list[int]]]] = {"": ([], [])}
    for kind, *values in (line.split() for line in text.splitlines() if line.strip()):
        if kind == "v":
            points.append([float(v) for v in values[:3]])
        elif kind == "vt":
            texture.append([float(v) for v in values[:2]])
        elif kind == "g":
            group = values[0]
            groups.setdefault(group, ([], []))
        elif kind == "f":
            corners = [[*corner.split("/"), "1"][:2] for corner in values]
            for k in range(1, len(corners) - 1):
                for side, numbers in enumerate(groups[group]):
                    numbers.append([int(corners[c][side] or 1) - 1 for c in (0, k, k + 1)])
    return {"v": np.array(points), "vt": np.array(texture, np.float32), "groups": groups}


def convert_base(data: Path) -> Arrays:
    """The arrays of base.npz from src/mpfb/data: mesh, skeleton, skinning weights."""
    mesh = read_obj((data / "3dobjs/base.obj").read_text("utf-8"))
    rig = load_json((data / "rigs/standard/rig.game_engine.json").read_bytes(), levels=8)
    weights = load_json((data / "rigs/standard/weights.game_engine.json").read_bytes(), levels=8)["weights"]
    names = _parents_first(rig)
    arrays: Arrays = {"v": mesh["v"].astype(np.float32), "vt": mesh["vt"], "bone_names": np.array(names)}
    for name, group in GROUPS.items():
        triangles, texture = mesh["groups"][group]
        arrays[f"tri_{name}"] = np.array(triangles, np.uint16)
        arrays[f"triuv_{name}"] = np.array(texture, np.uint16)
    parents = [rig[name]["parent"] for name in names]
    arrays["bone_parent"] = np.array([names.index(p) if p else -1 for p in parents], np.int16)
    for end in ("head", "tail"):
        arrays[f"bone_{end}_verts"] = _padded([_joint(rig[name][end], mesh["groups"]) for name in names])
    dense = np.zeros((len(mesh["v"]), len(names)))
    for column, name in enumerate(names):
        for row, weight in weights.get(name, ()):
            dense[int(row), column] = weight
    return arrays | _four_largest(dense)


def _parents_first(rig: dict[str, Any]) -> list[str]:
    """Names of the bones by the alphabet, each after the bones above it."""
    out: list[str] = []
    for name in sorted(rig):
        chain = []
        while name and name not in out:
            chain.append(name)
            name = rig[name]["parent"]
        out += reversed(chain)
    return out


def _joint(end: dict[str, Any], groups: dict[str, Any]) -> list[int]:
    """The vertices whose mean is a joint."""
    if end["strategy"] == "CUBE":
        return sorted({int(v) for triangle in groups[end["cube_name"]][0] for v in triangle})
    if end["strategy"] == "MEAN":
        return [int(v) for v in end["vertex_indices"]]
    return [int(end["vertex_index"])]


def _padded(rows: list[list[int]]) -> NDArray[np.int32]:
    width = max(len(row) for row in rows)
    return np.array([row + [-1] * (width - len(row)) for row in rows], np.int32)


def _four_largest(dense: NDArray[np.float64]) -> Arrays:
    order = np.argsort(-dense, axis=1, kind="stable")[:, :4]
    largest = np.take_along_axis(dense, order, axis=1)
    shares = largest / largest.sum(axis=1, keepdims=True).clip(1e-9)
    return {"skin_idx": order.astype(np.uint8), "skin_w": np.round(shares * 65535).astype(np.uint16)}


def convert_targets(folder: Path) -> Arrays:
    """The arrays of targets.npz from targets/macrodetails: vertex numbers and offsets in thousandths of a dm."""
    arrays: Arrays = {}
    for path in sorted(folder.rglob("*.target.gz")):
        name = path.relative_to(folder).as_posix().removesuffix(".target.gz")
        extreme_baby = "-baby-" in name and "averagemuscle-averageweight" not in name
        if name.startswith("proportions/") or extreme_baby:  # no figure has them
            continue
        lines = (line.split() for line in gzip.decompress(path.read_bytes()).decode("utf-8").splitlines())
        rows = [(int(words[0]), *map(float, words[1:4])) for words in lines if len(words) == 4 and words[0].isdigit()]
        table = np.array(rows, np.float64).reshape(-1, 4)
        offsets = np.round(table[:, 1:] * 1000).astype(np.int16)
        moved = offsets.any(axis=1)
        arrays[f"{name}|i"], arrays[f"{name}|d"] = table[moved, 0].astype(np.uint16), offsets[moved]
    return arrays


def convert_piece(mhclo: str, obj: str) -> Arrays:
    """The arrays of GROUP/NAME.npz from a fitted piece: its fit, its triangles, what it hides."""
    scale = np.array([[-1, -1, 1]] * 3, np.float32)
    fits, hidden, block = [], [], ""
    for line in mhclo.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] in ("verts", "delete_verts"):
            block = words[0]
        elif words[0] in ("x_scale", "y_scale", "z_scale"):
            scale["xyz".index(words[0][0])] = [float(word) for word in words[1:4]]
        elif block == "verts" and words[0].lstrip("-").isdigit():
            fits.append([float(word) for word in (words if len(words) == 9 else [words[0]] * 3 + ["1"] + ["0"] * 5)])
        elif block == "delete_verts":
            hidden += _ranges(words)
    table = np.array(fits, np.float64)
    mesh = read_obj(obj)
    triangles = np.array([t for points, _ in mesh["groups"].values() for t in points], np.uint16)
    return {
        "ref": table[:, :3].astype(np.int16),
        "wt": table[:, 3:6].astype(np.float32),
        "off": table[:, 6:].astype(np.float32),
        "scale": scale,
        "tri": triangles,
        "triuv": np.array([t for _, texture in mesh["groups"].values() for t in texture], np.uint16),
        "vt": mesh["vt"],
        "delete_verts": np.array(hidden, np.uint16),
        "component": _components(triangles.astype(np.int64), len(table)),
    }


def _ranges(words: list[str]) -> list[int]:
    """Numbers of a line like "3 7 - 9"."""
    out: list[int] = []
    for before, word in zip(["", *words], words, strict=False):
        if word != "-":
            out += range(out[-1] + 1, int(word) + 1) if before == "-" else [int(word)]
    return out


def _components(triangles: NDArray[np.int64], count: int) -> NDArray[np.uint16]:
    """Number of the connected part of each vertex, in the order of their first vertices."""
    label = np.arange(count)
    while True:
        least = label.copy()
        for k in range(3):
            np.minimum.at(least, triangles[:, k], label[triangles].min(axis=1))
        least = least[least]
        if (least == label).all():
            return np.asarray(np.unique(label, return_inverse=True)[1].astype(np.uint16))
        label = least


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays as one compressed .npz, whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    atomic_write(path, buffer.getvalue())


def write_picture(source: Path, target: Path, *, side: int) -> bool:
    """Scale a picture to at most `side` px and write it as WebP; False where Git LFS has left a pointer only."""
    data = source.read_bytes()
    if data.startswith(LFS):
        return False
    # Alpha is kept, which the decoder of photos would drop; these are files the user names, not input of a service.
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise DatasetError("dataset_invalid", "no picture", input=str(source), hint="fetch the checkout again")
    factor = side / max(picture.shape[:2])
    if factor < 1:
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    atomic_write(target, cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, 88])[1].tobytes())
    return True


def convert(mpfb2: Path, assets: Path, makehuman: Path, out: Path) -> list[str]:
    """Convert everything; returns the pictures that are pointers only, whose pieces get a plain colour."""
    data = mpfb2 / "src/mpfb/data"
    write_arrays(out / "base.npz", convert_base(data))
    write_arrays(out / "targets.npz", convert_targets(data / "targets/macrodetails"))
    left_out = []
    eyes = makehuman / "makehuman/data/eyes"
    for mhclo in [*sorted((assets / "base").rglob("*.mhclo")), eyes / "low-poly/low-poly.mhclo"]:
        group = "eyes" if mhclo.parent == eyes / "low-poly" else _group(mhclo.stem)
        if group is None:
            continue
        target = out / group / mhclo.stem
        obj = mhclo.with_suffix(".obj").read_text("utf-8")
        write_arrays(target.with_suffix(".npz"), convert_piece(mhclo.read_text("utf-8"), obj))
        pictures = [mhclo.with_name(f"{mhclo.stem}{tail}.png") for tail in ("_diffuse", "")]
        found = [p for p in pictures if p.is_file()]
        side = SIDES[group]
        left_out += [p.name for p in found if not write_picture(p, target.with_suffix(".webp"), side=side)]
    for group, folder in (("skins", assets / "base/skins/textures"), ("eyes", eyes / "materials")):
        pictures = [p for p in sorted(folder.glob("*.png")) if group == "eyes" or "skinned" in p.stem]
        named = {p: out / group / f"{p.stem}.webp" for p in pictures}
        left_out += [p.name for p, target in named.items() if not write_picture(p, target, side=SIDES[group])]
    atomic_write(out / "checksums.json", json.dumps({"licence": "CC0-1.0", "sha256": _digests(out)}, indent=1).encode())
    return left_out


def _digests(out: Path) -> dict[str, str]:
    written = (path for path in sorted(out.rglob("*")) if path.suffix in (".npz", ".webp"))
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in written}


def _group(stem: str) -> str | None:
    if stem.startswith(("teeth", "tongue", "eyelashes")):
        return None
    hair = ("short", "bob", "long", "ponytail", "braid", "afro")
    return "hair" if stem.startswith(hair) else next((g for w, g in FOLDERS.items() if stem.startswith(w)), "clothes")


def main(arguments: list[str]) -> int:
    """Run from the command line; see the module."""
    if len(arguments) != 4:
        sys.stderr.write("usage: python -m passerby.synthesis.convert_assets MPFB2 MAKEHUMAN-ASSETS MAKEHUMAN OUT\n")
        return 2
    left_out = convert(*(Path(argument) for argument in arguments))
    sys.stderr.write("".join(f"a Git-LFS pointer only, run `git lfs pull`: {name}\n" for name in left_out))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
