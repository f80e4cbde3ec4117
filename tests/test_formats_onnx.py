"""Our model files: what is written is read back, and what a runtime might follow out of the file is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from passerby.errors import ModelError
from passerby.formats.metadata import InputRecipe, Label, ModelMetadata, Probe
from passerby.formats.onnx_file import read_onnx, write_onnx

LABELS = (Label(id="hat", en="Hat", zh="帽子"), Label(id="boots", en="Boots"))
METADATA = ModelMetadata(
    kind="attributes",
    name="mine",
    network="PP-LCNet x0.25",
    input=InputRecipe(height=8, width=6, interpolation="linear"),
    labels=LABELS,
    thresholds=(0.5, 0.25),
    card={"licence": "Apache-2.0"},
)
WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3, 1, 1)


def model(*, nodes: Any = None, initializers: Any = None, opset: int = 17, **changes: Any) -> onnx.ModelProto:
    """A small convolution network, or what the arguments make of it."""
    default = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        default if nodes is None else nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(WEIGHT, "w")] if initializers is None else initializers,
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)], **changes)


def refused(made: onnx.ModelProto) -> ModelError:
    with pytest.raises(ModelError) as caught:
        write_onnx(made, METADATA)
    with pytest.raises(ModelError) as again:
        read_onnx(made.SerializeToString(), input="m.onnx")
    assert again.value.input == "m.onnx"
    assert again.value.name == caught.value.name
    assert str(again.value).isprintable()
    return caught.value


def test_what_is_written_is_read_back_and_runs() -> None:
    probe = Probe(
        pixels_bgr=np.zeros((8, 6, 3), np.uint8),
        outputs={"y": (np.array([0]), np.zeros(1, np.float32))},
        tolerance=1e-4,
    )
    metadata = dataclasses.replace(METADATA, probe=probe)
    made = model()
    before = made.SerializeToString()
    file = read_onnx(write_onnx(made, metadata))
    assert made.SerializeToString() == before
    assert dataclasses.replace(file.metadata, probe=None) == METADATA
    assert file.metadata.probe is not None and file.metadata.probe.tolerance == 1e-4
    session = ort.InferenceSession(file.model_bytes, providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.ones((2, 3, 8, 6), np.float32)})[0].tolist() == [[3.0, 12.0]] * 2


def test_writing_again_replaces_the_metadata_and_keeps_other_notes() -> None:
    made = model()
    helper.set_model_props(made, {"author": "me", "passerby": "old"})
    loaded = onnx.load_from_string(write_onnx(made, METADATA))
    assert [entry.key for entry in loaded.metadata_props] == ["author", "passerby"]
    assert write_onnx(loaded, METADATA) == loaded.SerializeToString(deterministic=True)


def test_every_number_type_and_both_ways_of_storing_are_read() -> None:
    stored = [
        numpy_helper.from_array(np.array([1, 2], dtype), f"raw_{dtype}")
        for dtype in ("float32", "uint8", "int8", "int32", "int64", "bool", "float16", "float64")
    ]
    stored += [
        helper.make_tensor(f"typed_{code}", code, [2], [1, 2])
        for code in (TensorProto.FLOAT, TensorProto.INT8, TensorProto.INT32, TensorProto.INT64, TensorProto.DOUBLE)
    ]
    stored.append(helper.make_tensor("empty", TensorProto.FLOAT, [0], []))
    assert read_onnx(write_onnx(model(initializers=[numpy_helper.from_array(WEIGHT, "w"), *stored]), METADATA))


def tensor(**changes: Any) -> TensorProto:
    made = numpy_helper.from_array(WEIGHT, "w")
    for name, value in changes.items():
        if name == "dims":
            del made.dims[:]
            made.dims.extend(value)
        elif name == "external":
            made.external_data.add(key="location", value=value)
        else:
            setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"external": "../w.bin"}, "model_unsafe"),
        ({"data_location": TensorProto.EXTERNAL}, "model_unsafe"),
        ({"raw_data": WEIGHT.tobytes()[:-4]}, "model_corrupt"),
        ({"dims": [1 << 40, 1 << 20]}, "model_corrupt"),
        ({"dims": [-2, -3]}, "model_corrupt"),
        ({"dims": [1] * 7 + [6, 1]}, "model_corrupt"),
        ({"data_type": TensorProto.INT64}, "model_corrupt"),
        ({"data_type": TensorProto.STRING}, "model_unsupported"),
        ({"data_type": 99}, "model_unsupported"),
        ({"raw_data": np.full_like(WEIGHT, np.nan).tobytes()}, "model_not_finite"),
    ],
)
@pytest.mark.parametrize("inside", ["initializer", "constant"])
def test_a_tensor_that_is_not_whole_and_here_is_refused(changes: dict[str, Any], name: str, inside: str) -> None:
    if inside == "initializer":
        assert refused(model(initializers=[tensor(**changes)])).name == name
        return
    nodes = [helper.make_node("Constant", [], ["w"], value=tensor(**changes)), *model().graph.node]
    assert refused(model(nodes=nodes, initializers=[])).name == name


def test_operators_outside_the_list_are_named_with_their_count() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        *(helper.make_node("Foo", ["c"], [f"f{i}"]) for i in range(3)),
    ]
    error = refused(model(nodes=nodes))
    assert error.name == "model_unsupported" and "Foo (3 times)" in str(error)


def test_other_domains_functions_subgraphs_and_versions_are_refused() -> None:
    inner = helper.make_graph([], "inner", [], [])
    node = helper.make_node
    for made in (
        model(nodes=[node("Conv", ["x", "w"], ["y"], domain="com.microsoft")]),
        model(nodes=[node("Identity", ["x"], ["y"], body=inner)]),
        model(nodes=[node("Identity", ["x"], ["y"], bodies=[inner, inner])]),
        model(opset=999),
        model(functions=[helper.make_function("d", "F", [], [], [], [helper.make_opsetid("", 17)])]),
    ):
        assert refused(made).name == "model_unsupported"
    foreign = model()
    foreign.opset_import.add(domain="evil.ops", version=1)
    assert refused(foreign).name == "model_unsupported"
    newer = model()
    newer.ir_version = 99
    assert refused(newer).name == "model_unsupported"
    sparse = model()
    sparse.graph.sparse_initializer.add()
    assert refused(sparse).name == "model_unsupported"


def length_delimited(number: int, data: bytes) -> bytes:
    assert len(data) < 1 << 14
    return bytes([number << 3 | 2, len(data) & 127 | 128, len(data) >> 7]) + data


@pytest.mark.parametrize(
    ("again", "name"), [(b"\x22\x04Evil", "model_corrupt"), (b"\x3a\x04evil", "model_unsupported")]
)
def test_a_field_written_twice_cannot_hide(again: bytes, name: str) -> None:
    """Of an operator or a domain that stands twice, a parser takes the last one."""
    made = model(nodes=[])
    node = helper.make_node("Conv", ["x", "w"], ["y"], domain="ai.onnx").SerializeToString() + again
    graph = length_delimited(1, node) + made.graph.SerializeToString()
    made.ClearField("graph")
    with pytest.raises(ModelError) as caught:
        read_onnx(made.SerializeToString() + length_delimited(7, graph))
    assert caught.value.name == name


def test_two_graphs_are_not_merged() -> None:
    with pytest.raises(ModelError, match="2 graphs"):
        read_onnx(GOOD + length_delimited(7, b""))


def test_a_model_without_operators_and_an_input_beyond_the_limit_are_refused() -> None:
    assert refused(model(nodes=[])).name == "model_corrupt"
    large = model()
    large.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 8192
    assert refused(large).name == "model_too_large"


def test_metadata_that_do_not_say_enough_are_refused() -> None:
    for text, name in (
        ("{}", "model_corrupt"),
        ('{"kind": "weapon"}', "model_unsupported"),
        ('{"kind": "detector", "kind": "attributes"}', "model_corrupt"),
        ("[" * 40 + "]" * 40, "model_corrupt"),
        (" " * ((1 << 20) + 1), "model_too_large"),
    ):
        made = model()
        helper.set_model_props(made, {"passerby": text})
        with pytest.raises(ModelError) as caught:
            read_onnx(made.SerializeToString())
        assert caught.value.name == name
    evil = dataclasses.replace(METADATA, labels=(Label(id="a", en="\x1b[31m"), LABELS[0]))
    with pytest.raises(ModelError, match="control characters"):
        write_onnx(model(), evil)


def test_the_key_twice_is_refused() -> None:
    made = model()
    for _ in range(2):
        made.metadata_props.add(key="passerby", value="{}")
    with pytest.raises(ModelError, match="twice"):
        read_onnx(made.SerializeToString())


GOOD = write_onnx(model(), METADATA)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_changed_file_is_read_or_refused_by_name(data: st.DataObject) -> None:
    good = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 5))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_onnx(bytes(good[: data.draw(st.integers(1, len(good)))]))
    except ModelError as error:
        assert str(error).isprintable()
