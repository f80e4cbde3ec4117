# SPDX-License-Identifier: Apache-2.0
"""`passerby dataset check|convert|split|suggest|example`: folders of labelled pictures, before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import PasserbyError, shown
from . import module, options, output
from .exits import say

app = typer.Typer(
    cls=options.group_with_examples(
        "passerby dataset check my_data", "passerby dataset convert tasks.xml my_data --from CVAT"
    ),
    help="Check, convert or split a data set, or find out what to label next.",
    no_args_is_help=True,
)
Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="The data set.")]


class Layout(str, Enum):
    """The two layouts that training reads."""

    MLClsDataset = "MLClsDataset"
    COCODetDataset = "COCODetDataset"


class NearCopies(str, Enum):
    """What a split does about them."""

    warn = "warn"
    together = "together"
    ignore = "ignore"


LAYOUT_HELP = "MLClsDataset (labels of people) or COCODetDataset (boxes)"


@app.command(
    cls=options.with_examples("passerby dataset check my_data", "passerby dataset check my_data --output output --json")
)
def check(
    folder: Folder,
    layout: Annotated[Layout | None, typer.Option("--format", help=f"{LAYOUT_HELP}; default by the files.")] = None,
    target: Annotated[
        str | None, typer.Option("--output", metavar="DIR", help="Write histogram, contact sheets and JSON here.")
    ] = None,
    shallow: Annotated[bool, typer.Option("--shallow", help="Do not decode the pictures.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find everything that is wrong with a data set: every problem with its file and line, in one report.

    Lists, labels, boxes and pictures are checked; every picture is decoded.
    """
    options.set_up_logging(quiet=quiet, verbose=False)
    from ..datasets import check_dataset
    from ..datasets.progress import progress_lines

    progress = None if quiet else progress_lines(say, "checked")
    try:
        report = check_dataset(
            folder, format=None if layout is None else layout.value, output=target, deep=not shallow, progress=progress
        )
    except PasserbyError as error:
        if as_json:
            body = {"done_flag": False, "input": folder, "error": {"name": error.name, "message": error.message}}
            output.put(json.dumps(body, ensure_ascii=False, indent=2) + "\n")
        raise
    _warn(report.warnings, quiet=quiet)
    _deliver(report.to_json(), as_json=as_json, quiet=quiet)
    if not as_json and not quiet:
        output.put(f"{shown(folder, 200)}: no problems\n")


@app.command(
    cls=options.with_examples(
        "passerby dataset convert annotations.xml my_data --from CVAT",
        "passerby dataset convert labelme_folder my_boxes --from LabelMe --to COCODetDataset",
    )
)
def convert(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="File or folder in the other format.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Folder of the new data set; must not exist.")],
    source_format: Annotated[
        str, typer.Option("--from", metavar="NAME", help="LabelMe, VOC, COCO, CVAT, LabelStudio or YOLO.")
    ],
    target_format: Annotated[
        Layout | None, typer.Option("--to", help=f"{LAYOUT_HELP}; default by what the source holds.")
    ] = None,
    val: Annotated[
        float, typer.Option("--val", metavar="PERCENT", help="Share of val where the source has no splits.")
    ] = 20,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of that split.")] = 0,
    link: Annotated[bool, typer.Option("--link", help="Link whole pictures, do not copy them.")] = False,
    predictions: Annotated[
        bool, typer.Option("--predictions", help="Label Studio: take a model's guesses where no person has answered.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a data set from the files of a labelling tool. The source is only read.

    Boxes become a COCODetDataset; answers about boxes or pictures become an MLClsDataset, with a crop for each box. A
    labels.yaml or label.txt in the source's folder decides which labels there are and in which order.
    """
    options.set_up_logging(quiet=quiet, verbose=False)
    from ..datasets import ConvertOptions, convert_dataset
    from ..datasets.progress import progress_lines

    wanted = ConvertOptions(seed=seed, val_percent=val, pictures="link" if link else "copy", predictions=predictions)

    report = convert_dataset(
        Path(source),
        Path(target),
        source_format=source_format,
        target_format=None if target_format is None else target_format.value,
        options=wanted,
        progress=None if quiet else progress_lines(say, "written"),
    )
    _warn(report.warnings, quiet=quiet)
    _deliver(report.to_json(), as_json=as_json, quiet=quiet)


@app.command(
    cls=options.with_examples(
        "passerby dataset split my_data --train 80 --val 20",
        "passerby dataset split my_data --train 70 --val 20 --test 10 --group-by person --near-copies together",
    )
)
def split(
    folder: Folder,
    train: Annotated[float, typer.Option("--train", metavar="PERCENT", help="Share of train.")] = 80,
    val: Annotated[float, typer.Option("--val", metavar="PERCENT", help="Share of val.")] = 20,
    test: Annotated[float, typer.Option("--test", metavar="PERCENT", help="Share of test.")] = 0,
    group_by: Annotated[
        str | None,
        typer.Option("--group-by", metavar="COLUMN", help="Keep pictures of one value of groups.csv in one split."),
    ] = None,
    near_copies: Annotated[
        NearCopies, typer.Option("--near-copies", help="What happens to pictures that are nearly the same.")
    ] = NearCopies.warn,
    target: Annotated[
        str | None, typer.Option("--output", metavar="DIR", help="New folder for the split data set; default in place.")
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="Link the pictures into the new folder, do not copy.")] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Another one gives another split.")] = 0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Share the pictures out to train, val and test anew; in place, the old lists are kept as *.bak.

    Every class is shared out as the pictures are. Near copies in two splits make figures too good: they are named, or
    kept together.
    """
    options.set_up_logging(quiet=quiet, verbose=False)
    from ..datasets import SplitOptions, split_dataset

    wanted = SplitOptions(
        seed=seed,
        group_by=group_by,
        near_copies=near_copies.value,
        output=None if target is None else Path(target),
        pictures="link" if link else "copy",
    )
    report = split_dataset(Path(folder), train_percent=train, val_percent=val, test_percent=test, options=wanted)
    _warn(report.warnings, quiet=quiet)
    _deliver(report.to_json(), as_json=as_json, quiet=quiet)


@app.command(
    cls=options.with_examples(
        "passerby dataset suggest photos/ --output to_label --count 100",
        "passerby dataset suggest crops/ --crops --model output/best_model/inference --output to_label",
    )
)
def suggest(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Pictures without labels, walked.")],
    target: Annotated[str, typer.Option("--output", metavar="DIR", help="Where the suggestions are written.")],
    count: Annotated[int, typer.Option("--count", metavar="N", help="Crops to suggest.")] = 100,
    crops: Annotated[bool, typer.Option("--crops", help="Each picture shows one person; no detector runs.")] = False,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME|FILE", help="Attribute model; default the shipped one.")
    ] = None,
    detector: Annotated[
        str | None, typer.Option("--detector", metavar="NAME|FILE", help="Detector; default the shipped one.")
    ] = None,
    labelled: Annotated[
        str | None, typer.Option("--labelled", metavar="FOLDER", help="Data set that you have: no second time.")
    ] = None,
    device: options.Device = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find the crops whose labels would teach most, with the model's guesses filled in.

    Writes contact sheets and import files for Label Studio and CVAT; what is labelled there comes back through
    `passerby dataset convert`.
    """
    options.set_up_logging(quiet=quiet, verbose=False)
    from ..datasets import SuggestOptions, suggest_labels

    wanted = SuggestOptions(
        count=count,
        crops=crops,
        model=model,
        detector=detector,
        labelled=None if labelled is None else Path(labelled),
        device=device,
    )
    report = suggest_labels(Path(folder), output=Path(target), options=wanted)
    _deliver(report.to_json(), as_json=as_json, quiet=quiet)


@app.command(
    cls=options.with_examples(
        "passerby dataset example people", "passerby dataset example streets --format COCODetDataset --count 80"
    )
)
def example(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Folder of the data set; must be new or empty.")],
    layout: Annotated[Layout, typer.Option("--format", help=LAYOUT_HELP)] = Layout.MLClsDataset,
    count: Annotated[int, typer.Option("--count", min=8, max=10_000, metavar="N", help="Pictures.")] = 240,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Another one draws other pictures.")] = 0,
    quiet: options.Quiet = False,
) -> None:
    """Draw a small data set of cartoon people, to try the commands on or to see what a layout looks like."""
    options.set_up_logging(quiet=quiet, verbose=False)
    from ..datasets.example import write_attribute_example, write_detection_example

    write = write_attribute_example if layout is Layout.MLClsDataset else write_detection_example
    write(Path(target), count=count, seed=seed)
    if not quiet:
        say(f"{count} drawn pictures in {shown(target, 200)}, a quarter of them for val")


def _warn(warnings: Iterable[str], *, quiet: bool) -> None:
    for warning in () if quiet else warnings:
        say(f"warning: {shown(warning, 400)}")


def _deliver(body: Mapping[str, Any], *, as_json: bool, quiet: bool) -> None:
    if as_json:
        output.put(json.dumps(body, ensure_ascii=False, indent=2) + "\n")
    elif not quiet:
        output.put(module.told(body))
