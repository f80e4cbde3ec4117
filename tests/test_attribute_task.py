"""The attribute task: what a batch is made of, what is learnt from it, and what it says about itself."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from passerby import preprocess  # noqa: E402
from passerby.attributes import AttributeClassifier  # noqa: E402
from passerby.datasets.records import AttributeSample, AttributeSet, LabelSet  # noqa: E402
from passerby.decode import decode_image  # noqa: E402
from passerby.devices import Device  # noqa: E402
from passerby.errors import ArgumentError, DatasetError, ModelError  # noqa: E402
from passerby.formats.metadata import InputRecipe, Label, ModelMetadata  # noqa: E402
from passerby.formats.onnx_file import write_onnx  # noqa: E402
from passerby.models.load import load_path  # noqa: E402
from passerby.networks import pplcnet  # noqa: E402
from passerby.networks.torch.pplcnet import PPLCNet, weights_of  # noqa: E402
from passerby.training.attributes.counts import count_decisions, mean_accuracy_of  # noqa: E402
from passerby.training.attributes.distillation import NO_OPINION, Teacher  # noqa: E402
from passerby.training.attributes.task import AttributeTask, AttributeTaskOptions  # noqa: E402
from passerby.training.task import Batch, Place  # noqa: E402

from .attribute_data import LABELS, attribute_set  # noqa: E402

SMALL = {"input_hw": (64, 32), "scale": 0.25}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> AttributeSet:
    return attribute_set(tmp_path_factory.mktemp("set"), train=48, unknown=True)


def task_of(data, **options) -> AttributeTask:
    return AttributeTask(data, AttributeTaskOptions(**{**SMALL, "augment": "none", **options}))


def learn(task: AttributeTask, steps: int) -> None:
    """Momentum at a falling rate; 80 steps are enough for the running statistics to follow."""
    wanted = [p for p in task.network.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(wanted, lr=0.02, momentum=0.9)
    order = np.random.default_rng(0)
    for number in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 0.02 * (1 - number / steps)
        task.network.train()
        rows = order.permutation(task.samples)[:20].tolist()
        losses = task.loss(task.batch(Place(number, 0), rows), progress=number / steps)
        optimiser.zero_grad()
        losses["total"].backward()
        optimiser.step()


@pytest.fixture(scope="module")
def learned(data) -> PPLCNet:
    """A network that knows red, blue and hats; not to be changed."""
    torch.manual_seed(0)
    task = task_of(data)
    learn(task, 80)
    assert isinstance(task.network, PPLCNet)
    return task.network


def model_file(path: Path, network: PPLCNet, labels, *, input_hw=(64, 32)) -> Path:
    """A model file as an export writes it."""
    metadata = ModelMetadata(
        kind="attributes",
        name="teacher",
        network="PP-LCNet",
        input=InputRecipe(height=input_hw[0], width=input_hw[1], interpolation="linear"),
        labels=tuple(labels),
        thresholds=(0.5,) * len(labels),
    )
    path.write_bytes(write_onnx(pplcnet.build_onnx(weights_of(network), input_hw=input_hw), metadata))
    return path


def test_without_augmentation_a_batch_is_what_inference_sees(data):
    batch = task_of(data).batch(Place(0, 0), [3, 0])
    recipe = InputRecipe(height=64, width=32, interpolation="linear")
    for row, number in enumerate([3, 0]):
        pixels = decode_image(data.splits["train"][number].path.read_bytes())
        expected = preprocess.to_network_input(pixels, recipe)[0]
        assert np.array_equal(batch.inputs[row].numpy(), expected)
    assert batch.targets["labels"].tolist() == [[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]]
    assert tuple(batch.files) == ("images/train_3.png", "images/train_0.png")
    assert batch.left_out == {}


@pytest.mark.parametrize("augment", ["paddle", "mild"])
@pytest.mark.parametrize("cache_mb", [0, 16])
def test_a_batch_follows_from_place_and_seed_alone(data, augment, cache_mb):
    task = task_of(data, augment=augment, cache_mb=cache_mb)
    task.batch(Place(0, 0), [0, 1, 2])
    first = task.batch(Place(1, 4), [5, 6, 7]).inputs
    fresh = task_of(data, augment=augment).batch(Place(1, 4), [5, 6, 7]).inputs
    assert torch.equal(first, fresh)
    assert not torch.equal(first, task.batch(Place(2, 4), [5, 6, 7]).inputs)
    assert not torch.equal(first, task_of(data, augment=augment, seed=1).batch(Place(1, 4), [5, 6, 7]).inputs)


def test_batches_need_no_network_and_travel_into_other_processes(data):
    task = pickle.loads(pickle.dumps(task_of(data, augment="paddle")))
    assert torch.equal(
        task.batch(Place(0, 1), [1, 2]).inputs, task_of(data, augment="paddle").batch(Place(0, 1), [1, 2]).inputs
    )


def test_a_picture_that_does_not_decode_is_left_out_and_changes_no_neighbour(tmp_path):
    data = attribute_set(tmp_path)
    whole = task_of(data, augment="paddle").batch(Place(0, 0), [0, 1, 2])
    data.splits["train"][1].path.write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    batch = task_of(data, augment="paddle").batch(Place(0, 0), [0, 1, 2])
    assert torch.equal(batch.inputs, whole.inputs[[0, 2]])
    assert torch.equal(batch.targets["labels"], whole.targets["labels"][[0, 2]])
    assert list(batch.left_out) == ["images/train_1.png"]
    assert batch.left_out["images/train_1.png"].startswith("image_")
    nothing = task_of(data).batch(Place(0, 0), [1])
    assert (nothing.inputs.shape, nothing.targets["labels"].shape) == ((0, 3, 64, 32), (0, 3))


@pytest.mark.parametrize(
    "loss", ["weighted_bce", *(pytest.param(name, marks=pytest.mark.slow) for name in ("bce", "focal", "asl"))]
)
def test_a_small_network_learns_from_partly_labelled_crops(data, loss):
    task = task_of(data, loss=loss)
    before = task.evaluate(task.network.state_dict())
    learn(task, 80)
    after = task.evaluate(task.network.state_dict())
    assert set(after) == {"mA", "auc", "f1", "loss"}
    assert before["mA"] < 0.8
    assert after["mA"] > 0.85
    assert after["auc"] > 0.95
    assert after["loss"] < 0.5 * before["loss"]


def test_evaluation_is_what_the_exported_model_would_say(data, learned, tmp_path):
    figures = task_of(data).evaluate(learned.state_dict())
    path = model_file(tmp_path / "exported.onnx", learned, LABELS)
    crops = [decode_image(sample.path.read_bytes()) for sample in data.splits["val"]]
    engine = AttributeClassifier(load_path(path, name="exported"), device=Device("cpu"), threads=1)
    decisions = engine.probabilities(crops) > 0.5
    assert figures["mA"] == pytest.approx(mean_accuracy_of(count_decisions(decisions, data.targets("val"))))
    assert figures["mA"] > 0.85


def test_evaluation_leaves_network_and_random_numbers_alone(data):
    task = task_of(data)
    task.network.train()
    state = {name: value.clone() for name, value in task.network.state_dict().items()}
    random = torch.get_rng_state()
    task.evaluate({name: torch.zeros_like(value) for name, value in state.items()})
    assert task.network.training
    assert all(torch.equal(value, state[name]) for name, value in task.network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_a_frozen_backbone_keeps_every_number_and_the_head_learns(data, learned):
    options = AttributeTaskOptions(**SMALL, freeze_backbone=True)
    task = AttributeTask(data, options, network=copy.deepcopy(learned))
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    learn(task, 3)
    changed = {name for name, value in task.network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"last_conv.weight", "fc.weight", "fc.bias"}


def test_a_description_is_json_and_names_everything(data):
    body = task_of(data).describe()
    assert json.loads(json.dumps(body)) == body
    assert body["kind"] == "attributes"
    assert body["network"] == {"scale": 0.25}
    assert (body["num_classes"], body["input_hw"]) == (3, [64, 32])
    assert [label["id"] for label in body["labels"]] == ["red", "blue", "hat"]
    assert body["groups"] == [{"id": "colour", "en": "Colour", "exclusive": True, "margin": None}]
    assert body["thresholds"] == [None, None, None]


def test_a_set_without_val_and_a_network_of_another_size_are_refused(data):
    halved = AttributeSet(root=data.root, label_set=data.label_set, splits={"train": data.splits["train"]})
    with pytest.raises(DatasetError, match="no crops in the split val"):
        task_of(halved)
    with pytest.raises(ArgumentError, match="with 4 outputs"):
        AttributeTask(data, AttributeTaskOptions(**SMALL), network=PPLCNet(4, scale=0.25))
    with pytest.raises(ArgumentError, match="32 px"):
        AttributeTaskOptions(input_hw=(16, 16))
    with pytest.raises(ArgumentError, match="teacher_weight"):
        AttributeTaskOptions(teacher_weight=1.5)


def test_a_given_network_is_the_one_that_is_taught(data):
    network = PPLCNet(3, scale=0.25)
    assert AttributeTask(data, AttributeTaskOptions(**SMALL), network=network).network is network


@pytest.fixture(scope="module")
def teacher_file(learned, tmp_path_factory) -> Path:
    """The network that has learnt, its labels in another order and the hats under another name."""
    network = copy.deepcopy(learned)
    weights = network.state_dict()
    weights["fc.weight"], weights["fc.bias"] = weights["fc.weight"][:, [1, 2, 0]], weights["fc.bias"][[1, 2, 0]]
    network.load_state_dict(weights)
    labels = [Label(id=name, en=name) for name in ("blue", "umbrella", "red")]
    return model_file(tmp_path_factory.mktemp("teacher") / "teacher.onnx", network, labels)


def test_teacher_labels_are_matched_by_id(data, teacher_file):
    crops = [decode_image(sample.path.read_bytes()) for sample in data.splits["train"][:4]]
    classifier = AttributeClassifier(load_path(teacher_file, name="t"), device=Device("cpu"), threads=1)
    said = classifier.probabilities(crops)
    taught = Teacher(teacher_file, LABELS).probabilities(crops)
    assert np.array_equal(taught[:, 0], said[:, 2])
    assert np.array_equal(taught[:, 1], said[:, 0])
    assert (taught[:, 2] == NO_OPINION).all()


def test_teacher_labels_without_a_common_id_are_matched_by_place_when_as_many(teacher_file):
    strangers = [Label(id=name, en=name) for name in ("a", "b", "c")]
    assert Teacher(teacher_file, strangers).matched.all()
    with pytest.raises(ModelError, match="no id is in both"):
        Teacher(teacher_file, strangers[:2])


def test_a_detector_teaches_no_attributes():
    detector = Path(__file__).parent / "data/fixtures/models/tiny_det/pir"
    with pytest.raises(ModelError, match="no attribute model"):
        Teacher(detector, LABELS)


def test_paddle_weights_teach_too():
    official = Path(__file__).parent / "data/fixtures/models/tiny_cls/tiny_cls.pdparams"
    labels = [Label(id=f"own_{number}", en="") for number in range(26)]
    taught = Teacher(official, labels).probabilities([np.zeros((40, 20, 3), np.uint8)])
    assert taught.shape == (1, 26)
    assert ((taught > 0) & (taught < 1)).all()


@pytest.mark.slow
def test_the_teacher_fills_what_the_labels_leave_open(data, teacher_file):
    blank = np.array([-1, -1, -1], np.int8)
    samples = tuple(AttributeSample(file=s.file, path=s.path, targets=blank) for s in data.splits["train"])
    splits = {"train": samples, "val": data.splits["val"]}
    unlabelled = AttributeSet(root=data.root, label_set=LabelSet(labels=LABELS), splits=splits)
    task = task_of(unlabelled, teacher=teacher_file, teacher_weight=1.0, loss="bce")
    learn(task, 80)
    with torch.no_grad():
        logits = task.network.eval()(task.batch(Place(0, 0), list(range(48))).inputs)
    truth = data.targets("train")[:, :2] == 1
    assert ((logits[:, :2] > 0).numpy() == truth).mean() > 0.9


def test_the_teacher_sees_the_crop_or_the_view(data, teacher_file):
    def taught(sees, augment, number):
        task = task_of(data, teacher=teacher_file, teacher_sees=sees, augment=augment)
        return task.batch(Place(0, number), [4, 9]).targets["teacher"]

    plain = taught("sample", "none", 0)
    assert torch.equal(plain, taught("sample", "paddle", 1))
    assert torch.allclose(plain, taught("view", "none", 2), atol=1e-5)
    assert not torch.allclose(taught("view", "paddle", 1), taught("view", "paddle", 3), atol=1e-5)


def test_the_parts_of_a_taught_loss_add_up(data, teacher_file):
    task = task_of(data, teacher=teacher_file, teacher_weight=0.3)
    losses = task.loss(task.batch(Place(0, 0), [0, 1, 2]), progress=0.0)
    assert losses["total"].item() == pytest.approx(0.7 * losses["labels"].item() + 0.3 * losses["teacher"].item())
    plain = task_of(data)
    assert set(plain.loss(plain.batch(Place(0, 0), [0]), progress=0.0)) == {"total"}


def test_half_precision_logits_still_give_a_float32_loss(data):
    task = task_of(data)
    batch = task.batch(Place(0, 0), list(range(8)))
    with torch.autocast("cpu", torch.bfloat16):
        loss = task.loss(Batch(batch.inputs, batch.targets, {}), progress=0.0)["total"]
    assert loss.dtype == torch.float32
    loss.backward()
    assert torch.isfinite(task.network.fc.weight.grad).all()
