# SPDX-License-Identifier: Apache-2.0
"""From the samples of a split to pixels and to probabilities: read, resize, remember, run the network.

What a network sees in evaluation is made here the way `passerby.preprocess` makes it at inference, on the same pixels.
Feeds `task` and whoever measures a trained network.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ... import preprocess
from ...datasets.check_pictures import read_picture
from ...datasets.records import AttributeSample
from ...errors import PasserbyError
from ...formats.metadata import InputRecipe
from ...types import ImageBgr

log = logging.getLogger(__name__)

EVALUATION_BATCH = 32


class CropReader:
    """Decoded crops at network size, those read first kept in memory up to a limit.

    Every recipe begins with this resize, so nothing is lost by keeping its outcome. Each process has its own memory.
    """

    def __init__(self, recipe: InputRecipe, *, cache_mb: int = 256) -> None:
        self.recipe = recipe
        self._free_bytes = cache_mb << 20
        self._kept: dict[str, ImageBgr] = {}

    def read(self, sample: AttributeSample) -> ImageBgr:
        """The crop, resized as at inference.

        Returns:
            (height, width, 3) uint8 BGR, not to be written to.
        Raises:
            InputError: the file cannot be read or decoded.
        """
        path = str(sample.path)
        kept = self._kept.get(path)
        if kept is not None:
            return kept
        pixels = preprocess.resize(read_picture(sample.path), self.recipe)
        pixels.flags.writeable = False
        if pixels.nbytes <= self._free_bytes:
            self._free_bytes -= pixels.nbytes
            self._kept[path] = pixels
        return pixels

    def readable(
        self, samples: Sequence[AttributeSample], *, left_out: dict[str, str]
    ) -> Iterator[tuple[int, ImageBgr]]:
        """Number and crop of each sample that can be read; the errors of the others go into `left_out`, by file."""
        for number, sample in enumerate(samples):
            pixels = self._read_or_note(sample, left_out)
            if pixels is not None:
                yield number, pixels

    def _read_or_note(self, sample: AttributeSample, left_out: dict[str, str]) -> ImageBgr | None:
        try:
            return self.read(sample)
        except PasserbyError as error:
            left_out[sample.file] = error.message
        except MemoryError:
            left_out[sample.file] = "out_of_memory: the picture does not fit into memory"
        return None


def measure(
    network: nn.Module, samples: Sequence[AttributeSample], reader: CropReader
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What a network says about samples, as it will at inference: whole crops, float32, evaluation mode.

    Args:
        network: (N, 3, H, W) -> (N, C) logits; put into evaluation mode. Runs where its parameters are.
        samples: of one split.
    Returns:
        logits (M, C) float32, and which samples they belong to, (M,) int64; a picture that cannot be read is left
        out with a warning.
    """
    network.eval()
    device = next(network.parameters()).device
    left_out: dict[str, str] = {}
    parts: list[NDArray[np.float32]] = []
    rows: list[int] = []
    waiting: list[NDArray[np.float32]] = []

    def run() -> None:
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            x = torch.from_numpy(np.concatenate(waiting)).to(device)
            parts.append(network(x.contiguous(memory_format=torch.channels_last)).float().cpu().numpy())
        waiting.clear()

    for number, pixels in reader.readable(samples, left_out=left_out):
        rows.append(number)
        waiting.append(preprocess.to_network_input(pixels, reader.recipe))
        if len(waiting) == EVALUATION_BATCH:
            run()
    if waiting:
        run()
    for file, message in left_out.items():
        log.warning("picture left out of the evaluation: file=%s reason=%s", file, message)
    empty = np.zeros((0, 0), np.float32)
    return np.concatenate(parts) if parts else empty, np.array(rows, np.int64)
