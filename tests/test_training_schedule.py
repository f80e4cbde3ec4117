# SPDX-License-Identifier: Apache-2.0
"""The learning rate against the original's schedules, and the laws of who learns from which sample."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")  # `training` is part of an extra

from passerby.training.schedule import EpochPlan, learning_rate

from .conftest import FIXTURES

SCHEDULES = json.loads((FIXTURES / "train/lr_schedules.json").read_text("utf-8"))
# name: peak, steps of the warm-up, steps until the rate is 0
CASES = {
    "detector: base_lr 0.001, CosineDecay max_epochs 43, LinearWarmup epochs 1 start 0, 7 steps per epoch, epoch 36"
    " (PP-YOLOE-S_human schedule)": (0.001, 7, 43 * 7),
    "detector: base_lr 0.01, CosineDecay max_epochs 360, LinearWarmup epochs 5, 3 steps per epoch": (0.01, 15, 1080),
    "classifier: Cosine learning_rate 0.01, warmup_epoch 5, epochs 20, 7 steps per epoch"
    " (PP-LCNet_x1_0_pedestrian_attribute schedule)": (0.01, 35, 140),
}


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_rates_are_the_originals(name):
    peak, warmup, total = CASES[name]
    rates = [learning_rate(step, peak=peak, warmup=warmup, total=total) for step in range(len(SCHEDULES[name]))]
    assert rates == pytest.approx(SCHEDULES[name], rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("total", [1, 7, 250])
@pytest.mark.parametrize("warmup", [0, 1, 3])
def test_the_rate_ends_at_nothing_whatever_the_length(total, warmup):
    rates = [learning_rate(step, peak=1.0, warmup=min(warmup, total // 2), total=total) for step in range(total + 2)]
    assert rates[total] == rates[total + 1] == 0
    assert max(rates) == 1.0
    assert all(a >= b for a, b in zip(rates[warmup:], rates[warmup + 1 :], strict=False))


@pytest.mark.parametrize(
    ("samples", "batch_size", "world"), [(1, 8, 1), (24, 8, 1), (130, 64, 1), (101, 4, 3), (2, 1, 4)]
)
def test_every_sample_comes_once_an_epoch(samples, batch_size, world):
    plan = EpochPlan(samples=samples, batch_size=batch_size, world=world)
    seen = [
        [plan.rows(epoch, number, rank=rank) for number in range(plan.batches) for rank in range(world)]
        for epoch in range(2)
    ]
    for batches in seen:
        assert all(0 < len(rows) <= batch_size for rows in batches)
        flat = [row for rows in batches for row in rows]
        assert set(flat) == set(range(samples))
        assert len(flat) <= max(samples, world * plan.batches)  # more only where a process would have none
        assert max(map(len, batches)) - min(map(len, batches)) <= 1
    assert samples < 3 or seen[0] != seen[1]


def test_order_follows_from_seed_and_epoch():
    first, same, other = (EpochPlan(samples=50, batch_size=8, seed=seed) for seed in (1, 1, 2))
    assert first.rows(3, 2) == same.rows(3, 2)
    assert first.rows(3, 2) != other.rows(3, 2)


def test_batches_make_steps():
    plan = EpochPlan(samples=100, batch_size=10, accumulate=4)
    assert (plan.batches, plan.steps) == (10, 3)
    assert [list(plan.batches_of(step)) for step in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
