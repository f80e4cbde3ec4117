"""Unpacking: beyond the corpus, what limits, faults and repeated runs do."""

from __future__ import annotations

import gzip
import io
import os
import random
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passerby.errors import ModelError, OutputError, PasserbyError
from passerby.models import archive
from passerby.models.archive import unpack

from .conftest import FIXTURES

PIECES = {path.name: path.read_bytes() for path in (FIXTURES / "models/tiny_cls/pir").iterdir()}
SMALL = {"inference.json": b"{}", "inference.pdiparams": b"12345", "inference.yml": b"a: 1\n"}


def packed(files: dict[str, bytes], *, folder: str = "m_infer/", form: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as out:
        for name, data in files.items():
            info = tarfile.TarInfo(folder + name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_real_export_is_unpacked_byte_for_byte(tmp_path: Path, form: int, zipped: bool) -> None:
    data = packed(PIECES, form=form)
    written = unpack(gzip.compress(data) if zipped else data, tmp_path / "models" / "mine")
    assert written == sorted(tmp_path / "models" / "mine" / name for name in PIECES)
    assert all(path.read_bytes() == PIECES[path.name] for path in written)
    assert names(tmp_path / "models") == ["mine"]


def test_a_file_is_read_from_its_place_and_named_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "m.tar"
    path.write_bytes(packed(SMALL))
    assert len(unpack(path, tmp_path / "a")) == 3
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError) as caught:
        unpack(path, tmp_path / "b")
    assert caught.value.name == "model_corrupt" and caught.value.input == str(path)
    with pytest.raises(ModelError) as caught:
        unpack(tmp_path / "gone.tar", tmp_path / "b")
    assert caught.value.name == "model_missing"


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        written = unpack(packed(SMALL), tmp_path / "m")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o644}
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o755


def test_an_empty_target_is_taken_and_a_full_one_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    unpack(packed(SMALL), tmp_path / "m")
    with pytest.raises(OutputError) as caught:
        unpack(packed({**SMALL, "inference.yml": b"b: 2\n"}), tmp_path / "m")
    assert caught.value.name == "output_unwritable"
    assert (tmp_path / "m" / "inference.yml").read_bytes() == SMALL["inference.yml"]
    assert names(tmp_path) == ["m"]


def test_a_link_in_place_of_the_target_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "m").symlink_to("elsewhere")
    with pytest.raises(OutputError):
        unpack(packed(SMALL), tmp_path / "m")
    assert names(tmp_path / "elsewhere") == []
    assert names(tmp_path) == ["elsewhere", "m"]


@pytest.mark.parametrize("gone", ["inference.json", "inference.pdiparams", "inference.yml"])
def test_half_a_model_is_missing_its_piece(tmp_path: Path, gone: str) -> None:
    with pytest.raises(ModelError) as caught:
        unpack(packed({k: v for k, v in SMALL.items() if k != gone}), tmp_path / "m")
    assert caught.value.name == "model_missing" and gone in str(caught.value)
    assert names(tmp_path) == []


def test_the_older_graph_is_enough(tmp_path: Path) -> None:
    files = {"inference.pdmodel": b"x", **{k: v for k, v in SMALL.items() if k != "inference.json"}}
    assert len(unpack(packed(files), tmp_path / "m")) == 3


def refused(data: bytes, target: Path) -> str:
    with pytest.raises(ModelError) as caught:
        unpack(data, target)
    assert not target.exists() and names(target.parent) == []
    return caught.value.name


def test_an_archive_cut_anywhere_leaves_nothing(tmp_path: Path) -> None:
    whole = packed(SMALL)
    for end in range(1, 3 * 1024 + 511, 61):
        assert refused(whole[:end], tmp_path / "m") in ("model_corrupt", "model_missing")
    zipped = gzip.compress(packed(SMALL))
    for end in range(1, len(zipped), 7):
        assert refused(zipped[:end], tmp_path / "m") == "model_corrupt"


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    whole = bytearray(packed(SMALL))
    whole[1024 + 10] ^= 1  # in the name of the second member
    assert refused(bytes(whole), tmp_path / "m") == "model_corrupt"


def test_a_wrong_checksum_of_gzip_is_noticed(tmp_path: Path) -> None:
    zipped = bytearray(gzip.compress(packed(SMALL)))
    zipped[-8] ^= 1
    assert refused(bytes(zipped), tmp_path / "m") == "model_corrupt"


def test_sparse_members_and_endless_headers_are_refused(tmp_path: Path) -> None:
    sparse = bytearray(packed(SMALL)[:512])
    sparse[156:157] = b"S"
    sparse[148:156] = b" " * 8
    sparse[148:156] = b"%06o\0 " % sum(sparse)
    assert refused(bytes(sparse) + bytes(2048), tmp_path / "m") in ("archive_unsafe", "model_corrupt")

    def pax(size: int) -> bytes:
        info = tarfile.TarInfo("x")
        info.type, info.size = tarfile.XHDTYPE, size
        return info.tobuf(tarfile.USTAR_FORMAT)

    chain = (pax(16) + b"16 comment=abcd\n".ljust(512, b"\0")) * 3000
    assert refused(chain + packed(SMALL), tmp_path / "m") in ("archive_unsafe", "model_corrupt")
    assert refused(gzip.compress(pax(1 << 30) + bytes(1 << 20)), tmp_path / "m") == "archive_unsafe"


def test_names_that_are_one_on_some_systems_are_refused(tmp_path: Path) -> None:
    for a, b in (("é", "e\u0301"), ("Straße", "STRASSE"), ("a/b", "a//b"), ("a", "./a")):
        assert refused(packed({**SMALL, a: b"", b: b""}, folder=""), tmp_path / "m") == "archive_unsafe"


def test_names_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    for name in ("/etc/x", "..", "a/..", "../x", "a/../../x", "a\\b", "C:/x", "a/C:x", "a\u202eb", "a\x7f", "n" * 256):
        assert refused(packed({**SMALL, name: b""}, folder=""), tmp_path / "m") == "archive_unsafe"


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    (tmp_path / "m.tar").write_bytes(packed(PIECES))
    program = f"""
import resource
from pathlib import Path
from passerby.errors import OutputError
from passerby.models.archive import unpack
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
try:
    unpack(Path({str(tmp_path / "m.tar")!r}), Path({str(tmp_path / "out" / "m")!r}))
except OutputError as error:
    print(error.name)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "output_full\n"
    assert names(tmp_path / "out") == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError) as caught:
        unpack(packed(SMALL), tmp_path / "file" / "m")
    assert caught.value.name == "output_unwritable"


def test_a_large_archive_is_unpacked_in_little_memory(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(64 << 20)
    (tmp_path / "m.tar.gz").write_bytes(gzip.compress(packed({**SMALL, "inference.pdiparams": noise}), 0))
    program = f"""
import resource
from pathlib import Path
from passerby.models.archive import unpack
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
unpack(Path({str(tmp_path / "m.tar.gz")!r}), Path({str(tmp_path / "m")!r}))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 24
    assert (tmp_path / "m" / "inference.pdiparams").read_bytes() == noise


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_archive_is_unpacked_whole_or_leaves_nothing(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(packed(SMALL))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, 3 * 1024))] = data.draw(st.integers(0, 255))
    target = tmp_path / "m"
    try:
        written = unpack(bytes(whole), target)
    except PasserbyError as error:
        assert isinstance(error, ModelError) and str(error).isprintable()
        assert names(tmp_path) == []
    else:
        assert names(tmp_path) == ["m"] and len(written) == 3
        for path in written:
            path.unlink()
        target.rmdir()


def test_limits_are_those_of_the_promise() -> None:
    assert (archive.PACKED_BYTES, archive.UNPACKED_BYTES, archive.RATIO) == (1 << 30, 2 << 30, 100)
    assert (archive.ENTRIES, archive.NAME_CHARACTERS) == (1000, 255)
