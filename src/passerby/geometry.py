# SPDX-License-Identifier: Apache-2.0
"""Pure box maths: overlap, suppression, scaling, clipping. Knows nothing of images, networks or labels.

Boxes are float32 x1 y1 x2 y2. Suppression repeats Paddle's `multiclass_nms3` decision by decision, float32 like the
operator, because one flipped decision changes which people a user sees; `tests/test_geometry.py` holds it to 54 cases
recorded from the operator itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .types import BoxesXyxy, Scores

if TYPE_CHECKING:
    from .formats.metadata import NmsRecipe

BLOCK = 128  # candidates decided together: a little more than are kept of a picture


class Found(NamedTuple):
    """What survived suppression, grouped by class ascending, best score first within a class.

    class_ids: (K,) int64. scores: (K,) float32. boxes_xyxy: (K, 4) float32. anchors: (K,) rows of the given boxes.
    """

    class_ids: NDArray[np.int64]
    scores: Scores
    boxes_xyxy: BoxesXyxy
    anchors: NDArray[np.intp]


def areas(boxes_xyxy: BoxesXyxy) -> NDArray[np.float32]:
    """Areas (N,) float32 of boxes (N, 4); an inverted box has area 0, a box with a NaN has NaN."""
    with np.errstate(all="ignore"):
        sides = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
        product: NDArray[np.float32] = np.multiply(sides[:, 0], sides[:, 1])
    product[(sides < 0).any(axis=1)] = 0.0
    return product


def iou(boxes_xyxy: BoxesXyxy, others_xyxy: BoxesXyxy) -> NDArray[np.float32]:
    """Intersection over union of every box with every other.

    Args:
        boxes_xyxy: (N, 4) float32.
        others_xyxy: (M, 4) float32, the same pixels.
    Returns:
        (N, M) float32, new memory. Boxes apart give 0; two boxes without area in the same place give NaN, as 0/0 does.
    Source: the overlap of Paddle's `multiclass_nms3` with `normalized=True`.
    >>> iou(np.array([[0, 0, 10, 10]], np.float32), np.array([[0, 0, 10, 5], [20, 0, 30, 5]], np.float32)).tolist()
    [[0.5, 0.0]]
    """
    (left, top, right, bottom), others = boxes_xyxy.T[:, :, None], others_xyxy.T
    with np.errstate(all="ignore"):
        overlap: NDArray[np.float32] = np.minimum(right, others[2]) - np.maximum(left, others[0])  # (N, M)
        overlap *= np.minimum(bottom, others[3]) - np.maximum(top, others[1])
        union = areas(boxes_xyxy)[:, None] + areas(others_xyxy)
        union -= overlap
        overlap /= union
    # not `width < 0`: the operator asks for boxes apart, which for inverted boxes is another question
    apart = (others[0] > right) | (others[2] < left) | (others[1] > bottom) | (others[3] < top)
    overlap[apart] = 0.0
    return overlap


def nms(boxes_xyxy: BoxesXyxy, scores: Scores, recipe: NmsRecipe) -> NDArray[np.intp]:
    """Choose the boxes of one class that survive greedy suppression.

    Args:
        boxes_xyxy: (M, 4) float32.
        scores: (M,) float32; NaN never survives.
        recipe: thresholds and counts; `top_k` and `keep_top_k` below 0 mean no limit.
    Returns:
        Indices (K,) into the boxes, best score first, equal scores in index order.
    Source: `multiclass_nms3`: candidates are strictly above `score_threshold`; a box falls when its IoU with a kept one
        is above `iou_threshold` or NaN, so exactly equal stays.
    >>> from passerby.formats.metadata import NmsRecipe
    >>> boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 9]], np.float32)
    >>> nms(boxes, np.array([0.6, 0.9, 0.3], np.float32), NmsRecipe()).tolist()
    [1, 2]
    """
    order = _candidates(scores, recipe)
    chosen = boxes_xyxy[order]
    kept = _greedy(chosen, threshold=np.float32(recipe.iou_threshold), limit=recipe.keep_top_k)
    return order[kept]


def _candidates(scores: Scores, recipe: NmsRecipe) -> NDArray[np.intp]:
    """Indices of scores above the threshold, best first, ties in index order, at most `top_k`."""
    index = np.flatnonzero(scores > np.float32(recipe.score_threshold))
    found = scores[index]
    if 0 <= recipe.top_k < len(index):
        if recipe.top_k == 0:
            return index[:0]
        # the k-th best first: sorting a thousand is far cheaper than sorting the usual six thousand
        last = np.partition(found, len(found) - recipe.top_k)[len(found) - recipe.top_k]
        enough = found >= last
        index, found = index[enough], found[enough]
    order = np.argsort(-found, kind="stable")
    return index[order[: recipe.top_k]] if recipe.top_k >= 0 else index[order]


def _greedy(boxes_xyxy: BoxesXyxy, *, threshold: np.float32, limit: int) -> list[int]:
    """Positions kept among boxes sorted best first, at most `limit` when that is not negative.

    Goes block by block: overlaps inside the block decide there, then its survivors fell what comes after. So the usual
    picture, where the first hundred boxes hardly touch, costs one small matrix and never the whole one.
    """
    kept: list[int] = []
    rest = np.arange(len(boxes_xyxy))
    while len(rest) and len(kept) != limit:
        block, rest = rest[:BLOCK], rest[BLOCK:]
        boxes = np.ascontiguousarray(boxes_xyxy[block])
        fells = ~(iou(boxes, boxes) <= threshold)  # NaN fells too
        alive = np.ones(len(block), np.bool_)
        survivors = []
        for place in range(len(block)):
            if alive[place]:
                survivors.append(place)
                alive[place:] &= ~fells[place, place:]
        kept.extend(block[survivors].tolist())
        if limit >= 0:
            del kept[limit:]
        if len(rest) and len(kept) != limit:
            rest = rest[(iou(boxes[survivors], boxes_xyxy[rest]) <= threshold).all(axis=0)]
    return kept


def multiclass_nms(boxes_xyxy: BoxesXyxy, scores: NDArray[np.float32], recipe: NmsRecipe) -> Found:
    """Suppress within each class, then keep the best `keep_top_k` of all.

    Args:
        boxes_xyxy: (M, 4) float32, shared by the classes.
        scores: (C, M) float32.
        recipe: see `nms`.
    Returns:
        The K survivors, in new memory.
    """
    kept = [nms(boxes_xyxy, row, recipe) for row in scores]
    class_ids = np.repeat(np.arange(len(kept), dtype=np.int64), [len(k) for k in kept])
    anchors = np.concatenate(kept) if kept else np.empty(0, np.intp)
    found: Scores = scores[class_ids, anchors]
    if 0 <= recipe.keep_top_k < len(anchors):
        best = np.sort(np.argsort(-found, kind="stable")[: recipe.keep_top_k])
        class_ids, anchors, found = class_ids[best], anchors[best], found[best]
    return Found(class_ids, found, boxes_xyxy[anchors], anchors)


def scale_boxes(boxes_xyxy: BoxesXyxy, *, network_hw: tuple[int, int], image_hw: tuple[int, int]) -> BoxesXyxy:
    """Carry boxes from network pixels to image pixels, in any number and without clipping.

    Args:
        boxes_xyxy: (..., 4) float32, pixels of the network's input.
        network_hw: height and width the network saw, px.
        image_hw: height and width of the image, px, above 0.
    Returns:
        (..., 4) float32, new memory.
    Source: Paddle divides by `scale_factor` = float32(network / image) inside the graph, before suppression; dividing
        (not multiplying by the inverse) keeps the last bit.
    >>> scale_boxes(np.array([[0, 0, 320, 320]], np.float32), network_hw=(640, 640), image_hw=(480, 960)).tolist()
    [[0.0, 0.0, 480.0, 240.0]]
    """
    scale_y, scale_x = (np.float32(n / i) for n, i in zip(network_hw, image_hw, strict=True))
    scales = np.array([scale_x, scale_y, scale_x, scale_y], np.float32)
    return np.divide(boxes_xyxy, scales, dtype=np.float32)


def clip_boxes(boxes_xyxy: BoxesXyxy, *, image_hw: tuple[int, int]) -> BoxesXyxy:
    """Move every corner that lies outside into the image; (N, 4) float32, new memory.

    A box wholly outside ends with no width or height (or inverted): see `has_area`.
    """
    height, width = image_hw
    clipped: BoxesXyxy = boxes_xyxy.copy()
    # PaddleX pushes only the first corner up from 0 and only the second down to the far edge
    np.maximum(clipped[:, :2], np.float32(0), out=clipped[:, :2])
    np.minimum(clipped[:, 2:], np.array([width, height], np.float32), out=clipped[:, 2:])
    return clipped


def has_area(boxes_xyxy: BoxesXyxy) -> NDArray[np.bool_]:
    """Which boxes (N, 4) have width and height above 0; False where a coordinate is NaN."""
    wide_and_high: NDArray[np.bool_] = np.all(boxes_xyxy[:, 2:] > boxes_xyxy[:, :2], axis=1)
    return wide_and_high
