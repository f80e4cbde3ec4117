"""YAML as plain data: what is read, what is refused, and where a problem stands."""

from __future__ import annotations

import datetime
import math
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from passerby.formats.safe_yaml import YamlLimits, YamlProblem, load_yaml

from .conftest import CORPUS

# What this layer must say about the files of the corpus that are no acceptable YAML; the others must load.
REFUSED = {
    "anchor_bomb": ("invalid", "alias"),
    "anchor_recursive": ("invalid", "alias"),
    "binary": ("unreadable", "UTF-8"),
    "deep": ("invalid", "depth"),
    "duplicate_key": ("invalid", "line 9"),
    "duplicate_section": ("invalid", "line 3"),
    "empty": ("invalid", "empty"),
    "indent": ("invalid", "YAML"),
    "key_list": ("invalid", "key"),
    "latin1": ("unreadable", "byte 372"),
    "nul": ("unreadable", "control character"),
    "only_comment": ("invalid", "empty"),
    "tab": ("invalid", "column 1"),
    "tag_binary_tag": ("invalid", "tag"),
    "tag_custom_tag": ("invalid", "tag"),
    "tag_python_apply": ("invalid", "tag"),
    "tag_python_module": ("invalid", "tag"),
    "tag_python_name": ("invalid", "tag"),
    "tag_python_new": ("invalid", "tag"),
    "tag_python_tuple": ("invalid", "tag"),
    "two_documents": ("invalid", "one document"),
    "unclosed": ("invalid", "']'"),
}


@pytest.mark.parametrize("path", sorted((CORPUS / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_of_the_corpus_is_read_or_refused_for_the_right_reason(path: Path) -> None:
    begun = time.monotonic()
    if path.stem not in REFUSED:
        assert load_yaml(path.read_bytes()).lines[()] >= 1
        return
    with pytest.raises(YamlProblem) as caught:
        load_yaml(path.read_bytes())
    kind, words = REFUSED[path.stem]
    assert caught.value.kind == kind
    assert words in caught.value.text
    assert time.monotonic() - begun < 1.0


def test_a_duplicate_key_names_both_lines_and_its_path() -> None:
    with pytest.raises(YamlProblem) as caught:
        load_yaml(b"a:\n  b: 1\n  c: 2\n  b: 3\n")
    assert caught.value.line == 4
    assert "line 2" in caught.value.text
    assert caught.value.path == ("a", "b")


def test_every_value_knows_its_line() -> None:
    loaded = load_yaml(b"# top\na:\n  b: [1,\n    2]\n  c: &x\n    d: 1\ne: *x\n")
    assert loaded.value == {"a": {"b": [1, 2], "c": {"d": 1}}, "e": {"d": 1}}
    assert loaded.lines == {
        (): 2,
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "b", 0): 3,
        ("a", "b", 1): 4,
        ("a", "c"): 5,
        ("a", "c", "d"): 6,
        ("e",): 7,
        ("e", "d"): 6,
    }


def test_an_alias_is_a_copy_of_its_own() -> None:
    value = load_yaml(b"a: &x [1]\nb: *x\n").value
    value["a"].append(2)
    assert value["b"] == [1]


def test_merge_keys_add_what_is_not_there() -> None:
    loaded = load_yaml(b"p: &p {a: 1, b: 2}\nq: &q {b: 3, c: 4}\nr:\n  <<: [*p, *q]\n  a: 0\n")
    assert loaded.value["r"] == {"a": 0, "b": 2, "c": 4}
    assert loaded.lines[("r", "c")] == 2
    with pytest.raises(YamlProblem, match="merge"):
        load_yaml(b"<<: 1\n")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8e-4", 8e-4),
        ("8E4", 8e4),
        ("1_000.5", 1000.5),
        ("-.5", -0.5),
        ("0x1F", 31),
        ("010", 8),
        ("08", "08"),
        ("0b11", 3),
        ("1:30", 90),
        ("1:30.5", 90.5),
        ("-12", -12),
        ("+3", 3),
        ("0,5", "0,5"),
        ("50%", "50%"),
        ("e5", "e5"),
        (".", "."),
        ("0.5.1", "0.5.1"),
        ("2024-01-01", "2024-01-01"),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("yes", True),
        ("Off", False),
        ("~", None),
        ("", None),
        ("'0.5'", "0.5"),
        ("'yes'", "yes"),
        ("!!str 5", "5"),
        ("!!int '5'", 5),
        ("!!float 5", 5.0),
        ("! 5", "5"),
    ],
)
def test_scalars_mean_what_yaml_1_1_says_plus_exponents(text: str, value: Any) -> None:
    got = load_yaml(f"a: {text}\n".encode()).value["a"]
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "!!int x",
        "!!int 1.5",
        "!!bool 1",
        "!!seq x",
        "!!str [1]",
        "!!map [1]",
        "1" * 401,
        '"\\ud800"',
        '"\\UFFFFFFFF"',
        "*nobody",
        "{<<: *nobody}",
        "!foo!bar x",
    ],
)
def test_what_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(YamlProblem) as caught:
        load_yaml(f"a: {text}\n".encode())
    assert caught.value.kind == "invalid"


def test_limits_hold() -> None:
    tight = YamlLimits(bytes=40, levels=2, nodes=5)
    assert load_yaml(b"a: [1, 2]", limits=tight).value == {"a": [1, 2]}
    with pytest.raises(YamlProblem, match="bytes"):
        load_yaml(b"a" * 41, limits=tight)
    with pytest.raises(YamlProblem, match="depth"):
        load_yaml(b"a: [[1]]", limits=tight)
    with pytest.raises(YamlProblem, match="5 values"):
        load_yaml(b"a: [1, 2, 3]", limits=tight)


def test_a_version_number_of_thousands_of_digits_is_a_problem_not_a_crash() -> None:
    with pytest.raises(YamlProblem):
        load_yaml(b"%YAML 1." + b"9" * 5000 + b"\n--- a\n")


# `8e-4` is a number here and text to YAML 1.1, which therefore writes such text without quotes.
EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+")

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False)
    | st.text(st.characters(blacklist_categories=["Cs"]), max_size=8).filter(lambda t: not EXPONENT.fullmatch(t)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcXYZ_<=~0", max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN, st.booleans())
def test_what_is_written_is_read_back(value: Any, flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow)
    assert load_yaml(text.encode()).value == value


@given(st.text("+-.0123456789eE_:xboaf", min_size=1, max_size=8).filter(lambda t: t[0] not in "-:" or t[1:2].isdigit()))
def test_plain_numbers_agree_with_the_yaml_library(text: str) -> None:
    try:
        theirs = yaml.safe_load(f"[{text}]")
    except (yaml.YAMLError, ValueError):
        return
    if not isinstance(theirs, list) or len(theirs) != 1:
        return
    ours = load_yaml(f"[{text}]".encode()).value
    if isinstance(theirs[0], (int, float)):
        assert ours == theirs
    elif isinstance(theirs[0], str) and not isinstance(ours[0], str):
        assert "e" in text.lower()  # the one form read beyond YAML 1.1
    elif isinstance(theirs[0], datetime.date):
        assert ours == [text]


@given(st.binary(max_size=60) | st.text("{}[]&*!:-<>|\"'%#\n\t ab0?,~\\", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        load_yaml(data)
    except YamlProblem as problem:
        assert problem.text.isprintable()
