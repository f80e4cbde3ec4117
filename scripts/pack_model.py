"""Turn trained weights into a model file: the graph, the recipe, labels, thresholds, card and probe in one .onnx.

    python scripts/pack_model.py detector   final.npz card.json OUT.onnx [--size 416] [--nms-iou 0.5]
    python scripts/pack_model.py attributes final.npz card.json OUT.onnx

`final.npz` holds arrays under Paddle's parameter names. `card.json` holds what the model card says in short
(licence, data, recipe, figures), and for attributes `parts`: thresholds, ranges in which the model is uncertain,
and when a person cannot be judged, as `train_attributes.py finish` found them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from passerby import engines
from passerby.devices import Device
from passerby.files import atomic_write
from passerby.formats.metadata import InputRecipe, Label, ModelMetadata, NmsRecipe
from passerby.formats.onnx_file import write_onnx
from passerby.models.verify import with_probe
from passerby.networks import pplcnet, ppyoloe
from passerby.training.attributes.measured import with_parts
from passerby.training.shipped.attribute_labels import description


def detector_metadata(name: str, size: int, card: dict[str, Any], *, nms_iou: float) -> ModelMetadata:
    return ModelMetadata(
        kind="detector",
        name=name,
        network="PP-YOLOE",
        input=InputRecipe(height=size, width=size, interpolation="cubic"),
        labels=(Label(id="pedestrian", en="pedestrian", zh="行人"),),
        thresholds=(0.5,),
        nms=NmsRecipe(iou_threshold=nms_iou),
        card=card,
    )


def attributes_metadata(name: str, card: dict[str, Any]) -> ModelMetadata:
    parts = card.pop("parts")
    return with_parts(dataclasses.replace(description(name), card=card), parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["detector", "attributes"])
    parser.add_argument("weights", type=Path)
    parser.add_argument("card", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=416, help="side of the detector's square input, px")
    parser.add_argument(
        "--nms-iou", type=float, default=0.6, help="the detector's boxes that overlap more are one person"
    )
    args = parser.parse_args()

    with np.load(args.weights, allow_pickle=False) as stored:
        weights = {name: stored[name] for name in stored.files}
    card = json.loads(args.card.read_text("utf-8"))
    if args.kind == "detector":
        metadata = detector_metadata(args.out.stem, args.size, card, nms_iou=args.nms_iou)
        graph = ppyoloe.build_onnx(weights, input_hw=(args.size, args.size))
    else:
        metadata = attributes_metadata(args.out.stem, card)
        graph = pplcnet.build_onnx(weights, input_hw=(metadata.input.height, metadata.input.width))
    engine = engines.load(write_onnx(graph, metadata), device=Device("cpu"), spread="inside")
    data = write_onnx(graph, with_probe(metadata, engine))
    atomic_write(args.out, data)
    print(f"{args.out}: {len(data):,} bytes")


if __name__ == "__main__":
    main()
