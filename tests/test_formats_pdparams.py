"""Pickled weights: what real writers make, what ours refuses, and that nothing in a pickle ever acts."""

from __future__ import annotations

import collections
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.errors import ModelError
from passerby.formats import pickle_machine
from passerby.formats.pdparams import read_pdparams

from .conftest import FIXTURES, shared

MODELS = FIXTURES / "models"
VARIANTS = MODELS / "pickle_variants"
ARRAY = np.arange(6, dtype="f4").reshape(2, 3)


def refused(data: bytes) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read_pdparams(data, input="x.pdparams")
    assert caught.value.input == "x.pdparams"
    return caught.value


@pytest.mark.parametrize("path", sorted(VARIANTS.glob("paddle*.pdparams")), ids=lambda path: path.stem)
def test_files_of_real_paddle_versions_give_the_stored_arrays(path: Path) -> None:
    arrays, expected = read_pdparams(path.read_bytes()), np.load(VARIANTS / "expected.npz")
    assert sorted(arrays) == sorted(expected)
    for name, array in arrays.items():
        assert array.dtype == np.float32 and array.flags.c_contiguous and array.flags.owndata
        np.testing.assert_array_equal(array, expected[name])


def test_a_checkpoint_with_pairs_in_one_section_is_its_section() -> None:
    arrays, expected = read_pdparams((VARIANTS / "nested_checkpoint.pdparams").read_bytes()), VARIANTS / "expected.npz"
    assert all((arrays[name] == value).all() for name, value in np.load(expected).items())


def test_number_types_are_kept_and_half_precision_is_widened() -> None:
    arrays = read_pdparams((VARIANTS / "dtypes.pdparams").read_bytes())
    types = {name: array.dtype.name for name, array in arrays.items()}
    assert types == {"a": "float32", "b": "int64", "c": "bool", "scalar": "float32", "bf16": "uint16"}
    assert arrays["scalar"].shape == ()


def test_a_cut_file_is_damaged() -> None:
    assert refused((VARIANTS / "truncated.pdparams").read_bytes()).name == "model_corrupt"


@pytest.mark.parametrize(("name", "count"), [("tiny_det", 423), ("tiny_cls", 146)])
def test_whole_networks_are_read_in_their_order(name: str, count: int) -> None:
    data = (MODELS / name / f"{name}.pdparams").read_bytes()
    arrays, theirs = read_pdparams(data), pickle.loads(data)
    assert list(arrays) == [key for key in theirs if not key.endswith("@@")]
    assert len(arrays) == count
    assert all(np.array_equal(array, theirs[key]) for key, array in arrays.items())


def test_full_size_weights_are_read(tmp_path: Path) -> None:
    path = shared("golden/weights.py")
    import subprocess
    import sys

    target = tmp_path / "c.pdparams"
    subprocess.run(
        [sys.executable, str(path), "PP-LCNet_x1_0_pedestrian_attribute", "--pdparams", str(target)], check=True
    )
    arrays = read_pdparams(target.read_bytes())
    assert len(arrays) == 146 and sum(array.size for array in arrays.values()) == 1_715_770


NUMBERS = st.sampled_from("b1 i1 i2 i4 i8 u1 u2 u4 u8 f4 f8 >f4 >i8".split())
# protocol 2 writes empty bytes as a call of `bytes`, which is not on the list; no network has an empty tensor
SHAPES = st.lists(st.integers(1, 4), max_size=4)


@given(
    st.dictionaries(
        st.text("ab._09é", min_size=1, max_size=12), st.tuples(NUMBERS, SHAPES, st.booleans()), min_size=1, max_size=4
    ),
    st.sampled_from([2, 3, 4]),
    st.booleans(),
)
@settings(deadline=None)
def test_what_numpy_pickles_is_read_back(described: dict[str, Any], protocol: int, ordered: bool) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        name: np.asarray(rng.integers(0, 2, shape), dtype, order="F" if fortran else "C")
        for name, (dtype, shape, fortran) in described.items()
    }
    state = collections.OrderedDict(arrays) if ordered else arrays
    read = read_pdparams(pickle.dumps(state, protocol=protocol))
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(read[name], array)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_changed_file_is_read_or_refused_by_name(data: st.DataObject) -> None:
    good = bytearray(
        (VARIANTS / data.draw(st.sampled_from(["dtypes.pdparams", "nested_checkpoint.pdparams"]))).read_bytes()
    )
    for _ in range(data.draw(st.integers(1, 6))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_pdparams(bytes(good[: data.draw(st.integers(1, len(good)))]))
    except ModelError as error:
        assert str(error).isprintable()


@given(st.lists(st.sampled_from(sorted(pickle_machine._STEPS)), max_size=40), st.binary(max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_opcodes_are_read_or_refused_by_name(codes: list[int], tail: bytes) -> None:
    try:
        read_pdparams(b"\x80\4" + b"".join(bytes([code]) + b"\1" for code in codes) + tail + b".")
    except ModelError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize(
    "attribute", ["os.system", "builtins.eval", "numpy.load", "numpy.ndarray.tofile", "collections.Counter"]
)
def test_a_name_outside_the_list_is_shown(attribute: str) -> None:
    module, _, name = attribute.rpartition(".")
    error = refused(b"\x80\4c" + module.encode() + b"\n" + name.encode() + b"\n.")
    assert error.name == "model_unsafe"
    assert attribute in str(error)


def test_an_object_of_a_class_of_ours_is_refused() -> None:
    assert refused(pickle.dumps({"a": collections.Counter("a")}, protocol=4)).name == "model_unsafe"


def test_protocol_5_says_what_to_do() -> None:
    error = refused(pickle.dumps({"a": ARRAY}, protocol=5))
    assert error.name == "model_unsafe"
    assert "protocol 4" in str(error)


def test_sliced_tensors_are_not_supported() -> None:
    error = refused(pickle.dumps({"UnpackBigParamInfor@@": {}, "a": ARRAY}, protocol=4))
    assert error.name == "model_unsupported"


def test_a_checkpoint_with_two_sections_names_them() -> None:
    error = refused(pickle.dumps({"teacher": {"a": ARRAY}, "student": {"a": ARRAY}}, protocol=4))
    assert error.name == "model_unsupported"
    assert "teacher" in str(error) and "student" in str(error)
    state = {"model": {"a": ARRAY}, "optimizer": {"b": ARRAY}}
    assert list(read_pdparams(pickle.dumps(state, protocol=4))) == ["a"]


def test_bytes_used_again_and_again_are_refused() -> None:
    error = refused(pickle.dumps({f"a{i}": ARRAY for i in range(1000)}, protocol=4))
    assert "same bytes" in str(error)
    text = b"X" + struct.pack("<I", 4000) + b"a" * 4000 + b"\x94"
    again = b"c_codecs\nencode\nh\0X\6\0\0\0latin1\x86R0"
    assert "again" in str(refused(b"\x80\4" + text + again * 3 + b"N."))


def test_an_endless_argument_is_never_shown() -> None:
    doubled = b"K\1\x85\x94" + b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86\x94" for i in range(60))
    error = refused(b"\x80\4" + doubled + b"0c_codecs\nencode\nX\1\0\0\0ah\x3c\x86R.")
    assert error.name == "model_unsafe"


@pytest.mark.parametrize(
    ("name", "word"), [("", "empty"), ("a" * 1025, "1025 bytes"), ("a\nb", "control"), ("\x1b[31m", "control")]
)
def test_names_that_cannot_be_shown_are_refused(name: str, word: str) -> None:
    error = refused(pickle.dumps({name: ARRAY}, protocol=4))
    assert error.name == "model_corrupt"
    assert word in str(error) or name == ""


def test_limits_on_work_hold() -> None:
    assert refused(b"\x80\4" + b"N0" * 600_000 + b"}.").name == "model_too_large"
    assert refused(b"\x80\4" + b"(" * 101 + b".").name == "model_corrupt"
    assert refused(b"\x80\4Nr\x40\x42\x0f\0.").name == "model_too_large"
