"""Softmax and cross-entropy, one launch each."""

from __future__ import annotations

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.kernels.gpu.launch import WARP, Array, blocks, launch
from tinycnn.kernels.reference.loss import LEAST_PROBABILITY

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


def cross_entropy_forward(log_p: Array, t: Array, class_weights: Array | None = None) -> Array:
    """Twin of `reference.cross_entropy_forward`. One block for all rows, so that the sum has one order."""
    xp = get_array_module(log_p)
    log_p, loss = xp.ascontiguousarray(log_p), xp.empty(1, log_p.dtype)
    launch(
        "loss",
        "cross_entropy_forward",
        1,
        256,
        log_p,
        *_labels(log_p, t, class_weights),
        loss,
        *log_p.shape,
        dtype=log_p.dtype,
    )
    return loss.reshape(())


def cross_entropy_backward(p: Array, t: Array, class_weights: Array | None = None) -> Array:
    """Twin of `reference.cross_entropy_backward`. A warp for each row; each block sums the labels' weights."""
    return _rows("cross_entropy_backward", p, *_labels(p, t, class_weights))


def _labels(p: Array, t: Array, class_weights: Array | None) -> tuple[Array, Array | None]:
    xp = get_array_module(p, t)
    weights = class_weights if class_weights is None else xp.ascontiguousarray(class_weights, p.dtype)
    return xp.ascontiguousarray(t, np.int64), weights


def _rows(kernel: str, x: Array, *others: Array | float | None) -> Array:
    """y, shaped like x (N, K), from a kernel with a warp for each row."""
    xp = get_array_module(x)
    x, y = xp.ascontiguousarray(x), xp.empty(x.shape, x.dtype)
    launch("loss", kernel, blocks(len(x), THREADS // WARP), THREADS, x, *others, y, *x.shape, dtype=x.dtype)
    return y
