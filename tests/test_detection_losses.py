# SPDX-License-Identifier: Apache-2.0
"""Losses and label assigners of the detector against values and gradients that real Paddle computed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from passerby.networks.torch import ppyoloe  # noqa: E402
from passerby.training import assigner, detection_losses  # noqa: E402

FIXTURES = Path(__file__).parent / "data/fixtures"
CASES = json.loads((FIXTURES / "train/assigners.json").read_text())


def arrays(name):
    """A fixture file's arrays, the file closed again."""
    with np.load(FIXTURES / name) as stored:
        return {key: stored[key] for key in stored.files}


LOSSES = arrays("train/det_losses.npz")


def tensor(array, *, gradient=False):
    return torch.tensor(np.asarray(array), requires_grad=gradient)


def close(actual, expected, *, rtol=1e-5, atol=0.0):
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=rtol, atol=atol)


def truth_of(stored, case):
    return assigner.GroundTruth(
        boxes=tensor(stored[f"{case}gt_bbox"]),
        classes=tensor(stored[f"{case}gt_class"]).squeeze(-1).long(),
        valid=tensor(stored[f"{case}pad_gt_mask"]).squeeze(-1) > 0,
    )


def test_varifocal_value_and_gradient():
    predicted = tensor(LOSSES["vfl_pred"], gradient=True)
    loss = detection_losses.varifocal(predicted, tensor(LOSSES["vfl_gt_score"]), tensor(LOSSES["vfl_label"])).sum()
    loss.backward()
    close(loss, LOSSES["vfl_loss"])
    expected = LOSSES["vfl_grad"]
    close(predicted.grad, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_generalised_iou_value_and_gradient():
    predicted = tensor(LOSSES["giou_pred"], gradient=True)
    loss = detection_losses.generalised_iou_loss(predicted, tensor(LOSSES["giou_gt"]))
    loss.sum().backward()
    close(loss, LOSSES["giou_loss"].ravel(), atol=1e-6)
    expected = LOSSES["giou_grad_of_sum"]
    close(predicted.grad, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_distribution_focal_value_and_gradient():
    logits = tensor(LOSSES["dfl_pred"], gradient=True)
    loss = detection_losses.distribution_focal(logits, tensor(LOSSES["dfl_target"]))
    close(loss, LOSSES["dfl_loss"].ravel())
    weights = torch.arange(len(loss), dtype=torch.float32)  # the fixture counts rows from zero
    expected = LOSSES["dfl_grad_of_index_weighted_sum"]
    (loss * weights).sum().backward()
    close(logits.grad, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_distances_are_clipped_to_the_bins():
    points, boxes = tensor(LOSSES["b2d_points"]), tensor(LOSSES["b2d_boxes"])
    close(detection_losses.boxes_to_distances(points, boxes), LOSSES["b2d_ltrb"], atol=1e-6)


@pytest.mark.parametrize("record", CASES, ids=lambda r: f"{r['case']}-{r['assigner']}")
def test_assigners(record):
    stored = arrays("train/assigners.npz")
    case = record["case"] + "|"
    height, width = record["image_hw"]
    points, strides, cells = anchors_of(height, width)
    truth = truth_of(stored, case)
    boxes = tensor(stored[f"{case}pred_bboxes"])
    if record["assigner"] == "atss":
        got = assigner.atss(boxes, points, strides, cells, truth, num_classes=1)
    else:
        got = assigner.task_aligned(tensor(stored[f"{case}pred_scores"]), boxes, points, truth)
    prefix = case + record["assigner"]
    np.testing.assert_array_equal(got.labels.numpy(), stored[f"{prefix}_labels"])
    close(got.scores, stored[f"{prefix}_scores"], rtol=1e-4, atol=1e-6)
    positive = got.labels != 1
    assert int(positive.sum()) == record["positives"]
    np.testing.assert_array_equal(got.boxes[positive].numpy(), stored[f"{prefix}_bboxes_of_positives"])


def anchors_of(height, width):
    points, strides, cells = [], [], []
    for stride in ppyoloe.STRIDES:
        level = ppyoloe.cell_centres(height // stride, width // stride) * stride
        points.append(level)
        strides.append(torch.full((len(level), 1), float(stride)))
        cells.append(len(level))
    return torch.cat(points), torch.cat(strides), tuple(cells)


@pytest.mark.parametrize("name", ["tal", "atss", "no_people"])
def test_head_loss(name):
    pdparams = pytest.importorskip("passerby.formats.pdparams")
    weights = pdparams.read_pdparams((FIXTURES / "models/tiny_det/tiny_det.pdparams").read_bytes())
    stored = arrays("train/head_loss.npz")
    head = ppyoloe.PPYOLOEHead([48, 24, 12], num_classes=1).eval()
    head.load_state_dict({k[10:]: tensor(v) for k, v in weights.items() if k.startswith("yolo_head.")})
    features = [tensor(stored[f"feat_{i}"], gradient=True) for i in range(3)]
    outputs = head(features)
    truth = truth_of(stored, "")
    if name == "no_people":
        truth = assigner.GroundTruth(boxes=truth.boxes[:, :0], classes=truth.classes[:, :0], valid=truth.valid[:, :0])
    loss = detection_losses.detection_loss(outputs, head.distances(outputs.side_logits), truth, use_atss=name == "atss")
    close(loss.total, stored[f"{name}|loss"], rtol=1e-4)
    close(loss.classification, stored[f"{name}|loss_cls"], rtol=1e-4)
    close(loss.iou, stored[f"{name}|loss_iou"], rtol=1e-4, atol=1e-7)
    close(loss.dfl, stored[f"{name}|loss_dfl"], rtol=1e-4, atol=1e-7)
    if name != "no_people":
        loss.total.backward()
        for index, feature in enumerate(features):
            expected = stored[f"{name}|grad_feat_{index}"]
            close(feature.grad, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


def test_ignored_regions_cost_nothing():
    torch.manual_seed(0)
    head = ppyoloe.PPYOLOEHead([8, 8, 8], num_classes=1)
    outputs = head([torch.randn(1, 8, n, n) for n in (2, 4, 8)])
    none = assigner.GroundTruth(
        boxes=torch.zeros(1, 0, 4), classes=torch.zeros(1, 0, dtype=torch.int64), valid=torch.zeros(1, 0).bool()
    )
    everywhere = assigner.GroundTruth(
        boxes=torch.tensor([[[-1.0, -1.0, 65.0, 65.0]]]),
        classes=torch.zeros(1, 1, dtype=torch.int64),
        valid=torch.ones(1, 1).bool(),
    )
    distances = head.distances(outputs.side_logits)
    plain = detection_losses.detection_loss(outputs, distances, none)
    ignored = detection_losses.detection_loss(outputs, distances, none, ignored=everywhere)
    assert float(plain.classification.detach()) > 0
    assert float(ignored.classification.detach()) == 0
