"""How weights start: each function draws an array of `shape` whose spread depends on how many numbers meet there.

Any function of (shape, rng) that returns such an array can be a layer's initializer.
"""

from __future__ import annotations

import inspect
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


Function = Callable[[tuple[int, ...], np.random.Generator], np.ndarray]
Initializer = str | Function | None
BY_NAME: dict[str, Function] = {f.__name__: f for f in (glorot_uniform, he_normal, narrow_normal, zeros)}


def checked(initializer: Initializer) -> Initializer:
    """What a layer keeps as its initializer: the name of one of these functions, or a function f(shape, rng) → array.

    None, which a loaded layer has whose initializer was a function of the user's own, stands for weights that are
    loaded and never drawn.

    Raises:
        ValueError: for an unknown name, or a function that takes other arguments.

    >>> checked(he_normal)
    'he_normal'
    """
    if initializer is None or (isinstance(initializer, str) and initializer in BY_NAME):
        return initializer
    if not callable(initializer):
        raise ValueError(
            f"initializer is {initializer!r}: choose one of {', '.join(BY_NAME)}, "
            "or give a function f(shape, rng) → array"
        )
    name = _name(initializer)
    if BY_NAME.get(name) is initializer:
        return name
    try:
        inspect.signature(initializer).bind(None, None)
    except TypeError as error:
        raise ValueError(f"initializer {name} cannot be called as {name}(shape, rng) → array: {error}") from None
    except ValueError:  # a function of C code without a signature
        pass
    return initializer


def stored(initializer: Initializer) -> str | None:
    """What a file holds of an initializer: a name, or None for a function of the user's own, which no file can hold."""
    return initializer if isinstance(initializer, str) else None


def initialize(initializer: Initializer, shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> np.ndarray:
    """An array of `shape` and `dtype` from an initializer; the same numbers for every dtype. NaN for None.

    Raises:
        ValueError: when a function returns another shape, NaN or infinite numbers, or no numbers.
    """
    if initializer is None:
        return np.full(shape, np.nan, dtype)
    function = BY_NAME[initializer] if isinstance(initializer, str) else initializer
    weights = np.asarray(function(shape, rng))
    problem = None
    if weights.dtype.kind not in "biuf":
        problem = f"an array of {weights.dtype}"
    elif weights.shape != shape:
        problem = f"an array of shape {weights.shape}"
    elif not np.isfinite(weights).all():
        problem = "NaN or infinite numbers"
    if problem:
        raise ValueError(
            f"initializer {_name(function)} returned {problem} for weights of shape {shape}: "
            "return finite numbers of that shape, such as rng.normal(0, 0.1, shape)"
        )
    return weights.astype(dtype)


def _name(function: Function) -> str:
    return getattr(function, "__name__", type(function).__name__)
