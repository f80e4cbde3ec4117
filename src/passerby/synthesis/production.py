# SPDX-License-Identifier: Apache-2.0
"""Many renders: cut into chunks, spread over processes, each chunk written whole, so that a killed run goes on.

A picture depends on seed and number alone: `VIEWS_PER_PERSON` neighbours show the same person from other sides, in
other light and elsewhere (building a person costs about as much as drawing them). A chunk is written in this order:
pictures, then one file of rows in `rows/`; what has its rows is done. `dataset_writer` makes the data set of the rows.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from ..errors import ArgumentError, OutputError
from ..files import atomic_write, check_writable, encode_image
from ..formats.strict_json import load_json
from .assets import open_assets
from .backgrounds import Backgrounds, find_photos
from .crops import CropOptions, Stage, draw_crop
from .dataset_writer import write_crop_set, write_street_set
from .people import PersonSpec, Wardrobe, build_person
from .sampling import sample_person
from .scene import Figure, pack
from .streets import StreetOptions, draw_street
from .textures import TextureStore
from .visible_labels import VIEWS

Kind = Literal["crops", "streets"]
VIEWS_PER_PERSON = 3
CROPS_PER_CHUNK = 24
CROPS_PER_PHOTO = 6
PERSONS_PER_CHUNK = CROPS_PER_CHUNK // VIEWS_PER_PERSON
ROWS_FOLDER, RECIPE_FILE = "rows", "recipe.json"
ROWS_FORMAT = 1
_PERSON, _PICTURE, _PHOTO = range(3)  # what a random stream is for
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything a picture depends on, beside its number.

    `assets`: the asset folder, None for $PASSERBY_ASSETS. `photos`: background files. `frequencies`: label id -> wished
    share, see `sampling.sample_person`; front, side and back are the camera's.
    """

    kind: Kind = "crops"
    seed: int = 0
    assets: Path | None = None
    photos: tuple[Path, ...] = ()
    frequencies: Mapping[str, float] = field(default_factory=dict)
    crops: CropOptions = field(default_factory=CropOptions)
    streets: StreetOptions = field(default_factory=StreetOptions)

    def to_json(self) -> dict[str, Any]:
        """What must agree for a run to go on in a folder; photos as a hash of their names."""
        names = "\n".join(path.name for path in self.photos)
        options = self.crops if self.kind == "crops" else self.streets
        return {
            "format": ROWS_FORMAT,
            "kind": self.kind,
            "seed": self.seed,
            "backgrounds": hashlib.sha256(names.encode()).hexdigest()[:16] if self.photos else "generated",
            "frequencies": dict(sorted(self.frequencies.items())),
            "options": dataclasses.asdict(options),
        }


@dataclass(slots=True, kw_only=True)
class _Studio:
    """What a process keeps while it renders: assets, textures, backgrounds, and the persons of the current chunk."""

    recipe: Recipe
    output: Path
    wardrobe: Wardrobe
    stage: Stage
    persons: dict[int, tuple[PersonSpec, Figure]] = field(default_factory=dict)

    def person(self, number: int) -> tuple[PersonSpec, Figure]:
        if number not in self.persons:
            rng = np.random.default_rng([self.recipe.seed, _PERSON, number])
            wished = {name: share for name, share in self.recipe.frequencies.items() if name not in VIEWS}
            spec = sample_person(rng, frequencies=wished, assets=self.wardrobe)
            self.persons[number] = (spec, pack(build_person(self.wardrobe, spec)))
        return self.persons[number]

    def photo(self, number: int) -> int:
        return int(np.random.default_rng([self.recipe.seed, _PHOTO, number]).integers(1 << 30))

    def render(self, chunk: int, count: int) -> None:
        """Render pictures [chunk * size, ...) below `count` and write their rows."""
        self.persons.clear()
        crop = self.recipe.kind == "crops"
        numbers = range(chunk * chunk_size(self.recipe.kind), min(count, (chunk + 1) * chunk_size(self.recipe.kind)))
        rows = [self._crop(n, chunk) if crop else self._street(n, chunk) for n in numbers]
        body = json.dumps({"rows": rows}, ensure_ascii=False, separators=(",", ":"))
        atomic_write(rows_file(self.output, chunk), body.encode())

    def _crop(self, number: int, chunk: int) -> dict[str, Any]:
        rng = np.random.default_rng([self.recipe.seed, _PICTURE, number])
        person = number // VIEWS_PER_PERSON
        spec, figure = self.person(person)
        neighbour = chunk * PERSONS_PER_CHUNK + int(rng.integers(PERSONS_PER_CHUNK))
        others = [self.person(neighbour)[1]] if neighbour != person else []
        crop = draw_crop(rng, spec, figure, self.stage, others=others, photo=self.photo(number // CROPS_PER_PHOTO))
        name = f"images/{number // 1000:04d}/{number:07d}.jpg"
        atomic_write(self.output / name, encode_image(crop.image_bgr, ".jpg"))
        row = {"file": name, "number": number, "person": person, "labels": crop.labels.tolist()}
        return {**row, "parameters": dict(crop.parameters), "shares": dict(crop.shares)}

    def _street(self, number: int, chunk: int) -> dict[str, Any]:
        rng = np.random.default_rng([self.recipe.seed, _PICTURE, number])
        first = chunk * PERSONS_PER_CHUNK
        people = [self.person(first + k) for k in range(PERSONS_PER_CHUNK)]
        street = draw_street(rng, people, self.stage, self.recipe.streets, photo=self.photo(number))
        name = f"{number:07d}.jpg"
        atomic_write(self.output / "images" / name, encode_image(street.image_bgr, ".jpg"))
        size = {"height": street.image_bgr.shape[0], "width": street.image_bgr.shape[1]}
        row = {"file": name, "number": number, "persons": list(street.persons), **size}
        return {**row, "parameters": dict(street.parameters)}


def chunk_size(kind: Kind) -> int:
    """Pictures a chunk; a chunk of streets shares eight persons."""
    return CROPS_PER_CHUNK if kind == "crops" else 4


def rows_file(output: Path, chunk: int) -> Path:
    """Where the rows of a chunk are."""
    return output / ROWS_FOLDER / f"{chunk:06d}.json"


def read_rows(output: Path, chunk: int, expected: int) -> list[dict[str, Any]] | None:
    """The rows of a finished chunk; None where it is not whole and has to be rendered (again)."""
    path = rows_file(output, chunk)
    if not path.is_file():
        return None
    try:
        rows = load_json(path.read_bytes(), levels=8)["rows"]
        folder = output if rows and "labels" in rows[0] else output / "images"
        whole = len(rows) == expected and all((folder / row["file"]).is_file() for row in rows)
    except (ValueError, KeyError, TypeError):
        return None
    return rows if whole else None


_studio: _Studio | None = None  # of a worker process


def _open(recipe: Recipe, output: Path, *, verify: bool = True) -> _Studio:
    cv2.setNumThreads(1)  # the processes share the cores already
    views = {name: share for name, share in recipe.frequencies.items() if name in VIEWS}
    crops = dataclasses.replace(recipe.crops, frequencies=views)
    stage = Stage(store=TextureStore(), backgrounds=Backgrounds(photos=recipe.photos), options=crops)
    return _Studio(recipe=recipe, output=output, wardrobe=open_assets(recipe.assets, verify=verify), stage=stage)


def _start_worker(recipe: Recipe, output: Path) -> None:
    global _studio
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    _studio = _open(recipe, output, verify=False)


def _render_in_worker(chunk: int, count: int) -> int:
    assert _studio is not None
    _studio.render(chunk, count)
    return chunk


def synthesise(
    output: Path | str, *, count: int, recipe: Recipe, jobs: int = 1, progress: Progress | None = None
) -> dict[str, Any]:
    """Render a data set; what an earlier run with the same recipe finished is kept.

    Args:
        output: folder; made if it is missing.
        count: pictures. jobs: processes (started afresh, so a script that calls this guards its main part).
        progress: called with how many of how many pictures are done.
    Returns:
        the content of `statistics.json`.
    Raises:
        ArgumentError: `bad_argument`. OutputError: `output_conflict`, the folder holds another recipe's pictures.
        DatasetError: assets missing. InputError: backgrounds missing.
    """
    folder = Path(output)
    if count < 1 or jobs < 1:
        raise ArgumentError("bad_argument", "count and jobs must be at least 1")
    check_writable(folder)
    studio = _open(recipe, folder)  # before anything is written: missing assets are told at once
    _claim(folder, recipe)
    size = chunk_size(recipe.kind)
    sizes = [min(size, count - start) for start in range(0, count, size)]
    rows = {chunk: read_rows(folder, chunk, sizes[chunk]) for chunk in range(len(sizes))}
    missing = [chunk for chunk, found in rows.items() if found is None]
    done = count - sum(sizes[chunk] for chunk in missing)
    for chunk in _rendered(studio, missing, count, jobs):
        done += sizes[chunk]
        if progress is not None:
            progress(done, count)
        rows[chunk] = read_rows(folder, chunk, sizes[chunk])
    whole = [row for chunk in sorted(rows) for row in rows[chunk] or []]
    write = write_crop_set if recipe.kind == "crops" else write_street_set
    return write(folder, whole, seed=recipe.seed)


def _rendered(studio: _Studio, missing: list[int], count: int, jobs: int) -> Iterator[int]:
    """Render chunks, in this process or in several; yields each as it is done."""
    if jobs == 1 or len(missing) < 2:
        for chunk in missing:
            studio.render(chunk, count)
            yield chunk
        return
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        min(jobs, len(missing)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(studio.recipe, studio.output),
    )
    try:
        waiting = {pool.submit(_render_in_worker, chunk, count) for chunk in missing}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BaseException:  # Ctrl-C too: a chunk takes seconds, and what it wrote without its rows is made again
        for worker in set(multiprocessing.active_children()) - before:
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _claim(folder: Path, recipe: Recipe) -> None:
    """Write down the recipe, or make sure that it is the one whose pictures are there."""
    wanted: Mapping[str, Any] = json.loads(json.dumps(recipe.to_json()))
    path = folder / RECIPE_FILE
    if path.is_file():
        try:
            there = load_json(path.read_bytes(), levels=8)
        except ValueError:
            there = {}
        differs = next((key for key in wanted if not isinstance(there, dict) or there.get(key) != wanted[key]), None)
        if differs is not None:
            hint = "choose another folder, or delete this one"
            text = f"the folder holds pictures of another recipe ({differs} differs)"
            raise OutputError("output_conflict", text, input=str(folder), hint=hint)
        return
    atomic_write(path, json.dumps(wanted, ensure_ascii=False, indent=1).encode())


@functools.cache
def photos_below(folder: Path | None) -> tuple[Path, ...]:
    """The background photos of a folder, none for None. Errors as of `backgrounds.find_photos`."""
    return () if folder is None else find_photos(folder)
