# SPDX-License-Identifier: Apache-2.0
"""The losses of the attribute network against values and gradients of the original's code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from passerby.formats.pdparams import read_pdparams  # noqa: E402
from passerby.networks.torch.pplcnet import PPLCNet, load_weights  # noqa: E402
from passerby.training.attributes.losses import (  # noqa: E402
    LOSSES,
    asymmetric_terms,
    attribute_loss,
    feature_loss,
    focal_terms,
    label_ratios,
    masked_soft_loss,
    multi_label_loss,
    ratio_weights,
)

FIXTURES = Path(__file__).parent / "data/fixtures"
FIXTURE = FIXTURES / "train/multilabel_loss.npz"


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


@pytest.mark.parametrize("name", LOSSES)
def test_an_unknown_entry_changes_neither_value_nor_gradient(name):
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(6, 4, generator=generator)
    targets = (torch.rand(6, 4, generator=generator) > 0.5).float()
    targets[1, 2] = targets[4, 0] = -1
    ratios = torch.tensor([0.1, 0.4, 0.6, 0.9])
    outcomes = []
    for hidden in (0.0, 7.0, -30.0):
        z = logits.clone()
        z[targets < 0] = hidden
        z.requires_grad_()
        loss = attribute_loss(z, targets, ratios, loss=name)
        loss.backward()
        assert (z.grad[targets < 0] == 0).all()
        assert (z.grad[targets >= 0] != 0).any()
        outcomes.append((loss.item(), z.grad[targets >= 0]))
    assert all(value == outcomes[0][0] for value, _ in outcomes)
    assert all(torch.equal(gradient, outcomes[0][1]) for _, gradient in outcomes)


@pytest.mark.parametrize("labels", ["labels01", "labels_with_-1_and_2"])
def test_the_weighted_loss_by_name_is_the_originals(reference, labels):
    target = torch.tensor(reference["target" if labels == "labels01" else "target_odd"])
    z = torch.tensor(reference["logits"], requires_grad=True)
    loss = attribute_loss(z, target[:, 0], target[:, 1], loss="weighted_bce")
    loss.backward()
    assert loss.item() == pytest.approx(float(reference[f"weighted_sum|{labels}|loss"]), rel=1e-5)
    np.testing.assert_allclose(z.grad.numpy(), reference[f"weighted_sum|{labels}|grad"], rtol=1e-4, atol=1e-6)


def test_plain_loss_by_name_is_the_sum_of_the_known_cross_entropies():
    loss = attribute_loss(torch.tensor([[2.0, -1.0, 5.0]]), torch.tensor([[1.0, 0.0, -1.0]]), torch.ones(3), loss="bce")
    assert loss.item() == pytest.approx(np.log1p(np.exp(-2)) + np.log1p(np.exp(-1)))


def test_focal_terms_are_the_papers_numbers():
    p = np.array([0.9, 0.9, 0.2])
    terms = focal_terms(torch.logit(torch.tensor(p))[None], torch.tensor([[1.0, 0.0, 1.0]]))[0].numpy()
    expected = [-(0.1**2) * np.log(0.9), -(0.9**2) * np.log(0.1), -(0.8**2) * np.log(0.2)]
    np.testing.assert_allclose(terms, expected, rtol=1e-6)


def test_asymmetric_terms_are_the_papers_numbers_and_ignore_easy_negatives():
    p = np.array([0.9, 0.6, 0.04])
    terms = asymmetric_terms(torch.logit(torch.tensor(p))[None], torch.tensor([[1.0, 0.0, 0.0]]))[0].numpy()
    np.testing.assert_allclose(terms, [-np.log(0.9), -(0.55**4) * np.log(0.45), 0.0], rtol=1e-6)


@pytest.mark.parametrize("terms", [focal_terms, asymmetric_terms])
def test_gradients_of_the_terms_are_those_of_finite_differences(terms):
    z = torch.linspace(-4, 4, 10, dtype=torch.float64).reshape(2, 5).requires_grad_()
    targets = torch.tensor([[1.0, 0, 1, 0, 1], [0, 1, 0, 1, 0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda v: terms(v, targets), (z,))


@pytest.mark.parametrize("name", LOSSES)
def test_huge_logits_give_finite_losses_and_gradients(name):
    z = torch.tensor([[100.0, -100.0, 100.0, -100.0]], requires_grad=True)
    loss = attribute_loss(z, torch.tensor([[1.0, 1.0, 0.0, 0.0]]), torch.full((4,), 0.5), loss=name)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


def test_ratios_leave_unknown_entries_out_and_the_originals_do_not():
    targets = np.array([[1, 1, -1], [0, -1, -1], [0, -1, -1], [1, 0, -1]], np.int8)
    assert label_ratios(targets).tolist() == [0.5, 0.5, 0.5]
    assert label_ratios(targets, as_original=True).tolist() == [0.5, -0.25, -1.0]


def test_two_steps_of_momentum_end_in_the_originals_weights():
    with np.load(FIXTURES / "train/cls_step.npz") as stored:
        step = {key: stored[key] for key in stored.files}
    record = json.loads((FIXTURES / "train/cls_step.json").read_text("utf-8"))
    network = PPLCNet(26, scale=0.25).train()
    load_weights(network, read_pdparams((FIXTURES / "models/tiny_cls/tiny_cls.pdparams").read_bytes()))
    plain = [p for name, p in network.named_parameters() if ".bn." in name]
    decayed = [p for name, p in network.named_parameters() if ".bn." not in name]
    groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.SGD(groups, lr=0.01, momentum=0.9)
    with np.load(FIXTURES / "preproc/normalize_lut.npz") as stored:
        table = stored[stored.files[0]]  # (256, 3)
    x = torch.tensor(np.stack([table[step["image_u8_rgb"][..., c], c] for c in range(3)], axis=1))
    target = torch.tensor(step["target"])
    for number in (0, 1):
        features = network.features(x).mean(dim=(2, 3), keepdim=True)  # (6, C, 1, 1); the head without its dropout
        logits = network.fc(torch.nn.functional.hardswish(network.last_conv(features)).flatten(1))
        loss = attribute_loss(logits, target[:, 0], target[:, 1], loss="weighted_bce")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        assert loss.item() == pytest.approx(record[f"p0|step{number}"]["loss"], rel=1e-4)
        compared = 0
        for name, value in network.named_parameters():
            norm = record[f"p0|step{number}"]["param_norm_after"][name]
            assert value.detach().norm().item() == pytest.approx(norm, rel=1e-3), name
            expected = step.get(f"p0|step{number}|param_after|{name}")
            if expected is not None:
                atol = 1e-4 * np.abs(expected).max()
                np.testing.assert_allclose(value.detach().numpy(), expected, rtol=1e-3, atol=atol, err_msg=name)
                compared += 1
        assert compared == 7
