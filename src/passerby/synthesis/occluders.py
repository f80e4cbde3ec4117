# SPDX-License-Identifier: Apache-2.0
"""Things that stand between camera and person: poles, cars, walls, hedges, signs; flat, with a soft edge."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from .figure import Floats

KINDS = ("pole", "car", "wall", "hedge", "sign")


def occluder(
    rng: np.random.Generator, size_hw: tuple[int, int], box: tuple[float, float, float, float]
) -> tuple[str, Floats]:
    """Draw one thing in front of a person.

    Args:
        size_hw: of the window, px. box: the person's x1 y1 x2 y2 in it.
    Returns:
        its kind, and (H, W, 4) float32: linear albedo-like colour times alpha, then alpha.
    """
    kind = str(rng.choice(KINDS, p=[0.3, 0.25, 0.2, 0.15, 0.1]))
    height, width = size_hw
    fine = 2
    big: Any = np.zeros((height * fine, width * fine, 4), np.float32)
    x1, y1, x2, y2 = (v * fine for v in box)
    colour = (rng.uniform(0.03, 0.55) * (1 + 0.5 * rng.uniform(-1, 1, 3))).clip(0.01, 0.9)
    paint = (*colour.tolist(), 1.0)
    w, h = x2 - x1, y2 - y1
    if kind == "pole":
        _pole(rng, big, (x1, x2, h), paint)
    elif kind == "car":
        _car(rng, big, (x1, y2, w, h), paint)
    elif kind == "wall":
        _wall(rng, big, (x1, x2, y2, h), paint)
    elif kind == "hedge":
        _hedge(rng, big, (y2, h))
    else:
        _sign(rng, big, (x1, y1, w, h), paint)
    grain = 1 + 0.03 * rng.standard_normal(big.shape[:2], dtype=np.float32)
    big[..., :3] *= grain[..., None]
    small = cv2.resize(big, (width, height), interpolation=cv2.INTER_AREA)
    return kind, np.asarray(small, np.float32)


def _pole(rng: np.random.Generator, big: Any, person: tuple[float, float, float], paint: tuple[float, ...]) -> None:
    x1, x2, h = person
    x, thick = rng.uniform(x1, x2), max(2.0, h * rng.uniform(0.025, 0.1))
    columns = np.arange(big.shape[1])
    inside = np.abs(columns - x) < thick / 2
    round_ = np.sqrt(np.clip(1 - ((columns - x) / (thick / 2)) ** 2, 0, 1)) * 0.7 + 0.3
    big[:, inside, :3] = np.array(paint[:3], np.float32) * round_[inside, None]
    big[:, inside, 3] = 1


def _car(
    rng: np.random.Generator, big: Any, person: tuple[float, float, float, float], paint: tuple[float, ...]
) -> None:
    """Bonnet or side of a car that hides the legs from one side."""
    x1, low, w, h = person
    roof = low - h * rng.uniform(0.25, 0.5)
    edge = x1 + w * rng.uniform(0.05, 0.95)
    left = bool(rng.random() < 0.5)
    far = -w if left else big.shape[1] + w
    points = np.array(
        [
            (far, roof),
            (edge, roof + 0.04 * h),
            (edge + (0.18 if left else -0.18) * w, low + 0.05 * h),
            (far, low + 0.1 * h),
        ]
    )
    cv2.fillPoly(big, [np.round(points).astype(np.int32)], paint, cv2.LINE_AA)
    dark = [p * 0.15 for p in paint[:3]] + [1.0]
    band = np.array(
        [
            (far, roof + 0.04 * h),
            (edge - (0.1 if left else -0.1) * w, roof + 0.07 * h),
            (edge, roof + 0.16 * h),
            (far, roof + 0.16 * h),
        ]
    )
    cv2.fillPoly(big, [np.round(band).astype(np.int32)], dark, cv2.LINE_AA)
    wheel = (round(edge + (-0.25 if left else 0.25) * w), round(low + 0.02 * h))
    cv2.circle(big, wheel, max(2, round(0.13 * h)), (0.01, 0.01, 0.01, 1.0), -1, cv2.LINE_AA)


def _wall(
    rng: np.random.Generator, big: Any, person: tuple[float, float, float, float], paint: tuple[float, ...]
) -> None:
    x1, x2, low, h = person
    if rng.random() < 0.5:  # a low wall in front of the legs
        top = low - h * rng.uniform(0.12, 0.45)
        big[round(max(top, 0)) :, :, :] = np.array(paint, np.float32)
        big[round(max(top, 0)) : round(max(top + 0.03 * h, 0)), :, :3] *= 1.4
        return
    edge = x1 + (x2 - x1) * rng.uniform(0.08, 0.45)  # the corner of a house
    if rng.random() < 0.5:
        big[:, : max(0, round(edge))] = np.array(paint, np.float32)
    else:
        big[:, round(max(0, x1 + x2 - edge)) :] = np.array(paint, np.float32)


def _hedge(rng: np.random.Generator, big: Any, person: tuple[float, float]) -> None:
    low, h = person
    top = low - h * rng.uniform(0.1, 0.4)
    green = np.array([0.05, 0.09, 0.02]) * rng.uniform(0.5, 1.8)
    for _ in range(260):
        x, y = rng.uniform(0, big.shape[1]), top + h * (0.03 * rng.standard_normal() + 0.6 * rng.random())
        shade = (green * rng.uniform(0.4, 1.5)).tolist()
        size = max(1, round(h * rng.uniform(0.015, 0.05)))
        cv2.ellipse(
            big,
            (round(x), round(y)),
            (size, max(1, size // 2)),
            rng.uniform(0, 180),
            0,
            360,
            (*shade, 1.0),
            -1,
            cv2.LINE_AA,
        )


def _sign(
    rng: np.random.Generator, big: Any, person: tuple[float, float, float, float], paint: tuple[float, ...]
) -> None:
    x1, y1, w, h = person
    x, y = x1 + w * rng.uniform(0, 1), y1 + h * rng.uniform(0.35, 0.8)
    half_w, half_h = w * rng.uniform(0.15, 0.4), h * rng.uniform(0.06, 0.16)
    corners = (round(x - half_w), round(y - half_h)), (round(x + half_w), round(y + half_h))
    cv2.rectangle(big, *corners, paint, -1, cv2.LINE_AA)
    bright = [min(1.0, p * 2 + 0.1) for p in paint[:3]] + [1.0]
    cv2.rectangle(big, *corners, bright, max(1, round(0.008 * h)), cv2.LINE_AA)
