# SPDX-License-Identifier: Apache-2.0
"""Three states and judgement as users see them: in Python, JSON, CSV, text and pictures, on a tiny network."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from passerby import ArgumentError, Pipeline, Result, create_model, create_pipeline
from passerby.cli import output
from passerby.cli.labels import labels as show_labels
from passerby.decisions import NO, UNCERTAIN, YES
from passerby.draw import draw
from passerby.formats.metadata import Group, Judgement, Label, ModelMetadata
from passerby.formats.onnx_file import write_onnx
from passerby.models.load import load_model

from . import tiny

JUDGE = "unjudgeable"


def described(metadata: ModelMetadata, probabilities: np.ndarray) -> ModelMetadata:
    """The tiny network's 26 outputs with other words for the last three, and bands around what it mostly says.

    The network knows nothing: quantiles of its own answers make sure that all three states come up.
    """
    low, middle, high = (np.quantile(probabilities, q, axis=0) for q in (0.35, 0.5, 0.65))
    labels = [
        dataclasses.replace(label, uncertain=(float(a), float(b)))
        for label, a, b in zip(metadata.labels, low, high, strict=True)
    ]
    labels[23] = Label(id="upper_red", en="Red top", group="upper_colour", uncertain=(0.0, 0.0))
    labels[24] = Label(id="upper_blue", en="Blue top", group="upper_colour", uncertain=(0.0, 0.0))
    labels[25] = Label(id=JUDGE, en="Cannot be judged")
    return dataclasses.replace(
        metadata,
        labels=tuple(labels),
        thresholds=(*(float(v) for v in middle[:23]), 0.0, 0.0, 0.5),
        groups=(*(g for g in metadata.groups if g.id != "view"), Group(id="upper_colour", en="upper colour")),
        calibration={"thresholds": "tuned"},
        judgement=Judgement(label=JUDGE, threshold=float(np.quantile(probabilities[:, 25], 0.7)), min_height_px=40.0),
    )


def boxes() -> list[list[float]]:
    rng = np.random.default_rng(3)
    tall = [[float(x), float(y), float(x) + 60, float(y) + 110] for x, y in rng.uniform(0, 120, (24, 2))]
    return [*tall, [100.0, 100.0, 130.0, 139.0], [100.0, 100.0, 100.5, 200.0]]


@pytest.fixture(scope="module")
def raw() -> np.ndarray:
    """(N, 26) what the tiny network says of the boxes that have pixels."""
    return tiny.pipeline().classify(tiny.picture(), boxes()).probabilities[:-1]


@pytest.fixture(scope="module")
def model_file(raw: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = load_model("PP-LCNet_x1_0_pedestrian_attribute", tiny.CLASSIFIER_DIR, kind="attributes")
    path = tmp_path_factory.mktemp("model") / "mine.onnx"
    path.write_bytes(write_onnx(onnx.ModelProto.FromString(model.model_bytes), described(model.metadata, raw)))
    return path


def made(model_file: Path, threshold: Any = 0.7) -> Pipeline:
    config = tiny.config()
    config["SubModules"]["Classification"] |= {"model_name": "mine", "model_dir": str(model_file)}
    config["SubModules"]["Classification"]["threshold"] = threshold
    return create_pipeline(config=config, device="cpu")


@pytest.fixture(scope="module")
def pipeline(model_file: Path) -> Pipeline:
    return made(model_file)


@pytest.fixture(scope="module")
def result(pipeline: Pipeline) -> Result:
    return pipeline.classify(tiny.picture(), boxes(), labels="en")


def test_every_label_is_decided_and_the_judge_is_no_label(result: Result, raw: np.ndarray) -> None:
    assert [label.id for label in result.labels][-2:] == ["upper_red", "upper_blue"]
    assert len(result.labels) == 25
    assert JUDGE not in [label.id for label in result.labels]
    assert (result.probabilities[:-1] == raw[:, :25]).all()
    assert result.decisions.shape == (len(result.persons), 25)
    judged = [p for p in result.persons if p.judgeable]
    seen = np.concatenate([p.decisions for p in judged if p.decisions is not None])
    assert {int(v) for v in np.unique(seen)} == {YES, NO, UNCERTAIN}


def test_labels_are_what_is_sure(result: Result) -> None:
    places = {label.id: i for i, label in enumerate(result.labels)}
    for person in result.persons[:-1]:
        assert person.decisions is not None and person.probabilities is not None
        yes = {id for id, i in places.items() if person.decisions[i] == YES}
        assert {x.id for x in person.labels} == yes - {"upper_red", "upper_blue"}
        assert all(x.decision == "yes" for x in person.labels)
        scores = [x.score for x in person.labels]
        assert scores == sorted(scores, reverse=True)
        for x in person.uncertain:
            assert x.decision == "uncertain"
            assert person.decisions[places[x.id]] == UNCERTAIN
            assert x.score == person.probabilities[places[x.id]]
        with pytest.raises(ValueError, match="read-only"):
            person.decisions[0] = YES
    assert any(person.uncertain for person in result.persons)


def test_groups_never_contradict(result: Result) -> None:
    groups: dict[str, list[int]] = {}
    for i, label in enumerate(result.labels):
        if label.group in ("sleeve", "lower_garment", "age", "upper_colour"):
            groups.setdefault(label.group, []).append(i)
    assert len(groups) == 4
    yes = 0
    for members in groups.values():
        per_person = (result.decisions[:, members] == YES).sum(axis=1)
        assert per_person.max() <= 1
        yes += int(per_person.sum())
    assert yes > 0
    for person in result.persons:
        told = [x.id for x in (*person.labels, *person.uncertain)]
        for members in groups.values():
            assert len({result.labels[i].id for i in members} & set(told)) <= 1


def test_a_colour_is_told_with_its_decision(result: Result) -> None:
    for person in result.persons[:-1]:
        assert set(person.colours) == {"upper"}
        expected = "yes" if person.judgeable else "uncertain"
        assert person.colours["upper"].decision == expected


def test_who_cannot_be_judged_is_flagged_and_nothing_about_them_is_sure(
    result: Result, raw: np.ndarray, model_file: Path
) -> None:
    judgement = load_model("mine", model_file, kind="attributes").metadata.judgement
    assert judgement is not None
    unclear = raw[:, 25] > np.float32(judgement.threshold)
    assert 0 < unclear.sum() < len(unclear)
    for person, told in zip(result.persons[:24], unclear[:24], strict=True):
        assert person.reasons == (("unclear",) if told else ())
        assert person.judgeable is not bool(told)
    small, nothing = result.persons[-2:]
    assert small.reasons[0] == "too_small" and small.note == "too_small"
    assert (nothing.judgeable, nothing.reasons, nothing.note) == (False, ("no_pixels",), "no_pixels")
    assert nothing.decisions is None and nothing.probabilities is None
    for person in result.persons[:-1]:
        if not person.judgeable:
            assert person.decisions is not None and person.probabilities is not None
            assert (person.decisions == UNCERTAIN).all()
            assert person.labels == ()


def test_nobody_is_decided_about_nobody(pipeline: Pipeline) -> None:
    nobody = pipeline.classify(tiny.picture(), [])
    assert nobody.persons == ()
    assert nobody.decisions.shape == (0, 25)


def test_a_person_below_our_own_guess_is_judged_when_the_model_was_measured_there(pipeline: Pipeline) -> None:
    """32 px is what a note says of models that nobody measured."""
    (person,) = pipeline.classify(tiny.picture(), [[100, 100, 108, 150]]).persons
    assert "too_small" not in person.reasons and person.note != "too_small"


@pytest.mark.parametrize("threshold", [0.7, {"default": 0.7}, [0.7] * 23, 0.0])
def test_an_explicit_threshold_keeps_its_plain_meaning(pipeline: Pipeline, result: Result, threshold: Any) -> None:
    plain = pipeline.classify(tiny.picture(), boxes(), cls_threshold=threshold, labels="en")
    limit = 0.0 if threshold == 0.0 else 0.7
    assert (plain.probabilities[:-1] == result.probabilities[:-1]).all()
    for person in plain.persons[:-1]:
        assert person.probabilities is not None and person.decisions is None and person.uncertain == ()
        above = [i for i in range(23) if person.probabilities[i] > np.float32(limit)]
        assert {x.id for x in person.labels} == {plain.labels[i].id for i in above}
        assert all(x.decision is None for x in (*person.labels, *person.colours.values()))
        body = person.to_dict(plain.labels)
        assert list(body)[:4] == ["labels", "cls_scores", "det_score", "coordinate"]
        assert not {"decisions", "probabilities", "uncertain"} & set(body)
        assert set(body["colours"]["upper"]) == {"label", "score"}


def test_thresholds_in_the_configuration_are_explicit_too(model_file: Path) -> None:
    picture = tiny.picture()
    for written in ({"default": 0.7}, 0.6, {}):
        persons = made(model_file, written).classify(picture, boxes()).persons
        assert all(person.decisions is None for person in persons)
    stored = load_model("mine", model_file, kind="attributes").metadata.thresholds
    for person in made(model_file, {}).classify(picture, boxes(), labels="en").persons[:-1]:
        assert person.probabilities is not None
        assert len(person.labels) == sum(person.probabilities[i] > np.float32(stored[i]) for i in range(23))


def test_a_model_without_any_of_this_answers_as_before() -> None:
    (person,) = tiny.pipeline().classify(tiny.picture(), [[100, 50, 180, 200]]).persons
    assert (person.decisions, person.judgeable, person.reasons, person.uncertain) == (None, None, (), ())
    assert set(person.to_dict(())) <= {"labels", "cls_scores", "det_score", "coordinate", "colours", "note"}


def test_json_has_the_keys_of_the_original_first_and_ours_behind(result: Result, tmp_path: Path) -> None:
    saved = json.loads(result.save_to_json(tmp_path / "a.json").read_text("utf-8"))
    assert saved == result.json["res"]
    for person, body in zip(result.persons[:-1], saved["boxes"], strict=False):
        assert list(body)[:4] == ["labels", "cls_scores", "det_score", "coordinate"]
        assert body["judgeable"] is person.judgeable
        assert body.get("reasons", []) == list(person.reasons)
        assert len(body["uncertain"]) == len(body["uncertain_scores"]) == len(person.uncertain)
        assert list(body["decisions"]) == list(body["probabilities"]) == [label.id for label in result.labels]
        assert person.decisions is not None
        words = {YES: "yes", NO: "no", UNCERTAIN: "uncertain"}
        assert list(body["decisions"].values()) == [words[int(d)] for d in person.decisions]
        assert np.allclose(list(body["probabilities"].values()), person.probabilities, atol=1e-5)
    nothing = saved["boxes"][-1]
    assert (nothing["judgeable"], nothing["reasons"]) == (False, ["no_pixels"])
    assert "decisions" not in nothing


def test_printing_leaves_out_the_tables(result: Result, capsys: pytest.CaptureFixture[str]) -> None:
    result.print()
    printed = json.loads(capsys.readouterr().out)["res"]["boxes"][0]
    whole = result.json["res"]["boxes"][0]
    assert {k: v for k, v in whole.items() if k not in ("decisions", "probabilities")} == printed


def test_csv_ends_with_what_was_decided(result: Result, capsys: pytest.CaptureFixture[str]) -> None:
    writer = output.Csv(result.labels)
    writer.write(result)
    writer.write(dataclasses.replace(result, persons=()))
    text = capsys.readouterr().out
    assert text.splitlines()[0].endswith(",upper_blue,judgeable,reasons,yes,uncertain")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert all(None not in row and None not in row.values() for row in rows)
    for person, row in zip(result.persons, rows, strict=False):
        assert row["judgeable"] == str(person.judgeable).lower()
        assert row["reasons"] == ";".join(person.reasons)
        if person.decisions is None:
            assert row["yes"] == row["uncertain"] == ""
            continue
        for column, state in (("yes", YES), ("uncertain", UNCERTAIN)):
            ids = [label.id for label, d in zip(result.labels, person.decisions, strict=True) if d == state]
            assert row[column] == ";".join(ids)


def test_text_says_perhaps(result: Result, capsys: pytest.CaptureFixture[str]) -> None:
    output.Text(result.labels).write(result)
    lines = capsys.readouterr().out.splitlines()[1:]
    for person, line in zip(result.persons, lines, strict=True):
        open_ = [x.text for x in (*person.uncertain, *person.colours.values()) if x.decision == "uncertain"]
        assert ("; perhaps " in line) == bool(open_)
        sure, _, perhaps = line.partition("; perhaps ")
        assert all(text in perhaps for text in open_)
        if not person.judgeable and person.decisions is not None:
            assert "no attribute is sure" in sure and ("cannot be judged" in sure or "hard to judge" in sure)


def test_pictures_show_who_cannot_be_judged_and_what_is_unsure(result: Result) -> None:
    big = np.full((600, 800, 3), 120, np.uint8)
    person = dataclasses.replace(
        next(p for p in result.persons if p.uncertain and p.judgeable and p.labels),
        box_xyxy=np.array([300, 150, 420, 560], np.float32),
        note=None,
    )
    plain = dataclasses.replace(person, uncertain=(), colours={})
    flagged = dataclasses.replace(plain, judgeable=False, reasons=("unclear",), note="unclear")
    pictures = [draw(big, [p]) for p in (plain, dataclasses.replace(plain, uncertain=person.uncertain), flagged)]
    assert len({p.tobytes() for p in pictures}) == 3
    guesses = dataclasses.replace(flagged, uncertain=person.uncertain)
    assert (draw(big, [guesses]) == pictures[2]).all()
    edges = [int((picture[560, 300:421] != 120).any(axis=1).sum()) for picture in pictures]
    assert edges[2] < 0.75 * edges[0]  # dashes


def test_the_judge_is_no_label_of_the_model_alone_either(model_file: Path) -> None:
    model = create_model("mine", model_file, device="cpu", threshold=0.0)
    (result,) = model.predict(tiny.picture(height=64, width=32))
    assert len(result.labels) == 25
    assert JUDGE not in {x.id for x in result.persons[0].labels}
    assert max(result.to_dict()["class_ids"]) <= 24


def test_a_list_of_thresholds_counts_attributes_only(pipeline: Pipeline) -> None:
    with pytest.raises(ArgumentError, match="23 labels"):
        pipeline.classify(tiny.picture(), boxes(), cls_threshold=[0.5] * 26)


def test_labels_are_shown_with_their_ranges(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_labels(str(model_file), as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert [row["index"] for row in rows] == list(range(25))
    assert all(row["uncertain"][0] <= row["threshold"] + 1e-5 for row in rows)
    show_labels(str(model_file), as_json=False)
    assert "0.00..0.00  Red top  upper_colour" in capsys.readouterr().out
