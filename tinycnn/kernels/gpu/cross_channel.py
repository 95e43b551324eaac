"""Cross-channel (local response) normalization."""

from __future__ import annotations

import math

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.kernels.gpu.launch import Array, blocks, launch

THREADS = 256


def cross_channel_norm_forward(x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """Twin of `reference.cross_channel_norm_forward`. A thread for each number, which sums its neighbours' squares."""
    return _each("divide", get_array_module(x).ascontiguousarray(x), None, size, alpha, beta, k)


def cross_channel_norm_backward(dy: Array, x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """Twin of `reference.cross_channel_norm_backward`. A launch for dy·x/s^(β+1), and one that sums neighbours'."""
    xp = get_array_module(x)
    dy, x = xp.ascontiguousarray(dy), xp.ascontiguousarray(x)
    ratio = _each("divide", x, dy, size, alpha, beta, k)
    return _each("input_gradient", x, dy, size, alpha, beta, k, ratio)


def _each(
    kernel: str, x: Array, dy: Array | None, size: int, alpha: float, beta: float, k: float, *others: Array
) -> Array:
    """The result of a kernel with a thread for each number of the arrays (N, C, H, W)."""
    y = get_array_module(x).empty(x.shape, x.dtype)
    launch(
        "cross_channel",
        kernel,
        blocks(x.size, THREADS),
        THREADS,
        x,
        dy,
        *others,
        y,
        x.shape[1],
        math.prod(x.shape[2:]),
        size // 2,
        (size - 1) // 2,
        alpha / size,
        float(beta),
        float(k),
        np.int64(x.size),
        dtype=x.dtype,
    )
    return y
