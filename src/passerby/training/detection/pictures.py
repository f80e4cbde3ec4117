# SPDX-License-Identifier: Apache-2.0
"""Pictures of a detection data set: read with their truth for training, searched for boxes for evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from ... import geometry, preprocess
from ...datasets.check_pictures import read_picture as decoded
from ...datasets.records import DetectionSample
from ...detector import Detections
from ...errors import InputError
from ...formats.metadata import InputRecipe, NmsRecipe
from ...networks.torch.ppyoloe import PPYOLOE
from ...types import ImageBgr
from ...types import Tensor as Array
from .augment import LabelledPicture

READERS = 2  # threads that decode the next pictures while the network looks at these


def read_pixels(sample: DetectionSample) -> ImageBgr:
    """The decoded picture.

    Raises:
        InputError: as of `decode.decode_image`; `image_corrupt` too when the picture has not the size that the data
            set states, because its boxes would then lie elsewhere.
    """
    path = str(sample.path)
    pixels = decoded(sample.path)
    height, width = pixels.shape[:2]
    if (width, height) != sample.size_wh:
        stated = "{} x {}".format(*sample.size_wh)
        happened = f"the picture has {width} x {height} px, the data set says {stated}"
        raise InputError("image_corrupt", happened, input=path)
    return pixels


def read_picture(sample: DetectionSample) -> LabelledPicture:
    """The picture and its truth; crowds become regions to ignore. Errors as of `read_pixels`."""
    return LabelledPicture(
        image_bgr=read_pixels(sample),
        boxes_xyxy=sample.boxes_xyxy[~sample.crowd],
        class_ids=sample.class_ids[~sample.crowd],
        ignored_xyxy=sample.boxes_xyxy[sample.crowd],
        ignored_ids=sample.class_ids[sample.crowd],
    )


def find_boxes(
    network: PPYOLOE, samples: Sequence[DetectionSample], *, recipe: InputRecipe, nms: NmsRecipe, batch_size: int
) -> Iterator[Detections | InputError]:
    """Look for boxes in pictures, as `detector.Detector` does with the exported model.

    Args:
        network: in evaluation mode; pictures go to the device where it is.
        samples: the pictures.
        recipe: how a picture becomes the network's input.
        nms: suppression.
        batch_size: pictures put through the network at once.
    Returns:
        For each sample in turn its boxes, or why it cannot be read.
    """
    with ThreadPoolExecutor(READERS) as pool:
        starts = range(0, len(samples), batch_size)
        waiting = [pool.submit(_prepared, sample, recipe) for sample in samples[:batch_size]]
        for start in starts:
            ready = [future.result() for future in waiting]
            following = samples[start + batch_size : start + 2 * batch_size]
            waiting = [pool.submit(_prepared, sample, recipe) for sample in following]
            yield from _searched(network, samples[start : start + batch_size], ready, recipe, nms)


def _prepared(sample: DetectionSample, recipe: InputRecipe) -> Array | InputError:
    try:
        return preprocess.to_network_input(read_pixels(sample), recipe)
    except InputError as error:
        return error


def _searched(
    network: PPYOLOE,
    samples: Sequence[DetectionSample],
    ready: Sequence[Array | InputError],
    recipe: InputRecipe,
    nms: NmsRecipe,
) -> Iterator[Detections | InputError]:
    inputs = [item for item in ready if not isinstance(item, InputError)]
    if inputs:
        device = next(network.parameters()).device
        with torch.inference_mode():
            outputs = network(torch.from_numpy(np.concatenate(inputs)).to(device))
        answers = zip(*(output.float().cpu().numpy() for output in outputs), strict=True)
    for sample, item in zip(samples, ready, strict=True):
        if isinstance(item, InputError):
            yield item
            continue
        boxes, scores = next(answers)
        image_hw = (sample.size_wh[1], sample.size_wh[0])
        scaled = geometry.scale_boxes(boxes, network_hw=(recipe.height, recipe.width), image_hw=image_hw)
        found = geometry.multiclass_nms(scaled, scores, nms)
        clipped = geometry.clip_boxes(found.boxes_xyxy, image_hw=image_hw)
        whole = geometry.has_area(clipped)
        yield Detections(boxes_xyxy=clipped[whole], scores=found.scores[whole], class_ids=found.class_ids[whole])
