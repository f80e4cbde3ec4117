# SPDX-License-Identifier: Apache-2.0
"""`inference.yml` as we write it: what our reader gives back, and what a plain YAML library sees."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from passerby.errors import ModelError
from passerby.formats.inference_yml import LABEL_CHARACTERS, InferenceYml, read_inference_yml
from passerby.formats.inference_yml_writer import CODES, write_inference_yml
from passerby.formats.metadata import InputRecipe

from .conftest import FIXTURES

words = st.text(min_size=1, max_size=LABEL_CHARACTERS).filter(str.isprintable)
sides = st.integers(1, 4096)
finite = st.floats(-1e6, 1e6)
shares = st.floats(0, 1)


@st.composite
def descriptions(draw: st.DrawFn) -> InferenceYml:
    labels = tuple(draw(st.lists(words, min_size=1, max_size=5)))
    positive = st.floats(1e-6, 1e6)
    recipe = InputRecipe(
        height=draw(sides),
        width=draw(sides),
        interpolation=draw(st.sampled_from(sorted(CODES))),
        mean=draw(st.tuples(finite, finite, finite)),
        std=draw(st.tuples(positive, positive, positive)),
    )
    name = draw(st.one_of(st.just(""), words))
    if draw(st.booleans()):
        draw_threshold = draw(shares)
        return InferenceYml(
            model_name=name,
            kind="detector",
            input=recipe,
            labels=labels,
            thresholds=(draw_threshold,) * len(labels),
            draw_threshold=draw_threshold,
        )
    thresholds = tuple(draw(st.lists(shares, min_size=len(labels), max_size=len(labels))))
    return InferenceYml(model_name=name, kind="attributes", input=recipe, labels=labels, thresholds=thresholds)


@given(descriptions())
def test_reading_gives_back_what_was_written(described: InferenceYml) -> None:
    assert read_inference_yml(write_inference_yml(described)) == described


@pytest.mark.parametrize("model", ["tiny_cls", "tiny_det"])
def test_the_originals_own_file_is_written_again_value_for_value(model: str) -> None:
    original = (FIXTURES / f"models/{model}/pir/inference.yml").read_bytes()
    ours = write_inference_yml(read_inference_yml(original))
    assert yaml.safe_load(ours) == yaml.safe_load(original)
    if model == "tiny_det":
        assert ours == original.replace(b"- pedestrian", b'- "pedestrian"').replace(
            b"model_name: PP-YOLOE-S_human", b'model_name: "PP-YOLOE-S_human"'
        )


def recipe(**changes: object) -> InputRecipe:
    return InputRecipe(height=64, width=32, interpolation="linear", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "described",
    [
        InferenceYml(
            model_name="", kind="attributes", input=recipe(colour_order="bgr"), labels=("a",), thresholds=(0.5,)
        ),
        InferenceYml(model_name="", kind="detector", input=recipe(), labels=("a", "b"), thresholds=(0.5, 0.6)),
    ],
)
def test_what_the_form_cannot_say_is_refused(described: InferenceYml) -> None:
    with pytest.raises(ModelError) as caught:
        write_inference_yml(described)
    assert caught.value.name == "model_unsupported"
