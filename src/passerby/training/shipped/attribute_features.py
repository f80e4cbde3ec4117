# SPDX-License-Identifier: Apache-2.0
"""Frozen networks that see more than a small network can learn from four thousand crops: their pooled features.

Used for training only; none of these networks, and none of their files, is shipped. Their files are named on the
command line of `scripts/train_attributes.py` (where they come from: docs/training-attributes.md). Needs `openvino`
and `ncnn`, which no other room does.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .attribute_data import CropStore

BANDS = 4
LABELLED_MARGIN = (0.05, 0.03)  # of width and height: the margin with which people judged the crops
_MEAN_RGB = np.array([0.485, 0.456, 0.406], np.float32)
_STD_RGB = np.array([0.229, 0.224, 0.225], np.float32)
PARTS_HW = (320, 192)  # a person at the size of which head and legs are cut
PART_SIDE = 160
HEAD, LEGS = slice(0, 112), slice(160, 320)  # rows of that
CROSSROAD_HW, CROSSROAD_OUTPUT = (160, 80), "453"
_PICODET_STAGES = ("reshape2_3.tmp_0", "reshape2_15.tmp_0", "reshape2_19.tmp_0")  # strides 8, 16, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherFiles:
    """Where the frozen networks lie: OpenVINO IR of two EfficientNet-Lite, of the re-identification net and of the
    attribute net crossroad-0230, ncnn files of PicoDet-S (without the ending)."""

    lite0_xml: Path
    lite1_xml: Path
    reid_xml: Path
    crossroad_xml: Path
    picodet: Path


def cut_stored(
    store: CropStore, index: int, *, margin: tuple[float, float], size_hw: tuple[int, int]
) -> NDArray[np.uint8]:
    """A stored person with a margin around the box, resized.

    Args:
        margin: fraction of the box's width and height added on each side, as far as pixels are stored.
    Returns:
        (*size_hw, 3) uint8 BGR.
    """
    picture = store.pixels[index]
    x1, y1, x2, y2 = store.inner[index]
    dx, dy = (x2 - x1) * margin[0], (y2 - y1) * margin[1]
    height, width = picture.shape[:2]
    left, right = round(max(x1 - dx, 0.0) * width), round(min(x2 + dx, 1.0) * width)
    top, bottom = round(max(y1 - dy, 0.0) * height), round(min(y2 + dy, 1.0) * height)
    cut = picture[top : max(bottom, top + 1), left : max(right, left + 1)]
    return np.asarray(cv2.resize(cut, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_LINEAR), np.uint8)


def band_pool(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """(C, H, W) -> (BANDS, 2 C): mean and maximum over horizontal bands, from head to feet."""
    edges = np.linspace(0, maps.shape[1], BANDS + 1)
    rows = []
    for band in range(BANDS):
        first = int(edges[band])
        part = maps[:, first : max(int(np.ceil(edges[band + 1])), first + 1)]
        rows.append(np.concatenate([part.mean(axis=(1, 2)), part.max(axis=(1, 2))]))
    return np.stack(rows).astype(np.float32)


def _imagenet_input(crop_bgr: NDArray[np.uint8]) -> NDArray[np.float32]:
    rgb = crop_bgr[:, :, ::-1].astype(np.float32) / 255
    return np.ascontiguousarray(((rgb - _MEAN_RGB) / _STD_RGB).transpose(2, 0, 1))


def _part_input(rows_bgr: NDArray[np.uint8]) -> NDArray[np.float32]:
    return _imagenet_input(np.asarray(cv2.resize(rows_bgr, (PART_SIDE, PART_SIDE)), np.uint8))


def _openvino_runner(
    xml: Path, *, size_hw: tuple[int, int], threads: int, output: str | None = None
) -> Callable[[Any], NDArray[np.float32]]:
    """Runs a network on one picture; its last output, or the one of this name."""
    openvino: Any = importlib.import_module("openvino")
    core = openvino.Core()
    model = core.read_model(xml)
    model.reshape([1, 3, *size_hw])
    compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads})
    output = compiled.outputs[-1] if output is None else compiled.output(output)
    return lambda x: np.asarray(compiled(x[None])[output][0], np.float32)


def _picodet_runner(files: Path, *, threads: int) -> Callable[[Any], list[NDArray[np.float32]]]:
    ncnn: Any = importlib.import_module("ncnn")
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.load_param(f"{files}.param")
    net.load_model(f"{files}.bin")

    def run(x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        extractor = net.create_extractor()
        extractor.input("image", ncnn.Mat(x))
        return [np.array(extractor.extract(name)[1], np.float32) for name in _PICODET_STAGES]

    return run


def crossroad_runner(xml: Path, *, threads: int) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """What a network for surveillance cameras says of a crop, uint8 BGR: (1, 8) logits of male, bag, backpack, hat,
    long sleeves, long trousers, long hair, coat."""
    run = _openvino_runner(xml, size_hw=CROSSROAD_HW, threads=threads, output=CROSSROAD_OUTPUT)

    def logits(crop_bgr: NDArray[np.uint8]) -> NDArray[np.float32]:
        small = cv2.resize(crop_bgr, (CROSSROAD_HW[1], CROSSROAD_HW[0]))
        probabilities = (
            run(np.ascontiguousarray(small.transpose(2, 0, 1), np.float32)).reshape(1, 8).clip(1e-4, 1 - 1e-4)
        )
        return np.asarray(np.log(probabilities / (1 - probabilities)), np.float32)

    return logits


def _colour_bands(crop_bgr: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) -> (BANDS, 96): a 4 x 8 Lab thumbnail of each band."""
    small = cv2.resize(crop_bgr, (8, 4 * BANDS), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_BGR2LAB).astype(np.float32) / np.float32(64) - np.float32(2)
    return np.asarray(lab.reshape(BANDS, 4 * 8 * 3), np.float32)


def feature_extractor(
    files: TeacherFiles, *, threads: int = 1
) -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], dict[str, Any]]:
    """Load the frozen networks; the result maps two crops of one person, (256, 128, 3) and (320, 192, 3) uint8 BGR, to
    named (BANDS, C) features.

    `head` and `legs` are seen larger than the rest: glasses and boots are small. `reid` (1, 256) and `crossroad` (1, 8)
    are of the whole person, repeated for no band.
    """
    part = _openvino_runner(files.lite0_xml, size_hw=(PART_SIDE, PART_SIDE), threads=threads)
    lite0 = _openvino_runner(files.lite0_xml, size_hw=(224, 128), threads=threads)
    lite1 = _openvino_runner(files.lite1_xml, size_hw=(256, 128), threads=threads)
    reid = _openvino_runner(files.reid_xml, size_hw=(256, 128), threads=threads)
    crossroad = crossroad_runner(files.crossroad_xml, threads=threads)
    picodet = _picodet_runner(files.picodet, threads=threads)

    def extract(crop_bgr: NDArray[np.uint8], large_bgr: NDArray[np.uint8]) -> dict[str, Any]:
        full = _imagenet_input(crop_bgr)
        smaller = _imagenet_input(np.asarray(cv2.resize(crop_bgr, (128, 224)), np.uint8))
        bgr = np.ascontiguousarray(crop_bgr.transpose(2, 0, 1), np.float32)
        stages = picodet(full)
        return {
            "lite0": band_pool(lite0(smaller)),
            "lite1": band_pool(lite1(full)),
            "picodet": np.concatenate([band_pool(s) for s in stages], axis=1),
            "colour": _colour_bands(crop_bgr),
            "reid": reid(bgr).reshape(1, -1),
            "head": band_pool(part(_part_input(large_bgr[HEAD]))),
            "legs": band_pool(part(_part_input(large_bgr[LEGS]))),
            "crossroad": crossroad(crop_bgr),
        }

    return extract


def extract_features(
    store: CropStore, files: TeacherFiles, *, indices: NDArray[np.int64], flipped: bool, threads: int = 1
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (index, features) of stored crops, cut with the margin with which they were labelled."""
    extract = feature_extractor(files, threads=threads)
    for index in indices:
        crops = [cut_stored(store, int(index), margin=LABELLED_MARGIN, size_hw=hw) for hw in ((256, 128), PARTS_HW)]
        small, large = (np.ascontiguousarray(c[:, ::-1]) if flipped else c for c in crops)
        yield int(index), extract(small, large)
