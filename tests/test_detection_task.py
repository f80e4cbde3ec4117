# SPDX-License-Identifier: Apache-2.0
"""The detector as a task: batches, loss, figures, and two steps of the optimiser against real Paddle."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pycocotools")

from passerby.datasets.detection_set import read_detection_set  # noqa: E402
from passerby.datasets.example import write_detection_example  # noqa: E402
from passerby.datasets.records import DetectionSet  # noqa: E402
from passerby.decode import decode_image  # noqa: E402
from passerby.detector import Detector  # noqa: E402
from passerby.devices import parse_device  # noqa: E402
from passerby.errors import ArgumentError, DatasetError  # noqa: E402
from passerby.files import encode_image  # noqa: E402
from passerby.formats.metadata import InputRecipe  # noqa: E402
from passerby.formats.pdparams import read_pdparams  # noqa: E402
from passerby.models import convert  # noqa: E402
from passerby.models.load import load_model  # noqa: E402
from passerby.networks.torch.ppyoloe import PPYOLOE  # noqa: E402
from passerby.preprocess import to_network_input  # noqa: E402
from passerby.training.detection.augment import NO_AUGMENT, DetectionAugment  # noqa: E402
from passerby.training.detection.evaluation import evaluate_detections  # noqa: E402
from passerby.training.detection.task import DetectionTask, DetectionTaskOptions, training_sizes  # noqa: E402
from passerby.training.task import Batch, Place  # noqa: E402

from . import tiny  # noqa: E402
from .conftest import FIXTURES  # noqa: E402

TINY = {"depth": 0.33, "width": 0.0625}
WEIGHTS = FIXTURES / "models/tiny_det/tiny_det.pdparams"


@pytest.fixture(scope="module")
def streets(tmp_path_factory) -> DetectionSet:
    folder = tmp_path_factory.mktemp("streets") / "data"
    write_detection_example(folder, count=16)
    torch.set_num_threads(1)
    return read_detection_set(folder)


def task_of(data, **options):
    return DetectionTask(data, DetectionTaskOptions(**{**TINY, "input_hw": (96, 128), **options}))


def same(first: Batch, second: Batch) -> bool:
    return torch.equal(first.inputs, second.inputs) and all(
        torch.equal(first.targets[name], second.targets[name]) for name in first.targets
    )


def test_a_batch_follows_from_seed_and_place(streets):
    batch = task_of(streets).batch(Place(3, 5), [0, 4, 7])
    assert same(batch, task_of(streets).batch(Place(3, 5), [0, 4, 7]))
    assert not same(batch, task_of(streets, seed=1).batch(Place(3, 5), [0, 4, 7]))
    assert not same(batch, task_of(streets).batch(Place(3, 6), [0, 4, 7]))
    assert batch.files == tuple(streets.splits["train"][row].file for row in (0, 4, 7))
    # what happens to a picture does not depend on its neighbours
    alone = task_of(streets).batch(Place(3, 5), [4])
    assert torch.equal(alone.inputs[0], batch.inputs[1])


def test_batches_have_all_sizes_of_multi_scale(streets):
    task = task_of(streets)
    shapes = {tuple(task.batch(Place(0, number), [0]).inputs.shape[2:]) for number in range(40)}
    assert shapes == {(64, 96), (96, 128)} == set(task.sizes_hw)
    assert len(training_sizes((640, 640), (0.5, 1.2))) == 15
    assert training_sizes((640, 640), (1, 1)) == ((640, 640),)
    assert training_sizes((640, 640), (0.5, 1.2))[-1] == (768, 768)


def test_without_augmentation_a_batch_is_what_inference_would_see(streets):
    task = task_of(streets, augment=NO_AUGMENT, multi_scale=(1, 1))
    recipe = task.recipe
    assert recipe == InputRecipe(height=96, width=128, interpolation="cubic")
    sample = streets.splits["train"][0]
    expected = to_network_input(decode_image(sample.path.read_bytes()), recipe)
    cubic = [number for number in range(40) if np.array_equal(task.batch(Place(0, number), [0]).inputs, expected)]
    assert cubic  # one of the five interpolations is inference's own


def test_loss_has_finite_parts_and_gradients(streets):
    for epoch in (0, 1):  # by geometry, then by the predictions
        task = task_of(streets, static_assigner_epochs=1)
        batch = task.batch(Place(epoch, 0), [0, 1, 2])
        assert bool(batch.targets["static"]) == (epoch == 0)
        losses = task.loss(batch, progress=0.0)
        parts = losses["classification"] + 2.5 * losses["iou"] + 0.5 * losses["dfl"]
        assert torch.allclose(losses["total"], parts)
        losses["total"].backward()
        assert all(torch.isfinite(p.grad).all() for p in task.network.parameters() if p.requires_grad)
        assert task.network.yolo_head.proj_conv.weight.grad is None


def test_half_precision_is_for_the_network_alone(streets):
    task = task_of(streets)
    batch = task.batch(Place(0, 0), [0, 1, 2])
    plain = task.loss(batch, progress=0.0)["total"]
    with torch.autocast("cpu", torch.bfloat16):
        half = task.loss(batch, progress=0.0)["total"]
    assert half.dtype == torch.float32
    assert float(half.detach()) == pytest.approx(float(plain.detach()), rel=0.05)
    half.backward()


def test_pictures_that_cannot_be_used_are_named_and_left_out(streets, tmp_path):
    train = streets.splits["train"]
    broken, other_size = tmp_path / "broken.png", tmp_path / "turned.png"
    broken.write_bytes(train[1].path.read_bytes()[:-200])
    other_size.write_bytes(encode_image(np.zeros((320, 240, 3), np.uint8), ".png"))
    bad = (
        dataclasses.replace(train[1], path=broken),
        dataclasses.replace(train[2], path=other_size),
        dataclasses.replace(train[3], path=tmp_path / "gone.png"),
    )
    data = dataclasses.replace(streets, splits={**streets.splits, "train": (train[0], *bad, train[4])})
    task = task_of(data)
    batch = task.batch(Place(0, 0), [0, 1, 2, 3, 4])
    assert batch.files == (train[0].file, train[4].file)
    assert len(batch.inputs) == len(batch.targets["boxes"]) == 2
    assert [name.split(":")[0] for name in batch.left_out.values()] == [
        "image_truncated",
        "image_corrupt",
        "input_missing",
    ]
    assert "240 x 320 px, the data set says 320 x 240" in batch.left_out[train[2].file]
    # another picture stands in for a batch of nothing: every process of a distributed run computes a loss
    stood_in = task.batch(Place(0, 0), [1, 2])
    assert len(stood_in.inputs) == len(stood_in.files) == 1
    assert stood_in.files[0] in (train[0].file, train[4].file)


def test_when_nothing_can_be_read_the_batch_is_empty(streets, tmp_path):
    gone = tuple(dataclasses.replace(s, path=tmp_path / s.file) for s in streets.splits["train"][:2])
    task = task_of(dataclasses.replace(streets, splits={**streets.splits, "train": gone}))
    batch = task.batch(Place(0, 0), [0, 1])
    assert batch.inputs.shape[0] == 0
    assert set(batch.left_out) == {s.file for s in gone}


def test_crowds_are_ignored_and_classes_kept(streets):
    train = [s for s in streets.splits["train"] if len(s.class_ids) >= 2]
    sample = train[0]
    count = len(sample.class_ids)
    crowd = np.arange(count) == 0
    marked = dataclasses.replace(sample, crowd=crowd, class_ids=np.arange(count) % 2)
    data = dataclasses.replace(
        streets, classes=("person", "rider"), splits={"train": (marked,), "val": streets.splits["val"]}
    )
    task = task_of(data, augment=NO_AUGMENT, multi_scale=(1, 1))
    targets = task.batch(Place(0, 0), [0]).targets
    assert targets["boxes"].shape == (1, count - 1, 4)
    assert targets["classes"][0].tolist() == [n % 2 for n in range(1, count)]
    assert targets["ignored_boxes"].shape == (1, 1, 4)
    assert targets["ignored_valid"].all()
    assert task.network.yolo_head.num_classes == 2
    assert [label["id"] for label in task.describe()["labels"]] == ["person", "rider"]
    assert float(task.loss(task.batch(Place(0, 0), [0]), progress=0)["total"].detach()) > 0


def test_evaluation_finds_what_the_exported_model_finds(streets, tmp_path):
    """Resize, network, scaling, suppression and clipping agree with `Detector` on the converted weights."""
    weights = read_pdparams(WEIGHTS.read_bytes())
    file = tmp_path / "tiny.onnx"
    file.write_bytes(convert.convert(weights, name="tiny"))
    detector = Detector(load_model("tiny", file), device=parse_device("cpu"), threads=1)
    # pictures on which this network, which knows nothing, finds boxes
    samples = []
    for number in range(3):
        pixels = tiny.picture(number, height=200 + 40 * number, width=320)
        path = tmp_path / f"{number}.png"
        path.write_bytes(encode_image(pixels, ".png"))
        size_wh = (pixels.shape[1], pixels.shape[0])
        samples.append(dataclasses.replace(streets.splits["val"][0], file=path.name, path=path, size_wh=size_wh))
    data = dataclasses.replace(streets, splits={**streets.splits, "test": tuple(samples)})
    task = task_of(data, input_hw=(640, 640), evaluation_batch=2)
    state = {name: torch.tensor(value) for name, value in weights.items()}
    read, found = task.detections(state, split="test")
    assert [s.file for s in read] == ["0.png", "1.png", "2.png"]
    for number, detections in enumerate(found):
        pixels = tiny.picture(number, height=200 + 40 * number, width=320)
        expected = detector.detect(pixels, threshold=0.0)
        assert len(detections) == len(expected) > 10
        np.testing.assert_allclose(detections.boxes_xyxy, expected.boxes_xyxy, atol=0.02)
        np.testing.assert_allclose(detections.scores, expected.scores, atol=1e-5)


def test_evaluation_leaves_the_network_alone(streets):
    task = task_of(streets)
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    other = {name: value * 0.5 for name, value in before.items()}
    figures = task.evaluate(other)
    assert set(figures) == {"AP", "AP50", "AP75", "AR100", "miss_rate"}
    assert task.metric in figures
    assert all(torch.equal(before[name], value) for name, value in task.network.state_dict().items())
    assert task.network.training


def test_unreadable_val_pictures_are_said_and_left_out(streets, tmp_path, caplog):
    val = sorted(streets.splits["val"], key=lambda s: -len(s.class_ids))
    gone = dataclasses.replace(val[0], path=tmp_path / "gone.png")
    task = task_of(dataclasses.replace(streets, splits={**streets.splits, "val": (gone, *val[1:])}))
    read, found = task.detections(task.network.state_dict())
    assert [s.file for s in read] == [s.file for s in val[1:]]
    assert len(found) == len(read)
    assert "gone.png" in caplog.text
    nothing = task_of(dataclasses.replace(streets, splits={**streets.splits, "val": (gone,)}))
    with pytest.raises(DatasetError, match="no picture of the split val can be read"):
        nothing.detections(task.network.state_dict())


def test_what_cannot_work_is_refused_at_once(streets):
    for options in (
        {"input_hw": (100, 128)},
        {"multi_scale": (1.05, 1.1)},
        {"metric": "miss_rate"},
        {"seed": -1},
    ):
        with pytest.raises(ArgumentError):
            task_of(streets, **options)
    empty = dataclasses.replace(streets, splits={**streets.splits, "val": ()})
    with pytest.raises(DatasetError, match="no pictures in the split val"):
        task_of(empty)
    nobody = tuple(
        dataclasses.replace(s, boxes_xyxy=s.boxes_xyxy[:0], class_ids=s.class_ids[:0], crowd=s.crowd[:0])
        for s in streets.splits["val"]
    )
    with pytest.raises(DatasetError, match="nothing can be measured"):
        task_of(dataclasses.replace(streets, splits={**streets.splits, "val": nobody}))
    with pytest.raises(ArgumentError, match="is not PP-YOLOE of depth"):
        DetectionTask(streets, DetectionTaskOptions(**TINY), network=PPYOLOE(**TINY, num_classes=4))


def test_new_weights_come_from_the_seed_alone(streets):
    torch.manual_seed(5)
    first = task_of(streets).network.state_dict()
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)
    second = task_of(streets).network.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    name = "backbone.stem.conv1.conv.weight"
    assert not torch.equal(first[name], task_of(streets, seed=1).network.state_dict()[name])


def test_it_describes_itself_in_json(streets):
    task = task_of(streets)
    described = json.loads(json.dumps(task.describe()))
    assert described["kind"] == "detector"
    assert described["network"] == TINY
    assert described["num_classes"] == 1
    assert described["input_hw"] == [96, 128]
    assert described["labels"] == [{"id": "pedestrian", "en": "pedestrian", "zh": "", "group": "", "uncertain": None}]
    assert task.not_averaged <= set(task.network.state_dict())


STEP = json.loads((FIXTURES / "train/det_step.json").read_text())


def relative(got, expected):
    """Length of the difference in lengths of what is expected."""
    return np.linalg.norm(got.detach().numpy() - expected) / np.linalg.norm(expected)


def paddle_batch(stored):
    with np.load(FIXTURES / "preproc/normalize_lut.npz") as tables:
        table = tables["det_rgb"]
    image = stored["image_u8_rgb"]  # (N, H, W, 3)
    inputs = np.stack([table[image[..., channel], channel] for channel in range(3)], axis=1)
    targets = {
        "boxes": torch.tensor(stored["gt_bbox"]),
        "classes": torch.tensor(stored["gt_class"][..., 0]).long(),
        "valid": torch.tensor(stored["pad_gt_mask"][..., 0]) > 0,
    }
    nothing = {f"ignored_{name}": value[:, :0] for name, value in targets.items()}
    return Batch(torch.tensor(inputs), {**targets, **nothing, "static": torch.tensor(False)}, {})


@pytest.mark.parametrize(("layout", "worse"), [(torch.contiguous_format, 1), (torch.channels_last, 10)])
def test_two_steps_are_those_of_paddle(streets, layout, worse):
    """The first step within what float32 leaves: in float64 this network is as far from the fixture.

    That step is a wild one, with gradients of length 2800 against which small ones are rounding, so the second starts
    from weights that differ in the fifth digit. In the layout that is quicker, torch's sums are up to ten times worse.
    """
    with np.load(FIXTURES / "train/det_step.npz") as file:
        stored = {key: file[key] for key in file.files}
    network = PPYOLOE(**TINY)
    network.load_state_dict({k: torch.tensor(v) for k, v in read_pdparams(WEIGHTS.read_bytes()).items()})
    task = DetectionTask(streets, DetectionTaskOptions(**TINY, input_hw=(128, 160)), network=network)
    named = dict(network.named_parameters())
    scales = [p for name, p in named.items() if ".bn." in name]
    others = [p for name, p in named.items() if ".bn." not in name and p.requires_grad]
    groups = [{"params": others, "weight_decay": 5e-4}, {"params": scales, "weight_decay": 0.0}]
    optimiser = torch.optim.SGD(groups, lr=0.01, momentum=0.9)
    batch = paddle_batch(stored)
    network.to(memory_format=layout).train()
    for step, loss_off, norm_off, gradient_off, weight_off in (
        ("step0", 1e-5, 3e-4, 1e-4 * worse, 5e-5 * worse),
        ("step1", 1e-3 * worse, 5e-2 * worse, 2e-2 * worse, 1e-4 * worse),
    ):
        losses = task.loss(batch, progress=0.0)
        for ours, theirs in (
            ("total", "loss"),
            ("classification", "loss_cls"),
            ("iou", "loss_iou"),
            ("dfl", "loss_dfl"),
        ):
            assert float(losses[ours].detach()) == pytest.approx(STEP[step]["loss"][theirs], rel=loss_off), (step, ours)
        optimiser.zero_grad()
        losses["total"].backward()
        norms = {name: norm for name, norm in STEP[step]["grad_norm"].items() if norm is not None}
        assert set(norms) == {name for name, p in named.items() if p.grad is not None}
        largest = max(norms.values())
        for name, norm in norms.items():
            assert float(named[name].grad.norm()) == pytest.approx(norm, rel=norm_off, abs=1e-6 * largest * worse), (
                step,
                name,
            )
        for key in [k for k in stored if k.startswith(f"{step}|grad|")]:
            assert relative(named[key.split("|")[2]].grad, stored[key]) < gradient_off, key
        optimiser.step()
        for key in [k for k in stored if k.startswith(f"{step}|param_after|")]:
            assert relative(named[key.split("|")[2]], stored[key]) < weight_off, key
        state = network.state_dict()
        for name, norm in STEP[step]["param_norm_after"].items():
            assert float(state[name].norm()) == pytest.approx(norm, rel=2e-4 * worse, abs=1e-6), (step, name)
        if step == "step0":
            for ours, theirs in (("_mean", "bn_mean_after_step0"), ("_variance", "bn_variance_after_step0")):
                running = torch.cat([state[f"{name}.{ours}"] for name, _ in STEP["bn_order"]])
                assert relative(running, stored[theirs]) < 1e-6


@pytest.mark.slow
def test_it_learns_what_it_is_shown(streets):
    few = streets.splits["train"][:8]
    data = dataclasses.replace(streets, splits={"train": few, "val": few})
    gentle = DetectionAugment(colour=0.2, expand=0.0, crop=0.0)
    task = task_of(
        data, width=0.125, input_hw=(128, 160), multi_scale=(1, 1), augment=gentle, static_assigner_epochs=20
    )
    optimiser = torch.optim.AdamW([p for p in task.network.parameters() if p.requires_grad], lr=3e-3)
    for epoch in range(80):
        loss = task.loss(task.batch(Place(epoch, 0), range(8)), progress=epoch / 80)["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert task.evaluate(task.network.state_dict())["AP50"] > 0.5
    figures = evaluate_detections(*task.detections(task.network.state_dict()), classes=data.classes)
    assert figures.pictures == 8
