"""Data set folders are read as they are meant, and refused with every reason where they are not."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from passerby.datasets._extras import need
from passerby.datasets.attribute_set import read_attribute_set
from passerby.datasets.check import guess_format
from passerby.datasets.detection_set import read_detection_set
from passerby.datasets.example import LABELS, write_attribute_example, write_detection_example
from passerby.datasets.label_spec import label_set_of
from passerby.datasets.problems import InvalidDatasetError
from passerby.datasets.text_files import LIST_BYTES
from passerby.errors import DatasetError, EngineError
from passerby.formats.metadata import Group, Label

NAMES = "0 Hat(帽子)\n1 Short vest\n2 Long vest\n"
TRAIN = "images/0.png\t1,0,-1\nimages/1.png\t0,1,0\n"
VAL = "images/2.png\t1,0,1\n"


def picture(path: Path, *, size_wh: tuple[int, int] = (40, 30), orientation: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.new("RGB", size_wh, (90, 120, 60)).save(path, exif=exif)


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """A right MLClsDataset of three labels."""
    for i in range(3):
        picture(tmp_path / f"images/{i}.png")
    for name, text in (("label.txt", NAMES), ("train.txt", TRAIN), ("val.txt", VAL)):
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def coco(*boxes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    images = [{"id": 7, "file_name": "0.png", "width": 40, "height": 30}, {"id": 3, "file_name": "a/1.png"}]
    annotations = [{"id": i, "image_id": 7, "category_id": 1, "iscrowd": 0} | box for i, box in enumerate(boxes)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]} | changes


@pytest.fixture
def streets(tmp_path: Path) -> Callable[..., Path]:
    """Writes a COCODetDataset."""

    def write(train: dict[str, Any], val: dict[str, Any] | None = None) -> Path:
        picture(tmp_path / "images/0.png")
        picture(tmp_path / "images/a/1.png")
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations/instance_train.json").write_text(json.dumps(train), "utf-8")
        (tmp_path / "annotations/instance_val.json").write_text(json.dumps(val or coco()), "utf-8")
        return tmp_path

    return write


def problems(read: Callable[[Path], object], folder: Path) -> list[str]:
    with pytest.raises(InvalidDatasetError) as caught:
        read(folder)
    assert caught.value.name == "dataset_invalid"
    assert caught.value.message.isprintable()
    return [str(problem) for problem in caught.value.problems]


def test_an_example_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_attribute_example(tmp_path / "crops", count=12)
    data = read_attribute_set(tmp_path / "crops")
    assert {split: len(samples) for split, samples in data.splits.items()} == {"train": 9, "val": 3}
    assert [label.id for label in data.label_set.labels] == "hat backpack high_vis trousers shorts skirt".split()
    assert data.label_set.labels[0] == Label(id="hat", en="Hat", zh="帽子")
    assert data.label_set.groups == (Group(id="lower", en="Lower garment", exclusive=True),)
    assert data.label_set.thresholds == (None, None, 0.6, None, None, None)
    assert data.targets("train").shape == (9, len(LABELS))
    lines = (tmp_path / "crops/train.txt").read_text("utf-8").splitlines()
    for line, sample in zip(lines, data.splits["train"], strict=True):
        assert line == f"{sample.file}\t{','.join(map(str, sample.targets.tolist()))}"
        assert sample.path.is_file()
        assert sample.columns["camera"] in ("north", "south")


def test_labels_that_are_not_known_stay_so(crops: Path) -> None:
    data = read_attribute_set(crops)
    assert data.splits["train"][0].targets.tolist() == [1, 0, -1]
    assert data.targets("train").dtype == np.int8
    assert not data.splits["train"][0].targets.flags.writeable
    assert any("labels without a positive: Long vest" in text for text in data.warnings)


def test_official_names_get_their_ids_and_groups() -> None:
    found = label_set_of(["Hat(帽子)", "ShortSleeve(短袖)", "LongSleeve(长袖)", "Trousers(长裤)", "Tool belt"])
    assert [label.id for label in found.labels] == "hat short_sleeve long_sleeve trousers tool_belt".split()
    # trousers have nobody to exclude here
    assert [label.group for label in found.labels] == ["", "sleeve", "sleeve", "", ""]
    assert [group.id for group in found.groups] == ["sleeve"]
    assert found.thresholds == ()


def test_labels_yaml_alone_is_enough(crops: Path) -> None:
    (crops / "label.txt").unlink()
    text = """
    labels:
      - Hat(帽子)
      - {name: Short vest, id: short, group: vest, threshold: 0.3}
      - {name: Long vest, en: Coat, zh: 长, group: vest}
    groups: [{id: vest, exclusive: false}]
    """
    (crops / "labels.yaml").write_text(text, "utf-8")
    found = read_attribute_set(crops).label_set
    assert found.labels == (
        Label(id="hat", en="Hat", zh="帽子"),
        Label(id="short", en="Short vest", group="vest"),
        Label(id="long_vest", en="Coat", zh="长", group="vest"),
    )
    assert found.groups == (Group(id="vest", en="vest", exclusive=False),)
    assert found.thresholds == (None, 0.3, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("labels: [{name: Hat(帽子)}, {name: Short vest}]", "lists 2 labels, label.txt has 3"),
        (
            "labels: [{name: Hat}, {name: Short vest}, {name: Long vest}]",
            "is Hat, but number 0 of label.txt is Hat(帽子)",
        ),
        ("labels: [{nam: Hat}]", "did you mean name?"),
        ("labels:\n  - {name: a, threshold: 2}", "line 2 labels[0].threshold: must be a number between 0 and 1"),
        ("labels: [{name: a, threshold: .nan}]", "must be a number between 0 and 1"),
        ("labels: [{name: a, group: b}]", "the group b is not listed under groups"),
        ("labels: [{name: a}, {name: a}]", "a is the name of labels[0] already"),
        ("labels: [{name: a, id: x}, {name: b, id: x}]", "has the id x of labels[0]"),
        ("labels: [{name: a, id: 'x y'}]", "letters, digits"),
        ("labels: [{name: 18}]", "must be text"),
        ("labels: {a: b}", "must be a list"),
        ("labels: []", "at least one label"),
        ("- a", "must be a mapping"),
        ("labels: [{name: a}]\ngroups: [{id: g, exclusive: 1}]", "must be true or false"),
        ("labels: [a\n", "no YAML"),
        ("labels: [!!python/name:os.system x]", "tag"),
        ('labels: [{name: "a\\e[31m"}]', "control characters"),
    ],
)
def test_labels_yaml_is_checked(crops: Path, text: str, expected: str) -> None:
    (crops / "labels.yaml").write_text(text, "utf-8")
    found = problems(read_attribute_set, crops)
    assert any(line.startswith("labels.yaml") and expected in line for line in found), found


def test_columns_come_from_groups_csv(crops: Path) -> None:
    text = 'path,person,camera\nimages/0.png,17,"north, gate"\nimages/1.png,18,\nimages/9.png,1,x\n'
    (crops / "groups.csv").write_text(text, "utf-8")
    data = read_attribute_set(crops)
    assert data.splits["train"][0].columns == {"person": "17", "camera": "north, gate"}
    assert data.splits["train"][1].columns == {"person": "18", "camera": ""}
    assert data.splits["val"][0].columns == {}
    assert "1 pictures have no line in groups.csv: images/2.png" in data.warnings
    assert "1 lines of groups.csv name pictures that no split lists: images/9.png" in data.warnings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file,person\nimages/0.png,1\n", "line 1: the heading must be path"),
        ("path,a,a\n", "line 1: the heading must be path"),
        ("path,a\nimages/0.png\n", "line 2: has 1 cells, the heading has 2"),
        ("path,a\nimages/0.png,1\nimages/0.png,2\n", "line 3: images/0.png has a line already"),
        ("", "is empty"),
    ],
)
def test_groups_csv_is_checked(crops: Path, text: str, expected: str) -> None:
    (crops / "groups.csv").write_text(text, "utf-8")
    assert [line for line in problems(read_attribute_set, crops) if line.startswith("groups.csv") and expected in line]


def test_two_positives_of_an_exclusive_group_are_noticed(crops: Path) -> None:
    text = "labels: [Hat(帽子), {name: Short vest, group: g}, {name: Long vest, group: g}]\ngroups: [{id: g}]"
    (crops / "labels.yaml").write_text(text, "utf-8")
    (crops / "train.txt").write_text("images/0.png\t1,1,1\nimages/1.png\t0,1,-1\n", "utf-8")
    warnings = read_attribute_set(crops).warnings
    assert "train.txt: 1 pictures have two positives of the exclusive group g: images/0.png" in warnings


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IMAGES/0.PNG", "did you mean images/0.png?"),
        ("images/0.jpg", "did you mean images/0.png?"),
        ("0.png", "did you mean images/0.png?"),
        ("images\\0.png", "write forward slashes, as in images/0.png"),
        ("C:/images/0.png", "must lie inside the data set"),
        ("images/../../x.png", "must lie inside the data set"),
        ("images/\x1b[31m.png", "images/\\x1b[31m.png holds control characters"),
        ("", "the path is empty"),
        ("images/" + "x" * 5000, "does not exist"),
        ("images/pipe.png", "is no regular file"),
        ("images/loop.png", "does not exist"),
    ],
)
def test_a_listed_picture_must_be_there(crops: Path, name: str, expected: str) -> None:
    os.mkfifo(crops / "images/pipe.png")
    (crops / "images/loop.png").symlink_to("loop.png")
    (crops / "train.txt").write_text(f"{name}\t1,0,1\n", "utf-8")
    found = problems(read_attribute_set, crops)
    assert len(found) == 1
    assert found[0].startswith("train.txt line 1: ")
    assert expected in found[0]


def test_the_same_picture_under_two_spellings_is_one(crops: Path) -> None:
    (crops / "train.txt").write_text("images/0.png\t1,0,1\n./images//0.png\t1,0,1\n", "utf-8")
    data = read_attribute_set(crops)
    assert [sample.file for sample in data.splits["train"]] == ["images/0.png"]


@pytest.mark.parametrize("name", ["label.txt", "train.txt", "groups.csv", "labels.yaml"])
def test_pipes_and_folders_in_place_of_a_list_do_not_block(crops: Path, name: str) -> None:
    (crops / name).unlink(missing_ok=True)
    os.mkfifo(crops / name)
    assert f"{name}: is no regular file" in problems(read_attribute_set, crops)


def test_a_list_beyond_the_limit_is_not_read(crops: Path) -> None:
    os.truncate(crops / "train.txt", LIST_BYTES + 1)  # sparse: takes no room
    assert problems(read_attribute_set, crops) == ["train.txt: is larger than 256 MiB"]


def test_all_missing_files_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "label.txt").write_text("0 a\n", "utf-8")
    with pytest.raises(DatasetError, match=r"dataset_missing: train.txt, val.txt missing: .*passerby dataset split"):
        read_attribute_set(tmp_path)
    with pytest.raises(DatasetError, match="dataset_missing: no such folder"):
        read_attribute_set(tmp_path / "nowhere")


def test_a_folder_too_high_is_explained(tmp_path: Path) -> None:
    write_attribute_example(tmp_path / "unpacked/crops", count=4)
    for look in (read_attribute_set, guess_format):
        with pytest.raises(DatasetError) as caught:
            look(tmp_path / "unpacked")
        assert f"did you mean {tmp_path / 'unpacked/crops'}?" in caught.value.message


def test_an_example_of_streets_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_detection_example(tmp_path, count=8)
    data = read_detection_set(tmp_path)
    assert data.classes == ("pedestrian",)
    document = json.loads((tmp_path / "annotations/instance_train.json").read_text("utf-8"))
    for image, sample in zip(document["images"], data.splits["train"], strict=True):
        assert (sample.file, sample.size_wh) == (image["file_name"], (image["width"], image["height"]))
        said = [a["bbox"] for a in document["annotations"] if a["image_id"] == image["id"]]
        found = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in sample.boxes_xyxy.tolist()]
        assert found == said
        assert sample.path.is_file()


def test_boxes_over_the_edge_are_clipped_and_crowds_marked(streets: Callable[..., Path]) -> None:
    boxes = {"bbox": [-5, 20, 15, 20]}, {"bbox": [30.5, 2, 9.5, 8], "iscrowd": 1}
    data = read_detection_set(streets(coco(*boxes)))
    first, second = data.splits["train"]
    assert first.boxes_xyxy.tolist() == [[0, 20, 10, 30], [30.5, 2, 40, 10]]
    assert first.boxes_xyxy.dtype == np.float32
    assert first.crowd.tolist() == [False, True]
    assert first.class_ids.tolist() == [0, 0]
    assert second.boxes_xyxy.shape == (0, 4)
    name = "annotations/instance_train.json"
    clipped = f"{name}: 1 of 2 boxes reach over the edge of their picture and are clipped: 0.png annotations[0].bbox"
    assert clipped in data.warnings


def test_sizes_that_are_not_said_are_those_of_the_upright_picture(streets: Callable[..., Path]) -> None:
    folder = streets(coco())
    picture(folder / "images/a/1.png", size_wh=(50, 20), orientation=6)
    assert read_detection_set(folder).splits["train"][1].size_wh == (20, 50)


def test_a_picture_without_size_must_have_readable_headers(streets: Callable[..., Path]) -> None:
    folder = streets(coco())
    (folder / "images/a/1.png").write_bytes(b"no picture")
    found = problems(read_detection_set, folder)
    assert found[0].startswith("annotations/instance_train.json images[1]: a/1.png: image_unknown")


def test_other_splits_may_number_their_categories_otherwise(streets: Callable[..., Path]) -> None:
    two = [{"id": 4, "name": "person"}, {"id": 2, "name": "rider"}]
    train = coco({"bbox": [1, 1, 9, 9], "category_id": 2}, {"bbox": [1, 1, 9, 9], "category_id": 4}, categories=two)
    val = coco({"bbox": [1, 1, 9, 9], "category_id": 9}, categories=[{"id": 9, "name": "rider"}])
    data = read_detection_set(streets(train, val))
    assert data.classes == ("person", "rider")
    assert data.splits["train"][0].class_ids.tolist() == [1, 0]
    assert data.splits["val"][0].class_ids.tolist() == [1]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (coco(images=[1]), "images[0]: must be an object"),
        (coco(images=[{"file_name": "0.png"}]), "images[0].id: required"),
        (coco(images=[{"id": 1.5, "file_name": "0.png"}]), "images[0].id: must be a whole number"),
        (coco(images=[{"id": 1}]), "images[0].file_name: required"),
        (coco(images=[{"id": 1, "file_name": "0.png", "width": -3, "height": 2}]), "images[0]: width must be"),
        (
            coco(images=[{"id": i, "file_name": "0.png"} for i in (1, 2)]),
            "images[1].file_name: 0.png is listed as images[0]",
        ),
        (coco({}), "annotations[0].bbox: required"),
        (coco({"bbox": [1, 1, 1e300, 2]}), "annotations[0].bbox: holds a number beyond any picture"),
        (coco({"bbox": [True, 1, 2, 2]}), "annotations[0].bbox: must be 4 numbers"),
        (coco({"bbox": [1, 1, 2, 2], "iscrowd": 7}), "annotations[0].iscrowd: must be 0 or 1"),
        (coco(categories=[{"id": 1, "name": ""}]), "categories[0].name: must be text"),
        (coco(categories=[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]), "categories[1].id: 1 is the id"),
        (coco(annotations={}), "annotations: must be a list"),
        (coco(categories=[{"id": 1, "name": "\x1b[31m"}]), "\\x1b"),
    ],
)
def test_coco_files_are_checked(streets: Callable[..., Path], document: dict[str, Any], expected: str) -> None:
    found = problems(read_detection_set, streets(document))
    assert any(line.startswith("annotations/instance_train.json") and expected in line for line in found), found


def test_a_category_that_train_does_not_have(streets: Callable[..., Path]) -> None:
    val = coco(categories=[{"id": 1, "name": "dog"}])
    expected = "categories[0].name: dog is no category of annotations/instance_train.json"
    assert problems(read_detection_set, streets(coco(), val)) == [f"annotations/instance_val.json {expected}"]


def test_problems_survive_the_way_between_processes(crops: Path) -> None:
    (crops / "train.txt").write_text("images/0.png\t1,0\n" * 30, "utf-8")
    with pytest.raises(InvalidDatasetError) as caught:
        read_attribute_set(crops)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.problems, copy.count, copy.message) == (caught.value.problems, 30, caught.value.message)


def test_a_missing_library_says_what_to_install() -> None:
    assert need("json").loads("1") == 1
    with pytest.raises(EngineError, match=r"engine_missing: .*no_such_library.*pip install 'passerby\[train\]'"):
        need("no_such_library.part")


PIECES = st.sampled_from(
    'images/0.png|\t|,|1|0|-1|\n|\r\n| |\0|\ufeff|..|/|：|\x1b[0m|"|path|{|}|[|]|: |- |labels|name|&a |*a|\udcff'.split(
        "|"
    )
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["label.txt", "train.txt", "groups.csv", "labels.yaml"]), st.lists(PIECES, max_size=40))
def test_any_bytes_are_read_or_refused(crops: Path, name: str, pieces: list[str]) -> None:
    before = {path.name: path.read_bytes() for path in crops.iterdir() if path.is_file()}
    (crops / name).write_bytes("".join(pieces).encode("utf-8", "surrogateescape"))
    try:
        read_attribute_set(crops)
    except DatasetError as error:
        assert error.message.isprintable()
        assert len(error.message) <= DatasetError.shown_at_most
    finally:
        (crops / name).unlink()
        for other, data in before.items():
            (crops / other).write_bytes(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_value_in_any_place_is_read_or_refused(streets: Callable[..., Path], data: st.DataObject) -> None:
    document: Any = coco({"bbox": [1, 1, 9, 9]})
    path: list[Any] = data.draw(
        st.sampled_from(
            [["images"], ["annotations"], ["categories"]]
            + [["images", 0, key] for key in ("id", "file_name", "width", "height")]
            + [["annotations", 0, key] for key in ("id", "image_id", "category_id", "bbox", "iscrowd")]
            + [["categories", 0, key] for key in ("id", "name")]
            + [["annotations", 0], ["annotations", 0, "bbox", 2]]
        )
    )
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = data.draw(JSON)
    try:
        read_detection_set(streets(document))
    except DatasetError as error:
        assert error.message.isprintable()
