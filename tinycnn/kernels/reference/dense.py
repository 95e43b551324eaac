"""The fully connected layer, and dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.backend import get_array_module

Array = Any  # numpy.ndarray or cupy.ndarray


def fully_connected_forward(x: Array, weight: Array, bias: Array | None) -> Array:
    """y = x Wᵀ + b: x (N, D), weight (K, D), bias (K,) or None → y (N, K)."""
    y = x @ weight.T
    return y if bias is None else y + bias


def fully_connected_backward(dy: Array, x: Array, weight: Array) -> tuple[Array, Array, Array]:
    """dx = dy W,   dW = dyᵀ x,   db = Σ_n dy: dy (N, K) → (N, D), (K, D), (K,)."""
    return dy @ weight, dy.T @ x, dy.sum(axis=0)


def dropout_forward(x: Array, rate: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """y = x · m, where m is 0 with probability `rate` and 1/(1 − rate) otherwise, so that E[y] = x. Returns y, m."""
    xp = get_array_module(x)
    keep = xp.asarray(rng.random(x.shape, dtype=np.float32) >= rate)
    mask = keep * x.dtype.type(1 / (1 - rate))
    return x * mask, mask


def dropout_backward(dy: Array, mask: Array) -> Array:
    """dx = dy · m."""
    return dy * mask
