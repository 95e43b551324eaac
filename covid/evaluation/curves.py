"""How well a score tells one class from the rest at every threshold: ROC and precision-recall, with their areas.

In all of these, `targets` (N,) is 1 for images of the class and 0 for the rest, `scores` (N,) are higher the more the
image looks like the class, and `weights` (N,) say how often each image counts, once by default. Images of equal score
are one step of the curve, so that their order plays no part.

`sklearn.metrics` has the same four, and a test holds them equal; these are here because a bootstrap calls them
thousands of times, and scikit-learn's, which check their input in every call, take 17 times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Curve(NamedTuple):
    """One class's curve as the charts draw it: x and y (T,), the area under it and its 95 % interval."""

    name: str
    x: Floats
    y: Floats
    area: float | None
    interval: Sequence[float] | None = None


def roc_curve(targets: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> tuple[Floats, Floats, Floats]:
    """False positive rates, true positive rates and thresholds (T,), as the threshold falls from ∞ to the least score.

    At each threshold the images that score at least that much are called positive: FP/(FP+TN) against TP/(TP+FN).
    A rate without images (0/0) is NaN. Raises ValueError for arrays that differ in length or hold NaN.

    >>> roc_curve([0, 1, 0, 1], [0.1, 0.4, 0.4, 0.8])[:2]
    (array([0. , 0. , 0.5, 1. ]), array([0. , 0.5, 1. , 1. ]))
    """
    true, false, thresholds = _steps(targets, scores, weights)
    rates = [np.concatenate([[0.0], part]) / (part[-1] if len(part) and part[-1] else np.nan) for part in (false, true)]
    return rates[0], rates[1], np.concatenate([[np.inf], thresholds])


def roc_auc(targets: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Area under the ROC curve: the probability that an image of the class scores higher than one of the rest.

    Equal scores count a half. NaN when all images are of the class, or none is.

    >>> roc_auc([0, 1, 0, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    false, true, _ = roc_curve(targets, scores, weights)
    return float((np.diff(false) * (true[1:] + true[:-1]) / 2).sum()) if len(true) > 1 else np.nan


def precision_recall_curve(
    targets: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None
) -> tuple[Floats, Floats, Floats]:
    """Precision TP/(TP+FP), recall TP/(TP+FN) and thresholds (T,), as the threshold falls from the highest score.

    Recall is NaN when no image is of the class. Raises ValueError for arrays that differ in length or hold NaN.

    >>> precision_recall_curve([0, 1, 0, 1], [0.1, 0.4, 0.3, 0.8])[1]
    array([0.5, 1. , 1. , 1. ])
    """
    true, false, thresholds = _steps(targets, scores, weights)
    return true / (true + false), true / (true[-1] if len(true) and true[-1] else np.nan), thresholds


def average_precision(targets: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Area under the precision-recall curve drawn in steps: Σ (recallₜ − recallₜ₋₁)·precisionₜ.

    A score that says nothing has the share of the class among the images. NaN when no image is of the class.

    >>> f"{average_precision([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.8]):.3f}"
    '0.833'
    """
    precision, recall, _ = precision_recall_curve(targets, scores, weights)
    return float((np.diff(recall, prepend=0) * precision).sum()) if len(recall) else np.nan


def _steps(targets: ArrayLike, scores: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    """Weight of true and of false positives at each distinct score, from the highest down, and these scores: (T,)."""
    target, score = np.asarray(targets, dtype=bool), np.asarray(scores, dtype=np.float64)
    weight = np.ones(len(target)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not target.shape == score.shape == weight.shape or target.ndim != 1:
        shapes = f"{target.shape}, {score.shape} and {weight.shape}"
        raise ValueError(f"targets, scores and weights have shapes {shapes}; give one of each for every image, (N,)")
    if np.isnan(score).any():
        raise ValueError("scores hold NaN, which no threshold can place; leave those images out")
    order = np.argsort(-score, kind="stable")  # quick for scores that are already in order, as in a bootstrap
    order = order[weight[order] > 0]
    score = score[order]
    last = np.flatnonzero(np.diff(score, append=-np.inf))  # of each run of equal scores
    gained = target[order] * weight[order]
    true = np.cumsum(gained)[last]
    return true, np.cumsum(weight[order])[last] - true, score[last]
