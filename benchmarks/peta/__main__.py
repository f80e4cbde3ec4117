# SPDX-License-Identifier: Apache-2.0
"""Convert PETA, or print what papers print about a model on it.

python -m benchmarks.peta convert "…/PETA dataset" DATA --split published --mat PETA.mat [--number 1]
python -m benchmarks.peta convert "…/PETA dataset" DATA --split random|zero-shot [--seed 35]
python -m benchmarks.peta evaluate MODEL DATA [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from passerby.errors import PasserbyError
from passerby.files import atomic_write
from passerby.training.shipped.research_data import read_peta

from . import convert, splits
from .evaluate import evaluate, table

SEED = 35


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peta", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("convert", help="write a folder that `passerby train` reads")
    made.add_argument("peta", type=Path, help="folder with the ten sub-sets")
    made.add_argument("out", type=Path, help="new folder")
    made.add_argument("--split", choices=("published", "random", "zero-shot"), required=True)
    made.add_argument("--mat", type=Path, help="PETA.mat, for the published splits")
    made.add_argument("--number", type=int, default=1, choices=range(1, splits.PUBLISHED + 1), help="which of them")
    made.add_argument("--seed", type=int, default=SEED, help="of the other two; default %(default)s")
    made.add_argument("--link", action="store_true", help="link the pictures in place of copying them")
    made.add_argument("--as-published", action="store_true", help="train + val to learn from, test to choose the epoch")
    measured = commands.add_parser("evaluate", help="mA, accuracy, precision, recall, F1 on the test pictures")
    measured.add_argument("model", type=Path, help="model file or folder")
    measured.add_argument("data", type=Path, help="folder that `convert` wrote")
    measured.add_argument("--json", type=Path, help="write everything that was measured to this file too")
    measured.add_argument("--most", type=int, help="so many pictures at most")
    args = parser.parse_args(words)
    if args.command == "convert" and (args.split == "published") != (args.mat is not None):
        parser.error("--split published and --mat go together")
    return args


def run_convert(args: argparse.Namespace) -> None:
    """Write the folder and say how many pictures are in its lists."""
    pictures = read_peta(args.peta)
    about: dict[str, object] = {"split": args.split}
    if args.split == "published":
        split = splits.published_split(args.mat, pictures, number=args.number)
        about["number"] = args.number
    else:
        draw = splits.random_split(len(pictures), seed=args.seed) if args.split == "random" else None
        split = draw or splits.zero_shot_split(pictures, seed=args.seed)
        about["seed"] = args.seed
    transfer: convert.PictureTransfer = "link" if args.link else "copy"
    counts = convert.write_dataset(
        pictures, split, args.out, about=about, transfer=transfer, as_published=args.as_published
    )
    print(f"{args.out}: {', '.join(f'{name} {count}' for name, count in counts.items())}")


def main(words: list[str] | None = None) -> int:
    """Run the command; errors are one line and an exit code."""
    args = arguments(words)
    try:
        if args.command == "convert":
            run_convert(args)
        else:
            report = evaluate(args.model, args.data, most=args.most)
            print(table(report))
            if args.json is not None:
                atomic_write(args.json, (json.dumps(report, indent=1) + "\n").encode())
    except PasserbyError as error:
        print(error.message, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
