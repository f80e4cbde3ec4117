"""Full-size networks with seeded weights: each stage against the real Paddle stack.

Tolerances are those of the golden data's README for another float32 engine, tighter than those the project promises
(raw scores 5e-3, boxes 0.1 px, attributes 1e-4).
"""

from __future__ import annotations

import gzip
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from passerby.detector import Detector
from passerby.formats.program import read_program_json
from passerby.networks import pplcnet, ppyoloe

from . import measure
from .measure import CLASSIFIER, DETECTORS, Golden

NETWORKS: dict[str, ModuleType] = {
    CLASSIFIER: pplcnet,
    DETECTORS["S"]: ppyoloe,
    DETECTORS["L"]: ppyoloe,
}
SCORE, BOX_PX, PROBABILITY = 2e-4, 0.05, 1e-4


@pytest.mark.parametrize("model", NETWORKS)
def test_seeded_weights_are_the_recorded_ones(golden: Golden, model: str) -> None:
    state = golden.weights(model)
    assert golden.generator.fingerprint(state) == golden.parameters(model)["seeded_state_sha256"]


@pytest.mark.parametrize("model", NETWORKS)
def test_parameters_have_paddles_names_shapes_and_order(golden: Golden, model: str) -> None:
    network, listed = NETWORKS[model], golden.parameters(model)
    size = network.Architecture.from_weights(golden.weights(model))
    training = [(entry["name"], tuple(entry["shape"])) for entry in listed["training"]]
    assert list(network.parameter_shapes(size, deploy=False).items()) == training
    merged = {entry["source"]: tuple(entry["shape"]) for entry in listed["inference"] if entry.get("source")}
    assert network.parameter_shapes(size, deploy=True) == merged


@pytest.mark.parametrize("model", NETWORKS)
def test_merged_weights_equal_paddles_to_the_last_bits(golden: Golden, model: str) -> None:
    state = golden.weights(model)
    merged, wanted = NETWORKS[model].reparameterise(state), golden.generator.deploy(state)
    assert set(merged) == set(wanted)
    assert max(measure.largest(merged[name], wanted[name]) for name in wanted) < 1e-6


@pytest.mark.parametrize("variant", ["", "_dynamic"])
@pytest.mark.parametrize("model", NETWORKS)
def test_exported_programs_give_every_weight_its_name(golden: Golden, model: str, variant: str) -> None:
    path = golden.folder / "graphs" / model / f"inference{variant}.json.gz"
    if variant and model == CLASSIFIER:
        assert not path.exists()
        return
    state = golden.weights(model)
    program = read_program_json(gzip.decompress(path.read_bytes()))
    found = NETWORKS[model].weights_from_program(program, golden.generator.inference_tensors(model, state, variant))
    wanted = golden.generator.deploy(state)
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_pictures_decode_to_the_recorded_bytes(golden: Golden) -> None:
    same = measure.decoding(golden)
    assert len(same) == 12
    assert all(same[name] for name in same if name.endswith(".png"))
    # JPEG depends on the decoder; all releases of OpenCV that we allow agree with the recorded one so far
    assert all(same.values()), [name for name in same if not same[name]]


def test_detector_inputs_have_the_recorded_bytes(golden: Golden) -> None:
    same = measure.input_tensors(golden)
    assert len(same) == 12 and all(same.values()), [name for name in same if not same[name]]


def test_classifier_inputs_have_the_recorded_bytes(golden: Golden) -> None:
    crops = list(measure.crop_tensors(golden))
    assert len(crops) == 20
    assert all(measure.sha256(tensor) == recorded for tensor, recorded in crops)


@pytest.mark.parametrize("size", ["S", pytest.param("L", marks=pytest.mark.slow)])
def test_detector_layers(golden: Golden, size: str) -> None:
    for name, (ours, theirs) in measure.detector_layers(golden, size).items():
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4, err_msg=name)


def test_classifier_layers(golden: Golden) -> None:
    for name, (ours, theirs) in measure.classifier_layers(golden).items():
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4, err_msg=name)


def test_attributes_of_twenty_crops(golden: Golden, folder: Path) -> None:
    ours, theirs = measure.attributes(golden, golden.load(CLASSIFIER, folder / "classifier"))
    assert ours.shape == (20, 26)
    assert measure.largest(ours, theirs) < PROBABILITY


def check_raw(golden: Golden, size: str, detector: Detector) -> None:
    for raw in measure.raw_detections(golden, size, detector, measure.pictures_of(golden, size)):
        assert raw.score < SCORE, raw
        assert raw.box_px < BOX_PX, raw
        assert raw.same_rows and raw.row_box_px < BOX_PX, raw


def test_detector_s_and_its_suppression_on_all_pictures(golden: Golden, detector_s: Detector) -> None:
    check_raw(golden, "S", detector_s)


@pytest.mark.slow
def test_detector_l_and_its_suppression_on_three_pictures(golden: Golden, folder: Path) -> None:
    check_raw(golden, "L", measure.detector(golden, "L", folder / "detector_l"))
