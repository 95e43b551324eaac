"""How weights start: each function draws an array of `shape` whose spread depends on how many numbers meet there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """fan_in, fan_out of a weight (O, C, KH, KW) or (K, D): KH·KW·C and KH·KW·O inputs and outputs per weight.

    >>> fans((8, 1, 3, 3))
    (9, 72)
    """
    pixels = math.prod(shape[2:])
    return shape[1] * pixels, shape[0] * pixels


def glorot_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Uniform on ±√(6 / (fan_in + fan_out)). Source: Glorot & Bengio (2010)."""
    limit = math.sqrt(6 / sum(fans(shape)))
    return rng.uniform(-limit, limit, shape)


def he_normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Normal with variance 2 / fan_in. Source: He et al. (2015)."""
    return rng.normal(0, math.sqrt(2 / fans(shape)[0]), shape)


def narrow_normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Normal with standard deviation 0.01. Source: Krizhevsky et al. (2012)."""
    return rng.normal(0, 0.01, shape)


def zeros(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """All zeros: for a class to see why that cannot learn."""
    return np.zeros(shape)


BY_NAME: dict[str, Callable[[tuple[int, ...], np.random.Generator], np.ndarray]] = {
    function.__name__: function for function in (glorot_uniform, he_normal, narrow_normal, zeros)
}


def checked(name: str) -> str:
    """`name` itself; ValueError when it is no initializer's."""
    if name not in BY_NAME:
        raise ValueError(f"initializer is {name!r}: choose one of {', '.join(BY_NAME)}")
    return name


def initialize(name: str, shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> np.ndarray:
    """An array of `shape` and `dtype` from the initializer called `name`; the same numbers for every dtype."""
    return BY_NAME[name](shape, rng).astype(dtype)
