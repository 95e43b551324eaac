"""How far a figure measured on a few films can be trusted: Wilson, bootstrap over patients, McNemar's test."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Statistic = Callable[[NDArray[np.int64]], float | NDArray[np.float64]]


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion: the p for which |successes/n − p| ≤ z·√(p(1−p)/n).

    Unlike p̂ ± z·√(p̂(1−p̂)/n) it stays inside 0 … 1 and is usable for a handful of films; without any film it is
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
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # At 0 and n the interval ends exactly at 0 and 1; say so despite rounding.
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


def bootstrap(
    statistic: Statistic, groups: ArrayLike, *, repeats: int = 1000, confidence: float = 0.95, seed: int = 0
) -> NDArray[np.float64]:
    """Percentile bootstrap interval(s) of a statistic of N films, drawing whole groups (patients) with replacement.

    Films of one patient resemble each other, so that drawing films one by one would give intervals that are too
    narrow. `groups` (N,) names each film's patient. `statistic` gets how often each film was drawn, integers (N,), and
    returns a number or an array, NaN where it is undefined; those repeats are left out. The result has the shape of
    the statistic and a last axis (low, high). It is NaN where no repeat is defined, and everywhere for fewer than two
    groups, which say nothing of other patients. A statistic that is the same in every repeat, such as an accuracy
    without a single error, gets an interval of no width; `wilson` does better there. Raises ValueError unless
    repeats ≥ 1 and 0 < confidence < 1. Source: B. Efron and R. Tibshirani, "An introduction to the bootstrap" (1993).

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
    """McNemar's exact test of whether two networks are right equally often on the same N films.

    `right_a` and `right_b` (N,) tell whether each network was right of each film. Films on which both were right or
    both wrong say nothing, so with only_a films that a alone got right and only_b that b alone did, only_a is
    binomial(only_a + only_b, ½) if the networks are equally good; p is the two-sided probability of a division at
    least as uneven, 1 without any such film. It takes films as independent, which several of one patient are not.
    Raises ValueError for shapes that differ. Source: Q. McNemar, Psychometrika 12 (1947).

    >>> mcnemar([1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0])
    {'only_a': 5, 'only_b': 0, 'p': 0.0625}
    """
    a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"right_a has shape {a.shape} and right_b {b.shape}; give one answer of each for every film")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n = only_a + only_b
    tail, ways = 0, 1  # ways: n over k, a whole number however many films there are
    for k in range(min(only_a, only_b) + 1):
        tail, ways = tail + ways, ways * (n - k) // (k + 1)
    return {"only_a": only_a, "only_b": only_b, "p": min(1.0, 2 * tail / 2**n)}


def _check(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; give a share between 0 and 1, such as 0.95")
