"""How far a figure measured on a few images can be trusted: Wilson, bootstrap over patients, McNemar's test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Statistic = Callable[[NDArray[np.int64]], float | NDArray[np.float64]]


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion: the p for which |successes/n − p| ≤ z·√(p(1−p)/n).

    Unlike p̂ ± z·√(p̂(1−p̂)/n) it stays inside 0 … 1 and is usable for a handful of images; without any it is
    (0, 1). Raises ValueError unless 0 ≤ successes ≤ n and 0 < confidence < 1. Source: E. B. Wilson, "Probable
    inference, the law of succession, and statistical inference", JASA 22 (1927).

    >>> low, high = wilson(22, 23)
    >>> f"{low:.3f} {high:.3f}"
    '0.790 0.992'
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes is {successes} of n = {n}; it must lie between 0 and n")
    _check(confidence)
    if n == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest  # here and below, because SciPy takes long to load

    low, high = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return float(low), float(high)


def bootstrap(
    statistic: Statistic, groups: ArrayLike, *, repeats: int = 1000, confidence: float = 0.95, seed: int = 0
) -> NDArray[np.float64]:
    """Percentile bootstrap interval(s) of a statistic of N images, drawing whole groups (patients) with replacement.

    Images of one patient resemble each other, so that drawing images one by one would give intervals that are too
    narrow; `scipy.stats.bootstrap` draws no groups, and gives up an interval for one undefined repeat. `groups` (N,)
    names each image's patient. `statistic` gets how often each image was drawn, integers (N,), and returns a number or
    an array, NaN where it is undefined; those repeats are left out. The result has the shape of the statistic and a
    last axis (low, high). It is NaN where no repeat is defined, and everywhere for fewer than two groups, which say
    nothing of other patients. A statistic that is the same in every repeat, such as an accuracy without a single error,
    gets an interval of no width; `wilson` does better there. Raises ValueError unless repeats ≥ 1 and
    0 < confidence < 1. Source: B. Efron and R. Tibshirani, "An introduction to the bootstrap" (1993).

    >>> right = np.array([1, 1, 0, 1, 1, 1, 0, 1])
    >>> patients = ["a", "a", "b", "b", "c", "c", "d", "d"]
    >>> bootstrap(lambda weights: np.average(right, weights=weights), patients).tolist()
    [0.5, 1.0]
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; the bootstrap needs at least 1, and about 1,000 for steady ends")
    _check(confidence)
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return np.full((*np.shape(statistic(np.ones(len(group), dtype=np.int64))), 2), np.nan)
    rng = np.random.default_rng(seed)
    draws = (np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names)) for _ in range(repeats))
    samples = np.stack([np.asarray(statistic(drawn[group]), dtype=np.float64) for drawn in draws])
    ends = np.full((*samples.shape[1:], 2), np.nan)
    for place in np.ndindex(samples.shape[1:]):
        sample = samples[(slice(None), *place)]
        defined = sample[~np.isnan(sample)]
        if len(defined):
            ends[place] = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return ends


def mcnemar(right_a: ArrayLike, right_b: ArrayLike) -> dict[str, Any]:
    """McNemar's exact test of whether two networks are right equally often on the same N images.

    `right_a` and `right_b` (N,) tell whether each network was right of each image. Images on which both were right or
    both wrong say nothing, so with only_a images that a alone got right and only_b that b alone did, only_a is
    binomial(only_a + only_b, ½) if the networks are equally good; p is the two-sided probability of a division at
    least as uneven, 1 without any such image. It takes images as independent, which several of one patient are not.
    Raises ValueError for shapes that differ. Source: Q. McNemar, Psychometrika 12 (1947).

    >>> mcnemar([1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0])
    {'only_a': 5, 'only_b': 0, 'p': 0.0625}
    """
    a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"right_a has shape {a.shape} and right_b {b.shape}; give one answer of each for every image")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n = only_a + only_b
    if n == 0:
        return {"only_a": 0, "only_b": 0, "p": 1.0}
    from scipy.stats import binomtest

    return {"only_a": only_a, "only_b": only_b, "p": float(binomtest(only_a, n, 0.5).pvalue)}


def _check(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; give a share between 0 and 1, such as 0.95")
