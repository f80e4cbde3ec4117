# SPDX-License-Identifier: Apache-2.0
"""Losses and label assigners of the detector against values and gradients that real Paddle computed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from passerby.networks.torch import ppyoloe  # noqa: E402
from passerby.training.detection import assigner  # noqa: E402
from passerby.training.detection import losses as detection_losses  # noqa: E402

FIXTURES = Path(__file__).parent / "data/fixtures"
CASES = json.loads((FIXTURES / "train/assigners.json").read_text())


def arrays(name):
    """A fixture file's arrays, the file closed again."""
    with np.load(FIXTURES / name) as stored:
        return {key: stored[key] for key in stored.files}


LOSSES = arrays("train/det_losses.npz")


def tensor(array, *, gradient=False):
    return torch.tensor(np.asarray(array), requires_grad=gradient)


def within(actual, expected, *, tolerance=1e-5):
    """As a whole, and no element off by more than that share of the largest one."""
    got, expected = actual.detach().numpy().astype(np.float64), np.asarray(expected, np.float64)
    assert got.shape == expected.shape
    assert np.linalg.norm(got - expected) <= tolerance * np.linalg.norm(expected)
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


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
    within(loss, LOSSES["vfl_loss"])
    within(predicted.grad, LOSSES["vfl_grad"])


def test_generalised_iou_value_and_gradient():
    predicted = tensor(LOSSES["giou_pred"], gradient=True)
    loss = detection_losses.generalised_iou_loss(predicted, tensor(LOSSES["giou_gt"]))
    loss.sum().backward()
    within(loss, LOSSES["giou_loss"].ravel())
    within(predicted.grad, LOSSES["giou_grad_of_sum"])


def test_distribution_focal_value_and_gradient():
    logits = tensor(LOSSES["dfl_pred"], gradient=True)
    loss = detection_losses.distribution_focal(logits, tensor(LOSSES["dfl_target"]))
    within(loss, LOSSES["dfl_loss"].ravel())
    weights = torch.arange(len(loss), dtype=torch.float32)  # the fixture counts rows from zero
    (loss * weights).sum().backward()
    within(logits.grad, LOSSES["dfl_grad_of_index_weighted_sum"])


def test_distances_are_clipped_to_the_bins():
    points, boxes = tensor(LOSSES["b2d_points"]), tensor(LOSSES["b2d_boxes"])
    within(detection_losses.boxes_to_distances(points, boxes), LOSSES["b2d_ltrb"])


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
    within(got.scores, stored[f"{prefix}_scores"])
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
    within(loss.total, stored[f"{name}|loss"])
    within(loss.classification, stored[f"{name}|loss_cls"])
    within(loss.iou, stored[f"{name}|loss_iou"])
    within(loss.dfl, stored[f"{name}|loss_dfl"])
    if name == "no_people":
        return
    loss.total.backward()
    for index, feature in enumerate(features):
        within(feature.grad, stored[f"{name}|grad_feat_{index}"])
    parameters = dict(head.named_parameters())
    recorded = [key for key in stored if key.startswith(f"{name}|grad:")]
    assert len(recorded) == 4
    for key in recorded:
        within(parameters[key.partition(":")[2]].grad, stored[key])
    assert parameters["proj_conv.weight"].grad is None


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


def predictions(classes, *, seed=0):
    """A head's outputs on made-up features of a picture of 128 x 128 px, and its distances."""
    torch.manual_seed(seed)
    head = ppyoloe.PPYOLOEHead([8, 8, 8], num_classes=classes)
    for layer in head.pred_cls:
        torch.nn.init.normal_(layer.weight, std=0.3)
        torch.nn.init.normal_(layer.bias, mean=-1.0)
    outputs = head([torch.randn(2, 8, n, n) for n in (4, 8, 16)])
    return outputs, head.distances(outputs.side_logits)


def boxes_of_classes(*rows):
    """Truth of two pictures alike, from rows x1 y1 x2 y2 class."""
    values = torch.tensor(rows, dtype=torch.float32).reshape(-1, 5).expand(2, -1, -1)
    valid = torch.ones(2, len(rows), dtype=torch.bool)
    return assigner.GroundTruth(boxes=values[..., :4], classes=values[..., 4].long(), valid=valid)


PEOPLE = ((10, 10, 60, 100, 0), (50, 20, 120, 120, 2), (5, 70, 40, 120, 1))


@pytest.mark.parametrize("use_atss", [False, True])
def test_the_order_of_classes_means_nothing(use_atss):
    outputs, distances = predictions(3)
    places = [2, 0, 1]  # where each class goes
    back = torch.tensor(places).argsort()
    swapped = outputs._replace(class_logits=outputs.class_logits[..., back])
    people = boxes_of_classes(*((*row[:4], places[row[4]]) for row in PEOPLE))
    plain = detection_losses.detection_loss(outputs, distances, boxes_of_classes(*PEOPLE), use_atss=use_atss)
    other = detection_losses.detection_loss(swapped, distances, people, use_atss=use_atss)
    assert plain.positives == other.positives > 3
    within(other.total, plain.total.detach().numpy())


@pytest.mark.parametrize("use_atss", [False, True])
def test_every_class_is_learnt_at_its_own_boxes(use_atss):
    outputs, distances = predictions(3)
    truth = boxes_of_classes(*PEOPLE)
    points = outputs.anchor_points * outputs.strides
    boxes = (ppyoloe.distances_to_boxes(outputs.anchor_points, distances) * outputs.strides).detach()
    if use_atss:
        cells = outputs.cells_per_level
        got = assigner.atss(boxes, points, outputs.strides, cells, truth, num_classes=3)
    else:
        got = assigner.task_aligned(outputs.class_logits.sigmoid().detach(), boxes, points, truth)
    for row in PEOPLE:
        learnt = got.labels == row[4]
        assert learnt.any()
        assert (got.boxes[learnt] == torch.tensor(row[:4], dtype=torch.float32)).all()
    assert (got.scores.sum(-1)[got.labels == 3] == 0).all()
    assert (got.scores.gather(-1, got.labels.clamp(max=2)[..., None])[..., 0] == got.scores.sum(-1)).all()


def test_an_ignored_region_is_ignored_for_its_class_alone():
    outputs, distances = predictions(2)
    logits = outputs.class_logits.detach().requires_grad_()
    nobody = boxes_of_classes()
    crowd = boxes_of_classes((0, 0, 64, 128, 1))
    outputs = outputs._replace(class_logits=logits)
    detection_losses.detection_loss(outputs, distances, nobody, ignored=crowd).total.backward()
    left_half = (outputs.anchor_points * outputs.strides)[:, 0] < 64
    paid = logits.grad != 0
    assert not paid[:, left_half, 1].any()
    assert paid[:, ~left_half, 1].all()
    assert paid[..., 0].all()


def test_a_person_before_a_crowd_is_learnt_still():
    outputs, distances = predictions(1)
    person, crowd = boxes_of_classes((20, 20, 80, 110, 0)), boxes_of_classes((0, 0, 128, 128, 0))
    loss = detection_losses.detection_loss(outputs, distances, person, ignored=crowd)
    plain = detection_losses.detection_loss(outputs, distances, person)
    assert loss.positives == plain.positives > 0
    assert 0 < float(loss.classification) < float(plain.classification)
    assert float(loss.iou) == float(plain.iou)


@pytest.mark.parametrize("use_atss", [False, True])
@pytest.mark.parametrize("rows", [PEOPLE, ()], ids=["people", "nobody"])
def test_everything_is_made_where_the_predictions_are(rows, use_atss):
    """With another default device, a tensor made without saying where would clash with those of the batch."""
    features = [torch.randn(2, 8, n, n) for n in (4, 8, 16)]
    head = ppyoloe.PPYOLOEHead([8, 8, 8], num_classes=3)
    truth, crowd = boxes_of_classes(*rows), boxes_of_classes((0, 0, 30, 30, 1))
    with torch.device("meta"):
        outputs = head(features)
        distances = head.distances(outputs.side_logits)
        loss = detection_losses.detection_loss(outputs, distances, truth, ignored=crowd, use_atss=use_atss)
    assert {part.device.type for part in loss[:4]} == {"cpu"}


def process_of_two(rank, folder, totals):
    """What one process of a distributed run does; the second sees a nearly empty picture."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    rows = PEOPLE if rank == 0 else ()
    outputs, distances = predictions(3)
    loss = detection_losses.detection_loss(outputs, distances, boxes_of_classes(*rows))
    totals[rank] = loss.total.detach()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_share_one_normaliser(tmp_path):
    totals = torch.zeros(2).share_memory_()
    torch.multiprocessing.spawn(process_of_two, (tmp_path, totals), nprocs=2)
    outputs, distances = predictions(3)
    alone = [
        detection_losses.detection_loss(outputs, distances, boxes_of_classes(*rows)).total.detach()
        for rows in (PEOPLE, ())
    ]
    points = outputs.anchor_points * outputs.strides
    boxes = (ppyoloe.distances_to_boxes(outputs.anchor_points, distances) * outputs.strides).detach()
    scores = outputs.class_logits.sigmoid().detach()
    total = assigner.task_aligned(scores, boxes, points, boxes_of_classes(*PEOPLE)).scores.sum()
    assert total > 2
    mean = total / 2  # the second process has none
    within(totals, torch.stack([alone[0] * total / mean, alone[1] / mean]).numpy())
