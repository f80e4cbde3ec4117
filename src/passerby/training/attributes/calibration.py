# SPDX-License-Identifier: Apache-2.0
"""From a network's logits to probabilities that mean what they say: the original's weights undone, then Platt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ArgumentError
from .metrics import fit_calibration


def unweighted_logits(logits: NDArray[Any], ratios: NDArray[Any]) -> NDArray[np.float64]:
    """Logits of a network that was trained with the original's weighted loss, as they are without the weights.

    The loss weighs a positive by w_p = exp(1 - r) and a negative by w_n = exp(r), r the share of positives in training
    (`losses.ratio_weights`). For persons who look alike, of whom a share q has the label, the expected loss
    -w_p q log(p) - w_n (1 - q) log(1 - p) is least where its derivative by p is zero:

        w_p q / p = w_n (1 - q) / (1 - p),  so  p = sigma(z) = w_p q / (w_p q + w_n (1 - q)).

    Hence p / (1 - p) = (w_p / w_n) q / (1 - q), and with w_p / w_n = exp(1 - 2 r)

        logit(q) = z - (1 - 2 r),

    a shift, which a head's bias can take up. Labels of equal shares (r = 1/2) stay as they are.

    Args:
        logits: (N, C) before the sigmoid. ratios: (C,) in 0..1, as training used them.
    Returns:
        (N, C) float64.
    Raises:
        ArgumentError: `bad_argument`, other shapes, numbers that are not finite, or shares outside 0..1.
    """
    z, r = np.asarray(logits, np.float64), np.asarray(ratios, np.float64)
    if z.ndim != 2 or r.shape != z.shape[1:] or not np.isfinite(z).all() or not ((r >= 0) & (r <= 1)).all():
        raise ArgumentError("bad_argument", f"logits {z.shape} and ratios {r.shape} are not (N, C) and (C,) in 0..1")
    return z - (1 - 2 * r)


def fit_unweighted(
    logits: NDArray[Any], targets: NDArray[Any], ratios: NDArray[Any] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scale and bias of each label that make `sigmoid(scale * logit + bias)` a calibrated probability.

    Args:
        logits: (N, C) of the trained network. targets: (N, C) 1, 0 or -1.
        ratios: (C,) of the weighted loss; None for a network trained without weights.
    Returns:
        (C,) scales and biases on the logits as they are, to be folded into the head.
    Source: `unweighted_logits`, then Platt scaling with a prior (`metrics.fit_calibration`), which so pulls towards
        the closed form where a label is thin.
    """
    shift = np.zeros(logits.shape[1]) if ratios is None else 1 - 2 * np.asarray(ratios, np.float64)
    plain = unweighted_logits(logits, (1 - shift) / 2)
    scales, biases = fit_calibration(plain, targets)
    return scales, (biases - scales * shift).astype(np.float32)
