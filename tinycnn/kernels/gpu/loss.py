"""Softmax and cross-entropy, one launch each; the mean squared error, two."""

from __future__ import annotations

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.kernels import LEAST_PROBABILITY
from tinycnn.kernels.gpu.launch import WARP, Array, blocks, launch

THREADS = 128  # four rows a block


def softmax_forward(x: Array) -> Array:
    """Twin of `reference.softmax_forward`. A warp for each row, whose lanes exchange maxima and sums."""
    return _rows("softmax_forward", x, LEAST_PROBABILITY)


def softmax_backward(dy: Array, y: Array) -> Array:
    """Twin of `reference.softmax_backward`. A warp for each row."""
    return _rows("softmax_backward", dy, get_array_module(y).ascontiguousarray(y))


def log_softmax_forward(x: Array) -> Array:
    """Twin of `reference.log_softmax_forward`. A warp for each row."""
    return _rows("log_softmax_forward", x)


def cross_entropy_forward(
    log_p: Array, t: Array, class_weights: Array | None = None, label_smoothing: float = 0.0
) -> Array:
    """Twin of `reference.cross_entropy_forward`. One block for all rows, so that the sum has one order."""
    xp = get_array_module(log_p)
    log_p, loss = xp.ascontiguousarray(log_p), xp.empty(1, log_p.dtype)
    launch(
        "loss",
        "cross_entropy_forward",
        1,
        256,
        log_p,
        *_labels(log_p, t, class_weights, label_smoothing),
        loss,
        *log_p.shape,
        dtype=log_p.dtype,
    )
    return loss.reshape(())


def cross_entropy_backward(
    p: Array, t: Array, class_weights: Array | None = None, label_smoothing: float = 0.0
) -> Array:
    """Twin of `reference.cross_entropy_backward`. A warp for each row; each block sums the labels' weights."""
    return _rows("cross_entropy_backward", p, *_labels(p, t, class_weights, label_smoothing))


def squared_error_forward(y: Array, t: Array) -> Array:
    """Twin of `reference.squared_error_forward`. Blocks sum parts in float64, and one block then joins these."""
    xp = get_array_module(y, t)
    y, t, loss = xp.ascontiguousarray(y), xp.ascontiguousarray(t, y.dtype), xp.empty(1, y.dtype)
    parts = xp.empty(min(1024, blocks(y.size, 4 * 256)), np.float64)
    launch("loss", "squared_error_parts", parts.size, 256, y, t, parts, np.int64(y.size), dtype=y.dtype)
    launch("loss", "squared_error_mean", 1, 256, parts, loss, parts.size, np.int64(y.size), dtype=y.dtype)
    return loss.reshape(())


def squared_error_backward(y: Array, t: Array) -> Array:
    """Twin of `reference.squared_error_backward`. A thread an element."""
    xp = get_array_module(y, t)
    y, t, dy = xp.ascontiguousarray(y), xp.ascontiguousarray(t, y.dtype), xp.empty(y.shape, y.dtype)
    launch("loss", "squared_error_backward", blocks(y.size, 256), 256, y, t, dy, np.int64(y.size), dtype=y.dtype)
    return dy


def _labels(
    p: Array, t: Array, class_weights: Array | None, label_smoothing: float
) -> tuple[Array, Array | None, float]:
    xp = get_array_module(p, t)
    weights = class_weights if class_weights is None else xp.ascontiguousarray(class_weights, p.dtype)
    return xp.ascontiguousarray(t, np.int64), weights, float(label_smoothing)


def _rows(kernel: str, x: Array, *others: Array | float | None) -> Array:
    """y, shaped like x (N, K), from a kernel with a warp for each row."""
    xp = get_array_module(x)
    x, y = xp.ascontiguousarray(x), xp.empty(x.shape, x.dtype)
    launch("loss", kernel, blocks(len(x), THREADS // WARP), THREADS, x, *others, y, *x.shape, dtype=x.dtype)
    return y
