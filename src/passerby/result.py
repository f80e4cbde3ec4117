"""What comes out: the persons of one frame, or its error. Prints, saves and draws itself.

A result holds no copy of the picture. What was read from a file is read again when it is drawn after the pipeline
has gone on; arrays, bytes and URLs keep a reference to the pixels they were.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import files
from .decisions import UNCERTAIN, WORDS, Decision, Decisions
from .errors import InternalError, PasserbyError
from .formats.metadata import Label
from .types import BoxesXyxy, ImageBgr, Probabilities

if TYPE_CHECKING:
    import PIL.Image

Kind = Literal["pipeline", "detection", "classification"]

NOTES = {
    "no_pixels": "cannot be judged: the box holds no whole pixel",
    "too_small": "hard to judge: too small in the picture",
    "cut_by_frame": "hard to judge: cut by the edge of the picture",
    "unclear": "cannot be judged: not clear enough in the picture",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelScore:
    """A label of a person, with its probability.

    Attributes:
        text: its name in the language that was asked for.
        decision: "yes" or "uncertain" where the model decided, None where the caller's own threshold did.
    """

    id: str
    text: str
    score: float
    decision: Decision | None = None


# Arrays inside: two persons are the same only when they are one object, so `==` never compares pixel for pixel.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Person:
    """One pedestrian.

    Attributes:
        box_xyxy: (4,) float32, pixels of the frame, clipped to it.
        score: detection score; 1.0 when the box was given by the caller.
        labels: what holds, best first: above the caller's threshold, or, without one, what the model is sure of.
        colours: main colours by part ("upper", "lower"), where the model tells colours.
        probabilities: (C,) float32 for all labels of the model in its order; None when there was no pixel to judge.
        note: None, or a key of `NOTES` that says why the labels deserve doubt.
        uncertain: more likely than not, but not sure, best first. Colours stand in `colours` alone.
        decisions: (C,) int8, for all labels 1 yes, 0 no, -1 uncertain; None when the caller gave a threshold, the
            model carries none of its own, or there was no pixel to judge.
        judgeable: whether this person can be judged at all, by what was measured of the model; None when it does not
            tell. All decisions about somebody who cannot be judged are uncertain.
        reasons: why not: "no_pixels", "too_small", "unclear".
    """

    box_xyxy: BoxesXyxy
    score: float
    labels: tuple[LabelScore, ...]
    colours: dict[str, LabelScore]
    probabilities: Probabilities | None
    note: str | None
    uncertain: tuple[LabelScore, ...] = ()
    decisions: Decisions | None = None
    judgeable: bool | None = None
    reasons: tuple[str, ...] = ()

    def to_dict(self, labels: Sequence[Label] = ()) -> dict[str, Any]:
        """This person as plain data: PaddleX's four keys, and ours where they have something to say.

        Args:
            labels: of the model; with them, what was decided about each of them and its probability.
        """
        body: dict[str, Any] = {
            "labels": [x.text for x in self.labels],
            "cls_scores": _rounded(self.labels),
            "det_score": self.score,
            "coordinate": [float(v) for v in self.box_xyxy],
        }
        if self.colours:
            body["colours"] = {part: _colour(c) for part, c in self.colours.items()}
        if self.note:
            body["note"] = NOTES[self.note]
        if self.judgeable is not None:
            body["judgeable"] = self.judgeable
        if self.reasons:
            body["reasons"] = list(self.reasons)
        if self.decisions is not None:
            body["uncertain"] = [x.text for x in self.uncertain]
            body["uncertain_scores"] = _rounded(self.uncertain)
        if self.decisions is not None and self.probabilities is not None and labels:
            ids = [label.id for label in labels]
            body["decisions"] = dict(zip(ids, (WORDS[d] for d in self.decisions.tolist()), strict=True))
            body["probabilities"] = dict(zip(ids, np.around(self.probabilities.astype(float), 5).tolist(), strict=True))
        return body


def _colour(colour: LabelScore) -> dict[str, Any]:
    said: dict[str, Any] = {"label": colour.text, "score": round(colour.score, 5)}
    return said if colour.decision is None else {**said, "decision": colour.decision}


def _rounded(labels: Iterable[LabelScore]) -> list[float]:
    """Scores to 5 decimals, as the original rounds them."""
    return [float(v) for v in np.around(np.array([x.score for x in labels], np.float64), 5)]


@dataclass(slots=True)
class Picture:
    """The way back to a frame's pixels: the array itself, or a weak reference and a recipe to read it again."""

    pixels: ImageBgr | weakref.ref[ImageBgr] | None
    reread: Callable[[], ImageBgr] | None

    @classmethod
    def of(cls, image_bgr: ImageBgr, reread: Callable[[], ImageBgr] | None) -> Picture:
        return cls(image_bgr if reread is None else weakref.ref(image_bgr), reread)

    def get(self) -> ImageBgr:
        pixels = self.pixels() if isinstance(self.pixels, weakref.ref) else self.pixels
        if pixels is None and self.reread is not None:
            pixels = self.reread()
        if pixels is None:
            raise InternalError("internal", "the picture of this result is gone")
        return pixels

    def __getstate__(self) -> dict[str, Any]:
        held = None if isinstance(self.pixels, weakref.ref) else self.pixels
        return {"pixels": held, "reread": self.reread}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.pixels, self.reread = state["pixels"], state["reread"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """One frame's answer.

    Attributes:
        input_path: path or URL as it was given; None for arrays and bytes.
        page_index: number of the page in a file with several, else None.
        size_wh: width and height of the frame in pixels, orientation applied; None for an error.
        persons: the pedestrians, best detection first; empty when there is none.
        error: what went wrong, or None.
        labels: the labels of the attribute model, in the order of `Person.probabilities`.
        kind: what made it: the whole pipeline, or one of its models alone. Decides the keys of `to_dict`.
        output_stem, suffix: what `save_to_json` and `save_to_img` call their files in a folder.
    """

    input_path: str | None
    page_index: int | None = None
    size_wh: tuple[int, int] | None = None
    persons: tuple[Person, ...] = ()
    error: PasserbyError | None = None
    labels: tuple[Label, ...] = ()
    kind: Kind = "pipeline"
    output_stem: str
    suffix: str = ".jpg"
    picture: Picture | None = field(default=None, repr=False)

    @property
    def boxes_xyxy(self) -> BoxesXyxy:
        """(N, 4) float32, frame pixels."""
        return np.array([p.box_xyxy for p in self.persons], np.float32).reshape(-1, 4)

    @property
    def scores(self) -> Probabilities:
        """(N,) float32 detection scores."""
        return np.array([p.score for p in self.persons], np.float32)

    @property
    def probabilities(self) -> Probabilities:
        """(N, C) float32, all labels of the model; NaN rows where a person had no pixel to judge."""
        nothing = np.full(len(self.labels), np.nan, np.float32)
        rows = [nothing if p.probabilities is None else p.probabilities for p in self.persons]
        return np.array(rows, np.float32).reshape(-1, len(self.labels))

    @property
    def decisions(self) -> Decisions:
        """(N, C) int8: 1 yes, 0 no, -1 uncertain, also where nothing was decided (see `Person.decisions`)."""
        nothing = np.full(len(self.labels), UNCERTAIN, np.int8)
        rows = [nothing if p.decisions is None else p.decisions for p in self.persons]
        return np.array(rows, np.int8).reshape(-1, len(self.labels))

    def to_dict(self, *, every_label: bool = True) -> dict[str, Any]:
        """The body that is saved: `input_path`, `page_index` for pages, `boxes`; or `input` and `error`.

        Args:
            every_label: with `decisions` and `probabilities` of all labels, where the model decided.
        """
        if self.error is not None:
            return {
                "input": self.input_path,
                "error": {"name": self.error.name, "message": self.error.message},
            }
        body: dict[str, Any] = {"input_path": self.input_path}
        if self.page_index is not None or self.kind != "pipeline":
            body["page_index"] = self.page_index
        if self.kind == "pipeline":
            labels = self.labels if every_label else ()
            body["boxes"] = [p.to_dict(labels) for p in self.persons]
        elif self.kind == "detection":
            body["boxes"] = [self._detected(p) for p in self.persons]
        else:
            found = self.persons[0].labels
            body["class_ids"] = [self._number(x) for x in found]
            body["scores"] = _rounded(found)
            body["label_names"] = [x.text for x in found]
        return body

    def _number(self, found: LabelScore) -> int:
        return next(i for i, label in enumerate(self.labels) if label.id == found.id)

    def _detected(self, person: Person) -> dict[str, Any]:
        kind = person.labels[0]
        return {
            "cls_id": self._number(kind),
            "label": kind.text,
            "score": person.score,
            "coordinate": [float(v) for v in person.box_xyxy],
        }

    @property
    def json(self) -> dict[str, Any]:
        """`{"res": body}`, plain Python values."""
        return {"res": self.to_dict()}

    @property
    def img(self) -> dict[str, PIL.Image.Image]:
        """`{"res": picture}`: the frame with boxes and labels drawn, a PIL image, RGB."""
        from PIL import Image

        return {"res": Image.fromarray(self.drawn()[:, :, ::-1])}

    def drawn(self, *, scores: bool = False) -> ImageBgr:
        """The frame with boxes and labels drawn, (H, W, 3) uint8 BGR, a new array.

        Raises:
            PasserbyError: the error of this result, when it is one; a file that has gone since.
        """
        from . import draw

        return draw.draw(self._pixels(), self.persons, scores=scores)

    def print(
        self,
        format_json: bool = True,
        indent: int = 4,
        ensure_ascii: bool = False,
        *,
        json_format: bool | None = None,
    ) -> None:
        """Print `json` on standard output, as JSON or as one line of Python.

        It is for reading: the tables of all labels (`decisions`, `probabilities`) are left out.

        Args:
            format_json: JSON with indentation, else the plain representation.
            indent, ensure_ascii: as in `json.dumps`; only with `format_json`.
            json_format: the name this argument has in PaddleX's code, as an alias.
        """
        if json_format is not None:
            format_json = json_format
        body = {"res": self.to_dict(every_label=False)}
        print(json.dumps(body, indent=indent, ensure_ascii=ensure_ascii) if format_json else repr(body))

    def save_to_json(self, save_path: str | Path, indent: int = 4, ensure_ascii: bool = False) -> Path:
        """Write the body as JSON: into the file, when `save_path` ends in .json, else into that folder.

        Returns:
            the file written.
        Raises:
            OutputError: `output_unwritable`, `output_full`.
        """
        path = Path(save_path)
        if path.suffix.lower() != ".json":
            path = files.result_path(path, self.output_stem, ".json", "")
        text = json.dumps(self.to_dict(), indent=indent, ensure_ascii=ensure_ascii)
        # A file name that is no UTF-8 arrives as lone surrogates; they are written escaped, so the file stays UTF-8.
        files.atomic_write(path, text.encode("utf-8", "backslashreplace"))
        return path

    def save_to_img(self, save_path: str | Path) -> Path:
        """Write the drawn picture: into the file, when `save_path` has a picture suffix, else into that folder.

        Returns:
            the file written.
        Raises:
            PasserbyError: the error of this result, when it is one.
            OutputError: `output_unwritable`, `output_full`.
        """
        path = Path(save_path)
        if not files.is_picture_name(path):
            path = files.result_path(path, self.output_stem, files.writable_suffix(self.suffix), "_res")
        files.atomic_write(path, files.encode_image(self.drawn(), path.suffix))
        return path

    def save_all(self, save_path: str | Path) -> None:
        """Both files into one folder."""
        self.save_to_json(save_path)
        self.save_to_img(save_path)

    def _pixels(self) -> ImageBgr:
        if self.error is not None:
            raise self.error
        if self.picture is None:
            raise InternalError("internal", "this result was made without its picture")
        return self.picture.get()
