"""Weights from exported programs of both formats, and the programs that only look like our networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from passerby.errors import ModelError
from passerby.formats.graph import Operator, Program, TensorSpec
from passerby.formats.pdiparams import read_pdiparams
from passerby.formats.pdmodel import read_pdmodel
from passerby.formats.pdparams import read_pdparams
from passerby.formats.program import read_program_json
from passerby.networks import pplcnet, ppyoloe

from .conftest import FIXTURES

NETWORKS: dict[str, ModuleType] = {"tiny_det": ppyoloe, "tiny_cls": pplcnet}
Arrays = dict[str, NDArray[Any]]


def exported(name: str, form: str) -> tuple[Program, Arrays]:
    folder = FIXTURES / "models" / name / form
    if form == "pir":
        program = read_program_json((folder / "inference.json").read_bytes())
    else:
        program = read_pdmodel((folder / "inference.pdmodel").read_bytes())
    return program, read_pdiparams((folder / "inference.pdiparams").read_bytes(), program.parameters)


@pytest.mark.parametrize("form", ["pir", "legacy"])
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_exports_hold_the_training_weights_merged(name: str, form: str) -> None:
    network = NETWORKS[name]
    found = network.weights_from_program(*exported(name, form))
    trained = read_pdparams((FIXTURES / f"models/{name}/{name}.pdparams").read_bytes())
    wanted = network.reparameterise(trained)
    assert set(found) == set(wanted)
    for key, array in wanted.items():
        if key in trained:
            np.testing.assert_array_equal(found[key], array, err_msg=key)
        else:  # merged by Paddle in float32, by us in float64
            np.testing.assert_allclose(found[key], array, rtol=1e-5, atol=1e-6, err_msg=key)


def changed(program: Program, change: Callable[[Operator], Operator]) -> Program:
    return dataclasses.replace(program, operators=tuple(change(operator) for operator in program.operators))


def with_attribute(program: Program, kind: str, name: str, value: Any) -> Program:
    """The program with one attribute changed in every operator of a kind."""
    return changed(
        program,
        lambda op: dataclasses.replace(op, attributes={**op.attributes, name: value}) if op.kind == kind else op,
    )


def with_kind(program: Program, old: str, new: str) -> Program:
    return changed(program, lambda op: dataclasses.replace(op, kind=new) if op.kind == old else op)


CHANGES: dict[str, tuple[str, Callable[[Program], Program]]] = {
    "epsilon": ("tiny_det", lambda p: with_attribute(p, "batch_norm", "epsilon", 1e-3)),
    "stride": ("tiny_det", lambda p: with_attribute(p, "conv2d", "strides", (1, 1))),
    "uneven stride": ("tiny_cls", lambda p: with_attribute(p, "depthwise_conv2d", "strides", (2, 1))),
    "dilation": ("tiny_det", lambda p: with_attribute(p, "conv2d", "dilations", (2, 2))),
    "activation": ("tiny_det", lambda p: with_kind(p, "swish", "relu")),
    "dropout mode": ("tiny_cls", lambda p: with_attribute(p, "dropout", "mode", "upscale_in_train")),
    "dropout share": ("tiny_cls", lambda p: with_attribute(p, "dropout", "p", 0.5)),
    "no dropout": ("tiny_cls", lambda p: with_kind(p, "dropout", "flatten")),
    "no norm": ("tiny_cls", lambda p: with_kind(p, "batch_norm", "flatten")),
    "fewer layers": (
        "tiny_det",
        lambda p: dataclasses.replace(p, operators=tuple(op for op in p.operators if op.kind != "batch_norm")),
    ),
    "one parameter more": (
        "tiny_cls",
        lambda p: dataclasses.replace(p, parameters=(*p.parameters, TensorSpec("extra_0", (3,)))),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_programs_that_would_compute_something_else_are_refused(change: str) -> None:
    name, apply = CHANGES[change]
    program, parameters = exported(name, "pir")
    with pytest.raises(ModelError) as caught:
        NETWORKS[name].weights_from_program(apply(program), parameters)
    assert caught.value.name == "model_mismatch"
    assert "is not PP-" in caught.value.message


@pytest.mark.parametrize(("name", "other"), [("tiny_det", pplcnet), ("tiny_cls", ppyoloe)])
def test_a_program_of_the_other_network_is_refused(name: str, other: ModuleType) -> None:
    with pytest.raises(ModelError) as caught:
        other.weights_from_program(*exported(name, "pir"))
    assert caught.value.name == "model_mismatch"


def test_parameters_of_another_width_are_refused() -> None:
    program, parameters = exported("tiny_cls", "pir")
    name = next(spec.name for spec in program.parameters if spec.shape == (26,))
    with pytest.raises(ModelError) as caught:
        pplcnet.weights_from_program(program, {**parameters, name: parameters[name][:5]})
    assert caught.value.name == "model_mismatch" and "fc.bias" in caught.value.message
