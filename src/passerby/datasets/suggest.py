# SPDX-License-Identifier: Apache-2.0
"""Which crops to label next, with the present model's guesses filled in: labels are what stops most users.

Pictures are read one at a time; of each person only what decides the order is kept, and of those only the best few
thousand, so that a folder of any size fits in memory. The chosen crops are read once more and written by
`suggest_files`. What is labelled there comes back through `convert`.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import engines, sources
from ..attributes import AttributeClassifier, crop
from ..detector import Detector
from ..devices import Device, parse_device
from ..errors import DatasetError, PasserbyError, shown
from ..formats.metadata import Kind, ModelMetadata
from ..models.catalogue import lookup, stand_in
from ..models.load import LoadedModel, load_model
from ..types import ImageBgr, Probabilities
from .attribute_set import read_attribute_set
from .near_copies import hash_files, photo_hash
from .problems import Findings
from .suggest_files import FilesWritten, Suggestion, check_empty, write_suggestions
from .suggest_order import Candidates, Known, OrderOptions, guesses, interest, teach_order
from .text_files import read_columns

_log = logging.getLogger(__name__)

LOOK_HW = (8, 4)
CUT = 0.06  # of a side, taken from the crop in its second and third view
KEPT_PER_CROP, KEPT_AT_LEAST = 20, 2000
UNSURE = (
    0.75  # of `hesitation`, from which a label is left to the human: probability within 0.25..0.75 at threshold 0.5
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestOptions:
    """What is looked at and how many crops are wanted.

    Attributes:
        count: crops to suggest.
        crops: the pictures show one person each; else a detector cuts the persons out of them.
        model: attribute model: a name of the catalogue, or a folder or file of the user's; None the shipped one.
        detector: the same for the detector; not used with `crops`.
        detection_threshold: None takes the model's own.
        smallest_px: persons of less height are left out: nobody can label them.
        labelled: a folder in the layout MLClsDataset: what it holds is not suggested again, and what it has enough of
            counts less.
        device: as in `create_pipeline`.
    """

    count: int = 100
    crops: bool = False
    model: str | Path | None = None
    detector: str | Path | None = None
    detection_threshold: float | None = None
    smallest_px: int = 48
    labelled: Path | None = None
    device: str | None = None
    order: OrderOptions = dataclasses.field(default_factory=OrderOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestReport:
    """What was suggested.

    Attributes:
        folder, output: as given.
        pictures, persons: how many were looked at.
        suggested: number of crops written.
        left_out: the error of each picture that could not be read, by its path.
        expected_yes: by label id, crops that probably show it, as shares: among all, and among the suggested.
        files: what was written.
    """

    folder: Path
    output: Path
    pictures: int
    persons: int
    suggested: int
    left_out: dict[str, str]
    expected_yes: dict[str, tuple[float, float]]
    files: FilesWritten

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        shares = {k: {"all": round(a, 4), "suggested": round(s, 4)} for k, (a, s) in self.expected_yes.items()}
        return {
            "folder": str(self.folder),
            "output": str(self.output),
            "pictures": self.pictures,
            "persons": self.persons,
            "suggested": self.suggested,
            "left_out": self.left_out,
            "expected_yes": shares,
            "files": self.files.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Person:
    """A crop that may be suggested, without its pixels; `reread` gives the picture's."""

    source: str
    stem: str
    photo: int
    box_xyxy: NDArray[np.float32] | None
    reread: Callable[[], ImageBgr]
    mean: Probabilities
    spread: NDArray[np.float32]
    guesses: NDArray[np.int8]
    look: NDArray[np.float32]
    hash: int


def suggest_labels(folder: Path, *, output: Path, options: SuggestOptions | None = None) -> SuggestReport:
    """Suggest what to label, write it with guesses, contact sheets and import files for Label Studio and CVAT.

    Args:
        folder: pictures, anywhere below. Where crops have a `groups.csv` with a column `photo`, crops that share its
            value count as one photo's.
        output: a new or empty folder.
    Raises:
        DatasetError: `dataset_missing`, no picture or no person in the folder; what the reader of `labelled` says.
        InputError, ModelError, EngineError, OutputError: what the parts say. A single bad picture is reported.
    """
    options = options or SuggestOptions()
    check_empty(output)
    classifier, detector = _networks(options)
    walk = _Walk(options, classifier, detector)
    pool = _Pool(options, walk.metadata)
    for person in walk.persons(folder):
        pool.add(person)
    if not pool.persons:
        what = "no picture could be used" if options.crops else "no person was found"
        raise DatasetError("dataset_missing", what, input=str(folder), hint=f"{walk.pictures} pictures were read")
    chosen, worth = pool.chosen()
    files = write_suggestions(
        (_suggestion(person, float(value)) for person, value in zip(chosen, worth, strict=True)),
        metadata=walk.metadata,
        output=output,
    )
    shares = np.mean([p.mean for p in chosen], axis=0)
    return SuggestReport(
        folder=folder,
        output=output,
        pictures=walk.pictures,
        persons=pool.seen,
        suggested=len(chosen),
        left_out=walk.left_out,
        expected_yes={
            label.id: (float(pool.expected[i] / pool.seen), float(shares[i]))
            for i, label in enumerate(walk.metadata.labels)
        },
        files=files,
    )


def _networks(options: SuggestOptions) -> tuple[AttributeClassifier, Detector | None]:
    device = parse_device(options.device) or engines.default_device()
    classifier = AttributeClassifier(_loaded(options.model, "attributes"), device=device)
    return classifier, None if options.crops else _detector(options, device)


def _detector(options: SuggestOptions, device: Device) -> Detector:
    return Detector(_loaded(options.detector, "detector"), device=device)


def _loaded(model: str | Path | None, kind: Kind) -> LoadedModel:
    if model is None:
        return load_model(stand_in(kind), kind=kind)
    if lookup(str(model)) is not None:
        return load_model(str(model), kind=kind)
    return load_model(Path(model).stem, Path(model), kind=kind)


def _attributes_of(metadata: ModelMetadata) -> ModelMetadata:
    """Without the output that judges the crop as a whole: nobody is asked to label that."""
    places = metadata.attribute_places
    return replace(
        metadata,
        labels=tuple(metadata.labels[i] for i in places),
        thresholds=tuple(metadata.thresholds[i] for i in places),
        judgement=None,
    )


class _Walk:
    """Goes through the pictures once and counts what it sees. For one thread."""

    def __init__(self, options: SuggestOptions, classifier: AttributeClassifier, detector: Detector | None) -> None:
        self.pictures = 0
        self.left_out: dict[str, str] = {}
        self._options = options
        self._classifier = classifier
        self._detector = detector
        self.metadata = metadata = _attributes_of(classifier.metadata)
        self._places = list(classifier.metadata.attribute_places)
        self._thresholds = np.array(metadata.thresholds, np.float32)
        self._exclusive = [
            [i for i, label in enumerate(metadata.labels) if label.group == group.id]
            for group in metadata.groups
            if group.exclusive
        ]
        self._photos: dict[str, int] = {}

    def persons(self, folder: Path) -> Iterator[_Person]:
        """Everybody in the folder, in the order of the pictures."""
        findings = Findings()
        columns = read_columns(folder, findings)
        findings.raise_any(folder)
        of_path = {str(folder / path): row["photo"] for path, row in columns.items() if row.get("photo")}
        for item in sources.frames(str(folder)):
            if isinstance(item, sources.Failure):
                self._leave_out(item.input_path, item.error)
                continue
            self.pictures += 1
            try:
                path = item.input_path or ""
                yield from self._of_frame(item, self._photo_number(of_path.get(path, path)))
            except PasserbyError as error:
                if error.name in ("out_of_memory", "image_too_large"):
                    self._leave_out(item.input_path, error)
                else:
                    raise

    def _leave_out(self, path: str | None, error: PasserbyError) -> None:
        self.left_out[path or ""] = error.message
        _log.warning("picture=%s left out: %s", shown(path or ""), error.message)

    def _photo_number(self, photo: str) -> int:
        return self._photos.setdefault(photo, len(self._photos))

    def _of_frame(self, frame: sources.Frame, photo: int) -> Iterator[_Person]:
        image = frame.image_bgr
        reread = frame.reread
        if reread is None:
            return
        for number, box in enumerate(self._boxes(image)):
            pixels = image if box is None else crop(image, box)
            if pixels.shape[0] < (1 if box is None else self._options.smallest_px) or pixels.shape[1] < 1:
                continue
            views = self._classifier.probabilities(views_of(pixels))[:, self._places]  # (V, C)
            yield _Person(
                source=frame.input_path or "",
                stem=frame.output_stem if box is None else f"{frame.output_stem}_{number}",
                photo=photo,
                box_xyxy=box,
                reread=reread,
                mean=views.mean(axis=0),
                spread=views.std(axis=0),
                guesses=guesses(views, self._thresholds, self._exclusive),
                look=look_of(pixels, views.mean(axis=0)),
                hash=photo_hash(pixels),
            )

    def _boxes(self, image: ImageBgr) -> list[NDArray[np.float32] | None]:
        if self._detector is None:
            return [None]
        limit = self._options.detection_threshold
        limit = self._detector.metadata.thresholds[0] if limit is None else limit
        return list(self._detector.detect(image, threshold=limit).boxes_xyxy)


class _Pool:
    """The persons that may still be chosen: the most interesting few thousand of those seen so far."""

    def __init__(self, options: SuggestOptions, metadata: ModelMetadata) -> None:
        self.persons: list[_Person] = []
        self.seen = 0
        self.expected = np.zeros(len(metadata.labels))
        self._options = options
        self._thresholds = np.array(metadata.thresholds, np.float32)
        self._room = max(KEPT_AT_LEAST, KEPT_PER_CROP * options.count)
        self._known = _known(options.labelled, metadata) if options.labelled else Known.nothing(len(metadata.labels))

    def add(self, person: _Person) -> None:
        """Take one more; when twice the room is taken, the less interesting half is let go."""
        self.seen += 1
        self.expected += person.mean
        self.persons.append(person)
        if len(self.persons) >= 2 * self._room:
            candidates = _candidates(self.persons)
            rare = 1 / (self._options.order.coverage + self.expected)
            value = (candidates.probabilities * interest(candidates, self._thresholds, self._options.order)) @ rare
            self.persons = [self.persons[i] for i in np.sort(np.argsort(-value, kind="stable")[: self._room])]

    def chosen(self) -> tuple[list[_Person], NDArray[np.float32]]:
        """Persons in the order of labelling, and what each is worth."""
        rows, worth = teach_order(
            _candidates(self.persons),
            count=self._options.count,
            thresholds=self._thresholds,
            known=self._known,
            options=self._options.order,
        )
        return [self.persons[i] for i in rows], worth


def _candidates(persons: list[_Person]) -> Candidates:
    return Candidates(
        probabilities=np.stack([p.mean for p in persons]),
        spread=np.stack([p.spread for p in persons]),
        looks=np.stack([p.look for p in persons]),
        hashes=np.array([p.hash for p in persons], np.uint64),
        photos=np.array([p.photo for p in persons], np.int64),
    )


def views_of(pixels_bgr: ImageBgr) -> list[ImageBgr]:
    """The crop, its mirror picture, and both again with another part of the edges cut off.

    A sure model says the same of all four. Pictures too small to be cut are given as they are.
    """
    height, width = pixels_bgr.shape[:2]
    dy, dx = int(height * CUT), int(width * CUT)
    upper_left = pixels_bgr[: height - dy, : width - dx]
    lower_right = pixels_bgr[dy:, dx:]
    return [np.ascontiguousarray(v) for v in (pixels_bgr, pixels_bgr[:, ::-1], upper_left, lower_right[:, ::-1])]


def look_of(pixels_bgr: ImageBgr, probabilities: Probabilities) -> NDArray[np.float32]:
    """(8 * 4 * 3 + C,) float32: coarse colours and what the model sees, each part with the same say."""
    small = cv2.resize(pixels_bgr, LOOK_HW[::-1], interpolation=cv2.INTER_AREA).astype(np.float32).ravel() / 255
    return np.concatenate([small / np.sqrt(len(small)), probabilities / np.sqrt(len(probabilities))]).astype(np.float32)


def _known(folder: Path, metadata: ModelMetadata) -> Known:
    """What a labelled folder has of the model's labels; labels that only one of them knows count for nothing."""
    data = read_attribute_set(folder)
    place = {label.id: i for i, label in enumerate(data.label_set.labels)}
    yes, no = np.zeros(len(metadata.labels)), np.zeros(len(metadata.labels))
    targets = np.concatenate([data.targets(split) for split in data.splits])
    for i, label in enumerate(metadata.labels):
        if label.id in place:
            column = targets[:, place[label.id]]
            yes[i], no[i] = (column == 1).sum(), (column == 0).sum()
    paths = [sample.path for samples in data.splits.values() for sample in samples]
    hashes = [value for value in hash_files(paths) if value is not None]
    return Known(yes=yes, no=no, hashes=np.array(hashes, np.uint64))


def _suggestion(person: _Person, worth: float) -> Suggestion:
    """With the pixels, read again."""
    image = person.reread()
    return Suggestion(
        stem=person.stem,
        source=person.source,
        box_xyxy=None if person.box_xyxy is None else tuple(float(v) for v in person.box_xyxy),
        pixels_bgr=image if person.box_xyxy is None else crop(image, person.box_xyxy),
        worth=worth,
        probabilities=person.mean,
        spread=person.spread,
        guesses=person.guesses,
    )
