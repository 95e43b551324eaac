"""Whether a network's probabilities mean what they say: reliability, ECE, Brier score, temperature scaling.

In all of these, `probabilities` is (N, K), rows summing to 1, and `targets` (N,) holds integer labels in 0 … K-1. The
confidence of an image is the probability of its most probable class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covid.evaluation.intervals import wilson

BINS = 15
TEMPERATURES = 0.05, 20.0  # answers that are all right would send it to 0, and a network that knows nothing to ∞


def reliability(probabilities: ArrayLike, targets: ArrayLike, bins: int = BINS) -> list[dict[str, Any]]:
    """Images sorted by their confidence into equal bins (low, high] of 0 … 1: what they claim and how often it is so.

    One mapping a bin, in plain JSON types: "low", "high", "count", and the mean "confidence", the "accuracy" and its
    95 % Wilson "accuracy_interval", None in an empty bin. In a calibrated network confidence and accuracy agree.
    (`sklearn.calibration.calibration_curve` gives the same means, without the counts that the intervals need.)

    >>> table = reliability([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]], [0, 0, 0], bins=2)
    >>> table[1]["count"], round(table[1]["confidence"], 3), round(table[1]["accuracy"], 3)
    (3, 0.8, 0.667)
    """
    p, t = _checked(probabilities, targets)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == t
    index = np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1)
    table = []
    for i in range(bins):
        here = index == i
        count, hits = int(here.sum()), int(right[here].sum())
        table.append(
            {
                "low": i / bins,
                "high": (i + 1) / bins,
                "count": count,
                "confidence": float(confidence[here].mean()) if count else None,
                "accuracy": hits / count if count else None,
                "accuracy_interval": list(wilson(hits, count)) if count else None,
            }
        )
    return table


def ece(probabilities: ArrayLike, targets: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error: Σ over bins of (count/N)·|accuracy − confidence|, NaN without images.

    It is a little above 0 even for perfect probabilities, the more so the fewer images fill the bins. Source: C. Guo
    et al., "On calibration of modern neural networks", ICML 2017.

    >>> f"{ece([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]], [0, 0, 0], bins=2):.3f}"
    '0.133'
    """
    rows = [row for row in reliability(probabilities, targets, bins) if row["count"]]
    n = sum(row["count"] for row in rows)
    return sum(row["count"] * abs(row["accuracy"] - row["confidence"]) for row in rows) / n if n else float("nan")


def brier(probabilities: ArrayLike, targets: ArrayLike) -> float:
    """Brier score: the mean over images of Σₖ (pₖ − [k = target])², from 0 (certain and right) to 2.

    NaN without images. Source: G. W. Brier, Monthly Weather Review 78 (1950).

    >>> f"{brier([[1.0, 0.0], [0.5, 0.5]], [0, 1]):.2f}"
    '0.25'
    """
    p, t = _checked(probabilities, targets)
    truth = np.arange(p.shape[1]) == t[:, None]
    return float(((p - truth) ** 2).sum(axis=1).mean()) if len(t) else float("nan")


def apply_temperature(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Probabilities after dividing the logits by a temperature: softmax(log p / T), float64 (N, K).

    T above 1 makes them less certain, below 1 more; the order of an image's classes, and so its answer, stays. Raises
    ValueError unless T > 0.

    >>> apply_temperature([[0.8, 0.2]], 2.0).round(3).tolist()
    [[0.667, 0.333]]
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; it must be above 0, and 1 changes nothing")
    return np.exp(_log_softmax(probabilities, temperature))


def fit_temperature(probabilities: ArrayLike, targets: ArrayLike) -> float:
    """The temperature between 0.05 and 20 whose probabilities have the least mean cross-entropy on these images.

    Fit it on validation images, then apply it to others. Raises ValueError without images. Source: C. Guo et al., "On
    calibration of modern neural networks", ICML 2017.

    >>> f"{fit_temperature([[0.9, 0.1]] * 4, [0, 0, 0, 1]):.3f}"  # 90 % certain, 75 % right
    '2.000'
    """
    from scipy.optimize import minimize_scalar  # slow to import, and not needed to look at a report

    p, t = _checked(probabilities, targets)
    if not len(t):
        raise ValueError("there are no images to fit a temperature to; give the validation images")

    def cross_entropy(log_temperature: float) -> float:
        return float(-_log_softmax(p, np.exp(log_temperature))[np.arange(len(t)), t].mean())

    found = minimize_scalar(cross_entropy, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def _log_softmax(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    from scipy.special import log_softmax

    # A softmax in float32 underflows to 0, whose logarithm would be -∞.
    p = np.maximum(np.asarray(probabilities, dtype=np.float64), np.finfo(np.float32).tiny)
    return log_softmax(np.log(p) / temperature, axis=1)


def _checked(probabilities: ArrayLike, targets: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    p, t = np.asarray(probabilities, dtype=np.float64), np.asarray(targets, dtype=np.int64)
    if p.ndim != 2 or t.shape != p.shape[:1]:
        raise ValueError(f"probabilities have shape {p.shape} and targets {t.shape}; give (N, K) and (N,)")
    return p, t
