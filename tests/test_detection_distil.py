# SPDX-License-Identifier: Apache-2.0
"""Copying a teacher densely: nothing to pay where the student does the same, something where it does not."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from passerby.networks.torch.ppyoloe import PPYOLOE, distances_to_boxes  # noqa: E402
from passerby.training.shipped import detection_distil, teacher_boxes, teacher_maps  # noqa: E402
from passerby.training.shipped.detection_distil import (  # noqa: E402
    DistilWeights,
    Projections,
    TeacherBatch,
    distil_loss,
    score_difference,
)

SIDE = 64
CONVOLUTION = (
    "Convolution      Conv_5   1 1 pool2d_1.tmp_0 conv2d_138.tmp_0 0=11 1=1 11=1 2=1 12=1 3=1 13=1 4=0 5=1 6=484"
)


@pytest.fixture
def student():
    torch.manual_seed(3)
    return PPYOLOE(depth=0.33, width=0.0625).train()


def run(student, images):
    features = student.backbone(images)
    neck = student.neck(features)
    outputs = student.yolo_head(neck)
    return [*features[::-1], *neck], outputs, student.yolo_head.distances(outputs.side_logits)


def teacher_that_agrees(projected, outputs, distances, *, scores):
    """A teacher whose maps differ by a scale and a shift in every channel only."""
    maps = tuple((x.detach() * 3 - 1) for x in projected)
    boxes = (distances_to_boxes(outputs.anchor_points, distances) * outputs.strides).detach()
    return TeacherBatch(maps, scores, boxes, torch.ones_like(scores, dtype=torch.bool))


def test_a_student_that_does_the_same_pays_nothing(student):
    maps, outputs, distances = run(student, torch.randn(2, 3, SIDE, SIDE))
    projected = Projections(width=0.0625)(maps)
    scores = outputs.class_logits[..., 0].sigmoid().detach()
    teacher = teacher_that_agrees(projected, outputs, distances, scores=scores)
    loss = distil_loss(projected, outputs, distances, teacher, DistilWeights())
    assert float(loss.total.detach()) == pytest.approx(0, abs=1e-3)


def test_every_part_is_noticed_and_has_a_gradient(student):
    maps, outputs, distances = run(student, torch.randn(2, 3, SIDE, SIDE))
    projected = Projections(width=0.0625)(maps)
    scores = torch.zeros_like(outputs.class_logits[..., 0])
    scores[:, 5] = 0.9
    teacher = teacher_that_agrees(projected, outputs, distances, scores=scores)
    teacher = teacher._replace(maps=tuple(torch.randn_like(x) for x in teacher.maps), boxes=teacher.boxes + 20)
    loss = distil_loss(projected, outputs, distances, teacher, DistilWeights())
    assert all(float(part) > 0.05 for part in loss[1:])
    loss.total.backward()
    silent = [n for n, p in student.named_parameters() if p.requires_grad and p.grad is None]
    assert silent == []


def test_unrelated_maps_cost_two(student):
    ours, theirs = torch.randn(4, 8, 40, 40), torch.randn(4, 8, 40, 40)
    gap = torch.nn.functional.mse_loss(detection_distil._standardised(ours), detection_distil._standardised(theirs))
    assert float(gap) == pytest.approx(2, abs=0.05)  # 2 (1 - correlation)


def test_cells_of_the_coarse_level_have_no_opinion():
    logits, scores = torch.full((1, 4), 3.0), torch.zeros(1, 4)
    known = torch.tensor([[True, False, False, False]])
    alone = score_difference(logits[:, :1], scores[:, :1], known[:, :1])
    assert torch.equal(score_difference(logits, scores, known), alone)
    assert float(alone) > 1


def test_cell_centres_are_those_of_the_students_anchors(student):
    _, outputs, _ = run(student, torch.randn(1, 3, SIDE, SIDE))
    ours = (outputs.anchor_points * outputs.strides).numpy()
    theirs = [teacher_boxes.cell_centres(SIDE, stride) for stride in teacher_maps.LEVEL_STRIDES]
    assert [len(level) for level in theirs] == list(outputs.cells_per_level)
    assert (ours == [point for level in theirs for point in level]).all()


def test_layers_after_a_global_mean_become_inner_products():
    other = "Convolution Conv_3 1 1 pool2d_0.tmp_0_splitncnn_0 conv2d_137.tmp_0 0=44 1=1 5=1 6=1056"
    lines = teacher_maps._with_inner_products(f"{CONVOLUTION}\n{other}\n").split("\n")
    assert lines[0].split() == "InnerProduct Conv_5 1 1 pool2d_1.tmp_0 conv2d_138.tmp_0 0=11 1=1 2=484".split()
    assert lines[1:] == [other, ""]
