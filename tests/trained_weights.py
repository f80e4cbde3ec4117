# SPDX-License-Identifier: Apache-2.0
"""Weights files as training leaves them, of tiny networks with made-up weights: for tests of what comes after."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import torch

from passerby.formats.metadata import InputRecipe
from passerby.networks.torch.pplcnet import PPLCNet
from passerby.networks.torch.ppyoloe import PPYOLOE
from passerby.preprocess import to_network_input
from passerby.training.weights_file import write_tensors

from . import tiny

SITE_LABELS = [
    {"id": "hat", "en": "Hard hat", "zh": "安全帽", "group": ""},
    {"id": "背心", "en": "背心", "zh": "", "group": "torso"},
    {"id": "bare.arms", "en": "Bare arms", "zh": "光膀子", "group": "torso"},
]
SITE_GROUPS = [{"id": "torso", "en": "Torso", "exclusive": True}]
SITE_PROBABILITIES = (0.6, 0.4, 0.65)
TRAINING = {
    "epoch": 3,
    "step": 12,
    "metric": "mA",
    "figures": {"mA": 0.875, "f1": None},
    "data_hash": "0123456789abcdef",
    "options": {"epochs": 5, "batch_size": 8},
}


def settled(network: torch.nn.Module, input_hw: tuple[int, int]) -> torch.nn.Module:
    """The network ready to infer, with statistics measured on pictures.

    Without these the activations of a random network grow beyond all bounds, and every answer is 0 or 1.
    """
    recipe = InputRecipe(height=input_hw[0], width=input_hw[1], interpolation="linear")
    pictures = [torch.from_numpy(to_network_input(tiny.picture(100 + seed), recipe)) for seed in range(4)]
    network.train()
    with torch.no_grad():
        for _ in range(60):  # the statistics of a layer settle when those before it have
            network(torch.cat(pictures))
    return network.eval()


@functools.cache
def _attribute_network() -> PPLCNet:
    torch.manual_seed(0)
    network = settled(PPLCNet(len(SITE_LABELS), scale=0.25), (64, 48))
    assert isinstance(network, PPLCNet)
    with torch.no_grad():
        torch.manual_seed(0)  # again: what training draws on the way is its own affair
        network.fc.weight.copy_(2e-5 * torch.randn(network.fc.weight.shape))
        network.fc.bias.copy_(torch.logit(torch.tensor(SITE_PROBABILITIES)))
    return network


@functools.cache
def _detector_network() -> PPYOLOE:
    torch.manual_seed(1)
    network = settled(PPYOLOE(depth=0.33, width=0.0625, num_classes=2), (96, 160))
    assert isinstance(network, PPYOLOE)
    torch.manual_seed(1)
    with torch.no_grad():
        for layer in (*network.yolo_head.pred_cls, *network.yolo_head.pred_reg):
            layer.weight.copy_(0.003 * torch.randn(layer.weight.shape))
        for layer in network.yolo_head.pred_cls:
            layer.bias.zero_()
    return network


def write_attribute_weights(path: Path, *, thresholds: list[float | None] | None = None, **changes: Any) -> PPLCNet:
    """Three labels whose probabilities stay close to `SITE_PROBABILITIES`, whatever the picture."""
    network = copy.deepcopy(_attribute_network())
    description = {
        "kind": "attributes",
        "network": {"scale": 0.25},
        "num_classes": len(SITE_LABELS),
        "input_hw": [64, 48],
        "labels": SITE_LABELS,
        "groups": SITE_GROUPS,
        "thresholds": thresholds or [None] * len(SITE_LABELS),
        "training": TRAINING,
    }
    write_tensors(path, network.state_dict(), {**description, **changes})
    return network


def write_detector_weights(path: Path, **changes: Any) -> PPYOLOE:
    """Two classes, an input of 96 x 160; finds boxes of no meaning."""
    network = copy.deepcopy(_detector_network())
    labels = [
        {"id": "walker", "en": "Walker", "zh": "行人", "group": ""},
        {"id": "rider", "en": "Rider", "zh": "骑车人"},
    ]
    description = {
        "kind": "detector",
        "network": {"depth": 0.33, "width": 0.0625},
        "num_classes": 2,
        "input_hw": [96, 160],
        "labels": labels,
        "groups": [],
        "thresholds": [None, None],
        "nms": {"score_threshold": 0.02, "top_k": 500, "iou_threshold": 0.4, "keep_top_k": 20},
        "training": TRAINING,
    }
    write_tensors(path, network.state_dict(), {**description, **changes})
    return network
