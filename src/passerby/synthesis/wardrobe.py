# SPDX-License-Identifier: Apache-2.0
"""The wardrobe: every piece that can be worn, made once and kept.

A piece is read or cut the first time it is asked for, together with what any later fit needs: its skinning weights,
who its neighbours are, where its border runs. `people` dresses figures from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import clothing, figure
from .clothing import Canonical, Piece, Topology
from .draping import LEG_BONES, Rim, rim_of
from .figure import BODY_VERTICES, BaseAssets, Floats, Indices, Points
from .garments import CUTS as GARMENTS
from .hair import CUTS as HAIR
from .hulls import HULLS, hull_piece

LEG_RINGS = 4  # places along a bone where a leg is measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """A piece with what each fit needs: `weights` (n, 53) for skinning, `joined` its neighbours, `rim`, `corner_uv`."""

    piece: Piece
    weights: Points
    joined: Topology
    rim: Rim
    corner_uv: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Wardrobe:
    """The asset folder, read once: base mesh, canonical coordinates, and where the files are.

    Pieces are kept once made; one wardrobe belongs to one thread.
    """

    folder: Path
    base: BaseAssets
    coordinates: Canonical
    body_uv: Floats
    leg_rings: tuple[tuple[Indices, ...], ...]
    skins: tuple[str, ...] = ()
    eyes: tuple[str, ...] = ()
    _pieces: dict[str, Piece] = field(default_factory=dict, repr=False)
    _fittings: dict[tuple[str, float | None], Fitting] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, folder: Path) -> Wardrobe:
        """Read the base assets; FileNotFoundError when the folder lacks them (`assets.open_assets` says more)."""
        base = figure.load_base(folder)
        coordinates = clothing.canonical(base)
        return cls(
            folder=folder,
            base=base,
            coordinates=coordinates,
            body_uv=base.texture_points[base.texture_triangles["body"]],
            leg_rings=_leg_rings(base),
            skins=tuple(sorted(path.stem for path in (folder / "skins").glob("*.webp"))),
            eyes=tuple(sorted(path.stem for path in (folder / "eyes").glob("*.webp"))),
        )

    def piece(self, name: str) -> Piece:
        """Return a cut by its name, or a fitted file by GROUP/NAME with an optional :upper or :lower."""
        if name not in self._pieces:
            self._pieces[name] = self._make(name)
        return self._pieces[name]

    def _make(self, name: str) -> Piece:
        if name in HULLS:
            return hull_piece(name, HULLS[name], self.base, self.coordinates)
        cut = GARMENTS.get(name) or HAIR.get(name)
        if cut is not None:
            return clothing.cut_piece(name, cut, self.base, self.coordinates)
        stem, _, half = name.partition(":")
        path = self.folder / f"{stem}.npz"
        piece = clothing.load_piece(path, self.coordinates)
        if not half:
            return piece
        return clothing.half_of_suit(piece, path, self.coordinates, upper=half == "upper")

    def fitting(self, name: str, *, below: float | None = None) -> Fitting:
        """Return a piece ready to be fitted; what lies above the canonical height `below` (dm) is left out."""
        if (name, below) not in self._fittings:
            piece = self.piece(name)
            if below is not None:
                piece = clothing.keep_vertices(piece, piece.pattern[:, 1] < below)
            self._fittings[name, below] = fitting(compact(piece), self.base)
        return self._fittings[name, below]


def fitting(piece: Piece, base: BaseAssets) -> Fitting:
    """Prepare a piece for being fitted many times."""
    weights = clothing.fit_weights(piece, base.weights)
    joined = clothing.topology(piece.triangles, len(piece.rows))
    return Fitting(
        piece=piece,
        weights=_hanging(weights, piece, base) if "skirt" in piece.name else weights,
        joined=joined,
        rim=rim_of(joined, len(piece.rows)),
        corner_uv=piece.texture_points[piece.texture_triangles],
    )


def _hanging(weights: Points, piece: Piece, base: BaseAssets) -> Points:
    """Weights of a skirt: it follows thighs, not calves, and the lower it is the less, because it hangs."""
    out = weights.copy()
    for side in ("l", "r"):
        thigh, calf = base.bone(f"thigh_{side}"), base.bone(f"calf_{side}")
        out[:, thigh] += out[:, calf]
        out[:, calf] = 0
    share = (0.12 + 0.4 * np.clip((-1.0 - piece.pattern[:, 1:2]) / 5, 0, 1)).astype(np.float32)
    pelvis = np.eye(out.shape[1], dtype=np.float32)[base.bone("pelvis")]
    return np.asarray(out * (1 - share) + pelvis * share, np.float32)


def compact(piece: Piece) -> Piece:
    """Drop vertices that no triangle uses: a half of a suit, trousers without their waistband."""
    used, triangles = np.unique(piece.triangles, return_inverse=True)
    return replace(
        piece,
        rows=piece.rows[used],
        shares=piece.shares[used],
        offsets=piece.offsets[used],
        pattern=piece.pattern[used],
        swell=None if piece.swell is None else piece.swell[used],
        triangles=triangles.reshape(-1, 3).astype(np.int32),
    )


def _leg_rings(base: BaseAssets) -> tuple[tuple[Indices, ...], ...]:
    """For each leg bone, vertices of the body near each of `LEG_RINGS` places along it."""
    body = figure.shape_body(base, figure.NEUTRAL_SHAPE)
    heads, _ = figure.joints(base, body)
    points = body[:BODY_VERTICES]
    rings = []
    for start, end in LEG_BONES:
        a, b = heads[base.bone(start)], heads[base.bone(end)]
        along = (points - a) @ (b - a) / ((b - a) @ (b - a))
        same_side = points[:, 0] * a[0] > 0
        places = (np.arange(LEG_RINGS) + 0.5) / LEG_RINGS
        near = [
            same_side & (np.abs(along - p) < 0.08) & (base.weights[:BODY_VERTICES, :2].sum(1) < 0.6) for p in places
        ]
        rings.append(tuple(np.flatnonzero(n & _no_arm(base)).astype(np.int32) for n in near))
    return tuple(rings)


def _no_arm(base: BaseAssets) -> NDArray[np.bool_]:
    arms = [k for k, n in enumerate(base.bone_names) if n.startswith(("clavicle", "upperarm", "lowerarm", "hand"))]
    hands = [k for k, n in enumerate(base.bone_names) if n[:-2].endswith(("_01", "_02", "_03")) and n[-2] == "_"]
    return np.asarray(base.weights[:BODY_VERTICES][:, arms + hands].sum(axis=1) < 0.1)


def leg_radii(wardrobe: Wardrobe, body: Points, heads: Points) -> Points:
    """How thick the legs of a shaped body are, (4, LEG_RINGS) float32 dm, in the order of `LEG_BONES`."""
    radii = np.zeros((len(LEG_BONES), LEG_RINGS), np.float32)
    for k, (start, end) in enumerate(LEG_BONES):
        a, b = heads[wardrobe.base.bone(start)], heads[wardrobe.base.bone(end)]
        axis = (b - a) / np.linalg.norm(b - a)
        for j, rows in enumerate(wardrobe.leg_rings[k]):
            off = body[rows] - a
            off = off - (off @ axis)[:, None] * axis
            radii[k, j] = np.quantile(np.sqrt((off * off).sum(axis=1)), 0.85) if len(rows) else 0.7
    return radii
