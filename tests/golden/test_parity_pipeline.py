"""The whole pipeline on picture files: the persons, boxes and labels that PaddleX printed."""

from __future__ import annotations

import numpy as np
import pytest

from passerby import Pipeline

from . import measure
from .measure import Final, Golden

SETTINGS = ("det0.5_cls0.7", "det0.3_cls0.5", "det0.9_cls0.9", "det0.5_clsdict")
FEW = ("keeper.jpg", "walk1.png", "zidane.jpg")


def check(final: Final) -> None:
    assert not final.unmatched, final.unmatched
    assert not final.other_labels, final.other_labels
    assert final.box_px < 0.05 and final.det_score < 2e-4, final
    assert final.probability < 1e-4 and final.score_shown < 1e-4 + 1e-5, final  # theirs are rounded to 1e-5
    # what the tolerance excepts must stay the exception: one label in a thousand, of 26 a person
    assert final.near_cls_threshold <= np.ceil(26 * final.label_sets_compared / 1000), final
    assert final.near_det_threshold <= 2, final
    assert final.same_crop >= 0.98 * final.persons, final


@pytest.mark.parametrize("setting", SETTINGS)
def test_three_pictures(golden: Golden, pipeline_s: Pipeline, setting: str) -> None:
    final = measure.final_results(golden, "S", pipeline_s, setting, FEW)
    check(final)
    assert (
        final.persons == {"det0.5_cls0.7": 72, "det0.3_cls0.5": 219, "det0.9_cls0.9": 1, "det0.5_clsdict": 72}[setting]
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("setting", SETTINGS)
def test_all_pictures(golden: Golden, pipeline_s: Pipeline, setting: str) -> None:
    check(measure.final_results(golden, "S", pipeline_s, setting, measure.pictures_of(golden, "S")))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("setting", SETTINGS)
def test_l_on_three_pictures(golden: Golden, pipeline_l: Pipeline, setting: str) -> None:
    check(measure.final_results(golden, "L", pipeline_l, setting, measure.pictures_of(golden, "L")))
