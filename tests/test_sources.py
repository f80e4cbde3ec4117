"""Inputs to frames: order, names of results, laziness, and what one bad input does to the others."""

from __future__ import annotations

import gc
import io
import os
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from passerby import fetch
from passerby.errors import InputError
from passerby.files import result_path
from passerby.output_names import Origin, OutputNames
from passerby.sources import Failure, Frame, frames, is_single

from .conftest import CORPUS

JPEG = CORPUS / "image" / "jpeg_baseline.jpg"
PNG = CORPUS / "image" / "png_rgb8.png"
TIFF = CORPUS / "image" / "tiff_pages.tif"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(*names: str, source: Path = JPEG) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, name)


def stems(input: object) -> list[str]:
    return [frame.output_stem for frame in frames(input)]


def paths(input: object) -> list[str | None]:
    return [frame.input_path for frame in frames(input)]


def only(input: object) -> Frame:
    (frame,) = frames(input)
    assert isinstance(frame, Frame), frame
    return frame


def failure(input: object) -> Failure:
    (one,) = frames(input)
    assert isinstance(one, Failure), one
    return one


# Kinds of input


def test_one_picture_in_every_form_has_the_same_pixels() -> None:
    reference = only(str(JPEG))
    data = JPEG.read_bytes()
    with JPEG.open("rb") as file, Image.open(JPEG) as image:
        for form in (JPEG, data, bytearray(data), memoryview(data), io.BytesIO(data), file, image, reference.image_bgr):
            assert np.array_equal(only(form).image_bgr, reference.image_bgr), type(form)
        assert not file.closed
    assert (reference.input_path, reference.index, reference.page_index) == (str(JPEG), 0, None)
    assert (reference.output_stem, reference.suffix) == ("jpeg_baseline", ".jpg")


def test_a_file_is_read_from_its_position() -> None:
    file = io.BytesIO(b"header" + JPEG.read_bytes())
    file.seek(6)
    assert only(file).image_bgr.shape == (32, 48, 3)


def test_a_pillow_picture_is_turned_as_its_file_is() -> None:
    path = CORPUS / "image" / "exif_6.jpg"
    with Image.open(path) as image:
        assert np.array_equal(only(image).image_bgr, only(path).image_bgr)


def test_gray_bgra_and_views(folder: Path) -> None:
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(only(gray).image_bgr, np.repeat(gray[..., None], 3, 2))
    assert np.array_equal(only(gray[..., None]).image_bgr, np.repeat(gray[..., None], 3, 2))
    four = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    assert np.array_equal(only(four).image_bgr, four[..., :3])
    view = np.arange(144, dtype=np.uint8).reshape(6, 8, 3)[::2, ::-2]
    found = only(view).image_bgr
    assert np.array_equal(found, view)
    assert found.flags.c_contiguous


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (np.zeros((4, 5, 3), np.float32), "* 255"),
        (np.full((4, 5, 3), 99.0), ".astype('uint8')"),
        (np.zeros((4, 5, 3), np.uint16), ">> 8"),
        (np.zeros((4, 5, 3), bool), "* 255"),
        (np.zeros((3, 4, 5), np.uint8), "transpose(1, 2, 0)"),
        (np.zeros((2, 4, 5, 3), np.uint8), "list"),
    ],
)
def test_arrays_that_are_no_picture_say_how_to_convert(value: Any, hint: str) -> None:
    error = failure(value).error
    assert error.name == "array_invalid"
    assert hint in error.message


def test_values_that_are_no_input() -> None:
    for value in (None, 7, {"a": 1}, {1}, object(), io.StringIO("x")):
        assert failure(value).error.name == "input_type"
        assert is_single(value)


def test_pages_of_a_tiff_by_path_and_the_first_by_bytes() -> None:
    pages = list(frames(TIFF))
    assert [page.page_index for page in pages] == [0, 1, 2]
    assert [page.output_stem for page in pages] == ["tiff_pages_0", "tiff_pages_1", "tiff_pages_2"]
    assert only(TIFF.read_bytes()).page_index is None


def test_reread_gives_the_same_pixels() -> None:
    for frame in frames([str(JPEG), TIFF]):
        assert isinstance(frame, Frame)
        assert frame.reread is not None
        assert np.array_equal(frame.reread(), frame.image_bgr)
    assert only(JPEG.read_bytes()).reread is None


# One or many


def test_is_single(folder: Path) -> None:
    put("t/a.jpg")
    for value in (
        "t/a.jpg",
        Path("t/a.jpg"),
        "missing.jpg",
        "http://h/a*.jpg",
        "",
        b"",
        np.zeros((2, 2)),
        io.BytesIO(),
    ):
        assert is_single(value), value
    assert is_single([[1, 2], [3, 4]])
    for value in ("t", Path("t"), "t/*.jpg", [], ["t/a.jpg"], (1,) * 0, iter([]), (x for x in "ab")):
        assert not is_single(value), value


def test_failures_stay_in_their_place_and_the_rest_goes_on(folder: Path) -> None:
    put("a.jpg", "c.jpg")
    Path("b.jpg").write_text("nonsense")
    found = list(frames(["a.jpg", "b.jpg", "missing.jpg", b"", None, "c.jpg", [1, 2]]))
    assert [one.index for one in found] == list(range(7))
    assert [one.error.name if isinstance(one, Failure) else "ok" for one in found] == [
        "ok",
        "image_unknown",
        "input_missing",
        "input_empty",
        "input_type",
        "ok",
        "input_type",
    ]
    assert found[1].input_path == "b.jpg"
    assert "b.jpg" in str(getattr(found[1], "error", ""))


@pytest.mark.parametrize("input", ["empty", "empty/*.jpg", Path("empty")])
def test_an_input_that_stands_for_nothing_raises(folder: Path, input: object) -> None:
    Path("empty").mkdir()
    with pytest.raises(InputError) as caught:
        list(frames(input))
    assert caught.value.name in ("folder_empty", "input_missing")
    (one,) = frames([input])
    assert isinstance(one, Failure)


def test_an_empty_folder_counts_what_it_holds(folder: Path) -> None:
    put("t/a.txt", "t/b.md")
    with pytest.raises(InputError, match="2 files, none of them a picture"):
        list(frames("t"))


def test_patterns(folder: Path) -> None:
    put("t/b.jpg", "t/a.jpg", "t/x/c.jpg", "t/notes.txt", "t/[1].jpg")
    assert paths("t/*") == ["t/[1].jpg", "t/a.jpg", "t/b.jpg"]
    assert paths("t/**/*.jpg") == ["t/[1].jpg", "t/a.jpg", "t/b.jpg", "t/x/c.jpg"]
    assert paths("t/[1].jpg") == ["t/[1].jpg"]  # exists, so it is no pattern
    assert paths("t/[ab].jpg") == ["t/a.jpg", "t/b.jpg"]


def test_a_file_whose_name_looks_like_a_url(folder: Path) -> None:
    put("http:--x.jpg", "data:a.jpg")
    assert only("http:--x.jpg").output_stem == "http:--x"
    assert only("data:a.jpg").image_bgr.shape == (32, 48, 3)
    assert failure("file:///etc/hostname").error.name == "url_forbidden"
    assert failure("http:/host/a.jpg").error.name == "url_invalid"


def test_urls_are_asked_under_the_policy_and_named_without_secrets() -> None:
    policy = fetch.FetchPolicy(enabled=False)
    (one,) = frames("https://me:pw@host.example/a/b%20c.jpg?token=1#x", fetch_policy=policy)
    assert isinstance(one, Failure)
    assert one.input_path == "https://host.example/a/b%20c.jpg"
    assert one.output_stem == "b c"
    assert "token" not in str(one.error)


def test_a_file_over_the_limit_is_not_read(folder: Path) -> None:
    with Path("big.jpg").open("wb") as file:
        file.truncate((128 << 20) + 1)
    assert failure("big.jpg").error.name == "input_too_large"


# Laziness


def test_pictures_are_read_one_at_a_time(folder: Path) -> None:
    put("a.jpg", "b.jpg")
    reading = frames(["a.jpg", "b.jpg"])
    assert isinstance(next(reading), Frame)
    Path("b.jpg").unlink()
    late = next(reading)
    assert isinstance(late, Failure)
    assert late.error.name == "input_missing"


def test_iterators_are_consumed_lazily_and_their_arrays_copied() -> None:
    buffer, taken = np.zeros((4, 5, 3), np.uint8), []

    def camera() -> Iterator[np.ndarray]:
        for number in range(3):
            taken.append(number)
            buffer[:] = number
            yield buffer

    reading = frames(camera())
    first = next(reading)
    assert taken == [0]
    second = next(reading)
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert (int(first.image_bgr.max()), int(second.image_bgr.max())) == (0, 1)


def test_frames_that_were_let_go_are_gone() -> None:
    seen = []
    for frame in frames([str(JPEG)] * 5):
        assert isinstance(frame, Frame)
        seen.append(weakref.ref(frame.image_bgr))
        del frame
        gc.collect()
        assert sum(ref() is not None for ref in seen) <= 1


# Names of results


def test_unique_stems_stay(folder: Path) -> None:
    put("t/a.jpg", "t/x/b.jpg", "t/c.tar.jpg", "t/noise.jpg")
    assert stems("t") == ["a", "c.tar", "noise", "b"]


def test_shared_stems_keep_their_folder(folder: Path) -> None:
    put("t/1.jpg", "t/a/1.jpg", "t/b/1.jpg", "t/b/2.jpg")
    assert stems("t") == ["1", "a/1", "b/1", "2"]
    assert stems(["t/b", "t/a"]) == ["b/1", "2", "a/1"]
    assert stems(["t/a/1.jpg", "t/b/1.jpg"]) == ["a/1", "b/1"]


def test_shared_stems_in_one_folder_get_a_hash(folder: Path) -> None:
    put("t/1.jpg", "t/1.png", "t/x/1.jpg")
    found = stems("t")
    assert len(set(found)) == 3
    assert found[2] == "x/1"
    assert all(stem.startswith("1_") and len(stem) == 10 for stem in found[:2])
    assert found == stems("t")
    twice = stems(["t/1.jpg", "t/1.jpg"])
    assert len(set(twice)) == 2


def test_names_that_a_careless_file_system_takes_for_one(folder: Path) -> None:
    names = ["t/A.jpg", "t/a.jpg", "t/e\u0301.jpg", "t/\u00e9.jpg"]
    put(*names)
    found = stems([*names])
    assert len({stem.casefold() for stem in found}) == 4


def test_a_page_never_takes_a_name_that_another_input_has(folder: Path) -> None:
    put("t/p_1.jpg", "t/p_2.jpg")
    put("t/p.tif", source=TIFF)
    found = stems("t")
    assert len(set(found)) == 5
    assert {"p_1", "p_2", "p_0"} <= set(found)


def test_values_are_numbered(folder: Path) -> None:
    put("array_1.jpg")
    picture = np.zeros((3, 3, 3), np.uint8)
    found = stems([picture, picture, JPEG.read_bytes(), "array_1.jpg"])
    assert found[0] == "array_0"
    assert found[2] == "array_2"
    assert len(set(found)) == 4


def test_names_out_of_an_iterator_never_repeat(folder: Path) -> None:
    put("a/1.jpg", "b/1.jpg")
    found = stems(iter(["a/1.jpg", "b/1.jpg", "a/1.jpg"]))
    assert found[0] == "1"
    assert len(set(found)) == 3


NAMES = st.sampled_from(["a", "A", "b", "a_0", "\u00e9", "e\u0301", "..", "x" * 250, "a\n", "a_", ""])


@given(st.lists(st.tuples(NAMES, st.sampled_from(["", "/r", "/r/s", "/r/S", "/q"])), max_size=12))
def test_no_two_results_share_a_file(inputs: list[tuple[str, str]]) -> None:
    origins = [Origin(stem=stem, folder=folder, root=folder, identity=f"{folder}/{stem}") for stem, folder in inputs]
    names = OutputNames()
    planned = names.plan(origins)
    later = [names.next(origin) for origin in origins] + [names.page(stem, 0) for stem in planned]
    files = [str(result_path("out", stem, ".json", "")).casefold() for stem in [*planned, *later]]
    assert len(set(files)) == len(files)
    assert all(len(os.fsencode(Path(file).name)) <= 255 for file in files)
