"""Device strings."""

from __future__ import annotations

import pytest

from passerby.devices import Device, parse_device
from passerby.errors import ArgumentError, EngineError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("auto", None),
        ("cpu", Device("cpu")),
        ("gpu", Device("gpu", 0)),
        ("gpu:3", Device("gpu", 3)),
        ("cuda:1", Device("gpu", 1)),
        ("npu:0", Device("npu", 0)),
        ("xpu:12", Device("xpu", 12)),
    ],
)
def test_good(text: str | None, expected: Device | None) -> None:
    assert parse_device(text) == expected


@pytest.mark.parametrize(
    "text", ["", "GPU", "cpu:0", "gpu:", "gpu:x", "gpu:-1", "gpu:1:2", "gpu 0", "tpu", "gpu:²", "gpu:9999"]
)
def test_bad(text: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_device(text)
    assert caught.value.name == "bad_device_name"
    assert caught.value.hint


def test_a_typo_gets_a_guess() -> None:
    with pytest.raises(ArgumentError, match="did you mean gpu"):
        parse_device("gpuu:0")


def test_several_devices_are_refused_not_ignored() -> None:
    with pytest.raises(EngineError, match="one device at a time"):
        parse_device("gpu:0,1")
