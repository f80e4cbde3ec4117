"""Pixels to tensors, bit-equal to PaddleX."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.formats.metadata import InputRecipe
from passerby.preprocess import resize, to_network_input

from .conftest import FIXTURES, shared

DETECTOR_320 = InputRecipe(height=320, width=320, interpolation="cubic")
DETECTOR_640 = InputRecipe(height=640, width=640, interpolation="cubic")
CLASSIFIER = InputRecipe(height=256, width=192, interpolation="linear")
RECIPES = {"det320": DETECTOR_320, "det640": DETECTOR_640, "cls": CLASSIFIER}


def every_grey_level() -> np.ndarray:
    """(16, 16, 3) uint8 holding every value in every channel, each in another order."""
    levels = np.arange(256, dtype=np.uint8)
    return np.stack([levels, levels[::-1], np.roll(levels, 100)], axis=-1).reshape(16, 16, 3)


def test_every_value_becomes_paddlex_number_to_the_bit() -> None:
    with np.load(FIXTURES / "preproc/normalize_lut.npz") as tables:
        detector, classifier = tables["det_rgb"], tables["cls_rgb"]
    np.testing.assert_array_equal(detector, classifier)
    image = every_grey_level()
    tensor = to_network_input(image, InputRecipe(height=16, width=16, interpolation="linear"))
    assert tensor.shape == (1, 3, 16, 16) and tensor.dtype == np.float32 and tensor.flags.c_contiguous
    for channel in range(3):
        np.testing.assert_array_equal(tensor[0, channel], detector[image[..., 2 - channel], channel])


def test_bgr_networks_get_the_planes_in_the_order_of_the_image() -> None:
    image = every_grey_level()
    plain = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    recipe = InputRecipe(height=16, width=16, interpolation="linear", colour_order="bgr", **plain)
    tensor = to_network_input(image, recipe)
    np.testing.assert_allclose(tensor[0].transpose(1, 2, 0), image / 255.0, atol=1e-7)


def recorded_pictures() -> dict[str, np.ndarray]:
    """The pictures whose decoded pixels equal the recorded ones here, by file name."""
    folder = shared("fixtures/preproc")
    found = {}
    for name, case in EXPECTED().items():
        image = cv2.imread(str(folder / "src" / name), cv2.IMREAD_COLOR) if "." in name else None
        if image is not None and sha256(image) == case.get("decoded_bgr", {}).get("sha256"):
            found[name] = image
    return found


def EXPECTED() -> dict[str, Any]:  # noqa: N802
    cases: dict[str, Any] = json.loads(shared("fixtures/preproc/expected.json").read_text("utf-8"))
    return cases


def test_recorded_pictures_of_the_classifier_are_bit_equal() -> None:
    pictures, expected = recorded_pictures(), EXPECTED()
    assert len(pictures) >= 20, sorted(pictures)
    for name, image in pictures.items():
        assert sha256(resize(image, CLASSIFIER)[..., ::-1]) == expected[name]["cls"]["resized_u8_sha256"], name
        assert sha256(to_network_input(image, CLASSIFIER)) == expected[name]["cls"]["tensor_sha256"], name


@pytest.mark.parametrize("kind", ["det320", "det640"])
def test_recorded_pictures_of_the_detector_are_equal_but_for_opencvs_rounding(kind: str) -> None:
    """OpenCV's cubic resize rounds a few halves by the CPU (its IPP picks the code); nothing else may differ."""
    folder, expected = shared("fixtures/preproc"), EXPECTED()
    with np.load(folder / "det640_samples.npz") as archive:
        samples = dict(archive)
    exact = 0
    for name, image in recorded_pictures().items():
        tensor = to_network_input(image, RECIPES[kind])
        if sha256(resize(image, RECIPES[kind])[..., ::-1]) == expected[name][kind]["resized_u8_sha256"]:
            assert sha256(tensor) == expected[name][kind].get("tensor_sha256", sha256(tensor)), name
            exact += 1
        if kind == "det640":
            np.testing.assert_array_equal(tensor.ravel()[samples["det640_index"]], samples[name.replace(".", "_")])
        elif "resized" in expected[name][kind]:
            recorded = cv2.imread(str(folder / expected[name][kind]["resized"]), cv2.IMREAD_COLOR)
            difference = np.abs(recorded.astype(int) - resize(image, RECIPES[kind]))
            assert difference.max() <= 1 and np.count_nonzero(difference) <= 3, name
            assert sha256(to_network_input(recorded, RECIPES[kind])) == expected[name][kind]["tensor_sha256"], name
    assert exact >= 3


def test_the_detectors_tensors_are_bit_equal_with_the_instructions_of_the_reference() -> None:
    """OPENCV_IPP=avx2 is what the recording machine used; it must be set before OpenCV is loaded."""
    if not cv2.__version__.startswith("4.10"):
        pytest.skip(f"the reference is OpenCV 4.10, this is {cv2.__version__}")
    if platform.machine() != "x86_64":
        pytest.skip("IPP exists on x86 only")
    folder = shared("fixtures/preproc")
    done = subprocess.run(
        [sys.executable, "-c", RECORDED_TENSORS, str(folder)],
        env={**os.environ, "OPENCV_IPP": "avx2"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 40


RECORDED_TENSORS = """
import hashlib, json, sys
from pathlib import Path
import cv2
from passerby.formats.metadata import InputRecipe
from passerby.preprocess import to_network_input
folder, compared = Path(sys.argv[1]), 0
for name, case in json.loads((folder / "expected.json").read_text("utf-8")).items():
    image = cv2.imread(str(folder / "src" / name), cv2.IMREAD_COLOR) if "." in name else None
    if image is None or hashlib.sha256(image.tobytes()).hexdigest() != case.get("decoded_bgr", {}).get("sha256"):
        continue
    for kind, side in (("det320", 320), ("det640", 640)):
        if "tensor_sha256" in case.get(kind, {}):
            tensor = to_network_input(image, InputRecipe(height=side, width=side, interpolation="cubic"))
            assert hashlib.sha256(tensor.tobytes()).hexdigest() == case[kind]["tensor_sha256"], (name, kind)
            compared += 1
print(compared)
"""


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(["linear", "cubic", "nearest", "area", "lanczos"]))
@settings(max_examples=40, deadline=None)
def test_a_batch_buffer_gets_what_a_single_call_gives(height: int, width: int, interpolation: str) -> None:
    image = np.random.default_rng(height * 61 + width).integers(0, 256, (height, width, 3), np.uint8)
    recipe = InputRecipe(height=32, width=24, interpolation=interpolation)  # type: ignore[arg-type]
    batch = np.full((3, 3, 32, 24), np.nan, np.float32)
    given_back = to_network_input(image, recipe, out=batch[1:2])
    assert np.shares_memory(given_back, batch)
    np.testing.assert_array_equal(batch[1:2], to_network_input(image, recipe))
    assert np.isnan(batch[[0, 2]]).all(), "the neighbours stay untouched"


def test_views_and_read_only_images_give_what_their_copies_give() -> None:
    image = np.random.default_rng(5).integers(0, 256, (90, 70, 3), np.uint8)
    crop = image[10:60, 20:50]
    wanted = to_network_input(crop.copy(), CLASSIFIER)
    np.testing.assert_array_equal(to_network_input(crop, CLASSIFIER), wanted)
    frozen = image.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(to_network_input(frozen[10:60, 20:50], CLASSIFIER), wanted)
    flipped = np.ascontiguousarray(crop[:, ::-1])[:, ::-1]
    np.testing.assert_array_equal(to_network_input(flipped, CLASSIFIER), wanted)


@pytest.mark.parametrize("bad", ["shape", "dtype", "strides"])
def test_a_buffer_that_does_not_fit_is_refused(bad: str) -> None:
    buffers = {
        "shape": np.empty((1, 3, 192, 256), np.float32),
        "dtype": np.empty((1, 3, 256, 192), np.float64),
        "strides": np.empty((1, 3, 256, 384), np.float32)[..., ::2],
    }
    with pytest.raises(ValueError, match="C-contiguous float32"):
        to_network_input(every_grey_level(), CLASSIFIER, out=buffers[bad])
