"""Names of results, and writing them whole or not at all."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.decode import decode_image
from passerby.errors import OutputError
from passerby.files import (
    STEM_BYTES,
    atomic_write,
    check_writable,
    encode_image,
    is_picture_name,
    result_path,
    safe_name,
    writable_suffix,
)

PICTURE = np.random.default_rng(2).integers(0, 256, (30, 40, 3), np.uint8)
SOURCE = Path(__file__).parents[1] / "src"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("street", "street"),
        ("two words", "two words"),
        ("行人", "行人"),
        ("walk\U0001f6b6\u200d\u2642", "walk\U0001f6b6\u200d\u2642"),
        ("new\nline\t\x1b[31m", "new_line__[31m"),
        ("../../etc/passwd", "___.._etc_passwd"),
        ("a\\b", "a_b"),
        (".hidden", "_hidden"),
        ("...", "___"),
        ("", "_"),
        ("photo\u202egpj.exe", "photo_gpj.exe"),
        ("bytes\udcff", "bytes_"),
    ],
)
def test_safe_names(text: str, name: str) -> None:
    assert safe_name(text) == name


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=300), st.integers(1, STEM_BYTES))
def test_any_text_gives_one_component_within_the_room(text: str, room: int) -> None:
    name = safe_name(text, room=room)
    assert name
    assert name not in (".", "..")
    assert len(name.encode("utf-8")) <= room
    assert not set(name) & set("/\\\0\n\r\x1b")
    assert safe_name(name) == name


@given(st.text(max_size=60))
def test_results_stay_inside_the_folder(stem: str) -> None:
    path = Path(os.path.normpath(result_path("out", stem, ".json", "_res")))
    assert path.is_relative_to("out")
    assert path.name.endswith("_res.json")


def test_result_path_keeps_folders() -> None:
    assert result_path("out", "a/b/1", ".jpg", "_res") == Path("out/a/b/1_res.jpg")


def test_suffixes_of_drawn_pictures(tmp_path: Path) -> None:
    assert [writable_suffix(s) for s in (".JPG", ".jpeg", ".webp", ".gif", ".ras", ".pgm", ".txt", "")] == [
        ".jpg",
        ".jpeg",
        ".webp",
        ".png",
        ".png",
        ".png",
        ".png",
        ".png",
    ]
    assert is_picture_name(tmp_path / "x.JPG")
    assert not is_picture_name(tmp_path / "x.json")
    assert not is_picture_name(tmp_path / "folder")
    (tmp_path / "folder.png").mkdir()
    assert not is_picture_name(tmp_path / "folder.png")


# Encoding


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIFF", ".ppm", ".dib", ".unknown"])
def test_encoding_without_loss(suffix: str) -> None:
    assert np.array_equal(decode_image(encode_image(PICTURE, suffix)), PICTURE)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp", ".avif"])
def test_encoding_with_loss(suffix: str) -> None:
    flat = np.full((30, 40, 3), (200, 100, 50), np.uint8)
    assert np.abs(decode_image(encode_image(flat, suffix)).astype(int) - flat).max() < 12


def test_a_picture_too_long_for_its_format() -> None:
    long = np.zeros((1, 65_501, 3), np.uint8)
    with pytest.raises(OutputError, match="output_unwritable"):
        encode_image(long, ".jpg")
    assert decode_image(encode_image(long, ".png")).shape == long.shape


# Writing


def test_write_and_write_again(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "x.json"
    for data in (b"one", b"two two"):
        atomic_write(target, data)
        assert target.read_bytes() == data
    assert names_in(target.parent) == ["x.json"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("precious")
    target = tmp_path / "x.json"
    target.symlink_to(other)
    atomic_write(target, b"new")
    assert other.read_text() == "precious"
    assert not target.is_symlink()
    assert target.read_bytes() == b"new"


def test_ordinary_permissions(tmp_path: Path) -> None:
    atomic_write(tmp_path / "x", b"")
    plain = tmp_path / "plain"
    plain.touch()
    assert (tmp_path / "x").stat().st_mode == plain.stat().st_mode


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "x.json").mkdir()
    with pytest.raises(OutputError) as caught:
        atomic_write(tmp_path / "x.json", b"")
    assert caught.value.name == "output_unwritable"
    assert names_in(tmp_path) == ["x.json"]


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    for write in (lambda: atomic_write(tmp_path / "out" / "x.json", b""), lambda: check_writable(tmp_path / "out")):
        with pytest.raises(OutputError) as caught:
            write()
        assert caught.value.name == "output_unwritable"
        assert caught.value.exit_code == 5


def test_impossible_names(tmp_path: Path) -> None:
    for name in ("a\0b", "n" * 300):
        with pytest.raises(OutputError, match="output_unwritable"):
            atomic_write(tmp_path / name, b"")
    assert names_in(tmp_path) == []


def test_file_size_limit_is_a_full_disk(tmp_path: Path) -> None:
    """The kernel's limit on file size stands in for a disk that fills up; set in a child, it cannot be raised again."""
    (tmp_path / "x.json").write_text("before")
    program = (
        "import sys\n"
        "from passerby import files\n"
        "from passerby.errors import OutputError\n"
        "try:\n"
        "    files.atomic_write(sys.argv[1], bytes(100_000))\n"
        "except OutputError as error:\n"
        "    print(error.name)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "x.json")],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.split() == ["output_full"], ended.stderr
    assert (tmp_path / "x.json").read_text() == "before"
    assert names_in(tmp_path) == ["x.json"]


def test_no_space_left_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def full(handle: int) -> None:
        real(handle)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="output_full"):
        atomic_write(tmp_path / "x.json", b"data")
    with pytest.raises(OutputError, match="output_full"):
        check_writable(tmp_path)
    assert names_in(tmp_path) == []


def test_trial_write_makes_the_folder_and_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder")
    assert names_in(tmp_path / "new" / "folder") == []


def test_stale_temporary_files_of_ours_go_others_stay(tmp_path: Path) -> None:
    names = [".passerby-0123abcd.tmp", ".passerby-ffffffff.tmp", ".passerby-notours.tmp", "x.tmp"]
    for name in names:
        (tmp_path / name).touch()
    two_days_ago = time.time() - 2 * 24 * 3600
    for name in (names[0], names[2], names[3]):
        os.utime(tmp_path / name, (two_days_ago, two_days_ago))
    check_writable(tmp_path)
    assert names_in(tmp_path) == sorted(names[1:])


def test_a_killed_writer_leaves_whole_files_only(tmp_path: Path) -> None:
    """The writer is killed at some moment of an endless rewriting; what is there must be one of the versions."""
    program = (
        "import sys\n"
        "from passerby import files\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for sign in b'ab':\n"
        "        files.atomic_write(sys.argv[1], bytes([sign]) * 300_000)\n"
    )
    target = tmp_path / "x.bin"
    for wait in (0.02, 0.05, 0.11):
        environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        command = [sys.executable, "-c", program, str(target)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(wait)
            writer.kill()
        if target.exists():
            data = target.read_bytes()
            assert len(data) == 300_000
            assert len(set(data)) == 1
        others = [name for name in names_in(tmp_path) if name != "x.bin"]
        assert all(name.startswith(".passerby-") and name.endswith(".tmp") for name in others)
