"""Conversion: files as labelling tools write them become data sets that the check accepts, with the right values."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from passerby.datasets import example
from passerby.datasets.attribute_set import read_attribute_set
from passerby.datasets.check import check_dataset
from passerby.datasets.convert import ConvertOptions, convert_dataset
from passerby.datasets.convert.report import ConvertReport
from passerby.datasets.detection_set import read_detection_set
from passerby.datasets.records import AttributeSample, DetectionSample
from passerby.decode import decode_image
from passerby.errors import ArgumentError, DatasetError, OutputError

WIDTH, HEIGHT = 320, 240


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drawn streets, 0000.png to 0005.png, each 320 x 240."""
    folder = tmp_path_factory.mktemp("drawn")
    example.write_detection_example(folder / "set", count=6)
    return folder / "set" / "images"


@pytest.fixture
def source(drawn: Path, tmp_path: Path) -> Path:
    """A folder with the six pictures below `images/`."""
    shutil.copytree(drawn, tmp_path / "source" / "images")
    return tmp_path / "source"


def put(path: Path, body: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(body if isinstance(body, str) else json.dumps(body, ensure_ascii=False), "utf-8")


def name(number: int) -> str:
    return f"{number:04d}.png"


def converted(source: Path, source_format: str, **more: Any) -> tuple[Path, ConvertReport]:
    """Convert, look that the source is untouched, and check the result down to the pixels."""
    root = source if source.is_dir() else source.parent
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    target = root.parent / "target"
    report = convert_dataset(source, target, source_format=source_format, **more)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert json.loads(json.dumps(report.to_json()))["format"] == report.format
    check_dataset(target, format=report.format)
    return target, report


def boxes_of(target: Path) -> dict[str, DetectionSample]:
    data = read_detection_set(target)
    return {sample.file: sample for samples in data.splits.values() for sample in samples}


def labels_of(target: Path) -> dict[str, dict[str, int]]:
    """Values by label's name, by picture."""
    data = read_attribute_set(target)
    texts = [line.split(" ", 1)[1] for line in (target / "label.txt").read_text("utf-8").splitlines()]
    samples = [sample for samples in data.splits.values() for sample in samples]
    return {sample.file: dict(zip(texts, sample.targets.tolist(), strict=True)) for sample in samples}


def samples_of(target: Path) -> dict[str, AttributeSample]:
    data = read_attribute_set(target)
    return {sample.file: sample for samples in data.splits.values() for sample in samples}


def close(boxes: np.ndarray, wanted: list[list[float]]) -> bool:
    return bool(np.allclose(boxes, np.array(wanted, np.float32).reshape(-1, 4), atol=0.02))


# LabelMe


def labelme(number: int, shapes: list[dict[str, Any]], *, flags: dict[str, bool] | None = None, **more: Any) -> Any:
    return {
        "version": "5.4.1",
        "flags": flags or {},
        "shapes": shapes,
        "imagePath": f"..\\images\\{name(number)}",
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
        **more,
    }


def shape(label: str, points: list[list[float]], kind: str = "rectangle", **flags: bool) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": flags}


def test_labelme_shapes_become_the_boxes_around_them(source: Path) -> None:
    shapes = [
        shape("pedestrian", [[110, 200], [50, 40]]),  # drawn from the lower right
        shape("pedestrian", [[10, 20], [30, 25], [20, 60]], "polygon"),
        shape("pedestrian", [[200, 100], [200, 130]], "circle"),
        shape("bicycle", [[300, 200], [400, 239]]),  # over the edge
        shape("pedestrian", [[1, 1]], "point"),
    ]
    put(source / "labels" / "0000.json", labelme(0, shapes))
    for number in range(1, 6):
        put(source / "labels" / f"{number:04d}.json", labelme(number, []))
    put(source / "labels" / "settings.json", {"theme": "dark"})
    target, report = converted(source, "LabelMe")
    assert report.format == "COCODetDataset"
    wanted = [[50, 40, 110, 200], [10, 20, 30, 60], [170, 70, 230, 130], [300, 200, 320, 239]]
    assert close(boxes_of(target)["0000.png"].boxes_xyxy, wanted)
    assert sorted(report.samples.items()) == [("train", 5), ("val", 1)]
    told = " | ".join(report.warnings)
    assert "1 points and lines are left out" in told
    assert "1 JSON files that are none of LabelMe's" in told
    assert "1 boxes reach over the edge" in told
    files = [json.loads((target / f"annotations/instance_{s}.json").read_text()) for s in ("train", "val")]
    for section in ("images", "annotations"):
        ids = sorted(item["id"] for body in files for item in body[section])
        assert ids == list(range(1, len(ids) + 1))
    assert [c["id"] for c in files[0]["categories"]] == [1, 2]


def test_labelme_lists_of_the_original_decide_the_splits(source: Path) -> None:
    for number in range(6):
        put(source / "annotations" / f"{number:04d}.json", labelme(number, [shape("p", [[5, 5], [50, 90]])]))
    put(source / "train_anno_list.txt", "".join(f"annotations/{i:04d}.json\n" for i in (0, 2, 4)))
    put(source / "val_anno_list.txt", "annotations/0001.json\nannotations/0003.json\n")
    target, report = converted(source, "LabelMe")
    data = read_detection_set(target)
    assert {s: [x.file for x in v] for s, v in data.splits.items()} == {
        "train": ["0000.png", "0002.png", "0004.png"],
        "val": ["0001.png", "0003.png"],
    }
    assert any("1 annotation files that no list names" in w for w in report.warnings)


def test_pictures_without_annotation_come_along_only_where_that_is_asked_for(source: Path) -> None:
    for number in range(4):
        put(source / "annotations" / f"{number:04d}.json", labelme(number, [shape("p", [[5, 5], [50, 90]])]))
    target, report = converted(source, "LabelMe")
    assert len(boxes_of(target)) == 4
    assert any("2 pictures have no annotation" in w for w in report.warnings)
    shutil.rmtree(target)
    target, report = converted(source, "LabelMeWithUnlabeled")
    assert sorted(len(s.boxes_xyxy) for s in boxes_of(target).values()) == [0, 0, 1, 1, 1, 1]


def test_labelme_flags_of_shapes_become_labels_of_crops(source: Path) -> None:
    for number in range(4):
        shapes = [
            shape("person", [[20, 30], [80, 200]], hat=number % 2 == 0, bag=True),
            shape("person", [[100.4, 30.6], [160.9, 200.2]], hat=number % 2 == 1),  # bag was not asked
            shape("car", [[200, 100], [300, 200]]),  # nothing is asked
        ]
        put(source / "annotations" / f"{number:04d}.json", labelme(number, shapes))
    target, report = converted(source, "LabelMe")
    assert report.format == "MLClsDataset"
    found = labels_of(target)
    assert len(found) == 8
    assert found["images/0000_1.png"] == {"hat": 1, "bag": 1}
    assert found["images/0000_2.png"] == {"hat": 0, "bag": -1}
    assert any("4 boxes without any answer are left out" in w for w in report.warnings)
    cut = decode_image((target / "images/0000_2.png").read_bytes())
    assert np.array_equal(cut, decode_image((source / "images/0000.png").read_bytes())[30:200, 100:160])
    data = read_attribute_set(target)
    assert samples_of(target)["images/0001_1.png"].columns["picture"] == "images/0001.png"
    pictures = [{s.columns["picture"] for s in data.splits[split]} for split in ("train", "val")]
    assert not pictures[0] & pictures[1]  # crops of one picture stay together


def test_labelme_flags_of_pictures_become_labels_of_whole_pictures(source: Path) -> None:
    for number in range(6):
        put(source / f"{number:04d}.json", labelme(number, [], flags={"night": number < 2, "rain": number == 5}))
    target, _ = converted(source, "LabelMe")
    assert labels_of(target)["images/0001.png"] == {"night": 1, "rain": 0}
    assert (target / "images/0001.png").read_bytes() == (source / "images/0001.png").read_bytes()


# Pascal VOC


def voc(number: int, objects: str, *, size: str = f"<width>{WIDTH}</width><height>{HEIGHT}</height>") -> str:
    head = f"<folder>images</folder><filename>{name(number)}</filename><size>{size}<depth>3</depth></size>"
    return f"<annotation>\n{head}\n{objects}\n</annotation>\n"


def voc_object(label: str, *corners: float, more: str = "") -> str:
    sides = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
    head = f"<name>{label}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
    return f"<object>{head}<bndbox>{sides}</bndbox>{more}</object>"


def test_voc_boxes_and_lists(source: Path) -> None:
    for number in range(6):
        text = voc(number, voc_object("pedestrian", 60, 190, 20, 30) + voc_object("rider", 100, 30, 150, 200.5))
        put(source / "Annotations" / f"{number:04d}.xml", text)
    put(source / "Annotations" / "0005.xml", voc(5, "", size="<width>0</width><height>0</height>"))
    put(source / "train_anno_list.txt", "".join(f"Annotations/{i:04d}.xml\n" for i in range(4)))
    put(source / "val_anno_list.txt", "Annotations/0004.xml\nAnnotations/0005.xml\n")
    target, report = converted(source, "VOC")
    assert report.samples == {"train": 4, "val": 2}
    assert report.classes == ("pedestrian", "rider")
    assert close(boxes_of(target)["0002.png"].boxes_xyxy, [[20, 30, 60, 190], [100, 30, 150, 200.5]])
    assert len(boxes_of(target)["0005.png"].boxes_xyxy) == 0


def test_voc_attributes_become_labels(source: Path) -> None:
    for number in range(4):
        hat = "<attribute><name>hat</name><value>True</value></attribute>"
        age = f"<attribute><name>age</name><value>{'young' if number % 2 else 'old'}</value></attribute>"
        attributes = f"<attributes>{hat}{age if number else ''}</attributes>"
        put(source / f"{number:04d}.xml", voc(number, voc_object("person", 20, 30, 60, 190, more=attributes)))
    target, _ = converted(source, "VOC")
    found = labels_of(target)
    assert found["images/0000_1.png"] == {"hat": 1, "young": -1, "old": -1}
    assert found["images/0001_1.png"] == {"hat": 1, "young": 1, "old": 0}
    group = read_attribute_set(target).label_set.groups
    assert [(g.id, g.exclusive) for g in group] == [("age", True)]


def test_difficult_objects_are_regions_that_count_for_nothing(source: Path) -> None:
    hat = "<attributes><attribute><name>hat</name><value>true</value></attribute></attributes>"
    difficult = voc_object("person", 70, 30, 90, 190, more=hat).replace("<difficult>0", "<difficult>1")
    for number in range(3):
        put(source / f"{number:04d}.xml", voc(number, voc_object("person", 20, 30, 60, 190, more=hat) + difficult))
    target, _ = converted(source, "VOC", target_format="COCODetDataset")
    assert boxes_of(target)["0001.png"].crowd.tolist() == [False, True]
    shutil.rmtree(target)
    target, report = converted(source, "VOC")
    assert len(labels_of(target)) == 3
    assert any("3 boxes of a crowd, or marked as difficult, are left out" in w for w in report.warnings)


# COCO


def coco(numbers: list[int], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "info": {"year": 2024},
        "images": [{"id": 1000 + n, "file_name": name(n), "width": WIDTH, "height": HEIGHT} for n in numbers],
        "annotations": annotations,
        "categories": [{"id": 7, "name": "hat", "supercategory": "x"}, {"id": 3, "name": "bag"}],
    }


def coco_box(id: int, number: int, category: int, box: list[float], **more: Any) -> dict[str, Any]:
    return {"id": id, "image_id": 1000 + number, "category_id": category, "bbox": box, "iscrowd": 0, **more}


@pytest.fixture
def coco_source(source: Path) -> Path:
    train = [
        coco_box(5, 0, 7, [10, 10, 50, 80]),
        coco_box(6, 0, 7, [100, 10, 50, 80]),
        coco_box(9, 1, 3, [10, 10, 40, 40], iscrowd=1, segmentation={"counts": [1], "size": [240, 320]}),
    ]
    put(source / "annotations/instance_train.json", coco([0, 1, 2, 3], train))
    put(source / "annotations/instance_val.json", coco([4, 5], [coco_box(5, 5, 3, [10, 10, 40, 40])]))
    return source


def test_coco_ids_begin_at_one_and_are_never_shared(coco_source: Path) -> None:
    target, report = converted(coco_source, "COCO")
    assert report.format == "COCODetDataset"
    files = [json.loads((target / f"annotations/instance_{s}.json").read_text()) for s in ("train", "val")]
    assert files[0]["categories"] == files[1]["categories"] == [{"id": 1, "name": "hat"}, {"id": 2, "name": "bag"}]
    assert [image["id"] for body in files for image in body["images"]] == [1, 2, 3, 4, 5, 6]
    assert [a["id"] for body in files for a in body["annotations"]] == [1, 2, 3, 4]
    assert [a["category_id"] for body in files for a in body["annotations"]] == [1, 1, 2, 2]
    assert boxes_of(target)["0001.png"].crowd.tolist() == [True]


def test_coco_categories_become_labels_of_pictures_numbered_from_zero(coco_source: Path) -> None:
    target, report = converted(coco_source, "COCO", target_format="MLClsDataset")
    assert (target / "label.txt").read_text() == "0 hat\n1 bag\n"
    assert report.samples == {"train": 4, "val": 2}
    found = labels_of(target)
    assert found["images/0000.png"] == {"hat": 1, "bag": 0}
    assert found["images/0001.png"] == {"hat": 0, "bag": 1}
    assert found["images/0002.png"] == {"hat": 0, "bag": 0}
    assert found["images/0005.png"] == {"hat": 0, "bag": 1}


def test_coco_attributes_become_labels_of_crops(source: Path) -> None:
    boxes = [
        coco_box(i, i, 7, [10, 10, 50, 80], attributes={"hat": i % 2 == 0, "occluded": False, "shoes": shoes})
        for i, shoes in enumerate(["boots", "sandals", None, "boots"])
    ]
    put(source / "instances_default.json", coco([0, 1, 2, 3], boxes))
    target, _ = converted(source / "instances_default.json", "COCO")
    found = labels_of(target)
    assert found["images/0000_1.png"] == {"hat": 1, "boots": 1, "sandals": 0}
    assert found["images/0002_1.png"] == {"hat": 1, "boots": -1, "sandals": -1}


def test_all_problems_of_a_coco_file_come_at_once(coco_source: Path) -> None:
    wrong = [
        coco_box(0, 0, 99, [1, 1, 5, 5]),
        coco_box(1, 0, 7, [1, 1, 0, 5]),
        coco_box(2, 77, 7, [1, 1, 5, 5]),
        coco_box(3, 1, 7, [400, 1, 5, 5]),
        {"id": 4, "image_id": 1001, "category_id": 7, "bbox": ["1", 1, 5, 5]},
    ]
    body = coco([0, 1, 2, 3], wrong)
    body["images"][2]["width"] = 100
    body["images"].append({"id": 1, "file_name": "../../etc/passwd", "width": 1, "height": 1})
    put(coco_source / "annotations/instance_train.json", body)
    with pytest.raises(DatasetError) as caught:
        convert_dataset(coco_source, coco_source.parent / "t", source_format="COCO")
    assert caught.value.name == "dataset_invalid"
    told = str(caught.value)
    for part in (
        "7 problems",
        "annotations[0].category_id: no category has the id 99",
        "annotations[1].bbox: has no area",
        "annotations[2].image_id",
        "annotations[3].bbox: lies outside",
        "annotations[4].bbox: must be 4 numbers",
        "was annotated at 100 x 240",
        "passwd",
    ):
        assert part in told
    assert not (coco_source.parent / "t").exists()


# CVAT

META = """<meta><task><id>1</id><labels>
<label><name>person</name><type>any</type><attributes>
<attribute><name>hat</name><mutable>False</mutable><input_type>checkbox</input_type><default_value>false</default_value>
<values>false</values></attribute>
<attribute><name>age</name><mutable>False</mutable><input_type>select</input_type><default_value>unknown</default_value>
<values>unknown
child
adult</values></attribute>
<attribute><name>height</name><input_type>number</input_type><values>0
300
1</values></attribute>
</attributes></label>
<label><name>car</name><type>rectangle</type><attributes></attributes></label>
<label><name>night</name><type>tag</type><attributes></attributes></label>
</labels></task></meta>"""


def cvat(images: list[str], meta: str = META) -> str:
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n{meta}\n' + "\n".join(
        [*images, "</annotations>", ""]
    )


def cvat_image(number: int, inner: str, more: str = "") -> str:
    return f'<image id="{number}" name="{name(number)}" width="{WIDTH}" height="{HEIGHT}"{more}>\n{inner}\n</image>'


def cvat_box(corners: tuple[float, ...], label: str = "person", attributes: str = "", more: str = "") -> str:
    sides = " ".join(f'{k}="{v}"' for k, v in zip(("xtl", "ytl", "xbr", "ybr"), corners, strict=True))
    return f'<box label="{label}" source="manual" occluded="0" {sides} z_order="0"{more}>{attributes}</box>'


def attribute(key: str, value: str) -> str:
    return f'<attribute name="{key}">{value}</attribute>'


def test_cvat_attributes_become_labels_of_crops(source: Path) -> None:
    images = [
        cvat_image(
            0,
            cvat_box((20, 30, 60, 190), attributes=attribute("hat", "true") + attribute("age", "adult"))
            + cvat_box((100, 30, 160, 190), attributes=attribute("hat", "false") + attribute("age", "unknown"))
            + cvat_box((200, 30, 260, 190), "car"),
        ),
        cvat_image(1, cvat_box((20, 30, 60, 190), attributes=attribute("age", "child") + attribute("height", "170"))),
        cvat_image(2, ""),
    ]
    put(source / "annotations.xml", cvat(images))
    target, report = converted(source / "annotations.xml", "CVAT")
    found = labels_of(target)
    assert found["images/0000_1.png"] == {"hat": 1, "child": 0, "adult": 1}
    assert found["images/0000_2.png"] == {"hat": 0, "child": -1, "adult": -1}
    assert found["images/0001_1.png"] == {"hat": -1, "child": 1, "adult": 0}
    assert samples_of(target)["images/0001_1.png"].columns["height"] == "170"
    assert any("1 boxes without any answer" in w for w in report.warnings)


def test_cvat_shapes_and_subsets_become_boxes(source: Path) -> None:
    inner = (
        cvat_box((100, 100, 140, 120), more=' rotation="90.00"')
        + '<polygon label="person" occluded="0" points="10.00,20.00;30.00,25.00;20.00,60.00" z_order="0"></polygon>'
        + '<ellipse label="person" occluded="0" cx="200" cy="100" rx="30" ry="20" z_order="0"></ellipse>'
        + '<points label="person" occluded="0" points="1.00,1.00" z_order="0"></points>'
    )
    images = [cvat_image(i, inner, f' subset="{"Validation" if i > 3 else "Train"}"') for i in range(6)]
    put(source / "annotations.xml", cvat(images))
    target, report = converted(source, "CVAT", target_format="COCODetDataset")
    assert report.samples == {"train": 4, "val": 2}
    wanted = [[110, 90, 130, 130], [10, 20, 30, 60], [170, 80, 230, 120]]
    assert close(boxes_of(target)["0003.png"].boxes_xyxy, wanted)
    assert any("6 shapes of the kind points" in w for w in report.warnings)


def test_cvat_tags_become_labels_of_pictures(source: Path) -> None:
    tag = '<tag label="night" source="manual"></tag>'
    images = [cvat_image(i, tag if i < 2 else cvat_box((20, 30, 60, 190), "car")) for i in range(4)]
    put(source / "annotations.xml", cvat(images))
    target, _ = converted(source, "CVAT", target_format="MLClsDataset")
    assert [labels_of(target)[f"images/{name(i)}"]["night"] for i in range(4)] == [1, 1, 0, 0]


def test_a_label_that_is_only_a_tag_is_no_category(source: Path) -> None:
    tag = '<tag label="night" source="manual"></tag>'
    images = [cvat_image(i, tag + cvat_box((20, 30, 60, 190), "car")) for i in range(4)]
    plain = cvat(images).replace("<type>tag</type>", "<type>any</type>")
    assert "<type>any</type>" in plain
    put(source / "annotations.xml", plain)
    _, report = converted(source, "CVAT", target_format="COCODetDataset")
    assert "car" in report.classes
    assert "night" not in report.classes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations>&x;</annotations>', "document type"),
        ("<annotations>" + "<a>" * 100 + "</a>" * 100 + "</annotations>", "depth"),
        ("<annotations><image></annotations>", "no XML"),
        ("<?xml version='1.0' encoding='nothing'?><annotations/>", "encoding"),
        (cvat(['<track id="0" label="person"></track>']), "tracks of a video"),
        (cvat([cvat_image(0, cvat_box((20, 30, 60, 190), attributes=attribute("hat", "maybe")))]), "must be yes or no"),
        (cvat([cvat_image(0, '<box label="person" xtl="a" ytl="1" xbr="2" ybr="3"/>')]), "line 20: the box has no"),
        (cvat(['<image id="0" name="gone.png" width="3" height="3"></image>']), "gone.png does not exist"),
    ],
)
def test_bad_xml_is_refused_with_its_place(source: Path, text: str, message: str) -> None:
    put(source / "annotations.xml", text)
    with pytest.raises(DatasetError, match=message):
        convert_dataset(source, source.parent / "t", source_format="CVAT")


# Label Studio


def region(id: str, x: float, y: float, w: float, h: float, label: str = "person", **more: Any) -> dict[str, Any]:
    value = {"x": x, "y": y, "width": w, "height": h, "rotation": 0, "rectanglelabels": [label], **more}
    return {
        "id": id,
        "from_name": "label",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": value,
    }


def choices(field: str, *values: str, about: dict[str, Any] | None = None) -> dict[str, Any]:
    place = {k: v for k, v in about["value"].items() if k != "rectanglelabels"} if about else {}
    own = {"id": about["id"]} if about else {"id": f"c{field}"}
    value = {**place, "choices": list(values)}
    return {**own, "from_name": field, "to_name": "image", "type": "choices", "value": value}


def task(number: int, *results: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    annotations = [{"id": i, "was_cancelled": False, "result": result} for i, result in enumerate(results)]
    data = {"image": f"/data/upload/3/1a2b3c4d-{name(number)}", "photo": f"walk {number // 2}.mp4"}
    return {"id": number, "annotations": annotations, "data": data, "predictions": [], **more}


def test_label_studio_regions_in_per_cent(source: Path) -> None:
    polygon = region("p", 0, 0, 1, 1)
    polygon |= {"type": "polygonlabels", "value": {"points": [[10, 10], [20, 12], [15, 50]], "polygonlabels": ["car"]}}
    ellipse = region("e", 0, 0, 1, 1)
    value = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "rotation": 0, "ellipselabels": ["person"]}
    ellipse |= {"type": "ellipselabels", "value": value}
    turned = region("t", 50, 50, 25, 10, rotation=90)  # 80 x 24 px about (160, 120)
    result = [region("a", 10, 20, 25, 50), polygon, ellipse, turned]
    put(source / "export.json", [task(i, result) for i in range(5)])
    target, report = converted(source / "export.json", "LabelStudio")
    assert report.format == "COCODetDataset"
    wanted = [[32, 48, 112, 168], [32, 24, 64, 120], [128, 72, 192, 168], [136, 120, 160, 200]]
    assert close(boxes_of(target)["0001.png"].boxes_xyxy, wanted)
    assert boxes_of(target)["0003.png"].columns == {"photo": "walk 1.mp4"}


def test_label_studio_choices_about_pictures(source: Path) -> None:
    tasks = [
        task(0, [choices("what", "hat", "bag"), choices("age", "child")]),
        task(1, [choices("age", "adult")]),
        task(2, [choices("what", "hat")]),
        task(3),
        task(4, [choices("what", "bag")], annotations=[{"was_cancelled": True, "result": [choices("what", "bag")]}]),
    ]
    put(source / "export.json", tasks)
    target, report = converted(source / "export.json", "LabelStudio")
    assert labels_of(target) == {
        "images/0000.png": {"hat": 1, "bag": 1, "child": 1, "adult": 0},
        "images/0001.png": {"hat": 0, "bag": 0, "child": 0, "adult": 1},
        "images/0002.png": {"hat": 1, "bag": 0, "child": -1, "adult": -1},
    }
    assert any("2 tasks without an annotation" in w for w in report.warnings)
    assert [g.id for g in read_attribute_set(target).label_set.groups] == ["age"]


def test_label_studio_choices_about_regions(source: Path) -> None:
    first, second = region("a", 10, 20, 25, 50), region("b", 50, 20, 25, 50)
    result = [first, choices("hat", "yes", about=first), second, choices("hat", "no", about=second)]
    put(source / "export.json", [task(i, result) for i in range(3)])
    target, _ = converted(source / "export.json", "LabelStudio")
    found = labels_of(target)
    assert (found["images/0002_1.png"], found["images/0002_2.png"]) == ({"hat": 1}, {"hat": 0})


def test_guesses_of_a_model_count_only_on_request(source: Path) -> None:
    guess = {"model_version": "m", "score": 0.4, "result": [choices("what", "hat")]}
    tasks = [task(0, [choices("what", "bag", "hat")]), task(1, [choices("what", "bag")])]
    put(source / "export.json", [*tasks, *(task(i, predictions=[guess]) for i in (2, 3))])
    target, _ = converted(source / "export.json", "LabelStudio")
    assert len(labels_of(target)) == 2
    shutil.rmtree(target)
    target, _ = converted(source / "export.json", "LabelStudio", options=ConvertOptions(predictions=True))
    assert labels_of(target)["images/0003.png"] == {"bag": 0, "hat": 1}


def test_json_min_is_told_apart(source: Path) -> None:
    put(source / "export.json", [{"image": "/data/upload/0000.png", "choice": "hat", "id": 1}])
    with pytest.raises(DatasetError, match="JSON-MIN"):
        convert_dataset(source, source.parent / "t", source_format="LabelStudio")


# YOLO


def test_yolo_boxes_and_outlines(source: Path) -> None:
    put(source / "classes.txt", "person\ncar\n")
    put(source / "labels" / "0000.txt", "0 0.5 0.5 0.25 0.5\n1 0.1 0.1 0.2 0.1 0.2 0.3\n")
    put(source / "labels" / "0001.txt", "")
    put(source / "labels" / "0002.txt", "0 0.5 0.5 0.2 0.2\n\n0 0.4 0.5 0.2 0.2\n \n")
    put(source / "labels" / "gone.txt", "0 0.5 0.5 0.2 0.2\n")
    target, report = converted(source, "YOLO")
    assert close(boxes_of(target)["0000.png"].boxes_xyxy, [[120, 60, 200, 180], [32, 24, 64, 72]])
    assert report.classes == ("person", "car")
    assert len(boxes_of(target)["0002.png"].boxes_xyxy) == 2
    assert sum(report.samples.values()) == 3
    assert any("1 label files without a listed picture" in w for w in report.warnings)
    assert any("3 pictures without a label file" in w for w in report.warnings)


def test_yolo_splits_and_names_of_a_data_yaml(drawn: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number in range(6):
        part = "valid" if number > 3 else "train"
        (source / part / "images").mkdir(parents=True, exist_ok=True)
        shutil.copy(drawn / name(number), source / part / "images")
        put(source / part / "labels" / f"{number:04d}.txt", "1 0.5 0.5 0.25 0.5\n")
    names = "names:\n  0: person\n  1: rider\n"
    put(source / "data.yaml", f"path: /content/data\ntrain: ../train/images\nval: ../valid/images\nnc: 2\n{names}")
    target, report = converted(source, "YOLO")
    assert report.samples == {"train": 4, "val": 2}
    assert boxes_of(target)["0005.png"].class_ids.tolist() == [1]


def test_problems_of_yolo_lines_name_file_and_line(source: Path) -> None:
    put(source / "classes.txt", "person\n")
    lines = ["0 0.5 0.5 0.2 0.2", "3 0.5 0.5 0.2 0.2", "0 0.5 0.5 0.2", "0 40 50 20 20", "0 a 0 1 1"]
    put(source / "labels" / "0000.txt", "\n".join([*lines, "0 0.5 0.5 0.2 0.2 0.9"]) + "\n")
    with pytest.raises(DatasetError) as caught:
        convert_dataset(source, source.parent / "t", source_format="YOLO")
    told = str(caught.value)
    for part in (
        "5 problems",
        "0000.txt line 2: the class must be from 0 to 0",
        "line 3",
        "line 4",
        "line 5: must be numbers",
        "a confidence?",
    ):
        assert part in told


# everything


def test_pictures_of_one_name_are_kept_apart_by_their_folder(drawn: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number, folder in enumerate(("north", "south", "east")):
        (source / folder).mkdir(parents=True)
        shutil.copy(drawn / name(number), source / folder / "a.png")
        body = labelme(number, [shape("p", [[5, 5], [50 + number, 90]])], imagePath="a.png")
        put(source / folder / "a.json", body)
    target, _ = converted(source, "LabelMe")
    found = boxes_of(target)
    assert sorted(found) == ["east/a.png", "north/a.png", "south/a.png"]
    for number, folder in enumerate(("north", "south", "east")):
        assert found[f"{folder}/a.png"].boxes_xyxy[0, 2] == 50 + number
        assert (target / "images" / folder / "a.png").read_bytes() == (source / folder / "a.png").read_bytes()


def test_pictures_can_be_linked(coco_source: Path) -> None:
    target, _ = converted(coco_source, "COCO", options=ConvertOptions(pictures="link"))
    assert all(sample.path.is_symlink() for sample in boxes_of(target).values())


def test_the_seed_decides_the_split(source: Path) -> None:
    for number in range(6):
        put(source / f"{number:04d}.json", labelme(number, [shape("p", [[5, 5], [50, 90]])]))
    val = []
    for seed in range(6):
        target, report = converted(source, "LabelMe", options=ConvertOptions(seed=seed, val_percent=50))
        assert report.samples == {"train": 3, "val": 3}
        val.append([s.file for s in read_detection_set(target).splits["val"]])
        shutil.rmtree(target)
    target, _ = converted(source, "LabelMe", options=ConvertOptions(seed=0, val_percent=50))
    assert [s.file for s in read_detection_set(target).splits["val"]] == val[0]
    assert len({tuple(files) for files in val}) > 1


def test_labels_of_the_source_folder_decide_names_and_order(source: Path) -> None:
    put(source / "labels.yaml", 'labels:\n  - {name: "Bag(包)", id: bag}\n  - {name: Rain}\n  - {name: Hat, id: hat}\n')
    for number in range(3):
        put(source / f"{number:04d}.json", labelme(number, [], flags={"hat": True, "bag": number == 0}))
    target, _ = converted(source, "LabelMe")
    assert labels_of(target)["images/0000.png"] == {"Bag(包)": 1, "Rain": -1, "Hat": 1}
    put(source / "0001.json", labelme(1, [], flags={"scarf": True}))
    with pytest.raises(DatasetError, match="the label scarf of the source is not in the given label file"):
        convert_dataset(source, source.parent / "t", source_format="LabelMe")


def test_a_plain_list_of_names_beside_the_source_says_nothing_of_numbers(source: Path) -> None:
    put(source / "label.txt", "hat\nbag\n")  # as LabelMe's window is started with
    for number in range(3):
        put(source / f"{number:04d}.json", labelme(number, [], flags={"bag": True, "hat": number == 0}))
    target, _ = converted(source, "LabelMe")
    assert labels_of(target)["images/0000.png"] == {"bag": 1, "hat": 1}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["a\nb", "c"], "control characters"),
        (["\ud800"], "control characters"),
        ([""], "control characters"),
        (["hat", "hat "], "two labels would be called hat"),
        (["a", " a"], "two labels would be called a"),
        (["Hat(帽子)", "(帽子)"], "two labels would be called"),
        (["x" * 81], "has 81 characters"),
    ],
)
def test_names_that_fit_no_label_file_are_refused_before_anything_is_written(
    source: Path, flags: list[str], message: str
) -> None:
    body = labelme(0, [], flags=dict.fromkeys(flags, True))
    for number in range(3):
        text = json.dumps(body | {"imagePath": f"images/{name(number)}"})
        put(source / f"{number:04d}.json", text)
    with pytest.raises(DatasetError, match=message):
        convert_dataset(source, source.parent / "t", source_format="LabelMe")
    assert not (source.parent / "t").exists()


def test_names_at_the_edge_of_what_fits(source: Path) -> None:
    long = "x" * 80
    flags = {long: True, " hat ": False, '"quoted": {}': True, "0 zero": True, "# hash": False}
    fields = [choices(f"ask\n{long}", "a, b", "c"), choices("w", long[:79] + "y")]
    put(source / "labels" / "e.json", [task(i, [*fields, choices("v", *flags)]) for i in range(3)])
    target, _ = converted(source, "LabelStudio")
    assert [line.split(" ", 1)[1] for line in (target / "label.txt").read_text().splitlines()][-4:] == [
        "hat",
        '"quoted": {}',
        "0 zero",
        "# hash",
    ]


def test_pictures_that_do_not_decode_are_all_named_and_no_list_is_written(source: Path) -> None:
    for number in range(4):
        put(source / f"{number:04d}.json", labelme(number, [shape("p", [[5, 5], [50, 90]], hat=True)]))
    for number in (1, 2):
        path = source / "images" / name(number)
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)  # inside the pixels, behind a sound header
        path.write_bytes(bytes(data))
    with pytest.raises(DatasetError) as caught:
        convert_dataset(source, source.parent / "t", source_format="LabelMe")
    told = str(caught.value)
    assert "2 problems" in told
    assert "0001.json: images/0001.png: image_corrupt" in told
    assert "0002.json: images/0002.png: image_corrupt" in told
    assert not list((source.parent / "t").glob("*.txt"))


def test_groups_csv_of_the_source_comes_along(coco_source: Path) -> None:
    put(coco_source / "groups.csv", "path,camera\n" + "".join(f"{name(i)},c{i}\n" for i in range(6)))
    target, _ = converted(coco_source, "COCO")
    assert boxes_of(target)["0004.png"].columns == {"camera": "c4"}
    with (target / "groups.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 6


def test_a_target_that_holds_something_is_left_alone(coco_source: Path, tmp_path: Path) -> None:
    put(tmp_path / "t" / "notes.txt", "mine")
    with pytest.raises(OutputError, match="output_conflict"):
        convert_dataset(coco_source, tmp_path / "t", source_format="COCO")
    with pytest.raises(OutputError, match="output_conflict"):
        convert_dataset(coco_source, coco_source / "new", source_format="COCO")
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["notes.txt"]


def test_what_cannot_be_asked_for(coco_source: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="one of LabelMe, VOC, COCO, CVAT, LabelStudio, YOLO"):
        convert_dataset(coco_source, tmp_path / "t", source_format="KITTI")
    with pytest.raises(ArgumentError, match="val_percent"):
        convert_dataset(coco_source, tmp_path / "t", source_format="COCO", options=ConvertOptions(val_percent=100))
    with pytest.raises(DatasetError, match="dataset_missing"):
        convert_dataset(tmp_path / "gone", tmp_path / "t", source_format="COCO")
    with pytest.raises(DatasetError, match="no annotated picture"):
        convert_dataset(coco_source, tmp_path / "t", source_format="VOC")


JUNK = [
    None,
    True,
    -1,
    10**19,
    1e300,
    "",
    "a",
    "\x00",
    "\u202e",
    "../x",
    "//[",
    [],
    {},
    [[]],
    [None],
    [1, 2],
    ["hat"],
    {"a": 1},
]


def spoiled(value: Any, rng: np.random.Generator) -> Any:
    """A document with one value in fifty replaced by another, or a key gone."""
    if rng.random() < 0.02:
        return JUNK[int(rng.integers(len(JUNK)))]
    if isinstance(value, dict):
        return {key: spoiled(inner, rng) for key, inner in value.items() if rng.random() > 0.01}
    return [spoiled(inner, rng) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("source_format", ["LabelMe", "COCO", "LabelStudio"])
def test_spoiled_files_give_a_data_set_or_an_error_of_ours(source: Path, source_format: str) -> None:
    first = region("a", 10, 20, 25, 50)
    shapes = [shape("p", [[1, 2], [30, 40]], hat=True), shape("p", [[1, 2], [30, 40], [5, 50]], "polygon")]
    boxes = [coco_box(i, i % 3, 7, [1, 2, 30, 40], attributes={"a": True, "b": "x", "c": 1}) for i in range(4)]
    results = [first, choices("h", "yes", about=first), choices("w", "a", "b"), choices("cannot_tell", "a")]
    document = {
        "LabelMe": labelme(0, shapes, flags={"night": True}),
        "COCO": coco([0, 1, 2], boxes),
        "LabelStudio": [task(i, results) for i in range(3)],
    }[source_format]
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(40):
        put(source / "0.json", spoiled(document, rng))
        put(source / "1.json", labelme(1, shapes) if source_format == "LabelMe" else {})
        target = source.parent / f"t{number}"
        try:
            convert_dataset(source, target, source_format=source_format)
        except DatasetError:
            refused += 1
            assert not target.exists()
        else:
            check_dataset(target)
    assert 0 < refused < 40
