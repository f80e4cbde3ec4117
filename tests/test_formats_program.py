"""Graphs and parameters of exported networks: both formats agree, real exports are read, damage is named."""

from __future__ import annotations

import gzip
import json
import math
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.errors import ModelError
from passerby.formats.graph import Program, TensorSpec
from passerby.formats.pdiparams import read_pdiparams
from passerby.formats.pdmodel import read_pdmodel
from passerby.formats.program import read_program_json
from passerby.formats.wire import WireError, fields

from .conftest import FIXTURES, shared

MODELS = FIXTURES / "models"
TINY = ["tiny_cls", "tiny_det"]
GRAPHS = [
    ("PP-YOLOE-S_human", "inference", "inference"),
    ("PP-YOLOE-S_human", "inference_dynamic", "inference_dynamic"),
    ("PP-YOLOE-L_human", "inference", "inference"),
    ("PP-YOLOE-L_human", "inference_dynamic", "inference_dynamic"),
    ("PP-LCNet_x1_0_pedestrian_attribute", "inference", "inference"),
]


def pir(name: str) -> bytes:
    return (MODELS / name / "pir" / "inference.json").read_bytes()


def legacy(name: str) -> bytes:
    return (MODELS / name / "legacy" / "inference.pdmodel").read_bytes()


def parameters_bytes(name: str) -> bytes:
    return (MODELS / name / "pir" / "inference.pdiparams").read_bytes()


def refused(read: Any, *arguments: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read(*arguments, input="x")
    assert caught.value.input == "x"
    assert str(caught.value).isprintable()
    return caught.value


# --- both graph formats -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TINY)
def test_both_formats_of_one_network_are_the_same_program(name: str) -> None:
    new, old = read_program_json(pir(name)), read_pdmodel(legacy(name))
    assert new.inputs == old.inputs
    assert new.parameters == old.parameters
    assert [(s.shape, s.dtype) for s in new.outputs] == [(s.shape, s.dtype) for s in old.outputs]
    assert len(new.operators) == len(old.operators)
    same: dict[str, str] = {}
    for a, b in zip(new.operators, old.operators, strict=True):
        assert a.kind == b.kind
        for mine, theirs in zip((*a.inputs, *a.outputs), (*b.inputs, *b.outputs), strict=True):
            assert same.setdefault(mine, theirs) == theirs
        differing = {k for k, v in a.attributes.items() if b.attributes.get(k) != v}
        assert differing <= {"shape", "seed", "fix_seed"}, a.kind


def test_a_convolution_and_its_normalisation_look_as_documented() -> None:
    first, second = read_program_json(pir("tiny_det")).operators[:2]
    assert first.kind == "conv2d"
    assert first.inputs[0] == "image" and first.inputs[1].startswith("conv2d_0.w_0")
    assert first.attributes["strides"] == (2, 2) and first.attributes["groups"] == 1
    assert second.kind == "batch_norm"
    roles = [name.partition("_deepcopy")[0].rpartition(".")[2] for name in second.inputs[1:]]
    assert roles == ["w_1", "w_2", "w_0", "b_0"]  # mean, variance, scale, bias
    assert second.attributes["epsilon"] == pytest.approx(1e-5)
    with pytest.raises(TypeError):
        first.attributes["groups"] = 2  # type: ignore[index]


def test_constants_are_attributes_and_lists_are_inputs() -> None:
    program = read_program_json(pir("tiny_det"))
    concat = next(op for op in program.operators if op.kind == "concat")
    assert concat.attributes["axis"] == 1 and len(concat.inputs) == 2
    split = next(op for op in program.operators if op.kind == "split")
    assert len(split.outputs) == 2 and split.attributes["num"] == 2
    pool = next(op for op in program.operators if op.kind == "pool2d")
    assert pool.attributes["kernel_size"] == (5, 5)
    assert not {"combine", "fetch", "feed", "full_int_array"} & {op.kind for op in program.operators}


@pytest.mark.parametrize(("model", "graph", "listed"), GRAPHS)
def test_full_size_exports_have_exactly_the_listed_parameters(model: str, graph: str, listed: str) -> None:
    data = gzip.decompress(shared(f"golden/graphs/{model}/{graph}.json.gz").read_bytes())
    program = read_program_json(data)
    entries = json.loads(shared(f"golden/parameters/{model}.json").read_text())[listed]
    assert [(p.name, list(p.shape)) for p in program.parameters] == [(e["variable"], e["shape"]) for e in entries]
    kinds = Counter(op.kind for op in program.operators)
    anchors_stored = any(p.name.startswith("eager_tmp") for p in program.parameters)
    assert anchors_stored == (graph == "inference" and "YOLOE" in model)
    assert ("arange" in kinds) == (graph == "inference_dynamic")


def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(pir("tiny_cls"))
    return document


def _operators(document: dict[str, Any]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = document["program"]["regions"][0]["blocks"][0]["ops"]
    return listed


def _find(document: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(op for op in _operators(document) if op["#"] == kind)


def test_changes_that_would_compute_something_else_are_refused() -> None:
    def after(change: Any) -> str:
        document = _document()
        change(document)
        return refused(read_program_json, json.dumps(document).encode()).name

    assert after(lambda d: _find(d, "1.relu").update({"#": "1.gelu"})) == "model_unsupported"
    assert after(lambda d: _find(d, "1.relu").update({"regions": [{}]})) == "model_unsupported"
    assert after(lambda d: _find(d, "1.conv2d")["I"].append({"%": 1})) == "model_unsupported"
    assert after(lambda d: _find(d, "1.pool2d")["I"].__setitem__(1, {"%": 1})) == "model_unsupported"
    assert after(lambda d: _operators(d).reverse()) == "model_corrupt"
    assert after(lambda d: _operators(d).pop()) == "model_corrupt"  # the fetch
    assert after(lambda d: d["program"]["regions"].append(d["program"]["regions"][0])) == "model_unsupported"
    assert after(lambda d: _find(d, "p").update({"A": [0, 1, 1, "a\nb"]})) == "model_corrupt"
    assert after(lambda d: _find(d, "p")["O"]["TT"]["D"][1].append(-1)) == "model_corrupt"
    assert after(lambda d: _find(d, "1.data")["O"][0]["TT"]["D"].__setitem__(1, [-1, 3, 5000, 5])) == "model_too_large"


def test_the_unknown_operator_is_named_and_counted() -> None:
    document = _document()
    for op in _operators(document):
        if op["#"] == "1.hardswish":
            op["#"] = "1.mish"
    assert "mish (28 times)" in str(refused(read_program_json, json.dumps(document).encode()))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_changed_program_is_read_or_refused_by_name(data: st.DataObject) -> None:
    for read, whole in ((read_program_json, pir("tiny_cls")), (read_pdmodel, legacy("tiny_cls"))):
        good = bytearray(whole)
        for _ in range(data.draw(st.integers(1, 4))):
            good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
        try:
            assert isinstance(read(bytes(good)), Program)
        except ModelError as error:
            assert str(error).isprintable()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from(["pir", "p", "1.data", "1.fetch", "0.combine", "0.t_vec"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["#", "A", "I", "O", "%", "TT", "D", "N", "AT", "ops", "blocks"]), inner, max_size=5
        )
    ),
    max_leaves=25,
)


@given(st.lists(JSON, max_size=5))
@settings(max_examples=100, deadline=None)
def test_any_operators_are_read_or_refused_by_name(listed: list[Any]) -> None:
    document = {
        "base_code": {"magic": "pir", "version": 3},
        "program": {"regions": [{"blocks": [{"ops": listed}]}]},
    }
    with pytest.raises(ModelError):
        read_program_json(json.dumps(document).encode())


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_any_bytes_are_fields_or_refused(data: bytes) -> None:
    try:
        for field in fields(memoryview(data)):
            assert field.number > 0
    except WireError as error:
        assert str(error).isprintable()


# --- parameters ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TINY)
def test_every_parameter_has_the_shape_of_the_program(name: str) -> None:
    program = read_program_json(pir(name))
    arrays = read_pdiparams(parameters_bytes(name), program.parameters)
    assert list(arrays) == [spec.name for spec in program.parameters]
    assert all(arrays[s.name].shape == s.shape and arrays[s.name].dtype.name == s.dtype for s in program.parameters)


def test_names_decide_the_order_not_the_list_that_is_given() -> None:
    specs = list(read_program_json(pir("tiny_cls")).parameters)
    there = read_pdiparams(parameters_bytes("tiny_cls"), specs)
    back = read_pdiparams(parameters_bytes("tiny_cls"), list(reversed(specs)))
    assert all(np.array_equal(there[name], back[name]) for name in there)


def test_exported_values_are_those_of_the_training_file() -> None:
    """The classifier is exported without a change in any value; the names of its variables only get an ending."""
    from passerby.formats.pdparams import read_pdparams

    trained = read_pdparams((MODELS / "tiny_cls/tiny_cls.pdparams").read_bytes())
    specs = read_program_json(pir("tiny_cls")).parameters
    exported = read_pdiparams(parameters_bytes("tiny_cls"), specs)
    assert sorted(a.tobytes() for a in trained.values()) == sorted(a.tobytes() for a in exported.values())


def record(array: np.ndarray[Any, Any], code: int, *, packed: bool = False) -> bytes:
    dims = bytes([0x12, array.ndim, *array.shape]) if packed else b"".join(bytes([0x10, n]) for n in array.shape)
    described = bytes([8, code]) + dims
    return struct.pack("<IQIi", 0, 0, 0, len(described)) + described + array.tobytes()


CODES = {5: "<f4", 3: "<i8", 2: "<i4", 1: "<i2", 4: "<f2", 6: "<f8", 20: "u1", 21: "i1", 0: "?"}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("packed", [False, True])
def test_every_number_type_is_read(code: int, packed: bool) -> None:
    array = np.array([[1, 0, 1], [0, 1, 1]], CODES[code])
    read = read_pdiparams(record(array, code, packed=packed), ["w"])["w"]
    assert read.dtype == (np.float32 if code == 4 else array.dtype)
    np.testing.assert_array_equal(read, array)


def test_bfloat16_is_the_upper_half_of_a_float() -> None:
    halves = (np.array([1.5, -2.0, 0.0], "<f4").view("<u4") >> 16).astype("<u2")
    np.testing.assert_array_equal(read_pdiparams(record(halves, 22), ["w"])["w"], [1.5, -2.0, 0.0])


def test_a_swapped_graph_is_a_mismatch_with_both_shapes() -> None:
    error = refused(read_pdiparams, record(np.zeros((2, 3), "<f4"), 5), [TensorSpec("w", (3, 2), "float32")])
    assert error.name == "model_mismatch"
    assert "[2, 3]" in str(error) and "[3, 2]" in str(error)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_changed_parameters_are_read_or_refused_by_name(data: st.DataObject) -> None:
    good = bytearray(record(np.ones((2, 3), "<f4"), 5) + record(np.ones(4, "<i8"), 3))
    for _ in range(data.draw(st.integers(0, 5))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        arrays = read_pdiparams(bytes(good[: data.draw(st.integers(1, len(good)))]), ["a", "b"])
        assert all(math.prod(array.shape) == array.size for array in arrays.values())
    except ModelError as error:
        assert str(error).isprintable()


def test_fixture_files_of_both_formats_hold_the_same_parameters() -> None:
    for name in TINY:
        other: Path = MODELS / name / "legacy" / "inference.pdiparams"
        assert other.read_bytes() == parameters_bytes(name)
