# SPDX-License-Identifier: Apache-2.0
"""From boxes and probabilities to persons with named labels: by the caller's thresholds, or as the model decides.

Acts on all persons of a frame at once; an object is made only for a label that is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .attributes import Classified
from .compat import paddlex
from .decisions import REASONS_OF, UNCERTAIN, WORDS, YES, Decisions, Rules, decide, doubts, likely, rules_of
from .formats.metadata import Judgement, Label, ModelMetadata
from .result import LabelScore, Person
from .types import BoxesXyxy, Probabilities, Scores

LabelStyle = Literal["paddle", "en", "zh", "both"]
COLOUR_GROUPS = {"upper_colour": "upper", "lower_colour": "lower"}


def label_text(label: Label, style: LabelStyle) -> str:
    """A label's name as the caller wants it."""
    if style == "paddle":
        return paddlex.label_string(label)
    if style == "en":
        return label.en
    if style == "zh":
        return label.zh or label.en
    return f"{label.en} {label.zh}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What an attribute model can say, made once a pipeline.

    Attributes:
        labels: C attributes, without the output that judges the person.
        attributes: (C,) bool, which are attributes by name; the others are colours, of which one a part is told.
        colours: places of the colours of each part.
    """

    labels: tuple[Label, ...]
    attributes: NDArray[np.bool_]
    colours: dict[str, NDArray[np.intp]]
    rules: Rules
    judgement: Judgement | None


def vocabulary_of(metadata: ModelMetadata) -> Vocabulary:
    """The vocabulary of an attribute model."""
    labels = tuple(metadata.labels[i] for i in metadata.attribute_places)
    places = {
        part: np.array([i for i, label in enumerate(labels) if label.group == group], np.intp)
        for group, part in COLOUR_GROUPS.items()
    }
    return Vocabulary(
        labels=labels,
        attributes=np.array([label.group not in COLOUR_GROUPS for label in labels], bool),
        colours={part: members for part, members in places.items() if len(members)},
        rules=rules_of(metadata),
        judgement=metadata.judgement,
    )


def describe(
    boxes_xyxy: BoxesXyxy,
    scores: Scores,
    found: Classified,
    vocabulary: Vocabulary,
    *,
    texts: Sequence[str],
    thresholds: Scores | None,
) -> tuple[Person, ...]:
    """The persons of a frame.

    Args:
        boxes_xyxy, scores: (N, 4), (N,) what was detected; the boxes become read-only, as do the probabilities.
        texts: (C,) names of the labels in the caller's language.
        thresholds: (C,) labels strictly above are told; None: what the model decides is told.
    """
    probabilities, count = found.probabilities, len(boxes_xyxy)
    reasons = _reasons(boxes_xyxy, found, vocabulary.judgement)
    decisions: Decisions | None = None
    unsure: Sequence[list[LabelScore]] = [[]] * count
    if thresholds is not None:
        told = named(probabilities, probabilities > thresholds, vocabulary.labels, texts)
    else:
        decisions = decide(probabilities, vocabulary.rules)
        if reasons is not None:
            decisions[reasons > 0] = UNCERTAIN
        decisions.flags.writeable = False
        told = named(probabilities, (decisions == YES) & vocabulary.attributes, vocabulary.labels, texts, YES)
        open_ = (decisions == UNCERTAIN) & likely(probabilities, vocabulary.rules) & vocabulary.attributes
        unsure = named(probabilities, open_, vocabulary.labels, texts, UNCERTAIN)
    colours = _colours(probabilities, decisions, vocabulary, texts)
    for array in (boxes_xyxy, probabilities):
        array.flags.writeable = False
    why = [()] * count if reasons is None else [REASONS_OF[bits] for bits in reasons.tolist()]
    return tuple(
        Person(
            box_xyxy=boxes_xyxy[i],
            score=score,
            labels=tuple(told[i]) if judged else (),
            colours=colours[i] if judged else {},
            probabilities=probabilities[i] if judged else None,
            note=why[i][0] if why[i] else note,
            uncertain=tuple(unsure[i]) if judged else (),
            decisions=decisions[i] if judged and decisions is not None else None,
            judgeable=None if reasons is None else not why[i],
            reasons=why[i],
        )
        for i, (score, judged, note) in enumerate(zip(scores.tolist(), found.judged.tolist(), found.notes, strict=True))
    )


def named(
    probabilities: Probabilities,
    told: NDArray[np.bool_],
    labels: Sequence[Label],
    texts: Sequence[str],
    decision: int | None = None,
) -> list[list[LabelScore]]:
    """For each of N persons the labels that are told (N, C), best first, equal ones in the model's order."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    rows, ranks = np.nonzero(np.take_along_axis(told, order, axis=1))
    places = order[rows, ranks]
    word = None if decision is None else WORDS[decision]
    out: list[list[LabelScore]] = [[] for _ in range(len(probabilities))]
    for row, place, score in zip(rows.tolist(), places.tolist(), probabilities[rows, places].tolist(), strict=True):
        out[row].append(LabelScore(id=labels[place].id, text=texts[place], score=score, decision=word))
    return out


def _reasons(boxes_xyxy: BoxesXyxy, found: Classified, judgement: Judgement | None) -> NDArray[np.uint8] | None:
    """(N,) bits of `doubts`; None where the model does not tell who can be judged."""
    if judgement is None:
        return None
    heights = boxes_xyxy[:, 3] - boxes_xyxy[:, 1]
    return doubts(judgement, heights_px=heights, pixels=found.judged, unclear=found.unclear)


def _colours(
    probabilities: Probabilities, decisions: Decisions | None, vocabulary: Vocabulary, texts: Sequence[str]
) -> list[dict[str, LabelScore]]:
    """For each person the likeliest colour of each part that the model tells colours of; none that it denies."""
    out: list[dict[str, LabelScore]] = [{} for _ in range(len(probabilities))]
    rows = np.arange(len(probabilities))
    for part, members in vocabulary.colours.items():
        best = members[probabilities[:, members].argmax(axis=1)]
        said = [None] * len(rows) if decisions is None else [WORDS[d] for d in decisions[rows, best].tolist()]
        for row, (place, score, word) in enumerate(
            zip(best.tolist(), probabilities[rows, best].tolist(), said, strict=True)
        ):
            if word != "no":
                out[row][part] = LabelScore(
                    id=vocabulary.labels[place].id, text=texts[place], score=score, decision=word
                )
    return out
