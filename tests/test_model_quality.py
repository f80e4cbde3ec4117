"""Figures of the shipped models: sums against training's and by hand, readers on drawn sets, the whole command."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

import passerby
from benchmarks.model_quality import __main__ as command
from benchmarks.model_quality import attribute_figures, crop_sets, detection_figures, models, page, photo_sets
from benchmarks.model_quality import research_sets as research
from benchmarks.model_quality.three_states import judged, three_states
from passerby.formats.metadata import Judgement
from passerby.formats.onnx_file import write_onnx
from passerby.models.load import LoadedModel, load_model
from passerby.training.attributes import metrics
from passerby.training.shipped.attribute_labels import ATTRIBUTE_COLUMNS
from scripts import model_card

FOLDER = Path(__file__).parents[1] / "benchmarks" / "model_quality"
SHIPPED = Path(passerby.__file__).parent / "models/shipped/passerby-attributes"


def scored(seed: int = 0, *, crops: int = 120, labels: int = 4) -> attribute_figures.Scored:
    """Answers that know something, coarse enough to have ties, and every tenth label unknown."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, (crops, labels)).astype(np.int8)
    probabilities = (np.round(rng.random((crops, labels)) * 12 + targets * 4) / 17).astype(np.float32)
    targets[rng.random(targets.shape) < 0.1] = -1
    return attribute_figures.Scored(
        label_ids=tuple(f"label_{i}" for i in range(labels)),
        probabilities=probabilities,
        targets=targets,
        thresholds=np.full(labels, 0.4),
        clusters=np.array([f"photo {i // 2}" for i in range(crops)]),
    )


def test_figures_are_those_of_training() -> None:
    answers = scored()
    found = attribute_figures.figures(answers, resamples=20)
    p, t = answers.probabilities, answers.targets
    at_half, at_stored = metrics.label_figures(p, t), metrics.label_figures(p, t, thresholds=answers.thresholds)
    for column, row in enumerate(found["labels"]):
        known = t[:, column] >= 0
        assert row["auc"] == pytest.approx(at_half[column].auc, abs=1e-4)
        assert row["ma_half"] == pytest.approx(at_half[column].mean_accuracy, abs=1e-4)
        assert row["ma_stored"] == pytest.approx(at_stored[column].mean_accuracy, abs=1e-4)
        assert row["ap"] == pytest.approx(metrics.average_precision(p[known, column], t[known, column]), abs=1e-4)
    assert found["summary"]["mean_auc"] == pytest.approx(metrics.mean_auc(at_half), abs=1e-4)
    assert found["summary"]["ece"] == pytest.approx(metrics.expected_calibration_error(p, t), abs=1e-4)


def test_a_weight_of_two_is_the_crop_twice() -> None:
    answers = scored(1)
    p, holds = answers.probabilities[:, 0], answers.targets[:, 0] == 1
    weights = np.random.default_rng(2).integers(0, 3, len(p)).astype(np.float64)
    rows = np.repeat(np.arange(len(p)), weights.astype(int))
    once = np.ones((1, len(rows)))
    for figure in (attribute_figures.weighted_auc, attribute_figures.weighted_ap):
        assert figure(p, holds, weights[None])[0] == pytest.approx(figure(p[rows], holds[rows], once)[0])
    both = [answers.rows(np.ones(len(p), bool)), answers]
    ece = attribute_figures.weighted_ece
    assert ece(both[0].probabilities, both[0].targets, weights[None])[0] == pytest.approx(
        ece(answers.probabilities[rows], answers.targets[rows], once)[0]
    )


def test_draws_take_whole_photos_and_intervals_hold_the_figure() -> None:
    answers = scored(3)
    weights = attribute_figures.draws(answers.clusters, count=50)
    assert (weights[0] == 1).all()
    assert (weights[:, 0::2] == weights[:, 1::2]).all()
    assert (weights.sum(axis=1) == len(answers.clusters)).all()
    summary = attribute_figures.figures(answers, resamples=50)["summary"]
    low, high = summary["mean_auc_interval"]
    assert low < summary["mean_auc"] < high


def test_a_label_without_support_is_in_no_mean() -> None:
    answers = scored(4)
    answers.targets[answers.targets[:, 0] == 1, 0] = -1
    found = attribute_figures.figures(answers, resamples=5)
    assert found["summary"]["counted"] == ["label_1", "label_2", "label_3"]
    assert found["labels"][0]["auc"] is None


def test_gaps_compare_the_same_label_in_two_groups() -> None:
    answers = scored(5, crops=200)
    first = np.arange(200) < 100
    answers.probabilities[first, 0] = answers.targets[first, 0] == 1  # always right in the first group
    found = attribute_figures.gaps(answers, first, ~first, resamples=50)
    row = found["labels"][0]
    assert row["first_auc"] == 1
    assert row["auc_gap"] == pytest.approx(1 - row["second_auc"], abs=1e-4)
    assert row["auc_gap_interval"][0] > 0


def photos_and_boxes(seed: int, count: int = 12) -> tuple[photo_sets.PhotoSet, list[models.Found]]:
    """Truth with boxes around it: some good, some loose, some nowhere."""
    rng = np.random.default_rng(seed)
    truths, found = [], []
    for _ in range(count):
        corner, size = rng.uniform(0, 300, (5, 2)), rng.uniform(20, 160, (5, 2))
        truth = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
        near = truth[rng.integers(0, 5, 8)] + rng.normal(0, 8, (8, 4))
        boxes = np.concatenate([near, truth[:2] + 400]).astype(np.float32)
        truths.append(truth)
        found.append((boxes, rng.random(len(boxes)).astype(np.float32)))
    files = tuple(Path(f"{i}.jpg") for i in range(count))
    return photo_sets.PhotoSet(name="drawn", files=files, boxes=tuple(truths)), found


@pytest.mark.parametrize(("iou", "height"), [(0.5, 0), (0.5, 60), (0.75, 100)])
def test_average_precision_is_that_of_the_training_report(iou: float, height: float) -> None:
    pytest.importorskip("torch")
    from passerby.training.shipped.detection_eval import average_precision

    photos, found = photos_and_boxes(1)
    judged = detection_figures.verdicts(photos, found, iou=iou, min_height_px=height)
    ours = detection_figures.average_precision(judged, detection_figures.photo_draws(12, resamples=3))
    theirs = average_precision(photos.boxes, found, iou=iou, min_height=height)
    assert ours[0] == pytest.approx(theirs.ap)
    assert judged[3].sum() == theirs.persons


def test_recall_by_height_and_false_boxes_are_counted() -> None:
    truth = np.array([[0, 0, 20, 40], [100, 0, 150, 150]], np.float32)
    photos = photo_sets.PhotoSet(name="drawn", files=(Path("a"), Path("b")), boxes=(truth, np.zeros((0, 4))))
    seen = (np.array([[100, 0, 150, 148], [300, 0, 320, 50]], np.float32), np.array([0.9, 0.6], np.float32))
    nowhere = (np.array([[0, 0, 9, 9]], np.float32), np.array([0.2], np.float32))
    figures = detection_figures.detection_figures(photos, [seen, nowhere], threshold=0.5, resamples=5)
    recall = {(row["low"], row["high"]): row["recall"] for row in figures["recall"]}
    assert recall[(0, None)] == 0.5
    assert recall[(100, None)] == recall[(100, 200)] == 1
    assert recall[(30, 60)] == 0
    assert figures["false_per_photo"] == 0.5  # the box of 0.2 is below the threshold
    assert figures["precision"] == 0.5
    assert figures["from_100_px"]["ap50"] == 1  # the other box is too low to count against it


def test_tags_of_peta_become_labels(tmp_path: Path) -> None:
    folder = tmp_path / "MIT" / "archive"
    folder.mkdir(parents=True)
    lines = [
        "00007 accessoryHat upperBodyNoSleeve upperBodyRed lowerBodyCapri footwearBoots carryingOther personalFemale "
        "personalLess15",
        "8 upperBodyBlack upperBodyWhite personalMale personalLarger60",
    ]
    (folder / "Label.txt").write_text("\n".join(lines) + "\n", "utf-8")
    for name in ("00007_female_back.jpg", "00008_male_fore.jpg", "00009_male_back.jpg"):
        (folder / name).write_bytes(b"")
    found = research.peta(tmp_path)
    assert [f.name for f in found.files] == ["00007_female_back.jpg", "00008_male_fore.jpg"]  # nobody described 9
    woman, man = ({label: int(v[row]) for label, v in found.targets.items()} for row in (0, 1))
    yes = {"hat", "short_sleeve", "boots", "age_under_18", "female", "back", "upper_red"}
    assert {label for label, value in woman.items() if value == 1} == yes
    unknown = ("trousers", "shorts", "hand_bag", "shoulder_bag", "hold_objects_in_front")
    assert [woman[label] for label in unknown] == [-1] * 5
    assert (woman["skirt_dress"], woman["backpack"]) == (0, 0)
    assert (man["hat"], man["trousers"], man["upper_black"]) == (-1, -1, -1)  # of two colours neither is the one
    assert (man["age_over_60"], man["female"], man["front"], man["back"]) == (1, 0, 1, 0)


def test_a_sample_takes_so_many_of_each_group_and_the_same_again() -> None:
    names = np.array(["a"] * 30 + ["b"] * 3)
    crops = crop_sets.CropSet(
        name="drawn",
        files=tuple(Path(f"{i}.jpg") for i in range(33)),
        boxes=(None,) * 33,
        targets={"hat": np.zeros(33, np.int8)},
        clusters=names,
        groups={"subset": names},
    )
    part = crop_sets.sampled(crops, 5, group="subset")
    assert list(part.groups["subset"]) == ["a"] * 5 + ["b"] * 3
    assert part.files == crop_sets.sampled(crops, 5, group="subset").files
    assert crop_sets.sampled(crops, None, group="subset") is crops


def test_heights_fall_into_bins() -> None:
    assert list(crop_sets.height_names(np.array([79, 80, 119, 200, 5000]))) == [
        "<80", "80-120", "80-120", ">=200", ">=200",
    ]  # fmt: skip


def test_a_card_leaves_the_identity_and_weights_do_not() -> None:
    model = load_model("passerby-attributes")
    graph = onnx.load_from_string(model.model_bytes)

    def repacked(metadata: object) -> LoadedModel:
        return LoadedModel(model_bytes=write_onnx(graph, metadata), metadata=model.metadata, source="")  # type: ignore[arg-type]

    same = repacked(replace(model.metadata, card={"licence": "another text"}))
    assert models.identity(repacked(model.metadata)) == models.identity(same)
    raised = repacked(replace(model.metadata, thresholds=(0.9,) * len(model.metadata.labels)))
    assert models.identity(raised) != models.identity(same)
    weights = graph.graph.initializer[0]
    weights.raw_data = bytes(len(weights.raw_data))
    assert models.identity(repacked(model.metadata)) != models.identity(same)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, by-eye labels, a research set and boxes, all of noise."""
    root = tmp_path_factory.mktemp("quality")
    rng = np.random.default_rng(0)

    def picture(path: Path, hw: tuple[int, int]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), rng.integers(0, 256, (*hw, 3), dtype=np.uint8))

    rows = []
    for number in range(24):
        name = f"photos/{number // 2}.jpg"
        if number % 2 == 0:
            picture(root / "photos/ccp" / name, (260, 200))
        labels = {column: int(rng.integers(0, 2)) for column in ATTRIBUTE_COLUMNS}
        box = {} if number % 3 else {"x1": 10.5, "y1": 5, "x2": 70, "y2": 200}
        rows.append({"id": f"c{number}", "set": "val", "source": "ccp", "path": name, "quality": 3, **labels, **box})
    picture(root / "photos/ccp/photos/useless.jpg", (260, 200))
    rows.append(rows[0] | {"id": "useless", "quality": 1, "path": "photos/useless.jpg"})
    rows.append(rows[0] | {"id": "taught", "set": "train", "path": "photos/absent.jpg"})
    names = ["id", "set", "source", "path", "x1", "y1", "x2", "y2", "quality", *ATTRIBUTE_COLUMNS]
    with (root / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*names, "upper_colour", "lower_colour"], restval="")
        writer.writeheader()
        writer.writerows(rows)
    for number in range(3):
        picture(root / f"photos/coco128/images/val2017/{number:012d}.jpg", (64, 96))
    label = root / "photos/coco128/object_detection/labels/val2017/000000000000.txt"
    label.parent.mkdir(parents=True)
    label.write_text("0 0.5 0.5 0.25 0.5\n2 0.1 0.1 0.1 0.1\n", "utf-8")
    for subset in ("GRID", "PRID"):
        folder = root / "research/peta/PETA dataset" / subset / "archive"
        for number in range(3):
            picture(folder / f"000{number}_1.png", (60, 30))
        (folder / "Label.txt").write_text("0000 accessoryHat\n0001 accessoryNothing\n0002 personalMale\n", "utf-8")
    return root


def run(drawn: Path, *words: str) -> tuple[dict, str]:
    target = drawn / "page.md"
    target.write_text((FOLDER.parents[1] / "docs/model-quality.md").read_text("utf-8"), "utf-8")
    places = {"--photos": "photos", "--labels": "labels.csv", "--research": "research"}
    options = [w for name, value in places.items() for w in (name, str(drawn / value))]
    command.main([*words, *options, "--json", str(drawn / "figures.json"), "--page", str(target), "--resamples", "5"])
    return json.loads((drawn / "figures.json").read_text("utf-8")), target.read_text("utf-8")


def test_the_command_measures_what_is_there_and_names_what_is_not(drawn: Path, capsys: pytest.CaptureFixture) -> None:
    content, text = run(drawn, "by-eye", "places", "detection")
    eye, places, detection = (content["parts"][name] for name in ("by-eye", "places", "detection"))
    assert eye["summary"]["crops"] == 24
    assert eye["summary"]["clusters"] == 12
    assert len(eye["labels"]) == 26
    assert eye["by_height"].keys() == {"120-200", ">=200"}
    assert places["peta"]["summary"]["crops"] == 6
    assert places["peta"]["by_subset"].keys() == {"GRID", "PRID"}
    assert "Market-1501" in places["market1501"]["absent"]
    assert detection["coco128"]["persons"] == detection["coco128"]["from_0_px"]["persons"] == 1
    assert detection["coco128"]["from_60_px"]["persons"] == 0  # 32 px high
    assert "human_oi_coco" in detection["human_oi_coco"]["absent"]
    assert "picodet" in detection["teacher"]["absent"]
    assert "not measured: Market-1501" in capsys.readouterr().err
    assert "Market-1501: not measured: Market-1501: no pictures" in text
    assert "| `hat` |" in text
    assert "| previous |" not in text


def test_a_part_is_measured_alone_and_an_earlier_run_is_a_column(drawn: Path) -> None:
    before, _ = run(drawn, "by-eye")
    earlier = drawn / "earlier.json"
    before["parts"]["by-eye"]["summary"]["mean_auc"] = 0.123
    earlier.write_text(json.dumps(before), "utf-8")
    content, text = run(drawn, "places", "--previous", str(earlier))
    assert content["parts"]["by-eye"]["summary"]["mean_auc"] != 0.123  # kept from the first run, same models
    assert "| previous |" in text
    assert "| 0.123 |" in text


def test_figures_of_other_models_are_dropped(drawn: Path) -> None:
    content, _ = run(drawn, "places")
    content["models"]["attributes"]["identity"] = "another"
    (drawn / "figures.json").write_text(json.dumps(content), "utf-8")
    content, _ = run(drawn, "places")
    assert content["parts"].keys() == {"places", "detection"}, "only the attribute model is another"


def test_kept_probabilities_are_the_same_and_belong_to_their_model(drawn: Path) -> None:
    crops = crop_sets.by_eye(drawn / "photos", [drawn / "labels.csv"])
    classifier = models.OurClassifier(load_model("passerby-attributes"))
    kept = drawn / "kept"
    first = models.describe(classifier, crops, root=drawn, cache_folder=kept)
    again = models.describe(classifier, crops, root=drawn, cache_folder=kept)
    alone = models.describe(classifier, crops, root=drawn, cache_folder=None)
    assert (first[0] == again[0]).all()
    assert (first[0] == alone[0]).all()
    assert len(list(kept.iterdir())) == 1
    classifier.key = "another model"
    models.describe(classifier, crops, root=drawn, cache_folder=kept)
    assert len(list(kept.iterdir())) == 2


def with_ranges(name: str) -> LoadedModel:
    """The shipped attribute model, uncertain of `hat` between 0.2 and 0.7 and of nothing else, judging nobody."""
    model = load_model(name)
    hat = model.metadata.labels[0]
    labels = (replace(hat, uncertain=(0.2, 0.7)), *(replace(x, uncertain=None) for x in model.metadata.labels[1:]))
    return replace(model, metadata=replace(model.metadata, labels=labels, judgement=None))


def test_what_is_left_open_and_what_is_wrong_where_it_is_sure(drawn: Path) -> None:
    crops = crop_sets.by_eye(drawn / "photos", [drawn / "labels.csv"])
    model = with_ranges("passerby-attributes")
    found = three_states(model, crops, root=drawn, cache=None)
    hat = found["labels"][0]
    assert [row["label"] for row in found["labels"]] == ["hat"]
    p = models.OurClassifier(model).probabilities(list(models.crops_of(crops)))[:, 0]
    threshold, truth = model.metadata.thresholds[0], crops.targets["hat"]
    sure = ((p > threshold) & (p >= 0.7)) | ((p <= threshold) & (p <= 0.2))
    assert hat["uncertain"] == pytest.approx(1 - sure.mean(), abs=1e-4)
    if sure.any():
        assert hat["wrong_where_sure"] == pytest.approx(((p > threshold) != (truth == 1))[sure].mean(), abs=1e-4)


def test_whom_the_model_will_not_judge(drawn: Path) -> None:
    crops = crop_sets.by_eye(drawn / "photos", [drawn / "labels.csv"])
    low = np.array([pixels.shape[0] < 250 for pixels in models.crops_of(crops)])
    crops = replace(crops, groups={**crops.groups, "quality": np.where(low, "1", "3")})
    model = load_model("passerby-attributes")
    model = replace(model, metadata=replace(model.metadata, judgement=Judgement(min_height_px=250)))
    found = judged(model, crops, root=drawn, cache=None)
    assert found["by_quality"]["1"] == {"crops": int(low.sum()), "flagged": 1}
    assert found["by_quality"]["3"] == {"crops": int((~low).sum()), "flagged": 0}
    assert found["auc"] is None  # no output of its own
    places = [*range(26), 50]  # of no use as a judge here, the last output is a label like others
    said = models.OurClassifier(model).probabilities(list(models.crops_of(crops)))[:, places]
    wrong = (said > np.array(model.metadata.thresholds)[places]) != crops.table([model_ids(model)[i] for i in places])
    assert found["wrong"]["flagged"] == pytest.approx(wrong[low].mean(), abs=1e-4)
    assert found["wrong"]["others"] == pytest.approx(wrong[~low].mean(), abs=1e-4)


def model_ids(model: LoadedModel) -> list[str]:
    return [label.id for label in model.metadata.labels]


WRITTEN = {
    "licence": "Apache-2.0", "data": "drawn", "intended_use": ["none"], "not_for": ["all"], "known_failures": ["all"],
    "about_people": "nobody",
}  # fmt: skip


def test_a_card_holds_what_was_written_measured_and_trained(drawn: Path) -> None:
    run(drawn, "by-eye", "detection", "cost")
    (drawn / "text").mkdir(exist_ok=True)
    for name, mark in (("passerby-attributes", "labels"), ("passerby-detector-416", "detection")):
        (drawn / "text" / f"{name}.json").write_text(json.dumps(WRITTEN), "utf-8")
        text = f"# {name}\n\n<!-- {mark} -->\nstale words\n<!-- end -->\n\n## Recipe\n"
        (drawn / "text" / f"{name}.md").write_text(text, "utf-8")
    (drawn / "training.json").write_text(json.dumps({"thresholds": [0.5] * 50, "seed": 3}), "utf-8")
    options = [("figures", "figures.json"), ("text", "text"), ("json", "card.json"), ("markdown", "CARD.md")]
    words = [w for name, path in [*options, ("training", "training.json")] for w in (f"--{name}", str(drawn / path))]
    model_card.main(["attributes", *words])
    content = json.loads((drawn / "card.json").read_text("utf-8"))
    figures = json.loads((drawn / "figures.json").read_text("utf-8"))
    assert content["seed"] == 3
    assert content["licence"] == "Apache-2.0"
    assert content["figures"]["mean_auc"] == figures["parts"]["by-eye"]["summary"]["mean_auc"]
    assert content["figures"]["by_label"]["hat"][:2] == [figures["parts"]["by-eye"]["labels"][0][k] for k in SUPPORT]
    assert content["figures"]["elsewhere"]["market1501"] == {"absent": "not measured"}
    assert content["measured"]["identity"] == models.identity(load_model("passerby-attributes"))
    shown = (drawn / "CARD.md").read_text("utf-8")
    assert "| `hat` |" in shown
    assert "stale words" not in shown
    assert "<!--" not in shown
    model_card.main(["detector", *words[:-2]])
    content = json.loads((drawn / "card.json").read_text("utf-8"))
    assert content["figures"]["coco128"]["persons"] == 1
    assert content["cost"]["bytes"] > 1_000_000


SUPPORT = ("positives", "negatives")


def test_a_card_refuses_doubtful_parts(drawn: Path) -> None:
    measured, _ = run(drawn, "by-eye")
    with pytest.raises(SystemExit, match="lacks about_people"):
        model_card.card("attributes", written={**WRITTEN, "about_people": ""}, measured=measured, training={})
    with pytest.raises(SystemExit, match="'licence' is said twice"):
        model_card.card("attributes", written=WRITTEN, measured=measured, training={"licence": "MIT"})
    with pytest.raises(SystemExit, match="was not measured"):
        model_card.card("detector", written=WRITTEN, measured={**measured, "parts": {}}, training={})
    measured["models"]["attributes"]["identity"] = "another"
    with pytest.raises(SystemExit, match="the figures are of another"):
        model_card.check_model(SHIPPED / "passerby-attributes.onnx", "attributes", measured)


@pytest.mark.parametrize("kind", ["attributes", "detector"])
def test_the_hand_written_part_of_each_shipped_model_is_whole(kind: str) -> None:
    folder = FOLDER.parents[1] / "scripts" / "model_cards"
    written = json.loads((folder / f"{model_card.NAMES[kind]}.json").read_text("utf-8"))
    assert all(written[name] for name in model_card.REQUIRED)
    text = (folder / f"{model_card.NAMES[kind]}.md").read_text("utf-8")
    marks = [mark for mark in re.findall(r"<!-- ([a-z ]+) -->", text) if mark != "end"]
    assert marks
    assert set(marks) <= page.TABLES.keys()
    for part in ("Licence", "Data", "Figures", "Recipe", "Known failures"):
        assert f"## {part}" in text or f"| {part}" in text


@pytest.mark.parametrize(("words", "said"), [("attributs", "is no part"), ("--most peta=none", "is not like peta=500")])
def test_words_that_mean_nothing_are_refused(words: str, said: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        command.arguments(words.split())
    assert said in capsys.readouterr().err


def test_a_research_set_can_be_sampled(drawn: Path) -> None:
    content, text = run(drawn, "places", "--most", "peta=2")
    assert content["parts"]["places"]["peta"]["summary"]["crops"] == 4
    assert "4 of 6 pictures" in text
