# SPDX-License-Identifier: Apache-2.0
"""Label more crops by eye: draw sheets to look at, then gather what was written about them (labels/README.md).

    label_sheets.py draw   --persons persons.csv --photos DIR --sheets DIR      sheets NNN.png and index.csv
    label_sheets.py gather --sheets DIR --answers DIR --out labels.csv          a row for each answered crop

`persons.csv`: source,path,x1,y1,x2,y2, boxes in pixels of the photo. Answers: for sheet NNN.png a file NNN.txt with a
line a crop (`passerby.training.shipped.by_eye`).
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np

from passerby.training.shipped.attribute_data import cut_with_context
from passerby.training.shipped.by_eye import COLOUR_COLUMNS, COLUMNS, draw_sheet, read_answers

PER_SHEET = 12
STRETCHED = ("human_oi_coco", "oi_vehicles")  # square exports of photos that were mostly 4:3
BOX = ("x1", "y1", "x2", "y2")


def draw(args: argparse.Namespace) -> None:
    """Sheets in the order of the list."""
    with args.persons.open(newline="", encoding="utf-8") as file:
        persons = list(csv.DictReader(file))
    args.sheets.mkdir(parents=True, exist_ok=True)
    with (args.sheets / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("sheet", "number", "source", "path", *BOX))
        for start in range(0, len(persons), PER_SHEET):
            name, crops = f"{start // PER_SHEET:03d}", []
            for number, person in enumerate(persons[start : start + PER_SHEET], 1):
                box = tuple(float(person[column]) for column in BOX)
                photo = cv2.imread(str(args.photos / person["source"] / person["path"]))
                assert photo is not None, person
                picture, inner = cut_with_context(np.asarray(photo, np.uint8), (box[0], box[1], box[2], box[3]))
                shown = np.array([inner[2] - inner[0], inner[3] - inner[1]])
                wide = 4 / 3 if person["source"] in STRETCHED and photo.shape[0] == photo.shape[1] else 1.0
                aspect = (box[2] - box[0]) * wide / shown[0] / ((box[3] - box[1]) / shown[1])
                crops.append((picture, inner, float(aspect), box[3] - box[1]))
                writer.writerow((name, number, person["source"], person["path"], *box))
            cv2.imwrite(str(args.sheets / f"{name}.png"), draw_sheet(crops))


def gather(args: argparse.Namespace) -> None:
    """Rows like those of labels.csv; a crop without a line is left out."""
    with (args.sheets / "index.csv").open(newline="", encoding="utf-8") as file:
        places = {(row["sheet"], int(row["number"])): row for row in csv.DictReader(file)}
    with args.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, (*COLUMNS, *COLOUR_COLUMNS))
        writer.writeheader()
        for path in sorted(args.answers.glob("*.txt")):
            for answer in read_answers(path.read_text(encoding="utf-8"), where=str(path)):
                place = places[path.stem, answer.number]
                row = {column: place[column] for column in ("source", "path", *BOX)}
                writer.writerow(
                    {"id": f"{args.prefix}{path.stem}-{answer.number}", "set": "train", **row, **answer.cells()}
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("draw", "gather"))
    for name in ("persons", "photos", "sheets", "answers", "out"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--prefix", default="", help="before the ids of the rows, to tell rounds of labelling apart")
    args = parser.parse_args()
    {"draw": draw, "gather": gather}[args.command](args)


if __name__ == "__main__":
    main()
