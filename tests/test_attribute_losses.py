# SPDX-License-Identifier: Apache-2.0
"""The losses of the attribute network against values and gradients of the original's code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from passerby.training.attribute_losses import (  # noqa: E402
    feature_loss,
    masked_soft_loss,
    multi_label_loss,
    ratio_weights,
)

FIXTURE = Path(__file__).parent / "data/fixtures/train/multilabel_loss.npz"


@pytest.fixture(scope="module")
def reference():
    with np.load(FIXTURE) as stored:
        return {key: stored[key] for key in stored.files}


def value_and_gradient(logits, target, *, weighted, size_sum):
    z = torch.tensor(logits, requires_grad=True)
    t = torch.tensor(target)
    loss = multi_label_loss(z, t[:, 0], t[:, 1] if weighted else None, size_sum=size_sum)
    loss.backward()
    return loss.item(), z.grad.numpy()


@pytest.mark.parametrize("labels", ["labels01", "labels_with_-1_and_2"])
@pytest.mark.parametrize(
    ("setting", "weighted", "size_sum"),
    [("weighted_sum", True, True), ("weighted_mean", True, False), ("plain_sum", False, True)],
)
def test_value_and_gradient_are_the_originals(reference, setting, weighted, size_sum, labels):
    target = reference["target" if labels == "labels01" else "target_odd"]
    loss, gradient = value_and_gradient(reference["logits"], target, weighted=weighted, size_sum=size_sum)
    assert loss == pytest.approx(float(reference[f"{setting}|{labels}|loss"]), rel=1e-5)
    np.testing.assert_allclose(gradient, reference[f"{setting}|{labels}|grad"], rtol=1e-4, atol=1e-6)


def test_extreme_logits_stay_finite(reference):
    loss, gradient = value_and_gradient(
        reference["extreme_logits"], reference["extreme_target"], weighted=True, size_sum=True
    )
    assert loss == pytest.approx(float(reference["extreme_loss"]), rel=1e-5)
    # At a logit of exactly 0 the original's gradient has the wrong sign for some targets (an artefact of its |z|);
    # a finite difference shows ours to be right there.
    smooth = reference["extreme_logits"] != 0
    np.testing.assert_allclose(gradient[smooth], reference["extreme_grad"][smooth], rtol=1e-4, atol=1e-6)
    z = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: multi_label_loss(v, torch.zeros(1, 1, dtype=torch.float64)), (z,))


def test_unknown_entries_pull_nowhere():
    logits = torch.zeros(3, 4, requires_grad=True)
    targets = torch.tensor([[-1.0, 1.0, 0.0, -1.0]] * 3)
    multi_label_loss(logits, targets, torch.full((4,), 0.3)).backward()
    assert torch.equal(logits.grad == 0, targets < 0)


def test_what_is_rare_weighs_more():
    weights = ratio_weights(torch.tensor([[1.0, 0.0, 1.0, 0.0]]), torch.tensor([0.1, 0.1, 0.9, 0.9]))[0]
    assert weights.tolist() == pytest.approx([np.exp(0.9), np.exp(0.1), np.exp(0.1), np.exp(0.9)])


def test_soft_loss_is_smallest_at_the_targets_and_skips_what_weighs_nothing():
    targets = torch.tensor([[0.2, 0.7]])
    at_target = masked_soft_loss(torch.logit(targets), targets, torch.ones(1, 2))
    assert at_target < masked_soft_loss(torch.logit(targets) + 0.1, targets, torch.ones(1, 2))
    assert masked_soft_loss(torch.full((1, 2), 9.0), targets, torch.zeros(1, 2)).item() == 0


def test_feature_loss_knows_directions_only():
    features = torch.rand(2, 4, 8) + 0.1
    assert feature_loss(3 * features, features).item() == pytest.approx(0, abs=1e-6)
    assert feature_loss(-features, features).item() == pytest.approx(2, abs=1e-6)
