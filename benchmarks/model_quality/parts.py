# SPDX-License-Identifier: Apache-2.0
"""The parts of the JSON: by-eye val, other places, detection, cost; each stands alone and can be run alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from passerby.models.load import LoadedModel

from . import crop_sets, models, photo_sets, research_sets, teachers
from .attribute_figures import Scored, colour_accuracy, figures, gaps, rounded
from .crop_sets import AbsentError, CropSet
from .detection_figures import detection_figures
from .three_states import COLOUR_GROUPS, judged, three_states

Part = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Where things are, and how much of them to use.

    Attributes:
        attributes, detector: the models.
        photos: one folder a source; labels: by-eye tables; research: folder of the research sets; None or nothing for
            what is not there.
        teachers: folders with their files.
        cache: folder of kept probabilities, or None.
        most: name of a research set to the most crops of it, or of each of its sub-sets; all of a set without one.
        resamples: draws of the bootstrap.
    """

    attributes: LoadedModel
    detector: LoadedModel
    photos: Path | None = None
    labels: tuple[Path, ...] = ()
    research: Path | None = None
    teachers: tuple[Path, ...] = ()
    cache: Path | None = None
    most: Mapping[str, int] = field(default_factory=dict)
    resamples: int = 300


def or_absent(measure: Callable[[], Part]) -> Part:
    """What `measure` gives, or `{"absent": why}`."""
    try:
        return measure()
    except AbsentError as reason:
        return {"absent": str(reason)}


def _folder(path: Path | None, option: str) -> Path:
    if path is None:
        raise AbsentError(f"{option} was not given")
    return path


def scored(model: LoadedModel, crops: CropSet, *, root: Path, cache: Path | None) -> tuple[Scored, Any]:
    """Our answers beside the truth, over the labels that the set knows; and native heights (N,)."""
    classifier = models.OurClassifier(model)
    probabilities, heights = models.describe(classifier, crops, root=root, cache_folder=cache)
    ids = classifier.label_ids
    everything = Scored(
        label_ids=ids,
        probabilities=probabilities,
        targets=crops.table(ids),
        thresholds=np.array(model.metadata.thresholds, np.float64),
        clusters=crops.clusters,
    )
    known = [label for label in ids if label in crops.targets]
    return everything.labels(known), heights


def attribute_ids(model: LoadedModel, known: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Of these labels the attributes, and by colour group the words."""
    colours: dict[str, list[str]] = {group: [] for group in COLOUR_GROUPS}
    rest: list[str] = []
    for label in (model.metadata.labels[i] for i in model.metadata.attribute_places):
        if label.id in known:
            colours.get(label.group, rest).append(label.id)
    return rest, colours


def by_eye(inputs: Inputs) -> Part:
    """Part A: labels, colours, by source, by height, gaps by gender presentation and age; the teacher beside."""
    photos = _folder(inputs.photos, "--photos")
    crops = crop_sets.by_eye(photos, inputs.labels)
    everything, heights = scored(inputs.attributes, crops, root=photos, cache=inputs.cache)
    attributes, colours = attribute_ids(inputs.attributes, everything.label_ids)
    answers = everything.labels(attributes)
    count = inputs.resamples
    part: Part = {"fingerprint": crops.fingerprint(photos), **figures(answers, resamples=count)}
    part["colours"] = {
        group: {
            **colour_accuracy(everything, words, resamples=count),
            **figures(everything.labels(words), resamples=count),
        }
        for group, words in colours.items()
        if words
    }
    part["by_source"] = _by_group(answers, crops.groups["source"], count)
    part["by_height"] = _by_group(answers, crop_sets.height_names(heights), count, order=crop_sets.HEIGHTS)
    for group in ("gender", "age"):
        part[f"by_{group}"] = _by_group(answers, crops.groups[group], count)
    gender, age = crops.groups["gender"], crops.groups["age"]
    part["gaps"] = {
        "female and male": gaps(answers, gender == "female", gender == "male", resamples=count),
        "under 18 and 18 to 60": gaps(answers, age == "age_under_18", age == "age_18_60", resamples=count),
        "over 60 and 18 to 60": gaps(answers, age == "age_over_60", age == "age_18_60", resamples=count),
    }
    part["decisions"] = three_states(inputs.attributes, crops, root=photos, cache=inputs.cache)
    part["judgement"] = _judgement(inputs, photos)
    part["teacher"] = or_absent(lambda: attribute_teacher(inputs, everything, crops, root=photos))
    return part


def _judgement(inputs: Inputs, photos: Path) -> Part:
    if inputs.attributes.metadata.judgement is None:
        return {}
    everyone = crop_sets.by_eye(photos, inputs.labels, least_quality=1)
    return judged(inputs.attributes, everyone, root=photos, cache=inputs.cache)


def _by_group(answers: Scored, names: Any, resamples: int, *, order: Sequence[str] = ()) -> dict[str, Part]:
    """The summary of every group of crops, and its mean AUC over the labels that count in every group.

    Within one group a label may lack the support that it has in another, so plain means are over different labels.
    """
    groups = [name for name in order if (names == name).any()] or sorted({str(name) for name in names} - {""})
    found = {name: figures(answers.rows(names == name), resamples=resamples) for name in groups}
    counted = [set(part["summary"]["counted"]) for part in found.values() if part["summary"]["counted"]]
    shared = set.intersection(*counted) if counted else set()
    for part in found.values():
        aucs = [row["auc"] for row in part["labels"] if row["label"] in shared and row["supported"]]
        part["summary"]["shared_labels"] = len(aucs)
        part["summary"]["shared_auc"] = rounded(float(np.mean(aucs))) if aucs else None
    return {name: part["summary"] for name, part in found.items()}


def attribute_teacher(inputs: Inputs, ours: Scored, crops: CropSet, *, root: Path) -> Part:
    """AUC and mA of both on the questions that both answer, same crops."""
    teacher = teachers.Crossroad(inputs.teachers)
    theirs, _ = models.describe(teacher, crops, root=root, cache_folder=inputs.cache)
    rows = []
    for name, labels, output, opposite in teachers.SHARED:
        columns = [ours.label_ids.index(label) for label in labels if label in ours.label_ids]
        if len(columns) < len(labels):
            continue
        said = theirs[:, teachers.CROSSROAD_OUTPUTS.index(output)]
        table = np.stack(
            [teachers.any_probability(ours.probabilities, columns), 1 - said if opposite else said], axis=1
        )
        truth = teachers.any_target(ours.targets, columns)
        pair = Scored(
            label_ids=("ours", "teacher"),
            probabilities=table.astype(np.float32),
            targets=np.stack([truth, truth], axis=1),
            thresholds=np.array([0.5, 0.5]),
            clusters=ours.clusters,
        )
        both = figures(pair, resamples=inputs.resamples)["labels"]
        rows.append({"question": name, **{row["label"]: row for row in both}})
    return {"name": "person-attributes-recognition-crossroad-0230", "rows": rows}


def places(inputs: Inputs) -> Part:
    """Part B: PETA, all and by sub-set, and Market-1501; nothing of them was learnt from."""
    return {
        "peta": or_absent(lambda: _place(inputs, _peta(inputs))),
        "market1501": or_absent(lambda: _place(inputs, _market(inputs))),
    }


def _peta(inputs: Inputs) -> CropSet:
    return research_sets.peta(_folder(inputs.research, "--research") / "peta" / "PETA dataset")


def _market(inputs: Inputs) -> CropSet:
    research = _folder(inputs.research, "--research")
    table = research / "market1501_attributes" / "market_attribute.mat"
    return research_sets.market1501(research / "market1501" / "train", table)


def _place(inputs: Inputs, whole: CropSet) -> Part:
    research = _folder(inputs.research, "--research")
    crops = crop_sets.sampled(whole, inputs.most.get(whole.name), group="subset")
    everything, heights = scored(inputs.attributes, crops, root=research, cache=inputs.cache)
    attributes, colours = attribute_ids(inputs.attributes, everything.label_ids)
    answers = everything.labels(attributes)
    part: Part = {"fingerprint": crops.fingerprint(research), "pictures_in_set": len(whole)}
    part |= figures(answers, resamples=inputs.resamples)
    part["heights_px"] = [int(v) for v in np.percentile(heights, [0, 50, 100])]
    part["colours"] = {
        group: colour_accuracy(everything, words, resamples=inputs.resamples)
        for group, words in colours.items()
        if words
    }
    if len(set(crops.groups["subset"])) > 1:
        part["by_subset"] = _by_group(answers, crops.groups["subset"], inputs.resamples)
    part["teacher"] = or_absent(lambda: attribute_teacher(inputs, everything, crops, root=research))
    return part


def detection(inputs: Inputs) -> Part:
    """Part C: our detector and the teacher's on three sets, and on photos without people."""
    sets: Mapping[str, Callable[[], photo_sets.PhotoSet]] = {
        "human_oi_coco": lambda: photo_sets.human_oi_coco(_folder(inputs.photos, "--photos")),
        "coco128": lambda: photo_sets.coco128(_folder(inputs.photos, "--photos")),
        "penn_fudan": lambda: photo_sets.penn_fudan(_folder(inputs.research, "--research") / "penn_fudan"),
        "people_free": lambda: photo_sets.without_people(*(sets[name]() for name in ("human_oi_coco", "coco128"))),
    }
    part = _on_sets(inputs, models.OurDetector(inputs.detector), sets)
    try:
        teacher = teachers.PicoDet(inputs.teachers)
    except AbsentError as reason:
        return part | {"teacher": {"absent": str(reason)}}
    return part | {"teacher": {"name": "PicoDet-S 416", **_on_sets(inputs, teacher, sets)}}


def _on_sets(inputs: Inputs, model: Any, sets: Mapping[str, Callable[[], photo_sets.PhotoSet]]) -> Part:
    return {name: or_absent(functools.partial(_detections, inputs, model, read)) for name, read in sets.items()}


def _detections(inputs: Inputs, model: Any, read: Callable[[], photo_sets.PhotoSet]) -> Part:
    photos = read()
    root = inputs.research if photos.name == "penn_fudan" else inputs.photos
    found = models.search(model, photos)
    measured = detection_figures(photos, found, threshold=model.threshold, resamples=inputs.resamples)
    return {"fingerprint": photos.fingerprint(_folder(root, "--photos")), **measured}


def cost(inputs: Inputs) -> Part:
    """What one answer costs: processor time on one thread and bytes, ours and the teachers' taking turns."""
    crop = models.drawn_crops(1)
    photo = models.drawn_crops(1, (640, 640))[0]
    classifier, detector = models.OurClassifier(inputs.attributes), models.OurDetector(inputs.detector)
    calls: dict[str, Callable[[], object]] = {
        "passerby-attributes": lambda: classifier.probabilities(crop),
        "passerby-detector": lambda: detector.boxes(photo),
    }
    sizes = {
        "passerby-attributes": len(inputs.attributes.model_bytes),
        "passerby-detector": len(inputs.detector.model_bytes),
    }
    absent = {}
    for name, kind, teacher_of in (
        ("person-attributes-recognition-crossroad-0230", "attributes", teachers.Crossroad),
        ("PicoDet-S 416", "detector", teachers.PicoDet),
    ):
        try:
            teacher: Any = teacher_of(inputs.teachers)
        except AbsentError as reason:
            absent[name] = str(reason)
            continue
        sizes[name] = teacher.bytes
        calls[name] = _call(teacher, crop if kind == "attributes" else photo, kind)
    times = models.cost_ms(calls)
    return {"rows": {name: {"bytes": sizes[name], **times[name]} for name in calls}, "absent": absent}


def _call(teacher: Any, pixels: Any, kind: str) -> Callable[[], object]:
    return (lambda: teacher.probabilities(pixels)) if kind == "attributes" else (lambda: teacher.boxes(pixels))


PARTS: Mapping[str, Callable[[Inputs], Part]] = {
    "by-eye": by_eye,
    "places": places,
    "detection": detection,
    "cost": cost,
}
MODELS: Mapping[str, tuple[str, ...]] = {
    "by-eye": ("attributes",),
    "places": ("attributes",),
    "detection": ("detector",),
    "cost": ("attributes", "detector"),
}
"""Which models the figures of a part depend on."""
