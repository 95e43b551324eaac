"""Batch normalization, and the sums over channels that blocks need too."""

from __future__ import annotations

import math

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.kernels.gpu.launch import Array, blocks, launch

THREADS = 256
JOINING_THREADS = 1024  # one block has a channel's parts to itself, and a large batch has many
PARTS = 1024  # blocks that share a sum, in all channels together


def batch_norm_statistics(x: Array) -> tuple[Array, Array]:
    """Twin of `reference.batch_norm_statistics`. Blocks measure planes in one pass; then these are joined."""
    xp, (n, c, *_) = get_array_module(x), x.shape
    x, parts = xp.ascontiguousarray(x), _parts(n, c)
    moments = xp.empty((3, c, parts), np.float64)
    launch("norm", "channel_moments", (c, parts), THREADS, x, moments, n, c, _size(x), dtype=x.dtype)
    return joined(moments, x.dtype)


def batch_norm_track(
    running_mean: Array, running_var: Array, mean: Array, variance: Array, momentum: float, unbiased: float
) -> None:
    """Twin of `reference.batch_norm_track`. A thread for each channel changes both, in one launch."""
    launch(
        "norm",
        "track",
        blocks(mean.size, THREADS),
        THREADS,
        running_mean,
        running_var,
        mean,
        variance,
        float(momentum),
        float(unbiased),
        mean.size,
        dtype=mean.dtype,
    )


def batch_norm_forward(x: Array, mean: Array, variance: Array, weight: Array, bias: Array, eps: float) -> Array:
    """Twin of `reference.batch_norm_forward`. A block for each plane."""
    xp, (n, c, *_) = get_array_module(x), x.shape
    x = xp.ascontiguousarray(x)
    y = xp.empty(x.shape, x.dtype)
    launch(
        "norm", "normalize", n * c, THREADS, x, mean, variance, weight, bias, float(eps), y, c, _size(x), dtype=x.dtype
    )
    return y


def batch_norm_backward(
    dy: Array, x: Array, mean: Array, variance: Array, weight: Array, eps: float, batch_statistics: bool = True
) -> tuple[Array, Array, Array]:
    """Twin of `reference.batch_norm_backward`. One pass for both sums; then dx is affine in dy and x."""
    xp, (n, c, *_) = get_array_module(x), x.shape
    dy, x = xp.ascontiguousarray(dy), xp.ascontiguousarray(x)
    count = x.size // c if batch_statistics else 0
    dweight, dbias, factors = gradients_of(dy, x, None, mean, variance, weight, eps, count)
    dx = xp.empty(x.shape, x.dtype)
    launch("norm", "input_gradient", n * c, THREADS, dy, x, factors, dx, c, _size(x), dtype=x.dtype)
    return dx, dweight, dbias


def gradients_of(
    dy: Array, x: Array, argmax: Array | None, mean: Array, variance: Array, weight: Array, eps: float, count: int
) -> tuple[Array, Array, Array]:
    """dγ and dβ (C,) for dy and x (N, C, …), and the `Factors` (C, 4) of dx; `count` is of the averaged values.

    With an argmax, dy and x are those of the maxima, and where it is common.cu's STOPPED there is no dy.
    """
    xp, (n, c, *_) = get_array_module(dy), dy.shape
    sums, factors = xp.empty((2, c, _parts(n, c)), np.float64), xp.empty((c, 4), dy.dtype)
    dweight, dbias = xp.empty((2, c), dy.dtype)
    launch(
        "norm", "gradient_sums", (c, sums.shape[2]), THREADS, dy, x, argmax, mean, sums, n, c, _size(dy), dtype=dy.dtype
    )
    launch(
        "norm",
        "join_gradients",
        c,
        THREADS,
        sums,
        mean,
        variance,
        weight,
        float(eps),
        np.float64(count),
        dweight,
        dbias,
        factors,
        sums.shape[2],
        dtype=dy.dtype,
    )
    return dweight, dbias, factors


def channel_sums(dy: Array) -> Array:
    """Σ over images and pixels of dy (N, C, H, W): (C,)."""
    xp, (n, c, *_) = get_array_module(dy), dy.shape
    dy, total = xp.ascontiguousarray(dy), xp.empty(c, dy.dtype)
    sums = xp.empty((2, c, _parts(n, c)), np.float64)
    launch(
        "norm",
        "gradient_sums",
        (c, sums.shape[2]),
        THREADS,
        dy,
        None,
        None,
        None,
        sums,
        n,
        c,
        _size(dy),
        dtype=dy.dtype,
    )
    launch(
        "norm",
        "join_gradients",
        c,
        THREADS,
        sums,
        None,
        None,
        None,
        0.0,
        np.float64(0),
        None,
        total,
        None,
        sums.shape[2],
        dtype=dy.dtype,
    )
    return total


def joined(moments: Array, dtype: np.dtype) -> tuple[Array, Array]:
    """Mean and variance (C,) from the count, mean and Σ (x − mean)² of parts: moments (3, C, parts)."""
    _, c, parts = moments.shape
    mean, variance = get_array_module(moments).empty((2, c), dtype)
    launch("norm", "join_moments", c, JOINING_THREADS, moments, mean, variance, parts, dtype=dtype)
    return mean, variance


def _parts(images: int, channels: int) -> int:
    return min(images, max(1, PARTS // channels))


def _size(x: Array) -> int:
    return math.prod(x.shape[2:])
