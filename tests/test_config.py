"""The pipeline's YAML: what it means, and what one report says about everything wrong in it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.config import PIPELINE_NAMES, builtin_config, load_pipeline_config
from passerby.config_schema import guess
from passerby.errors import ArgumentError, ConfigError, PasserbyError
from passerby.formats.safe_yaml import load_yaml
from passerby.models.catalogue import ENTRIES

from .conftest import CORPUS

NAME = "pedestrian_attribute_recognition"


def config(**stages: Any) -> dict[str, Any]:
    return {"pipeline_name": NAME, "SubModules": stages}


def problem(source: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load_pipeline_config(source)
    assert caught.value.name == "config_invalid"
    return caught.value.message


def test_the_tutorials_file_means_the_official_models() -> None:
    loaded = load_pipeline_config(CORPUS / "config" / "seed.yaml")
    assert loaded.detection.model_name == "PP-YOLOE-L_human"
    assert loaded.classification.model_name == "PP-LCNet_x1_0_pedestrian_attribute"
    assert (loaded.detection.model_dir, loaded.detection.batch_size, loaded.detection.threshold) == (None, 1, 0.5)
    assert loaded.classification.threshold == 0.7
    assert loaded.raw["SubModules"]["Detection"]["model_name"] == "PP-YOLOE-L_human"


def test_the_builtin_pipeline_names_shipped_models_and_explains_every_key() -> None:
    loaded = load_pipeline_config(NAME)
    assert ENTRIES[loaded.detection.model_name].shipped
    assert ENTRIES[loaded.classification.model_name].shipped
    text = builtin_config(NAME).decode("utf-8")
    keys = load_yaml(text.encode()).lines
    for path, line in keys.items():
        if path:
            assert text.splitlines()[line - 2].strip().startswith("#"), f"{path} has no comment above it"


def test_left_out_keys_have_the_values_of_the_builtin_file() -> None:
    assert load_pipeline_config(config()).detection == load_pipeline_config(NAME).detection
    assert load_pipeline_config(config()).classification == load_pipeline_config(NAME).classification


def test_a_relative_model_dir_starts_at_the_working_directory(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"pipeline_name: {NAME}\nSubModules:\n  Detection:\n    model_name: mine\n    model_dir: weights\n")
    assert load_pipeline_config(file).detection.model_dir == Path("weights")


def test_whole_numbers_and_numpy_numbers_are_thresholds() -> None:
    loaded = load_pipeline_config(config(Detection={"threshold": 1}, Classification={"threshold": np.float32(0.25)}))
    assert loaded.detection.threshold == 1.0
    assert loaded.classification.threshold == 0.25


def test_thresholds_by_number_and_by_label() -> None:
    given_ = {"default": 1, 3: 0.5, "7": 0.4, "hat": 0.2}
    loaded = load_pipeline_config(config(Classification={"threshold": given_}))
    assert loaded.classification.threshold == {"default": 1.0, 3: 0.5, 7: 0.4, "hat": 0.2}


def test_a_stage_overrides_what_the_pipeline_says() -> None:
    source = config(Detection={"use_hpip": False}) | {"use_hpip": True, "engine": "onnxruntime"}
    loaded = load_pipeline_config(source)
    assert (loaded.detection.use_hpip, loaded.classification.use_hpip) == (False, True)
    assert loaded.detection.engine == "onnxruntime"


def test_all_problems_come_in_one_report_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(
        f"pipeline_name: {NAME}\nSubModules:\n  Detection:\n    treshold: 0.5\n    batch_size: 0\n"
        "    model_name: PP-YOLOE-L-human\n  Classification:\n    threshold: .nan\nServing:\n  visualize: 1\n"
    )
    message = problem(file)
    assert str(file) in message
    for expected in (
        "5 problems",
        "SubModules.Detection.treshold: unknown key, did you mean threshold? (line 4)",
        "SubModules.Detection.batch_size: must be at least 1, not 0 (line 5)",
        "SubModules.Detection.model_name: unknown model PP-YOLOE-L-human, did you mean PP-YOLOE-L_human? (line 6)",
        "SubModules.Classification.threshold: must be a finite number, not nan (line 8)",
        "Serving.visualize: must be true or false (line 10)",
    ):
        assert expected in message


def test_a_stage_at_the_top_of_the_file_is_told_where_it_belongs() -> None:
    assert "it belongs in SubModules" in problem({"pipeline_name": NAME, "Detection": {}})
    assert "it belongs at the top of the file" in problem(config(Detection={"Serving": {}}))


def test_own_models_may_have_any_name() -> None:
    loaded = load_pipeline_config(config(Detection={"model_name": "mine", "model_dir": "x"}))
    assert loaded.detection.model_name == "mine"
    assert "unknown model mine" in problem(config(Detection={"model_name": "mine"}))


def test_text_of_a_file_is_escaped_and_cut_where_it_is_shown() -> None:
    message = problem({"pipeline_name": NAME, "\x1b[31m" + "a" * 500: 1})
    assert "\x1b" not in message
    assert "a" * 81 not in message


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("nothing", "unknown_pipeline"),
        ("pedestrian_atribute_recognition", "unknown_pipeline"),
        ("no/such.yaml", "config_missing"),
        ("tests", "unknown_pipeline"),
        (Path("tests"), "config_unreadable"),
        ("zero\0.yaml", "config_unreadable"),
        (7, "bad_argument"),
    ],
)
def test_what_is_no_pipeline_has_its_own_name(source: Any, name: str) -> None:
    with pytest.raises(PasserbyError) as caught:
        load_pipeline_config(source)
    assert caught.value.name == name


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "x.yaml")
    with pytest.raises(ConfigError, match="config_unreadable"):
        load_pipeline_config(tmp_path / "x.yaml")


def test_a_word_of_a_megabyte_is_no_typo_and_costs_no_time() -> None:
    begun = time.monotonic()
    with pytest.raises(ArgumentError):
        load_pipeline_config({"pipeline_name": "x" * 1_000_000})
    problem({"pipeline_name": NAME, "x" * 1_000_000: 1})
    assert time.monotonic() - begun < 1.0


def test_a_guess_ignores_case_and_dashes() -> None:
    assert guess("Batch-Size", ["batch_size", "threshold"]) == "batch_size"
    assert guess("colour", ["batch_size", "threshold"]) is None


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
keys = st.sampled_from(["pipeline_name", "SubModules", "Detection", "threshold", "batch_size", "model_dir", "Serving"])
trees = st.recursive(
    scalars | st.just(NAME),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=4) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=100)
@given(source=st.dictionaries(keys, trees, max_size=4), named=st.booleans())
def test_any_tree_is_a_configuration_or_a_named_error(source: dict[Any, Any], named: bool) -> None:
    if named:
        source = source | {"pipeline_name": NAME}
    try:
        assert load_pipeline_config(source).pipeline_name in PIPELINE_NAMES
    except PasserbyError as error:
        assert error.name in ("config_invalid", "unknown_pipeline")
        assert "\n" not in error.message
