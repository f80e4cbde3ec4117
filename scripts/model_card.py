# SPDX-License-Identifier: Apache-2.0
"""Make the card of a shipped model: card.json for pack_model.py, and CARD.md.

    python scripts/model_card.py attributes --training TRAINING.json --json card.json [--markdown CARD.md]
    python scripts/model_card.py detector --training TRAINING.json --json card.json [--markdown CARD.md]

What people write stands in scripts/model_cards: <name>.json (licence, sources, use, failures) and <name>.md (the page,
with marks for tables). What was measured comes from the JSON of benchmarks/model_quality; what training found
(thresholds and other measured parts, calibration, seed, ...) from TRAINING.json, whose keys go into the card as they
are. With `--model` the figures must be those of that file. No network is run.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.model_quality import models, page
from benchmarks.model_quality.markdown import get
from passerby.files import atomic_write

ROOT = Path(__file__).resolve().parents[1]
Json = dict[str, Any]
NAMES = {"attributes": "passerby-attributes", "detector": "passerby-detector-416"}
PARTS = {"attributes": "by-eye", "detector": "detection"}
REQUIRED = ("licence", "data", "intended_use", "not_for", "known_failures", "about_people")
LABEL_FIGURES = ("positives", "negatives", "auc", "ap", "ma_half", "threshold", "ma_stored", "ece")
SUMMARY = ("crops", "clusters", "labels", "mean_auc", "mean_auc_interval", "mean_ma_half", "mean_ma_stored", "ece")
MARK = re.compile(r"^<!-- [a-z ]+ -->\n", re.MULTILINE)


def chosen(part: Mapping[str, Any], keys: Sequence[str]) -> Json:
    """These keys of a part."""
    return {key: part[key] for key in keys if key in part}


def attribute_figures(measured: Json) -> Json:
    """What the card says in numbers about attributes."""
    eye = measured["parts"]["by-eye"]
    figures: Json = {
        "set": "crops labelled by eye, photos apart from training, cut at the box",
        **chosen(eye["summary"], SUMMARY),
        "by_label": {row["label"]: [row[key] for key in LABEL_FIGURES] for row in eye["labels"]},
        "by_label_columns": list(LABEL_FIGURES),
        "gaps": {
            name: chosen(part, ("crops", "mean_auc_gap", "mean_auc_gap_interval", "mean_recall_gap"))
            for name, part in eye["gaps"].items()
        },
    }
    for division in ("by_source", "by_height", "by_gender", "by_age"):
        figures[division] = {name: chosen(part, SUMMARY) for name, part in eye[division].items()}
    for group, part in eye["colours"].items():
        figures[group] = chosen(part, ("crops", "accuracy", "accuracy_interval"))
    figures["elsewhere"] = {name: _place(get(measured, "parts", "places", name)) for name in ("peta", "market1501")}
    return figures


def _place(part: Json | None) -> Json:
    if part is None or "absent" in part:
        return {"absent": "not measured"}
    subsets = {name: chosen(row, SUMMARY) for name, row in part.get("by_subset", {}).items()}
    return chosen(part["summary"], SUMMARY) | ({"by_subset": subsets} if subsets else {})


def detector_figures(measured: Json) -> Json:
    """What the card says in numbers about boxes."""
    figures: Json = {}
    for name in ("human_oi_coco", "coco128", "penn_fudan", "people_free"):
        part = measured["parts"]["detection"][name]
        if "absent" in part:
            figures[name] = {"absent": "not measured"}
            continue
        keys = ("photos", "persons", "ap", "threshold", "precision", "false_per_photo", "recall")
        heights = [key for key in part if key.startswith("from_")]
        figures[name] = chosen(part, (*keys, *heights))
    return figures


FIGURES = {"attributes": attribute_figures, "detector": detector_figures}


def card(kind: str, *, written: Json, measured: Json, training: Json) -> Json:
    """The card in short, as it travels inside the model file.

    Args:
        written: the hand-written part. measured: JSON of benchmarks/model_quality. training: what training found.
    Raises:
        SystemExit: a hand-written field is missing, two parts say the same, or the main figures were not measured.
    """
    missing = [name for name in REQUIRED if not written.get(name)]
    if missing:
        raise SystemExit(f"the hand-written part lacks {', '.join(missing)}")
    main = get(measured, "parts", PARTS[kind])
    if main is None or "absent" in main:
        raise SystemExit(f"the part {PARTS[kind]} was not measured: run benchmarks/model_quality first")
    found = {
        "figures": FIGURES[kind](measured),
        "measured": {"identity": measured["models"][kind]["identity"], **main["made"]},
    }
    if cost := get(measured, "parts", "cost", "rows", f"passerby-{kind}"):
        found["cost"] = cost
    for one, other in ((written, training), (written, found), (training, found)):
        if both := sorted(set(one) & set(other)):
            raise SystemExit(f"{both[0]!r} is said twice: by hand, by training or by the measurement")
    return {**written, **training, **found}


def check_model(path: Path, kind: str, measured: Json) -> None:
    """The figures are those of this file.

    Raises:
        SystemExit: they are of a model with other weights, thresholds or recipe.
    """
    own = models.identity(models.open_model(NAMES[kind], path, kind))
    theirs = measured["models"][kind]["identity"]
    if own != theirs:
        raise SystemExit(f"{path} is model {own[:12]}, the figures are of {theirs[:12]}: measure it first")


def read(path: Path) -> Json:
    """A JSON file of our own."""
    content: Json = json.loads(path.read_text("utf-8"))
    return content


def main(words: list[str] | None = None) -> None:
    """Read the three parts, write the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=list(NAMES))
    parser.add_argument("--figures", type=Path, default=ROOT / "benchmarks/model_quality/figures.json")
    parser.add_argument("--training", type=Path, help="what training found; for attributes it must hold `parts`")
    parser.add_argument(
        "--text", type=Path, default=ROOT / "scripts/model_cards", help="folder of the hand-written part"
    )
    parser.add_argument("--model", type=Path, help="the packed model: figures of another one are refused")
    parser.add_argument("--json", type=Path, required=True, help="card.json, for pack_model.py")
    parser.add_argument("--markdown", type=Path, help="CARD.md")
    args = parser.parse_args(words)
    measured = read(args.figures)
    if args.model:
        check_model(args.model, args.kind, measured)
    written = read(args.text / f"{NAMES[args.kind]}.json")
    content = card(args.kind, written=written, measured=measured, training=read(args.training) if args.training else {})
    atomic_write(args.json, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")
    if args.markdown:
        text = (args.text / f"{NAMES[args.kind]}.md").read_text("utf-8")
        atomic_write(args.markdown, MARK.sub("", page.filled(text, measured, None)).encode())


if __name__ == "__main__":
    main()
